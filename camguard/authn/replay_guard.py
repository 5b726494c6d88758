"""One signature, one call: the setting `bind_signatures` (THREATS 3.4.4, T74).

A TC3 signature as every official client makes it covers neither action, version nor region, so anyone
who captures a signed request can send its signature with another action. With this setting a signature is
bound to the first call that it is good for, and is rejected with any other call. It is never rejected with
the same call again, because some clients repeat a request byte for byte after a connection was reset (T135).
The setting is off by default, because an honest client that sends one body to two actions in one second sends
the same signature.

Each process keeps its own bindings: with several workers or instances, a signature can be bound once in each.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from cachetools import FIFOCache

from camguard.authn.tc3 import SKEW
from camguard.request.head import RequestHead

WINDOW: Final = 2 * SKEW  # seconds; earlier and later the timestamp alone refuses the signature
Binding = tuple[object, ...]


def binding_of(head: RequestHead, service: str | None, body: bytes | None) -> Binding:
    """Return what a signature is bound to: everything that decides and that it does not cover (T135).

    The content type is covered but for the boundary that some clients leave out (T134). Over a shared host
    the service is part of the signature itself (T123).
    """
    unsigned_body = None if head.content_sha256 is None else sha256(body or b"").digest()
    return service, head.action, head.version, head.region, head.content_type, unsigned_body


class ReplayGuard(FIFOCache[bytes, tuple[Binding, float]]):
    """The call to which each signature is bound, with the time of the binding. The oldest leaves when full.

    evicted: how many bindings left while their signatures could still have been used.
    """

    _now: float  # seconds since the epoch, of the binding that another one makes room for

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.evicted = 0

    def admits(self, signature: bytes, binding: Binding, now: float) -> bool:
        """Tell whether a signature is bound to this call; bind it where it is not bound yet.

        signature: one that was verified. binding: what makes a call a different one. now: seconds since the
        epoch.
        """
        self._now = now
        bound = self.get(signature)
        if bound is None or abs(now - bound[1]) > WINDOW:
            self[signature] = binding, now
            return True
        return bound[0] == binding

    def popitem(self) -> tuple[bytes, tuple[Binding, float]]:
        """Drop the oldest binding, and count it if its signature could still have been used."""
        signature, bound = super().popitem()
        self.evicted += abs(self._now - bound[1]) <= WINDOW
        return signature, bound
