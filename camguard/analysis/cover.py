"""Covers addresses with a few CIDR blocks that contain as few other addresses as possible.

Theory of operation. All addresses of one family are the leaves of a binary tree whose inner nodes are CIDR
blocks. Only the nodes below which the addresses branch matter: the smallest block around two halves of
neighbouring addresses. The best cover of a node by k blocks is the node's own block, or the best covers of
its two halves with k blocks between them. Both families share the blocks.

Rule 1: the cover contains every address, has at most as many blocks as asked for (and one for each family),
        and no cover of so many blocks is smaller.
Rule 2: sizes of both families are compared as networks of one subscriber: a /64 of IPv6 counts as one address
        of IPv4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from camguard.ipset import V4_END, IpSet

MOST_BLOCKS: Final = 64
_UNIT: Final = 1 << 64  # addresses of IPv6 that count as one of IPv4

Block: TypeAlias = tuple[int, int]  # first and last place


class _Cover(NamedTuple):
    """The smallest cover by at most some number of blocks."""

    size: int
    blocks: tuple[Block, ...]


class _Node(NamedTuple):
    """A node of the tree: its first and last address within its family, and its best covers."""

    first: int
    last: int
    covers: list[_Cover]


def cover(places: Iterable[int], most: int) -> IpSet:
    """Return the smallest union of at most `most` CIDR blocks that contains all places.

    most: 1 to MOST_BLOCKS; at least one for each address family that occurs is used.
    """
    listed = sorted(set(places))
    split = bisect_left(listed, V4_END)
    families = [each for each in (listed[:split], listed[split:]) if each]
    most = max(most, len(families))
    covers = [_covers(each, most) for each in families]
    if not covers:
        return IpSet((), ())
    best = covers[0] if len(covers) == 1 else _both(covers[0], covers[1], most)
    return IpSet.of_ranges(best[-1].blocks)


def _covers(places: Sequence[int], most: int) -> list[_Cover]:
    """Return the best covers of places of one family by 1, 2, … blocks: up to `most`, or one each."""
    base, unit = (0, _UNIT) if places[-1] < V4_END else (V4_END, 1)
    offsets = [place - base for place in places]
    joints = [one ^ other for one, other in pairwise(offsets)]
    # A tree without recursion: two neighbours are joined before either of them has a wider neighbour.
    stack: list[_Node] = []
    for at, offset in enumerate(offsets):
        stack.append(_Node(offset, offset, [_Cover(unit, ((base + offset, base + offset),))]))
        reach = joints[at].bit_length() if at < len(joints) else None
        while len(stack) > 1:
            left, right = stack[-2:]
            width = (left.first ^ right.last).bit_length()
            if reach is not None and width > reach:
                break
            first = base + (left.first >> width << width)
            whole = _Cover(unit << width, ((first, first + (1 << width) - 1),))
            stack[-2:] = [_Node(left.first, right.last, [whole, *_both(left.covers, right.covers, most)])]
    return stack[0].covers


def _both(ones: Sequence[_Cover], others: Sequence[_Cover], most: int) -> list[_Cover]:
    """Return the best covers of two separate sets by 2, 3, … blocks together."""
    found = []
    for blocks in range(2, min(most, len(ones) + len(others)) + 1):
        splits = range(max(1, blocks - len(others)), min(len(ones), blocks - 1) + 1)
        best = min(splits, key=lambda mine: ones[mine - 1].size + others[blocks - mine - 1].size)
        one, other = ones[best - 1], others[blocks - best - 1]
        found.append(_Cover(one.size + other.size, one.blocks + other.blocks))
    return found
