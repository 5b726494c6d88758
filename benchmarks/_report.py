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

    floors: what is measured, its value, the value of the least code that does the same (`_floors.py`), and
    the goal. series: for a plot, name -> [(size, value)].
    """

    name: str
    columns: Sequence[str]
    rows: list[Sequence[str | float]] = field(default_factory=list)
    ratios: list[tuple[str, float, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    floors: list[tuple[str, float, float, str]] = field(default_factory=list)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the table with its ratios last."""
        lines = [self.name, "", *_table(self.columns, [[_cell(c) for c in row] for row in self.rows])]
        lines += ["", *(f"note: {note}" for note in self.notes)] if self.notes else []
        if self.ratios:
            cells = [[what, f"{value:.3g}", goal] for what, value, goal in self.ratios]
            lines += ["", *_table(("ratio", "measured", "goal"), cells)]
        if self.floors:
            cells = [
                [what, f"{value:.3g}", f"{least:.3g}", goal, verdict(value, least, goal)]
                for what, value, least, goal in self.floors
            ]
            lines += ["", *_table(("beside its floor", "measured", "floor", "goal", ""), cells)]
        return "\n".join(lines)


def reaches(value: float, goal: str) -> bool:
    """Tell whether a value keeps a goal, which is `<=` or `>=` and a number."""
    relation, bound = goal.split()
    return value <= float(bound) if relation == "<=" else value >= float(bound)


def verdict(value: float, least: float, goal: str) -> str:
    """Return what a goal, a measured value and the floor say together."""
    if reaches(value, goal):
        return "reached"
    bound = float(goal.split()[1])
    if not reaches(least, goal):
        return f"out of reach: the floor misses the goal by {abs(least - bound):.2g}"
    return f"missed by {abs(value - bound):.2g}; the floor leaves {abs(least - bound):.2g} for all else"


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 or not columns[i] else cell.rjust(width)
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
