"""Names for people to read: those that a misspelled word may have meant, and the first few of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice


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


def few(texts: Iterable[str], most: int = 3, count: int | None = None) -> str:
    """Return the first `most` of some texts, and how many more there are: `a, b, c and 2 more`.

    count: how many texts there are, where `texts` is an iterator that would be slow to read to its end.
    """
    if count is None:
        texts = list(texts)
        count = len(texts)
    more = f" and {count - most} more" if count > most else ""
    return ", ".join(islice(texts, most)) + more
