"""Reduces each statement to a rule for one action: everything that the action determines is computed here.

Rule 1: a statement that can never apply to the action makes no rule.
Rule 2: `Rule.settled` is the truth of all that the action determines: True, or None for unknown.
Rule 3: a call determines the rest: bits of the table's mask (conditions on address and time), residual
        clauses, and resource patterns.
Rule 4: a deny that names the host label of an action instead of the CAM name is unknown (DEC-68).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from camguard.catalog.model import Action, Catalog, Granularity
from camguard.engine.action_index import StatementIndex
from camguard.engine.attributes import ActionTraits, read_only_values
from camguard.engine.layers import Layer
from camguard.fast_tuple import constructor_of
from camguard.policy.actions import action_match, covers_service
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, READ_ONLY, TIME
from camguard.policy.model import ActionPattern, Clause, Effect, ResourcePattern, Statement
from camguard.policy.patterns import STAR, star_match
from camguard.policy.resources import service_match
from camguard.policy.values import Truth, all_of, any_of


class MaskBits(NamedTuple):
    """What a rule needs of the mask of address and time.

    required, forbidden: the rule is False where one of these bits is missing, or is set. unknown_without,
    unknown_with: it is unknown there (DEC-62).
    """

    required: int = 0
    forbidden: int = 0
    unknown_without: int = 0
    unknown_with: int = 0

    @property
    def every(self) -> int:
        """All bits that matter to the rule."""
        return self.required | self.forbidden | self.unknown_without | self.unknown_with


class Rule(NamedTuple):
    """A statement, reduced to one action.

    layer: index of its layer in the table. settled: Rule 2. bits: of the mask of address and time.
    clauses: the whole condition; residual: those of its clauses that neither the action nor a mask
    determines. patterns: six-segment patterns of which one must match; empty where the action determines
    whether the resource matches.
    """

    id: str
    layer: int
    effect: Effect
    settled: Truth
    bits: MaskBits
    clauses: tuple[Clause, ...]
    residual: tuple[Clause, ...]
    patterns: tuple[ResourcePattern, ...]


_BITS, _RULE = constructor_of(MaskBits), constructor_of(Rule)


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
    for part, named in _readings(layer, traits, statements):
        rule = rule_of(part, named, at, traits, catalog=catalog, bits=bits)
        if rule is not None:
            yield rule


def rule_of(  # noqa: PLR0913 - everything that a rule depends on
    part: Statement | str,
    named: Truth,
    at: int,
    traits: ActionTraits,
    *,
    catalog: Catalog,
    bits: Mapping[Clause, int],
) -> Rule | None:
    """Return the rule that a part of a layer makes for one action; None where it can never apply (Rule 1).

    named: whether the statement names the action. The other arguments are those of `rules_of`.
    """
    if isinstance(part, str):
        # An attached policy that does not exist is a deny that cannot be evaluated (DEC-40).
        return Rule(part, at, Effect.DENY, None, MaskBits(), (), (), ())
    entry = traits.entry
    reach = resource_reach(part, entry, catalog)
    if reach.truth is False:
        return None
    required = forbidden = unknown_without = unknown_with = 0
    truths: list[Truth] = [named, reach.truth]
    residual = []
    for clause in part.condition:
        if clause.key in (IP, TIME):
            bit, negated_address = bits[clause], clause.key == IP and clause.operator.negated
            in_doubt = clause.key == IP and not traits.supports_ip  # DEC-62
            if in_doubt and clause.if_exist:
                unknown_with |= bit if negated_address else 0
                unknown_without |= 0 if negated_address else bit
            else:
                forbidden |= bit if negated_address else 0
                required |= 0 if negated_address else bit
                truths.append(None if in_doubt else True)
        elif clause.key == READ_ONLY and not any(isinstance(each, tuple) for each in clause.wanted):
            truths.append(clause_truth(clause, read_only_values(entry), {}))
        else:
            residual.append(clause)
    settled = all_of(truths)
    if settled is False:
        return None
    mask_bits = _BITS((required, forbidden, unknown_without, unknown_with))
    conditions = part.condition, tuple(residual)
    return _RULE((part.id, at, part.effect, settled, mask_bits, *conditions, reach.patterns))


def _readings(
    layer: Layer, traits: ActionTraits, statements: StatementIndex
) -> Iterator[tuple[Statement | str, Truth]]:
    """Yield the parts of a layer that may name the action, each with whether it does."""
    named_by, label = statements.named.get, traits.label
    place = statements.places.get(traits.entry.id)
    bit = 0 if place is None else 1 << place
    for part in layer.parts:
        if isinstance(part, str):
            yield part, None
            continue
        named = named_by(part)
        truth: Truth
        if named is None or not bit:
            truth = statements.truth(part, traits.entry)
        else:
            truth = True if named.certain & bit else None if named.possible & bit else False
        if truth is not False:
            yield part, truth
        by_label = None if label is None else read_by_label(part, truth, traits)
        if by_label is not None:
            yield by_label, None


def read_by_label(statement: Statement, named: Truth, traits: ActionTraits) -> Statement | None:
    """Return a deny that names the host label instead of the CAM name, read with the CAM name (Rule 4).

    It then names this one action, so that no rule takes it for a deny of other actions. Where it matches, it
    is unknown whether it applies. None for all other statements. named: whether the statement as it is
    written names the action.
    """
    label, entry = traits.label, traits.entry
    if label is None or statement.effect is Effect.ALLOW:
        return None
    patterns = tuple(
        replace(pattern, service=entry.service) if pattern.service.lower() == label.service else pattern
        for pattern in statement.patterns
    )
    by_action = named is not True and any(
        action_match(pattern, Effect.DENY, label.service, label.name) is not False
        for pattern in statement.actions
    )
    by_resource = named is not False and patterns != statement.patterns
    if not by_action and not by_resource:
        return None
    action = ActionPattern(entry.id, entry.service, entry.name, statement.where)
    return replace(statement, actions=(action,), patterns=patterns)


class Reach(NamedTuple):
    """Whether the resource element of a statement matches an action. why: the reason in words.

    patterns: those of which a resource of the call must match one; empty where the action determines `truth`.
    """

    truth: Truth
    why: str
    patterns: tuple[ResourcePattern, ...] = ()


_ANY = Reach(truth=True, why="any resource")
_UNREADABLE = Reach(
    truth=False,
    why="the resources of the action are unknown, because its page could not be read: nothing grants it",
)
_SINGLE_ACTIONS = Reach(
    truth=False,
    why="the service is authorized as a whole; a statement that names single actions grants nothing",
)
_NOT_ANY = Reach(
    truth=False, why="the action is authorized at operation level: only the resource '*' grants it"
)
_NAME_ONLY = Reach(
    truth=False, why="only the name of the action is known, without a page: only the resource '*' grants it"
)
_PERHAPS = Reach(
    truth=None,
    why="names a resource, and without a page nobody knows which resources the action has; the deny applies",
)
_ELSEWHERE = Reach(truth=False, why="names resources of other actions or services")
_OTHER_LETTERS = Reach(
    truth=None,
    why="names the service in another letter case, or by a star, so the deny may be meant for it",
)
_MISPLACED = Reach(
    truth=None,
    why="names a resource, but the action has no resources; write '*' (until then the deny applies)",
)


def resource_reach(  # noqa: PLR0911 - one question after the other
    statement: Statement, entry: Action, catalog: Catalog
) -> Reach:
    """Return whether the resource element of a statement matches an action."""
    if statement.effect is Effect.ALLOW:
        if not entry.resources:
            return _UNREADABLE
        if entry.granularity is Granularity.SERVICE and not any(
            covers_service(pattern, entry.service) for pattern in statement.actions
        ):
            return _SINGLE_ACTIONS  # DEC-46
    if statement.any_resource:
        return _ANY
    if entry.granularity is Granularity.RESOURCE:
        return Reach(truth=True, why="", patterns=statement.patterns)
    if entry.granularity is Granularity.UNKNOWN:
        return _without_page(statement, entry, catalog)
    if statement.effect is Effect.ALLOW:
        return _NOT_ANY  # CAM 11.2, DEC-45
    return _misplaced_deny(statement, entry, catalog)


def _without_page(statement: Statement, entry: Action, catalog: Catalog) -> Reach:
    """Return whether a statement on resources applies to an action whose page is not known (DEC-67)."""
    if statement.effect is Effect.ALLOW:
        return _NAME_ONLY
    named = any(
        (pattern.service, pattern.name) != (STAR, STAR)
        and action_match(pattern, statement.effect, entry.service, entry.name) is not False
        for pattern in statement.actions
    )
    used = (entry.service, *catalog.known.uses(entry.service))
    touches = any(
        not pattern.service or any(star_match(pattern.service.lower(), service) for service in used)
        for pattern in statement.patterns
    )
    return _PERHAPS if named or touches else _ELSEWHERE


def _misplaced_deny(statement: Statement, entry: Action, catalog: Catalog) -> Reach:
    """Return whether a deny on resources applies to an action that has none (CAM 11.3, DEC-47, DEC-60)."""
    services = [service_match(pattern.service, entry.service, None) for pattern in statement.patterns]
    if None in services:
        return _OTHER_LETTERS
    if not any_of(services):
        return _ELSEWHERE
    rows = catalog.services[entry.service].actions.values()
    aimed_elsewhere = any(
        row.granularity is Granularity.RESOURCE
        and any(action_match(p, statement.effect, row.service, row.name) is True for p in statement.actions)
        for row in rows
    )
    return _ELSEWHERE if aimed_elsewhere else _MISPLACED
