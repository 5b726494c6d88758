"""Which access two bundles give that differs: every principal, action, range, time and condition.

Theory of operation. The tables of a principal under both bundles cut the address line and time into parts.
Laid over each other, they give parts with one answer of each bundle (`camguard.analysis.grid`). Where the two
answers differ, calls are gained, or lost, or some of both (`camguard.analysis.cases`). Principals whose
policies say the same under catalogs that are the same are passed over, and principals who share policies
share the work.

Rule 1: complete: a call that one bundle allows and the other one denies is in one of the changes.
Rule 2: a change is about actions that one of the catalogs lists, and calls that have an address, a time and
        one resource, as access sets are.
Rule 3: the riskiest change comes first: gained before lost, actions that write before others, from anywhere
        before from few addresses, without a condition before with one, for many principals before for few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple, TypeAlias

from camguard.analysis.access import UNCUT, Answers, answers_reader
from camguard.analysis.alike import FEW_TABLES
from camguard.analysis.answers import Answer, named_as_called
from camguard.analysis.cases import ALWAYS, Cases, newly_allowed
from camguard.analysis.causes import Cause, Change, Kind, Side, affected, causes_of
from camguard.analysis.grid import Grid, Interval, grid_of
from camguard.analysis.questions import callable_actions
from camguard.analysis.verdicts import VerdictOf
from camguard.catalog.model import Access
from camguard.ipset import LINE_END, NO_MAP, V4_END, AddressMap, IpSet

ALL_TIMES: tuple[Interval, ...] = ((-inf, inf),)
RANKS = {Access.WRITE: 3, Access.OTHER: 2, Access.READ: 1, Access.LIST: 0}


class Part(NamedTuple):
    """What one principal gains or loses for some actions: from where, when, and in which cases.

    A call is gained if `after` allows it and `before` does not; lost the other way round.
    """

    kind: Kind
    ranges: IpSet
    times: tuple[Interval, ...]
    cases: Cases
    before: Answer
    after: Answer
    causes: tuple[Cause, ...]


class Group(NamedTuple):
    """Parts of several principals and actions that are the same. access: how many actions of each kind."""

    part: Part
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    access: Mapping[Access, int]


def access_diff(
    old: Side,
    new: Side,
    principals: Iterable[str],
    actions: Mapping[str, Access],
    *,
    egress: AddressMap = NO_MAP,
) -> tuple[Group, ...]:
    """Return every change of the access of some principals to some actions, riskiest first (Rule 3).

    old, new: bundles of one account.
    actions: with their access, as `actions_of` returns them. egress: addresses are shown as clients have
    them.
    """
    parts_of = _comparison(old, new, tuple(actions), egress)
    together: dict[tuple[Part, tuple[str, ...]], list[str]] = {}
    for principal in principals:
        for part, named in parts_of(principal):
            together.setdefault((part, named), []).append(principal)
    groups = [
        Group(part, tuple(listed), named, _counted(actions[each] for each in named))
        for (part, named), listed in together.items()
    ]
    return tuple(sorted(groups, key=risk, reverse=True))


def principals_of(old: Side, new: Side) -> tuple[str, ...]:
    """Return the principals of both bundles: in the order of the new one, then those that were removed."""
    return tuple(dict.fromkeys((*new.bundle.people.layers, *old.bundle.people.layers)))


def actions_of(old: Side, new: Side) -> Mapping[str, Access]:
    """Return the actions that a call can name under one of the bundles, with their access."""
    found = {**callable_actions(old.bundle.catalog), **callable_actions(new.bundle.catalog)}
    return dict(sorted(found.items()))


def _counted(kinds: Iterable[Access]) -> Mapping[Access, int]:
    found: dict[Access, int] = {}
    for kind in kinds:
        found[kind] = found.get(kind, 0) + 1
    return {kind: found[kind] for kind in RANKS if kind in found}


def risk(group: Group) -> tuple[object, ...]:
    """Return what riskier changes have more of (Rule 3)."""
    part = group.part
    return (
        part.kind == "gained",
        max(RANKS[kind] for kind in group.access),
        share_of(part.ranges),
        part.cases == ALWAYS,
        len(group.principals) * len(group.actions),
    )


def share_of(ranges: IpSet) -> float:
    """Return which share of all addresses a set contains, of IPv4 or of IPv6, whichever is greater."""
    v4 = v6 = 0
    for first, last in zip(ranges.starts, ranges.ends, strict=True):
        size = last - first + 1
        v4, v6 = (v4 + size, v6) if first < V4_END else (v4, v6 + size)
    return max(v4 / V4_END, v6 / (LINE_END - V4_END))


# --- one principal ------------------------------------------------------------------------------------------

_Parts: TypeAlias = tuple[tuple[Part, tuple[str, ...]], ...]


class _Moved(NamedTuple):
    """What is gained or lost between two answers, and everywhere where these two are the answers.

    where: sets of places by sets of times, as `Grid` has them.
    """

    kind: Kind
    before: Answer
    after: Answer
    cases: Cases
    where: dict[int, int]


def _comparison(old: Side, new: Side, actions: Sequence[str], egress: AddressMap) -> Callable[[str], _Parts]:
    """Return a function from a principal to its parts, each with the actions of which it is true."""
    readers = [
        answers_reader(side.bundle.evaluator, side.tables, side.first_of, kept=FEW_TABLES)
        for side in (old, new)
    ]
    same = _same_surroundings(old, new)
    alone = frozenset(each for each in actions if _renamed(new, each))
    known: dict[tuple[object, ...], _Parts] = {}
    interned: dict[Part, Part] = {}
    places = new.bundle.evaluator.statements.places

    def parts_of(principal: str) -> _Parts:
        personal = old.names_callers(principal) or new.names_callers(principal)
        key = old.layers(principal), new.layers(principal), personal and principal
        found = known.get(key)
        if found is None:
            found = known[key] = tuple(compare(principal))
        return found

    def compare(principal: str) -> Iterator[tuple[Part, tuple[str, ...]]]:
        was, now = old.table(principal), new.table(principal)
        grid = grid_of(was or UNCUT, now or UNCUT, egress)
        # Under another catalog the facts of every single action can be the cause.
        groups: Iterable[list[str]] = [[action] for action in actions]
        if same and was is not None and now is not None:
            found = affected(old, new, principal)
            can = ~_unchanged(grid, old.verdicts(was), new.verdicts(now)) & (-1 if found is None else found)
            changed = [each for each in actions if each in alone or can >> places[each] & 1]
            groups = _alike(old.first_of(was), new.first_of(now), changed)
        listed: dict[Part, list[str]] = {}
        for named in groups:
            before, after = (read(principal, named[0]) for read in readers)
            for part in _parts(old, new, _moved(before, after, grid), grid, (principal, named[0])):
                listed.setdefault(part, []).extend(named)
        for part, each in listed.items():
            yield interned.setdefault(part, part), tuple(sorted(each))

    return parts_of


def _unchanged(grid: Grid, old: VerdictOf, new: VerdictOf) -> int:
    """Return the set of actions of which surely no call is decided otherwise under one catalog."""
    unchanged = -1
    cells = grid.cells(-1, -1)
    for old_time, new_time, _ in cells.times:
        for old_place, new_place, _ in cells.places:
            was, now = old(old_time | old_place), new(new_time | new_place)
            unchanged &= (was.allowed & now.allowed) | (was.denied & now.denied)
    return unchanged


def _alike(was: Mapping[str, str], now: Mapping[str, str], actions: Iterable[str]) -> Iterable[list[str]]:
    """Return actions in groups that neither of two tables can tell apart.

    was, now: the first action of the group of each action that is not alone, as `alike_in` returns it.
    """
    groups: dict[tuple[str | None, str], list[str]] = {}
    for action in actions:
        groups.setdefault((was.get(action), now.get(action, action)), []).append(action)
    return groups.values()


def _same_surroundings(old: Side, new: Side) -> bool:
    """Return whether both bundles give the same access to principals whose policies say the same."""
    before, after = old.bundle, new.bundle
    return before.catalog == after.catalog and all(
        before.evaluator.traits(each) == after.evaluator.traits(each) for each in actions_of(old, new)
    )


def _renamed(side: Side, action: str) -> bool:
    """Return whether policies are asked for other names than that of the call (DEC-68)."""
    traits = side.bundle.evaluator.traits(action)
    return traits is None or not named_as_called(traits)


def _moved(before: Answers, after: Answers, grid: Grid) -> Iterator[_Moved]:
    """Yield what moved between the answers of both bundles."""
    pairs: dict[tuple[int, int], tuple[Answer, Answer, dict[int, int]]] = {}
    lines = grid.cells(before.used, after.used)
    for old_time, new_time, times in lines.times:
        for old_place, new_place, places in lines.places:
            had, has = before.of(old_time | old_place), after.of(new_time | new_place)
            _, _, where = pairs.setdefault((id(had), id(has)), (had, has, {}))
            where[times] = where.get(times, 0) | places
    for had, has, where in pairs.values():
        changed: dict[Kind, Cases] = {"gained": newly_allowed(had, has), "lost": newly_allowed(has, had)}
        yield from (_Moved(kind, had, has, cases, where) for kind, cases in changed.items() if cases)


def _parts(old: Side, new: Side, moved: Iterable[_Moved], grid: Grid, of: tuple[str, str]) -> Iterator[Part]:
    """Yield the parts of one principal and action: what has the same cases and causes is one part."""
    together: dict[Part, dict[int, int]] = {}
    for kind, before, after, cases, where in moved:
        why = causes_of(old, new, Change(kind, *of, before, after))
        part = Part(kind, _NOWHERE, (), cases, before.bare(), after.bare(), why)
        joined = together.setdefault(part, {})
        for times, places in where.items():
            joined[times] = joined.get(times, 0) | places
    for part, joined in together.items():
        by_places: dict[int, int] = {}
        for times, places in joined.items():
            by_places[places] = by_places.get(places, 0) | times
        for places, times in by_places.items():
            yield part._replace(ranges=grid.ranges(places), times=grid.intervals(times))


_NOWHERE = IpSet((), ())
