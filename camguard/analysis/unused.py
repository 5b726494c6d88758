"""What of a bundle no recorded call needs, and the proof that the calls are decided the same without it.

Theory of operation. Every different recorded call is decided again, statement by statement. A call that is
allowed needs each allow that holds for it; a call that is denied needs each deny that counts for it. What no
call needs is taken away, all of it together, and the calls are decided once more: the decisions must be the
same, and they are the proof.

Rule 1: a call that is decided otherwise than it was recorded, because the log has no tags and no further
        condition keys or because the policies have changed, needs every statement that may apply to it.
Rule 2: calls that no condition distinguishes are decided once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple, TypeAlias

from camguard.analysis.questions import GROUP
from camguard.bundle import Bundle
from camguard.engine.call import Call
from camguard.engine.evaluator import Evaluator
from camguard.engine.layers import Layers
from camguard.engine.principals import Entry, Listing
from camguard.engine.row import ActionRules
from camguard.policy.model import Effect, Policy, Statement

Watch: TypeAlias = Callable[[Sequence["Recorded"]], Iterable["Recorded"]]


class Recorded(NamedTuple):
    """A call that was decided, and how often."""

    call: Call
    allowed: bool
    times: int = 1


class Grant(NamedTuple):
    """A policy that is attached to a principal or group, or the membership of a user in a group.

    holder: `uin/…`, `role/…` or `group/…`. what: the id of a policy, or `group/…`.
    """

    holder: str
    what: str


class Unused(NamedTuple):
    """What no recorded call needs.

    calls, different: how many were recorded, and how many of them conditions can distinguish. otherwise: how
    many of the different ones are decided otherwise than recorded (Rule 1). changed: the calls that are
    decided otherwise without all of this: none, which is the proof.
    """

    statements: tuple[Statement, ...]
    grants: tuple[Grant, ...]
    principals: tuple[str, ...]
    calls: int
    different: int
    otherwise: int
    changed: tuple[Call, ...]


def unused(bundle: Bundle, listing: Listing, records: Iterable[Recorded], *, watch: Watch = iter) -> Unused:
    """Return the statements, grants and principals that no recorded call needs.

    listing: the principals.json of the bundle, of which the entries are taken. watch: returns what it is
    given, and may show how far it is.
    """
    distinct, total = _distinct(bundle.evaluator, records)
    needed: dict[str, set[str]] = {}  # principal -> ids of statements
    otherwise = 0
    for each in watch(distinct):
        found = needed.setdefault(each.call.principal, set())
        why = bundle.explain(each.call)
        certain = bool(why.decision) is each.allowed
        otherwise += not certain
        wanted = Effect.ALLOW if why.decision else Effect.DENY
        found.update(
            note.id
            for note in why.statements
            if (note.counts and note.effect is wanted if certain else note.truth is not False)
        )
    every = {name for names in needed.values() for name in names}
    statements = tuple(
        statement
        for _, policy in sorted(bundle.policies.items())
        for statement in policy.statements
        if statement.id not in every
    )
    entries = tuple(listing.entries)
    grants = tuple(_unused_grants(bundle.policies, entries, listing.groups, needed))
    principals = tuple(
        each.principal for each in entries if each.principal not in needed and each.kind != "owner"
    )
    without = _without(bundle, listing._replace(entries=iter(entries)), statements, grants)
    changed = tuple(
        each.call
        for each in distinct
        if bool(bundle.decide(each.call)) is not bool(without.decide(each.call))
    )
    return Unused(statements, grants, principals, total, len(distinct), otherwise, changed)


def _distinct(evaluator: Evaluator, records: Iterable[Recorded]) -> tuple[list[Recorded], int]:
    """Return one call of those that no condition distinguishes, and how many calls there are (Rule 2)."""
    found: dict[object, Recorded] = {}
    total = 0
    for each in records:
        total += each.times
        key = _key(evaluator, each)
        known = found.get(key)
        found[key] = each if known is None else known._replace(times=known.times + each.times)
    return list(found.values()), total


def _key(evaluator: Evaluator, record: Recorded) -> object:
    call = record.call
    table = evaluator.table(call.principal)
    place = time = None  # where the decision is the same for every call
    if table is not None and isinstance(table.row(call.action), ActionRules):
        if call.source_ip is not None:
            place = bisect_right(table.bounds, call.source_ip)
        if call.time is not None:
            time = bisect_left(table.cuts, call.time) + bisect_right(table.cuts, call.time)
    return call.principal, call.action, call.resources, place, time, record.allowed


# --- grants ---------------------------------------------------------------------------------------------


def _unused_grants(
    policies: Mapping[str, Policy],
    entries: Iterable[Entry],
    groups: Mapping[str, tuple[str, ...]],
    needed: Mapping[str, set[str]],
) -> Iterator[Grant]:
    """Yield the attachments and memberships through which no call got a statement that it needs."""
    used = {Grant(f"{GROUP}{name}", policy): False for name, listed in groups.items() for policy in listed}
    for each in entries:
        ids = needed.get(each.principal, set())
        for policy in each.policies:
            used[Grant(each.principal, policy)] = _needs(policies, policy, ids)
        for group in each.groups:
            member = Grant(each.principal, f"{GROUP}{group}")
            used[member] = False
            for policy in groups[group]:
                by_group = policy not in each.policies and _needs(policies, policy, ids)
                used[member] |= by_group
                used[Grant(f"{GROUP}{group}", policy)] |= by_group
    yield from (grant for grant, needs in used.items() if not needs)


def _needs(policies: Mapping[str, Policy], policy: str, ids: set[str]) -> bool:
    """Return whether one of some statements is of a policy. A missing one can deny, so it is needed."""
    found = policies.get(policy)
    return found is None or any(each.id in ids for each in found.statements)


def _without(
    bundle: Bundle,
    listing: Listing,
    statements: Iterable[Statement],
    grants: Iterable[Grant],
) -> Evaluator:
    """Return the evaluator of a bundle without what no call needs.

    Principals without a call stay: without their grants they are denied everything, as unknown ones are.
    """
    gone, taken = {each.id for each in statements}, set(grants)
    policies = {
        name: replace(policy, statements=tuple(each for each in policy.statements if each.id not in gone))
        for name, policy in bundle.policies.items()
    }
    shared = cache(Layers)
    layers = {}
    for each in listing.entries:
        own = [policy for policy in each.policies if Grant(each.principal, policy) not in taken]
        groups = [name for name in each.groups if Grant(each.principal, f"{GROUP}{name}") not in taken]
        own += (
            policy
            for name in groups
            for policy in listing.groups[name]
            if Grant(f"{GROUP}{name}", policy) not in taken
        )
        layers[each.principal] = shared(
            root=each.kind == "owner",
            account=listing.account,
            identity=tuple(dict.fromkeys(own)),
            boundary=each.boundary,
        )
    return bundle.evaluator.changed(policies, layers)
