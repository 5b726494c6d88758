"""Any terminal and any pipe: what it cannot show is escaped, and the exit code is the documented one."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from camguard.cli.output import progress
from camguard.printable import printable_json

NAME = "阿莉丝é👍"
RUN = (sys.executable, "-c", "from camguard.cli import run; run()")
CALL = ("--principal", "uin/100000000101", "--action", "aiart:TextToImage", "--ip", "10.1.2.3", "--time=0")


class Finished(NamedTuple):
    """What a verb left behind."""

    code: int
    out: bytes
    err: bytes


@pytest.fixture
def company(folder: Path) -> Path:
    """Return a working folder in which a user has a name of letters that few encodings have."""
    people = folder / "bundle/principals.json"
    tree = json.loads(people.read_text())
    tree["users"]["100000000101"]["name"] = NAME
    people.write_text(json.dumps(tree))
    return folder


def verb(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None, **streams: Any) -> Finished:
    """Run one verb as a process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ = {**inherited, "PYTHONPATH": str(Path(__file__).parents[2]), **(environ or {})}
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    done = subprocess.run([*RUN, *arguments], cwd=folder, env=environ, check=False, **both)
    return Finished(done.returncode, done.stdout or b"", done.stderr or b"")


# environment, its encoding, the name as it is shown
TERMINALS = [
    pytest.param(
        {"PYTHONIOENCODING": "ascii"},
        "ascii",
        r"\u963f\u8389\u4e1d\xe9\U0001f44d",
        id="ASCII",
        marks=pytest.mark.heavy,
    ),
    pytest.param(
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        "ascii",
        r"\u963f\u8389\u4e1d\xe9\U0001f44d",
        id="the C locale",
    ),
    pytest.param(
        {"PYTHONIOENCODING": "latin-1:strict"}, "latin-1", r"\u963f\u8389\u4e1dé\U0001f44d", id="Latin 1"
    ),
    pytest.param({"PYTHONIOENCODING": "gb18030"}, "gb18030", NAME, id="an encoding of everything"),
    pytest.param({"PYTHONIOENCODING": "utf-8"}, "utf-8", NAME, id="UTF-8", marks=pytest.mark.heavy),
]


@pytest.mark.parametrize(("environ", "encoding", "shown"), TERMINALS)
def test_a_terminal_shows_every_name(
    environ: Mapping[str, str], encoding: str, shown: str, company: Path
) -> None:
    done = verb(company, "check", *CALL, environ=environ)
    assert (done.code, done.err) == (0, b"")
    assert f"uin/100000000101 ({shown})" in done.out.decode(encoding)
    unknown = verb(company, "check", *CALL[:2], "--action", "aiart:T\u00e9xt", environ=environ)
    assert unknown.code == 6
    assert b"no action 'aiart:T" in unknown.err


@pytest.mark.parametrize(("environ", "encoding", "shown"), TERMINALS)
def test_json_is_json_in_every_encoding(
    environ: Mapping[str, str], encoding: str, shown: str, company: Path
) -> None:
    suite = company / "bundle/tests/named.toml"
    suite.write_text(
        f"now = 2026-11-22T09:00:00Z\n[[test]]\nname = {json.dumps(NAME, ensure_ascii=False)}\n"
        'principals = ["uin/100000000101"]\nactions = ["aiart:TextToImage"]\nips = ["10.1.2.3"]\n'
        'default = "allow"\n',
        encoding="utf-8",
    )
    done = verb(company, "test", "bundle/tests/named.toml", "--format", "json", environ=environ)
    assert (done.code, done.err) == (0, b"")
    assert NAME in json.loads(done.out.decode(encoding))["tests"][0]["where"]
    assert shown  # the text of the other test


@pytest.mark.parametrize("words", [("--help",), ("check", "--help"), ("lint", "--help")])
def test_help_is_printed_in_ascii(words: tuple[str, ...], company: Path) -> None:
    done = verb(company, *words, environ={"PYTHONIOENCODING": "ascii"})
    assert (done.code, done.err) == (0, b"")
    assert done.out.isascii()


def test_what_the_gateway_loads_is_logged_in_ascii(company: Path) -> None:
    (company / f"bundle/policies/{NAME}.json").write_text("{")
    done = verb(company, "serve", "--check", environ={"PYTHONIOENCODING": "ascii"})
    assert done.code == 3
    assert rb"policies/\u963f\u8389\u4e1d\xe9\U0001f44d.json" in done.err
    assert b"Traceback" not in done.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", None])
def test_escaped_json_means_the_same(encoding: str | None) -> None:
    document = json.dumps({NAME: [NAME, "\u202e"]}, ensure_ascii=False)
    shown = printable_json(document, encoding)
    assert json.loads(shown) == json.loads(document)
    assert shown.encode(encoding or "utf-8")


@pytest.fixture
def broken() -> Iterator[int]:
    """Return the writing end of a pipe that no process reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


# words, exit code where both streams work
VERBS = [
    pytest.param(("--help",), 0, id="help"),
    pytest.param(("lint", "--help"), 0, id="help of a verb"),
    pytest.param(("lint",), 5, id="findings"),
    pytest.param(("lint", "--format", "json"), 5, id="findings as JSON"),
    pytest.param(("check", *CALL), 0, id="an allowed call"),
    pytest.param(("check", *CALL[:2], "--action", "aiart:Nothing", "--time=0"), 6, id="a denied call"),
    pytest.param(("catalog", "show"), 0, id="a short list"),
    pytest.param(("catalog", "show", "aiart", "--format", "json"), 0, id="a long document"),
    pytest.param(("init", "other"), 0, id="files that are written"),
]
# without a result on stdout
SILENT = [
    pytest.param(("lint", "nowhere.json"), 3, id="a file that does not exist"),
    pytest.param(("lint", "--bad"), 2, id="wrong usage"),
    pytest.param(("serve", "--check"), 0, id="a check of the gateway"),
]
QUICK = {"an allowed call", "findings as JSON", "wrong usage"}  # each verb is a process; the others are heavy
EACH, EACH_VERB = (
    [pytest.param(*row.values, id=row.id, marks=() if row.id in QUICK else pytest.mark.heavy) for row in rows]
    for rows in ([*VERBS, *SILENT], VERBS)
)


@pytest.mark.parametrize(("words", "code"), EACH_VERB)
def test_a_result_that_nobody_reads_is_1_without_a_message(
    words: tuple[str, ...], code: int, company: Path, broken: int
) -> None:
    done = verb(company, *words, stdout=broken)
    assert done.code == 1 != code
    assert b"camguard:" not in done.err
    assert b"Error" not in done.err


@pytest.mark.parametrize(("words", "code"), EACH_VERB)
def test_a_result_for_which_there_is_no_space_is_1_with_a_message(
    words: tuple[str, ...], code: int, company: Path
) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = verb(company, *words, stdout=full)
    assert done.code == 1 != code
    lines = done.err.decode().splitlines()
    assert lines[-1] == "camguard: the result cannot be written to stdout: No space left on device"
    assert "Traceback" not in done.err.decode()


@pytest.mark.parametrize(("words", "code"), EACH)
def test_a_stderr_that_cannot_be_written_changes_neither_code_nor_result(
    words: tuple[str, ...], code: int, company: Path, broken: int
) -> None:
    whole = verb(company, *words)
    shutil.rmtree(company / "other", ignore_errors=True)
    done = verb(company, *words, stderr=broken)
    assert whole.code == done.code == code
    assert done.out == whole.out


@pytest.mark.parametrize(("words", "code"), EACH)
@pytest.mark.parametrize(
    "closed", ["<&-", *(pytest.param(each, marks=pytest.mark.heavy) for each in (">&-", "2>&-")), ">&- 2>&-"]
)
def test_a_stream_that_was_closed_changes_no_exit_code(
    words: tuple[str, ...], code: int, closed: str, company: Path
) -> None:
    script = f'exec "$@" {closed}'
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *RUN, *words],
        cwd=company,
        env=environ,
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    if "2>" in closed:
        assert b"camguard:" not in done.stdout, "messages are no results"


# whether stderr is a terminal, seconds between two items, whether a bar is drawn
BARS = [
    pytest.param(True, 0.5, True, id="a terminal, and more than a second"),
    pytest.param(True, 0.001, False, id="a terminal, and less than a second"),
    pytest.param(False, 0.5, False, id="a file"),
]


@pytest.mark.parametrize(("terminal", "pause", "drawn"), BARS)
def test_a_bar_shows_progress_on_a_terminal_and_is_erased(
    terminal: bool, pause: float, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("camguard.cli.output.monotonic", itertools.count(0, pause).__next__)
    items = ["a", "b", "c", "d", "e", "f"]
    assert list(progress(items, "principals")) == items
    assert ("3 of 6 principals" in stream.getvalue()) is drawn
    assert stream.getvalue().endswith("\r\x1b[K") is drawn
    assert bool(stream.getvalue()) is drawn


def test_a_number_shows_progress_where_it_is_not_known_how_many_items_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("camguard.cli.output.monotonic", itertools.count(0, 0.5).__next__)
    assert list(progress(iter("abcdef"), "lines")) == [*"abcdef"]
    assert "\r4 lines" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")
