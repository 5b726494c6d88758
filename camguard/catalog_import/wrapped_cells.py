"""The cells of one row from the lines that a program wrapped them into.

Rule: a name and a template are joined without blanks, known words as they are known, and other text with
      blanks, except between characters of scripts that are written without them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from camguard.catalog_import.lines import clean, squeeze
from camguard.catalog_import.words import FLAGS, GRANULARITIES, LABELS, LEAD, SUMMARIES

_INSIDE: Final = re.compile(r"\S[/\\]$")
WIDEST: Final = 4096  # columns of a line of a table; text beyond them is not read
_KNOWN: Final[Mapping[str, str]] = {
    squeeze(word): word for words in (FLAGS, GRANULARITIES, SUMMARIES) for word in words
}

Cells = list[str]  # the texts of one line, one for each column


class Grid(NamedTuple):
    """The texts of lines by display column: a wide character takes two places."""

    texts: list[str]

    def cut(self, line: int, cuts: Sequence[tuple[int, int]]) -> Cells:
        """Return the cells of a line. cuts: the first column of each cell, and the column behind it."""
        return [clean(self.texts[line][first:last].replace("\0", "")) for first, last in cuts]


def display_width(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    return sum(1 + is_wide(char) for char in text)


def by_column(text: str) -> str:
    """Return a text in which each character stands at its display column."""
    text = text[:WIDEST].expandtabs()[:WIDEST]
    if text.isascii():
        return text
    placed: list[str] = []
    for char in text:
        category = unicodedata.category(char)
        if category in {"Mn", "Me", "Cf", "Cc"}:
            continue
        placed.append(" " if char == "\u00a0" else char)
        if is_wide(char):
            placed.append("\0")
    return "".join(placed)


def header_of(cells: Sequence[Cells]) -> tuple[bool, Cells] | None:
    """Return the labels of a header row and whether it is that of the product, or None."""
    labels = [squeeze("".join(column)) for column in zip(*cells, strict=True)]
    for product, columns in zip((True, False), LABELS, strict=True):
        if len(columns) == len(labels) and all(map(frozenset.__contains__, columns, labels)):
            return product, [" ".join(filter(None, column)) for column in zip(*cells, strict=True)]
    return None


def merge_cells(lines: Sequence[Cells], widths: Sequence[int] = (), *, product: bool) -> Cells:
    """Return the cells of one row from its lines. widths: of columns at which long words are broken."""
    merged: Cells = []
    for column, pieces in enumerate(zip(*lines, strict=True)):
        texts = [*filter(None, pieces)]
        joined = "".join(texts)
        if column == (1 if product else 0):
            merged.append(joined)
        elif column > 1:
            known = _KNOWN.get(squeeze(joined))
            merged.append(known or (joined if joined.startswith(LEAD) else " ".join(texts)))
        elif (
            merged
            and joined.casefold() == merged[0].casefold()
            and all(display_width(text) == widths[column] for text in (texts[1:] if widths else ()))
        ):
            merged.append(joined)
        else:
            merged.append(_sentence(texts))
    return merged


def _sentence(texts: Sequence[str]) -> str:
    """Return text that was wrapped: at blanks, between wide characters, and behind marks inside of words."""
    joined = ""
    for text in texts:
        inside = _INSIDE.search(joined) or (joined and is_wide(joined[-1]) and is_wide(text[0]))
        joined += text if not joined or inside else f" {text}"
    return joined


def is_wide(char: str) -> bool:
    """Return whether a character takes two columns (Unicode Standard Annex 11)."""
    return unicodedata.east_asian_width(char) in "WF"
