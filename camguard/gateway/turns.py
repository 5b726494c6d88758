"""Which connection of a listener is read and parsed next: turns of parsing, and the switch for reading."""

# ruff: noqa: D102 - uvicorn says what these methods are

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl

TURN = 4096  # units of work of all connections of a listener, as `camguard.gateway.parsing` counts it


class Waits(Protocol):
    """A connection whose parsing waits. queued: by `Turns`."""

    queued: bool
    loop: asyncio.AbstractEventLoop

    def advance(self) -> None:
        """Parse what is held."""


def asleep() -> None:
    """Do nothing: an ended connection is not read on."""


class Flow(FlowControl):
    """uvicorn's switch for reading.

    resume_reading: is called where uvicorn would resume, and decides when to.
    """

    def __init__(self, transport: asyncio.Transport, wake: Callable[[], None]) -> None:
        super().__init__(transport)
        # An attribute and no method: uvicorn calls it twice for each request.
        self.resume_reading = wake  # type: ignore[method-assign]

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            super().pause_reading()

    def read_on(self) -> None:
        """Resume, unless the connection is ending: uvloop raises for a closed transport."""
        if self.read_paused and not self._transport.is_closing():
            super().resume_reading()


class Turns:
    """Connections of one listener whose parsing waits for the next turn of the event loop, the oldest first.

    spent: units of work since the last turn that was given. read: bytes of large reads since then.
    """

    def __init__(self) -> None:
        self.spent = 0
        self.read = 0
        self._waiting: deque[Waits] = deque()
        self._scheduled = False

    def queue(self, connection: Waits) -> None:
        """Let a connection go on in a later turn. A connection waits once, however often it asks."""
        if not connection.queued:
            connection.queued = True
            self._waiting.append(connection)
            self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._waiting[0].loop.call_soon(self._give)

    def _give(self) -> None:
        """Let waiting connections go on until the turn is spent. One that asks again waits for the next."""
        self._scheduled = False
        self.spent = self.read = 0
        try:
            for _ in range(len(self._waiting)):
                connection = self._waiting.popleft()
                connection.queued = False
                connection.advance()
                if self.spent >= TURN:
                    break
        finally:
            self._schedule()
