"""What a second worker brings: `camguard serve` with one worker and with two, in the same rounds.

Both gateways are up at once, before one upstream that answers ready bytes. A client that sleeps while nothing
has arrived asks one after the other on kept connections. Client, upstream and gateway share two cores: the
program binds itself, and so all of them, to the first two that it may use. CPU is that of all processes of a
gateway, the supervisor included, as the scheduler counts it. The CPU of client and upstream is counted, too:
what all of them use for a request says how many requests two cores can carry. Metrics on, decision log off.

`python benchmarks/workers.py --ask PORT REQUEST_FILE SECONDS` is the client.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import relay
from _apps import SIZE, write_config
from _client import READ, reply_size
from _report import Report, options, show
from _requests import BODY, headers_of, one_call
from _workload import make_workload
from middleware import Variant

CONNECTIONS = 32
COUNTS = (1, 2)
START_SECONDS = 60
STOP_SECONDS = 20
COLUMNS = ("rate/s", "CPU µs", "CPU µs of client and upstream")
RATE_GOAL, CPU_GOAL = ">= 1.5", "<= 1.25"


class Gateway(NamedTuple):
    """One running gateway. pid: of the process that was started; its workers are its children."""

    port: int
    pid: int
    upstream: int


class Round(NamedTuple):
    """Requests per second, and CPU microseconds per request: of the whole gateway, of client and upstream."""

    rate: float
    cpu: float
    others: float


def ask(port: int, request: bytes, seconds: float) -> tuple[int, float]:
    """Ask for so long; return the number of replies and the seconds that they took."""
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    size = [reply_size(sock, request) for sock in socks][-1]
    left = dict.fromkeys(socks, size)
    with selectors.EpollSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ)
            sock.sendall(request)
        count, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            for key, _ in selector.select(1):
                sock = key.fileobj
                data = sock.recv(READ)  # type: ignore[union-attr]
                if not data or len(data) > left[sock]:  # type: ignore[index]
                    raise SystemExit("a connection ended, or a reply is longer than the first one was")
                left[sock] -= len(data)  # type: ignore[index]
                if not left[sock]:  # type: ignore[index]
                    left[sock] = size  # type: ignore[index]
                    count += 1
                    sock.sendall(request)  # type: ignore[union-attr]
    for sock in socks:
        sock.close()
    return count, took


def processes(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *map(int, children)]


def gateway_of(count: int, folder: Path, port: int, upstream: int) -> subprocess.Popen[bytes]:
    """Start a gateway with so many workers."""
    settings = {
        "GATEWAY__LISTEN": f"127.0.0.1:{port}",
        "GATEWAY__ADMIN": "",
        "GATEWAY__WORKERS": str(count),
        "UPSTREAM__DEFAULT": f"http://127.0.0.1:{upstream}",
        "LOG__LEVEL": "error",
    }
    environ = {**os.environ, **{f"CAMGUARD_{name}": value for name, value in settings.items()}}
    command = [sys.executable, "-m", "camguard", "serve", "--config", str(folder / "camguard.toml")]
    home = Path(__file__).resolve().parents[1]
    return subprocess.Popen(command, env=environ, cwd=home, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def up(folder: Path) -> Iterator[dict[int, Gateway]]:
    """Run the upstream, and the gateways before it by their number of workers."""
    upstream, *ports = (relay.free_port() for _ in range(1 + len(COUNTS)))
    command, environ = relay.command_of("upstream", folder, None)
    running = [subprocess.Popen([*command, str(upstream), "0"], env=environ)]
    try:
        running += [
            gateway_of(count, folder, port, upstream) for count, port in zip(COUNTS, ports, strict=True)
        ]
        for process, port in zip(running, (upstream, *ports), strict=True):
            await_listener(process, port)
        yield {
            count: Gateway(port, process.pid, running[0].pid)
            for count, port, process in zip(COUNTS, ports, running[1:], strict=True)
        }
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(STOP_SECONDS)


def await_listener(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a port answers. The supervisor binds it before the workers start."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("a process did not start")
        time.sleep(0.1)


def await_workers(gateway: Gateway, variant: Variant, count: int) -> None:
    """Wait until every worker has answered, which its CPU time shows."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for _ in range(8):
            relay.check(variant, gateway.port)
        workers = processes(gateway.pid)[1:] or [gateway.pid]
        if len(workers) == count:
            before = [relay.cpu(pid) for pid in workers]
            for _ in range(64):
                relay.check(variant, gateway.port)
            if all(relay.cpu(pid) - was > 0 for pid, was in zip(workers, before, strict=True)):
                return
    raise SystemExit(f"{count} workers did not start")


def measure(gateway: Gateway, file: Path, seconds: float) -> Round:
    """Ask a gateway for so many seconds."""
    pids = processes(gateway.pid)
    before, upstream, client_before = sum(map(relay.cpu, pids)), relay.cpu(gateway.upstream), cpu_of_clients()
    client = [sys.executable, __file__, "--ask", str(gateway.port), str(file), str(seconds)]
    done = subprocess.run(client, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    count, took = map(float, done.stdout.split())
    others = relay.cpu(gateway.upstream) - upstream + cpu_of_clients() - client_before
    return Round(count / took, (sum(map(relay.cpu, pids)) - before) / count, others / count)


def cpu_of_clients() -> float:
    """Return the CPU microseconds of all clients that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


def main() -> None:
    """Print rate and CPU of one worker and of two, and their ratios."""
    given = options(__doc__)
    rounds, seconds = (3, 2.0) if given.quick else (9, 5.0)
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    workload = make_workload(SIZE)
    headers = headers_of(one_call(workload, allowed=True), BODY)
    variant = Variant("gateway", "gateway", headers, BODY, b"")
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(("POST / HTTP/1.1", *lines, f"Content-Length: {len(BODY)}", "", "")).encode()
    report = Report("workers: what a second worker brings on two cores", ("workers", *COLUMNS))
    found: dict[int, list[Round]] = {count: [] for count in COUNTS}
    folder = Path(tempfile.mkdtemp(prefix="camguard-bench-"))
    try:
        write_config(folder, workload)
        (folder / "request").write_bytes(head + BODY)
        with up(folder) as gateways:
            for count in COUNTS:
                await_workers(gateways[count], variant, count)
            for turn in range(rounds + 1):
                for count in COUNTS:
                    measured = measure(gateways[count], folder / "request", seconds)
                    if turn:  # the first round warms up
                        found[count].append(measured)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.rows += [[str(n), *map(statistics.median, zip(*found[n], strict=True))] for n in COUNTS]
    pairs = list(zip(found[1], found[2], strict=True))
    rate = statistics.median(two.rate / one.rate for one, two in pairs)
    report.ratios.append(("rate, two workers / one", rate, RATE_GOAL))
    cpu = statistics.median(two.cpu / one.cpu for one, two in pairs)
    report.ratios.append(("CPU per request, two workers / one", cpu, CPU_GOAL))
    most = statistics.median(2e6 / (two.cpu + two.others) / one.rate for one, two in pairs)
    report.ratios.append(("what two cores can carry / rate of one worker", most, ""))
    if len(cores) < len(COUNTS):
        report.notes.append("the program may use one core only: a second worker brings nothing")
    show(report, as_json=given.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        print(*ask(int(sys.argv[2]), Path(sys.argv[3]).read_bytes(), float(sys.argv[4])))
    else:
        main()
