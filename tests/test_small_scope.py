"""Every set of up to three statements of a small alphabet, asked every call: tables and oracle agree."""

from __future__ import annotations

import json
from math import comb

import pytest

from tests import oracle
from tests.small_scope import ALPHABETS as OF
from tests.small_scope import MOST, Scope, main

PARTS = [
    pytest.param("wide", 1, id="every statement of the wide alphabet alone"),
    pytest.param("least", MOST, id="every set of three of the least alphabet"),
]


@pytest.mark.parametrize(("alphabet", "size"), PARTS)
def test_tables_and_oracle_agree_on_a_whole_small_scope(alphabet: str, size: int) -> None:
    scope = Scope(OF[alphabet])
    for difference in scope.differences(scope.worlds(size)):
        raise AssertionError(json.dumps(difference._asdict()))
    sets = sum(comb(2 * len(scope.statements), number) for number in range(size + 1))
    assert scope.reasons.total() == sets * len(scope.calls)
    wanted = {"allowed", "no_allow", "explicit_deny", "undetermined_deny"}
    assert scope.reasons.keys() == wanted | ({"layer_limit"} if size > 1 else set())


@pytest.mark.heavy
def test_tables_and_oracle_agree_on_an_eighth_of_every_set_of_three(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole takes three minutes: `python -m tests.small_scope`."""
    assert main(["--alphabet", "narrow", "--part", "1/8"]) == 0
    assert " 0 differences" in capsys.readouterr().out


def test_a_wrong_reading_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here the oracle takes a star in a service for certain, against DEC-8."""
    right = oracle.action_truth

    def certain(*args: str) -> oracle.Truth:
        truth = right(*args)
        return True if truth is None else truth

    monkeypatch.setattr(oracle, "action_truth", certain)
    assert main(["--alphabet", "narrow", "--size", "1"]) == 1
    first, *_, total = capsys.readouterr().out.splitlines()
    assert json.loads(first)["placed"][0][1]["action"] == "*:Get"
    assert " 0 differences" not in total


def test_the_parts_of_a_scope_are_the_scope(capsys: pytest.CaptureFixture[str]) -> None:
    counts = []
    for part in ("1/2", "2/2", "1/1"):
        assert main(["--alphabet", "least", "--size", "1", "--part", part]) == 0
        counts.append(int(capsys.readouterr().out.partition(": ")[2].partition(" ")[0]))
    assert counts[0] + counts[1] == counts[2]
