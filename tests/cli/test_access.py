"""`camguard from-where`, `who-can` and `what-can`."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main

OFFICES = ["10.1.0.0/16", "10.2.0.0/16", "203.0.113.0/26", "2001:db8:1::/48", "2001:db8:2::/48"]
OWNER, ALICE, JUN = "uin/100000000001", "uin/100000000101", "uin/100000000110"
LATER = "2026-11-26T00:00:00Z"


@pytest.fixture
def answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a verb in the sample folder and returns its document."""

    def run(*argv: str) -> Any:
        assert folder.is_dir()
        assert main([*argv, "--format", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_from_where_names_ranges_and_the_statements_behind_each_edge(answer: Any) -> None:
    found = answer("from-where", "--principal", "alice", "--action", "aiart:TextToImage")
    assert (found["schema"], found["principal"], found["action"]) == (1, ALICE, "aiart:TextToImage")
    assert (found["allow"], found["depends"], found["statements"]) == (OFFICES, [], ["aiart-create#0"])
    assert found["edges"][0] == {
        "at": "10.1.0.0", "before": "deny", "after": "allow", "statements": ["aiart-create#0"],
    }  # fmt: skip
    assert [edge["at"] for edge in found["edges"]] == [
        *("10.1.0.0", "10.3.0.0", "203.0.113.0", "203.0.113.64", "2001:db8:1::", "2001:db8:3::"),
    ]


def test_from_where_at_all_times_names_the_windows(answer: Any) -> None:
    argv = ("--principal", "kofi", "--action", "aiart:TextToImage")
    windows = answer("from-where", *argv, "--all-times")["windows"]
    assert [(each["from"], each["until"], len(each["allow"])) for each in windows] == [
        (None, 1793491200.0, 0),
        (1793491200.0, 1832976000.0, 6),
        (1832976000.0, None, 0),
    ]
    assert answer("from-where", *argv, "--time", "1793491199.5")["allow"] == []
    assert answer("from-where", *argv, "--time", "1793491200")["allow"] == windows[1]["allow"]


def test_from_where_names_the_conditions_that_are_open(
    answer: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    allow = {"effect": "allow", "action": "aiart:*", "resource": "*"}
    mfa = {"bool_equal": {"qcs:mfa": "true"}, "ip_equal": {"qcs:ip": "192.0.2.0/24"}}
    network = {**allow, "effect": "deny", "condition": {"string_equal": {"vpc:requester_vpc": "vpc-1"}}}
    policy = {"version": "2.0", "statement": [{**allow, "condition": mfa}, network]}
    (folder / "bundle/policies/aiart-season-2027.json").write_text(json.dumps(policy))
    argv = ("from-where", "--principal", "kofi", "--action", "aiart:TextToImage", "--time", LATER)
    found = answer(*argv)
    (depends,) = found["depends"]
    assert (found["allow"], depends["ranges"]) == ([], ["192.0.2.0/24"])
    assert depends["on"] == ["qcs:mfa bool_equal true", "vpc:requester_vpc string_equal vpc-1"]
    assert depends["unless"][0]["statements"] == ["aiart-season-2027#1"]
    assert main(list(argv)) == 0
    text = capsys.readouterr().out
    assert "depends from 192.0.2.0/24" in text
    assert "qcs:mfa bool_equal true  by aiart-season-2027#0" in text
    assert "denied if one of these holds or cannot be determined" in text


def test_who_can(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer("who-can", "--action", "aiart:SetPayMode", "--time", LATER)
    assert [(each["principal"], each["allow"]) for each in found["entries"]] == [
        (OWNER, ["0.0.0.0/0", "::/0"]),
        (JUN, OFFICES),
    ]
    found = answer("who-can", "--action", "aiart:SetPayMode", "--ip", "198.51.100.7", "--time", LATER)
    assert [each["principal"] for each in found["entries"]] == [OWNER]
    assert main(["who-can", "--action", "aiart:SetPayMode", "--principal", "group/artists"]) == 0
    assert capsys.readouterr().out.startswith("nobody can at ")


def test_what_can(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["what-can", "--principal", "group/artists", "--access", "write", "--time", LATER]
    found = answer(*argv)
    assert {each["action"] for each in found["entries"] if each["principal"] == ALICE} == {
        "aiart:SubmitTextToImageProJob"
    }
    assert main(argv) == 0
    assert "uin/100000000101 (alice), uin/100000000102 (bruno): aiart" in capsys.readouterr().out


def test_the_matrix_as_text_csv_and_json(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["who-can", "--action", "aiart:*PayMode", "--principal", "j*", "--time", LATER, "--matrix"]
    found = answer(*argv)
    assert found["rows"] == [{"action": "aiart:SetPayMode", "access": "write", "answers": ["some"]}]
    assert main([*argv, "--format", "csv"]) == 0
    assert capsys.readouterr().out == f"action,{JUN}\naiart:SetPayMode,some\n"
    assert main(argv) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "aiart:SetPayMode s"
    assert answer(*argv, "--ip", "10.1.2.3")["rows"][0]["answers"] == ["allow"]
    assert answer(*argv, "--ip", "11.1.2.3")["rows"][0]["answers"] == ["deny"]


def test_the_page_shows_names_as_text_and_loads_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = folder / "bundle/principals.json"
    people.write_text(people.read_text().replace('"alice"', '"</script><b>é"'))
    argv = ["what-can", "--principal", "group/art*", "--time", LATER, "--matrix", "--format", "html"]
    assert main(argv) == 0
    page = capsys.readouterr().out
    assert page.isascii()
    assert "<b>" not in page
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    (raw,) = re.findall(r'id="answers">(.*?)</script>', page)
    data = json.loads(raw)
    assert [len(names) for names in data["columns"]] == [2, 1, 1]  # alice and bruno may call the same
    assert data["columns"][0][0] == "</script><b>é (uin/100000000101)"
    assert {"word": "some", "allow": OFFICES, "depends": []} in data["answers"]
    cells = re.findall(r'<td class="(\w+)" data-answer="(\d+)"', page)
    assert len(cells) == 3 * 281
    assert all(data["answers"][int(at)]["word"] == word for word, at in cells)
    assert (
        '<th title="&lt;/script&gt;&lt;b&gt;&#233; (uin/100000000101)&#10;bruno (uin/100000000102)">' in page
    )


WRONG = [
    pytest.param(
        ["who-can", "--action", "aiart:SetPayMod"], "did you mean 'aiart:SetPayMode'", id="an action"
    ),
    pytest.param(["what-can", "--principal", "alic"], "did you mean 'alice'", id="a principal"),
    pytest.param(["what-can", "--principal", "group/artist"], "'group/artists'", id="a group"),
    pytest.param(
        ["from-where", "--principal", "x", "--action", "aiart:SetPayMode"], "no 'x'", id="nobody of that name"
    ),
    pytest.param(
        ["from-where", "--principal", "alice", "--action", "aiart:*"],
        "no action",
        id="a pattern for one action",
    ),
    pytest.param(
        ["from-where", "--principal", "alice", "--action", "aiart:SetPayMode", "--all-times", "--time", "1"],
        "not both",
        id="one time and all times",
    ),
    pytest.param(["who-can", "--action", "*", "--ip", "10.1"], "10.1", id="an address"),
    pytest.param(
        ["who-can", "--action", "*", "--format", "csv"], "is for --matrix", id="CSV without a matrix"
    ),
    pytest.param(
        ["who-can", "--action", "*", "--format", "html"], "is for --matrix", id="a page without a matrix"
    ),
]


@pytest.mark.parametrize(("argv", "message"), WRONG)
@pytest.mark.usefixtures("folder")
def test_a_wrong_argument_is_named(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    streams = capsys.readouterr()
    assert message in streams.err
    assert streams.out == ""
