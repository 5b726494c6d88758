"""Names in messages."""

from __future__ import annotations

import doctest

import pytest

from camguard import suggest
from camguard.suggest import few, nearest, nearest_action_names

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


ACTIONS = ("DescribeToy", "DeleteToy", "DeleteToyBox", "ModifyToy", "BindToy", "UnbindToy", "CLSToy")
# what was written, what is suggested
SAME_VERB = [
    pytest.param("DeleteToys", ("DeleteToy", "DeleteToyBox"), id="a letter too many"),
    pytest.param("DescribeToyBox", ("DescribeToy",), id="no action of another verb, however alike"),
    pytest.param("DeleetToy", ("DeleteToy", "DeleteToyBox"), id="a misspelt verb"),
    pytest.param("BindToys", ("BindToy",), id="not the opposite"),
    pytest.param("UnbindToys", ("UnbindToy",), id="nor the other way round"),
    pytest.param("deletetoy", ("DeleteToy", "DeleteToyBox"), id="small letters"),
    pytest.param("DELETETOY", ("DeleteToy", "DeleteToyBox"), id="capital letters"),
    pytest.param("CLSToys", ("CLSToy",), id="a verb in capitals"),
    pytest.param("RemoveToy", (), id="a verb that no action has"),
    pytest.param("Toy", (), id="no verb"),
    pytest.param("", (), id="nothing"),
    pytest.param("阿", (), id="other letters"),
]


@pytest.mark.parametrize(("written", "near"), SAME_VERB)
def test_only_actions_of_the_same_verb_are_suggested(written: str, near: tuple[str, ...]) -> None:
    assert nearest_action_names(written, ACTIONS) == near


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(suggest)
    assert results.attempted > 0
    assert results.failed == 0
