"""The bounds of an index of rules: what its caches keep, and how much work it leaves undone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.bounded_cache import BoundedCache
from camguard.engine import resource_index, rule_index
from camguard.engine.resource_index import work_bound, work_weight
from camguard.engine.row import MOST_TAG_WORK, affords_tags, tag_work
from camguard.ipset import LINE_END
from camguard.policy.model import Effect, ResourcePattern
from camguard.policy.resources import MOST_WORK, Owner, Targets, read_resource
from tests import company
from tests.company import OWNER, action, allow, call, catalog, deny, policy, principals, service
from tests.stage import QUIET

COMPANY = Owner(**OWNER)
HERE = "qcs::vm:ap-guangzhou:uin/100100:"
paths = st.text(alphabet="ab/*\n", min_size=1, max_size=12)


def read(path: str) -> ResourcePattern:
    found = read_resource(f"qcs::vm:::{path}")
    assert isinstance(found, ResourcePattern)
    return found


@QUIET
@given(
    st.lists(st.one_of(paths, paths.map("{}${{uin}}".format)), min_size=1, max_size=6),
    st.lists(
        st.tuples(st.sampled_from(("gz", "bj", "ap-tokyo")), paths, st.integers(1, 90)),
        min_size=1,
        max_size=12,
    ),
)
def test_the_work_of_all_patterns_stays_within_its_bound(
    texts: list[str], places: list[tuple[str, str, int]]
) -> None:
    patterns = [read(text) for text in texts]
    resources = [f"qcs::vm:{region}::{path * times}" for region, path, times in places]
    targets = Targets(resources, COMPANY)
    for effect in Effect:  # a deny also compares what is close to each pattern
        targets.found(patterns, effect, COMPANY, {"uin": "100200"})
    done = MOST_WORK - targets._work_left
    assert done <= work_bound(work_weight(patterns), len(resources), sum(map(len, resources)))


NAMES = [f"web-{'x' * 91}{at:04}" for at in range(10)]  # 999 letters with a NUL between two: 31 units

# the paths of the resources of a call, the paths of patterns, and the units of work that they take
WORK = [
    pytest.param(NAMES, [NAMES[0]], 0, id="a whole path is found in the order of paths"),
    pytest.param(NAMES, ["nix-*x*"], 0, id="no path begins so"),
    pytest.param(NAMES, ["web-*"], 31, id="a beginning"),
    pytest.param(NAMES, ["web-*", "web-*"], 31, id="the same pattern once more costs nothing"),
    pytest.param(NAMES, ["*0001"], 31 + 41, id="an ending is searched in the text and in each path"),
    pytest.param(NAMES, ["*0001", "*0002"], 2 * (31 + 41), id="another ending costs the same again"),
    pytest.param(NAMES, ["web-**0001"], 31 + 41, id="a star beside a star costs nothing"),
    pytest.param(NAMES, ["*x*"], 2 * 31 + 41, id="a middle"),
    pytest.param(NAMES, ["web-*z*x"], 31, id="a piece that is nowhere ends the search"),
    pytest.param(NAMES, ["web-*x*z"], 2 * 31, id="so does an ending that is nowhere"),
    pytest.param(NAMES, ["web-*x*0001"], 2 * (31 + 41) + 6, id="one path has two pieces in some order"),
    pytest.param(NAMES, ["*x*-*"], 3 * 31 + 2 * 41 + 10 * 7, id="each path has two pieces in some order"),
    pytest.param(NAMES, ["*0001*0002"], 2 * (31 + 41), id="no path has both pieces"),
    pytest.param(["web-1", "web-2a"], ["web-*2"], 2, id="no path has the ending at its end"),
    pytest.param(["web-1", "web-a\nb"], ["web-*a"], 2 + 5, id="a line end in a path is no end of the path"),
]


@pytest.mark.parametrize(("paths", "patterns", "units"), WORK)
def test_the_work_of_comparing_a_pattern(paths: list[str], patterns: list[str], units: int) -> None:
    """With one unit less than that, some pattern is unknown for every resource."""
    resources = [f"qcs::vm:gz::{path}" for path in paths]
    wanted = [read(path) for path in patterns]
    targets = Targets(resources, COMPANY)
    whole = targets.found(wanted, Effect.ALLOW, COMPANY, {})
    assert targets._work_left == MOST_WORK - units
    exactly, fewer = (Targets(resources, COMPANY) for _ in range(2))
    exactly._work_left, fewer._work_left = units, units - 1
    assert exactly.found(wanted, Effect.ALLOW, COMPANY, {}) == whole
    found = fewer.found(wanted, Effect.ALLOW, COMPANY, {})
    assert found != whole
    assert found.true | found.unknown == fewer.every


def test_a_pattern_without_a_star_costs_no_work() -> None:
    assert work_weight([read("instance/ins-1"), read("${uin}")]) == 0
    assert work_weight([read("instance/")]) > 0, "a deny compares it as a beginning, too"


def test_the_work_of_tags_is_one_sum() -> None:
    clauses = policy("p", allow("*", string_equal={"qcs:resource_tag/a": ["1", "2"]})).statements[0].condition
    most = (MOST_TAG_WORK - 3) // 2  # tags in one set, compared with two values of one clause
    for size, affordable in ((most, True), (most + 1, False)):
        assert (tag_work(1, size, 1, 2) <= MOST_TAG_WORK) is affordable
        assert affords_tags([dict.fromkeys(map(str, range(size)), "x")], clauses) is affordable
    unlisted = MOST_TAG_WORK // 5  # a resource without tags counts as one with one tag
    assert affords_tags([None] * unlisted, clauses)
    assert not affords_tags([None] * (unlisted + 1), clauses)


def caches_of(index: Any) -> dict[str, BoundedCache[Any, Any]]:
    """Return all caches of an index and its parts."""
    parts = [index, index._patterns, *(index._filled or {}).values(), *index._keys]
    return {
        f"{type(part).__name__}.{name} {at}": found
        for at, part in enumerate(parts)
        for name in getattr(part, "__slots__", ())
        if isinstance(found := getattr(part, name), BoundedCache)
    }


def test_calls_cannot_make_an_index_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((rule_index, "KEPT"), (rule_index, "PRINCIPALS"), (resource_index, "KEPT")):
        monkeypatch.setattr(module, name, 5)
    dice = random.Random(1)  # noqa: S311 - calls, no secret
    rows = catalog(service("vm", action("vm:Reboot", f"{HERE}${{id}}"), tag_authorization=True))
    numbers = [str(at) for at in range(12)]
    statements = [
        allow(
            "vm:*", [f"{HERE}{at}", f"{HERE}{at}*x*", f"{HERE}${{uin}}/{at}"], string_like={"cos:x": f"{at}*"}
        )
        for at in numbers
    ]
    ranges = [deny("vm:*", ip_equal={"qcs:ip": f"{at}0.0.0.0/8"}) for at in range(1, 13)]
    users = {str(200_000 + at): ["p"] for at in range(20)}
    found = company.bundle([policy("p", *statements, *ranges)], rows, principals(users=users))
    for at in range(3000):
        resources = tuple(
            f"qcs::vm:{dice.choice(('gz', f'r{at}'))}:uin/100100:{dice.choice(numbers)}"
            for _ in range(dice.randint(1, 12))
        )
        asked = call("vm:Reboot", principal=f"uin/{200_000 + at % 20}", resources=resources)
        context = {"cos:x": (f"{dice.choice(numbers)}{at}",)}
        found.decide(asked._replace(source_ip=dice.randrange(LINE_END >> 96), context=context))
    table = found.evaluator.table("uin/200000")
    assert table is not None
    sizes = {name: len(each) for name, each in caches_of(table.indexes["vm:Reboot"][0]).items()}
    kinds = {name.partition(" ")[0] for name in sizes}
    of_row = {"RuleIndex._decisions", "RuleIndex._filled", "RuleIndex._under"}
    assert kinds == of_row | {"ResourceIndex._reaches", "KeyIndex._rest"}
    assert {name: size for name, size in sizes.items() if size > (256 if "_rest" in name else 5)} == {}


def test_the_decision_on_very_many_kinds_of_resources_is_not_kept() -> None:
    rows = catalog(service("vm", action("vm:Reboot", f"{HERE}${{id}}")))
    found = company.bundle([policy("p", *(allow("vm:*", f"{HERE}{at}") for at in range(20)))], rows)
    resources = tuple(f"{HERE}{at}" for at in range(20))
    for size in range(1, 20):
        assert found.decide(call("vm:Reboot", resources=resources[:size]))
    table = found.evaluator.table("uin/100200")
    assert table is not None
    assert len(table.indexes["vm:Reboot"][0]._decisions) == rule_index.MOST_KINDS
