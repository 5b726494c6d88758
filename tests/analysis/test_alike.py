"""Actions that a table cannot tell apart have the same rules."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from camguard.analysis.alike import alike_in
from camguard.catalog.model import Access, Granularity
from camguard.engine.row import ActionRules
from camguard.engine.table import Table
from tests.analysis.agreement import evaluator_of, shares
from tests.company import action, allow, bundle, catalog, deny, policy, service
from tests.generators import stream

EACH = 10  # bundles of one test


def rules(table: Table, traits: object) -> tuple[object, ...]:
    """Return everything that a row depends on."""
    row: ActionRules = table.compile_row(traits)  # type: ignore[arg-type]
    return row.rules, row.match_any, row.checks_owner, row.reads_tags, len(row.layers)


@pytest.mark.parametrize("seed", shares(5, 100, EACH))
def test_every_action_has_the_rules_of_the_first_one_of_its_group(seed: int) -> None:
    shared = 0
    for world, _ in islice(stream(seed, calls=0), EACH):
        for each in world.catalog.values():  # more actions with the same facts
            each["actions"] += [{**row, "name": f"{row['name']}Again"} for row in each["actions"]]
        evaluator = evaluator_of(world)
        first_of = alike_in(evaluator)
        for principal in world.principals["users"]:
            table = evaluator.table(f"uin/{principal}")
            assert table is not None
            for each, first in first_of(table).items():
                shared += each != first
                assert rules(table, evaluator.traits(each)) == rules(table, evaluator.traits(first))
    assert shared > 20


TEMPLATE = "qcs::aiart:::image/${id}"
UNKNOWN = {"granularity": Granularity.UNKNOWN}
# two actions of the catalog, and whether one table cannot tell them apart
TWO = [
    pytest.param(["Draw", "Look"], True, id="the same facts"),
    pytest.param(
        [action("aiart:Draw", TEMPLATE), action("aiart:Look", TEMPLATE)], True, id="both on resources"
    ),
    pytest.param(["Draw", action("aiart:Look", TEMPLATE)], False, id="one on resources"),
    pytest.param(
        [
            action("aiart:Draw", TEMPLATE),
            replace(action("aiart:Look", TEMPLATE), resources=(), unreadable=("image",)),
        ],
        False,
        id="one whose templates cannot be read",
    ),
    pytest.param(["Draw", action("aiart:Look", ip_restriction=False)], False, id="one without its address"),
    pytest.param(["Draw", action("aiart:Look", access=Access.WRITE)], False, id="one that writes"),
    pytest.param(
        [action(f"aiart:{name}", **UNKNOWN) for name in ("Draw", "Look")], False, id="DEC-67 only names"
    ),
]


@pytest.mark.parametrize(("actions", "alike"), TWO)
def test_actions_that_a_table_cannot_tell_apart(actions: list[Any], alike: bool) -> None:
    office = bundle([policy("office", allow("aiart:*"))], catalog(service("aiart", *actions)))
    table = office.evaluator.table("uin/100200")
    assert table is not None
    first_of = alike_in(office.evaluator)(table)
    assert (first_of.get("aiart:Look", "aiart:Look") == "aiart:Draw") is alike


def test_no_action_shares_its_row_where_a_session_policy_limits_the_calls() -> None:
    office = bundle([policy("office", allow("aiart:*"))], catalog(service("aiart", "Draw", "Look")))
    table = office.evaluator.table("uin/100200", policy("session", allow("aiart:Look")))
    assert table is not None
    assert alike_in(office.evaluator)(table) == {}


def test_a_statement_that_names_one_action_parts_it_from_the_others() -> None:
    listed = catalog(
        service("aiart", "Draw", "Look", "Zoom", action("aiart:Edit", "qcs::aiart:::image/${id}"))
    )
    office = bundle([policy("office", allow("aiart:*"), deny("aiart:Look"))], listed)
    table = office.evaluator.table("uin/100200")
    assert table is not None
    assert alike_in(office.evaluator)(table) == {
        "aiart:Draw": "aiart:Draw",
        "aiart:Zoom": "aiart:Draw",
        "aiart:Look": "aiart:Look",
        "aiart:Edit": "aiart:Edit",
    }
