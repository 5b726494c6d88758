"""`camguard completion`: the scripts are read by the shells where these are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from camguard.cli import main, parser
from camguard.cli.completion import SHELLS

VERBS = [each.prog.split()[1] for each in parser().tree() if len(each.prog.split()) == 2]


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the script of a shell."""
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_valid_and_has_every_verb(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "completion"
    file.write_text(script(shell, capsys))
    assert [verb for verb in VERBS if verb not in file.read_text()] == []
    assert "nothing was written" not in file.read_text()  # of the long description of `catalog build`
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed; only the verbs were looked at")
    assert subprocess.run([program, "-n", str(file)], check=False).returncode == 0


# words of a command line, of which the last is completed, and all that it may become
COMPLETED = [
    pytest.param(["camguard", "princ"], ["principals"], id="a verb"),
    pytest.param(["camguard", "c"], ["check", "call", "catalog", "config", "completion"], id="verbs with c"),
    pytest.param(["camguard", "catalog", "sh"], ["show"], id="a verb below another"),
    pytest.param(["camguard", "check", "--princ"], ["--principal"], id="an option"),
    pytest.param(["camguard", "lint", "--format", "s"], ["sarif"], id="a form"),
    pytest.param(["camguard", "lint", "--config", "camg"], ["camguard.toml"], id="a file"),
    pytest.param(["camguard", "completion", ""], [*SHELLS], id="a shell"),
]


@pytest.mark.parametrize(("words", "expected"), COMPLETED)
def test_bash_completes(
    words: list[str], expected: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "completion.bash").write_text(script("bash", capsys))
    typed = " ".join(f"'{word}'" for word in words)
    commands = (
        f"source completion.bash; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; "
        "_shtab_camguard; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    bash = shutil.which("bash") or "bash"
    done = subprocess.run(
        [bash, "--norc", "-c", commands], cwd=folder, capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split()) == sorted(expected)


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "shtab is not installed" in printed.err
    assert "pip install '.[completion]'" in printed.err
