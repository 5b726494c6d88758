"""The table of codes."""

from __future__ import annotations

import pytest

from camguard.lint import CODES, Code, Severity
from tests.lint import (
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
    test_check_actions.ROWS,
    test_check_attachments.ROWS,
    test_check_condition_keys.ROWS,
    test_check_contradictions.ROWS,
    test_check_ip_ranges.ROWS,
    test_check_redundancy.ROWS,
    test_check_redundancy.ACROSS,
    test_check_resources.ROWS,
    test_check_services.ROWS,
    test_check_style.ROWS,
)


def test_every_code_has_a_row_in_a_test() -> None:
    tested = {str(row.values[0]) for table in TABLES for row in table} | {"CG103"}  # which no list can have
    assert tested == set(CODES)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.id)
def test_every_code_explains_itself(code: Code) -> None:
    assert code.title
    assert code.title[0].islower()
    assert code.help.endswith(".")


def test_errors_are_these_and_no_others() -> None:
    errors = {code.id for code in CODES.values() if code.severity is Severity.ERROR}
    assert errors == {"CG201", "CG203", "CG207", "CG305", "CG402", "CG415", "CG416"}
