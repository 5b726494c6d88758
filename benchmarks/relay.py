"""What a relayed request costs: through the relay alone, with the guard before it, and through nginx.

What a refusal of the gateway costs is compared with the bare application that answers under uvicorn.

All variants are up at once, one process each, before one upstream that answers ready bytes. A client that
never sleeps (`_client.py`) asks one after the other, in rounds. CPU is that of the relaying process alone, as
the scheduler counts it, and the ratios are of one round each. Metrics on, decision log off.

Floors (`_relay_floor.py`) are relays that are written by hand and decide nothing, and a refusal that is
written by hand: the last table says which part of a goal they take.

`--base FOLDER` measures the gateway of another commit in the same rounds:
`git worktree add /tmp/base COMMIT`, and `--base-python` where that commit needs other packages.

`python benchmarks/relay.py --serve VARIANT FOLDER PORT UPSTREAM` serves one of them.
"""

from __future__ import annotations

import argparse
import asyncio
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
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from _apps import ANSWER, SIZE, App, Scope, write_config
from _relay_floor import KINDS, relay_by_hand
from _report import Report, show
from _requests import BODY, BODY_1K, headers_of, one_call
from _workload import NOW, make_workload
from middleware import Variant, paired

CONNECTIONS = 8
BASE, PROXY = "gateway of the base, header identity", "nginx, plain proxy"
BASE_CONFIG = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from _apps import SIZE, write_config
from _workload import make_workload
write_config(Path(sys.argv[2]), make_workload(SIZE))
"""

UPSTREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER
)
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream app {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_set_header Connection ""; proxy_next_upstream off; proxy_buffering off;
    }}
  }}
}}
"""


class Server(NamedTuple):
    """One running variant."""

    port: int
    pid: int


class Base(NamedTuple):
    """The checkout of another commit, and the interpreter that runs it."""

    folder: Path
    python: str


class Ready(asyncio.Protocol):
    """An upstream that costs next to nothing: it looks for the end of a body and sends ready bytes."""

    def __init__(self) -> None:
        self.seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.seen += data
        while (end := self.seen.find(b"\r\n\r\n")) >= 0:
            at = self.seen.lower().find(b"content-length: ", 0, end)
            length = int(self.seen[at + 16 : self.seen.index(b"\r", at)]) if at >= 0 else 0
            if len(self.seen) < end + 4 + length:
                return
            self.seen = self.seen[end + 4 + length :]
            self.transport.write(UPSTREAM)


async def upstream(sock: socket.socket) -> None:
    """Serve the upstream for ever."""
    server = await asyncio.get_running_loop().create_server(Ready, sock=sock)
    await server.serve_forever()


async def relay(guarded: bool, folder: Path, sock: socket.socket, upstream_port: int) -> None:  # noqa: FBT001
    """Serve the relay for ever, with the guard before it or with nothing that judges."""
    from camguard.gateway.protocol import Bounds  # noqa: PLC0415
    from camguard.gateway.run import LISTENER, guarded_relay  # noqa: PLC0415
    from camguard.gateway.server import listening  # noqa: PLC0415
    from camguard.settings import load_settings  # noqa: PLC0415
    from camguard.wiring import assemble  # noqa: PLC0415 - the process that measures needs none of it

    environ = {"CAMGUARD_UPSTREAM__DEFAULT": f"http://127.0.0.1:{upstream_port}"}
    settings = load_settings(folder / "camguard.toml", environ)
    parts = assemble(settings, clock=lambda: NOW, listeners=(LISTENER,), drains=True)
    async with guarded_relay(settings, parts, lambda: True) as app:
        served = app if guarded else let_through(app.app)  # type: ignore[attr-defined]
        async with listening(served, sock, Bounds.of(settings.limits, 10_000), 1, direct=True):
            await asyncio.Event().wait()


def let_through(app: App) -> App:
    """Return what does the least that a relay needs, and judges nothing: the headers of one hop end here."""
    unjudged = SimpleNamespace(request_id="0" * 36)

    async def through(scope: Scope, receive: Any, send: Any) -> None:
        scope["headers"] = [line for line in scope["headers"] if line[0] != b"connection"]
        scope |= {"camguard.service": "aiart", "camguard.record": unjudged}
        await app(scope, receive, send)

    return through


def serve(variant: str, folder: str, port: str, upstream_port: str) -> None:
    """Be one of the processes that are measured."""
    import uvloop  # noqa: PLC0415 - belongs to the extra

    if variant == "nginx":
        config = Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder, port=port, upstream=upstream_port), encoding="utf-8")
        os.execvp("nginx", ["nginx", "-c", str(config), "-p", folder])  # noqa: S606, S607
    if variant == "bare":
        program = str(Path(__file__).with_name("_apps.py"))
        os.execv(sys.executable, [sys.executable, program, folder, variant, port])  # noqa: S606
    sock = socket.create_server(("127.0.0.1", int(port)))
    if variant == "upstream":
        uvloop.run(upstream(sock))
    elif variant in KINDS:
        uvloop.run(relay_by_hand(variant, sock, int(upstream_port)))
    else:
        uvloop.run(relay(variant == "gateway", Path(folder), sock, int(upstream_port)))


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command_of(name: str, folder: Path, base: Base | None) -> tuple[list[str], dict[str, str]]:
    """Return what runs a variant, and its environment. The other commit runs its own program."""
    home, python, served = Path(__file__).resolve().parents[1], sys.executable, name
    if name == "base gateway" and base is not None:
        home, python, served = base.folder, base.python, "gateway"
        folder /= "base"
    path = os.pathsep.join((str(home), os.environ.get("PYTHONPATH", "")))
    command = [python, str(home / "benchmarks/relay.py"), "--serve", served, str(folder)]
    return command, {**os.environ, "PYTHONPATH": path}


def write_base_config(folder: Path, base: Base) -> None:
    """Let the other commit write its working folder, whose form may differ."""
    command = [base.python, "-c", BASE_CONFIG, str(base.folder / "benchmarks"), str(folder / "base")]
    (folder / "base").mkdir()
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(base.folder)})


@contextlib.contextmanager
def up(names: list[str], folder: Path, base: Base | None) -> Iterator[dict[str, Server]]:
    """Run the upstream and the variants before it."""
    ports = {name: free_port() for name in ("upstream", *names)}
    running = {}
    for name, port in ports.items():
        command, environ = command_of(name, folder, base)
        running[name] = subprocess.Popen([*command, str(port), str(ports["upstream"])], env=environ)
    try:
        for name, port in ports.items():
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if running[name].poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start")
                time.sleep(0.1)
        yield {name: Server(port, worker(running[name].pid)) for name, port in ports.items()}
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait(10)


def worker(pid: int) -> int:
    """Return the process that works: nginx has it as a child."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(children[0]) if children else pid


def check(variant: Variant, port: int) -> None:
    """Make sure that a variant answers what the upstream answers, and not a refusal."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/", variant.body, dict(variant.headers))
    answer = connection.getresponse().read()
    connection.close()
    if variant.marker not in answer:
        raise SystemExit(f"{variant.name} answered {answer!r}")


def cpu(pid: int) -> float:
    """Return the CPU time of all threads of a process in microseconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1000


def ask(variant: Variant, server: Server, file: Path, seconds: float) -> tuple[float, float]:
    """Return requests per second and CPU microseconds of the server per request."""
    lines = [f"{name}: {value}" for name, value in variant.headers.items()]
    lines.append(f"Content-Length: {len(variant.body)}")
    file.write_bytes("\r\n".join(("POST / HTTP/1.1", *lines, "", "")).encode() + variant.body)
    before = cpu(server.pid)
    client = [sys.executable, str(Path(__file__).with_name("_client.py")), str(server.port), str(file)]
    done = subprocess.run(
        [*client, str(CONNECTIONS), str(seconds)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{variant.name}: {done.stderr.strip()}")
    count, took = map(float, done.stdout.split())
    return count / took, (cpu(server.pid) - before) / count


def given_options() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--base", type=Path, help="the checkout of another commit")
    parser.add_argument("--base-python", default=sys.executable, help="the interpreter that runs it")
    return parser.parse_args()


def main() -> None:
    """Print rate and CPU of a relayed request, and what of it is the guard's."""
    given = given_options()
    base = Base(given.base.resolve(), given.base_python) if given.base else None
    rounds, seconds = (3, 1) if given.quick else (9, 3)
    workload = make_workload(SIZE)
    folder = Path(tempfile.mkdtemp(prefix="camguard-bench-"))
    report = Report("relay: what a relayed request costs", ("", "rate/s", "CPU µs"))
    try:
        write_config(folder, workload)
        call = one_call(workload, allowed=True)
        refused = headers_of(one_call(workload, allowed=False), BODY)
        plain, signed = headers_of(call, BODY), headers_of(call, BODY_1K, signed=True)
        found = [
            Variant("upstream alone", "upstream", plain, BODY, ANSWER),
            Variant("relay, no guard", "relay", plain, BODY, ANSWER),
            Variant("gateway, header identity", "gateway", plain, BODY, ANSWER),
            Variant("gateway, refusal", "gateway", refused, BODY, b"UnauthorizedOperation"),
            Variant("bare application", "bare", plain, BODY, ANSWER),
            Variant("relay by hand", "by hand", plain, BODY, ANSWER),
            Variant("relay by hand, ASGI", "by hand, ASGI", plain, BODY, ANSWER),
            Variant("refusal by hand", "refusal by hand", refused, BODY, b"UnauthorizedOperation"),
            Variant("relay, no guard, 1 KB", "relay", signed, BODY_1K, ANSWER),
            Variant("gateway, TC3, 1 KB", "gateway", signed, BODY_1K, ANSWER),
        ]
        if base is not None:
            write_base_config(folder, base)
            found.append(Variant(BASE, "base gateway", plain, BODY, ANSWER))
        if shutil.which("nginx"):
            found.append(Variant(PROXY, "nginx", plain, BODY, ANSWER))
        else:
            report.notes.append("nginx is not installed")
        rates: dict[str, list[float]] = {v.name: [] for v in found}
        cpus: dict[str, list[float]] = {v.name: [] for v in found}
        names = [name for name in dict.fromkeys(v.served for v in found) if name != "upstream"]
        with up(names, folder, base) as servers:
            for variant in found:
                check(variant, servers[variant.served].port)
            for turn in range(rounds + 1):
                for variant in found:
                    rate, used = ask(variant, servers[variant.served], folder / "request", seconds)
                    if turn:  # the first round warms up
                        rates[variant.name].append(rate)
                        cpus[variant.name].append(used)
        report.rows += [
            [v.name, statistics.median(rates[v.name]), statistics.median(cpus[v.name])] for v in found
        ]
        _ratios(report, rates, cpus)
        show(report, as_json=given.json)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ratios(report: Report, rates: Mapping[str, list[float]], cpus: Mapping[str, list[float]]) -> None:
    def within(values: Mapping[str, list[float]], one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(values[one], values[other], strict=True))

    pairs = (
        ("header identity", "gateway, header identity", "relay, no guard"),
        ("TC3, 1 KB", "gateway, TC3, 1 KB", "relay, no guard, 1 KB"),
    )
    gateway = "gateway, header identity"
    share = within(cpus, "gateway, refusal", "bare application")
    report.ratios.append(("CPU, refusal of the gateway / bare application", share, "<= 0.80"))
    least = within(cpus, "refusal by hand", "bare application")
    report.floors.append(("CPU, refusal of the gateway / bare application", share, least, "<= 0.80"))
    if BASE in cpus:
        measured = within(cpus, gateway, BASE)
        report.ratios.append(("CPU, gateway / base", measured, "<= 0.40"))
        report.floors += [
            (f"CPU, gateway / base; floor: {name}", measured, within(cpus, name, BASE), "<= 0.40")
            for name in ("relay by hand", "relay by hand, ASGI", "relay, no guard")
        ]
    if PROXY in cpus:
        report.ratios += [
            ("CPU, gateway / nginx", within(cpus, gateway, PROXY), "<= 8"),
            ("CPU, relay without guard / nginx", within(cpus, "relay, no guard", PROXY), ""),
        ]
    if BASE in cpus and PROXY in cpus:
        report.ratios.append(("CPU, base / nginx", within(cpus, BASE, PROXY), ""))
    for what, guarded, alone in pairs:
        report.ratios += [
            (f"CPU µs added by the guard, {what}", paired(cpus, guarded, alone), ""),
            (f"rate with / without the guard, {what}", within(rates, guarded, alone), ""),
        ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    else:
        main()
