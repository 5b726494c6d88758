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
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Final, NamedTuple, TypeAlias

from camguard.analysis.access import Stretch, stretches_of
from camguard.engine.intervals import TimeInterval, intervals_of
from camguard.engine.table import Table
from camguard.ipset import LINE_END, NO_ADDRESS, AddressMap, IpSet

Interval: TypeAlias = tuple[float, float]  # from a moment to before another one, seconds since 1970
Pair: TypeAlias = tuple[int, int]  # a mask of each table
# Each pair that occurs: the masks of both tables, and the set of parts that have them.
Line: TypeAlias = tuple[tuple[int, int, int], ...]
FAR: Final = 1e300  # seconds: further than any time of a policy


class Cells(NamedTuple):
    """The pairs of masks that matter to two rows, in the order in which they occur."""

    times: Line
    places: Line


class Grid:
    """Address line and time of two tables. None stands for the table of an unknown principal."""

    def __init__(self, old: Table | None, new: Table | None, egress: AddressMap) -> None:
        places: dict[Pair, list[tuple[int, int]]] = {}
        for first, last, had, has in _as_clients(tuple(_laid_over(_line(old), _line(new))), egress):
            places.setdefault((had, has), []).append((first, last))
        self._places = tuple(places.items())
        self._intervals = tuple(_at_once(_times(old), _times(new)))
        times: dict[Pair, int] = {}
        for at, (_, _, had, has) in enumerate(self._intervals):
            times[had, has] = times.get((had, has), 0) | 1 << at
        self._times = times
        self._cells: dict[Pair, Cells] = {}
        self._ranges: dict[int, IpSet] = {}
        self._joined: dict[int, tuple[Interval, ...]] = {}

    def cells(self, old: int, new: int) -> Cells:
        """Return the pairs that matter to a row of each table. old, new: the bits that the rows use."""
        cells = self._cells.get((old, new))
        if cells is None:
            places = {pair: 1 << at for at, (pair, _) in enumerate(self._places)}
            cells = Cells(_narrowed(self._times, old, new), _narrowed(places, old, new))
            self._cells[old, new] = cells
        return cells

    def ranges(self, places: int) -> IpSet:
        """Return a set of places as addresses."""
        found = self._ranges.get(places)
        if found is None:
            pairs = [pair for at, (_, pairs) in enumerate(self._places) if places >> at & 1 for pair in pairs]
            found = self._ranges[places] = IpSet.of_ranges(pairs)
        return found

    def intervals(self, times: int) -> tuple[Interval, ...]:
        """Return a set of times as intervals in their order, of which none touches another one."""
        found = self._joined.get(times)
        if found is None:
            listed = [(begin, end) for at, (begin, end, *_) in enumerate(self._intervals) if times >> at & 1]
            found = self._joined[times] = tuple(_joined(listed))
        return found


def _narrowed(pairs: Mapping[Pair, int], old: int, new: int) -> Line:
    found: dict[Pair, int] = {}
    for (had, has), parts in pairs.items():
        key = had & old, has & new
        found[key] = found.get(key, 0) | parts
    return tuple((*key, parts) for key, parts in found.items())


def _line(table: Table | None) -> Sequence[Stretch]:
    return (Stretch(0, LINE_END - 1, 0),) if table is None else stretches_of((table, -1))


def _times(table: Table | None) -> Sequence[TimeInterval]:
    return tuple(intervals_of((), (0,)) if table is None else intervals_of(table.cuts, table.time_masks))


def _laid_over(old: Sequence[Stretch], new: Sequence[Stretch]) -> Iterator[tuple[int, int, int]]:
    """Yield the first address of each part of the line, and both masks there."""
    first = i = j = 0
    while first < LINE_END:
        before, after = old[i], new[j]
        last = min(before.last, after.last)
        yield first, before.mask, after.mask
        i += before.last == last
        j += after.last == last
        first = last + 1


def _as_clients(
    parts: Sequence[tuple[int, int, int]], egress: AddressMap
) -> Iterator[tuple[int, int, int, int]]:
    """Yield the first and the last address of parts, and both masks, as clients have them (Rule 2)."""
    begins = [first for first, *_ in parts]
    cuts = sorted({*begins, *egress.starts, *(end + 1 for end in egress.ends), LINE_END})
    masks = parts[0][1:]
    for first, end in pairwise(cuts):
        if not NO_ADDRESS[0] <= first < end <= NO_ADDRESS[1]:  # else no address lies there: as before
            target = egress.get(first)
            masks = parts[bisect_right(begins, first if target is None else target) - 1][1:]
        yield first, end - 1, *masks


def _at_once(
    old: Sequence[TimeInterval], new: Sequence[TimeInterval]
) -> Iterator[tuple[float, float, int, int]]:
    """Yield the intervals in which no condition of both tables changes, and both masks there."""
    i = j = 0
    while i < len(old) and j < len(new):
        before, after = old[i], new[j]
        end = min(before.end, after.end)
        yield max(before.begin, after.begin), end, before.mask, after.mask
        i += before.end == end
        j += after.end == end


def _joined(intervals: Sequence[Interval]) -> Iterator[Interval]:
    """Yield sorted intervals, those in one that touch each other. None begins before the first moment."""
    begin, end = intervals[0]
    for following, until in intervals[1:]:
        if following == end:
            end = until
        else:
            yield (-inf if begin < -FAR else begin), end
            begin, end = following, until
    yield (-inf if begin < -FAR else begin), end
