r"""A documentation page as numbered, cleaned lines.

Rule 1: a line without a line end is where the page was cut, whatever it looks like.
Rule 2: cleaning keeps every visible character but escapes, which are undone last (`unescape`), once cells
        are apart: `\|` is no border.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

MAX_BYTES: Final = 2 * 1024 * 1024

# A run is matched whether a mark follows or not: else a failed search would start again inside the run.
_ESCAPE: Final = re.compile(r"\\+(['\"*_|`$]?)")
_BORDER: Final = re.compile(r"(?<!\\)\|")
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
# Cc: control characters, which a terminal would obey. Cf: byte order marks, joiners and direction marks,
# which are invisible and would make equal names differ.
_INVISIBLE: Final = frozenset({"Cc", "Cf"})


class Line(NamedTuple):
    """One line: its number from 1, its text with single blanks, and whether a line end closed it."""

    number: int
    text: str
    ended: bool = True


def read_lines(text: str) -> list[Line]:
    """Return the lines of a page; all kinds of blanks and of line ends are treated alike."""
    pieces = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    last = len(pieces)
    # What follows the last line end is empty, or a line without a line end.
    return [Line(i, _clean(piece), ended=i < last) for i, piece in enumerate(pieces, 1) if piece or i < last]


def _clean(text: str) -> str:
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
    pieces = [unescape(piece).strip() for piece in _BORDER.split(text)]
    if len(pieces) == 1:
        return Cells(tuple(pieces), lead=False, closed=False)
    closed = not pieces[-1]
    if closed:
        del pieces[-1]
    lead = not pieces[0] and len(pieces) > 1
    if lead:
        del pieces[0]
    return Cells(tuple(pieces), lead, closed)


def squeeze(text: str) -> str:
    """Return text for comparing labels: no blanks, no borders, no case, no Markdown marks around it."""
    return text.replace("|", "").replace(" ", "").strip("#*:\uff1a-").casefold()
