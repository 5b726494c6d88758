"""The index of actions: which actions of the catalog a pattern or a statement names."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.engine.action_index import ActionIndex, StatementIndex
from tests.company import action, catalog, policy, service

CATALOG = catalog(
    service("art", "Draw", "Erase"), service("vm", "Stop", "Unread"), service("account", "BindToken")
)


EVERY = "account:BindToken art:Draw art:Erase vm:Stop vm:Unread"

# effect, actions, named for sure, named perhaps
NAMED = [
    pytest.param("allow", "art:Draw", "art:Draw", "", id="an exact name"),
    pytest.param("allow", "art:draw", "", "", id="an allow in the wrong letter case names nothing"),
    pytest.param("allow", "ART:*", "", "", id="an allow of a service in capitals names nothing"),
    pytest.param("allow", "a*:Draw", "", "art:Draw", id="DEC-8 a wildcard in the service is undetermined"),
    pytest.param("allow", "*", EVERY, "", id="the wildcard alone names everything"),
    pytest.param("allow", "art:*", "art:Draw art:Erase", "", id="a whole service"),
    pytest.param("allow", "vm:S*", "vm:Stop", "", id="a pattern"),
    pytest.param("allow", "art:Nope", "", "", id="an action that the catalog lacks"),
    pytest.param("deny", "art:Draw", "art:Draw", "", id="a deny of an exact name"),
    pytest.param("deny", "art:draw", "", "art:Draw", id="DEC-7 a deny in the wrong letter case"),
    pytest.param("deny", "ART:*", "", "art:Draw art:Erase", id="DEC-7 a deny of a service in capitals"),
    pytest.param("deny", "a*:Draw", "", "art:Draw", id="DEC-8 a deny with a wildcard in the service"),
    pytest.param("deny", "vm:S*", "vm:Stop", "", id="a deny of a pattern"),
    pytest.param(
        "allow", ["vm:Stop", "a*:*", "art:Draw"], "art:Draw vm:Stop", "account:BindToken art:Erase",
        id="what one pattern names for sure is no longer undetermined",
    ),
    pytest.param(
        "deny", ["art:draw", "vm:*"], "vm:Stop vm:Unread", "art:Draw", id="two patterns of a deny"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("effect", "actions", "certain", "possible"), NAMED)
def test_a_statement_names_actions(effect: str, actions: Any, certain: str, possible: str) -> None:
    index = ActionIndex(CATALOG)
    (statement,) = policy("one", {"effect": effect, "action": actions}).statements
    named = index.named_by_statement(statement)
    assert [" ".join(one.id for one in index.members(found)) for found in named] == [certain, possible]
    assert named.either == named.certain | named.possible
    statements = StatementIndex(index, [])  # a session's statement: nothing was looked up before the call
    known = StatementIndex(index, [policy("one", {"effect": effect, "action": actions})])
    (listed,) = known.named
    for one in CATALOG.actions.values():
        truth = True if one.id in certain.split() else None if one.id in possible.split() else False
        assert statements.truth(statement, one) is truth
        assert known.truth(listed, one) is truth


def test_the_actions_of_a_set_are_listed_in_the_order_of_their_ids() -> None:
    index = ActionIndex(CATALOG)
    found = policy("one", {"action": ["vm:Stop", "art:*"]})
    statements = StatementIndex(index, [found])
    named = statements.named[found.statements[0]].certain
    assert list(statements.members(named)) == ["art:Draw", "art:Erase", "vm:Stop"]
    assert [each.id for each in index.members(named)] == ["art:Draw", "art:Erase", "vm:Stop"]
    assert list(statements.members(0)) == []


def test_an_action_that_the_catalog_lacks_is_compared_with_the_patterns() -> None:
    found = policy("one", {"action": "art:N*"}, {"action": "art:n*", "effect": "deny"})
    statements = StatementIndex(ActionIndex(CATALOG), [found])
    assert [statements.truth(each, action("art:New")) for each in found.statements] == [True, None]
