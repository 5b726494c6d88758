"""Set-ups of servers under which every call is refused: named in the log once, or refused at the start."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from tests.running import PATIENCE
from tests.servers.serving import (
    APP,
    SERVERS,
    Lines,
    Server,
    ask_http1,
    content_of,
    installed,
    serving,
    spell,
)

REFUSED = "AuthFailure.UnauthorizedOperation"
ALLOWED = {"principal": "uin/100000000101", "size": 2}
LINES: Lines = (
    ("host", "aiart.tencentcloudapi.com"),
    ("content-type", "application/json"),
    ("x-tc-action", "TextToImage"),
    ("x-tc-version", "2022-12-29"),
    ("x-camguard-principal", "100000000101"),
    ("x-forwarded-for", "10.1.2.3"),
    ("content-length", "2"),
)
UVICORN = ("uvicorn", APP, "--port", "{port}", "--log-level", "error")
GUNICORN = ("gunicorn", APP, "-b", "127.0.0.1:{port}", "-k", "uvicorn_worker.UvicornWorker")
HYPERCORN = ("hypercorn", APP, "-b", "127.0.0.1:{port}")
REWRITTEN = "the server has replaced the address of the connection"
# How the server is started, the path that is asked for, the answer, and what the log says once.
SETUPS = [
    pytest.param(
        Server(("uvicorn",), UVICORN), "/", REFUSED, REWRITTEN, id="T127 uvicorn reads proxy headers"
    ),
    pytest.param(
        Server(("gunicorn", "uvicorn_worker"), GUNICORN),
        *("/", REFUSED, REWRITTEN),
        id="T127 uvicorn's worker under gunicorn reads proxy headers",
        marks=pytest.mark.heavy,
    ),
    pytest.param(
        Server(("uvicorn",), (*UVICORN, "--no-proxy-headers", "--lifespan", "off")),
        *("/", ALLOWED, ""),
        id="T127 a server without lifespan",
    ),
    pytest.param(
        Server(("uvicorn",), (*UVICORN, "--no-proxy-headers", "--root-path", "/front")),
        *("/", ALLOWED, ""),
        id="T128 uvicorn puts the root path before the path",
    ),
    pytest.param(
        Server(("hypercorn",), (*HYPERCORN, "--root-path", "/far")),
        *("/", "UnsupportedProtocol", "the path of a request does not begin with it"),
        id="T128 hypercorn does not, and a proxy has cut it off",
    ),
]


@pytest.mark.parametrize(("server", "path", "answer", "logged"), SETUPS)
def test_a_setup_is_named_once(
    folder: Path, tmp_path: Path, server: Server, path: str, answer: object, logged: str
) -> None:
    if not installed(server):
        pytest.skip("the server is not installed")
    log = tmp_path / "stderr"
    with log.open("w") as stderr, serving(server, folder, stderr) as port:
        for _ in range(3):
            assert content_of(ask_http1(port, spell(*LINES, path=path) + b"{}")) == answer
    text = log.read_text()
    assert text.count("camguard") == 0 if not logged else text.count(logged) == 1
    assert "Traceback" not in text


def test_t127_another_event_loop_is_refused_at_the_start(folder: Path, tmp_path: Path) -> None:
    server = Server(("hypercorn", "trio"), (*HYPERCORN, "-k", "trio"))
    if not installed(server):
        pytest.skip("hypercorn or trio is not installed")
    log = tmp_path / "stderr"
    words = "Lifespan failure in startup. 'camguard runs under asyncio"
    # The process that binds the socket is another one than the worker whose start is refused.
    with log.open("w") as stderr, contextlib.suppress(TimeoutError), serving(server, folder, stderr):
        deadline = time.monotonic() + PATIENCE
        while words not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert words in log.read_text()


def test_all_servers_of_the_table_are_installed() -> None:
    """A table of servers that are not there proves nothing."""
    assert [name for name, server in SERVERS.items() if not installed(server)] == []
