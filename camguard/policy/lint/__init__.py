"""What is doubtful in a policy that loads: findings with a code, a place, and what to write instead.

Rule 1: a check is a row of CHECKS (of a statement) or of ACROSS (of a document); what it finds is a row
        of CODES.
Rule 2: nothing is raised on a policy that was parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from camguard.catalog.model import Catalog
from camguard.policy.lint import covering, excluding, naming, ranges, reaching, supplying, writing
from camguard.policy.lint.codes import CODES, found
from camguard.policy.lint.finding import Code, Finding, Severity
from camguard.policy.lint.roster import roster_of
from camguard.policy.lint.spots import Sheet, read_sheet
from camguard.policy.lint.subject import Subject, make_subject
from camguard.policy.model import Policy

__all__ = ["CODES", "Code", "Finding", "Severity", "errors", "found", "lint"]

CHECKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    writing.elements,
    writing.prefixes,
    writing.segments,
    writing.old_keys,
    naming.names,
    naming.nothing_denied,
    naming.single_actions,
    naming.covered,
    reaching.beside_star,
    reaching.written_twice,
    reaching.reach,
    supplying.negations,
    supplying.absences,
    supplying.tags,
    supplying.variables,
    supplying.values,
    ranges.ranges,
    excluding.exclusions,
    covering.everything,
)
ACROSS: tuple[Callable[[Sequence[Subject]], Iterator[Finding]], ...] = (
    supplying.unsupplied,
    covering.covered,
)


# The checks that may find an error; a load runs no others.
STOPPING = (naming.names, naming.nothing_denied, reaching.reach, ranges.ranges, excluding.exclusions)


def lint(policy: Policy, catalog: Catalog, *, ip_support: str = "catalog") -> Iterator[Finding]:
    """Yield the findings of one policy: of the document, then of each statement, then across them.

    ip_support: the setting; with "gateway" the source address is judged for every action.
    """
    sheet = read_sheet(policy)
    yield from writing.check_document(policy.source, sheet)
    subjects = _subjects(policy, sheet, catalog, ip_support)
    for subject in subjects:
        for check in CHECKS:
            yield from check(subject)
    for across in ACROSS:
        yield from across(subjects)


def errors(policy: Policy, catalog: Catalog, *, ip_support: str = "catalog") -> Iterator[Finding]:
    """Yield of `lint` only what stops activation, in a fraction of the time."""
    for subject in _subjects(policy, read_sheet(policy), catalog, ip_support):
        for check in STOPPING:
            yield from (finding for finding in check(subject) if finding.severity is Severity.ERROR)


def _subjects(policy: Policy, sheet: Sheet, catalog: Catalog, ip_support: str) -> list[Subject]:
    roster = roster_of(catalog)
    return [
        make_subject(policy, at, spots, roster, every_address=ip_support == "gateway")
        for at, spots in enumerate(sheet.statements)
    ]
