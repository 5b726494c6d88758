"""Six-segment resource templates: what a page prints in a row's resource cell.

A template is kept as printed. Its placeholders are spelt `${x}`, `$x`, `{$x}` or `{x}`, mixed at will, or
are a bare word that nothing marks (catalog-pages section 5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

ANY: Final = "*"
LEAD: Final = "qcs:"
SEGMENTS: Final = 6

_PLACEHOLDER: Final = re.compile(r"\$\{([\w-]+)\}|\{\$([\w-]+)\}|\{([\w-]+)\}|\$([\w-]+)", re.ASCII)


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


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names of the marked placeholders, in order.

    >>> placeholders("qcs::tcr:${region}:uin/$uin:repo/{$registryId}/{name}")
    ('region', 'uin', 'registryId', 'name')
    """
    return tuple("".join(found) for found in _PLACEHOLDER.findall(template))


def bindable(templates: Iterable[str]) -> frozenset[str]:
    """Return what a catalog file may bind to a parameter: placeholders, and bare words of the resource."""
    names: set[str] = set()
    for template in templates:
        names.update(placeholders(template))
        names.update(word for word in template.split(":")[-1].split("/") if word.isidentifier())
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
