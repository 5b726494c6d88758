"""The authorizer as an application: who is believed, what is answered, and bodies that nobody showed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camguard.authorizer.application import Authorizer
from camguard.request.rejection import BODY_NOT_SHOWN
from camguard.settings import Settings
from camguard.wiring import SHOWN_BODY_SECONDS
from tests.asgi import body_of, exchange
from tests.authn.signing import FORM, JSON, SECRET_ID, authorization, tc3
from tests.authorizer.asking import IDENTITY, PATHS, Stage, asked, asked_by, subrequest
from tests.stage import ELSEWHERE, NOW, POLICIES, FixedPolicies, Line, bundle, enforcement, sdk

INSTANCE = "qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-1"
AIART = b"aiart.tencentcloudapi.com"
CVM = b"cvm.tencentcloudapi.com"
DAY = time.strftime("%Y-%m-%d", time.gmtime(NOW))


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("peer", [("10.9.9.9", 4000), ("10.0.0.1", 0), None, ("", 1)], ids=str)
def test_a_peer_that_is_no_trusted_proxy_is_not_believed(dialect: str, peer: Any) -> None:
    """T140, whatever it asks about."""
    stage = Stage()
    answer = stage.ask({**subrequest(dialect), "client": peer}, body_of(b""))
    assert (answer.status, answer.word) == (403, "front_untrusted")
    assert answer.record.peer == (peer[0] if peer and peer[1] and peer[0] else answer.record.peer)
    assert stage.concluded == [(answer.record, None, None, 403)]


def test_an_answer_to_an_allowed_request() -> None:
    stage = Stage()
    answer = asked(stage, "nginx")
    assert answer.headers == {
        b"x-camguard-decision": b"allow",
        b"x-camguard-reason": b"allowed",
        b"x-camguard-revision": b"r" * 12,
        b"x-camguard-request-id": answer.record.request_id.encode(),
        b"cache-control": b"no-store",
        b"content-length": b"0",
    }
    assert (answer.status, answer.body) == (200, b"")
    assert stage.concluded == [(answer.record, None, None, 200)]
    assert stage.guard.in_flight == 0


@pytest.mark.parametrize("dialect", PATHS)
def test_an_answer_to_a_denied_request(dialect: str) -> None:
    stage = Stage()
    answer = asked(stage, dialect, address=ELSEWHERE)
    assert answer.headers[b"x-camguard-decision"] == b"deny"
    assert answer.headers[b"x-camguard-reason"] == b"no_allow"
    assert answer.headers[b"cache-control"] == b"no-store"
    assert answer.headers[b"content-type"] == b"application/json"
    assert answer.headers[b"content-length"] == b"%d" % len(answer.body)
    assert answer.error["Code"] == "UnauthorizedOperation"
    assert answer.headers.get(b"x-camguard-error") == (answer.body if dialect == "nginx" else None)
    assert stage.concluded == [(answer.record, None, None, 403)]


@pytest.mark.parametrize("dialect", PATHS)
def test_an_answer_is_one_response(dialect: str) -> None:
    """Its messages are those of ASGI, and the record is concluded once."""
    stage = Stage()
    sent = asyncio.run(exchange(stage.app, subrequest(dialect, address=ELSEWHERE), body_of(b"")))
    headers, body = sent[0]["headers"], sent[1]["body"]
    assert sent == [
        {"type": "http.response.start", "status": 403, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]
    assert (b"content-length", b"%d" % len(body)) in headers
    assert len(stage.concluded) == 1


def test_a_refusal_of_a_path_without_a_dialect_repeats_no_body_in_a_header() -> None:
    answer = Stage().ask({**subrequest("nginx"), "raw_path": b"/"}, body_of(b""))
    assert answer.error["Code"] == "UnsupportedProtocol"
    assert b"x-camguard-error" not in answer.headers


def test_a_proxy_that_leaves_before_the_body_is_whole_gets_no_answer() -> None:
    """T141: nothing of the request is judged, counted as being served, or concluded."""
    stage = Stage(asked_by(bodies=["haproxy"], mode="signature"), signs=True)
    scope = subrequest("haproxy", signed(), host=AIART, body=b"{}")
    assert asyncio.run(exchange(stage.app, scope, [])) == []
    assert (stage.records, stage.concluded, stage.guard.in_flight) == ([], [], 0)


@pytest.mark.parametrize("dialect", PATHS)
def test_when_nothing_can_be_decided_the_answer_is_503_in_every_dialect(dialect: str) -> None:
    """T140."""
    for policies in (FixedPolicies(None), FixedPolicies(stale=True)):
        answer = asked(Stage(policies=policies), dialect)
        assert (answer.status, answer.word) == (503, "policy_unavailable")
        assert answer.headers[b"x-camguard-decision"] == b"deny"


def test_shadow_mode_lets_a_denied_request_pass_and_tells_so() -> None:
    settings = enforcement(mode="shadow")
    stage = Stage(replace(asked_by(), enforcement=settings.enforcement))
    answer = asked(stage, "envoy", address=ELSEWHERE)
    assert (answer.status, answer.word) == (200, "allow")
    assert answer.headers[b"x-camguard-shadow"] == b"deny"
    assert answer.headers[b"x-camguard-reason"] == b"no_allow"


class Failing:
    """Policies that cannot be read."""

    fresh_until = float("inf")

    @property
    def bundle(self) -> Any:
        raise LookupError


def test_a_failure_inside_is_503_and_no_allow() -> None:
    answer = Stage(policies=Failing()).ask(subrequest("nginx"), body_of(b""))
    assert (answer.status, answer.word) == (503, "internal_error")


def test_another_scope_is_refused() -> None:
    app: Authorizer = Stage().app
    with pytest.raises(NotImplementedError):
        asyncio.run(exchange(app, {"type": "websocket"}, []))


def cvm(method: str = "POST", content_type: bytes = JSON.encode(), *more: Line) -> tuple[Line, ...]:
    """Return the lines of a call whose resources its parameters name."""
    lines = sdk(x_tc_action=b"StopInstances", x_tc_version=b"2017-03-12", content_type=content_type)
    assert method
    return (*lines, (b"x-tc-region", b"ap-guangzhou"), *more)


def signed(body: bytes = b"{}", *, method: str = "POST", query: str = "") -> tuple[Line, ...]:
    """Return the lines of a call that alice signed."""
    kind = JSON if method == "POST" else FORM
    names = (("content-type", kind), ("host", AIART.decode()))
    signature = tc3(
        method=method,
        query=query,
        payload=body if method == "POST" else b"",
        timestamp=int(NOW),
        signed=names,
    )
    header = authorization(signature, date=DAY, secret_id=SECRET_ID)
    lines = sdk(x_tc_action=b"TextToImage", x_tc_version=b"2022-12-29", content_type=kind.encode())
    return (*lines, (b"authorization", header.encode()))


# dialect, whether it shows bodies, further lines of the subrequest, its body, the answer
SHOWN = [
    pytest.param("nginx", False, (), b"", "signature", id="T141 a POST without its body"),
    pytest.param("nginx", True, (), b"{}", None, id="T141 a POST of nginx with the body"),
    pytest.param("nginx", True, (), b"", "signature", id="T141 a GET of nginx, which shows no body"),
    pytest.param("haproxy", True, (), b"{}", None, id="T141 a body that is shown"),
    pytest.param("haproxy", False, (), b"{}", "signature", id="T141 a body that the settings do not list"),
    pytest.param("haproxy", True, (), b"", "invalid", id="T141 no bytes under a signature over some"),
    pytest.param("envoy", True, (b"false",), b"{}", None, id="T141 Envoy says that the body is whole"),
    pytest.param("envoy", True, (b"true",), b"{}", "signature", id="T141 Envoy says that the body is cut"),
    pytest.param("envoy", True, (), b"{}", "signature", id="T141 Envoy says nothing of the body"),
    pytest.param("envoy", True, (b"false", b"false"), b"{}", "signature", id="T141 Envoy says it twice"),
    pytest.param("envoy", True, (b"False",), b"{}", "signature", id="T141 Envoy spells it otherwise"),
]


@pytest.mark.parametrize(("dialect", "shows", "marks", "body", "part"), SHOWN)
def test_a_signature_over_a_body(
    dialect: str, shows: bool, marks: tuple[bytes, ...], body: bytes, part: str | None
) -> None:
    stage = Stage(asked_by(bodies=[dialect] if shows else [], mode="signature"), signs=True)
    lines = (*signed(), *((b"x-envoy-auth-partial-body", mark) for mark in marks))
    answer = asked(stage, dialect, body, lines=lines, host=AIART)
    if part == "invalid":
        assert answer.word == "signature_invalid"
    elif part is None:
        assert answer.word == "allow"
    else:
        assert (answer.status, answer.word) == (403, "body_not_shown")
        assert answer.headers[b"x-camguard-missing"] == part.encode()
        assert answer.error["Message"] == BODY_NOT_SHOWN["signature"].message
        assert answer.headers[b"x-camguard-reason"] == b"unsupported"


def test_an_empty_body_that_its_signature_proves_is_judged() -> None:
    """T141."""
    stage = Stage(asked_by(bodies=["haproxy"], mode="signature"), signs=True)
    assert asked(stage, "haproxy", b"", lines=signed(b""), host=AIART).word == "allow"


@pytest.mark.parametrize("dialect", PATHS)
def test_a_signed_get_needs_no_body(dialect: str) -> None:
    stage = Stage(asked_by(mode="signature"), signs=True)
    lines = signed(method="GET", query="Prompt=a")
    answer = asked(stage, dialect, method="GET", uri=b"/?Prompt=a", lines=lines, host=AIART)
    assert answer.word == "allow"
    assert answer.record.signature == "valid"


HIDDEN = [
    pytest.param("POST", cvm(), "resources", id="T141 resources in JSON"),
    pytest.param("POST", cvm(content_type=FORM.encode()), "signature", id="T141 a form, which may be signed"),
    pytest.param(
        "POST",
        tuple(line for line in cvm(content_type=FORM.encode()) if line[0] != b"x-tc-action"),
        "action",
        id="T141 an action in a form",
    ),
]


@pytest.mark.parametrize("body", [b"", b'{"InstanceIds":["ins-1"]}'], ids=["no bytes", "bytes"])
@pytest.mark.parametrize(("method", "lines", "part"), HIDDEN)
def test_an_answer_that_depends_on_the_body_names_the_part(
    method: str, lines: tuple[Line, ...], part: str, body: bytes
) -> None:
    caller = (IDENTITY[0], b"uin/100000000103")
    answer = asked(Stage(), "nginx", body, method=method, lines=(*lines, caller), host=CVM)
    assert (answer.word, answer.headers[b"x-camguard-missing"]) == ("body_not_shown", part.encode())


@pytest.mark.parametrize("dialect", sorted(set(PATHS) - {"envoy"}))
def test_zero_bytes_are_no_empty_body_where_nothing_proves_it(dialect: str) -> None:
    """T141, in mode `header`, and where the proxy shows bodies."""
    caller = (IDENTITY[0], b"uin/100000000103")
    stage = Stage(asked_by(bodies=[dialect]))
    answer = asked(stage, dialect, b"", lines=(*cvm(), caller), host=CVM)
    assert answer.headers[b"x-camguard-missing"] == b"resources"
    shown = asked(stage, dialect, b'{"InstanceIds":["ins-1"]}', lines=(*cvm(), caller), host=CVM)
    assert shown.word == "allow"


def test_a_body_that_was_promised_and_does_not_come_is_answered_within_a_second() -> None:
    """T141."""
    stage = Stage(asked_by(bodies=["haproxy"], mode="signature"), signs=True)
    scope = subrequest("haproxy", signed(), host=AIART, body=b"{}")

    async def ask() -> tuple[float, int]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            await asyncio.sleep(30)

        began = time.monotonic()
        await stage.app(scope, receive, send)
        return time.monotonic() - began, sent[0]["status"]

    seconds, status = asyncio.run(ask())
    assert (status, stage.records[-1].decision.detail) == (403, "request_timeout")
    assert SHOWN_BODY_SECONDS < 1
    assert seconds < Settings().limits.body_seconds / 2, "it has waited for the other limit"


# Policies of the operator, and whether an answer needs the resources that the body names.
OPERATORS = [
    pytest.param([{"resource": "*"}], "allow", id="T141 every instance"),
    pytest.param([{"resource": INSTANCE}], "body_not_shown", id="T141 one instance"),
    pytest.param([{"resource": "*"}, {"effect": "deny", "resource": INSTANCE}], "body_not_shown",
                 id="T141 all but one instance"),
    pytest.param([{"resource": INSTANCE}, {"effect": "deny", "resource": "*"}], "explicit_deny",
                 id="T141 denied whatever the body names"),
    pytest.param([{"action": "cvm:Run*", "resource": "*"}], "no_allow", id="T141 another action"),
]  # fmt: skip
BODIES = (
    *(b"{}", b'{"InstanceIds":["ins-1"]}', b'{"InstanceIds":["ins-2"]}', b'{"InstanceId":"ins-1"}'),
    *(b'{"InstanceIds":["ins-1","ins-2"]}', b'{"InstanceIds":[]}', b'{"InstanceIds":7}', b'{"Other":[1]}'),
)


@pytest.mark.parametrize(("statements", "word"), OPERATORS)
def test_without_the_body_the_answer_is_that_under_every_body(
    statements: list[dict[str, Any]], word: str
) -> None:
    """T141: or there is no answer, and some bodies have another one than others."""
    policy = {
        "version": "2.0",
        "statement": [{"effect": "allow", "action": "cvm:*", **s} for s in statements],
    }
    policies = FixedPolicies(bundle({**POLICIES, "instances": policy}))
    caller = (IDENTITY[0], b"uin/100000000103")
    hidden = asked(Stage(policies=policies), "nginx", lines=(*cvm(), caller), host=CVM)
    assert hidden.word == word
    showing = Stage(asked_by(bodies=["haproxy"]), policies)
    shown = {
        asked(showing, "haproxy", body, lines=(*cvm(), caller), host=CVM).record.decision.reason
        for body in BODIES
    }
    if word == "body_not_shown":
        assert len(shown) > 1
    else:
        assert shown == {hidden.record.decision.reason}


EVERY_INSTANCE = "qcs::cvm:ap-guangzhou:uin/100000000001:instance/*"
STATEMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "effect": st.sampled_from(("allow", "deny")),
            "action": st.sampled_from(("cvm:*", "cvm:StopInstances", "cvm:Run*")),
            "resource": st.sampled_from(("*", INSTANCE, INSTANCE.replace("ins-1", "ins-2"), EVERY_INSTANCE)),
        },
        optional={
            "condition": st.sampled_from(
                (
                    {"ip_equal": {"qcs:ip": ["10.1.0.0/16"]}},
                    {"ip_not_equal": {"qcs:ip": ["10.1.0.0/16"]}},
                )
            )
        },
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(STATEMENTS)
def test_a_decision_without_the_body_is_that_under_every_body(statements: list[dict[str, Any]]) -> None:
    """T141: under any policy, or the answer names the missing part."""
    policies = FixedPolicies(bundle({**POLICIES, "instances": {"version": "2.0", "statement": statements}}))
    caller = (IDENTITY[0], b"uin/100000000103")
    hidden = asked(Stage(policies=policies), "nginx", lines=(*cvm(), caller), host=CVM)
    if hidden.word == "body_not_shown":
        assert hidden.headers[b"x-camguard-missing"] == b"resources"
        return
    showing = Stage(asked_by(bodies=["haproxy"]), policies)
    for body in BODIES:
        shown = asked(showing, "haproxy", body, lines=(*cvm(), caller), host=CVM)
        assert shown.record.decision.reason is hidden.record.decision.reason, body
