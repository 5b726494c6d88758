"""What changed between two catalogs, row by row.

Provenance is not compared: a page that was saved again with the same rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from camguard.catalog.files import plain
from camguard.catalog.model import Action, Catalog, Service

# The facts that are compared. The actions of a service are compared one by one.
_FACTS: Final[Mapping[type, tuple[str, ...]]] = {
    Action: (
        *("access", "access_guessed", "granularity", "resources", "ip_restriction", "unreadable"),
        *(
            "match",
            "bind",
            "alternatives",
            "read_only",
            "version",
            "description",
            "request_tags",
            "parameters",
        ),
    ),
    Service: ("title", "console", "tag_authorization", "granularity", "ip_restriction"),
}
_Entry = TypeVar("_Entry", Action, Service)


class Change(NamedTuple):
    """One fact, before and after, as the catalog file contains it."""

    field: str
    old: Any
    new: Any


class Difference(NamedTuple):
    """What changed. `changed` maps the id of an action, or a service's name, to its changed facts."""

    added: tuple[Action, ...]
    removed: tuple[Action, ...]
    changed: Mapping[str, tuple[Change, ...]]
    services_added: tuple[str, ...]
    services_removed: tuple[str, ...]

    def __bool__(self) -> bool:
        """True when anything changed."""
        return any(self)


def compare(old: Catalog, new: Catalog) -> Difference:
    """Return what changed from `old` to `new`, in the order of names."""
    return Difference(
        added=tuple(new.actions[action] for action in sorted(new.actions.keys() - old.actions.keys())),
        removed=tuple(old.actions[action] for action in sorted(old.actions.keys() - new.actions.keys())),
        changed=_changed(old.services, new.services) | _changed(old.actions, new.actions),
        services_added=tuple(sorted(new.services.keys() - old.services.keys())),
        services_removed=tuple(sorted(old.services.keys() - new.services.keys())),
    )


def changes(old: _Entry, new: _Entry) -> tuple[Change, ...]:
    """Return the facts of an action, or of a service, that differ."""
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in _FACTS[type(old)])
    return tuple(Change(name, plain(was), plain(now)) for name, was, now in pairs if was != now)


def _changed(old: Mapping[str, _Entry], new: Mapping[str, _Entry]) -> dict[str, tuple[Change, ...]]:
    found = {name: changes(old[name], new[name]) for name in sorted(old.keys() & new.keys())}
    return {name: each for name, each in found.items() if each}
