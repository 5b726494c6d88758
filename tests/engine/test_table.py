"""The table of a principal: its rows, what rows share, and the ranges with ready decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.bundle import Bundle
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.catalog.model import Granularity
from camguard.engine.decision import Decision, Reason
from camguard.engine.row import ActionRules
from camguard.policy.model import Policy
from tests import company
from tests.company import OFFICE, USER, action, allow, call, catalog, policy, principals, service

LATER = {"date_greater_than": {"qcs:current_time": "1970-01-01T00:01:40Z"}}
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


INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/${id}"
HERE = "qcs::vm:ap-guangzhou:uin/100100:instance/"
VM = service(
    "vm",
    action("vm:Reboot", INSTANCE),
    action("vm:Attach", INSTANCE, "qcs::vm:${region}:uin/${uin}:volume/${id}", match="any"),
    "List",
    "Count",
    tag_authorization=True,
)
ASKS = {"box:Count": ("vm:Count", "vm:List"), "box:Attach": ("vm:Attach", "vm:Reboot")}
KNOWN = KnownServices(rows={label: CamNames(names, sure=True) for label, names in ASKS.items()})
LABELLED = replace(catalog(VM), known=KNOWN)


def test_dec_68_an_action_that_asks_for_two_names_shares_no_row_with_one_that_asks_for_one() -> None:
    found = company.bundle([policy("one", allow("vm:Count", "*", **OFFICE))], LABELLED)
    assert found.decide(call("vm:Count"))
    assert not found.decide(call("box:Count")), "nothing allows vm:List"


def test_dec_68_one_of_several_resources_is_enough_only_where_it_is_for_each_name() -> None:
    found = company.bundle([policy("one", allow("vm:*", f"{HERE}*"))], LABELLED)
    both = (f"{HERE}ins-1", f"{HERE[:-9]}volume/v-1")
    assert found.decide(call("vm:Attach", resources=both))
    assert not found.decide(call("box:Attach", resources=both))


def test_dec_66_an_action_without_resources_shares_no_row_with_one_whose_tags_are_listed() -> None:
    on_tag = {"string_equal": {"qcs:resource_tag/dept": "rd"}}
    one = f"{HERE}ins-1"
    found = company.bundle(
        [policy("one", allow("vm:*", "*", **on_tag))], LABELLED, resource_tags={one: {"dept": "rd"}}
    )
    assert not found.decide(call("vm:List"))
    assert found.decide(call("vm:Reboot", resources=(one,)))


def test_the_rule_of_one_statement_is_that_of_the_row() -> None:
    found = bundle(policy("one", {"condition": OFFICE}, {"action": "aiart:Text*", "condition": LATER}))
    table, traits = found.evaluator.table(USER), found.evaluator.traits("aiart:TextToImage")
    assert table is not None
    assert traits is not None
    at, layer = next((at, layer) for at, layer in enumerate(table.layers) if layer.name == "identity")
    rules = tuple(table.rule(part, True, at, traits) for part in layer.statements)
    assert len(rules) == 2
    assert rules == table.compile_row(traits).rules


# the paths of the patterns, and whether any of them contains a variable
VARIABLES = [
    pytest.param(["ins-1"], False, id="no variable"),
    pytest.param(["ins-1", "${uin}"], True, id="a variable beside a pattern without one"),
]


@pytest.mark.parametrize(("paths", "any_variable"), VARIABLES)
def test_a_row_tells_whether_its_patterns_depend_on_the_caller(paths: list[str], any_variable: bool) -> None:
    found = company.bundle([policy("one", allow("vm:*", [f"{HERE}{path}" for path in paths]))], LABELLED)
    rules = row(found, "vm:Reboot")
    assert isinstance(rules, ActionRules)
    assert rules.has_variables is any_variable


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
