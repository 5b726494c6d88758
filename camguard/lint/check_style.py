"""How a document is written: obsolete spellings that still have exactly one meaning (codes CG1xx)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import StatementView, statement_element
from camguard.policy.document import Document
from camguard.policy.keys import LEGACY_TAG, RESOURCE_TAG
from camguard.policy.resources import REGION_ALIASES, SEGMENTS
from camguard.strict_json import child

_PREFIX = "name/"


def whole(document: Document) -> Iterator[Finding]:
    """Find obsolete spellings of the document itself."""
    if document.in_answer:
        message = "the policy stands inside of an answer of the API, from which it is read"
        yield found("CG120", document.at, message, "a file that contains the policy alone")
    yield from _capitals(document.at, document.tree)
    where, statements = statement_element(document)
    if isinstance(statements, dict):
        message = "the statement is an object instead of a list"
        yield found("CG103", where, message, '"statement": [{…}]')


def _capitals(where: str, elements: Iterable[str]) -> Iterator[Finding]:
    for name in elements:
        if name != name.lower():
            message = f"the element {name!r} has capital letters"
            yield found("CG102", child(where, name), message, name.lower())


def elements(view: StatementView) -> Iterator[Finding]:
    """Find capital letters, and a condition that is empty."""
    yield from _capitals(view.statement.where, view.written)
    where, effect = view.element("effect")
    if effect != effect.lower():
        yield found("CG102", where, f"the effect {effect!r} has capital letters", effect.lower())
    where, condition = view.element("condition")
    if condition in ({}, []):
        message = "the condition is empty, so the statement applies to every call"
        yield found("CG108", where, message)


def prefixes(view: StatementView) -> Iterator[Finding]:
    """Find `name/` before actions."""
    for pattern in view.statement.actions:
        if pattern.text.startswith(_PREFIX):
            message = f"{pattern.text!r} has the obsolete prefix {_PREFIX}, which CAM ignores"
            yield found("CG101", pattern.where, message, pattern.text.removeprefix(_PREFIX))


def segments(view: StatementView) -> Iterator[Finding]:
    """Find obsolete region codes and project numbers in resources."""
    for pattern in view.statement.patterns:
        where, parts = pattern.where, pattern.text.split(":", SEGMENTS - 1)
        region = REGION_ALIASES.get(parts[3])
        if region:
            instead = ":".join((*parts[:3], region, *parts[4:]))
            message = f"{parts[3]!r} is an obsolete code of the region {region}"
            yield found("CG104", where, message, instead)
        if parts[1]:
            instead = ":".join((parts[0], "", *parts[2:]))
            yield found("CG107", where, f"the project segment contains {parts[1]!r}", instead)


def old_keys(view: StatementView) -> Iterator[Finding]:
    """Find condition keys under their obsolete names."""
    for clause in view.statement.condition:
        base, slash, tag = clause.key.partition("/")
        if base == LEGACY_TAG:
            instead = RESOURCE_TAG + slash + tag
            message = f"{clause.key!r} is the obsolete name of the key {instead}"
            yield found("CG105", clause.where, message, instead)
        if clause.key == "mfa":
            message = "'mfa' is the obsolete key for multi-factor authentication"
            yield found("CG106", clause.where, message, '"bool_equal": {"qcs:mfa": "…"}')
