"""`camguard test`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main
from tests.company import allow, document

TEST = """
now = 2026-12-01T09:00:00Z

[[test]]
name = "alice draws"
principals = ["alice"]
actions = ["aiart:TextToImage"]
ips = ["10.1.0.1"]
default = "allow"
"""


def write(folder: Path, text: str) -> Path:
    """Put one file in place of the shipped tests."""
    for old in (folder / "bundle/tests").iterdir():
        old.unlink()
    file = folder / "bundle/tests/mine.toml"
    file.write_text(text)
    return file


def ran(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.usefixtures("folder")
def test_the_shipped_tests_hold_and_reach_every_statement(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--min-coverage", "100"]) == 0
    *_, sums, coverage = capsys.readouterr().out.splitlines()
    assert sums.endswith("all passed")
    assert coverage == "17 of 17 statements decided something (100.0 %)"


def test_a_test_that_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, TEST)
    assert main(["test"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok   bundle/tests/mine.toml: [[test]] 1 'alice draws' (1 calls)",
        "1 tests, 1 calls: all passed",
    ]


def test_a_test_that_fails_says_what_was_expected_and_what_came(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, TEST.replace('"allow"', '"deny"\nreason = "no_allow"'))
    call = "alice aiart:TextToImage from 10.1.0.1 at 2026-12-01T09:00:00Z"
    assert main(["test"]) == 4
    assert capsys.readouterr().out.splitlines() == [
        "FAIL bundle/tests/mine.toml: [[test]] 1 'alice draws' (1 calls)",
        f"       {call}: expected deny (no_allow), got allow (allowed) by aiart-create#0",
        "1 tests, 1 calls: 1 failed",
    ]


def test_text_lists_the_first_failures_and_json_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, TEST.replace("aiart:TextToImage", "aiart:Query*Job").replace('"allow"', '"deny"'))
    assert main(["test"]) == 4
    assert "       and 2 more" in capsys.readouterr().out.splitlines()
    assert main(["test", "--format", "json"]) == 4
    failures = ran(capsys)["tests"][0]["failures"]
    assert len(failures) == 7
    assert failures[0]["statements"] == ["aiart-create#0", "aiart-read#0"]


# what an `expect` says besides decision = "allow", whether the test then holds
EXPECTATIONS = [
    pytest.param("", True, id="the decision alone"),
    pytest.param('reason = "allowed"', True, id="the reason"),
    pytest.param('reason = "no_allow"', False, id="another reason"),
    pytest.param('statements = ["aiart-create#0"]', True, id="the statements"),
    pytest.param('statements = ["aiart-full#0"]', False, id="other statements"),
]


@pytest.mark.parametrize(("more", "holds"), EXPECTATIONS)
def test_expectations(more: str, holds: bool, folder: Path) -> None:
    deny = TEST.replace('"allow"', '"deny"')
    write(folder, f'{deny}\n[[test.expect]]\nips = ["10.1.0.1"]\ndecision = "allow"\n{more}\n')
    assert main(["test"]) == (0 if holds else 4)


@pytest.mark.parametrize("argv", [[], ["--run", "nothing is called so"]], ids=["no test", "none chosen"])
def test_none_run_is_a_failure(argv: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, TEST if argv else "now = 2026-12-01T09:00:00Z\n")
    assert main(["test", *argv]) == 4
    said = capsys.readouterr()
    assert said.out.endswith("0 calls: none ran\n")
    assert "no policy test ran" in said.err


def test_names_choose_tests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        folder, TEST + TEST.replace("now = 2026-12-01T09:00:00Z", "").replace("alice draws", "alice paints")
    )
    assert main(["test", "--run", "paints$", "--format", "json"]) == 0
    assert [test["name"] for test in ran(capsys)["tests"]] == ["alice paints"]


def test_a_range_stands_for_its_ends(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, TEST.replace("10.1.0.1", "10.0.255.0/23"))
    assert main(["test", "--format", "json"]) == 4
    (test,) = ran(capsys)["tests"]
    assert test["calls"] == 2
    assert ["from 10.0.254.0 " in failure["call"] for failure in test["failures"]] == [True, False]


def test_tags_and_context_reach_the_call(folder: Path) -> None:
    text = document(allow("aiart:TextToImage", bool_equal={"qcs:mfa": "true"}))
    (folder / "bundle/policies/aiart-create.json").write_text(text)
    write(folder, TEST)
    assert main(["test"]) == 4
    write(folder, TEST + 'context = {"qcs:mfa" = ["true"]}\nresource_tags = {a = "b"}\nrequest_tags = {}\n')
    assert main(["test"]) == 0


def test_statements_that_never_decided_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, TEST)
    assert main(["test", "--coverage", "--format", "json"]) == 0
    never = ran(capsys)["never_decided"]
    assert "aiart-create#0" not in never
    assert "year-end-freeze#0" in never
    assert main(["test", "--min-coverage", "50"]) == 4
    assert "coverage is 11.8 %, below 50 %" in capsys.readouterr().err


# what is wrong with a file of tests, where it is and what is said of it
WRONG = [
    pytest.param("[[test]", "mine.toml", "is not TOML", id="no TOML"),
    pytest.param("[tests]", "top level", "unknown key 'tests' (did you mean 'test'", id="an unknown table"),
    pytest.param('test = "x"', "top level", "write [[test]]", id="a test that is no table"),
    pytest.param(
        TEST + 'acton = "x"', "[[test]] 1 'alice draws'", "unknown key 'acton'", id="an unknown key"
    ),
    pytest.param(
        TEST.replace("alice", "alise"),
        "principals",
        "no principal 'alise' (did you mean 'alice'",
        id="an unknown principal",
    ),
    pytest.param(
        TEST.replace("TextToImage", "TextToImag"),
        "actions",
        "did you mean 'aiart:TextToImage'",
        id="an unknown action",
    ),
    pytest.param(
        TEST.replace("TextToImage", "Drop*"),
        "actions",
        "no action fits 'aiart:Drop*'",
        id="a pattern that fits nothing",
    ),
    pytest.param(TEST.replace("10.1.0.1", "10.1"), "ips", "'10.1': is not an IP address", id="no address"),
    pytest.param(TEST.replace('["10.1.0.1"]', "[]"), "ips", "at least one string", id="no addresses"),
    pytest.param(TEST.replace("now", "# now"), "times", "has no time:", id="no time"),
    pytest.param(
        TEST.replace("09:00:00Z", "09:00:00"), "times", "has no time zone", id="a time without zone"
    ),
    pytest.param(TEST + 'times = ["noon"]', "times", "'noon' is not a time", id="a time that is none"),
    pytest.param(TEST.replace('"allow"', '"permit"'), "[[test]] 1", "default is 'permit'", id="no decision"),
    pytest.param(TEST.replace("default", "reason"), "[[test]] 1", "default is missing", id="no default"),
    pytest.param(
        TEST + 'reason = "no_alow"', "[[test]] 1", "did you mean 'no_allow'", id="an unknown reason"
    ),
    pytest.param(
        TEST + 'context = {"qcs:mfa" = "true"}',
        "context, qcs:mfa",
        "list of",
        id="a context of the wrong shape",
    ),
    pytest.param(TEST + "context = 1", "context", "must be a table", id="a context that is none"),
    pytest.param(
        TEST + "request_tags = {a = 1}", "request_tags, a", "must be a string", id="tags that are no text"
    ),
    pytest.param(
        TEST + '[[test.expect]]\nips = ["10.1.0.2"]\ndecision = "deny"',
        "[[test.expect]] 1",
        "'10.1.0.2' is not among the ips of the test",
        id="an expectation of what is not tested",
    ),
    pytest.param(
        TEST + '[[test.expect]]\ndecision = "deny"\n' * 2,
        "[[test.expect]] 2",
        "is named by",
        id="two expectations of one call",
    ),
    pytest.param(
        "[ips]\na = 1\n" + TEST.replace("now", "# now"), "times", "has no time:", id="tables before keys"
    ),
    pytest.param("ips = 1" + TEST, "top level, ips", "must be a table", id="names that are no table"),
]


@pytest.mark.parametrize(("text", "where", "says"), WRONG)
def test_a_wrong_file_is_3_and_named(
    text: str, where: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, text)
    assert main(["test"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    line = next(line for line in printed.err.splitlines() if says in line)
    assert line.startswith("camguard: bundle/tests/mine.toml: ")
    assert where in line


def test_an_action_on_resources_wants_them_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "catalog/aiart.json"
    catalog = json.loads(file.read_text())
    row = next(row for row in catalog["actions"] if row["name"] == "TextToImage")
    row |= {"granularity": "resource", "resources": ["qcs::aiart:$region:$account:job/$jobid"]}
    file.write_text(json.dumps(catalog))
    write(folder, TEST)
    assert main(["test"]) == 3
    assert "give the test `resources` like qcs::aiart:" in capsys.readouterr().err
    resources = '[resources]\njob = "qcs::aiart:ap-guangzhou:uin/100000000001:job/1"\n'
    write(folder, TEST.replace("[[test]]", f"{resources}[[test]]") + 'resources = ["job"]\n')
    assert main(["test"]) == 0


def test_other_files_can_be_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.toml"
    file.write_text(TEST)
    assert main(["test", str(file), str(folder / "bundle/tests/art.toml"), "--format", "json"]) == 0
    assert len(ran(capsys)["tests"]) == 7
