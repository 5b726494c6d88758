"""Tables that programs draw with characters, and text that only looks like one."""

from __future__ import annotations

import pytest

from camguard.catalog_import.drawn_tables import redraw
from camguard.catalog_import.lines import read_lines
from camguard.catalog_import.page import read_page
from tests.catalog_import.pages import names

PRODUCT = """\
+---------+--------+-----------+---------------+-----------------+-----------+
| Product | Abbrev | Console   | Authorization | Authorization   | IP Re     |
|         | iation |           | by Tag        | Granularity     | striction |
|         | in CAM |           |               |                 |           |
+=========+========+===========+===============+=================+===========+
| Toy Box | toybox | Supported | not supported | Operation level | Supported |
+---------+--------+-----------+---------------+-----------------+-----------+

Write operations

"""
ACTIONS = """\
+--------+-------------+-----------+-------------+-----------+
| API    | API         | Autho     | Six-segment | IP        |
|        | Description | rization  | Resource    | Restri    |
|        |             | Gran      | Description | ction     |
|        |             | ularity   |             |           |
+========+=============+===========+=============+===========+
"""
RULE = "+--------+-------------+-----------+-------------+-----------+\n"
ADD = """\
| AddT   | adds a very | Operation | *           | Supported |
| oy     | small toy   | level     |             |           |
"""
BUY = """\
| BuyToy |             | Operation | *           | Supported |
|        |             | level     |             |           |
"""


def test_wrapped_cells_are_joined_by_what_they_are() -> None:
    reading = read_page((PRODUCT + ACTIONS + ADD + RULE + BUY + RULE + "\n").encode(), "toys")
    assert reading.problems == ()
    assert reading.service is not None
    assert reading.service.title == "Toy Box"
    assert [(row.name, row.description) for row in reading.rows] == [
        ("AddToy", "adds a very small toy"),
        ("BuyToy", ""),
    ]


def test_rows_between_two_rules_are_rows_if_each_line_is_one() -> None:
    rows = "".join(
        f"| {name} | x           | 操作级    | *           | Supported |\n" for name in ("AddToy", "BuyToy")
    )
    reading = read_page((PRODUCT + ACTIONS + rows + RULE + "\n").encode(), "toys")
    assert names(reading) == ["AddToy", "BuyToy"]


def test_a_row_without_the_rule_below_it_is_not_joined() -> None:
    whole = PRODUCT + ACTIONS + ADD + RULE
    cut = read_page((whole + BUY.splitlines(keepends=True)[0]).encode(), "toys")
    assert names(cut) == ["AddToy"]
    assert [problem.code for problem in cut.problems] == ["UnreadRow"]


# text of which nothing is redrawn
OTHER = [
    pytest.param("+---+---+\n| a | b |\n+---+---+\n", id="another table"),
    pytest.param("-----\nwords\n-----\n", id="lines around words"),
    pytest.param("--- ---\na   b\n\n--- ---\n", id="another table between dashes"),
    pytest.param("a  b  c\n1  2  3\n", id="columns"),
    pytest.param("API |\nAPI Description |\nwords\n", id="the beginning of another layout"),
    pytest.param("-----", id="nothing but dashes"),
]


@pytest.mark.parametrize("text", OTHER)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redraw(read_lines(text)) == read_lines(text)


def test_a_line_of_a_drawn_table_has_the_number_of_its_first_line() -> None:
    lines = redraw(read_lines(PRODUCT + ACTIONS + ADD + RULE + BUY + RULE + "\n"))
    found = {line.text.split(" ")[1]: line.number for line in lines if line.text.startswith("|")}
    start = PRODUCT.count("\n") + ACTIONS.count("\n")
    assert (found["AddToy"], found["BuyToy"]) == (start + 1, start + 4)
