"""Actions as a request names them: by the label of its host, which is not always the CAM service (DEC-68).

Rule 1: the label settles which actions exist, and their versions; the CAM names settle what policies are
        asked. Usually both are the same, and the action is its own catalog entry.
Rule 2: a CAM name that the catalog does not list is asked as a name-only entry: nothing is known of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from camguard.catalog.model import ANY, Access, Action, Catalog, Granularity


class ApiAction(NamedTuple):
    """One action of one host label.

    entry: its facts; its service is the label. cam_actions: the catalog entries of all names that
    policies are asked for; every one must be allowed, and none denied.
    """

    entry: Action
    cam_actions: tuple[Action, ...]

    @property
    def names(self) -> str:
        """The CAM names, as the record shows them."""
        return ",".join(action.id for action in self.cam_actions)


def api_actions(catalog: Catalog) -> Mapping[str, Mapping[str, ApiAction]]:
    """Return the actions of every host label: label -> name -> action."""
    rows: dict[str, dict[str, ApiAction]] = {}
    for label, service in catalog.services.items():
        rows[label] = {name: api_action(catalog, entry) for name, entry in service.actions.items()}
    for entry in _of_labels(catalog):
        rows.setdefault(entry.service, {}).setdefault(entry.name, api_action(catalog, entry))
    return rows


def api_action(catalog: Catalog, entry: Action, *, listed: bool = True) -> ApiAction:
    """Return an action of a label with the CAM names that policies are asked for.

    entry: of the label. listed: False for a name that the catalog lacks and that policies may judge.
    """
    names = catalog.known.cam_names(entry.service, entry.name)
    if names == (entry.id,):
        return ApiAction(entry, (entry,))
    own = None if listed else entry
    return ApiAction(entry, tuple(_cam_action(catalog, name, entry.access, own) for name in names))


def _cam_action(catalog: Catalog, name: str, access: Access, own: Action | None) -> Action:
    """Return the catalog entry of a CAM name, or a name-only entry if the catalog has no entry (DEC-67).

    own: the entry of the action by its label, where it stands for its own name.
    """
    found = own if own is not None and own.id == name else catalog.actions.get(name)
    if found is not None:
        return found
    service, _, action = name.partition(":")
    return Action(
        service,
        action,
        access,
        Granularity.UNKNOWN,
        (ANY,),
        ip_restriction=False,
        access_guessed=True,
    )


def _of_labels(catalog: Catalog) -> Iterator[Action]:
    """Yield the entries of labels that exist because the catalog lists them under their CAM name."""
    for key in catalog.known.rows:
        label, _, name = key.partition(":")
        if name != ANY:
            listed = (catalog.actions.get(cam_name) for cam_name in catalog.known.cam_names(label, name))
            found = next((each for each in listed if each is not None), None)
            if found is not None:
                yield _renamed(found, label, name)
        elif label not in catalog.services:
            whole = catalog.known.whole(label)
            service = catalog.services.get(whole) if whole is not None else None
            for action in service.actions.values() if service else ():
                yield _renamed(action, label, action.name)


def _renamed(entry: Action, label: str, name: str) -> Action:
    """Return an entry under a host label. Its version is that of another host, so it is not kept."""
    return replace(entry, service=label, name=name, version=None)
