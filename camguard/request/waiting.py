"""The requests whose body is not complete: bounded, counted by client address, and given up first.

A client that opens many requests and sends their bodies slowly, or never, must not keep others from being
served. Such requests are therefore counted here and not among those that are served. Where a bound is
reached, one of them yields: its bytes are freed at once, its task is cancelled, and its client is refused.

Rule 1: a waiting request yields to a newcomer, never the other way round.
Rule 2: the client address that holds most yields its oldest request. An address with many waiting requests
        therefore costs other addresses nothing.
Rule 3: the counted address is that of the socket, or the one that a trusted proxy wrote. An IPv6 client is
        counted by its /64 network, because one subscriber has all of it (RFC 6177).
"""

from __future__ import annotations

import asyncio
from typing import Final

from camguard.request.deadline import Watch

_IPV6: Final = 1 << 32  # where IPv6 begins on the number line (ipset.py)
_INTERFACE_BITS: Final = 64


def client_key(place: int | None) -> int | None:
    """Return the key of a client: its address (IPv4), or a negative number for its network (IPv6)."""
    if place is None or place < _IPV6:
        return place
    return ~((place - _IPV6) >> _INTERFACE_BITS)


class Share:
    """The waiting requests of one client address. waiters: oldest first. size: bytes of their bodies."""

    __slots__ = ("client", "size", "waiters")

    def __init__(self, client: int | None) -> None:
        self.client = client
        self.size = 0
        self.waiters: dict[Waiter, None] = {}


class Waiter:
    """One waiting request.

    body: the bytes that have arrived. left: whether the client has left. yielded: whether it was given up.
    """

    __slots__ = ("body", "left", "share", "task", "watch", "yielded")

    def __init__(self, share: Share, task: asyncio.Task[object], watch: Watch) -> None:
        self.share = share
        self.task = task
        self.watch = watch
        self.body = bytearray()
        self.left = self.yielded = False


class Waiting:
    """All waiting requests of one guard.

    most: how many there may be; most_per_client: of one client address. count: how many there are. size:
    bytes of their bodies. yields: how many have yielded so far.
    """

    def __init__(self, most: int, most_per_client: int) -> None:
        self.count = 0
        self.size = 0
        self.yields = 0
        self._most = most
        self._most_per_client = most_per_client
        self._shares: dict[int | None, Share] = {}

    def enter(self, place: int | None, task: asyncio.Task[object], watch: Watch) -> Waiter:
        """Count one more request; where that is one too many, another one yields.

        place: of the client's address on the number line. task: waits, under the deadline of `watch`.
        """
        client = client_key(place)
        share = self._shares.get(client)
        if share is None:
            share = self._shares[client] = Share(client)
        waiter = Waiter(share, task, watch)
        share.waiters[waiter] = None
        self.count += 1
        if len(share.waiters) > self._most_per_client:
            self._end(share)
        elif self.count > self._most:
            self._end(max(self._shares.values(), key=_requests))
        return waiter

    def grow(self, waiter: Waiter, part: bytes) -> None:
        """Count and keep a further part of a body."""
        waiter.body += part
        waiter.share.size += len(part)
        self.size += len(part)

    def free(self, size: int, keeps: Waiter | None = None) -> bool:
        """Make incomplete bodies yield until `size` bytes are free. Return False where they cannot be freed.

        size: where it is 0 or negative, nothing has to be freed, and nothing yields.
        keeps: the request that needs the bytes; where it would have to yield itself, nothing more is freed.
        """
        most = self.size - size
        if most < 0:
            return False
        while self.size > most:
            share = max(self._shares.values(), key=_bytes)
            if self._first_with_bytes(share) is keeps:
                return False
            self._end(share, with_bytes=True)
        return True

    def leave(self, waiter: Waiter) -> bytes:
        """End a wait, and return the bytes that arrived."""
        body = bytes(waiter.body)
        if not waiter.yielded:
            self._remove(waiter)
        return body

    def _end(self, share: Share, *, with_bytes: bool = False) -> None:
        """Make the oldest request of a client address yield: free its bytes now and cancel its task."""
        waiter = self._first_with_bytes(share) if with_bytes else next(iter(share.waiters))
        self._remove(waiter)
        waiter.body.clear()
        waiter.yielded = True
        self.yields += 1
        waiter.watch.end(waiter.task)

    def _first_with_bytes(self, share: Share) -> Waiter:
        return next(waiter for waiter in share.waiters if waiter.body)

    def _remove(self, waiter: Waiter) -> None:
        share, size = waiter.share, len(waiter.body)
        self.count -= 1
        self.size -= size
        share.size -= size
        del share.waiters[waiter]
        if not share.waiters:
            del self._shares[share.client]


def _requests(share: Share) -> int:
    return len(share.waiters)


def _bytes(share: Share) -> int:
    return share.size
