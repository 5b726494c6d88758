"""Reduces each statement to a rule for one action: everything that the action determines is computed here.

Rule 1: a statement that can never apply to the action makes no rule.
Rule 2: `Rule.settled` is the truth of all that the action determines: True, or None for unknown.
Rule 3: a call determines the rest: bits of the table's mask (conditions on address and time), residual
        clauses, and resource patterns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from camguard.catalog.model import Action, Catalog, Granularity
from camguard.engine.action_index import StatementIndex
from camguard.engine.attributes import ActionTraits
from camguard.engine.layers import Layer
from camguard.policy.actions import action_match, covers_service
from camguard.policy.keys import IP, TIME
from camguard.policy.model import Clause, Effect, ResourcePattern, Statement
from camguard.policy.patterns import STAR
from camguard.policy.values import Truth, all_of


class Rule(NamedTuple):
    """A statement, reduced to one action.

    layer: index of its layer in the table. settled: Rule 2. required_bits, forbidden_bits: the bits that the
    mask of address and time must have and must not have. clauses: the whole condition; residual: those of its
    clauses that no mask determines. patterns: six-segment patterns of which one must match; empty where the
    action determines whether the resource matches.
    """

    id: str
    layer: int
    effect: Effect
    settled: Truth
    required_bits: int
    forbidden_bits: int
    clauses: tuple[Clause, ...]
    residual: tuple[Clause, ...]
    patterns: tuple[ResourcePattern, ...]


def rules_of(  # noqa: PLR0913 - everything that a rule depends on
    layer: Layer,
    at: int,
    traits: ActionTraits,
    *,
    catalog: Catalog,
    statements: StatementIndex,
    bits: Mapping[Clause, int],
) -> Iterable[Rule]:
    """Yield the rules of one layer for one action, in the order of its documents.

    at: index of the layer. statements: which actions a statement names. bits: the mask bit of each clause on
    address or time.
    """
    entry = traits.entry
    for statement in layer.parts:
        if isinstance(statement, str):
            # An attached policy that does not exist is a deny that cannot be evaluated (DEC-40).
            yield Rule(statement, at, Effect.DENY, None, 0, 0, (), (), ())
            continue
        named = statements.truth(statement, entry)
        if named is False:
            continue
        reached, patterns = _resource(statement, entry, catalog)
        if reached is False:
            continue
        required_bits = forbidden_bits = 0
        truths: list[Truth] = [named, reached]
        residual = []
        for clause in statement.condition:
            if clause.key == IP and not traits.supports_ip:
                truths.append(None)  # CAM 11.4
            elif clause.key in (IP, TIME):
                negated_address = clause.key == IP and clause.operator.negated
                forbidden_bits |= bits[clause] if negated_address else 0
                required_bits |= 0 if negated_address else bits[clause]
            else:
                residual.append(clause)
        yield Rule(
            statement.id,
            at,
            statement.effect,
            all_of(truths),
            required_bits,
            forbidden_bits,
            statement.condition,
            tuple(residual),
            patterns,
        )


def _resource(
    statement: Statement, entry: Action, catalog: Catalog
) -> tuple[Truth, tuple[ResourcePattern, ...]]:
    """Return whether the resource element matches an action, and the patterns that a call must match."""
    if not entry.resources and statement.effect is Effect.ALLOW:
        return False, ()  # the page of the action could not be read, so its resources are unknown
    if entry.granularity is Granularity.SERVICE and statement.effect is Effect.ALLOW:
        covered = any(covers_service(pattern, entry.service) for pattern in statement.actions)
        return statement.any_resource and covered, ()  # DEC-46
    if statement.any_resource:
        return True, ()
    if entry.granularity is Granularity.RESOURCE:
        return True, statement.patterns
    if statement.effect is Effect.ALLOW:
        return False, ()  # CAM 11.2, DEC-45
    return misplaced_deny(statement, entry, catalog), ()


def misplaced_deny(statement: Statement, entry: Action, catalog: Catalog) -> Truth:
    """Return whether a deny on resources applies to an action that has none (CAM 11.3, DEC-47)."""
    if all(pattern.service not in ("", STAR, entry.service) for pattern in statement.patterns):
        return False
    rows = catalog.services[entry.service].actions.values()
    aimed_elsewhere = any(
        row.granularity is Granularity.RESOURCE
        and any(action_match(p, statement.effect, row.service, row.name) is True for p in statement.actions)
        for row in rows
    )
    return False if aimed_elsewhere else None
