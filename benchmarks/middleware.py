"""What a middleware adds to a request: in uvicorn's protocol, and on the wire.

In process, bytes go into uvicorn's protocol with a transport that only keeps what is written, so all of the
server's Python runs and no kernel; each variant has a process of its own. On the wire, all variants are up
at once under uvicorn, and a client that never sleeps asks one after the other, in rounds: no wake-up is paid.
CPU is that of the server process. Header identity, metrics on, decision log off. `instructions.py` counts
instructions.

The floors (`_floors.py`, `_signed_floors.py`) are asked in the same rounds. The last table says of each goal
what the least code comes to that does, for the one request of this benchmark, what every such request needs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from _apps import SIZE, application, write_config
from _in_server import connect, raw_request
from _ladders import HEADER, REFUSED, TC3, checked, floors, last
from _measure import Facts, Subject, apart
from _peers import PEERS
from _report import Report, options, show
from _requests import BODY, BODY_1K, headers_of, one_call
from _workload import Workload, make_workload

PEER_NAMES = ("hand-rolled, integers", "CEL", "cedarpy", "casbin")
CLOCK = os.sysconf("SC_CLK_TCK")
ROUND = 100  # requests between two looks at the clock


class Variant:
    """One thing to ask: a name, the application behind it, and the request it is asked."""

    def __init__(
        self, name: str, served: str, headers: Mapping[str, str], body: bytes, marker: bytes
    ) -> None:
        self.name = name
        self.served = served
        self.headers = headers
        self.body = body
        self.marker = marker  # what an answer must hold


def variants(workload: Workload) -> list[Variant]:
    """Return everything that is compared; peers that are not installed are left out."""
    call, refused = one_call(workload, allowed=True), one_call(workload, allowed=False)
    other = one_call(workload, allowed=True, v6=True)
    passes, denied = b"ResultUrl", b"Error"
    plain, large = headers_of(call, BODY), headers_of(call, BODY_1K, signed=True)
    found = [
        Variant("bare", "bare", plain, BODY, passes),
        Variant("camguard", "camguard", plain, BODY, passes),
        Variant("camguard, IPv6 client", "camguard", headers_of(other, BODY), BODY, passes),
        Variant("camguard, refusal", "camguard", headers_of(refused, BODY), BODY, denied),
        Variant("bare, 1 KB", "bare", large, BODY_1K, passes),
        Variant("camguard, TC3, 1 KB", "camguard", large, BODY_1K, passes),
        Variant("empty BaseHTTPMiddleware", "empty BaseHTTPMiddleware", plain, BODY, passes),
    ]
    found += [Variant(name, name, plain, BODY, passes) for name in (last(HEADER), checked(HEADER))]
    headers = headers_of(refused, BODY)
    found += [Variant(name, name, headers, BODY, denied) for name in floors(REFUSED)]
    found += [Variant(name, name, large, BODY_1K, passes) for name in floors(TC3)]
    installed = {each.name for each in PEERS if each.installed}
    found += [Variant(name, name, plain, BODY, passes) for name in PEER_NAMES if name in installed]
    return found


def _working(variant: Variant, folder: Path) -> tuple[Subject, Facts]:
    """Return what sends one variant its request in uvicorn's protocol, in this process."""
    loop = uvloop.new_event_loop()
    app, request = application(variant.served, folder), raw_request(variant.headers, variant.body)

    async def connected() -> Any:
        return connect(app)

    ask = loop.run_until_complete(connected())

    def work() -> int:
        answer = loop.run_until_complete(ask(request, ROUND))
        if variant.marker not in answer:
            raise SystemExit(f"{variant.name} answered {answer!r}")
        return ROUND

    return work, ()


def in_process(found: list[Variant], folder: Path, *, rounds: int) -> dict[str, list[float]]:
    """Return microseconds per request of every variant in every round, each in a process of its own."""
    return apart({each.name: partial(_working, each, folder) for each in found}, rounds)[0]


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(names: list[str], folder: Path) -> Iterator[dict[str, tuple[int, int]]]:
    """Serve every variant in a process of its own; yield name -> (port, pid)."""
    here = Path(__file__).resolve().parent
    path = os.pathsep.join((str(here.parent), os.environ.get("PYTHONPATH", "")))
    running: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}
    try:
        for name in names:
            port = _port()
            command = [sys.executable, str(here / "_apps.py"), str(folder), name, str(port)]
            running[name] = (port, subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}))
        for name, (port, process) in running.items():
            deadline = time.monotonic() + 120
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start")
                time.sleep(0.1)
        yield {name: (port, process.pid) for name, (port, process) in running.items()}
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait(10)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


def busy(variant: Variant, port: int, pid: int, file: Path, seconds: float) -> tuple[float, float]:
    """Return requests per second and CPU microseconds per request, under a client that never sleeps."""
    file.write_bytes(raw_request(variant.headers, variant.body))
    client = Path(__file__).resolve().parent / "_busy_client.py"
    command = [sys.executable, str(client), str(port), str(seconds), str(file), variant.marker.decode()]
    before = _cpu(pid)
    count = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return count / seconds, (_cpu(pid) - before) * 1e6 / count


def paired(taken: Mapping[str, list[float]], name: str, base: str) -> float:
    """Return the median difference within a round."""
    return statistics.median(a - b for a, b in zip(taken[name], taken[base], strict=True))


def _base(name: str) -> str:
    return "bare, 1 KB" if "1 KB" in name else "bare"


def main() -> None:
    """Print what each variant adds, in process and on the wire."""
    given = options(__doc__)
    rounds, seconds, turns = (9, 1, 3) if given.quick else (21, 3, 9)
    workload = make_workload(SIZE)
    folder = Path(tempfile.mkdtemp(prefix="camguard-bench-"))
    try:
        write_config(folder, workload)
        found = variants(workload)
        report = Report(
            "middleware: what it adds to a request", ("", "in process µs", "added µs", "rate/s", "CPU µs")
        )
        taken = in_process(found, folder, rounds=rounds)
        rates: dict[str, list[float]] = {v.name: [] for v in found}
        cpus: dict[str, list[float]] = {v.name: [] for v in found}
        with serving(list(dict.fromkeys(v.served for v in found)), folder) as servers:
            for _ in range(turns):
                for variant in found:
                    port, pid = servers[variant.served]
                    rate, cpu = busy(variant, port, pid, folder / "request", seconds)
                    rates[variant.name].append(rate)
                    cpus[variant.name].append(cpu)
        for v in found:
            own = statistics.median(taken[v.name]), paired(taken, v.name, _base(v.name))
            report.rows.append(
                [v.name, *own, statistics.median(rates[v.name]), statistics.median(cpus[v.name])]
            )
        _ratios(report, taken, rates, cpus)
        _beside_floors(report, taken, rates, cpus)
        absent = [name for name in PEER_NAMES if name not in taken]
        report.notes += [f"not installed: {', '.join(absent)}"] if absent else []
        show(report, as_json=given.json)
    finally:
        shutil.rmtree(folder)


def _within(values: Mapping[str, list[float]], one: str) -> float:
    """Return the median over the rounds of a variant divided by its base."""
    return statistics.median(a / b for a, b in zip(values[one], values[_base(one)], strict=True))


def _ratios(
    report: Report,
    taken: Mapping[str, list[float]],
    rates: Mapping[str, list[float]],
    cpus: Mapping[str, list[float]],
) -> None:
    added = paired(taken, "camguard", "bare")
    for name in ("cedarpy", "casbin", "CEL", "empty BaseHTTPMiddleware"):
        if name in taken:
            overhead = paired(taken, name, "bare") / added
            report.ratios.append((f"overhead in process, {name} / camguard", overhead, ""))
    signed = "camguard, TC3, 1 KB"
    report.ratios += [
        ("refusal / unguarded request, in process", _within(taken, "camguard, refusal"), "<= 0.60"),
        ("refusal / unguarded request, CPU", _within(cpus, "camguard, refusal"), "<= 0.80"),
        ("rate, camguard / bare", _within(rates, "camguard"), ">= 0.70"),
        ("rate, camguard, IPv6 client / bare", _within(rates, "camguard, IPv6 client"), ""),
        ("rate, camguard TC3 1 KB / bare", _within(rates, signed), ">= 0.62"),
        ("CPU µs added, camguard", paired(cpus, "camguard", "bare"), ""),
        ("CPU µs added, camguard TC3 1 KB", paired(cpus, signed, _base(signed)), ""),
    ]


def _beside_floors(
    report: Report,
    taken: Mapping[str, list[float]],
    rates: Mapping[str, list[float]],
    cpus: Mapping[str, list[float]],
) -> None:
    """Add what each floor allows, beside what camguard reaches and the goal.

    The rate that the CPU allows is told, too: that of a server that shares its machine with nobody.
    """
    allowed = {name: [1 / each for each in values] for name, values in cpus.items()}
    unsigned = [last(HEADER), checked(HEADER)]
    steps = {
        "rate": [*unsigned, last(TC3), checked(TC3)],
        "bare CPU / CPU": [*unsigned, *floors(TC3)],
    }
    for (what, names), values in zip(steps.items(), (rates, allowed), strict=True):
        for name in names:
            mine = "camguard, TC3, 1 KB" if name.startswith(TC3) else "camguard"
            goal = ">= 0.62" if name.startswith(TC3) else ">= 0.70"
            report.floors.append((f"{what}, {name}", _within(values, mine), _within(values, name), goal))
    for what, values, goal in (("in process", taken, "<= 0.60"), ("CPU", cpus, "<= 0.80")):
        report.floors += [
            (f"{what}, {name}", _within(values, "camguard, refusal"), _within(values, name), goal)
            for name in floors(REFUSED)
        ]


if __name__ == "__main__":
    main()
