"""One row of a table, read strictly. A row that is not whole is not a row (catalog-pages section 3).

Nothing here scans twice: every step is a whole comparison, or one pass from one end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from camguard.catalog.model import Granularity, IpRestriction
from camguard.catalog.page_lines import unescape
from camguard.catalog.page_words import FLAGS, GRANULARITIES, SUMMARIES
from camguard.catalog.template import ANY, LEAD, split_cell
from camguard.grammar import ACTION_NAME as NAME
from camguard.grammar import SERVICE

Meaning = TypeVar("Meaning")

WIDTH: Final = 5
PRODUCT_WIDTH: Final = 6
_EMPTY: Final = frozenset({"", "-"})  # how pages print a description that is not there

# The last granularity that a template follows divides a flat row: descriptions may hold every other word,
# templates never hold a granularity.
_DIVIDE: Final = re.compile(rf"(?:^| )({'|'.join(GRANULARITIES)}) (?=\*|{LEAD})")


class Facts(NamedTuple):
    """What one row of an API table says."""

    name: str
    description: str
    granularity: Granularity
    resources: tuple[str, ...]
    ip_restriction: bool


class Product(NamedTuple):
    """What the one row of the first table says."""

    title: str
    name: str
    console: bool
    tag_authorization: bool
    granularity: Granularity
    ip_restriction: IpRestriction


def cell_row(cells: Sequence[str], *, shifted: bool = False) -> Facts | None:
    """Return the row that the first five cells make, or None.

    shifted: an empty description may have left its place, with an empty cell appended for it.
    """
    if len(cells) < WIDTH:
        return None
    name, description, level, resource, flag = cells[:WIDTH]
    if shifted and not flag and description in GRANULARITIES:
        name, level, resource, flag, description = cells[:WIDTH]
    resources = split_cell(resource)
    if not NAME.fullmatch(name) or level not in GRANULARITIES or resources is None or flag not in FLAGS:
        return None
    shown = "" if description in _EMPTY else description
    return Facts(name, shown, GRANULARITIES[level], resources, FLAGS[flag])


def begins_row(cells: Sequence[str]) -> bool:
    """Whether cells are the beginning of a row that breaks behind its description or a later cell."""
    if not 1 < len(cells) < WIDTH or not NAME.fullmatch(cells[0]):
        return False
    rest = cells[2:]
    return _fits(rest) or _fits(cells[1:])


def _fits(cells: Sequence[str]) -> bool:
    """Whether cells are a granularity, a resource and a flag, or the first of these."""
    kinds = (_is_level, _is_resource, _is_flag)
    return len(cells) <= len(kinds) and all(kind(cell) for kind, cell in zip(kinds, cells, strict=False))


def _is_level(cell: str) -> bool:
    return cell in GRANULARITIES


def _is_resource(cell: str) -> bool:
    return split_cell(cell) is not None


def _is_flag(cell: str) -> bool:
    return cell in FLAGS


def looks_like_row(cells: Sequence[str]) -> bool:
    """Whether any cell is one that only tables have: a granularity, a flag, a resource."""
    return any(_is_level(cell) or _is_resource(cell) or _is_flag(cell) for cell in cells)


def flat_row(text: str) -> Facts | None:
    """Return the row that a flat line holds, or None."""
    text = unescape(text)
    border = flat_border(text)
    tail = _last_word(text, FLAGS)
    if border is None or tail is None:
        return None
    rest, supported = tail
    name, _, description = text[: border.start()].partition(" ")
    resources = split_cell(rest[border.end() :])
    if not NAME.fullmatch(name) or resources is None:
        return None
    shown = "" if description in _EMPTY else description
    return Facts(name, shown, GRANULARITIES[border[1]], resources, supported)


def flat_border(text: str) -> re.Match[str] | None:
    """Return where the granularity of a flat row stands, or None where the line cannot be (part of) one."""
    found = None
    for found in _DIVIDE.finditer(text):  # noqa: B007 - only the last one is wanted
        pass
    return found


def flat_continues(text: str) -> bool:
    """Whether a line can go on where a flat row broke between its templates or before its flag."""
    return text.startswith(LEAD) or text in FLAGS


def flat_breaks(text: str) -> bool:
    """Whether a flat row stops behind a template, so that it may go on below."""
    border = flat_border(text)
    return (
        border is not None
        and NAME.fullmatch(text.partition(" ")[0]) is not None
        and not text.startswith(ANY, border.end())
        and _last_word(text, FLAGS) is None
    )


def ends_in_flag(text: str) -> bool:
    """Whether the last cell of a flat line is a flag."""
    return text in FLAGS or _last_word(text, FLAGS) is not None


def flat_product(text: str) -> Product | None:
    """Return the product row that a flat line holds, or None. Read from its end."""
    rest = unescape(text)
    cells: list[str] = []
    for words in (SUMMARIES, GRANULARITIES, FLAGS, FLAGS):
        word = next((word for word in words if rest.endswith(" " + word)), None)
        if word is None:
            return None
        cells.append(word)
        rest = rest[: -len(word) - 1]
    title, _, name = rest.rpartition(" ")
    return cell_product([title, name, *reversed(cells)])


def cell_product(cells: Sequence[str]) -> Product | None:
    """Return the product row that six cells make, or None."""
    if len(cells) != PRODUCT_WIDTH:
        return None
    title, name, console, tag, level, ip = cells
    if (
        not title
        or not SERVICE.fullmatch(name)
        or console not in FLAGS
        or tag not in FLAGS
        or level not in GRANULARITIES
        or ip not in SUMMARIES
    ):
        return None
    return Product(title, name, FLAGS[console], FLAGS[tag], GRANULARITIES[level], SUMMARIES[ip])


def _last_word(text: str, words: Mapping[str, Meaning]) -> tuple[str, Meaning] | None:
    """Return what precedes the word that ends a text, and the word's meaning."""
    for word, meaning in words.items():
        if text.endswith(" " + word):
            return text[: -len(word) - 1], meaning
    return None
