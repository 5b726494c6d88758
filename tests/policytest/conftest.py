"""A working folder, made as a user makes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from camguard.cli import main


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "camguard"
    assert main(["init", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder of the test's own, which is also the current one."""
    mine = shutil.copytree(_made, tmp_path / "camguard")
    monkeypatch.chdir(mine)
    return mine
