"""`camguard reason` and `camguard rule`: every reason, detail and code of lint has its text, and one page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from camguard.cli import main
from camguard.cli.reason import page
from camguard.engine.decision import Reason
from camguard.lint.advice import ADVICE
from camguard.lint.codes import CODES
from camguard.request.causes import CAUSES_EXPLAINED
from camguard.request.rejection import CAUSES, REJECTIONS

WORDS = sorted({*map(str, Reason), *REJECTIONS})


def test_each_reason_and_detail_has_one_text() -> None:
    assert sorted(CAUSES_EXPLAINED) == WORDS
    assert set(CAUSES) <= set(WORDS)


def test_each_code_of_lint_has_its_advice_in_the_order_of_the_codes() -> None:
    assert list(ADVICE) == list(CODES)


TEXTS = {
    **{name: [*cause[1:]] for name, cause in CAUSES_EXPLAINED.items()},
    **{code: [*advice] for code, advice in ADVICE.items()},
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_sentences(name: str) -> None:
    for text in TEXTS[name]:
        assert re.fullmatch(r"[A-Z`\"/].*[.]", text), text
        assert text.count("`") % 2 == 0
        assert "  " not in text


def test_no_text_names_a_verb_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    verbs = set(re.findall(r"^    (\w[\w-]*) ", capsys.readouterr().out, re.MULTILINE))
    named = {verb for line in page() for verb in re.findall(r"`camguard ([a-z-]+)", line)}
    assert named
    assert named <= verbs


def test_no_text_names_a_setting_that_does_not_exist(repository: Path) -> None:
    known = (repository / "config/camguard.toml").read_text(encoding="utf-8")
    settings = {
        name
        for line in page()
        for name in re.findall(r"`(?:enforcement|limits|identity|client_ip|hosts)\.(\w+)", line)
    }
    assert {"ip_support", "body_seconds", "roots"} <= settings
    assert [name for name in settings if not re.search(rf"^{name} = ", known, re.MULTILINE)] == []


@pytest.mark.parametrize("name", WORDS)
def test_reason_explains_a_word(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reason", name, "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["schema"], answer["name"]) == (1, name)
    row = REJECTIONS.get(name)
    assert (answer["code"], answer["status"]) == ((None, None) if row is None else (row.code, row.status))
    assert answer["reason"] == (name if row is None else row.reason.value)
    assert ("reason" in answer["kind"]) == (name in [*Reason])
    assert ("detail" in answer["kind"]) == (row is not None)
    assert main(["reason", name]) == 0
    text = capsys.readouterr().out
    assert all(each in text for each in CAUSES_EXPLAINED[name])
    assert all(each in text for each in answer["details"])


def test_the_details_of_a_reason_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reason", "signature_malformed", "--format", "json"]) == 0
    details = json.loads(capsys.readouterr().out)["details"]
    assert details == ["auth_malformed", "unsigned_payload", "signature_v1_disabled"]


@pytest.mark.parametrize("code", CODES)
def test_rule_explains_a_code(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rule", code.lower()]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{code}  {CODES[code].severity}: {CODES[code].title}\n")
    assert all(each in text for each in (CODES[code].help, *ADVICE[code]))
    assert main(["rule", code, "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {
        "schema": 1,
        "name": code,
        "kind": CODES[code].severity,
        "title": CODES[code].title,
        "meaning": CODES[code].help,
        **ADVICE[code]._asdict(),
    }


UNKNOWN = [
    pytest.param(["reason", "noallow"], "is called 'noallow' (did you mean 'no_allow'", id="a word"),
    pytest.param(["rule", "CG210x"], "no finding has the code 'CG210x' (did you mean 'CG210'", id="a code"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "message"), UNKNOWN)
def test_a_word_that_is_near_is_suggested(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err


@pytest.mark.parametrize(("verb", "names"), [("reason", CAUSES_EXPLAINED), ("rule", CODES)])
def test_without_a_name_all_are_listed(
    verb: str, names: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(names)
    assert main([verb, "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in answer[f"{verb}s"]] == list(names)


def test_the_page_is_what_the_verb_prints(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reason", "--format", "markdown"]) == 0
    written = (repository / "camguard/REASONS.md").read_text(encoding="utf-8")
    assert written == capsys.readouterr().out, (
        "write it: camguard reason --format markdown > camguard/REASONS.md"
    )
