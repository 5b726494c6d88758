"""Three-valued logic (Kleene): True, False, and None for unknown (CAM 2).

An unknown statement never grants and always blocks: an allow counts only if it is True, a deny unless it is
False.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Truth: TypeAlias = bool | None


def all_of(truths: Iterable[Truth]) -> Truth:
    """Return the AND: False if any value is False, else unknown if any is unknown, else True."""
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def any_of(truths: Iterable[Truth]) -> Truth:
    """Return the OR: True if any value is True, else unknown if any is unknown, else False."""
    result: Truth = False
    for truth in truths:
        if truth is True:
            return True
        if truth is None:
            result = None
    return result


def negate(truth: Truth) -> Truth:
    """Return the NOT: True and False are swapped, unknown stays unknown."""
    return None if truth is None else not truth
