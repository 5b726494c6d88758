"""`camguard reduce`: prints a smaller policy, and writes it only when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camguard.cli import main

WORDY = {
    "version": "2.0",
    "statement": [
        {
            "effect": "allow",
            "action": ["aiart:Text*", "aiart:TextToImage"],
            "resource": "*",
            "condition": {"ip_equal": {"qcs:ip": ["10.0.0.0/9", "10.128.0.0/9"]}},
        },
        {"effect": "allow", "action": "aiart:SetPayMode", "resource": "*"},
        {"effect": "deny", "action": "aiart:Set*", "resource": "*"},
    ],
}


@pytest.fixture
def wordy(folder: Path) -> Path:
    """Return the file of a policy that says everything twice."""
    file = folder / "bundle/policies/aiart-create.json"
    file.write_text(json.dumps(WORDY))
    file.chmod(0o640)
    return file


def test_steps_and_the_smaller_policy_are_printed(wordy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = wordy.read_bytes()
    assert main(["reduce", "aiart-create"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "aiart-create: 3 -> 2 statements, 9 -> 5 entries; the same decisions, proved",
        "  aiart-create#0: without the action aiart:TextToImage, which aiart:Text* covers",
        "  aiart-create#0: ip_equal qcs:ip: 2 ranges become 1",
        "  aiart-create#1: left out, because aiart-create#2 covers it",
    ]
    assert json.loads("\n".join(lines[4:]))["statement"][1]["effect"] == "deny"
    assert wordy.read_bytes() == before


def test_files_are_replaced_when_asked(wordy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = {path: path.read_bytes() for path in wordy.parent.iterdir() if path != wordy}
    assert main(["reduce", "--write", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["written"]
    (smaller,) = (each for each in document["policies"] if each["steps"])
    assert json.loads(wordy.read_text()) == smaller["document"]
    assert wordy.stat().st_mode & 0o777 == 0o640
    assert {path: path.read_bytes() for path in wordy.parent.iterdir() if path != wordy} == others
    assert main(["reduce", "aiart-create", "--write"]) == 0
    assert capsys.readouterr().out == "aiart-create: cannot be smaller\n"


@pytest.mark.usefixtures("folder")
def test_a_policy_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reduce", "aiart-crate"]) == 2
    assert "no policy 'aiart-crate' (did you mean 'aiart-create'" in capsys.readouterr().err
