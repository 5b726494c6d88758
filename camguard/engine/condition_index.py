"""Which rules of a row have conditions that hold for a call, found by look-ups instead of evaluations.

Theory of operation. The conditions on address and time are bits of the table's mask, so the rules that hold
under one mask are computed once and kept. The other clauses of all rules are grouped by their key, because a
call has the same values for all of them. `string_equal` and `string_not_equal` are found by the value: a
dictionary has for each value that a policy names the rules that it leaves. Other clauses on the key are
evaluated, and a bounded cache keeps the result for these values. Only clauses with a variable, whose value
depends on the principal, are evaluated at each call.

Rule 1: the answer is that of `camguard.engine.attributes.clause_truth_of` for each clause.
Rule 2: an answer is a pair of masks with one bit for each rule: the rules that may hold, and the rules that
        do not surely hold. What the second mask says of a rule that cannot hold has no meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from camguard.bounded_cache import BoundedCache
from camguard.engine.attributes import ActionTraits, reader_of
from camguard.engine.call import Call
from camguard.engine.row import truth_without_residual
from camguard.engine.rules import Rule
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import REGION, RESOURCE_TAGS
from camguard.policy.model import Clause, Qualifier
from camguard.policy.patterns import Bindings

Masks: TypeAlias = tuple[int, int]  # Rule 2
KEPT_SETS = 256  # sets of values of a key whose result is kept
_EQUALITIES = frozenset(("string_equal", "string_not_equal"))
_ALL = -1  # the mask with every bit


def under(rules: Sequence[Rule], mask: int) -> Masks:
    """Return the masks of the conditions on address and time. mask: the bits of the table that are set."""
    held = doubt = 0
    for at, rule in enumerate(rules):
        truth = truth_without_residual(rule, mask)
        held |= (truth is not False) << at
        doubt |= (truth is None) << at
    return held, doubt


def _compared(clauses: Mapping[Clause, int], bindings: Bindings, values: Sequence[Any]) -> Masks:
    """Return the masks of clauses on one key, each given with its rules. values: of the key."""
    held, doubt = _ALL, 0
    for clause, rules in clauses.items():
        truth = clause_truth(clause, values, bindings)
        held &= ~rules if truth is False else _ALL
        doubt |= rules if truth is None else 0
    return held, doubt


class _Equalities(NamedTuple):
    """Clauses on one key that compare for equality, at most one of each rule.

    kept: value -> the mask without the rules whose clause is False for it. others: for every other value.
    """

    qualifier: Qualifier
    kept: Mapping[str, int]
    others: int

    def compared(self, values: Sequence[str]) -> Masks:
        """Return the masks of the clauses."""
        every, some = _ALL, 0
        for value in values:
            kept = self.kept.get(value, self.others)
            every &= kept
            some |= kept
        if self.qualifier is Qualifier.ALL:
            return every, 0
        return some, 0 if self.qualifier is Qualifier.ANY else some & ~every  # DEC-28


def _equalities(qualifier: Qualifier, clauses: Mapping[Clause, int]) -> _Equalities:
    others = _ALL
    for clause, rules in clauses.items():
        others &= _ALL if clause.operator.negated else ~rules
    kept: dict[str, int] = {}
    for clause, rules in clauses.items():
        for value in clause.wanted:
            before = kept.get(value, others)
            kept[value] = before & ~rules if clause.operator.negated else before | rules
    return _Equalities(qualifier, kept, others)


class KeyIndex:
    """The residual clauses of a row on one key, each with the mask of the rules that have it.

    name: which of the names that policies are asked for the rules belong to (DEC-68). of_resource: whether
    the key is on the tags of the resource. varying: the clauses that contain a variable.
    """

    __slots__ = ("_absent", "_equal", "_name", "_read", "_rest", "_rules", "of_resource", "varying")

    def __init__(self, name: int, key: str, clauses: Mapping[Clause, int]) -> None:
        self._name = name
        self._read = reader_of(key)
        self.of_resource = key.partition("/")[0] in RESOURCE_TAGS
        self.varying: dict[Clause, int] = {}
        self._rules = 0
        equal: dict[Qualifier, dict[Clause, int]] = {}
        rest: dict[Clause, int] = {}
        for clause, rules in clauses.items():
            self._rules |= rules
            alike = equal.setdefault(clause.qualifier, {})
            if any(isinstance(wanted, tuple) for wanted in clause.wanted):
                self.varying[clause] = rules
            elif (
                clause.operator.name in _EQUALITIES
                and not key.endswith(REGION)  # a region has several spellings (DEC-64)
                and not any(rules & others for others in alike.values())
            ):
                alike[clause] = rules
            else:
                rest[clause] = rules
        self._absent = _compared(clauses, {}, ())
        self._equal = tuple(_equalities(qualifier, alike) for qualifier, alike in equal.items() if alike)
        self._rest: BoundedCache[tuple[Any, ...], Masks] | None = None
        if rest:
            self._rest = BoundedCache(partial(_compared, rest, {}), entries=KEPT_SETS, size=letters)

    def narrowed(self, masks: Masks, call: Call, traits: ActionTraits, bindings: Bindings) -> Masks:
        """Return masks combined with those of the clauses on the key."""
        held, doubt = masks
        values = self._read(call, traits.further[self._name - 1] if self._name else traits)
        if values is None:
            return held, doubt | self._rules
        if not values:
            kept, unclear = self._absent
            return held & kept, doubt | unclear
        if len(values) == 1:
            (value,) = values
            for _, left, others in self._equal:
                held &= left.get(value, others)
        else:
            for equal in self._equal:
                kept, unclear = equal.compared(values)
                held &= kept
                doubt |= unclear
        if self._rest is not None:
            kept, unclear = self._rest[tuple(values)]
            held &= kept
            doubt |= unclear
        if self.varying:
            kept, unclear = _compared(self.varying, bindings, values)
            held &= kept
            doubt |= unclear
        return held, doubt


def key_indexes(rules: Sequence[Rule], layers: int) -> tuple[KeyIndex, ...]:
    """Return the index of each key. layers: how many there are for each name of the action (DEC-68)."""
    clauses: dict[tuple[int, str], dict[Clause, int]] = {}
    for at, rule in enumerate(rules):
        for clause in rule.residual:
            alike = clauses.setdefault((rule.layer // layers, clause.key), {})
            alike[clause] = alike.get(clause, 0) | 1 << at
    return tuple(KeyIndex(name, key, alike) for (name, key), alike in clauses.items())


def letters(texts: Iterable[str]) -> int:
    """Return the length of texts together: the size of a key of a cache."""
    return sum(map(len, texts))
