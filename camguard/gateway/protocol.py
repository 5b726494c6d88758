"""uvicorn's HTTP/1.1 protocol with the bounds that it leaves to a front proxy (threats 3.5.8, T26, T61, T62).

Rule 1: a connection that makes us wait (for a head, a body, its taking an answer) is cut at a deadline.
Rule 2: a head that is not complete within its bytes is refused; the guard judges those that are.
Rule 3: what arrives after the head (trailers) never reaches the headers that the guard reads.
Rule 4: whoever is answered while still sending is read on for a while, or the kernel's reset for what nobody
        reads takes the answer with it. What is read then is thrown away.

Deadlines cost a request no timer: a connection notes since when we wait for it, one sweep looks at all.
Overridden methods are those of uvicorn's class and say only what they add.
"""

# ruff: noqa: D102 - asyncio and uvicorn say what these methods are

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from camguard.edge.reading import TRAILERS_APART
from camguard.settings import LimitsSettings

SLACK_BYTES = 8192  # request line and the end of a packet that belongs to a body
SLACK_SECONDS = 2.0  # the guard answers a late body itself; the cut is for what the guard cannot see
LINGER_SECONDS = 0.5  # how long an idle connection may still bring a request once the server is ending
DRAIN_SECONDS = 5.0  # how long a caller that has its answer may send nothing and stay
DRAIN_BYTES = 1 << 20
SWEEP_SECONDS = 1.0
VERSIONS = ("1.1", "1.0")


class Bounds(NamedTuple):
    """What one listener's connections may take. Seconds, bytes, and how many connections at once.

    drain_bytes: what a caller may still send that has its answer already.
    """

    head_seconds: float
    body_seconds: float
    head_bytes: int
    connections: int
    drain_bytes: int = DRAIN_BYTES

    @classmethod
    def of(cls, limits: LimitsSettings, connections: int) -> Bounds:
        head = limits.header_bytes + limits.query_bytes + SLACK_BYTES
        body_seconds = limits.body_seconds + SLACK_SECONDS
        # A body up to twice as large as allowed is taken to its end: its caller is the one to be told.
        return cls(limits.header_seconds, body_seconds, head, connections, 2 * limits.body_bytes)

    @property
    def sweep_seconds(self) -> float:
        return min(SWEEP_SECONDS, self.head_seconds / 4, self.body_seconds / 4)


class Discarded(list[tuple[bytes, bytes]]):
    """Headers that came after the head: taken, and not kept."""

    def append(self, line: tuple[bytes, bytes], /) -> None:
        pass


DISCARDED = Discarded()
VOUCHED: dict[str, dict[object, object]] = {TRAILERS_APART: {}}  # Rule 3, for the guard to rely on
CLOSING = [(b"connection", b"close")]


def plain(status: bytes) -> bytes:
    """Return an answer without body to what never became a request."""
    return b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def one_target(url: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether a request's target says nothing that uvicorn would not show (T39, T41).

    It drops a fragment, and of the absolute form, which clients send to a proxy, the host.
    """
    if b"#" in url:
        return False
    if url.startswith(b"/") or url == b"*":
        return True
    authority = url.partition(b"://")[2].partition(b"/")[0].lower()
    return [value.lower() for name, value in headers if name == b"host"] == [authority]


class Outgoing:
    """The transport as uvicorn's answers use it, with another `close`."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bound` makes the class of one listener.

    head_since, body_since, stalled_since: loop time since when we wait for that, None while we do not.
    drained_at: loop time when something was last thrown away behind the last answer, None before that.
    drained: bytes of the body at hand that were. counted: whether the parser tells where they end.
    unspent: bytes since the last part of a body.
    """

    bounds: ClassVar[Bounds]

    head_since: float | None = None
    body_since: float | None = None
    stalled_since: float | None = None
    drained_at: float | None = None
    head_bytes = 0
    drained = 0
    unspent = 0
    counted = False
    ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.outgoing = Outgoing(transport, self.close_behind_answer)
        self.head_since = self.loop.time()
        if len(self.connections) > self.bounds.connections:
            transport.write(plain(b"503 Service Unavailable"))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.outgoing.close = self.transport.close  # nothing of an ended connection refers to itself
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.drained_at is not None:
            self.discard(data)
            return
        in_head = self.head_since is not None
        self.unspent += len(data)
        super().data_received(data)
        if in_head and self.head_since is not None:
            self.head_bytes += len(data)
            if self.head_bytes > self.bounds.head_bytes:
                self.refuse(plain(b"431 Request Header Fields Too Large"))
        elif self.body_since is not None and self.unspent > self.bounds.head_bytes:
            self.transport.abort()  # a trailer or chunk line without end: the parser would keep it all

    def on_body(self, body: bytes) -> None:
        self.unspent = 0
        if self.drained_at is None and self.cycle.response_complete:  # on a connection that stays
            self.drained += len(body)
            if self.drained > self.bounds.drain_bytes:
                self.transport.close()
        super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_since = self.loop.time()
        self.head_bytes = 0

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() not in VERSIONS or not one_target(self.url, self.headers):
            raise ValueError  # httptools ends the connection with 400
        self.head_since = None
        self.unspent = 0
        self.body_since = self.loop.time()
        self.scope["extensions"] = VOUCHED
        super().on_headers_complete()
        self.cycle.transport = self.outgoing  # type: ignore[assignment]
        if self.ending:
            self.close_after_this()
        self.headers = DISCARDED

    def on_message_complete(self) -> None:
        self.body_since = None
        if self.drained_at is not None:
            raise ValueError  # nothing behind it is parsed
        self.drained = 0
        super().on_message_complete()
        self.wait_for_next()

    def on_response_complete(self) -> None:
        if self.drained_at is not None:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        self.wait_for_next()

    def wait_for_next(self) -> None:
        """Start the clock of the next head, once request and answer are both over."""
        if self.head_since is None and self.body_since is None and not self.answering():
            self.head_since = self.loop.time()
            self.head_bytes = 0

    def pause_writing(self) -> None:
        self.stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.stalled_since = None
        super().resume_writing()

    def shutdown(self) -> None:
        """End after the request at hand; an idle connection may bring one more within a moment.

        A client that sends just now on a connection it believes open gets an answer, not a reset.
        """
        self.ending = True
        if self.drained_at is not None:
            self.transport.close()
        elif self.answering():
            self.close_after_this()
        else:
            self.loop.call_later(LINGER_SECONDS, self.close_idle)

    def close_after_this(self) -> None:
        """Close behind the answer at hand, and say so in it: no other request may be sent here."""
        self.cycle.keep_alive = False
        self.cycle.default_headers = CLOSING

    def close_idle(self) -> None:
        if not self.answering() and self.head_bytes == 0 and not self.transport.is_closing():
            self.transport.close()

    def close_behind_answer(self) -> None:
        """Close; if the caller is still sending what was answered, say so and take it to its end first."""
        if (
            self.body_since is None
            or self.ending
            or not self.cycle.response_complete  # cut short, or the answer before one that is in the queue
            or self.transport.is_closing()
        ):
            self.transport.close()
            return
        self.drained_at = self.loop.time()
        # Trailers have no bound in the parser: it follows a body whose length is known, no other.
        self.counted = any(name == b"content-length" for name, _ in self.cycle.scope["headers"])
        self.cycle.body = bytearray()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            try:
                self.transport.write_eof()
            except OSError:  # the peer is gone
                self.transport.abort()

    def discard(self, data: bytes) -> None:
        """Throw away what comes after the answer, within its bound."""
        self.drained_at = self.loop.time()
        self.drained += len(data)
        over = self.drained > self.bounds.drain_bytes
        if self.counted and not over:
            try:
                self.parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                over = True
        if over:
            self.transport.close()

    def sweep(self, now: float) -> None:
        """Cut the connection if it was waited for too long."""
        if self.late(self.stalled_since, now) or self.late(self.body_since, now):
            self.transport.abort()  # close() would wait until the peer has taken what it does not take
        elif self.drained_at is not None:
            if now - self.drained_at > DRAIN_SECONDS:
                self.transport.close()
        elif self.head_since is not None and now - self.head_since > self.bounds.head_seconds:
            if self.answering():
                self.close_after_this()  # only a pipelined head is late
            else:
                self.refuse(plain(b"408 Request Timeout") if self.head_bytes else b"")

    def late(self, since: float | None, now: float) -> bool:
        return since is not None and now - since > self.bounds.body_seconds

    def refuse(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        if not self.answering():
            self.transport.write(answer)
        self.transport.close()

    def answering(self) -> bool:
        """Say whether a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's annotation hides that there may be none
        return cycle is not None and not cycle.response_complete


def bound(bounds: Bounds) -> type[BoundedProtocol]:
    """Return the protocol class of a listener with these bounds."""
    return type("Bounded", (BoundedProtocol,), {"bounds": bounds})


async def sweep(connections: Callable[[], Iterable[Any]], bounds: Bounds) -> None:
    """Look at every connection from time to time, for ever."""
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(bounds.sweep_seconds)
        now = clock()
        for connection in tuple(connections()):
            connection.sweep(now)
