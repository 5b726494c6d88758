"""What the actions of a statement name (codes CG2xx; CAM 4, CAM 11.2)."""

from __future__ import annotations

from collections.abc import Iterator

from camguard.catalog.model import Granularity
from camguard.lint.check_services import cam_names_instead, without_page
from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import StatementView
from camguard.policy.actions import covers_service
from camguard.policy.model import ActionPattern
from camguard.policy.patterns import STAR


def names(view: StatementView) -> Iterator[Finding]:
    """Find actions, services and patterns that the catalog does not contain in this spelling."""
    for pattern in view.statement.actions:
        named = view.names(pattern)
        if STAR in pattern.service:
            if (pattern.service, pattern.name) != (STAR, STAR):
                yield _wildcard_service(view, pattern)
        elif named.certain:
            continue
        elif named.possible:
            yield _wrong_case(view, pattern)
        elif cam_names_instead(view.catalog.index.catalog.known, pattern):
            continue  # CG213
        elif pattern.service not in view.catalog.services:
            yield without_page(view, pattern) or _no_service(view, pattern)
        elif STAR in pattern.name:
            near = view.catalog.near_actions(pattern.service, pattern.name.replace(STAR, ""))
            message = f"no action of {pattern.service} matches {pattern.text!r}"
            yield found("CG206", pattern.where, message, " or ".join(near))
        else:
            yield _no_action(view, pattern)


def _wildcard_service(view: StatementView, pattern: ActionPattern) -> Finding:
    named = view.names(pattern).either
    matched = f"it would match {view.catalog.some(named)}" if named else "no action matches it"
    message = f"CAM does not support the wildcard in the service of {pattern.text!r}, so {view.outcome}"
    return found("CG208", pattern.where, f"{message}; {matched}", "one pattern for each service")


def _wrong_case(view: StatementView, pattern: ActionPattern) -> Finding:
    named = view.names(pattern).possible
    some = view.catalog.some(named)
    exact = STAR not in pattern.name and named.bit_count() == 1
    message = f"{pattern.text!r} matches {some} only if letter case is ignored; the deny applies nevertheless"
    return found("CG205", pattern.where, message, some if exact else "")


def _no_service(view: StatementView, pattern: ActionPattern) -> Finding:
    service, where = pattern.service, pattern.where
    near = " or ".join(_in_near_services(view, pattern))
    missing = f"the catalog does not contain the service {service!r}"
    if view.allows:
        return found("CG204", where, f"{missing}, so this entry grants nothing", near)
    listed = view.catalog.index.catalog.known.services  # an unknown name is then a misspelt one (CAM 4.7)
    if (
        not near and not listed and pattern.name == STAR
    ):  # calls of a service that the catalog lacks are refused anyway
        message = f"{missing}, so camguard refuses every call of it, whatever the policies say"
        return found("CG211", where, message)
    return found("CG203", where, f"{missing}, so this entry denies nothing", near)


def _in_near_services(view: StatementView, pattern: ActionPattern) -> Iterator[str]:
    """Yield the pattern in each service that looks like its own, or that service if it lacks the action."""
    for name in view.catalog.near_services(pattern.service):
        listed = view.catalog.index.catalog.services[name].actions
        exists = STAR in pattern.name or pattern.name in listed
        yield f"{name}:{pattern.name}" if exists else f"the service {name}"


def _no_action(view: StatementView, pattern: ActionPattern) -> Finding:
    where = pattern.where
    near = " or ".join(view.catalog.near_actions(pattern.service, pattern.name))
    missing = f"the catalog does not contain the action {pattern.text!r}"
    if view.allows:
        granted = "only as an unlisted action" if view.judges_unlisted else "nothing"
        return found("CG202", where, f"{missing}, so this entry grants {granted}", near)
    if view.judges_unlisted:
        return found("CG220", where, f"{missing}, so this entry denies calls of exactly this name only", near)
    return found("CG201", where, f"{missing}, so this entry denies nothing", near)


def nothing_denied(view: StatementView) -> Iterator[Finding]:
    """Find a deny of patterns none of which names anything. For exact names there are other codes."""
    if view.allows or view.named.either or view.judges_unlisted:
        return
    known = view.catalog.services
    if all(STAR in p.name and (STAR in p.service or p.service in known) for p in view.statement.actions):
        where, _ = view.element("action")
        message = "no action of the catalog matches, so this deny protects nothing"
        yield found("CG207", where, message)


def single_actions(view: StatementView) -> Iterator[Finding]:
    """Find an allow of single actions of a service that is granted as a whole or not at all."""
    if not view.allows:
        return
    others = ~view.catalog.by_granularity[Granularity.SERVICE]
    for pattern in view.statement.actions:
        service, named = pattern.service, view.names(pattern)
        if view.judges_unlisted and STAR in pattern.name:
            continue  # it may grant actions that the catalog does not list
        whole = any(covers_service(other, service) for other in view.statement.actions)
        if named.certain and not named.certain & others and not whole:
            message = f"CAM grants {service} as a whole or not at all, so {pattern.text!r} grants nothing"
            yield found("CG209", pattern.where, message, f"{service}:*")
