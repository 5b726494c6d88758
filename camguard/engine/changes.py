"""The nearest changes that would let a refused call pass.

Rule 1: nothing is proposed that was not tried: each change is decided again before it is named.
Rule 2: fewest changed clauses first; what the caller can do comes before what the policy's author can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice, pairwise
from math import inf, nextafter
from typing import Any, NamedTuple

from camguard.engine.call import Call
from camguard.engine.decide import Tables
from camguard.engine.explain import Explanation, format_moment
from camguard.engine.layers import IDENTITY
from camguard.engine.supply import Terms, bindings_of, values_of
from camguard.engine.table import Table
from camguard.ipset import LINE_END, IpSet
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, REQUEST_TAG, TAGS, TIME
from camguard.policy.model import Clause, Effect, Policy, ResourcePattern, Statement
from camguard.policy.operators import Kind
from camguard.policy.resources import Owner, Resource
from camguard.policy.star import STAR
from camguard.policy.variables import fill
from camguard.suggest import few

_SHOWN = 4  # ranges named in one proposal
_TRIED = 500  # policies of the bundle that are tried on


class Change(NamedTuple):
    """One way to get the call allowed. clauses: how many things it changes."""

    clauses: int
    text: str


class _Asked(NamedTuple):
    """A call that was refused, and what it was judged by."""

    tables: Tables
    table: Table
    terms: Terms
    call: Call

    def passes(self, **changed: Any) -> bool:
        """Tell whether the call would pass with some fields changed."""
        return bool(self.tables.decide(self.call._replace(**changed)))


def nearest_changes(
    tables: Tables, policies: Mapping[str, Policy], call: Call, why: Explanation, *, most: int = 5
) -> tuple[Change, ...]:
    """Return up to `most` changes after which the call would pass, the smallest first; none if it passes."""
    table, terms = tables.table(call.principal, call.session), tables.terms(call.action)
    if why.decision or table is None or terms is None:
        return ()
    asked = _Asked(tables, table, terms, call)
    found = [*_from_where(asked), *_when(asked), *_fitting(asked, why)]
    found += [*_without_denies(asked, why), *_attached(asked, policies)]
    return tuple(sorted(dict.fromkeys(found), key=lambda change: change.clauses)[:most])


def allowed_from(tables: Tables, call: Call) -> IpSet:
    """Return every address from which the call would pass, read off the table's ranges."""
    table = tables.table(call.principal, call.session)
    bounds = (0, *(table.bounds if table else ()), LINE_END)
    return IpSet.of_ranges(
        (first, last - 1)
        for first, last in pairwise(bounds)
        if first < last and tables.decide(call._replace(source_ip=first))
    )


def _from_where(asked: _Asked) -> Iterator[Change]:
    places = allowed_from(asked.tables, asked.call)
    if places.starts:
        yield Change(1, f"call from {_named(places)}")


def _named(places: IpSet) -> str:
    return few(places.cidrs(), _SHOWN, rest="or {} more ranges")


def _when(asked: _Asked) -> Iterator[Change]:
    """Propose the first span of time, from now on, in which the call would pass."""
    now = inf if asked.call.time is None else asked.call.time
    cuts = [cut for cut in asked.table.cuts if cut >= now]
    for i, cut in enumerate(cuts):
        if asked.passes(time=cut) or asked.passes(time=nextafter(cut, inf)):
            end = next((c for c in cuts[i:] if not asked.passes(time=nextafter(c, inf))), None)
            until = f" until {format_moment(end)}" if end is not None and end > cut else ""
            yield Change(1, f"call from {format_moment(cut)}{until}")
            return


def _fitting(asked: _Asked, why: Explanation) -> Iterator[Change]:
    """Propose what would make one allow statement hold, clause by clause."""
    by_id = {s.id: s for layer in asked.table.layers for s in layer.statements}
    for note in why.statements:
        if note.effect is Effect.ALLOW and not all(clause.truth for clause in note.clauses):
            changed, texts = _fit(asked, by_id[note.id])
            if asked.tables.decide(changed):
                yield Change(len(texts), " and ".join(texts))


def _fit(asked: _Asked, statement: Statement) -> tuple[Call, list[str]]:
    """Return the call changed so that a statement holds as far as a caller can, and the words for it."""
    call, owner = asked.call, asked.tables.owner
    bindings = bindings_of(call.principal, owner)
    texts = []
    for clause in statement.condition:
        if clause_truth(clause, values_of(clause.key, call, asked.terms), bindings) is not True:
            call, text = _FITS.get(clause.key, _fit_supplied)(call, clause)
            texts.append(text)
    if not statement.any_resource and not asked.tables.decide(call):
        wished = _concrete(statement.patterns[0], call, owner, asked.terms.entry.service)
        call = call._replace(resources=(wished,))
        texts.append(f"call it on a resource of {statement.patterns[0].text}")
    return call, texts


def _fit_address(call: Call, clause: Clause) -> tuple[Call, str]:
    wanted = clause.addresses or IpSet((), ())
    if not clause.operator.negated:
        return call._replace(source_ip=wanted.starts[0]), f"call from {_named(wanted)}"
    beyond = (0, *(end + 1 for end in wanted.ends if end + 1 < LINE_END))
    outside = next((place for place in beyond if place not in wanted), call.source_ip)
    return call._replace(source_ip=outside), f"call from outside of {_named(wanted)}"


def _fit_time(call: Call, clause: Clause) -> tuple[Call, str]:
    near = [float(instant) + step for instant in clause.wanted for step in (0, -1, 1)]
    fits = (moment for moment in near if clause_truth(clause, (moment,), {}))
    words = f"call when {clause.operator.name} {', '.join(clause.values)}"
    return call._replace(time=next(fits, call.time)), words


def _fit_supplied(call: Call, clause: Clause) -> tuple[Call, str]:
    """Supply one value under which the clause holds: a tag, or another condition key."""
    value = "" if clause.operator.kind is Kind.NULL else clause.values[0].strip("*")
    if clause.operator.negated:
        value += "-other"
    base, _, name = clause.key.partition("/")
    if base in TAGS:
        key, text = (name, value) if name else value.partition("&")[::2]
        if base == REQUEST_TAG:
            call = call._replace(request_tags={**(call.request_tags or {}), key: text})
            return call, f"have the tag {key}={text} on the request"
        call = call._replace(resource_tags={**(call.resource_tags or {}), key: text})
        return call, f"have the tag {key}={text} on the resource"
    context = {**(call.context or {}), clause.key: (value,)}
    return call._replace(context=context), f"supply {clause.key} = {value}"


_FITS: Mapping[str, Callable[[Call, Clause], tuple[Call, str]]] = {IP: _fit_address, TIME: _fit_time}


def _concrete(pattern: ResourcePattern, call: Call, owner: Owner, service: str) -> str | None:
    """Return one resource that a pattern matches, or None if a variable has no value.

    What the pattern leaves open is the action's service and the call's region; other stars become an `x`.
    """
    path = fill(pattern.path, bindings_of(call.principal, owner))
    if path is None:
        return None
    named = next((Resource.of(text) for text in call.resources if text), None)
    region = named.region if named else ""
    segments = (
        service if pattern.service in ("", STAR) else pattern.service,
        region if pattern.region in ("", STAR) else pattern.region,
        owner.account(pattern.account),
        path,
    )
    return f"qcs::{':'.join(segments)}".replace(STAR, "x")


def _without_denies(asked: _Asked, why: Explanation) -> Iterator[Change]:
    """Propose to take the counting denies off the call."""
    counting = {note.id for note in why.statements if note.effect is Effect.DENY and note.counts}
    layers = [
        replace(layer, parts=tuple(p for p in layer.parts if isinstance(p, str) or p.id not in counting))
        for layer in asked.table.layers
    ]
    if asked.tables.judge_under(layers, asked.call):
        names = ", ".join(sorted(counting))
        yield Change(len(counting), f"take {names} off this call: narrow or remove the deny")


def _attached(asked: _Asked, policies: Mapping[str, Policy]) -> Iterator[Change]:
    """Propose to attach one more policy of the bundle to the principal."""
    here = next(layer for layer in asked.table.layers if layer.name == IDENTITY)
    if here.open:
        return  # nothing can be attached to the owner
    for policy in islice(policies.values(), _TRIED):
        more = replace(here, parts=here.parts + policy.statements)
        layers = [more if layer is here else layer for layer in asked.table.layers]
        if asked.tables.judge_under(layers, asked.call):
            yield Change(1, f"attach the policy {policy.id}")
