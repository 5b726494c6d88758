"""A call of many resources, compared with patterns at once: answers as one by one, at a small cost."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from camguard.bundle import Bundle
from camguard.engine.call import Call
from camguard.engine.decision import Reason
from camguard.policy.model import Effect, ResourcePattern
from camguard.policy.resources import Owner, Resource, Targets, mask_of, read_resource, resource_match
from camguard.policy.values import Truth, any_of
from tests.company import allow, bundle, deny, policy, principals
from tests.processor import seconds, within
from tests.stage import CATALOG, NOW, QUIET

OWNER = Owner("100000000001", "1250000001")
BOUND = {"owner_uin": "100000000001", "uin": "100000000103"}

paths = st.text(alphabet="ab/*\n", min_size=1, max_size=7)
segments = st.tuples(
    st.sampled_from(["", "cvm", "*", "cbs"]),
    st.sampled_from(["", "*", "gz", "ap-guangzhou", "ap-*", "ap-beijing"]),
    st.sampled_from(["", "uin/100000000001", "uid/1250000001", "uin/2", "*"]),
)
pattern_texts = st.builds(
    lambda place, path: f"qcs::{place[0]}:{place[1]}:{place[2]}:{path}",
    segments,
    st.one_of(paths, paths.map(lambda path: path + "${uin}"), st.just("b${app_id}*")),
)
resource_texts = st.one_of(
    st.none(),
    st.just("ab"),
    st.builds(lambda place, path: f"qcs::{place[0]}:{place[1]}:{place[2]}:{path}", segments, paths),
)


def one_by_one(patterns: list[ResourcePattern], effect: Effect, resource: str | None) -> Truth:
    if resource is None:
        return None if patterns else False
    place = Resource.of(resource)
    return any_of(resource_match(each, effect, place, OWNER, BOUND) for each in patterns)


@QUIET
@example(["qcs::cvm:::a/*"], ["qcs::cvm:::a"], Effect.ALLOW)
@example(["qcs::cvm:::a/"], ["qcs::cvm:::a/b"], Effect.ALLOW)
@example(["qcs::cvm:::a/*"], ["qcs::cvm:::a"], Effect.DENY)
@given(
    st.lists(pattern_texts, min_size=1, max_size=4),
    st.lists(resource_texts, max_size=8),
    st.sampled_from(Effect),
)
def test_all_at_once_is_as_one_by_one(texts: list[str], resources: list[str | None], effect: Effect) -> None:
    read = [read_resource(text) for text in texts]
    patterns = [each for each in read if isinstance(each, ResourcePattern)]
    if not patterns:
        return
    found = Targets(resources, OWNER).found(patterns, effect, OWNER, BOUND)
    truths = [one_by_one(patterns, effect, resource) for resource in resources]
    assert found.true == mask_of([truth is True for truth in truths])
    assert found.unknown == mask_of([truth is None for truth in truths])


def words(letters: str, longest: int) -> list[str]:
    """Return every word of one letter or more."""
    return ["".join(each) for size in range(1, longest + 1) for each in product(letters, repeat=size)]


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("line_end", ["", "a\n", "a\nb"], ids=["", "a line end", "a line end within"])
def test_every_short_pattern_matches_the_same_paths_at_once(effect: Effect, line_end: str) -> None:
    """CAM 5.3: beginnings, middles and ends between stars, in this order and none overlapping another."""
    resources = [f"qcs::cvm:gz::{path}" for path in (*words("ab", 3), *filter(None, [line_end]))]
    targets = Targets(resources, OWNER)
    for text in (*words("ab*", 4), "*a*b*", "*ab*ba*", "a*b*a", "**a**b"):
        pattern = read_resource(f"qcs::cvm:gz::{text}")
        assert isinstance(pattern, ResourcePattern)
        found = targets.found([pattern], effect, OWNER, BOUND)
        places = [Resource.of(resource) for resource in resources]
        truths = [resource_match(pattern, effect, place, OWNER, BOUND) for place in places]
        assert found == (
            mask_of([each is True for each in truths]),
            mask_of([each is None for each in truths]),
        )


PLACE = "qcs::cvm:ap-guangzhou:uin/100000000001:instance/"


def bundle_of(patterns: list[str]) -> Bundle:
    """Return a bundle in which one user has a statement for each pattern, twenty in a policy."""
    statements = [(allow, deny)[at % 2]("cvm:*", [PLACE + pattern]) for at, pattern in enumerate(patterns)]
    policies = [policy(f"p{at}", *statements[at : at + 20]) for at in range(0, len(statements), 20)]
    attached = principals(users={"100000000103": [each.id for each in policies]})
    return bundle(policies, CATALOG, {**attached, "owner": asdict(OWNER)}, revision="r" * 64)


# 401 patterns
PATTERNS = [
    pytest.param([f"ins-{at}" for at in range(401)], id="whole paths"),
    pytest.param([f"ins-{at}*" for at in range(401)], id="beginnings"),
    pytest.param([f"*-{at}" for at in range(401)], id="endings"),
    pytest.param([f"*{at}*" for at in range(401)], id="middles"),
    pytest.param([f"ins-{at}/" for at in range(401)], id="trailing slashes"),
    pytest.param([f"*ins*{at}" for at in range(401)], id="middles and endings"),
    pytest.param([f"*{'i*' * 40}{at}" for at in range(401)], id="forty stars"),
    pytest.param([f"*{'*'.join('ins-')}*{at}*" for at in range(401)], id="stars between letters"),
]
NAMES = [
    pytest.param("ins-", id="short ids"),
    pytest.param("ins-" + "i" * 2000, id="ids of 2 000 characters"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("patterns", PATTERNS)
def test_a_thousand_resources_and_401_statements_are_decided_within_50_ms(
    patterns: list[str], name: str
) -> None:
    bundle = bundle_of(patterns)
    resources = tuple(f"{PLACE}{name}{at}" for at in range(1000))
    call = Call("uin/100000000103", "cvm:StopInstances", 1, NOW, resources)
    assert bundle.decide(call).reason is not Reason.ALLOWED  # which compiles the row
    assert within(0.05, (seconds(lambda: bundle.decide(call)) for _ in range(12)))


ENDLESS = [f"*{'i*' * 40}{at}" for at in range(401)]


def read_all(*paths: str) -> list[ResourcePattern]:
    read = [read_resource(PLACE + path) for path in paths]
    return [each for each in read if isinstance(each, ResourcePattern)]


# The beginning of each id, and patterns whose comparison is too much work together.
TOO_MUCH = [
    pytest.param("i" * 50, ENDLESS, id="in the search for pieces"),
    # Each id contains every piece, in another order.
    pytest.param(
        "ab", [f"*{'b*a*' * times}" for times in range(5, 41)], id="in the comparison of whole paths"
    ),
]


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize(("beginning", "patterns"), TOO_MUCH)
def test_a_pattern_that_would_exceed_the_work_of_one_call_is_unknown(
    beginning: str, patterns: list[str], effect: Effect
) -> None:
    every = mask_of([True] * 1000)
    targets = Targets([f"{PLACE}{beginning}{at}" for at in range(1000)], OWNER)
    assert targets.found(read_all("*"), effect, OWNER, BOUND).true == every
    found = targets.found(read_all(*patterns), effect, OWNER, BOUND)
    assert found.unknown
    assert found.true | found.unknown == every
    later = targets.found(read_all("*"), effect, OWNER, BOUND)
    assert (later.true, later.unknown) == (0, every), "and so is each later pattern"


@pytest.mark.parametrize(("patterns", "left"), [(10, True), (26, False)], ids=["ten", "more"])
def test_the_comparison_of_whole_paths_is_work_too(patterns: int, left: bool) -> None:
    """Twenty-six patterns of ten pieces are within the bound only if comparing paths costs nothing."""
    every = mask_of([True] * 1000)
    targets = Targets([f"{PLACE}{'ab' * 12}{at}" for at in range(1000)], OWNER)
    pieces = [f"*{'*'.join(each)}*" for each in islice(product("ab", repeat=10), patterns)]
    found = targets.found(read_all(*pieces), Effect.ALLOW, OWNER, BOUND)
    assert found.true == every
    assert targets.found(read_all("*"), Effect.ALLOW, OWNER, BOUND) == ((every, 0) if left else (0, every))
