"""The action element of a statement: `service:Name`, with stars (CAM 4)."""

from __future__ import annotations

import re

from camguard.policy.model import ActionPattern, Effect
from camguard.policy.patterns import STAR, star_match
from camguard.policy.values import Truth

_PREFIX = "name/"
_WRONG = (
    # DEC-9
    (re.compile(r"^(?:permid/|actionName)"), "is a set of actions that only the cloud can expand"),
    # DEC-10
    (re.compile(r"\s"), "contains white space"),
    # DEC-6
    (re.compile(r"\?"), "contains '?', which is not a wildcard"),
    # DEC-33
    (re.compile(r"\${"), "contains a variable, which is allowed in resources and condition values only"),
)


def read_action(text: str, where: str = "") -> ActionPattern | str:
    """Return the pattern that a policy's text stands for, or the problem with the text.

    where: the place of the text, which the pattern keeps. Source: CAM 4, DEC-6, DEC-9, DEC-10.
    """
    plain = text.removeprefix(_PREFIX)
    if text == STAR:
        return ActionPattern(text, STAR, STAR, where)
    for wrong, problem in _WRONG:
        if wrong.search(plain):
            return problem
    service, _, name = plain.partition(":")
    if not service or not name or ":" in name or "/" in service:
        return "is not of the form service:Action"
    return ActionPattern(text, service, name, where)


def covers_service(pattern: ActionPattern, service: str) -> bool:
    """Return whether a pattern names every action of a service (CAM 11.2, DEC-46)."""
    return pattern.name == STAR and pattern.service in (STAR, service)


def action_match(pattern: ActionPattern, effect: Effect, service: str, name: str) -> Truth:
    """Return whether a pattern names an action.

    Two matches are unknown: a star in the service that is not the whole `*:*` (DEC-8, U5), and, for a deny,
    a match that ignores letter case (DEC-7, U6).
    """
    if covers_service(pattern, service):
        return True
    if STAR in pattern.service:
        if star_match(pattern.service, service) and star_match(pattern.name, name):
            return None
    elif pattern.service == service and star_match(pattern.name, name):
        return True
    match_ignoring_case = star_match(pattern.service.lower(), service.lower()) and star_match(
        pattern.name.lower(), name.lower()
    )
    return None if effect is Effect.DENY and match_ignoring_case else False
