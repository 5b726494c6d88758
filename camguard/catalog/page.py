"""One *CAM-Enabled API* page: from bytes to a `Service`, and to everything that is wrong or doubtful.

Rule 1: the product row decides. A page without one is of another kind and is refused, not half-read.
Rule 2: title and abbreviation come from the product row, never from the page's title or the file's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Final, NamedTuple

from camguard.catalog.merge import unite_rows
from camguard.catalog.model import Granularity, IpRestriction, Page, Service
from camguard.catalog.page_lines import MAX_BYTES, Line, read_lines, split_cells
from camguard.catalog.page_rows import PRODUCT_WIDTH, Product, cell_product, flat_product
from camguard.catalog.page_walk import Row, walk
from camguard.catalog.page_words import CHROME, Header, Layout, Table, header_at, is_rule
from camguard.errors import Problem

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}:\d{2})?$", re.ASCII)
_LABEL_LENGTH: Final = 120  # a title or a date stands on a short line


class Reading(NamedTuple):
    """What a page says.

    service: None where the page was refused. rows: as they stand on the page, before those of one name are
    united. problems: why the page is not read whole. notes: what is doubtful on a page that is.
    """

    service: Service | None
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]


def read_page(raw: bytes, source: str) -> Reading:
    """Return what a page says. Complete rows come out whatever else is wrong with it.

    raw: the saved text of a page. source: the file's name, for the places of problems (`aiart.txt:41`).
    """
    if len(raw) > MAX_BYTES:
        return _refused(source, f"is larger than {MAX_BYTES} bytes")
    if b"\0" in raw:
        return _refused(source, "is not text in UTF-8")
    text = raw.decode(errors="replace")
    lines = read_lines(text)
    opening = _find_product(lines)
    if opening is None:
        title = _provenance(lines, raw).title
        named = f"{title!r} " if title else ""
        return _refused(source, f"{named}is no CAM-Enabled API page: it has no table of products")
    at, header = opening
    product, below = _read_product(lines[at + header.lines :], header.layout)
    if product is None:
        where = f"{source}:{lines[at].number}"
        problem = Problem(
            where, "NoProductRow", "no complete product row follows its header; the page is not read"
        )
        return Reading(None, (), (problem,), ())
    found = walk(below, header.layout, source)
    problems = _damage(raw, source) + found.problems
    actions, united = unite_rows(product.name, found.rows, source)
    if not found.rows and product.granularity is not Granularity.SERVICE:
        problems.append(Problem(source, "NoRows", "holds no complete row"))
    service = Service(
        name=product.name,
        title=product.title,
        console=product.console,
        tag_authorization=product.tag_authorization,
        granularity=product.granularity,
        ip_restriction=product.ip_restriction,
        actions=MappingProxyType(actions),
        pages=(_provenance(lines[:at], raw),),
    )
    notes = found.notes + united + _contradictions(product, found.rows, f"{source}:{lines[at].number}")
    return Reading(service, tuple(found.rows), tuple(problems), tuple(notes))


def _refused(source: str, message: str) -> Reading:
    return Reading(None, (), (Problem(source, "NoCatalogPage", message),), ())


def _find_product(lines: Sequence[Line]) -> tuple[int, Header] | None:
    for index in range(len(lines)):
        header = header_at(lines, index)
        if header is not None and header.table is Table.PRODUCT:
            return index, header
    return None


def _read_product(lines: Sequence[Line], layout: Layout) -> tuple[Product | None, Sequence[Line]]:
    """Return the product and the lines below its row, or None and nothing."""
    cells: list[str] = []
    for index, line in enumerate(lines):
        if not line.text or is_rule(line):
            continue
        if layout is Layout.FLAT:
            return (flat_product(line.text) if line.ended else None), lines[index + 1 :]
        split = split_cells(line.text)
        if "|" not in line.text or not (split.closed or line.ended):
            return None, ()
        cells += split.texts
        if len(cells) >= PRODUCT_WIDTH:
            return cell_product(cells), lines[index + 1 :]
    return None, ()


def _provenance(lines: Sequence[Line], raw: bytes) -> Page:
    """Return the page's title and date: the date ends a line, the title stands above it and the buttons."""
    title = updated = ""
    for line in reversed(lines):
        date = _DATE.search(line.text) if len(line.text) <= _LABEL_LENGTH else None
        if date is not None and not updated:
            updated = date[0]
        elif updated and date is None and line.text and line.text.casefold() not in CHROME:
            title = line.text if len(line.text) <= _LABEL_LENGTH else ""
            break
    return Page(title, updated, sha256(raw).hexdigest())


def _damage(raw: bytes, source: str) -> list[Problem]:
    """Return where the page is not UTF-8. Cleaning keeps U+FFFD there, which no name or template may hold."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return [Problem(f"{source}:{line}", "NotUtf8", f"is not UTF-8 at byte {error.start}")]
    return []


def _contradictions(product: Product, rows: Sequence[Row], where: str) -> list[Problem]:
    """Return where the product row sums its rows up wrongly, which also tells of rows that went missing."""
    if not rows:
        return []
    supported = sum(row.facts.ip_restriction for row in rows)
    summary = (
        IpRestriction.SUPPORTED
        if supported == len(rows)
        else IpRestriction.PARTIAL
        if supported
        else IpRestriction.UNSUPPORTED
    )
    notes = []
    if summary is not product.ip_restriction:
        message = (
            f"the product row says IP restriction is {product.ip_restriction.value}, "
            f"but {supported} of {len(rows)} rows support it; rows may be missing"
        )
        notes.append(Problem(where, "IpSummary", message))
    finest = any(row.facts.granularity is Granularity.RESOURCE for row in rows)
    if product.granularity is Granularity.RESOURCE and not finest:
        message = f"the product row says resource level, but none of {len(rows)} rows is; rows may be missing"
        notes.append(Problem(where, "GranularitySummary", message))
    return notes
