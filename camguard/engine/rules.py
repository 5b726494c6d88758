"""One statement, seen from one action: everything that the action settles is settled here.

Rule 1: a statement that can never touch the action is no rule.
Rule 2: `settled` is what is settled: True, or None for unknown; the rest waits for the call.
Rule 3: what waits is either a mark (address or time, a bit of the table's mask), an open clause, or a
        resource pattern.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from camguard.catalog.model import Action, Catalog, Granularity
from camguard.engine.attributes import ActionTraits, bindings_of, values_of
from camguard.engine.call import Call
from camguard.engine.layers import Layer
from camguard.engine.naming import Spread
from camguard.policy.actions import action_match, covers_service
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, TIME
from camguard.policy.model import Clause, Effect, ResourcePattern, Statement
from camguard.policy.resources import Owner, Resource, resource_match
from camguard.policy.star import STAR
from camguard.policy.truth import Truth, all_of, any_of


class Rule(NamedTuple):
    """A statement as one action sees it.

    layer: index of its layer in the table. required_bits, forbidden_bits: of the mask.
    clauses: the whole condition; residual: the part of it that no mask settles.
    patterns: six-segment patterns of which one must match; empty where the resource is settled.
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

    def truth_for(self, mask: int) -> Truth:
        """Judge by address and time alone; what else the condition asks for is not supplied."""
        if mask & self.required_bits != self.required_bits or mask & self.forbidden_bits:
            return False
        return None if self.residual else self.settled


def missing_rule(policy: str, layer: int) -> Rule:
    """Return the deny that a missing policy counts as (DEC-40)."""
    return Rule(policy, layer, Effect.DENY, None, 0, 0, (), (), ())


def rules_of(  # noqa: PLR0913 - what a rule depends on, each named
    layer: Layer,
    at: int,
    traits: ActionTraits,
    *,
    catalog: Catalog,
    spreads: Mapping[Statement, Spread],
    marks: Mapping[Clause, int],
) -> Iterable[Rule]:
    """Yield the rules of one layer for one action, in the order of its documents.

    spreads: which actions a statement names. marks: the mask bit of every address and time clause.
    """
    entry = traits.entry
    for statement in layer.parts:
        if isinstance(statement, str):
            yield missing_rule(statement, at)
            continue
        spread = spreads.get(statement) if traits.in_catalog else None
        if spread is None:  # a session's statement, or an action that the catalog lacks
            effect = statement.effect
            named = any_of(action_match(p, effect, entry.service, entry.name) for p in statement.actions)
        else:
            named = entry.id in spread.named or (None if entry.id in spread.doubtful else False)
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
                truths.append(None)  # 11.4
            elif clause.key in (IP, TIME):
                negated_address = clause.key == IP and clause.operator.negated
                forbidden_bits |= marks[clause] if negated_address else 0
                required_bits |= 0 if negated_address else marks[clause]
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
    """Return what the resource element says of an action, and the patterns that wait for a call."""
    if not entry.resources and statement.effect is Effect.ALLOW:
        return False, ()  # its page could not be read whole: what it is authorized on is not known
    if entry.granularity is Granularity.SERVICE and statement.effect is Effect.ALLOW:
        covered = any(covers_service(pattern, entry.service) for pattern in statement.actions)
        return statement.any_resource and covered, ()  # DEC-46
    if statement.any_resource:
        return True, ()
    if entry.granularity is Granularity.RESOURCE:
        return True, statement.patterns
    if statement.effect is Effect.ALLOW:
        return False, ()  # 11.2, DEC-45
    return misplaced_deny(statement, entry, catalog), ()


def misplaced_deny(statement: Statement, entry: Action, catalog: Catalog) -> Truth:
    """Judge a deny on a specific resource for an action that has none (11.3, DEC-47)."""
    if all(pattern.service not in ("", STAR, entry.service) for pattern in statement.patterns):
        return False
    rows = catalog.services[entry.service].actions.values()
    aimed_elsewhere = any(
        row.granularity is Granularity.RESOURCE
        and any(action_match(p, statement.effect, row.service, row.name) is True for p in statement.actions)
        for row in rows
    )
    return False if aimed_elsewhere else None


class Reading(NamedTuple):
    """A call as the open rules of one row read it: the slow, general way."""

    call: Call
    traits: ActionTraits
    owner: Owner

    def truth(self, rule: Rule, resource: str | None) -> Truth:
        """Judge a rule on everything the call supplies. resource: None where it could not be bound."""
        bindings = bindings_of(self.call.principal, self.owner)
        truths = [clause_truth(c, values_of(c.key, self.call, self.traits), bindings) for c in rule.clauses]
        if rule.patterns:
            if resource is None:
                truths.append(None)
            else:
                place = Resource.of(resource)
                truths.append(
                    any_of(resource_match(p, rule.effect, place, self.owner, bindings) for p in rule.patterns)
                )
        return all_of((rule.settled, *truths))
