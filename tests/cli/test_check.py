"""`camguard check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camguard.cli import main

OFFICE, HOME = "10.1.2.3", "198.51.100.7"

# principal, action, address, further arguments, exit code, reason, statements
CALLS = [
    pytest.param(
        "alice", "aiart:TextToImage", OFFICE, [], 0, "allowed", ["aiart-create#0"], id="from the office"
    ),
    pytest.param(
        "uin/100000000101",
        "aiart:TextToImage",
        "2001:db8:1::9",
        [],
        0,
        "allowed",
        ["aiart-create#0"],
        id="IPv6",
    ),
    pytest.param("alice", "aiart:TextToImage", HOME, [], 6, "no_allow", [], id="from home"),
    pytest.param("alice", "aiart:TextToImage", None, [], 6, "no_allow", [], id="from nobody knows where"),
    pytest.param(
        "dalia", "aiart:SetPayMode", OFFICE, [], 6, "explicit_deny", ["aiart-settings-locked#0"], id="a deny"
    ),
    pytest.param(
        "jun",
        "aiart:TextToImage",
        None,
        [],
        6,
        "undetermined_deny",
        ["admins-from-office-only#0"],
        id="a deny that cannot be evaluated",
    ),
    pytest.param("lena", "intlpartnersmgt:BindClient", OFFICE, [], 6, "layer_limit", [], id="a boundary"),
    pytest.param(
        "kofi",
        "aiart:TextToImage",
        OFFICE,
        ["--time", "2026-11-01T00:00:00Z"],
        0,
        "allowed",
        ["aiart-season-2027#0"],
        id="in season",
    ),
    pytest.param(
        "kofi",
        "aiart:TextToImage",
        OFFICE,
        ["--time", "2026-10-31 23:59:59"],
        6,
        "no_allow",
        [],
        id="out of season",
    ),
    pytest.param(
        "kofi",
        "aiart:TextToImage",
        OFFICE,
        ["--time", "1795000000.5"],
        0,
        "allowed",
        ["aiart-season-2027#0"],
        id="time in seconds",
    ),
    pytest.param("owner", "aiart:SetPayMode", HOME, [], 0, "allowed", None, id="the owner"),
    pytest.param(
        "alice",
        "aiart:TextToImage",
        OFFICE,
        ["--context", "qcs:mfa=true", "--request-tag", "a=b"],
        0,
        "allowed",
        ["aiart-create#0"],
        id="keys that no statement asks for",
    ),
    pytest.param(
        "nobody", "aiart:TextToImage", OFFICE, [], 6, "principal_unknown", [], id="an unknown principal"
    ),
    pytest.param("alice", "aiart:TextToImag", OFFICE, [], 6, "action_unknown", [], id="an unknown action"),
]


@pytest.mark.parametrize(("principal", "action", "ip", "further", "code", "reason", "statements"), CALLS)
@pytest.mark.usefixtures("folder")
def test_check(
    principal: str,
    action: str,
    ip: str | None,
    further: list[str],
    code: int,
    reason: str,
    statements: list[str] | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["check", "--principal", principal, "--action", action, *(["--ip", ip] if ip else []), *further]
    assert main([*argv, "--format", "json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert (answer["decision"], answer["reason"]) == ("deny" if code else "allow", reason)
    assert statements is None or answer["statements"] == statements
    assert main(argv) == code
    text = capsys.readouterr().out
    assert text.startswith(f"{'DENY' if code else 'ALLOW'}  {reason}")
    assert all(statement in text for statement in statements or [])


@pytest.mark.usefixtures("folder")
def test_json_says_all_that_was_asked_and_answered(capsys: pytest.CaptureFixture[str]) -> None:
    argv = [
        "check",
        "--principal",
        "alice",
        "--action",
        "aiart:TextToImage",
        "--ip",
        OFFICE,
        "--time",
        "1795000000",
    ]
    assert main([*argv, "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer.pop("revision")) == 64
    assert answer == {
        "decision": "allow",
        "reason": "allowed",
        "layer": answer["layer"],
        "statements": ["aiart-create#0"],
        "principal": "uin/100000000101",
        "action": "aiart:TextToImage",
        "resources": ["*"],
        "source_ip": OFFICE,
        "time": 1795000000.0,
    }


@pytest.mark.usefixtures("folder")
def test_what_somebody_may_have_meant_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--principal", "alice", "--action", "aiart:texttoimage"])
    assert "did you mean 'aiart:TextToImage'" in capsys.readouterr().err


def test_an_action_on_resources_wants_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "catalog/aiart.json"
    catalog = json.loads(file.read_text())
    row = next(row for row in catalog["actions"] if row["name"] == "TextToImage")
    row |= {"granularity": "resource", "resources": ["qcs::aiart:$region:$account:job/$jobid"]}
    file.write_text(json.dumps(catalog))
    argv = ["check", "--principal", "jun", "--action", "aiart:TextToImage", "--ip", OFFICE]
    assert main(argv) == 2
    assert "give --resource like qcs::aiart:" in capsys.readouterr().err
    assert main([*argv, "--resource", "qcs::aiart:ap-guangzhou:uin/100000000001:job/1"]) == 0
