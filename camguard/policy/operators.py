"""The condition operators: how a wanted value is read, and how a value is compared with it.

Rule 1: this table is the whole list (cam-semantics 7.1); what is not here is no operator (DEC-18).
Rule 2: a negated operator holds only the positive comparison; the negation is made over all wanted
        values at once (NOR, DEC-27), by `camguard.policy.conditions`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from camguard.errors import AddressError
from camguard.ipset import IpSet, parse_address, parse_range
from camguard.policy.truth import Truth
from camguard.policy.values import read_boolean, read_instant, read_number


class Kind(StrEnum):
    """What an operator compares."""

    STRING = "string"
    NUMERIC = "numeric"
    DATE = "date"
    BOOL = "bool"
    BINARY = "binary"
    IP = "ip"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Operator:
    """One row of the table.

    read: text of a call's value -> what `holds` takes, or None if it is no such value (U2).
    want: text of a policy's value -> what `holds` takes, or None if it may not stand there.
    holds: (value, wanted) -> the positive comparison; of addresses `wanted` is the union of all ranges.
    """

    name: str
    kind: Kind
    read: Callable[[str], Any]
    want: Callable[[str], Any]
    holds: Callable[[Any, Any], Truth]

    @property
    def negated(self) -> bool:
        """Whether the operator holds where the comparison does not."""
        return "_not_" in self.name


@dataclass(frozen=True, slots=True)
class Like:
    """A `string_like` pattern: `*` only as its first or last character (DEC-22)."""

    lead: bool
    body: str
    trail: bool

    @classmethod
    def of(cls, text: str) -> Like | None:
        """Return the pattern, or None if a star stands inside."""
        lead, trail = text.startswith("*"), text.endswith("*")
        body = text[lead : len(text) - trail]
        return None if "*" in body else cls(lead, body, trail)

    def matches(self, text: str) -> bool:
        """Compare case-sensitively."""
        if self.lead:
            return self.body in text if self.trail else text.endswith(self.body)
        return text.startswith(self.body) if self.trail else text == self.body


def _text(text: str) -> str:
    return text


def _range(text: str) -> tuple[int, int] | None:
    try:
        return parse_range(text)
    except AddressError:
        return None


def _address(text: str) -> int | None:
    try:
        return parse_address(text)
    except AddressError:
        return None


def _equal_but_for_case(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower()  # str.lower, not casefold: DEC-19


def _binary_equal(value: str, wanted: str) -> Truth:
    """Three editions, three meanings: a difference in case alone is unknown (DEC-20, U4)."""
    if value == wanted:
        return True
    return None if _equal_but_for_case(value, wanted) else False


def _within(place: int, wanted: IpSet) -> bool:
    return place in wanted


def _like(value: str, wanted: Like) -> bool:
    return wanted.matches(value)


_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equal": operator.eq,
    "less_than": operator.lt,
    "less_than_equal": operator.le,
    "greater_than": operator.gt,
    "greater_than_equal": operator.ge,
}


def _ordered(kind: Kind, read: Callable[[str], Any]) -> list[Operator]:
    rows = [Operator(f"{kind}_{name}", kind, read, read, holds) for name, holds in _ORDERS.items()]
    return [*rows, Operator(f"{kind}_not_equal", kind, read, read, operator.eq)]


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        row.name: row
        for row in (
            Operator("string_equal", Kind.STRING, _text, _text, operator.eq),
            Operator("string_not_equal", Kind.STRING, _text, _text, operator.eq),
            Operator("string_equal_ignore_case", Kind.STRING, _text, _text, _equal_but_for_case),
            Operator("string_not_equal_ignore_case", Kind.STRING, _text, _text, _equal_but_for_case),
            Operator("string_like", Kind.STRING, _text, Like.of, _like),
            Operator("string_not_like", Kind.STRING, _text, Like.of, _like),
            *_ordered(Kind.NUMERIC, read_number),
            *_ordered(Kind.DATE, read_instant),
            Operator("bool_equal", Kind.BOOL, read_boolean, read_boolean, operator.eq),
            Operator("binary_equal", Kind.BINARY, _text, _text, _binary_equal),
            Operator("ip_equal", Kind.IP, _address, _range, _within),
            Operator("ip_not_equal", Kind.IP, _address, _range, _within),
            Operator("null_equal", Kind.NULL, _text, read_boolean, operator.eq),
        )
    },
)
