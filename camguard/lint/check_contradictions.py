"""Clauses of one key that exclude each other (codes CG401 and CG402; CAM 7.4).

Rule 1: only a proven contradiction is reported. One value of each kind that the clauses distinguish is tried,
        and a clause that is undetermined for a value counts as true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from camguard.ipset import LINE_END, V4_END, IpSet
from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import StatementView
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, TAGS, TIME
from camguard.policy.model import Clause
from camguard.policy.operators import Kind

# Keys of which a call has at most one value, so that all clauses are about the same value.
_SINGLE = frozenset(
    (IP, TIME, "qcs:uin", "qcs:owner_uin", "qcs:create_uin", "qcs:vpc", "qcs:mfa", "qcs:BindToken")
)
_ALWAYS = {IP: "address", TIME: "moment"}  # never absent where they are supplied


def contradictions(view: StatementView) -> Iterator[Finding]:
    """Find keys whose clauses no value satisfies together."""
    by_key: dict[str, list[Clause]] = {}
    for clause in view.statement.condition:
        by_key.setdefault(clause.key, []).append(clause)
    for key, clauses in by_key.items():
        if len(clauses) == 1 or not _is_single(key) or _can_be_true(key, clauses):
            continue
        where, _ = view.source.element("condition")
        written = " and ".join(dict.fromkeys(clause.text for clause in clauses))
        message = f"no {_ALWAYS.get(key, 'value')} of {key} satisfies {written} together"
        certain = key == TIME or (key == IP and view.judges_address)
        if certain and not view.allows:
            partly = key == IP and view.touched & view.unjudged_address
            message += ", so nothing is denied" + (" where the address can be restricted" if partly else "")
            yield found("CG402", where, message, "a separate statement for each clause")
        elif certain or key != IP:
            yield found("CG401", where, message, "a separate statement for each clause")


def _is_single(key: str) -> bool:
    base, slash, _ = key.partition("/")
    return key in _SINGLE or (base in TAGS and bool(slash))


def _can_be_true(key: str, clauses: Sequence[Clause]) -> bool:
    if key == IP:
        sets = [(c.addresses, c.operator.negated) for c in clauses if c.addresses is not None]
        places = _places(addresses for addresses, _ in sets)
        return any(all((place in each) != negated for each, negated in sets) for place in places)
    tries = _values(clauses)
    if tries is None or any(_all_true(clauses, values) for values in tries):
        return True
    return key not in _ALWAYS and _all_true(clauses, ())


def _all_true(clauses: Sequence[Clause], values: tuple[Any, ...]) -> bool:
    return all(clause_truth(clause, values, {}) is not False for clause in clauses)


def _places(sets: Iterable[IpSet]) -> set[int]:
    """Return the first address of every stretch of addresses that the sets distinguish."""
    places = {0, V4_END}
    for addresses in sets:
        places.update(addresses.starts)
        places.update(end + 1 for end in addresses.ends)
    return places - {LINE_END}


def _values(clauses: Sequence[Clause]) -> list[tuple[Any, ...]] | None:
    """Return values such that if none of them satisfies all clauses, no value does; None: not known."""
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
        # A value that must equal one of few texts can only be one of these texts.
        if clause.operator.name == "string_equal" and not any(isinstance(w, tuple) for w in clause.wanted):
            return [(text,) for text in clause.wanted]
    return None
