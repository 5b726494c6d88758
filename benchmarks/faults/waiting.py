"""Sockets that send a well-formed head of a known secret id and hold back the last byte of the body."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

from benchmarks.faults.callers import ALLOWED, Broken, Load, answer, ask, load, outcome, perform, until
from benchmarks.faults.report import Report, files, resident, status
from benchmarks.faults.upstreams import IN_FLIGHT
from tests.edge.signing import authorization, tc3
from tests.running import Gateway, running

SOCKETS = 1500
CALLERS = 8
KEPT = 0.9  # of their rate, by healthy callers
WINDOW = 0.5  # seconds over which a rate is taken
RETURN_SECONDS = 10.0  # after which a socket that was answered comes back
HOST = "aiart.tencentcloudapi.com"


def waiting(report: Report, *, quick: bool) -> None:
    """1,500 requests whose body never ends, of one address and of fifty, beside healthy signed traffic."""
    perform(_scenes(report, 3.0 if quick else 25.0))


async def _scenes(report: Report, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as place:
        overrides = {"IDENTITY__MODE": "signature", "LIMITS__BODY_SECONDS": "30.0"}
        with running(Path(place, "config"), **overrides) as gateway:
            request = _signed(gateway)
            await ask(gateway.calls, request)
            before = resident(gateway.process.pid)
            for addresses in (1, 50):
                await _scene(report, gateway, request, addresses, seconds)
            report.memory(before, resident(gateway.process.pid), status(gateway.process.pid, "VmHWM"))


async def _scene(report: Report, gateway: Gateway, request: bytes, addresses: int, seconds: float) -> None:
    async with load(gateway.calls, CALLERS, request) as calls:
        await asyncio.sleep(1)
        rates = [await _rate(calls, seconds)]
        async with _waiters(gateway.calls, request, addresses) as answered:
            await asyncio.sleep(1)
            during = await _rate(calls, seconds)
            opened = files(gateway.process.pid)
            last = await ask(gateway.calls, request)
        await asyncio.sleep(1)
        rates.append(await _rate(calls, seconds))
    refused = calls.outcomes.total() - calls.outcomes[ALLOWED]
    back = await until(lambda: IN_FLIGHT not in gateway.metrics())
    kept = during / (sum(rates) / len(rates))
    report.says(
        addresses=addresses, sockets=SOCKETS, files=opened, answered=dict(answered), sent=calls.sent,
        failed=len(calls.failures), misjudged=refused,
    )  # fmt: skip
    report.says(rate_before=rates[0], rate_during=during, rate_after=rates[1], kept=kept)
    where = "one address" if addresses == 1 else f"{addresses} addresses"
    report.holds(f"{where}: no healthy call is refused or lost", true=not refused and not calls.failures)
    report.holds(f"{where}: healthy calls keep {KEPT:.0%} of their rate", true=kept >= KEPT)
    report.holds(f"{where}: a newcomer is served", true=last == ALLOWED)
    report.holds(f"{where}: who yields is told", true=set(answered) <= {"RequestLimitExceeded"})
    report.holds(f"{where}: nothing is in flight afterwards", true=back < 5)


async def _rate(calls: Load, seconds: float) -> float:
    """Return calls a second, the median of short windows."""
    rates = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        sent, began = calls.sent, time.monotonic()
        await asyncio.sleep(WINDOW)
        rates.append((calls.sent - sent) / (time.monotonic() - began))
    return median(rates)


@contextlib.asynccontextmanager
async def _waiters(port: int, request: bytes, addresses: int) -> AsyncIterator[Counter[str]]:
    """Hold sockets open that have sent all but the last byte; give the answers that they got."""
    answered: Counter[str] = Counter()
    tasks = []
    for number in range(SOCKETS):
        place = number % addresses
        address = f"127.0.{place // 250 + 1}.{place % 250 + 1}"
        tasks.append(asyncio.create_task(_waiter(port, request[:-1], address, answered)))
        if number % 50 == 49:
            await asyncio.sleep(0.02)
    try:
        yield answered
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _waiter(port: int, request: bytes, address: str, answered: Counter[str]) -> None:
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        try:
            writer.write(request)
            answered[outcome(await answer(reader))] += 1
        except (Broken, OSError) as error:
            answered[type(error).__name__] += 1
        finally:
            writer.close()
        await asyncio.sleep(RETURN_SECONDS)


def _signed(gateway: Gateway) -> bytes:
    """Return alice's signed call from the office, which the shipped policies allow."""
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
        "x-forwarded-for: 10.1.2.3",
        "content-length: 2",
    )
    return "\r\n".join(("POST / HTTP/1.1", *lines, "", "{}")).encode()
