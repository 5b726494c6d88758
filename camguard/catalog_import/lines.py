r"""A documentation page as numbered, cleaned lines.

Rule 1: a line without a line end is where the page was cut, whatever it looks like.
Rule 2: cleaning keeps every visible character but escapes, which are undone last (`unescape`), once cells
        are apart: `\|` is no border.
Rule 3: whether a line continues the line above depends on that line and on the lines above it only, so that
        a page that was cut is read like the whole page as far as it goes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final, NamedTuple

# A run is matched whether a mark follows or not: else a failed search would start again inside the run.
_ESCAPE: Final = re.compile(r"\\+(['\"*_|`$<>\[\]#~]?)")
_BORDER: Final = re.compile(r"(?<!\\)\|")
_MARKED: Final = re.compile(r"\*\*([^*]+)\*\*|\[([^\[\]]+)\]\([^()\s]*\)")
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
# Cc: control characters, which a terminal would obey. Cf: byte order marks, joiners and direction marks,
# which are invisible and would make equal names differ.
_INVISIBLE: Final = frozenset({"Cc", "Cf"})


class Line(NamedTuple):
    """One line: its number from 1, its text with single blanks, and whether a line end closed it.

    continues: the first word of the line had no room at the end of the line above, so that a program that
    wraps text may have moved it here. raw: the text with its blanks as printed, if the line is printed.
    """

    number: int
    text: str
    ended: bool = True
    continues: bool = False
    raw: str = ""


def read_lines(text: str) -> list[Line]:
    """Return the lines of a page; all kinds of blanks and of line ends are treated alike."""
    pieces = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not pieces[-1]:
        del pieces[-1]  # nothing follows the last line end
        last = len(pieces) + 1
    else:
        last = len(pieces)
    lines: list[Line] = []
    above = widest = 0  # characters of the line above, and of the widest line so far
    for number, piece in enumerate(pieces, 1):
        cleaned = clean(piece)
        continues = bool(above and cleaned) and above + 1 + len(cleaned.partition(" ")[0]) > widest
        above = len(piece.rstrip()) if cleaned else 0
        widest = max(widest, above)
        lines.append(Line(number, cleaned, number < last, continues, piece))
    return lines


def clean(text: str) -> str:
    """Return text with single blanks, without line breaks and without invisible characters."""
    text = " ".join(_BREAK.sub(" ", text).split())
    if text.isprintable():
        return text
    return " ".join("".join(c for c in text if unicodedata.category(c) not in _INVISIBLE).split())


def unescape(text: str) -> str:
    r"""Return text as the page shows it, without the backslashes that an exporter put before marks.

    >>> unescape(r"the agent\\\'s monthly rebate, \*")
    "the agent's monthly rebate, *"
    """
    return _ESCAPE.sub(lambda found: found[1] or found[0], text)


class Cells(NamedTuple):
    """The cells of one line. lead: the line begins with a border. closed: it ends with one."""

    texts: tuple[str, ...]
    lead: bool
    closed: bool


def split_cells(text: str) -> Cells:
    r"""Return the cells between unescaped `|`. A bare `|` is one empty cell.

    >>> split_cells(r"| a | b \| c |")
    Cells(texts=('a', 'b | c'), lead=True, closed=True)
    >>> split_cells("a |").texts, split_cells("|").texts, split_cells("a | b").closed
    (('a',), ('',), False)
    """
    pieces = [_unmarked(unescape(piece).strip()) for piece in _BORDER.split(text)]
    if len(pieces) == 1:
        return Cells(tuple(pieces), lead=False, closed=False)
    closed = not pieces[-1]
    if closed:
        del pieces[-1]
    lead = not pieces[0] and len(pieces) > 1
    if lead:
        del pieces[0]
    return Cells(tuple(pieces), lead, closed)


def _unmarked(cell: str) -> str:
    """Return a cell without the Markdown marks around all of it: code, strong text, and a link."""
    if cell.startswith("`"):
        return cell.replace("`", "")
    found = _MARKED.fullmatch(cell)
    return found[1] or found[2] if found else cell


def join_cells(texts: Iterable[str]) -> str:
    r"""Return the text of a bordered line that `split_cells` divides into these cells.

    >>> join_cells(["a|b", ""]), split_cells(join_cells(["a|b", ""])).texts
    ('| a\\|b |  |', ('a|b', ''))
    """
    escaped = [text.replace("|", "\\|") for text in texts]
    return f"| {' | '.join(escaped)} |"


def squeeze(text: str) -> str:
    """Return text for comparing labels: no blanks, no borders, no case, no Markdown marks around it.

    >>> squeeze("### Write operations {#write .unnumbered}")
    'writeoperations'
    """
    if text.endswith("}"):
        text = text.rpartition("{")[0] or text
    return text.replace("|", "").replace(" ", "").strip("#*:\uff1a-").casefold()
