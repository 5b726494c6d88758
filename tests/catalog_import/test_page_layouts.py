"""The same facts come off a page however its tables lie."""

from __future__ import annotations

import pytest

from tests.catalog_import.pages import (
    CHINESE,
    ENGLISH,
    LAYOUTS,
    PRODUCT,
    Cells,
    Lay,
    WrittenRow,
    flat,
    page,
    read,
    reported,
    rows_of,
)

STAR = ("AddToy", "Add a toy", "Operation level", "*", "Supported")
NAMED = (
    "BendToy",
    "BendToy",
    "Resource level",
    "qcs::toybox:${region}:uin/${uin}:toy/${toyId}",
    "not supported",
)
NO_WORDS = ("CastToy", "", "Operation level", "*", "not supported")
TWO = (
    "DropToy",
    "Drops it",
    "Resource level",
    "qcs::toybox::uin/${uin}:toy/$a qcs::toybox::uin/${uin}:box/*",
    "Supported",
)
LOWER = ("agentInfo", "名称 agent's 4-level info", "Operation level", "*", "Supported")
RESOURCE_STAR = ("GetToys", "Supported toys, not supported toys", "Resource level", "*", "Supported")
ROWS: tuple[Cells, ...] = (STAR, NAMED, NO_WORDS, TWO, LOWER, RESOURCE_STAR)

layouts = pytest.mark.parametrize("lay", LAYOUTS.values(), ids=LAYOUTS)


@layouts
def test_every_layout_gives_the_same_rows(lay: Lay) -> None:
    reading = read(page(("Write operations", ROWS), lay=lay))
    assert rows_of(reading) == [WrittenRow(row, "write", guessed=False) for row in ROWS]
    assert reported(reading) == []


@layouts
def test_every_layout_gives_the_product(lay: Lay) -> None:
    service = read(page(("Read operations", ROWS), lay=lay)).service
    assert service is not None
    assert (service.name, service.title) == ("toybox", "Toy Box (Pro)")
    assert (service.console, service.tag_authorization) == (True, False)
    assert (service.granularity, service.ip_restriction) == ("resource", "partial")
    assert service.actions["DropToy"].resources == (
        "qcs::toybox::uin/${uin}:toy/$a",
        "qcs::toybox::uin/${uin}:box/*",
    )


@layouts
def test_chinese_pages_give_the_same_facts(lay: Lay) -> None:
    product = ("玩具盒", "toybox", "支持", "不支持", "资源级", "部分支持")
    rows = (
        ("AddToy", "支持api调用", "操作级", "*", "支持"),
        ("BendToy", "", "资源级", "qcs::toybox::uin/${uin}:toy/$id", "不支持"),
    )
    reading = read(
        page(("写操作", rows[:1]), ("其他操作", rows[1:]), lay=lay, product=product, heads=CHINESE)
    )
    assert rows_of(reading) == [
        WrittenRow(("AddToy", "支持api调用", "Operation level", "*", "Supported"), "write", guessed=False),
        WrittenRow(
            ("BendToy", "", "Resource level", "qcs::toybox::uin/${uin}:toy/$id", "not supported"),
            "other",
            guessed=False,
        ),
    ]
    assert reported(reading) == []


# headings in the order of the page, the access of each table's only row
SECTIONS = [
    pytest.param(
        ["Write operations", "Read operations", "List Operations", "Other Operations"],
        ["write", "read", "list", "other"],
        id="spelt as the site spells them",
    ),
    pytest.param(["Other operations", "Write operations"], ["other", "write"], id="other first"),
    pytest.param(["READ OPERATIONS", "list operations"], ["read", "list"], id="case does not matter"),
    pytest.param(["## Read operations", "**List operations**"], ["read", "list"], id="with Markdown marks"),
    pytest.param(["读操作", "列表操作"], ["read", "list"], id="in Chinese"),
    pytest.param(["Read operations:"], ["read"], id="with a colon"),
]


@layouts
@pytest.mark.parametrize(("headings", "accesses"), SECTIONS)
def test_sections_are_read_off_their_headings(headings: list[str], accesses: list[str], lay: Lay) -> None:
    tables = [
        (title, [(f"Do{i}", "", "Resource level", "*", "Supported")]) for i, title in enumerate(headings)
    ]
    reading = read(page(*tables, lay=lay))
    assert [(row.access.value, row.access_guessed) for row in reading.rows] == [(a, False) for a in accesses]


@layouts
def test_without_headings_the_section_is_guessed_and_marked(lay: Lay) -> None:
    first = [
        ("AddToy", "a", "Operation level", "*", "Supported"),
        ("ListToys", "b", "Operation level", "*", "Supported"),
        ("CheckoutToy", "b", "Operation level", "*", "Supported"),
    ]
    second = [("DescribeToy", "c", "Operation level", "*", "not supported")]
    product = (*PRODUCT[:4], "Operation level", PRODUCT[5])
    reading = read(page(("", first), ("", second), lay=lay, product=product))
    assert [(row.access.value, row.access_guessed) for row in reading.rows] == [
        ("write", True),
        ("list", True),
        ("write", True),
        ("read", True),
    ]
    assert [code for _, code in reported(reading)] == ["GuessedAccess", "GuessedAccess"]
    assert reading.service is not None
    assert reading.service.actions["DescribeToy"].access_guessed


@layouts
def test_a_second_header_row_ends_what_a_heading_says(lay: Lay) -> None:
    reading = read(page(("Read operations", ROWS[:2]), ("", ROWS[2:]), lay=lay))
    assert [row.access_guessed for row in reading.rows] == [False, False, True, True, True, True]


@layouts
def test_headings_of_a_table_of_contents_say_nothing(lay: Lay) -> None:
    reading = read("Write operations\nRead operations\n\n" + page(("", ROWS), lay=lay))
    assert {row.access_guessed for row in reading.rows} == {True}


@layouts
def test_a_heading_without_rows_is_noted_and_the_next_holds(lay: Lay) -> None:
    text = page(("Write operations", ()), ("Read operations", ROWS), lay=lay)
    reading = read(text.replace("Write operations\n", "Write operations\n\n"))
    assert {row.access.value for row in reading.rows} == {"read"}
    assert [code for _, code in reported(reading)] == ["EmptySection"]


def test_a_heading_needs_no_header_row() -> None:
    reading = read(flat([ENGLISH[0], PRODUCT]) + "\nList operations\n" + flat(ROWS))
    assert {(row.access.value, row.access_guessed) for row in reading.rows} == {("list", False)}


@layouts
def test_short_boilerplate_is_enough(lay: Lay) -> None:
    assert rows_of(read(page(("Write operations", ROWS), lay=lay, note=""))) == rows_of(
        read(page(("Write operations", ROWS), lay=lay))
    )


LEAKED = '<blockquote class="rno-tip"><p class="rno-title">Note:</p><p>Operation level: *</p></blockquote>\n'


def test_html_of_the_note_does_not_hurt() -> None:
    reading = read(page(("Write operations", ROWS), note=LEAKED))
    assert [seen.cells for seen in rows_of(reading)] == [*ROWS]
    assert reported(reading) == []


# what stands between two lines of a page, and does not change what it says
DISGUISES = [
    pytest.param("\r\n", id="Windows line ends"),
    pytest.param("\r", id="old Macintosh line ends"),
    pytest.param("  \n", id="trailing blanks"),
    pytest.param("\u00a0\n", id="trailing no-break spaces"),
    pytest.param("\u200b\n", id="zero-width spaces"),
    pytest.param("\n\t", id="tabs in front"),
]


@layouts
@pytest.mark.parametrize("line_end", DISGUISES)
def test_blanks_and_line_ends_do_not_matter(line_end: str, lay: Lay) -> None:
    text = page(("Write operations", ROWS), lay=lay)
    assert rows_of(read("\ufeff" + text.replace("\n", line_end) + "\n")) == rows_of(read(text))


# chrome above the product's table, title, last updated
CHROMES = [
    pytest.param(
        "More\n\nToys\n\nPDF\n포커스 모드\n폰트 크기\n마지막 업데이트 시간: 2025-08-06 09:09:24\n",
        "Toys",
        "2025-08-06 09:09:24",
        id="Korean",
    ),
    pytest.param(
        "CAM\nToys\nLast updated: 2025-03-26 09:54:46\nToys\nLast updated: 2025-03-26 09:54:46\n",
        "Toys",
        "2025-03-26 09:54:46",
        id="title and date twice",
    ),
    pytest.param(
        "Toys\n\nフォーカスモード\nフォントサイズ\n最終更新日: 2025-08-06\n",
        "Toys",
        "2025-08-06",
        id="Japanese, no time of day",
    ),
    pytest.param(
        "文档反馈\n\n玩具\n\n最近更新时间:2024-12-01 10:00:00\n我的收藏\n",
        "玩具",
        "2024-12-01 10:00:00",
        id="Chinese",
    ),
    pytest.param(
        "Toys\nPDF\nModo Foco\nTamanho da Fonte\nÚltima atualização: 2026-03-17 11:13:02\n",
        "Toys",
        "2026-03-17 11:13:02",
        id="Portuguese",
    ),
    pytest.param(
        "Toys\nPDF\nMode Fokus\nUkuran Font\nTerakhir diperbarui: 2026-03-17 11:13:02\n",
        "Toys",
        "2026-03-17 11:13:02",
        id="Indonesian",
    ),
    pytest.param("Some words\n", "", "", id="no date, so no title"),
    pytest.param("", "", "", id="nothing above"),
]


@pytest.mark.parametrize(("chrome", "title", "updated"), CHROMES)
def test_the_origin_is_read_off_the_chrome(chrome: str, title: str, updated: str) -> None:
    service = read(chrome + "\nFundamental information\n\n" + page(("Write operations", ROWS))).service
    assert service is not None
    assert (service.pages[0].title, service.pages[0].last_updated) == (title, updated)
    assert service.title == "Toy Box (Pro)"


FOOTERS = [
    pytest.param("Was this page helpful?\nYes\nNo\n\nFeedback\n", id="English, glued to the table"),
    pytest.param("\n도움말 및 지원\n\n피드백", id="Korean, without a last line end"),
    pytest.param("\n+852 800 906 020 (Toll Free)\n\nMore local hotlines coming soon", id="telephone numbers"),
    pytest.param("Was this page helpful?", id="glued, without a last line end"),
]


@layouts
@pytest.mark.parametrize("footer", FOOTERS)
def test_a_footer_is_no_row_and_no_problem(footer: str, lay: Lay) -> None:
    text = page(("Write operations", ROWS), lay=lay).rstrip("\n") + "\n"
    assert reported(read(text + footer)) == []
