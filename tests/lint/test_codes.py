"""The table of codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from camguard.lint import CODES, Code, Severity, found
from camguard.lint import codes as codes_module
from tests.lint import (
    test_acceptances,
    test_check_actions,
    test_check_attachments,
    test_check_condition_keys,
    test_check_contradictions,
    test_check_ip_ranges,
    test_check_redundancy,
    test_check_resources,
    test_check_services,
    test_check_style,
)

TABLES = (
    test_acceptances.ROWS,
    test_check_actions.ROWS,
    test_check_actions.JUDGED,
    test_check_attachments.ROWS,
    test_check_condition_keys.ROWS,
    test_check_contradictions.ROWS,
    test_check_ip_ranges.ROWS,
    test_check_redundancy.ROWS,
    test_check_redundancy.ACROSS,
    test_check_resources.ROWS,
    test_check_resources.ACROSS,
    test_check_services.ROWS,
    test_check_style.ROWS,
)


def test_every_code_has_a_row_in_a_test() -> None:
    tested = {str(row.values[0]) for table in TABLES for row in table} | {
        "CG103",
        "CG120",
    }  # which no list can have
    assert tested == set(CODES)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.id)
def test_every_code_explains_itself(code: Code) -> None:
    assert code.title
    assert code.title[0].islower()
    assert code.help.endswith(".")


# What a deny does not deny, and what an allow grants beyond its text.
ERRORS = [
    "CG201",
    "CG203",
    "CG207",
    "CG303",
    "CG304",
    "CG305",
    "CG324",
    "CG402",
    "CG415",
    "CG416",
    "CG431",
    "CG435",
    "CG621",
    "CG701",
]
# What no decision depends on.
STYLE = [
    "CG101",
    "CG102",
    "CG103",
    "CG104",
    "CG105",
    "CG106",
    "CG107",
    "CG108",
    "CG120",
    "CG121",
    "CG210",
    "CG308",
    "CG418",
    "CG419",
    "CG420",
]


@pytest.mark.parametrize(
    ("severity", "codes"),
    [pytest.param(Severity.ERROR, ERRORS, id="errors"), pytest.param(Severity.STYLE, STYLE, id="style")],
)
def test_the_severity_of_every_code_was_judged(severity: Severity, codes: list[str]) -> None:
    assert [code.id for code in CODES.values() if code.severity is severity] == codes


def test_no_code_has_two_rows() -> None:
    text = Path(codes_module.__file__).read_text(encoding="utf-8")
    assert sorted(re.findall(r'Code\("(\w+)"', text)) == sorted(CODES)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.id)
def test_no_code_gives_orders(code: Code) -> None:
    assert not re.search(r"(^|[.:] )(Remove|Use|Write|Add|Replace|Change|Delete)\b", code.help)


@pytest.mark.parametrize(
    ("severity", "least", "reached"),
    [(one, other, i <= j) for i, one in enumerate(Severity) for j, other in enumerate(Severity)],
)
def test_severities_are_ordered(severity: Severity, least: Severity, *, reached: bool) -> None:
    assert severity.reaches(least) is reached


def test_a_finding_asks_what_was_meant() -> None:
    finding = found("CG201", "a.json", "there is no such action", "art:TextToImage")
    assert finding.advice == "there is no such action (did you mean art:TextToImage?)"
    assert found("CG201", "a.json", "there is no such action").advice == "there is no such action"
