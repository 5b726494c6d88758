"""The actions of a catalog as bits, so that sets of them are compared at once.

Rule 1: a pattern is spread over the catalog once, whichever policy writes it.
Rule 2: what is asked of a roster rests on its catalog alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from camguard.catalog.model import Action, Catalog, Granularity
from camguard.grammar import placeholders
from camguard.policy.actions import action_match
from camguard.policy.model import ActionPattern, Effect, ResourcePattern
from camguard.policy.resources import REGION_ALIASES, SEGMENTS
from camguard.policy.star import STAR, star_match
from camguard.suggest import few, nearest_names

_HOLE = "\0"  # stands for a placeholder: any text
_MOST_PATTERNS = 100_000  # remembered; then all are forgotten
_MOST_WORDS = 500  # looked up for somebody to have meant; comparing words is slow


class Named(NamedTuple):
    """The actions that a pattern names: for sure, and where it cannot be known (DEC-7, DEC-8)."""

    sure: int
    doubtful: int

    @property
    def either(self) -> int:
        """Whatever the pattern may name."""
        return self.sure | self.doubtful


class _Template(NamedTuple):
    region: str  # empty, a hole, or literal
    path: str  # placeholders are holes
    actions: int


class Roster:
    """The actions of one catalog, one bit each, in the order of their ids."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.rows = tuple(sorted(catalog.actions.values(), key=lambda row: row.id))
        self.bits = {row.id: 1 << i for i, row in enumerate(self.rows)}
        self.services = {
            name: self._of(service.actions.values()) for name, service in catalog.services.items()
        }
        self.by_granularity = {
            level: self._of(row for row in self.rows if row.granularity is level) for level in Granularity
        }
        self.without_address = self._of(row for row in self.rows if not row.ip_restriction)
        self.without_tags = self._of(
            row for row in self.rows if not catalog.services[row.service].tag_authorization
        )
        self._folded: dict[str, list[Action]] = {}
        for row in self.rows:
            self._folded.setdefault(row.id.lower(), []).append(row)
        self._templates: dict[str, list[_Template]] = {}
        self._looks: dict[str, list[str]] = {}
        self._shapeless = 0  # resource-level, but printed with `*`: only the literal `*` surely reaches them
        self._read_templates()
        self._named: dict[tuple[str, str, Effect], Named] = {}
        self._reached: dict[tuple[object, ...], int] = {}
        self._near: dict[tuple[str, str], tuple[str, ...]] = {}

    def _of(self, rows: Iterable[Action]) -> int:
        return sum(self.bits[row.id] for row in rows)

    @property
    def resource_level(self) -> int:
        """The actions that can be authorized on a resource."""
        return self.by_granularity[Granularity.RESOURCE]

    def actions(self, mask: int) -> Iterator[Action]:
        """Yield the actions of a set."""
        while mask:
            low = mask & -mask
            yield self.rows[low.bit_length() - 1]
            mask ^= low

    def some(self, mask: int, most: int = 3) -> str:
        """Return a few ids of a set, and how many more there are."""
        ids = [row.id for _, row in zip(range(most), self.actions(mask), strict=False)]
        return few(ids, most, total=mask.bit_count())

    def near_service(self, word: str) -> tuple[str, ...]:
        """Return the services that look like a word."""
        return self._nearest("", word, self.services)

    def near_action(self, service: str, word: str) -> tuple[str, ...]:
        """Return the ids of a service whose names look like a word."""
        found = self.catalog.services.get(service)
        names = self._nearest(service, word, found.actions) if found else ()
        return tuple(f"{service}:{name}" for name in names)

    def _nearest(self, service: str, word: str, names: Iterable[str]) -> tuple[str, ...]:
        key = (service, word)
        if key not in self._near:
            self._near[key] = nearest_names(word, names) if len(self._near) < _MOST_WORDS else ()
        return self._near[key]

    def named(self, pattern: ActionPattern, effect: Effect) -> Named:
        """Return the actions that a pattern names (cam-semantics 4)."""
        key = (pattern.service, pattern.name, effect)
        named = self._named.get(key)
        if named is None:
            if len(self._named) >= _MOST_PATTERNS:
                self._named.clear()
            sure = doubtful = 0
            for row in self._candidates(pattern):
                truth = action_match(pattern, effect, row.service, row.name)
                if truth is not False:
                    sure |= self.bits[row.id] if truth else 0
                    doubtful |= 0 if truth else self.bits[row.id]
            named = self._named[key] = Named(sure, doubtful)
        return named

    def _candidates(self, pattern: ActionPattern) -> Iterable[Action]:
        if STAR not in pattern.service + pattern.name:
            return self._folded.get(f"{pattern.service}:{pattern.name}".lower(), ())
        if STAR in pattern.service:
            return self.rows
        alike = pattern.service.lower()
        services = self.catalog.services.items()
        return [
            row for name, service in services if name.lower() == alike for row in service.actions.values()
        ]

    def _read_templates(self) -> None:
        gathered: dict[tuple[str, str, str], int] = {}
        for row in self.actions(self.resource_level):
            looks = self._looks[row.id] = []
            for text in row.resources:
                parts = text.split(":", SEGMENTS - 1)
                if len(parts) != SEGMENTS:
                    self._shapeless |= self.bits[row.id]
                    continue
                service = row.service if any(placeholders(parts[2])) else parts[2]
                region = _HOLE if any(placeholders(parts[3])) else parts[3]
                path = _with_holes(parts[5], row)
                looks.append(f"qcs::{service}:::{path.replace(_HOLE, '…')}")
                gathered[service, region, path] = gathered.get((service, region, path), 0) | self.bits[row.id]
        for (service, region, path), mask in gathered.items():
            self._templates.setdefault(service, []).append(_Template(region, path, mask))

    def types(self, mask: int, most: int = 3) -> str:
        """Return how the resources of some actions look, a few of them."""
        looks: dict[str, None] = {}
        for row in self.actions(mask & self.resource_level):
            looks.update(dict.fromkeys(self._looks[row.id]))
            if len(looks) >= most:
                break
        return ", ".join(list(looks)[:most])

    def services_of(self, mask: int) -> set[str]:
        """Return the services of some actions and of their resources."""
        rows = list(self.actions(mask))
        looks = {look for row in rows for look in self._looks.get(row.id, ())}
        return {row.service for row in rows} | {look.split(":")[2] for look in looks}

    def reached(self, pattern: ResourcePattern, effect: Effect) -> int:
        """Return the resource-level actions of which a pattern may meet a resource; rather too many.

        What the account segment says is left aside: whose the resources are is not the catalog's to know.
        """
        key = (pattern.service, pattern.region, pattern.path, effect)
        mask = self._reached.get(key)
        if mask is None:
            if len(self._reached) >= _MOST_PATTERNS:
                self._reached.clear()
            anywhere = pattern.service in ("", STAR)
            groups = self._templates.values() if anywhere else [self._templates.get(pattern.service, [])]
            mask = self._shapeless if effect is Effect.DENY else 0  # there a deny is unknown (5.3)
            for template in (template for group in groups for template in group):
                if _may_meet(pattern, template, effect):
                    mask |= template.actions
            self._reached[key] = mask
        return mask


def _with_holes(path: str, row: Action) -> str:
    """Return the path with a hole for each placeholder; bare words that `bind` names are placeholders too."""
    pieces: list[str] = []
    at = 0
    for found in placeholders(path, row.bind):
        pieces += (path[at : found.start], _HOLE)
        at = found.end
    return "".join((*pieces, path[at:]))


def _may_meet(pattern: ResourcePattern, template: _Template, effect: Effect) -> bool:
    deny = effect is Effect.DENY
    if pattern.region not in ("", STAR) and template.region != _HOLE:
        region = REGION_ALIASES.get(pattern.region, pattern.region)
        if not template.region:
            return deny
        if not star_match(region, REGION_ALIASES.get(template.region, template.region)):
            return False
    path = pattern.path if isinstance(pattern.path, str) else _open(pattern.path)
    if deny and path.endswith(("/", "/*")):  # X/* against X, and X/ as a prefix, are unknown (DEC-15)
        path = path.removesuffix(STAR).removesuffix("/") + STAR
    return _overlap(path, template.path)


def _open(template: tuple[str, ...]) -> str:
    """Return a path with a star for each variable."""
    return STAR.join(template[::2])


def _overlap(pattern: str, template: str) -> bool:
    """Tell whether some text may fit both; compares what stands before the first star and after the last."""
    if STAR not in pattern and _HOLE not in template:
        return pattern == template
    ours, theirs = pattern.split(STAR), template.split(_HOLE)
    return _agree(ours, theirs, 0) and _agree([p[::-1] for p in ours], [p[::-1] for p in theirs], -1)


def _agree(ours: list[str], theirs: list[str], end: int) -> bool:
    left, right = ours[end], theirs[end]
    shorter = min(len(left), len(right))
    if left[:shorter] != right[:shorter]:
        return False
    # Where one side is literal throughout, it must be as long as what the other side begins with.
    return not (len(ours) == 1 and len(left) < len(right)) and not (
        len(theirs) == 1 and len(right) < len(left)
    )


_latest: Roster | None = None


def roster_of(catalog: Catalog) -> Roster:
    """Return the roster of a catalog; the latest one is kept, for lint is asked policy by policy."""
    global _latest  # noqa: PLW0603 - one slot; a race makes a roster twice, nothing worse
    roster = _latest
    if roster is None or roster.catalog is not catalog:
        roster = _latest = Roster(catalog)
    return roster
