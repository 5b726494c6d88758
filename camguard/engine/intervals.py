"""The address line and time, each cut where a clause changes.

Rule 1: every part carries a mask: bit by bit, which clauses hold there.
Rule 2: bounds are sorted and differ; between two of them nothing changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from math import inf, nextafter
from typing import NamedTuple

from camguard.ipset import IpSet
from camguard.policy.conditions import clause_truth
from camguard.policy.model import Clause


class TimeInterval(NamedTuple):
    """A stretch of time in which the same clauses hold: from `begin` to before `end`, and their bits.

    It holds finite moments only: an infinity is no instant.
    """

    begin: float
    end: float
    mask: int


def partition_addresses(sets: Mapping[IpSet, int]) -> tuple[list[int], list[int]]:
    """Lay sets of addresses over each other: bounds, and between them the bits of the sets that hold.

    Returns (bounds, masks); `masks[bisect_right(bounds, place)]` is the mask at a place.
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
    """Cut time where a clause changes: cuts, and for before, at and after each the bits that hold.

    Returns (cuts, masks); the mask at a moment is `masks[bisect_left(cuts, t) + bisect_right(cuts, t)]`.
    Instants are exact, moments are floats: a cut is the float nearest to its instant, none lies between.
    """
    first = 0
    at: dict[float, int] = {}  # bits that flip from before a cut to the cut itself
    after: dict[float, int] = {}  # and from the cut to what follows it
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
    """Return the stretch of time around a moment. cuts, masks: as `partition_time` returns them."""
    at = bisect_left(cuts, moment) + bisect_right(cuts, moment)
    index, on_cut = divmod(at, 2)
    if on_cut:
        return TimeInterval(cuts[index], nextafter(cuts[index], inf), masks[at])
    begin = nextafter(cuts[index - 1] if index else -inf, inf)
    return TimeInterval(begin, cuts[index] if index < len(cuts) else inf, masks[at])
