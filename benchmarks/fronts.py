"""What camguard costs in each place: in process, in line, and behind each real proxy that asks it.

Every way to the same upstream is up at once. A client that never sleeps (`_client.py`) asks one after the
other, in rounds: with some connections for rate and CPU, and with one for the latency, of which the least
round counts, because another program can only add to it. CPU is that of the
process in front and that of camguard, each by itself. The proxies run what `camguard front` prints, with two
changes: all is on loopback, so they tell camguard the client address of the call instead of their own peer;
and where no body is shown, they name the caller. A proxy that is not installed is left out, and a note says
so. Metrics on, decision log off.

`python benchmarks/fronts.py --proxy NAME FOLDER PORT UPSTREAM AUTHORIZER` becomes one of the proxies.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import relay
from _apps import ANSWER, SIZE, write_config
from _report import Report, options, show
from _requests import BODY, BODY_1K, headers_of, one_call
from _workload import make_workload
from middleware import Variant

from camguard.authorizer.fronts import FRONTS, Front, render
from camguard.bundle import load_bundle
from camguard.ipset import format_address
from camguard.settings import Address, load_settings

HERE = Path(__file__).resolve().parent
CONNECTIONS = 8
SIGNED, NAMED = "TC3, 1 KB", "header identity"
MAIN = """{load}
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 1024; }}
http {{
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/camguard.conf;
}}
"""
NJS = "ngx_http_js_module.so"


Printed: TypeAlias = Callable[[str], str]


class Way(NamedTuple):
    """One way of a call to the upstream. served: the processes that it takes, the first one is asked."""

    name: str
    identity: str
    served: tuple[str, ...]


WAYS = (
    Way("upstream alone", NAMED, ("upstream",)),
    Way("application alone, in uvicorn", NAMED, ("bare",)),
    Way("application with the middleware", NAMED, ("camguard",)),
    Way("gateway, in line", NAMED, ("gateway",)),
    Way("nginx that asks nobody", NAMED, ("nginx",)),
    Way("nginx, auth_request", NAMED, ("nginx-auth-request", "authorizer")),
    Way("Caddy", NAMED, ("caddy", "authorizer")),
    Way("gateway, in line", SIGNED, ("gateway",)),
    Way("nginx, njs", SIGNED, ("nginx-js", "authorizer")),
    Way("HAProxy, Lua", SIGNED, ("haproxy", "authorizer")),
    Way("Envoy, ext_authz over HTTP", SIGNED, ("envoy", "authorizer")),
)
PROGRAMS = {"nginx-auth-request": "nginx", "nginx-js": "nginx"}  # of a proxy, where it is not its name


@cache
def program(name: str) -> str | None:
    """Return the path of a program; Debian keeps some where only root looks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")


def module() -> Path | None:
    """Return njs: beside nginx, where `.ci/run` puts it, or where Debian does."""
    folders = (
        Path(program("nginx") or "/usr/sbin/nginx").parents[1] / "lib/nginx",
        Path("/usr/lib/nginx/modules"),
    )
    return next((folder / NJS for folder in folders if (folder / NJS).exists()), None)


def missing(way: Way) -> str | None:
    """Return which program of a way is not installed, None where all are."""
    first = way.served[0]
    if first in FRONTS or first == "nginx":
        name = PROGRAMS.get(first, first)
        if program(name) is None:
            return name
        if first == "nginx-js" and module() is None:
            return "njs"
    return None


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Return a printed configuration with other places in it. Each of them must occur."""
    for old, new in changes:
        if old not in text:
            raise SystemExit(f"the printed configuration has no {old!r}")
        text = text.replace(old, new)
    return text


def become(name: str, folder: str, port: str, upstream: str, authorizer: str) -> None:
    """Write the configuration of a proxy and run the proxy in place of this process."""
    home = Path(folder) / f"run-{name}"
    home.mkdir()
    environ = {
        "CAMGUARD_UPSTREAM__DEFAULT": f"http://127.0.0.1:{upstream}",
        "CAMGUARD_GATEWAY__AUTHORIZER": f"127.0.0.1:{authorizer}",
    }
    settings = load_settings(Path(folder) / "camguard.toml", environ)
    bundle = load_bundle(settings.policy.source, catalog=settings.catalog.path)
    address, caller = Path(folder, "caller").read_text(encoding="utf-8").split()

    def printed(front: str) -> str:
        return render(Front.of(front, settings, bundle, Address("127.0.0.1", int(port))))

    command = PROXIES[name](home, printed, address, caller)
    os.environ |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}
    os.execvp(command[0], command)  # noqa: S606


def _nginx(home: Path, text: str, address: str, load: str = "") -> list[str]:
    text = replaced(text, ("X-Real-IP $remote_addr", f"X-Real-IP {address}"), ("/var/log/nginx/", f"{home}/"))
    (home / "camguard.conf").write_text(text, encoding="utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(MAIN.format(folder=home, load=load, user=user), encoding="utf-8")
    return [str(program("nginx")), "-e", "stderr", "-c", str(home / "nginx.conf")]


def _auth_request(home: Path, printed: Printed, address: str, caller: str) -> list[str]:
    nobody = 'proxy_set_header x-camguard-principal "";'
    named = nobody.replace('""', caller)
    return _nginx(home, replaced(printed("nginx-auth-request"), (nobody, named)), address)


def _njs(home: Path, printed: Printed, address: str, _caller: str) -> list[str]:
    script = home / "camguard.js"
    script.write_text(printed("nginx-js"), encoding="utf-8")
    text = replaced(printed("nginx"), ("/etc/nginx/camguard.js", str(script)))
    return _nginx(home, text, address, f"load_module {module()};")


def _caddy(home: Path, printed: Printed, address: str, caller: str) -> list[str]:
    nobody, rewrite = "request_header -x-camguard-principal", "rewrite /authz/forward"
    text = replaced(
        printed("caddy"),
        (nobody, f"request_header x-camguard-principal {caller}"),
        (rewrite, f"{rewrite}\n            header_up X-Forwarded-For {address}"),
    )
    (home / "Caddyfile").write_text(text, encoding="utf-8")
    return [str(program("caddy")), "run", "--config", str(home / "Caddyfile"), "--adapter", "caddyfile"]


def _haproxy(home: Path, printed: Printed, address: str, _caller: str) -> list[str]:
    script = home / "camguard.lua"
    script.write_text(replaced(printed("haproxy-lua"), ("txn.sf:src()", f'"{address}"')), encoding="utf-8")
    text = replaced(printed("haproxy"), ("/etc/haproxy/camguard.lua", str(script)))
    (home / "haproxy.cfg").write_text(text, encoding="utf-8")
    return [str(program("haproxy")), "-db", "-q", "-f", str(home / "haproxy.cfg")]


def _envoy(home: Path, printed: Printed, address: str, _caller: str) -> list[str]:
    peer = '"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"'
    admin = f"port_value: {relay.free_port()}"
    text = replaced(printed("envoy"), (peer, f'"{address}"'), ("port_value: 9901", admin))
    (home / "envoy.yaml").write_text(text, encoding="utf-8")
    given = ("--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error")
    return [str(program("envoy")), "-c", str(home / "envoy.yaml"), *given]


PROXIES = {
    "nginx-auth-request": _auth_request,
    "nginx-js": _njs,
    "caddy": _caddy,
    "haproxy": _haproxy,
    "envoy": _envoy,
}


def command_of(name: str, folder: Path, ports: dict[str, int]) -> list[str]:
    """Return what runs one process."""
    port, upstream = str(ports[name]), str(ports["upstream"])
    if name in PROXIES:
        own = [__file__, "--proxy", name, str(folder), port, upstream, str(ports["authorizer"])]
    elif name == "authorizer":
        own = [str(HERE / "authorizer.py"), "--serve", name, str(folder), port]
    elif name in {"bare", "camguard"}:
        own = [str(HERE / "_apps.py"), str(folder), name, port]
    else:
        own = [str(HERE / "relay.py"), "--serve", name, str(folder), port, upstream]
    return [sys.executable, *own]


@contextlib.contextmanager
def up(ways: list[Way], folder: Path) -> Iterator[dict[str, relay.Server]]:
    """Run every process that the ways take."""
    names = dict.fromkeys(("upstream", "authorizer", *(name for way in ways for name in way.served)))
    ports = {name: relay.free_port() for name in names}
    path = os.pathsep.join((str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")))
    running = {}
    try:
        for name in names:
            running[name] = subprocess.Popen(
                command_of(name, folder, ports),
                env={**os.environ, "PYTHONPATH": path},
                stderr=subprocess.DEVNULL if name in PROXIES else None,
            )
        for name, port in ports.items():
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError), relay.socket.create_connection(("127.0.0.1", port), 1):
                    break
                if running[name].poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start")
                time.sleep(0.1)
        yield {name: relay.Server(port, relay.worker(running[name].pid)) for name, port in ports.items()}
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait(10)


class Figures(NamedTuple):
    """Of one way in one round: requests per second, CPU µs of each of its processes, and µs of one call."""

    rate: float
    cpus: tuple[float, ...]
    latency: float


def asked(
    way: Way, variant: Variant, servers: dict[str, relay.Server], file: Path, seconds: float
) -> Figures:
    """Ask one way with some connections, and with one."""
    lines = [f"{name}: {value}" for name, value in variant.headers.items()]
    lines.append(f"Content-Length: {len(variant.body)}")
    file.write_bytes("\r\n".join(("POST / HTTP/1.1", *lines, "", "")).encode() + variant.body)
    client = [sys.executable, str(HERE / "_client.py"), str(servers[way.served[0]].port), str(file)]
    before = [relay.cpu(servers[name].pid) for name in way.served]
    count, took = _run([*client, str(CONNECTIONS), str(seconds)], way)
    cpus = tuple(
        (relay.cpu(servers[name].pid) - was) / count for name, was in zip(way.served, before, strict=True)
    )
    alone, lasted = _run([*client, "1", str(seconds / 2)], way)
    return Figures(count / took, cpus, lasted / alone * 1e6)


def _run(client: list[str], way: Way) -> tuple[float, float]:
    done = subprocess.run(client, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way.name}: {done.stderr.strip()}")
    count, took = map(float, done.stdout.split())
    return count, took


def main() -> None:
    """Measure and print."""
    given = options(__doc__)
    rounds, seconds = (2, 0.6) if given.quick else (7, 3.0)
    folder = Path(tempfile.mkdtemp(prefix="camguard-bench-"))
    report = Report(
        "fronts: what camguard costs in each place",
        (
            "way of a call",
            "rate/s",
            "CPU µs, in front",
            "CPU µs, camguard",
            "calls per core and s",
            "added ms",
        ),
    )
    try:
        workload = make_workload(SIZE)
        write_config(folder, workload)
        call = one_call(workload, allowed=True)
        (folder / "caller").write_text(f"{format_address(call.source_ip or 0)} {call.principal}", "utf-8")
        variants = {
            NAMED: Variant(NAMED, "", headers_of(call, BODY), BODY, ANSWER),
            SIGNED: Variant(SIGNED, "", headers_of(call, BODY_1K, signed=True), BODY_1K, ANSWER),
        }
        absent = {way: missing(way) for way in WAYS}
        report.notes += [
            f"{way.name} is left out: {what} is not installed" for way, what in absent.items() if what
        ]
        ways = [way for way, what in absent.items() if not what]
        found: dict[Way, list[Figures]] = {way: [] for way in ways}
        with up(ways, folder) as servers:
            for way in ways:
                relay.check(variants[way.identity], servers[way.served[0]].port)
            for turn in range(rounds + 1):
                for way in ways:
                    figures = asked(way, variants[way.identity], servers, folder / "request", seconds)
                    if turn:  # the first round warms up
                        found[way].append(figures)
        tabulate(report, found)
        show(report, as_json=given.json)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tabulate(report: Report, found: dict[Way, list[Figures]]) -> None:
    """Fill a report."""
    first = next(iter(found))
    base = min(each.latency for each in found[first])
    per_core = {}
    for way, rounds in found.items():
        cpus = [statistics.median(column) for column in zip(*(each.cpus for each in rounds), strict=True)]
        per_core[way] = 1e6 / sum(cpus)
        report.rows.append(
            [
                f"{way.name}, {way.identity}",
                statistics.median(each.rate for each in rounds),
                cpus[0],
                cpus[1] if len(cpus) > 1 else "",
                per_core[way],
                (min(each.latency for each in rounds) - base) / 1000,
            ]
        )
    for identity in (NAMED, SIGNED):
        lines = [way for way in found if way.identity == identity and way.served == ("gateway",)]
        for way, rounds in found.items():
            if lines and len(way.served) > 1 and way.identity == identity:
                ratios = [a.rate / b.rate for a, b in zip(found[lines[0]], rounds, strict=True)]
                report.ratios += [
                    (f"rate, gateway / {way.name}, {identity}", statistics.median(ratios), ""),
                    (
                        f"calls per core, gateway / {way.name}, {identity}",
                        per_core[lines[0]] / per_core[way],
                        "",
                    ),
                ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--proxy"]:
        become(*sys.argv[2:])
    else:
        main()
