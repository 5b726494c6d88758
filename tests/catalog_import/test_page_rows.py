"""Rows that are unusual and complete."""

from __future__ import annotations

import pytest

from tests.catalog_import.pages import (
    FILLER,
    OP,
    RES,
    TEMPLATE,
    Cells,
    bordered,
    celled,
    names,
    read,
    rows_of,
    table,
)

# a flat line, the row's cells
FLAT_ROWS = [
    pytest.param(
        f"AddToy sets {OP} * Supported {OP} * not supported",
        ("AddToy", f"sets {OP} * Supported", OP, "*", "not supported"),
        id="a description that ends in a whole tail",
    ),
    pytest.param(
        f"AddToy {OP} {OP} * Supported",
        ("AddToy", OP, OP, "*", "Supported"),
        id="a granularity as description",
    ),
    pytest.param(
        f"AddToy from {OP} * to {RES} {TEMPLATE} Supported",
        ("AddToy", f"from {OP} * to", RES, TEMPLATE, "Supported"),
        id="the border is the last granularity that a resource follows",
    ),
    pytest.param(f"AddToy {OP} * Supported", ("AddToy", "", OP, "*", "Supported"), id="no description"),
    pytest.param(
        f"AddToy - {OP} * Supported", ("AddToy", "", OP, "*", "Supported"), id="a dash as description"
    ),
    pytest.param(
        f"Api Api {OP} * Supported", ("Api", "Api", OP, "*", "Supported"), id="an API that is called Api"
    ),
    pytest.param(
        f"Supported not supported {OP} * Supported",
        ("Supported", "not supported", OP, "*", "Supported"),
        id="flags as words",
    ),
    pytest.param(f"a1 x {OP} * Not supported", ("a1", "x", OP, "*", "not supported"), id="a capital Not"),
    pytest.param(rf"AddToy x {OP} \* Supported", ("AddToy", "x", OP, "*", "Supported"), id="an escaped star"),
    pytest.param(
        rf"AddToy the toy\'s and the box\\\'s {OP} * Supported",
        ("AddToy", "the toy's and the box's", OP, "*", "Supported"),
        id="runs of backslashes before a quote",
    ),
    pytest.param(
        f"AddToy the toy\u2019s {OP} * Supported",
        ("AddToy", "the toy\u2019s", OP, "*", "Supported"),
        id="a curly quote",
    ),
    pytest.param(
        f"AddToy a | b {OP} * Supported",
        ("AddToy", "a | b", OP, "*", "Supported"),
        id="a border in a flat line",
    ),
    pytest.param(
        f"AddToy \x1b[31mred\u202e {OP} * Supported",
        ("AddToy", "[31mred", OP, "*", "Supported"),
        id="terminal commands",
    ),
    pytest.param(
        "AddToy x 服务级 * 支持",
        ("AddToy", "x", "Service level", "*", "Supported"),
        id="a service level row",
    ),
    pytest.param(
        f"AddToy x {RES} qcs::toybox::uin/${{uin}}: toy/$toyId Supported",
        ("AddToy", "x", RES, "qcs::toybox::uin/${uin}: toy/$toyId", "Supported"),
        id="a blank inside a template",
    ),
    pytest.param(
        f"AddToy x {RES} qcs::a::uin/$u:t/$idqcs::b::uin/$u:t/$id Supported",
        ("AddToy", "x", RES, "qcs::a::uin/$u:t/$id qcs::b::uin/$u:t/$id", "Supported"),
        id="templates glued together",
    ),
    pytest.param(
        f"AddToy x {RES} qcs::a::uin/$u:t/*\nqcs::b::uin/$u:-\nqcs::c::uin/$u:* Supported",
        ("AddToy", "x", RES, "qcs::a::uin/$u:t/* qcs::b::uin/$u:- qcs::c::uin/$u:*", "Supported"),
        id="templates on lines of their own",
    ),
    pytest.param(
        f"AddToy x {RES} qcs::a::uin/$u:t/$id\nnot supported",
        ("AddToy", "x", RES, "qcs::a::uin/$u:t/$id", "not supported"),
        id="the flag on a line of its own",
    ),
    pytest.param(
        f"AddToy x {RES} qcs::a::uin/$u:t/$a<br>qcs::a::uin/$u:t/$b Supported",
        ("AddToy", "x", RES, "qcs::a::uin/$u:t/$a qcs::a::uin/$u:t/$b", "Supported"),
        id="templates divided by a tag",
    ),
]


@pytest.mark.parametrize(("line", "row"), FLAT_ROWS)
def test_flat_rows(line: str, row: Cells) -> None:
    reading = read(table(line))
    assert [seen.cells for seen in rows_of(reading)] == [FILLER, row]
    assert reading.problems == ()


# lines of a pipe page, the row's cells
BORDERED_ROWS = [
    pytest.param(
        [f"AddToy | {OP} | * | Supported | |"], ("AddToy", "", OP, "*", "Supported"), id="shifted cells"
    ),
    pytest.param(
        [f"| AddToy | | {OP} | * | Supported |"], ("AddToy", "", OP, "*", "Supported"), id="an empty cell"
    ),
    pytest.param(
        [f"AddToy | - | {OP} | \\* | Supported |"], ("AddToy", "", OP, "*", "Supported"), id="a dash"
    ),
    pytest.param(
        [rf"AddToy | a \| b | {OP} | * | Supported |"],
        ("AddToy", "a | b", OP, "*", "Supported"),
        id="an escaped border",
    ),
    pytest.param(
        [f"AddToy | {OP} | {OP} | * | Supported |"],
        ("AddToy", OP, OP, "*", "Supported"),
        id="a granularity as description",
    ),
    pytest.param(
        [f"AddToy | x | {OP} | * | Supported"],
        ("AddToy", "x", OP, "*", "Supported"),
        id="a line end for the last border",
    ),
    pytest.param(
        [f"AddToy | x | {RES} | qcs::a::u/$u:a qcs::a::u/$u:b |", "Supported |"],
        ("AddToy", "x", RES, "qcs::a::u/$u:a qcs::a::u/$u:b", "Supported"),
        id="broken behind the resources",
    ),
    pytest.param(
        ["AddToy | x |", f"{RES} | qcs::a::u/$u:a qcs::a::u/$u:b |", "Supported |"],
        ("AddToy", "x", RES, "qcs::a::u/$u:a qcs::a::u/$u:b", "Supported"),
        id="broken twice",
    ),
    pytest.param(
        [f"AddToy | {RES} | qcs::a::u/$u:a |", "Supported | |"],
        ("AddToy", "", RES, "qcs::a::u/$u:a", "Supported"),
        id="broken and shifted",
    ),
    pytest.param(
        [f"AddToy | x | {RES} | qcs::a::u/$u:a", "qcs::a::u/$u:b | Supported |"],
        ("AddToy", "x", RES, "qcs::a::u/$u:a qcs::a::u/$u:b", "Supported"),
        id="a line for each template",
    ),
    pytest.param(
        [f"AddToy | {RES} | qcs::cvm::uin/$uin: i/$id | Supported | |"],
        ("AddToy", "", RES, "qcs::cvm::uin/$uin: i/$id", "Supported"),
        id="a template of another service, with a blank",
    ),
]


@pytest.mark.parametrize(("lines", "row"), BORDERED_ROWS)
def test_bordered_rows(lines: list[str], row: Cells) -> None:
    reading = read(bordered(*lines))
    assert [seen.cells for seen in rows_of(reading)] == [FILLER, row]
    assert reading.problems == ()


def test_two_rows_on_one_line_are_two() -> None:
    reading = read(bordered(f"AddToy | x | {OP} | * | Supported | BuyToy | {OP} | * | Supported | |"))
    assert names(reading) == ["Zip", "AddToy", "BuyToy"]


# lines of a page with a cell a line, the row's cells
CELLED_ROWS = [
    pytest.param(
        ["AddToy |", "|", f"{OP} |", "* |", "Supported |"],
        ("AddToy", "", OP, "*", "Supported"),
        id="a bare border",
    ),
    pytest.param(
        ["AddToy |", "- |", f"{OP} |", "* |", "Supported |"],
        ("AddToy", "", OP, "*", "Supported"),
        id="a dash",
    ),
    pytest.param(
        ["AddToy |", "", "x |", f"{OP} |", "", "* |", "Supported |"],
        ("AddToy", "x", OP, "*", "Supported"),
        id="blank lines between",
    ),
    pytest.param(
        ["| AddToy |", "x |", f"{RES} |", "qcs::a::u/$u:a", "qcs::a::u/$u:b |", "Supported |"],
        ("AddToy", "x", RES, "qcs::a::u/$u:a qcs::a::u/$u:b", "Supported"),
        id="a line for each template",
    ),
]


@pytest.mark.parametrize(("lines", "row"), CELLED_ROWS)
def test_celled_rows(lines: list[str], row: Cells) -> None:
    reading = read(celled(*lines))
    assert [seen.cells for seen in rows_of(reading)] == [FILLER, row]
    assert reading.problems == ()
