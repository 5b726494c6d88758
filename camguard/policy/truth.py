"""Three values: True, False, and None for what cannot be known (cam-semantics 2, Kleene).

What is not known never grants and always blocks: an allow counts only if True, a deny unless False.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Truth: TypeAlias = bool | None


def all_of(truths: Iterable[Truth]) -> Truth:
    """AND: False if any is False, else unknown if any is unknown, else True."""
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def any_of(truths: Iterable[Truth]) -> Truth:
    """OR: True if any is True, else unknown if any is unknown, else False."""
    result: Truth = False
    for truth in truths:
        if truth is True:
            return True
        if truth is None:
            result = None
    return result


def negate(truth: Truth) -> Truth:
    """NOT: swaps True and False, keeps the unknown."""
    return None if truth is None else not truth
