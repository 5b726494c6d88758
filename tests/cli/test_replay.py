"""`camguard replay`: what recorded traffic another bundle would change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main
from camguard.exit_codes import Exit
from tests.cli.test_logged import written
from tests.cli.test_recorded import LINES
from tests.company import allow, deny, document

ALICE = "uin/100000000101"


def replay(folder: Path, capsys: pytest.CaptureFixture[str], code: Exit) -> dict[str, Any]:
    """Replay the recorded calls under the bundle of the folder, and return what is printed."""
    log = written(folder, *LINES)
    assert main(["replay", str(log), "--format", "json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_bundle_of_the_recording_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = replay(folder, capsys, Exit.OK)
    assert (found["changes"], found["changed"], found["not_enough_facts"]) == ([], 0, 0)
    assert (found["calls"], found["same"], found["rejected"]) == (5, 5, 1)


def test_lost_calls_are_grouped_by_principal_and_statement(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = folder / "bundle/policies/aiart-settings-locked.json"
    policy.write_text(document(deny("aiart:TextToImage")))
    found = replay(folder, capsys, Exit.CHANGED)
    (lost,) = found["changes"]
    assert (lost["kind"], lost["principal"]) == ("lost", ALICE)
    assert (lost["statement"], lost["calls"]) == ("aiart-settings-locked#0", 2)
    assert lost["actions"] == ["aiart:TextToImage"]
    assert (found["changed"], found["same"]) == (2, 3)


def test_gained_calls_name_the_statement_that_allows_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bundle/policies/aiart-settings-locked.json").write_text(document(allow("aiart:SetPayMode")))
    found = replay(folder, capsys, Exit.CHANGED)
    gained = [each for each in found["changes"] if each["kind"] == "gained"]
    assert [(each["principal"], each["statement"]) for each in gained] == [(ALICE, "aiart-settings-locked#0")]


def test_calls_are_replayed_under_an_archive_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = folder / "bundle/policies/aiart-settings-locked.json"
    before = policy.read_text()
    policy.write_text(document(deny("aiart:TextToImage")))
    archive = str(folder / "new.tar.gz")
    assert main(["bundle", "build", "--serial", "2", "--out", archive]) == Exit.OK
    policy.write_text(before)
    capsys.readouterr()
    argv = ["replay", str(written(folder, *LINES)), "--format", "json", "--bundle"]
    assert main([*argv, archive]) == Exit.CHANGED
    assert json.loads(capsys.readouterr().out)["changed"] == 2
    Path(archive).write_bytes(Path(archive).read_bytes()[:-9])
    assert main([*argv, archive]) == Exit.INVALID
    assert f"{archive}: the archive: ends too early" in capsys.readouterr().err
    assert main([*argv, "https://policies.example/b.tar.gz?sign=SECRET"]) == Exit.INVALID
    refused = capsys.readouterr().err
    assert "the bundle: is a URL; name the folder" in refused
    assert "SECRET" not in refused


def test_a_denial_that_asks_for_a_fact_outside_of_the_log_is_counted_apart(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = folder / "bundle/policies/aiart-settings-locked.json"
    policy.write_text(document(deny("aiart:TextToImage", bool_equal={"qcs:mfa": "false"})))
    policy.write_text(document(deny("aiart:TextToImage", string_equal={"qcs:request_tag/dept": "ops"})))
    found = replay(folder, capsys, Exit.OK)
    assert (found["changes"], found["not_enough_facts"]) == ([], 2)
