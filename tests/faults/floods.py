"""Pipelines, chunks and stalls: strangers who send what is cheap to send and dear to parse."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from tests.faults.callers import ALLOWED, Load, ask, call, load, perform, until
from tests.faults.report import Report, files, resident, status
from tests.gateway.stage import OK, Upstream, says
from tests.running import Gateway, running

KIB = 1 << 10
PER_CONNECTION = (320 + 64) * KIB  # what it has sent, and what it has not taken, as SECURITY.md says
SLACK = 16 << 20  # of the allocator, and of the healthy callers beside
CALLERS = 4
HEAD = (
    b"POST / HTTP/1.1\r\nhost: aiart.tencentcloudapi.com\r\nx-tc-action: TextToImage\r\n"
    b"content-type: application/json\r\n"
)
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
SIGNED = HEAD + b"authorization: x\r\ntransfer-encoding: chunked\r\n\r\n"
TINY = b"GET / HTTP/1.1\r\n\r\n"

PIPELINES = {
    "heads of 18 bytes": TINY,
    "refused calls": HEAD + b"content-length: 2\r\n\r\n{}",
    "allowed calls": call(),
}
CHUNKS = {
    "one byte": b"1\r\nx\r\n",
    "two bytes": b"2\r\nxx\r\n",
    "64 bytes": b"40\r\n" + b"x" * 64 + b"\r\n",
    "one byte and an extension": b"1;" + b"x" * 1000 + b"\r\nx\r\n",
    "bytes that look like the last chunk": b"5000\r\n" + b"0\r\n\r\n" * 4096 + b"\r\n",
}
# What begins a connection, and what follows for ever.
STRANGERS = {
    "pipelined heads": (b"", TINY),
    "pipelined bodies": (b"", HEAD + b"content-length: 9\r\n\r\n" + b"x" * 9),
    "one-byte chunks": (CHUNKED, b"1\r\nx\r\n"),
    "one-byte chunks of a signed request": (SIGNED, b"1\r\nx\r\n"),
    "chunks that look like the last one": (SIGNED, CHUNKS["bytes that look like the last chunk"]),
    "trailers": (SIGNED + b"0\r\n", b"a: b\r\n"),
    "lines of a head": (HEAD, b"a: b\r\n"),
    "empty lines": (b"", b"\r\n"),
    "a declared body": (HEAD + b"content-length: 99999999\r\n\r\n", b"x"),
    "a body of a signed request": (HEAD + b"authorization: x\r\ncontent-length: 9999999\r\n\r\n", b"x"),
}


def inject_pipelines(report: Report, *, quick: bool) -> None:
    """Connections that send request after request and read no answer."""
    perform(_pipelines(report, 20 if quick else 200, 1.5 if quick else 10))


async def _pipelines(report: Report, count: int, seconds: float) -> None:
    async with _gateway() as gateway:
        pid = gateway.process.pid
        before, opened = resident(pid), files(pid)
        for name, request in PIPELINES.items():
            async with load(gateway.calls, CALLERS) as calls:
                sent = await _flood(gateway.calls, count, Stranger(b"", request, reads=False), seconds)
            grown = status(pid, "VmHWM") - before
            _says(report, name, sent, calls)
            report.says(connections=count, kib_each=max(0, grown - SLACK) // KIB // count)
            report.holds(
                f"{name}: a connection takes at most 384 KiB", true=grown <= count * PER_CONNECTION + SLACK
            )
            report.holds(f"{name}: all calls of others are served", true=_served(calls))
        await _ends(report, gateway, opened)


def inject_chunks(report: Report, *, quick: bool) -> None:
    """Bodies in tiny chunks, refused at once or after they were read."""
    perform(_chunks(report, 5 if quick else 50, 1.0 if quick else 5))


async def _chunks(report: Report, count: int, seconds: float) -> None:
    async with _gateway() as gateway:
        opened = files(gateway.process.pid)
        for name, part in CHUNKS.items():
            for who, head in {"refused by its head": CHUNKED, "read first": SIGNED}.items():
                async with load(gateway.calls, CALLERS) as calls:
                    sent = await _flood(gateway.calls, count, Stranger(head, part), seconds)
                _says(report, f"{name}, {who}", sent, calls)
                report.holds(f"{name}, {who}: all calls of others are served", true=_served(calls))
        await _ends(report, gateway, opened)


def inject_stalls(report: Report, *, quick: bool) -> None:
    """Every kind of stranger at once, many of each. The watchdog's claims are the result."""
    perform(_stalls(report, 5 if quick else 30, 4 if quick else 30))


async def _stalls(report: Report, each: int, seconds: float) -> None:
    async with _gateway() as gateway:
        opened = files(gateway.process.pid)
        async with load(gateway.calls, CALLERS) as calls:
            floods = [_flood(gateway.calls, each, Stranger(*kind), seconds) for kind in STRANGERS.values()]
            sent = sum(await asyncio.gather(*floods))
        _says(report, f"{each} of each kind", sent, calls)
        report.holds("all calls of others are served", true=_served(calls))
        await _ends(report, gateway, opened)


@contextlib.asynccontextmanager
async def _gateway() -> AsyncIterator[Gateway]:
    async with Upstream(says(OK)) as upstream:
        overrides = {"UPSTREAM__DEFAULT": upstream.url}
        with tempfile.TemporaryDirectory() as place, running(Path(place, "config"), **overrides) as gateway:
            await asyncio.gather(*(ask(gateway.calls, call()) for _ in range(20)))
            yield gateway


class Stranger(NamedTuple):
    """What each connection begins with and goes on with. reads: whether it takes what is answered."""

    head: bytes
    part: bytes
    reads: bool = True


async def _flood(port: int, count: int, stranger: Stranger, seconds: float) -> int:
    """Send for so long on so many connections, on a new one where one is cut. Return how many bytes went."""
    head, part, reads = stranger
    until_then = time.monotonic() + seconds
    burst = part * max(1, 100_000 // len(part))

    async def one() -> int:
        loop = asyncio.get_running_loop()
        sent = 0
        while time.monotonic() < until_then:
            with socket.socket() as sock:
                if not reads:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                sock.settimeout(0)
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout_at(loop.time() + until_then - time.monotonic()):
                        await loop.sock_connect(sock, ("127.0.0.1", port))
                        await loop.sock_sendall(sock, head)
                        while True:
                            await loop.sock_sendall(sock, burst)
                            sent += len(burst)
                            await _taken(sock, reads=reads)
        return sent

    return sum(await asyncio.gather(*(one() for _ in range(count))))


async def _taken(sock: socket.socket, *, reads: bool) -> None:
    """Read what has been answered, without waiting for it."""
    await asyncio.sleep(0.02)
    with contextlib.suppress(BlockingIOError):
        while reads and sock.recv(1 << 16):
            pass


def _served(calls: Load) -> bool:
    return not calls.failures and calls.outcomes.total() == calls.outcomes[ALLOWED] > 0


def _says(report: Report, name: str, sent: int, calls: Load) -> None:
    report.says(
        stranger=name,
        sent_mib=sent / 2**20,
        calls=calls.sent,
        failed=len(calls.failures),
        p50_ms=calls.slowest(0.5) * 1e3,
        p99_ms=calls.slowest(0.99) * 1e3,
        slowest_ms=calls.slowest(1) * 1e3,
    )


async def _ends(report: Report, gateway: Gateway, opened: int) -> None:
    pid = gateway.process.pid
    await until(lambda: files(pid) <= opened + CALLERS + 4)
    report.says(rss_mib=resident(pid) / 2**20, peak_mib=status(pid, "VmHWM") / 2**20)
    report.holds("the next call is fine", true=await ask(gateway.calls, call()) == ALLOWED)
