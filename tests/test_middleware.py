"""CamguardMiddleware in front of an application: what kinds of scope pass, and that it starts and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from camguard import CamguardMiddleware
from camguard.authn.authenticator import authenticator
from camguard.enforcement.outcome import UPSTREAM_KEY
from camguard.errors import SettingsError
from camguard.middleware import WHOLE_ANSWER
from camguard.settings import IdentitySettings, load_settings
from tests.asgi import body_of, receive_of
from tests.stage import Line, Play, sdk
from tests.stage import Request as Raw

ALICE, OFFICE = b"100000000101", "10.1.2.3"


@pytest.fixture
def config(tmp_path: Path, repository: Path) -> Path:
    """Return settings over the shipped catalog and bundle, with callers named by a trusted proxy."""
    file = tmp_path / "camguard.toml"
    file.write_text(
        f"""
        catalog.path = "{repository}/config/catalog"
        policy.source = "{repository}/config/bundle"
        identity.mode = "header"
        client_ip.trusted_proxies = ["127.0.0.1"]
        decision_log.path = "log"
        """
    )
    return file


async def echo(request: Request) -> Response:
    decision = request.scope["camguard.decision"]
    return JSONResponse({"Response": {"Echo": await request.json(), "By": decision.statements}})


class Reply(NamedTuple):
    """What an application answered."""

    status: int
    headers: dict[bytes, bytes]
    response: dict[str, Any]


async def call(app: ASGIApp, path: str = "/", body: bytes = b"{}", source: str = OFFICE) -> Reply:
    """Call TextToImage as alice, through the proxy on 127.0.0.1."""
    request = Raw(
        lines=sdk(
            (b"x-camguard-principal", ALICE),
            (b"x-forwarded-for", source.encode()),
            host=b"aiart.tencentcloudapi.com",
            x_tc_action=b"TextToImage",
        ),
        target=path,
        raw_path=path.encode(),
        client=("127.0.0.1", 50000),
        chunks=(body,),
    )
    sent: list[Any] = []
    waiting: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(request.scope(), receive, send)
    whole = b"".join(message.get("body", b"") for message in sent)
    return Reply(sent[0]["status"], dict(sent[0]["headers"]), json.loads(whole)["Response"])


@contextlib.asynccontextmanager
async def alive(app: ASGIApp) -> AsyncIterator[None]:
    """Run the application's lifespan, as a server does."""
    received, sent = asyncio.Queue[Any](), asyncio.Queue[Any]()
    running = asyncio.ensure_future(app({"type": "lifespan", "state": {}}, received.get, sent.put))
    await received.put({"type": "lifespan.startup"})
    started = (await sent.get())["type"]
    assert started == "lifespan.startup.complete", started
    yield
    await received.put({"type": "lifespan.shutdown"})
    assert (await sent.get())["type"] == "lifespan.shutdown.complete"
    await running


def test_without_a_registry_the_metrics_stand_in_that_of_the_process(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = CollectorRegistry()
    monkeypatch.setattr("camguard.middleware.REGISTRY", process)
    CamguardMiddleware(Starlette(), config)
    assert b"camguard_build_info" in generate_latest(process)


def guarded(config: Path, registry: CollectorRegistry) -> Starlette:
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])], debug=True)
    app.add_middleware(CamguardMiddleware, config=config, registry=registry)
    return app


def test_one_line_guards_an_application(config: Path, tmp_path: Path) -> None:
    registry = CollectorRegistry()
    app = guarded(config, registry)

    async def scene() -> tuple[Reply, Reply]:
        async with alive(app):
            return await call(app, body=b'{"Prompt": "a cat"}'), await call(app, source="192.0.2.1")

    allowed, denied = asyncio.run(scene())
    assert allowed.response == {"Echo": {"Prompt": "a cat"}, "By": ["aiart-create#0"]}
    assert denied.status == 200
    assert denied.headers[b"content-type"] == b"application/json"
    assert denied.response["Error"]["Code"] == "AuthFailure.UnauthorizedOperation"
    metrics = generate_latest(registry).decode()
    assert 'decision="allow",listener="middleware",reason="allowed",service="aiart"} 1.0' in metrics
    assert 'decision="deny",listener="middleware",reason="no_allow",service="aiart"} 1.0' in metrics
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {(line["decision"], line["upstream_status"]) for line in lines} == {("allow", 200), ("deny", None)}
    assert denied.response["RequestId"] in {line["id"] for line in lines}


EXPECT = (b"expect", b"100-continue")
ELSEWHERE = (b"x-forwarded-for", b"198.51.100.9")
HERE = (b"x-forwarded-for", b"203.0.113.7")


@pytest.mark.parametrize(
    ("lines", "request_", "closes"),
    [
        pytest.param(sdk(ELSEWHERE, EXPECT), {}, 1, id="denied"),
        pytest.param(sdk(ELSEWHERE, (b"expect", b"100-Continue")), {}, 1, id="denied, spelled otherwise"),
        pytest.param(sdk(ELSEWHERE, EXPECT), {"target": "/x"}, 1, id="a head that is read no further"),
        pytest.param(sdk(ELSEWHERE, EXPECT, upgrade=b"h2c"), {}, 1, id="an answer that closes anyway"),
        pytest.param(sdk(ELSEWHERE), {}, 0, id="denied, and the client does not wait"),
        pytest.param(sdk(HERE, EXPECT), {"chunks": (b"\xff",)}, 0, id="its body was taken and rejected"),
    ],
)
def test_the_connection_ends_where_a_client_waits_for_100_continue_in_vain(
    lines: tuple[Line, ...], request_: dict[str, Any], closes: int
) -> None:
    reply = Play(authentication=authenticator(IdentitySettings(mode="header"), None)).reply_to(
        lines=(*lines, (b"x-camguard-principal", ALICE)), **request_
    )
    assert not reply.passed
    assert reply.sent[0]["headers"].count((b"connection", b"close")) == closes


def test_t117_a_relay_s_own_answer_is_not_logged_as_its_upstream_s(config: Path, tmp_path: Path) -> None:
    async def gives_up(scope: Any, _receive: Any, send: Any) -> None:
        scope[UPSTREAM_KEY] = None
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"Response": {}}'})

    async def relay(scope: Any, receive: Any, send: Any) -> None:
        await (empty if scope["type"] == "lifespan" else gives_up)(scope, receive, send)

    empty = Starlette()
    app = CamguardMiddleware(relay, config, registry=CollectorRegistry())

    async def scene() -> None:
        async with alive(app):
            await call(app, body=b'{"Prompt": "a cat"}')

    asyncio.run(scene())
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["decision"], line["upstream_status"]) for line in lines] == [("allow", None)]


START = {"type": "http.response.start", "status": 201, "headers": []}
PART = {"type": "http.response.body", "body": b"{", "more_body": True}
LAST = {"type": "http.response.body", "body": b"}"}
WHOLE = {"type": WHOLE_ANSWER, "status": 201, "headers": [], "body": b"{}"}
# What an application sends, how it ends, and what the record says of it.
ENDINGS = [
    pytest.param([START, PART, LAST], None, 201, None, id="a whole reply"),
    pytest.param([WHOLE], None, 201, None, id="a whole reply in one message"),
    pytest.param([WHOLE], LookupError(), 201, None, id="an error behind a whole reply in one message"),
    pytest.param([START, LAST], LookupError(), 201, None, id="an error behind a whole reply"),
    pytest.param([START, PART], None, 201, "reply_incomplete", id="a part of a reply"),
    pytest.param([START], LookupError(), 201, "reply_incomplete", id="an error behind the head"),
    pytest.param([START, PART], ClientDisconnect(), 201, None, id="a client that left within the reply"),
    pytest.param([], None, None, "internal", id="no reply"),
    pytest.param([], LookupError(), None, "internal", id="an error before the reply"),
    pytest.param([], ClientDisconnect(), None, None, id="a client that left before the reply"),
    pytest.param([], asyncio.CancelledError(), None, None, id="a server that ends"),
]


@pytest.mark.parametrize(("messages", "error", "status", "failure"), ENDINGS)
def test_t130_the_record_says_how_an_allowed_call_ended(
    messages: list[Any], error: BaseException | None, status: int | None, failure: str | None
) -> None:
    play = Play()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        if error is not None:
            raise error

    play.middleware.app = app
    with contextlib.suppress(LookupError, ClientDisconnect, asyncio.CancelledError):
        play.reply_to(lines=sdk(HERE))
    assert play.concluded == [(play.records[0], status, failure, status)]


def test_t130_a_status_that_could_not_be_sent_is_not_claimed() -> None:
    play = Play()

    async def scene() -> None:
        async def broken(_message: Any) -> None:
            raise OSError("gone")

        request = Raw(lines=sdk(HERE))
        body = body_of(*(chunk for chunk in request.chunks if chunk is not None))
        with pytest.raises(OSError, match="gone"):
            await play.middleware(request.scope(), receive_of(body), broken)

    asyncio.run(scene())
    assert play.concluded == [(play.records[0], None, "internal", None)]


def test_t51_nothing_is_exempt(config: Path) -> None:
    app = guarded(config, CollectorRegistry())

    async def scene() -> list[str]:
        async with alive(app):
            replies = [await call(app, path) for path in ("/healthz", "/metrics", "/docs", "//")]
        return [each.response["Error"]["Code"] for each in replies]

    assert asyncio.run(scene()) == ["UnsupportedProtocol"] * 4


def test_t56_a_websocket_is_refused() -> None:
    play = Play()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(play.middleware({"type": "websocket", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert play.reached == []


def test_t56_a_websocket_is_answered_where_the_server_can() -> None:
    play = Play()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "headers": [], "extensions": {"websocket.http.response": {}}}
    asyncio.run(play.middleware(scope, receive, send))
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 403
    assert b"InvalidRequest" in sent[1]["body"]
    assert play.reached == []


@pytest.mark.parametrize("kind", ["webtransport", "", "HTTP"])
def test_t57_an_unknown_scope_is_refused(kind: str) -> None:
    play = Play()
    with pytest.raises(NotImplementedError):
        asyncio.run(play.serve(Raw(type=kind)))
    assert play.reached == []


def test_a_lifespan_passes_and_starts_and_stops_the_parts(config: Path) -> None:
    events: list[str] = []

    class Watched(CamguardMiddleware):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            parts = self.components
            assert parts is not None
            start, stop = parts.start, parts.stop
            parts.start = lambda: (events.append("start"), start())[1]  # type: ignore[method-assign,func-returns-value]
            parts.stop = lambda: (events.append("stop"), stop())[1]  # type: ignore[method-assign,func-returns-value]

    app = Starlette(routes=[Route("/", echo, methods=["POST"])])
    app.add_middleware(Watched, config=config, registry=CollectorRegistry())

    async def scene() -> None:
        async with alive(app):
            assert events == ["start"]
            assert (await call(app)).response["By"]

    asyncio.run(scene())
    assert events == ["start", "stop"]


def test_around_stands_before_one_application(config: Path) -> None:
    middleware = CamguardMiddleware(config=config, registry=CollectorRegistry())
    app = Starlette(routes=[Route("/", echo, methods=["POST"])])
    app.add_middleware(middleware.around)

    async def scene() -> tuple[Reply, Reply]:
        async with alive(app):
            assert middleware.ready
            return await call(app), await call(app, source="192.0.2.1")

    allowed, denied = asyncio.run(scene())
    assert allowed.response["By"] == ["aiart-create#0"]
    assert denied.response["Error"]["Code"] == "AuthFailure.UnauthorizedOperation"
    with pytest.raises(SettingsError, match="another application already"):
        middleware.around(Starlette())


def test_without_an_application_nothing_starts_and_an_allowed_call_fails(config: Path) -> None:
    middleware = CamguardMiddleware(config=config, registry=CollectorRegistry())
    with pytest.raises(AssertionError, match="failed"):
        asyncio.run(_until_started(middleware))
    with pytest.raises(RuntimeError, match="has no application"):
        asyncio.run(call(middleware))
    assert "Error" in asyncio.run(call(middleware, source="192.0.2.1")).response
    middleware.stop()


async def _until_started(app: ASGIApp) -> None:
    async with alive(app):
        pass


def test_what_is_wrong_with_settings_is_logged_because_servers_hide_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "camguard.toml"
    file.write_text('identity.mode = "non"')
    with pytest.raises(SettingsError):
        asyncio.run(call(guarded(file, CollectorRegistry())))
    assert [(record.levelname, "'non' is not" in record.getMessage()) for record in caplog.records] == [
        ("ERROR", True)
    ]


def test_parts_start_with_the_first_request_where_no_lifespan_runs(config: Path, tmp_path: Path) -> None:
    app = Starlette(routes=[Route("/", echo, methods=["POST"])])
    middleware = CamguardMiddleware(app, config, registry=CollectorRegistry())
    assert not (tmp_path / "log").exists()
    assert asyncio.run(call(middleware)).response["By"]
    parts = middleware.components
    assert parts is not None
    parts.stop()
    assert (tmp_path / "log").read_text().count("\n") == 1


def test_a_broken_bundle_refuses_everything_until_it_is_repaired(
    config: Path, tmp_path: Path, repository: Path
) -> None:
    """The process stays up; it becomes ready when repaired."""
    bundle = tmp_path / "bundle"
    config.write_text(config.read_text().replace(f"{repository}/config/bundle", str(bundle)))
    app = Starlette(routes=[Route("/", echo, methods=["POST"])])
    middleware = CamguardMiddleware(app, config, registry=CollectorRegistry())
    assert asyncio.run(call(middleware)).response["Error"]["Code"] == "ServiceUnavailable"
    bundle.symlink_to(repository / "config" / "bundle")
    parts = middleware.components
    assert parts is not None
    assert parts.store.reload().result in {"success", "unchanged"}
    assert asyncio.run(call(middleware)).response["By"]
    parts.stop()


def test_settings_that_cannot_be_used_raise(config: Path) -> None:
    async def app(*_: Any) -> None: ...

    with pytest.raises(SettingsError):
        CamguardMiddleware(app)
    with pytest.raises(SettingsError):
        CamguardMiddleware(app, load_settings(config), guard=Play().guard)
    with pytest.raises(SettingsError):
        CamguardMiddleware(app, config.parent / "missing.toml")
    config.write_text(config.read_text().replace("header", "signature"))
    with pytest.raises(SettingsError):
        CamguardMiddleware(app, config, registry=CollectorRegistry())


def test_t67_a_debugging_application_shows_nothing_of_the_guard(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("secret")

    monkeypatch.setattr("camguard.enforcement.early.read_head", broken)
    app = guarded(config, CollectorRegistry())

    async def scene() -> Reply:
        async with alive(app):
            return await call(app)

    reply = asyncio.run(scene())
    assert reply.response["Error"] == {"Code": "InternalError", "Message": "An internal error has occurred."}
