"""Policy tests: TOML files of a bundle that list calls, and the decision that is expected about each.

`cases` reads the files, and `run` decides every case. `camguard test` prints the outcome.
"""

from __future__ import annotations

from camguard.policytest.cases import Case, Suite, find_principal, read_suites
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
]
