"""Tables whose columns are only apart: a row is found by its name and by how its cells are aligned."""

from __future__ import annotations

import pytest

from camguard.catalog_import.aligned_tables import read_aligned
from camguard.catalog_import.lines import read_lines

HEAD = """\
                      API     Authorization Six-segment      IP
        API       Description  Granularity    Resource   Restriction
                                            Description
"""


def rows(text: str, *, closed: bool = True) -> list[tuple[int, str]] | None:
    drawn = read_aligned(read_lines(HEAD + text), closed=closed)
    return None if drawn is None else [(line.number - 3, line.text) for line in drawn[1:]]


ADD = (
    "AddToy            adds a toy  Operation     *           Supported\n                              level\n"
)
BUY = """\
                  buys one
                  of the      Operation                 not
BuyToy            largest     level         *           supported
                  toys that
                  exist
"""


def test_cells_in_the_middle_of_their_rows() -> None:
    assert rows(ADD + BUY + ADD.replace("Add", "Cut")) == [
        (1, "| AddToy | adds a toy | operation level | * | supported |"),
        (3, "| BuyToy | buys one of the largest toys that exist | operation level | * | Not Supported |"),
        (8, "| CutToy | adds a toy | operation level | * | supported |"),
    ]


def test_cells_at_the_top_of_their_rows() -> None:
    top = """\
AddToy            adds one    Operation     *           Supported
                  of the      level
                  smallest
BuyToy            buys one    Operation     *           Supported
                              level
"""
    assert rows(top) == [
        (1, "| AddToy | adds one of the smallest | operation level | * | supported |"),
        (4, "| BuyToy | buys one | operation level | * | supported |"),
    ]


def test_templates_are_joined_without_blanks() -> None:
    text = """\
                              Resource      qcs::a::uin/$
AddToy            adds        level         {uin}:toy/$     Supported
                                            {id}
"""
    head = HEAD.replace("segment      IP", "segment          IP").replace("Resource   R", "Resource       R")
    drawn = read_aligned(read_lines(head + text), closed=True)
    assert drawn is not None
    assert drawn[1].text == "| AddToy | adds | resource level | qcs::a::uin/${uin}:toy/${id} | supported |"


def test_of_a_table_that_may_go_on_the_last_row_is_not_read_nor_the_one_that_it_bounds() -> None:
    found = rows(ADD + ADD.replace("Add", "Buy") + ADD.replace("Add", "Cut"), closed=False)
    assert found is not None
    assert [text.startswith("|") for _, text in found] == [True, False, False, False, False]


def test_rows_above_a_damaged_one_are_read_but_for_the_last() -> None:
    found = rows(
        ADD + ADD.replace("Add", "Buy") + ADD.replace("Add", "Cut").replace("Supported", "Supp") + ADD
    )
    assert found is not None
    assert [text.startswith("|") for _, text in found] == [True] + [False] * 6


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("words\nand words\n", id="words"),
        pytest.param(HEAD.replace("Granularity", "Grain"), id="another header row"),
    ],
)
def test_other_text_is_no_table(text: str) -> None:
    lines = read_lines(text + ADD)
    assert read_aligned(lines, closed=True) is None
