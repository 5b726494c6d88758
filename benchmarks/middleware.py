"""What a middleware adds to a request: in process, and on the wire under uvicorn.

All variants are up at once; wrk asks one after the other, in rounds. CPU is that of the server process.
Header identity, metrics on, decision log off. Fresh header bytes each time in process. The loop is closed:
wrk waits for a slower server, and to wake it up costs that server some microseconds of the kernel's time.

Instructions are counted by valgrind (callgrind) for warm calls in process, as the difference of two runs of
different length, so that the start cancels. They do not depend on what else the machine does. To compare with
another commit, run this program with the other commit's camguard: `git worktree add /tmp/other COMMIT`, then
`PYTHONPATH=/tmp/other python benchmarks/middleware.py --instructions`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import hmac
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from _apps import KEY, SIZE, App, application, write_config
from _peers import PEERS
from _report import Report, options, show
from _workload import NOW, Workload, make_calls, make_workload

from camguard.engine.call import Call
from camguard.ipset import format_address

BODY = json.dumps({"Prompt": "a cat, " * 20, "LogoAdd": 0}).encode()
BODY_1K = json.dumps({"Prompt": "a cat and a dog " * 60}).encode()
PEER_NAMES = ("hand-rolled, integers", "CEL", "cedarpy", "casbin")
CLOCK = os.sysconf("SC_CLK_TCK")
COUNTED = ("bare", "camguard", "camguard, TC3, 1 KB")
LENGTHS = (200, 700)  # warm calls in the two runs whose difference is counted
RUN = "--run"  # of this program under valgrind: a file with the request, how many calls


def one_call(workload: Workload, *, allowed: bool) -> Call:
    """Return a call of the first principal that every variant answers alike."""
    bundle = workload.bundle(ip_support="gateway")
    first = f"uin/{min(workload.principals['users'])}"
    for call in make_calls(workload, 20_000):
        mine = call._replace(principal=first)
        known = call.action in workload.catalog.actions
        if known and bool(bundle.decide(mine)) is allowed:
            return mine
    raise SystemExit("the workload has no such call")


def headers_of(call: Call, body: bytes, *, signed: bool = False) -> dict[str, str]:
    """Return the headers that the vendor's SDK sends, identity by proxy header or by signature."""
    service, _, action = call.action.partition(":")
    lines = {
        "Host": f"{service}.tencentcloudapi.com",
        "User-Agent": "python-requests/2.32.3",
        "Accept-Encoding": "gzip, deflate",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "X-TC-Action": action,
        "X-TC-Version": "2022-12-29",
        "X-TC-Timestamp": str(int(NOW)),
        "X-TC-Region": "ap-guangzhou",
        "X-TC-TraceId": "ab9d4b5f-2f4a-4d7e-8f0a-5d2f1a9d3c11",
        "X-Forwarded-For": format_address(call.source_ip or 0),
    }
    if signed:
        lines["Authorization"] = _tc3(service, lines["Host"], body)
    else:
        lines["X-Camguard-Principal"] = call.principal
    return lines


def _tc3(service: str, host: str, body: bytes) -> str:
    date = time.strftime("%Y-%m-%d", time.gmtime(NOW))
    canonical = (
        f"POST\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n"
        f"{hashlib.sha256(body).hexdigest()}"
    )
    text = (
        f"TC3-HMAC-SHA256\n{int(NOW)}\n{date}/{service}/tc3_request\n"
        f"{hashlib.sha256(canonical.encode()).hexdigest()}"
    )
    key = f"TC3{KEY[1]}".encode()
    for part in (date, service, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    return (
        f"TC3-HMAC-SHA256 Credential={KEY[0]}/{date}/{service}/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signature}"
    )


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
    passes, denied = b"ResultUrl", b"Error"
    plain, large = headers_of(call, BODY), headers_of(call, BODY_1K, signed=True)
    found = [
        Variant("bare", "bare", plain, BODY, passes),
        Variant("camguard", "camguard", plain, BODY, passes),
        Variant("camguard, refusal", "camguard", headers_of(refused, BODY), BODY, denied),
        Variant("bare, 1 KB", "bare", large, BODY_1K, passes),
        Variant("camguard, TC3, 1 KB", "camguard", large, BODY_1K, passes),
        Variant("empty BaseHTTPMiddleware", "empty BaseHTTPMiddleware", plain, BODY, passes),
    ]
    installed = {each.name for each in PEERS if each.installed}
    found += [Variant(name, name, plain, BODY, passes) for name in PEER_NAMES if name in installed]
    return found


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


def in_process(found: list[Variant], folder: Path, *, rounds: int, count: int) -> dict[str, list[float]]:
    """Return microseconds per request of every variant in every round."""
    apps = {name: application(name, folder) for name in dict.fromkeys(v.served for v in found)}
    taken: dict[str, list[float]] = {variant.name: [] for variant in found}

    async def all_rounds() -> None:
        for variant in found:
            await ask(apps[variant.served], variant, 50)
        for _ in range(rounds):
            for variant in found:
                taken[variant.name].append(await ask(apps[variant.served], variant, count))

    asyncio.run(all_rounds())
    return taken


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


def wrk(variant: Variant, port: int, pid: int, script: Path, seconds: float) -> tuple[float, float]:
    """Return requests per second and CPU microseconds per request."""
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(variant.body.decode())}"]
    lines += [
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in variant.headers.items()
    ]
    script.write_text("\n".join(lines), encoding="utf-8")
    before = _cpu(pid)
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{variant.name}: {said}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    return rate, (_cpu(pid) - before) * 1e6 / count


def instructions(variant: Variant, folder: Path) -> float:
    """Return the instructions of one warm call in process, those of the benchmark's own loop included."""
    file = folder / "request.json"
    file.write_text(
        json.dumps([variant.name, variant.served, dict(variant.headers), variant.body.decode()]), "utf-8"
    )
    totals = []
    for count in LENGTHS:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'callgrind.out'}"]
        command += [sys.executable, __file__, RUN, str(file), str(count)]
        said = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"}
        ).stderr
        totals.append(int(re.search(r"Collected : (\d+)", said)[1]))  # type: ignore[index]
    return (totals[1] - totals[0]) / (LENGTHS[1] - LENGTHS[0])


def run(file: Path, count: int) -> None:
    """Make so many calls of the request in a file, as `instructions` wrote it."""
    name, served, headers, body = json.loads(file.read_text(encoding="utf-8"))
    variant = Variant(name, served, headers, body.encode(), b"RequestId")
    app = application(served, file.parent)
    gc.collect()
    gc.disable()  # when a collection comes depends on what was loaded
    asyncio.run(ask(app, variant, count))


def count_instructions(report: Report, found: list[Variant], folder: Path) -> None:
    """Add the instructions of a call, and what camguard adds to one, to a report."""
    if not shutil.which("valgrind"):
        report.notes.append("valgrind is not installed: no instructions counted")
        return
    counted = {each.name: instructions(each, folder) for each in found if each.name in COUNTED}
    report.notes += [f"instructions a call, {name}: {value:,.0f}" for name, value in counted.items()]
    report.notes.append(f"instructions added by camguard: {counted['camguard'] - counted['bare']:,.0f}")


def paired(taken: Mapping[str, list[float]], name: str, base: str) -> float:
    """Return the median difference within a round."""
    return statistics.median(a - b for a, b in zip(taken[name], taken[base], strict=True))


def _base(name: str) -> str:
    return "bare, 1 KB" if "1 KB" in name else "bare"


def main() -> None:
    """Print what each variant adds, in process and on the wire."""
    if sys.argv[1:2] == [RUN]:
        run(Path(sys.argv[2]), int(sys.argv[3]))
        return
    only = "--instructions" in sys.argv
    if only:
        sys.argv.remove("--instructions")
    given = options(__doc__)
    rounds, count, seconds = (5, 300, 1) if given.quick else (21, 500, 3)
    workload = make_workload(SIZE)
    folder = Path(tempfile.mkdtemp(prefix="camguard-bench-"))
    try:
        write_config(folder, workload)
        found = variants(workload)
        report = Report(
            "middleware: what it adds to a request", ("", "in process µs", "added µs", "rate/s", "CPU µs")
        )
        if not given.quick or only:
            count_instructions(report, found, folder)
        if only:
            show(report, as_json=given.json)
            return
        taken = in_process(found, folder, rounds=rounds, count=count)
        rates: dict[str, list[float]] = {v.name: [] for v in found}
        cpus: dict[str, list[float]] = {v.name: [] for v in found}
        if shutil.which("wrk"):
            with serving(list(dict.fromkeys(v.served for v in found)), folder) as servers:
                for _ in range(3 if given.quick else 9):
                    for variant in found:
                        port, pid = servers[variant.served]
                        rate, cpu = wrk(variant, port, pid, folder / "ask.lua", seconds)
                        rates[variant.name].append(rate)
                        cpus[variant.name].append(cpu)
        else:
            report.notes.append("wrk is not installed: nothing measured on the wire")
        for v in found:
            row = [v.name, statistics.median(taken[v.name]), paired(taken, v.name, _base(v.name))]
            wire = (
                [statistics.median(rates[v.name]), statistics.median(cpus[v.name])]
                if rates[v.name]
                else ["", ""]
            )
            report.rows.append([*row, *wire])
        _ratios(report, taken, rates, cpus)
        absent = [name for name in PEER_NAMES if name not in taken]
        report.notes += [f"not installed: {', '.join(absent)}"] if absent else []
        show(report, as_json=given.json)
    finally:
        shutil.rmtree(folder)


def _ratios(
    report: Report,
    taken: Mapping[str, list[float]],
    rates: Mapping[str, list[float]],
    cpus: Mapping[str, list[float]],
) -> None:
    def within(values: Mapping[str, list[float]], one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(values[one], values[other], strict=True))

    added = paired(taken, "camguard", "bare")
    for name, bound in (("cedarpy", 25), ("casbin", 25), ("CEL", 5), ("empty BaseHTTPMiddleware", 0)):
        if name in taken:
            goal = f">= {bound}" if bound else ""
            report.ratios.append(
                (f"overhead in process, {name} / camguard", paired(taken, name, "bare") / added, goal)
            )
    report.ratios.append(
        ("refusal / unguarded request, in process", within(taken, "camguard, refusal", "bare"), "<= 0.33")
    )
    if rates["bare"]:
        report.ratios += [
            ("rate, camguard / bare", within(rates, "camguard", "bare"), ">= 0.90"),
            ("rate, camguard TC3 1 KB / bare", within(rates, "camguard, TC3, 1 KB", "bare, 1 KB"), ">= 0.70"),
            ("CPU µs added, camguard", paired(cpus, "camguard", "bare"), "<= 12"),
            ("CPU µs added, camguard TC3 1 KB", paired(cpus, "camguard, TC3, 1 KB", "bare, 1 KB"), ""),
        ]


if __name__ == "__main__":
    main()
