"""What the resources of a statement reach (codes CG3xx; CAM 5.3, CAM 11.2, CAM 11.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import StatementView, blocked_without_resource
from camguard.policy.model import ActionPattern, ResourcePattern
from camguard.policy.patterns import STAR
from camguard.policy.resources import region_match, service_match
from camguard.suggest import nearest_names

_BARE_ACCOUNT = re.compile(r"[0-9]+")
ACCOUNT = re.compile(r"|\*|(?:uin|uid)/(?:[0-9]+|\*)?")
_OF_ITS_OWN = 'a separate statement with "resource": "*"'


def beside_star(view: StatementView) -> Iterator[Finding]:
    """Find resources in a list that contains `*`."""
    if view.statement.any_resource:
        for pattern in view.statement.patterns:
            message = f"the list contains '*', so {pattern.text!r} restricts nothing"
            yield found("CG307", pattern.where, message)


def reach(view: StatementView) -> Iterator[Finding]:
    """Find actions and resources that do not belong together."""
    catalog, named = view.catalog, view.named.either
    if view.statement.any_resource or not named:
        return
    if _of_other_services(view):
        where, _ = view.element("resource")
        message = f"no service of {catalog.some(named)} has any of these resources, so nothing is denied"
        yield found("CG305", where, message, catalog.resource_shapes(named) or STAR)
        return
    of_resources = named & catalog.resource_level
    if of_resources:
        yield from _resources_without_action(view)
    if view.touched or view.allows or not of_resources:
        yield from _actions_without_resource(view)


def _of_other_services(view: StatementView) -> bool:
    """Tell whether a deny matches no call at all, judged by the services that it names.

    A path that matches no template is not enough, because an application may name resources of its own. A
    path with a variable is not enough either, because the variable is undetermined for a role.
    """
    statement = view.statement
    if view.allows or view.touched or any(STAR in action.service for action in statement.actions):
        return False
    services = view.catalog.services_of(view.named.either)
    return all(
        isinstance(pattern.path, str)
        and all(service_match(pattern.service, service, None) is False for service in services)
        for pattern in statement.patterns
    )


def doubtful_segments(view: StatementView) -> Iterator[Finding]:
    """Find segments that do not surely say what they name (DEC-59, DEC-60), and unknown regions."""
    catalog = view.catalog
    services = catalog.services_of(view.named.either)
    for pattern in view.statement.patterns:
        where, account = pattern.where, pattern.account
        if not any(service_match(pattern.service, service, mismatch=False) for service in services):
            near = [each for each in sorted(services) if service_match(pattern.service, each, None) is None]
            if near:
                message = (
                    f"{pattern.service!r} is {near[0]!r} only if letter case is ignored or '*' is a wildcard"
                )
                yield found("CG321", where, f"{message}, so {_in_doubt(view)}", near[0])
        if _BARE_ACCOUNT.fullmatch(account):
            message = f"the account {account!r} lacks its kind and is read as 'uin/{account}'"
            yield found("CG121", where, message, f"uin/{account}")
        elif not ACCOUNT.fullmatch(account):
            message = f"the account segment {account!r} names no account, so {_in_doubt(view)}"
            yield found("CG320", where, message, "an empty segment, which means the owner, or uin/<digits>")
        yield from _region(view, pattern)


def _in_doubt(view: StatementView) -> str:
    """Return what becomes of a resource of which one segment is in doubt."""
    if view.allows:
        return "this resource grants nothing"
    return "the deny applies wherever the rest of the resource matches"


def _region(view: StatementView, pattern: ResourcePattern) -> Iterator[Finding]:
    known, region = view.catalog.regions, pattern.region
    if not known or any(region_match(region, each, mismatch=False) for each in known):
        return
    near = next((each for each in sorted(known) if region_match(region, each, mismatch=None) is None), "")
    if near:
        message = f"{region!r} is {near!r} only if letter case is ignored, so {_in_doubt(view)}"
        yield found("CG321", pattern.where, message, near)
    else:
        message = f"the list of known regions does not contain {region!r}"
        yield found("CG322", pattern.where, message, " or ".join(nearest_names(region, known, 2)))


def _resources_without_action(view: StatementView) -> Iterator[Finding]:
    """Find resources that no action of the list can have."""
    catalog, named = view.catalog, view.named.either
    without = named & ~catalog.resource_level if not view.allows else 0
    services = {row.service for row in catalog.index.members(without)}
    for pattern in view.statement.patterns:
        if not catalog.reached(pattern, view.statement.effect) & named and pattern.service not in services:
            message = f"none of the named actions has a resource like {pattern.text!r}"
            code = "CG306" if view.allows else "CG324"
            yield found(code, pattern.where, message, catalog.resource_shapes(named) or STAR)


def _actions_without_resource(view: StatementView) -> Iterator[Finding]:
    """Find actions to which none of the resources can belong."""
    catalog = view.catalog
    blocked = 0 if view.allows else blocked_without_resource(view.statement, view.named, catalog)
    for pattern in view.statement.actions:
        named, where = view.names(pattern), pattern.where
        without = named.either & ~catalog.resource_level & ~catalog.names_only
        if view.allows:
            if named.certain and named.certain & ~catalog.names_only == without and without:
                some = catalog.some(without)
                message = f"CAM authorizes {some} on '*' only, so nothing is granted on these resources"
                yield found("CG301", where, message, _OF_ITS_OWN)
        elif without & blocked:
            some = catalog.some(without & blocked)
            message = f"CAM authorizes {some} on '*' only, so this deny blocks every call of it"
            yield found("CG302", where, message, _OF_ITS_OWN)
        elif named.either and not named.either & view.touched:
            yield _not_denied(view, pattern)


def _not_denied(view: StatementView, pattern: ActionPattern) -> Finding:
    catalog, named = view.catalog, view.names(pattern).either
    message = f"this statement does not deny {catalog.some(named)}"
    services = {resource.service for resource in view.statement.patterns}
    here = {row.service for row in catalog.index.members(named)}
    if not named & catalog.resource_level and services & {"", STAR, *here}:
        why = "the resources are taken to belong to the other actions of the list"
        return found("CG303", pattern.where, f"{message}: {why}", _OF_ITS_OWN)
    instead = catalog.resource_shapes(named) or 'a statement with "resource": "*"'
    return found("CG304", pattern.where, f"{message}: {pattern.text!r} has none of these resources", instead)


def alternatives(views: Sequence[StatementView]) -> Iterator[Finding]:
    """Find actions of whose templates the allows of a document reach some and not all (DEC-61)."""
    allowing = [view for view in views if view.allows]
    for view in allowing:
        catalog = view.catalog
        for entry in catalog.index.members(view.touched & catalog.perhaps_alternatives):
            others = [other for other in allowing if other.named.either & catalog.index.set_of([entry])]
            if any(other.statement.any_resource for other in others):
                continue
            patterns = [pattern for other in others for pattern in other.statement.patterns]
            without = catalog.unreached(entry, patterns)
            if without:
                where, _ = view.element("resource")
                message = (
                    f"{entry.id} also needs an allow of {', '.join(without)}, so nothing is granted here"
                )
                instead = (
                    "an allow of these, or alternatives in the catalog entry where they exclude each other"
                )
                yield found("CG323", where, message, instead)
                break
