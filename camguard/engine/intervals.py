"""Partitions of the address line and of time into parts on which no condition changes.

Theory of operation. A condition on `qcs:ip` holds on a set of address ranges, a condition on
`qcs:current_time` on a set of intervals. Laid over each other, the edges of all sets cut the line into parts,
and within one part each condition either holds everywhere or nowhere. A part therefore carries a mask: one
bit per condition, set where the condition holds. A sweep from left to right computes all masks: at each edge,
the bits of the conditions that begin or end there are flipped. The mask of an address or of a moment is then
found by one bisection.

An edge of the address line lies between two integers, so one cut per edge is enough. Time is different: a
condition may hold exactly at an instant, before it, or after it (`date_equal`, `date_less_than_equal`). Each
cut of time therefore has three masks: before it, at it, and after it.

Rule 1: the bounds are sorted and distinct, and no condition changes between two of them.
Rule 2: an interval of time contains finite moments only, because an infinity is not an instant.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from math import inf, nextafter
from typing import NamedTuple

from camguard.ipset import IpSet
from camguard.policy.conditions import clause_truth
from camguard.policy.model import Clause


class TimeInterval(NamedTuple):
    """An interval from `begin` to before `end` in which no condition on time changes, and its mask."""

    begin: float
    end: float
    mask: int


def partition_addresses(sets: Mapping[IpSet, int]) -> tuple[list[int], list[int]]:
    """Partition the address line by sets of addresses, each with its bit.

    Returns (bounds, masks); the mask of a place is `masks[bisect_right(bounds, place)]`.
    """
    flips: dict[int, int] = {}
    for addresses, bit in sets.items():
        for first, last in zip(addresses.starts, addresses.ends, strict=True):
            flips[first] = flips.get(first, 0) ^ bit
            flips[last + 1] = flips.get(last + 1, 0) ^ bit
    bounds = sorted(place for place, bits in flips.items() if bits)
    masks = [0]
    for place in bounds:
        masks.append(masks[-1] ^ flips[place])
    return bounds, masks


def partition_time(clauses: Mapping[Clause, int]) -> tuple[list[float], list[int]]:
    """Partition time by clauses on `qcs:current_time`, each with its bit.

    Returns (cuts, masks) with masks for before, at and after each cut; the mask of a moment is
    `masks[bisect_left(cuts, moment) + bisect_right(cuts, moment)]`. Instants in policies are exact, moments
    are floats: a cut is the float nearest to its instant, and no moment lies between the two.
    """
    first = 0
    at: dict[float, int] = {}  # bits that flip between the time before a cut and the cut itself
    after: dict[float, int] = {}  # bits that flip between a cut and the time after it
    for clause, bit in clauses.items():
        held = clause_truth(clause, (-inf,), {})
        first |= bit if held else 0
        for cut in sorted({float(instant) for instant in clause.wanted}):
            for moment, flips in ((cut, at), (nextafter(cut, inf), after)):
                holds = clause_truth(clause, (moment,), {})
                flips[cut] = flips.get(cut, 0) ^ (bit if holds is not held else 0)
                held = holds
    cuts = sorted(at)
    masks = [first]
    for cut in cuts:
        masks.append(masks[-1] ^ at[cut])
        masks.append(masks[-1] ^ after[cut])
    return cuts, masks


def interval_at(cuts: Sequence[float], masks: Sequence[int], moment: float) -> TimeInterval:
    """Return the interval that contains a moment. cuts, masks: as `partition_time` returns them."""
    return _interval(cuts, masks, bisect_left(cuts, moment) + bisect_right(cuts, moment))


def intervals_of(cuts: Sequence[float], masks: Sequence[int]) -> Iterator[TimeInterval]:
    """Yield the intervals in their order, from the first to the last finite moment."""
    for at in range(len(masks)):
        interval = _interval(cuts, masks, at)
        if interval.begin < interval.end:  # no moment lies between two cuts that are neighbouring floats
            yield interval


def _interval(cuts: Sequence[float], masks: Sequence[int], at: int) -> TimeInterval:
    index, on_cut = divmod(at, 2)
    if on_cut:
        return TimeInterval(cuts[index], nextafter(cuts[index], inf), masks[at])
    begin = nextafter(cuts[index - 1] if index else -inf, inf)
    return TimeInterval(begin, cuts[index] if index < len(cuts) else inf, masks[at])
