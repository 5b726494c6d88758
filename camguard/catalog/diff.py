"""What changed between two catalogs, row by row.

Provenance is not compared: a page that was saved again with the same rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from camguard.catalog.files import plain
from camguard.catalog.model import Action, Catalog, Service

_ACTION: Final = (
    *("access", "access_guessed", "granularity", "resources", "ip_restriction", "unreadable"),
    *("match", "bind", "version", "description"),
)
_SERVICE: Final = ("title", "console", "tag_authorization", "granularity", "ip_restriction")


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
    changed = {
        name: changes
        for name in sorted(old.services.keys() & new.services.keys())
        if (changes := service_changes(old.services[name], new.services[name]))
    }
    changed |= {
        action: changes
        for action in sorted(old.actions.keys() & new.actions.keys())
        if (changes := action_changes(old.actions[action], new.actions[action]))
    }
    return Difference(
        added=tuple(new.actions[action] for action in sorted(new.actions.keys() - old.actions.keys())),
        removed=tuple(old.actions[action] for action in sorted(old.actions.keys() - new.actions.keys())),
        changed=changed,
        services_added=tuple(sorted(new.services.keys() - old.services.keys())),
        services_removed=tuple(sorted(old.services.keys() - new.services.keys())),
    )


def action_changes(old: Action, new: Action) -> tuple[Change, ...]:
    """Return the facts of an action that differ."""
    return tuple(_changes(old, new, _ACTION))


def service_changes(old: Service, new: Service) -> tuple[Change, ...]:
    """Return the facts of a service that differ, its actions aside."""
    return tuple(_changes(old, new, _SERVICE))


def _changes(old: object, new: object, names: tuple[str, ...]) -> Iterator[Change]:
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Change(name, plain(before), plain(after))
