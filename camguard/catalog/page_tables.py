"""The three ways a table lies on a page, each a reader from lines to pieces.

A reader yields whole rows, strays (text that is no whole row) and gaps (blank lines). It keeps no more than
one unfinished row in mind, reads every line once, and never looks ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from camguard.catalog.page_lines import Line, split_cells, unescape
from camguard.catalog.page_rows import (
    WIDTH,
    Facts,
    begins_row,
    cell_row,
    ends_in_flag,
    flat_border,
    flat_breaks,
    flat_continues,
    flat_row,
    looks_like_row,
)
from camguard.catalog.page_words import CHROME, is_rule
from camguard.catalog.template import LEAD


class Whole(NamedTuple):
    """A complete row and the line it begins on."""

    line: int
    facts: Facts


class Stray(NamedTuple):
    """Text that is no whole row.

    certain: it has what only rows have. bordered: it stands between borders. ended: a line end closed it.
    """

    line: int
    text: str
    certain: bool
    bordered: bool
    ended: bool


class Gap(NamedTuple):
    """A blank line."""


class _Cell(NamedTuple):
    """One closed cell. lead: a border stands before it on its line."""

    line: int
    text: str
    lead: bool
    ended: bool


Piece: TypeAlias = Whole | Stray | Gap
GAP: Final = Gap()


def read_flat(lines: Sequence[Line]) -> Iterator[Piece]:
    """Read a table whose rows are lines, cells joined by blanks (layouts A, A' and E).

    A row may break between its templates and before its flag.
    """
    broken: list[Line] = []
    for line in lines:
        text = unescape(line.text)
        if broken and line.ended and flat_continues(text):
            broken.append(line)
            if ends_in_flag(text):
                yield from _mend(broken)
                broken = []
            continue
        yield from map(_plain, broken)
        broken = []
        facts = flat_row(text) if line.ended else None
        if facts is not None:
            yield Whole(line.number, facts)
        elif line.ended and flat_breaks(text):
            broken = [line]
        else:
            yield _plain(line)
    yield from map(_plain, broken)


def _mend(broken: Sequence[Line]) -> Iterator[Piece]:
    """Yield one row, if its border is where the first line had it: further lines hold templates only."""
    texts = [unescape(line.text) for line in broken]
    whole = " ".join(texts)
    first, last = flat_border(texts[0]), flat_border(whole)
    facts = flat_row(whole) if first and last and first.start() == last.start() else None
    if facts is None:
        yield from map(_plain, broken)
    else:
        yield Whole(broken[0].number, facts)


def _plain(line: Line) -> Piece:
    """Return what a line is that no row was found in."""
    if not line.text or line.text.casefold() in CHROME:
        return GAP
    certain = flat_border(unescape(line.text)) is not None
    if "|" in line.text:
        certain = certain or looks_like_row(split_cells(line.text).texts)
    return Stray(line.number, line.text, certain, bordered=False, ended=line.ended)


def read_bordered(lines: Sequence[Line]) -> Iterator[Piece]:
    """Read a table whose rows are lines with borders between the cells (layouts B and C).

    A row may break behind its description and behind any later cell.
    """
    waiting: list[_Cell] = []
    for line in join_templates(lines):
        if is_rule(line):
            continue
        cells, tail = _cells(line)
        if waiting and cells and _goes_on(waiting + cells):
            cells = waiting + cells
        else:
            yield from _strays(waiting)
        waiting = []
        at = 0
        while at < len(cells):
            facts = cell_row(_texts(cells, at), shifted=True)
            if facts is not None:
                yield Whole(cells[at].line, facts)
                at += WIDTH
            elif not cells[at].text:
                at += 1
            elif begins_row([cell.text for cell in cells[at:]]):
                waiting = cells[at:]
                break
            else:
                yield from _strays(cells[at:])
                break
        if tail is not None:
            yield from _strays(waiting)
            waiting = []
            yield tail
    yield from _strays(waiting)


def _goes_on(cells: Sequence[_Cell]) -> bool:
    return begins_row([cell.text for cell in cells]) or cell_row(_texts(cells), shifted=True) is not None


def read_celled(lines: Sequence[Line]) -> Iterator[Piece]:
    """Read a table whose cells are lines, five to a row, each closed by a border (layouts D and D')."""
    waiting: list[_Cell] = []
    for line in join_templates(lines):
        if is_rule(line) or (waiting and not line.text):
            continue
        cells, tail = _cells(line, line_end_closes=False)
        for cell in cells:
            waiting.append(cell)
            facts = cell_row(_texts(waiting)) if not any(cell.lead for cell in waiting[1:]) else None
            if facts is not None:
                yield Whole(waiting[0].line, facts)
                waiting = []
            elif len(waiting) == WIDTH:
                yield from _strays(waiting[:1])
                waiting = waiting[1:]
        if tail is not None:
            yield from _strays(waiting, one_by_one=True)
            waiting = []
            yield tail
    yield from _strays(waiting, one_by_one=True)


def join_templates(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines, joined where a resource cell holds each of its templates on a line of its own."""
    parts: list[Line] = []
    for line in lines:
        if parts and not (_open_template(parts[-1]) and line.text.startswith(LEAD)):
            yield _joined(parts)
            parts = []
        parts.append(line)
    if parts:
        yield _joined(parts)


def _open_template(line: Line) -> bool:
    return line.text.rpartition("|")[2].lstrip().startswith(LEAD)


def _joined(parts: Sequence[Line]) -> Line:
    return Line(parts[0].number, " ".join(part.text for part in parts), parts[-1].ended)


def _cells(line: Line, *, line_end_closes: bool = True) -> tuple[list[_Cell], Piece | None]:
    """Return the closed cells of a line, and what else it is: a gap, text without borders, or an open cell.

    line_end_closes: whether a line end closes a cell as a border does. The end of the page never does.
    """
    if "|" not in line.text:
        return [], _plain(line)
    split = split_cells(line.text)
    whole = split.closed or (line.ended and line_end_closes)
    texts = split.texts if whole else split.texts[:-1]
    cells = [_Cell(line.number, text, split.lead and i == 0, line.ended) for i, text in enumerate(texts)]
    if whole:
        return cells, None
    rest = split.texts[-1]
    return cells, Stray(line.number, rest, looks_like_row([rest]), bordered=True, ended=line.ended)


def _texts(cells: Sequence[_Cell], at: int = 0) -> list[str]:
    return [cell.text for cell in cells[at : at + WIDTH]]


def _strays(cells: Sequence[_Cell], *, one_by_one: bool = False) -> Iterator[Stray]:
    """Yield cells that make no row: each by itself where a cell is a line, else all of a line together."""
    groups = [[cell] for cell in cells] if one_by_one else [cells] if cells else []
    for group in groups:
        texts = [cell.text for cell in group]
        text, certain = " | ".join(texts), looks_like_row(texts)
        yield Stray(group[0].line, text, certain, bordered=True, ended=group[-1].ended)
