"""The query of the URL of a bundle may be a credential: no verb, no log and no listener prints the query."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from camguard.bundle.archive import write_archive
from camguard.bundle.load import read_content
from tests.running import PATIENCE, ROOT, camguard, fetch, running

pytest.importorskip("httptools", reason="the gateway needs the extra `serve`")

pytestmark = pytest.mark.heavy

SECRET, OTHER = "s3cr3t-of-the-source", "s3cr3t-of-the-candidate"


class Source(ThreadingHTTPServer):
    """Answers every request alike, and notes the paths that were asked for."""

    daemon_threads = True

    def __init__(self, raw: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, raw)
        self.paths: set[str] = set()


class _Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        status, headers, body = self.server.answer
        self.server.paths.add(self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing: the test is silent."""


@pytest.fixture
def source() -> Iterator[Source]:
    content = read_content(ROOT / "config/bundle", ROOT / "config/catalog")
    with Source(write_archive(dict(content.files), 1)) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def call(port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Host": "aiart.tencentcloudapi.com", "X-TC-Action": "TextToImage"}
    connection.request("POST", "/", b"{}", headers)
    connection.getresponse().read()
    connection.close()


def test_the_query_of_the_url_is_printed_nowhere(source: Source, tmp_path: Path) -> None:
    place = f"http://127.0.0.1:{source.server_port}/b.tar.gz"
    settings = {
        "POLICY__SOURCE": f"{place}?sign={SECRET}",
        "POLICY__LAST_GOOD": str(tmp_path / "kept"),
        "ENFORCEMENT__CANDIDATE": f"{place}?sign={OTHER}",
        "DECISION_LOG__PATH": str(tmp_path / "decisions.log"),
    }
    folder = tmp_path / "company"
    printed: dict[str, str] = {}
    good = source.answer
    elsewhere = {"Location": f"https://elsewhere.example/b.tar.gz?sign={SECRET}"}
    with running(folder, **settings) as gateway:
        call(gateway.calls)
        for status, headers, body in (
            (503, {}, SECRET.encode()),
            (200, {}, b"<html></html>"),
            (302, elsewhere, b""),
            (302, {"Location": f"/{SECRET}?"}, b""),
            good,
        ):
            source.answer = status, headers, body
            printed[f"reload at {status} {headers}"] = gateway.reload()[1]
            for path in ("/metrics", "/api/status", "/-/ready"):
                printed[f"{path} at {status} {headers}"] = gateway.get(path)[1]
        for order in ("rollback", "promote", "reload?force=true"):
            printed[order] = fetch(f"http://127.0.0.1:{gateway.admin}/-/{order}", b"")[1]
        config = ("--config", str(folder / "camguard.toml"))
        for argv in (
            ("serve", "--check"),
            ("serve", "--check", "--format", "json"),
            ("config", "show"),
            ("config", "show", "--format", "json"),
            ("rollback", "--list"),
        ):
            done = camguard(*argv, *config, **settings)
            assert done.returncode == 0, (argv, done.stderr)
            printed[" ".join(argv)] = done.stdout + done.stderr
        gateway.stop()
        printed["the process log"] = "\n".join(gateway.stderr_lines)
    printed["the decision log"] = (tmp_path / "decisions.log").read_text()
    printed["what is kept"] = (tmp_path / "kept/state.json").read_text()
    assert {name for name, text in printed.items() if SECRET in text or OTHER in text} == set()
    assert {name for name, text in printed.items() if not text} == set()
    assert {f"/b.tar.gz?sign={SECRET}", f"/b.tar.gz?sign={OTHER}"} <= source.paths, (
        "the source is asked with it"
    )
    assert place in printed["the process log"]
