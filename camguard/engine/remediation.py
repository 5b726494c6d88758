"""Remediation: the smallest changes after which a refused call would pass.

Rule 1: every proposal has been tried: the changed call, or the changed layers, are evaluated before it is
        named.
Rule 2: proposals come in the order in which the owner of the policies would take them, that of `Cure`; within
        a kind, those with the fewest changes come first.
Rule 3: no proposal changes a boundary, a session policy or a rule of the language, and none attaches a policy
        that is the boundary of somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum, auto
from itertools import islice, pairwise
from math import inf, nextafter
from typing import Any, NamedTuple

from camguard.engine.attributes import ActionTraits, bindings_of, clause_truth_of
from camguard.engine.call import Call
from camguard.engine.evaluator import Evaluator
from camguard.engine.explain import Explanation
from camguard.engine.layers import ACCOUNT, IDENTITY, Layer
from camguard.engine.table import Table
from camguard.ipset import LINE_END, IpSet, format_address
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, REQUEST_TAG, TAGS, TIME
from camguard.policy.model import ActionPattern, Clause, Effect, Policy, ResourcePattern, Statement
from camguard.policy.operators import Kind
from camguard.policy.patterns import STAR, fill
from camguard.policy.resources import Owner, Resource
from camguard.policy.values import format_moment
from camguard.suggest import few

_MAX_RANGES = 4  # ranges that one proposal lists
_MAX_POLICIES = 500  # policies of the bundle that are tried
_EDITABLE = (ACCOUNT, IDENTITY)  # the layers whose statements a proposal may change (Rule 3)


class Cure(StrEnum):
    """The kinds of proposals, in the order of Rule 2."""

    ADDRESS = auto()  # one address more in a list of a condition
    CALL = auto()  # another call: from another address, at another time, with other tags or resources
    STATEMENT = auto()  # a statement of its own for an action that CAM cannot limit by address
    ACTION = auto()  # one action more in a statement
    DENY = auto()  # a deny that is narrowed or removed
    POLICY = auto()  # one policy more for the principal
    EVERYTHING = auto()  # the same, of a policy that allows everything


_ORDER = (*Cure,)


class Change(NamedTuple):
    """One change that would allow the call. clauses: the number of things that it changes."""

    clauses: int
    text: str
    kind: Cure = Cure.CALL


class _RefusedCall(NamedTuple):
    """A call that was refused, with the table and the traits that it was evaluated by."""

    evaluator: Evaluator
    table: Table
    traits: ActionTraits
    call: Call

    def passes(self, **changed: Any) -> bool:
        """Return whether the call would pass with some fields changed."""
        return bool(self.evaluator.decide(self.call._replace(**changed)))

    def passes_with(self, edit: Callable[[Layer], tuple[Statement | str, ...]]) -> bool:
        """Return whether the call would pass with other statements in the layers that may be edited."""
        layers = [
            replace(layer, parts=edit(layer)) if layer.name in _EDITABLE else layer
            for layer in self.table.layers
        ]
        return bool(self.evaluator.judge_with(layers, self.call))

    def passes_replacing(self, old: Statement, *new: Statement) -> bool:
        """Return whether the call would pass with other statements in place of one."""

        def edit(layer: Layer) -> tuple[Statement | str, ...]:
            return tuple(each for part in layer.parts for each in (new if part is old else (part,)))

        return self.passes_with(edit)

    def editable(self) -> Iterator[tuple[Layer, Statement]]:
        """Yield the statements that a proposal may change, those of a policy that is no boundary (Rule 3)."""
        boundaries = self.evaluator.boundaries()
        for layer in self.table.layers:
            if layer.name in _EDITABLE:
                for statement in layer.statements:
                    if statement.id.rpartition("#")[0] not in boundaries:
                        yield layer, statement


def nearest_changes(
    evaluator: Evaluator, policies: Mapping[str, Policy], call: Call, why: Explanation, *, most: int = 5
) -> tuple[Change, ...]:
    """Return up to `most` changes after which a refused call would pass, the smallest first."""
    table, traits = evaluator.table(call.principal, call.session), evaluator.traits(call.action)
    if why.decision or table is None or traits is None:
        return ()
    refused = _RefusedCall(evaluator, table, traits, call)
    found = [*_with_address(refused), *_from_address(refused), *_at_time(refused)]
    found += [*_matching_statement(refused, why), *_own_statement(refused), *_with_action(refused)]
    found += [*_without_denies(refused, why), *_with_policy(refused, policies)]
    found.sort(key=lambda change: (_ORDER.index(change.kind), change.clauses))
    return tuple(dict.fromkeys(found))[:most]


def allowed_from(evaluator: Evaluator, call: Call) -> IpSet:
    """Return every address from which the call would pass, one look-up for each range of the table."""
    table = evaluator.table(call.principal, call.session)
    bounds = (0, *(table.bounds if table else ()), LINE_END)
    return IpSet.of_ranges(
        (first, last - 1)
        for first, last in pairwise(bounds)
        if first < last and evaluator.decide(call._replace(source_ip=first))
    )


def _with_address(refused: _RefusedCall) -> Iterator[Change]:
    """Propose to add the address of the call to the list of one condition.

    That of an allow for these addresses, or of a deny for all others.
    """
    place = refused.call.source_ip
    if place is None or not refused.traits.supports_ip:
        return
    for layer, statement in refused.editable():
        allows = statement.effect is Effect.ALLOW
        if allows and layer.name != IDENTITY:
            continue
        for clause in statement.condition:
            listed = clause.addresses
            if listed is None or clause.key != IP or place in listed or clause.operator.negated is allows:
                continue
            more = IpSet.of_ranges((*zip(listed.starts, listed.ends, strict=True), (place, place)))
            edited = tuple(
                replace(each, addresses=more) if each is clause else each for each in statement.condition
            )
            if refused.passes_replacing(statement, replace(statement, condition=edited)):
                where = f"{clause.text} {clause.key} of {statement.id} ({clause.where})"
                yield Change(1, f"add {format_address(place)} to {where}", Cure.ADDRESS)


def _own_statement(refused: _RefusedCall) -> Iterator[Change]:
    """Propose a statement of its own, or the setting, for an action that CAM cannot limit by address."""
    if refused.traits.supports_ip:
        return
    action, judged = refused.call.action, replace(refused.traits, supports_ip=True)
    row = refused.table.compile_row(judged)
    setting = 'set enforcement.ip_support = "gateway"'
    evaluator = refused.evaluator
    by_setting = bool(row.judge(refused.call, judged, evaluator.owner, evaluator.inventory))
    for layer, statement in refused.editable():
        free = tuple(clause for clause in statement.condition if clause.key != IP)
        if layer.name != IDENTITY or statement.effect is not Effect.ALLOW or free == statement.condition:
            continue
        if refused.passes_replacing(statement, statement, replace(statement, condition=free)):
            text = f"give {action} a statement of its own, without qcs:ip, beside {statement.id}"
            also = f", or {setting}" if by_setting else ""
            yield Change(1, f"{text} ({statement.where}){also}", Cure.STATEMENT)
            return
    if by_setting:
        yield Change(1, setting, Cure.STATEMENT)


def _with_action(refused: _RefusedCall) -> Iterator[Change]:
    """Propose to add the action to one of the principal's statements about the same service."""
    entry = refused.traits.entry
    pattern = ActionPattern(refused.call.action, entry.service, entry.name)
    for layer, statement in refused.editable():
        if layer.name != IDENTITY or statement.effect is not Effect.ALLOW:
            continue
        if any(each.service == entry.service for each in statement.actions):
            edited = replace(statement, actions=(*statement.actions, pattern))
            if refused.passes_replacing(statement, edited):
                where = statement.actions[0].where.removesuffix("/0")  # the place of the list, or of one text
                text = f"add {refused.call.action} to the actions of {statement.id} ({where})"
                yield Change(1, text, Cure.ACTION)


def _from_address(refused: _RefusedCall) -> Iterator[Change]:
    places = allowed_from(refused.evaluator, refused.call)
    if places.starts:
        yield Change(1, f"call from {_listed(places)}")


def _listed(places: IpSet) -> str:
    return few(places.cidrs(), _MAX_RANGES, rest="or {} more")


def _at_time(refused: _RefusedCall) -> Iterator[Change]:
    """Propose the first interval of time, beginning with the call's, in which it would pass."""
    now = inf if refused.call.time is None else refused.call.time
    cuts = [cut for cut in refused.table.cuts if cut >= now]
    for i, cut in enumerate(cuts):
        if refused.passes(time=cut) or refused.passes(time=nextafter(cut, inf)):
            end = next((c for c in cuts[i:] if not refused.passes(time=nextafter(c, inf))), None)
            until = f" until {format_moment(end)}" if end is not None and end > cut else ""
            yield Change(1, f"call from {format_moment(cut)}{until}")
            return


def _matching_statement(refused: _RefusedCall, why: Explanation) -> Iterator[Change]:
    """Propose changes to the call that make one allow statement apply, clause by clause."""
    by_id = {s.id: s for layer in refused.table.layers for s in layer.statements}
    for note in why.statements:
        if note.effect is Effect.ALLOW and not all(clause.truth for clause in note.clauses):
            changed, texts = _satisfy(refused, by_id[note.id])
            if refused.evaluator.decide(changed):
                yield Change(len(texts), " and ".join(texts))


def _satisfy(refused: _RefusedCall, statement: Statement) -> tuple[Call, list[str]]:
    """Return the call, changed as far as a caller can to satisfy a statement, and a text per change."""
    call, owner = refused.call, refused.evaluator.owner
    bindings = bindings_of(call.principal, owner)
    texts = []
    variants = refused.evaluator.variants(call, refused.traits)
    if len({id(each.resource_tags) for each in variants}) == 1:
        call = variants[0]  # the tags that all resources have, to which a proposal adds one
    for clause in statement.condition:
        if clause_truth_of(clause, call, refused.traits, bindings) is not True:
            call, text = _SATISFY.get(clause.key, _satisfy_supplied)(call, clause)
            texts.append(text)
    if not statement.any_resource and not refused.evaluator.decide(call):
        resource = _example_resource(statement.patterns[0], call, owner, refused.traits.entry.service)
        call = call._replace(resources=(resource,))
        texts.append(f"call it on a resource of {statement.patterns[0].text}")
    return call, texts


def _satisfy_address(call: Call, clause: Clause) -> tuple[Call, str]:
    wanted = clause.addresses or IpSet((), ())
    if not clause.operator.negated:
        return call._replace(source_ip=wanted.starts[0]), f"call from {_listed(wanted)}"
    beyond = (0, *(end + 1 for end in wanted.ends if end + 1 < LINE_END))
    outside = next((place for place in beyond if place not in wanted), call.source_ip)
    return call._replace(source_ip=outside), f"call from outside of {_listed(wanted)}"


def _satisfy_time(call: Call, clause: Clause) -> tuple[Call, str]:
    near = [float(instant) + step for instant in clause.wanted for step in (0, -1, 1)]
    fits = (moment for moment in near if clause_truth(clause, (moment,), {}))
    words = f"call when {clause.operator.name} {', '.join(clause.values)}"
    return call._replace(time=next(fits, call.time)), words


def _satisfy_supplied(call: Call, clause: Clause) -> tuple[Call, str]:
    """Return the call with one more attribute that satisfies the clause: a tag, or another condition key."""
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


_SATISFY: Mapping[str, Callable[[Call, Clause], tuple[Call, str]]] = {
    IP: _satisfy_address,
    TIME: _satisfy_time,
}


def _example_resource(pattern: ResourcePattern, call: Call, owner: Owner, service: str) -> str | None:
    """Return one resource that a pattern matches, or None if a variable has no value.

    An open service becomes that of the action, an open region that of the call, and other stars become an
    `x`.
    """
    path = fill(pattern.path, bindings_of(call.principal, owner))
    if path is None:
        return None
    named = next((Resource.of(text) for text in call.resources if text), None)
    region = named.region if named else ""
    segments = (
        service if pattern.service in ("", STAR) else pattern.service,
        region if pattern.region in ("", STAR) else pattern.region,
        pattern.account,
        path,
    )
    return f"qcs::{':'.join(segments)}".replace(STAR, "x")


def _without_denies(refused: _RefusedCall, why: Explanation) -> Iterator[Change]:
    """Propose to narrow the denies that apply to the call."""
    counting = {note.id for note in why.statements if note.effect is Effect.DENY and note.counts}
    removed = {statement for _, statement in refused.editable() if statement.id in counting}
    if removed and refused.passes_with(lambda layer: tuple(p for p in layer.parts if p not in removed)):
        names = ", ".join(sorted({statement.id for statement in removed}))
        yield Change(
            len({statement.id for statement in removed}), f"narrow or remove the deny {names}", Cure.DENY
        )


def _with_policy(refused: _RefusedCall, policies: Mapping[str, Policy]) -> Iterator[Change]:
    """Propose to attach one more policy of the bundle to the principal."""
    here = next(layer for layer in refused.table.layers if layer.name == IDENTITY)
    if here.open:
        return  # no policy can be attached to the owner
    boundaries = refused.evaluator.boundaries()
    open_to_all = (policy for policy in policies.values() if policy.id not in boundaries)
    for policy in islice(open_to_all, _MAX_POLICIES):
        more = replace(here, parts=here.parts + policy.statements)
        layers = [more if layer is here else layer for layer in refused.table.layers]
        if refused.evaluator.judge_with(layers, refused.call):
            kind = Cure.EVERYTHING if any(map(_allows_everything, policy.statements)) else Cure.POLICY
            yield Change(1, f"attach the policy {policy.id}", kind)


def _allows_everything(statement: Statement) -> bool:
    named = any(each.service == STAR and each.name == STAR for each in statement.actions)
    return statement.effect is Effect.ALLOW and named and statement.any_resource and not statement.condition
