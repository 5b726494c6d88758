"""One signature, one call: the setting `bind_signatures` (THREATS 3.4.4, T74).

A TC3 signature as every official client makes it covers neither action, version nor region. When bound, the
first call that a signature is seen with is the only one that it fits. Off by default: an honest client that
sends the same body to two actions within one second sends the same signature.
Each process remembers for itself: with several workers or instances a signature is bound in each of them.
"""

from __future__ import annotations

from typing import Final

from cachetools import FIFOCache

from camguard.authn.tc3 import SKEW

WINDOW: Final = 2 * SKEW  # seconds; before and after it the timestamp alone refuses the signature
Binding = tuple[object, ...]


class SignatureLog(FIFOCache[bytes, tuple[Binding, float]]):
    """Which call each signature was first seen with. Oldest out when full.

    lost: how many were pushed out while they could still have been used.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.lost = 0
        self._now = 0.0

    def bound(self, signature: bytes, binding: Binding, now: float) -> bool:
        """Tell whether this signature was first seen with this very binding, or is seen first now.

        To be asked only of a signature that was found good. now: seconds since the epoch.
        """
        self._now = now
        seen = self.get(signature)
        if seen is None or abs(now - seen[1]) > WINDOW:
            self[signature] = binding, now
            return True
        return seen[0] == binding

    def popitem(self) -> tuple[bytes, tuple[Binding, float]]:
        """Drop the oldest, and count it if it was still good for something."""
        signature, seen = super().popitem()
        self.lost += abs(self._now - seen[1]) <= WINDOW
        return signature, seen
