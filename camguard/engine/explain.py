"""Explains a decision: every statement that names the action of the call, clause by clause.

Rule 1: the explained decision is computed without range tables, so that it checks those that `decide` uses.
Rule 2: the decision was computed from the truths; the texts beside them explain them to readers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from camguard.catalog.model import Action
from camguard.engine.attributes import ActionTraits, bindings_of, clause_truth_of, values_of
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.engine.evaluator import Evaluator
from camguard.engine.layers import Layer
from camguard.engine.rules import read_by_label, resource_reach
from camguard.ipset import format_address
from camguard.policy.actions import action_match
from camguard.policy.keys import IP, READ_ONLY, RESOURCE_TAGS, TIME
from camguard.policy.model import Clause, Effect, Statement
from camguard.policy.resources import Resource, resource_match
from camguard.policy.values import Truth, all_of, any_of, format_moment

Kind = Literal["action", "resource", "condition"]


class ClauseNote(NamedTuple):
    """One clause of a statement: its text, whether it holds, and the reason in words."""

    kind: Kind
    text: str
    truth: Truth
    why: str


class StatementNote(NamedTuple):
    """One statement that names the action. counts: an allow that is True, or a deny that is not False."""

    id: str
    layer: str
    effect: Effect
    where: str
    truth: Truth
    counts: bool
    clauses: tuple[ClauseNote, ...]


class Explanation(NamedTuple):
    """A decision, the action's catalog entry, and the statements that name the action, in evaluation order.

    missing: attached policies that do not exist; each counts as a deny that cannot be evaluated.
    foreign: for the owner, the resources of the call that belong to other accounts (CAM 10.3).
    cam_names: the names that policies were asked for (DEC-68).
    """

    decision: Decision
    entry: Action | None
    statements: tuple[StatementNote, ...]
    missing: tuple[str, ...]
    foreign: tuple[str, ...] = ()
    cam_names: tuple[str, ...] = ()


def explain(evaluator: Evaluator, call: Call) -> Explanation:
    """Return the decision of a call with its statements. Raises nothing."""
    table, traits = evaluator.table(call.principal, call.session), evaluator.traits(call.action)
    if table is None or traits is None:
        return Explanation(evaluator.decide(call), traits.entry if traits else None, (), ())
    notes = tuple(
        note
        for each in traits.cam_actions
        for layer in table.layers
        for s in layer.statements
        for note in _notes(evaluator, layer, s, call, each)
    )
    missing = tuple(policy for layer in table.layers for policy in layer.missing)
    checks_owner = table.compile_row(traits).checks_owner
    foreign = tuple(
        each for each in call.resources if checks_owner and each and not evaluator.owner.owns(each)
    )
    cam_names = tuple(each.entry.id for each in traits.cam_actions)
    return Explanation(evaluator.judge(call), traits.entry, notes, missing, foreign, cam_names)


def _notes(
    evaluator: Evaluator, layer: Layer, statement: Statement, call: Call, traits: ActionTraits
) -> Iterator[StatementNote]:
    """Yield the note on a statement that names the action, or on what it says of the host label (DEC-68)."""
    entry = traits.entry
    named = [
        (p.text, action_match(p, statement.effect, entry.service, entry.name)) for p in statement.actions
    ]
    truth = any_of(found for _, found in named)
    note = None
    if truth is not False:
        text = next(written for written, found in named if found is truth)
        why = (
            "names the action"
            if truth
            else "names the action in another letter case, or by a star in the service"
        )
        note = _note(evaluator, layer, statement, call, traits, ClauseNote("action", text, truth, why))
    by_label = read_by_label(statement, truth, traits)
    if by_label is not None and not (note and note.counts):
        text = " ".join(pattern.text for pattern in statement.actions)
        why = f"names {traits.label.id if traits.label else ''}, for which policies are asked {entry.id}"
        note = _note(evaluator, layer, by_label, call, traits, ClauseNote("action", text, None, why))
    if note is not None:
        yield note


def _note(  # noqa: PLR0913, PLR0917 - the values of one evaluation
    evaluator: Evaluator,
    layer: Layer,
    statement: Statement,
    call: Call,
    traits: ActionTraits,
    named: ClauseNote,
) -> StatementNote:
    """Return the note on a statement. named: the clause that says how it names the action."""
    entry = traits.entry
    places = tuple(_resource_notes(evaluator, statement, call, entry))
    tagged = any(_of_resource(clause) for clause in statement.condition)
    variants = evaluator.variants(call, traits) if tagged else (call,)
    notes = [
        [_condition_note(evaluator, clause, variant, traits) for clause in statement.condition]
        for variant in variants
    ]
    # One resource is enough: an allow grants it, and a deny of one resource refuses the whole call. Each
    # resource is judged with its own tags (DEC-66).
    reached = [any_of(note.truth for note in places)] * len(variants)
    if len(places) == len(variants):
        reached = [place.truth for place in places]
    met = any_of(
        all_of((named.truth, place, *(note.truth for note in each)))
        for place, each in zip(reached, notes, strict=True)
    )
    conditions = tuple(dict.fromkeys(note for of_clause in zip(*notes, strict=True) for note in of_clause))
    counts = met is True if statement.effect is Effect.ALLOW else met is not False
    return StatementNote(
        statement.id,
        layer.name,
        statement.effect,
        statement.where,
        met,
        counts,
        (named, *places, *conditions),
    )


def _resource_notes(
    evaluator: Evaluator, statement: Statement, call: Call, entry: Action
) -> Iterator[ClauseNote]:
    texts = "*" if statement.any_resource else " ".join(pattern.text for pattern in statement.patterns)
    reach = resource_reach(statement, entry, evaluator.catalog)
    if not reach.patterns:
        yield ClauseNote("resource", texts, reach.truth, reach.why)
        return
    bindings = bindings_of(call.principal, evaluator.owner)
    for resource in call.resources:
        truth: Truth = None
        if resource is not None:
            place = Resource.of(resource)
            truth = any_of(
                resource_match(p, statement.effect, place, evaluator.owner, bindings)
                for p in statement.patterns
            )
        shown = resource or "a resource that the parameters of the call do not determine"
        words = {True: "matches", False: "does not match", None: "cannot be compared with"}[truth]
        yield ClauseNote("resource", texts, truth, f"{words} {shown}")


def _of_resource(clause: Clause) -> bool:
    return clause.key.partition("/")[0] in RESOURCE_TAGS


def _condition_note(evaluator: Evaluator, clause: Clause, call: Call, traits: ActionTraits) -> ClauseNote:
    have = values_of(clause.key, call, traits)
    truth = clause_truth_of(clause, call, traits, bindings_of(call.principal, evaluator.owner))
    text = f"{clause.text} {clause.key} {', '.join(clause.values)}"
    if have is None and clause.key == READ_ONLY:
        why = f"the catalog does not say for sure whether {traits.entry.id} only reads"
    elif have is None:
        why = f"this call does not supply {clause.key}"
        of_resource = _of_resource(clause) and traits.has_resources
        if of_resource and evaluator.inventory is not None:
            why += ": resource_tags.json does not list the resource"
    elif not have:
        why = f"{clause.key} is absent"
    else:
        why = f"{clause.key} is {', '.join(_shown(clause.key, value) for value in have)}"
    if clause.key == IP and not traits.supports_ip:
        why += f", and CAM may not receive it: {traits.entry.id} does not support limits by source address"
    return ClauseNote("condition", text, truth, why)


def _shown(key: str, value: Any) -> str:
    if key == IP:
        return format_address(value)
    if key == TIME:
        return format_moment(value)
    return repr(value)
