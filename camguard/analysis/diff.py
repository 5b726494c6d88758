"""Which access two bundles give that differs: every principal, action, range, time and condition.

Theory of operation. The access sets of a principal and an action under both bundles cut the address line and
time into parts; laid over each other, they give parts with one answer of each bundle. Where the two answers
differ, calls are gained, or lost, or some of both (`camguard.analysis.cases`). Principals whose policies say
the same under catalogs that are the same are passed over, and principals who share policies share the work.

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

from camguard.analysis.access import Range, Window, access_reader
from camguard.analysis.alike import alike_in
from camguard.analysis.answers import Answer, named_as_called
from camguard.analysis.cases import ALWAYS, NEVER, Cases, newly_allowed
from camguard.analysis.causes import Cause, Change, Kind, Side, affected, causes_of
from camguard.analysis.questions import callable_actions, through
from camguard.bounded_cache import BoundedCache
from camguard.catalog.model import Access
from camguard.ipset import LINE_END, NO_ADDRESS, NO_MAP, V4_END, AddressMap, IpSet

Interval: TypeAlias = tuple[float, float]  # from a moment to before another one, seconds since 1970
ALL_TIMES: tuple[Interval, ...] = ((-inf, inf),)
_KEPT = 16_384  # comparisons that are kept for calls that share them
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
_Ranges: TypeAlias = tuple[Range, ...]


_KINDS: tuple[Kind, Kind] = "gained", "lost"
_SAME, _GAINED, _LOST = (NEVER, NEVER), (ALWAYS, NEVER), (NEVER, ALWAYS)  # in the order of _KINDS


class _Piece(NamedTuple):
    """One range in one interval of time, and what is gained or lost there."""

    kind: Kind
    before: Answer
    after: Answer
    cases: Cases
    first: int
    last: int


class _Moved(NamedTuple):
    """What is gained or lost between two answers, and everywhere where these two are the answers."""

    kind: Kind
    before: Answer
    after: Answer
    cases: Cases
    places: list[tuple[Interval, int, int]]


def _comparison(old: Side, new: Side, actions: Sequence[str], egress: AddressMap) -> Callable[[str], _Parts]:
    """Return a function from a principal to its parts, each with the actions of which it is true."""
    readers = [access_reader(side.bundle.evaluator) for side in (old, new)]
    groups = [alike_in(side.bundle.evaluator) for side in (old, new)]
    same = _same_surroundings(old, new)
    alone = frozenset(each for each in actions if _renamed(new, each))
    known: dict[tuple[object, object], _Parts] = {}
    interned: dict[Part, Part] = {}
    pieces_of = _pieces(egress)

    def parts_of(principal: str) -> _Parts:
        key = old.layers(principal), new.layers(principal)
        found = known.get(key)
        if found is None:
            found = compare(principal, affected_actions(principal))
            if not (old.names_callers(principal) or new.names_callers(principal)):
                known[key] = found
        return found

    def affected_actions(principal: str) -> Iterable[str]:
        found = affected(old, new, principal) if same else None
        if found is None:
            return actions
        places = new.bundle.evaluator.statements.places
        return [each for each in actions if each in alone or (each in places and found >> places[each] & 1)]

    def compare(principal: str, actions: Iterable[str]) -> _Parts:
        alike: dict[tuple[object, ...], tuple[tuple[Window, ...], tuple[Window, ...], list[str]]] = {}
        tables = [side.bundle.evaluator.table(principal) for side in (old, new)]
        first_of = [of(table) if table else {} for of, table in zip(groups, tables, strict=True)]
        for action in actions:
            before, after = (read(principal, action).windows for read in readers)
            # Under another catalog the facts of every single action can be the cause.
            own = tuple(each.get(action, action) for each in first_of) if same else action
            alike.setdefault((id(before), id(after), own), (before, after, []))[2].append(action)
        listed: dict[Part, list[str]] = {}
        for before, after, named in alike.values():
            moved = _moved(before, after, pieces_of)
            for part in (
                _parts(moved, lambda each: causes_of(old, new, each), principal, named[0]) if moved else ()
            ):
                listed.setdefault(part, []).extend(named)
        return tuple(
            (interned.setdefault(part, part), tuple(sorted(named))) for part, named in listed.items()
        )

    return parts_of


def _same_surroundings(old: Side, new: Side) -> bool:
    """Return whether both bundles give the same access to principals whose policies say the same."""
    before, after = old.bundle, new.bundle
    return (
        before.owner == after.owner
        and before.catalog == after.catalog
        and all(
            before.evaluator.traits(each) == after.evaluator.traits(each) for each in actions_of(old, new)
        )
    )


def _renamed(side: Side, action: str) -> bool:
    """Return whether policies are asked for other names than that of the call (DEC-68)."""
    traits = side.bundle.evaluator.traits(action)
    return traits is None or not named_as_called(traits)


def _pieces(egress: AddressMap) -> Callable[[_Ranges, _Ranges], Sequence[_Piece]]:
    """Return a function from the ranges of both bundles in one interval to what is gained or lost."""
    known: BoundedCache[tuple[int, int], tuple[_Ranges, _Ranges, Sequence[_Piece]]] = BoundedCache(
        entries=_KEPT
    )

    compared: BoundedCache[tuple[Answer, Answer], tuple[Cases, Cases]] = BoundedCache(entries=_KEPT)

    def cases_of(before: Answer, after: Answer) -> tuple[Cases, Cases]:
        if before.decision is not None and after.decision is not None:  # nearly always
            allowed = bool(after.decision)
            return _SAME if allowed is bool(before.decision) else _GAINED if allowed else _LOST
        found = compared.get((before, after))
        if found is None:
            found = compared[before, after] = newly_allowed(before, after), newly_allowed(after, before)
        return found

    def pieces(old: _Ranges, new: _Ranges) -> Iterator[_Piece]:
        for first, last, before, after in _laid_over(through(old, egress), through(new, egress)):
            found = cases_of(before, after)
            if found is not _SAME and not NO_ADDRESS[0] <= first <= last < NO_ADDRESS[1]:
                yield from (
                    _Piece(kind, before, after, cases, first, last)
                    for kind, cases in zip(_KINDS, found, strict=True)
                    if cases
                )

    def pieces_of(old: _Ranges, new: _Ranges) -> Sequence[_Piece]:
        found = known.get((id(old), id(new)))
        if found is None:
            # The ranges are kept, so that no other ones get their id.
            found = known[id(old), id(new)] = old, new, tuple(pieces(old, new))
        return found[2]

    return pieces_of


def _laid_over(old: _Ranges, new: _Ranges) -> Iterator[tuple[int, int, Answer, Answer]]:
    """Yield the first and the last address of each part of the line, and both answers there."""
    first = i = j = 0
    while first < LINE_END:
        before, after = old[i], new[j]
        last = min(before.last, after.last)
        yield first, last, before.answer, after.answer
        i += before.last == last
        j += after.last == last
        first = last + 1


def _moved(
    before: tuple[Window, ...],
    after: tuple[Window, ...],
    pieces_of: Callable[[_Ranges, _Ranges], Sequence[_Piece]],
) -> Sequence[_Moved]:
    """Return what moved between the windows of two access sets."""
    found: dict[tuple[Kind, int, int], _Moved] = {}
    i = j = 0
    while i < len(before) and j < len(after):
        old, new = before[i], after[j]
        end = min(old.end, new.end)
        interval = max(old.begin, new.begin), end
        for kind, had, has, cases, first, last in pieces_of(old.ranges, new.ranges):
            key = kind, id(had), id(has)
            if key not in found:
                found[key] = _Moved(kind, had, has, cases, [])
            found[key].places.append((interval, first, last))
        i += old.end == end
        j += new.end == end
    return tuple(found.values())


def _parts(
    moved: Iterable[_Moved],
    causes: Callable[[Change], tuple[Cause, ...]],
    principal: str,
    action: str,
) -> Iterator[Part]:
    """Yield the parts of one principal and action: what has the same cases and causes is one part."""
    together: dict[Part, list[tuple[Interval, int, int]]] = {}
    for kind, before, after, cases, places in moved:
        why = causes(Change(kind, principal, action, before, after))
        part = Part(kind, _NOWHERE, (), cases, before.bare(), after.bare(), why)
        together.setdefault(part, []).extend(places)
    for part, places in together.items():
        by_interval: dict[Interval, list[tuple[int, int]]] = {}
        for interval, first, last in places:
            by_interval.setdefault(interval, []).append((first, last))
        by_ranges: dict[IpSet, list[Interval]] = {}
        for interval in sorted(by_interval):
            by_ranges.setdefault(IpSet.of_ranges(by_interval[interval]), []).append(interval)
        for ranges, intervals in by_ranges.items():
            yield part._replace(ranges=ranges, times=tuple(_joined(intervals)))


_NOWHERE = IpSet((), ())
_FAR = 1e300  # seconds: further than any time of a policy


def _joined(intervals: Sequence[Interval]) -> Iterator[Interval]:
    """Yield sorted intervals, those in one that touch each other. None begins before the first moment."""
    begin, end = intervals[0]
    for following, until in intervals[1:]:
        if following == end:
            end = until
        else:
            yield (-inf if begin < -_FAR else begin), end
            begin, end = following, until
    yield (-inf if begin < -_FAR else begin), end
