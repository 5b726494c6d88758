"""Sockets that send a well-formed head of a known secret id and hold back the last byte of the body."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.authn.signing import authorization, tc3
from tests.faults.callers import ALLOWED, Broken, Load, answer, ask, load, outcome, perform, until
from tests.faults.report import Report, files, resident, status
from tests.faults.upstreams import IN_FLIGHT
from tests.running import Gateway, running

SOCKETS = 1500
CALLERS = 8
KEPT = 0.9  # of their rate, by healthy callers
ROUNDS = 5  # with and without; the medians count
RETURN_SECONDS = 10.0  # after which a socket that was answered comes back
USUAL_RATE = 3000  # calls by the second; where there are fewer, sockets come back later in proportion
CALLS = 2000  # after which a rate is taken at the earliest
HOST = "aiart.tencentcloudapi.com"


class Rate(NamedTuple):
    """Calls by the second, and by the second of the gateway's CPU, on which other work has less influence."""

    by_clock: float
    by_cpu: float

    def pause(self) -> float:
        """Return after how many seconds a socket comes back, so that it is the same work for each call."""
        return RETURN_SECONDS * max(1.0, USUAL_RATE / self.by_clock)


def inject_waiting(report: Report, *, quick: bool) -> None:
    """1,500 requests whose body never ends, of one address and of fifty, beside healthy signed traffic."""
    perform(_scenes(report, 1.5 if quick else 6.0))


async def _scenes(report: Report, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as place:
        overrides = {"IDENTITY__MODE": "signature", "LIMITS__BODY_SECONDS": "300.0"}
        with running(Path(place, "config"), **overrides) as gateway:
            await ask(gateway.calls, _signed(gateway))
            before = resident(gateway.process.pid)
            for addresses in (1, 50):
                await _scene(report, gateway, addresses, seconds)
            report.memory(before, resident(gateway.process.pid), status(gateway.process.pid, "VmHWM"))


async def _scene(report: Report, gateway: Gateway, addresses: int, seconds: float) -> None:
    request = _signed(gateway, "x-forwarded-for: 10.1.2.3")
    pid = gateway.process.pid
    without: list[Rate] = []
    during: list[Rate] = []
    last, opened = set(), 0
    answered: Counter[str] = Counter()
    async with load(gateway.calls, CALLERS, request) as calls:
        await asyncio.sleep(1)
        for _ in range(ROUNDS):
            calls.request = request = _signed(gateway, "x-forwarded-for: 10.1.2.3")  # no round is too old
            without.append(await _rate(calls, pid, seconds))
            waiters = Waiters(gateway.calls, _signed(gateway)[:-1], answered, without[-1].pause())
            async with waiters.around(addresses):
                await _settled(waiters, gateway.calls, request)
                during.append(await _rate(calls, pid, seconds))
                opened = files(pid)
                last.add(await ask(gateway.calls, request))
            await asyncio.sleep(1)
        without.append(await _rate(calls, pid, seconds))
    refused = calls.outcomes.total() - calls.outcomes[ALLOWED]
    back = await until(lambda: IN_FLIGHT not in gateway.metrics())
    kept = _kept(without, during, "by_clock"), _kept(without, during, "by_cpu")
    report.says(
        addresses=addresses, sockets=SOCKETS, rounds=ROUNDS, files=opened, answered=dict(answered),
        sent=calls.sent, failed=len(calls.failures), misjudged=refused,
    )  # fmt: skip
    report.says(
        without=median(rate.by_clock for rate in without), during=median(rate.by_clock for rate in during),
        kept_by_clock=kept[0], kept_by_cpu=kept[1],
    )  # fmt: skip
    where = "one address" if addresses == 1 else f"{addresses} addresses"
    report.holds(f"{where}: no healthy call is refused or lost", true=not refused and not calls.failures)
    report.holds(f"{where}: healthy calls keep {KEPT:.0%} of their rate", true=max(kept) >= KEPT)
    report.holds(f"{where}: a newcomer is served", true=last == {ALLOWED})
    report.holds(
        f"{where}: a socket that yields is refused",
        true=set(answered) <= {"RequestLimitExceeded"},
    )
    report.holds(f"{where}: nothing is in flight afterwards", true=back < 5)


async def _settled(waiters: Waiters, port: int, request: bytes) -> None:
    """Return when all sockets have been accepted and read, and those that must yield have yielded."""
    await until(lambda: waiters.sent >= SOCKETS)
    for _ in range(3):  # each is accepted, read and answered behind all that came before it
        await ask(port, request)


def _kept(without: list[Rate], during: list[Rate], name: str) -> float:
    """Return the share of its rate that is kept, each against what stood before and after it."""
    plain = [(getattr(one, name) + getattr(other, name)) / 2 for one, other in pairwise(without)]
    shares: list[float] = [getattr(rate, name) / each for rate, each in zip(during, plain, strict=True)]
    return median(shares)


async def _rate(calls: Load, pid: int, seconds: float) -> Rate:
    """Take the rate of allowed calls over some seconds, and over more where the machine does much else."""
    allowed, spent, began = calls.outcomes[ALLOWED], _cpu(pid), time.monotonic()
    await asyncio.sleep(seconds)
    with contextlib.suppress(TimeoutError):
        await until(lambda: calls.outcomes[ALLOWED] - allowed >= CALLS)
    count = calls.outcomes[ALLOWED] - allowed
    return Rate(count / (time.monotonic() - began), count / (_cpu(pid) - spent))


def _cpu(pid: int) -> float:
    """Return the CPU seconds that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Waiters:
    """Sockets that send all but the last byte of a request and come back when they are answered.

    pause: seconds after an answer. answered: counts the answers. sent: how many requests were sent so far.
    """

    def __init__(self, port: int, request: bytes, answered: Counter[str], pause: float) -> None:
        self._port, self._request, self._pause = port, request, pause
        self.answered = answered
        self.sent = 0

    @contextlib.asynccontextmanager
    async def around(self, addresses: int) -> AsyncIterator[None]:
        """Hold the sockets open in the block. addresses: how many addresses they come from."""
        tasks = []
        for number in range(SOCKETS):
            place = number % addresses
            address = f"127.0.{place // 250 + 1}.{place % 250 + 1}"
            tasks.append(asyncio.create_task(self._waiter(address)))
            if number % 50 == 49:
                await asyncio.sleep(0.02)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _waiter(self, address: str) -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
            try:
                writer.write(self._request)
                self.sent += 1
                self.answered[outcome(await answer(reader))] += 1
            except (Broken, OSError) as error:
                self.answered[type(error).__name__] += 1
            finally:
                writer.close()
            await asyncio.sleep(self._pause)


def _signed(gateway: Gateway, *more: str) -> bytes:
    """Return alice's signed call. more: further lines; from the office the shipped policies allow it."""
    secret_id, secret = gateway.key("uin/100000000101")
    now = int(time.time())
    signature = tc3(payload=b"{}", timestamp=now, secret=secret)
    date = time.strftime("%Y-%m-%d", time.gmtime(now))
    lines = (
        f"host: {HOST}",
        "content-type: application/json",
        "x-tc-action: TextToImage",
        "x-tc-version: 2022-12-29",
        f"x-tc-timestamp: {now}",
        f"authorization: {authorization(signature, secret_id=secret_id, date=date)}",
        "content-length: 2",
        *more,
    )
    return "\r\n".join(("POST / HTTP/1.1", *lines, "", "{}")).encode()
