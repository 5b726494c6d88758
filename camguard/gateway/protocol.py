"""uvicorn's HTTP/1.1 protocol with the bounds that it leaves to a front proxy (threats 3.5.8, T26, T61, T62).

Rule 1: a connection that makes us wait (for a head, a body, its taking an answer) is cut at a deadline.
Rule 2: a head that is not complete within its bytes is refused; the guard judges those that are.
Rule 3: what arrives after the head (trailers) never reaches the headers that the guard reads.

Deadlines cost a request no timer: a connection notes since when we wait for it, one sweep looks at all.
Overridden methods are those of uvicorn's class and say only what they add.
"""

# ruff: noqa: D102 - asyncio and uvicorn say what these methods are

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from camguard.settings import LimitsSettings

SLACK_BYTES = 8192  # request line and the end of a packet that belongs to a body
SLACK_SECONDS = 2.0  # the guard answers a late body itself; the cut is for what the guard cannot see
LINGER_SECONDS = 0.5  # how long an idle connection may still bring a request once the server is ending
SWEEP_SECONDS = 1.0
VERSIONS = ("1.1", "1.0")


class Bounds(NamedTuple):
    """What one listener's connections may take. Seconds, bytes, and how many connections at once."""

    head_seconds: float
    body_seconds: float
    head_bytes: int
    connections: int

    @classmethod
    def of(cls, limits: LimitsSettings, connections: int) -> Bounds:
        head = limits.header_bytes + limits.query_bytes + SLACK_BYTES
        return cls(limits.header_seconds, limits.body_seconds + SLACK_SECONDS, head, connections)

    @property
    def sweep_seconds(self) -> float:
        return min(SWEEP_SECONDS, self.head_seconds / 4, self.body_seconds / 4)


class Discarded(list[tuple[bytes, bytes]]):
    """Headers that came after the head: taken, and not kept."""

    def append(self, line: tuple[bytes, bytes], /) -> None:
        pass


DISCARDED = Discarded()
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


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bound` makes the class of one listener.

    head_since, body_since, stalled_since: loop time since when we wait for that, None while we do not.
    """

    bounds: ClassVar[Bounds]

    head_since: float | None = None
    body_since: float | None = None
    stalled_since: float | None = None
    head_bytes = 0
    ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.head_since = self.loop.time()
        if len(self.connections) > self.bounds.connections:
            transport.write(plain(b"503 Service Unavailable"))
            transport.close()

    def data_received(self, data: bytes) -> None:
        in_head = self.head_since is not None
        super().data_received(data)
        if in_head and self.head_since is not None:
            self.head_bytes += len(data)
            if self.head_bytes > self.bounds.head_bytes:
                self.refuse(plain(b"431 Request Header Fields Too Large"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_since = self.loop.time()
        self.head_bytes = 0

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() not in VERSIONS or not one_target(self.url, self.headers):
            raise ValueError  # httptools ends the connection with 400
        self.head_since = None
        self.body_since = self.loop.time()
        super().on_headers_complete()
        if self.ending:
            self.close_after_this()
        self.headers = DISCARDED

    def on_message_complete(self) -> None:
        self.body_since = None
        super().on_message_complete()
        self.wait_for_next()

    def on_response_complete(self) -> None:
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
        if self.answering():
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

    def sweep(self, now: float) -> None:
        """Cut the connection if it was waited for too long."""
        if self.late(self.stalled_since, now) or self.late(self.body_since, now):
            self.transport.abort()  # close() would wait until the peer has taken what it does not take
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
