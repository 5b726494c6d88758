"""`camguard suggest` and `camguard unused`: what recorded calls need, in text and in JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main
from camguard.exit_codes import Exit
from tests.cli.test_logged import line, written

ALICE, FARM = "uin/100000000101", "role/render-farm"
DENIED = {"decision": "deny", "reason": "no_allow", "statements": []}


def call_of(principal: str, action: str, source: str, **changes: Any) -> dict[str, Any]:
    service, _, name = action.partition(":")
    fields = {"principal": principal, "service": service, "action": name, "source_ip": source}
    return line(**fields, egress_ip=None, **changes)


LINES = (
    call_of(ALICE, "aiart:TextToImage", "10.1.2.3"),
    call_of(ALICE, "aiart:TextToImage", "10.1.2.3", time="2026-03-11T12:00:00Z"),
    call_of(ALICE, "aiart:QueryMemeJob", "10.1.2.9"),
    call_of(ALICE, "aiart:SetPayMode", "10.1.2.9", **DENIED),
    call_of(FARM, "aiart:SubmitTextToImageProJob", "10.50.0.7"),
    line(principal=None, decision="deny", reason="signature_invalid", resources=[]),
)


def report(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert main([*argv, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_suggest_prints_a_policy_and_what_it_allows_beyond(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(folder, *LINES)
    assert main(["suggest", log, "--principal", "alice", "--most-ranges", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    end = lines.index("}") + 1
    policy = json.loads("\n".join(lines[:end]))
    assert policy["statement"] == [
        {
            "effect": "allow",
            "action": ["aiart:QueryMemeJob", "aiart:TextToImage"],
            "resource": "*",
            "condition": {"ip_equal": {"qcs:ip": ["10.1.2.0/28"]}},
        }
    ]
    assert lines[end:] == [
        "allows 2 of 2 different calls of uin/100000000101 (3 recorded)",
        "  1 calls were denied and are left out; --denied allows them, too",
        "beyond the recorded calls it allows",
        "  addresses of 10.1.2.0/28: 2 of 16 were recorded",
    ]


def test_suggest_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "suggest", written(folder, *LINES), "--principal", "alice", "--denied")
    assert (found["schema"], found["principal"], found["calls"], found["covered"]) == (1, ALICE, 4, 3)
    assert found["policy"]["statement"][0]["action"] == [
        "aiart:QueryMemeJob", "aiart:SetPayMode", "aiart:TextToImage",
    ]  # fmt: skip
    assert found["not_covered"] == []
    assert set(found["beyond"]) == {"actions", "ranges", "actions_from_ranges", "resources", "anywhere"}


def test_a_suggestion_is_written_to_a_new_file_and_allows_the_calls(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, file = written(folder, *LINES), folder / "bundle/policies/suggested.json"
    argv = ["suggest", log, "--principal", FARM, "--out", str(file)]
    assert main(argv) == 0
    assert "wrote bundle/policies/suggested.json" in capsys.readouterr().err
    principals = json.loads((folder / "bundle/principals.json").read_text())
    principals["roles"]["render-farm"]["policies"] = ["suggested"]
    (folder / "bundle/principals.json").write_text(json.dumps(principals))
    asked = ["check", "--principal", FARM, "--action", "aiart:SubmitTextToImageProJob", "--ip"]
    assert main([*asked, "10.50.0.7"]) == Exit.OK
    assert main([*asked, "10.50.0.8"]) == Exit.DENY
    assert main(argv) == Exit.INVALID  # the file exists now
    assert "suggested.json: File exists" in capsys.readouterr().err


def test_a_log_is_read_from_stdin(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(written(folder, *LINES)).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert report(capsys, "suggest", "-", "--principal", FARM)["calls"] == 1


# the lines of the log, the options, the exit code, what is said
WRONG = [
    pytest.param(
        LINES,
        ["suggest", "--principal", "bruno"],
        2,
        "the log has no allowed call of uin/100000000102",
        id="a principal without a call",
    ),
    pytest.param(
        LINES,
        ["suggest", "--principal", "alise"],
        2,
        "no principal 'alise' (did you mean 'alice'",
        id="an unknown principal",
    ),
    pytest.param(
        [*LINES, "{"], ["suggest", "--principal", "alice"], 3, "log.jsonl:7", id="a line that is no record"
    ),
    pytest.param([*LINES, "{}"], ["unused"], 3, "log.jsonl:7", id="an object that is no record"),
    pytest.param(LINES[-1:], ["unused"], 3, "no call was recorded", id="no call"),
    pytest.param(
        LINES,
        ["suggest", "--principal", "alice", "--most-ranges", "0"],
        2,
        "is not a whole number from 1 to 64",
        id="no range",
    ),
]


@pytest.mark.parametrize(("lines", "argv", "code", "says"), WRONG)
def test_bad_input_is_named(
    lines: Any, argv: list[str], code: int, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argv[0], written(folder, *lines), *argv[1:]]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err


def test_records_without_all_of_their_resources_are_passed_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = call_of(ALICE, "aiart:TextToImage", "10.1.2.3", resources=["qcs::a:::b", "..."])
    assert main(["suggest", written(folder, *LINES, cut), "--principal", "alice", "--format", "json"]) == 0
    printed = capsys.readouterr()
    assert (
        "1 records are passed over, because the log has cut their resources: log.jsonl:7"
        in printed.err.replace(f"{folder}/", "")
    )
    assert json.loads(printed.out)["calls"] == 3


def test_a_line_that_is_still_being_written_is_passed_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Path(written(folder, *LINES))
    log.write_bytes(log.read_bytes() + b'{"schema": 2, "time": "2026')
    assert report(capsys, "suggest", str(log), "--principal", "alice")["calls"] == 3


def test_unused_in_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unused", written(folder, *LINES)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 statements decided no recorded call"
    assert "  allow aiart-full#0  policies/aiart-full.json#/statement/0" in lines
    assert not [each for each in lines if "aiart-settings-locked#0" in each]  # it denied SetPayMode
    assert "  group/art-leads has aiart-full" in lines
    assert "  uin/100000000109 (ines)" in lines
    assert lines[-2:] == [
        "a deny that decided nothing may guard against calls that nobody has tried yet",
        "proof: without all of these, the 5 recorded calls (4 different) are decided the same",
    ]


def test_unused_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "unused", written(folder, *LINES))
    assert (found["schema"], found["calls"], found["rejected"], found["passed_over"]) == (1, 5, 1, 0)
    assert found["proof"] == {"different_calls": 4, "decided_otherwise_than_recorded": 0, "changed": 0}
    assert {"principal": FARM, "name": "render-farm"} not in found["principals"]
    assert {"holder": "role/billing-bot", "name": "billing-bot", "what": "bills-read"} in found["grants"]


def test_calls_that_are_decided_otherwise_now_keep_what_may_apply(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = call_of(ALICE, "aiart:TextToImage", "198.51.100.7")
    assert main(["unused", written(folder, *LINES, other)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "  1 of them are decided otherwise than recorded; what may apply to them is kept"
    )
