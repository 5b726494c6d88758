"""What the resources of a statement reach (codes CG3xx; CAM 5.3, CAM 11.2, CAM 11.3)."""

from __future__ import annotations

from collections.abc import Iterator

from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import StatementView, blocked_without_resource
from camguard.policy.model import ActionPattern
from camguard.policy.patterns import STAR

_OF_ITS_OWN = 'a separate statement with "resource": "*"'


def beside_star(view: StatementView) -> Iterator[Finding]:
    """Find resources in a list that contains `*`."""
    if view.statement.any_resource:
        for pattern in view.statement.patterns:
            message = f"the list contains '*', so {pattern.text!r} restricts nothing"
            yield found("CG307", pattern.where, message, "either '*' or the intended resources")


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
    services = view.catalog.services_of(view.named.either) | {"", STAR}
    return all(
        isinstance(pattern.path, str) and pattern.service not in services for pattern in statement.patterns
    )


def _resources_without_action(view: StatementView) -> Iterator[Finding]:
    """Find resources that no action of the list can have."""
    catalog, named = view.catalog, view.named.either
    without = named & ~catalog.resource_level if not view.allows else 0
    services = {row.service for row in catalog.index.members(without)}
    for pattern in view.statement.patterns:
        if not catalog.reached(pattern, view.statement.effect) & named and pattern.service not in services:
            message = f"none of the named actions has a resource like {pattern.text!r}"
            yield found("CG306", pattern.where, message, catalog.resource_shapes(named) or STAR)


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
