"""Runs the checks of one policy, and those of a whole bundle.

Rule 1: a check is one row of CHECKS (of a statement) or of ACROSS (of all statements of a document).
Rule 2: no check raises for a document that loads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date

from camguard.engine.principals import Principals
from camguard.lint import (
    check_actions,
    check_conditions,
    check_ip_ranges,
    check_redundancy,
    check_resources,
    check_services,
    check_style,
)
from camguard.lint.acceptances import Findings, accept, read_acceptances
from camguard.lint.catalog_view import CatalogView
from camguard.lint.check_attachments import lint_attachments
from camguard.lint.codes import Finding
from camguard.lint.statement_view import NOTHING_KNOWN, StatementView, Supplies, statement_views
from camguard.policy.document import Document

CHECKS: tuple[Callable[[StatementView], Iterator[Finding]], ...] = (
    check_style.elements,
    check_style.prefixes,
    check_style.segments,
    check_style.old_keys,
    check_actions.names,
    check_actions.nothing_denied,
    check_actions.single_actions,
    check_services.host_labels,
    check_redundancy.actions,
    check_resources.beside_star,
    check_redundancy.resources,
    check_resources.reach,
    check_resources.doubtful_segments,
    check_services.names_only,
    check_conditions.negations,
    check_conditions.absences,
    check_conditions.tags,
    check_conditions.variables,
    check_conditions.listed_twice,
    check_conditions.bare_wildcards,
    check_ip_ranges.ranges,
    check_ip_ranges.mapped,
    check_conditions.contradictions,
    check_redundancy.everything,
)
ACROSS: tuple[Callable[[Sequence[StatementView]], Iterator[Finding]], ...] = (
    check_conditions.unsupplied,
    check_resources.alternatives,
    check_redundancy.statements,
)


def lint(
    document: Document,
    catalog: CatalogView,
    *,
    ip_support: str = "catalog",
    unknown_action: str = "refuse",
    supplies: Supplies = NOTHING_KNOWN,
) -> Iterator[Finding]:
    """Yield the findings of one policy: of the document, of each statement, then of all statements together.

    ip_support: the setting; with "gateway" the source address is judged for every action. unknown_action: the
    setting; with "judge" a policy may grant actions that the catalog does not list. supplies: what else
    supplies attributes to calls.
    """
    yield from check_style.whole(document)
    views = statement_views(document, catalog, ip_support, unknown_action, supplies)
    for view in views:
        for check in CHECKS:
            yield from check(view)
    for check_all in ACROSS:
        yield from check_all(views)


def lint_bundle(  # noqa: PLR0913 - the parts of a bundle, and the settings that change what it means
    documents: Mapping[str, Document],
    people: Principals | None,
    catalog: CatalogView,
    *,
    today: date,
    acceptances: bytes | None = None,
    ip_support: str = "catalog",
    unknown_action: str = "refuse",
    supplies: Supplies = NOTHING_KNOWN,
    unreadable: Collection[str] = (),
    places: tuple[str, str] = ("principals.json", "lint.toml"),
) -> Findings:
    """Return the findings of a whole bundle: of each policy, of the attachments, and of the acceptances.

    documents: by the id of the policy. people: None if principals.json does not load. today: in UTC.
    acceptances: the bytes of lint.toml. unreadable: ids of policies that do not load; what is wrong with them
    is reported elsewhere. places: the names of principals.json and lint.toml in findings.
    """
    principals, accepting = places
    findings = [
        finding
        for document in documents.values()
        for finding in lint(
            document, catalog, ip_support=ip_support, unknown_action=unknown_action, supplies=supplies
        )
    ]
    if people is not None:
        listed = catalog.index.catalog
        findings += lint_attachments(people, documents, listed, unreadable=unreadable, place=principals)
    accepted, problems = ((), ()) if acceptances is None else read_acceptances(acceptances, accepting)
    unread = {*unreadable, *(() if people is not None else (None,))}
    found = accept(findings, accepted, documents, today, principals=principals, unread=unread)
    return Findings((*found.open, *problems), found.accepted)
