"""A dictionary that makes what it lacks, and is emptied when full."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

ENTRIES = 4096
LONGEST = 256


class BoundedCache(dict[K, V]):
    """What a pure function said of texts that callers choose.

    A hit is one dictionary look-up. Callers can make it forget, never grow: it is emptied at `entries`
    keys, and a key above `longest` (as `size` measures it) is answered and not kept (threats F-20).
    """

    __slots__ = ("_entries", "_longest", "_make", "_size")

    def __init__(
        self,
        make: Callable[[K], V],
        *,
        entries: int = ENTRIES,
        longest: int = LONGEST,
        size: Callable[[K], int] = len,  # type: ignore[assignment]  # right for text, all that has no other
    ) -> None:
        super().__init__()
        self._make = make
        self._entries = entries
        self._longest = longest
        self._size = size

    def __missing__(self, key: K) -> V:
        value = self._make(key)
        if self._size(key) <= self._longest:
            if len(self) >= self._entries:
                self.clear()
            self[key] = value
        return value
