"""The table of a principal: its rows, what rows share, and the ranges with ready decisions."""

from __future__ import annotations

from typing import Any

from camguard.bundle import Bundle
from camguard.catalog.model import Granularity
from camguard.engine.decision import Decision, Reason
from camguard.engine.row import ActionRules
from camguard.policy.model import Policy
from tests import company
from tests.company import OFFICE, USER, action, call, catalog, policy, principals, service

CATALOG = catalog(service("aiart", "TextToImage", "ImageToImage", "SetPayMode"))


def bundle(*policies: Policy, users: dict[str, list[str]] | None = None, **settings: Any) -> Bundle:
    return company.bundle(policies, CATALOG, principals(users=users) if users else None, **settings)


def row(found: Bundle, action: str = "aiart:TextToImage") -> ActionRules | Decision | None:
    table = found.evaluator.table(USER)
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


def test_the_owners_row_of_an_action_with_resources_is_judged_and_shared_with_no_other() -> None:
    on_resources = action("aiart:SetPayMode", granularity=Granularity.RESOURCE)
    found = company.bundle([], catalog(service("aiart", "TextToImage", on_resources)))
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


def test_names_that_the_catalog_lacks_have_range_tables_that_are_not_kept() -> None:
    found = bundle(policy("one", {"condition": OFFICE}), unknown_action="judge", ip_support="gateway")
    for i in range(5):
        assert found.decide(call(action=f"aiart:New{i}"))
        assert not found.decide(call(action=f"aiart:New{i}", source="11.0.0.1"))
    table = found.evaluator.table("uin/100200")
    assert table is not None
    assert (table.rows, table.ranges) == ({}, {}), "callers choose these names; they may not fill the table"


def test_ranges_with_the_same_decision_are_one() -> None:
    both = {"ip_equal": {"qcs:ip": "0.0.0.0/24"}, "for_any_value:ip_equal": {"qcs:ip": "0.0.0.0/25"}}
    others = {"action": "aiart:SetPayMode", "condition": {"ip_equal": {"qcs:ip": "0.0.0.0/26"}}}
    found = policy("one", {"condition": both}, others)
    made = bundle(found)
    assert made.decide(call(source="0.0.0.1"))
    rules = row(made)
    assert isinstance(rules, ActionRules)
    assert rules.ranges.bounds == (0, 128)
    assert [bool(each) for each in rules.ranges.decisions] == [False, True, False]
