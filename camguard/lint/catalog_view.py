"""One catalog as lint sees it: sets of actions, what a resource pattern can match, names that look alike.

Rule 1: a resource pattern is compared with the templates of the catalog once, whichever policy writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from camguard.catalog.alternatives import forms_of
from camguard.catalog.model import Access, Action, Granularity
from camguard.engine.action_index import ActionIndex
from camguard.engine.attributes import read_only_values
from camguard.grammar import placeholders
from camguard.policy.model import Effect, ResourcePattern
from camguard.policy.patterns import STAR
from camguard.policy.resources import REGION_ALIASES, SEGMENTS, region_match, service_match
from camguard.suggest import few, nearest_action_names, nearest_names

_HOLE = "\0"  # replaces a placeholder, which any text can take
_MAX_SUGGESTIONS = 500  # words that suggestions are looked up for; comparing words is slow


class _Template(NamedTuple):
    region: str  # empty, a hole, or literal
    path: str  # with a hole for each placeholder
    actions: int


class CatalogView:
    """The actions of one catalog; every set of actions is one of the index."""

    def __init__(self, index: ActionIndex) -> None:
        self.index = index
        self.services = index.services
        self.by_granularity = {
            level: index.set_of(row for row in index.actions if row.granularity is level)
            for level in Granularity
        }
        self.resource_level = self.by_granularity[Granularity.RESOURCE]
        self.names_only = self.by_granularity[Granularity.UNKNOWN]
        self.without_address = index.set_of(row for row in index.actions if not row.ip_restriction)
        self.with_request_tags = index.set_of(row for row in index.actions if row.request_tags)
        listed = index.catalog.services
        self.without_tags = sum(
            actions for name, actions in self.services.items() if not listed[name].tag_authorization
        )
        self.perhaps_read_only = index.set_of(
            row
            for row in index.actions
            if row.access in {Access.READ, Access.LIST} and read_only_values(row) is None
        )
        self.regions = index.catalog.regions | REGION_ALIASES.keys() if index.catalog.regions else frozenset()
        self._shapes: dict[str, list[str]] = {}  # id -> how its resources look
        self.perhaps_alternatives = 0  # templates of two services have the same placeholder (DEC-61)
        self._shapeless = 0  # resource level, but printed with `*`: only the literal `*` surely matches them
        self._templates: dict[str, list[_Template]] = {}  # by service
        self._read_templates()
        self._reached: dict[tuple[object, ...], int] = {}
        self._near: dict[tuple[str, str], tuple[str, ...]] = {}

    def _read_templates(self) -> None:
        gathered: dict[tuple[str, str, str], int] = {}
        for row in self.index.members(self.resource_level):
            bit = self.index.set_of([row])
            shapes = self._shapes[row.id] = []
            for _, shape, (region, path, _) in self._shaped(row):
                shapes.append(shape)
                key = shape.split(":")[2], region, path
                gathered[key] = gathered.get(key, 0) | bit
            if len(shapes) < len(row.resources):
                self._shapeless |= bit
            if row.match == "all" and _shares_placeholder(row):
                self.perhaps_alternatives |= bit
        for (service, region, path), actions in gathered.items():
            self._templates.setdefault(service, []).append(_Template(region, path, actions))

    def some(self, actions: int, most: int = 3) -> str:
        """Return a few ids of a set, and how many more it has."""
        ids = [row.id for row in islice(self.index.members(actions), most)]
        return few(ids, most, total=actions.bit_count())

    def near_services(self, word: str) -> tuple[str, ...]:
        """Return the services whose names look like a word."""
        return self._nearest("", word, self.services, nearest_names)

    def near_actions(self, service: str, word: str) -> tuple[str, ...]:
        """Return the ids of a service whose names look like a word and have its verb."""
        row = self.index.catalog.services.get(service)
        names = self._nearest(service, word, row.actions, nearest_action_names) if row else ()
        return tuple(f"{service}:{name}" for name in names)

    def _nearest(
        self,
        service: str,
        word: str,
        names: Iterable[str],
        find: Callable[[str, Iterable[str]], tuple[str, ...]],
    ) -> tuple[str, ...]:
        key = (service, word)
        if key not in self._near:
            self._near[key] = find(word, names) if len(self._near) < _MAX_SUGGESTIONS else ()
        return self._near[key]

    def resource_shapes(self, actions: int, most: int = 3) -> str:
        """Return how the resources of some actions look, a few of them."""
        rows = self.index.members(actions & self.resource_level)
        shapes = (shape for row in rows for shape in self._shapes[row.id])
        return ", ".join(islice(dict.fromkeys(shapes), most))

    def services_of(self, actions: int) -> set[str]:
        """Return the services of some actions and of their resources."""
        rows = list(self.index.members(actions))
        shapes = {shape for row in rows for shape in self._shapes.get(row.id, ())}
        return {row.service for row in rows} | {shape.split(":")[2] for shape in shapes}

    def reached(self, pattern: ResourcePattern, effect: Effect) -> int:
        """Return the resource-level actions whose resources a pattern may match, in doubt too many.

        The account segment is not compared: the catalog does not contain the owners of resources.
        """
        key = (pattern.service, pattern.region, pattern.path, effect)
        reached = self._reached.get(key)
        if reached is None:
            doubt = None if effect is Effect.DENY else False
            groups = [
                templates
                for service, templates in self._templates.items()
                if service_match(pattern.service, service, doubt) is not False
            ]
            # Whether a deny matches a resource without a template is undetermined (CAM 5.3).
            reached = self._shapeless if effect is Effect.DENY else 0
            for template in (template for group in groups for template in group):
                if _may_match(pattern, template, effect):
                    reached |= template.actions
            self._reached[key] = reached
        return reached

    def unreached(self, entry: Action, patterns: Sequence[ResourcePattern]) -> tuple[str, ...]:
        """Return the templates of an action that none of the patterns of its allows may match.

        Of templates that exclude each other one is enough.
        """
        missing = {
            text: shape
            for text, shape, template in self._shaped(entry)
            if not any(
                service_match(pattern.service, shape.split(":")[2], mismatch=False)
                and _may_match(pattern, template, Effect.ALLOW)
                for pattern in patterns
            )
        }
        forms = forms_of(entry)
        reached = {form for text, each in forms.items() if text not in missing for form in each}
        return tuple(
            shape for text, shape in missing.items() if not reached.intersection(forms.get(text, ()))
        )

    def _shaped(self, row: Action) -> Iterator[tuple[str, str, _Template]]:
        """Yield each template of six segments: as printed, how its resources look, and with holes."""
        for text in row.resources:
            parts = text.split(":", SEGMENTS - 1)
            if len(parts) == SEGMENTS:
                service = row.service if _has_placeholder(parts[2]) else parts[2]
                region = _HOLE if _has_placeholder(parts[3]) else parts[3]
                path = _with_holes(parts[5], row)
                shape = f"qcs::{service}:::{path.replace(_HOLE, '…')}"
                yield text, shape, _Template(region, path, self.index.set_of([row]))


def _has_placeholder(segment: str) -> bool:
    return any(placeholders(segment))


def _shares_placeholder(row: Action) -> bool:
    services: dict[str, set[str]] = {}
    for text in row.resources:
        parts = text.split(":", SEGMENTS - 1)
        for hole in placeholders(parts[-1], row.bind):
            services.setdefault(row.bind.get(hole.name, hole.name), set()).add(parts[2 % len(parts)])
    return any(len(each) > 1 for each in services.values())


def _with_holes(path: str, row: Action) -> str:
    """Return the path with a hole for each placeholder; bare words that `bind` names are placeholders too."""
    pieces: list[str] = []
    at = 0
    for found in placeholders(path, row.bind):
        pieces += (path[at : found.start], _HOLE)
        at = found.end
    return "".join((*pieces, path[at:]))


def _may_match(pattern: ResourcePattern, template: _Template, effect: Effect) -> bool:
    deny = effect is Effect.DENY
    doubt = None if deny else False
    if template.region != _HOLE and region_match(pattern.region, template.region, doubt) is False:
        return False
    # A variable can have any value.
    path = pattern.path if isinstance(pattern.path, str) else STAR.join(pattern.path[::2])
    if deny and path.endswith(("/", "/*")):  # X/* against X, and X/ as a prefix, are undetermined (DEC-15)
        path = path.removesuffix(STAR).removesuffix("/") + STAR
    return _overlap(path, template.path)


def _overlap(pattern: str, template: str) -> bool:
    """Tell whether one text may match both.

    Compared is what precedes the first wildcard or hole, and what follows the last one.
    """
    if STAR not in pattern and _HOLE not in template:
        return pattern == template
    ours, theirs = pattern.split(STAR), template.split(_HOLE)
    return _agree(ours, theirs, 0) and _agree([p[::-1] for p in ours], [p[::-1] for p in theirs], -1)


def _agree(ours: list[str], theirs: list[str], end: int) -> bool:
    left, right = ours[end], theirs[end]
    shorter = min(len(left), len(right))
    if left[:shorter] != right[:shorter]:
        return False
    # A side that is literal throughout must be at least as long as what the other side begins with.
    return not (len(ours) == 1 and len(left) < len(right)) and not (
        len(theirs) == 1 and len(right) < len(left)
    )
