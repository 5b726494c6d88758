"""Rows that are checked together: each is checked, and each that does not hold is named."""

from __future__ import annotations

import pytest

from tests.tables import by_topic, check_each


def is_even(number: int) -> None:
    assert number % 2 == 0, "odd"


def test_every_row_that_does_not_hold_is_named_with_what_it_raised() -> None:
    checked: list[int] = []

    def check(number: int) -> None:
        checked.append(number)
        is_even(12 // number)

    with pytest.raises(AssertionError) as caught:
        check_each({"none": 0, "one": 1, "two": 2, "four": 4}, check)
    assert checked == [0, 1, 2, 4]
    text = str(caught.value)
    assert text.startswith("2 of 4 rows do not hold:\n* none\nZeroDivisionError")
    assert "\n* four\nAssertionError('odd" in text
    assert "one" not in text.replace("none", "")
    assert "two" not in text


def test_rows_that_hold_pass() -> None:
    check_each({"two": 2, "four": 4}, is_even)


def test_each_topic_is_one_parameter_with_its_rows_by_their_sentences() -> None:
    found = by_topic(["alpha", "beta", "aleph"], lambda row: row[0], str.upper)
    assert [(each.id, each.values) for each in found] == [
        ("a", ({"ALPHA": "alpha", "ALEPH": "aleph"},)),
        ("b", ({"BETA": "beta"},)),
    ]


def test_two_rows_with_one_sentence_are_an_error() -> None:
    with pytest.raises(ValueError, match="two rows of 'x' have the name 'same'"):
        by_topic([[1], [2]], lambda _: "x", lambda _: "same")
