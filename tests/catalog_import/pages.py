"""Pages made for tests: the same facts in every layout in which pages were found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from camguard.catalog_import.page import ParsedPage, read_page

ENGLISH: Final = (
    (
        "Product",
        "Abbreviation in CAM",
        "Console",
        "Authorization by Tag",
        "Authorization Granularity",
        "IP Restriction",
    ),
    (
        "API",
        "API Description",
        "Authorization Granularity",
        "Six-segment Resource Description",
        "IP Restriction",
    ),
)
CHINESE: Final = (
    ("CAM中产品名", "CAM中简称", "控制台访问", "按标签授权", "授权粒度", "IP限制"),
    ("接口名", "接口描述", "授权粒度", "资源六段式", "IP限制"),
)
PRODUCT: Final = (
    "Toy Box (Pro)",
    "toybox",
    "Supported",
    "not supported",
    "Resource level",
    "Partially supported",
)

# The note between the tables, with every word that could be taken for a cell.
NOTE: Final = """
Note:

The granularity of products has three levels: service level, operation level, and resource level.

  • Operation level: some APIs are not supported at Resource level, others are Supported
"""

Cells = tuple[str, ...]
Lay = Callable[[Sequence[Cells]], str]


def flat(rows: Sequence[Cells]) -> str:
    return "".join(" ".join(cell for cell in row if cell) + "\n" for row in rows)


def indented(rows: Sequence[Cells]) -> str:
    return "".join(f"    {line}\n" for line in flat(rows).splitlines())


def _bordered(text: str) -> str:
    return text.replace("|", "\\|")


def pipe_lead(rows: Sequence[Cells]) -> str:
    lines = [f"| {' | '.join(map(_bordered, row))} |\n" for row in rows]
    return "".join([lines[0], "|" + "---|" * len(rows[0]) + "\n", *lines[1:]])


def pipe(rows: Sequence[Cells]) -> str:
    """Lay rows as the China site does: an empty description leaves its place and comes back at the end."""
    lines = []
    for row in rows:
        cells = list(map(_bordered, row))
        if "" in cells:
            cells.remove("")
            cells.append("")
        lines.append(" | ".join(cells).rstrip() + " |\n")
    return "".join([lines[0], "---|" * len(rows[0]) + "\n", *lines[1:]])


def pipe_broken(rows: Sequence[Cells]) -> str:
    """Lay rows so that those with several templates break behind the description and the resources."""
    lines = pipe(rows).splitlines(keepends=True)
    broken = (
        f"{row[0]} | {_bordered(row[1])} |\n{row[2]} | {row[3]} |\n{row[4]} |\n"
        if len(row) == len(ENGLISH[1]) and " qcs:" in row[3] and row[1]
        else line
        for row, line in zip(rows, [lines[0], *lines[2:]], strict=True)
    )
    return next(broken) + lines[1] + "".join(broken)


def cells(rows: Sequence[Cells]) -> str:
    return "".join(f"{_bordered(cell)} |\n".lstrip() for row in rows for cell in row)


def cells_lead(rows: Sequence[Cells]) -> str:
    return "".join("| " + cells([row]) for row in rows)


LAYOUTS: Final[dict[str, Lay]] = {
    "flat": flat,
    "indented": indented,
    "pipe-lead": pipe_lead,
    "pipe": pipe,
    "broken rows": pipe_broken,
    "cells": cells,
    "cells-lead": cells_lead,
}


def page(
    *tables: tuple[str, Sequence[Cells]],
    lay: Lay = flat,
    product: Cells = PRODUCT,
    heads: tuple[Cells, Cells] = ENGLISH,
    note: str = NOTE,
) -> str:
    """Return a page: the product's table, a note, then each table below its heading (or none)."""
    text = lay([heads[0], product]) + note + "\n"
    for title, rows in tables:
        text += (f"{title}\n\n" if title else "") + lay([heads[1], *rows]) + "\n"
    return text


def read(text: str) -> ParsedPage:
    return read_page(text.encode(), "toy.txt")


class WrittenRow(NamedTuple):
    """A row as a test compares it: the cells that were written, the section, and whether it was guessed."""

    cells: Cells
    access: str
    guessed: bool


_LEVELS: Final = {"service": "Service level", "operation": "Operation level", "resource": "Resource level"}


def rows_of(reading: ParsedPage) -> list[WrittenRow]:
    """Return the rows of a page, spelt as in the English layouts."""
    return [
        WrittenRow(
            (
                row.name,
                row.description,
                _LEVELS[row.granularity],
                " ".join(row.resources),
                "Supported" if row.ip_restriction else "not supported",
            ),
            row.access.value,
            row.access_guessed,
        )
        for row in reading.rows
    ]


def names(reading: ParsedPage) -> list[str]:
    return [row.name for row in reading.rows]


def reported(reading: ParsedPage) -> list[tuple[str, str]]:
    """Return every problem and note as (line, code)."""
    return [(p.where.rpartition(":")[2], p.code) for p in (*reading.problems, *reading.notes)]


OP = "Operation level"
RES = "Resource level"
TEMPLATE = "qcs::toybox:${region}:uin/${uin}:toy/${toyId}"
FILLER: Cells = ("Zip", "", RES, TEMPLATE, "not supported")  # makes the product row's summary true


def table(*lines: str) -> str:
    """Return a flat page whose write table consists of lines as given, and of FILLER."""
    return page(("Write operations", [FILLER])).rstrip("\n") + "\n" + "".join(f"{line}\n" for line in lines)


def bordered(*lines: str) -> str:
    return (
        page(("Write operations", [FILLER]), lay=pipe).rstrip("\n")
        + "\n"
        + "".join(f"{line}\n" for line in lines)
    )


def celled(*lines: str) -> str:
    return (
        page(("Write operations", [FILLER]), lay=cells).rstrip("\n")
        + "\n"
        + "".join(f"{line}\n" for line in lines)
    )
