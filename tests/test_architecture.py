"""ARCHITECTURE.md and CONTRIBUTING.md name rooms and files that exist: a reader finds what they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_house import ORDER

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "camguard"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

_ROOM = re.compile(r"^\| ((?:`\w+/?`(?:, )?)+) \|", re.MULTILINE)
_PATH = re.compile(r"(?<![\w./<])((?:\w+/)+\w+\.\w+|(?:\w+/)+(?![\w*<]))")
_MODULE = re.compile(r"`(\w+(?:\.\w+)+)`")

# The pages show the rooms in which the request path is being rebuilt; until these stand, nothing can be
# compared.
complete = pytest.mark.skipif(
    not (HOUSE / "request/head.py").is_file(), reason="the rooms of the request path are not built yet"
)


def rooms() -> list[str]:
    """Return the rooms of the table, in its order."""
    return [
        name
        for row in _ROOM.findall(ARCHITECTURE.read_text(encoding="utf-8"))
        for name in re.findall(r"\w+", row)
    ]


def missing(page: Path) -> Iterator[str]:
    """Yield the paths and modules that a page names and that are neither in the package nor beside it."""
    text = page.read_text(encoding="utf-8")
    for path in _PATH.findall(text):
        if not (HOUSE / path).exists() and not (ROOT / path).exists():
            yield path
    for module in _MODULE.findall(text):
        first, *_ = module.split(".")
        path = HOUSE / module.replace(".", "/")
        if (HOUSE / first).is_dir() and not path.with_suffix(".py").is_file() and not path.is_dir():
            yield module


def test_the_table_of_rooms_is_read() -> None:
    assert rooms()[:3] == ["_version", "printable", "errors"]
    assert rooms()[-2:] == ["cli", "__main__"]


def test_a_file_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`policy/operators.py`, `policy/opera.py`, `policy.keys`, `policy.locks`, `tests/cases/*.json`"
    )
    assert [*missing(page)] == ["policy/opera.py", "policy.locks"]


@complete
def test_the_rooms_stand_in_the_order_of_imports() -> None:
    assert [room for room in rooms() if room not in ORDER] == []
    assert [room for room in ORDER if room in rooms()] == rooms()


@complete
@pytest.mark.parametrize("page", [ARCHITECTURE, CONTRIBUTING], ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    assert [*missing(page)] == []
