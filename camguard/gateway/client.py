"""One HTTP/1.1 exchange with an upstream, sent at most once.

Rule 1: what is handed in goes out: target, names, values, body, byte for byte. Only framing is added.
Rule 2: a request is never repeated. In this API a GET pays orders, so no method is safe to send twice.
Rule 3: a connection on which a byte arrives that no request waits for is closed and never used again.
        Otherwise the next caller would get what was left of another caller's answer.
Rule 4: only this module uses aiohttp. The relay sees `Client`, `Reply` and `UpstreamError` only.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

Headers = Sequence[tuple[bytes, bytes]]
Body = bytes | AsyncIterator[bytes] | None
Kind = Literal["connect", "timeout", "reset", "protocol", "truncated"]

IDLE_SECONDS = 4.0  # below the 5 s after which uvicorn and Node close: a request must not meet a closing peer
PULSE_SECONDS = 0.25  # how often a silent connection is looked at
SLICE = 1 << 16  # bytes written at once, so that a large body waits for the upstream and not in memory
HEAD_BYTES = 1 << 16  # one line of an upstream's reply head

UNTOUCHED = ("accept", "accept-encoding", "content-type", "user-agent")  # aiohttp would add these


class UpstreamError(Exception):
    """An exchange failed. kind: a closed list, the metrics label.

    connect: nothing was sent. timeout: no head, or no further byte, in time. reset: the connection ended
    before the head. protocol: the reply is no HTTP. truncated: the reply ended before its end.
    """

    def __init__(self, kind: Kind, cause: BaseException) -> None:
        # Only the type: the text of aiohttp's errors holds the URL, and a query may hold a signature.
        super().__init__(f"{kind} ({type(cause).__name__})")
        self.kind = kind


class Reply(Protocol):
    """What an upstream answered. The head is complete, the body may still arrive."""

    status: int
    headers: Headers

    def whole(self) -> bytes | None:
        """Return the body if all of it has arrived, else None."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Give the body as it arrives. Raises UpstreamError."""

    def close(self) -> None:
        """End the exchange: the connection is kept if the body was read to its end, else cut."""


class Client(Protocol):
    """Connections to upstreams."""

    async def send(self, origin: URL, method: str, query: bytes, headers: Headers, body: Body) -> Reply:
        """Send one request and return when the reply's head is there.

        origin: scheme, host and port. query: raw, as received. body: None sends none; an iterator is framed
        by the content-length among the headers, or chunked without one. Raises UpstreamError.
        """

    async def close(self) -> None:
        """Cut what is left."""


class Connection(ResponseHandler):
    """aiohttp's connection, for one reply a request and not a byte more.

    aiohttp's parser says that a reply has ended, not where. Each read is therefore fed in two parts, all but
    its last byte and that byte: a reply that has ended before the last byte was followed by something.

    awaited: whether a request waits for bytes of its reply. reply: the body of the final reply, once there.
    poll: asks the kernel whether bytes, the end, or an error of the connection wait to be read.
    """

    awaited = False
    reply: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        super().connection_made(transport)
        self.poll = select.poll()
        self.poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def set_response_params(self, **params: Any) -> None:
        """Begin a request; aiohttp says so before it writes."""
        self.awaited = True
        self.reply = None
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take the head of a reply."""
        message, body = data
        if self.reply is None and (message.code >= 200 or message.code == 101):  # noqa: PLR2004 - RFC 9110 section 15
            self.reply = body
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the upstream, or none, where aiohttp goes on with what it held back of a reply."""
        if self.awaited:
            super().data_received(data[:-1])
            if not self._replied():
                if data:
                    super().data_received(data[-1:])
                    self.awaited = not self._replied()
                return
        elif not data:
            return
        # Bytes follow the reply, or may follow because aiohttp holds some back, or no request awaits a reply.
        self.awaited = False
        self.close()

    def is_connected(self) -> bool:
        """Say whether the connection may be used: while idle, only if the kernel holds nothing to be read."""
        if not super().is_connected():
            return False
        if not self.awaited and self.poll.poll(0):
            self.close()
            return False
        return True

    def _replied(self) -> bool:
        return self.reply is not None and self.reply.is_eof()


class AiohttpReply:
    """`Reply` over aiohttp. seconds: how long its body may be silent."""

    def __init__(self, response: aiohttp.ClientResponse, seconds: float) -> None:
        self._response = response
        self._seconds = seconds
        self.status = response.status
        self.headers: Headers = response.raw_headers

    def whole(self) -> bytes | None:  # noqa: D102 - Reply says it
        content = self._response.content
        if not content.is_eof() or content.exception() is not None:
            return None
        return content.read_nowait(-1)

    async def chunks(self) -> AsyncIterator[bytes]:  # noqa: D102 - same
        while chunk := await self._next():
            yield chunk

    async def _next(self) -> bytes:
        """Return what has arrived, as soon as there is any; empty at the end. Raises UpstreamError."""
        silent = 0.0
        while True:
            try:
                async with asyncio.timeout(PULSE_SECONDS):
                    return await self._response.content.readany()
            except TimeoutError as exc:
                # After a framing error within a body aiohttp closes the connection and lets its reader wait.
                if not self._connected():
                    raise UpstreamError("truncated", exc) from None
                silent += PULSE_SECONDS
                if silent >= self._seconds:
                    raise UpstreamError("timeout", exc) from None
            except (aiohttp.ClientError, OSError) as exc:
                raise UpstreamError("truncated", exc) from None

    def _connected(self) -> bool:
        connection = self._response.connection
        return (
            connection is not None and connection.protocol is not None and connection.protocol.is_connected()
        )

    def close(self) -> None:  # noqa: D102 - same
        self._response.close()  # a response read to its end has given its connection back already


class AiohttpClient:
    """`Client` over aiohttp. Made inside a running loop.

    seconds: how long a reply's head may take, and any silence within its body. connections: the pool's bound.
    """

    def __init__(self, *, seconds: float, connections: int) -> None:
        self._seconds = seconds
        connector = aiohttp.TCPConnector(
            limit=connections, keepalive_timeout=IDLE_SECONDS, socket_factory=impatient(seconds)
        )
        # aiohttp offers no public way to name the class of its connections.
        # tests/gateway/test_client.py holds this against every version.
        connector._factory = partial(  # type: ignore[assignment]  # noqa: SLF001
            Connection, loop=asyncio.get_running_loop()
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=UNTOUCHED,
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
            requote_redirect_url=False,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
        )
        # aiohttp repeats a GET whose re-used connection was reset, and offers no public switch.
        # tests/gateway/test_client.py holds this against every version.
        self._session._retry_connection = False  # noqa: SLF001

    async def send(  # noqa: D102 - Client says it
        self, origin: URL, method: str, query: bytes, headers: Headers, body: Body
    ) -> AiohttpReply:
        lines = text_headers(headers)
        if isinstance(body, bytes) and len(body) > SLICE:
            lines = [line for line in lines if line[0] != "content-length"]
            lines.append(("content-length", str(len(body))))
            body = slices(body)
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                response = await self._session.request(
                    method,
                    target(origin, query),
                    headers=lines,
                    data=body if body is None or isinstance(body, bytes) else self._paced(body, deadline),
                    allow_redirects=False,
                )
        except TimeoutError as exc:
            raise UpstreamError("timeout", exc) from None
        except aiohttp.ClientConnectorError as exc:
            raise UpstreamError("connect", exc) from None
        except aiohttp.ClientResponseError as exc:
            raise UpstreamError("protocol", exc) from None
        except (aiohttp.ClientError, OSError) as exc:
            raise UpstreamError("reset", exc) from None
        return AiohttpReply(response, self._seconds)

    async def _paced(self, body: AsyncIterator[bytes], deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
        """Give the upstream its full time again with each part that the client took its own time to send."""
        clock = asyncio.get_running_loop().time
        async for chunk in body:
            deadline.reschedule(clock() + self._seconds)
            yield chunk

    async def close(self) -> None:  # noqa: D102 - Client says it
        await self._session.close()


def impatient(seconds: float) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """Return what makes sockets that the kernel cuts if the peer takes nothing for so long.

    aiohttp closes a given-up connection in order, which waits for a peer that takes nothing, for ever.
    """

    def make(info: aiohttp.AddrInfoType) -> socket.socket:
        made = socket.socket(*info[:3])
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(seconds * 1000)))
        return made

    return make


def target(origin: URL, query: bytes) -> URL:
    """Return where a request goes: path `/`, the query as it was received."""
    return URL(f"{origin}?{query.decode('ascii')}", encoded=True) if query else origin


def text_headers(headers: Headers) -> list[tuple[str, str]]:
    """Return headers as aiohttp takes them; it writes UTF-8, so these bytes come out as they are.

    Raises UnicodeDecodeError for a value that is no UTF-8: it could not be forwarded unchanged.
    """
    return [(name.decode("ascii"), value.decode("utf-8")) for name, value in headers]


async def slices(body: bytes) -> AsyncIterator[bytes]:
    """Give a body in parts, each written only when the upstream has taken the one before."""
    for start in range(0, len(body), SLICE):
        yield body[start : start + SLICE]
