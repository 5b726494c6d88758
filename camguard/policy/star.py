"""Patterns in which `*` matches any characters, also none, and every other character matches itself.

Rule 1: a match covers the whole text and is case-sensitive; `?` and brackets are plain characters (DEC-6).
Rule 2: the time is linear: each piece between two stars is searched once, without backtracking.
"""

from __future__ import annotations

STAR = "*"


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
