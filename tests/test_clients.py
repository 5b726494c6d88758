"""What the vendor's clients were seen to send, through the whole middleware: no allowed call is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from camguard.authn.authenticator import authenticator
from camguard.authn.credentials import Caller, parse_keys
from camguard.enforcement.guard import Guard
from camguard.middleware import CamguardMiddleware
from camguard.request.head import HeadRules, RequestHead, read_head
from camguard.request.params import parse_params
from camguard.request.rejection import rejection
from camguard.settings import Settings, load_settings
from camguard.wiring import Components, assemble
from tests.asgi import read_body, request, respond
from tests.captures.read import KEYS, Capture, by_client, captures
from tests.company import document
from tests.tables import Rows, check_each

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


def call(
    capture: Capture, parts: Components, clock: Clock, guard: Guard | None = None
) -> tuple[Application, bytes]:
    """Return the application behind the guard, and the body of the answer."""
    clock.now = capture.time + 1.0
    application = Application()
    middleware = CamguardMiddleware(application, guard=guard or parts.guard)
    scope = {**capture.scope, "headers": list(capture.scope["headers"]), "client": ("127.0.0.1", 50000)}
    return application, asyncio.run(request(middleware, scope, capture.body)).body


def expected(capture: Capture) -> str:
    host = dict(capture.scope["headers"])[b"host"]
    if host.startswith(b"127.0.0.9"):
        return "service_unknown"  # an address names no product
    return "signed" if capture.expected == "unsigned_payload" else capture.expected


@pytest.mark.parametrize("rows", by_client(each for each in ALL if expected(each) == "signed"))
def test_signed_call_reaches_the_application_and_still_verifies_there(
    rows: Rows[Capture], parts: Components, settings: Settings, clock: Clock
) -> None:
    check_each(rows, lambda capture: verifies_behind_the_guard(capture, parts, settings, clock))


def verifies_behind_the_guard(capture: Capture, parts: Components, settings: Settings, clock: Clock) -> None:
    application, answer = call(capture, parts, clock)
    assert answer == b"ok"
    assert application.scope is not None
    assert application.body == capture.body
    assert application.scope["query_string"] == capture.scope["query_string"]
    head = read_head(application.scope, HeadRules(settings))
    assert isinstance(head, RequestHead)
    raw = application.body if capture.form else head.query
    params = parse_params(raw, 1000, rejection("body_malformed"))
    assert isinstance(params, tuple)
    identify = authenticator(settings.identity, parts.keys)
    again = identify.caller(head, capture.service, application.body, params, False, clock.now)
    assert isinstance(again, Caller)
    assert again.signature == "valid"


def with_lines(capture: Capture, name: bytes, change: Callable[[bytes], bytes]) -> Capture:
    lines = [(each, change(value) if each == name else value) for each, value in capture.scope["headers"]]
    return capture._replace(scope={**capture.scope, "headers": lines})


def with_params(capture: Capture, raw: bytes) -> Capture:
    if capture.form:
        return capture._replace(body=raw)
    return capture._replace(scope={**capture.scope, "query_string": raw})


def other_letter(value: bytes, at: int) -> bytes:
    """Return a text with one letter or digit changed into another one."""
    other = b"a" if value[at : at + 1] != b"a" else b"b"
    return value[:at] + other + value[at + 1 :]


def altered(capture: Capture) -> Iterator[tuple[str, Capture]]:
    """Yield a capture with one byte of its body, action and signature changed."""
    headers = dict(capture.scope["headers"])
    if b"authorization" in headers:
        body = capture.body
        if body:
            for at in (0, len(body) // 2, len(body) - 1):
                changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
                yield f"byte {at} of the body", capture._replace(body=changed)
        yield "action", with_lines(capture, b"x-tc-action", lambda value: other_letter(value, 3))
        yield (
            "signature",
            with_lines(capture, b"authorization", lambda value: other_letter(value, len(value) - 1)),
        )
        return
    raw = capture.params()
    for name in (b"Action=", b"Signature="):
        yield name.decode(), with_params(capture, other_letter(raw, raw.index(name) + len(name) + 3))


@pytest.mark.parametrize("rows", by_client(each for each in ALL if expected(each) == "signed"))
def test_t74_t135_a_copy_passes_as_often_as_it_comes_and_an_altered_one_never(
    rows: Rows[Capture], parts: Components, settings: Settings, clock: Clock
) -> None:
    """With `bind_signatures`: no official client signs its action with TC3."""
    check_each(rows, lambda capture: a_copy_passes_and_an_altered_one_never(capture, parts, settings, clock))


def a_copy_passes_and_an_altered_one_never(
    capture: Capture, parts: Components, settings: Settings, clock: Clock
) -> None:
    identity = replace(settings.identity, bind_signatures=True)
    guard = Guard(settings, parts.store, authenticator(identity, parts.keys), clock=clock)
    for _ in range(3):
        assert call(capture, parts, clock, guard)[1] == b"ok"
    for what, copy in altered(capture):
        application, answer = call(copy, parts, clock, guard)
        assert application.scope is None, what
        assert json.loads(answer)["Response"]["Error"]["Code"].startswith(("AuthFailure.", "Invalid")), what
    assert call(capture, parts, clock, guard)[1] == b"ok"


CODES = {
    "auth_malformed": "AuthFailure.InvalidAuthorization",
    "host_invalid": "InvalidRequest",
    "path_not_allowed": "UnsupportedProtocol",
    "service_conflict": "InvalidParameter",
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
    assert len(parse_keys(KEYS, "keys.json")) == 4
