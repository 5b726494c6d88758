"""The fault programs in their quick form; `python benchmarks/faults/run.py` takes its time."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("aiohttp")

from benchmarks.faults.report import Report
from benchmarks.faults.run import PROGRAMS, inject

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


@linux
@pytest.mark.heavy
@pytest.mark.filterwarnings("default")  # of what a fault leaves behind in this process
@pytest.mark.parametrize("name", PROGRAMS)
def test_fault(name: str) -> None:
    report = inject(name, quick=True, silent=True)
    assert report.failed == [], "\n".join(report.lines)


def test_a_claim_that_does_not_hold_is_told() -> None:
    report = Report("nothing", silent=True)
    report.holds("the sun is green", true=False)
    report.holds("it is not", true=True)
    assert (report.failed, report.lines) == (
        ["the sun is green"],
        ["  FAIL the sun is green", "  PASS it is not"],
    )
