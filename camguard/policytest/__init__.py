"""Policy tests: what a bundle must allow and what it must not, as TOML files beside the bundle.

`cases` reads the files, `run` decides every case. `camguard test` prints the outcome.
"""

from __future__ import annotations

from camguard.policytest.cases import Case, Suite, find_principal, read_suites, shown
from camguard.policytest.run import Failure, Outcome, coverage, decide_suite, never_decided

__all__ = [
    "Case",
    "Failure",
    "Outcome",
    "Suite",
    "coverage",
    "decide_suite",
    "find_principal",
    "never_decided",
    "read_suites",
    "shown",
]
