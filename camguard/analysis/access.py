"""The access set of a principal and an action: from where, when, and under which conditions a call passes.

Theory of operation. The rules of an action (`engine.row`) depend on a call in four ways: by its address, its
time, its resource, and by tags and further condition keys. A table has already cut the address line and time
into parts on which no condition changes, each with a mask. For a part of the line and an interval of time,
the truth of everything but the other conditions is known. A condition that is left open can help an allow or
a deny only, so two extremes bound all calls of a part: in the best one every open allow holds and no open deny
applies; in the worst one it is the other way round. Both are decided by `engine.row.combine`, as calls are:

* the best is denied: every call of the part is denied;
* the worst is allowed: every call of the part is allowed;
* otherwise the part depends on its open conditions, in the normal form of `Answer`.

Rule 1: an access set is read off the rows that decide calls. A test compares it with an independent reader.
Rule 2: it speaks of calls that have an address, a time and one resource. A call without address or time can
        be refused where the set allows it, because a condition on the missing value is unknown.
Rule 3: principals with the same `Layers` share the work, and so do actions that share a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

from camguard.engine.attributes import ActionTraits, bindings_of, read_only_values, values_of
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.evaluator import PRINCIPAL_UNKNOWN, Evaluator
from camguard.engine.intervals import TimeInterval, interval_at, intervals_of
from camguard.engine.row import ALONE, ActionRules, affords_tags, combine, on_resource_tags, truth_under
from camguard.engine.rules import Rule
from camguard.engine.table import Table
from camguard.ipset import LINE_END, NO_ADDRESS, IpSet
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import READ_ONLY, TAGS
from camguard.policy.model import Clause, Effect, Policy, ResourcePattern
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

    action: the name that the policies of the layer are asked for (DEC-68).
    """

    layer: str
    action: str
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
        return met and not any(
            all(truth_of(c) is not False for c in each.conditions) for each in self.unless
        )


class Range(NamedTuple):
    """Addresses from `first` to `last`, both included, and what is decided there."""

    first: int
    last: int
    answer: Answer


class Window(NamedTuple):
    """Ranges that cover the address line, from the moment `begin` to before `end` (seconds since 1970)."""

    begin: float
    end: float
    ranges: tuple[Range, ...]

    def places(self, word: Word) -> IpSet:
        """Return the addresses with one answer."""
        return IpSet.of_ranges((each.first, each.last) for each in self.ranges if each.answer.word == word)


class AccessSet(NamedTuple):
    """The windows of a principal and an action, in the order of time."""

    principal: str
    action: str
    windows: tuple[Window, ...]

    def at(self, moment: float) -> Window:
        """Return the window of a finite moment. Raises LookupError if the set was not read for it."""
        for window in self.windows:
            if window.begin <= moment < window.end:
                return window
        raise LookupError(moment)


Reader: TypeAlias = Callable[[str, str], AccessSet]


def access_set(  # noqa: PLR0913 - what a question fixes
    evaluator: Evaluator,
    principal: str,
    action: str,
    resource: str | None = None,
    time: float | None = None,
    session: Policy | None = None,
) -> AccessSet:
    """Return one access set; `access_reader` says what the arguments are."""
    return access_reader(evaluator, resource=resource, time=time, session=session)(principal, action)


def access_reader(
    evaluator: Evaluator,
    *,
    resource: str | None = None,
    time: float | None = None,
    session: Policy | None = None,
) -> Reader:
    """Return a function from principal and action to their access set. The function raises nothing.

    resource: the one resource of the calls, or None to leave it open. An inventory settles the conditions on
        the tags of a given resource. time: seconds since 1970; the set then has the window of that time only.
        session: the session policy that limits the calls.
    """
    known: dict[object, tuple[Window, ...]] = {}

    def read(principal: str, action: str) -> AccessSet:
        table, traits = evaluator.table(principal, session), evaluator.traits(action)
        if table is None:
            return AccessSet(principal, action, _everywhere(PRINCIPAL_UNKNOWN))
        row = table.row(action)
        if row is None or traits is None:
            refusal = evaluator.decide(Call(principal, action, 0, 0.0))
            return AccessSet(principal, action, _everywhere(refusal))
        if isinstance(row, Decision):
            key: object = row
            windows = known.get(key)
            if windows is None:
                windows = known[key] = _everywhere(row)
            return AccessSet(principal, action, windows)
        # What makes two actions of one row different: which tags and which access the catalog supplies.
        tags = tuple(asked.supports_tags for asked in traits.asked)
        own = principal if resource is not None and row.has_variables else None
        key = row, tags, own, (principal, action) if row.names_caller else None
        windows = known.get(key)
        if windows is None:
            asks = _Question(evaluator, row, traits, principal, resource)
            windows = known[key] = _windows(table, row, time, _answers(asks))
        return AccessSet(principal, action, windows)

    return read


def _everywhere(decision: Decision) -> tuple[Window, ...]:
    (interval,) = intervals_of((), (0,))
    answer = Answer(decision, decision.statements)
    return (Window(interval.begin, interval.end, (Range(0, LINE_END - 1, answer),)),)


# --- cutting address line and time ---------------------------------------------------------------------


def _windows(
    table: Table, row: ActionRules, time: float | None, answer_of: Callable[[int], Answer]
) -> tuple[Window, ...]:
    used = row.used_bits
    intervals: Iterable[TimeInterval] = (
        intervals_of(table.cuts, table.time_masks)
        if time is None
        else [interval_at(table.cuts, table.time_masks, time)]
    )
    known: dict[int, tuple[Range, ...]] = {}
    windows: list[Window] = []
    for begin, end, mask in intervals:
        ranges = known.get(mask & used)
        if ranges is None:
            ranges = known[mask & used] = tuple(_ranges(table, used, mask, answer_of))
        if windows and windows[-1].ranges == ranges:
            begin = windows.pop().begin  # noqa: PLW2901 - the window before continues
        windows.append(Window(begin, end, ranges))
    return tuple(windows)


def _ranges(
    table: Table, used: int, time_mask: int, answer_of: Callable[[int], Answer]
) -> Iterator[Range]:
    """Yield the ranges of an interval of time; neighbouring ranges have different answers."""
    starts = (0, *table.bounds, LINE_END)
    first, current = 0, None
    for (begin, end), mask in zip(pairwise(starts), table.masks, strict=True):
        if begin == end or NO_ADDRESS[0] <= begin < end <= NO_ADDRESS[1]:
            continue  # no address lies there, so the range before continues
        answer = answer_of((mask | time_mask) & used)
        if current is not None and answer != current:
            yield Range(first, begin - 1, current)
            first = begin
        current = answer
    if current is not None:
        yield Range(first, LINE_END - 1, current)


# --- the answer under a mask ---------------------------------------------------------------------------


class _Question(NamedTuple):
    """What the answers of one row depend on, besides the mask."""

    evaluator: Evaluator
    row: ActionRules
    traits: ActionTraits
    principal: str
    resource: str | None

    def asked(self, layer: int) -> ActionTraits:
        """Return the name that the policies of a layer are asked for."""
        names = self.traits.asked
        return names[layer // (len(self.row.layers) // len(names))]


class _OpenRule(NamedTuple):
    """A rule, what is settled besides its mask, and the conditions that are open.

    bare: the rule without its residual clauses, so that its truth under a mask is that of everything else.
    """

    rule: Rule
    bare: Rule
    settled: Truth
    conditions: tuple[Condition, ...]


def _answers(asks: _Question) -> Callable[[int], Answer]:
    """Return a function from a mask to its answer."""
    rules = tuple(_open_rules(asks))
    known: dict[int, Answer] = {}

    def answer_of(mask: int) -> Answer:
        answer = known.get(mask)
        if answer is None:
            answer = known[mask] = _answer(asks, rules, mask)
        return answer

    return answer_of


def _open_rules(asks: _Question) -> Iterator[_OpenRule]:
    """Yield the rules that can apply."""
    bindings = bindings_of(asks.principal, asks.evaluator.owner)
    tagged = _call_with_tags(asks)
    reached = _reached(asks, bindings)
    for at, rule in enumerate(asks.row.rules):
        truths = [reached[at]]
        conditions = []
        traits = asks.asked(rule.layer)
        if rule.patterns and asks.resource is None:
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
            yield _OpenRule(rule, rule._replace(residual=()), settled, tuple(dict.fromkeys(conditions)))


def _of_patterns(patterns: tuple[ResourcePattern, ...]) -> Condition:
    texts = []
    for pattern in patterns:
        parts = pattern.text.split(":", 5)
        parts[2] = pattern.service  # a deny by the host label is read with the CAM name (DEC-68)
        texts.append(":".join(parts))
    return Condition("resource", "resource", "matches", tuple(dict.fromkeys(texts)), patterns=patterns)


def _reached(asks: _Question, bindings: Bindings) -> Sequence[Truth]:
    """Return for each rule whether its patterns match the given resource; True where none is given."""
    rules = asks.row.rules
    if asks.resource is None:
        return [True] * len(rules)
    wanted = [(rule.patterns, rule.effect) for rule in rules]
    _, found = match_resources((asks.resource,), wanted, asks.evaluator.owner, bindings)
    return [True if each.true else None if each.unknown else False for each in found]


def _call_with_tags(asks: _Question) -> Call | Literal["too many"] | None:
    """Return a call with the tags that the inventory lists for the given resource (DEC-66).

    None where no inventory settles the conditions on tags; `too many` where a decision does not compare them.
    """
    inventory = asks.evaluator.inventory
    if asks.resource is None or inventory is None or not asks.row.reads_tags:
        return None
    tags = inventory.tags_of(asks.resource)
    compared = [
        clause
        for rule in asks.row.rules
        if any(map(on_resource_tags, rule.residual))
        for clause in rule.clauses
    ]
    if not affords_tags([tags], compared):
        return "too many"
    return Call(asks.principal, asks.traits.entry.id, 0, 0.0, (asks.resource,), resource_tags=tags)


def _answer(asks: _Question, rules: Sequence[_OpenRule], mask: int) -> Answer:
    """Return the answer for calls of one mask (see the theory of operation)."""
    held = []
    for each in rules:
        truth = all_of((truth_under(each.bare, mask), each.settled))
        if truth or (truth is None and each.rule.effect is Effect.DENY):
            held.append((each, truth))
    owner_open = asks.row.checks_owner and asks.resource is None
    owned = not asks.row.checks_owner or asks.evaluator.owner.owns(asks.resource)
    best = [
        (each.rule, ALONE[truth])
        for each, truth in held
        if not each.conditions or each.rule.effect is Effect.ALLOW
    ]
    decision = combine(asks.row, best, 1, owned)
    if not decision:
        return Answer(decision, decision.statements)
    worst = [
        (each.rule, ALONE[truth])
        for each, truth in held
        if not each.conditions or each.rule.effect is Effect.DENY
    ]
    decision = combine(asks.row, worst, 1, owned and not owner_open)
    if decision:
        return Answer(decision, decision.statements)
    return _depending(asks, [each for each, _ in held], owner_open=owner_open, owned=owned)


def _depending(
    asks: _Question, held: Sequence[_OpenRule], *, owner_open: bool, owned: bool
) -> Answer:
    """Return the normal form of an answer that open conditions decide."""
    denies = [each for each in held if each.rule.effect is Effect.DENY and each.conditions]
    unless = _fewest(Alternative((each.rule.id,), each.conditions) for each in denies)
    own = asks.evaluator.owner
    of_owner = Condition("owner", "resource", "belongs to account", (f"uin/{own.uin}",))
    needs = []
    certain: list[str] = []
    for at, layer in enumerate(asks.row.layers):
        if not layer.limits or (layer.open and owned and not owner_open):
            continue
        allows = [each for each in held if each.rule.layer == at and each.rule.effect is Effect.ALLOW]
        always = [each.rule.id for each in allows if not each.conditions]
        if always:
            certain += always
            continue
        found = [Alternative((each.rule.id,), each.conditions) for each in allows]
        found += [Alternative((), (of_owner,))] * (layer.open and owner_open)
        # An allow whose conditions include all those of a deny never counts: the deny applies whenever it does.
        alternatives = tuple(
            each
            for each in _fewest(found)
            if not any({*each.conditions}.issuperset(deny.conditions) for deny in unless)
        )
        if not alternatives:
            names = tuple(dict.fromkeys(name for deny in unless for name in deny.statements))
            denied = Decision(Reason.EXPLICIT_DENY, names, asks.row.layers[denies[0].rule.layer].name)
            return Answer(denied, names)
        needs.append(Need(layer.name, asks.asked(at).entry.id, alternatives))
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
