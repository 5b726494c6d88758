"""The fault programs in their quick form; `python -m tests.faults` runs the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httptools")

from tests.faults.programs import PROGRAMS, inject
from tests.faults.report import Report

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


@linux
@pytest.mark.heavy
@pytest.mark.filterwarnings("default")  # of what a fault leaves behind in this process
@pytest.mark.parametrize("name", PROGRAMS)
def test_fault(name: str) -> None:
    report = inject(name, quick=True, silent=True)
    assert report.failed == [], "\n".join(report.lines)


def test_a_claim_that_does_not_hold_is_reported() -> None:
    report = Report("nothing", silent=True)
    report.holds("memory stays flat", true=False)
    report.holds("no call fails", true=True)
    assert (report.failed, report.lines) == (
        ["memory stays flat"],
        ["  FAIL memory stays flat", "  PASS no call fails"],
    )
