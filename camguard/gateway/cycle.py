"""One request and its answer, as the application has them: ASGI's `receive` and `send` of one message.

uvicorn's own class for this checks every line of an answer by two regular expressions, writes head and body
apart, and makes an event and a task for every request. That costs more than the relay.

Rule 1: a head is held until its body comes, at most until the application waits: each write is a call of
        the kernel, which costs more than the parsing of a request.
Rule 2: nothing goes out that a reader could take for two answers: no line break within a line, no body that
        is longer or shorter than its declared length. An answer that cannot be completed ends the connection.
Rule 3: an answer to an HTTP/1.0 client, which knows no chunks, ends with its length or with the connection
        (RFC 9112 sections 6.1 and 6.3).
Rule 4: what is written to a connection that is ending, or after the event loop was closed, is dropped: uvloop
        raises for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import NoReturn, Protocol

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from camguard.gateway.head_layout import BODILESS, CONTROLS, END, LAYOUT_OF, LENGTH_OF, written
from camguard.gateway.request_writer import CHUNK, CHUNKED, LAST_CHUNK
from camguard.gateway.stepping import Stepped
from camguard.middleware import WHOLE_ANSWER

LOG = logging.getLogger("uvicorn.error")

DEPARTURE_KEY = "camguard.departure"  # of the scope: the `Cycle`; the relay learns by it that its caller left
JOINED_BYTES = 1 << 16  # a body up to this is copied behind its head; a larger one is written apart
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"connection: close\r\n\r\n"
FIRST_LINES = {status: line.removesuffix(END) for status, line in STATUS_LINE.items()}
FAILED = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"21"),
    (b"connection", b"close"),
)


def _invalid(part: str) -> NoReturn:
    msg = f"Invalid HTTP header {part}."
    raise RuntimeError(msg)


def _unexpected(kind: str) -> NoReturn:
    msg = f"Unexpected ASGI message {kind!r}."
    raise RuntimeError(msg)


class Server(Protocol):
    """The connection, as far as a request needs it."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    tasks: set[asyncio.Task[None]]

    @property
    def flow(self) -> FlowControl:
        """The switch for writing."""

    def wake(self) -> None:
        """Go on with reading, where it waited for the application."""

    def close_behind_answer(self) -> None:
        """End the connection, behind what was written."""

    def on_response_complete(self) -> None:
        """Take the next request."""


class Cycle:
    """One request. body: what has arrived of it and was not taken. more_body: whether more is to come.

    keep_alive: whether the connection may carry another request. old: whether the client speaks HTTP/1.0.
    awaits_continue: whether the client waits for `100 Continue`. departed: whether the client has left.
    disconnected: whether it has left, or gets no answer from the application. response_started,
    response_complete: of the answer.
    """

    __slots__ = (
        *(
            "__weakref__",
            "_chunked",
            "_closes",
            "_direct",
            "_event",
            "_head",
            "_notify",
            "_old",
            "_remaining",
        ),
        *("_run_by", "_server", "_to_head", "_unread", "awaits_continue", "body", "departed", "disconnected"),
        *("keep_alive", "more_body", "response_complete", "response_started"),
    )

    def __init__(
        self, server: Server, method: str, *, keep_alive: bool, old: bool, awaits_continue: bool
    ) -> None:
        self.body: bytes | bytearray = b""
        self.more_body = True
        self.departed = self.disconnected = self.response_started = self.response_complete = False
        self.keep_alive = keep_alive
        self.awaits_continue = awaits_continue
        self._server: Server | None = server  # None after the end
        self._run_by: Stepped | asyncio.Task[None] | None = None
        self._direct = False  # whether no task runs the application
        self._notify: Callable[[], None] | None = None
        self._unread = False
        self._event: asyncio.Event | None = None
        self._old = old
        self._to_head = method == "HEAD"
        self._head = b""
        self._closes = False  # whether a line of the head says that the connection ends
        self._chunked: bool | None = None  # None: no line of the head says how the body ends
        self._remaining = 0  # bytes of the declared length of the answer

    def start(self, app: ASGIApp, scope: Scope, *, direct: bool) -> None:
        """Run the application. The scope is not kept here, because it may refer to this object.

        direct: the application runs without a task for as long as it needs none.
        """
        assert self._server is not None  # noqa: S101 - for mypy: a cycle is started once
        if direct and asyncio.current_task(self._server.loop) is None:
            self._direct = True
            self._run_by = stepped = Stepped(self._run(app, scope), self.flush, self._adopted)
            stepped.step()
        else:
            self._run_by = task = self._server.loop.create_task(self._run(app, scope))
            self._adopted(task)

    def _adopted(self, task: asyncio.Task[None]) -> None:
        self._direct = False
        if self._server is not None:
            self._server.tasks.add(task)
            task.add_done_callback(self._server.tasks.discard)

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        except GeneratorExit:  # the event loop was closed: nothing can be awaited or written
            raise
        except BaseException:  # whatever it is, the client must not take what was sent for an answer
            LOG.exception("Exception in ASGI application\n")
            await self._failed()
        else:
            if not self.response_complete and not self.disconnected:
                if self.response_started:
                    LOG.error("ASGI callable returned without completing response.")
                else:
                    LOG.error("ASGI callable returned without starting response.")
                await self._failed()
        finally:
            self._server = self._run_by = None  # nothing of an ended request refers to itself
            self.disconnected = True

    async def _failed(self) -> None:
        """Answer with status 500; cut an answer that has begun."""
        if not self.response_started:
            await self.send({"type": "http.response.start", "status": 500, "headers": FAILED})
            await self.send({"type": "http.response.body", "body": b"Internal Server Error"})
        elif self._server is not None:
            self._server.close_behind_answer()

    def watch(self, notify: Callable[[], None] | None) -> None:
        """Call `notify` when the client leaves, instead of what was to be called before; None: nothing.

        ASGI tells an application that its client has left by `http.disconnect`, for which a task of its own
        would have to wait during each relayed call. That costs more than the whole parsing of a request.
        """
        self._notify = notify
        if notify is not None and self._server is not None:
            self._server.wake()  # only a connection that is read shows that its client left

    def depart(self) -> None:
        """Note that the client has left."""
        self.departed = True
        self.give_up()
        if self._notify is not None:
            self._notify()

    def give_up(self) -> None:
        """Give the application `http.disconnect`, and the client nothing more of the application."""
        self.disconnected = True
        self.arrived()

    def cancel(self) -> None:
        """Cancel the application."""
        if self._run_by is not None:
            self._run_by.cancel()

    def uncancel(self) -> None:
        """Withdraw a cancellation that the application has handled."""
        if self._run_by is not None:
            self._run_by.uncancel()

    def add(self, part: bytes) -> None:
        """Take a part of the body."""
        if not self.body:
            self.body = part
        elif isinstance(self.body, bytearray):
            self.body += part
        else:
            self.body = bytearray(self.body)
            self.body += part
        self.arrived()

    def arrived(self) -> None:
        """Let the application go on where it waits in `receive`."""
        self._unread = True
        if self._event is not None:
            self._event.set()

    async def receive(self) -> Message:
        """Return the next message of the client."""
        if self._server is None:
            return {"type": "http.disconnect"}
        if self.awaits_continue and not self._server.transport.is_closing():
            self.awaits_continue = False
            self._server.transport.write(CONTINUE)
        if not self.disconnected and not self.response_complete:
            self._server.wake()
            if not self._unread:
                if self._event is None:
                    self._event = asyncio.Event()
                await self._event.wait()
            self._unread = False
            if self._event is not None:
                self._event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = self.body, b""
        whole = body if type(body) is bytes else bytes(body)
        return {"type": "http.request", "body": whole, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Write one message of the answer. Raises RuntimeError for what must not be written."""
        server = self._server
        if server is not None and server.flow.write_paused and not self.disconnected:
            self.flush()
            await server.flow.drain()
        if self.disconnected or server is None:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start" and kind != WHOLE_ANSWER:  # noqa: PLR1714 - a set costs more
                _unexpected(kind)
            self._head = self._begin(message["status"], message.get("headers", ()))
            if kind == WHOLE_ANSWER:
                self._write(self._framed(message["body"], more=False))
                self._end(server)
            elif not self._direct:
                server.loop.call_soon(self.flush)
        elif self.response_complete or kind != "http.response.body":
            _unexpected(kind)
        else:
            more = message.get("more_body", False)
            self._write(self._framed(message.get("body", b""), more=more))
            if not more:
                self._end(server)

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the head of the answer. Raises RuntimeError for a line that must not be written."""
        self.response_started = True
        self.awaits_continue = False
        lines = [*headers]
        if self._old:
            lines = [line for line in lines if line[0].lower() != b"transfer-encoding"]
        names, values = zip(*lines) if lines else ((), ())  # noqa: B905 - pairs
        text = b"".join(values)
        if len(text.translate(None, CONTROLS)) != len(text):
            _invalid("value")
        try:
            layout = LAYOUT_OF[names]
        except ValueError:
            _invalid("name")
        for place, name in layout.framing:
            self._frame(name, values[place])
        last = END if self.keep_alive or self._closes else CLOSE
        if self._chunked is None and not (self._old or self._to_head or status in BODILESS):
            self._chunked = True
            last = CHUNKED + last
        return written(layout, FIRST_LINES[status], values, last)

    def _frame(self, name: bytes, value: bytes) -> None:
        """Note what a line says of the end of the answer."""
        if name == b"content-length":
            if self._chunked is None:
                self._remaining = LENGTH_OF[value]
                self._chunked = False
        elif name == b"connection":
            if b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keep_alive = False
                self._closes = True
        elif value.lower() == b"chunked":
            self._remaining = 0
            self._chunked = True

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        """Return a part of the body as it is written. Raises RuntimeError past the declared length."""
        if self._to_head:
            self._remaining = 0
            return b""
        if self._chunked:
            chunk = CHUNK % (len(body), body) if body else b""
            return chunk if more else chunk + LAST_CHUNK
        if self._chunked is None and self._old:
            return body
        if len(body) > self._remaining:
            msg = "Response content longer than Content-Length"
            raise RuntimeError(msg)
        self._remaining -= len(body)
        return body

    def _end(self, server: Server) -> None:
        """End the answer. Raises RuntimeError if it is shorter than its declared length."""
        if self._remaining:
            msg = "Response content shorter than Content-Length"
            raise RuntimeError(msg)
        self.response_complete = True
        self.arrived()
        if not self.keep_alive:
            server.close_behind_answer()
        server.on_response_complete()

    def flush(self) -> None:
        """Write the head that is held."""
        if self._head:
            self._write(b"")

    def _write(self, data: bytes) -> None:
        head, self._head = self._head, b""
        server = self._server
        if server is None or server.transport.is_closing() or server.loop.is_closed():
            return
        if head and len(data) > JOINED_BYTES:
            server.transport.write(head)
            server.transport.write(data)
        elif head or data:
            server.transport.write(head + data if head else data)
