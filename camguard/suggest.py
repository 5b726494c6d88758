"""Names in messages: the nearest of those that exist, and the first few of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def nearest_names(word: str, names: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """Return up to `most` names that look like `word`, letter case aside, best first."""
    folded = {name.lower(): name for name in names}
    return tuple(folded[match] for match in get_close_matches(word.lower(), folded, most, 0.6))


def nearest(word: str, names: Iterable[str]) -> str:
    """Return ` (did you mean 'x' or 'y'?)`, or nothing where nothing is near."""
    return meant(nearest_names(word, names, 2))


def meant(found: Sequence[str]) -> str:
    """Return names that were found near as `nearest` words them."""
    return f" (did you mean {' or '.join(map(repr, found))}?)" if found else ""


def few(names: Sequence[str], most: int = 3, *, total: int | None = None, rest: str = "and {} more") -> str:
    """Return the first of some names, and how many more there are.

    total: how many there are in all, where `names` holds the first of them only.

    >>> few(["a", "b", "c", "d", "e"]), few(["a"]), few(["10.0.0.0/8"], total=9, rest="or {} more ranges")
    ('a, b, c and 2 more', 'a', '10.0.0.0/8 or 8 more ranges')
    """
    more = (len(names) if total is None else total) - min(most, len(names))
    return ", ".join(names[:most]) + (f" {rest.format(more)}" if more else "")
