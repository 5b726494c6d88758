"""From the lines below a product row to the rows of the API tables.

Rule 1: a row comes out only when every one of its cells is closed. Whatever else stands among rows is told.
Rule 2: what comes out never depends on what follows, so a page cut anywhere yields no row that it does not
        hold when whole.
Rule 3: a section is known only from a heading above its table; without one it is guessed, and marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from camguard.catalog.model import Access
from camguard.catalog.page_lines import Line, squeeze
from camguard.catalog.page_rows import Facts
from camguard.catalog.page_tables import Gap, Piece, Stray, Whole, read_bordered, read_celled, read_flat
from camguard.catalog.page_words import Layout, Table, guess_access, header_at, heading, opens_table
from camguard.errors import Problem

_SHOWN: Final = 60  # characters of an unreadable line that a problem quotes

READERS: Final[Mapping[Layout, Callable[[Sequence[Line]], Iterator[Piece]]]] = {
    Layout.FLAT: read_flat,
    Layout.ROWS: read_bordered,
    Layout.CELLS: read_celled,
}


class Row(NamedTuple):
    """One complete row, the section it stands in, and whether that section is a guess."""

    line: int
    facts: Facts
    access: Access
    access_guessed: bool


@dataclass(slots=True)
class Walked:
    """What was found. problems: the page is not whole. notes: it is, but somebody should know."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class Chunk:
    """The lines below a heading or a header row. opener: its line, or 0 for what precedes the first."""

    layout: Layout
    opener: int = 0
    section: Access | None = None
    lines: list[Line] = field(default_factory=list)


def walk(lines: Sequence[Line], layout: Layout, source: str) -> Walked:
    """Read the lines below a product row. layout: how the product's own table lies."""
    found = Walked()
    section: Access | None = None
    heading_line = 0  # where `section` was read; 0 where its table was read too
    empty: dict[int, Access] = {}  # headings that no row followed
    for chunk in chunks(lines, layout, source, found):
        if chunk.section is not None:
            section, heading_line = chunk.section, chunk.opener
            empty[heading_line] = section
        elif chunk.opener and not heading_line:
            section = None
        facts = list(settle(READERS[chunk.layout](chunk.lines), source, found, inside=bool(chunk.opener)))
        found.rows += (
            Row(line, row, section or guess_access(row.name), section is None) for line, row in facts
        )
        if facts:
            empty.pop(heading_line, None)
        if facts and section is None:
            message = (
                f"no heading above the table: the access of its {len(facts)} actions is guessed from names"
            )
            found.notes.append(Problem(f"{source}:{chunk.opener or facts[0][0]}", "GuessedAccess", message))
        if facts or chunk.section is None:
            heading_line = 0
    for line, access in empty.items():
        message = f"no row follows the heading of {access.value} operations"
        found.notes.append(Problem(f"{source}:{line}", "EmptySection", message))
    return found


def chunks(lines: Sequence[Line], layout: Layout, source: str, found: Walked) -> Iterator[Chunk]:
    """Divide the lines at headings and header rows. Ends at a second product row: one page, one product."""
    chunk = Chunk(layout)
    index = 0
    while index < len(lines):
        line = lines[index]
        header, section = header_at(lines, index), heading(line)
        index += header.lines if header is not None else 1
        if not line.ended and opens_table(line):
            found.problems.append(_problem(source, line, "the page ends where a table begins", "CutPage"))
        elif header is not None and header.table is Table.PRODUCT:
            message = "a second product begins; nothing below it is read"
            found.problems.append(_problem(source, line, message, "SecondProduct"))
            break
        elif header is not None:
            yield chunk
            chunk = Chunk(header.layout, line.number)
        elif section is not None:
            yield chunk
            chunk = Chunk(chunk.layout, line.number, section)
        else:
            chunk.lines.append(line)
    yield chunk


def settle(
    pieces: Iterable[Piece], source: str, found: Walked, *, inside: bool
) -> Iterator[tuple[int, Facts]]:
    """Yield the rows of one table with their lines, and tell what cannot be read.

    Text right below a table is as a rule the page's footer. It is a damaged row when a row follows it, when
    it has what only rows have, or when the page ends in it.
    inside: whether the lines begin in a table.
    """
    doubtful: list[Stray] = []
    damaged: list[Stray] = []
    for piece in pieces:
        if isinstance(piece, Whole):
            _tell(damaged + doubtful, source, found)
            doubtful, damaged, inside = [], [], True
            yield piece.line, piece.facts
        elif isinstance(piece, Gap):
            _tell(damaged, source, found)
            doubtful, damaged, inside = [], [], False
        elif piece.certain or (inside and (piece.bordered or not piece.ended)):
            damaged += [*doubtful, piece]
            doubtful = []
        elif inside:
            doubtful.append(piece)
    _tell(damaged, source, found)


def _tell(strays: Sequence[Stray], source: str, found: Walked) -> None:
    """Report neighbouring pieces as one problem."""
    if not strays:
        return
    first, last = strays[0], strays[-1]
    shown = first.text if len(first.text) <= _SHOWN else first.text[:_SHOWN] + "…"
    more = f" (to line {last.line})" if last.line > first.line else ""
    if last.ended:
        message, code = "is no complete row", "UnreadRow"
    else:
        message = "is not read: the page ends here without a line end, so it may be cut"
        code = "CutRow"
    found.problems.append(Problem(f"{source}:{first.line}", code, f"{shown!r}{more}: {message}"))


def _problem(source: str, line: Line, message: str, code: str) -> Problem:
    return Problem(f"{source}:{line.number}", code, f"{squeeze(line.text)[:_SHOWN]!r}: {message}")
