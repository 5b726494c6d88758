"""Clauses that exclude each other (codes CG401, CG402; cam-semantics 7.4).

Rule 1: nothing is reported that some value could satisfy: the values that are tried include one of every
        kind that the clauses tell apart, and what cannot be known counts as satisfied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from camguard.ipset import LINE_END, V4_END, IpSet
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, TAGS, TIME
from camguard.policy.lint.codes import found
from camguard.policy.lint.finding import Finding
from camguard.policy.lint.ranges import judges_address
from camguard.policy.lint.subject import Subject
from camguard.policy.model import Clause
from camguard.policy.operators import Kind

# Keys of which a call has one value at most, so that two clauses speak of the same value.
_SINGLE = frozenset(
    (IP, TIME, "qcs:uin", "qcs:owner_uin", "qcs:create_uin", "qcs:vpc", "qcs:mfa", "qcs:BindToken")
)
_ALWAYS = frozenset((IP, TIME))  # never absent where they are supplied


def exclusions(subject: Subject) -> Iterator[Finding]:
    """Find keys whose clauses no value satisfies together."""
    by_key: dict[str, list[tuple[Clause, str]]] = {}
    for clause, (at, _) in zip(subject.statement.condition, subject.spots.clauses, strict=True):
        by_key.setdefault(clause.key, []).append((clause, at))
    for key, placed in by_key.items():
        clauses = [clause for clause, _ in placed]
        if len(clauses) == 1 or not _single(key) or _can_hold(key, clauses):
            continue
        at, _ = subject.spots.element("condition")
        written = " and ".join(dict.fromkeys(clause.text for clause in clauses))
        what = "value" if key not in _ALWAYS else "address" if key == IP else "moment"
        message = f"no {what} of {key} meets {written} together"
        certain = key == TIME or (key == IP and judges_address(subject))
        if certain and not subject.allows:
            partly = (
                key == IP
                and not subject.judges_every_address
                and subject.touched & subject.roster.without_address
            )
            outcome = "nothing is denied" + (" where the address can be restricted" if partly else "")
            yield found("CG402", at, f"{message}: {outcome}", "a statement for each of them")
        elif certain or key != IP:
            yield found("CG401", at, message, "a statement for each of them")


def _single(key: str) -> bool:
    base, slash, _ = key.partition("/")
    return key in _SINGLE or (base in TAGS and bool(slash))


def _can_hold(key: str, clauses: Sequence[Clause]) -> bool:
    if key == IP:
        sets = [(c.addresses, c.operator.negated) for c in clauses if c.addresses is not None]
        places = _places(addresses for addresses, _ in sets)
        return any(all((place in each) != negated for each, negated in sets) for place in places)
    tries = _values(clauses)
    if tries is None or any(_meets(clauses, have) for have in tries):
        return True
    return key not in _ALWAYS and _meets(clauses, ())


def _meets(clauses: Sequence[Clause], have: tuple[Any, ...]) -> bool:
    return all(clause_truth(clause, have, {}) is not False for clause in clauses)


def _places(sets: Iterable[IpSet]) -> set[int]:
    """Return the first address of every stretch that some sets of addresses tell apart."""
    places = {0, V4_END}
    for addresses in sets:
        places.update(addresses.starts)
        places.update(end + 1 for end in addresses.ends)
    return places - {LINE_END}


def _values(clauses: Sequence[Clause]) -> list[tuple[Any, ...]] | None:
    """Return values such that if none of them fits, no value does; None where there are no such."""
    kinds = {clause.operator.kind for clause in clauses} - {Kind.NULL}
    if not kinds:
        return [("",)]
    if kinds == {Kind.DATE}:
        cuts = sorted({instant for clause in clauses for instant in clause.wanted})
        between = [(one + other) / 2 for one, other in pairwise(cuts)]
        return [(moment,) for moment in (cuts[0] - 1, *cuts, *between, cuts[-1] + 1)]
    if kinds == {Kind.BOOL}:
        return [("true",), ("false",)]
    for clause in clauses:
        # With a value that must be equal to one of few, these few are all there is to try.
        if clause.operator.name == "string_equal" and not any(isinstance(w, tuple) for w in clause.wanted):
            return [(text,) for text in clause.wanted]
    return None
