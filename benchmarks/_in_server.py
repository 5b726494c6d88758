"""uvicorn's protocol in process: bytes of requests in, bytes of answers out, and no kernel between.

All of the server's Python runs, so what a middleware adds is measured where it is added. A tight loop around
the application alone understates it by a half: the processor learns such a loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


class _Transport(asyncio.Transport):
    """A connection that keeps what is written to it. client: the address of its peer."""

    def __init__(self, client: str) -> None:
        super().__init__({"peername": (client, 40000), "sockname": ("127.0.0.1", 80)})
        self.written = bytearray()
        self.write = self.written.extend  # type: ignore[assignment]

    def is_closing(self) -> bool:
        """Say that the connection stays."""
        return False

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def raw_request(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request as it stands on the wire."""
    lines = [b"POST / HTTP/1.1", *(f"{name}: {value}".encode() for name, value in headers.items())]
    return b"\r\n".join((*lines, b"Content-Length: %d" % len(body), b"", b"")) + body


def connect(app: Any, client: str = "127.0.0.1") -> Callable[[bytes, int], Any]:
    """Return a coroutine function that sends a request `count` times over one connection, one at a time.

    It returns the last answer. client: the address that the server sees. Call it in an event loop.
    """
    config = uvicorn.Config(
        app, http="httptools", lifespan="off", proxy_headers=False, server_header=False, access_log=False,
        log_level="warning",
    )  # fmt: skip
    config.load()
    transport = _Transport(client)
    protocol = HttpToolsProtocol(config, ServerState(), {}, asyncio.get_running_loop())
    protocol.connection_made(transport)
    protocol.timeout_keep_alive = 3600  # else the timers of many requests would run

    async def ask(request: bytes, count: int) -> bytes:
        answer = b""
        for _ in range(count):
            transport.written.clear()
            protocol.data_received(request)
            while not protocol.cycle.response_complete:  # noqa: ASYNC110 - the task runs in the next turn
                await asyncio.sleep(0)
            answer = bytes(transport.written)
        return answer

    return ask
