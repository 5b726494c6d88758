"""The bounds of an index of rules: what its caches keep, and how much work it leaves undone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.bounded_cache import BoundedCache
from camguard.bundle import Bundle
from camguard.engine import resource_index, rule_index
from camguard.engine.call import Call
from camguard.engine.condition_index import KeyIndex, Masks
from camguard.engine.decision import Reason
from camguard.engine.resource_index import work_bound, work_weight
from camguard.engine.row import MOST_TAG_WORK, affords_tags, tag_work
from camguard.ipset import LINE_END
from camguard.policy.model import Effect, ResourcePattern
from camguard.policy.resources import MOST_WORK, Owner, Targets, read_resource
from tests import company
from tests.company import OWNER, USER, action, allow, call, catalog, deny, policy, principals, service
from tests.engine.index_agreement import by_index
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


# the path of a pattern, and its weight: twice the stars and five more
WEIGHTS = [
    pytest.param("instance/ins-1", 0, id="a whole path"),
    pytest.param("instance/${uin}", 0, id="a whole path with a variable at its end"),
    pytest.param("instance/", 10, id="a slash at the end: a deny compares it as a beginning, too"),
    pytest.param("instance/*", 12, id="a star"),
    pytest.param("*a${uin}*b${app_id}*", 16, id="stars beside variables"),
]


@pytest.mark.parametrize(("path", "weight"), WEIGHTS)
def test_the_weight_of_a_pattern_in_the_bound_of_the_work(path: str, weight: int) -> None:
    assert work_weight([read(path)]) == weight
    assert work_weight([read(path), read("*")]) == weight + 12
    assert work_bound(weight, 3, 320) == weight * (20 + 9 + 3)


def decided_by_index(found: Bundle, *resources: str | None, **facts: Any) -> bool:
    """Return whether the index decides a call, and does not leave the call to the evaluation by rules."""
    asked = call("vm:Reboot", resources=resources, **facts)
    found.decide(asked)
    return by_index(found.evaluator, asked) is not None


ROWS = catalog(service("vm", action("vm:Reboot", f"{HERE}${{id}}"), "vm:List", tag_authorization=True))


def test_an_index_decides_up_to_the_bound_of_the_work_and_not_beyond() -> None:
    found = company.bundle([policy("p", deny("vm:*", f"{HERE}a/"))], ROWS)
    weight = work_weight([read("a/")])
    for resources in (1, 2):
        longest = 16 * (MOST_WORK // weight - resources * resources - resources) + 15
        assert (
            work_bound(weight, resources, longest) <= MOST_WORK < work_bound(weight, resources, longest + 1)
        )
        others = (None,) * (resources - 1)  # has no letters
        text = "x" * (longest + 1)
        assert decided_by_index(found, *others, text[:longest])
        assert not decided_by_index(found, *others, text)


def test_an_index_compares_tags_up_to_the_bound_of_the_work_and_not_beyond() -> None:
    """The work is that of the rules on tags, with all of their clauses."""
    values = [f"v{at}" for at in range(313)]
    both = {"string_equal": {"qcs:resource_tag/a": values, "cos:x": "x"}}
    other = {"string_equal": {"cos:y": values}}
    resources = tuple(f"{HERE}{at}" for at in range(100))
    sets = {each: {"a": f"w{at}"} for at, each in enumerate(resources[1:])}  # the first one is not listed
    assert tag_work(100, 100, 2, 314) == MOST_TAG_WORK
    policies = [
        policy("p", deny("vm:*", "*", **both)),
        policy("q", deny("vm:*", "*", **other)),
        policy("r", allow("*")),
    ]
    context = {"cos:x": ("x",), "cos:y": ("y",)}
    found = company.bundle(policies, ROWS, resource_tags=sets)
    assert decided_by_index(found, *resources, context=context)
    assert not decided_by_index(found, *resources, f"{HERE}100", context=context)
    listed = {**sets, resources[0]: {"a": "w99"}, f"{HERE}100": {"a": "w100"}}
    found = company.bundle(policies, ROWS, resource_tags=listed)
    for asked, reason in (
        (resources, Reason.ALLOWED),
        ((*resources, f"{HERE}100"), Reason.UNDETERMINED_DENY),
    ):
        one = call("vm:Reboot", resources=asked, context=context)
        assert (found.decide(one).reason, found.evaluator.judge(one).reason) == (reason, reason)
    more = company.bundle(policies, ROWS, resource_tags={**sets, resources[1]: {"a": "w", "b": "w"}})
    assert not decided_by_index(more, *resources, context=context)


def test_resources_with_the_same_tags_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    on_tag = {"string_equal": {"qcs:resource_tag/a": "1"}}
    resources = tuple(f"{HERE}{at}" for at in range(9))
    sets = {each: {"a": str(at % 2)} for at, each in enumerate(resources)}
    found = company.bundle([policy("p", allow("*", "*", **on_tag))], ROWS, resource_tags=sets)
    asked: list[Call] = []
    narrowed = KeyIndex.narrowed

    def counted(self: KeyIndex, masks: Masks, one: Call, *others: Any) -> Masks:
        asked.append(one)
        return narrowed(self, masks, one, *others)

    monkeypatch.setattr(KeyIndex, "narrowed", counted)
    assert decided_by_index(found, *resources)
    assert [one.resource_tags for one in asked[-2:]] == [{"a": "0"}, {"a": "1"}]
    assert len(asked) == 4, "two sets of tags, in two decisions"


OWN = f"{HERE}${{uin}}/*"
ON_TAG = {"string_equal": {"qcs:resource_tag/a": "1"}}
READS = {"numeric_less_than": {"qcs:read_only_action": "${uin}"}}
SECURE = {"bool_equal": {"cos:secure-transport": "true"}}
# the statements; of the index: whether it has patterns of everybody and of each caller, how many keys on tags
# it reads for each resource, whether it reads the inventory, and whether a range table decides calls as well
PARTS = [
    pytest.param([allow("vm:*", f"{HERE}a*")], (True, False, 0, False, False), id="a pattern"),
    pytest.param([allow("vm:*", OWN)], (False, True, 0, False, False), id="a pattern with the caller's uin"),
    pytest.param([allow("vm:*", "*", **SECURE)], (False, False, 0, False, True), id="a key of the call"),
    pytest.param(
        [allow("vm:*", "*", **READS)], (False, False, 0, False, False), id="a variable in a condition"
    ),
    pytest.param([allow("vm:*", "*", **ON_TAG, **SECURE)], (False, False, 1, True, False), id="a tag"),
]


@pytest.mark.parametrize(("statements", "parts"), PARTS)
def test_an_index_has_the_parts_that_its_rules_need(
    statements: list[dict[str, Any]], parts: tuple[bool, bool, int, bool, bool]
) -> None:
    found = company.bundle([policy("p", *statements)], ROWS, resource_tags={f"{HERE}a": {"a": "1"}})
    found.decide(call("vm:Reboot", resources=(f"{HERE}a",), context={}))
    table = found.evaluator.table(USER)
    assert table is not None
    index, _ = table.indexes["vm:Reboot"]
    of_all, of_caller = index._patterns is not None, index._filled is not None
    assert (of_all, of_caller, len(index._tag_keys), index._inventory is not None, index.rangeable) == parts


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
