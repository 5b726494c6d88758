"""SECURITY.md promises nothing that no test holds: each claim names its test, and the test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from camguard.settings import load_settings
from tests.sources import nodes

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)))
_SETTING = re.compile(r"^\| `([a-z_]+)\.([a-z0-9_]+)", re.MULTILINE)


def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    return {
        node.name
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize(("file", "test"), NAMED, ids=["::".join(filter(None, each)) for each in NAMED])
def test_a_claim_has_its_test(file: str, test: str) -> None:
    path = ROOT / file
    assert path.is_file()
    assert not test or test in names_in(path)


def rows(title: str) -> list[str]:
    """Return the rows of the table in one section, without its heading."""
    section = TEXT.partition(f"## {title}")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


@pytest.mark.parametrize("title", ["Who believes what from whom", "Defaults, and what loosening costs"])
def test_every_row_of_a_table_names_a_test(title: str) -> None:
    assert rows(title)
    assert [row for row in rows(title) if "`tests/" not in row] == []


def test_settings_that_are_named_exist(tmp_path: Path) -> None:
    file = tmp_path / "camguard.toml"
    file.write_text("")
    settings = load_settings(file, {}).effective()
    named = _SETTING.findall(TEXT)
    assert len(named) > 8
    assert [(section, key) for section, key in named if key not in settings[section]] == []


def test_enough_is_claimed() -> None:
    """A text without claims would hold too."""
    assert len(NAMED) > 40
