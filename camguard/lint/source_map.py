"""How the elements of a statement were written: capital letters, lists, single values.

A `Statement` keeps none of this, because no decision needs it. A finding does, to point at the exact element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from camguard.policy.document import Document
from camguard.policy.model import Clause, Statement
from camguard.strict_json import child


class StatementSource:
    """One statement as it was written."""

    def __init__(self, statement: Statement, written: Mapping[str, Any]) -> None:
        self.statement = statement
        self.written = written
        self._names = {name.lower(): name for name in written}

    def element(self, name: str) -> tuple[str, Any]:
        """Return the pointer of an element, and its value or None where the element is absent."""
        name = self._names.get(name, name)
        return child(self.statement.where, name), self.written.get(name)

    def values(self, clause: Clause) -> list[tuple[str, Any, str]]:
        """Return the text, the wanted value and the pointer of each value of a clause."""
        _, condition = self.element("condition")
        listed = isinstance(condition[clause.text][clause.key], list)
        return [
            (text, wanted, f"{clause.where}/{i}" if listed else clause.where)
            for i, (text, wanted) in enumerate(zip(clause.values, clause.wanted, strict=True))
        ]

    def texts_with_variables(self) -> Iterator[tuple[str, str]]:
        """Yield the text and the pointer of every resource and condition value that contains a variable."""
        resources = ((pattern.text, pattern.where) for pattern in self.statement.patterns)
        values = (value[::2] for clause in self.statement.condition for value in self.values(clause))
        yield from ((text, where) for text, where in (*resources, *values) if "${" in text)


def statement_element(document: Document) -> tuple[str, Any]:
    """Return the pointer and the value of the statement element, which is a list or an object."""
    name, value = next(member for member in document.tree.items() if member[0].lower() == "statement")
    return child(f"{document.policy.source}#", name), value


def statement_sources(document: Document) -> list[StatementSource]:
    """Return the statements of a document as they were written."""
    _, value = statement_element(document)
    written = value if isinstance(value, list) else [value]
    return [StatementSource(*pair) for pair in zip(document.policy.statements, written, strict=True)]
