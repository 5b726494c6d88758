"""The report of a benchmark: a table, its ratios last, and `--json` for programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Report:
    """One benchmark's result. goal: what a ratio should be, as text with its bound, or empty.

    series: for a plot, name -> [(size, value)].
    """

    name: str
    columns: Sequence[str]
    rows: list[Sequence[str | float]] = field(default_factory=list)
    ratios: list[tuple[str, float, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the table with its ratios last."""
        lines = [self.name, "", *_table(self.columns, [[_cell(c) for c in row] for row in self.rows])]
        lines += ["", *(f"note: {note}" for note in self.notes)] if self.notes else []
        if self.ratios:
            cells = [[what, f"{value:.3g}", goal] for what, value, goal in self.ratios]
            lines += ["", *_table(("ratio", "measured", "goal"), cells)]
        return "\n".join(lines)


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (columns, *rows)
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def options(doc: str | None) -> argparse.Namespace:
    """Return --quick and --json as the caller gave them."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def show(report: Report, *, as_json: bool) -> None:
    """Print a report."""
    shown: Any = json.dumps(asdict(report)) if as_json else report.text()
    print(shown)
