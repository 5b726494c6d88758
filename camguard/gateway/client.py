"""One HTTP/1.1 exchange with an upstream, sent at most once.

Rule 1: what is handed in goes out: query, names, values, body, byte for byte. Only framing is added.
Rule 2: a request is never repeated. In this API a GET pays orders, so no method is safe to send twice. A
        request of which no byte was written is no repetition: it goes to another connection. Therefore the
        kernel is asked about a kept connection, and the request is written, in one turn of the event loop.
Rule 3: a connection on which a byte arrives that no request waits for is never used again.

`request_writer` writes requests, `reply_parser` reads replies, `connection` holds one connection and its
exchange, `connecting` opens connections. CONTRIBUTING.md says why this is code of our own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Protocol

from camguard.gateway.connecting import Names, open_connection
from camguard.gateway.connection import Connection, Exchange, UpstreamError
from camguard.gateway.request_writer import Body, Headers, Origin, request_head
from camguard.request.deadline import in_task
from camguard.telemetry.process_log import Event

LOG = logging.getLogger("camguard.upstream")

CLOSING = b"connection: close\r\n"
QUIET_SECONDS = 60.0  # between two lines of the log about an origin that cannot be connected to


class Reply(Protocol):
    """What an upstream answered. The head is complete, the body may still arrive.

    headers: names in lower case.
    """

    status: int
    headers: Headers

    def whole(self) -> bytes | None:
        """Return the body if all of it has arrived, else None."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Give the body as it arrives. Raises UpstreamError."""

    def close(self) -> None:
        """End the exchange: the connection is kept if the reply has ended, else cut."""


class Client(Protocol):
    """Connections to upstreams."""

    def send(
        self, origin: Origin, method: str, query: bytes, headers: Headers, body: Body
    ) -> Awaitable[Reply]:
        """Send one request, and return an awaitable of the reply. The caller awaits the reply at once.

        query: raw, as received. headers: names in lower case, none of one hop. body: None sends none; an
        iterator is framed by the content-length among the headers, or chunked without one.
        Raises UpstreamError, and ValueError for a request that cannot be written.
        """

    async def close(self) -> None:
        """Cut what is left."""


class Pool:
    """Connections, of which at most `most` carry a request at once; further requests wait, the oldest first.

    seconds: as `HttpClient`. idle_seconds: how long an idle connection is kept; 0: none is kept.
    """

    def __init__(self, *, seconds: float, most: int, idle_seconds: float) -> None:
        self._seconds = seconds
        self._most = most
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._names = Names()
        self._busy = 0
        self._open: set[Connection] = set()
        # The last one is used first, so that the first ones are those that have been idle for the longest.
        self._idle: dict[Origin, dict[Connection, float]] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._reported: dict[Origin, float] = {}

    def kept(self, origin: Origin) -> Connection | None:
        """Return an idle connection that may be used in this turn of the event loop."""
        idle = self._idle.get(origin)
        if not idle or self._busy >= self._most:
            return None
        oldest = self._loop.time() - self._idle_seconds
        while idle:
            connection, since = idle.popitem()
            self._busy += 1
            if since > oldest and connection.usable():
                return connection
            connection.abort()
        return None

    async def connect(self, origin: Origin) -> Connection:
        """Return a connection when there may be one more: a new one, or one that was kept meanwhile.

        Raises UpstreamError.
        """
        await in_task()
        try:
            async with asyncio.timeout(self._seconds):
                while self._busy >= self._most:
                    await self._turn()
                return self.kept(origin) or await self._new(origin)
        except TimeoutError as exc:
            raise UpstreamError("timeout", exc) from None
        except OSError as exc:
            self._report(origin, exc)
            raise UpstreamError("connect", exc) from None

    async def _turn(self) -> None:
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiting.remove(waiter)
            else:
                self._admit()
            raise

    def _admit(self) -> None:
        """Let the next request go on."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _new(self, origin: Origin) -> Connection:
        self._busy += 1
        try:
            made = await open_connection(
                origin, self._names, self._seconds, partial(Connection, origin, self, self._seconds)
            )
        except BaseException:
            self._busy -= 1
            self._admit()
            raise
        self._open.add(made)
        # The upstream has ended it, or has sent something before the request. Under TLS the kernel may hold
        # the session tickets of the handshake.
        if made.transport.is_closing() or (origin.scheme == "http" and not made.usable()):
            made.abort()
            raise UpstreamError("reset", None)
        return made

    def keep(self, connection: Connection) -> None:
        """Take a connection whose exchange has ended and that may carry another request."""
        if not self._idle_seconds:
            connection.abort()
            return
        self._busy -= 1
        now = self._loop.time()
        self._idle.setdefault(connection.origin, {})[connection] = now
        if self._expiry is None:
            self._expiry = self._loop.call_at(now + self._idle_seconds, self._expire)
        if self._waiting:
            self._admit()

    def drop(self, connection: Connection) -> None:
        """Forget a connection that has ended. May be called more than once."""
        if connection in self._open:
            self._open.discard(connection)
            if self._idle.get(connection.origin, {}).pop(connection, None) is None:
                self._busy -= 1
                self._admit()

    def _expire(self) -> None:
        """End the connections that have been idle for too long, and look again when the next one will be."""
        self._expiry = None
        oldest = self._loop.time() - self._idle_seconds
        for idle in self._idle.values():
            for connection in [each for each, since in idle.items() if since <= oldest]:
                connection.abort()
        since = [next(iter(idle.values())) for idle in self._idle.values() if idle]
        if since:
            self._expiry = self._loop.call_at(min(since) + self._idle_seconds, self._expire)

    def _report(self, origin: Origin, error: OSError) -> None:
        """Log why an origin cannot be connected to. Nothing of a request is in such an error."""
        now = self._loop.time()
        if now >= self._reported.get(origin, 0.0):
            self._reported[origin] = now + QUIET_SECONDS
            why = error.strerror or str(error)
            LOG.warning(Event("an upstream cannot be connected to", upstream=str(origin), error=why))

    def close(self) -> None:
        """Cut all connections."""
        if self._expiry is not None:
            self._expiry.cancel()
        for connection in tuple(self._open):
            connection.abort()


class HttpClient:
    """`Client` over connections of our own. Made inside a running loop.

    seconds: how long a reply's head may take, and any silence within its body. connections: how many carry a
    request at once. idle_seconds: how long a connection is kept for the next request; 0: a connection for
    each request.
    """

    def __init__(self, *, seconds: float, connections: int, idle_seconds: float = 4.0) -> None:
        self._seconds = seconds
        self._added = b"" if idle_seconds else CLOSING
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(seconds=seconds, most=connections, idle_seconds=idle_seconds)

    def send(  # noqa: D102 - Client says it
        self, origin: Origin, method: str, query: bytes, headers: Headers, body: Body
    ) -> Awaitable[Exchange]:
        head, length = request_head(origin, method, query, headers, body, self._added)
        connection = self._pool.kept(origin)
        if connection is None:
            return self._connected(origin, method, head, body, length)
        return connection.begin(head, body, length, to_head=method == "HEAD", due=0.0)

    async def _connected(
        self, origin: Origin, method: str, head: bytes, body: Body, length: int | None
    ) -> Exchange:
        """Send a request when there is a connection for it."""
        due = self._loop.time() + self._seconds
        connection = await self._pool.connect(origin)
        return await connection.begin(head, body, length, to_head=method == "HEAD", due=due)

    async def close(self) -> None:  # noqa: D102 - Client says it
        self._pool.close()
        await asyncio.sleep(0)  # the event loop closes the sockets in its next turn
