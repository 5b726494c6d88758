"""Heads: what is refused, what is dropped, what goes on (THREATS 3.5; rows T24, T35, T46 to T56, T62)."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.request.head import (
    READY_IDS,
    UNPACKER_OF,
    HeadRules,
    RequestHead,
    new_request_id,
    read_head,
    unpacker,
)
from camguard.request.header_rules import DECIDING, SIGNING
from camguard.request.rejection import Rejection, rejection
from camguard.settings import LimitsSettings
from tests.stage import (
    ELSEWHERE,
    FROM_OFFICE,
    HOST,
    QUIET,
    SETTINGS,
    Line,
    Play,
    Request,
    limits,
    reply_to,
    sdk,
)

# further lines, detail
HEADERS = [
    pytest.param(
        [(b"x-tc-action", b"QueryArea")], "header_duplicate", id="T24 the action twice, even if equal"
    ),
    pytest.param(
        [(b"x-tc-action", b"DeleteBudget")], "header_duplicate", id="T24 another action behind the first"
    ),
    pytest.param([(b"host", HOST)], "header_duplicate", id="T42 two hosts"),
    pytest.param([(b"content-type", b"text/plain")], "header_duplicate", id="T37 two content types"),
    pytest.param(
        [(b"content-length", b"7")], "header_duplicate", id="T53 content-length twice, even if equal"
    ),
    pytest.param([(b"x-tc-version", b"2022-09-28")], "header_duplicate", id="T24 the version twice"),
    pytest.param(
        [(b"x-tc-anything", b"1")] * 2, "header_duplicate", id="THREATS 3.5.3 any x-tc- header twice"
    ),
    pytest.param(
        [(b"content-language", b"en")] * 2, "header_duplicate", id="THREATS 3.5.3 any content- header twice"
    ),
    pytest.param([(b"authorization", b"a")] * 2, "header_duplicate", id="T70 two credentials"),
    pytest.param([(b"x-camguard-principal", b"1")] * 2, "header_duplicate", id="T70 two identities"),
    pytest.param(
        [(b"x_tc_action", b"DeleteBudget")], "header_alias", id="T35 an underscore twin of the action"
    ),
    pytest.param([(b"x-tc_action", b"DeleteBudget")], "header_alias", id="T35 half a twin"),
    pytest.param([(b"x.tc.action", b"DeleteBudget")], "header_alias", id="T35 a twin with dots"),
    pytest.param([(b"x_tc_new", b"1")], "header_alias", id="T35 a twin of any x-tc- header"),
    pytest.param([(b"content_length", b"9")], "header_alias", id="T35 a twin of a framing header"),
    pytest.param([(b"x_camguard_principal", b"1")], "header_alias", id="T70 a twin of the identity header"),
    pytest.param(
        [(b"x_forwarded_for", ELSEWHERE.encode())], "header_alias", id="T06 a twin of the forwarding header"
    ),
    pytest.param(
        [(b"X-Camguard-Principal", b"1")], "header_malformed", id="T71 a name not spelled as ASGI has it"
    ),
    pytest.param([(b"x-tc-action ", b"DeleteBudget")], "header_malformed", id="T71 a blank in a name"),
    pytest.param([(b"", b"")], "header_malformed", id="an empty name"),
    pytest.param([(b"a:b", b"")], "header_malformed", id="a colon in a name"),
    pytest.param([(b"x-\xc3\xa4", b"")], "header_malformed", id="a name that is not ASCII"),
    pytest.param([(b"a" * 257, b"")], "header_malformed", id="a name of 257 bytes"),
    pytest.param([(b"x-note", b"a\r\n b")], "header_malformed", id="T54 a folded value"),
    pytest.param(
        [(b"x-note", b"a\nx-tc-action: DeleteBudget")], "header_malformed", id="T55 a line break in a value"
    ),
    *(
        pytest.param([(b"x-note", b"a%cb" % code)], "header_malformed", id=f"T54 control character {code}")
        for code in (*range(9), *range(10, 32), 127)
    ),
    *(
        pytest.param([(b"x-note", b"a%cb" % code)], "allowed", id=f"THREATS 3.5.3 byte {code} in a value")
        for code in (32, 126, 128, 255)
    ),
    pytest.param([(b"x-note", b"a\tb")], "allowed", id="THREATS 3.5.3 a tab in an ordinary value"),
    pytest.param(
        [(b"x-tc-traceid", b"a\tb")], "header_malformed", id="THREATS 3.5.3 a tab in a security header"
    ),
    pytest.param([(b"x-note", b"\xe4\xb8\xad")], "allowed", id="bytes above ASCII in an ordinary value"),
    pytest.param([(b"x-note", b"a")] * 2, "allowed", id="an ordinary header twice"),
    pytest.param([(b"x_note", b"a")], "allowed", id="an underscore in an ordinary name"),
    pytest.param([(b"transfer-encoding", b"chunked")], "framing", id="T52 length and chunks both"),
    pytest.param([(b"upgrade", b"h2c")], "upgrade_refused", id="T56 h2c"),
    pytest.param([(b"upgrade", b"websocket")], "upgrade_refused", id="T56 websocket"),
    pytest.param(
        [(b"expect", b"100-Continue")], "allowed", id="THREATS 3.5.4 the expectation that servers meet"
    ),
    pytest.param([(b"expect", b"200-ok")], "expectation_failed", id="THREATS 3.5.4 another expectation"),
    pytest.param([(b"content-encoding", b"gzip")], "content_encoding", id="T63 a compressed body"),
    pytest.param([(b"content-encoding", b"identity")], "allowed", id="THREATS 3.5.6 identity is no encoding"),
    pytest.param(
        [(b"connection", b"x-note")],
        "allowed",
        id="THREATS 3.5.4 connection may take an ordinary header along",
    ),
    pytest.param(
        [(b"connection", b"close, TE, trailer")], "allowed", id="THREATS 3.5.4 connection's own words"
    ),
    pytest.param(
        [(b"connection", b"X-TC-Action")], "header_hop_by_hop", id="T20 connection names the action"
    ),
    pytest.param([(b"connection", b"x_tc_action")], "header_alias", id="T20 connection names a twin"),
    pytest.param(
        [(b"connection", b"content-length")], "header_hop_by_hop", id="T20 connection names the length"
    ),
    pytest.param([(b"connection", b"a b")], "header_malformed", id="T20 connection with a blank inside"),
    pytest.param([(b"x-pad", b"x" * 16385)], "headers_too_large", id="T62 a value of 16 KiB and one byte"),
    pytest.param([(b"x-pad", b"x" * 16384)], "allowed", id="T62 a value of 16 KiB"),
    pytest.param(
        [(b"x-%d" % n, b"x" * 16000) for n in range(5)], "headers_too_large", id="T62 more than 64 KiB"
    ),
    pytest.param([(b"x-%d" % n, b"") for n in range(128)], "headers_too_large", id="T62 more than 128 lines"),
    pytest.param([(b"x-%d" % n, b"") for n in range(117)], "allowed", id="T62 128 lines"),
]


@pytest.mark.parametrize(("extra", "detail"), HEADERS)
def test_headers(extra: list[Line], detail: str) -> None:
    reply = reply_to(lines=sdk(FROM_OFFICE, *extra))
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


# changes to a request, detail
LINES = [
    pytest.param({"method": "GET", "chunks": (b"",)}, "allowed", id="GET"),
    pytest.param({"method": "get"}, "method_not_allowed", id="T49 a lower-case method"),
    pytest.param({"method": "FOO"}, "method_not_allowed", id="T49 an odd method"),
    pytest.param({"method": "CONNECT"}, "method_not_allowed", id="T49 CONNECT"),
    pytest.param({"method": "HEAD"}, "method_not_allowed", id="T49 HEAD"),
    pytest.param({"method": "OPTIONS"}, "method_not_allowed", id="T49 OPTIONS"),
    *(
        pytest.param({"target": path, "raw_path": raw}, "path_not_allowed", id=f"T47 {raw!r}")
        for path, raw in (
            ("//", b"//"),
            ("/..", b"/.."),
            ("/.", b"/%2e"),
            ("/;", b"/;"),
            ("/\0", b"/%00"),
            ("", b""),
            ("*", b"*"),
            ("@evil", b"@evil"),
            ("/", b"/%2F/.."),
            ("/", b"http://partners.tencentcloudapi.com/"),
            ("/#?Action=DeleteBudget", b"/#?Action=DeleteBudget"),
            ("/healthz", b"/healthz"),
            ("/metrics", b"/metrics"),
            ("/docs", b"/docs"),
        )
    ),
    pytest.param(
        {"target": "http://aiart.gw.example/", "raw_path": b"http://aiart.gw.example/"},
        "path_not_allowed",
        id="T41 an absolute target that names another product than the host",
    ),
    pytest.param({"raw_path": None}, "allowed", id="a server without raw_path"),
    pytest.param({"raw_path": None, "target": "/x"}, "path_not_allowed", id="T47 a server without raw_path"),
    pytest.param({"query": b"a=" + b"x" * 32767}, "query_too_large", id="T38 a query above 32 KiB"),
    pytest.param({"lines": ()}, "host_missing", id="T42 no headers at all"),
    pytest.param({"lines": sdk(FROM_OFFICE, without=[b"host"])}, "host_missing", id="T42 no host"),
]


@pytest.mark.parametrize(("request_", "detail"), LINES)
def test_request_lines(request_: dict[str, Any], detail: str) -> None:
    reply = reply_to(**{"length": bool(request_.get("lines", True)), **request_})
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


@pytest.mark.parametrize("agent", [b"kube-probe/1.30", b"GoogleHC/1.0", b"ELB-HealthChecker/2.0"])
def test_t51_no_user_agent_skips_the_guard(agent: bytes) -> None:
    lines = sdk((b"x-forwarded-for", ELSEWHERE.encode()), user_agent=agent)
    assert not reply_to(lines=lines).passed


@pytest.mark.parametrize("name", [b"x-camguard-mode", b"x-camguard-debug", b"x-middleware-subrequest"])
@pytest.mark.parametrize("value", [b"shadow", b"off", b"allow"])
def test_t84_t120_nothing_in_a_request_turns_the_guard_off(name: bytes, value: bytes) -> None:
    lines = sdk((b"x-forwarded-for", ELSEWHERE.encode()), (name, value))
    query = name + b"=" + value
    assert reply_to(lines=lines, query=query).detail == "no_allow"


DROPPED = (
    *(b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-user", b"x-forwarded-anything", b"forwarded"),
    *(b"x-original-url", b"x-original-uri", b"x-rewrite-url", b"x-original-host", b"x-tc-service", b"x-host"),
    *(b"x-http-method-override", b"x-method-override", b"x-http-method", b"x-real-ip", b"cf-connecting-ip"),
    *(
        b"proxy-client-ip",
        b"wl-proxy-client-ip",
        b"http_client_ip",
        b"http_x_forwarded_for",
        b"x-originating-ip",
    ),
    *(b"x-forwarded", b"forwarded-for", b"x-override-url"),
    *(b"remote-user", b"x-remote-user", b"x-auth-request-email", b"x-webauth-user", b"x-camguard-request-id"),
    *(b"te", b"trailer", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"http2-settings"),
    *(b"remote_user", b"x_real_ip", b"x_original_url", b"x_auth_request_user", b"x_forwarded_host"),
    *(b"x-camguard-decision", b"x_camguard_request_id", b"x_camguard_anything", b"x-camguard_code"),
    *(b"connection", b"x-camguard-principal"),
)


@pytest.mark.parametrize("name", DROPPED)
def test_t46_t50_t70_t138_a_header_that_only_a_proxy_may_set_ends_here(name: bytes) -> None:
    value = b"/other" if b"ur" in name else b"close" if name == b"connection" else b"DELETE"
    lines = sdk(FROM_OFFICE, (name, value), without=[b"connection"])
    reply = reply_to(lines=lines)
    if name == b"x-forwarded-for":
        assert reply.detail == "client_ip_invalid"
        return
    assert reply.detail == "allowed"
    assert name not in dict(reply.carried)
    assert (name, value) not in reply.reached[0][0]["headers"]


def test_what_connection_names_is_dropped_too() -> None:
    reply = reply_to(
        lines=sdk(FROM_OFFICE, (b"x-note", b"1"), (b"x-other", b"2"), connection=b"close, X-Note")
    )
    names = [name for name, _ in reply.reached[0][0]["headers"]]
    assert b"x-other" in names
    assert b"x-note" not in names


def test_what_goes_on_is_what_came_but_for_what_was_dropped() -> None:
    request = sdk(FROM_OFFICE, (b"x-note", b"  kept as it is \t"), (b"x-note", b"again"))
    reply = reply_to(lines=request)
    gone = {b"connection", b"x-forwarded-for"}
    assert reply.carried == [
        *(line for line in request if line[0] not in gone),
        (b"content-length", b"7"),
    ]


TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00f067aa0ba902b7"
SIGNS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._:/+=@-"
# the lines by which a caller names a request, then trace id and request id of its record
CORRELATIONS = [
    pytest.param([(b"traceparent", b"00-%s-%s-01" % (TRACE, PARENT))], TRACE, None, id="a trace"),
    pytest.param([(b"traceparent", b"cc-%s-%s-01" % (TRACE, PARENT))], TRACE, None, id="a later version"),
    pytest.param([(b"traceparent", b"cc-%s-%s-01-x" % (TRACE, PARENT))], TRACE, None, id="a later one"),
    pytest.param([(b"traceparent", b"00-%s-%s-01-x" % (TRACE, PARENT))], None, None, id="more of version 00"),
    pytest.param([(b"traceparent", b"ff-%s-%s-01" % (TRACE, PARENT))], None, None, id="version ff"),
    pytest.param([(b"traceparent", b"00-%s-%s-01" % (b"0" * 32, PARENT))], None, None, id="a trace of zeros"),
    pytest.param([(b"traceparent", b"00-%s-%s-01" % (TRACE, b"0" * 16))], None, None, id="a parent of zeros"),
    pytest.param([(b"traceparent", b"00-%s-%s-01" % (TRACE.upper(), PARENT))], None, None, id="capitals"),
    *(
        pytest.param([(b"traceparent", b"%s-%s-%s-%s" % parts)], parts[1], None, id=f"well formed, {at}")
        for at, parts in enumerate((
            *((version, TRACE, PARENT, b"01") for version in (b"12", b"f0", b"0f")),
            *((b"00", b"0" * zeros + TRACE[zeros:], PARENT, b"01") for zeros in (2, 3, 31)),
            *((b"00", TRACE, b"0" * zeros + PARENT[zeros:], b"00") for zeros in (6, 15)),
            *((b"00", TRACE, PARENT, flags) for flags in (b"ab", b"bc", b"de", b"ff", b"99")),
            (b"cc", TRACE, PARENT, b"01-" + b"x" * 200),
        ))
    ),
    pytest.param([(b"traceparent", b" 00-%s-%s-01" % (TRACE, PARENT))], None, None, id="a blank"),
    pytest.param([(b"traceparent", b"cc-%s-%s-01-%s" % (TRACE, PARENT, b"x" * 201))], None, None, id="long"),
    *(
        pytest.param([(b"traceparent", text)], None, None, id=f"not well formed, {text.decode()[:60]}")
        for text in (
            b"0-%s-%s-01" % (TRACE, PARENT),
            b"000-%s-%s-01" % (TRACE, PARENT),
            b"00-%s-%s-01" % (TRACE[:-1], PARENT),
            b"00-%s0-%s-01" % (TRACE, PARENT),
            b"00-%s-%s-01" % (TRACE, PARENT[:-1]),
            b"00-%s-%s0-01" % (TRACE, PARENT),
            b"00-%s-%s-1" % (TRACE, PARENT),
            b"00-%s-%s-011" % (TRACE, PARENT),
            b"00%s-%s-01" % (TRACE, PARENT),
            b"00-%s%s-01" % (TRACE, PARENT),
            b"00-%s-%s01" % (TRACE, PARENT),
            b"cc-%s-%s-01x" % (TRACE, PARENT),
            b"cc-%s-%s-01-a b" % (TRACE, PARENT),
        )
    ),
    pytest.param([(b"traceparent", b"00-%s-%s-01" % (TRACE, PARENT))] * 2, None, None, id="two traces"),
    pytest.param([(b"traceparent", b"")], None, None, id="an empty trace"),
    pytest.param([(b"x-request-id", b"job-17/2")], None, b"job-17/2", id="a request id"),
    pytest.param([(b"x-request-id", b"x" * 128)], None, b"x" * 128, id="as long as may be"),
    pytest.param([(b"x-request-id", b"x" * 129)], None, None, id="one letter longer"),
    *(
        pytest.param([(b"x-request-id", b"%c" % sign)], None, b"%c" % sign if sign in SIGNS else None,
                     id=f"the sign {sign:#x}")
        for sign in range(0x21, 0x7F)
    ),
    pytest.param([(b"x-request-id", b"a b")], None, None, id="a blank within"),
    pytest.param([(b"x-request-id", b'a","decision":"allow')], None, None, id="quotes"),
    pytest.param([(b"x-request-id", b"\xe9")], None, None, id="a letter outside of ASCII"),
    pytest.param([(b"x-request-id", b"")], None, None, id="an empty id"),
    pytest.param([(b"x-request-id", b"1"), (b"x-request-id", b"2")], None, None, id="two ids"),
    pytest.param(
        [(b"x-request-id", b"1"), (b"traceparent", b"00-%s-%s-00" % (TRACE, PARENT))], TRACE, b"1", id="both"
    ),
    pytest.param([], None, None, id="neither"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "trace", "named"), CORRELATIONS)
def test_t112_how_a_caller_names_its_request_is_read_strictly(
    lines: list[Line], trace: bytes | None, named: bytes | None
) -> None:
    reply = reply_to(lines=sdk(FROM_OFFICE, *lines))
    record = reply.records[0]
    assert (record.trace_id, record.client_request_id) == (trace and trace.decode(), named and named.decode())
    assert [line for line in reply.carried if line[0] in {b"traceparent", b"x-request-id"}] == lines


# the value of Host, then what the record has of it
HOSTS = [
    pytest.param(b"partners.tencentcloudapi.com:443", "partners.tencentcloudapi.com:443", id="as it came"),
    pytest.param(b"nothing.example", "nothing.example", id="a host that names no service"),
    pytest.param(b"x" * 300, "x" * 253, id="cut"),
    pytest.param(b"\xe9", "\xe9", id="a letter outside of ASCII"),
]


@pytest.mark.parametrize(("host", "text"), HOSTS)
def test_the_record_has_the_host(host: bytes, text: str) -> None:
    assert reply_to(lines=sdk(FROM_OFFICE, host=host)).records[0].host == text


def test_t26_trailers_that_a_server_appends_later_are_not_received() -> None:
    play = Play()
    scope = Request(lines=sdk(FROM_OFFICE)).scope()
    received: list[list[Line]] = []

    async def app(inner: Any, receive: Any, send: Any) -> None:
        scope["headers"].append((b"x-tc-action", b"DeleteBudget"))
        await receive()
        received.append(inner["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    play.middleware.app = app
    asyncio.run(play.serve(Request(), scope))
    assert [value for name, value in received[0] if name == b"x-tc-action"] == [b"QueryArea"]


def test_t26_trailers_in_the_first_packet_are_duplicates() -> None:
    assert reply_to(lines=sdk(FROM_OFFICE, (b"x-tc-action", b"DeleteBudget"))).detail == "header_duplicate"


def test_a_list_in_the_scope_of_the_application_is_its_own() -> None:
    play = Play()
    first = play.reply_to(lines=sdk(FROM_OFFICE)).reached[0][0]["headers"]
    first.clear()
    assert play.reply_to(lines=sdk(FROM_OFFICE)).reached[0][0]["headers"]


RULES = HeadRules(SETTINGS)
NAMES = st.one_of(
    st.sampled_from(
        [
            *DECIDING,
            *SIGNING,
            b"content-length",
            b"x-camguard-principal",
            b"connection",
            b"x-forwarded-for",
            b"te",
            b"cookie",
            b"x_tc_action",
        ]
    ),
    st.binary(max_size=12),
)
VALUES = st.one_of(st.sampled_from([b"close", b"x-note", HOST, b"chunked", b""]), st.binary(max_size=40))


@QUIET
@given(st.lists(st.tuples(NAMES, VALUES), max_size=12), st.binary(max_size=30))
def test_any_head_is_read_or_refused_and_never_raises(lines: list[Line], query: bytes) -> None:
    scope = {
        "http_version": "1.1",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": query,
        "headers": lines,
    }
    once, again = read_head(scope, RULES), read_head(scope, RULES)
    assert isinstance(once, RequestHead) == isinstance(again, RequestHead)
    assert not isinstance(once, RequestHead) or not isinstance(again, RequestHead) or once[1:] == again[1:]
    if not isinstance(once, RequestHead):
        return
    assert set(once.onward()) <= set(lines)
    given_names = [name for name, _ in lines]
    for name, value in zip((*DECIDING, *SIGNING), (*once[8:13], *once[14:-1]), strict=True):
        assert value == dict(lines).get(name)
        assert given_names.count(name) <= 1
    # Reading once more what goes on changes nothing.
    normal = read_head({**scope, "headers": once.onward()}, RULES)
    assert isinstance(normal, RequestHead)
    assert normal.onward() == once.onward()
    assert normal[8:] == once[8:]


def test_shapes_and_what_they_hold_are_bounded() -> None:
    rules = HeadRules(SETTINGS)
    for n in range(3000):
        lines = [(b"host", HOST), (b"x-%d" % n, b"v"), (b"connection", b"x-%d" % n)]
        read_head({"method": "GET", "path": "/", "query_string": b"", "headers": lines}, rules)
    assert len(rules.layouts) <= 1024
    assert len(rules.hops) <= 4096


def test_limits_are_settings() -> None:
    lines = sdk(FROM_OFFICE, (b"x-pad", b"x" * 300))
    assert reply_to(limits(header_value_bytes=256), lines=lines).detail == "headers_too_large"
    assert reply_to(limits(header_lines=8), lines=lines).detail == "headers_too_large"
    assert reply_to(limits(query_bytes=3), query=b"a=bc").detail == "query_too_large"
    assert reply_to(limits(query_bytes=4), query=b"a=bc").detail == "allowed"
    assert LimitsSettings().header_bytes == 65536


# the version of HTTP; whether a POST without a declared length may have trailers among its headers
VERSIONS = [
    pytest.param("1.0", True, id="T139 HTTP/1.0, where it has no body"),
    pytest.param("1.1", True, id="T139 HTTP/1.1, where it has no body"),
    pytest.param("2", False, id="T139 HTTP/2, where a body may follow"),
    pytest.param("3", False, id="T139 HTTP/3, where a body may follow"),
]


@pytest.mark.parametrize(("version", "passes"), VERSIONS)
def test_t139_a_post_without_a_length(version: str, *, passes: bool) -> None:
    lines = sdk(FROM_OFFICE, without=[b"connection"])
    apart: dict[str, Any] = {"camguard.trailers_apart": {}}
    tried: list[tuple[dict[str, Any] | None, bool]] = [({}, passes), (None, passes), (apart, True)]
    for extensions, expected in tried:
        reply = reply_to(lines=lines, version=version, length=False, chunks=(b"",), extensions=extensions)
        assert reply.passed is expected
        assert reply.guard.faults == 0


@pytest.mark.parametrize(("zeros", "detail"), [(17, "allowed"), (18, "framing")])
def test_a_length_has_18_digits_at_most(zeros: int, detail: str) -> None:
    lines = sdk(FROM_OFFICE, (b"content-length", b"0" * zeros + b"7"))
    assert reply_to(lines=lines, length=False).detail == detail


def test_the_lines_of_a_head_are_bounded_together() -> None:
    """T62: a line costs its name, its value, and four bytes for `: ` and the line's end."""

    def read(lines: list[Line], limit: int) -> RequestHead | Rejection:
        scope = {"method": "GET", "path": "/", "query_string": b"", "headers": lines}
        return read_head(scope, HeadRules(limits(header_bytes=limit)))

    host = (b"host", HOST)
    cost = len(b"host") + len(HOST) + 4
    assert isinstance(read([host], cost), RequestHead)
    assert read([host], cost - 1) is rejection("headers_too_large")
    empty = [(b"x", b"")] * 40
    assert isinstance(read([host, *empty], cost + 300), RequestHead)
    assert read([host, *empty], cost + 199) is rejection("headers_too_large")


@pytest.mark.parametrize("count", [1, 2, 13, 128, 129, 300])
def test_lines_are_taken_apart_whatever_their_number(count: int) -> None:
    lines = tuple((b"n%d" % place, b"v%d" % place) for place in range(count))
    names, values = UNPACKER_OF[count](lines)
    assert tuple(zip(names, values, strict=True)) == lines


@pytest.mark.parametrize("line", [(b"x-note",), (b"x-note", b"1", b"2"), ()], ids=["one", "three", "none"])
@pytest.mark.parametrize("count", [13, 200])
def test_what_is_no_pair_of_name_and_value_is_never_taken_for_one(line: Any, count: int) -> None:
    lines = (*[(b"n", b"v")] * (count - 1), line)
    with pytest.raises(ValueError, match=r"values to unpack|is (shorter|longer) than"):
        UNPACKER_OF[count](lines)


def test_lines_are_taken_apart_by_groups_of_places() -> None:
    lines = ((b"a", b"0"), (b"b", b"1"), (b"c", b"2"))
    found = unpacker(3, (2, 0), (1,), (), (None, 1, None))(lines)
    assert found == ((b"a", b"b", b"c"), (b"2", b"0"), (b"1",), (), (None, b"1", None))


def test_a_batch_of_ids_has_256_uuids_of_version_4() -> None:
    READY_IDS.clear()
    names = [new_request_id() for _ in range(256)]
    assert READY_IDS == []
    assert len(set(names)) == 256
    assert all(str(uuid.UUID(name)) == name and uuid.UUID(name).version == 4 for name in names)
    assert len({name[:-2] for name in names}) == 1
    assert new_request_id()[:-2] != names[0][:-2]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_and_its_child_use_other_ids() -> None:
    new_request_id()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, new_request_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    found = os.read(reader, 36).decode()
    os.close(reader)
    os.close(writer)
    assert found[:-2] != new_request_id()[:-2]
