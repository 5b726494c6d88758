"""`camguard bundle`: build, inspect, verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main
from camguard.exit_codes import Exit

SECRET = "5e" * 32


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "bundle.key"
    path.write_text(SECRET)
    path.chmod(0o600)
    return str(path)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Return what a verb prints as JSON."""
    assert main(["bundle", *arguments, "--format", "json"]) == Exit.OK
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.usefixtures("folder")
def test_a_bundle_is_built_inspected_and_verified(
    tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "b.tar.gz")
    built = document(capsys, "build", "--serial", "12", "--out", out, "--key-file", key)
    looked = document(capsys, "inspect", out)
    verified = document(capsys, "verify", out, "--key-file", key)
    assert (built["serial"], built["signed"]) == (12, "hmac-sha256")
    assert "policies/aiart-full.json" in looked["files"]
    assert (looked["verified"], verified["verified"]) == (False, True)
    assert verified["revision"] == built["revision"]
    next_one = document(capsys, "build", "--after", out, "--out", out)
    assert (next_one["serial"], next_one["signed"]) == (13, None)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.usefixtures("folder")
def test_the_text_of_an_archive(tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "b.tar.gz")
    until = "2099-01-31T00:00:00Z"
    order = ["build", "--serial", "12", "--valid-until", until, "--out", out, "--key-file", key]
    assert main(["bundle", *order]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{out}: ")
    assert lines[0].endswith(", serial 12")
    assert lines[3:] == ["  signature  hmac-sha256", f"  valid      until {until}"]
    assert main(["bundle", "inspect", out]) == Exit.OK
    assert "  signature  hmac-sha256, not verified" in capsys.readouterr().out
    assert main(["bundle", "verify", out, "--key-file", key]) == Exit.OK
    assert "  signature  hmac-sha256, good" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_a_wrong_bundle_is_not_built(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.tar.gz"
    out.write_bytes(b"before")
    (folder / "bundle/policies/aiart-full.json").write_text("{")
    assert main(["bundle", "build", "--serial", "1", "--out", str(out)]) == Exit.INVALID
    assert "policies/aiart-full.json" in capsys.readouterr().err
    assert out.read_bytes() == b"before"


@pytest.mark.usefixtures("folder")
def test_an_archive_that_is_not_signed_does_not_verify(
    tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "b.tar.gz")
    document(capsys, "build", "--serial", "1", "--out", out)
    assert main(["bundle", "verify", out, "--key-file", key]) == Exit.INVALID
    assert f"{out}: manifest.sig: is missing" in capsys.readouterr().err
    assert main(["bundle", "verify", out]) == Exit.USAGE
    assert "no key verifies this archive" in capsys.readouterr().err


# arguments, what is wrong with them
USAGE = [
    pytest.param(["--serial", "0"], "not a whole number from 1", id="serial 0"),
    pytest.param(["--serial", "x"], "not a whole number from 1", id="a serial that is no number"),
    pytest.param(["--serial", "1" * 5000], "not a whole number from 1", id="a serial without end"),
    pytest.param([], "--serial --after is required", id="no order"),
    pytest.param(["--serial", "1", "--valid-until", "tomorrow"], "no time in ISO 8601", id="no time"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_wrong_arguments_are_usage_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "build", "--out", "b.tar.gz", *arguments]) == Exit.USAGE
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_an_archive_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["bundle", "build", "--serial", "1", "--out", "absent/b.tar.gz"]
    assert main(argv) == Exit.INVALID
    assert capsys.readouterr().err.startswith("camguard: absent/b.tar.gz: cannot be written: No such file")


@pytest.mark.usefixtures("folder")
def test_an_absent_archive_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "inspect", "absent.tar.gz"]) == Exit.INVALID
    assert "absent.tar.gz: cannot be read: No such file" in capsys.readouterr().err
