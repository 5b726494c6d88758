"""What holds of every page, whole or cut, kind or hostile."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from camguard.catalog_import.page import read_page
from tests.catalog_import.pages import ENGLISH, LAYOUTS, PRODUCT, Cells, Lay, flat, page, read, rows_of

QUICK = settings(max_examples=80, deadline=None, derandomize=True, database=None)

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,12}", fullmatch=True)
# Descriptions are made of what could be taken for something else.
WORDS = st.sampled_from(
    [
        *("Operation level", "Resource level", "操作级", "*", "Supported", "not supported", "支持", "不支持"),
        *(
            "qcs::a::uin/$u:b",
            "API",
            "Read operations",
            "Partially supported",
            "AddToy",
            "the",
            "4-level",
            "\u2019s",
            "《》",
        ),
        *("|", "a|b", "---", "-x", "Write", "operations:", "<br", "$", "{", "("),
    ]
)
DESCRIPTIONS = st.lists(WORDS, max_size=6).map(" ".join).filter(lambda text: text != "-")
SERVICES = st.sampled_from(["toybox", "cam", "cvm", "${ApiModule}"])
REGIONS = st.sampled_from(["", "$region", "${region}", "${ResourceRegion}"])
ACCOUNTS = st.sampled_from(["", "uin/", "$account", "uin/${uin}", "uid/${appid}", "uin/${ownerUin}"])
RESOURCES = st.sampled_from(
    [
        "toy/${toyId}",
        "toy/$id",
        "toy/*",
        "toy/{$id}",
        "${bucket-appid}/*",
        "*",
        "-",
        " toy/$id",
        "a/${b}:c/$d",
        "toy/toyId",
    ]
)
TEMPLATES = st.builds("qcs::{}:{}:{}:{}".format, SERVICES, REGIONS, ACCOUNTS, RESOURCES)
FLAGS = st.sampled_from(["Supported", "not supported"])


def row(name: str, description: str, templates: Sequence[str], flag: str) -> Cells:
    level = "Resource level" if templates else "Operation level"
    return (name, description, level, " ".join(templates) or "*", flag)


ROWS = st.lists(
    st.builds(row, NAMES, DESCRIPTIONS, st.lists(TEMPLATES, max_size=3), FLAGS), min_size=1, max_size=6
)
TITLES = st.sampled_from(["Write operations", "Read operations", "List Operations", "其他操作", ""])
TABLES = st.lists(st.tuples(TITLES, ROWS), min_size=1, max_size=4)

LAYS = st.sampled_from(list(LAYOUTS.values()))
layouts = pytest.mark.parametrize("lay", LAYOUTS.values(), ids=LAYOUTS)


@given(lay=LAYS, tables=TABLES)
@QUICK
def test_what_was_laid_out_is_read_back(lay: Lay, tables: list[tuple[str, list[Cells]]]) -> None:
    text = page(*tables, lay=lay)
    expected = [(cells, bool(title)) for title, rows in tables for cells in rows]
    assert [(seen.cells, not seen.guessed) for seen in rows_of(read(text))] == expected
    assert read(text).problems == ()


@given(lay=LAYS, tables=TABLES, cut=st.floats(0, 1))
@QUICK
@example(
    lay=flat,
    tables=[("", [("AddToy", "x Operation level * Supported", "Operation level", "*", "not supported")])],
    cut=0.9,
)
def test_a_page_cut_anywhere_has_no_row_that_the_whole_does_not_have(
    lay: Lay, tables: list[tuple[str, list[Cells]]], cut: float
) -> None:
    raw = page(*tables, lay=lay).encode()
    whole, part = read_page(raw, "toy.txt"), read_page(raw[: int(len(raw) * cut)], "toy.txt")
    assert part.rows == whole.rows[: len(part.rows)]


TAIL = (
    "AddToy",
    "from Operation level * Supported to",
    "Resource level",
    "qcs::a::uin/$u:b qcs::c::uin/$u:d",
    "not supported",
)
NASTY = (
    TAIL,
    ("BuyToy", "", "Operation level", "*", "Supported"),
    ("Supported", "* | *", "Operation level", "*", "Supported"),
)


@pytest.mark.heavy
@layouts
def test_a_page_cut_at_every_byte_loses_rows_and_invents_none(lay: Lay) -> None:
    raw = page(("Write operations", NASTY), ("", NASTY[:2]), ("读操作", NASTY), lay=lay).encode()
    whole = read_page(raw, "toy.txt")
    assert len(whole.rows) == 8
    counts = []
    for cut in range(len(raw)):
        part = read_page(raw[:cut], "toy.txt")
        assert part.rows == whole.rows[: len(part.rows)]
        counts.append(len(part.rows))
    assert counts == sorted(counts)


@given(lay=LAYS, tables=TABLES, line=st.integers(0, 200))
@QUICK
def test_a_lost_line_invents_no_row(lay: Lay, tables: list[tuple[str, list[Cells]]], line: int) -> None:
    lines = page(*tables, lay=lay).splitlines(keepends=True)
    whole = {seen.cells for seen in rows_of(read("".join(lines)))}
    del lines[line % len(lines)]
    # A lost line may take a description or a template with it, where each has a line of its own.
    known = {(cells[0], cells[2], cells[4]) for cells in whole}
    assert {(s.cells[0], s.cells[2], s.cells[4]) for s in rows_of(read("".join(lines)))} <= known


@given(text=st.text(st.sampled_from("|\n*: qcsAPI支持-操作级\\"), max_size=200))
@QUICK
def test_any_text_below_a_product_row_is_read_without_a_fault(text: str) -> None:
    for lay in LAYOUTS.values():
        read(lay([ENGLISH[0], PRODUCT]) + lay([ENGLISH[1]]) + text)


@given(raw=st.binary(max_size=300))
@QUICK
def test_any_bytes_are_read_without_a_fault(raw: bytes) -> None:
    assert read_page(raw, "toy.txt").service is None
    read_page(page().encode() + raw, "toy.txt")


# what is repeated as often as it takes
HOSTILE = [
    pytest.param("|", id="borders"),
    pytest.param("| ", id="borders and blanks"),
    pytest.param("\\", id="backslashes"),
    pytest.param(" ", id="blanks"),
    pytest.param("Operation level * ", id="granularities"),
    pytest.param("AddToy | x | Operation level | * | Supported | ", id="rows on one line"),
    pytest.param("qcs:", id="templates"),
    pytest.param("AddToy x Resource level qcs::a::u:b\n", id="rows without a flag"),
    pytest.param("qcs::a::u:b\n", id="continuations of nothing"),
    pytest.param("qcs::a::u:b Supported\n", id="ends of nothing"),
    pytest.param("AddToy | x |\n", id="beginnings of rows"),
    pytest.param("API |\n", id="beginnings of header rows"),
    pytest.param("Read operations\n", id="headings"),
    pytest.param("2024-01-01\n", id="dates"),
    pytest.param("<br", id="tags"),
    pytest.param("A\n", id="names"),
    pytest.param("AddToy Operation level * Supported\n", id="one name again and again"),
]


@pytest.mark.heavy
@pytest.mark.usefixtures("no_collection")
@layouts
@pytest.mark.parametrize("text", HOSTILE)
def test_reading_takes_time_in_proportion(text: str, lay: Lay) -> None:
    def seconds(size: int) -> float:
        start = time.process_time()
        below = lay([ENGLISH[1]]) + text * (size // len(text))
        read(text * (size // len(text)) + "\n" + lay([ENGLISH[0], PRODUCT]) + below)
        return time.process_time() - start

    small = min(seconds(20_000) for _ in range(3))
    large = min(seconds(200_000) for _ in range(2))
    assert large < 40 * max(small, 0.002), "ten times the text may not take forty times as long"


def test_flat_is_not_ambiguous_about_its_nastiest_row() -> None:
    assert [seen.cells for seen in rows_of(read(page(("Write operations", [TAIL]), lay=flat)))] == [TAIL]
