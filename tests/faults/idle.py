"""Upstreams that end idle connections early: calls must not fail, and none may be sent twice."""

from __future__ import annotations

import asyncio
import random
import re
import select
import tempfile
from collections import Counter
from pathlib import Path
from typing import cast

from tests.faults.callers import Broken, ask, call, perform
from tests.faults.report import Report
from tests.gateway.stage import OK
from tests.running import running

ALLOWED_SHARE = 0.01  # of calls that may fail
CLOSES_AFTER = 0.005  # seconds without a request after which the upstream ends a connection
CALLERS = 8
BODY = b"{}"
CALL = re.compile(rb"(?i)\r\nx-call: ([0-9-]+)")


class Connection(asyncio.Protocol):
    """One connection of an upstream that ends it when nothing has arrived for `CLOSES_AFTER` seconds.

    requests: how often each id arrived, on all connections.
    """

    def __init__(self, requests: Counter[str]) -> None:
        self.requests = requests
        self.received = b""
        self.idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection. The time begins with the first reply."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's class is no subclass

    def data_received(self, data: bytes) -> None:
        """Answer each request whose body is complete; all bodies here have two bytes."""
        if self.idle is not None:
            self.idle.cancel()
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if end and len(body) == len(BODY):
            found = CALL.search(head)
            assert found is not None
            self.requests[found[1].decode()] += 1
            self.received = b""
            self.transport.write(OK)
            self._wait()

    def _wait(self) -> None:
        self.idle = asyncio.get_running_loop().call_later(CLOSES_AFTER, self._end)

    def _end(self) -> None:
        """End the connection, unless bytes have arrived that this busy process has not read yet."""
        sock = self.transport.get_extra_info("socket")
        if sock.fileno() >= 0 and select.select([sock], [], [], 0)[0]:
            self._wait()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        del exc
        if self.idle is not None:
            self.idle.cancel()


def inject_idle_upstreams(report: Report, *, quick: bool) -> None:
    """Upstreams that close idle connections after 5 ms."""
    for seconds in (4.0, 0.003, 0):
        perform(_called(report, 100 if quick else 600, seconds))


async def _called(report: Report, each: int, seconds: float) -> None:
    """Callers that pause for 0 to 10 ms, so that about half of the calls meet a connection near its end."""
    requests: Counter[str] = Counter()
    accepted: list[Connection] = []

    def connection() -> Connection:
        accepted.append(Connection(requests))
        return accepted[-1]

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    overrides = {
        "UPSTREAM__DEFAULT": f"http://127.0.0.1:{port}",
        "LIMITS__UPSTREAM_IDLE_SECONDS": str(seconds),
    }
    outcomes: Counter[str] = Counter()
    drawn = random.Random(7)  # noqa: S311 - pauses, the same in each run

    async def caller(number: int, gateway: int) -> None:
        for at in range(each):
            await asyncio.sleep(drawn.uniform(0, 2 * CLOSES_AFTER))
            try:
                outcomes[await ask(gateway, call(b"x-call: %d-%d" % (number, at)))] += 1
            except Broken:
                outcomes["cut short"] += 1

    async with server:
        with tempfile.TemporaryDirectory() as place, running(Path(place, "config"), **overrides) as gateway:
            await asyncio.gather(*(caller(number, gateway.calls) for number in range(CALLERS)))
    sent = each * CALLERS
    failed = sent - outcomes["allowed"]
    twice = sum(count > 1 for count in requests.values())
    report.says(idle_seconds=seconds, sent=sent, connections=len(accepted), outcomes=dict(outcomes))
    report.holds("at most one call in a hundred fails", true=failed <= sent * ALLOWED_SHARE)
    report.holds("no call reaches the upstream twice", true=twice == 0)
    if not seconds:
        report.holds("each call has a connection of its own", true=len(accepted) >= sent)
