"""One *CAM-Enabled API* page: from bytes to a `Service`, and to everything that is wrong or doubtful.

Rule 1: the product row decides. A page without one is of another kind and is refused as a whole.
Rule 2: title and abbreviation come from the product row, never from the title of the page or a file name.
Rule 3: a section is known only from a heading above its table. Without one it is guessed, and the row
        is marked.
Rule 4: every text among rows that is not a complete row is reported; text far from any row is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import Final, NamedTuple

from camguard.catalog.model import Access, Granularity, IpRestriction, Page, Service
from camguard.catalog_import.drawn_tables import redraw
from camguard.catalog_import.file_kinds import decode, is_html, what_text_is, why_no_text
from camguard.catalog_import.html_tables import Markup, read_html
from camguard.catalog_import.lines import Line, read_lines, split_cells, squeeze, unescape
from camguard.catalog_import.merge import unite_rows
from camguard.catalog_import.names import guess_access
from camguard.catalog_import.tables import (
    PRODUCT_WIDTH,
    Piece,
    Row,
    Unparsed,
    cell_product,
    flat_product,
    read_bordered,
    read_cell_lines,
    read_celled,
    read_flat,
    read_wrapped,
)
from camguard.catalog_import.words import (
    CHROME,
    Header,
    Layout,
    header_at,
    heading,
    is_rule,
    opens_table,
)
from camguard.errors import Problem

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}:\d{2})?$", re.ASCII)
_MARKS: Final = re.compile(
    r"^#+ +|^(?:<[^<>]*>|:::.*)$"
)  # of Markdown, and of the containers that pandoc writes
_WHERE: Final = "Such pages are below 'CAM-Enabled API' in the documentation of CAM"
_LABEL_LENGTH: Final = 120  # characters of a line that may be a title or end with a date
_QUOTED: Final = 60  # characters of an unreadable line that a problem quotes

_READERS: Final[Mapping[Layout, Callable[[Sequence[Line]], Iterator[Piece]]]] = {
    Layout.FLAT: read_flat,
    Layout.ROWS: read_bordered,
    Layout.CELLS: read_celled,
    Layout.WRAPPED: read_wrapped,
    Layout.LINES: read_cell_lines,
}


class ParsedPage(NamedTuple):
    """The contents of a page.

    service: None if the page was refused. rows: as the page lists them, before rows of one name are united.
    problems: why the page could not be read whole. notes: what is doubtful.
    """

    service: Service | None
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]


class _Report:
    """Collects problems and notes, each with its line of one page."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []

    def problem(self, line: int, code: str, message: str) -> None:
        """Add a problem; line 0 means the page as a whole."""
        self.problems.append(Problem(f"{self.source}:{line}" if line else self.source, code, message))

    def note(self, line: int, code: str, message: str) -> None:
        """Add a note."""
        self.notes.append(Problem(f"{self.source}:{line}", code, message))

    def parsed(self, service: Service | None = None, rows: Sequence[Row] = ()) -> ParsedPage:
        """Return the page, or the refusal of it."""
        return ParsedPage(service, tuple(rows), tuple(self.problems), tuple(self.notes))


class _Section(NamedTuple):
    """The lines below a heading or a header row. opener: its line, 0 for what precedes the first."""

    layout: Layout
    opener: int
    access: Access | None
    lines: list[Line]


def read_page(raw: bytes, source: str) -> ParsedPage:
    """Return the contents of a page. Complete rows are returned whatever else is wrong with the page.

    raw: a page as it was saved, printed or copied. source: the name of the file, for the places of problems
    (`aiart.txt:41`).
    """
    report = _Report(source)
    why = why_no_text(raw)
    if why is not None:
        report.problem(0, "NoCatalogPage", why)
        return report.parsed()
    text, fault = decode(raw)
    markup = read_html(text) if is_html(text) else Markup(redraw(read_lines(text)), 0)
    lines = markup.lines
    opening = _find_product(lines)
    if opening is None:
        known = what_text_is(text)
        report.problem(0, "NoCatalogPage", known or (fault.message if fault else _why_no_page(lines, raw)))
        return report.parsed()
    at, header = opening
    product, below = _read_product(lines[at + header.lines :], header.layout)
    if product is None:
        message = "no complete product row follows its header; the page is not read"
        report.problem(lines[at].number, "NoProductRow", message)
        return report.parsed()
    if fault is not None:
        report.problem(fault.line, "NotUtf8", fault.message)
    if markup.open_at:
        message = "the page ends inside of the tag, comment or table that begins here; rows may be missing"
        report.problem(markup.open_at, "CutPage", message)
    rows = list(_read_tables(below, header.layout, report))
    actions, united = unite_rows(product.name, rows, source)
    report.notes += united
    if not rows and product.granularity is not Granularity.SERVICE:
        report.problem(0, "NoRows", "contains no complete row")
    _compare_summary(product, rows, lines[at].number, report)
    pages = (_provenance(lines[:at], raw),)
    return report.parsed(replace(product, actions=MappingProxyType(actions), pages=pages), rows)


def _why_no_page(lines: Sequence[Line], raw: bytes) -> str:
    title = _provenance(lines, raw).title
    named = f"{title!r} is" if title else "is"
    return f"{named} not a CAM-Enabled API page: it has no table of products. {_WHERE}"


def _find_product(lines: Sequence[Line]) -> tuple[int, Header] | None:
    for index in range(len(lines)):
        header = header_at(lines, index)
        if header is not None and header.product:
            return index, header
    return None


def _read_product(lines: Sequence[Line], layout: Layout) -> tuple[Service | None, Sequence[Line]]:
    """Return the product and the lines below its row, or None and nothing."""
    cells: list[str] = []
    for index, line in enumerate(lines):
        if not line.text or is_rule(line):
            continue
        if layout is Layout.FLAT:
            return (flat_product(line.text) if line.ended else None), lines[index + 1 :]
        if layout in {Layout.WRAPPED, Layout.LINES}:
            cells.append(unescape(line.text))
            wrapped = layout is Layout.WRAPPED
            found = flat_product(" ".join(cells)) if wrapped else cell_product(cells)
            if found is not None or not line.ended or len(cells) >= PRODUCT_WIDTH:
                return (found if line.ended else None), lines[index + 1 :]
            continue
        split = split_cells(line.text)
        if "|" not in line.text or not (split.closed or line.ended):
            return None, ()
        cells += split.texts
        if len(cells) >= PRODUCT_WIDTH:
            return cell_product(cells), lines[index + 1 :]
    return None, ()


def _provenance(lines: Sequence[Line], raw: bytes) -> Page:
    """Return title and date of the page: the date ends a line; the title is above it and the buttons."""
    title = updated = ""
    for line in reversed(lines):
        date = _DATE.search(line.text) if len(line.text) <= _LABEL_LENGTH else None
        if date is not None and not updated:
            updated = date[0]
        elif updated and date is None and _MARKS.sub("", line.text) and line.text.casefold() not in CHROME:
            title = _MARKS.sub("", line.text) if len(line.text) <= _LABEL_LENGTH else ""
            break
    return Page(title, updated, sha256(raw).hexdigest())


def _read_tables(lines: Sequence[Line], layout: Layout, report: _Report) -> Iterator[Row]:
    """Yield the rows below a product row. layout: that of the product's table."""
    access: Access | None = None
    heading_line = 0  # where `access` was read; 0 where its table was read too
    empty: dict[int, Access] = {}  # headings that no row followed
    for section in _sections(lines, layout, report):
        if section.access is not None:
            access, heading_line = section.access, section.opener
            empty[heading_line] = access
        elif section.opener and not heading_line:
            access = None
        pieces = _READERS[section.layout](section.lines)
        rows = list(_complete_rows(pieces, report, inside=bool(section.opener)))
        for row in rows:
            found = access or guess_access(row.name)
            yield row._replace(access=found, access_guessed=access is None)
        if rows:
            empty.pop(heading_line, None)
        if rows and access is None:
            message = (
                f"no heading above the table: the access of its {len(rows)} actions is guessed from names"
            )
            report.note(section.opener or rows[0].line, "GuessedAccess", message)
        if rows or section.access is None:
            heading_line = 0
    for line, access in empty.items():
        report.note(line, "EmptySection", f"no row follows the heading of {access.value} operations")


def _sections(lines: Sequence[Line], layout: Layout, report: _Report) -> Iterator[_Section]:
    """Divide the lines at headings and header rows. Ends at a second product row: one page, one product."""
    section = _Section(layout, 0, None, [])
    index = 0
    while index < len(lines):
        line = lines[index]
        header, access = header_at(lines, index), heading(line)
        index += header.lines if header is not None else 1
        quoted = f"{squeeze(line.text)[:_QUOTED]!r}: "
        if not line.ended and opens_table(line):
            report.problem(line.number, "CutPage", f"{quoted}the page ends where a table begins")
        elif header is not None and header.product:
            report.problem(
                line.number, "SecondProduct", f"{quoted}a second product begins; nothing below it is read"
            )
            break
        elif header is not None or access is not None:
            yield section
            section = _Section(header.layout if header else section.layout, line.number, access, [])
        else:
            section.lines.append(line)
    yield section


def _complete_rows(pieces: Iterator[Piece], report: _Report, *, inside: bool) -> Iterator[Row]:
    """Yield the rows of one table, and report what could not be read.

    Text right below a table is as a rule the footer of the page. It is a damaged row when a row follows it,
    when it contains a cell that only rows have, or when the page ends in it.
    inside: whether the lines begin in a table.
    """
    doubtful: list[Unparsed] = []
    damaged: list[Unparsed] = []
    for piece in pieces:
        if isinstance(piece, Row):
            _report_unparsed(damaged + doubtful, report)
            doubtful, damaged, inside = [], [], True
            yield piece
        elif piece is None:
            _report_unparsed(damaged, report)
            doubtful, damaged, inside = [], [], False
        elif piece.certain or (inside and (piece.bordered or not piece.ended)):
            damaged += [*doubtful, piece]
            doubtful = []
        elif inside:
            doubtful.append(piece)
    _report_unparsed(damaged, report)


def _report_unparsed(texts: Sequence[Unparsed], report: _Report) -> None:
    """Report neighbouring texts as one problem."""
    if not texts:
        return
    first, last = texts[0], texts[-1]
    quoted = first.text if len(first.text) <= _QUOTED else first.text[:_QUOTED] + "…"
    more = f" (to line {last.line})" if last.line > first.line else ""
    if last.ended:
        code, message = "UnreadRow", "is not a complete row"
    else:
        code, message = "CutRow", "is skipped: the page ends here without a line end, so the row may be cut"
    report.problem(first.line, code, f"{quoted!r}{more}: {message}")


def _compare_summary(product: Service, rows: Sequence[Row], line: int, report: _Report) -> None:
    """Note where the product row contradicts the rows below, which may mean that rows are missing."""
    if not rows:
        return
    supported = sum(row.ip_restriction for row in rows)
    whole = {0: IpRestriction.UNSUPPORTED, len(rows): IpRestriction.SUPPORTED}
    summary = whole.get(supported, IpRestriction.PARTIAL)
    if summary is not product.ip_restriction:
        message = (
            f"the product row says IP restriction is {product.ip_restriction.value}, "
            f"but {supported} of {len(rows)} rows support it; rows may be missing"
        )
        report.note(line, "IpSummary", message)
    finest = any(row.granularity is Granularity.RESOURCE for row in rows)
    if product.granularity is Granularity.RESOURCE and not finest:
        message = f"the product row says resource level, but none of {len(rows)} rows is; rows may be missing"
        report.note(line, "GranularitySummary", message)
