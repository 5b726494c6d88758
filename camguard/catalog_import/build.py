"""A build of catalog files from pages: everything is read and compared before the first byte is written.

Rule 1: no row is lost unnoticed. A row that the present catalog file has and the pages lack stops the build.
Rule 2: a rebuild keeps what was added to a file by hand (`version`, `bind`, `match`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from camguard.catalog.diff import Difference, compare
from camguard.catalog.files import SUFFIX, parse_catalog, read_catalog, to_json
from camguard.catalog.model import Action, Catalog, Service, bindable
from camguard.catalog_import.merge import unite_pages
from camguard.catalog_import.page import read_page
from camguard.errors import CatalogError, Problem


class Update(NamedTuple):
    """One catalog file as it will be. difference: from the present file, where there is one."""

    service: Service
    file: Path
    before: Service | None
    difference: Difference
    same_bytes: bool

    @property
    def lost(self) -> tuple[Action, ...]:
        """The rows that the file has and the pages do not."""
        return self.difference.removed


class Plan(NamedTuple):
    """What a build would do.

    problems: pages or files that cannot be read whole. notes: what is doubtful in pages that can.
    refused: the files of pages from which no service could be read.
    """

    updates: tuple[Update, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    refused: tuple[str, ...]


def plan_build(pages: Iterable[tuple[str, bytes]], folder: Path) -> Plan:
    """Return what a build of pages (file, content) into `folder` would do. Writes nothing.

    Raises CatalogError if a file that is to be replaced cannot be read: its rows would be lost unnoticed.
    """
    by_service: dict[str, list[tuple[str, Service]]] = {}
    problems: list[Problem] = []
    notes: list[Problem] = []
    refused: list[str] = []
    for source, raw in pages:
        page = read_page(raw, source)
        problems += page.problems
        notes += page.notes
        if page.service is None:
            refused.append(source)
        else:
            by_service.setdefault(page.service.name, []).append((source, page.service))
    updates: list[Update] = []
    unreadable: list[Problem] = []
    for name in sorted(by_service):
        service, differing = unite_pages(by_service[name])
        notes += differing
        try:
            update, dropped = _update(service, folder / (name + SUFFIX))
        except CatalogError as error:
            unreadable += error.problems
        else:
            updates.append(update)
            notes += dropped
    if unreadable:
        raise CatalogError(*unreadable)
    return Plan(tuple(updates), tuple(problems), tuple(notes), tuple(refused))


def _update(service: Service, file: Path) -> tuple[Update, list[Problem]]:
    if not file.exists():
        added = compare(Catalog({}), Catalog({service.name: service}))
        return Update(service, file, None, added, same_bytes=False), []
    raw = read_catalog(file)
    catalog = parse_catalog(raw)
    before = catalog.services[service.name]
    service, dropped = keep_annotations(before, service, str(file))
    difference = compare(catalog, Catalog({service.name: service}))
    same = raw[str(file)] == to_json(service).encode()
    return Update(service, file, before, difference, same), dropped


def keep_annotations(old: Service, new: Service, source: str) -> tuple[Service, list[Problem]]:
    """Return `new` with the annotations of `old` (Rule 2), and notes on those that no longer apply."""
    actions: dict[str, Action] = {}
    dropped: list[Problem] = []
    for name, action in new.actions.items():
        known = old.actions.get(name)
        if known is None:
            actions[name] = action
            continue
        bind = {p: parameter for p, parameter in known.bind.items() if p in bindable(action.resources)}
        unbound = ", ".join(name for name in known.bind if name not in bind)
        if unbound:
            message = f"{name}: no template has {unbound} any more, so its binding is dropped"
            dropped.append(Problem(source, "BindingDropped", message))
        actions[name] = replace(action, version=known.version, match=known.match, bind=MappingProxyType(bind))
    return replace(new, actions=MappingProxyType(actions)), dropped
