"""`camguard test`: what it prints, which tests it runs, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from camguard.cli import main
from tests.policytest.written import TEST, report_of, write_test


@pytest.mark.usefixtures("folder")
def test_the_shipped_tests_hold_and_reach_every_statement(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--min-coverage", "100"]) == 0
    *_, sums, coverage = capsys.readouterr().out.splitlines()
    assert sums.endswith("all passed")
    assert coverage == "17 of 17 statements decided something (100.0 %)"


def test_a_test_that_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(folder, TEST)
    assert main(["test"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok   bundle/tests/mine.toml: [[test]] 1 'alice draws' (1 calls)",
        "1 tests, 1 calls: all passed",
    ]


def test_a_test_that_fails_prints_the_expected_and_the_actual_decision(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_test(folder, TEST.replace('"allow"', '"deny"\nreason = "no_allow"'))
    call = "alice aiart:TextToImage from 10.1.0.1 at 2026-12-01T09:00:00Z"
    assert main(["test"]) == 4
    assert capsys.readouterr().out.splitlines() == [
        "FAIL bundle/tests/mine.toml: [[test]] 1 'alice draws' (1 calls)",
        f"       {call}: expected deny (no_allow), got allow (allowed) by aiart-create#0",
        "1 tests, 1 calls: 1 failed",
    ]


def test_text_lists_the_first_failures_and_json_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(folder, TEST.replace("aiart:TextToImage", "aiart:Query*Job").replace('"allow"', '"deny"'))
    assert main(["test"]) == 4
    assert "       and 2 more" in capsys.readouterr().out.splitlines()
    assert main(["test", "--format", "json"]) == 4
    failures = report_of(capsys)["tests"][0]["failures"]
    assert len(failures) == 7
    assert failures[0]["statements"] == ["aiart-create#0", "aiart-read#0"]


@pytest.mark.parametrize("argv", [[], ["--run", "nothing is called so"]], ids=["no test", "none chosen"])
def test_none_run_is_a_failure(argv: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(folder, TEST if argv else "now = 2026-12-01T09:00:00Z\n")
    assert main(["test", *argv]) == 4
    said = capsys.readouterr()
    assert said.out.endswith("0 calls: none ran\n")
    assert "no policy test ran" in said.err


def test_names_choose_tests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(
        folder, TEST + TEST.replace("now = 2026-12-01T09:00:00Z", "").replace("alice draws", "alice paints")
    )
    assert main(["test", "--run", "paints$", "--format", "json"]) == 0
    assert [test["name"] for test in report_of(capsys)["tests"]] == ["alice paints"]


def test_other_files_can_be_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.toml"
    file.write_text(TEST)
    assert main(["test", str(file), str(folder / "bundle/tests/art.toml"), "--format", "json"]) == 0
    assert len(report_of(capsys)["tests"]) == 7
