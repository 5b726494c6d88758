"""Names in messages."""

from __future__ import annotations

import doctest

import pytest

from camguard import suggest
from camguard.suggest import few, nearest

FEW = [
    pytest.param([], "", id="none"),
    pytest.param(["a", "b", "c"], "a, b, c", id="as many as are shown"),
    pytest.param(["a", "b", "c", "d"], "a, b, c and 1 more", id="one more than are shown"),
]


@pytest.mark.parametrize(("names", "text"), FEW)
def test_a_few_names_are_shown_and_the_rest_is_counted(names: list[str], text: str) -> None:
    assert few(names) == text


def test_names_that_are_not_handed_in_are_counted_too() -> None:
    assert few(["a", "b", "c"], total=10) == "a, b, c and 7 more"
    assert few(["a"], total=1) == "a"


def test_the_nearest_names_are_proposed() -> None:
    assert nearest("acton", ["action", "effect"]) == " (did you mean 'action'?)"
    assert nearest("zzz", ["action", "effect"]) == ""


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(suggest)
    assert results.attempted > 0
    assert results.failed == 0
