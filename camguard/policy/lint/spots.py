"""Where the elements of a document stand, as it was written: capitals, lists and single values.

A parsed policy has lost that: it needs none of it to decide. A finding does, to name the exact element.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from camguard.policy.model import Policy
from camguard.strict_json import child


class Spots:
    """The elements of one statement, each with its pointer, the file included.

    at: the statement's own. actions, resources: (pointer, text). clauses: (pointer, values are a list).
    """

    def __init__(self, at: str, raw: dict[str, Any]) -> None:
        self.at = at
        self.written = raw
        self._names = {name.lower(): name for name in raw}
        self.actions = tuple(self._texts("action"))
        self.resources = tuple(self._texts("resource"))
        self.clauses = tuple(self._clauses())

    def element(self, name: str) -> tuple[str, Any]:
        """Return the pointer of an element and what stands there; None where it is left out."""
        written = self._names.get(name, name)
        return child(self.at, written), self.written.get(written)

    def _texts(self, name: str) -> Iterator[tuple[str, str]]:
        at, raw = self.element(name)
        if isinstance(raw, list):
            yield from ((f"{at}/{i}", text) for i, text in enumerate(raw))
        else:
            yield at, raw

    def _clauses(self) -> Iterator[tuple[str, bool]]:
        at, raw = self.element("condition")
        for operator, keys in (raw or {}).items():
            for key, values in keys.items():
                yield child(child(at, operator), key), isinstance(values, list)


class Sheet(NamedTuple):
    """A document as written. elements: those of the document itself; single: the statement is an object."""

    elements: dict[str, Any]
    single: bool
    at: str  # pointer of the statement element
    statements: tuple[Spots, ...]


def read_sheet(policy: Policy) -> Sheet:
    """Return the spots of a policy that was parsed from its text."""
    elements = json.loads(policy.text, parse_int=str, parse_float=str)
    name = next(name for name in elements if name.lower() == "statement")
    at = child(f"{policy.source}#", name)
    raw = elements[name]
    if isinstance(raw, dict):
        return Sheet(elements, single=True, at=at, statements=(Spots(at, raw),))
    spots = tuple(Spots(child(at, i), statement) for i, statement in enumerate(raw))
    return Sheet(elements, single=False, at=at, statements=spots)
