"""The least relay: two parsers, and bytes passed on between them. It judges nothing, and refuses nothing.

On the event loop and with the parser of the gateway. `Direct` goes from protocol to protocol, as a proxy that
is written for nothing else. `Asgi` has an ASGI application between both sides, because that is where the
guard stands; the application runs without a task, as in the gateway. Neither has a deadline, a limit,
back-pressure, an interim reply, a reply without a declared length, or an upstream that fails. `Refusing` is
the least refusal: it answers each request with an id of its own, and asks no upstream.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ClassVar

from _floors import ID, IDS, REFUSED, REFUSED_LENGTH, REFUSED_TYPE
from httptools import HttpRequestParser, HttpResponseParser

Line = tuple[bytes, bytes]
HOP = b"connection"  # a line of one hop


class Upstream(asyncio.Protocol):
    """A connection to the upstream. idle: those that wait for a request."""

    def __init__(self, idle: list[Upstream]) -> None:
        self.idle = idle
        self.replied: Callable[[bytes, list[Line], bytes], None] | None = None
        self.parser = HttpResponseParser(self)
        self.lines: list[Line] = []
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.write = transport.write  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a line."""
        if name != HOP:
            self.lines.append((name, value))

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self.body = body if not self.body else self.body + body

    def connection_lost(self, _: Exception | None) -> None:
        """Wait for no request."""
        if self in self.idle:
            self.idle.remove(self)

    def on_message_complete(self) -> None:
        """Hand the reply on, and wait for the next request."""
        lines, body, replied = self.lines, self.body, self.replied
        self.lines, self.body, self.replied = [], b"", None
        self.idle.append(self)
        if replied is not None:
            replied(b"%d" % self.parser.get_status_code(), lines, body)


class Direct(asyncio.Protocol):
    """A connection of a caller, whose requests go to the upstream as they are."""

    def __init__(self, idle: list[Upstream], port: int) -> None:
        self.idle, self.port = idle, port
        self.parser = HttpRequestParser(self)
        self.lines: list[Line] = []
        self.body, self.url, self.left = b"", b"", False

    def connection_lost(self, _: Exception | None) -> None:
        """Note that the caller has left, so that no reply is written to it."""
        self.left = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.write = transport.write  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Forget the last request."""
        self.lines, self.body = [], b""

    def on_url(self, url: bytes) -> None:
        """Keep the target."""
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a line."""
        name = name.lower()
        if name != HOP:
            self.lines.append((name, value))

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self.body = body if not self.body else self.body + body

    def on_message_complete(self) -> None:
        """Pass the request on."""
        self.ask(self.lines, self.body, self.answer)

    def ask(self, lines: list[Line], body: bytes, replied: Callable[..., None]) -> None:
        """Send a request on an idle connection, or on a new one."""
        head = [b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), self.url)]
        head += [b"%b: %b\r\n" % line for line in lines]
        request = b"".join((*head, b"\r\n", body))
        if self.idle:
            self._send(self.idle.pop(), request, replied)
            return
        connecting = asyncio.ensure_future(
            asyncio.get_running_loop().create_connection(lambda: Upstream(self.idle), "127.0.0.1", self.port)
        )
        connecting.add_done_callback(lambda done: self._send(done.result()[1], request, replied))

    @staticmethod
    def _send(upstream: Upstream, request: bytes, replied: Callable[..., None]) -> None:
        upstream.replied = replied
        upstream.write(request)

    def answer(self, status: bytes, lines: list[Line], body: bytes) -> None:
        """Pass the reply on, unless the caller has left."""
        if self.left:
            return
        head = [b"HTTP/1.1 %b OK\r\n" % status, *(b"%b: %b\r\n" % line for line in lines)]
        self.write(b"".join((*head, b"\r\n", body)))


class _Reply:
    """What an application awaits: the reply of the upstream."""

    def __await__(self) -> Generator[None, Any, Any]:
        return (yield)


class Asgi(Direct):
    """A connection of a caller, with an ASGI application between both sides."""

    def on_message_complete(self) -> None:
        """Call the application until it awaits the upstream."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 40000),
            "scheme": "http",
            "method": self.parser.get_method().decode(),
            "root_path": "",
            "path": self.url.decode(),
            "raw_path": self.url,
            "query_string": b"",
            "headers": self.lines,
            "state": {},
        }
        self.running = self.application(scope, self.receive, self.send)
        self.step(None)

    def step(self, value: Any) -> None:
        """Let the application go on."""
        try:
            self.running.send(value)
        except StopIteration:
            return

    async def receive(self) -> Any:
        """Return the whole body."""
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: Any) -> None:
        """Write the reply when its body is there."""
        if message["type"] == "http.response.start":
            self.start = message
            return
        self.answer(b"%d" % self.start["status"], self.start["headers"], message["body"])

    running: Coroutine[Any, Any, None]
    start: Any

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        """Relay one request."""
        message = await receive()
        self.ask(scope["headers"], message["body"], lambda *reply: self.step(reply))
        status, lines, body = await _Reply()
        await send({"type": "http.response.start", "status": int(status), "headers": lines})
        await send({"type": "http.response.body", "body": body})


class Refusing(Direct):
    """A connection of a caller, each of whose requests is refused."""

    ids: ClassVar[list[str]] = []

    def on_message_complete(self) -> None:
        """Answer."""
        if not self.ids:
            self.ids.extend(IDS)
        name = self.ids.pop().encode()
        self.answer(b"200", [REFUSED_TYPE, REFUSED_LENGTH, (ID, name)], REFUSED % (name, name))


KINDS = {"by hand": Direct, "by hand, ASGI": Asgi, "refusal by hand": Refusing}


async def relay_by_hand(kind: str, sock: socket.socket, upstream: int) -> None:
    """Serve one of KINDS for ever. upstream: its port."""
    idle: list[Upstream] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: KINDS[kind](idle, upstream), sock=sock)
    await server.serve_forever()
