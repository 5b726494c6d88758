"""Real proxies that run the configurations which `camguard front` prints, and what stands around them."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

from camguard.authorizer.fronts import GRPC, Front, render
from camguard.bundle import load_bundle
from camguard.settings import Address, Settings, load_settings
from tests.deploy.front import MAIN, replaced
from tests.running import PATIENCE, Gateway, camguard, free_port, running

HAS_GRPC = find_spec("grpc") is not None
HOST = "aiart.tencentcloudapi.com"
ALICE = "uin/100000000101"
# The office of the sample policy is one network of loopback, so that a client elsewhere is on loopback, too.
OFFICE, ELSEWHERE = "127.0.0.1", "127.0.1.1"
HERE_MAY_DRAW = {"10.1.0.0/16": "127.0.0.0/24"}


class Upstream:
    """Stand behind a proxy: answer every request as an API would, and remember it.

    requests: method, target, headers and body of each, as they arrived.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, list[tuple[str, str]], bytes]] = []
        upstream = self

        class Connection(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65_536  # head and body in one packet: else the kernel waits 40 ms between them

            def answer(self) -> None:
                if "chunked" in self.headers.get("transfer-encoding", ""):
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size + 2)[:-2]
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("content-length", 0)))
                upstream.requests.append((self.command, self.path, self.headers.items(), body))
                answer = {"Response": {"RequestId": "upstream", "Action": self.headers.get("x-tc-action")}}
                data = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer  # noqa: N815 - the names of http.server

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Upstream:  # noqa: PYI034
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Impostor:
    """Stand in camguard's place on a port. answers: the bytes of every answer, None for no answer at all."""

    def __init__(self) -> None:
        self.answers: bytes | None = None
        self.asked = 0
        ended = self._ended = threading.Event()
        impostor = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                impostor.asked += 1
                while self.rfile.readline().strip():
                    pass
                if impostor.answers is None:
                    ended.wait(PATIENCE)
                else:
                    self.wfile.write(impostor.answers)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Impostor:  # noqa: PYI034
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


class Asked(NamedTuple):
    """A running camguard with its authorizer, and the settings that proxies are configured from."""

    gateway: Gateway
    settings: Settings
    port: int


@contextlib.contextmanager
def running_authorizer(folder: Path, upstream: int, **overrides: str) -> Iterator[Asked]:
    """Run camguard on the sample company. folder: is written. overrides: settings as SECTION__KEY."""
    camguard("init", str(folder)).check_returncode()
    policy = folder / "bundle" / "policies" / "aiart-create.json"
    policy.write_text(replaced(policy.read_text(encoding="utf-8"), HERE_MAY_DRAW))
    port = free_port()
    overrides = {
        "GATEWAY__AUTHORIZER": f"127.0.0.1:{port}",
        **({"GATEWAY__AUTHORIZER_GRPC": f"127.0.0.1:{free_port()}"} if HAS_GRPC else {}),
        "UPSTREAM__DEFAULT": f"http://127.0.0.1:{upstream}",
        **overrides,
    }
    environ = {f"CAMGUARD_{name}": value for name, value in overrides.items()}
    settings = load_settings(folder / "camguard.toml", environ)
    with running(folder, **overrides) as gateway:
        yield Asked(gateway, settings, port)


def program(name: str) -> str:
    """Return the path of a proxy, or skip."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"{name} is not installed; .ci/run fetches it")
    return found


def _home(folder: Path) -> dict[str, str]:
    """Return the environment of a proxy: Caddy writes below its home."""
    return {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}


def _nginx(folder: Path, texts: dict[str, str]) -> list[str]:
    (folder / "conf.d").mkdir()
    (text, *_) = texts.values()
    text = replaced(text, {"/var/log/nginx/": f"{folder}/"})
    (folder / "conf.d" / "camguard.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""  # its folders are of the user who runs the tests
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
    return [program("nginx"), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def _nginx_js(folder: Path, texts: dict[str, str]) -> list[str]:
    script = folder / "camguard.js"
    script.write_text(texts["nginx-js"])
    found = _nginx(folder, {"nginx": replaced(texts["nginx"], {"/etc/nginx/camguard.js": str(script)})})
    main = folder / "nginx.conf"
    main.write_text(f"load_module {_js_module(Path(found[0]))};\n{main.read_text()}")
    return found


def _js_module(nginx: Path) -> Path:
    """Return the module njs of an nginx, or skip: .ci/run puts it beside the nginx that it fetches."""
    for folder in (nginx.parent.parent / "lib" / "nginx", Path("/usr/lib/nginx/modules")):
        if (folder / "ngx_http_js_module.so").exists():
            return folder / "ngx_http_js_module.so"
    pytest.skip("njs is not installed; .ci/run fetches it")


def _envoy(folder: Path, texts: dict[str, str]) -> list[str]:
    (text,) = texts.values()
    admin = free_port()
    (folder / "admin").write_text(str(admin))
    text = replaced(text, {"port_value: 9901": f"port_value: {admin}"})
    (folder / "envoy.yaml").write_text(text)
    options = ("--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error")
    return [program("envoy"), "-c", str(folder / "envoy.yaml"), *options]


def _haproxy(folder: Path, texts: dict[str, str]) -> list[str]:
    lua = folder / "camguard.lua"
    lua.write_text(texts["haproxy-lua"])
    text = replaced(texts["haproxy"], {"/etc/haproxy/camguard.lua": str(lua)})
    (folder / "haproxy.cfg").write_text(text)
    return [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def _caddy(folder: Path, texts: dict[str, str]) -> list[str]:
    (folder / "Caddyfile").write_text(texts["caddy"])
    return [program("caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


# What `camguard front` prints for a proxy, and the function that writes it and returns the command.
PROXIES: dict[str, tuple[tuple[str, ...], Callable[[Path, dict[str, str]], list[str]]]] = {
    "nginx-auth-request": (("nginx-auth-request",), _nginx),
    "nginx": (("nginx", "nginx-js"), _nginx_js),
    "envoy": (("envoy",), _envoy),
    "envoy-grpc": (("envoy-grpc",), _envoy),
    "haproxy": (("haproxy", "haproxy-lua"), _haproxy),
    "caddy": (("caddy",), _caddy),
}


class Proxy(NamedTuple):
    """A running proxy. folder: of its configuration and its log."""

    name: str
    port: int
    folder: Path

    def log(self) -> str:
        """Return what it wrote to stderr and stdout."""
        return (self.folder / "log").read_text(errors="replace")


@contextlib.contextmanager
def proxy(
    name: str,
    folder: Path,
    settings: Settings,
    asks: int | None = None,
    changes: dict[str, str] | None = None,
) -> Iterator[Proxy]:
    """Run a proxy with the configuration that is printed from settings.

    asks: the port that it asks instead of that of the settings. changes: texts of the configuration without
    its scripts, and what each is replaced by.
    """
    if name == GRPC and not HAS_GRPC:
        pytest.skip("grpcio is not installed")
    files, write = PROXIES[name]
    port = free_port()
    if asks is not None:
        settings = with_authorizer(settings, asks)
    bundle = load_bundle(settings.policy.source, catalog=settings.catalog.path)
    texts = {file: render(Front.of(file, settings, bundle, Address("127.0.0.1", port))) for file in files}
    if changes:
        texts[files[0]] = replaced(texts[files[0]], changes)
    folder.mkdir(parents=True)
    argv = write(folder, texts)
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(argv, stdout=log, stderr=log, env=_home(folder)) as process,
    ):
        running_proxy = Proxy(name, port, folder)
        try:
            until = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert process.poll() is None, running_proxy.log()
                assert time.monotonic() < until, f"{name} does not listen: {running_proxy.log()}"
                time.sleep(0.02)
            yield running_proxy
        finally:
            process.terminate()


def with_authorizer(settings: Settings, port: int) -> Settings:
    """Return settings whose authorizer is at another port of this machine."""
    address = Address("127.0.0.1", port)
    gateway = replace(settings.gateway, authorizer=address, authorizer_grpc=address)
    return replace(settings, gateway=gateway)


class Reply(NamedTuple):
    """One answer of a proxy."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """The code of the envelope, None where the call passed."""
        found: dict[str, Any] = json.loads(self.body)["Response"]
        return found["Error"]["Code"] if "Error" in found else None


def over_http2(port: int, lines: list[tuple[str, str]], body: bytes) -> tuple[str, bytes]:
    """Send one POST over HTTP/2 without TLS, with prior knowledge; return the status and the body."""
    connection = H2Connection()
    connection.initiate_connection()
    named = {name.lower(): value for name, value in lines}
    head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", named.pop("host")),
        *named.items(),
        ("content-length", str(len(body))),
    ]
    connection.send_headers(1, head)
    connection.send_data(1, body, end_stream=True)
    status, data = "", b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        sock.sendall(connection.data_to_send())
        while received := sock.recv(65536):
            for event in connection.receive_data(received):
                if isinstance(event, ResponseReceived):
                    fields = {bytes(name): bytes(value) for name, value in event.headers or ()}
                    status = fields[b":status"].decode()
                elif isinstance(event, DataReceived):
                    data += event.data or b""
                elif isinstance(event, StreamEnded):
                    return status, data
            sock.sendall(connection.data_to_send())
    msg = "the connection ended before the answer"
    raise AssertionError(msg)


class Client:
    """One connection of a client at an address of loopback that keeps it alive."""

    def __init__(self, port: int, address: str = OFFICE) -> None:
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=PATIENCE, source_address=(address, 0)
        )

    def ask(self, method: str, target: str, lines: list[tuple[str, str]], body: bytes = b"") -> Reply:
        """Send one request with exactly these header lines, and the length of the body."""
        connection = self._connection
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in lines:
            connection.putheader(name, value)
        if method == "POST":
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, headers, answer.read())

    def close(self) -> None:
        self._connection.close()
