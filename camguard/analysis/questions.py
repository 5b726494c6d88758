"""Questions about access: from where a call passes, who can call an action, what a principal can call.

Rule 1: an answer shows addresses as clients have them. Where `client_ip.egress` lets policies mean another
        address than the client's, the answer for a client is that for the other one (T132).
Rule 2: a pattern that names nothing is reported, never taken for an empty answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from camguard.analysis.access import MOST_TABLES, UNCUT, Range, Window, access_reader, tables_of
from camguard.analysis.answers import Answer
from camguard.analysis.grid import grid_of
from camguard.analysis.verdicts import VerdictOf, verdicts_of
from camguard.bounded_cache import BoundedCache, as_short_as_any
from camguard.catalog.labels import api_actions
from camguard.catalog.model import Access, Catalog
from camguard.engine.evaluator import Evaluator
from camguard.engine.intervals import interval_at
from camguard.engine.layers import Layers
from camguard.engine.principals import Principals
from camguard.engine.table import Table
from camguard.ipset import LINE_END, NO_MAP, AddressMap, IpSet
from camguard.policy.patterns import star_match

GROUP = "group/"
Depends: TypeAlias = tuple[tuple[IpSet, Answer], ...]  # the addresses of each answer that depends on more


class Entry(NamedTuple):
    """One principal and one action for which a call can pass: from `allow` always, from others it depends."""

    principal: str
    action: str
    allow: IpSet
    depends: Depends


class Edge(NamedTuple):
    """The first address from which another answer holds. statements: those that only one side has."""

    place: int
    before: Answer
    after: Answer
    statements: tuple[str, ...]


def principal_names(people: Principals) -> tuple[str, ...]:
    """Return what may stand for principals beside patterns: their ids, their names, and groups."""
    groups = (f"{GROUP}{name}" for name in people.groups)
    return (*people.layers, *people.names.values(), *groups)


def through(ranges: Sequence[Range], egress: AddressMap) -> tuple[Range, ...]:
    """Return the ranges as clients have them, whose addresses are mapped before a decision (Rule 1)."""
    if not egress.starts:
        return tuple(ranges)
    begins = [each.first for each in ranges]
    cuts = sorted({*begins, *egress.starts, *(end + 1 for end in egress.ends), LINE_END})
    found: list[Range] = []
    for first, end in pairwise(cuts):
        target = egress.get(first)
        answer = ranges[bisect_right(begins, first if target is None else target) - 1].answer
        if found and found[-1].answer == answer:
            found[-1] = found[-1]._replace(last=end - 1)
        else:
            found.append(Range(first, end - 1, answer))
    return tuple(found)


def edges_of(ranges: Sequence[Range]) -> Iterator[Edge]:
    """Yield the edges between ranges, each with the statements behind it."""
    for left, right in pairwise(ranges):
        before, after = left.answer, right.answer
        named = dict.fromkeys((*before.statements, *after.statements))
        changed = tuple(each for each in named if (each in before.statements) != (each in after.statements))
        yield Edge(right.first, before, after, changed or tuple(named))


def within(ranges: Iterable[Range], addresses: IpSet | None) -> Iterator[Range]:
    """Yield the parts of ranges that contain some addresses. addresses: None for all."""
    if addresses is None:
        yield from ranges
        return
    for each in ranges:
        for first, last in zip(addresses.starts, addresses.ends, strict=True):
            if first <= each.last and each.first <= last:
                yield Range(max(first, each.first), min(last, each.last), each.answer)


def depending(ranges: Iterable[Range]) -> Depends:
    """Return the answers that depend on conditions, each with all of its addresses."""
    found: dict[Answer, list[tuple[int, int]]] = {}
    for each in ranges:
        if each.answer.decision is None:
            found.setdefault(each.answer, []).append((each.first, each.last))
    return tuple((IpSet.of_ranges(pairs), answer) for answer, pairs in found.items())


def entries(  # noqa: PLR0913 - what a question fixes
    evaluator: Evaluator,
    principals: Iterable[str],
    actions: Sequence[str],
    *,
    time: float,
    resource: str | None = None,
    addresses: IpSet | None = None,
    egress: AddressMap = NO_MAP,
) -> Iterator[Entry]:
    """Yield an entry for each principal and action that can pass from some of the addresses.

    time, resource: those of `access_reader`. Calls that share windows share the work, and of actions that
    address and time alone decide no access set is read.
    """
    tables = tables_of(evaluator)
    read = access_reader(evaluator, resource=resource, time=time, tables=tables)
    verdicts = verdicts_of(evaluator)
    surely: BoundedCache[Layers, Mapping[str, IpSet]] = BoundedCache(
        lambda layers: _surely_allowed(
            evaluator, tables[layers], verdicts(tables[layers]), time, addresses, egress
        ),
        entries=MOST_TABLES,
        size=as_short_as_any,
    )
    known: BoundedCache[tuple[int], tuple[tuple[Window, ...], IpSet, Depends]] = BoundedCache()
    for principal in principals:
        layers = evaluator.layers(principal)
        sure = {} if layers is None else surely[layers]
        for action in actions:
            certain = sure.get(action)
            if certain is not None:
                if certain.starts:
                    yield Entry(principal, action, certain, ())
                continue
            windows = read(principal, action).windows
            key = (id(windows),)
            found = known.get(key)
            if found is None:
                (window,) = windows
                ranges = list(within(through(window.ranges, egress), addresses))
                allowed = ((r.first, r.last) for r in ranges if r.answer.word == "allow")
                # The windows are kept, so that no other windows get their id.
                found = known[key] = windows, IpSet.of_ranges(allowed), depending(ranges)
            _, allow, depends = found
            if allow.starts or depends:
                yield Entry(principal, action, allow, depends)


def _surely_allowed(  # noqa: PLR0913, PLR0917 - what a question fixes
    evaluator: Evaluator,
    table: Table,
    verdict_of: VerdictOf,
    time: float,
    addresses: IpSet | None,
    egress: AddressMap,
) -> Mapping[str, IpSet]:
    """Return from where each action is allowed that address and time alone decide."""
    grid = grid_of(table, UNCUT, egress)
    of_time = interval_at(table.cuts, table.time_masks, time).mask
    verdicts = [(places, verdict_of(of_time | mask)) for mask, _, places in grid.cells(-1, 0).places]
    sure = -1
    for _, verdict in verdicts:
        sure &= verdict.allowed | verdict.denied
    alike = [(sure, 0)]  # actions, and the places from where they are allowed
    for places, verdict in verdicts:
        split = [(actions & verdict.allowed, allowed | places) for actions, allowed in alike]
        split += [(actions & ~verdict.allowed, allowed) for actions, allowed in alike]
        alike = [each for each in split if each[0]]
    found: dict[str, IpSet] = {}
    for actions, allowed in alike:
        ranges = grid.ranges(allowed) if addresses is None else grid.ranges(allowed) & addresses
        found |= dict.fromkeys(evaluator.statements.members(actions), ranges)
    return found


class Group(NamedTuple):
    """Entries with the same answer, put together for people: each of the principals, each of the actions."""

    principals: tuple[str, ...]
    actions: tuple[str, ...]
    allow: IpSet
    depends: Depends


def grouped(found: Iterable[Entry]) -> tuple[Group, ...]:
    """Group entries: the actions of one principal that have one answer, then principals with equal groups."""
    of_principal: dict[tuple[str, IpSet, Depends], list[str]] = {}
    for entry in found:
        of_principal.setdefault((entry.principal, entry.allow, entry.depends), []).append(entry.action)
    together: dict[tuple[tuple[str, ...], IpSet, Depends], list[str]] = {}
    for (principal, allow, depends), actions in of_principal.items():
        together.setdefault((tuple(actions), allow, depends), []).append(principal)
    return tuple(
        Group(tuple(principals), actions, allow, depends)
        for (actions, allow, depends), principals in together.items()
    )


def principals_named(people: Principals, pattern: str) -> tuple[str, ...]:
    """Return the principals that a pattern names.

    pattern: `uin/…` or `role/…`, the name or uin of a user, `group/…` for the members of a group; each with
    stars. Ordered as in principals.json, the owner first.
    """
    if pattern.startswith(GROUP):
        groups = [name for name in people.groups if star_match(pattern.removeprefix(GROUP), name)]
        members = {principal for name in groups for principal in people.groups[name]}
        return tuple(principal for principal in people.layers if principal in members)
    return tuple(
        principal
        for principal in people.layers
        if star_match(pattern, principal)
        or star_match(f"*/{pattern}", principal)
        or star_match(pattern, people.names[principal])
    )


def callable_actions(catalog: Catalog) -> Mapping[str, Access]:
    """Return every action that a call can name, by the label of its host (DEC-68), with its access."""
    found = {
        each.entry.id: each.entry.access for row in api_actions(catalog).values() for each in row.values()
    }
    return dict(sorted(found.items()))


def actions_named(catalog: Catalog, pattern: str, access: Access | None = None) -> tuple[str, ...]:
    """Return the actions that a pattern names: `service:Name` with stars, or `*`. access: only with this."""
    listed = callable_actions(catalog)
    return tuple(
        name for name, of_name in listed.items() if star_match(pattern, name) and access in (None, of_name)
    )
