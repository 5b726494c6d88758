"""Clients that upload too much, vanish, or meet the end of the gateway."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import struct
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.callers import ALLOWED, Broken, Load, answer, ask, call, load, outcome, perform, until
from tests.faults.report import Report, files, resident, status
from tests.faults.upstreams import IN_FLIGHT
from tests.gateway.stage import OK, Upstream, Writer, says
from tests.running import PATIENCE, running

BUSY = "RequestLimitExceeded"
MIB = 1 << 20
PART = b"x" * (64 << 10)


def inject_uploads(report: Report, *, quick: bool) -> None:
    """Many large uploads at once."""
    perform(_uploads(report, *((60, 4 * MIB, 64 * MIB) if quick else (1000, 10 * MIB, 256 * MIB))))


async def _uploads(report: Report, count: int, size: int, budget: int) -> None:
    async with Upstream(says(OK)) as upstream:
        overrides = {"UPSTREAM__DEFAULT": upstream.url, "LIMITS__BUFFERED_BYTES": str(budget)}
        with tempfile.TemporaryDirectory() as place, running(Path(place, "config"), **overrides) as gateway:
            pid = gateway.process.pid
            await ask(gateway.calls, call())
            before, opened = resident(pid), files(pid)
            halfway = asyncio.Barrier(count)
            uploads = await asyncio.gather(*(_upload(gateway.calls, size, halfway) for _ in range(count)))
            await until(lambda: IN_FLIGHT not in gateway.metrics())
            outcomes = Counter(uploads)
            last = await ask(gateway.calls, call())
            grown = status(pid, "VmHWM") - before
            whole = sum(len(request) > size for request in upstream.requests)
            report.says(sent=count, each_mib=size // MIB, budget_mib=budget // MIB, outcomes=dict(outcomes))
            report.says(failed=outcomes["reset"], misjudged=abs(whole - outcomes[ALLOWED]), sockets=opened)
            report.memory(before, resident(pid), status(pid, "VmHWM"))
            report.holds(
                "each is served or receives a refusal, though it sends all before it reads",
                true=set(outcomes) <= {ALLOWED, BUSY},
            )
            report.holds("some are served", true=outcomes[ALLOWED] > 0)
            report.holds("what reached the upstream is what was served", true=whole == outcomes[ALLOWED])
            # The allocator takes up to twice what bodies hold; what a socket has read waits beside: 64 KiB
            # that uvicorn keeps, and one read of 256 KiB.
            bound = 2 * budget + count * 320 * 1024
            report.holds("memory stays within the budget's bound", true=grown <= bound)
            report.holds("the next call is fine", true=last == ALLOWED)


async def _upload(port: int, size: int, halfway: asyncio.Barrier) -> str:
    """Send a body in two halves, the second when everybody has sent the first."""
    waited = False
    try:
        async with asyncio.timeout(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(call(length=size)[:-2] + b'"')
                await _pour(writer, size // 2)
                waited = True
                await halfway.wait()
                await _pour(writer, size - size // 2 - 2)
                writer.write(b'"')
                await writer.drain()
                return outcome(await answer(reader))
            except (OSError, Broken, RuntimeError):  # the last: uvloop, of a connection that is closed
                return "reset"
            finally:
                writer.close()
    finally:
        if not waited:
            await halfway.wait()


async def _pour(writer: asyncio.StreamWriter, size: int) -> None:
    """Send so many bytes in small parts, so that no other client has to wait for one client's."""
    for start in range(0, size, len(PART)):
        writer.write(PART[: size - start])
        await writer.drain()
        await asyncio.sleep(0)


# Where a client vanishes: how much of the request it has sent, and how long it waits then.
VANISHES = {
    "connected": (0.0, 0.0),
    "within the head": (0.2, 0.0),
    "before the body": (0.5, 0.0),
    "within the body": (0.8, 0.0),
    "within the body, later": (0.8, 0.01),
    "at once": (1.0, 0.0),
    "while the upstream works": (1.0, 0.01),
    "while the reply comes": (1.0, 0.03),
}
NUMBER = re.compile(rb"\r\nx-number: (\d+)")


def inject_vanishing_clients(report: Report, *, quick: bool) -> None:
    """Clients that vanish at each point."""
    perform(_vanish(report, 1500 if quick else 100_000, 10 if quick else 75))


async def _vanish(report: Report, most: int, seconds: float) -> None:
    async def works(_upstream: Upstream, _head: bytes, _reader: asyncio.StreamReader, writer: Writer) -> None:
        await asyncio.sleep(0.02)
        writer.write(OK[:-1])
        await asyncio.sleep(0.02)
        if not writer.is_closing():  # the gateway lets go of it when its client has left
            writer.write(OK[-1:])

    async with Upstream(works) as upstream:
        with tempfile.TemporaryDirectory() as place:
            log = Path(place, "log")
            overrides = {"UPSTREAM__DEFAULT": upstream.url, "DECISION_LOG__PATH": str(log)}
            with running(Path(place, "config"), **overrides) as gateway:
                pid = gateway.process.pid
                await asyncio.gather(*(ask(gateway.calls, call()) for _ in range(50)))
                before, opened = resident(pid), files(pid)
                gone: Counter[str] = Counter()
                unheard = [0]
                until_then = time.monotonic() + seconds

                async def client(turn: random.Random) -> None:
                    while gone.total() < most and time.monotonic() < until_then:
                        where = turn.choice(list(VANISHES))
                        gone[where] += 1
                        number, reset = gone.total(), turn.random() < 0.5
                        unheard[0] += not await _gone(gateway.calls, number, *VANISHES[where], reset=reset)

                await asyncio.gather(*(client(random.Random(each)) for each in range(16)))  # noqa: S311
                back = await until(lambda: IN_FLIGHT not in gateway.metrics())
                last = await ask(gateway.calls, call())
                await until(lambda: files(pid) <= opened + 60)
                numbers = [found[1] for each in upstream.requests if (found := NUMBER.search(each))]
                short = sum(not each.endswith(b"{}") for each in upstream.requests if NUMBER.search(each))
                report.says(vanished=dict(gone), sent=gone.total(), reached_upstream=len(numbers))
                judged = (await asyncio.to_thread(log.read_bytes)).count(b"\n")
                report.says(
                    failed=unheard[0],
                    judged=judged,
                    misjudged=len(numbers) - len(set(numbers)) + short,
                    files=(opened, files(pid)),
                )
                report.memory(before, resident(pid))
                report.holds("every connection was taken", true=unheard[0] == 0)
                report.holds("nothing is in flight afterwards", true=back < 5)
                report.holds(
                    "no call reached the upstream twice, none in part",
                    true=len(numbers) == len(set(numbers)) and not short,
                )
                report.holds("no file or socket stays open", true=files(pid) <= opened + 60)
                report.holds("memory within 16 MiB", true=resident(pid) <= before + 16 * MIB)
                report.holds("the next call is fine", true=last == ALLOWED)


async def _gone(port: int, number: int, share: float, wait: float, *, reset: bool) -> bool:
    """Send part of a request and vanish. Tell whether the gateway took the connection."""
    request = call(b"x-number: %d" % number)
    try:
        # Of many addresses: one alone runs out of ports that a vanished connection still holds.
        here = f"127.0.{number >> 8 & 63}.{number % 250 + 1}", 0
        _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=here)
    except OSError:
        return False
    writer.write(request[: int(share * len(request))])
    await asyncio.sleep(wait)
    if reset:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()
    return True


def inject_shutdown(report: Report, *, quick: bool) -> None:
    """SIGTERM under load, again and again."""
    sent = failed = wrong = 0
    slowest = 0.0
    codes = set()
    for number in range(2 if quick else 20):
        with tempfile.TemporaryDirectory() as place, running(Path(place, "config")) as gateway:
            calls, took = perform(_ended(gateway.process.pid, gateway.calls, 0.3 + 0.05 * number))
            codes.add(gateway.process.wait(PATIENCE))
        sent += calls.sent
        failed += len(calls.failures)
        wrong += calls.outcomes.total() - calls.outcomes[ALLOWED]
        slowest = max(slowest, took)
    report.says(ends=number + 1, sent=sent, failed=failed, misjudged=wrong, slowest_end_seconds=slowest)
    report.holds("0 accepted requests were reset", true=failed == 0 and wrong == 0 and sent > 0)
    report.holds("it ends by itself, with 0", true=codes == {0})


async def _ended(pid: int, port: int, seconds: float) -> tuple[Load, float]:
    async with load(port, callers=16) as calls:
        await asyncio.sleep(seconds)
        os.kill(pid, signal.SIGTERM)
        began = time.monotonic()
        await until(lambda: not _listens(port))
        took = time.monotonic() - began
        await asyncio.sleep(1)
    return calls, took


def _listens(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0
