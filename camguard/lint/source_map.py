"""Where the elements of a document are and how they were written: capital letters, lists, single values.

A `Policy` keeps none of this, because no decision needs it. A finding does, to point at the exact element.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from camguard.jsontext import child
from camguard.policy.document import Document
from camguard.policy.star import STAR


class StatementSource:
    """One statement as it was written. where: its JSON Pointer, behind the name of the file."""

    def __init__(self, where: str, written: dict[str, Any]) -> None:
        self.where = where
        self.written = written
        self._names = {name.lower(): name for name in written}

    def element(self, name: str) -> tuple[str, Any]:
        """Return the pointer of an element, and its value or None where the element is absent."""
        name = self._names.get(name, name)
        return child(self.where, name), self.written.get(name)

    def texts(self, name: str) -> list[tuple[str, str]]:
        """Return pointer and text of each entry of the action or the resource element."""
        return _entries(*self.element(name))

    def patterns(self) -> list[str]:
        """Return the pointers of the entries of the resource element other than `*`."""
        return [where for where, text in self.texts("resource") if text != STAR]

    def clauses(self) -> list[tuple[str, list[tuple[str, Any]]]]:
        """Return, for each clause, its pointer, and the pointer and the text of each of its values."""
        where, condition = self.element("condition")
        return [
            (place := child(child(where, operator), key), _entries(place, values))
            for operator, keys in (condition or {}).items()
            for key, values in keys.items()
        ]


def _entries(where: str, value: Any) -> list[tuple[str, Any]]:
    """Return the entries of an element that is a list or a single value."""
    if isinstance(value, list):
        return [(f"{where}/{i}", entry) for i, entry in enumerate(value)]
    return [(where, value)]


class SourceMap(NamedTuple):
    """A document as it was written.

    elements: of the document itself. single: the statement element, at `where`, is an object.
    """

    elements: dict[str, Any]
    single: bool
    where: str
    statements: list[StatementSource]


def source_map(document: Document) -> SourceMap:
    """Return the places of a document."""
    tree = document.tree
    name = next(name for name in tree if name.lower() == "statement")
    where = child(f"{document.policy.source}#", name)
    single = isinstance(tree[name], dict)
    return SourceMap(tree, single, where, [StatementSource(*entry) for entry in _entries(where, tree[name])])
