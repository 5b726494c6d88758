"""The resource element: six segments, compared segment by segment (CAM 5 and CAM 11.3).

Rule 1: the resource of a call is literal text, never a pattern (CAM 5.3).
Rule 2: where the vendor's documents disagree, or a segment does not say what it names, an allow does not
        match and a deny is unknown (DEC-15, DEC-59, DEC-60).
Rule 3: a call of a thousand resources is compared with a pattern at once, as `Targets`. `resource_match`
        compares one resource; both give the same answer.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import contains
from types import MappingProxyType
from typing import NamedTuple

from camguard.policy.model import Effect, ResourcePattern
from camguard.policy.patterns import STAR, Bindings, Template, fits, read_template, star_match
from camguard.policy.values import Truth, all_of

SEGMENTS = 6
_END = "\n"  # marks the end of a path in a search; a path that contains it is compared as a whole
_PROJECTS = frozenset(("", "0", "id/0"))  # DEC-13
_OWN_ACCOUNT = frozenset(("", STAR, "uin/", "uin/*", "uid/", "uid/*"))  # DEC-14, DEC-59
_OTHER_ACCOUNT = re.compile(r"(?:uin|uid)/[0-9]+")
_BARE_ACCOUNT = re.compile(r"[0-9]+")
# The vendor documents these codes; which region each one means is general knowledge (DEC-16).
REGION_ALIASES = MappingProxyType(
    {
        "gz": "ap-guangzhou",
        "sh": "ap-shanghai",
        "shjr": "ap-shanghai-fsi",
        "bj": "ap-beijing",
        "cd": "ap-chengdu",
        "hk": "ap-hongkong",
        "sg": "ap-singapore",
        "ca": "na-toronto",
        "de": "eu-frankfurt",
    },
)


@dataclass(frozen=True, slots=True)
class Owner:
    """The root account that a bundle belongs to: its uin and its APPID, as digits."""

    uin: str
    app_id: str

    def account(self, text: str) -> str | None:
        """Return the canonical spelling of an account segment (CAM 5.3, DEC-59).

        None where the segment does not say which account it names: words, another letter case, and the
        owner's APPID without `uid/`, which reads as the uin of somebody else.
        """
        own = f"uin/{self.uin}"
        if text in _OWN_ACCOUNT or text == f"uid/{self.app_id}":
            return own
        if _BARE_ACCOUNT.fullmatch(text):
            return None if text == self.app_id else f"uin/{text}"
        return text if _OTHER_ACCOUNT.fullmatch(text) else None

    def owns(self, resource: str | None) -> bool:
        """Return whether a call's resource belongs to this account (CAM 10.3).

        A resource without an account (one that is not bound, `*`, or not six segments) belongs to it, because
        camguard binds resources of this account only.
        """
        place = Resource.of(resource) if resource else None
        return place is None or self.account(place.account) == f"uin/{self.uin}"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a call, without its project segment (CAM 5.2)."""

    service: str
    region: str
    account: str
    path: str

    @classmethod
    def of(cls, text: str) -> Resource | None:
        """Return the segments, or None if there are not six of them."""
        parts = text.split(":", SEGMENTS - 1)  # later colons belong to the last segment (DEC-12)
        if len(parts) != SEGMENTS or parts[0] != "qcs":
            return None
        return cls(parts[2], parts[3], parts[4], parts[5])


def read_resource(text: str, where: str = "") -> ResourcePattern | tuple[str, str]:
    """Return the pattern that a policy's text stands for, or the code and the message of a problem (CAM 17).

    where: the place of the text, which the pattern keeps.
    """
    parts = text.split(":", SEGMENTS - 1)
    if len(parts) != SEGMENTS or parts[0] != "qcs":
        return (
            "ResourceQcsError",
            "is neither '*' nor six segments qcs:project:service:region:account:resource",
        )
    _, project, service, region, account, path = parts
    fixed = parts if service == "cos" else parts[:-1]  # paths of objects take no variable either (CAM 9)
    if any("${" in part for part in fixed):
        return "ResourceContentError", "contains a variable where variables are not allowed"
    if project not in _PROJECTS:
        return "ResourceProjectError", f"has {project!r} as its project segment; leave that segment empty"
    if not path:
        return "ResourceQcsError", "has an empty last segment"
    template = read_template(path)
    if template is None:
        return "ResourceContentError", "contains a variable that does not exist"
    return ResourcePattern(text, service, region, account, template, where)


def _path_match(pieces: tuple[str, ...], effect: Effect, path: str) -> Truth:
    """Compare the last segment. Any characters, `/` included, may stand between the pieces (CAM 5.3)."""
    if fits(pieces, path):
        return True
    if effect is Effect.ALLOW:
        return False
    near = near_pieces_of(pieces)
    return None if near is not None and fits(near, path) else False


def near_pieces_of(pieces: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the pieces of the other pattern that a deny may mean, or None if there is no other one."""
    last = pieces[-1]
    if not last and pieces[-2].endswith("/"):  # `X/*` compared with `X`; a single piece is never empty
        return (*pieces[:-2], pieces[-2][:-1])
    if last.endswith("/"):  # `X/` compared with `X/y`
        return (*pieces, "")
    return None


def pieces_of(pattern: str | Template, bindings: Bindings) -> tuple[str, ...] | None:
    """Return the text between the stars, with variables filled in, or None if a variable has no value."""
    if isinstance(pattern, str):
        return tuple(pattern.split(STAR))
    pieces = [""]
    for i, part in enumerate(pattern):
        if i % 2:
            value = bindings.get(part)
            if value is None:
                return None
            pieces[-1] += value  # literal: a star in a value is not a wildcard (DEC-33)
        else:
            first, *more = part.split(STAR)
            pieces[-1] += first
            pieces += more
    return tuple(pieces)


def resource_match(
    pattern: ResourcePattern, effect: Effect, resource: Resource | None, owner: Owner, bindings: Bindings
) -> Truth:
    """Compare one pattern with one resource of a resource-level call (CAM 5.3).

    resource: None if the call's text is not six segments: an allow does not match it, a deny is unknown.
    """
    pieces = pieces_of(pattern.path, bindings)
    if pieces is None:
        return None  # DEC-34
    mismatch = False if effect is Effect.ALLOW else None
    if resource is None:
        return mismatch
    return all_of(
        (
            service_match(pattern.service, resource.service, mismatch),
            region_match(pattern.region, resource.region, mismatch),
            account_match(owner.account(pattern.account), owner.account(resource.account), mismatch),
            _path_match(pieces, effect, resource.path),
        ),
    )


def service_match(pattern: str, service: str, mismatch: Truth) -> Truth:
    """Compare a service segment of a policy with a service (CAM 5.3).

    mismatch: the result where the two are equal only if letter case is ignored, or only if a star in the
    segment is a wildcard (DEC-60): False for an allow, None for a deny.
    """
    if pattern in ("", STAR) or pattern == service:
        return True
    return mismatch if mismatch is None and star_match(pattern.lower(), service.lower()) else False


def region_match(pattern: str, region: str, mismatch: Truth) -> Truth:
    """Compare a region segment of a policy with a region (CAM 5.3). mismatch: as for `service_match`."""
    if pattern in ("", STAR):
        return True
    if not region:
        return mismatch
    wanted, found = REGION_ALIASES.get(pattern, pattern), REGION_ALIASES.get(region, region)
    if wanted == found or star_match(wanted, found):
        return True
    if mismatch is False:
        return False
    low, wanted = pattern.lower(), region.lower()  # DEC-60
    return None if star_match(REGION_ALIASES.get(low, low), REGION_ALIASES.get(wanted, wanted)) else False


def account_match(pattern: str | None, account: str | None, mismatch: Truth) -> Truth:
    """Compare canonical accounts. None: the segment does not say which account it names (DEC-59)."""
    return mismatch if pattern is None or account is None else pattern == account


# Work of comparing the patterns of one call with its resources, in units of some 30 ns.
MOST_WORK = 1_000_000
_CHARACTERS_PER_UNIT = 32  # searched for a piece
_UNITS_PER_FIT = 3  # of a path that is compared as a whole, besides one for each piece


class Found(NamedTuple):
    """For which resources of a call something is TRUE, and for which UNKNOWN: byte i is the resource at i."""

    true: int
    unknown: int


def mask_of(flags: Iterable[bool]) -> int:
    """Return a mask of resources: a number whose byte i is 1 where the flag at i is true, else 0.

    A byte and not a bit, for `bytes` makes a mask of a thousand flags in C.
    """
    return int.from_bytes(bytes(flags), "little")


class _Place(NamedTuple):
    """The resources of a call that share service, region and account.

    account: as `Owner.account` returns it. paths: sorted. masks: of the first i of them, for each i.
    text: all of them, a NUL between two.
    """

    service: str
    region: str
    account: str | None
    paths: list[str]
    masks: list[int]
    text: str


def match_resources(
    resources: Sequence[str | None],
    wanted: Iterable[tuple[Sequence[ResourcePattern], Effect]],
    owner: Owner,
    bindings: Bindings,
) -> tuple[int, list[Found]]:
    """Return the mask of all resources of a call, and for which of them each set of patterns holds.

    wanted: patterns and the effect of their statement. Without patterns a set holds for every resource.
    """
    targets = Targets(resources, owner)
    every = targets.every
    found = [
        targets.found(patterns, effect, owner, bindings) if patterns else Found(every, 0)
        for patterns, effect in wanted
    ]
    return every, found


class Targets:
    """The resources of one call, made ready to be compared with many patterns. every: the mask of all.

    A pattern costs two bisections where it has one star at its end or none, and some 50 ns for each resource
    where it has another one. The whole work is bounded by `MOST_WORK`: a pattern that would exceed it is
    UNKNOWN for every resource. A deny then refuses the call, and an allow does not allow it.
    """

    __slots__ = ("_found", "_paths", "_places", "_shapeless", "_tails", "_unbound", "_work_left", "every")

    def __init__(self, resources: Sequence[str | None], owner: Owner) -> None:
        places = [None if text is None else Resource.of(text) for text in resources]
        self.every = mask_of([True] * len(resources))
        self._unbound = mask_of([text is None for text in resources])
        self._shapeless = mask_of([place is None for place in places]) & ~self._unbound
        self._paths = ["" if place is None else place.path for place in places]
        self._tails: dict[int, list[str]] = {}
        self._found: dict[tuple[str, ...], list[int]] = {}
        self._work_left = MOST_WORK
        bound: dict[tuple[str, str, str | None], list[tuple[str, int]]] = {}
        for at, place in enumerate(places):
            if place is not None:
                key = place.service, place.region, owner.account(place.account)
                bound.setdefault(key, []).append((place.path, at))
        self._places = [_place(key, sorted(paths)) for key, paths in bound.items()]

    def found(
        self, patterns: Iterable[ResourcePattern], effect: Effect, owner: Owner, bindings: Bindings
    ) -> Found:
        """Return what `resource_match` returns for each resource and any of the patterns.

        A resource that could not be bound is UNKNOWN.
        """
        true = unknown = 0
        for pattern in patterns:
            each = self._match(pattern, effect, owner, bindings)
            true |= each.true
            unknown |= each.unknown
        return Found(true, (unknown | self._unbound) & ~true)

    def _match(self, pattern: ResourcePattern, effect: Effect, owner: Owner, bindings: Bindings) -> Found:
        pieces = pieces_of(pattern.path, bindings)
        if pieces is None:
            return Found(0, self.every)  # DEC-34
        mismatch = False if effect is Effect.ALLOW else None
        near_pieces = None if effect is Effect.ALLOW else near_pieces_of(pieces)
        account = owner.account(pattern.account)
        true = 0
        unknown = 0 if mismatch is False else self._shapeless
        for at, place in enumerate(self._places):
            # What is equal or left open is found without a call, because this runs for each pattern.
            service = pattern.service == place.service or service_match(
                pattern.service, place.service, mismatch
            )
            if service is False:
                continue
            region = not pattern.region or region_match(pattern.region, place.region, mismatch)
            owned = account_match(account, place.account, mismatch)
            if region is False or owned is False:
                continue
            reached = service and region and owned
            fitting = self._fitting(at, pieces)
            near = 0 if near_pieces is None else self._fitting(at, near_pieces)
            if self._work_left < 0:
                return Found(0, self.every)
            true |= fitting if reached else 0
            unknown |= near | fitting
        return Found(true, unknown & ~true)

    def _fitting(self, at: int, pieces: tuple[str, ...]) -> int:
        """Return the mask of the paths at one place that consist of these pieces (`fits`).

        Where no work is left, the mask says nothing.
        """
        known = self._found.get(pieces)
        if known is None:
            known = self._found[pieces] = [self._made_of(place, pieces) for place in self._places]
        return known[at]

    def _made_of(self, place: _Place, pieces: tuple[str, ...]) -> int:
        paths, masks = place.paths, place.masks
        first, last = pieces[0], pieces[-1]
        begin = bisect_left(paths, first)
        if len(pieces) == 1:
            return masks[bisect_right(paths, first, begin)] ^ masks[begin]
        size = len(first)
        mask = masks[bisect_right(paths, first, begin, key=lambda path: path[:size])] ^ masks[begin]
        middle = [piece for piece in pieces[1:-1] if piece]
        if not mask or not self._all_in(place.text, (*middle, last)):
            return 0
        tails = self._tails.get(size)
        if tails is None:
            tails = self._tails[size] = [path[size:] + _END for path in self._paths]
        wanted = [*middle, last + _END] if last else middle  # `in` costs a third of `endswith` here
        for piece in wanted:
            if not self._affords(len(tails) + len(place.text) // _CHARACTERS_PER_UNIT):
                return 0
            mask &= mask_of(map(contains, tails, repeat(piece)))
        if mask and (len(wanted) > 1 or _END in place.text):
            # The path contains the pieces, but perhaps in another order.
            if not self._affords(mask.bit_count() * (_UNITS_PER_FIT + len(pieces))):
                return 0
            flags = mask.to_bytes(len(self._paths), "little")
            each = zip(flags, self._paths, strict=True)
            mask = mask_of([bool(flag) and fits(pieces, path) for flag, path in each])
        return mask

    def _all_in(self, text: str, pieces: Iterable[str]) -> bool:
        """Tell whether each piece stands somewhere in a text, and there was work left to find out."""
        units = len(text) // _CHARACTERS_PER_UNIT
        return all(self._affords(units) and piece in text for piece in pieces)

    def _affords(self, units: int) -> bool:
        """Take units of work, and tell whether they were left."""
        self._work_left -= units
        return self._work_left >= 0


def _place(key: tuple[str, str, str | None], paths: list[tuple[str, int]]) -> _Place:
    texts = [path for path, _ in paths]
    masks = [0, *accumulate(1 << 8 * at for _, at in paths)]
    return _Place(*key, texts, masks, "\0".join(texts))
