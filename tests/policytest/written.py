"""The policy test that the tests of policy tests write, with changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TEST = """
now = 2026-12-01T09:00:00Z

[[test]]
name = "alice draws"
principals = ["alice"]
actions = ["aiart:TextToImage"]
ips = ["10.1.0.1"]
default = "allow"
"""


def write_test(folder: Path, text: str) -> Path:
    """Write one file in place of the shipped tests."""
    for old in (folder / "bundle/tests").iterdir():
        old.unlink()
    file = folder / "bundle/tests/mine.toml"
    file.write_text(text)
    return file


def report_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result
