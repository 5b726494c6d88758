"""Several rows of one name become one action, and several pages of one service one service.

Rule 1: whatever differs is noted.
Rule 2: where rows disagree, the stricter reading is used: all templates must be allowed, and an address
        restriction counts only if every row has it.
Rule 3: where pages disagree, the page that was updated last takes precedence. One exception: a section that
        was read takes precedence over a guessed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from camguard.catalog.diff import Change, changes
from camguard.catalog.model import ANY, Action, Granularity, Service, segments
from camguard.catalog_import.tables import Row
from camguard.errors import Problem

# The fields that decide about a call. Editions are in different languages, so descriptions always differ.
_DECIDING: Final = frozenset({"access", "granularity", "resources", "ip_restriction", "unreadable"})
_COMPARED: Final = ("access", "description", "granularity", "resources", "ip_restriction")
_FINEST: Final = (Granularity.SERVICE, Granularity.OPERATION, Granularity.RESOURCE)


def unite_rows(service: str, rows: Iterable[Row], source: str) -> tuple[dict[str, Action], list[Problem]]:
    """Return the actions by name, and notes on what is unusual about their rows."""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    actions: dict[str, Action] = {}
    notes: list[Problem] = []
    for name, same in by_name.items():
        action = actions[name] = _unite(service, same)
        where = f"{source}:{same[0].line}"
        if len(same) > 1:
            notes.append(Problem(f"{source}:{same[-1].line}", "DuplicateAction", _duplicate(same)))
        if action.unreadable:
            message = f"{name}: no call can pass, {_why_unreadable(same)}: {' '.join(action.unreadable)}"
            notes.append(Problem(where, "MalformedTemplate", message))
    return actions, notes


def _unite(service: str, same: Sequence[Row]) -> Action:
    """Return one action from the rows of one name. One template that cannot be read makes all unreadable."""
    templates = tuple(dict.fromkeys(template for row in same for template in row.resources))
    granularity = max((row.granularity for row in same), key=_FINEST.index)
    readable = all(template == ANY or segments(template) is not None for template in templates)
    if granularity is not Granularity.RESOURCE:
        readable = templates == (ANY,)
    known = [row for row in same if not row.access_guessed] or same
    return Action(
        service=service,
        name=same[0].name,
        access=known[0].access,
        granularity=granularity,
        resources=templates if readable else (),
        ip_restriction=all(row.ip_restriction for row in same),
        description=next((row.description for row in same if row.description), ""),
        access_guessed=known[0].access_guessed,
        unreadable=() if readable else templates,
    )


def _why_unreadable(same: Sequence[Row]) -> str:
    if any(row.granularity is Granularity.RESOURCE for row in same):
        return "a template is not six segments"
    return "a row that is not resource level names a resource"


def _duplicate(same: Sequence[Row]) -> str:
    """Return the note on a name that is listed more than once: its lines, and how its rows differ."""
    first = same[0]
    lines = ", ".join(str(row.line) for row in same)
    differ = [name for name in _COMPARED if any(getattr(row, name) != getattr(first, name) for row in same)]
    unlike = f"they differ in {', '.join(differ)}; all templates count" if differ else "all alike"
    return f"{first.name} is listed {len(same)} times (lines {lines}): {unlike}"


def unite_pages(found: Sequence[tuple[str, Service]]) -> tuple[Service, list[Problem]]:
    """Return one service from the pages of one abbreviation, and notes on where they differ.

    found: the file and the service of each page, in any order. Pages of the same date are ordered by
    their digests.
    """
    unique = {service.pages[0].sha256: (source, service) for source, service in reversed(found)}
    ranked = sorted(unique.values(), key=_age, reverse=True)
    newest_page, newest = ranked[0]
    actions: dict[str, Action] = {}
    origin: dict[str, str] = {}
    notes: list[Problem] = []
    for page, service in ranked:
        notes += [_differs(page, change, newest_page) for change in changes(newest, service)]
        for name, action in service.actions.items():
            kept = actions.setdefault(name, action)
            first = origin.setdefault(name, page)
            if kept.access_guessed and not action.access_guessed:
                kept = actions[name] = replace(kept, access=action.access, access_guessed=False)
            deciding = _DECIDING - {"access"} if action.access_guessed else _DECIDING
            differing = (change for change in changes(kept, action) if change.field in deciding)
            notes += [_differs(page, change, first, f"{name}: ") for change in differing]
    pages = tuple(service.pages[0] for _, service in ranked)
    return replace(newest, actions=MappingProxyType(actions), pages=pages), notes


def _differs(page: str, change: Change, preferred: str, subject: str = "") -> Problem:
    message = f"{subject}{change.field} is {change.new} here, but {change.old} in {preferred}"
    return Problem(page, "EditionDiffers", f"{message}, which takes precedence")


def _age(page: tuple[str, Service]) -> tuple[str, str]:
    provenance = page[1].pages[0]
    return provenance.last_updated, provenance.sha256
