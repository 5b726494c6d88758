"""`camguard check --record` and `--id`: a logged call is asked again, and what is no record is refused."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main
from camguard.request.rejection import rejection
from camguard.telemetry.log_line import log_line
from camguard.telemetry.record import Record
from tests.telemetry.samples import action_of, record_of

ACT = action_of("aiart", "TextToImage")
OFFICE, HOME = "10.1.2.3", "198.51.100.7"
REVISION = "0123456789ab"


def line(**changes: Any) -> dict[str, Any]:
    """Return a line of the log as a document, with some members changed: a call of alice from the office."""
    return {**json.loads(log_line(record_of(ACT), 200, None, 200)), **changes}


def written(folder: Path, *lines: Any) -> str:
    """Return the name of a log that has these lines."""
    file = folder / "log.jsonl"
    texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
    file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return str(file)


def asked(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    code = main(["check", *argv, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_line_of_the_log_is_asked_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = asked(capsys, "--record", written(folder, line()))
    assert (code, answer["decision"], answer["statements"]) == (0, "allow", ["aiart-create#0"])
    assert (answer["principal"], answer["action"]) == ("uin/100000000101", "aiart:TextToImage")
    assert (answer["source_ip"], answer["time"], answer["resources"]) == (OFFICE, 1773144000.25, ["*"])
    assert (answer["host"], answer["peer"]) == ("aiart.tencentcloudapi.com", "127.0.0.1")
    assert answer["record"] == {
        "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "time": "2026-03-10T12:00:00.250000Z",
        "decision": "allow",
        "reason": "allowed",
        "detail": None,
        "layer": None,
        "revision": REVISION,
        "same_revision": False,
        "same_reason": True,
    }


def test_it_is_said_whether_the_revision_is_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, answer = asked(capsys, "--record", written(folder, line()))
    now = answer["revision"][:12]
    log = written(folder, line(revision=now, decision="deny", reason="no_allow"))
    code, answer = asked(capsys, "--record", log)
    assert (code, answer["record"]["same_revision"], answer["record"]["same_reason"]) == (0, True, False)
    assert main(["check", "--record", log]) == 0
    text = capsys.readouterr().out
    assert "  logged    deny, no_allow at 2026-03-10T12:00:00.250000Z, under the same revision\n" in text
    main(["check", "--record", written(folder, line())])
    text = capsys.readouterr().out
    assert f"the same decision at 2026-03-10T12:00:00.250000Z, under another revision, {REVISION}\n" in text
    _, answer = asked(capsys, "--record", written(folder, line(revision=None)))
    assert answer["record"]["same_revision"] is False


# members of the record, further options, exit code, what the answer has
ASKED = [
    pytest.param({"source_ip": HOME}, [], 6, {"reason": "no_allow"}, id="from elsewhere"),
    pytest.param({"source_ip": None}, [], 6, {"source_ip": None}, id="without an address"),
    pytest.param(
        {"source_ip": "127.0.0.9", "egress_ip": OFFICE},
        [],
        0,
        {"source_ip": OFFICE},
        id="by its egress address",
    ),
    pytest.param({"egress_ip": None}, [], 0, {"source_ip": OFFICE}, id="without an egress address"),
    pytest.param({}, ["--ip", HOME], 6, {"source_ip": HOME}, id="from another address"),
    pytest.param({}, ["--time", "5"], 0, {"time": 5.0}, id="at another time"),
    pytest.param({}, ["--principal", "uin/1"], 6, {"principal": "uin/1"}, id="by somebody else"),
    pytest.param({"principal": "uin/1"}, [], 6, {"reason": "principal_unknown"}, id="by somebody who left"),
    pytest.param({"action": "Gone"}, [], 6, {"reason": "action_unknown"}, id="of an action that left"),
    pytest.param({"resources": [None]}, [], 0, {"resources": [None]}, id="on a resource that was not bound"),
    pytest.param({"new": [1]}, [], 0, {"reason": "allowed"}, id="with a key of a later version"),
]


@pytest.mark.parametrize(("members", "options", "code", "expected"), ASKED)
def test_a_record_supplies_the_call(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    members: dict[str, Any],
    options: list[str],
    code: int,
    expected: dict[str, Any],
) -> None:
    found, answer = asked(capsys, "--record", written(folder, line(**members)), *options)
    assert (found, {key: answer[key] for key in expected}) == (code, expected)


def test_a_record_is_found_by_its_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = line(id="b", source_ip=HOME)
    others = [line(id="a", client_request_id="b"), "b: another program's line", "", json.dumps(["b"])]
    log = written(folder, *others, wanted, line(id="c"), "x" * 200_000)
    code, answer = asked(capsys, "--id", "b", "--log", log)
    assert (code, answer["record"]["id"], answer["source_ip"]) == (6, "b", HOME)


def test_records_are_read_from_stdin(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = Path(written(folder, line(id="a"), line(id="b", source_ip=HOME))).read_bytes()
    for argv in (["--record", "-"], ["--id", "b", "--log", "-"]):
        text = raw.splitlines(keepends=True)[1] if "--record" in argv else raw
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        code, answer = asked(capsys, *argv)
        assert (code, answer["record"]["id"]) == (6, "b")


def rejected(detail: str) -> Record:
    return record_of(None, decision=rejection(detail), principal=None, resources=())


def test_a_request_that_never_became_a_call_is_explained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(folder, log_line(rejected("header_alias"), None, None, 200).decode().strip())
    code, answer = asked(capsys, "--record", log)
    assert (code, answer["reason"], answer["detail"]) == (6, "malformed", "header_alias")
    assert answer["cause"]["name"] == "header_alias"
    assert (answer["host"], answer["peer"]) == ("aiart.tencentcloudapi.com", "127.0.0.1")
    assert main(["check", "--record", log]) == 6
    text = capsys.readouterr().out
    assert text.startswith("DENY  header_alias: the request never became a call")
    assert answer["cause"]["likely"] in text


# lines of the log, options (LOG stands for the file), exit code, what is printed
WRONG = [
    pytest.param([], ["--record", "LOG"], 3, "has no record", id="an empty file"),
    pytest.param([{}, {}], ["--record", "LOG"], 3, "--id ID --log FILE", id="two records without an id"),
    pytest.param(
        [line(), line()],
        ["--id", line()["id"], "--log", "LOG"],
        3,
        "has several such records",
        id="two of one id",
    ),
    pytest.param(
        [line()], ["--id", "no", "--log", "LOG"], 3, "has no record with the id 'no'", id="no such id"
    ),
    pytest.param(["{"], ["--record", "LOG"], 3, "log.jsonl:1: not JSON", id="no JSON"),
    pytest.param(["[]"], ["--record", "LOG"], 3, "must be an object", id="no object"),
    pytest.param(['{"id":"a","id":"b"}'], ["--record", "LOG"], 3, "twice", id="a member that stands twice"),
    pytest.param(
        ["", "{}"], ["--record", "LOG"], 3, "log.jsonl:2: lacks 'principal'", id="members that lack"
    ),
    pytest.param([line(time="now")], ["--record", "LOG"], 3, "#/time: 'now' is not a time", id="no time"),
    pytest.param(
        [line(source_ip="x")], ["--record", "LOG"], 3, "#/source_ip: is not an IP address", id="no address"
    ),
    pytest.param(
        [line(egress_ip="x")], ["--record", "LOG"], 3, "#/egress_ip: is not", id="no egress address"
    ),
    pytest.param(
        [line(resources=["*", "..."])], ["--record", "LOG"], 3, "#/resources: the log has cut", id="cut"
    ),
    pytest.param([line(principal=1)], ["--record", "LOG"], 3, "#/principal", id="a number"),
    pytest.param(
        [json.dumps(line(x="x" * 70_000))], ["--record", "LOG"], 3, "not JSON", id="a line that is too long"
    ),
    pytest.param([line()], ["--record", "nowhere"], 3, "nowhere: No such file", id="no file"),
    pytest.param([line()], ["--id", "a"], 2, "--id and --log belong together", id="an id without a log"),
    pytest.param([line()], ["--log", "LOG"], 2, "--id and --log belong together", id="a log without an id"),
    pytest.param(
        [line()], ["--record", "LOG", "--id", "a", "--log", "LOG"], 2, "give one of them", id="both ways"
    ),
    pytest.param([line()], [], 2, "give --principal and --action, or a logged call", id="no call"),
    pytest.param([line()], ["--principal", "alice"], 2, "give --principal and --action", id="no action"),
]


@pytest.mark.parametrize(("lines", "options", "code", "message"), WRONG)
def test_what_is_no_record_is_refused(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    lines: list[Any],
    options: list[str],
    code: int,
    message: str,
) -> None:
    log = written(folder, *lines)
    assert main(["check", *(log if each == "LOG" else each for each in options)]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
