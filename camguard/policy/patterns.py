"""What policies write between literal characters: stars (CAM 4, CAM 5.3) and variables (CAM 9).

Rule 1: `*` matches any characters, also none, and every other character matches itself: `?` and brackets are
        plain characters (DEC-6). A match covers the whole text and is case-sensitive.
Rule 2: the time of a match is linear: each piece between two stars is searched once, without backtracking.
Rule 3: the value of a variable is inserted into a parsed pattern, never into text that is parsed afterwards
        (DEC-33).
Rule 4: a pattern or value with a variable that has no value is unknown (DEC-34).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

STAR = "*"
NAMES = frozenset(
    ("uin", "owner_uin", "app_id", "qcs:principal_tag_key", "qcs:principal_tag_value"),
)
_VARIABLE = re.compile(r"\${([^}]*)}")

# Literal text and variable names alternate: ("instance/", "uin", "-x"). Text without variables is a str.
Template: TypeAlias = tuple[str, ...]
Bindings: TypeAlias = Mapping[str, str]  # variable name -> digits; a variable without a value is absent


def star_match(pattern: str, text: str) -> bool:
    """Return whether `pattern` matches the whole of `text` (CAM 4 rule 1, CAM 5.3).

    >>> star_match("PutObject*", "PutObject"), star_match("*Vpn*", "CreateVpnGw"), star_match("a*a", "a")
    (True, True, False)
    """
    return fits(tuple(pattern.split(STAR)), text)


def fits(pieces: tuple[str, ...], text: str) -> bool:
    """Return whether `text` consists of the pieces in their order, with any characters between them.

    pieces: the literal text between the stars; the first and the last may be empty. A single piece must equal
        the text.
    """
    if len(pieces) == 1:
        return pieces == (text,)
    first, *middle, last = pieces
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def read_template(text: str) -> str | Template | None:
    """Return the text, or a template if it contains variables, or None if a variable is unknown or broken."""
    if "${" not in text:
        return text
    parts = tuple(_VARIABLE.split(text))
    if any("${" in part for part in parts) or not NAMES.issuperset(parts[1::2]):
        return None
    return parts


def fill(template: str | Template, bindings: Bindings) -> str | None:
    """Return the text with each variable replaced by its value, or None if a variable has no value."""
    if isinstance(template, str):
        return template
    try:
        return "".join(bindings[p] if i % 2 else p for i, p in enumerate(template))
    except KeyError:
        return None
