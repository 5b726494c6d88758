"""One connection to an upstream, and one exchange on it.

Rule 1: a connection carries one request at a time. A byte that arrives while no request waits for it ends the
        connection: otherwise the next caller would get what was left of another caller's answer.
Rule 2: a connection is used again only if the request was written whole, the reply has ended where its
        framing says, nothing followed it, and the upstream keeps the connection.
Rule 3: a reply that ends before its end is an error, never a complete reply. A reply that ends where the
        connection ends is complete only if the upstream ended the connection in order; under TLS that takes
        a `close_notify`, because without one anybody on the way can cut the reply.
Rule 4: a reply is read only as fast as it is taken.

Deadlines cost a request no timer: a connection keeps one, which looks since when the upstream is waited for.
"""

from __future__ import annotations

import asyncio
import select
import types
from collections.abc import AsyncIterator, Generator
from typing import Any, Literal, Protocol, cast

from camguard.gateway.reply_parser import ReplyError, ReplyParser
from camguard.gateway.request_writer import CHUNK, LAST_CHUNK, SLICE, Body, Headers, Origin, slices
from camguard.gateway.stepping import Signal

Kind = Literal["connect", "timeout", "reset", "protocol", "truncated"]

MOST_HELD = 1 << 16  # bytes of a reply that are held before reading pauses


class UpstreamError(Exception):
    """An exchange failed. kind: a closed list, the metrics label.

    connect: nothing was sent. timeout: no head, or no further byte, in time. reset: the connection ended
    before the head. protocol: the reply is no HTTP. truncated: the reply ended before its end.
    """

    def __init__(self, kind: Kind, cause: BaseException | None) -> None:
        # Only the type: a text could quote the request, and a query may hold a signature.
        super().__init__(f"{kind} ({type(cause or EOFError()).__name__})")
        self.kind = kind


class Owner(Protocol):
    """What connections belong to: the pool."""

    def keep(self, connection: Connection) -> None:
        """Take a connection whose exchange has ended and that may carry another request."""

    def drop(self, connection: Connection) -> None:
        """Forget a connection that has ended. May be called more than once."""


class Exchange(Signal):
    """One request and its reply, as `camguard.gateway.client.Reply` describes it.

    The exchange holds what has arrived of the body and was not taken. connection: None after the end. The
    signal is set when something has arrived or the exchange has ended. What waits for it goes on at once, so
    it is set last.
    """

    __slots__ = ("_complete", "_error", "_held", "_size", "connection", "headers", "status")

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.connection: Connection | None = connection
        self.status = 0
        self.headers: Headers = ()
        self._held: list[bytes] = []
        self._size = 0
        self._complete = False
        self._error: UpstreamError | None = None

    @property
    def full(self) -> bool:
        """Whether so much was not taken that no more should be read."""
        return self._size > MOST_HELD

    def arrived(self, parser: ReplyParser) -> None:
        """Receive what was read of the reply."""
        data = parser.take()
        if data:
            self._held.append(data)
            self._size += len(data)
        if not self.status:
            self.status, self.headers = parser.status, parser.headers

    def end(self, error: UpstreamError | None) -> None:
        """Receive the end: of the reply, or the failure of the exchange."""
        self.connection = None
        self._error, self._complete = error, error is None

    @types.coroutine
    def _progress(self) -> Generator[Any, Any, None]:
        """Wait for the upstream."""
        assert self.connection is not None  # noqa: S101 - for mypy: callers wait before the end only
        self.connection.watch()
        yield from self.wait()

    def __await__(self) -> Generator[Any, Any, Exchange]:
        """Wait for the head of the reply, and return the exchange. Raises UpstreamError."""
        try:
            while not self.status:
                if self._error is not None:
                    raise self._error  # noqa: TRY301 - closed below, as for a cancellation
                assert self.connection is not None  # noqa: S101 - for mypy: it has not ended
                self.connection.watch()
                yield from self.wait()
        except BaseException:
            self.close()
            raise
        return self

    def whole(self) -> bytes | None:
        """Return the body if all of it has arrived, else None."""
        return self._take() if self._complete else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body as it arrives. Raises UpstreamError."""
        while True:
            if self._held:
                yield self._take()
            elif self._error is not None:
                raise self._error
            elif self._complete:
                return
            else:
                await self._progress()

    def _take(self) -> bytes:
        held = self._held
        data = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self._size = 0
        if self.connection is not None:
            self.connection.read_on()
        return data

    def close(self) -> None:
        """End the exchange: where the reply has not ended, the connection is cut."""
        if self.connection is not None:
            self.connection.abort()


class Connection(asyncio.Protocol):
    """One connection. seconds: how long the upstream may let a caller wait."""

    transport: asyncio.Transport

    def __init__(self, origin: Origin, owner: Owner, seconds: float) -> None:
        self.origin = origin
        self._owner = owner
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._parser = ReplyParser()
        self._exchange: Exchange | None = None
        self._upload: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None  # while the upstream takes no more bytes
        self._alarm: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's class is no subclass
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def usable(self) -> bool:
        """Tell whether an idle connection may carry a request: the kernel holds nothing of the peer.

        The caller begins the exchange in the same turn of the event loop, so that no request is written to a
        connection that has ended before, and none needs to be written again.
        """
        return not self.transport.is_closing() and not self._poll.poll(0)

    def begin(self, head: bytes, body: Body, length: int | None, *, to_head: bool, due: float) -> Exchange:
        """Write a request and return its exchange.

        length: of the body, None where it is sent in chunks. to_head: the method is HEAD. due: loop time
        until which the head of the reply, or progress of the body, is waited for; 0: the full time.
        """
        exchange = self._exchange = Exchange(self, self._loop)
        self._parser.begin(to_head=to_head)
        self._due = due or self._loop.time() + self._seconds
        if body is None:
            self.transport.write(head)
        elif isinstance(body, bytes) and len(body) <= SLICE:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            parts = slices(body) if isinstance(body, bytes) else body
            self._upload = self._loop.create_task(self._send(parts, length))
        return exchange

    async def _send(self, parts: AsyncIterator[bytes], length: int | None) -> None:
        """Write a body as it comes. Each part, for which the caller took its time, restarts the clock."""
        sent = 0
        try:
            async for part in parts:
                if not part:
                    continue
                sent += len(part)
                if length is not None and sent > length:
                    raise ValueError  # noqa: TRY301 - the end of an exchange is in one place
                self.transport.write(CHUNK % (len(part), part) if length is None else part)
                self._due = self._loop.time() + self._seconds
                if self._writable is not None:
                    await self._writable
            if length is None:
                self.transport.write(LAST_CHUNK)
            elif sent != length:
                raise ValueError  # noqa: TRY301 - same
        except Exception as exc:  # noqa: BLE001 - whatever it is, the request cannot be completed
            self._upload = None
            self._fail("reset", exc)
        self._upload = None

    def pause_writing(self) -> None:
        """Let the body of a request wait."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Go on with the body."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the upstream."""
        exchange, parser = self._exchange, self._parser
        if exchange is None:
            self.abort()
            return
        try:
            parser.feed(data)
        except ReplyError as error:
            self._fail("protocol", error)
            return
        exchange.arrived(parser)
        if parser.complete:
            self._end()
        elif exchange.full and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        if exchange.status:
            # No task calls this method, so what waits without a task may go on in it.
            (exchange.step or exchange.set)()

    def read_on(self) -> None:
        """Read again, where reading was paused."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def eof_received(self) -> None:
        """Take the end of the upstream's side, in order."""
        exchange = self._exchange
        if exchange is not None and self._parser.until_close:
            self._end()
            exchange.set()
        else:
            self._fail("reset", None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        self._fail("reset", exc)
        self.resume_writing()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._parser.close()  # nothing of an ended connection refers to itself

    def watch(self) -> None:
        """Note that the upstream is waited for from now on."""
        exchange = self._exchange
        if exchange is not None and exchange.status:
            self._due = self._loop.time() + self._seconds
        if self._alarm is None:
            self._alarm = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._exchange is None or not self._exchange.waits:
            return
        if self._loop.time() < self._due:
            self._alarm = self._loop.call_at(self._due, self._ring)
        else:
            self._fail("timeout", TimeoutError())

    def _end(self) -> None:
        """End an exchange whose reply is complete, and keep the connection if Rule 2 allows that."""
        exchange, parser = self._exchange, self._parser
        assert exchange is not None  # noqa: S101 - for mypy: callers have looked
        written = self._upload is None and not self.transport.get_write_buffer_size()
        exchange.end(None)
        self._exchange = None
        if parser.keeps_alive and not parser.followed and written and not self.transport.is_closing():
            if self._paused:
                self.read_on()
            self._owner.keep(self)
        else:
            self.abort()

    def _fail(self, kind: Kind, cause: BaseException | None) -> None:
        """End the connection, and the exchange where there is one. kind: where the head has not arrived."""
        exchange = self._exchange
        if exchange is not None:
            begun = exchange.status and kind != "timeout"
            exchange.end(UpstreamError("truncated" if begun else kind, cause))
        self.abort()
        if exchange is not None:
            exchange.set()

    def abort(self) -> None:
        """Cut the connection. An exchange that has not ended gets nothing more."""
        if self._exchange is not None:
            self._exchange.connection = None
            self._exchange = None
        if self._upload is not None:
            self._upload.cancel()
            self._upload = None
        self.transport.abort()
        self._owner.drop(self)
