"""Policy tests: TOML files of a bundle with calls that are decided, and invariants that are proved.

`cases` and `invariants` read the files, and `run` decides every case and proves every invariant. `camguard
test` prints the outcome.
"""

from __future__ import annotations

from camguard.policytest.cases import Case, Suite, find_principal
from camguard.policytest.invariants import Stated
from camguard.policytest.run import (
    Failure,
    Outcome,
    PolicyTests,
    Proof,
    coverage,
    decide_suite,
    failures_of,
    never_decided,
    parse_tests,
    prove_stated,
    read_tests,
)

__all__ = [
    "Case",
    "Failure",
    "Outcome",
    "PolicyTests",
    "Proof",
    "Stated",
    "Suite",
    "coverage",
    "decide_suite",
    "failures_of",
    "find_principal",
    "never_decided",
    "parse_tests",
    "prove_stated",
    "read_tests",
]
