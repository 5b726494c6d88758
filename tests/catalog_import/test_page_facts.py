"""What a page says as a whole, and when it is refused."""

from __future__ import annotations

from hashlib import sha256

import pytest

from camguard.catalog_import.page import read_page
from camguard.files import PAGE_BYTES
from tests.catalog_import.pages import (
    ENGLISH,
    FILLER,
    OP,
    PRODUCT,
    RES,
    TEMPLATE,
    cells,
    flat,
    names,
    page,
    pipe,
    read,
    reported,
    table,
)


def test_names_that_differ_by_case_only_are_two_actions() -> None:
    reading = read(table(f"DeleteToys a {OP} * Supported", f"Deletetoys b {OP} * Supported"))
    assert reading.service is not None
    assert {"DeleteToys", "Deletetoys"} <= set(reading.service.actions)
    assert reported(reading) == []


def test_a_name_that_begins_another_is_its_own() -> None:
    reading = read(table(f"CloseToy a {OP} * Supported", f"CloseToyr b {OP} * Supported"))
    assert names(reading) == ["Zip", "CloseToy", "CloseToyr"]


SOME = "qcs::toybox::uin/${uin}:toy/$a"
OTHER = "qcs::toybox::uin/${uin}:box/$b"

# two rows of one name, what the action has: resources, unreadable, granularity, restriction; what differs
TWICE = [
    pytest.param(
        (f"{RES} {SOME} Supported", f"{RES} {OTHER} Supported"),
        ((SOME, OTHER), (), "resource", True),
        "resources",
        id="templates are united",
    ),
    pytest.param(
        (f"{RES} {SOME} Supported", f"{RES} {SOME} Supported"),
        ((SOME,), (), "resource", True),
        "all alike",
        id="all alike",
    ),
    pytest.param(
        (f"{OP} * Supported", f"{RES} {SOME} Supported"),
        (("*", SOME), (), "resource", True),
        "granularity, resources",
        id="the finest granularity",
    ),
    pytest.param(
        (f"{OP} * Supported", f"{OP} * not supported"),
        (("*",), (), "operation", False),
        "ip_restriction",
        id="a restriction needs every row",
    ),
    pytest.param(
        (f"{RES} qcs::bad Supported", f"{RES} {SOME} Supported"),
        ((), ("qcs::bad", SOME), "resource", True),
        "resources",
        id="one bad template spoils all",
    ),
]


@pytest.mark.parametrize(("lines", "facts", "differ"), TWICE)
def test_one_name_twice_is_one_action_and_a_note(
    lines: tuple[str, str], facts: tuple[object, ...], differ: str
) -> None:
    reading = read(table(*(f"AddToy {line}" for line in lines)))
    assert names(reading) == ["Zip", "AddToy", "AddToy"]
    assert reading.service is not None
    action = reading.service.actions["AddToy"]
    assert (action.resources, action.unreadable, action.granularity, action.ip_restriction) == facts
    note = next(note for note in reading.notes if note.code == "DuplicateAction")
    assert differ in note.message
    assert reading.problems == ()


def test_one_name_in_two_sections_keeps_the_first() -> None:
    rows = [("AddToy", "", OP, "*", "Supported")]
    reading = read(page(("Write operations", rows), ("Read operations", [*rows, FILLER])))
    assert reading.service is not None
    assert reading.service.actions["AddToy"].access == "write"
    assert "they differ in access" in reading.notes[0].message


# a granularity and a resource cell
MALFORMED = [
    pytest.param(RES, "qcs::dc::uin/${Uin}/dcx/${dcxId}", id="five segments"),
    pytest.param(RES, "qcs:::r:a:toy/$id", id="no service"),
    pytest.param(RES, "qcs::toybox:r:a:", id="no resource"),
    pytest.param(OP, TEMPLATE, id="a resource at operation level"),
]


@pytest.mark.parametrize(("level", "template"), MALFORMED)
def test_a_malformed_template_is_reported_and_kept_and_lets_nothing_pass(level: str, template: str) -> None:
    reading = read(table(f"AddToy x {level} {template} Supported"))
    assert reading.service is not None
    action = reading.service.actions["AddToy"]
    assert (action.resources, action.unreadable) == ((), (template,))
    assert [note.code for note in reading.notes] == ["MalformedTemplate"]
    assert template in reading.notes[0].message


FLAGS_OF = {"all": ["Supported"] * 2, "some": ["Supported", "not supported"], "none": ["not supported"] * 2}

# what the product row says, which rows support IP restriction, whether that is a contradiction
SUMMARIES = [
    pytest.param("Supported", "all", False, id="supported: all"),
    pytest.param("Supported", "some", True, id="supported: not if some"),
    pytest.param("Supported", "none", True, id="supported: not if none"),
    pytest.param("Partially supported", "some", False, id="partially: some"),
    pytest.param("Partially supported", "all", True, id="partially: not if all"),
    pytest.param("not supported", "none", False, id="unsupported: none"),
    pytest.param("not supported", "some", True, id="unsupported: not if some"),
]


@pytest.mark.parametrize(("says", "which", "contradicts"), SUMMARIES)
def test_the_product_row_is_checked_against_its_rows(says: str, which: str, contradicts: bool) -> None:
    rows = [(f"Do{i}", "", OP, "*", flag) for i, flag in enumerate(FLAGS_OF[which])]
    product = (*PRODUCT[:4], OP, says)
    reading = read(page(("Write operations", rows), product=product))
    assert [note.code for note in reading.notes] == ["IpSummary"] * contradicts
    assert reading.problems == ()


def test_a_resource_level_product_without_such_rows_is_doubtful() -> None:
    rows = [("Do1", "", OP, "*", "Supported"), ("Do2", "", OP, "*", "not supported")]
    assert [note.code for note in read(page(("Write operations", rows))).notes] == ["GranularitySummary"]


def test_an_operation_level_product_may_hold_resource_level_rows() -> None:
    rows = [FILLER, ("Do2", "", OP, "*", "Supported")]
    assert reported(read(page(("Write operations", rows), product=(*PRODUCT[:4], OP, PRODUCT[5])))) == []


# a text, the code and a part of what is said
REFUSED = [
    pytest.param("", "NoCatalogPage", "is empty", id="nothing"),
    pytest.param(
        "Registry\nLast updated: 2024-01-01 00:00:00\n<td>AddToy<br>adds</td>\n",
        "NoCatalogPage",
        "'Registry' is no",
        id="a product's manual",
    ),
    pytest.param(flat([ENGLISH[1], FILLER]), "NoCatalogPage", "no table of products", id="API tables alone"),
    pytest.param(
        "Product Name Abbreviation Authorization Granularity\nToys TOYS Resource-level\n",
        "NoCatalogPage",
        "",
        id="an older product page",
    ),
    pytest.param("API |\nAbbreviation |\n" * 4, "NoCatalogPage", "", id="a header row that goes astray"),
    pytest.param(
        flat([ENGLISH[0]]), "NoProductRow", "no complete product row", id="nothing below the header"
    ),
    pytest.param(
        flat([ENGLISH[0]]) + "Toys toybox Supported not supported Resource level Part\n",
        "NoProductRow",
        "",
        id="a cut product row",
    ),
    pytest.param(
        flat([ENGLISH[0]]) + "Toys toybox Supported not supported Resource level Supported",
        "NoProductRow",
        "",
        id="a product row that may go on",
    ),
    pytest.param(
        flat([ENGLISH[0]]) + "Toys Toybox Supported not supported Resource level Supported\n",
        "NoProductRow",
        "",
        id="a capital in the abbreviation",
    ),
    pytest.param(
        flat([ENGLISH[0]]) + "toybox Supported not supported Resource level Supported\n",
        "NoProductRow",
        "",
        id="no title",
    ),
    pytest.param(
        pipe([ENGLISH[0]]) + "Toys | toybox | Supported | Supported |\n",
        "NoProductRow",
        "",
        id="too few cells",
    ),
    pytest.param(
        pipe([ENGLISH[0]]) + "Toys | toybox | Supported | Supported | Resource level | Supported",
        "NoProductRow",
        "",
        id="an open last cell",
    ),
    pytest.param(
        pipe([ENGLISH[0]]) + "Toys | toybox | Supported | Supported | Resource level | Supported | x |\n",
        "NoProductRow",
        "",
        id="too many cells",
    ),
    pytest.param(
        pipe([ENGLISH[0]]) + "Toys | toybox | yes | Supported | Resource level | Supported |\n",
        "NoProductRow",
        "",
        id="a word that is no flag",
    ),
    pytest.param(cells([ENGLISH[0], PRODUCT[:5]]), "NoProductRow", "", id="five cells of six"),
    pytest.param("\0", "NoCatalogPage", "not text", id="no text"),
    pytest.param("x" * (PAGE_BYTES + 1), "NoCatalogPage", "larger than", id="too large"),
]


@pytest.mark.parametrize(("text", "code", "says"), REFUSED)
def test_a_page_without_product_row_is_refused_by_name(text: str, code: str, says: str) -> None:
    reading = read(text)
    assert (reading.service, reading.rows) == (None, ())
    assert [problem.code for problem in reading.problems] == [code]
    assert reading.problems[0].where.startswith("toy.txt")
    assert says in reading.problems[0].message


def test_a_product_row_may_break_between_cells() -> None:
    text = "Toys | toybox | Supported |\nSupported | Operation level | Supported |\n"
    service = read(pipe([ENGLISH[0]]) + text).service
    assert service is not None
    assert service.name == "toybox"


def test_a_page_without_rows_is_reported() -> None:
    reading = read(page())
    assert reading.service is not None
    assert [problem.code for problem in reading.problems] == ["NoRows"]


def test_a_service_level_product_needs_no_rows() -> None:
    reading = read(page(product=(*PRODUCT[:4], "Service level", PRODUCT[5])))
    assert reading.service is not None
    assert reported(reading) == []


def test_nothing_is_read_below_a_second_product_row() -> None:
    reading = read(table() + flat([ENGLISH[0], PRODUCT, *[ENGLISH[1], ("AddToy", "", OP, "*", "Supported")]]))
    assert names(reading) == ["Zip"]
    assert [problem.code for problem in reading.problems] == ["SecondProduct"]


def test_bytes_that_are_no_utf8_are_reported_with_their_place() -> None:
    raw = table(f"AddToy x {OP} * Supported").encode().replace(b"AddToy x", b"AddToy \xff")
    reading = read_page(raw, "toy.txt")
    assert names(reading) == ["Zip", "AddToy"]
    assert reported(reading) == [(str(raw[: raw.index(b"\xff")].count(b"\n") + 1), "NotUtf8")]


def test_long_lines_are_quoted_in_part() -> None:
    message = read(table("x" * 500, f"AddToy {OP} * Supported")).problems[0].message
    assert len(message) < 120


def test_the_digest_is_of_the_bytes_as_they_were_saved() -> None:
    raw = table().replace("\n", "\r\n").encode()
    service = read_page(raw, "toy.txt").service
    assert service is not None
    assert service.pages[0].sha256 == sha256(raw).hexdigest()
