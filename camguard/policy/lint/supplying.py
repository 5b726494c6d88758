"""Condition keys, and whether a call supplies them (codes CG403 to CG412, CG421; cam-semantics 7, 8, 11)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from camguard.policy.keys import IP, OWN, TAGS, TIME
from camguard.policy.lint.codes import found
from camguard.policy.lint.finding import Finding
from camguard.policy.lint.subject import Subject
from camguard.policy.model import Clause, Qualifier
from camguard.policy.operators import Kind, Like

_PRINCIPAL_TAG = "${qcs:principal_tag"
# Keys that are there whenever they are supplied.
_NEVER_ABSENT = frozenset((IP, TIME, "qcs:uin", "qcs:owner_uin", "qcs:mfa", "qcs:BindToken", "mfa"))


def _clauses(subject: Subject) -> Iterator[tuple[Clause, str, bool]]:
    for clause, (at, listed) in zip(subject.statement.condition, subject.spots.clauses, strict=True):
        yield clause, at, listed


def _is_tag(clause: Clause) -> bool:
    return clause.key.partition("/")[0] in TAGS


def unsupplied(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Find keys that are unknown for some of the actions, or for all.

    What an allow cannot grant so is left out where another allow of the document grants it without the key.
    """
    for subject in subjects:
        roster = subject.roster
        for clause, at, _ in _clauses(subject):
            elsewhere = _granted_without(subjects, clause.key) if subject.allows else 0
            open_to = subject.touched & ~elsewhere
            if clause.key == IP:
                without = 0 if subject.judges_every_address else open_to & roster.without_address
                if without:
                    some = roster.some(without, 6)
                    message = f"the source address cannot be restricted for {some}: {subject.outcome}"
                    yield found("CG403", at, message, "a statement of their own without qcs:ip")
            elif _is_tag(clause):
                without = open_to & roster.without_tags
                if without:
                    message = f"no tags are known for {roster.some(without)}: {subject.outcome}"
                    yield found("CG404", at, message, f"a statement of their own without {clause.key}")
            elif clause.key not in OWN:
                message = f"nothing supplies {clause.key!r} but an application of your own: {subject.outcome}"
                yield found("CG405", at, message)


def _granted_without(subjects: Sequence[Subject], key: str) -> int:
    granted = 0
    for subject in subjects:
        if subject.allows and all(clause.key != key for clause in subject.statement.condition):
            granted |= subject.touched
    return granted


def negations(subject: Subject) -> Iterator[Finding]:
    """Explain negated operators with several values."""
    for clause, at, _ in _clauses(subject):
        if clause.operator.negated and len(clause.values) > 1:
            several = f"{clause.text} with {len(clause.values)} values"
            message = f"{several} holds where the value is none of them, not where it differs from one"
            yield found("CG406", at, message)


def absences(subject: Subject) -> Iterator[Finding]:
    """Find what happens when a key that a call need not have is absent."""
    for clause, at, _ in _clauses(subject):
        if clause.operator.kind is Kind.NULL:
            continue
        optional = clause.key not in _NEVER_ABSENT
        if subject.allows and clause.if_exist:
            message = f"{clause.text} also holds where {clause.key} is absent"
            never = f"{clause.key} is never absent: _if_exist changes nothing"
            yield found("CG408", at, message if optional else never, clause.text.removesuffix("_if_exist"))
        elif not subject.allows and not clause.if_exist and optional:
            message = f"what has no {clause.key} is not denied: {clause.text} is false there"
            yield found("CG407", at, message, f"{clause.text}_if_exist, if it is to be denied")


def tags(subject: Subject) -> Iterator[Finding]:
    """Find tag conditions that the cloud, or a tag, does not take."""
    for clause, at, listed in _clauses(subject):
        if not _is_tag(clause) or clause.operator.kind is Kind.NULL:
            continue
        if clause.qualifier is Qualifier.ALL:
            yield found("CG409", at, "for_all_value is not officially supported for tags", "for_any_value:")
        if "/" in clause.key:
            continue
        if clause.qualifier is Qualifier.NONE:
            message = f"where several tags disagree {clause.text} is unknown: {subject.outcome}"
            yield found("CG410", at, message, f"for_any_value:{clause.text}")
        for i, (text, wanted) in enumerate(zip(clause.values, clause.wanted, strict=True)):
            open_ended = isinstance(wanted, Like) and (wanted.lead or wanted.trail)
            if "&" not in text and not open_ended and not isinstance(wanted, tuple):
                place = f"{at}/{i}" if listed else at
                yield found("CG411", place, f"{text!r} is no key&value: no tag is equal to it", f"{text}&…")


def variables(subject: Subject) -> Iterator[Finding]:
    """Find variables that have no value for anybody."""
    for at, text in subject.spots.resources:
        if _PRINCIPAL_TAG in text:
            yield _never(subject, at, text)
    for clause, at, listed in _clauses(subject):
        for i, text in enumerate(clause.values):
            if _PRINCIPAL_TAG in text:
                yield _never(subject, f"{at}/{i}" if listed else at, text)


def _never(subject: Subject, at: str, text: str) -> Finding:
    message = f"{text!r} holds a tag of the principal, which nobody has here: {subject.outcome}"
    return found("CG412", at, message, "the text itself, or ${uin}, ${owner_uin}, ${app_id}")


def values(subject: Subject) -> Iterator[Finding]:
    """Find values that stand twice, and patterns that everything fits."""
    for clause, at, listed in _clauses(subject):
        if clause.operator.kind is Kind.IP or not listed:
            continue
        seen: set[object] = set()
        for i, (text, wanted) in enumerate(zip(clause.values, clause.wanted, strict=True)):
            if wanted in seen:
                yield found("CG418", f"{at}/{i}", f"{text!r} stands here twice", "leave it out")
            seen.add(wanted)
    for clause, at, listed in _clauses(subject):
        for i, wanted in enumerate(clause.wanted):
            if isinstance(wanted, Like) and wanted.lead and wanted.trail and not wanted.body:
                place = f"{at}/{i}" if listed else at
                fits = "nothing meets" if clause.operator.negated else "every value meets"
                message = f"'*' fits everything, so {fits} {clause.text}"
                presence = f'"null_equal": {{"{clause.key}": "false"}}' if "/" in clause.key else ""
                yield found("CG421", place, message, presence)
