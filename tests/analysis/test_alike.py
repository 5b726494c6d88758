"""Actions that a table cannot tell apart have the same rules."""

from __future__ import annotations

from itertools import islice

import pytest

from camguard.analysis.alike import alike_in
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
