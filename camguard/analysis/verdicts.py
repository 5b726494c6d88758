"""The verdict on all actions at once, wherever address and time alone decide.

Theory of operation. Under one mask of a table, every condition on address and time is known. A statement then
applies to a whole set of actions, and such a set is one integer (`camguard.engine.action_index`). The layers
of a table are combined as `camguard.engine.row.combine` does it, by a few operations on integers for all
actions together, and no row is compiled. Two sets bound what a statement does: the actions to which it surely
applies, and those to which it can apply, because a resource, a tag or a further key is left open.

Rule 1: a verdict is sure. An action whose calls of one mask are not all decided in the same way is in neither
        set; its row answers (`camguard.analysis.answers`). A test compares verdicts with the rows of actions.
Rule 2: what a statement means for an action is read off the rule that the row of the action has, too.
Rule 3: actions that stand alone (`camguard.analysis.alike`) and tables with a session policy have no verdict.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

from camguard.analysis.alike import FEW_TABLES, groups_of
from camguard.bounded_cache import BoundedCache, as_short_as_any
from camguard.engine.action_index import NamedActions
from camguard.engine.attributes import ActionTraits
from camguard.engine.evaluator import Evaluator
from camguard.engine.intervals import intervals_of
from camguard.engine.table import Table
from camguard.ipset import EVERY_ADDRESS, AddressMap, IpSet
from camguard.policy.model import Effect, Statement

_Groups: TypeAlias = Sequence[tuple[ActionTraits, int]]  # as `groups_of` returns them


class Verdict(NamedTuple):
    """The sets of actions of which all calls of one mask are allowed, and of which all are denied."""

    allowed: int
    denied: int


VerdictOf: TypeAlias = Callable[[int], Verdict]


class _Applied(NamedTuple):
    """What some rules of one statement do: nothing where a required bit is missing or a forbidden one is set.

    sure: the actions to which the statement then applies. open: those to which it can apply.
    """

    required: int
    forbidden: int
    sure: int
    open: int


class _Level(NamedTuple):
    """One layer that must allow. exempt: the actions that it allows without a statement.

    perhaps: the actions that it allows without a statement on some resources (CAM 10.3).
    """

    allows: tuple[_Applied, ...]
    exempt: int
    perhaps: int


def verdicts_of(evaluator: Evaluator) -> Callable[[Table], VerdictOf]:
    """Return a function from a table to the verdict under each of its masks."""
    groups = groups_of(evaluator)
    judged = _union(actions for _, actions in groups)

    def verdict_of(table: Table) -> VerdictOf:
        named = evaluator.statements.named
        if any(each not in named for layer in table.layers for each in layer.statements):
            return lambda _: Verdict(0, 0)  # Rule 3
        if any(layer.missing for layer in table.layers):
            return lambda _: Verdict(0, judged)  # DEC-40
        levels: list[_Level] = []
        denies: list[_Applied] = []
        for at, layer in enumerate(table.layers):
            level, of_layer = _level(table, at, groups, named)
            denies += of_layer
            if layer.limits:
                levels.append(level)

        def verdict(mask: int) -> Verdict:
            denied, perhaps_denied = _under(mask, denies)
            allowed = ~(denied | perhaps_denied)
            for allows, exempt, perhaps in levels:
                sure, is_open = _under(mask, allows)
                allowed &= sure | exempt
                denied |= ~(sure | is_open | exempt | perhaps)
            return Verdict(allowed & judged, denied & judged)

        # A table has few masks: those of its bounds and its cuts.
        return cache(verdict)

    return BoundedCache(verdict_of, entries=FEW_TABLES, size=as_short_as_any).__getitem__


def _level(
    table: Table, at: int, groups: _Groups, named: Mapping[Statement, NamedActions]
) -> tuple[_Level, Sequence[_Applied]]:
    """Return what the layer `at` of a table allows, and its denies."""
    layer = table.layers[at]
    allows: list[_Applied] = []
    denies: list[_Applied] = []
    for statement in layer.statements:
        found = allows if statement.effect is Effect.ALLOW else denies
        found += _applied(table, at, statement, groups, named[statement])
    if not layer.open:
        return _Level(tuple(allows), 0, 0), denies
    by_resource = _union(actions for traits, actions in groups if traits.has_resources)
    return _Level(tuple(allows), ~by_resource, by_resource), denies


def _applied(
    table: Table, at: int, statement: Statement, groups: _Groups, named: NamedActions
) -> Iterator[_Applied]:
    """Yield what a statement of the layer `at` does, for all actions of the groups."""
    denies = statement.effect is Effect.DENY
    together: dict[tuple[int, int], tuple[int, int]] = {}
    for traits, group in groups:
        for names, truth in ((named.certain, True), (named.possible, None)):
            actions = names & group
            rule = table.rule(statement, truth, at, traits) if actions else None
            if rule is None or (rule.settled is None and not denies):
                continue  # what is unknown allows nothing, and denies (DEC-1)
            bits = rule.bits
            key = bits.required, bits.forbidden
            if not denies:
                key = bits.required | bits.unknown_without, bits.forbidden | bits.unknown_with
            sure, is_open = together.get(key, (0, 0))
            if rule.residual or rule.patterns:
                together[key] = sure, is_open | actions
            else:
                together[key] = sure | actions, is_open
    for key, sets in together.items():
        yield _Applied(*key, *sets)


def _union(sets: Iterable[int]) -> int:
    union = 0
    for each in sets:
        union |= each
    return union


def _under(mask: int, applied: Iterable[_Applied]) -> tuple[int, int]:
    """Return the actions to which some statements surely apply under a mask, and those to which they can."""
    sure = is_open = 0
    for required, forbidden, actions, others in applied:
        if mask & required == required and not mask & forbidden:
            sure |= actions
            is_open |= others
    return sure, is_open


# --- the masks of a part of the address line and of time -----------------------------------------------


def judged_as(addresses: IpSet, egress: AddressMap) -> IpSet:
    """Return the addresses that policies are asked about for clients with some addresses (T132)."""
    addresses &= EVERY_ADDRESS
    targets = [
        (target, target)
        for first, last, target in zip(egress.starts, egress.ends, egress.targets, strict=True)
        if (addresses & IpSet.of_ranges([(first, last)])).starts
    ]
    direct = addresses - egress.keys
    return IpSet.of_ranges([*zip(direct.starts, direct.ends, strict=True), *targets])


def masks_of(table: Table, addresses: IpSet, times: Iterable[tuple[float, float]]) -> frozenset[int]:
    """Return each mask that calls from some addresses at some times have.

    addresses: as policies are asked about them, without places that are no address (`judged_as`).
    times: each from a moment to before another one, in seconds since 1970.
    """
    of_time = {
        interval.mask
        for begin, end in times
        for interval in intervals_of(table.cuts, table.time_masks)
        if max(begin, interval.begin) < min(end, interval.end)
    }
    of_place = set(_masks_at(table, addresses))
    return frozenset(place | time for place in of_place for time in of_time)


def _masks_at(table: Table, addresses: IpSet) -> Iterator[int]:
    for first, last in zip(addresses.starts, addresses.ends, strict=True):
        yield from table.masks[bisect_right(table.bounds, first) : bisect_right(table.bounds, last) + 1]
