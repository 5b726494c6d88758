"""What the decision keeps, shares and forgets. What it decides is in tests/cases and against the oracle."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from dataclasses import replace
from itertools import combinations
from math import inf, nan, nextafter
from typing import Any

import pytest

from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from camguard.engine import evaluator as evaluator_module
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.row import NO_RANGES, ActionRules
from camguard.ipset import parse_address
from camguard.policy.document import parse_policy
from camguard.policy.model import Policy

NAMES = ("TextToImage", "ImageToImage", "SetPayMode")
OFFICE = {"ip_equal": {"qcs:ip": "10.0.0.0/8"}}
SPRING = {
    "date_greater_than_equal": {"qcs:current_time": "1970-01-01T00:01:40Z"},
    "date_less_than": {"qcs:current_time": "1970-01-01T00:03:20Z"},
}
LATER = {"date_greater_than": {"qcs:current_time": "1970-01-01T00:01:40Z"}}


def catalog() -> Catalog:
    actions = {
        name: Action("aiart", name, Access.READ, Granularity.OPERATION, ("*",), ip_restriction=True)
        for name in NAMES
    }
    service = Service(
        "aiart",
        "Image",
        console=True,
        tag_authorization=False,
        granularity=Granularity.OPERATION,
        ip_restriction=IpRestriction.SUPPORTED,
        actions=actions,
    )
    return Catalog({"aiart": service})


def policy(name: str, *statements: dict[str, Any]) -> Policy:
    full = [{"effect": "allow", "action": "aiart:*", "resource": "*", **each} for each in statements]
    return parse_policy(json.dumps({"version": "2.0", "statement": full}), name)


def bundle(*policies: Policy, users: dict[str, list[str]] | None = None, **settings: Any) -> Bundle:
    people = users or {"100200": [each.id for each in policies]}
    principals = {
        "owner": {"uin": "100100", "app_id": "125"},
        "users": {uin: {"policies": ids} for uin, ids in people.items()},
    }
    return make_bundle({each.id: each for each in policies}, principals, catalog(), **settings)


def call(action: str = "aiart:TextToImage", source: str | None = "10.0.0.1", **more: Any) -> Call:
    place = None if source is None else parse_address(source)
    return Call(**{"principal": "uin/100200", "action": action, "source_ip": place, "time": 0.0} | more)


def row(found: Bundle, action: str = "aiart:TextToImage") -> ActionRules | Decision | None:
    table = found.evaluator.table("uin/100200")
    assert table is not None
    return table.row(action)


def test_without_conditions_a_row_is_one_ready_decision() -> None:
    found = bundle(policy("one", {}))
    assert row(found) == Decision(Reason.ALLOWED, ("one#0",), "identity")
    assert found.decide(call()) is row(found), "the decision is found, not made"


def test_an_address_condition_makes_ranges_with_ready_decisions() -> None:
    found = bundle(policy("one", {"condition": OFFICE}))
    rules = row(found)
    assert isinstance(rules, ActionRules)
    assert rules.rangeable
    inside, again, outside = (found.decide(call(source=s)) for s in ("10.0.0.1", "10.9.9.9", "11.0.0.0"))
    assert inside is again
    assert (bool(inside), outside.reason) == (True, Reason.NO_ALLOW)
    assert len(rules.ranges.decisions) == 3, "below, inside and above the range"


def test_actions_of_which_the_same_rules_speak_share_a_row() -> None:
    found = bundle(policy("one", {"condition": OFFICE}))
    assert row(found, "aiart:TextToImage") is row(found, "aiart:SetPayMode")


def test_actions_that_share_a_row_share_its_range_table(monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle(policy("one", {"condition": SPRING}))
    first = found.decide(call(time=100.0))
    assert first
    monkeypatch.setattr(ActionRules, "rebuild", None)
    assert found.decide(call("aiart:SetPayMode", time=100.0)) is first


def test_the_owners_row_of_an_action_with_resources_is_judged_and_shared_with_no_other() -> None:
    listed = catalog().services["aiart"]
    entry = listed.actions["SetPayMode"]
    actions = {**listed.actions, "SetPayMode": replace(entry, granularity=Granularity.RESOURCE)}
    principals = {"owner": {"uin": "100100", "app_id": "125"}}
    found = make_bundle({}, principals, Catalog({"aiart": replace(listed, actions=actions)}))
    table = found.evaluator.table("uin/100100")
    assert table is not None
    assert isinstance(table.row("aiart:TextToImage"), Decision), "without resources all is ready"
    mine = table.row("aiart:SetPayMode")
    assert isinstance(mine, ActionRules)
    assert not mine.rangeable
    for account, allowed in (("uin/100100", True), ("uin/100200", False), ("", True)):
        query = call("aiart:SetPayMode", principal="uin/100100", resources=(f"qcs::aiart::{account}:x",))
        assert bool(found.decide(query)) is allowed
        assert found.decide(query._replace(action="aiart:TextToImage"))


def test_principals_with_the_same_policies_share_a_table() -> None:
    found = bundle(
        policy("one", {}), policy("two", {}), users={"100200": ["one"], "100201": ["one"], "100202": ["two"]}
    )
    tables = [found.evaluator.table(f"uin/{uin}") for uin in (100200, 100201, 100202)]
    assert tables[0] is tables[1]
    assert tables[0] is not tables[2]
    assert found.table_stats() == (1, 2, 2)


def test_only_the_first_call_of_a_principal_looks_into_the_cache() -> None:
    found = bundle(policy("one", {}), users={"100200": ["one"], "100201": ["one"]})
    for uin in (100200, 100200, 100200, 100201, 100201):
        found.decide(call(principal=f"uin/{uin}"))
    assert found.table_stats() == (1, 1, 1)


def test_the_cache_of_tables_is_bounded() -> None:
    many = [policy(f"p{i}", {}) for i in range(8)]
    users = {str(100200 + i): [f"p{i}"] for i in range(8)}
    small = bundle(*many, users=users, tables=3).evaluator
    for _ in range(2):
        assert all(small.decide(call(principal=f"uin/{uin}")) for uin in users)
    assert small.stats()[2] == 3


def test_the_recent_principals_keep_no_more_tables_than_the_cache() -> None:
    many = [policy(f"p{i}", {}) for i in range(40)]
    small = bundle(*many, users={str(100200 + i): [f"p{i}"] for i in range(40)}, tables=4).evaluator
    most = 0
    for i in range(40):
        for each in (*range(max(0, i - 3), i), i):  # those that the cache has, then one that it lacks
            small.table(f"uin/{100200 + each}")
        held = (*small._tables.values(), *small._recent.values())  # noqa: SLF001 - nothing else tells
        most = max(most, len(set(map(id, held))))
    assert 4 < most <= 8, "four in the cache, and four that it lost since the recent ones were forgotten"


def test_the_recent_principals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "MAX_RECENT", 2)
    found = bundle(policy("one", {}), users={str(100200 + i): ["one"] for i in range(5)}, tables=1)
    assert all(found.decide(call(principal=f"uin/{100200 + i}")) for i in range(5))
    assert found.table_stats()[1:] == (1, 1), "forgetting a principal compiles nothing again"


def test_tables_die_with_the_last_that_holds_them() -> None:
    limited = policy("one", {"condition": OFFICE}, {"resource": "qcs::aiart:::job/1"})
    found = bundle(
        limited, policy("two", {}), users={"100200": ["one"], "100201": ["two"]}, unknown_action="judge"
    )
    for uin in ("100200", "100201", "9"):
        for action in ("aiart:TextToImage", "aiart:BrandNew", "aiart:!", "other:Nope"):
            query = call(principal=f"uin/{uin}", action=action)
            found.decide(query)
            found.decide(query._replace(session=limited))
            found.nearest_changes(query, found.explain(query))
    released = weakref.ref(found.evaluator)
    gc.disable()
    try:
        del found
        assert released() is None, "they hold themselves in a circle, which only a collection ends"
    finally:
        gc.enable()


def test_names_that_the_catalog_lacks_are_not_kept() -> None:
    letters = [{"action": f"aiart:*{letter}*"} for letter in "abcdef"]
    found = bundle(policy("one", *letters), unknown_action="judge")
    for size in range(1, 5):
        for name in combinations("abcdef", size):  # each is named by statements of its own
            assert found.decide(call(action=f"aiart:{''.join(name)}"))
    table = found.evaluator.table("uin/100200")
    assert table is not None
    assert table.rows == {}
    assert table._shared == {}  # noqa: SLF001 - what callers must not fill


def test_names_that_the_catalog_lacks_have_range_tables_that_are_not_kept() -> None:
    found = bundle(policy("one", {"condition": OFFICE}), unknown_action="judge", ip_support="gateway")
    for i in range(5):
        assert found.decide(call(action=f"aiart:New{i}"))
        assert not found.decide(call(action=f"aiart:New{i}", source="11.0.0.1"))
    table = found.evaluator.table("uin/100200")
    assert table is not None
    assert (table.rows, table.ranges) == ({}, {}), "callers choose these names; they may not fill the table"


JUDGED = [
    pytest.param("aiart:BrandNew", Reason.ALLOWED, id="an ordinary name of a known service is judged"),
    pytest.param("aiart:texttoimage", Reason.ALLOWED, id="a name in another letter case is another name"),
    pytest.param("aiart:New*", Reason.ACTION_INVALID, id="T33 a star is no name"),
    pytest.param("aiart:", Reason.ACTION_INVALID, id="no name"),
    pytest.param("other:BrandNew", Reason.SERVICE_UNKNOWN, id="a service that the catalog lacks"),
]


@pytest.mark.parametrize(("action", "reason"), JUDGED)
def test_unknown_actions_may_be_judged(action: str, reason: Reason) -> None:
    tables = bundle(policy("one", {}), unknown_action="judge").evaluator
    assert tables.decide(call(action=action)).reason is reason
    assert tables.judge(call(action=action)).reason is reason


def test_an_unknown_action_has_no_ip_support_unless_the_gateway_gives_it() -> None:
    office = policy("one", {"condition": OFFICE})
    new = call(action="aiart:BrandNew")
    assert not bundle(office, unknown_action="judge").decide(new)
    assert bundle(office, unknown_action="judge", ip_support="gateway").decide(new)


TIMES = [
    pytest.param(100.0, True, id="at the first instant"),
    pytest.param(nextafter(100.0, -inf), False, id="just before it"),
    pytest.param(nextafter(200.0, -inf), True, id="just before the last"),
    pytest.param(200.0, False, id="at the last"),
    pytest.param(1e12, False, id="long after"),
    pytest.param(-1e12, False, id="long before"),
]


def test_time_may_step_to_and_fro() -> None:
    found = bundle(policy("one", {"condition": SPRING}))
    for _ in range(2):
        for step in (TIMES, TIMES[::-1]):
            for at, allowed in (each.values for each in step):
                assert bool(found.decide(call(time=at))) is allowed, at


UNKNOWN = [
    pytest.param(call(source=None), id="an address that is not known"),
    pytest.param(call(time=None), id="a time that is not known"),
]


@pytest.mark.parametrize("doubtful", UNKNOWN)
def test_what_is_not_known_grants_nothing_and_blocks(doubtful: Call) -> None:
    both = {**OFFICE, "date_less_than": {"qcs:current_time": "2000-01-01T00:00:00Z"}}
    assert bundle(policy("one", {"condition": both})).decide(doubtful).reason is Reason.NO_ALLOW
    deny = bundle(policy("one", {}, {"effect": "deny", "condition": both}))
    assert deny.decide(doubtful).reason is Reason.UNDETERMINED_DENY


NO_INSTANTS = [
    pytest.param(nan, id="no number"),
    pytest.param(inf, id="after all time"),
    pytest.param(-inf, id="before all time"),
]


@pytest.mark.parametrize("condition", [SPRING, {"date_less_than": SPRING["date_less_than"]}, LATER])
@pytest.mark.parametrize("time", NO_INSTANTS)
def test_a_time_that_is_no_instant_is_not_known(time: float, condition: dict[str, Any]) -> None:
    allow = bundle(policy("one", {"condition": condition}))
    deny = bundle(policy("one", {}, {"effect": "deny", "condition": condition}))
    free = bundle(policy("one", {"condition": OFFICE}))
    for at in (time, 0.0, time, 1e12, time):  # before, within and behind the range table
        for found, reason in (
            (allow, Reason.NO_ALLOW),
            (deny, Reason.UNDETERMINED_DENY),
            (free, Reason.ALLOWED),
        ):
            decision = found.decide(call(time=at))
            assert decision == found.explain(call(time=at)).decision
            assert at is not time or decision.reason is reason


@pytest.mark.parametrize("time", [-(10**400), 10**400], ids=["long before floats", "long after floats"])
def test_any_whole_number_of_seconds_is_an_instant(time: int) -> None:
    found = bundle(policy("one", {"condition": LATER}))
    for _ in range(2):
        assert bool(found.decide(call(time=time))) is (time > 0)
        assert bool(found.explain(call(time=time)).decision) is (time > 0)


def test_a_session_has_a_table_of_its_own() -> None:
    found = bundle(policy("one", {}))
    session = policy("session", {"action": "aiart:SetPayMode"})
    assert found.decide(call()).reason is Reason.ALLOWED
    assert found.decide(call(session=session)).reason is Reason.LAYER_LIMIT
    assert found.decide(call(action="aiart:SetPayMode", session=session))
    assert found.decide(call()).reason is Reason.ALLOWED
    assert found.table_stats()[2] == 2


def test_an_action_whose_resources_could_not_be_read_is_granted_by_nothing() -> None:
    listed = catalog().services["aiart"]
    unread = {name: replace(entry, resources=()) for name, entry in listed.actions.items()}
    one = policy("one", {})
    principals = {"owner": {"uin": "100100", "app_id": "125"}, "users": {"100200": {"policies": ["one"]}}}
    found = make_bundle({"one": one}, principals, Catalog({"aiart": replace(listed, actions=unread)}))
    assert found.decide(call()).reason is Reason.NO_ALLOW
    words = [clause.why for note in found.explain(call()).statements for clause in note.clauses]
    assert (
        words[1]
        == "the resources of the action are unknown, because its page could not be read: nothing grants it"
    )


def test_many_threads_may_decide_at_once() -> None:
    found = bundle(
        policy("one", {"condition": OFFICE}), policy("two", {"condition": SPRING}),
        users={str(100200 + i): [("one", "two")[i % 2]] for i in range(40)},
    )  # fmt: skip
    wrong: list[object] = []

    def ask() -> None:
        for i in range(400):
            answer = found.decide(call(principal=f"uin/{100200 + i % 40}", time=float(i)))
            expected = 100 <= i < 200 if i % 2 else True
            if bool(answer) is not expected:
                wrong.append((i, answer))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_another_thread_with_another_time_takes_no_range_table_away(monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle(policy("spring", {"condition": SPRING}))
    overtaken = property(lambda _: NO_RANGES, lambda _row, _ranges: None)
    monkeypatch.setattr(ActionRules, "ranges", overtaken)
    assert [bool(found.decide(call(time=time))) for time in (99.0, 150.0, 200.0)] == [False, True, False]


def test_a_decision_is_true_only_for_allow() -> None:
    assert [reason for reason in Reason if Decision(reason)] == [Reason.ALLOWED]
