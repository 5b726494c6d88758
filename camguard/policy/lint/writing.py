"""How a document is written: old spellings that still have one meaning (codes CG1xx)."""

from __future__ import annotations

from collections.abc import Iterator

from camguard.policy.keys import LEGACY_TAG, RESOURCE_TAG
from camguard.policy.lint.codes import found
from camguard.policy.lint.finding import Finding
from camguard.policy.lint.spots import Sheet
from camguard.policy.lint.subject import Subject
from camguard.policy.resources import REGION_ALIASES, SEGMENTS
from camguard.policy.star import STAR
from camguard.strict_json import child

_PREFIX = "name/"


def check_document(source: str, sheet: Sheet) -> Iterator[Finding]:
    """Yield what is old-fashioned about the document itself."""
    yield from _capitals(f"{source}#", sheet.elements)
    if sheet.single:
        yield found("CG103", sheet.at, "the statement is an object, not a list", '"statement": [{…}]')


def _capitals(at: str, elements: dict[str, object]) -> Iterator[Finding]:
    for name in elements:
        if name != name.lower():
            yield found("CG102", child(at, name), f"the element {name!r} has capitals", name.lower())


def elements(subject: Subject) -> Iterator[Finding]:
    """Find capitals, and a condition that is none."""
    spots = subject.spots
    yield from _capitals(spots.at, spots.written)
    at, effect = spots.element("effect")
    if effect != effect.lower():
        yield found("CG102", at, f"the effect {effect!r} has capitals", effect.lower())
    at, condition = spots.element("condition")
    if condition == {}:
        yield found(
            "CG108", at, "the condition is empty: the statement applies to every call", "leave it out"
        )


def prefixes(subject: Subject) -> Iterator[Finding]:
    """Find `name/` before actions."""
    for at, text in subject.spots.actions:
        if text.startswith(_PREFIX):
            plain = text.removeprefix(_PREFIX)
            yield found("CG101", at, f"{text!r} has the old prefix name/, which means nothing", plain)


def segments(subject: Subject) -> Iterator[Finding]:
    """Find old region codes and project numbers in resources."""
    for at, text in subject.spots.resources:
        if text == STAR:
            continue
        parts = text.split(":", SEGMENTS - 1)
        region = REGION_ALIASES.get(parts[3])
        if region:
            instead = ":".join((*parts[:3], region, *parts[4:]))
            yield found("CG104", at, f"{parts[3]!r} is an old code of the region {region}", instead)
        if parts[1]:
            instead = ":".join((parts[0], "", *parts[2:]))
            yield found("CG107", at, f"the project segment holds {parts[1]!r}", instead)


def old_keys(subject: Subject) -> Iterator[Finding]:
    """Find condition keys under their old names."""
    for clause, (at, _) in zip(subject.statement.condition, subject.spots.clauses, strict=True):
        base, slash, tag = clause.key.partition("/")
        if base == LEGACY_TAG:
            instead = RESOURCE_TAG + slash + tag
            yield found("CG105", at, f"{clause.key!r} is the old name of the resource's tags", instead)
        if clause.key == "mfa":
            yield found(
                "CG106", at, "'mfa' is the old key for the second factor", '"bool_equal": {"qcs:mfa": "…"}'
            )
