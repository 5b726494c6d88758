"""Runs the tests and proves the invariants of a bundle, and measures which statements decide tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from camguard.analysis.invariants import Broken, prove
from camguard.bundle import Bundle
from camguard.engine.decision import Decision
from camguard.errors import BundleError
from camguard.ipset import format_address
from camguard.policy.values import format_moment
from camguard.policytest.cases import Case, Suite, SuiteFile, parse_top, read_suites, read_top
from camguard.policytest.invariants import Stated, read_invariants


class Failure(NamedTuple):
    """One combination with another decision than the expected one."""

    case: Case
    decision: Decision


class Outcome(NamedTuple):
    """One test that ran."""

    suite: Suite
    failures: tuple[Failure, ...]


class Proof(NamedTuple):
    """One invariant, and why it does not hold; None if it is proved."""

    stated: Stated
    broken: Broken | None


class PolicyTests(NamedTuple):
    """What one file, or several, demand of a bundle."""

    suites: tuple[Suite, ...]
    invariants: tuple[Stated, ...]


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files among `paths`, and the *.toml files in and below the folders among them, sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob("*.toml"))
        else:
            yield path


def read_tests(paths: Iterable[Path], bundle: Bundle) -> PolicyTests:
    """Return the tests and invariants of files, and of the *.toml files in folders.

    Their patterns and names are those of the catalog and the principals of `bundle`.
    Raises BundleError that lists every problem of the first wrong file, each with the number of the table.
    """
    return _tests_of(read_top(path, bundle) for path in find_files(paths))


def parse_tests(files: Mapping[str, bytes], bundle: Bundle) -> PolicyTests:
    """Return the tests and invariants of files by path, as `read_tests` does."""
    return _tests_of(parse_top(content, path, bundle) for path, content in files.items())


def _tests_of(files: Iterable[SuiteFile]) -> PolicyTests:
    suites: list[Suite] = []
    invariants: list[Stated] = []
    for file in files:
        suites += read_suites(file)
        invariants += read_invariants(file)
        if file.reader.problems:
            raise BundleError(*file.reader.problems)
    return PolicyTests(tuple(suites), tuple(invariants))


def failures_of(tests: PolicyTests, bundle: Bundle) -> Iterator[str]:
    """Yield a line for each call that is not decided as expected, and for each invariant that fails."""
    for outcome in (decide_suite(suite, bundle) for suite in tests.suites):
        for failure in outcome.failures:
            wanted, found = failure.case.expected, words_of(failure.decision)
            yield f"{outcome.suite.where}: {failure.case.label}: expected {wanted}, got {found}"
    for proof in (prove_stated(stated, bundle) for stated in tests.invariants):
        if proof.broken is not None:
            yield f"{proof.stated.where}: {words_of_broken(proof.broken)}"


def words_of(decision: Decision) -> str:
    """Return a decision as one line quotes it."""
    by = f" by {', '.join(decision.statements)}" if decision.statements else ""
    return f"{'allow' if decision else 'deny'} ({decision.reason}){by}"


def words_of_broken(broken: Broken) -> str:
    """Return as one line why an invariant does not hold."""
    fault, found = broken.fault, broken.found
    call = f"{broken.principal} {broken.action} from {format_address(fault.places.starts[0])}"
    if found is None:
        on = "; ".join(map(str, fault.answer.conditions()))
        return f"{call} depends on {on}, and no call was found that shows the invariant to be wrong"
    on = ", ".join(each for each in found.call.resources if each and each != "*")
    call += f"{f' on {on}' if on else ''} at {format_moment(found.call.time or 0.0)}"
    if found.other is not None:
        return f"{call}: expected {words_of(found.other)} as the other, got {words_of(found.decision)}"
    return f"{call}: expected {fault.expected}, got {words_of(found.decision)}"


def prove_stated(stated: Stated, bundle: Bundle) -> Proof:
    """Prove one invariant."""
    return Proof(stated, prove(bundle, stated.invariant))


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
