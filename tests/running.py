"""A gateway of its own process, and a front proxy before it, for tests that want the real thing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Set for tests in which no guard recognises a request. The variable is no setting, and camguard would refuse
# it: the workers of pytest and the processes that tests start find it under another name.
if os.environ.pop("CAMGUARD_TESTS_WITHOUT_RECOGNITION", ""):
    os.environ["TESTS_WITHOUT_RECOGNITION"] = "1"
WHOLE_WAY = "TESTS_WITHOUT_RECOGNITION" in os.environ
RECOGNISES = pytest.mark.skipif(WHOLE_WAY, reason="this run recognises nothing")
_WHOLE_WAY = "from camguard.enforcement.lane import Lane; Lane.recognize = lambda *_: None; "
RUN = (sys.executable, "-c", f"{_WHOLE_WAY if WHOLE_WAY else ''}from camguard.cli import run; run()")
# Fault programs set the variable: a gateway then measures how long its event loop stalls.
RUN_WATCHED = (sys.executable, "-c", "from tests.faults.watch import run; run()")
WATCH_FOLDER = "FAULTS_WATCH_FOLDER"
ANY_PORT = {
    "CAMGUARD_GATEWAY__LISTEN": "127.0.0.1:0",
    "CAMGUARD_GATEWAY__ADMIN": "127.0.0.1:0",
    "CAMGUARD_DECISION_LOG__PATH": "",
}
# Below the ports that the kernel gives to outgoing connections, which could take a port before its server.
PORTS = range(10_000, 30_000)
# Seconds for what must happen. They are no claim: on a machine that does much else everything takes long, and
# only a test that fails waits for all of them.
PATIENCE = 60.0
ADDRESS = re.compile(r"  (calls|admin) +http://[^ /]+:(\d+)")


_taken: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens, and which was not returned before."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        if port in _taken:
            continue
        _taken.add(port)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def eventually(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is true. seconds: after which the test fails."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"it has not happened within {seconds} s"
        time.sleep(0.02)


def _replace_by_folder(policy: Path) -> None:
    policy.unlink()
    policy.mkdir()


# What somebody may do to a bundle, by a policy file of it, so that it can no longer be loaded.
BREAKAGES: dict[str, Callable[[Path], object]] = {
    "a policy cut short": lambda policy: policy.write_text(policy.read_text()[:-20]),
    "an emptied policy": lambda policy: policy.write_text(""),
    "a misspelt element": lambda policy: policy.write_text('{"version": "2.0", "statment": []}'),
    "a folder in a policy's place": _replace_by_folder,
    "all policies gone": lambda policy: shutil.rmtree(policy.parent),
    "no principals": lambda policy: (policy.parents[1] / "principals.json").unlink(),
}


def link_bundle(folder: Path) -> Path:
    """Move the bundle of a settings folder beside the folder, leave a link to it, and return its place.

    A link is replaced in one step. A bundle that is copied file by file is valid before it is complete, and a
    gateway that polls meanwhile decides by it.
    """
    good = folder.with_name(f"{folder.name}-good")
    (folder / "bundle").rename(good)
    put_bundle(folder, good)
    return good


def put_bundle(folder: Path, bundle: Path) -> None:
    """Replace the link of a settings folder, which `link_bundle` made, by a link to another bundle."""
    aside = folder / "bundle.new"
    aside.symlink_to(bundle)
    aside.replace(folder / "bundle")


def put_broken_bundle(folder: Path, good: Path, break_it: Callable[[Path], object]) -> None:
    """Put a copy of a good bundle that was broken into its place, in one step."""
    broken = Path(tempfile.mkdtemp(prefix="broken-", dir=good.parent), "bundle")
    shutil.copytree(good, broken)
    break_it(broken / "policies" / "aiart-create.json")
    put_bundle(folder, broken)


FAILED = 'camguard_policy_reloads_total{result="failure"}'
SUCCESSFUL = "camguard_policy_last_reload_successful"


class Gateway(NamedTuple):
    """One running gateway. folder: its settings, keys and bundle. stderr_lines: so far."""

    process: subprocess.Popen[str]
    folder: Path
    calls: int
    admin: int
    stderr_lines: list[str]

    def get(self, path: str) -> tuple[int, str]:
        """Ask the admin listener."""
        return fetch(f"http://127.0.0.1:{self.admin}{path}")

    def reload(self) -> tuple[int, str]:
        """Ask for a look at policies and keys."""
        return fetch(f"http://127.0.0.1:{self.admin}/-/reload", b"")

    def metrics(self) -> dict[str, float]:
        """Return every series of camguard that is not 0."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith("camguard")]
        series = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
        return {name: value for name, value in series.items() if value}

    def key(self, principal: str) -> tuple[str, str]:
        """Return the SecretId and secret key of a principal."""
        keys = json.loads((self.folder / "keys.json").read_text())
        return next((name, row["secret_key"]) for name, row in keys.items() if row["principal"] == principal)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def fetch(url: str, data: bytes | None = None) -> tuple[int, str]:
    """Ask, and return status and body whatever the status is."""
    try:
        with urllib.request.urlopen(url, data, timeout=PATIENCE) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def camguard(*arguments: str, **overrides: str) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end. overrides: settings as SECTION__KEY."""
    return subprocess.run(
        [*RUN, *arguments],
        env=environment(overrides),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def environment(overrides: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **ANY_PORT, **{f"CAMGUARD_{name}": value for name, value in overrides.items()}}


@contextlib.contextmanager
def running(folder: Path, program: tuple[str, ...] = (), /, **overrides: str) -> Iterator[Gateway]:
    """Run a gateway on the shipped company, written to `folder` unless it is there.

    program: runs the command line, in another way than usual. overrides: settings as SECTION__KEY.
    """
    if not folder.exists():
        camguard("init", str(folder)).check_returncode()
    process = subprocess.Popen(
        [
            *(program or (RUN_WATCHED if WATCH_FOLDER in os.environ else RUN)),
            "serve",
            "--config",
            str(folder / "camguard.toml"),
        ],
        env=environment(overrides),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    stderr_lines: list[str] = []
    ports: dict[str, int] = {}
    for line in process.stderr:
        stderr_lines.append(line.rstrip())
        if found := ADDRESS.match(line):
            ports[found[1]] = int(found[2])
        if len(ports) == 2:
            break
    else:
        pytest.fail("the gateway did not start:\n" + "\n".join(stderr_lines))
    reading = threading.Thread(
        target=lambda: stderr_lines.extend(map(str.rstrip, process.stderr or ())), daemon=True
    )
    reading.start()
    try:
        yield Gateway(process, folder, ports["calls"], ports["admin"], stderr_lines)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE)
        reading.join(PATIENCE)
        process.stderr.close()


class Front:
    """Stand in for the company's load balancer: passes bytes on and says where they came from.

    address: what it says, may be changed between requests. tls: key and certificate, where it takes https.
    heads: those that passed.
    """

    def __init__(self, address: str, gateway: int, *, tls: Path | None = None) -> None:
        self.address = address
        self.gateway = gateway
        self.heads: list[bytes] = []
        front = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                front.passes(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]

    def passes(self, client: socketserver.StreamRequestHandler) -> None:
        """Pass one request on and its answer back; the connection ends with it."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = client.rfile.readline()
            if not line:
                return
            head += line
        self.heads.append(head)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        body = client.rfile.read(int(length[1])) if length else b""
        added = f"X-Forwarded-For: {self.address}\r\nConnection: close\r\n\r\n".encode()
        kept = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head)
        with socket.create_connection(("127.0.0.1", self.gateway)) as server:
            server.sendall(kept[:-2] + added + body)
            while part := server.recv(65536):
                client.wfile.write(part)

    def __enter__(self) -> Front:  # noqa: PYI034
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
