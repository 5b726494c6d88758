"""Rows that are cut or broken: told, never guessed; whole ones come out."""

from __future__ import annotations

import pytest

from tests.catalog_import.pages import (
    FILLER,
    OP,
    RES,
    TEMPLATE,
    Lay,
    bordered,
    celled,
    cells,
    cells_lead,
    flat,
    names,
    page,
    pipe,
    pipe_lead,
    read,
    table,
)

GOOD = f"BuyToy x {OP} * Supported"

# lines of a flat table, the names that come out, what is told at which of the lines
DAMAGED = [
    pytest.param(["AddToy Add", GOOD], ["BuyToy"], [(1, "UnreadRow")], id="cut in the description"),
    pytest.param(["AddToy", GOOD], ["BuyToy"], [(1, "UnreadRow")], id="cut in the name"),
    pytest.param([f"AddToy x {OP}", GOOD], ["BuyToy"], [(1, "UnreadRow")], id="cut behind the granularity"),
    pytest.param([f"AddToy x {OP} * not", GOOD], ["BuyToy"], [(1, "UnreadRow")], id="cut in the flag"),
    pytest.param([f"AddToy x {OP} * not"], [], [(1, "UnreadRow")], id="cut in the flag, last of the table"),
    pytest.param(
        [f"AddToy x {RES} {TEMPLATE}", GOOD], ["BuyToy"], [(1, "UnreadRow")], id="no flag behind a template"
    ),
    pytest.param(
        [f"AddToy x {RES} {TEMPLATE}", TEMPLATE, GOOD],
        ["BuyToy"],
        [(1, "UnreadRow")],
        id="no flag behind templates",
    ),
    pytest.param([f"AddToy x {RES} {TEMPLATE}"], [], [(1, "UnreadRow")], id="no flag, last of the table"),
    pytest.param(
        [f"AddToy x {OP} * partially supported"], [], [(1, "UnreadRow")], id="a flag that rows never have"
    ),
    pytest.param([f"Add-Toy x {OP} * Supported"], [], [(1, "UnreadRow")], id="no API name"),
    pytest.param([f"{OP} * Supported"], [], [(1, "UnreadRow")], id="no name at all"),
    pytest.param(
        [f"AddToy x {OP} * {TEMPLATE} Supported"], [], [(1, "UnreadRow")], id="a star beside a template"
    ),
    pytest.param(["AddToy |", GOOD], ["BuyToy"], [(1, "UnreadRow")], id="a border in a flat table"),
    pytest.param(
        [f"AddToy | x | {OP} | * | Supported |", GOOD], ["BuyToy"], [(1, "UnreadRow")], id="another layout"
    ),
    pytest.param(["A", "B", "C", GOOD], ["BuyToy"], [(1, "UnreadRow")], id="neighbours are reported once"),
    pytest.param(
        [f"AddToy x {RES} qcs::a::u:t", "qcs::b Operation level * Supported"],
        [],
        [(1, "UnreadRow")],
        id="a continuation that fits nothing",
    ),
]


@pytest.mark.parametrize(("lines", "come_out", "problems"), DAMAGED)
def test_damaged_flat_rows_are_reported_and_whole_ones_come_out(
    lines: list[str], come_out: list[str], problems: list[tuple[int, str]]
) -> None:
    start = table().count("\n")
    reading = read(table(*lines))
    assert names(reading) == ["Zip", *come_out]
    assert [(int(p.where.rpartition(":")[2]) - start, p.code) for p in reading.problems] == problems


WHOLE = f"BuyToy | x | {OP} | * | Supported |"

DAMAGED_BORDERED = [
    pytest.param(["AddToy | Add", WHOLE], ["BuyToy"], [1], id="cut in the description"),
    pytest.param(["AddToy | Add |", WHOLE], ["BuyToy"], [1], id="cut behind the description"),
    pytest.param(
        ["AddToy |", f"BuyToy | {OP} | * | Supported | |"],
        ["BuyToy"],
        [1],
        id="the next row is no description",
    ),
    pytest.param(
        ["AddToy | Add", f"BuyToy | {OP} | * | Supported | |"], ["BuyToy"], [1], id="nor when it is shifted"
    ),
    pytest.param(["AddToy", WHOLE], ["BuyToy"], [1], id="cut in the name"),
    pytest.param([f"AddToy | x | {OP} | * | not suppo |", WHOLE], ["BuyToy"], [1], id="cut in the flag"),
    pytest.param([f"AddToy | {OP} | * | Supported |", WHOLE], ["BuyToy"], [1], id="a cell is missing"),
    pytest.param(
        ["AddToy | one", f"two | {OP} | * | Supported |", WHOLE],
        ["BuyToy"],
        [1],
        id="broken inside the description",
    ),
    pytest.param([f"AddToy | a | b | {OP} | * | Supported |", WHOLE], ["BuyToy"], [1], id="a cell too many"),
    pytest.param([f"Add Toy | a | {OP} | * | Supported |", WHOLE], ["BuyToy"], [1], id="no API name"),
    pytest.param(
        [f"AddToy | x | {RES} | {TEMPLATE} |", "", "Supported |", WHOLE],
        ["BuyToy"],
        [1, 3],
        id="a blank line in a broken row",
    ),
    pytest.param(
        [f"AddToy | x | {RES} | {TEMPLATE} |", f"AndToy | y | {RES} | {TEMPLATE} |", "Supported |"],
        ["AndToy"],
        [1],
        id="two broken rows, the first one cut",
    ),
    pytest.param(["AddToy | x |", "Supported |"], [], [1], id="a flag too early"),
    pytest.param([f"AddToy | x | {OP} | * | Supported | y |"], ["AddToy"], [1], id="a cell behind the row"),
]


@pytest.mark.parametrize(("lines", "come_out", "problems"), DAMAGED_BORDERED)
def test_damaged_bordered_rows_are_reported_and_whole_ones_come_out(
    lines: list[str], come_out: list[str], problems: list[int]
) -> None:
    start = bordered().count("\n")
    reading = read(bordered(*lines))
    assert names(reading) == ["Zip", *come_out]
    assert [int(p.where.rpartition(":")[2]) - start for p in reading.problems] == problems
    assert {p.code for p in reading.problems} <= {"UnreadRow"}


NEXT = ["BuyToy |", "x |", f"{OP} |", "* |", "Supported |"]

DAMAGED_CELLED = [
    pytest.param(["AddToy |", *NEXT], ["BuyToy"], [1], id="cut behind the name"),
    pytest.param(["AddToy |", "Add |", *NEXT], ["BuyToy"], [1], id="cut behind the description"),
    pytest.param(["AddToy |", "Add", *NEXT], ["BuyToy"], [1], id="cut in the description"),
    pytest.param(
        ["AddToy |", f"{OP} |", "* |", "Supported |", *NEXT], ["BuyToy"], [1], id="an empty cell is missing"
    ),
    pytest.param(["AddToy |", "Add |", f"{OP} |", *NEXT], ["BuyToy"], [1], id="cut behind the granularity"),
    pytest.param(
        ["| AddToy |", "| BuyToy |", *NEXT[2:]], [], [1], id="a row begins where a description should be"
    ),
    pytest.param(["AddToy |", "one", *NEXT[1:], *NEXT], ["BuyToy"], [1], id="broken inside the description"),
    pytest.param(
        ["AddToy |", "x |", f"{OP} |", "* |", "not suppo |", *NEXT], ["BuyToy"], [1], id="cut in the flag"
    ),
]


@pytest.mark.parametrize(("lines", "come_out", "problems"), DAMAGED_CELLED)
def test_damaged_cells_are_reported_and_whole_rows_come_out(
    lines: list[str], come_out: list[str], problems: list[int]
) -> None:
    start = celled().count("\n")
    reading = read(celled(*lines))
    assert names(reading) == ["Zip", *come_out]
    assert [int(p.where.rpartition(":")[2]) - start for p in reading.problems] == problems


# the layout, the text behind the last line end, whether the row of that text counts
LAST = [
    pytest.param(flat, f"AddToy x {OP} * Supported", False, id="a flat row may go on"),
    pytest.param(flat, f"AddToy x {OP} * not", False, id="half a flag"),
    pytest.param(flat, "AddT", False, id="half a name"),
    pytest.param(flat, f"AddToy x {RES} {TEMPLATE}", False, id="a template without flag"),
    pytest.param(pipe, f"AddToy | x | {OP} | * | Supported |", True, id="a border closes the flag"),
    pytest.param(pipe, f"AddToy | x | {OP} | * | Supported", False, id="no border, no flag"),
    pytest.param(pipe, "AddT", False, id="half a bordered name"),
    pytest.param(
        pipe_lead, f"| AddToy | x | {OP} | * | not supported", False, id="no border with a leading one"
    ),
    pytest.param(cells, "AddToy |", False, id="a name alone"),
    pytest.param(cells, f"AddToy |\nx |\n{OP} |\n* |\nSupported |", True, id="a border closes the last cell"),
    pytest.param(cells, f"AddToy |\nx |\n{OP} |\n* |\nnot supported", False, id="the last cell is open"),
    pytest.param(cells_lead, "| Add", False, id="half a name behind a border"),
]


@pytest.mark.parametrize(("lay", "last", "counts"), LAST)
def test_where_the_page_ends_without_a_line_end(lay: Lay, last: str, counts: bool) -> None:
    text = page(("Write operations", [FILLER]), lay=lay).rstrip("\n") + "\n" + last
    reading = read(text)
    assert names(reading) == ["Zip", *(["AddToy"] if counts else [])]
    assert bool(reading.problems) is not counts


CUT_BETWEEN = [
    pytest.param("Read oper", id="in a heading"),
    pytest.param("Read operations", id="behind a heading"),
    pytest.param("Read operations\n\nAPI API Descr", id="in a header row"),
    pytest.param("读操", id="in a Chinese heading"),
]


@pytest.mark.parametrize("rest", CUT_BETWEEN)
def test_a_page_cut_between_its_tables_is_reported(rest: str) -> None:
    reading = read(table() + "\n" + rest)
    assert names(reading) == ["Zip"]
    assert [p.code for p in reading.problems] == ["CutPage"]
