"""The values of the language: three-valued truth, and the numbers, instants and booleans of conditions.

Truth is Kleene's: True, False, and None for unknown (CAM 2). An unknown statement never grants and always
blocks: an allow counts only if it is True, a deny unless it is False.

Each `read_` function returns None for text of another type (CAM 7.2, CAM 7.3). In a policy such text is an
error of the document; in a call it makes the comparison unknown (U2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

Truth: TypeAlias = bool | None

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}"  # newer Python versions read 24:00:00 as the next day
# The two documented forms. An offset, another fraction or white space is refused (DEC-26).
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    rf"(?:T({_CLOCK})(?:\.([0-9]{{1,9}}))?Z| ({_CLOCK}))",
)
_BOOLEANS = {"true": True, "false": False}


def all_of(truths: Iterable[Truth]) -> Truth:
    """Return the AND: False if any value is False, else unknown if any is unknown, else True."""
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def any_of(truths: Iterable[Truth]) -> Truth:
    """Return the OR: True if any value is True, else unknown if any is unknown, else False."""
    result: Truth = False
    for truth in truths:
        if truth is True:
            return True
        if truth is None:
            result = None
    return result


def negate(truth: Truth) -> Truth:
    """Return the NOT: True and False are swapped, unknown stays unknown."""
    return None if truth is None else not truth


def read_number(text: str) -> Decimal | None:
    """Return a decimal number exactly. White space, NaN, infinity and empty text are refused."""
    if not _NUMBER.fullmatch(text):
        return None
    return Decimal(text)


def read_instant(text: str) -> int | Fraction | None:
    """Return the exact seconds since the epoch of `2016-06-01T00:01:00Z` or `2022-05-31 00:00:00` (UTC)."""
    match = _INSTANT.fullmatch(text)
    if not match:
        return None
    day, time, fraction, plain = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time or plain}").replace(tzinfo=UTC)
    except ValueError:  # 30 February, a leap second
        return None
    seconds = int(moment.timestamp())
    return seconds + Fraction(int(fraction), 10 ** len(fraction)) if fraction else seconds


def read_moment(text: str) -> datetime | None:
    """Return the time that a person wrote in ISO 8601, or None. It has a time zone where the text has one."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def format_moment(seconds: float) -> str:
    """Return a moment in the form of policies, rounded down to the second."""
    try:
        return datetime.fromtimestamp(seconds // 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s"


def read_boolean(text: str) -> bool | None:
    """Return the value of `true` or `false`, which must be in lower case."""
    return _BOOLEANS.get(text)
