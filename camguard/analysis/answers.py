"""What is decided on one part of the address line in one interval of time, and what it depends on.

Theory of operation. The rules of an action (`engine.row`) depend on a call in four ways: by its address, its
time, its resource, and by tags and further condition keys. A table has already cut the address line and time
into parts on which no condition changes, each with a mask. Under one mask, the truth of everything but the
other conditions is known. A condition that is left open can help an allow or a deny only, so two extremes
bound all calls of a mask: in the best one every open allow holds and no open deny applies; in the worst one
it is the other way round. Both are decided by `engine.row.combine`, as calls are:

* the best is denied: every call of the mask is denied;
* the worst is allowed: every call of the mask is allowed;
* otherwise the answer depends on open conditions, in the normal form of `Answer`.

Rule 1: answers are read off the rows that decide calls. A test compares them with an independent reader.
Rule 2: an answer is for calls that have an address, a time and one resource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal, NamedTuple, TypeAlias

from camguard.engine.attributes import ActionTraits, bindings_of, read_only_values, values_of
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.evaluator import Evaluator
from camguard.engine.row import ALONE, ActionRules, affords_tags, combine, on_resource_tags, truth_under
from camguard.engine.rules import Rule
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import READ_ONLY, TAGS
from camguard.policy.model import Clause, Effect, ResourcePattern
from camguard.policy.patterns import Bindings
from camguard.policy.resources import match_resources
from camguard.policy.values import Truth, all_of

Kind: TypeAlias = Literal["resource", "owner", "tag", "key"]
Word: TypeAlias = Literal["allow", "deny", "depends"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One question about a call that its address and its time do not answer.

    kind: about the resource, about the account that the resource belongs to, about a tag, or about another
    condition key. values: as policies write them. clause, patterns: what the condition was made of.
    """

    kind: Kind
    key: str
    operator: str
    values: tuple[str, ...]
    clause: Clause | None = field(default=None, compare=False, repr=False)
    patterns: tuple[ResourcePattern, ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.key} {self.operator} {', '.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Alternative:
    """Statements that apply under the same conditions. Without a statement: what root may do by itself."""

    statements: tuple[str, ...]
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """A layer that must allow, and does where all conditions of one of the alternatives are true.

    action: the name that the policies of the layer are asked for, where it is not that of the call (DEC-68).
    """

    layer: str
    action: str | None
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is decided on a part of the address line in an interval of time.

    decision: of every call, or None where it depends. statements: those that decide, or can decide.
    needs, unless: where it depends, a call is allowed if every need is met, unless all conditions of one of
    the denies in `unless` hold or cannot be determined.
    """

    decision: Decision | None
    statements: tuple[str, ...]
    needs: tuple[Need, ...] = ()
    unless: tuple[Alternative, ...] = ()

    @property
    def word(self) -> Word:
        """The answer in one word."""
        if self.decision is None:
            return "depends"
        return "allow" if self.decision else "deny"

    def bare(self) -> Answer:
        """Return the answer without its statements and with one pattern in each condition on resources.

        Equal answers of different statements are then equal, and answers can be compared pattern by pattern.
        """
        if self.decision is not None:
            return ALLOWED if self.decision else DENIED
        needs = (Need("", None, tuple(_by_pattern(need.alternatives))) for need in self.needs)
        return Answer(None, (), tuple(dict.fromkeys(needs)), tuple(_by_pattern(self.unless)))

    def conditions(self) -> Iterator[Condition]:
        """Yield each condition that the answer depends on, once."""
        every = (*(each for need in self.needs for each in need.alternatives), *self.unless)
        yield from dict.fromkeys(condition for each in every for condition in each.conditions)

    def allows(self, truth_of: Callable[[Condition], Truth]) -> bool:
        """Return whether a call is allowed. truth_of: whether a condition holds for the call."""
        if self.decision is not None:
            return bool(self.decision)
        met = all(
            any(all(truth_of(c) is True for c in each.conditions) for each in need.alternatives)
            for need in self.needs
        )
        return met and not any(all(truth_of(c) is not False for c in each.conditions) for each in self.unless)


def _by_pattern(alternatives: Iterable[Alternative]) -> Iterable[Alternative]:
    """Return alternatives without statements: a list of patterns holds where one of its patterns does."""
    return dict.fromkeys(
        Alternative((), tuple(conditions))
        for each in alternatives
        for conditions in product(*map(_patterns_of, each.conditions))
    )


def _patterns_of(condition: Condition) -> Sequence[Condition]:
    if len(condition.values) != len(condition.patterns):
        return (condition,)
    pairs = zip(condition.values, condition.patterns, strict=True)
    return [replace(condition, values=(text,), patterns=(pattern,)) for text, pattern in pairs]


ALLOWED, DENIED = Answer(Decision(Reason.ALLOWED), ()), Answer(Decision(Reason.NO_ALLOW), ())


class Question(NamedTuple):
    """What the answers of one row depend on, besides the mask."""

    evaluator: Evaluator
    row: ActionRules
    traits: ActionTraits
    principal: str
    resource: str | None

    def traits_at(self, layer: int) -> ActionTraits:
        """Return the name that the policies of a layer are asked for."""
        names = self.traits.cam_actions
        return names[layer // (len(self.row.layers) // len(names))]


def named_as_called(traits: ActionTraits) -> bool:
    """Return whether policies are asked for the name that a call has, and for no other one (DEC-68)."""
    return traits.label is None and not traits.further


class OpenRule(NamedTuple):
    """A rule, what is settled besides its mask, and the conditions that are open.

    bare: the rule without its residual clauses, so that its truth under a mask is that of everything else.
    """

    rule: Rule
    bare: Rule
    settled: Truth
    conditions: tuple[Condition, ...]


def answers_of(question: Question) -> Callable[[int], Answer]:
    """Return a function from a mask to its answer."""
    plain = question.row.rangeable and not question.row.residual  # address and time are all that matters
    rules = () if plain else tuple(open_rules(question))
    known: dict[int, Answer] = {}
    equal: dict[Decision, Answer] = {}

    def answer_of(mask: int) -> Answer:
        answer = known.get(mask)
        if answer is None and plain:
            decision = question.row.decision_for(mask)
            answer = equal.get(decision)
            if answer is None:
                answer = equal[decision] = Answer(decision, decision.statements)
            known[mask] = answer
        elif answer is None:
            answer = known[mask] = _answer(question, rules, mask)
        return answer

    return answer_of


def open_rules(question: Question) -> Iterator[OpenRule]:
    """Yield the rules that can apply."""
    bindings = bindings_of(question.principal, question.evaluator.owner)
    tagged = _call_with_tags(question)
    reached = _reached(question, bindings)
    for at, rule in enumerate(question.row.rules):
        truths = [reached[at]]
        conditions = []
        traits = question.traits_at(rule.layer)
        if rule.patterns and question.resource is None:
            conditions.append(_of_patterns(rule.patterns))
        for clause in rule.residual:
            base = clause.key.partition("/")[0]
            if clause.key == READ_ONLY:
                truths.append(clause_truth(clause, read_only_values(traits.entry), bindings))
            elif base in TAGS and not traits.supports_tags:
                truths.append(None)
            elif tagged is not None and on_resource_tags(clause):
                truths.append(
                    None
                    if isinstance(tagged, str)
                    else clause_truth(clause, values_of(clause.key, tagged, traits), bindings)
                )
            else:
                kind: Kind = "tag" if base in TAGS else "key"
                conditions.append(Condition(kind, clause.key, clause.text, clause.values, clause=clause))
        settled = all_of(truths)
        if settled is not False:
            yield OpenRule(rule, rule._replace(residual=()), settled, tuple(dict.fromkeys(conditions)))


def _of_patterns(patterns: tuple[ResourcePattern, ...]) -> Condition:
    texts = []
    for pattern in patterns:
        parts = pattern.text.split(":")
        parts[2] = pattern.service  # a deny by the host label is read with the CAM name (DEC-68)
        texts.append(":".join(parts))
    return Condition("resource", "resource", "matches", tuple(dict.fromkeys(texts)), patterns=patterns)


def _reached(question: Question, bindings: Bindings) -> Sequence[Truth]:
    """Return for each rule whether its patterns match the given resource; True where none is given."""
    rules = question.row.rules
    if question.resource is None:
        return [True] * len(rules)
    wanted = [(rule.patterns, rule.effect) for rule in rules]
    _, found = match_resources((question.resource,), wanted, question.evaluator.owner, bindings)
    return [True if each.true else None if each.unknown else False for each in found]


ANYWHERE = (None, None)  # address and time of a call whose decision depends on neither


def _call_with_tags(question: Question) -> Call | Literal["too many"] | None:
    """Return a call with the tags that the inventory lists for the given resource (DEC-66).

    None where no inventory settles the conditions on tags; `too many` where a decision does not compare them.
    """
    inventory = question.evaluator.inventory
    if question.resource is None or inventory is None or not question.row.reads_tags:
        return None
    tags = inventory.tags_of(question.resource)
    compared = [
        clause
        for rule in question.row.rules
        if any(map(on_resource_tags, rule.residual))
        for clause in rule.clauses
    ]
    if not affords_tags([tags], compared):
        return "too many"
    action = question.traits.entry.id
    return Call(question.principal, action, *ANYWHERE, (question.resource,), resource_tags=tags)


def _answer(question: Question, rules: Sequence[OpenRule], mask: int) -> Answer:
    """Return the answer for calls of one mask (see the theory of operation)."""
    held = []
    for each in rules:
        truth = all_of((truth_under(each.bare, mask), each.settled))
        if truth or (truth is None and each.rule.effect is Effect.DENY):
            held.append((each, truth))
    owner_open = question.row.checks_owner and question.resource is None
    owned = not question.row.checks_owner or question.evaluator.owner.owns(question.resource)
    best = [
        (each.rule, ALONE[truth])
        for each, truth in held
        if not each.conditions or each.rule.effect is Effect.ALLOW
    ]
    decision = combine(question.row, best, 1, owned)
    if not decision:
        return Answer(decision, decision.statements)
    worst = [
        (each.rule, ALONE[truth])
        for each, truth in held
        if not each.conditions or each.rule.effect is Effect.DENY
    ]
    decision = combine(question.row, worst, 1, owned and not owner_open)
    if decision:
        return Answer(decision, decision.statements)
    return _depending(question, [each for each, _ in held], owner_open=owner_open, owned=owned)


def _depending(question: Question, held: Sequence[OpenRule], *, owner_open: bool, owned: bool) -> Answer:
    """Return the normal form of an answer that open conditions decide."""
    denies = [
        each for each in held if each.rule.effect is Effect.DENY
    ]  # without conditions the best is denied
    unless = _fewest(Alternative((each.rule.id,), each.conditions) for each in denies)
    own = question.evaluator.owner
    of_owner = Condition("owner", "resource", "belongs to account", (f"uin/{own.uin}",))
    needs = []
    certain: list[str] = []
    for at, layer in enumerate(question.row.layers):
        if not layer.limits or (layer.open and owned and not owner_open):
            continue
        allows = [each for each in held if each.rule.layer == at and each.rule.effect is Effect.ALLOW]
        always = [each.rule.id for each in allows if not each.conditions]
        if always:
            certain += always
            continue
        found = [Alternative((each.rule.id,), each.conditions) for each in allows]
        found += [Alternative((), (of_owner,))] * layer.open
        # An allow that has all conditions of a deny never counts: where it holds, the deny does, too.
        alternatives = tuple(
            each
            for each in _fewest(found)
            if not any({*each.conditions}.issuperset(deny.conditions) for deny in unless)
        )
        if not alternatives:
            names = tuple(dict.fromkeys(name for deny in unless for name in deny.statements))
            denied = Decision(Reason.EXPLICIT_DENY, names, question.row.layers[denies[0].rule.layer].name)
            return Answer(denied, names)
        name = None if named_as_called(question.traits) else question.traits_at(at).entry.id
        needs.append(Need(layer.name, name, alternatives))
    named = (*certain, *(name for need in needs for each in need.alternatives for name in each.statements))
    names = tuple(dict.fromkeys((*named, *(name for deny in unless for name in deny.statements))))
    return Answer(None, names, tuple(dict.fromkeys(needs)), unless)


def _fewest(alternatives: Iterable[Alternative]) -> tuple[Alternative, ...]:
    """Return the alternatives without those that another one with fewer conditions makes superfluous."""
    by_conditions: dict[frozenset[Condition], Alternative] = {}
    for each in alternatives:
        key = frozenset(each.conditions)
        known = by_conditions.get(key)
        by_conditions[key] = (
            each if known is None else Alternative((*known.statements, *each.statements), known.conditions)
        )
    return tuple(
        each for key, each in by_conditions.items() if not any(other < key for other in by_conditions)
    )
