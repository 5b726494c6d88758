"""What an answer to a proxy costs, beside a ready answer by the same server.

Each variant is a process of its own with the server of the gateway. A client that never sleeps (`_client.py`)
sends the subrequests of a proxy and asks one variant after the other, in rounds. CPU is that of the serving
process. Metrics on, decision log off, identity by header or by signature. The ready answer has the headers
of an allow, and its request is the same. Where valgrind is installed, the instructions of an answer are
counted, too, as `instructions.py` does: in uvicorn's protocol without the kernel.

`python benchmarks/authorizer.py --serve VARIANT FOLDER PORT` serves one of them;
`--run FILE COUNTS` sends so many requests to the ready answer and to the authorizer.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _apps import SIZE, App, write_config
from _client import ask
from _in_server import connect
from _report import Report, options, show
from _workload import NOW, Size, make_workload
from instructions import RUN, in_turn, per_request
from middleware import BODY, BODY_1K, headers_of, one_call

from camguard.authorizer.application import Authorizer
from camguard.gateway.protocol import Bounds
from camguard.gateway.server import listening
from camguard.ipset import format_address
from camguard.settings import load_settings
from camguard.telemetry.record import AUTHORIZER
from camguard.wiring import assemble

READY = "ready answer"
CONNECTIONS = 4
CLOCK = os.sysconf("SC_CLK_TCK")
HEADERS = [
    (b"x-camguard-decision", b"allow"),
    (b"x-camguard-reason", b"allowed"),
    (b"x-camguard-revision", b"0" * 12),
    (b"x-camguard-request-id", b"0" * 36),
    (b"cache-control", b"no-store"),
    (b"content-length", b"0"),
]


class Variant(NamedTuple):
    """One process and what it is asked. served: what the process serves."""

    name: str
    served: str
    request: bytes


async def ready(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer every request with an allow."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b""})


def application(variant: str, folder: Path) -> App:
    """Return what one process serves."""
    if variant == READY:
        return ready
    settings = load_settings(folder / "camguard.toml")
    parts = assemble(settings, listeners=(AUTHORIZER,), drains=True, clock=lambda: NOW)
    return Authorizer(settings, parts.guards[AUTHORIZER])


def serve(variant: str, folder: str, port: str) -> None:
    """Serve one variant until the process is ended."""
    import uvloop  # noqa: PLC0415 - in the process that serves only

    async def run() -> None:
        sock = socket.create_server(("127.0.0.1", int(port)))
        bounds = Bounds(head_seconds=30, body_seconds=30, head_bytes=65536, connections=1000)
        async with listening(application(variant, Path(folder)), sock, bounds, 0):
            await asyncio.Event().wait()

    uvloop.run(run())


def subrequest(path: str, headers: Mapping[str, str], body: bytes, address: str) -> bytes:
    """Return the bytes with which a proxy asks about a POST."""
    facts = {
        "X-Original-Method": "POST",
        "X-Original-URI": "/",
        "X-Original-Host": headers["Host"],
        "X-Real-IP": address,
    }
    shown = {**headers, **facts}
    lines = [f"{name}: {value}" for name, value in shown.items() if name.lower() != "x-forwarded-for"]
    method = "POST" if body else "GET"
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join((f"{method} {path} HTTP/1.1", *lines, *length, "", "")).encode() + body


def variants(folder: Path, size: Size = SIZE) -> list[Variant]:
    """Return what is measured, and write the working folder."""
    workload = make_workload(size)
    write_config(folder, workload)
    call = one_call(workload, allowed=True)
    address = format_address(call.source_ip or 0)  # a call of the workload has one
    hidden = subrequest("/authz/nginx", headers_of(call, BODY), b"", address)
    signed = headers_of(call, BODY_1K, signed=True)
    shown = subrequest("/authz/haproxy", signed, BODY_1K, address)
    return [
        Variant(READY, READY, hidden),
        Variant("authorizer, header identity, no body", AUTHORIZER, hidden),
        Variant(f"{READY}, 1 KB", READY, shown),
        Variant("authorizer, TC3, 1 KB", AUTHORIZER, shown),
    ]


@contextlib.contextmanager
def served(found: list[Variant], folder: Path) -> Iterator[dict[str, tuple[int, int]]]:
    """Run every variant; yield process id and port of each."""
    running: dict[str, tuple[int, int]] = {}
    processes = []
    try:
        for each in found:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port: int = free.getsockname()[1]
            command = [sys.executable, __file__, "--serve", each.served, str(folder), str(port)]
            process = subprocess.Popen(command)
            processes.append(process)
            running[each.name] = process.pid, port
            until = time.monotonic() + 20
            while time.monotonic() < until:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
        yield running
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def run(file: Path, names: Sequence[str]) -> None:
    """Send requests to the ready answer and to the authorizer, to be counted. file: holds the request."""
    request = file.read_bytes()

    def asking(variant: str) -> Callable[[int], Awaitable[object]]:
        connection = connect(application(variant, file.parent))

        async def ask(count: int) -> None:
            answer = await connection(request, count)
            if b"x-camguard-decision: allow" not in answer:
                raise SystemExit(f"the {variant} answered {answer!r}")

        return ask

    async def both() -> None:
        await in_turn({name: asking(name) for name in names})

    gc.collect()
    gc.disable()  # when a collection comes depends on what was loaded
    asyncio.run(both())


def instructions() -> dict[str, dict[str, float]]:
    """Return the instructions of a ready answer and of the authorizer's, for each request of the latter."""
    folder = Path(tempfile.mkdtemp(prefix="camguard-instructions-"))
    try:
        counts = {}
        for at, each in enumerate(variants(folder, Size(principals=5))):  # under valgrind a start is slow
            if each.served == AUTHORIZER:
                (folder / f"{at}.json").write_bytes(each.request)
                counts[each.name] = per_request(folder, str(at), (READY, AUTHORIZER), __file__)
        return counts
    finally:
        shutil.rmtree(folder)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


def main() -> None:
    """Measure and print."""
    given = options(__doc__)
    rounds, seconds = (3, 0.5) if given.quick else (7, 2.0)
    folder = Path(tempfile.mkdtemp(prefix="camguard-bench-"))
    try:
        found = variants(folder)
        rates: dict[str, list[float]] = {each.name: [] for each in found}
        cpus: dict[str, list[float]] = {each.name: [] for each in found}
        with served(found, folder) as running:
            for turn in range(rounds + 1):
                for each in found:
                    pid, port = running[each.name]
                    before = cpu_seconds(pid)
                    count, took = ask(port, each.request, CONNECTIONS, seconds)
                    if turn:  # what is made on first use is made before
                        rates[each.name].append(count / took)
                        cpus[each.name].append((cpu_seconds(pid) - before) / count * 1e6)
        report = Report("answers to a proxy", ("variant", "requests/s", "CPU µs"))
        report.rows = [
            [name, statistics.median(rates[name]), statistics.median(cpus[name])] for name in rates
        ]
        for one, other, goal in (
            ("authorizer, header identity, no body", READY, "<= 1.6"),
            ("authorizer, TC3, 1 KB", f"{READY}, 1 KB", ""),
        ):
            within = [a / b for a, b in zip(cpus[one], cpus[other], strict=True)]
            report.ratios.append((f"CPU, {one} / {other}", statistics.median(within), goal))
        if shutil.which("valgrind"):
            for name, counts in instructions().items():
                bare, asked = counts[READY], counts[AUTHORIZER]
                report.ratios.append((f"instructions without the kernel, {name} / {READY}", asked / bare, ""))
                report.notes.append(f"{name}: {asked:,.0f} instructions, {READY} {bare:,.0f}")
        else:
            report.notes.append("valgrind is not installed: no instructions were counted")
        show(report, as_json=given.json)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    elif sys.argv[1:2] == [RUN]:
        run(Path(sys.argv[2]), json.loads(sys.argv[3]))
    else:
        main()
