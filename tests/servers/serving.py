"""ASGI servers as processes of their own on loopback, and clients that write what they like to them."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import h2.config
import h2.connection
import h2.events

from tests.running import PATIENCE, ROOT, environment

HERE = Path(__file__).parent
APP = "application:app"
Lines = tuple[tuple[str, str], ...]


class Server(NamedTuple):
    """How one server is started.

    modules: what must be installed. versions: of HTTP that it speaks here. heavy: whether only CI tries it,
    because it starts slowly or its protocol is tried under another server too.
    """

    modules: tuple[str, ...]
    command: tuple[str, ...]
    versions: tuple[str, ...] = ("1.1",)
    heavy: bool = False


def _uvicorn(*options: str) -> tuple[str, ...]:
    return "uvicorn", APP, "--port", "{port}", "--log-level", "error", "--no-proxy-headers", *options


def _gunicorn(worker: str) -> tuple[str, ...]:
    no_proxy = "--forwarded-allow-ips", "192.0.2.1"  # else the worker replaces the address of the peer (T05)
    return "gunicorn", APP, "-b", "127.0.0.1:{port}", "-k", worker, "--log-level", "critical", *no_proxy


def _granian(http: str) -> tuple[str, ...]:
    listens = ("--host", "127.0.0.1", "--port", "{port}", "--no-log")
    return "granian", APP, "--interface", "asgi", "--http", http, *listens


SERVERS = {
    "uvicorn, httptools": Server(("uvicorn", "httptools"), _uvicorn("--http", "httptools")),
    "uvicorn, h11": Server(("uvicorn", "h11"), _uvicorn("--http", "h11")),
    "uvicorn, zttp": Server(("uvicorn", "zttp"), _uvicorn("--http", "zttp", "--http2"), ("1.1", "2")),
    "hypercorn": Server(("hypercorn",), ("hypercorn", APP, "-b", "127.0.0.1:{port}"), ("1.1", "2")),
    "granian, HTTP/1": Server(("granian",), _granian("1")),
    "granian, HTTP/2": Server(("granian",), _granian("2"), ("2",)),
    "daphne": Server(("daphne",), ("daphne", "-b", "127.0.0.1", "-p", "{port}", "-v", "0", APP), heavy=True),
    "gunicorn, uvicorn's worker": Server(
        ("gunicorn", "uvicorn_worker"), _gunicorn("uvicorn_worker.UvicornWorker"), heavy=True
    ),
    "gunicorn, uvicorn's h11 worker": Server(
        ("gunicorn", "uvicorn_worker"), _gunicorn("uvicorn_worker.UvicornH11Worker"), heavy=True
    ),
    "gunicorn, its own worker": Server(("gunicorn.asgi",), _gunicorn("asgi"), heavy=True),
}


class Running(NamedTuple):
    """One running server. versions: of HTTP that it speaks here."""

    name: str
    port: int
    versions: tuple[str, ...]


def installed(server: Server) -> bool:
    """Tell whether a server and the protocol it is started with are here."""
    with contextlib.suppress(ModuleNotFoundError):
        return all(importlib.util.find_spec(module) for module in server.modules)
    return False


@contextlib.contextmanager
def serving(server: Server, folder: Path, stderr: IO[str] | int = subprocess.DEVNULL) -> Iterator[int]:
    """Serve the application of this folder with the settings in `folder`; yield the port.

    stderr: where the server writes its errors and the log.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    binaries = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    name, *options = server.command
    command = [shutil.which(name, path=binaries) or name, *(each.format(port=port) for each in options)]
    overrides = {"SERVED_CONFIG": str(folder / "camguard.toml"), "PYTHONPATH": f"{HERE}:{ROOT}"}
    process = subprocess.Popen(
        command, cwd=HERE, env={**environment({}), **overrides}, stdout=subprocess.DEVNULL, stderr=stderr
    )
    try:
        _wait_for(process, port)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{process.args!r} did not start")


def ask_http1(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send the parts of one request, with a pause between them, and return the body of the answer."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, part in enumerate(parts):
            if number:
                time.sleep(pause)
            sock.sendall(part)
        with sock.makefile("rb") as answer:
            head = b"".join(iter(answer.readline, b"\r\n")).lower()
            length = re.search(rb"\r\ncontent-length: *(\d+)", head)
            return answer.read(int(length[1]) if length else -1)


def ask_http2(port: int, method: str, path: str, lines: Lines, body: bytes, trailers: Lines = ()) -> bytes:
    """Send one request over HTTP/2 without TLS and return the body of the answer.

    All of it that the server's first window takes is sent in one write.
    """
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    pseudo = ((":method", method), (":scheme", "http"), (":authority", dict(lines)["host"]), (":path", path))
    rest = tuple(line for line in lines if line[0] != "host")
    answer = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        connection.initiate_connection()
        connection.send_headers(1, (*pseudo, *rest), end_stream=not (body or trailers))
        left = _send_body(connection, body, trailers)
        sock.sendall(connection.data_to_send())
        while data := sock.recv(65536):
            events = connection.receive_data(data)
            left = _send_body(connection, left, trailers) if left else left
            answer += b"".join(each.data for each in events if isinstance(each, h2.events.DataReceived))
            if any(isinstance(each, h2.events.StreamEnded | h2.events.StreamReset) for each in events):
                break
            sock.sendall(connection.data_to_send())
    return answer


def _send_body(connection: h2.connection.H2Connection, body: bytes, trailers: Lines) -> bytes:
    """Send what the server takes of a body, and the trailers behind its end; return what is left of it."""
    window = connection.local_flow_control_window(1)
    while body and window:
        part = body[: min(window, connection.max_outbound_frame_size)]
        body = body[len(part) :]
        window -= len(part)
        connection.send_data(1, part, end_stream=not (body or trailers))
    if trailers and not body:
        connection.send_headers(1, trailers, end_stream=True)
    return body


def spell(*lines: tuple[str, str], path: str = "/", method: str = "POST") -> bytes:
    """Return the head of a request over HTTP/1.1."""
    written = "".join(f"{name}: {value}\r\n" for name, value in (*lines, ("connection", "close")))
    return f"{method} {path} HTTP/1.1\r\n{written}\r\n".encode()


def chunks(trailers: Lines) -> bytes:
    """Return a body in one chunk with trailers behind it."""
    return (
        b"2\r\n{}\r\n0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers).encode() + b"\r\n"
    )


def content_of(answer: bytes) -> Any:
    """Return what the application answered, or the code of the refusal."""
    found = json.loads(gzip.decompress(answer) if answer.startswith(b"\x1f\x8b") else answer)
    return found["Response"]["Error"]["Code"] if "Response" in found else found
