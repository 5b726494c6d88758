"""A build of catalog files from pages: everything is read and compared before the first byte is written.

Rule 1: no row is lost unnoticed. A row that the present catalog file has and the pages lack stops the build.
Rule 2: a rebuild keeps what was added to a file by hand (`version`, `bind`, `match`, `alternatives`,
        `read_only`, `request_tags`, `parameters`).
Rule 3: a page replaces name-only entries, whatever it lists, and names never replace the rows of a page
        (DEC-67).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from camguard.catalog.alternatives import shipped, wrong_group
from camguard.catalog.diff import Difference, compare
from camguard.catalog.files import SUFFIX, parse_catalog, read_catalog, to_json
from camguard.catalog.known_services import carried
from camguard.catalog.model import Access, Action, Catalog, Service, bindable
from camguard.catalog_import.merge import unite_pages
from camguard.catalog_import.names import NameSource, name_services
from camguard.catalog_import.page import read_page
from camguard.errors import CatalogError, Problem
from camguard.suggest import few


class Update(NamedTuple):
    """One catalog file as it will be. difference: from the present file, where there is one."""

    service: Service
    file: Path
    before: Service | None
    difference: Difference
    same_bytes: bool

    @property
    def lost(self) -> tuple[Action, ...]:
        """The rows that the file has and the sources do not. A page may drop names (Rule 3)."""
        by_page = self.before is not None and self.before.names_only and not self.service.names_only
        return () if by_page else self.difference.removed


class Plan(NamedTuple):
    """What a build would do.

    problems: pages or files that cannot be read whole. notes: what is doubtful in pages that can.
    refused: the files of pages from which no service could be read.
    """

    updates: tuple[Update, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    refused: tuple[str, ...]


def plan_build(pages: Iterable[tuple[str, bytes]], folder: Path, names: Iterable[NameSource] = ()) -> Plan:
    """Return what a build of pages (file, content) and name-only sources into `folder` would do.

    Writes nothing.
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
    named = [*names]
    problems += (problem for source in named for problem in source.problems)
    for service in name_services(named, carried()):
        try:
            _add_names(service, folder / (service.name + SUFFIX), by_service, updates, notes)
        except CatalogError as error:
            unreadable += error.problems
    if unreadable:
        raise CatalogError(*unreadable)
    return Plan(tuple(updates), tuple(problems), tuple(notes), tuple(refused))


def _add_names(
    service: Service, file: Path, by_page: Container[str], updates: list[Update], notes: list[Problem]
) -> None:
    """Add the update of a name-only service, or a note where a page is known (Rule 3)."""
    update, _ = _update(service, file)
    if service.name in by_page or (update.before is not None and not update.before.names_only):
        message = f"{service.name} has a page: its {len(service.actions)} names were not used"
        notes.append(Problem(str(file), "NamesNotUsed", message))
    else:
        updates.append(update)


def _update(service: Service, file: Path) -> tuple[Update, list[Problem]]:
    if not file.exists():
        added = compare(Catalog({}), Catalog({service.name: service}))
        return Update(service, file, None, added, same_bytes=False), []
    raw = read_catalog(file)
    catalog = parse_catalog(raw)
    before = catalog.services[service.name]
    service, dropped = keep_annotations(before, service, str(file))
    difference = compare(catalog, Catalog({service.name: service}))
    if before.names_only and not service.names_only and difference.removed:
        gone = few([action.name for action in difference.removed])
        message = f"{len(difference.removed)} names that the page does not list are dropped ({gone})"
        dropped.append(Problem(str(file), "NamesReplaced", message))
    same = raw[str(file)] == to_json(service).encode()
    return Update(service, file, before, difference, same), dropped


def keep_annotations(old: Service, new: Service, source: str) -> tuple[Service, list[Problem]]:
    """Return `new` with the annotations of `old` (Rule 2), and notes on those that no longer apply."""
    actions: dict[str, Action] = {}
    dropped: list[Problem] = []
    for name, action in new.actions.items():
        known = old.actions.get(name)
        if known is None:
            groups = shipped(action.service, name, action.resources, action.bind)
            actions[name] = replace(action, alternatives=groups)
            continue
        bind = {p: parameter for p, parameter in known.bind.items() if p in bindable(action.resources)}
        unbound = ", ".join(name for name in known.bind if name not in bind)
        if unbound:
            message = f"{name}: no template has {unbound} any more, so its binding is dropped"
            dropped.append(Problem(source, "BindingDropped", message))
        groups = tuple(
            group for group in known.alternatives if not wrong_group(group, old.name, action.resources, bind)
        )
        if groups != known.alternatives:
            message = f"{name}: alternatives that do not suit its templates any more are dropped"
            dropped.append(Problem(source, "AlternativesDropped", message))
        reads = action.access in {Access.READ, Access.LIST}
        if known.read_only and not reads:
            message = f"{name}: its page lists it under {action.access} now, so read_only is dropped"
            dropped.append(Problem(source, "ReadOnlyDropped", message))
        actions[name] = replace(
            action,
            version=known.version,
            match=known.match,
            bind=MappingProxyType(bind),
            alternatives=groups,
            read_only=known.read_only and reads,
            request_tags=known.request_tags,
            parameters=known.parameters,
        )
    return replace(new, actions=MappingProxyType(actions)), dropped
