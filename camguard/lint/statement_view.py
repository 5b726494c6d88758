"""One statement as the checks see it: how it was written, what it names, and what it can apply to.

A `Statement` keeps neither capital letters nor absent elements, because no decision needs them. A finding
does, to point at the exact element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from camguard.catalog.model import Granularity
from camguard.engine.action_index import NamedActions
from camguard.lint.catalog_view import CatalogView
from camguard.policy.actions import covers_service
from camguard.policy.document import Document
from camguard.policy.model import ActionPattern, Effect, Statement
from camguard.policy.patterns import STAR
from camguard.strict_json import child

# What becomes of a statement for which it cannot be determined whether it applies.
OUTCOMES = {Effect.ALLOW: "this allow grants nothing", Effect.DENY: "this deny always applies"}


class StatementView:
    """One statement, compared with the catalog.

    written: its elements as the document has them. named: what its action patterns name together. touched:
    the actions of which some call may match both the action element and the resource element.
    """

    def __init__(
        self,
        statement: Statement,
        written: Mapping[str, Any],
        catalog: CatalogView,
        *,
        every_address: bool,
        judges_unlisted: bool,
    ) -> None:
        self.statement = statement
        self.written = written
        self.catalog = catalog
        self.allows = statement.effect is Effect.ALLOW
        self.every_address = every_address  # ip_support is "gateway": the address is judged for every action
        self.judges_unlisted = (
            judges_unlisted  # unknown_action is "judge": an allow may grant unlisted actions
        )
        self.unjudged_address = 0 if every_address else catalog.without_address
        self.named = catalog.index.named_by_statement(statement)
        self.touched = _touched(statement, self.named, catalog)

    def element(self, name: str) -> tuple[str, Any]:
        """Return the pointer of an element, and its value or None where the element is absent."""
        name = next((each for each in self.written if each.lower() == name), name)
        return child(self.statement.where, name), self.written.get(name)

    @property
    def outcome(self) -> str:
        """What becomes of the statement where it cannot be determined whether it applies."""
        return OUTCOMES[self.statement.effect]

    @property
    def judges_address(self) -> bool:
        """Whether the source address is judged for some action that the statement can apply to."""
        return self.every_address or bool(self.touched & ~self.unjudged_address)

    def names(self, pattern: ActionPattern) -> NamedActions:
        """Return the actions that one of the action patterns names."""
        return self.catalog.index.named_by_pattern(pattern, self.statement.effect)


def statement_views(
    document: Document, catalog: CatalogView, ip_support: str, unknown_action: str = "refuse"
) -> list[StatementView]:
    """Return the views of all statements of a document. ip_support, unknown_action: the settings."""
    every_address, judges_unlisted = ip_support == "gateway", unknown_action == "judge"
    _, value = statement_element(document)
    pairs = zip(document.policy.statements, value if isinstance(value, list) else [value], strict=True)
    return [
        StatementView(*pair, catalog, every_address=every_address, judges_unlisted=judges_unlisted)
        for pair in pairs
    ]


def statement_element(document: Document) -> tuple[str, Any]:
    """Return the pointer and the value of the statement element, which is a list or an object."""
    name, value = next(member for member in document.tree.items() if member[0].lower() == "statement")
    return child(f"{document.policy.source}#", name), value


def texts_with_variables(statement: Statement) -> Iterator[tuple[str, str]]:
    """Yield the text and the pointer of every resource and condition value that contains a variable."""
    resources = ((pattern.text, pattern.where) for pattern in statement.patterns)
    values = ((text, where) for clause in statement.condition for text, _, where in clause.placed())
    yield from (found for found in (*resources, *values) if "${" in found[0])


def _touched(statement: Statement, named: NamedActions, catalog: CatalogView) -> int:
    touched = named.either if statement.any_resource else 0
    if statement.effect is Effect.ALLOW:
        for service in _single_actions(statement, touched, catalog):
            touched &= ~catalog.services[service]
    if statement.any_resource:
        return touched
    for pattern in statement.patterns:
        touched |= catalog.reached(pattern, statement.effect) & named.either
    if statement.effect is Effect.DENY:
        touched |= blocked_without_resource(statement, named, catalog)
    return touched


def _single_actions(statement: Statement, actions: int, catalog: CatalogView) -> set[str]:
    """Return the service-level services of which a statement names single actions only (DEC-46)."""
    rows = catalog.index.members(actions & catalog.by_granularity[Granularity.SERVICE])
    return {
        row.service
        for row in rows
        if not any(covers_service(pattern, row.service) for pattern in statement.actions)
    }


def blocked_without_resource(statement: Statement, named: NamedActions, catalog: CatalogView) -> int:
    """Return the actions without resources that a deny on specific resources blocks (CAM 11.3, DEC-47)."""
    services = {pattern.service for pattern in statement.patterns}
    everywhere = bool(services & {"", STAR})
    blocked = 0
    of_resources = named.certain & catalog.resource_level
    without = named.either & ~catalog.resource_level
    while without:
        service = next(catalog.index.members(without)).service
        actions = catalog.services[service]
        if (everywhere or service in services) and not of_resources & actions:
            blocked |= without & actions
        without &= ~actions
    return blocked
