"""The condition operators: how a policy's value is read, and how a call's value is compared with it.

Rule 1: OPERATORS is the complete list (CAM 7.1, DEC-18).
Rule 2: the row of a negated operator has the positive comparison. `camguard.policy.conditions` negates the
        result over all wanted values together (NOR, DEC-27).
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
from camguard.policy.values import Truth, read_boolean, read_instant, read_number


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
    """One row of OPERATORS.

    read: converts the text of a call's value for `holds`; returns None for text of another type (U2).
    want: converts the text of a policy's value for `holds`; returns None for text that is not allowed.
    holds: compares a value with a wanted value; for addresses `wanted` is the union of all ranges.
    """

    name: str
    kind: Kind
    read: Callable[[str], Any]
    want: Callable[[str], Any]
    holds: Callable[[Any, Any], Truth]

    @property
    def negated(self) -> bool:
        """Whether the operator holds where its comparison does not."""
        return "_not_" in self.name


@dataclass(frozen=True, slots=True)
class Like:
    """A `string_like` pattern: `*` is allowed as its first and its last character only (DEC-22)."""

    lead: bool
    body: str
    trail: bool

    @classmethod
    def of(cls, text: str) -> Like | None:
        """Return the pattern, or None if the text contains a star in another place."""
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
    """Return None for texts that differ in letter case alone, because the editions disagree (DEC-20, U4)."""
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
