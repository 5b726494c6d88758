"""Saved HTML as the lines that the readers of pages take: text as lines, tables as bordered lines.

Rule 1: every cell of a table becomes one cell of one bordered line, so that a row of the page is one line.
Rule 2: text is divided into tokens here, in one pass that never looks at a character twice: the parser of the
        standard library takes quadratic time for text of unclosed tags and comments (CVE-2025-6069). It is
        given one complete tag at a time.
Rule 3: what a page multiplies (nested tables, spans over rows and columns) is bounded. Beyond a bound a cell
        is empty, so its row is not complete and is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from typing import Final, NamedTuple

from camguard.catalog_import.lines import Line, clean, join_cells
from camguard.catalog_import.words import arrange

_DEEPEST: Final = 32  # tables inside of tables; a deeper one is read as text of its cell
_COLUMNS: Final = 16  # of one table; cells beyond are not read
_ROWS: Final = 65534  # that one cell may span (HTML, "attributes common to td and th elements")
_SPANNED: Final = 4 * 1024 * 1024  # characters of all copies that spans over rows make of their cells

# A tag up to its end, or as far as it goes. Quotes are paired as browsers pair them.
_TAG: Final = re.compile(r"""</?([a-zA-Z][^\s/<>"']*+)(?:[^<>"']++|"[^"]*+"|'[^']*+')*+""")
_BLOCK: Final = "\x1e"  # stands in a cell where a block of text begins or ends; cleaning makes it a blank
_KEPT_LINES: Final = re.compile(r"<(?:html|body|!doctype)\b", re.IGNORECASE)
# `html.unescape` raises ValueError for a number of thousands of digits. No character has more than seven.
_LONG_NUMBER: Final = re.compile(r"&#0*+(?:[0-9]{8,}+|[xX]0*+[0-9a-fA-F]{7,}+);?")

# Their content is not shown as text, and contains no tags.
_RAW: Final = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "template", "iframe", "noembed", "noframes", "xmp")
}
_INLINE: Final = frozenset(
    (
        *(
            "a",
            "abbr",
            "acronym",
            "b",
            "bdi",
            "bdo",
            "big",
            "cite",
            "code",
            "data",
            "del",
            "dfn",
            "em",
            "font",
        ),
        *("i", "img", "ins", "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike"),
        *("strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
    )
)
_END_OF_ROW: Final = frozenset(("tr", "tbody", "thead", "tfoot"))


class Markup(NamedTuple):
    """The lines of a page. open_at: the line of a tag, comment or table that is not closed, or 0."""

    lines: list[Line]
    open_at: int


@dataclass(slots=True)
class _Cell:
    line: int
    columns: int = 1
    rows: int = 1
    pieces: list[str] = field(default_factory=list)
    inner: list[Line] = field(default_factory=list)  # of a table inside of the cell that lists actions

    @property
    def text(self) -> str:
        return clean("".join(self.pieces))

    def texts(self) -> list[Line]:
        """Return the texts of the cell, divided where a block of text begins or ends."""
        return [Line(self.line, clean(text)) for text in "".join(self.pieces).split(_BLOCK)]


@dataclass(slots=True)
class _Table:
    """An open table. rows: the cells of each row as written, before spans are filled in."""

    line: int
    rows: list[list[_Cell]] = field(default_factory=list)
    in_row: bool = False
    in_cell: bool = False


class _Attributes(HTMLParser):
    """Reads the attributes of one tag that is complete."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the attributes; of equal names the first one, as browsers do."""
        del tag
        self.found = {name: value or "" for name, value in reversed(attrs)}

    def read(self, tag: str) -> dict[str, str]:
        """Return the attributes of a tag."""
        self.found = {}
        self.reset()
        self.feed(tag)
        return self.found


def read_html(text: str) -> Markup:
    """Return the lines of HTML, or of Markdown with tables in HTML, whose line breaks are kept."""
    reader = _Reader(keeps_lines=_KEPT_LINES.search(text) is None)
    if reader.keeps_lines:
        text = text.replace("\\<", "&lt;")
    reader.read(_LONG_NUMBER.sub("\ufffd", text))
    return Markup(reader.lines, reader.open_at)


class _Reader:
    """One pass over a page."""

    def __init__(self, *, keeps_lines: bool) -> None:
        self.keeps_lines = keeps_lines
        self.lines: list[Line] = []
        self.open_at = 0
        self._line = 1  # of the token that is being read
        self._text: list[str] = []  # since the last line was closed, outside of cells
        self._text_line = 1
        self._tables: list[_Table] = []
        self._too_deep = 0  # open tables that are read as text
        self._spanned = _SPANNED
        self._attributes = _Attributes()

    def read(self, text: str) -> None:
        """Read the tokens of a page, and close what is open at its end."""
        at = 0
        while at < len(text):
            end = self._token(text, at)
            self._line += text.count("\n", at, end)
            at = end
        if self._tables and not self.open_at:
            self.open_at = self._tables[0].line
        while self._tables:
            self._close_table(cut=True)
        self._break()

    def _token(self, text: str, at: int) -> int:
        """Read the token at a place and return where it ends."""
        if text[at] != "<":
            end = text.find("<", at)
            end = len(text) if end < 0 else end
            self._data(text[at:end])
            return end
        if text.startswith("<!--", at):
            return self._skip(text.find("-->", at + 4), 3, len(text))
        if text.startswith(("<!", "<?"), at):
            return self._skip(text.find(">", at), 1, len(text))
        tag = _TAG.match(text, at)
        if tag is None:
            self._data("<")
            return at + 1
        return self._tag(text, tag)

    def _tag(self, text: str, tag: re.Match[str]) -> int:
        """Read a tag, with the content of one whose content is no text, and return where it ends."""
        if not text.startswith(">", tag.end()):  # the next tag begins, or the page ends, inside of this one
            if text[tag.end() : tag.end() + 1] != "<":  # the page ends, or a quote is not closed to its end
                self.open_at = self.open_at or self._line
            return tag.end()
        name, end = tag[1].lower(), tag.end() + 1
        if tag[0].startswith("</"):
            self._end(name)
        elif name in _RAW:
            closing = _RAW[name].search(text, end)
            return self._skip(closing.start() if closing else -1, 0, len(text))
        else:
            self._start(name, f"{tag[0]}>")
        return end

    def _skip(self, found: int, width: int, last: int) -> int:
        """Return the place behind what is skipped; if its end is missing, the page was cut inside of it."""
        if found < 0:
            self.open_at = self.open_at or self._line
            return last
        return found + width

    def _data(self, text: str) -> None:
        if "&" in text:
            text = unescape(text)
        cell = self._cell()
        if cell is not None:
            cell.pieces.append(text)
        elif self.keeps_lines and "\n" in text:
            for number, piece in enumerate(text.split("\n")):
                if number:
                    self._break()
                    if not piece.strip():
                        self.lines.append(Line(self._line + number, ""))
                self._add_text(piece, self._line + number)
        else:
            self._add_text(text, self._line)

    def _add_text(self, text: str, line: int) -> None:
        if not self._text:
            text = text.lstrip()
            self._text_line = line
        if text:
            self._text.append(text)

    def _cell(self) -> _Cell | None:
        """Return the open cell."""
        if not self._tables or not self._tables[-1].in_cell:
            return None
        return self._tables[-1].rows[-1][-1]

    def _break(self) -> None:
        """Close a line of text, or separate what follows in a cell by a blank."""
        cell = self._cell()
        if cell is not None:
            cell.pieces.append(_BLOCK)
            return
        text = clean("".join(self._text))
        self._text = []
        if text:
            self.lines.append(Line(self._text_line, text))

    def _start(self, name: str, tag: str) -> None:
        if name in _INLINE:
            return
        table = self._tables[-1] if self._tables else None
        if name == "table":
            self._open_table()
        elif table is None or self._too_deep:
            self._break()
        elif name in _END_OF_ROW:
            table.in_cell = False
            table.in_row = False
        elif name in {"td", "th"}:
            if not table.in_row:
                table.rows.append([])
            table.in_row = table.in_cell = True
            table.rows[-1].append(self._new_cell(tag))
        else:
            self._break()

    def _new_cell(self, tag: str) -> _Cell:
        if "span" not in tag.lower():
            return _Cell(self._line)
        found = self._attributes.read(tag)
        columns, rows = (_span(found.get(name, "")) for name in ("colspan", "rowspan"))
        return _Cell(self._line, columns or 1, rows or _ROWS)

    def _end(self, name: str) -> None:
        table = self._tables[-1] if self._tables else None
        if name in _INLINE:
            return
        if name in {"body", "html"}:
            while self._tables:
                self._close_table()
        elif name == "table" and self._too_deep:
            self._too_deep -= 1
        elif name == "table" and table is not None:
            self._close_table()
        elif table is None or self._too_deep:
            self._break()
        elif name in {"td", "th"}:
            table.in_cell = False
        elif name in _END_OF_ROW:
            table.in_cell = table.in_row = False
        else:
            self._break()

    def _open_table(self) -> None:
        self._break()
        table = self._tables[-1] if self._tables else None
        if self._too_deep or len(self._tables) >= _DEEPEST:
            self._too_deep += 1
            return
        if table is not None and not table.in_cell:
            self._close_table()  # a table in a table, but in none of its cells: the first one has no end tag
        self._tables.append(_Table(self._line))

    def _close_table(self, *, cut: bool = False) -> None:
        """Give the lines of the last table to the page, or to the cell that the table is in."""
        self._too_deep = 0
        table = self._tables.pop()
        if cut and table.in_row:
            del table.rows[-1]  # it may be incomplete
        lines = list(self._lines_of(table))
        cell = self._cell()
        if cell is None:
            self._break()
            self.lines += [Line(table.line, ""), *lines, Line(self._line, "")]
        elif any("|" in line.text for line in lines):
            cell.inner += [*cell.texts(), Line(table.line, ""), *lines, Line(self._line, "")]
            cell.pieces = []
        else:
            cell.pieces.append(" ".join(("", *(line.text for line in lines), "")))

    def _lines_of(self, table: _Table) -> Iterator[Line]:
        """Yield the lines of a table: bordered if it lists products or actions, else its texts."""
        rows = [row for row in table.rows if row]
        if any(cell.inner for row in rows for cell in row):
            for cell in (cell for row in rows for cell in row):
                yield from (*cell.inner, *cell.texts())
            return
        grid = self._filled(rows)
        places = [row[0].line for row in rows]
        arranged = arrange(grid)
        if arranged is None:
            yield from (Line(line, clean(" ".join(texts))) for line, texts in zip(places, grid, strict=True))
            return
        for line, texts in arranged:
            yield Line(places[line], texts[0] if len(texts) == 1 else join_cells(texts))

    def _filled(self, rows: Sequence[Sequence[_Cell]]) -> list[list[str]]:
        """Return the texts of the cells in their columns, each cell copied into the rows that it spans."""
        grid: list[list[str]] = []
        spans: dict[int, tuple[int, str]] = {}  # column -> rows that a cell above still spans, and its text
        for row in rows:
            texts: dict[int, str] = {}
            below = dict(spans)
            column = 0
            for cell in row:
                while column in spans:
                    column += 1
                text = cell.text
                for number in range(min(cell.columns, _COLUMNS - column)):
                    texts[column + number] = "" if number else text
                    below[column + number] = cell.rows, texts[column + number]
                column += cell.columns
            for at, (_, text) in spans.items():
                self._spanned -= len(text)
                texts[at] = text if self._spanned > 0 else ""
            spans = {at: (left - 1, text) for at, (left, text) in below.items() if left > 1}
            grid.append([texts.get(at, "") for at in range(max(texts, default=-1) + 1)])
        return grid


def _span(value: str) -> int:
    """Return what `rowspan` or `colspan` says; 1 where it is no number. Zero rows means to the end."""
    digits = value.strip()
    return min(int(digits[:6]), _ROWS) if digits.isascii() and digits.isdecimal() else 1
