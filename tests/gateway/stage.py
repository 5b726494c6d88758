"""What the gateway's tests are played on: raw upstreams, real listeners, raw clients. All on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Self, TypeVar

import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from camguard.gateway.client import HttpClient
from camguard.gateway.echo import echo
from camguard.gateway.protocol import Bounds
from camguard.gateway.relay import Relay
from camguard.gateway.server import listening
from camguard.request.rejection import Refusal
from tests.asgi import http_scope, request
from tests.running import PATIENCE

T = TypeVar("T")
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Answer = Callable[["Upstream", bytes, Reader, Writer], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
POST = b"POST / HTTP/1.1\r\nhost: aiart.tencentcloudapi.com\r\ncontent-type: application/json\r\n"
BOUNDS = Bounds(head_seconds=30, body_seconds=30, head_bytes=65536, connections=1000)


def play(scene: Coroutine[Any, Any, T]) -> T:
    """Run one scene to its end, or fail after a time that no test needs."""

    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE):
            return await scene

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bounded())


class Upstream:
    """A raw HTTP/1.1 server on a free port: remembers each request's bytes, answers as the scene says.

    requests: head and body of each, as they came. connections: how many were accepted. ended: connections
    that the other side has closed.
    """

    def __init__(
        self, answer: Answer, *, reads_bodies: bool = True, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.tls = tls
        self.reads_bodies = reads_bodies
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = asyncio.Event()
        self._open: set[Writer] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    @property
    def url(self) -> str:
        """Say it as `[upstream]` spells it."""
        return f"http://127.0.0.1:{self.port}"

    async def _connected(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        self._open.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await read_body(head, reader) if self.reads_bodies else b""
                self.requests.append(head + body)
                await self.answer(self, head, reader, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        self.ended.set()
        writer.close()


async def read_body(head: bytes, reader: Reader) -> bytes:
    """Read the body that a head announces; a chunked one is returned with its framing."""
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    if b"transfer-encoding" in fields:
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            body += line + await reader.readexactly(int(line, 16) + 2)
            if line == b"0\r\n":
                return body
    return await reader.readexactly(int(fields.get(b"content-length", 0)))


def says(data: bytes) -> Answer:
    """Answer every request with these bytes."""

    async def answer(_upstream: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
        writer.write(data)

    return answer


def says_and_closes(data: bytes) -> Answer:
    """Answer with these bytes and end the connection in order."""

    async def answer(_upstream: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


def says_and_resets(data: bytes = b"") -> Answer:
    """Answer with these bytes and reset the connection."""

    async def answer(_upstream: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
        if data:
            writer.write(data)
            await writer.drain()
            await settled()  # a reset discards what the peer has not read
        reset(writer)

    return answer


def says_in_parts(*parts: bytes) -> Answer:
    """Answer with bytes that arrive one part after the other."""

    async def answer(_upstream: Upstream, _head: bytes, reader: Reader, writer: Writer) -> None:
        for part in parts:
            writer.write(part)
            await settled()
        await reader.read()

    return answer


async def hangs(_upstream: Upstream, _head: bytes, reader: Reader, _writer: Writer) -> None:
    """Never answer, until the other side gives up."""
    await reader.read()


def reset(writer: Writer) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Heard:
    """The replies and errors of upstreams that the relay reported."""

    def __init__(self) -> None:
        self.replies: list[str] = []
        self.statuses: list[int] = []
        self.errors: list[tuple[str, str]] = []

    def upstream(self, service: str, status: int, seconds: float) -> None:
        """Receive a reply."""
        assert seconds >= 0
        self.statuses.append(status)
        self.replies.append(service)

    def upstream_error(self, service: str, kind: str) -> None:
        """Hear of a failure."""
        self.errors.append((service, kind))


def refusal(_scope: Scope, failure: str) -> Refusal:
    body = f'{{"Response":{{"Error":{{"Code":"InternalError","Message":"{failure}"}}}}}}'.encode()
    headers = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    return Refusal(200, headers, body)


def let_through(app: ASGIApp) -> ASGIApp:
    """Stand in for the guard: a frozen copy of the headers goes on, without those of one hop."""
    hop = (b"connection", b"transfer-encoding", b"te", b"trailer", b"expect")

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        headers = tuple(line for line in scope["headers"] if line[0] not in hop)
        await app({**scope, "headers": headers, "camguard.service": "aiart"}, receive, send)

    return guard


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, bounds: Bounds = BOUNDS, *, direct: bool = False) -> AsyncIterator[int]:
    """Serve an application the way the gateway does, and give its port. direct: as for `listening`."""
    sock = socket.create_server(("127.0.0.1", 0))
    async with listening(app, sock, bounds, 0, direct=direct) as listener:
        yield listener.port


@contextlib.asynccontextmanager
async def relaying(
    upstream: str, *, seconds: float = 30, bounds: Bounds = BOUNDS
) -> AsyncIterator[tuple[int, Heard]]:
    """Serve a relay to one upstream, and give its port and what it tells."""
    heard = Heard()
    client = HttpClient(seconds=seconds, connections=100)
    relay = Relay({"default": upstream}, client, echo, refusal, heard)
    try:
        async with serving(let_through(relay), bounds, direct=True) as port:
            yield port, heard
    finally:
        await client.close()


async def until(true: Callable[[], object]) -> None:
    """Wait for something that no event tells of."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def settled() -> None:
    """Let what was written be read by those of this event loop.

    The time alone is not enough: it may pass within one turn of the loop, on a machine that does much else.
    """
    await asyncio.sleep(0.05)
    for _ in range(10):
        await asyncio.sleep(0)


async def still(count: Callable[[], int]) -> int:
    """Wait until a count, which has begun, grows no more, and return it."""
    before, now = -1, count()
    while not now or now != before:
        await asyncio.sleep(0.2)
        before, now = now, count()
    return now


async def ask(port: int, request: bytes) -> bytes:
    """Send bytes on a new connection and return all that comes back until its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def post(body: bytes = b"{}", *lines: bytes, close: bool = True) -> bytes:
    """Spell one POST."""
    extra = b"".join(line + b"\r\n" for line in lines)
    end = b"connection: close\r\n" if close else b""
    return POST + extra + end + b"content-length: %d\r\n\r\n" % len(body) + body


async def call(
    app: ASGIApp, method: str, path: str, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request without a body to an application in process; return status, headers and body."""
    lines = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    found = await request(app, http_scope(method, path, lines))
    fields = {name.decode(): value.decode() for name, value in found.headers.items()}
    return found.status, fields, found.body
