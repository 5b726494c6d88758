"""What the vendor's clients were seen to send, through the whole middleware: no allowed call is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from camguard.authn.authenticator import Caller, authenticator
from camguard.authn.credentials import parse_keys
from camguard.middleware import CamguardMiddleware
from camguard.request.head import HeadRules, RequestHead, read_head
from camguard.request.params import parse_params
from camguard.request.rejection import rejection
from camguard.settings import Settings, load_settings
from camguard.wiring import Components, assemble
from tests.asgi import read_body, request, respond
from tests.captures.read import KEYS, Capture, captures
from tests.company import document

CONFIG = """
[catalog]
path = {catalog}
[hosts]
roots = ["tencentcloudapi.com", "gw.example"]
[identity]
allow_v1 = true
allow_unsigned_payload = true
[enforcement]
unknown_action = "judge"   # clients know actions that no page lists, and the reverse
[decision_log]
path = ""
"""
PRINCIPALS = {
    "owner": {"uin": "100000000001", "app_id": "1250000001"},
    "users": {"100000000101": {"name": "alice", "groups": [], "policies": ["all"], "boundary": None}},
    "groups": {},
    "roles": {"captures": {"policies": ["all"], "boundary": None}},
}
ALL = captures()


class Clock:
    """The time at which the capture at hand was sent."""

    now = 0.0

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return self.now


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("clients")
    catalog = Path(__file__).parents[1] / "config" / "catalog"
    (folder / "bundle" / "policies").mkdir(parents=True)
    (folder / "bundle" / "policies" / "all.json").write_text(document({}))
    (folder / "bundle" / "principals.json").write_text(json.dumps(PRINCIPALS))
    (folder / "keys.json").write_bytes(KEYS)
    (folder / "keys.json").chmod(0o600)
    (folder / "camguard.toml").write_text(CONFIG.format(catalog=json.dumps(str(catalog))))
    return load_settings(folder / "camguard.toml")


@pytest.fixture(scope="module")
def parts(settings: Settings, clock: Clock) -> Iterator[Components]:
    parts = assemble(settings, clock=clock, registry=CollectorRegistry())
    yield parts
    parts.stop()


class Application:
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] | None = None
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take the whole request, answer `ok`."""
        self.scope = scope
        self.body = await read_body(receive)
        await respond(send, b"ok")


def call(capture: Capture, parts: Components, clock: Clock) -> tuple[Application, bytes]:
    """Return the application behind the guard, and the body of the answer."""
    clock.now = capture.time + 1.0
    application = Application()
    middleware = CamguardMiddleware(application, guard=parts.guard)
    scope = {**capture.scope, "headers": list(capture.scope["headers"]), "client": ("127.0.0.1", 50000)}
    return application, asyncio.run(request(middleware, scope, capture.body)).body


def expected(capture: Capture) -> str:
    host = dict(capture.scope["headers"])[b"host"]
    if host.startswith(b"127.0.0.9"):
        return "service_unknown"  # an address names no product
    return "signed" if capture.expected == "unsigned_payload" else capture.expected


@pytest.mark.parametrize("capture", [each for each in ALL if expected(each) == "signed"], ids=str)
def test_signed_call_reaches_the_application_and_still_verifies_there(
    capture: Capture, parts: Components, settings: Settings, clock: Clock
) -> None:
    application, answer = call(capture, parts, clock)
    assert answer == b"ok"
    assert application.scope is not None
    assert application.body == capture.body
    assert application.scope["query_string"] == capture.scope["query_string"]
    head = read_head(application.scope, HeadRules(settings))
    assert isinstance(head, RequestHead)
    form = dict(capture.scope["headers"]).get(b"content-type", b"").startswith(b"application/x-www-form")
    raw = application.body if form and head.method == "POST" else head.query
    params = parse_params(raw, 1000, rejection("body_malformed"))
    assert isinstance(params, tuple)
    identify = authenticator(settings.identity, parts.keys)
    again = identify.caller(head, capture.service, application.body, params, False, clock.now)
    assert isinstance(again, Caller)
    assert again.signature == "valid"


CODES = {
    "auth_malformed": "AuthFailure.InvalidAuthorization",
    "host_invalid": "InvalidRequest",
    "path_not_allowed": "UnsupportedProtocol",
    "service_unknown": "NoSuchProduct",
    "signature_invalid": "AuthFailure.SignatureFailure",
    "signature_v1_ambiguous": "AuthFailure.SignatureFailure",
}


@pytest.mark.parametrize("capture", [each for each in ALL if expected(each) != "signed"], ids=str)
def test_call_that_is_no_good_gets_the_code_that_its_client_knows(
    capture: Capture, parts: Components, clock: Clock
) -> None:
    application, answer = call(capture, parts, clock)
    assert application.scope is None
    assert json.loads(answer)["Response"]["Error"]["Code"] == CODES[expected(capture)]


def test_keys_of_the_captures_are_good() -> None:
    assert len(parse_keys(KEYS, "keys.json")) == 2
