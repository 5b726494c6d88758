"""Patterns in which `*` stands for any run of characters, none included, and all else for itself.

Rule 1: anchored at both ends, case-sensitive, `?` and brackets are plain characters (DEC-6).
Rule 2: linear: the pieces between the stars are found one after the other, never tried again.
"""

from __future__ import annotations

STAR = "*"


def star_match(pattern: str, text: str) -> bool:
    """Tell whether the whole of `text` fits `pattern` (cam-semantics 4 rule 1, 5.3).

    >>> star_match("PutObject*", "PutObject"), star_match("*Vpn*", "CreateVpnGw"), star_match("a*a", "a")
    (True, True, False)
    """
    return fits(tuple(pattern.split(STAR)), text)


def fits(pieces: tuple[str, ...], text: str) -> bool:
    """Tell whether `text` is made of the pieces in order, with anything between them.

    pieces: what stood between the stars; the first and last may be empty. One alone is the whole text.
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
