"""Runs policy tests against a bundle, and measures which statements decide them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from camguard.bundle import Bundle
from camguard.engine.decision import Decision
from camguard.policytest.cases import Case, Suite


class Failure(NamedTuple):
    """One combination with another decision than the expected one."""

    case: Case
    decision: Decision


class Outcome(NamedTuple):
    """One test that ran."""

    suite: Suite
    failures: tuple[Failure, ...]


def decide_suite(suite: Suite, bundle: Bundle) -> Outcome:
    """Decide every case of a test."""
    decided = ((case, bundle.decide(case.call)) for case in suite.cases)
    return Outcome(
        suite,
        tuple(Failure(case, decision) for case, decision in decided if case.expected.differs_from(decision)),
    )


def never_decided(suites: Iterable[Suite], bundle: Bundle) -> list[str]:
    """Return the ids of the statements that decided no case, policies by name.

    A call that passes was decided by every allow that holds, in the layers that limit it too.
    """
    decided: set[str] = set()
    for case in (case for suite in suites for case in suite.cases):
        why = bundle.explain(case.call)
        decided.update(why.decision.statements)
        if why.decision:
            decided.update(note.id for note in why.statements if note.counts)
    every = [each.id for _, policy in sorted(bundle.policies.items()) for each in policy.statements]
    return [each for each in every if each not in decided]


def coverage(bundle: Bundle, never: Sequence[str]) -> float:
    """Return the percentage of statements that decided a case; 100 where there is no statement.

    never: what `never_decided` returned.
    """
    total = bundle.statement_count
    return 100.0 * (total - len(never)) / total if total else 100.0
