"""Upstreams that refuse, reset, hang, lie and never end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.callers import ALLOWED, Broken, ask, call, perform, until
from tests.faults.report import Report, files, resident, status
from tests.gateway.stage import (
    OK,
    Answer,
    Upstream,
    Writer,
    hangs,
    says,
    says_and_closes,
    says_and_resets,
    says_in_parts,
)
from tests.running import Gateway, running

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
SILENCE = 1.0  # seconds that the settings let the gateway wait for an upstream
IN_FLIGHT = 'camguard_requests_in_flight{listener="gateway"}'
CUT, ENVELOPE = "cut short", "InternalError"

# Fault, what the caller must see.
FAULTS: dict[str, tuple[Answer, str]] = {
    "resets before the head": (says_and_resets(), ENVELOPE),
    "closes within the head": (says_and_closes(b"HTTP/1.1 200 OK\r\ncontent-le"), ENVELOPE),
    "is no HTTP": (says_and_closes(b"SSH-2.0-OpenSSH_9\r\n"), ENVELOPE),
    "hangs": (hangs, ENVELOPE),
    "resets within the body": (says_and_resets(HEAD + b"content-length: 100\r\n\r\n{"), CUT),
    "closes within the body": (says_and_closes(HEAD + b"content-length: 100\r\n\r\n{"), CUT),
    "sends bad chunks": (says_in_parts(CHUNKED, b"2\r\n{}\r\n", b"zz\r\n"), CUT),
    "hangs within the body": (says(HEAD + b"content-length: 100\r\n\r\n{"), CUT),
}


def inject_upstreams(report: Report, *, quick: bool) -> None:
    """Upstreams that fail in every way."""
    perform(_faults(report, 10 if quick else 100, (64 if quick else 1024) << 20))


async def _faults(report: Report, each: int, large: int) -> None:
    async with Upstream(says(OK)) as upstream:
        overrides = {"UPSTREAM__DEFAULT": upstream.url, "LIMITS__UPSTREAM_SECONDS": str(SILENCE)}
        with tempfile.TemporaryDirectory() as place, running(Path(place, "config"), **overrides) as gateway:
            pid = gateway.process.pid
            await asyncio.gather(*(ask(gateway.calls, call()) for _ in range(20)))
            before, opened = resident(pid), files(pid)
            sent = wrong = repeated = 0
            slowest = 0.0
            for name, (answer, expected) in FAULTS.items():
                upstream.answer, already = answer, len(upstream.requests)
                outcomes = Counter(await asyncio.gather(*(_outcome(gateway.calls) for _ in range(each))))
                sent += each
                wrong += each - outcomes[expected]
                repeated += len(upstream.requests) - already - each
                slowest = max(slowest, await until(lambda: IN_FLIGHT not in gateway.metrics(), 5))
                upstream.answer = says(OK)
                if await _outcome(gateway.calls) != ALLOWED:
                    report.holds(f"after an upstream that {name} the next call is fine", true=False)
                report.says(upstream=name, outcomes=dict(outcomes))
            report.says(sent=sent, misjudged=wrong, repeated=repeated, in_flight_back_after=slowest)
            report.holds(
                "what failed before the answer is an envelope, what failed within it is cut", true=not wrong
            )
            report.holds("no request reached the upstream twice", true=repeated == 0)
            report.holds("nothing is in flight within a second, and the next call is fine", true=slowest < 1)
            await _large(report, gateway, upstream, large)
            await _closed(report, gateway, upstream, each)
            report.memory(before, resident(pid), status(pid, "VmHWM"))
            report.holds("no file stays open", true=files(pid) <= opened + 20)


async def _outcome(port: int) -> str:
    try:
        return await ask(port, call())
    except Broken:
        return CUT


async def _large(report: Report, gateway: Gateway, upstream: Upstream, size: int) -> None:
    """One reply that is too large to be held in memory."""

    async def pours(_upstream: Upstream, _head: bytes, _reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(HEAD + b"content-length: %d\r\n\r\n" % size)
        part = b"x" * (1 << 20)
        for _ in range(size >> 20):
            writer.write(part)
            await writer.drain()

    upstream.answer = pours
    before = status(gateway.process.pid, "VmHWM")
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.calls)
    writer.write(call())
    await reader.readuntil(b"\r\n\r\n")
    taken = 0
    while taken < size and (part := await reader.read(1 << 20)):
        taken += len(part)
    writer.close()
    grown = status(gateway.process.pid, "VmHWM") - before
    report.says(reply_mib=size >> 20, taken_mib=taken >> 20, seconds=time.monotonic() - began)
    report.says(peak_grew_mib=grown / 2**20)
    report.holds("a large reply passes whole and is not held", true=taken == size and grown < 32 << 20)


async def _closed(report: Report, gateway: Gateway, upstream: Upstream, each: int) -> None:
    """Nobody listens any more."""
    await upstream.__aexit__()
    outcomes = Counter([await _outcome(gateway.calls) for _ in range(each)])
    report.says(upstream="refuses", outcomes=dict(outcomes))
    report.holds("a refused connection is an envelope", true=set(outcomes) == {ENVELOPE})
