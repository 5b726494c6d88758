"""What the resources of a statement reach (codes CG3xx; cam-semantics 5.3, 11.2, 11.3)."""

from __future__ import annotations

from collections.abc import Iterator

from camguard.policy.lint.codes import found
from camguard.policy.lint.finding import Finding
from camguard.policy.lint.roster import Named
from camguard.policy.lint.subject import Subject, stray
from camguard.policy.model import ActionPattern, ResourcePattern
from camguard.policy.star import STAR, star_match


def beside_star(subject: Subject) -> Iterator[Finding]:
    """Find resources in a list that holds `*`."""
    if subject.statement.any_resource and subject.statement.patterns:
        for at, text in subject.spots.resources:
            if text != STAR:
                message = f"the list holds '*', so {text!r} restricts nothing"
                yield found("CG307", at, message, "either '*' or the resources that are meant")


def written_twice(subject: Subject) -> Iterator[Finding]:
    """Find resources that another one of the list covers, and those that end in a slash."""
    patterns = _placed(subject)
    seen: dict[str, str] = {}
    for pattern, at in patterns:
        if pattern.text in seen:
            yield found("CG308", at, f"{pattern.text!r} stands here twice", "leave it out")
            continue
        seen[pattern.text] = at
        wide = next((p for p, _ in patterns if p.text != pattern.text and wider_place(p, pattern)), None)
        if wide:
            yield found("CG308", at, f"{pattern.text!r} is part of {wide.text!r}", "leave it out")
        if pattern.text.endswith("/"):
            reach = "only exactly this is reached" if subject.allows else "all below it is blocked"
            message = f"{pattern.text!r} ends in a slash: {reach}"
            yield found("CG309", at, message, f"{pattern.text}*")


def wider_place(wide: ResourcePattern, narrow: ResourcePattern) -> bool:
    """Tell whether one pattern surely reaches whatever another one reaches, by their texts."""
    if not isinstance(wide.path, str) or not isinstance(narrow.path, str):
        return False
    return (
        wide.service in ("", STAR, narrow.service)
        and wide.region in ("", STAR, narrow.region)
        and wide.account == narrow.account
        and STAR in wide.path
        and star_match(wide.path, narrow.path)
        and (wide.path != narrow.path or (wide.service, wide.region) != (narrow.service, narrow.region))
        and not (narrow.service in ("", STAR) and wide.service not in ("", STAR))
    )


def _placed(subject: Subject) -> list[tuple[ResourcePattern, str]]:
    spots = [at for at, text in subject.spots.resources if text != STAR]
    return list(zip(subject.statement.patterns, spots, strict=True))


def reach(subject: Subject) -> Iterator[Finding]:
    """Find actions and resources that do not fit each other."""
    named = subject.all_named.either
    if subject.statement.any_resource or not named:
        return
    if _of_other_services(subject):
        at, _ = subject.spots.element("resource")
        message = (
            f"none of these resources is of a product of {subject.roster.some(named)}: nothing is denied"
        )
        yield found("CG305", at, message, _fitting(subject))
        return
    of_resources = named & subject.roster.resource_level
    if of_resources:
        yield from _resources_apart(subject)
    if subject.touched or subject.allows or not of_resources:
        yield from _actions_apart(subject)


def _of_other_services(subject: Subject) -> bool:
    """Tell whether a deny can meet no call at all, by the services alone that it names.

    A path that fits no template is not enough: an application may name resources of its own. Nor is a
    variable, which is unknown for a role.
    """
    statement = subject.statement
    if subject.allows or subject.touched or any(STAR in action.service for action in statement.actions):
        return False
    services = subject.roster.services_of(subject.all_named.either)
    return all(
        isinstance(pattern.path, str) and pattern.service not in services | {"", STAR}
        for pattern in statement.patterns
    )


def _fitting(subject: Subject) -> str:
    return subject.roster.types(subject.all_named.either) or STAR


def _actions_apart(subject: Subject) -> Iterator[Finding]:
    """Find actions of the list that none of the resources can be one of."""
    roster = subject.roster
    blocked = 0 if subject.allows else stray(subject.statement, subject.all_named, roster)
    spots = subject.spots.actions
    for pattern, named, (at, _) in zip(subject.statement.actions, subject.named, spots, strict=True):
        without = named.either & ~roster.resource_level
        if subject.allows:
            if named.sure and named.sure == without:
                some = roster.some(without)
                message = f"{some}: authorized on '*' alone; on these resources nothing is granted"
                yield found("CG301", at, message, 'a statement of its own with "resource": "*"')
        elif without & blocked:
            message = f"{roster.some(without & blocked)}: has no resources, so this blocks every call of it"
            yield found("CG302", at, message, 'a statement of its own with "resource": "*"')
        elif named.either and not named.either & subject.touched:
            yield _spared(subject, pattern, named, at)


def _spared(subject: Subject, pattern: ActionPattern, named: Named, at: str) -> Finding:
    some = subject.roster.some(named.either)
    services = {resource.service for resource in subject.statement.patterns}
    here = {row.service for row in subject.roster.actions(named.either)}
    if not named.either & subject.roster.resource_level and services & {"", STAR, *here}:
        message = f"{some}: has no resources; these are taken to be meant for the actions beside it"
        return found(
            "CG303", at, f"{message}, and it is not denied", 'a statement of its own with "resource": "*"'
        )
    message = f"{some}: none of these resources is one of {pattern.text!r}, which is not denied"
    return found(
        "CG304", at, message, subject.roster.types(named.either) or 'a statement with "resource": "*"'
    )


def _resources_apart(subject: Subject) -> Iterator[Finding]:
    """Find resources that none of the actions can have."""
    roster = subject.roster
    named = subject.all_named.either
    here = (
        {row.service for row in roster.actions(named & ~roster.resource_level)} if not subject.allows else ()
    )
    for pattern, at in _placed(subject):
        if roster.reached(pattern, subject.statement.effect) & named or pattern.service in here:
            continue
        message = f"{pattern.text!r} is a resource of none of the named actions"
        yield found("CG306", at, message, _fitting(subject))
