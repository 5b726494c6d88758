"""Callers and an upstream for tests with a real Prometheus: they make happen what metrics count."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.authn.signing import HOST, JSON, authorization, tc3
from tests.running import PATIENCE

ALICE = "uin/100000000101"
OFFICE, ELSEWHERE = "10.1.2.3", "198.51.100.7"


class Upstream(ThreadingHTTPServer):
    """Answers every call with `status`, or with none where that is 0."""

    daemon_threads = True

    def __init__(self) -> None:
        self.status = 200
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One connection of a gateway."""

    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if not self.server.status:
            self.close_connection = True
            return
        self.send_response(self.server.status)
        self.send_header("content-type", JSON)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Write nothing: the test is silent."""


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


class Caller:
    """One client with one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def call(
        self, action: str = "TextToImage", *, path: str = "/", body: bytes = b"{}", **lines: str | None
    ) -> bytes:
        """Send one call of alice from the office, with header lines changed or left out (None)."""
        headers = {
            "host": HOST,
            "content-type": JSON,
            "x-tc-action": action,
            "x-tc-version": "2022-12-29",
            "x-forwarded-for": OFFICE,
            "x-camguard-principal": ALICE,
            **{name.replace("_", "-"): value for name, value in lines.items()},
        }
        sent = {name: value for name, value in headers.items() if value is not None}
        for _ in range(2):  # the gateway may have closed a connection that was not used for a while
            try:
                self._connection.request("POST", path, body, sent)
                return self._connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                self._connection.close()
        return b""

    def signed(self, key: tuple[str, str], body: bytes = b"{}", **lines: str) -> bytes:
        """Send one signed call. key: SecretId and secret key. lines: changed after signing."""
        return self.call(body=body, **{**signature(key, body), **lines})

    def close(self) -> None:
        self._connection.close()


def signature(key: tuple[str, str], body: bytes = b"{}") -> dict[str, Any]:
    """Return the header lines of a signature as of now."""
    now = int(time.time())
    date = time.strftime("%Y-%m-%d", time.gmtime(now))
    digits = tc3(timestamp=now, date=date, secret=key[1], payload=body)
    line = authorization(digits, secret_id=key[0], date=date)
    return {"authorization": line, "x_tc_timestamp": str(now), "x_camguard_principal": None}


@contextlib.contextmanager
def steadily(port: int, per_second: float, act: Callable[[Caller], object]) -> Iterator[None]:
    """Let a caller act so often while the context is open."""
    stop = threading.Event()

    def run() -> None:
        with contextlib.closing(Caller(port)) as caller:
            while not stop.wait(1 / per_second):
                act(caller)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
