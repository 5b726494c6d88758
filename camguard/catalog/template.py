"""Six-segment resource templates: what a page prints in the resource cell of a row.

A template is kept as printed. `camguard/grammar.py` says what its placeholders look like.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from camguard.grammar import placeholders, words

ANY: Final = "*"
LEAD: Final = "qcs:"
SEGMENTS: Final = 6


def segments(template: str) -> tuple[str, ...] | None:
    """Return qcs, project, service, region, account and resource, or None where there are not six.

    The resource may hold further colons. Neither service nor resource is empty.

    >>> segments("qcs::sls:$region:$account:app/$appName")
    ('qcs', '', 'sls', '$region', '$account', 'app/$appName')
    """
    parts = tuple(template.split(":", SEGMENTS - 1))
    if len(parts) != SEGMENTS or parts[0] != "qcs" or not (parts[2] and parts[5]):
        return None
    return parts


def bindable(templates: Iterable[str]) -> frozenset[str]:
    """Return what a catalog file may bind to a parameter: placeholders and bare words of the last segment.

    The other segments are not filled from parameters: service, region and account come from the call.

    >>> sorted(bindable(["qcs::db:${region}:uin/${uin}:instance/${db id}"]))
    ['db id', 'instance']
    """
    names: set[str] = set()
    for template in templates:
        parts = segments(template)
        if parts is not None:
            names.update(found.name for found in placeholders(parts[-1]))
            names.update(words(parts[-1]))
    return frozenset(names)


def split_cell(cell: str) -> tuple[str, ...] | None:
    """Return the templates of one resource cell, or None where it does not begin like one.

    Several are joined by a blank, or glued with nothing between: a template begins where `qcs:` does, never
    at a blank, for templates may hold blanks.

    >>> split_cell("qcs::a::uin/${uin}: b/$cqcs::a::uin/${uin}:d/*")
    ('qcs::a::uin/${uin}: b/$c', 'qcs::a::uin/${uin}:d/*')
    """
    if cell == ANY:
        return (ANY,)
    if not cell.startswith(LEAD):
        return None
    return tuple(LEAD + rest.strip() for rest in cell.split(LEAD)[1:])
