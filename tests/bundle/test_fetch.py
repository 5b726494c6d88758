"""Fetching an archive over HTTP: what is sent, and which answers are refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from camguard.bundle.fetch import Fetched, fetch
from camguard.errors import BundleError

ETAG = '"v1"'
Answer = tuple[int, dict[str, str], bytes]


class Source(ThreadingHTTPServer):
    """A server that answers by path, and notes the requests. The path `/slow` takes five seconds."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.answers: dict[str, Answer] = {"/": (200, {"ETag": ETAG}, b"archive")}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answered = False  # the whole of `/slow`

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Answers(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        if path == "/slow":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            for _ in range(100):
                self.wfile.write(b"X-More: 1\r\n")
                self.wfile.flush()
                time.sleep(0.05)
            self.server.answered = True
            return
        status, headers, body = self.server.answers[path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be silent."""

    def handle(self) -> None:
        """Serve the connection; a client that leaves early is no error."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True


@pytest.fixture
def source() -> Iterator[Source]:
    server = Source()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_archive_is_fetched_with_its_etag(source: Source) -> None:
    assert fetch(source.url("/?sign=s3cr3t")) == Fetched(b"archive", ETAG)
    path, headers = source.requests[0]
    assert path == "/?sign=s3cr3t"
    assert headers["User-Agent"].startswith("camguard/")
    assert headers["Accept-Encoding"] == "identity"
    assert "If-None-Match" not in headers


def test_the_etag_is_sent_back(source: Source) -> None:
    source.answers["/"] = (304, {}, b"")
    assert fetch(source.url("/"), ETAG) == "not modified"
    assert source.requests[0][1]["If-None-Match"] == ETAG


def test_a_weak_etag_is_kept_and_a_malformed_one_is_not(source: Source) -> None:
    for given, kept in (('W/"a"', 'W/"a"'), ("bare", ""), ('"' + "x" * 2000 + '"', ""), ('"a" "b"', "")):
        source.answers["/"] = (200, {"ETag": given}, b"x")
        assert fetch(source.url("/")) == Fetched(b"x", kept)


# status, headers and body of an answer; the problem
REFUSED = [
    pytest.param((404, {}, b"no"), "answers 404 'Not Found'", id="not found"),
    pytest.param((500, {}, b""), "answers 500", id="an error"),
    pytest.param((204, {}, b""), "answers 204", id="no content"),
    pytest.param((206, {}, b"part"), "answers 206", id="a part"),
    pytest.param((304, {}, b""), "answers 304", id="not modified, although nothing was sent along"),
    pytest.param((200, {"Content-Length": "9"}, b"half"), "cut off after 4 of 9", id="T106 a half"),
    pytest.param((200, {"Content-Length": "2000"}, b""), "too large: 2000 bytes", id="T63 a large length"),
    pytest.param((200, {}, b"x" * 1001), "too large: more than 1000", id="T63 endless bytes"),
    pytest.param((302, {"Location": "https://127.0.0.1/"}, b""), "redirects to", id="T109 to another scheme"),
    pytest.param((302, {"Location": "http://127.0.0.2/"}, b""), "redirects to", id="T109 to another host"),
    pytest.param((302, {"Location": "http://127.0.0.1:1/"}, b""), "redirects to", id="T109 to another port"),
    pytest.param(
        (302, {"Location": "//evil.example/"}, b""), "redirects to", id="T109 to another host, by //"
    ),
    pytest.param((302, {"Location": "file:///etc/passwd"}, b""), "redirects to", id="T109 to a file"),
    pytest.param((302, {"Location": "/"}, b""), "redirects more than 3 times", id="a circle"),
    pytest.param((302, {}, b""), "redirects more than 3 times", id="a redirect to nowhere"),
    pytest.param((200, {"Content-Length": "x"}, b"y" * 2000), "too large", id="a length that is no number"),
]


@pytest.mark.parametrize(("answer", "problem"), REFUSED)
def test_other_answers_are_refused(answer: Answer, problem: str, source: Source) -> None:
    source.answers["/"] = answer
    with pytest.raises(BundleError, match=problem) as caught:
        fetch(source.url("/?sign=s3cr3t"), most=1000)
    assert "s3cr3t" not in str(caught.value)


def test_a_redirect_within_the_origin_is_followed_without_the_query(source: Source) -> None:
    source.answers["/a"] = (307, {"Location": source.url("/b")}, b"")
    source.answers["/b"] = (200, {}, b"archive")
    assert fetch(source.url("/a?sign=s3cr3t")) == Fetched(b"archive", "")
    assert [path for path, _ in source.requests] == ["/a?sign=s3cr3t", "/b"]


def test_a_source_that_sends_byte_by_byte_does_not_outlast_the_deadline(source: Source) -> None:
    with pytest.raises(BundleError, match="has not answered completely"):
        fetch(source.url("/slow"), seconds=0.2)
    assert not source.answered, "it would have taken five seconds"


# a URL without a source, the problem
AWAY = [
    pytest.param("http://127.0.0.1:1/x?sign=s3cr3t", "reached: Connection refused", id="nobody"),
    pytest.param("http://source.invalid/x", "cannot be reached", id="no such host"),
]


@pytest.mark.parametrize(("url", "problem"), AWAY)
def test_a_source_that_is_away_is_named_without_its_secrets(url: str, problem: str) -> None:
    with pytest.raises(BundleError, match=problem) as caught:
        fetch(url)
    assert "s3cr3t" not in str(caught.value)


def test_a_server_that_does_not_speak_tls_is_refused(source: Source) -> None:
    with pytest.raises(BundleError, match=r"TLS failed|cannot be reached"):
        fetch(source.url("/").replace("http:", "https:"))
