"""uvicorn's HTTP/1.1 protocol with the bounds that it leaves to a front proxy (threats 3.5.8, T26, T61, T62).

How a connection is read. httptools cannot be stopped inside `feed_data`, and uvicorn queues every request
of one read. The parser is therefore fed in slices that end where a message may end, and a slice is fed only
when its message may be parsed:

* A body with a declared length ends where its bytes end. Every other message ends at an empty line, so
  without a declared length a slice ends behind the next empty line, or after `SLICE_BYTES`. Empty lines
  within a chunk are passed over where the chunk's size was found (`chunk_left`). Where a stream is sliced
  never changes what the parser reads. If a second message ever began in the slice that ended the first, the
  connection would end (`on_message_begin`): two requests are never parsed at once.
* No slice is fed while a request that has arrived whole waits for its answer, or while its body is above
  uvicorn's `HIGH_WATER_LIMIT` and the application takes none of it. What was read and not parsed is held.
* Reading stops while held bytes and unread body together exceed `HELD_BYTES`. One connection holds at most
  that much, `COMPACT_BYTES` and one read (256 KiB): 320 KiB. Below it reading goes on, so that a client that
  leaves is noticed although it has sent another request; above it `sweep` asks the kernel.
* Parsing yields to the event loop: a connection after `QUANTUM` units of work, all connections of a listener
  together after `TURN` units. `Turns` lets the waiting connections go on, the oldest first. A read of
  `READ_BYTES` or more is the last one of its connection in one turn.
* The parts of a body are gathered by `list.append`, which the parser calls without running Python code, and
  reach the application as one message a slice.

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
import re
import select
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import httptools
from starlette.types import Message, Send
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
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

END = b"\r\n\r\n"
HEX = re.compile(rb"[0-9A-Fa-f]{1,16}")
EMPTY_LINES = re.compile(rb"[\r\n]*")
OVERLAP = len(END) - 1  # an empty line may begin in so many bytes that were parsed before
KEPT = 32  # parsed bytes that stay held: for that, and for the line of a chunk's size
SLICE_BYTES = 1 << 14
HEAD_SLICE_BYTES = (
    1 << 11
)  # of a head that does not end in what has arrived: its lines are counted after each
READ_BYTES = 1 << 16
COMPACT_BYTES = 1 << 14  # parsed bytes that may stay in front of held ones before these are copied
HELD_BYTES = HIGH_WATER_LIMIT - COMPACT_BYTES
# Work of parsing in units of about one microsecond.
TURN = 4096
QUANTUM = 512
REQUEST_UNITS = 64  # the task of a request costs about as much before it first waits
PARTS_PER_UNIT = 8
BYTES_PER_UNIT = 16  # of a head: a line has at least 4
# Behind an answer, a body in smaller parts than this is discarded instead of parsed, and the connection ends.
FEW_PARTS = 1024
PART_BYTES = 64


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


def left(transport: asyncio.Transport) -> bool:
    """Ask the kernel whether the peer has ended its side, though bytes before the end are unread."""
    if transport.is_closing():
        return False
    ended = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), ended)
    return bool(poll.poll(0))


def unchunked(cycle: RequestResponseCycle) -> Send:
    """Return what sends an answer to an HTTP/1.0 client, which knows no chunks.

    A body without a declared length ends with the connection. uvicorn's cycle sends bytes as they are only
    within a declared length, so each part declares its own. Source: RFC 9112 sections 6.1 and 6.3.
    """
    delimited = False

    async def send(message: Message) -> None:
        nonlocal delimited
        if message["type"] == "http.response.start":
            lines = [line for line in message.get("headers", ()) if line[0].lower() != b"transfer-encoding"]
            message = {**message, "headers": lines}
            delimited = all(name.lower() != b"content-length" for name, _ in lines)
            if delimited:
                cycle.chunked_encoding = False
        elif delimited:
            cycle.expected_content_length = len(message.get("body", b""))
        await RequestResponseCycle.send(cycle, message)  # type: ignore[arg-type]

    return send


def chunk_left(data: bytes, at: int, stop: int, part: bytes) -> int:
    """Return how many bytes of a chunk follow a slice that ended within its data, 0 where that is not known.

    data: what was read. at, stop: the slice. part: the last part of a body that the parser found in it.
    A part that is shorter than its slice began in it, so what stands before the part is the line of its size.
    """
    begin = stop - len(part)
    if begin <= at or data[begin - 2 : begin] != b"\r\n" or not data.endswith(part, begin, stop):
        return 0
    line = data.rfind(b"\n", max(0, begin - KEPT), begin - 2) + 1
    size, _, _ = data[line : begin - 2].partition(b";")
    return int(size, 16) - len(part) if line and HEX.fullmatch(size) else 0


def asleep() -> None:
    """Do nothing: an ended connection is not read on."""


class Outgoing:
    """The transport as uvicorn's answers use it, with another `close`.

    What is written to a connection that is ending is dropped: uvloop raises for a closed transport.
    """

    __slots__ = ("_write", "close", "is_closing")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._write = transport.write
        self.is_closing = transport.is_closing
        self.close = close

    def write(self, data: bytes) -> None:
        if not self.is_closing():
            self._write(data)


class Flow(FlowControl):
    """uvicorn's switch for reading. wake: is called where uvicorn would resume, and decides when to."""

    def __init__(self, transport: asyncio.Transport, wake: Callable[[], None]) -> None:
        super().__init__(transport)
        self.wake = wake

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            super().pause_reading()

    def resume_reading(self) -> None:
        self.wake()

    def read_on(self) -> None:
        """Resume, unless the connection is ending: uvloop raises for a closed transport."""
        if self.read_paused and not self._transport.is_closing():
            super().resume_reading()


class Turns:
    """Connections of one listener whose parsing waits for the next turn of the event loop, the oldest first.

    spent: units of work since the last turn that was given.
    """

    def __init__(self) -> None:
        self.spent = 0
        self._waiting: deque[BoundedProtocol] = deque()
        self._scheduled = False

    def queue(self, connection: BoundedProtocol) -> None:
        """Let a connection go on in a later turn. A connection waits once, however often it asks."""
        if not connection.queued:
            connection.queued = True
            self._waiting.append(connection)
            self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._waiting[0].loop.call_soon(self._give)

    def _give(self) -> None:
        """Let waiting connections go on until the turn is spent. One that asks again waits for the next."""
        self._scheduled = False
        self.spent = 0
        try:
            for _ in range(len(self._waiting)):
                connection = self._waiting.popleft()
                connection.queued = False
                connection.advance()
                if self.spent >= TURN:
                    break
        finally:
            self._schedule()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bound` makes the class of one listener.

    head_since, body_since, stalled_since: loop time since when we wait for that, None while we do not.
    drained_at: loop time when something was last discarded behind the last answer, None before that.
    drained, drained_parts: bytes of the body at hand that were, and the parts in which they came.
    counted: whether the end of what is discarded is known. to_come: bytes of a declared body that were not
    parsed yet. chunk_left: of a chunk, 0 where unknown. unspent: bytes since the last part of a body.
    ended: whether the message at hand has ended in the slice that is being parsed.
    held, held_from: bytes that were read, and where those begin that were not parsed. queued: by `turns`.
    pieces: parts of a body that the parser has put down.
    """

    bounds: ClassVar[Bounds]
    turns: ClassVar[Turns]

    head_since: float | None = None
    body_since: float | None = None
    stalled_since: float | None = None
    drained_at: float | None = None
    head_bytes = 0
    drained = 0
    drained_parts = 0
    unspent = 0
    to_come = 0
    chunk_left = 0
    held = b""
    held_from = 0
    counted = False
    ended = False
    ending = False
    queued = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # type: ignore[method-assign, assignment]
        super().__init__(*args, **kwargs)
        self.headers = DISCARDED

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: Flow = Flow(transport, self.wake)
        self.outgoing = Outgoing(transport, self.close_behind_answer)
        self.head_since = self.loop.time()
        if len(self.connections) > self.bounds.connections:
            transport.write(plain(b"503 Service Unavailable"))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        # Nothing of an ended connection refers to itself.
        self.outgoing.close = self.transport.close
        self.flow.wake = asleep
        self.held = b""
        self.held_from = 0
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.drained_at is not None:
            self.discard(len(data))
        else:
            self.held = self.held + data if self.held else data
            if self.turns.spent >= TURN:
                self.turns.queue(self)
            elif not self.queued:
                self.advance()
        if len(data) >= READ_BYTES or len(self.held) > HELD_BYTES:
            self.flow.pause_reading()
            self.turns.queue(self)

    def advance(self) -> None:
        """Parse what is held, as far as request, answer and turn allow; then read on, or not."""
        if self.drained_at is not None or self.transport.is_closing():
            self.flow.read_on()
            return
        data, at = self.held, self.held_from
        size = len(data)
        most = min(self.turns.spent + QUANTUM, TURN)
        while at < size and not self.occupied():
            if self.turns.spent >= most:
                self.turns.queue(self)
                break
            stop = self.slice_end(data, at)
            if not self.parse(data, at, stop):
                return
            at = stop
        waiting = size - at
        if waiting or self.within():
            self.hold(data, at)
        else:
            self.held, self.held_from = b"", 0
        if self.answering():
            waiting += len(self.cycle.body)
        if waiting > HELD_BYTES:
            self.flow.pause_reading()
        elif self.flow.read_paused:
            self.flow.read_on()

    def hold(self, data: bytes, at: int) -> None:
        """Keep the bytes from `at` for later, and a few before: an empty line may begin in them."""
        if at > COMPACT_BYTES or at == len(data):
            kept = min(at, KEPT)
            data, at = data[at - kept :], kept
        self.held, self.held_from = data, at

    def occupied(self) -> bool:
        """Say whether the request at hand must be answered, or its body taken, before more is parsed."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's annotation hides that there may be none
        if cycle is None or cycle.response_complete:
            return False
        return self.body_since is None or len(cycle.body) > HIGH_WATER_LIMIT

    def within(self) -> bool:
        """Say whether a message has begun that ends at an empty line."""
        return self.head_bytes > 0 or (self.body_since is not None and not self.to_come)

    def slice_end(self, data: bytes, at: int) -> int:
        """Return where the next slice ends, at most one message from its beginning."""
        size = len(data)
        if expected := self.to_come or self.chunk_left:
            return min(size, at + expected)
        start = at - OVERLAP if at > OVERLAP else 0
        if self.headers is DISCARDED and self.head_since is not None and data[at] in b"\r\n":
            # A message begins behind these, and none ends in them.
            empty = EMPTY_LINES.match(data, at, at + SLICE_BYTES)
            start = max(start, empty.end() - OVERLAP)  # type: ignore[union-attr]
        found = data.find(END, start, at + SLICE_BYTES)
        if found >= 0:
            return found + len(END)
        return min(size, at + (SLICE_BYTES if self.head_since is None else HEAD_SLICE_BYTES))

    def parse(self, data: bytes, at: int, stop: int) -> bool:
        """Feed one slice to the parser and count what it brought. Tell whether the connection may go on."""
        size = stop - at
        in_head = self.head_since is not None
        self.ended = False
        if self.to_come:
            self.to_come -= size
        elif self.chunk_left:
            self.chunk_left -= size
        try:
            self.parser.feed_data(data[at:stop])
        except httptools.HttpParserUpgrade:
            pass  # no protocol is upgraded to: what follows is read as HTTP
        except httptools.HttpParserError:
            self.reject()
            return False
        if self.ended:
            self.turns.spent += 1
            return True
        if in_head:
            return self.head_goes_on(size)
        if self.pieces and not self.to_come and not self.chunk_left:
            self.chunk_left = chunk_left(data, at, stop, self.pieces[-1])
        return self.body_goes_on(size, self.gather())

    def head_goes_on(self, size: int) -> bool:
        """Bound a head that has not ended. size: bytes of the slice."""
        self.turns.spent += 1
        if self.head_since is not None:
            self.turns.spent += size // BYTES_PER_UNIT
            self.head_bytes += size
            if self.head_bytes > self.bounds.head_bytes or len(self.headers) > self.bounds.head_lines:
                self.refuse(plain(b"431 Request Header Fields Too Large"))
                return False
        return True

    def body_goes_on(self, size: int, parts: int) -> bool:
        """Bound what comes of a body that has not ended. size: bytes of the slice. parts: that it brought."""
        self.turns.spent += 1 + parts // PARTS_PER_UNIT
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
        else:
            self.turns.spent += size // BYTES_PER_UNIT
            self.unspent += size
            if self.unspent > self.bounds.head_bytes:
                self.transport.abort()  # a trailer or chunk line without end: the parser would keep all of it
                return False
        return True

    def gather(self) -> int:
        """Hand the parts of a body that were parsed to the request at hand; return how many there were."""
        pieces = self.pieces
        parts = len(pieces)
        if parts:
            if not self.cycle.response_complete:
                self.cycle.body += pieces[0] if parts == 1 else b"".join(pieces)
                self.cycle.message_event.set()
            pieces.clear()
        return parts

    def reject(self) -> None:
        """End a connection whose bytes are no HTTP. An answer that has begun is cut, not written into."""
        if self.answering() and self.cycle.response_started:
            self.transport.abort()
        else:
            self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        if self.ended or self.answering():
            raise ValueError  # the slice did not end with its message; httptools ends the connection
        super().on_message_begin()
        self.head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version not in VERSIONS or not one_target(self.url, self.headers):
            raise ValueError  # httptools ends the connection with 400
        self.head_since = None
        self.head_bytes = 0
        self.unspent = 0
        self.body_since = self.loop.time()
        self.scope["extensions"] = VOUCHED
        for name, value in self.headers:
            if name == b"content-length":
                self.to_come = int(value)
        super().on_headers_complete()
        self.cycle.transport = self.outgoing  # type: ignore[assignment]
        if version == "1.0":
            self.cycle.send = unchunked(self.cycle)  # type: ignore[method-assign, assignment]
            self.cycle.waiting_for_100_continue = False  # RFC 9110 section 10.1.1
        if self.ending:
            self.close_after_this()
        self.headers = DISCARDED
        self.turns.spent += REQUEST_UNITS

    def on_message_complete(self) -> None:
        self.ended = True
        self.turns.spent += self.gather() // PARTS_PER_UNIT
        self.body_since = None
        self.to_come = self.chunk_left = 0
        self.drained = self.drained_parts = 0
        cycle = self.cycle
        if cycle.response_complete:
            self.wait_for_next()
        else:
            cycle.more_body = False
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Do what uvicorn does, without its timer for idle connections, and parse what is held."""
        self.server_state.total_requests += 1
        if self.drained_at is None and not self.transport.is_closing():
            self.wait_for_next()
            if self.held or self.flow.read_paused:
                self.turns.queue(self)

    def wake(self) -> None:
        """Go on in the next turn, when the application has taken the body at hand."""
        if (len(self.held) > self.held_from or self.flow.read_paused) and not self.transport.is_closing():
            self.turns.queue(self)

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
        """Close; if the client is still sending, or has sent more than was read, take that first."""
        if (
            (self.body_since is None and not self.held and not self.flow.read_paused)
            or self.ending
            or not self.cycle.response_complete  # cut short
            or self.transport.is_closing()
        ):
            self.transport.close()
        else:
            self.drain()

    def drain(self) -> None:
        """Say that nothing more will be answered, and discard what comes until the client has heard it."""
        self.drained_at = self.loop.time()
        self.counted = self.to_come > 0
        self.cycle.body = bytearray()
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

    def answering(self) -> bool:
        """Say whether a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's annotation hides that there may be none
        return cycle is not None and not cycle.response_complete


def bound(bounds: Bounds) -> type[BoundedProtocol]:
    """Return the protocol class of a listener with these bounds."""
    return type("Bounded", (BoundedProtocol,), {"bounds": bounds, "turns": Turns()})


async def sweep(connections: Callable[[], Iterable[Any]], bounds: Bounds) -> None:
    """Look at every connection from time to time, for ever."""
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(bounds.sweep_seconds)
        now = clock()
        for connection in tuple(connections()):
            connection.sweep(now)
