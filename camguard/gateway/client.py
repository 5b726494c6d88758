"""One HTTP/1.1 exchange with an upstream, sent at most once.

Rule 1: what is handed in goes out: target, names, values, body, byte for byte. Only framing is added.
Rule 2: a request is never repeated. In this API a GET pays orders, so no method is safe to send twice. A
        request of which no byte was written is no repetition: it goes to another connection.
Rule 3: only this module and `connection.py` use aiohttp. The relay sees `Client`, `Reply` and `UpstreamError`
        only.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import aiohttp
from yarl import URL

from camguard.gateway.connection import ATTEMPT, Attempt, Connection

Headers = Sequence[tuple[bytes, bytes]]
Body = bytes | AsyncIterator[bytes] | None
Kind = Literal["connect", "timeout", "reset", "protocol", "truncated"]

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
    idle_seconds: how long a connection is kept for the next request; 0: a connection for each request.
    """

    def __init__(self, *, seconds: float, connections: int, idle_seconds: float = 4.0) -> None:
        self._seconds = seconds
        kept: dict[str, Any] = {"keepalive_timeout": idle_seconds} if idle_seconds else {"force_close": True}
        connector = aiohttp.TCPConnector(limit=connections, socket_factory=impatient(seconds), **kept)
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
        upload = None
        if isinstance(body, bytes) and len(body) > SLICE:
            lines = [line for line in lines if line[0] != "content-length"]
            lines.append(("content-length", str(len(body))))
            upload = Upload(slices(body))
        elif body is not None and not isinstance(body, bytes):
            upload = Upload(body)
        try:
            async with asyncio.timeout(self._seconds) as deadline:

                def data() -> Body:
                    return body if upload is None else self._paced(upload, deadline)

                url, opaque = target(origin, query), not b"".join([value for _, value in headers]).isascii()
                response = await self._request(method, url, lines, data, upload, opaque=opaque)
        except TimeoutError as exc:
            raise UpstreamError("timeout", exc) from None
        except aiohttp.ClientConnectorError as exc:
            raise UpstreamError("connect", exc) from None
        except aiohttp.ClientResponseError as exc:
            raise UpstreamError("protocol", exc) from None
        except (aiohttp.ClientError, OSError) as exc:
            raise UpstreamError("reset", exc) from None
        return AiohttpReply(response, self._seconds)

    async def _request(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        url: URL,
        lines: list[tuple[str, str]],
        data: Callable[[], Body],
        upload: Upload | None,
        *,
        opaque: bool,
    ) -> aiohttp.ClientResponse:
        """Send a request, and once more for each kept connection that its peer had ended (Rule 2).

        data: returns the body, anew for each attempt. upload: what it is taken from, where it is in parts.
        opaque: as `Attempt`.
        """
        while True:
            attempt = Attempt(opaque=opaque)
            ATTEMPT.set(attempt)
            try:
                return await self._session.request(
                    method, url, headers=lines, data=data(), allow_redirects=False
                )
            except (aiohttp.ClientError, OSError):
                if attempt.written or not attempt.reused or not (upload is None or upload.restarts):
                    raise

    async def _paced(self, upload: Upload, deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
        """Give the upstream its full time again with each part that the client took its own time to send."""
        clock = asyncio.get_running_loop().time
        async for chunk in upload.parts():
            deadline.reschedule(clock() + self._seconds)
            yield chunk

    async def close(self) -> None:  # noqa: D102 - Client says it
        await self._session.close()


class Upload:
    """A body in parts, which can be begun again while none but its first part was taken."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._first = b""
        self._taken = 0
        self._waits = False

    @property
    def restarts(self) -> bool:
        """Whether `parts` may be called again, and would give the whole body."""
        return self._taken < 2 and not self._waits  # noqa: PLR2004 - the first part is kept, no other

    async def parts(self) -> AsyncIterator[bytes]:
        """Give the body."""
        if self._taken:
            yield self._first
        while True:
            self._waits = True  # and stays so where the wait is cancelled, which ends the iterator
            chunk = await anext(self._body, None)
            self._waits = False
            if chunk is None:
                return
            self._taken += 1
            if self._taken == 1:
                self._first = chunk
            yield chunk


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
    """Return headers as aiohttp takes them: each byte of a value is one character (`Wire`)."""
    return [(name.decode("ascii"), value.decode("latin-1")) for name, value in headers]


async def slices(body: bytes) -> AsyncIterator[bytes]:
    """Give a body in parts, each written only when the upstream has taken the one before."""
    for start in range(0, len(body), SLICE):
        yield body[start : start + SLICE]
