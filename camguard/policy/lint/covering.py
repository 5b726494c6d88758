"""Statements that other statements of the document make pointless (codes CG501 to CG503).

Rule 1: a statement is said to be covered only where its text proves it, whatever the catalog will hold.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from camguard.ipset import IpSet
from camguard.policy.lint.codes import found
from camguard.policy.lint.finding import Finding
from camguard.policy.lint.naming import at_least
from camguard.policy.lint.reaching import wider_place
from camguard.policy.lint.subject import Subject
from camguard.policy.model import ActionPattern, Clause, Effect, Statement
from camguard.policy.star import STAR


def everything(subject: Subject) -> Iterator[Finding]:
    """Find `*` on `*` without a condition."""
    statement = subject.statement
    star = any((p.service, p.name) == (STAR, STAR) for p in statement.actions)
    if subject.allows and star and statement.any_resource and not statement.condition:
        message = "every action on every resource is allowed, without a condition"
        yield found("CG501", subject.spots.at, message, "the actions that are needed, or a condition")


def covered(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Find statements that another statement of the same document covers or takes back."""
    for i, subject in enumerate(subjects):
        statement = subject.statement
        for j, other in enumerate(subjects):
            if i == j or not _could_cover(other, subject):
                continue
            wide = other.statement
            takes_back = wide.effect is not statement.effect
            if takes_back and (subject.statement.effect is Effect.DENY or not _covers(wide, statement)):
                continue
            if not takes_back and not (_covers(wide, statement) and (j < i or not _covers(statement, wide))):
                continue
            code, verb = ("CG503", "denies") if takes_back else ("CG502", f"{wide.effect}s")
            message = f"whatever this {statement.effect}s, {wide.id} {verb}"
            yield found(code, subject.spots.at, message, "leave it out")
            break


def _could_cover(wide: Subject, narrow: Subject) -> bool:
    """Tell quickly that a statement names less than another one: most pairs end here."""
    return not narrow.all_named.either & ~wide.all_named.either and not (
        wide.statement.condition and not narrow.statement.condition
    )


def _covers(wide: Statement, narrow: Statement) -> bool:
    """Tell whether one statement applies wherever another one does."""
    return (
        all(any(_names(p, action, wide.effect) for p in wide.actions) for action in narrow.actions)
        and _reaches(wide, narrow)
        and all(any(_implies(own, clause) for own in narrow.condition) for clause in wide.condition)
    )


def _names(wide: ActionPattern, narrow: ActionPattern, effect: Effect) -> bool:
    if (wide.service, wide.name) == (narrow.service, narrow.name):
        return effect is Effect.DENY or STAR not in wide.service or wide.service == wide.name == STAR
    return at_least(wide, narrow)


def _reaches(wide: Statement, narrow: Statement) -> bool:
    if wide.any_resource:
        return True
    if narrow.any_resource:
        return False
    texts = {pattern.text for pattern in wide.patterns}
    if Effect.DENY in (wide.effect, narrow.effect):
        # On actions without resources a deny's reach rests on all of its actions (11.3).
        same = {(p.service, p.name) for p in wide.actions} == {(p.service, p.name) for p in narrow.actions}
        return same and all(pattern.text in texts for pattern in narrow.patterns)
    return all(p.text in texts or any(wider_place(w, p) for w in wide.patterns) for p in narrow.patterns)


def _implies(narrow: Clause, wide: Clause) -> bool:
    """Tell whether one clause holds only where another one does."""
    if (narrow.text, narrow.key) != (wide.text, wide.key):
        return False
    if frozenset(narrow.values) == frozenset(wide.values):
        return True
    if narrow.addresses is None or wide.addresses is None:
        return False
    if narrow.operator.negated:
        return _inside(wide.addresses, narrow.addresses)
    return _inside(narrow.addresses, wide.addresses)


def _inside(inner: IpSet, outer: IpSet) -> bool:
    return all(
        first in outer and outer.ends[bisect_right(outer.starts, first) - 1] >= last
        for first, last in zip(inner.starts, inner.ends, strict=True)
    )
