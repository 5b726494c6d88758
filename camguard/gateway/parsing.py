"""The parsing of a connection's bytes: one message at a time, in bounded turns of the event loop (T61, T62).

httptools cannot be stopped inside `feed_data`, and uvicorn queues every request of one read. The parser is
therefore fed in slices that end where a message may end, and a slice is fed only when its message may be
parsed:

* A body with a declared length ends where its bytes end. Every other message ends at an empty line, so
  without a declared length a slice ends behind the next empty line, or after `SLICE_BYTES`. Empty lines
  within a chunk are passed over where the chunk's size was found (`chunk_left`). Where a stream is sliced
  never changes what the parser reads. If a second message ever began in the slice that ended the first, the
  connection would end (`on_message_begin`): two requests are never parsed at once.
* A POST of which one read holds nothing but the head and the body whose length the head declares is one
  slice: most requests. The length is looked for in the bytes of the head, so that a body that the parser ends
  elsewhere is none of a further slice: the parser fails, or the rest of the body is waited for, or a second
  message begins, which ends the connection.
* No slice is fed while a request that has arrived whole waits for its answer, or while its body is above
  uvicorn's `HIGH_WATER_LIMIT` and the application takes none of it. What was read and not parsed is held.
* Reading stops while held bytes and unread body together exceed `HELD_BYTES`. One connection holds at most
  that much, `COMPACT_BYTES` and one read (256 KiB): 320 KiB. Below it reading goes on, so that a client that
  leaves is noticed although it has sent another request; above it `sweep` asks the kernel.
* Parsing yields to the event loop: a connection after `QUANTUM` units of work, all connections of a listener
  together after `TURN` units. `Turns` lets the waiting connections go on, the oldest first. A read of
  `READ_BYTES` or more is the last one of its connection in one turn.
* The event loop reads from every socket that has bytes before it lets anything else run. After
  `MOST_READ_BYTES` in one turn the reading of all connections of the listener pauses. They read on as they
  get their turns, and each resumed connection counts as one read of 256 KiB (`READ_UNITS`).
* A complete body wakes the guard, which hashes and reads all of the body in the next turn. The last slice of
  a body therefore counts as much as the whole body (`BYTES_PER_JUDGED_UNIT`), so that of several large bodies
  one is judged in each turn.
* The parts of a body are gathered by `list.append`, which the parser calls without running Python code, and
  reach the application as one message a slice.

What ends a connection is up to `BoundedProtocol`, which names the bounds.
"""

# ruff: noqa: D102 - asyncio and uvicorn say what these methods are

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from camguard.gateway.cycle import Cycle
from camguard.gateway.turns import TURN, Flow, Turns, asleep
from camguard.request.head import LENGTH_DIGITS

END = b"\r\n\r\n"
POST = b"POST "
# The name of a declared length, as clients spell it: both parts begin with either size of letters.
LENGTH_LINE, LENGTH = b"\ncontent-length: ", b"ength: "
LINE_BYTES = len(LENGTH_LINE)
HEX = re.compile(rb"[0-9A-Fa-f]{1,16}")
EMPTY_LINES = re.compile(rb"[\r\n]*")
OVERLAP = len(END) - 1  # an empty line may begin in so many bytes that were parsed before
KEPT = 32  # parsed bytes that stay held: for that, and for the line of a chunk's size
SLICE_BYTES = 1 << 14
HEAD_SLICE_BYTES = 1 << 11  # of a head whose end has not arrived: its lines are counted after each slice
READ_BYTES = 1 << 16
COUNTED_READ_BYTES = 1 << 12  # smaller reads cost less than their parsing, which is counted
MOST_READ_BYTES = 1 << 23  # of all connections of a listener in one turn: some 8 ms
COMPACT_BYTES = 1 << 14  # parsed bytes that may stay in front of held ones before these are copied
HELD_BYTES = HIGH_WATER_LIMIT - COMPACT_BYTES
# Work of parsing in units of about one microsecond.
QUANTUM = 512
REQUEST_UNITS = 64  # the application costs about as much before it first waits
# The event loop takes about as long to read 256 KiB from a socket. If all connections that are resumed in one
# turn read so much, `MOST_READ_BYTES` is not exceeded.
READ_UNITS = 128
PARTS_PER_UNIT = 8
BYTES_PER_BODY_UNIT = 1024  # the parser, the guard and the relay copy a body
BYTES_PER_JUDGED_UNIT = 16  # of a complete body: the guard reads 30,000 JSON values of 2 bytes in about 5 ms
BYTES_PER_UNIT = 16  # of a head: a line has at least 4


class Discarded(list[tuple[bytes, bytes]]):
    """Headers that came after the head: taken, and not kept."""

    def append(self, line: tuple[bytes, bytes], /) -> None:
        pass


DISCARDED = Discarded()


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


def declared_in(data: bytes, at: int, stop: int) -> int:
    """Return the declared length of a body, 0 where the first look does not find it. at, stop: its head."""
    begin = data.find(LENGTH, at, stop) + len(LENGTH)
    line = data[begin - LINE_BYTES : begin + LENGTH_DIGITS]
    if line[:LINE_BYTES].lower() != LENGTH_LINE:
        return 0
    digits = line[LINE_BYTES:].partition(b"\r")[0]
    return int(digits) if digits.isdigit() else 0


class Parsing(HttpToolsProtocol):
    """One connection, as far as its bytes are parsed. Overridden methods say only what they add.

    head_since, body_since: loop time since when we wait for that, None while we do not.
    drained_at: loop time when something was last discarded behind the last answer, None before that.
    head_bytes: of a head that goes on. to_come: bytes of a declared body that were not parsed yet.
    body_bytes, body_parts: of the body at hand, as far as it was handed to its request.
    chunk_left: of a chunk, 0 where unknown. ended: whether the message at hand has ended in the slice that is
    being parsed. held, held_from: bytes that were read, and where those begin that were not parsed.
    queued: by `turns`. pieces: parts of a body that the parser has put down. fresh: whether the application
    was not called yet for the request at hand. direct: whether the application may run without a task.
    """

    # Slots: Python looks up more than 30 attributes of an object, and those of its class, three times slower.
    __slots__ = (
        *("body_bytes", "body_parts", "body_since", "chunk_left", "direct", "drained_at", "ended", "fresh"),
        *("head_bytes", "head_since", "held", "held_from", "pieces", "queued", "to_come", "turns", "url"),
    )

    cycle: Cycle | None  # type: ignore[assignment]
    flow: Flow

    def __init__(self, turns: Turns, *, direct: bool, **kwargs: Any) -> None:
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # type: ignore[method-assign, assignment]
        super().__init__(**kwargs)
        self.headers = DISCARDED
        self.turns = turns
        self.direct = direct
        self.fresh = self.ended = self.queued = False
        self.head_since: float | None = None
        self.body_since: float | None = None
        self.drained_at: float | None = None
        self.head_bytes = self.to_come = self.body_bytes = self.body_parts = self.chunk_left = 0
        self.held, self.held_from = b"", 0
        self.url = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport, self.wake)
        self.head_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        # Nothing of an ended connection refers to itself.
        self.flow.resume_reading = asleep  # type: ignore[method-assign]
        self.held, self.held_from = b"", 0
        self.connections.discard(self)
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.depart()

    def discard(self, size: int) -> None:
        """Count what came after the last answer. size: in bytes."""
        raise NotImplementedError

    def head_goes_on(self, size: int) -> bool:
        """Bound a head that has not ended, and tell whether the connection may go on. size: of the slice."""
        raise NotImplementedError

    def body_goes_on(self, size: int, parts: int) -> bool:
        """Do the same for a body. parts: how many of it the slice brought."""
        raise NotImplementedError

    def reject(self) -> None:
        """End a connection whose bytes are no HTTP."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if self.drained_at is not None:
            self.discard(len(data))
        else:
            self.held = self.held + data if self.held else data
            if self.turns.spent >= TURN:
                self.turns.queue(self)
            elif not self.queued:
                self.advance()
        size = len(data)
        if size >= COUNTED_READ_BYTES or len(self.held) > HELD_BYTES:
            self.count_read(size)

    def count_read(self, size: int) -> None:
        """Count a large read in this turn, or pause where much is held. size: of the read."""
        if size >= READ_BYTES or len(self.held) > HELD_BYTES:
            self.flow.pause_reading()
            self.turns.queue(self)
        if size >= COUNTED_READ_BYTES:
            self.turns.queue(self)  # the next turn begins a new count
            self.turns.read += size
            if self.turns.read > MOST_READ_BYTES:
                self.turns.read = 0
                self.pause_all()

    def pause_all(self) -> None:
        """Pause the reading of all connections of the listener until each has had a turn."""
        for connection in cast("set[Parsing]", self.connections):
            if not connection.flow.read_paused:
                connection.flow.pause_reading()
                self.turns.queue(connection)

    def advance(self) -> None:
        """Parse what is held, as far as request, answer and turn allow; then read on, or not."""
        if self.drained_at is not None or self.transport.is_closing():
            self.read_on()
            return
        at = self.parse_held()
        if at is None:
            return
        data = self.held
        waiting = len(data) - at
        if waiting or self.within():
            self.hold(data, at)
        else:
            self.held, self.held_from = b"", 0
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            waiting += len(cycle.body)
        if waiting > HELD_BYTES:
            self.flow.pause_reading()
        elif self.flow.read_paused:
            self.read_on()

    def parse_held(self) -> int | None:
        """Parse what is held, and call the application for each request.

        Return where the bytes begin that were not parsed; None where there are none, or where the connection
        takes no more of them.
        """
        data, at = self.held, self.held_from
        size = len(data)
        most = min(self.turns.spent + QUANTUM, TURN)
        while at < size and not self.occupied():
            if self.turns.spent >= most:
                self.turns.queue(self)
                break
            stop = self.parse(data, at, self.slice_end(data, at))
            if stop is None:
                self.begin(direct=False)
                return None
            at = stop
            if self.fresh and self.ended:
                if at == size:
                    self.held, self.held_from = b"", 0
                    self.begin(direct=self.direct)
                    return 0 if size > SLICE_BYTES or self.flow.read_paused else None
                self.held_from = at
                self.begin(direct=self.direct)
                if self.drained_at is not None or self.transport.is_closing():
                    return None
        self.begin(direct=False)
        return at

    def begin(self, *, direct: bool) -> None:
        """Call the application for the request at hand, if that was not done."""
        if self.fresh:
            self.fresh = False
            self.turns.spent += REQUEST_UNITS
            assert self.cycle is not None  # noqa: S101 - for mypy: it is fresh
            self.cycle.start(self.app, self.scope, direct=direct)  # type: ignore[arg-type]  # uvicorn's own type

    def read_on(self) -> None:
        """Resume reading, where it was paused, and count the next read in this turn."""
        if self.flow.read_paused:
            self.turns.spent += READ_UNITS
            self.flow.read_on()

    def hold(self, data: bytes, at: int) -> None:
        """Keep the bytes from `at` for later, and a few before: an empty line may begin in them."""
        if at > COMPACT_BYTES or at == len(data):
            kept = min(at, KEPT)
            data, at = data[at - kept :], kept
        self.held, self.held_from = data, at

    def occupied(self) -> bool:
        """Say whether the request at hand must be answered, or its body taken, before more is parsed."""
        cycle = self.cycle
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
            stop = found + len(END)
            if stop < size <= at + SLICE_BYTES and data.startswith(POST, at):
                whole = stop + declared_in(data, at, stop)
                return whole if whole == size else stop
            return stop
        return min(size, at + (SLICE_BYTES if self.head_since is None else HEAD_SLICE_BYTES))

    def parse(self, data: bytes, at: int, stop: int) -> int | None:
        """Feed one slice to the parser and count what it brought.

        Return where the parser has stopped: before the end of the slice only where it would change the
        protocol behind a head. Return None if the connection may not go on.
        """
        in_head = self.head_since is not None
        self.ended = False
        try:
            self.parser.feed_data(data[at:stop])
        except httptools.HttpParserUpgrade as upgrade:
            stop = at + upgrade.args[0]  # no protocol is upgraded to: what follows is read as HTTP
        except httptools.HttpParserError:
            self.reject()
            return None
        size = stop - at
        self.turns.spent += 1 + size // BYTES_PER_BODY_UNIT
        if self.ended:
            return stop
        if in_head:
            return stop if self.head_goes_on(size) else None
        if self.to_come:
            self.to_come -= size
        elif self.chunk_left:
            self.chunk_left -= size
        if self.pieces and not self.to_come and not self.chunk_left:
            self.chunk_left = chunk_left(data, at, stop, self.pieces[-1])
        return stop if self.body_goes_on(size, self.gather()) else None

    def gather(self) -> int:
        """Hand the parts of a body that were parsed to the request at hand; return how many there were."""
        pieces = self.pieces
        parts = len(pieces)
        if parts:
            cycle = self.cycle
            if cycle is not None and not cycle.response_complete:
                joined = pieces[0] if parts == 1 else b"".join(pieces)
                self.body_bytes += len(joined)
                self.body_parts += parts
                cycle.add(joined)
            pieces.clear()
        return parts

    def wake(self) -> None:
        """Go on in the next turn, when the application has taken the body at hand."""
        if (len(self.held) > self.held_from or self.flow.read_paused) and not self.transport.is_closing():
            self.turns.queue(self)

    def answering(self) -> bool:
        """Say whether a request is being answered."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete

    def on_message_begin(self) -> None:
        cycle = self.cycle
        if self.ended or (cycle is not None and not cycle.response_complete):
            raise ValueError  # the slice did not end with its message; httptools ends the connection
        self.url = b""
        self.headers = []
        self.head_since = self.loop.time()

    def end_message(self) -> None:
        """Do what uvicorn does in `on_message_complete`, behind the parts of the body that were put down."""
        self.ended = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.more_body = False
            if not self.pieces:
                cycle.arrived()
        self.turns.spent += self.gather() // PARTS_PER_UNIT + self.body_bytes // BYTES_PER_JUDGED_UNIT
        self.body_bytes = self.body_parts = self.to_come = self.chunk_left = 0
        self.body_since = None
