"""The path for load balancers: who is answered, and that everything else at the path is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from camguard.enforcement import health_path
from camguard.enforcement.health_path import HealthPath
from camguard.middleware import CamguardMiddleware
from tests.asgi import DISCONNECT, Message, exchange
from tests.stage import FROM_OFFICE, Broken, Play, Request, changed, sdk

SETTINGS = changed("hosts", health_path="/healthz")
BARE = ((b"host", b"10.0.0.9"),)


def reply(ready: bool, *messages: Message, **request: Any) -> tuple[list[Any], int]:
    """Return what was sent for one request, and how many records were made of it."""
    play = Play(SETTINGS)
    app = CamguardMiddleware(
        play.middleware.app, guard=play.guard, health=HealthPath("/healthz", lambda: ready)
    )
    usual = {"method": "GET", "target": "/healthz", "raw_path": b"/healthz", "lines": BARE}
    scope = {**Request(**{**usual, **request.pop("of", {})}).scope(), **request}
    sent = asyncio.run(exchange(app, scope, messages or [{"type": "http.request"}]))
    assert play.reached == []
    return sent, len(play.records)


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_t136_the_status_says_whether_calls_can_be_judged(ready: bool, status: int, method: str) -> None:
    (start, body), records = reply(ready, of={"method": method})
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"9"),
        (b"cache-control", b"no-store"),
    ]
    assert start == {"type": "http.response.start", "status": status, "headers": headers}
    assert body == {"type": "http.response.body", "body": b"camguard\n" if method == "GET" else b""}
    assert records == 0


ANSWERED = [
    pytest.param({"of": {"lines": (*BARE, (b"content-length", b"0"))}}, id="T136 a declared empty body"),
    pytest.param({"of": {"lines": ()}}, id="T136 a request without a host, as of HTTP/1.0"),
    pytest.param({"http_version": "2"}, id="T136 HTTP/2, where the body ends at once"),
]


@pytest.mark.parametrize("request_", ANSWERED)
def test_t136_a_plain_request_is_answered(request_: dict[str, Any]) -> None:
    sent, records = reply(True, **request_)
    assert (sent[0]["status"], sent[1]["body"], records) == (200, b"camguard\n", 0)


REFUSED = [
    pytest.param({"of": {"method": "POST", "lines": sdk()}}, id="T136 a POST"),
    pytest.param({"of": {"method": "OPTIONS"}}, id="T136 another method"),
    pytest.param({"query_string": b"x=1"}, id="T136 a query"),
    pytest.param({"of": {"lines": (*BARE, (b"content-length", b"2"))}}, id="T136 a body"),
    pytest.param({"of": {"lines": (*BARE, (b"transfer-encoding", b"chunked"))}}, id="T136 a chunked body"),
    pytest.param({"raw_path": b"/%68ealthz"}, id="T136 the path spelled otherwise"),
    pytest.param({"raw_path": b"/healthz/"}, id="T136 a slash behind the path"),
    pytest.param({"raw_path": b"/Healthz"}, id="T136 the path in another letter case"),
    pytest.param({"raw_path": None}, id="T136 a server that shows no raw path"),
    pytest.param({"of": {"lines": (*BARE, (b"x-original-url", b"/healthz")), "target": "/x",
                         "raw_path": b"/x"}},
                 id="T136 a path that a header reports"),
]  # fmt: skip


@pytest.mark.parametrize("request_", REFUSED)
def test_t136_anything_else_at_the_path_is_refused(request_: dict[str, Any]) -> None:
    sent, records = reply(True, **request_)
    assert b'"Error"' in sent[1]["body"]
    assert records == 1


@pytest.mark.parametrize(("raw", "detail"), [(b"/healthz", "path_not_allowed"), (b"/health", "allowed")])
def test_t136_a_mount_at_the_path_is_refused_whose_root_would_be_judged(raw: bytes, detail: str) -> None:
    play = Play(SETTINGS)
    mount = raw.decode()
    scope = Request(lines=sdk(FROM_OFFICE), target=mount, raw_path=raw).scope() | {"root_path": mount}
    asyncio.run(play.serve(Request(), scope))
    decision = play.records[0].decision
    assert (decision.detail or decision.reason) == detail


BODIES = [
    pytest.param([{"type": "http.request", "body": b"x"}], id="T136 a body over HTTP/2"),
    pytest.param([{"type": "http.request", "body": b"", "more_body": True}], id="T136 one that goes on"),
    pytest.param([DISCONNECT], id="T136 a client that left"),
]


@pytest.mark.parametrize("messages", BODIES)
def test_t136_a_body_whose_length_is_not_declared_is_refused(messages: list[Message]) -> None:
    sent, _ = reply(True, *messages, http_version="2")
    assert b'"Error"' in sent[1]["body"]


def is_probe(version: str, receive: Any, *lines: tuple[bytes, bytes]) -> bool:
    """Tell whether a GET is a probe, under a version of HTTP and with some header lines."""
    scope = {"method": "GET", "query_string": b"", "headers": lines, "http_version": version}
    return asyncio.run(HealthPath("/healthz", lambda: True).is_probe(scope, receive))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_t136_a_request_of_http_1_without_a_length_has_no_body_that_is_waited_for(version: str) -> None:
    """RFC 9112 section 6.3."""
    assert is_probe(version, Broken(AssertionError("the body was taken")))


# the version of HTTP, a header line, whether such a GET is a probe, for which no body is taken
LENGTHS = [
    pytest.param("1.1", (b"Content-Length", b"0"), True, id="T136 an empty body, declared in capitals"),
    pytest.param("1.1", (b"Content-Length", b"2"), False, id="T136 a body, declared in capitals"),
    pytest.param("1.1", (b"Transfer-Encoding", b"chunked"), False, id="T136 a chunked body, in capitals"),
    pytest.param("2", (b"content-length", b"0"), True, id="T136 an empty body, declared over HTTP/2"),
    pytest.param("2", (b"content-length", b"2"), False, id="T136 a body, declared over HTTP/2"),
]


@pytest.mark.parametrize(("version", "line", "probe"), LENGTHS)
def test_t136_what_is_declared_of_a_body_decides(
    version: str, line: tuple[bytes, bytes], *, probe: bool
) -> None:
    assert is_probe(version, Broken(AssertionError("the body was taken")), line) is probe


def test_t136_the_end_of_a_request_of_http_2_may_come_later() -> None:
    async def later() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request"}

    assert is_probe("2", later)


def test_without_a_path_there_is_nothing_to_compare() -> None:
    assert HealthPath(None, lambda: True).raw is None


def test_t136_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_path, "BODY_SECONDS", 0.01)

    async def never() -> Any:
        await asyncio.Event().wait()

    assert not is_probe("2", never)


def test_t136_without_the_setting_there_is_no_such_path() -> None:
    play = Play()
    app = CamguardMiddleware(play.middleware.app, guard=play.guard)
    scope = Request(method="GET", target="/healthz", raw_path=b"/healthz", lines=BARE).scope()
    sent = asyncio.run(exchange(app, scope, []))
    assert b'"Error"' in sent[1]["body"]
    assert not app.ready
