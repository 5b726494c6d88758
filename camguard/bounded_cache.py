"""A dictionary that callers cannot make grow: when it is full, it is emptied."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

ENTRIES = 4096
LONGEST = 256


def as_short_as_any(_key: object) -> int:
    """Return the size of keys that callers cannot make long."""
    return 0


class BoundedCache(dict[K, V]):
    """Results for keys that callers choose, e.g. header lines. A hit costs one dictionary look-up.

    compute: makes the value of a missing key; without it a missing key raises KeyError, as in a dictionary.
    entries: with as many keys, the cache is emptied before another one is added.
    longest: a key of a greater `size` is answered and not kept, so that long keys cannot fill the memory.

    >>> cache = BoundedCache(str.upper, entries=2)
    >>> cache["a"], cache["b"], len(cache), cache["c"], len(cache)
    ('A', 'B', 2, 'C', 1)
    """

    __slots__ = ("_compute", "_entries", "_longest", "_size")

    def __init__(
        self,
        compute: Callable[[K], V] | None = None,
        *,
        entries: int = ENTRIES,
        longest: int = LONGEST,
        size: Callable[[K], int] = len,  # type: ignore[assignment]  # keys other than text need another function
    ) -> None:
        super().__init__()
        self._compute = compute
        self._entries = entries
        self._longest = longest
        self._size = size

    def __missing__(self, key: K) -> V:
        if self._compute is None:
            raise KeyError(key)
        value = self[key] = self._compute(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        if self._size(key) <= self._longest:
            if len(self) >= self._entries and key not in self:
                self.clear()
            super().__setitem__(key, value)
