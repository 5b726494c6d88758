"""The index of resource patterns answers as the comparison of one pattern with one resource."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.engine.attributes import bindings_of
from camguard.engine.resource_index import ResourceIndex, contains_uin
from camguard.engine.rules import MaskBits, Rule
from camguard.policy.model import Effect, ResourcePattern
from camguard.policy.resources import Owner, Resource, read_resource, resource_match
from camguard.policy.values import Truth, any_of
from tests.company import OWNER, USER
from tests.stage import QUIET
from tests.vocabulary import ACCOUNTS, REGIONS, REQUESTED, WANTED

COMPANY = Owner(**OWNER)
SERVICES = ("cvm", "cbs", "", "*", "CVM", "c*")
short = st.text(alphabet="ab/*\n", min_size=1, max_size=6)
patterns = st.builds(
    "qcs::{}:{}:{}:{}".format,
    st.sampled_from(SERVICES),
    st.sampled_from(REGIONS),
    st.sampled_from(ACCOUNTS),
    st.one_of(short, st.sampled_from(WANTED)),
)
resources = st.one_of(
    st.sampled_from((None, "", "*", "ab", "acs::cvm:::x", "qcs::cvm::")),
    st.builds(
        "qcs:{}:{}:{}:{}:{}".format,
        st.sampled_from(("", "id/7")),
        st.sampled_from(("cvm", "cbs", "CVM", "")),
        st.sampled_from(REGIONS),
        st.sampled_from(ACCOUNTS),
        st.one_of(short, st.sampled_from(REQUESTED)),
    ),
)
principals = st.sampled_from((USER, "uin/100101", "uin/100100", "role/bot"))


def read(text: str) -> ResourcePattern:
    found = read_resource(text)
    assert isinstance(found, ResourcePattern)
    return found


def rule(effect: Effect, *texts: str) -> Rule:
    return Rule("p#0", 0, effect, True, MaskBits(), (), (), tuple(map(read, texts)))


def index_of(rules: list[Rule], principal: str = USER) -> ResourceIndex:
    return ResourceIndex(
        rules, COMPANY, [(at, p) for at, one in enumerate(rules) for p in one.patterns], principal
    )


def by_comparison(one: Rule, resource: str | None, principal: str) -> Truth:
    """Return the truth of a rule; of an allow, which only a match lets count, False where it is unknown."""
    place = Resource.of(resource) if resource else None
    bound = bindings_of(principal, COMPANY)
    truth = any_of(resource_match(each, one.effect, place, COMPANY, bound) for each in one.patterns)
    return truth or (None if truth is None and one.effect is Effect.DENY else False)


@QUIET
@given(
    st.lists(st.tuples(st.sampled_from(Effect), st.lists(patterns, max_size=3)), max_size=6),
    st.lists(resources, min_size=1, max_size=6),
    principals,
)
def test_look_ups_answer_as_comparisons(
    written: list[tuple[Effect, list[str]]], asked: list[str | None], principal: str
) -> None:
    rules = [rule(effect, *texts) for effect, texts in written]
    index = index_of(rules, principal)
    for resource in asked:
        true, unknown, owned = index.find(resource)
        found = [True if true >> at & 1 else None if unknown >> at & 1 else False for at in range(len(rules))]
        assert found == [by_comparison(one, resource, principal) for one in rules], resource
        assert owned is COMPANY.owns(resource)


HERE = "qcs::cvm:ap-guangzhou:uin/100100:"
# pattern, resource, and whether an allow and a deny of the pattern match the resource
MATCHES = [
    pytest.param(
        "qcs::cvm:gz::i/1", HERE + "i/1", True, True, id="CAM 5.3 a whole path and an old region code"
    ),
    pytest.param("qcs::cvm:::i/*", HERE + "i/1", True, True, id="CAM 5.3 a beginning"),
    pytest.param("qcs::cvm:::*-a", HERE + "i/1-a", True, True, id="CAM 5.3 an end"),
    pytest.param("qcs::cvm:::i/*a", HERE + "i/a", True, True, id="CAM 5.3 a star that stands for nothing"),
    pytest.param(
        "qcs::cvm:::ab*ba", HERE + "aba", False, False, id="CAM 5.3 beginning and end do not overlap"
    ),
    pytest.param("qcs::cvm:::i*-*b", HERE + "i-xb", True, True, id="CAM 5.3 a piece between two stars"),
    pytest.param("qcs::cvm:::i*-*b", HERE + "ixb", False, False, id="CAM 5.3 a piece that is missing"),
    pytest.param("qcs::cvm:::**", HERE + "i", True, True, id="CAM 5.3 two stars without a piece"),
    pytest.param(
        "qcs::cvm:::i*-**b", HERE + "i-xb", True, True, id="CAM 5.3 three stars, two of them together"
    ),
    pytest.param(
        "qcs::cvm:::i*-**b", HERE + "ixb", False, False, id="CAM 5.3 a piece that is missing beside two stars"
    ),
    pytest.param("qcs::cvm:::i/*", HERE + "i", False, None, id="DEC-15 X/* and exactly X"),
    pytest.param("qcs::cvm:::i/", HERE + "i/1", False, None, id="DEC-15 a pattern that ends with a slash"),
    pytest.param("qcs::CVM:::i", HERE + "i", False, None, id="DEC-60 a service in capitals"),
    pytest.param("qcs::cvm:AP-*::i", HERE + "i", False, None, id="DEC-60 a region in capitals"),
    pytest.param("qcs::cvm::$x:i", HERE + "i", False, None, id="DEC-59 an account that names none"),
    pytest.param("qcs::cvm::$x:i/", HERE + "i/1", False, None, id="DEC-59 and DEC-15 together"),
    pytest.param("qcs::cvm:::i/${uin}", HERE + "i/100200", True, True, id="CAM 9 the caller's uin"),
    pytest.param("qcs::cvm:::i/${uin}", HERE + "i/100201", False, False, id="CAM 9 another uin"),
    pytest.param("qcs::cvm:::${qcs:principal_tag_key}", HERE + "i", False, None, id="DEC-34 no value"),
    pytest.param("qcs::cvm:::i", "*", False, None, id="U8 a text that is no resource"),
    pytest.param("qcs::cvm:::i", None, False, None, id="CAM 5.5 a resource that is not bound"),
]


@pytest.mark.parametrize(("pattern", "resource", "allowed", "denied"), MATCHES)
def test_what_matches(pattern: str, resource: str | None, allowed: bool, denied: Truth) -> None:
    """The masks have the bits of these rules alone, and what may match is recorded for denies alone."""
    for effects in (tuple(Effect), tuple(reversed(Effect))):
        true, unknown, _ = index_of([rule(effect, pattern) for effect in effects]).find(resource)
        allow, deny = (1 << effects.index(effect) for effect in (Effect.ALLOW, Effect.DENY))
        assert true == (allow if allowed else 0) | (deny if denied else 0)
        assert unknown & ~true == (deny if denied is None else 0)


def test_only_the_uin_of_the_caller_makes_a_pattern_depend_on_the_principal() -> None:
    texts = ("i/${uin}", "${owner_uin}/*", "${app_id}", "uin", "${qcs:principal_tag_key}")
    others = ("${owner_uin}uin", "-u-i-n")
    assert [contains_uin(read(f"qcs::cvm:::{text}")) for text in (*texts, *others)] == [True] + [False] * 6
