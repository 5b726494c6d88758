"""How long a call takes through each real proxy that asks camguard: `python -m tests.authorizer.latency`.

One client, one connection, one call after the other, all on loopback. `added` is what a call through the
proxy takes more than the same call of the upstream itself, so it contains the proxy, its question and
camguard's answer. Skipped are the proxies that are not installed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.authorizer.proxies import PROXIES, Client, Upstream, proxy, running_authorizer
from tests.authorizer.test_proxies import BODY, SHOWING, lines

CALLS, WARM = 300, 50


def milliseconds(call: Callable[[], object]) -> tuple[float, float]:
    """Return the median and the 99th percentile of one call."""
    taken = []
    for at in range(WARM + CALLS):
        began = time.perf_counter()
        call()
        if at >= WARM:
            taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def main() -> None:
    """Measure every proxy and print a table."""
    folder = Path(tempfile.mkdtemp())
    say = sys.stdout.write
    with (
        Upstream() as upstream,
        running_authorizer(folder / "signed", upstream.port, IDENTITY__MODE="signature") as signed,
        running_authorizer(folder / "claimed", upstream.port, IDENTITY__MODE="claimed") as claimed,
    ):
        direct = Client(upstream.port)
        plain = [("Host", "aiart.tencentcloudapi.com"), ("Content-Type", "application/json")]
        base, slow = milliseconds(lambda: direct.ask("POST", "/", plain, BODY))
        say(f"{'upstream alone':16} median {base:6.2f} ms  p99 {slow:6.2f} ms\n")
        for name in PROXIES:
            asked = signed if name in SHOWING else claimed
            try:
                with proxy(name, folder / name, asked.settings) as front:
                    client = Client(front.port)
                    sent = lines(asked, front)
                    assert client.ask("POST", "/", sent, BODY).code is None
                    median, slow = milliseconds(partial(client.ask, "POST", "/", sent, BODY))
                    added = median - base
                    say(f"{name:16} median {median:6.2f} ms  p99 {slow:6.2f} ms  added {added:6.2f} ms\n")
            except pytest.skip.Exception as why:
                say(f"{name:16} {why}\n")


if __name__ == "__main__":
    main()
