"""Saved HTML: what browsers and editors write, and what nobody should."""

from __future__ import annotations

import time
from html import escape

import pytest

from camguard.catalog_import.html_tables import read_html
from camguard.catalog_import.page import ParsedPage, read_page
from camguard.files import PAGE_BYTES
from tests.catalog_import.pages import (
    CHINESE,
    ENGLISH,
    OP,
    PRODUCT,
    RES,
    TEMPLATE,
    Cells,
    names,
    reported,
    rows_of,
)

ADD: Cells = ("AddToy", "adds a toy", OP, "*", "Supported")
BEND: Cells = ("BendToy", "", RES, TEMPLATE, "not supported")


def tr(row: Cells, tag: str = "td") -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in row)}</tr>"


def table(*rows: Cells) -> str:
    return f"<table>{''.join(map(tr, rows))}</table>"


def page(*body: str, product: Cells = PRODUCT, heads: tuple[Cells, Cells] = ENGLISH) -> str:
    return f"<html><body>{table(heads[0], product)}{''.join(body)}</body></html>"


def read(text: str) -> ParsedPage:
    return read_page(text.encode(), "toy.html")


def written(reading: ParsedPage) -> list[Cells]:
    return [row.cells for row in rows_of(reading)]


WRITE = "<h3>Write operations</h3>"
HEAD = tr(ENGLISH[1], "th")

# what follows the product's table; the rows are ADD and BEND, both of them writes
SAME = [
    pytest.param(f"{WRITE}{table(ENGLISH[1], ADD, BEND)}", id="one table"),
    pytest.param(f"{WRITE}{table(ENGLISH[1], ADD)}<p></p>{WRITE}{table(ENGLISH[1], BEND)}", id="two tables"),
    pytest.param(
        f"{WRITE}<table>{HEAD}</table><table>{tr(ADD)}{tr(BEND)}</table>",
        id="a header row in a table of its own",
    ),
    pytest.param(
        f"<table><caption>Write operations</caption>{HEAD}{tr(ADD)}{tr(BEND)}</table>", id="a caption"
    ),
    pytest.param(
        f"<table>{HEAD}<tr><td colspan=5><b>Write operations</b></td></tr>{tr(ADD)}{tr(BEND)}</table>",
        id="a heading that spans the table",
    ),
    pytest.param(
        f"<table><tr><td>{WRITE}<p>Text</p>{table(ENGLISH[1], ADD, BEND)}</td><td>more</td></tr></table>",
        id="a table that lays out the page",
    ),
    pytest.param(
        f"{WRITE}<table>{HEAD}{tr(ADD)}<tr><td>BendToy<td><td>{RES}"
        f"<td><table><tr><td>{TEMPLATE}</table><td>not supported</table>",
        id="a table inside of a cell",
    ),
    pytest.param(
        f"{WRITE}<TABLE>{HEAD}<TR><TD>Add&shy;Toy<wbr><TD><p>adds<p>a&nbsp;toy<TD>{OP}<TD>&#42;<TD>Supported"
        f"<tr><td><b>Bend</b><i>Toy</i></td><td></td><td>Resource<br/>level</td><td><code>{TEMPLATE}</code></td>"
        "<td><span>not&#x20;<u>supported</u></span></td></tr></TABLE>",
        id="entities, marks inside of words, and tags without ends",
    ),
    pytest.param(
        f"{WRITE}<!-- <table> --><table><thead>{HEAD}</thead><tfoot></tfoot><tbody data-x='a > b'>"
        f'{tr(ADD)}<script>"<tr><td>"</script>{tr(BEND)}</tbody></table>',
        id="comments, scripts, and a bracket in an attribute",
    ),
    pytest.param(
        f"<h2 id='x'>\n  Write\n  operations\n</h2>\n{table(ENGLISH[1], ADD, BEND)}", id="line breaks"
    ),
]


@pytest.mark.parametrize("body", SAME)
def test_the_same_rows_are_read(body: str) -> None:
    reading = read(page(body))
    assert written(reading) == [ADD, BEND]
    assert {row.access.value for row in reading.rows} == {"write"}
    assert reported(reading) == []


def test_a_cell_that_spans_rows_counts_in_each_of_them() -> None:
    rows = (
        f"<tr><td>AddToy</td><td rowspan=2>shared</td><td rowspan=3>{OP}</td><td rowspan=0>*</td>"
        "<td rowspan=2>Supported</td></tr><tr><td>BendToy</td></tr>"
        "<tr><td>CastToy</td><td>own</td><td>Supported</td></tr>"
    )
    product = (*PRODUCT[:4], OP, "Supported")
    reading = read(page(f"{WRITE}<table>{HEAD}{rows}</table>", product=product))
    assert written(reading) == [
        ("AddToy", "shared", OP, "*", "Supported"),
        ("BendToy", "shared", OP, "*", "Supported"),
        ("CastToy", "own", OP, "*", "Supported"),
    ]
    assert reported(reading) == []


def test_a_header_of_two_rows() -> None:
    head = (
        "<tr><th rowspan=2>API</th><th rowspan=2>API Description</th><th colspan=3>Authorization</th></tr>"
        "<tr><th>Authorization Granularity</th><th>Six-segment Resource Description</th>"
        "<th>IP Restriction</th></tr>"
    )
    assert written(read(page(f"{WRITE}<table>{head}{tr(ADD)}{tr(BEND)}</table>"))) == [ADD, BEND]


def test_columns_in_another_order_and_further_columns() -> None:
    def moved(row: Cells, first: str, last: str) -> Cells:
        return (first, row[4], row[0], row[1], row[2], row[3], last)

    head = moved(ENGLISH[1], "Type", "Remarks")
    rows = (moved(ADD, "Write operations", ""), moved(BEND, "Read operations", "Supported"))
    reading = read(page(table(head, *rows)))
    assert written(reading) == [ADD, BEND]
    assert [(row.access.value, row.access_guessed) for row in reading.rows] == [
        ("write", False),
        ("read", False),
    ]
    assert reported(reading) == []


LANGUAGES = [
    pytest.param(
        CHINESE,
        ("玩具盒", "toybox", "支持", "不支持", "资源级", "部分支持"),
        "写操作",
        ("AddToy", "添加", "操作级", "*", "支持"),
        ("BendToy", "", "资源级", TEMPLATE, "不支持"),
        id="Chinese",
    ),
    pytest.param(
        (
            ("제품", "CAM 약칭", "콘솔", "태그별 권한 부여", "권한 부여 수준", "IP 제한"),
            ("API", "API 설명", "권한 부여 수준", "6단계 리소스 설명", "IP 제한"),
        ),
        ("장난감 상자", "toybox", "지원", "지원하지 않음", "리소스 수준", "부분 지원"),
        "쓰기 작업",
        ("AddToy", "추가", "작업 수준", "*", "지원"),
        ("BendToy", "", "리소스 수준", TEMPLATE, "미지원"),
        id="Korean",
    ),
    pytest.param(
        (
            ("製品", "CAMでの略称", "コンソール", "タグによる承認", "承認の粒度", "IP制限"),
            ("API", "APIの説明", "承認の粒度", "6セグメントのリソース記述", "IP制限"),
        ),
        ("おもちゃ箱", "toybox", "サポート", "非対応", "リソースレベル", "一部サポート"),
        "書き込み操作",
        ("AddToy", "追加", "操作レベル", "*", "対応"),
        ("BendToy", "", "リソースレベル", TEMPLATE, "サポートされていません"),
        id="Japanese",
    ),
]


@pytest.mark.parametrize(("heads", "product", "heading", "add", "bend"), LANGUAGES)
def test_tables_in_other_languages(
    heads: tuple[Cells, Cells], product: Cells, heading: str, add: Cells, bend: Cells
) -> None:
    reading = read(page(f"<h3>{heading}</h3>{table(heads[1], add, bend)}", product=product, heads=heads))
    assert written(reading) == [(add[0], add[1], *ADD[2:]), BEND]
    assert {row.access.value for row in reading.rows} == {"write"}
    assert reported(reading) == []


def test_markdown_with_tables_in_html_keeps_its_lines() -> None:
    product = (
        "| " + " | ".join(ENGLISH[0]) + " |\n|---|---|---|---|---|---|\n| " + " | ".join(PRODUCT) + " |\n"
    )
    reading = read(f"# Toys\n\n{product}\n### Write operations\n\n{table(ENGLISH[1], ADD, BEND)}\nText\n")
    assert written(reading) == [ADD, BEND]
    assert reported(reading) == []


def test_places_are_lines_of_the_file() -> None:
    damaged = tr(("CastToy", "", "Some level", "*", "Supported"))
    reading = read(page(f"\n\n{WRITE}<table>{HEAD}\n{tr(ADD)}\n{damaged}\n{tr(BEND)}</table>"))
    assert [row.line for row in reading.rows] == [4, 6]
    assert reported(reading) == [("5", "UnreadRow")]


# where the page ends, what is read of it
CUT = [
    pytest.param(f"{WRITE}<table>{HEAD}{tr(ADD)}<tr><td>BendToy</td><td>", [ADD], id="in a row"),
    pytest.param(
        f"{WRITE}<table>{HEAD}{tr(ADD)}{tr(BEND)[:-5]}", [ADD], id="in front of the end tag of a row"
    ),
    pytest.param(f"{WRITE}{table(ENGLISH[1], ADD, BEND)}<!-- more", [ADD, BEND], id="in a comment"),
    pytest.param(f"{WRITE}{table(ENGLISH[1], ADD, BEND)}<script>x", [ADD, BEND], id="in a script"),
    pytest.param(f'{WRITE}{table(ENGLISH[1], ADD, BEND)}<p class="x', [ADD, BEND], id="in a tag"),
]


@pytest.mark.parametrize(("body", "rows"), CUT)
def test_a_page_that_ends_inside_of_something_is_reported(body: str, rows: list[Cells]) -> None:
    reading = read(page(body).removesuffix("</body></html>"))
    assert written(reading) == rows
    assert "CutPage" in {problem.code for problem in reading.problems}


def test_spans_are_bounded() -> None:
    wide = f"<tr><td colspan=99999999 rowspan=99999999>{'x' * 5000}</td></tr>"
    text = page(
        f"{WRITE}<table>{HEAD}{wide}{'<tr><td>a</td></tr>' * 20_000}</table>{WRITE}{table(ENGLISH[1], ADD)}"
    )
    began = time.process_time()
    reading = read(text)
    assert time.process_time() - began < 10
    assert names(reading) == ["AddToy"]
    assert reading.problems


def test_tables_that_are_nested_too_deeply_are_text() -> None:
    reading = read(page(f"{WRITE}{table(ENGLISH[1], ADD)}" + "<table><tr><td>" * 5000))
    assert names(reading) == ["AddToy"]


def test_a_number_of_thousands_of_digits_is_no_character() -> None:
    lines = read_html(f"<html><p>&#{'9' * 5000};&#x{'f' * 5000};&#65;</p></html>").lines
    assert [line.text for line in lines] == ["\ufffd\ufffdA"]


# what is repeated up to a quarter of what a page may have; tests/fuzz/test_growth.py has more, smaller
HOSTILE = ["<!--", "<a b='", "<tr><td>"]


@pytest.mark.heavy
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_large_page_is_read_in_time(piece: str) -> None:
    head = page(f"{WRITE}<table>{HEAD}{tr(ADD)}").encode()
    data = head + piece.encode() * (PAGE_BYTES // 4 // len(piece))
    began = time.process_time()
    read_page(data, "toy.html")
    assert time.process_time() - began < 60
