"""Tables whose columns are apart but have no borders, as w3m prints them, as bordered lines.

Rule 1: the columns are those of a header row that pages have. Any other text is no table.
Rule 2: a row is found by its name, which is never wrapped, and by how its cells are aligned. A table in which
        not every line belongs to a complete row is redrawn as far as its rows go; the other lines stay, and
        are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from camguard.catalog_import.lines import Line, join_cells, squeeze
from camguard.catalog_import.tables import cell_product, flat_product, is_row, split_flat
from camguard.catalog_import.words import LABELS, header_at, is_rule
from camguard.catalog_import.wrapped_cells import Cells, Grid, by_column, display_width, merge_cells

_MOST_LINES: Final = 20_000  # of one table
_HEADER_LINES: Final = 8  # of one header row
_HEADER_TEXT: Final = 4096  # characters of one header row
_TRIES: Final = 32  # ways to divide one table into columns
_STEPS: Final = 4096  # cells of header rows that are looked at to find these ways
_LONGEST: Final = max(len(label) for columns in LABELS for column in columns for label in column)


def read_aligned(block: Sequence[Line], *, closed: bool) -> list[Line] | None:
    """Return the bordered lines of a table, or None.

    block: lines without a blank line. closed: whether its last row is known to be complete.
    """
    block = [line for line in block if not is_rule(line)]
    if not 1 < len(block) <= _MOST_LINES or not _may_be_header(block):
        return None
    if header_at(block, 0) is not None and all(
        is_row(split_flat(line.text)) or flat_product(line.text) for line in block[1:]
    ):
        return None  # every row is one line, which needs no columns to be read
    grid = Grid([by_column(line.raw) for line in block])
    gutters = _gutters(grid.texts)
    for height in range(1, min(_HEADER_LINES, len(block) - 1) + 1):
        best: list[Line] | None = None
        for product, cuts in _divisions(grid, height, gutters):
            cells = [grid.cut(at, cuts) for at in range(len(block))]
            body, lines = cells[height:], block[height:]
            header = Line(
                block[0].number,
                join_cells(" ".join(filter(None, c)) for c in zip(*cells[:height], strict=True)),
            )
            rows, taken = _product_row(body, lines) if product else _action_rows(body, lines, closed=closed)
            drawn = [header, *rows, *lines[taken:]]
            if taken == len(body):
                return drawn
            # Where the header row is one line, columns may be apart by chance, in text with single blanks.
            if height > 1 and (best is None or len(drawn) < len(best)):
                best = drawn
        if best is not None:
            return best
    return None


def _may_be_header(block: Sequence[Line]) -> bool:
    """Whether the first lines of a block may contain all labels of a header row. None has a border."""
    if "|" in block[0].text:
        return False
    text = "".join(squeeze(line.text) for line in block[:_HEADER_LINES])[:_HEADER_TEXT]
    return any(all(any(label[:2] in text for label in column) for column in columns) for columns in LABELS)


def _gutters(texts: Sequence[str]) -> list[int]:
    """Return the places at which a column may end: where a run of places begins that no line uses."""
    used: set[int] = set()
    for text in texts:
        used.update(at for at, char in enumerate(text) if char != " ")
    last = max(used, default=0)
    return [at for at in range(1, last + 1) if at not in used and at - 1 in used] + [last + 1]


def _divisions(
    grid: Grid, height: int, gutters: Sequence[int]
) -> Iterator[tuple[bool, list[tuple[int, int]]]]:
    """Yield the ways to divide a table so that each column of its header row is a label that pages have."""
    tries, steps = 0, 0
    for product, columns in zip((True, False), LABELS, strict=True):
        # The columns so far, and how many gutters are used. The last one tried is the first one yielded.
        stack: list[tuple[tuple[tuple[int, int], ...], int]] = [((), 0)]
        while stack and tries < _TRIES and steps < _STEPS:
            cuts, used = stack.pop()
            if len(cuts) == len(columns):
                tries += 1
                yield product, list(cuts)
                continue
            first = cuts[-1][1] if cuts else 0
            last = len(cuts) == len(columns) - 1
            further = []
            for number in range(max(used, len(gutters) - 1) if last else used, len(gutters)):
                cut = first, gutters[number]
                label = squeeze("".join(grid.cut(line, [cut])[0] for line in range(height)))
                steps += 1
                if label in columns[len(cuts)]:
                    further.append(((*cuts, cut), number + 1))
                elif len(label) > _LONGEST or steps >= _STEPS:
                    break  # a wider cell contains more text
            stack += reversed(further)


def _product_row(body: Sequence[Cells], lines: Sequence[Line]) -> tuple[list[Line], int]:
    """Return the row of the product, which takes all lines of the table."""
    cells = merge_cells(body, product=True)
    return ([Line(lines[0].number, join_cells(cells))], len(body)) if cell_product(cells) else ([], 0)


class _Rows(NamedTuple):
    """Rows from the beginning of a table. cost: how many lines were wrapped earlier than necessary."""

    cost: int
    last: tuple[int, int] | None  # the first line of the last row, and the line behind it
    before: _Rows | None


def _action_rows(body: Sequence[Cells], lines: Sequence[Line], *, closed: bool) -> tuple[list[Line], int]:
    """Return the rows of actions, and how many lines they take."""
    found = max(
        (_divided(body, heights, closed=closed) for heights in (_centred, _on_top)),
        key=lambda rows: rows.last[1] if rows.last else 0,
    )
    if found.last is not None and found.last[1] < len(body) and found.before is not None:
        found = found.before  # where the row below is not read, lines of it may belong to this one
    taken = found.last[1] if found.last else 0
    rows: list[Line] = []
    step: _Rows | None = found
    while step is not None and step.last is not None:
        first, end = step.last
        texts = merge_cells(body[first:end], product=False)
        rows.append(Line(lines[first].number, join_cells(texts)))
        step = step.before
    return rows[::-1], taken


def _divided(
    body: Sequence[Cells], heights: Callable[[int, int, int], Sequence[int]], *, closed: bool
) -> _Rows:
    """Return the rows that take most lines, of those the ones that are wrapped best."""
    names = [at for at, cells in enumerate(body) if cells[0]]
    ends = [*names[1:], len(body)][: len(names)]
    widths = [
        max((display_width(cells[column]) for cells in body), default=0) for column in range(len(body[0]))
    ]
    states = {0: _Rows(0, None, None)}  # the line at which the next row begins -> the rows so far
    best = states[0]
    for name, following in zip(names, ends, strict=True):
        reached: dict[int, _Rows] = {}
        for first, rows in states.items():
            for height in heights(name, first, following):
                end = first + height
                if not name < end <= following or (end == len(body) and not closed):
                    continue
                lines = body[first:end]
                if heights is _centred and not _are_centred(lines):
                    continue
                if not is_row(merge_cells(lines, product=False)):
                    continue
                cost = rows.cost + _wrapped_early(lines, widths)
                if end not in reached or cost < reached[end].cost:
                    reached[end] = _Rows(cost, (first, end), rows)
        if not reached:
            break
        states = reached
        best = states[max(states)]
    return best


def _centred(name: int, first: int, following: int) -> Sequence[int]:
    """Return how many lines a row may take whose cells are centred: one more may be below its name."""
    del following
    above = name - first
    return (2 * above + 1, 2 * above + 2) if above >= 0 else ()


def _are_centred(lines: Sequence[Cells]) -> bool:
    """Whether the text of each column is in the middle of a row, and that of one column takes all lines."""
    tallest = 0
    for column in zip(*lines, strict=True):
        used = [at for at, text in enumerate(column) if text]
        tallest = max(tallest, len(used))
        if used and (used[0] != (len(lines) - len(used)) // 2 or used[-1] - used[0] + 1 != len(used)):
            return False
    return tallest == len(lines)


def _on_top(name: int, first: int, following: int) -> Sequence[int]:
    """Return the lines that a row may take whose cells begin on its first line."""
    return (following - first,) if name == first else ()


def _wrapped_early(lines: Sequence[Cells], widths: Sequence[int]) -> int:
    """Return how often the first word of a line would have had room on the line above."""
    early = 0
    for column, width in enumerate(widths):
        texts = [*filter(None, (cells[column] for cells in lines))]
        for above, below in pairwise(texts):
            early += display_width(above) + 1 + display_width(below.partition(" ")[0]) <= width
    return early
