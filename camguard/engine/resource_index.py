"""Which rules of a row a resource of a call matches, found by look-ups instead of a comparison with each.

Theory of operation. A pattern is cut into its head (effect, service, region, account) and its path, and the
resource of a call into its first five segments and its path. The patterns whose heads reach these segments
are brought together once and kept. They are found by the path of the resource: those without a star by the
whole path, those with one star by what the path begins and ends with, for each pair of lengths that occurs.
Patterns with further stars are found in the same way, and then compared. The result is a pair of masks with
one bit for each rule.

Rule 1: the answer is that of `camguard.policy.resources.resource_match` for each pattern.
Rule 2: of an allow only a match counts, so that what may match is recorded for denies alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from camguard.bounded_cache import BoundedCache
from camguard.engine.attributes import bindings_of
from camguard.engine.rules import Rule
from camguard.policy.model import Effect, ResourcePattern
from camguard.policy.patterns import STAR, fits
from camguard.policy.resources import (
    SEGMENTS,
    Owner,
    account_match,
    near_pieces_of,
    pieces_of,
    region_match,
    service_match,
)
from camguard.policy.values import Truth, all_of

KEPT = 16  # beginnings of resources whose patterns an index keeps
Pieces = tuple[str, ...]  # the text between the stars of a path


class _Paths(NamedTuple):
    """The paths of the patterns that reach one service, region and account.

    whole: paths without a star, each with its mask. by_ends: for each pair of lengths, beginning and end as
    one text -> the mask of the patterns with nothing between them, and the patterns that have pieces there.
    """

    whole: Mapping[str, int]
    by_ends: Sequence[tuple[int, int, Mapping[str, tuple[int, Sequence[tuple[Pieces, int]]]]]]

    def find(self, path: str) -> int:
        """Return the union of the masks of all patterns that match a path."""
        whole, by_ends = self
        found = whole.get(path, 0)
        size = len(path)
        for begin, end, alike in by_ends:
            if begin + end <= size:
                fitting = alike.get(path[:begin] + path[size - end :])
                if fitting is not None:
                    found |= fitting[0]
                    for pieces, mask in fitting[1]:
                        found |= mask if fits(pieces, path) else 0
        return found


def _paths(patterns: Mapping[Pieces, int]) -> _Paths:
    by_ends: dict[tuple[int, int], dict[str, tuple[int, list[tuple[Pieces, int]]]]] = {}
    for pieces, mask in patterns.items():
        if len(pieces) > 1:
            first, *middle, last = pieces
            alike = by_ends.setdefault((len(first), len(last)), {})
            plain, compared = alike.get(first + last, (0, []))
            if any(middle):
                alike[first + last] = plain, [*compared, (pieces, mask)]
            else:
                alike[first + last] = plain | mask, compared
    return _Paths(
        {pieces[0]: mask for pieces, mask in patterns.items() if len(pieces) == 1},
        tuple((*lengths, alike) for lengths, alike in by_ends.items()),
    )


class _Head(NamedTuple):
    """What decides which resources a pattern reaches, apart from its path."""

    effect: Effect
    service: str
    region: str
    account: str | None  # as `Owner.account` returns it

    def reaches(self, service: str, region: str, account: str | None) -> Truth:
        """Compare the segments of a resource, as `resource_match` does."""
        mismatch = False if self.effect is Effect.ALLOW else None
        return all_of(
            (
                service_match(self.service, service, mismatch),
                region_match(self.region, region, mismatch),
                account_match(self.account, account, mismatch),
            )
        )


class _Reach(NamedTuple):
    """The patterns that reach a service, region and account, surely or (of denies) perhaps."""

    owned: bool
    surely: _Paths
    perhaps: _Paths | None


def _reach(owner: Owner, heads: Mapping[_Head, Mapping[Pieces, int]], beginning: str) -> _Reach | None:
    """Return what reaches the first five segments of a resource; None for a text that begins no resource."""
    qcs, *segments = beginning.split(":")
    if qcs != "qcs":
        return None
    _, service, region, text = segments
    account = owner.account(text)
    found: dict[Truth, dict[Pieces, int]] = {True: {}, None: {}, False: {}}
    for head, patterns in heads.items():
        together = found[head.reaches(service, region, account)]
        for pieces, mask in patterns.items():
            together[pieces] = together.get(pieces, 0) | mask
    perhaps = _paths(found[None]) if found[None] else None
    return _Reach(account == owner.account(""), _paths(found[True]), perhaps)


class ResourceIndex:
    """The resource patterns of a row, with the values of one principal's variables in them.

    rules: all rules of the row; their positions are the bits of masks. patterns: the patterns to index, each
    with the position of its rule.
    """

    __slots__ = ("_reaches", "_rules", "_strange", "_unfilled", "_width")

    def __init__(
        self,
        rules: Sequence[Rule],
        owner: Owner,
        patterns: Iterable[tuple[int, ResourcePattern]],
        principal: str,
    ) -> None:
        bindings = bindings_of(principal, owner)
        self._width = width = len(rules)
        self._rules = (1 << width) - 1
        self._unfilled = 0  # denies with a variable that has no value (DEC-34)
        self._strange = 0  # denies that may mean a text that is no resource
        # The lower half of a mask has the rules of which a pattern matches a path, the upper half the denies
        # of which one may mean the path (DEC-15).
        heads: dict[_Head, dict[Pieces, int]] = {}
        for at, pattern in patterns:
            effect, bit = rules[at].effect, 1 << at
            denied = 0 if effect is Effect.ALLOW else bit
            self._strange |= denied
            pieces = pieces_of(pattern.path, bindings)
            if pieces is None:
                self._unfilled |= denied
                continue
            head = _Head(effect, pattern.service, pattern.region, owner.account(pattern.account))
            paths = heads.setdefault(head, {})
            paths[pieces] = paths.get(pieces, 0) | bit
            near = near_pieces_of(pieces) if denied else None
            if near is not None:
                paths[near] = paths.get(near, 0) | bit << width
        self._reaches: BoundedCache[str, _Reach | None] = BoundedCache(
            partial(_reach, owner, heads), entries=KEPT
        )

    def find(self, resource: str | None) -> tuple[int, int, bool]:
        """Return the rules of which a pattern matches a resource, and the denies of which one may match it.

        resource: None if it could not be bound. The last value is whether the owner has it (CAM 10.3). A
        rule of the first mask may be in the second one, too.
        """
        beginning, _, path = (resource or "").rpartition(":")
        if beginning.count(":") != SEGMENTS - 2:  # later colons belong to the path (DEC-12), or are missing
            parts = (resource or "").split(":", SEGMENTS - 1)
            if len(parts) == SEGMENTS:
                beginning, path = ":".join(parts[:-1]), parts[-1]
            else:
                beginning = ""
        reach = self._reaches[beginning]
        if reach is None:
            return 0, self._strange, True
        owned, surely, perhaps = reach
        found = surely.find(path)
        unknown = perhaps.find(path) if perhaps else 0
        unknown |= (unknown | found) >> self._width
        return found & self._rules, unknown & self._rules | self._unfilled, owned


def contains_uin(pattern: ResourcePattern) -> bool:
    """Return whether a pattern has another meaning for each principal (CAM 9)."""
    return not isinstance(pattern.path, str) and "uin" in pattern.path[1::2]


def work_weight(patterns: Iterable[ResourcePattern]) -> int:
    """Return what `work_bound` needs of the patterns of a row."""
    found = 0
    for pattern in patterns:
        texts = (pattern.path,) if isinstance(pattern.path, str) else pattern.path[::2]
        stars = sum(text.count(STAR) for text in texts)
        if stars or texts[-1].endswith("/"):  # a whole path costs nothing
            found += 2 * (stars + 5)  # three more than the pieces of the pattern, and of the one close to it
    return found


def work_bound(weight: int, resources: int, length: int) -> int:
    """Return a bound on the work of `Targets` for resources of a length together, compared with all patterns.

    Each piece of a pattern is searched in all paths at most twice and in the tails of all resources once for
    each place, of which there are at most as many as resources; then whole paths are compared once.
    """
    return weight * (length // 16 + resources * resources + resources)
