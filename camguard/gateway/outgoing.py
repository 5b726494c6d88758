"""Answers on their way to the caller: fewer writes than uvicorn makes, and a form that HTTP/1.0 knows."""

# ruff: noqa: D102 - asyncio says what these methods are

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Message, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

HEAD_BEGIN = b"HTTP/1.1 "
JOINED_BYTES = 1 << 16  # a body up to this is copied behind its head; a larger one is written apart


class Outgoing:
    """The transport as uvicorn's answers use it, with another `close`.

    What is written to a connection that is ending is dropped: uvloop raises for a closed transport. The same
    holds after the event loop was closed: uvicorn sends status 500 for a request that is destroyed then.

    uvicorn writes the head of an answer and its body apart, and each write is a call of the kernel, which
    costs more than the whole parsing of a request. A head is therefore held until the body comes, at most
    until the next turn of the event loop.
    """

    __slots__ = ("_ended", "_head", "_soon", "_write", "close", "is_closing")

    def __init__(
        self, transport: asyncio.Transport, close: Callable[[], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._write = transport.write
        self._head = b""
        self._soon = loop.call_soon
        self._ended = loop.is_closed
        self.is_closing = transport.is_closing
        self.close = close

    def write(self, data: bytes) -> None:
        if self.is_closing() or self._ended():
            return
        head, self._head = self._head, b""
        if head and len(data) <= JOINED_BYTES:
            self._write(head + data)
        elif head:
            self._write(head)
            self._write(data)
        elif data.startswith(HEAD_BEGIN):
            self._head = data
            self._soon(self.flush)
        elif data:
            self._write(data)

    def flush(self) -> None:
        """Write the head that is held."""
        if self._head:
            self.write(b"")


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
