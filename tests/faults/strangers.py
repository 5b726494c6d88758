"""A million principals, addresses, actions, hosts, names and keys that were never seen before."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camguard.middleware import CamguardMiddleware
from camguard.settings import load_settings
from camguard.wiring import assemble
from tests.asgi import body_of, http_scope, receive_of
from tests.faults.report import Report, resident
from tests.running import camguard

BODY = b"{}"
USUAL = {
    b"host": b"aiart.tencentcloudapi.com",
    b"content-type": b"application/json",
    b"x-tc-action": b"TextToImage",
    b"x-tc-version": b"2022-12-29",
    b"x-camguard-principal": b"100000000101",
    b"x-forwarded-for": b"10.1.2.3",
    b"content-length": b"2",
}
SIGNED = (
    b"TC3-HMAC-SHA256 Credential=AKID%d/2026-01-01/aiart/tc3_request, "
    b"SignedHeaders=content-type;host, Signature="
)

# What differs from request to request.
KINDS: dict[str, Callable[[int], dict[bytes, bytes]]] = {
    "principals": lambda n: {b"x-camguard-principal": b"%d" % (10**11 + n)},
    "addresses": lambda n: {b"x-forwarded-for": b"10.%d.%d.%d" % (n >> 16 & 255, n >> 8 & 255, n & 255)},
    "IPv6 addresses": lambda n: {b"x-forwarded-for": b"2001:db8::%x:%x" % (n >> 16, n & 65535)},
    "actions": lambda n: {b"x-tc-action": b"Action%d" % n},
    "hosts": lambda n: {b"host": b"aiart.ap-%d.tencentcloudapi.com" % n},
    "services": lambda n: {b"host": b"s%d.tencentcloudapi.com" % n},
    "regions": lambda n: {b"x-tc-region": b"ap-r%d" % n},
    "versions": lambda n: {
        b"x-tc-version": b"%04d-%02d-%02d" % (n // 10000 % 10000, n // 100 % 100, n % 100)
    },
    "header names": lambda n: {b"x-note-%d" % n: b"1"},
    "Connection": lambda n: {b"connection": b"x-%d" % n},
    "content types": lambda n: {b"content-type": b"multipart/form-data; boundary=b%d" % n},
    "secret ids": lambda n: {b"authorization": SIGNED % n + b"0" * 64, b"x-tc-timestamp": b"1767225600"},
}


def inject_strangers(report: Report, *, quick: bool) -> None:
    """A million strangers in minutes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "config")
        camguard("init", str(folder)).check_returncode()
        asyncio.run(_strangers(report, folder, 60_000 if quick else 1_000_000))


async def _strangers(report: Report, folder: Path, requests: int) -> None:
    settings = load_settings(folder / "camguard.toml", {"CAMGUARD_DECISION_LOG__PATH": ""})
    parts = assemble(settings, clock=lambda: 1767225600.0, listeners=("gateway",))
    outcomes: Counter[str] = Counter()
    reached = 0

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        nonlocal reached
        reached += 1

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            outcomes[message["body"].partition(b'"Code":"')[2].partition(b'"')[0].decode()] += 1

    middleware = CamguardMiddleware(app, guard=parts.guard)
    kinds = list(KINDS.values())
    for number, kind in enumerate(kinds):  # what a first request makes is made before
        await middleware(
            http_scope("POST", "/", {**USUAL, **kind(number)}.items()), receive_of(body_of(BODY)), send
        )
    sizes, series = [], []
    outcomes.clear()
    reached = 0
    began = time.monotonic()
    for quarter in range(4):
        gc.collect()
        sizes.append(resident())
        series.append(_series(parts.metrics.render()))
        for number in range(quarter * requests // 4, (quarter + 1) * requests // 4):
            lines = {**USUAL, **kinds[number % len(kinds)](number)}.items()
            await middleware(http_scope("POST", "/", lines), receive_of(body_of(BODY)), send)
    took = time.monotonic() - began
    gc.collect()
    sizes.append(resident())
    series.append(_series(parts.metrics.render()))
    scraping = time.thread_time()
    parts.metrics.render()
    scraping = time.thread_time() - scraping
    report.says(sent=requests, per_second=requests / took, reached=reached, outcomes=dict(outcomes))
    report.says(failed=requests - reached - outcomes.total(), misjudged=outcomes["InternalError"])
    report.says(rss_mib=[round(size / 2**20, 1) for size in sizes], series=series, scrape_ms=scraping * 1e3)
    report.memory(sizes[0], sizes[-1])
    report.holds("grown by at most 64 MiB", true=sizes[-1] - sizes[0] <= 64 << 20)
    report.holds("flat in the last quarter (2 MiB)", true=sizes[4] - sizes[3] <= 2 << 20)
    report.holds("the number of series is constant", true=len(set(series)) == 1)
    report.holds("a scrape takes less than a second of CPU", true=scraping < 1)
    report.holds("no request is lost, and nothing failed", true=reached + outcomes.total() == requests)
    report.holds("no internal error", true=not outcomes["InternalError"])


def _series(shown: bytes) -> int:
    return sum(1 for line in shown.splitlines() if line.startswith(b"camguard"))
