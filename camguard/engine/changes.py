"""The nearest changes that would let a refused call pass.

Rule 1: nothing is proposed that was not tried: each change is decided again before it is named.
Rule 2: fewest changed clauses first; what the caller can do comes before what the policy's author can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from math import inf, nextafter
from typing import NamedTuple

from camguard.engine.call import Call
from camguard.engine.decide import Tables
from camguard.engine.explain import Explanation, format_moment
from camguard.engine.layers import IDENTITY
from camguard.engine.supply import bindings_of, values_of
from camguard.ipset import LINE_END, IpSet
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, REQUEST_TAG, TAGS, TIME
from camguard.policy.model import Clause, Effect, Policy, ResourcePattern, Statement
from camguard.policy.operators import Kind
from camguard.policy.resources import Owner, Resource
from camguard.policy.star import STAR
from camguard.policy.variables import fill

_SHOWN = 4  # ranges named in one proposal
_TRIED = 500  # policies of the bundle that are tried on


class Change(NamedTuple):
    """One way to get the call allowed. clauses: how many things it changes."""

    clauses: int
    text: str


def nearest_changes(
    tables: Tables, policies: Mapping[str, Policy], call: Call, why: Explanation, *, most: int = 5
) -> tuple[Change, ...]:
    """Return up to `most` changes after which the call would pass, the smallest first; none if it passes."""
    if why.decision or why.entry is None:
        return ()
    found = [*_from_where(tables, call), *_when(tables, call), *_fitting(tables, call, why)]
    found += [*_without_denies(tables, call, why), *_attached(tables, policies, call)]
    return tuple(sorted(dict.fromkeys(found), key=lambda change: change.clauses)[:most])


def allowed_from(tables: Tables, call: Call) -> IpSet:
    """Return every address from which the call would pass, read off the table's ranges."""
    table = tables.table(call.principal, call.session)
    bounds = [0, *table.bounds, LINE_END] if table else [0, LINE_END]
    return IpSet.of_ranges(
        (first, last - 1)
        for first, last in pairwise(bounds)
        if first < last and tables.decide(call._replace(source_ip=first))
    )


def _from_where(tables: Tables, call: Call) -> Iterator[Change]:
    places = allowed_from(tables, call)
    if places.starts:
        yield Change(1, f"call from {_named(places)}")


def _named(places: IpSet) -> str:
    texts = places.cidrs()
    more = f" or {len(texts) - _SHOWN} more ranges" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _when(tables: Tables, call: Call) -> Iterator[Change]:
    """Propose the first span of time, from now on, in which the call would pass."""
    table = tables.table(call.principal, call.session)
    if table is None or call.time is None:
        return
    cuts = [cut for cut in table.cuts if cut >= call.time]
    for i, cut in enumerate(cuts):
        for moment in (cut, nextafter(cut, inf)):
            if tables.decide(call._replace(time=moment)):
                end = next(
                    (c for c in cuts[i:] if not tables.decide(call._replace(time=nextafter(c, inf)))), None
                )
                until = f" until {format_moment(end)}" if end is not None and end > cut else ""
                yield Change(1, f"call from {format_moment(cut)}{until}")
                return


def _fitting(tables: Tables, call: Call, why: Explanation) -> Iterator[Change]:
    """Propose what would make one allow statement hold, clause by clause."""
    by_id = {s.id: s for s in _statements(tables, call)}
    for note in why.statements:
        if note.effect is Effect.ALLOW and not note.counts and note.id in by_id:
            changed, texts = _fit(tables, call, by_id[note.id])
            if texts and changed != call and tables.decide(changed):
                yield Change(len(texts), " and ".join(texts))


def _statements(tables: Tables, call: Call) -> Iterable[Statement]:
    table = tables.table(call.principal, call.session)
    return (s for layer in (table.layers if table else ()) for s in layer.statements)


def _fit(tables: Tables, call: Call, statement: Statement) -> tuple[Call, list[str]]:
    """Return the call changed so that a statement holds as far as a caller can, and the words for it."""
    terms = tables.terms(call.action)
    if terms is None:
        return call, []
    bindings = bindings_of(call.principal, tables.owner)
    texts = []
    for clause in statement.condition:
        if clause_truth(clause, values_of(clause.key, call, terms), bindings) is not True:
            changed, text = _FITS.get(clause.key, _fit_supplied)(call, clause)
            if text:
                call = changed
                texts.append(text)
    if statement.patterns and not statement.any_resource:
        wished = tuple(_concrete(p, call, tables.owner, terms.entry.service) for p in statement.patterns[:1])
        if not tables.decide(call) and tables.decide(call._replace(resources=wished)):
            call = call._replace(resources=wished)
            texts.append(f"call it on a resource of {statement.patterns[0].text}")
    return call, texts


def _fit_address(call: Call, clause: Clause) -> tuple[Call, str]:
    wanted = clause.addresses
    if wanted is None:
        return call, ""
    if not clause.operator.negated:
        return call._replace(source_ip=wanted.starts[0]), f"call from {_named(wanted)}"
    outside = next((end + 1 for end in wanted.ends if end + 1 < LINE_END and end + 1 not in wanted), None)
    outside = 0 if wanted.starts[0] > 0 else outside
    return call._replace(
        source_ip=outside
    ), f"call from outside of {_named(wanted)}" if outside is not None else ""


def _fit_time(call: Call, clause: Clause) -> tuple[Call, str]:
    bindings: dict[str, str] = {}
    for instant in clause.wanted:
        for moment in (float(instant), float(instant - Fraction(1)), float(instant + Fraction(1))):
            if clause_truth(clause, (moment,), bindings) is True:
                return call._replace(
                    time=moment
                ), f"call when {clause.operator.name} {', '.join(clause.values)}"
    return call, ""


def _fit_supplied(call: Call, clause: Clause) -> tuple[Call, str]:
    """Supply one value under which the clause holds: a tag, or another condition key."""
    value = "" if clause.operator.kind is Kind.NULL else clause.values[0].strip("*")
    if clause.operator.negated:
        value += "-other"
    base, _, name = clause.key.partition("/")
    if base in TAGS:
        key, _, text = (name, "", value) if name else value.partition("&")
        if base == REQUEST_TAG:
            call = call._replace(request_tags={**(call.request_tags or {}), key: text})
            return call, f"have the tag {key}={text} on the request"
        call = call._replace(resource_tags={**(call.resource_tags or {}), key: text})
        return call, f"have the tag {key}={text} on the resource"
    context = {**(call.context or {}), clause.key: (value,)}
    return call._replace(context=context), f"supply {clause.key} = {value}"


_FITS: Mapping[str, Callable[[Call, Clause], tuple[Call, str]]] = {IP: _fit_address, TIME: _fit_time}


def _concrete(pattern: ResourcePattern, call: Call, owner: Owner, service: str) -> str:
    """Return one resource that a pattern matches, its stars filled with `x`."""
    named = next((Resource.of(text) for text in call.resources if text), None)
    region = pattern.region if pattern.region not in ("", STAR) else named.region if named else ""
    path = fill(pattern.path, bindings_of(call.principal, owner)) or ""
    account = owner.account(pattern.account)
    return f"qcs::{pattern.service or service}:{region}:{account}:{path}".replace(STAR, "x")


def _without_denies(tables: Tables, call: Call, why: Explanation) -> Iterator[Change]:
    """Propose to take the counting denies off the call."""
    counting = {note.id for note in why.statements if note.effect is Effect.DENY and note.counts}
    table = tables.table(call.principal, call.session)
    if not counting or table is None:
        return
    layers = [
        replace(layer, parts=tuple(p for p in layer.parts if isinstance(p, str) or p.id not in counting))
        for layer in table.layers
    ]
    if tables.judge_under(layers, call):
        names = ", ".join(sorted(counting))
        yield Change(len(counting), f"take {names} off this call: narrow or remove the deny")


def _attached(tables: Tables, policies: Mapping[str, Policy], call: Call) -> Iterator[Change]:
    """Propose to attach one more policy of the bundle to the principal."""
    table = tables.table(call.principal, call.session)
    if table is None:
        return
    here = next(layer for layer in table.layers if layer.name == IDENTITY)
    for policy in islice(policies.values(), _TRIED):
        if policy.statements[0] not in here.statements:
            more = replace(here, parts=here.parts + policy.statements)
            layers = [more if layer is here else layer for layer in table.layers]
            if tables.judge_under(layers, call):
                yield Change(1, f"attach the policy {policy.id}")
