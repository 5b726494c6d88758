"""aiohttp's connections, made strict.

Rule 1: a connection on which a byte arrives that no request waits for is closed and never used again.
        Otherwise the next caller would get what was left of another caller's answer.
Rule 2: it is known of each request whether a byte of it was written. Only one without a written byte may go
        to another connection.
Rule 3: header values are bytes (RFC 9110 section 5.5). What a client may send goes on as it came (T130).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, TypeAlias

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

Data: TypeAlias = "bytes | bytearray | memoryview[Any]"  # as text: Python 3.11 cannot evaluate it


class Attempt:
    """One attempt to send a request on one connection.

    opaque: whether the head that is still to be written holds bytes that are no ASCII. reused: whether the
    connection has carried a request before. written: whether a byte of this one was handed to the kernel, or
    may have been.
    """

    __slots__ = ("opaque", "reused", "written")

    def __init__(self, *, opaque: bool) -> None:
        self.opaque = opaque
        self.reused = self.written = False


ATTEMPT: ContextVar[Attempt] = ContextVar("attempt")  # how `Connection` learns for whom aiohttp uses it


class Wire:
    """The transport of a `Connection`, as aiohttp writes to it.

    Before the first byte of a request is written to a connection that was used before, the kernel is asked
    once more whether the peer has ended it. Between aiohttp's choice of a connection and its first write lies
    a turn of the event loop, and the body of a request may even come seconds later.
    """

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection
        # What aiohttp calls for each request, found without `__getattr__`.
        self.is_closing = transport.is_closing
        self.resume_reading = transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        """Return what the transport has."""
        return getattr(self._transport, name)

    def write(self, data: Data) -> None:
        """Write bytes. Raises ConnectionResetError, and writes nothing, where the peer has ended."""
        attempt = self._connection.attempt
        if not attempt.written:
            self._begin(attempt)
            if attempt.opaque:
                data = as_received(data)
        self._transport.write(data)

    def writelines(self, parts: Iterable[Data]) -> None:
        """Write several parts, as `write` does."""
        attempt = self._connection.attempt
        if not attempt.written:
            self._begin(attempt)
            if attempt.opaque:
                head, *rest = parts
                parts = (as_received(head), *rest)
        self._transport.writelines(parts)

    def _begin(self, attempt: Attempt) -> None:
        if attempt.reused and self._connection.ended():
            self._transport.abort()
            raise ConnectionResetError
        attempt.written = self._connection.awaited = True


def as_received(data: Data) -> bytes:
    """Return the first bytes of a request with a head in Latin-1, which aiohttp has written in UTF-8."""
    head, end, body = bytes(data).partition(b"\r\n\r\n")
    return head.decode().encode("latin-1") + end + body


class Connection(ResponseHandler):
    """aiohttp's connection, for one reply a request and not a byte more.

    aiohttp's parser says that a reply has ended, not where. Each read is therefore fed in two parts, all but
    its last byte and that byte: a reply that has ended before the last byte was followed by something.

    awaited: whether a request was written, in part at least, and waits for bytes of its reply. reply: the
    body of the final reply, once there. poll: asks the kernel whether bytes, the end, or an error of the
    connection wait to be read. attempt: the last one. used: whether there was one.
    """

    awaited = False
    reply: StreamReader | None = None
    attempt: Attempt
    used = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        super().connection_made(transport)
        self.poll = select.poll()
        self.poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.wire = Wire(transport, self)  # type: ignore[arg-type]  # of a connection, it can be written to
        self.transport = self.wire  # type: ignore[assignment]  # it has everything that a transport has

    def set_response_params(self, **params: Any) -> None:
        """Begin a request; aiohttp says so before it writes."""
        self.reply = None
        self.attempt = ATTEMPT.get()
        self.attempt.reused, self.used = self.used, True
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
        if not self.awaited and self.ended():
            self.close()
            return False
        return True

    def ended(self) -> bool:
        """Tell whether the kernel holds anything of the peer, be it its end; asked while no reply is due."""
        return bool(self.poll.poll(0))

    def _replied(self) -> bool:
        return self.reply is not None and self.reply.is_eof()
