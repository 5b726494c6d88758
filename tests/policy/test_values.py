"""The three truth values, and the values of conditions: numbers, instants and booleans."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from camguard.policy.values import (
    all_of,
    any_of,
    format_moment,
    negate,
    read_boolean,
    read_instant,
    read_moment,
    read_number,
)

TRUTHS = (True, False, None)


AND = {(a, b): False if False in (a, b) else None if None in (a, b) else True for a in TRUTHS for b in TRUTHS}


OR = {(a, b): True if True in (a, b) else None if None in (a, b) else False for a in TRUTHS for b in TRUTHS}


def test_three_values() -> None:
    assert {pair: all_of(pair) for pair in AND} == AND
    assert {pair: any_of(pair) for pair in OR} == OR
    assert [negate(truth) for truth in TRUTHS] == [False, True, None]
    assert (all_of(()), any_of(())) == (True, False)


NUMBERS = [
    *(("0", 0), ("-1", -1), ("+1", 1), ("007", 7), ("1.20", Decimal("1.2")), ("-0.5", Decimal("-0.5"))),
    *(("1e3", 1000), ("1E+3", 1000), ("1.5e-2", Decimal("0.015")), ("1e999", Decimal("1e999"))),
    ("12345678901234567890123456789", 12345678901234567890123456789),
]


NO_NUMBERS = (
    *("", " ", "1 ", " 1", "1\n", "x", "NaN", "Infinity", "-", "+", ".", ".5", "1.", "1.2.3", "1,5", "--1"),
    *("+-1", "0x1", "1_000", "1e", "1e+", "1ee1", "e1", "1e1000", "1e1.5", "1-", "\u0661", "1x", "1..2"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "value"), NUMBERS, ids=[text for text, _ in NUMBERS])
def test_a_number(text: str, value: Any) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize("text", NO_NUMBERS, ids=map(repr, NO_NUMBERS))
def test_no_number(text: str) -> None:
    assert read_number(text) is None


DAY = 1_464_739_200  # 2016-06-01 in seconds since the epoch: 16,953 days


INSTANTS = [
    ("2016-06-01T00:01:00Z", DAY + 60),
    ("2016-06-01 00:01:00", DAY + 60),
    ("2016-06-01T23:59:59Z", DAY + 86_399),
    ("1970-01-01T00:00:00Z", 0),
    ("1969-12-31 23:59:59", -1),
    ("2016-06-01T00:00:00.5Z", DAY + Fraction(1, 2)),
    ("2016-06-01T00:00:00.123456789Z", DAY + Fraction(123_456_789, 10**9)),
    ("2016-06-01T00:00:00.000Z", DAY),
]


NO_INSTANTS = (
    *("", "2016-06-01", "2016-06-01T00:01:00", "2016-06-01T00:01:00z", "2016-06-01t00:01:00Z", "1464739260"),
    *("2016-06-01 00:01:00Z", "2016-06-01T 00:01:00Z", "2016-06-01  00:01:00", " 2016-06-01T00:01:00Z"),
    *("2016-06-01T00:01:00Z ", "2016-06-01 00:01:00\n", "2016-06-01T00:01:00+00:00", "2016-06-01T00:01Z"),
    *("2016-06-01 00:01", "2016-06-01T00:01:00.Z", "2016-06-01T00:01:00.1234567891Z"),
    *("2016-06-01 00:01:00.5", "2016-06-01T00:01:00,5Z", "2016-6-01T00:01:00Z", "2016-06-1T00:01:00Z"),
    *("16-06-01T00:01:00Z",),
    *("2016-13-01T00:00:00Z", "2016-02-30T00:00:00Z", "2015-02-29T00:00:00Z", "2016-06-01T24:00:00Z"),
    *("2016-06-01T00:60:00Z", "2016-06-01T00:00:60Z", "0000-01-01T00:00:00Z", "2016-W22-3T00:00:00Z"),
    *("20160601T000100Z", "2016-06-01T000100Z", "12016-06-01T00:00:00Z", "2016-06-01T00:01:00ZZ"),
    *("2016-06-01T0:01:00Z", "2016-06-01T00:1:00Z", "2016-06-01T00:01:0Z", "2016-06-01 0:01:00"),
    *("2016-06-01 00:1:00", "2016-06-01 00:01:0", "2016-06-01T000:01:00Z", "2016-06-01 00:01:000"),
    *("2016-06-01T00:01:00.\u0661Z", "\u0662016-06-01T00:01:00Z", "2016-06-01\u00a000:01:00"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "value"), INSTANTS, ids=[text for text, _ in INSTANTS])
def test_an_instant(text: str, value: Any) -> None:
    assert read_instant(text) == value


@pytest.mark.parametrize("text", NO_INSTANTS, ids=map(repr, NO_INSTANTS))
def test_no_instant(text: str) -> None:
    assert read_instant(text) is None


# text that a person writes, and the time that it names
MOMENTS = [
    pytest.param(
        "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), id="a time with its zone"
    ),
    pytest.param("2026-01-02T03:04", datetime(2026, 1, 2, 3, 4), id="a time without a zone"),  # noqa: DTZ001
    pytest.param("tomorrow", None, id="a word"),
    pytest.param("2026-02-30", None, id="a day that does not exist"),
]


@pytest.mark.parametrize(("text", "moment"), MOMENTS)
def test_a_moment_that_a_person_writes(text: str, moment: datetime | None) -> None:
    assert read_moment(text) == moment


SHOWN_MOMENTS = [
    pytest.param(0.9999999, "1970-01-01T00:00:00Z", id="not yet the next second"),
    pytest.param(-0.5, "1969-12-31T23:59:59Z", id="before the first second"),
    pytest.param(10**12, "1000000000000 s", id="beyond the calendar's years"),
    pytest.param(1e17, "1e+17 s", id="beyond what the system counts"),
    pytest.param(1e300, "1e+300 s", id="beyond whole numbers of 64 bits"),
]


@pytest.mark.parametrize(("seconds", "text"), SHOWN_MOMENTS)
def test_a_moment_is_shown_as_policies_write_it(seconds: float, text: str) -> None:
    assert format_moment(seconds) == text


def test_booleans() -> None:
    texts = ("true", "false", "True", "FALSE", "1", "0", "", " true", "yes")
    assert [read_boolean(text) for text in texts] == [True, False, None, None, None, None, None, None, None]
