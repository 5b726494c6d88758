"""What every verb has in common: exit codes, streams, colour."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from inspect import unwrap
from pathlib import Path

import pytest

from camguard import __version__, cli
from camguard.cli import main
from camguard.cli.output import paint

ALICE = ["check", "--principal", "alice", "--action", "aiart:TextToImage", "--ip", "10.1.2.3"]


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"camguard {__version__}\n"


@pytest.mark.parametrize("verb", ["serve", "check", "lint", "test", "catalog", "init"])
def test_every_verb_is_listed_and_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert f"    {verb} " in capsys.readouterr().out
    assert main([verb, "--help"]) == 0
    assert f"camguard {verb}" in capsys.readouterr().out


# arguments, what the last line on stderr says
USAGE = [
    pytest.param([], "required: VERB", id="no verb"),
    pytest.param(["chek"], "invalid choice: 'chek'", id="an unknown verb"),
    pytest.param([*ALICE, "--form", "json"], "unrecognized arguments: --form", id="an option cut short"),
    pytest.param([*ALICE, "--ip", "10.1.2"], "'10.1.2': is not an IP address", id="no address"),
    pytest.param([*ALICE, "--time", "noon"], "'noon' is not a time", id="no time"),
    pytest.param([*ALICE, "--context", "qcs:ip=1.2.3.4"], "supplied by --ip", id="context of an option"),
    pytest.param([*ALICE, "--context", "qcs:mffa=true"], "did you mean 'qcs:mfa'", id="no such context"),
    pytest.param([*ALICE, "--tag", "dept"], "'dept' is not KEY=VALUE", id="a tag without a value"),
    pytest.param(["test", "--run", "("], "'(' is not a regular expression", id="no pattern"),
    pytest.param(["test", "--min-coverage", "101"], "'101' is not a percentage", id="more than all"),
    pytest.param(["test", "--min-coverage", "all"], "'all' is not a percentage", id="no percentage"),
]


@pytest.mark.parametrize(("argv", "says"), USAGE)
def test_wrong_usage_is_2(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err.splitlines()[-1]


# a change to a working folder, what is said of it
INVALID = [
    pytest.param("camguard.toml", "[identty]\n", "identity", id="a misspelt section"),
    pytest.param("camguard.toml", "[catalog", "camguard.toml", id="settings that are no TOML"),
    pytest.param("bundle/principals.json", "{", "principals.json", id="principals that are no JSON"),
    pytest.param(
        "bundle/policies/aiart-full.json", "{}", "aiart-full.json#/version", id="a policy without version"
    ),
    pytest.param("catalog/aiart.json", "[]", "aiart.json", id="a catalog of the wrong shape"),
]


@pytest.mark.parametrize(("file", "text", "says"), INVALID)
def test_what_cannot_be_loaded_is_3_and_named(
    file: str, text: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / file).write_text(text)
    assert main(ALICE) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert printed.err.startswith("camguard: ")


def test_no_settings_in_sight_is_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(ALICE) == 3
    assert "name one with --config" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(folder / "nowhere.json")]) == 3
    assert "nowhere.json: No such file or directory" in capsys.readouterr().err


def test_settings_are_found_in_config_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.parent / "config")
    monkeypatch.chdir(folder.parent)
    assert main(ALICE) == 0


def test_a_bundle_without_settings_is_judged_by_the_shipped_catalog(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*ALICE, "--bundle", str(folder / "bundle")]) == 0


def test_a_verb_judges_by_a_folder_where_the_source_is_a_url(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAMGUARD_POLICY__SOURCE", "https://policies.example/bundle.tar.gz")
    assert main(ALICE) == 3
    assert (
        "policy.source: is a URL; name the folder that its bundles are built from" in capsys.readouterr().err
    )
    assert main([*ALICE, "--bundle", str(folder / "bundle")]) == 0


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        pytest.param(KeyboardInterrupt(), 130, "", id="interrupted"),
        pytest.param(
            OSError("no memory left"), 1, "camguard: no memory left\n", id="a failure without a file"
        ),
    ],
)
def test_what_stops_a_verb_leaves_no_traceback(
    raised: BaseException,
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(_args: object) -> int:
        raise raised

    monkeypatch.setattr("camguard.cli.check.run", stop)
    monkeypatch.setattr(cli, "parser", unwrap(cli.parser))  # a parser of its own, which takes `stop`
    assert main(ALICE) == code
    assert capsys.readouterr().err == says


def test_an_installation_without_its_files_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("camguard.__file__", str(tmp_path / "camguard/__init__.py"))
    assert main(["init", str(tmp_path / "new")]) == 3
    assert "install camguard again" in capsys.readouterr().err


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# stream, environment, whether there is colour
COLOUR = [
    pytest.param(_Terminal(), {"TERM": "xterm"}, True, id="on a terminal"),
    pytest.param(io.StringIO(), {"TERM": "xterm"}, False, id="not in a file"),
    pytest.param(
        _Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False, id="not where NO_COLOR asks for none"
    ),
    pytest.param(_Terminal(), {"TERM": "dumb"}, False, id="not on a terminal that has none"),
]


@pytest.mark.parametrize(("stream", "environ", "coloured"), COLOUR)
def test_colour(
    stream: io.StringIO, environ: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert (paint("no", "bad", stream) != "no") is coloured


def test_a_reader_that_goes_away_leaves_no_traceback(folder: Path, repository: Path) -> None:
    script = "from camguard.cli import run; run()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "catalog", "show"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_a_closed_stdout_is_no_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.stdout", None)  # what Python makes of a closed descriptor
    assert main(ALICE) == 0
    assert capsys.readouterr().err == ""
