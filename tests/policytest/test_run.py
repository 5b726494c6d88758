"""Policy tests that ran: which expectations hold, and which statements decided a call."""

from __future__ import annotations

from pathlib import Path

import pytest

from camguard.cli import main
from tests.policytest.written import TEST, report_of, write_test

# what an `expect` says besides decision = "allow", whether the test then holds
EXPECTATIONS = [
    pytest.param("", True, id="the decision alone"),
    pytest.param('reason = "allowed"', True, id="the reason"),
    pytest.param('reason = "no_allow"', False, id="another reason"),
    pytest.param('statements = ["aiart-create#0"]', True, id="the statements"),
    pytest.param('statements = ["aiart-full#0"]', False, id="other statements"),
]


@pytest.mark.parametrize(("more", "holds"), EXPECTATIONS)
def test_expectations(more: str, holds: bool, folder: Path) -> None:
    deny = TEST.replace('"allow"', '"deny"')
    write_test(folder, f'{deny}\n[[test.expect]]\nips = ["10.1.0.1"]\ndecision = "allow"\n{more}\n')
    assert main(["test"]) == (0 if holds else 4)


def test_statements_that_never_decided_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(folder, TEST)
    assert main(["test", "--coverage", "--format", "json"]) == 0
    never = report_of(capsys)["never_decided"]
    assert "aiart-create#0" not in never
    assert "year-end-freeze#0" in never
    assert main(["test", "--min-coverage", "50"]) == 4
    assert "coverage is 11.8 %, below 50 %" in capsys.readouterr().err
