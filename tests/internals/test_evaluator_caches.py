"""What the evaluator computes once and keeps: nothing but its private parts shows it.

The tests replace what compiles, so that a second compilation fails, or look at the caches themselves.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from camguard.bundle import Bundle
from camguard.engine import evaluator as evaluator_module
from camguard.engine.action_index import ACTION_UNKNOWN
from camguard.engine.attributes import ActionTraits
from camguard.engine.call import Call
from camguard.engine.condition_index import KeyIndex
from camguard.engine.decision import Reason
from camguard.engine.row import NO_RANGES, ActionRules
from camguard.engine.rule_index import RuleIndex
from camguard.engine.table import Table
from camguard.ipset import LINE_END
from camguard.policy.model import Policy
from tests import company
from tests.company import USER, call, catalog, policy, principals, service

CATALOG = catalog(service("aiart", "TextToImage", "ImageToImage", "SetPayMode"))
SPRING = {
    "date_greater_than_equal": {"qcs:current_time": "1970-01-01T00:01:40Z"},
    "date_less_than": {"qcs:current_time": "1970-01-01T00:03:20Z"},
}
SPRING_AND_MFA = {"condition": {**SPRING, "bool_equal": {"qcs:mfa": "true"}}}


def bundle(*policies: Policy, users: dict[str, list[str]] | None = None, **settings: Any) -> Bundle:
    return company.bundle(policies, CATALOG, principals(users=users) if users else None, **settings)


def one_policy(*statements: dict[str, Any], **settings: Any) -> Bundle:
    """Return a bundle of six users with the same statements."""
    users = {str(uin): ["one"] for uin in range(100200, 100206)}
    return bundle(policy("one", *statements), users=users, **settings)


def at(principal: str = USER, place: int | None = 1, time: float | None = 0.0, **more: Any) -> Call:
    return call(principal=principal, time=time)._replace(source_ip=place, **more)


FIRST = {"condition": {"ip_equal": {"qcs:ip": "0.0.0.0/24"}}}
HOUR = {"condition": {"date_greater_than_equal": {"qcs:current_time": "1970-01-01T01:00:00Z"}}}


def fail(*_: object) -> None:
    raise AssertionError("what is ready was made once more")


@pytest.mark.parametrize("time", [0.0, 3600.0, 1e9], ids=["before", "right at a cut", "long after"])
def test_what_is_ready_is_found_not_made(time: float, monkeypatch: pytest.MonkeyPatch) -> None:
    found = one_policy(FIRST, HOUR)
    tables = found.evaluator
    first = [found.decide(at(place=place, time=time)) for place in (1, 300)]
    monkeypatch.setattr(tables, "table", fail)
    monkeypatch.setattr(Table, "row", fail)
    monkeypatch.setattr(Table, "fill_ranges", fail)
    again = [found.decide(at(place=place, time=time)) for place in (1, 300)]
    assert [one is other for one, other in zip(first, again, strict=True)] == [True, True]


def test_what_is_settled_is_found_at_any_time_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    found = one_policy({})
    first = found.decide(at())
    monkeypatch.setattr(found.evaluator, "table", fail)
    monkeypatch.setattr(Table, "row", fail)
    for place, time in ((0, 0.0), (LINE_END - 1, -1e300), (7, 1e300)):
        assert found.decide(at(place=place, time=time)) is first


def test_the_refusal_of_an_unknown_action_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    found = one_policy({})
    query = at(action="aiart:Nope")
    assert [found.decide(at()).reason, found.decide(query)] == [Reason.ALLOWED, ACTION_UNKNOWN]
    monkeypatch.setattr(Table, "row", fail)
    assert found.decide(query) is ACTION_UNKNOWN


def test_what_must_be_judged_is_judged_by_the_row_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found = one_policy(FIRST)
    table = found.evaluator.table("uin/100200")
    assert table is not None
    assert found.decide(at(context={}))
    monkeypatch.setattr(Table, "compile_row", fail)
    assert found.decide(at(context={}))


def test_principals_are_forgotten_together_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "MAX_RECENT", 2)
    found = one_policy({}, tables=3)  # whichever is more
    sizes = []
    for uin in (100200, 100201, 100202, 100203, 100204, 100205, 100205):
        found.decide(at(f"uin/{uin}"))
        sizes.append(len(found.evaluator.recent))
    assert sizes == [1, 2, 3, 1, 2, 3, 3]


def test_actions_that_share_a_row_share_its_range_table(monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle(policy("one", {"condition": SPRING}))
    first = found.decide(call(time=100.0))
    assert first
    monkeypatch.setattr(ActionRules, "rebuild", None)
    assert found.decide(call("aiart:SetPayMode", time=100.0)) is first


def test_the_recent_principals_keep_no_more_tables_than_the_cache() -> None:
    many = [policy(f"p{i}", {}) for i in range(40)]
    small = bundle(*many, users={str(100200 + i): [f"p{i}"] for i in range(40)}, tables=4).evaluator
    most = 0
    for i in range(40):
        for each in (*range(max(0, i - 3), i), i):  # those that the cache has, then one that it lacks
            small.table(f"uin/{100200 + each}")
        held = (*small._tables.values(), *small.recent.values())
        most = max(most, len(set(map(id, held))))
    assert 4 < most <= 8, "four in the cache, and four that it lost since the recent ones were forgotten"


def test_the_recent_principals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "MAX_RECENT", 2)
    found = bundle(policy("one", {}), users={str(100200 + i): ["one"] for i in range(5)}, tables=1)
    assert all(found.decide(call(principal=f"uin/{100200 + i}")) for i in range(5))
    assert found.table_stats()[1:] == (1, 1), "forgetting a principal compiles nothing again"


def test_names_that_the_catalog_lacks_are_not_kept() -> None:
    letters = [{"action": f"aiart:*{letter}*"} for letter in "abcdef"]
    found = bundle(policy("one", *letters), unknown_action="judge")
    for size in range(1, 5):
        for name in combinations("abcdef", size):  # each is named by statements of its own
            assert found.decide(call(action=f"aiart:{''.join(name)}"))
    table = found.evaluator.table("uin/100200")
    assert table is not None
    assert table.rows == {}
    assert table._shared == {}


def test_another_thread_with_another_time_takes_no_range_table_away(monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle(policy("spring", {"condition": SPRING}))
    overtaken = property(lambda _: NO_RANGES, lambda _row, _ranges: None)
    monkeypatch.setattr(ActionRules, "ranges", overtaken)
    assert [bool(found.decide(call(time=time))) for time in (99.0, 150.0, 200.0)] == [False, True, False]


def test_the_results_for_values_of_a_key_are_bounded() -> None:
    """T101: neither many values nor long ones fill the memory."""
    statement = {"condition": {"string_like": {"cos:x": "a*"}}}
    (clause,) = policy("one", statement).statements[0].condition
    index = KeyIndex(0, "cos:x", {clause: 1})
    entry = CATALOG.services["aiart"].actions["TextToImage"]
    traits = ActionTraits(entry, supports_ip=True, supports_tags=True, in_catalog=True, label=None)
    kept = index._rest
    assert kept is not None
    for number in range(266):  # ten more than are kept
        index.narrowed((1, 0), call(context={"cos:x": (str(number),)}), traits, {})
    assert len(kept) == 10
    index.narrowed((1, 0), call(context={"cos:x": ("a" * 1000,)}), traits, {})
    assert len(kept) == 10


def test_an_evaluator_keeps_a_bounded_number_of_tables_and_of_recent_principals() -> None:
    found = one_policy({})
    assert found.decide(at())
    evaluator = found.evaluator
    (table,) = evaluator._tables.values()
    for number in range(16_384 + 1):
        evaluator._tables[number] = table
    assert len(evaluator._tables) == 16_384
    recent = one_policy({}, tables=1).evaluator.recent
    for number in range(65_536):
        recent[str(number)] = table
    assert len(recent) == 65_536
    recent["one"] = table
    assert len(recent) == 1


def test_the_recent_principals_are_forgotten_after_as_many_misses_as_the_cache_has_tables() -> None:
    users = {str(100200 + i): [f"p{i}"] for i in range(7)}
    found = bundle(*[policy(f"p{i}", {}) for i in range(7)], users=users, tables=3)
    sizes = []
    for uin in users:
        found.decide(at(f"uin/{uin}"))
        sizes.append(len(found.evaluator.recent))
    assert sizes == [1, 2, 1, 2, 3, 1, 2]


MFA = {"condition": {"bool_equal": {"qcs:mfa": "true"}}}
WITH_MFA = {"qcs:mfa": ("true",)}


def indexed(found: Bundle) -> int:
    """Return for how many actions the table of USER has an index."""
    table = found.evaluator.table(USER)
    assert table is not None
    return len(table.indexes)


def test_a_call_that_supplies_nothing_is_decided_by_ranges_beside_an_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = one_policy(SPRING_AND_MFA)
    assert (bool(found.decide(at(time=100.0))), indexed(found)) == (False, 0)
    assert (bool(found.decide(at(time=100.0, context=WITH_MFA))), indexed(found)) == (True, 1)
    monkeypatch.setattr(RuleIndex, "decide", fail)
    monkeypatch.setattr(ActionRules, "judge", fail)
    for time in (99.0, 100.0, 150.0, 200.0):
        assert found.decide(at(time=time)).reason is Reason.NO_ALLOW


@pytest.mark.parametrize("first", [True, False], ids=["the first call", "a later call"])
def test_a_call_that_an_index_decides_is_judged_by_no_rule(
    first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = one_policy(MFA)
    if not first:
        assert found.decide(at(context={})).reason is Reason.NO_ALLOW
    monkeypatch.setattr(ActionRules, "judge", fail)
    assert found.decide(at(context=WITH_MFA))


@pytest.mark.parametrize("calls", [1, 2], ids=["the first call", "a later call"])
def test_an_index_is_asked_once_for_a_call_that_it_does_not_decide(
    calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Call] = []

    def undecided(_index: RuleIndex, one: Call, *_: object) -> None:
        asked.append(one)

    monkeypatch.setattr(RuleIndex, "decide", undecided)
    found = one_policy(MFA)
    for _ in range(calls):
        assert found.decide(at(context=WITH_MFA)), "judged rule by rule"
    assert len(asked) == calls


def test_a_call_without_an_address_is_judged_by_the_kept_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = one_policy(FIRST, {})
    assert found.decide(at())
    monkeypatch.setattr(Table, "compile_row", fail)
    assert found.decide(at(place=None))


@pytest.mark.parametrize("first", [True, False], ids=["the first call", "a later call"])
def test_the_mask_of_address_and_time_is_found_only_where_a_rule_needs_it(
    first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[int] = []
    right = RuleIndex.decide

    def noted(index: RuleIndex, one: Call, traits: ActionTraits, mask: int) -> Any:
        masks.append(mask)
        return right(index, one, traits, mask)

    without = policy("one", MFA), policy("two", {"action": "aiart:SetPayMode", **SPRING_AND_MFA})
    plain, timed = bundle(*without), one_policy(SPRING_AND_MFA)
    for found in (plain, timed):
        assert first or not found.decide(at(context={}))
    monkeypatch.setattr(RuleIndex, "decide", noted)
    monkeypatch.setattr(Table, "mask_at", fail)
    assert plain.decide(at(context=WITH_MFA))
    assert masks == [0]
    with pytest.raises(AssertionError, match="once more"):
        timed.decide(at(context=WITH_MFA))
