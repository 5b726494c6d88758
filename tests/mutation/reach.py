"""Which tests reach which line of the package: recorded once for each suite, and kept in a file.

A test reaches a line that runs while the test runs, in a fixture that the test shares with other tests, or in
a function whose kept result the test uses: such results are dropped before each test of the recording. Lines
that run while the package and the tests are imported are listed apart.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import coverage

from tests.mutation.subjects import ROOT


class Measured(NamedTuple):
    """One test, or one check of `checks.py`. processor, wall: seconds that it takes, with its fixtures."""

    name: str
    processor: float
    wall: float


class Reach(NamedTuple):
    """Which tests of a suite reach which line.

    imported: of each file, the lines that run at import. lines: of each file and line, the tests that reach
    the line, as a number whose bit i stands for `tests[i]`.
    """

    tests: list[Measured]
    imported: dict[str, set[int]]
    lines: dict[str, dict[int, int]]

    def reaching(self, path: Path, lines: Collection[int]) -> list[int]:
        """Return the places in `tests` of those that reach any of the lines."""
        found = self.lines.get(_name(path), {})
        mask = 0
        for line in lines:
            mask |= found.get(line, 0)
        return list(_bits(mask))

    def at_import(self, path: Path, lines: Collection[int]) -> bool:
        """Return whether any of the lines runs at import."""
        return not self.imported.get(_name(path), set()).isdisjoint(lines)


def measuring() -> coverage.Coverage:
    """Return a recorder of the lines of the package."""
    return coverage.Coverage(data_file=None, config_file=False, include=[f"{ROOT}/camguard/*"])


def lines_by_context(recorder: coverage.Coverage) -> dict[str, dict[int, list[str]]]:
    """Return what was recorded: of each file and line, the contexts in which the line ran."""
    data = recorder.get_data()
    return {_name(Path(path)): data.contexts_by_lineno(path) for path in sorted(data.measured_files())}


def write(reach: Reach, path: Path, digest: str) -> None:
    """Keep a recording. digest: of all that it depends on."""
    parts = {
        "digest": digest,
        "tests": reach.tests,
        "imported": {name: sorted(lines) for name, lines in reach.imported.items()},
        "lines": {
            name: {line: f"{mask:x}" for line, mask in lines.items()} for name, lines in reach.lines.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parts), encoding="utf-8")


def read(path: Path, digest: str) -> Reach | None:
    """Return the recording that `write` kept for this digest, or None if `write` kept no such recording."""
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if parts["digest"] != digest:
        return None
    return Reach(
        [Measured(*each) for each in parts["tests"]],
        {name: set(lines) for name, lines in parts["imported"].items()},
        {
            name: {int(line): int(mask, 16) for line, mask in lines.items()}
            for name, lines in parts["lines"].items()
        },
    )


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
