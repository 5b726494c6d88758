"""The action element: `service:Name` with stars (cam-semantics 4)."""

from __future__ import annotations

import re

from camguard.policy.model import ActionPattern, Effect
from camguard.policy.star import STAR, star_match
from camguard.policy.truth import Truth

_PREFIX = "name/"
_WRONG = (
    (
        re.compile(r"^(?:permid/|actionName)"),
        "names a set of actions that only the cloud can expand",
    ),  # DEC-9
    (re.compile(r"\s"), "holds a blank"),  # DEC-10
    (re.compile(r"\?"), "holds '?', which is no wildcard"),  # DEC-6
    (re.compile(r"\${"), "holds a variable, which only resources and condition values may"),  # DEC-33
)


def read_action(text: str) -> ActionPattern | str:
    """Return the pattern, or what is wrong with it (DEC-6, DEC-9, DEC-10)."""
    plain = text.removeprefix(_PREFIX)
    if text == STAR:
        return ActionPattern(text, STAR, STAR)
    for wrong, words in _WRONG:
        if wrong.search(plain):
            return words
    service, _, name = plain.partition(":")
    if not service or not name or ":" in name or "/" in service:
        return "is not of the form service:Action"
    return ActionPattern(text, service, name)


def covers_service(pattern: ActionPattern, service: str) -> bool:
    """Tell whether a pattern names every action of a service (11.2, DEC-46)."""
    return pattern.name == STAR and pattern.service in (STAR, service)


def action_match(pattern: ActionPattern, effect: Effect, service: str, name: str) -> Truth:
    """Tell whether a pattern names an action.

    Unknown are a service with a star that is not the whole `*:*` (DEC-8, U5), and for a deny a match that
    holds only when letter case is ignored (DEC-7, U6).
    """
    if covers_service(pattern, service):
        return True
    if STAR in pattern.service:
        if star_match(pattern.service, service) and star_match(pattern.name, name):
            return None
    elif pattern.service == service and star_match(pattern.name, name):
        return True
    folded = star_match(pattern.service.lower(), service.lower()) and star_match(
        pattern.name.lower(), name.lower()
    )
    return None if effect is Effect.DENY and folded else False
