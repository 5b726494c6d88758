"""The address line and time of two tables, laid over each other.

Theory of operation. Each table cuts the address line and time into parts without a change of its conditions,
each with a mask. Few masks occur, each of them in many parts. A grid gives every pair of masks that occurs
together one bit, so that a set of addresses, or of times, is an integer, and a question about two rows is
asked once for each pair of masks and not for each part. Rows that use few bits of the masks have few pairs.

Rule 1: every address, and every finite moment, is in exactly one part.
Rule 2: addresses are shown as clients have them (T132).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain, pairwise
from math import inf, nextafter
from typing import Final, NamedTuple, TypeAlias

from camguard.analysis.access import Cuts, parts_of
from camguard.engine.intervals import interval_at
from camguard.ipset import AddressMap, IpSet

Interval: TypeAlias = tuple[float, float]  # from a moment to before another one, seconds since 1970
Pair: TypeAlias = tuple[int, int]  # a mask of each table
# Each pair that occurs: the masks of both tables, and the set of parts that have them.
Line: TypeAlias = tuple[tuple[int, int, int], ...]
FAR: Final = 1e300  # seconds: further than any time of a policy


class Cells(NamedTuple):
    """The pairs of masks that matter to two rows, in the order in which they occur."""

    times: Line
    places: Line


class Grid(NamedTuple):
    """Address line and time of two tables.

    cells: takes the bits that a row of each table uses, and returns the pairs that matter to the two rows.
    ranges: takes a set of places, and returns its addresses. intervals: takes a set of times, and returns its
    intervals in their order, of which none touches another one. All remember what they returned.
    """

    cells: Callable[[int, int], Cells]
    ranges: Callable[[int], IpSet]
    intervals: Callable[[int], tuple[Interval, ...]]


def grid_of(old: Cuts, new: Cuts, egress: AddressMap) -> Grid:
    """Return two tables, laid over each other."""
    places: dict[Pair, list[tuple[int, int]]] = {}
    for first, end, pair in _places(old, new, egress):
        places.setdefault(pair, []).append((first, end - 1))
    edges = {edge for cut in (*old.cuts, *new.cuts) for edge in (cut, nextafter(cut, inf))}
    intervals = tuple(pairwise(sorted({-inf, *edges, inf})))
    times: dict[Pair, int] = {}
    for at, (begin, _) in enumerate(intervals):
        had, has = (interval_at(each.cuts, each.time_masks, begin).mask for each in (old, new))
        times[had, has] = times.get((had, has), 0) | 1 << at
    numbered = {pair: 1 << at for at, pair in enumerate(places)}

    def ranges(of: int) -> IpSet:
        listed = (pairs for at, pairs in enumerate(places.values()) if of >> at & 1)
        return IpSet.of_ranges(chain.from_iterable(listed))

    return Grid(
        cache(lambda old, new: Cells(_narrowed(times, old, new), _narrowed(numbered, old, new))),
        cache(ranges),
        cache(lambda of: _joined(each for at, each in enumerate(intervals) if of >> at & 1)),
    )


def _places(old: Cuts, new: Cuts, egress: AddressMap) -> Iterator[tuple[int, int, Pair]]:
    """Yield parts of the address line, each from a place to before another one, and both masks (Rule 2)."""
    bounds = *old.bounds, *new.bounds, *egress.starts, *(end + 1 for end in egress.ends)
    for first, end in parts_of(bounds):
        target = egress.get(first)
        place = first if target is None else target
        had, has = (each.masks[bisect_right(each.bounds, place)] for each in (old, new))
        yield first, end, (had, has)


def _narrowed(pairs: Mapping[Pair, int], old: int, new: int) -> Line:
    found: dict[Pair, int] = {}
    for (had, has), parts in pairs.items():
        key = had & old, has & new
        found[key] = found.get(key, 0) | parts
    return tuple((*key, parts) for key, parts in found.items())


def _joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return sorted intervals, those in one that touch each other."""
    found: list[Interval] = []
    for begin, end in intervals:
        if found and found[-1][1] == begin:
            found[-1] = found[-1][0], end
        else:
            found.append((begin, end))
    return tuple(found)
