"""No name reaches a terminal or a log raw: one escape for every character that is an order or a new line."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from camguard.cli import main
from camguard.cli.output import finished, paint
from camguard.errors import CamguardError, Problem
from camguard.printable import printable, printable_json
from tests.company import document

EVIL = {
    "a line break": "\n",
    "a carriage return": "\r",
    "a tab": "\t",
    "a vertical tab": "\v",
    "a form feed": "\f",
    "NUL": "\0",
    "a bell": "\a",
    "a backspace": "\b",
    "an escape sequence": "\x1b[31m",
    "a window title": "\x1b]0;pwned\x07",
    "DEL": "\x7f",
    "C1: next line": "\x85",
    "C1: a control sequence introducer": "\x9b31m",
    "a line separator": "\u2028",
    "a paragraph separator": "\u2029",
    "bidi: an override": "\u202e",
    "bidi: an embedding": "\u202a",
    "bidi: an isolate": "\u2066",
    "bidi: a mark": "\u200f",
    "a zero width space": "\u200b",
    "a byte order mark": "\ufeff",
    "a tag": "\U000e0041",
    "half of a surrogate pair": "\udc80",
}
KEPT = ["", "aiart:TextToImage", "日本語 中文", "é\u0301", "a\u00a0b\u3000c", "👍", "back\\slash", "\ue000"]


def raw(text: str) -> list[str]:
    """Return the characters of a text that a terminal obeys or a reader of lines takes for an end."""
    return [char for char in text if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_controls_are_spelled_out(evil: str) -> None:
    shown = printable(f"a{evil}b")
    assert raw(shown) == []
    assert len(shown.splitlines()) == 1
    assert shown == "a" + "".join(repr(char)[1:-1] if raw(char) else char for char in evil) + "b"


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_control_stays(text: str) -> None:
    assert printable(text) == text


def test_every_character_is_judged() -> None:
    assert [char for char in map(chr, range(sys.maxunicode + 1)) if raw(printable(char))] == []


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_json_means_the_same_and_is_printable(evil: str) -> None:
    tree = {f"k{evil}": [evil, {"x": f"{evil}\\u202e"}]}
    shown = printable_json(json.dumps(tree, ensure_ascii=False, indent=2))
    assert json.loads(shown) == tree
    assert set(raw(shown)) == {"\n"}
    assert shown.count("\n") == json.dumps(tree, indent=2).count("\n")


def test_a_problem_is_one_line() -> None:
    problem = Problem("policies/a\nb.json#/x\u2028", "PolicyError", "unknown\x1b[31m\u202e element \udc80")
    assert str(problem) == (
        "policies/a\\nb.json#/x\\u2028: unknown\\x1b[31m\\u202e element \\udc80 [PolicyError]"
    )
    assert len(str(CamguardError(problem, problem)).splitlines()) == 2


def test_colour_comes_from_us_and_not_from_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camguard.cli.output.wants_colour", lambda _: True)
    line = finished(" ".join((paint("DENY", "bad"), "\x1b[32mALLOW\x1b[0m", paint("a\x1b[1mb", "dim"))))
    assert line == "\x1b[31mDENY\x1b[0m \\x1b[32mALLOW\\x1b[0m \x1b[2ma\\x1b[1mb\x1b[0m"


NAME = "x\n\x1b[31m\x85\u202e\u2028\x7f"


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """Return a company in which everything that may have any name has an evil one."""
    folder = tmp_path / "config"
    assert main(["init", str(folder)]) == 0
    people = folder / "bundle" / "principals.json"
    tree = json.loads(people.read_text())
    text = document({"sid": NAME, "action": "aiart:*"})
    (folder / "bundle" / "policies" / f"p{NAME}.json").write_text(text)
    tree["users"]["100000000101"] = {"name": f"alice{NAME}", "policies": [f"p{NAME}"]}
    tree["groups"][f"g{NAME}"] = {"policies": [f"p{NAME}"]}
    people.write_text(json.dumps(tree))
    catalog = folder / "catalog" / "aiart.json"
    service = json.loads(catalog.read_text())
    service["title"] = f"title{NAME}"
    service["actions"][0]["description"] = f"description{NAME}"
    catalog.write_text(json.dumps(service))
    suite = folder / "bundle" / "tests" / "evil.toml"
    suite.write_text(
        f"now = 2026-11-22T09:00:00Z\n[[test]]\nname = {json.dumps(f'test{NAME}')}\n"
        'principals = ["uin/100000000101"]\nactions = ["aiart:TextToImage"]\nips = ["10.1.2.3"]\n'
        'default = "deny"\n'
    )
    return folder


def verbs(folder: Path) -> Iterator[list[str]]:
    """Yield what a person may run on a bundle of somebody else."""
    config = ["--config", str(folder / "camguard.toml")]
    call = ["--principal", f"alice{NAME}", "--action", "aiart:TextToImage", "--ip", "10.1.2.3"]
    yield ["check", *config, *call, "--explain"]
    yield ["check", *config, *call[:2], "--action", f"aiart:Text{NAME}"]
    yield ["check", *config, *call[:4], "--ip", f"10.1{NAME}"]
    yield ["lint", *config, "--fail-on", "error"]
    yield ["test", *config, str(folder / "bundle" / "tests" / "evil.toml"), "--coverage"]
    yield ["catalog", "show", "--catalog", str(folder / "catalog")]
    yield ["catalog", "show", "aiart", "--catalog", str(folder / "catalog")]
    yield ["catalog", "show", f"aiart{NAME}", "--catalog", str(folder / "catalog")]
    yield ["catalog", "diff", str(folder / f"no{NAME}"), str(folder / "catalog")]
    yield ["lint", *config, str(folder / f"no{NAME}")]
    yield ["serve", "--config", str(folder / f"no{NAME}")]
    yield ["init", str(folder / "keys.json" / NAME)]


JSON = {"check", "lint", "test", "catalog"}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("colour", [False, True], ids=["plain", "coloured"])
def test_no_verb_prints_a_name_raw(
    company: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    *,
    colour: bool,
) -> None:
    monkeypatch.setattr("camguard.cli.output.wants_colour", lambda _: colour)
    for arguments in verbs(company):
        if form == "json" and arguments[0] not in JSON:
            continue
        main([*arguments, *(["--format", "json"] if form == "json" else [])])
        printed = capsys.readouterr()
        for text in printed:
            for code in ("31", "32", "33", "2", "1", "0"):
                text = text.replace(f"\x1b[{code}m", "") if colour else text  # noqa: PLW2901
            assert set(raw(text)) <= {"\n"}, arguments
        assert "\nx" not in printed.out + printed.err
        if form == "json" and printed.out:
            json.loads(printed.out)


def test_a_file_name_that_is_no_utf_8_is_shown_and_digested(
    company: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = os.fsencode(company / "bundle" / "policies")
    Path(os.fsdecode(policies + b"/bad\xff.json")).write_bytes(b"{")
    for form in ("text", "json", "sarif"):
        assert main(["lint", "--config", str(company / "camguard.toml"), "--format", form]) == 5
        assert set(raw(capsys.readouterr().out)) == {"\n"}
    assert main(["test", "--config", str(company / "camguard.toml")]) == 3
    assert "policies/bad\\udcff.json" in capsys.readouterr().err
