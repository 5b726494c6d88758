"""uvicorn's HTTP/1.1 protocol with the bounds that it leaves to a front proxy (THREATS 3.5.8, T26, T61, T62).

What arrives is parsed one message at a time and in bounded turns of the event loop, as
`camguard.gateway.parsing` says. What is here ends a connection, or an answer.

Rule 1: a connection that makes us wait (for a head, a body, its taking an answer) is cut at a deadline.
Rule 2: a head that is not complete within its bytes and lines is refused; the guard judges those that are.
Rule 3: what arrives after the head (trailers) never reaches the headers that the guard reads.
Rule 4: a client that is answered while it still sends is read on for a while, because the kernel's reset for
        bytes that nobody reads would take the answer with it. What is read then is discarded without parsing.

Deadlines cost a request no timer: a connection notes since when we wait for it, one sweep looks at all.
Overridden methods are those of uvicorn's class and say only what they add.
"""

# ruff: noqa: D102 - asyncio and uvicorn say what these methods are

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

import httptools

from camguard.gateway.cycle import DEPARTURE_KEY, Cycle
from camguard.gateway.head_layout import LENGTH_OF, LOWER
from camguard.gateway.parsing import BYTES_PER_UNIT, DISCARDED, PARTS_PER_UNIT, Parsing
from camguard.gateway.turns import Turns
from camguard.request.head import TRAILERS_APART
from camguard.settings import LimitsSettings

SLACK_BYTES = 8192  # request line and the end of a packet that belongs to a body
SLACK_SECONDS = 2.0  # the guard answers a late body itself; the cut is for what the guard cannot see
LINGER_SECONDS = 0.5  # how long an idle connection may still bring a request once the server is ending
DRAIN_SECONDS = 5.0  # how long a caller that has its answer may send nothing and stay
DRAIN_BYTES = 1 << 20
SWEEP_SECONDS = 1.0
VERSIONS = ("1.1", "1.0")
# Behind an answer, a body in smaller parts than this is discarded instead of parsed, and the connection ends.
FEW_PARTS = 1024
PART_BYTES = 64
# A body that is read, and that comes in more chunks than this, is refused where its chunks are smaller on
# average than this. A chunk costs some 0.1 µs, so the framing of a body of 10 MiB costs a few milliseconds.
READ_PARTS = 32_768
READ_PART_BYTES = 128


class Bounds(NamedTuple):
    """What one listener's connections may take. Seconds, bytes, and how many connections at once.

    drain_bytes: what a caller may still send that has its answer already. head_lines: of a head that goes on.
    """

    head_seconds: float
    body_seconds: float
    head_bytes: int
    connections: int
    drain_bytes: int = DRAIN_BYTES
    head_lines: int = 10_000

    @classmethod
    def of(cls, limits: LimitsSettings, connections: int) -> Bounds:
        head = limits.header_bytes + limits.query_bytes + SLACK_BYTES
        body_seconds = limits.body_seconds + SLACK_SECONDS
        # A body up to twice as large as allowed is taken to its end: its caller is the one to be told.
        # The same holds for a head of up to twice as many lines.
        return cls(
            limits.header_seconds,
            body_seconds,
            head,
            connections,
            2 * limits.body_bytes,
            2 * limits.header_lines,
        )

    @property
    def sweep_seconds(self) -> float:
        return min(SWEEP_SECONDS, self.head_seconds / 4, self.body_seconds / 4)


VOUCHED: dict[str, dict[object, object]] = {TRAILERS_APART: {}}  # Rule 3, for the guard to rely on


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


def split_target(url: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a request's target. Raises httptools.HttpParserError."""
    parsed = httptools.parse_url(url)
    return parsed.path, parsed.query or b""


def expects_continue(headers: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether a client waits for `100 Continue`."""
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)


def left(transport: asyncio.Transport) -> bool:
    """Ask the kernel whether the peer has ended its side, though bytes before the end are unread."""
    if transport.is_closing():
        return False
    ended = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), ended)
    return bool(poll.poll(0))


class BoundedProtocol(Parsing):
    """One connection. `bound` makes what makes those of one listener.

    stalled_since: loop time since when the client takes no answer, None while it does.
    drained, drained_parts: bytes of the body at hand that were discarded, and the parts in which they came.
    counted: whether the end of what is discarded is known. unspent: bytes since the last part of a body.
    """

    __slots__ = ("bounds", "counted", "drained", "drained_parts", "ending", "stalled_since", "unspent")

    def __init__(self, bounds: Bounds, turns: Turns, *, direct: bool, **kwargs: Any) -> None:
        super().__init__(turns, direct=direct, **kwargs)
        self.bounds = bounds
        self.stalled_since: float | None = None
        self.drained = self.drained_parts = self.unspent = 0
        self.counted = self.ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            transport.write(plain(b"503 Service Unavailable"))
            transport.close()

    def head_goes_on(self, size: int) -> bool:
        """Bound a head that has not ended. size: bytes of the slice."""
        if self.head_since is not None:
            self.turns.spent += size // BYTES_PER_UNIT
            self.head_bytes += size
            if self.head_bytes > self.bounds.head_bytes or len(self.headers) > self.bounds.head_lines:
                self.refuse(plain(b"431 Request Header Fields Too Large"))
                return False
        return True

    def body_goes_on(self, size: int, parts: int) -> bool:
        """Bound what comes of a body that has not ended. size: bytes of the slice. parts: that it brought."""
        # A slice without a part holds trailers or lines of chunk sizes. They cost as much as lines of a head.
        self.turns.spent += parts // PARTS_PER_UNIT if parts else size // BYTES_PER_UNIT
        if not self.answering():
            self.drained += size
            self.drained_parts += parts
            if self.drained > self.bounds.drain_bytes:
                self.transport.close()
                return False
            if self.drained_parts > FEW_PARTS and self.drained < PART_BYTES * self.drained_parts:
                self.drain()
                return False
        elif parts:
            self.unspent = 0
            if self.body_parts > READ_PARTS and self.body_bytes < READ_PART_BYTES * self.body_parts:
                self.refuse_chunks()
                return False
        else:
            self.unspent += size
            if self.unspent > self.bounds.head_bytes:
                self.transport.abort()  # a trailer or chunk line without end: the parser would keep all of it
                return False
        return True

    def reject(self) -> None:
        """End a connection whose bytes are no HTTP. An answer that has begun is cut, not written into."""
        if self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started:
            self.transport.abort()
        else:
            self.send_400_response("Invalid HTTP request received.")

    def refuse_chunks(self) -> None:
        """Answer 400 to a body of too many small chunks, and discard the rest of it.

        The application gets `http.disconnect`. An answer that has begun is cut.
        """
        cycle = self.cycle
        assert cycle is not None  # noqa: S101 - for mypy: its body is being read
        if cycle.response_started:
            self.transport.abort()
            return
        cycle.give_up()
        self.transport.write(plain(b"400 Bad Request"))
        self.drain()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((LOWER[name], value))

    def on_headers_complete(self) -> None:
        parser, headers, url = self.parser, self.headers, self.url
        version = parser.get_http_version()
        if version not in VERSIONS or not (url == b"/" or one_target(url, headers)):
            raise ValueError  # httptools ends the connection with 400
        named = dict(headers)
        self.head_since = None
        self.head_bytes = 0
        self.unspent = 0
        self.body_since = self.loop.time()
        self.to_come = LENGTH_OF[named[b"content-length"]] if b"content-length" in named else 0
        self.headers = DISCARDED
        raw, query, path = url, b"", "/"
        if url != b"/":
            raw, query = split_target(url)
            path = raw.decode("ascii")
            path = unquote(path) if "%" in path else path
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": headers,
            "state": {},
            "method": parser.get_method().decode("ascii"),
            "path": path,
            "raw_path": raw,
            "query_string": query,
            "extensions": VOUCHED,
        }
        old = version == "1.0"
        # RFC 9110 section 10.1.1: the expectation of an HTTP/1.0 client is not answered.
        waits = not old and b"expect" in named and expects_continue(headers)
        alive = not (old or self.ending) and parser.should_keep_alive()
        if parser.should_upgrade():
            # The parser takes what follows the head for the other protocol, whatever length is declared. No
            # protocol is upgraded to, and a body must never be read as a request.
            alive = alive and not self.to_come and b"transfer-encoding" not in named
        self.scope = scope  # type: ignore[assignment]
        self.cycle = cycle = Cycle(self, scope["method"], keep_alive=alive, old=old, awaits_continue=waits)
        scope[DEPARTURE_KEY] = cycle
        self.fresh = True

    def on_message_complete(self) -> None:
        self.end_message()
        self.drained = self.drained_parts = 0
        self.wait_for_next()

    def on_response_complete(self) -> None:
        """Wait for the next request, and parse what is held."""
        if self.drained_at is None and not self.transport.is_closing():
            self.wait_for_next()
            if self.held or self.flow.read_paused:
                self.turns.queue(self)

    def wait_for_next(self) -> None:
        """Start the clock of the next head, once request and answer are both over."""
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if not answering and self.head_since is None and self.body_since is None:
            self.head_since = self.loop.time()
            self.head_bytes = 0

    def pause_writing(self) -> None:
        self.stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.stalled_since = None
        super().resume_writing()

    def shutdown(self, linger: float = LINGER_SECONDS) -> None:
        """End after the request at hand; an idle connection may bring one more within `linger` seconds.

        A client that sends just now on a connection it believes open gets an answer, not a reset. It believes
        so behind an answer whose head is written already, too.
        """
        self.ending = True
        cycle = self.cycle
        if self.drained_at is not None:
            self.transport.close()
        elif cycle is not None and not cycle.response_complete and not cycle.response_started:
            cycle.keep_alive = False
        else:
            self.loop.call_later(linger, self.close_idle, linger)

    def cancel(self) -> None:
        """Cancel the application of the request at hand."""
        if self.cycle is not None:
            self.cycle.cancel()

    def close_idle(self, linger: float) -> None:
        if self.transport.is_closing():
            return
        if self.answering():
            self.loop.call_later(linger, self.close_idle, linger)
        elif self.head_bytes == 0:
            self.transport.close()

    def close_behind_answer(self) -> None:
        """Close; if the client is still sending, or has sent more than was read, take that first."""
        cycle = self.cycle
        assert cycle is not None  # noqa: S101 - for mypy: an answer was written
        cycle.flush()
        if (
            (self.body_since is None and not self.held and not self.flow.read_paused)
            or self.ending
            or not cycle.response_complete  # cut short
            or self.transport.is_closing()
        ):
            self.transport.close()
        else:
            self.drain()

    def drain(self) -> None:
        """Say that nothing more will be answered, and discard what comes until the client has heard it."""
        self.drained_at = self.loop.time()
        self.counted = self.to_come > 0
        if self.cycle is not None:
            self.cycle.body = b""
        unparsed = len(self.held) - self.held_from
        self.held, self.held_from = b"", 0
        self.discard(unparsed)
        self.flow.read_on()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            try:
                self.transport.write_eof()
            except OSError:  # the peer is gone
                self.transport.abort()

    def discard(self, size: int) -> None:
        """Count what came after the answer and is discarded, within its bound."""
        self.drained_at = self.loop.time()
        self.drained += size
        self.to_come -= size
        if self.drained > self.bounds.drain_bytes or (self.counted and self.to_come <= 0):
            self.transport.close()

    def sweep(self, now: float) -> None:
        """Cut the connection if it was waited for too long, or if its client left while nothing was read."""
        if self.late(self.stalled_since, now) or self.late(self.body_since, now):
            self.transport.abort()  # close() would wait until the peer has taken what it does not take
        elif self.drained_at is not None:
            if now - self.drained_at > DRAIN_SECONDS:
                self.transport.close()
        elif self.head_since is not None and now - self.head_since > self.bounds.head_seconds:
            self.refuse(plain(b"408 Request Timeout") if self.head_bytes else b"")
        elif self.flow.read_paused and self.answering() and left(self.transport):
            self.transport.abort()

    def late(self, since: float | None, now: float) -> bool:
        return since is not None and now - since > self.bounds.body_seconds

    def refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def bound(bounds: Bounds, *, direct: bool = False) -> Callable[..., BoundedProtocol]:
    """Return what makes the connections of a listener with these bounds, whose parsing takes turns.

    direct: whether the application may run without a task, as `camguard.gateway.stepping` says.
    """
    return partial(BoundedProtocol, bounds, Turns(), direct=direct)


async def sweep(connections: Callable[[], Iterable[Any]], bounds: Bounds) -> None:
    """Look at every connection from time to time, for ever."""
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(bounds.sweep_seconds)
        now = clock()
        for connection in tuple(connections()):
            connection.sweep(now)
