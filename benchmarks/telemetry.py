"""What being watched costs: counting, the decision log, and a scrape of everything there is to count.

Per call: metrics and log alone, on one record. Per request: the whole middleware with neither, with metrics,
and with metrics and a log to a file, in process. A scrape shows every action of the shipped catalog with
several reasons; it is rendered in a thread, and how late an event loop beside it wakes is noted.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from _apps import SIZE, App, bare, write_config
from _measure import interleave, median
from _report import Report, options, show
from _requests import BODY, headers_of, one_call
from _workload import NOW, Workload, make_workload
from middleware import Variant
from prometheus_client import CollectorRegistry

from camguard import CamguardMiddleware
from camguard.engine.decision import Decision, Reason
from camguard.settings import Settings, load_settings
from camguard.settings.model import DecisionLogSettings
from camguard.telemetry.record import Record
from camguard.wiring import Components, assemble

REASONS = (Reason.ALLOWED, Reason.NO_ALLOW, Reason.EXPLICIT_DENY)
CALLS = 20_000


async def ask(app: App, variant: Variant, count: int) -> float:
    """Return microseconds of one request in process."""
    answer = bytearray()

    async def send(message: Mapping[str, object]) -> None:
        body = message.get("body")
        if isinstance(body, bytes):
            answer.extend(body)

    raw = [(name.lower().encode(), value.encode()) for name, value in variant.headers.items()]
    raw.append((b"content-length", str(len(variant.body)).encode()))
    taken = 0
    for _ in range(count):
        fresh = [(bytes(bytearray(name)), bytes(bytearray(value))) for name, value in raw]
        messages = [{"type": "http.request", "body": variant.body, "more_body": False}]

        async def receive(messages: list[dict[str, object]] = messages) -> dict[str, object]:
            if messages:
                return messages.pop()
            await asyncio.sleep(3600)  # a client that waits for its answer
            raise AssertionError

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http",
            "path": "/", "raw_path": b"/", "root_path": "", "query_string": b"", "headers": fresh,
            "client": ("127.0.0.1", 40000), "server": ("127.0.0.1", 80), "state": {},
        }  # fmt: skip
        answer.clear()
        begin = time.perf_counter_ns()
        await app(scope, receive, send)
        taken += time.perf_counter_ns() - begin
        if variant.marker not in answer:
            raise SystemExit(f"{variant.name} answered {bytes(answer)!r}")
    return taken / 1000 / count


def parts_of(settings: Settings) -> Components:
    """Return what a middleware is made of."""
    return assemble(settings, clock=lambda: NOW, registry=CollectorRegistry())


def records(parts: Components, count: int) -> list[Record]:
    """Return records of every action of the catalog with several reasons, over and over."""
    bundle = parts.store.bundle
    if bundle is None:
        raise SystemExit("the workload is no bundle")
    entries = list(bundle.catalog.actions.values())
    found = []
    for i in range(count):
        entry = entries[i % len(entries)]
        decision = Decision(REASONS[i // len(entries) % len(REASONS)], ("policy#0",), "identity")
        found.append(
            Record(
                time=NOW, request_id="3c140219-cfe9-470e-b241-907877d6fb03", listener="middleware",
                mode="enforce", decision=decision, entry=entry, principal="uin/10000000", secret_id=None,
                service=entry.service, action=entry.name, resources=("*",), source_ip=167_772_161,
                egress_ip=None, peer="127.0.0.1", client_ip="forwarded", signature=None,
                revision=bundle.revision, candidate=None, duration=0.00001,
            )
        )  # fmt: skip
    return found


def per_call(parts: Components, told: list[Record], rounds: int) -> dict[str, float]:
    """Return microseconds of one record, counted and logged."""
    observe, conclude = parts.metrics.observe, parts.log.conclude

    def counted() -> int:
        for record in told:
            observe(record)
        return len(told)

    def logged() -> int:
        for record in told:
            conclude(record, 200)
        return len(told)

    taken = interleave({"metrics, one record": counted, "log, one record": logged}, rounds)
    return {name: median(values) for name, values in taken.items()}


async def scrape(parts: Components, rounds: int) -> tuple[float, float, int]:
    """Return milliseconds of one scrape, the latest wake beside it in milliseconds, and its bytes."""
    loop = asyncio.get_running_loop()
    late, size, taken = 0.0, 0, []
    for _ in range(rounds):
        begin = time.perf_counter()
        rendering = loop.run_in_executor(None, parts.metrics.render)
        while not rendering.done():
            due = loop.time() + 0.001
            await asyncio.sleep(0.001)
            late = max(late, loop.time() - due)
        taken.append(time.perf_counter() - begin)
        size = len(rendering.result())
    return statistics.median(taken) * 1000, late * 1000, size


def main() -> None:
    """Print what each costs."""
    given = options(__doc__)
    rounds, count = (7, 300) if given.quick else (21, 1000)
    workload = make_workload(SIZE)
    folder = Path(tempfile.mkdtemp(prefix="camguard-bench-"))
    try:
        write_config(folder, workload)
        quiet = load_settings(folder / "camguard.toml", environ={})
        logging = replace(quiet, decision_log=DecisionLogSettings(path=str(folder / "decisions.log")))
        report = Report("telemetry: what being watched costs", ("", "µs"))
        parts = parts_of(logging)
        parts.start()
        costs = per_call(parts, records(parts, CALLS if given.quick else 5 * CALLS), rounds)
        milliseconds, late, size = asyncio.run(scrape(parts, rounds))
        parts.stop()
        report.rows += costs.items()
        taken = asyncio.run(requests(quiet, logging, one_request(workload), rounds, count))
        report.rows += [(name, statistics.median(values)) for name, values in taken.items()]
        report.rows += [("a scrape of the whole catalog", milliseconds * 1000)]
        report.rows += [("latest wake of the event loop beside it", late * 1000)]
        report.notes.append(f"a scrape of the whole catalog is {size / 1024:,.0f} KiB")
        report.ratios += [
            ("ms of a scrape of the whole catalog", milliseconds, "<= 50"),
            ("µs of metrics per request", added(taken, "metrics", "neither"), ""),
            ("µs of the log per request", added(taken, "metrics and log", "metrics"), ""),
        ]
        show(report, as_json=given.json)
    finally:
        shutil.rmtree(folder)


def added(taken: dict[str, list[float]], one: str, other: str) -> float:
    """Return the median difference within a round."""
    return statistics.median(a - b for a, b in zip(taken[one], taken[other], strict=True))


def one_request(workload: Workload) -> Variant:
    """Return a request that passes."""
    call = one_call(workload, allowed=True)
    return Variant("watched", "watched", headers_of(call, BODY), BODY, b"ResultUrl")


async def requests(
    quiet: Settings, logging: Settings, request: Variant, rounds: int, count: int
) -> dict[str, list[float]]:
    """Return microseconds of a request to an application whose guard is watched less or more."""
    neither, counted, logged = parts_of(quiet), parts_of(quiet), parts_of(logging)
    neither.guard.observers = ()
    logged.start()
    apps: dict[str, App] = {
        "neither": CamguardMiddleware(bare(), guard=neither.guard),
        "metrics": CamguardMiddleware(bare(), guard=counted.guard),
        "metrics and log": CamguardMiddleware(bare(), guard=logged.guard),
    }
    taken: dict[str, list[float]] = {name: [] for name in apps}
    for turn in range(rounds + 1):
        for name, app in apps.items():
            cost = await ask(app, request, count)
            if turn:  # the first makes what is made on first use
                taken[name].append(cost)
    logged.stop()
    return taken


if __name__ == "__main__":
    main()
