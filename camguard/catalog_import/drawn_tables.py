"""Tables that a program drew with characters, as bordered lines, a row on each.

Such programs wrap the text of a cell inside of its column. Rules (`+---+`, `┌─┐`, `---- ----`) show where the
columns of a table are.

Rule: a table is redrawn only if its header row is one that pages have. Every other text stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from camguard.catalog_import.aligned_tables import read_aligned
from camguard.catalog_import.lines import Line, join_cells
from camguard.catalog_import.tables import is_row
from camguard.catalog_import.words import header_at, is_rule
from camguard.catalog_import.wrapped_cells import WIDEST, Grid, by_column, header_of, merge_cells

_RULE: Final = re.compile(r"\s*[+├┌└┏┣┗╔╠╚|][-=:+─━═┬┼┴┳╋┻╦╬╩]{5,}[+┤┐┘┓┫┛╗╣╝|]\s*")
_JUNCTIONS: Final = frozenset("+├┌└┏┣┗╔╠╚┤┐┘┓┫┛╗╣╝┬┼┴┳╋┻╦╬╩|")
_DASHES: Final = re.compile(r"\s*-{3,}(?: +-{3,})*\s*")


def redraw(lines: Sequence[Line]) -> list[Line]:
    """Return the lines of a page, in which every table that was drawn is replaced by bordered lines."""
    found: list[Line] = []
    at = 0
    while at < len(lines):
        end = at + 1
        ruled = _ruled(lines, at) if _DASHES.fullmatch(lines[at].raw) else None
        if ruled is not None:
            drawn, end = ruled
            found += drawn
        elif lines[at].text and lines[at].ended:
            while end < len(lines) and lines[end].text:
                end += 1
            block = lines[at:end]
            # Where a blank line follows, no line of the last row is missing.
            closed = end < len(lines) and lines[end].ended
            found += _redraw_block(block, closed=closed) or (block if closed else _last_open(block))
        else:
            found.append(lines[at])
        at = end
    return found


def _last_open(block: Sequence[Line]) -> Sequence[Line]:
    """Return a block in which the last row of a table is not closed if a program may wrap its cells."""
    spaced = any("  " in line.raw.strip() and header_at([line], 0) for line in block)
    if not spaced or any(map(is_rule, block)):
        return block
    return [*block[:-1], block[-1]._replace(ended=False)]


def _redraw_block(block: Sequence[Line], *, closed: bool) -> list[Line] | None:
    """Return the redrawn lines of a block without blank lines, or None if it is no drawn table."""
    rest = [] if block[-1].ended else [block[-1]]
    whole = block[: len(block) - len(rest)]
    if not whole:
        return None
    if _RULE.fullmatch(whole[0].raw):
        boxes = _boxes(whole)
        return None if boxes is None else [*boxes, *rest]
    drawn = read_aligned(whole, closed=closed)
    return None if drawn is None else [*drawn, *rest]


# with borders


def _boxes(block: Sequence[Line]) -> list[Line] | None:
    """Return the rows of a table whose rules show where its columns are, or None for another table."""
    drawn: list[Line] = []
    cuts: list[tuple[int, int]] = []
    waiting: list[Line] = []
    product: bool | None = None
    for line in block:
        if not _RULE.fullmatch(line.raw):
            waiting.append(line)
            continue
        if waiting and cuts:
            waiting, product = _rows_of_box(waiting, cuts, product=product)
        drawn += waiting
        waiting = []
        placed = by_column(line.raw)
        borders = [at for at, char in enumerate(placed) if char in _JUNCTIONS]
        cuts = [(first + 1, last) for first, last in pairwise(borders)]
    return None if product is None else [*drawn, *waiting]


def _rows_of_box(
    lines: Sequence[Line], cuts: Sequence[tuple[int, int]], *, product: bool | None
) -> tuple[list[Line], bool | None]:
    """Return the rows between two rules, and whether their table is that of the product (None: unknown)."""
    grid = Grid([by_column(line.raw) for line in lines])
    cells = [grid.cut(at, cuts) for at in range(len(lines))]
    header = header_of(cells)
    if header is not None:
        return [Line(lines[0].number, join_cells(header[1]))], header[0]
    # pandoc breaks words that are longer than a column, others make the column wider.
    breaks = lines[0].raw.lstrip().startswith("|")
    widths = [(last - first - 2) * breaks for first, last in cuts]
    if product is None:
        return list(lines), None
    if product or not all(is_row(merge_cells([line], widths, product=False)) for line in cells):
        return [Line(lines[0].number, join_cells(merge_cells(cells, widths, product=product)))], product
    return [Line(line.number, join_cells(texts)) for line, texts in zip(lines, cells, strict=True)], product


def _ruled(lines: Sequence[Line], at: int) -> tuple[list[Line], int] | None:
    """Return a table between two lines of dashes, and its end. Blank lines are between its rows."""
    end = _end_of_group(lines, at + 1)
    rules = [line.raw for line in (lines[at], *lines[end : end + 1]) if "- -" in " ".join(line.raw.split())]
    if not rules or end == at + 1:
        return None
    starts = [run.start() for run in re.finditer("-+", rules[-1])]
    cuts = [*zip(starts, [*starts[1:], WIDEST], strict=True)]
    drawn, product = _rows_of_box(lines[at + 1 : end], cuts, product=None)
    if product is None:
        return None
    while end < len(lines):
        begin = end
        while begin < len(lines) and not lines[begin].text:
            begin += 1
        if is_rule(lines[begin]) if begin < len(lines) else True:
            end = begin + 1
            if begin + 1 >= len(lines) or not lines[begin + 1].text:
                break  # the line of dashes at the end of the table
            continue
        end = _end_of_group(lines, begin)
        # The last row of a page that was cut may be incomplete.
        group = lines[begin:end]
        open_end = end == len(lines) or not lines[end].ended
        drawn += group if open_end else _rows_of_box(group, cuts, product=product)[0]
    return drawn, min(end, len(lines))


def _end_of_group(lines: Sequence[Line], begin: int) -> int:
    """Return the place of the next blank line or line of dashes."""
    end = begin
    while end < len(lines) and lines[end].text and not is_rule(lines[end]):
        end += 1
    return end
