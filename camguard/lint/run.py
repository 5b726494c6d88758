"""Runs the checks of one policy.

Rule 1: a check is one row of CHECKS (of a statement) or of ACROSS (of all statements of a document).
Rule 2: no check raises for a document that loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from camguard.lint import (
    check_actions,
    check_conditions,
    check_ip_ranges,
    check_redundancy,
    check_resources,
    check_style,
)
from camguard.lint.catalog_view import CatalogView
from camguard.lint.codes import Finding, Severity
from camguard.lint.statement_view import StatementView, statement_views
from camguard.policy.document import Document

CHECKS: tuple[Callable[[StatementView], Iterator[Finding]], ...] = (
    check_style.elements,
    check_style.prefixes,
    check_style.segments,
    check_style.old_keys,
    check_actions.names,
    check_actions.nothing_denied,
    check_actions.single_actions,
    check_redundancy.actions,
    check_resources.beside_star,
    check_redundancy.resources,
    check_resources.reach,
    check_conditions.negations,
    check_conditions.absences,
    check_conditions.tags,
    check_conditions.variables,
    check_conditions.listed_twice,
    check_conditions.bare_wildcards,
    check_ip_ranges.ranges,
    check_conditions.contradictions,
    check_redundancy.everything,
)
ACROSS: tuple[Callable[[Sequence[StatementView]], Iterator[Finding]], ...] = (
    check_conditions.unsupplied,
    check_redundancy.statements,
)
# The checks that may find an error. An activation runs no others.
STOPPING = (
    check_actions.names,
    check_actions.nothing_denied,
    check_resources.reach,
    check_ip_ranges.ranges,
    check_conditions.contradictions,
)


def lint(
    document: Document, catalog: CatalogView, *, ip_support: str = "catalog", unknown_action: str = "refuse"
) -> Iterator[Finding]:
    """Yield the findings of one policy: of the document, of each statement, then of all statements together.

    ip_support: the setting; with "gateway" the source address is judged for every action. unknown_action: the
    setting; with "judge" a policy may grant actions that the catalog does not list.
    """
    yield from check_style.whole(document)
    views = statement_views(document, catalog, ip_support, unknown_action)
    for view in views:
        for check in CHECKS:
            yield from check(view)
    for check_all in ACROSS:
        yield from check_all(views)


def errors(document: Document, catalog: CatalogView, *, ip_support: str = "catalog") -> Iterator[Finding]:
    """Yield only those findings of `lint` that stop an activation, in a fraction of the time."""
    for view in statement_views(document, catalog, ip_support):
        for check in STOPPING:
            yield from (finding for finding in check(view) if finding.severity is Severity.ERROR)
