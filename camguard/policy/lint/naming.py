"""What the actions of a statement name (codes CG2xx; cam-semantics 4, 11.2)."""

from __future__ import annotations

from collections.abc import Iterator

from camguard.catalog.model import Granularity
from camguard.policy.actions import covers_service
from camguard.policy.lint.codes import found
from camguard.policy.lint.finding import Finding
from camguard.policy.lint.roster import Named
from camguard.policy.lint.subject import Subject
from camguard.policy.model import ActionPattern
from camguard.policy.star import STAR, star_match


def names(subject: Subject) -> Iterator[Finding]:
    """Find actions, services and patterns that the catalog does not have, or not so spelt."""
    spots = subject.spots.actions
    for pattern, named, (at, _) in zip(subject.statement.actions, subject.named, spots, strict=True):
        if STAR in pattern.service:
            if (pattern.service, pattern.name) != (STAR, STAR):
                yield _starred_service(subject, pattern, named, at)
        elif named.sure:
            continue
        elif named.doubtful:
            yield _wrong_case(subject, pattern, named, at)
        elif pattern.service not in subject.roster.services:
            yield _no_service(subject, pattern, at)
        elif STAR in pattern.name:
            message = f"no action of {pattern.service} fits {pattern.text!r}"
            near = subject.roster.near_action(pattern.service, pattern.name.replace(STAR, ""))
            yield found("CG206", at, message, " or ".join(near))
        else:
            yield _no_action(subject, pattern, at)


def _starred_service(subject: Subject, pattern: ActionPattern, named: Named, at: str) -> Finding:
    some = f"; it would fit {subject.roster.some(named.either)}" if named.either else " and would fit none"
    message = f"the service of {pattern.text!r} holds a star, which means nothing for sure: {subject.outcome}"
    return found("CG208", at, message + some, "one pattern for each service")


def _wrong_case(subject: Subject, pattern: ActionPattern, named: Named, at: str) -> Finding:
    some = subject.roster.some(named.doubtful)
    exact = STAR not in pattern.name and named.doubtful.bit_count() == 1
    message = (
        f"{pattern.text!r} fits {some} only when letter case is ignored; it blocks, as what cannot be known"
    )
    return found("CG205", at, message, some if exact else "the letter case of the catalog")


def _no_service(subject: Subject, pattern: ActionPattern, at: str) -> Finding:
    near = " or ".join(f"{name}:{pattern.name}" for name in subject.roster.near_service(pattern.service))
    if subject.allows:
        return found("CG204", at, f"there is no service {pattern.service!r}: nothing is granted", near)
    if not near and pattern.name == STAR:  # calls of a service that the catalog lacks are refused anyway
        message = f"there is no service {pattern.service!r} in the catalog: its calls are refused unasked"
        return found("CG211", at, message, "its catalog page, before calls of it are to pass")
    message = f"there is no service {pattern.service!r}: this denies nothing"
    return found("CG203", at, message, near or "a service of the catalog, or the catalog page of this one")


def _no_action(subject: Subject, pattern: ActionPattern, at: str) -> Finding:
    near = " or ".join(subject.roster.near_action(pattern.service, pattern.name))
    if subject.allows:
        return found("CG202", at, f"there is no action {pattern.text!r}: nothing is granted", near)
    message = f"there is no action {pattern.text!r}: this denies nothing"
    return found("CG201", at, message, near or "an action of the catalog, or nothing")


def nothing_denied(subject: Subject) -> Iterator[Finding]:
    """Find a deny of patterns of which none names anything; for exact names there are other codes."""
    if subject.allows or subject.all_named.either:
        return
    known = subject.roster.services
    if all(STAR in p.name and (STAR in p.service or p.service in known) for p in subject.statement.actions):
        at, _ = subject.spots.element("action")
        message = "no action of the catalog fits: this deny protects nothing"
        yield found("CG207", at, message, "actions of the catalog")


def single_actions(subject: Subject) -> Iterator[Finding]:
    """Find single actions of services that are granted as a whole or not at all."""
    if not subject.allows:
        return
    whole = subject.roster.by_granularity[Granularity.SERVICE]
    actions = subject.statement.actions
    spots = subject.spots.actions
    for pattern, named, (at, _) in zip(actions, subject.named, spots, strict=True):
        service = pattern.service
        if (
            named.sure
            and not named.sure & ~whole
            and not any(covers_service(other, service) for other in actions)
        ):
            message = f"{service} is granted as a whole or not at all: {pattern.text!r} grants nothing"
            yield found("CG209", at, message, f"{service}:*")


def covered(subject: Subject) -> Iterator[Finding]:
    """Find actions that another one of the same list covers."""
    actions = subject.statement.actions
    if len(actions) == 1:
        return
    at = [at for at, _ in subject.spots.actions]
    first: dict[tuple[str, str], int] = {}
    for i, pattern in enumerate(actions):
        first.setdefault((pattern.service, pattern.name), i)
    broad = [(i, p) for i, p in enumerate(actions) if STAR in p.name]
    for i, pattern in enumerate(actions):
        if first[pattern.service, pattern.name] != i:
            yield found("CG210", at[i], f"{pattern.text!r} stands here twice", "leave it out")
            continue
        wider = (
            p for j, p in broad if i != j and at_least(p, pattern) and (j < i or not at_least(pattern, p))
        )
        wide = next(wider, None)
        if wide:
            yield found("CG210", at[i], f"{pattern.text!r} is part of {wide.text!r}", "leave it out")


def at_least(wide: ActionPattern, narrow: ActionPattern) -> bool:
    """Tell whether one pattern surely names whatever another one names, by their texts.

    A star of the narrow one is text to the wide one, which only a star of its own can take up.
    """
    if wide.name == STAR and wide.service in (STAR, narrow.service):
        return True
    if STAR in wide.service or narrow.name == STAR:  # only `*` itself grants a service as a whole (DEC-46)
        return False
    return wide.service == narrow.service and star_match(wide.name, narrow.name)
