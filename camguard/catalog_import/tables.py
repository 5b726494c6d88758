"""The three layouts of a table on a page, each with a reader from lines to rows.

Rule 1: a reader yields a row only if each of its five cells is closed. It yields everything else as
        `Unparsed`.
Rule 2: a reader keeps at most one unfinished row, reads each line once and never looks ahead. A row therefore
        never depends on the lines below it: a page that was cut yields no row that the whole page lacks.

Every reader cuts lines into cells and tests the same two things: whether some cells make a row (`read_row`),
and whether they can be the beginning of one (`begins_row`).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from camguard.catalog.model import ANY, Access, Granularity, Service
from camguard.catalog_import.lines import Line, split_cells, unescape
from camguard.catalog_import.words import CHROME, FLAGS, GRANULARITIES, LEAD, SUMMARIES, is_rule, split_cell
from camguard.grammar import ACTION_NAME, SERVICE

WIDTH: Final = 5
PRODUCT_WIDTH: Final = 6
_KINDS: Final = 3  # of cells that only tables have: granularity, resource, flag
_NO_DESCRIPTION: Final = frozenset({"", "-"})  # how pages print a missing description

# A flat row is divided by its last granularity that a resource follows: a description may contain any other
# word, and a template never contains a granularity.
_LEVEL: Final = re.compile(rf"(?:^| )({'|'.join(GRANULARITIES)}) (?=\*|{LEAD})")


class Row(NamedTuple):
    """One complete row of an API table.

    line: the line on which the row begins. access: the section that lists it; `page` sets it.
    """

    line: int
    name: str
    description: str
    granularity: Granularity
    resources: tuple[str, ...]
    ip_restriction: bool
    access: Access = Access.OTHER
    access_guessed: bool = False


class Unparsed(NamedTuple):
    """Text that is not a complete row.

    certain: it contains a cell that only rows have. bordered: it is between borders. ended: a line end closes
    it.
    """

    line: int
    text: str
    certain: bool
    bordered: bool
    ended: bool


class _Cell(NamedTuple):
    """One closed cell. lead: a border precedes it on its line."""

    line: int
    text: str
    lead: bool
    ended: bool


Piece: TypeAlias = Row | Unparsed | None  # None: a blank line, or a button of the page


def read_row(cells: Sequence[str], line: int, *, shifted: bool = False) -> Row | None:
    """Return the row that the first five cells make, or None.

    shifted: the page may omit an empty description and append an empty cell instead.
    """
    if len(cells) < WIDTH:
        return None
    name, description, level, resource, flag = cells[:WIDTH]
    if shifted and not flag and description in GRANULARITIES:
        name, level, resource, flag, description = cells[:WIDTH]
    resources = split_cell(resource)
    named = ACTION_NAME.fullmatch(name) is not None
    if not named or level not in GRANULARITIES or resources is None or flag not in FLAGS:
        return None
    shown = "" if description in _NO_DESCRIPTION else description
    return Row(line, name, shown, GRANULARITIES[level], resources, FLAGS[flag])


def begins_row(cells: Sequence[str]) -> bool:
    """Whether cells are the beginning of a row that breaks behind its description or a later cell."""
    if not 1 < len(cells) < WIDTH or not ACTION_NAME.fullmatch(cells[0]):
        return False
    # The description may be missing, so that the granularity is the second cell.
    return any(
        len(rest) <= _KINDS and all(map(_has_kind, rest, range(_KINDS))) for rest in (cells[2:], cells[1:])
    )


def _has_kind(cell: str, column: int) -> bool:
    """Whether a cell is a granularity (column 0), a resource (1) or a flag (2)."""
    if column == 1:
        return split_cell(cell) is not None
    return cell in (FLAGS if column else GRANULARITIES)


def _is_certain(cells: Iterable[str]) -> bool:
    """Whether any cell is one that only tables have."""
    return any(_has_kind(cell, column) for cell in cells for column in range(_KINDS))


def read_flat(lines: Sequence[Line]) -> Iterator[Piece]:
    """Read a table whose rows are lines, the cells joined by blanks.

    A row may break between its templates and before its flag.
    """
    broken: list[Line] = []
    for line in lines:
        text = unescape(line.text)
        if broken and line.ended and (text in FLAGS or text.startswith(LEAD)):
            broken.append(line)
            if _last_word(f" {text}", FLAGS) is not None:
                yield from _joined_flat(broken)
                broken = []
            continue
        yield from map(_without_row, broken)
        broken = []
        cells = split_flat(text) if line.ended else []
        row = read_row(cells, line.number)
        if row is not None:
            yield row
        elif begins_row(cells) and cells[-1] != ANY:
            broken = [line]
        else:
            yield _without_row(line)
    yield from map(_without_row, broken)


def split_flat(text: str) -> list[str]:
    """Return the cells of a flat line: five, four where the flag is missing, else one."""
    level = None
    for level in _LEVEL.finditer(text):  # noqa: B007 - only the last one is wanted
        pass
    if level is None:
        return [text]
    rest, *flag = _last_word(text, FLAGS) or (text,)
    name, _, description = text[: level.start()].partition(" ")
    return [name, description, level[1], rest[level.end() :], *flag]


def _last_word(text: str, words: Mapping[str, object]) -> tuple[str, str] | None:
    """Return what precedes the word that ends a text, and that word."""
    return next(((text[: -len(word) - 1], word) for word in words if text.endswith(" " + word)), None)


def _joined_flat(broken: Sequence[Line]) -> Iterator[Piece]:
    """Yield the row that several lines make, if all but the first contain only templates and a flag."""
    texts = [unescape(line.text) for line in broken]
    cells = split_flat(" ".join(texts))
    row = read_row(cells, broken[0].number) if cells[:3] == split_flat(texts[0])[:3] else None
    yield from map(_without_row, broken) if row is None else (row,)


def _without_row(line: Line) -> Piece:
    """Return the piece for a line that contains no row."""
    if not line.text or line.text.casefold() in CHROME:
        return None
    certain = len(split_flat(unescape(line.text))) > 1
    if "|" in line.text:
        certain = certain or _is_certain(split_cells(line.text).texts)
    return Unparsed(line.number, line.text, certain, bordered=False, ended=line.ended)


def read_bordered(lines: Sequence[Line]) -> Iterator[Piece]:
    """Read a table whose rows are lines, with borders between the cells.

    A row may break behind its description and behind any later cell.
    """
    return _read_cells(lines, celled=False)


def read_celled(lines: Sequence[Line]) -> Iterator[Piece]:
    """Read a table whose cells are lines, five to a row, each closed by a border."""
    return _read_cells(lines, celled=True)


def _read_cells(lines: Sequence[Line], *, celled: bool) -> Iterator[Piece]:
    waiting: list[_Cell] = []  # of the unfinished row
    for line in _with_templates_joined(lines):
        if is_rule(line) or (celled and waiting and not line.text):
            continue
        cells, rest = _cells(line, line_end_closes=not celled)
        waiting = yield from (_take_cells if celled else _take_line)(waiting, cells)
        if rest:
            yield from _unparsed(waiting, apart=celled)
            yield from rest
            waiting = []
    yield from _unparsed(waiting, apart=celled)


def _take_line(waiting: list[_Cell], cells: list[_Cell]) -> Generator[Piece, None, list[_Cell]]:
    """Yield the rows of a line that continues a row or begins one. Returns the cells of a row that breaks."""
    both = waiting + cells if waiting and cells else []
    if begins_row(_texts(both[: WIDTH + 1])) or read_row(_texts(both[:WIDTH]), 0, shifted=True):
        cells = both
    else:
        yield from _unparsed(waiting)
    first = 0
    while first < len(cells):
        row = read_row(_texts(cells[first : first + WIDTH]), cells[first].line, shifted=True)
        if row is not None:
            yield row
        elif begins_row(_texts(cells[first : first + WIDTH + 1])):
            break
        elif cells[first].text:
            yield from _unparsed(cells[first:])
            return []
        first += 1 if row is None else WIDTH
    return cells[first:]


def _take_cells(waiting: list[_Cell], cells: list[_Cell]) -> Generator[Piece, None, list[_Cell]]:
    """Yield the row that some cells complete. Returns the cells of the unfinished row."""
    for cell in cells:
        waiting = [*waiting, cell]
        led = any(each.lead for each in waiting[1:])
        row = None if led else read_row(_texts(waiting), waiting[0].line)
        if row is not None:
            yield row
            waiting = []
        elif len(waiting) == WIDTH:
            yield from _unparsed(waiting[:1])
            waiting = waiting[1:]
    return waiting


def _with_templates_joined(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines, joined where a resource cell has each of its templates on a line of its own."""
    parts: list[Line] = []
    for line in (*lines, None):
        open_cell = parts[-1].text.rpartition("|")[2].lstrip() if parts else ""
        if parts and not (line and open_cell.startswith(LEAD) and line.text.startswith(LEAD)):
            yield Line(parts[0].number, " ".join(part.text for part in parts), parts[-1].ended)
            parts = []
        if line:
            parts.append(line)


def _cells(line: Line, *, line_end_closes: bool) -> tuple[list[_Cell], Sequence[Piece]]:
    """Return the closed cells of a line, and what else it is: blank, text without borders, or an open cell.

    line_end_closes: whether a line end closes a cell as a border does. The end of the page never does.
    """
    if "|" not in line.text:
        return [], [_without_row(line)]
    split = split_cells(line.text)
    closed = split.closed or (line.ended and line_end_closes)
    texts = split.texts if closed else split.texts[:-1]
    cells = [_Cell(line.number, text, split.lead and i == 0, line.ended) for i, text in enumerate(texts)]
    rest = [_Cell(line.number, text, lead=False, ended=line.ended) for text in split.texts[len(texts) :]]
    return cells, [*_unparsed(rest)]


def _texts(cells: Sequence[_Cell]) -> list[str]:
    return [cell.text for cell in cells]


def _unparsed(cells: Sequence[_Cell], *, apart: bool = False) -> Iterator[Unparsed]:
    """Yield cells that make no row, as one text, or each apart."""
    groups = [[cell] for cell in cells] if apart else [cells]
    for group in filter(None, groups):
        texts = _texts(group)
        certain, ended = _is_certain(texts), group[-1].ended
        yield Unparsed(group[0].line, " | ".join(texts), certain, bordered=True, ended=ended)


def flat_product(text: str) -> Service | None:
    """Return the product of a flat line, which is read from its end, or None."""
    rest = unescape(text)
    cells: list[str] = []
    for words in (SUMMARIES, GRANULARITIES, FLAGS, FLAGS):
        found = _last_word(rest, words)
        if found is None:
            return None
        rest = found[0]
        cells.append(found[1])
    title, _, name = rest.rpartition(" ")
    return cell_product([title, name, *reversed(cells)])


def cell_product(cells: Sequence[str]) -> Service | None:
    """Return the product that six cells make, without its actions, or None."""
    if len(cells) != PRODUCT_WIDTH:
        return None
    title, name, console, tag, level, ip = cells
    known = console in FLAGS and tag in FLAGS and level in GRANULARITIES and ip in SUMMARIES
    if not title or not SERVICE.fullmatch(name) or not known:
        return None
    return Service(name, title, FLAGS[console], FLAGS[tag], GRANULARITIES[level], SUMMARIES[ip], actions={})
