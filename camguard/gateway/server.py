"""Listeners: several applications in one process and one event loop, on uvicorn with our bounds.

uvicorn with httptools and uvloop was chosen for being the best kept and, measured, the fastest of the ASGI
servers that restart a killed worker and finish what is in flight. What it lacks
(deadlines and bounds before there is a request) is in `protocol.py`. Its `Server` is not used: it means one
listener a process, its own signals, a second Date header, and idle connections cut while a request arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from camguard.errors import Problem, SettingsError
from camguard.gateway.protocol import LINGER_SECONDS, BoundedProtocol, Bounds, bound, sweep
from camguard.settings import Address

BACKLOG = 2048
RESERVED_FILES = 128  # bundle, logs, pipes, resolver
MOST_FILES = 65_536
STOP_POLL_SECONDS = 0.02
LAST_ANSWER_SECONDS = 0.5  # to write an answer of some hundred bytes to each client that waits


class Listener:
    """One application on one socket, served until `stop`.

    `port` is the one that was bound.
    """

    def __init__(
        self, config: uvicorn.Config, bounds: Bounds, sock: socket.socket, *, direct: bool = False
    ) -> None:
        self.port: int = sock.getsockname()[1]
        self._state = ServerState()
        self._config = config
        self._bounds = bounds
        self._direct = direct
        self._sock = sock

    async def start(self) -> None:
        """Accept connections from now on."""
        protocol = bound(self._bounds, direct=self._direct)
        factory = partial(protocol, config=self._config, server_state=self._state, app_state={})
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(factory, sock=self._sock, backlog=BACKLOG)
        self._sweeping = asyncio.create_task(sweep(lambda: self._state.connections, self._bounds))

    async def stop(self, seconds: float, *, patient: bool = False) -> None:
        """Accept nothing more; give requests in flight these seconds to finish, then end them.

        patient: an idle connection may bring one more request for as long as it could before, so that no
        client meets a connection that ends while it sends.

        The relay answers a call whose upstream has not answered until then (T135). An answer that has begun
        is cut.
        """
        await asyncio.sleep(
            0
        )  # one turn of the loop accepts what the kernel has queued; closing would reset it
        self._server.close()
        linger = seconds if patient else LINGER_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._state.connections or self._state.tasks:
                    for connection in tuple(self._state.connections):
                        # one that was accepted in the last moment, too
                        if isinstance(connection, BoundedProtocol) and not connection.ending:
                            connection.shutdown(linger)  # type: ignore[call-arg]  # mypy mixes the class up with a union
                    await asyncio.sleep(STOP_POLL_SECONDS)
        for connection in tuple(cast("set[BoundedProtocol]", self._state.connections)):
            connection.cancel()
        for task in tuple(self._state.tasks):
            task.cancel()
        if self._state.tasks:
            await asyncio.wait(tuple(self._state.tasks), timeout=LAST_ANSWER_SECONDS)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        for task in tuple(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        self._sweeping.cancel()


async def listen(app: ASGIApp, sock: socket.socket, bounds: Bounds, *, direct: bool = False) -> Listener:
    """Serve an application on a bound socket; return once connections are accepted.

    direct: whether the application may run without a task, as `camguard.gateway.stepping` says.
    """
    config = uvicorn.Config(
        app,
        http=HttpToolsProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # it would write header text into scope["client"] (T05)
        timeout_keep_alive=math.ceil(bounds.head_seconds),
    )
    config.load()
    log = logging.getLogger("uvicorn.error")
    log.setLevel(logging.ERROR)  # its warnings are about what clients send: theirs to cause, ours to store
    log.addFilter(unintended)
    listener = Listener(config, bounds, sock, direct=direct)
    await listener.start()
    return listener


def unintended(record: logging.LogRecord) -> bool:
    """Whether uvicorn reports a fault: an answer that is cut is how the relay passes on that it was cut."""
    cancelled = record.exc_info is not None and record.exc_info[0] is asyncio.CancelledError
    return not cancelled and record.msg != "ASGI callable returned without completing response."


@contextlib.asynccontextmanager
async def listening(  # noqa: PLR0913 - what a listener serves, its bounds, and how it ends
    app: ASGIApp,
    sock: socket.socket,
    bounds: Bounds,
    shutdown_seconds: float,
    patient: Callable[[], bool] = lambda: False,
    *,
    direct: bool = False,
) -> AsyncIterator[Listener]:
    """Serve while the block runs. shutdown_seconds, patient: as `Listener.stop`. direct: as `listen`."""
    listener = await listen(app, sock, bounds, direct=direct)
    try:
        yield listener
    finally:
        await listener.stop(shutdown_seconds, patient=patient())


def bind(address: Address, name: str) -> socket.socket:
    """Return a socket bound to an address. name: the setting, for the message.

    Raises SettingsError.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as exc:
        cure = "; another program listens there: stop it, or set another address"
        why = os.strerror(exc.errno) if exc.errno else str(exc)  # Python adds the address once more
        message = f"cannot listen on {address}: {why}"
        message += cure if exc.errno == errno.EADDRINUSE else ""
        raise SettingsError(Problem(f"gateway.{name}", "BindError", message)) from None


def raise_file_limit() -> int:
    """Take as many open files as the system grants us; return how many connections a listener may hold.

    Each connection may have one more to an upstream.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return max(16, (soft - RESERVED_FILES) // 2)
