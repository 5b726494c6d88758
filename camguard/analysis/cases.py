"""The cases in which one answer allows calls that another answer denies.

Theory of operation. An allowed call meets every need of an answer and escapes every deny of it: of each need
one alternative has conditions that are all true, and of each deny one condition is false. A way to be allowed
is therefore a set of literals, each a condition that must be true or must be false, and an answer is the set
of its least ways. More literals never turn an allowed call into a denied one. So some call of a way is denied
by another answer exactly if a call is for which nothing else is known than the literals of the way and what
follows from them.

Rule 1: nothing that changes is left out. Two conditions are called dependent only where their texts prove it,
        and an answer with very many ways counts as one way of which nothing is known (`MOST_WAYS`).
Rule 2: a condition has three values. A condition that is not true need not be false (DEC-1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import NamedTuple, TypeAlias

from camguard.analysis.answers import Answer, Condition
from camguard.lint.check_redundancy import all_reached
from camguard.policy.model import Qualifier
from camguard.policy.values import Truth

MOST_WAYS = 256


class Literal(NamedTuple):
    """A condition that must hold, or must be known not to hold."""

    condition: Condition
    holds: bool

    def __str__(self) -> str:
        return str(self.condition) if self.holds else f"not ({self.condition})"


Way: TypeAlias = tuple[Literal, ...]


class Cases(NamedTuple):
    """The ways to be allowed that are new. exact: False where there are too many to list (Rule 1)."""

    ways: tuple[Way, ...]
    exact: bool = True

    def __bool__(self) -> bool:
        """Return whether a call can be allowed that was denied."""
        return bool(self.ways) or not self.exact


ALWAYS, NEVER = Cases(((),)), Cases(())


def newly_allowed(before: Answer, after: Answer) -> Cases:
    """Return the cases in which `after` allows a call that `before` denies."""
    if before.decision or (after.decision is not None and not after.decision):
        return NEVER
    before, after = before.bare(), after.bare()
    if before == after:
        return NEVER
    ways = ways_of(after)
    if ways is None:
        return Cases((), exact=False)
    every = tuple(before.conditions())
    return Cases(tuple(way for way in ways if not before.allows(_known(way, every))))


def ways_of(answer: Answer) -> tuple[Way, ...] | None:
    """Return the least ways to be allowed by an answer that depends, or None if there are too many."""
    ways: list[frozenset[Literal]] = [frozenset()]
    choices = [
        [
            frozenset(Literal(condition, holds=True) for condition in each.conditions)
            for each in need.alternatives
        ]
        for need in answer.needs
    ]
    choices += [
        [frozenset([Literal(condition, holds=False)]) for condition in each.conditions]
        for each in answer.unless
    ]
    for choice in choices:
        ways = list(_least(way | part for way, part in product(ways, choice)))
        if len(ways) > MOST_WAYS:
            return None
    order = {condition: at for at, condition in enumerate(answer.conditions())}
    return tuple(tuple(sorted(way, key=lambda each: (not each.holds, order[each.condition]))) for way in ways)


def _least(ways: Iterable[frozenset[Literal]]) -> Iterator[frozenset[Literal]]:
    """Yield the possible ones of some ways, each once and without those that contain another one."""
    possible = sorted((way for way in ways if _possible(way)), key=len)
    kept: list[frozenset[Literal]] = []
    for way in possible:
        if not any(other <= way for other in kept):
            kept.append(way)
            yield way


def _possible(way: frozenset[Literal]) -> bool:
    true = [each.condition for each in way if each.holds]
    return not any(
        one == each.condition or implies(one, each.condition)
        for each in way
        if not each.holds
        for one in true
    )


def _known(way: Way, every: Iterable[Condition]) -> Callable[[Condition], Truth]:
    """Return what is known of each condition from the literals of a way, and nothing else."""
    known: dict[Condition, Truth] = {}
    for condition in every:
        for literal, holds in way:
            if literal == condition or (
                implies(literal, condition) if holds else implies(condition, literal)
            ):
                known[condition] = holds
    return known.get


def implies(narrow: Condition, wide: Condition) -> bool:
    """Return whether `wide` is true wherever `narrow` is, and `narrow` false wherever `wide` is.

    Judged by their texts: False says that it is not known.
    """
    if narrow.kind != wide.kind or (narrow.key, narrow.operator) != (wide.key, wide.operator):
        return False
    if narrow.kind == "resource":
        return all_reached(wide.patterns, narrow.patterns)
    if narrow.clause is None or wide.clause is None or narrow.clause.qualifier is not Qualifier.NONE:
        return False
    if narrow.clause.operator.negated:
        return set(wide.values) <= set(narrow.values)
    return set(narrow.values) <= set(wide.values)
