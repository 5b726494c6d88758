"""Patterns name exactly the actions that they stand for."""

from __future__ import annotations

import pytest

from camguard.analysis.names import patterns_of

READ = ["art:GetDisk", "art:GetImage", "art:GetKey"]
WRITE = ["art:SetDisk", "art:SetImage"]
EVERY = [*READ, *WRITE, "art:SetKey", "vpc:GetNet", "vpc:GetRoute"]

# the actions, the patterns and names that stand for them among `EVERY`
PATTERNS = [
    pytest.param([], [], id="no action"),
    pytest.param(["art:GetKey", "art:GetDisk"], ["art:GetDisk", "art:GetKey"], id="names in their order"),
    pytest.param(READ, ["art:Get*"], id="all actions of one verb"),
    pytest.param(
        [*READ, *WRITE], ["art:Get*", "art:SetDisk", "art:SetImage"], id="not all actions of the other verb"
    ),
    pytest.param(
        [*READ[:2], "art:SetKey"], ["art:GetDisk", "art:GetImage", "art:SetKey"], id="less than one verb"
    ),
    pytest.param([*READ, *WRITE, "art:SetKey"], ["art:*"], id="all actions of a service"),
    pytest.param(
        ["vpc:GetNet", "vpc:GetRoute"], ["vpc:GetNet", "vpc:GetRoute"], id="a service of only two actions"
    ),
    pytest.param(EVERY, ["art:*", "vpc:GetNet", "vpc:GetRoute"], id="everything"),
]


@pytest.mark.parametrize(("actions", "patterns"), PATTERNS)
def test_patterns_name_these_actions_and_no_other_one(actions: list[str], patterns: list[str]) -> None:
    assert list(patterns_of(actions, EVERY)) == patterns


def test_a_verb_ends_where_its_word_ends() -> None:
    every = ["art:GetA", "art:GetB", "art:GetawayC", "art:Set"]
    assert list(patterns_of(every[:3], every)) == ["art:Get*"]
    assert list(patterns_of(every[:2], every)) == every[:2]


def test_services_of_which_one_name_begins_with_the_other_are_parted() -> None:
    every = ["art:GetA", "art:GetB", "art:GetC", "artist:GetA"]
    assert list(patterns_of(every[:3], every)) == ["art:*"]


def test_an_action_that_stands_by_itself_is_in_no_pattern_behind_it() -> None:
    every = ["art:AA", "art:ABc", "art:ADe", "art:Set"]  # the first word of `ABc` is `A`
    assert list(patterns_of(every[:3], every)) == every[:3]
