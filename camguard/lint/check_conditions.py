"""The conditions of a statement, source addresses aside (CG401 to CG412, CG418, CG421, CG432, CG433).

Sources: CAM 7, CAM 8, CAM 11.

Rule 1: only a proven contradiction is reported. One value of each kind that the clauses distinguish is tried,
        and a clause that is undetermined for a value counts as true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from camguard.ipset import LINE_END, V4_END, IpSet
from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import StatementView, texts_with_variables
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, OWN, READ_ONLY, REGION, REQUEST_TAG, TAGS, TIME
from camguard.policy.model import Clause, Qualifier
from camguard.policy.operators import Kind, Like

_PRINCIPAL_TAG = "${qcs:principal_tag"
# Keys that are present whenever they are supplied.
_NEVER_ABSENT = frozenset(
    (IP, TIME, READ_ONLY, "qcs:uin", "qcs:owner_uin", "qcs:mfa", "qcs:BindToken", "mfa")
)
# Keys of which a call has at most one value, so that all clauses are about the same value.
_SINGLE = frozenset(
    (IP, TIME, READ_ONLY, "qcs:uin", "qcs:owner_uin", "qcs:create_uin", "qcs:vpc", "qcs:mfa", "qcs:BindToken")
)
# Keys that fields of a call supply, with exactly one value, and what a value of each is called.
_FIELDS = {IP: "address", TIME: "moment"}


def unsupplied(views: Sequence[StatementView]) -> Iterator[Finding]:
    """Find keys that are undetermined for some of the actions, or for all.

    An action is left out where another allow of the document grants it without the key.
    """
    for view in views:
        catalog = view.catalog
        for clause in view.statement.condition:
            key, where = clause.key, clause.where
            elsewhere = _granted_without(views, key) if view.allows else 0
            touched = view.touched & ~elsewhere
            if key == IP:
                without = touched & view.unjudged_address
                if without:
                    some = catalog.some(without, 6)
                    message = f"CAM cannot surely restrict the source address of {some}, so "
                    instead = "a separate statement for them without qcs:ip"
                    yield found("CG403", where, message + _outcome(clause, view), instead)
            elif key == READ_ONLY:
                yield from _left_out(view, clause, touched)
            elif _is_tag(clause):
                without = touched & catalog.without_tags
                if without:
                    some = catalog.some(without)
                    message = f"CAM does not support tags for {some}, so {view.outcome}"
                    yield found("CG404", where, message, f"a separate statement for them without {key}")
                yield from _unlisted_tags(view, clause, touched & ~catalog.without_tags)
            elif key not in OWN | view.supplies.keys:  # the latter may come from a trusted proxy (T137)
                yield from _unsupplied_key(view, clause, touched)


def _unsupplied_key(view: StatementView, clause: Clause, touched: int) -> Iterator[Finding]:
    """Find a key that no call supplies, and the region of another service than the one that is called."""
    key, catalog = clause.key, view.catalog
    if not key.endswith(REGION):
        message = f"camguard does not supply {key!r}: unless the application does, {view.outcome}"
        yield found("CG405", clause.where, message)
        return
    foreign = touched & ~catalog.services.get(key.removesuffix(REGION), 0)
    if foreign:
        message = f"calls of {catalog.some(foreign)} do not supply {key!r}, so {view.outcome}"
        yield found("CG405", clause.where, message, "the region key of the service that is called")


def _unlisted_tags(view: StatementView, clause: Clause, tagged: int) -> Iterator[Finding]:
    """Find tags that neither the bundle nor the catalog supplies. tagged: actions with tag support."""
    key, where, catalog = clause.key, clause.where, view.catalog
    if key.partition("/")[0] != REQUEST_TAG:
        if tagged and view.supplies.listed_tags is False:
            message = f"there is no resource_tags.json that lists the tags of resources, so {view.outcome}"
            yield found("CG432", where, message, "to list the tags of the resources in resource_tags.json")
        return
    unnamed = tagged & ~catalog.with_request_tags
    if unnamed:
        message = f"the catalog does not name the tag parameter of {catalog.some(unnamed)}, so {view.outcome}"
        yield found("CG433", where, message, "to name it as `request_tags` in the entry of the action")


def _outcome(clause: Clause, view: StatementView) -> str:
    """Return what becomes of a statement where the cloud may not pass the address (DEC-62)."""
    if view.allows:
        return "this allow grants only where the address meets it" if clause.if_exist else view.outcome
    return "this deny applies from every address" if clause.if_exist else "CAM may not apply this deny"


def _left_out(view: StatementView, clause: Clause, touched: int) -> Iterator[Finding]:
    """Find the actions that read by their page, and of which the catalog is not sure (DEC-56)."""
    catalog = view.catalog
    left_out = touched & catalog.perhaps_read_only
    if left_out:
        does = "does not grant" if view.allows else "blocks"
        message = f"the page lists {catalog.some(left_out, 6)} as reading, and their names do not confirm it,"
        message += f" so this {view.statement.effect} {does} them"
        yield found("CG430", clause.where, message, '"read_only": true in the catalog entry, where it is so')


def _is_tag(clause: Clause) -> bool:
    return clause.key.partition("/")[0] in TAGS


def _granted_without(views: Sequence[StatementView], key: str) -> int:
    granted = 0
    for view in views:
        if view.allows and all(clause.key != key for clause in view.statement.condition):
            granted |= view.touched
    return granted


def negations(view: StatementView) -> Iterator[Finding]:
    """Explain negated operators with several values."""
    for clause in view.statement.condition:
        several = len(clause.values)
        if clause.operator.negated and several > 1:
            message = f"{clause.text} with {several} values is true only if the value equals none of them"
            yield found("CG406", clause.where, message)


def absences(view: StatementView) -> Iterator[Finding]:
    """Explain what happens where a key that a call need not have is absent."""
    for clause in view.statement.condition:
        text, key, where = clause.text, clause.key, clause.where
        if clause.operator.kind is Kind.NULL:
            continue
        optional = key not in _NEVER_ABSENT
        if view.allows and clause.if_exist:
            message = f"{text} is also true for a call without {key}"
            never = f"{key} is always present, so _if_exist has no effect"
            yield found("CG408", where, message if optional else never, text.removesuffix("_if_exist"))
        elif not view.allows and not clause.if_exist and optional:
            message = f"a call without {key} is not denied, because {text} is false for it"
            yield found("CG407", where, message, f"{text}_if_exist")


def tags(view: StatementView) -> Iterator[Finding]:
    """Find tag conditions that CAM does not support, or that no tag satisfies."""
    for clause in view.statement.condition:
        where = clause.where
        if not _is_tag(clause) or clause.operator.kind is Kind.NULL:
            continue
        if clause.qualifier is Qualifier.ALL:
            message = "CAM does not officially support for_all_value for tags"
            yield found("CG409", where, message, "for_any_value:")
        if "/" in clause.key:
            continue
        if clause.qualifier is Qualifier.NONE:
            message = f"where several tags of a resource disagree, {clause.text} is undetermined"
            yield found("CG410", where, f"{message} and {view.outcome}", f"for_any_value:{clause.text}")
        for text, wanted, place in clause.placed():
            open_ended = isinstance(wanted, Like) and (wanted.lead or wanted.trail)
            if "&" not in text and not open_ended and not isinstance(wanted, tuple):
                message = f"{text!r} does not have the form key&value, so it equals no tag"
                harmless = clause.operator.negated != view.allows  # it grants nothing, or blocks more
                yield found("CG411" if harmless else "CG431", place, message, f"{text}&…")


def variables(view: StatementView) -> Iterator[Finding]:
    """Find variables that have no value for any principal."""
    for text, where in texts_with_variables(view.statement):
        if _PRINCIPAL_TAG in text:
            message = f"{text!r} uses a tag of the principal, which camguard does not know, so {view.outcome}"
            yield found("CG412", where, message, "literal text, or ${uin}, ${owner_uin}, ${app_id}")


def listed_twice(view: StatementView) -> Iterator[Finding]:
    """Find values that are listed twice; `check_ip_ranges` compares addresses."""
    for clause in view.statement.condition:
        listed: set[object] = set()
        for text, wanted, place in clause.placed() if clause.operator.kind is not Kind.IP else ():
            if wanted in listed:
                yield found("CG418", place, f"{text!r} is already listed")
            listed.add(wanted)


def bare_wildcards(view: StatementView) -> Iterator[Finding]:
    """Find patterns that every value matches."""
    for clause in view.statement.condition:
        for _, wanted, place in clause.placed():
            if isinstance(wanted, Like) and wanted.lead and wanted.trail and not wanted.body:
                satisfied = "no value satisfies" if clause.operator.negated else "every value satisfies"
                message = f"'*' matches every value, so {satisfied} {clause.text}"
                presence = f'"null_equal": {{"{clause.key}": "false"}}' if "/" in clause.key else ""
                yield found("CG421", place, message, presence)


def contradictions(view: StatementView) -> Iterator[Finding]:
    """Find keys whose clauses no value satisfies together."""
    by_key: dict[str, list[Clause]] = {}
    for clause in view.statement.condition:
        by_key.setdefault(clause.key, []).append(clause)
    for key, clauses in by_key.items():
        if len(clauses) == 1 or not _is_single(key) or _can_be_true(key, clauses):
            continue
        where, _ = view.element("condition")
        written = " and ".join(dict.fromkeys(clause.text for clause in clauses))
        message = f"no {_FIELDS.get(key, 'value')} of {key} satisfies {written} together"
        # Where the address cannot surely be restricted, a clause with _if_exist is unknown and never false.
        in_doubt = key == IP and any(clause.if_exist for clause in clauses)
        certain = key == TIME or (key == IP and (view.judges_address or not in_doubt))
        if certain and not view.allows:
            partly = in_doubt and view.touched & view.unjudged_address
            message += ", so nothing is denied" + (" where the address can be restricted" if partly else "")
            yield found("CG402", where, message, "a separate statement for each clause")
        elif view.allows or key != IP:
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
    return key not in _FIELDS and _all_true(clauses, ())


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
