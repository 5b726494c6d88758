"""One statement as the checks see it: what it names, what it can apply to, where each part is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from camguard.catalog.model import Granularity
from camguard.engine.action_index import NamedActions
from camguard.lint.catalog_view import CatalogView
from camguard.lint.source_map import StatementSource, source_map
from camguard.policy.actions import covers_service
from camguard.policy.document import Document
from camguard.policy.keys import TAGS
from camguard.policy.model import ActionPattern, Clause, Effect, ResourcePattern, Statement
from camguard.policy.star import STAR

# What becomes of a statement for which it cannot be determined whether it applies.
OUTCOMES = {Effect.ALLOW: "this allow grants nothing", Effect.DENY: "this deny always applies"}


class PlacedAction(NamedTuple):
    """One pattern of the action element: what it names, and its pointer."""

    pattern: ActionPattern
    named: NamedActions
    where: str


class PlacedClause(NamedTuple):
    """One clause of the condition with its pointer. values: text, wanted value and pointer of each."""

    clause: Clause
    where: str
    values: list[tuple[str, Any, str]]

    @property
    def is_tag(self) -> bool:
        """Whether the key is a key of tags."""
        return self.clause.key.partition("/")[0] in TAGS


class StatementView:
    """One statement, compared with the catalog.

    named: what its action patterns name together. touched: the actions of which some call may match both
    the action element and the resource element.
    """

    def __init__(
        self, statement: Statement, source: StatementSource, catalog: CatalogView, *, every_address: bool
    ) -> None:
        self.statement = statement
        self.source = source
        self.catalog = catalog
        self.allows = statement.effect is Effect.ALLOW
        self.every_address = every_address  # ip_support is "gateway": the address is judged for every action
        self.unjudged_address = 0 if every_address else catalog.without_address
        self.named = catalog.index.named_by_statement(statement)
        self.touched = _touched(statement, self.named, catalog)

    @property
    def outcome(self) -> str:
        """What becomes of the statement where it cannot be determined whether it applies."""
        return OUTCOMES[self.statement.effect]

    @property
    def judges_address(self) -> bool:
        """Whether the source address is judged for some action that the statement can apply to."""
        return self.every_address or bool(self.touched & ~self.unjudged_address)

    def actions(self) -> Iterator[PlacedAction]:
        """Yield the patterns of the action element."""
        effect = self.statement.effect
        for pattern, (where, _) in zip(self.statement.actions, self.source.texts("action"), strict=True):
            yield PlacedAction(pattern, self.catalog.index.named_by_pattern(pattern, effect), where)

    def resources(self) -> list[tuple[ResourcePattern, str]]:
        """Return the patterns of the resource element, without the literal `*`, and their pointers."""
        return list(zip(self.statement.patterns, self.source.patterns(), strict=True))

    def clauses(self) -> Iterator[PlacedClause]:
        """Yield the clauses of the condition."""
        for clause, (where, entries) in zip(self.statement.condition, self.source.clauses(), strict=True):
            places = (place for place, _ in entries)
            yield PlacedClause(clause, where, list(zip(clause.values, clause.wanted, places, strict=True)))


def statement_views(document: Document, catalog: CatalogView, ip_support: str) -> list[StatementView]:
    """Return the views of all statements of a document. ip_support: the setting."""
    sources = source_map(document).statements
    return [
        StatementView(statement, source, catalog, every_address=ip_support == "gateway")
        for statement, source in zip(document.policy.statements, sources, strict=True)
    ]


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
