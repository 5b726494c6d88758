"""Fetching an archive over HTTP: what is sent, and which answers are refused."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from camguard._version import __version__
from camguard.bundle.fetch import Fetched, fetch
from camguard.errors import BundleError, Problem
from camguard.printable import without_credentials

ETAG = '"v1"'
Answer = tuple[int, dict[str, str], bytes]


class Source(ThreadingHTTPServer):
    """A server that answers by path, and notes the requests. The path `/slow` takes five seconds."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.answers: dict[str, Answer] = {"/": (200, {"ETag": ETAG}, b"archive")}
        self.raw: dict[str, bytes] = {}  # whole answers by path, as they are sent
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
        if path in self.server.raw:
            self.wfile.write(self.server.raw[path])
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
    assert headers == {
        "Host": f"127.0.0.1:{source.server_port}",
        "User-Agent": f"camguard/{__version__}",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def test_the_etag_is_sent_back(source: Source) -> None:
    source.answers["/"] = (304, {}, b"")
    assert fetch(source.url("/"), ETAG) == "not modified"
    assert source.requests[0][1]["If-None-Match"] == ETAG


def test_a_weak_etag_is_kept_and_a_malformed_one_is_not(source: Source) -> None:
    longest = f'"!#~y{"x" * 996}"'
    for given, kept in (
        ('W/"a"', 'W/"a"'),
        ('""', '""'),
        (longest, longest),
        (longest[:-1] + 'x"', ""),
        ("bare", ""),
        ('"a" "b"', ""),
        ('"a b"', ""),
        ('w/"a"', ""),
        ('"a"b', ""),
    ):
        source.answers["/"] = (200, {"ETag": given}, b"x")
        assert fetch(source.url("/")) == Fetched(b"x", kept)


def test_an_answer_with_another_archive_is_read_although_an_etag_was_sent(source: Source) -> None:
    assert fetch(source.url("/"), '"v0"') == Fetched(b"archive", ETAG)
    source.answers["/"] = (200, {}, b"archive")
    assert fetch(source.url("/"), '"v0"') == Fetched(b"archive", "")
    source.answers["/"] = (404, {}, b"")
    with pytest.raises(BundleError, match="answers 404"):
        fetch(source.url("/"), '"v0"')


# the path and query of a URL, and what is asked of the source
TARGETS = [
    pytest.param("", "/", id="no path"),
    pytest.param("?sign=1", "/?sign=1", id="a query without a path"),
    pytest.param("/a/b.tar.gz", "/a/b.tar.gz", id="a path"),
    pytest.param("/a?b=c&d=e", "/a?b=c&d=e", id="a path with a query"),
]


@pytest.mark.parametrize(("given", "asked"), TARGETS)
def test_the_path_of_the_url_is_asked_for(given: str, asked: str, source: Source) -> None:
    source.answers[asked.partition("?")[0]] = (200, {}, b"archive")
    assert fetch(source.url(given)) == Fetched(b"archive", "")
    assert [path for path, _ in source.requests] == [asked]


# whole bodies: how many bytes, and whether their number is stated
BODIES = [
    pytest.param(0, True, id="an empty body with its length"),
    pytest.param(1000, True, id="as many bytes as may be, with their number"),
    pytest.param(1000, False, id="as many bytes as may be, until the connection ends"),
    pytest.param(600 << 10, True, id="a body that is read in several pieces"),
]


@pytest.mark.parametrize(("size", "stated"), BODIES)
def test_a_whole_body_is_read(size: int, stated: bool, source: Source) -> None:
    body = b"ab" * (size // 2)
    source.answers["/"] = (200, {"Content-Length": str(size)} if stated else {}, body)
    assert fetch(source.url("/"), most=max(size, 1)) == Fetched(body, "")


def test_t63_a_body_is_read_in_pieces_of_256_kib(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is too large is refused before all of it is in memory."""
    asked: list[int | None] = []
    read = HTTPResponse.read

    def recorded(answer: HTTPResponse, amount: int | None = None) -> bytes:
        asked.append(amount)
        return read(answer, amount)

    monkeypatch.setattr(HTTPResponse, "read", recorded)
    source.answers["/"] = (200, {}, bytes(600 << 10))
    fetch(source.url("/"))
    assert set(asked) == {256 << 10}


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
    pytest.param(
        (200, {"Content-Length": "1001"}, b""),
        "too large: 1001 bytes, at most 1000",
        id="T63 a length that is a byte too large",
    ),
    *(
        pytest.param(
            (status, {"Location": "/b"}, b""), f"answers {status}", id=f"status {status}, no redirect"
        )
        for status in (300, 305, 306, 309)
    ),
    *(
        pytest.param((status, {}, b"x"), f"answers {status}", id=f"status {status}, no success")
        for status in (201, 299)
    ),
    pytest.param(
        (302, {"Location": "http://127.0.0.2:1/x?y"}, b""),
        "redirects to 'http://127.0.0.2'; camguard follows within one origin only",
        id="T109 the origin to which a redirect leads is named",
    ),
    pytest.param((302, {"Location": "http://[x/"}, b""), "answers no HTTP: ValueError", id="a wrong URL"),
]


@pytest.mark.parametrize(("answer", "problem"), REFUSED)
def test_other_answers_are_refused(answer: Answer, problem: str, source: Source) -> None:
    source.answers["/"] = answer
    with pytest.raises(BundleError, match=problem) as caught:
        fetch(source.url("/?sign=s3cr3t"), most=1000)
    assert "s3cr3t" not in str(caught.value)
    (only,) = caught.value.problems
    assert (only.where, only.code) == (without_credentials(source.url("/?sign=s3cr3t")), "SourceError")


# all bytes of an answer, the text of the problem
RAW = [
    pytest.param(b"", "the source cannot be reached: RemoteDisconnected", id="no answer"),
    pytest.param(b"SSH-2.0-x\r\n", "the source answers no HTTP: BadStatusLine", id="another protocol"),
    pytest.param(
        b"HTTP/1.0 404 " + b"r" * 64 + b"\r\n\r\n",
        f"the source answers 404 '{'r' * 64}'",
        id="a reason of 64 letters",
    ),
    pytest.param(
        b"HTTP/1.0 404 " + b"r" * 63 + b"st\r\n\r\n",
        f"the source answers 404 '{'r' * 63}s'",
        id="a reason of 65 letters",
    ),
]


@pytest.mark.parametrize(("raw", "message"), RAW)
def test_what_is_no_sound_answer_is_refused(raw: bytes, message: str, source: Source) -> None:
    source.raw["/"] = raw
    with pytest.raises(BundleError) as caught:
        fetch(source.url("/"))
    assert caught.value.problems == (Problem(source.url("/"), "SourceError", message),)


# the host and the port of a redirect from the port of the source on 127.0.0.1
ORIGINS = [
    pytest.param(
        "https://127.0.0.1:{port}/b", "https://127.0.0.1", id="T109 to another scheme at the same port"
    ),
    pytest.param("http://localhost:{port}/b", "http://localhost", id="T109 to another name at the same port"),
    pytest.param("http://user@127.0.0.1:{port}/b", "http://127.0.0.1", id="T109 with a user"),
    pytest.param("http://@127.0.0.1:{port}/b", "http://127.0.0.1", id="T109 with an empty user"),
]


@pytest.mark.parametrize(("location", "place"), ORIGINS)
def test_a_redirect_leads_to_the_same_origin_only(location: str, place: str, source: Source) -> None:
    source.answers["/"] = (302, {"Location": location.format(port=source.server_port)}, b"")
    source.answers["/b"] = (200, {}, b"archive")
    with pytest.raises(BundleError) as caught:
        fetch(source.url("/"))
    message = f"the source redirects to {place!r}; camguard follows within one origin only"
    assert caught.value.problems == (Problem(source.url("/"), "SourceError", message),)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_each_kind_of_redirect_is_followed(status: int, source: Source) -> None:
    source.answers["/a"] = (status, {"Location": "b"}, b"")
    source.answers["/b"] = (200, {}, b"archive")
    assert fetch(source.url("/a")) == Fetched(b"archive", "")


def test_three_redirects_are_followed_and_no_fourth(source: Source) -> None:
    source.answers |= {f"/{at}": (302, {"Location": f"/{at + 1}"}, b"") for at in range(4)}
    source.answers["/4"] = (200, {}, b"archive")
    assert fetch(source.url("/1")) == Fetched(b"archive", "")
    with pytest.raises(BundleError) as caught:
        fetch(source.url("/0"))
    message = "the source redirects more than 3 times"
    assert caught.value.problems == (Problem(source.url("/0"), "SourceError", message),)


Connections = list[tuple[tuple[str, int], float | None, socket.socket]]


@pytest.fixture
def connections(source: Source, monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Lead every connection to the source. Return address and timeout of each, and its socket."""
    found: Connections = []
    connect = socket.create_connection

    def connected(address: tuple[str, int], timeout: float | None = None, *_: Any) -> socket.socket:
        found.append((address, timeout, connect(("127.0.0.1", source.server_port), timeout)))
        return found[-1][-1]

    monkeypatch.setattr(socket, "create_connection", connected)
    return found


# a URL, and the address to which the connection is opened
ADDRESSES = [
    pytest.param("http://source.example", ("source.example", 80), id="the port of HTTP"),
    pytest.param("http://source.example:8080/", ("source.example", 8080), id="a port of the URL"),
    pytest.param("https://source.example/", ("source.example", 443), id="the port of HTTPS"),
    pytest.param("https://source.example:8443/", ("source.example", 8443), id="a port of the URL with TLS"),
]


@pytest.mark.parametrize(("url", "address"), ADDRESSES)
def test_a_connection_is_opened_for_the_rest_of_the_time(
    url: str, address: tuple[str, int], connections: Connections
) -> None:
    clock = chain((100.0, 112.5), repeat(113.0))
    if url.startswith("https:"):
        with pytest.raises(BundleError, match=r"TLS failed|cannot be reached"):  # the source speaks no TLS
            fetch(url, seconds=20, monotonic=clock.__next__)
    else:
        assert fetch(url, seconds=20, monotonic=clock.__next__) == Fetched(b"archive", ETAG)
    ((opened, timeout, _),) = connections
    assert (opened, timeout) == (address, 7.5)


def test_the_port_that_a_scheme_implies_is_the_same_origin(source: Source, connections: Connections) -> None:
    source.answers["/"] = (302, {"Location": "http://source.example:80/b"}, b"")
    source.answers["/b"] = (302, {"Location": "http://source.example/c"}, b"")
    source.answers["/c"] = (200, {}, b"archive")
    assert fetch("http://source.example/") == Fetched(b"archive", "")
    assert [address for address, *_ in connections] == [("source.example", 80)] * 3


# when the connection would be opened, in seconds after the beginning; whether that is in time
MOMENTS = [
    pytest.param(19.5, True, id="half a second before the end"),
    pytest.param(20.0, False, id="at the end"),
    pytest.param(20.5, False, id="after the end"),
]


@pytest.mark.parametrize(("moment", "in_time"), MOMENTS)
def test_after_20_seconds_nothing_is_waited_for(
    moment: float, in_time: bool, source: Source, connections: Connections
) -> None:
    clock = chain((100.0,), repeat(100.0 + moment))
    if in_time:
        assert fetch(source.url("/"), monotonic=clock.__next__) == Fetched(b"archive", ETAG)
        return
    with pytest.raises(BundleError) as caught:
        fetch(source.url("/"), monotonic=clock.__next__)
    message = "the source has not answered completely within 20 seconds"
    assert caught.value.problems == (Problem(source.url("/"), "SourceError", message),)
    assert connections == []


# how a source answers, and whether the answer is an archive
ENDS = [
    pytest.param((200, {"Content-Length": "7"}, b"archive"), True, id="an archive with its length"),
    pytest.param((200, {}, b"archive"), True, id="an archive until the connection ends"),
    pytest.param((404, {}, b"no"), False, id="an error"),
    pytest.param((302, {"Location": "http://127.0.0.2/"}, b""), False, id="a redirect that is refused"),
    pytest.param((302, {"Location": "/"}, b""), False, id="redirects in a circle"),
    pytest.param((200, {}, b"x" * 1001), False, id="too many bytes"),
]


@pytest.mark.parametrize(("answer", "good"), ENDS)
def test_no_connection_stays_open(
    answer: Answer, good: bool, source: Source, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed at once, also while something holds the file of its answer."""
    held = []
    makefile: Any = socket.socket.makefile

    def noted(connection: socket.socket, *rest: Any, **named: Any) -> Any:
        held.append(makefile(connection, *rest, **named))
        return held[-1]

    monkeypatch.setattr(socket.socket, "makefile", noted)
    source.answers["/"] = answer
    if good:
        fetch(source.url("/"), most=1000)
    else:
        with pytest.raises(BundleError):
            fetch(source.url("/"), most=1000)
    assert {connection.fileno() for *_, connection in connections} == {-1}


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


def failing(error: OSError) -> Any:
    """Return a function that raises an error instead of connecting."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def tls_error(reason: str | None) -> ssl.SSLError:
    """Return an error as OpenSSL makes it, which does not always give a reason."""
    error: Any = ssl.SSLError(1, "the text of OpenSSL")
    error.reason = reason
    assert isinstance(error, ssl.SSLError)
    return error


# an error of the connection, the text of the problem
FAILURES = [
    pytest.param(
        OSError(101, "Network is unreachable"), "cannot be reached: Network is unreachable", id="a text"
    ),
    pytest.param(OSError(), "cannot be reached: OSError", id="no text"),
    pytest.param(
        ConnectionResetError(), "cannot be reached: ConnectionResetError", id="no text of a subclass"
    ),
]
TLS_FAILURES = [
    pytest.param(
        tls_error("CERTIFICATE_VERIFY_FAILED"), "TLS failed: CERTIFICATE_VERIFY_FAILED", id="a reason of TLS"
    ),
    pytest.param(tls_error(None), "TLS failed: SSLError", id="no reason of TLS"),
]


@pytest.mark.parametrize(("error", "message"), FAILURES + TLS_FAILURES)
def test_a_connection_that_fails_is_explained(
    error: OSError, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", failing(error))
    with pytest.raises(BundleError) as caught:
        fetch("http://source.example/")
    text = message if message.startswith("TLS") else f"the source {message}"
    assert caught.value.problems == (Problem("http://source.example/", "SourceError", text),)


def test_a_server_that_does_not_speak_tls_is_refused(source: Source) -> None:
    with pytest.raises(BundleError, match=r"TLS failed|cannot be reached"):
        fetch(source.url("/").replace("http:", "https:"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate of `localhost` and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *form)
    )
    return path


@pytest.fixture
def tls_port(certificate: Path, source: Source) -> int:
    """Let the source speak TLS, and return its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    source.socket = context.wrap_socket(source.socket, server_side=True)
    return source.server_port


def test_t109_the_certificate_of_the_source_is_verified(
    certificate: Path, tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = "TLS failed: CERTIFICATE_VERIFY_FAILED"
    with pytest.raises(BundleError, match=refused):
        fetch(f"https://localhost:{tls_port}/")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(f"https://localhost:{tls_port}/") == Fetched(b"archive", ETAG)
    with pytest.raises(BundleError, match=refused):
        fetch(f"https://127.0.0.1:{tls_port}/")  # the certificate does not name the address
