"""Which policies can grant nothing here, and why: one table for an activation and for `camguard lint`.

A company brings its policies before it brings all pages. A policy of a service without a page, or one that
depends on tags that nothing supplies, then loads and grants nothing, and this table says so in one place.

Rule 1: a policy is listed if it has an allow and no allow of it can grant anything. A policy that only denies
        is not listed.
Rule 2: the reason is given for each allow; the row of a policy has each reason once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from camguard.lint.catalog_view import CatalogView
from camguard.lint.check_services import cam_names_instead
from camguard.lint.statement_view import NOTHING_KNOWN, StatementView, Supplies
from camguard.policy.keys import IP, READ_ONLY, REGION, REQUEST_TAG, TAGS, TIME
from camguard.policy.model import Clause, Effect, Policy
from camguard.policy.patterns import STAR
from camguard.suggest import few

# Why an allow grants nothing, in the order in which they are looked for. The words are keys of JSON.
NO_PAGE = "no page"  # the catalog does not have the services
NO_ACTION = "no action"  # the services do not have these actions
NO_RESOURCE = "no resource"  # the actions do not have these resources
NO_TAGS = "no tags"  # nothing supplies the tags
NO_ADDRESS = "no address"  # the pages do not support the source address for the actions
NO_KEY = "no key"  # nothing supplies the condition key
REASONS = (NO_PAGE, NO_ACTION, NO_RESOURCE, NO_TAGS, NO_ADDRESS, NO_KEY)


class GrantsNothing(NamedTuple):
    """One policy that can grant nothing. why: reasons; of: for each reason, the services, actions or keys."""

    policy: str
    why: tuple[str, ...]
    of: tuple[tuple[str, ...], ...]


def granting_nothing(
    policies: Iterable[Policy],
    catalog: CatalogView,
    *,
    ip_support: str,
    unknown_action: str,
    supplies: Supplies = NOTHING_KNOWN,
) -> tuple[GrantsNothing, ...]:
    """Return the policies that can grant nothing, in the order of their ids.

    ip_support, unknown_action: the settings. supplies: what else supplies attributes to calls. A condition
    key, and a tag, may still come from an application that calls camguard in its own process.
    """
    rows = (_row(policy, catalog, ip_support, unknown_action, supplies) for policy in policies)
    return tuple(sorted(row for row in rows if row is not None))


def table(rows: Iterable[GrantsNothing]) -> Iterator[str]:
    """Yield the lines of a table of these policies."""
    cells = [
        (row.policy, "; ".join(f"{why}: {few(of)}" for why, of in zip(row.why, row.of, strict=True)))
        for row in rows
    ]
    width = max((len(policy) for policy, _ in cells), default=0)
    yield from (f"  {policy:{width}}  {why}" for policy, why in cells)


def by_reason(rows: Iterable[GrantsNothing]) -> Iterator[str]:
    """Yield a line for each reason, with some of the policies that have it. A policy may have several."""
    listed = tuple(rows)
    having = {why: [row.policy for row in listed if why in row.why] for why in REASONS}
    yield from (f"  {why:{len(NO_RESOURCE)}}  {few(found)}" for why, found in having.items() if found)


def _row(
    policy: Policy, catalog: CatalogView, ip_support: str, unknown_action: str, supplies: Supplies
) -> GrantsNothing | None:
    found: dict[str, dict[str, None]] = {}
    for statement in policy.statements:
        if statement.effect is not Effect.ALLOW:
            continue
        view = StatementView(
            statement,
            {},
            catalog,
            every_address=ip_support == "gateway",
            judges_unlisted=unknown_action == "judge",
            supplies=supplies,
        )
        reason = _why(view)
        if reason is None:
            return None
        why, of = reason
        found.setdefault(why, {}).update(dict.fromkeys(of))
    if not found:
        return None
    reasons = [why for why in REASONS if why in found]
    return GrantsNothing(policy.id, tuple(reasons), tuple(tuple(found[why]) for why in reasons))


def _why(view: StatementView) -> tuple[str, list[str]] | None:
    """Return why an allow grants nothing, and of what; None where it may grant something."""
    catalog, patterns = view.catalog, view.statement.actions
    listed = catalog.index.catalog
    if not view.named.certain:
        here = [
            p for p in patterns if p.service in listed.services and not cam_names_instead(listed.known, p)
        ]
        if view.judges_unlisted and here:
            return None
        absent = [p.service for p in patterns if STAR not in p.service and p not in here]
        return (NO_PAGE, absent) if absent and not here else (NO_ACTION, [p.text for p in patterns])
    if not view.touched & view.named.certain and not view.judges_unlisted:
        return NO_RESOURCE, [pattern.text for pattern in view.statement.patterns] or [patterns[0].text]
    unsupplied = ((_unsupplied(view, clause), clause.key) for clause in view.statement.condition)
    return next(((why, [key]) for why, key in unsupplied if why is not None), None)


def _unsupplied(view: StatementView, clause: Clause) -> str | None:
    """Return why no call of an action of the statement supplies what a clause needs, None where one may."""
    catalog, key, touched = view.catalog, clause.key, view.touched
    base = key.partition("/")[0]
    why = None
    if base in TAGS:
        tagged = touched & ~catalog.without_tags
        if base == REQUEST_TAG:
            tagged &= catalog.with_request_tags
        elif view.supplies.listed_tags is False:
            tagged = 0
        why = None if tagged else NO_TAGS
    elif key == IP:  # with _if_exist the clause holds where the address meets it (DEC-62)
        why = None if view.judges_address or clause.if_exist else NO_ADDRESS
    elif key.endswith(REGION):
        why = None if touched & catalog.services.get(key.removesuffix(REGION), 0) else NO_KEY
    elif key not in {TIME, READ_ONLY} | view.supplies.keys:
        why = NO_KEY
    return why
