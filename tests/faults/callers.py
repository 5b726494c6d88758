"""Callers that never rest, each on a connection of its own; and one call at a time. All on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from tests.running import PATIENCE

T = TypeVar("T")

ALLOWED = "allowed"
DENIED = "AuthFailure.UnauthorizedOperation"
UNAVAILABLE = "ServiceUnavailable"
CODE = re.compile(rb'"Code":"([A-Za-z.]+)"')
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


def perform(scene: Coroutine[Any, Any, T]) -> T:
    """Run one scene to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scene)


def call(*more: bytes, body: bytes = b"{}", length: int | None = None) -> bytes:
    """Return alice's call from the office, which the shipped policies allow.

    more: further lines. length: the declared one, where it is not the body's.
    """
    lines = (
        b"POST / HTTP/1.1",
        b"host: aiart.tencentcloudapi.com",
        b"content-type: application/json",
        b"x-tc-action: TextToImage",
        b"x-tc-version: 2022-12-29",
        b"x-camguard-principal: 100000000101",
        b"x-forwarded-for: 10.1.2.3",
        *more,
        b"content-length: %d" % (len(body) if length is None else length),
    )
    return b"\r\n".join((*lines, b"", body))


class Broken(Exception):  # noqa: N818 - what it is, not who is to blame
    """A request without a whole answer."""


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Return head and body of one answer. Raises Broken."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        if length is None and b"\r\ntransfer-encoding: chunked" in head.lower():
            return head + await chunks(reader)
        return head + await reader.readexactly(int(length[1]) if length else 0)
    except (asyncio.IncompleteReadError, OSError, ValueError) as error:
        raise Broken(repr(error)) from None


async def chunks(reader: asyncio.StreamReader) -> bytes:
    """Return a chunked body. Raises IncompleteReadError if it does not end, ValueError if it is none."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


def outcome(answered: bytes) -> str:
    """Return `allowed`, or the code of the refusal."""
    found = CODE.search(answered)
    return found[1].decode() if found else ALLOWED if b" 200 " in answered[:16] else answered[:12].decode()


async def ask(port: int, request: bytes, seconds: float = 30) -> str:
    """Send one request on a connection of its own and return its outcome.

    Raises Broken, OSError, TimeoutError.
    """
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return outcome(await answer(reader))
        finally:
            writer.close()


class Load:
    """outcomes: how often each. failures: requests without a whole answer. seconds: what each call took."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self.request = request
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []
        self.seconds: list[float] = []
        self.ending = False

    @property
    def sent(self) -> int:
        """Requests so far."""
        return self.outcomes.total() + len(self.failures)

    async def caller(self) -> None:
        """Call until the load ends, or until the gateway does not listen any more."""
        while not self.ending:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                return
            try:
                while not self.ending:
                    began = time.perf_counter()
                    writer.write(self.request)
                    answered = await answer(reader)
                    self.seconds.append(time.perf_counter() - began)
                    self.outcomes[outcome(answered)] += 1
                    if b"\r\nconnection: close" in answered.lower():
                        break
            except (Broken, OSError) as error:
                self.failures.append(repr(error))
            finally:
                writer.close()

    def slowest(self, share: float) -> float:
        """Return the time that this share of the calls stayed below."""
        return _slowest(self.seconds, share)

    def slowest_of_each(self, parts: int, share: float) -> float:
        """Return the least of that time over parts of the calls, in the order in which they ended.

        What other programs delay differs from part to part. What the gateway delays shows in each.
        """
        size = max(1, len(self.seconds) // parts)
        starts = range(0, max(1, len(self.seconds) - size + 1), size)
        return min(_slowest(self.seconds[start : start + size], share) for start in starts)


def _slowest(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int((len(seconds) - 1) * share)] if seconds else 0.0


@contextlib.asynccontextmanager
async def load(port: int, callers: int = 16, request: bytes | None = None) -> AsyncIterator[Load]:
    """Keep so many callers busy."""
    working = Load(port, request or call())
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(working.caller())
        try:
            yield working
        finally:
            working.ending = True


async def until(true: Callable[[], object], seconds: float = PATIENCE) -> float:
    """Wait until a function returns something true; return how long it took. Raises TimeoutError."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110 - another process tells of no event
            await asyncio.sleep(0.02)
    return time.monotonic() - began
