"""Names in messages: the nearest of those that exist, and the first few of many.

Rule 1: a suggestion is a question. camguard does not know what the author meant.
Rule 2: an action is suggested only for an action of the same verb: whoever misspells `DeleteToy` did not mean
        `DescribeToy`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

_FIRST_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_MISSPELT = 0.8  # how alike two verbs are of which one is a misspelling of the other


def nearest_names(word: str, names: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """Return up to `most` names that look like `word`, letter case aside, best first."""
    folded = {name.lower(): name for name in names}
    return tuple(folded[match] for match in get_close_matches(word.lower(), folded, most, 0.6))


def nearest_action_names(word: str, names: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """Return up to `most` names of actions that look like `word` and have its verb (Rule 2), best first.

    >>> nearest_action_names("DeleteToys", ["DeleteToy", "DescribeToys"])
    ('DeleteToy',)
    """
    listed = list(names)
    verbs = {verb_of(name) for name in listed}
    return nearest_names(word, (name for name in listed if _same_verb(word, verb_of(name), verbs)), most)


def verb_of(name: str) -> str:
    """Return the first word of the name of an action, in lower case: `describe` of `DescribeJob`."""
    found = _FIRST_WORD.match(name)
    return found[0].lower() if found else ""


def _same_verb(word: str, verb: str, verbs: Iterable[str]) -> bool:
    """Tell whether a word begins with a verb, or with a misspelling of it that is no other known verb."""
    if word.islower() or word.isupper():  # its first word does not show
        return bool(verb) and word.lower().startswith(verb)
    own = verb_of(word)
    if own == verb or own in verbs or own[:1] != verb[:1]:  # `Unbind` and `Bind` differ in the first letter
        return own == verb
    return SequenceMatcher(None, own, verb, autojunk=False).ratio() >= _MISSPELT


def nearest(word: str, names: Iterable[str]) -> str:
    """Return ` (did you mean 'x' or 'y'?)`, or nothing where nothing is near."""
    return suggestion(nearest_names(word, names, 2))


def suggestion(found: Sequence[str]) -> str:
    """Return names that were found near as `nearest` words them."""
    return f" (did you mean {' or '.join(map(repr, found))}?)" if found else ""


AND_MORE = "and {} more"  # the one wording for what a list leaves out


def few(names: Sequence[str], most: int = 3, *, total: int | None = None, rest: str = AND_MORE) -> str:
    """Return the first of some names, and how many more there are.

    total: how many there are in all, where `names` holds the first of them only.

    >>> few(["a", "b", "c", "d", "e"]), few(["a"]), few(["10.0.0.0/8"], total=9, rest="or {} more")
    ('a, b, c and 2 more', 'a', '10.0.0.0/8 or 8 more')
    """
    more = (len(names) if total is None else total) - min(most, len(names))
    return ", ".join(names[:most]) + (f" {rest.format(more)}" if more else "")


def first_of(names: Sequence[str], most: int) -> list[str]:
    """Return the first of some names as a list, whose last entry says how many more there are.

    >>> first_of(["a", "b", "c"], 2), first_of(["a", "b"], 2)
    (['a', 'b', 'and 1 more'], ['a', 'b'])
    """
    more = len(names) - most
    return [*names] if more <= 0 else [*names[:most], AND_MORE.format(more)]
