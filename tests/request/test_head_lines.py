"""What becomes of each header name (THREATS 3.4.6, THREATS 3.5.3, THREATS 3.5.4)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from camguard.request.head import TRAILERS_APART, HeadRules, RequestHead, read_head
from camguard.request.rejection import Rejection, rejection
from tests.stage import HOST, SETTINGS, Line

RULES = HeadRules(SETTINGS)

# Client addresses, targets, methods and users as proxies write them: never believed, never passed on.
SPOOFED = (
    *(b"forwarded", b"x-forwarded-for", b"x-forwarded", b"forwarded-for", b"x-real-ip", b"x-client-ip"),
    *(b"client-ip", b"x-cluster-client-ip", b"true-client-ip", b"cf-connecting-ip", b"cf-connecting-ipv6"),
    *(b"cf-pseudo-ipv4", b"fastly-client-ip", b"fly-client-ip", b"do-connecting-ip", b"x-appengine-user-ip"),
    *(b"x-azure-clientip", b"x-azure-socketip", b"x-proxyuser-ip", b"proxy-client-ip", b"wl-proxy-client-ip"),
    *(b"http-client-ip", b"http-x-forwarded-for", b"x-originating-ip", b"x-remote-ip", b"x-remote-addr"),
    *(b"remote-addr", b"x-host", b"x-rewrite-url", b"x-override-url", b"x-tc-service", b"x-http-method"),
    *(b"x-http-method-override", b"x-method-override", b"remote-user", b"remote-name", b"remote-email"),
    *(b"remote-groups", b"x-user", b"x-userinfo", b"x-authenticated-user", b"x-authenticated-userid"),
    *(b"x-credential-username", b"ssl-client-s-dn", b"ssl-client-verify"),
    *(b"x-forwarded-x", b"x-original-x", b"x-remote-x", b"x-auth-request-x", b"x-webauth-x", b"x-envoy-x"),
    b"x-camguard-x",
)
# Of this connection alone.
HOP = (
    *(b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer"),
    *(b"trailers", b"http2-settings"),
)
# They decide or frame: each stands once and is spelled one way.
SINGLE = (
    *(b"authorization", b"x-tc-action", b"x-tc-version", b"x-tc-region", b"x-tc-timestamp", b"x-tc-token"),
    *(b"x-tc-content-sha256", b"x-tc-anything", b"content-type", b"content-length", b"content-anything"),
)
ORDINARY = (
    *(b"accept", b"user-agent", b"x-note", b"x-tc", b"content", b"x-forwarde", b"x-forwardedfor", b"x-usera"),
    *(b"x-camguard", b"x-original", b"hosts", b"!#$%&'*+-.^_`|~09az"),
)
TWICE = rejection("header_duplicate")
TWIN = rejection("header_alias")
HOP_BY_HOP = rejection("header_hop_by_hop")


def read(*lines: Line) -> RequestHead | Rejection:
    scope = {
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", HOST), *lines],
        "extensions": {TRAILERS_APART: {}},
    }
    return read_head(scope, RULES)


def passed_on(*lines: Line) -> Sequence[Line]:
    """Return which of the lines go on, the host aside."""
    head = read(*lines)
    assert isinstance(head, RequestHead), head
    assert head.onward()[0] == (b"host", HOST)
    return tuple(head.onward()[1:])


def named(name: bytes) -> str:
    return name.decode()


@pytest.mark.parametrize("name", SPOOFED, ids=named)
def test_what_a_proxy_writes_ends_here_however_it_is_spelled(name: bytes) -> None:
    note = (b"x-note", b"1")
    assert passed_on((name, b"1"), note, (name, b"2")) == (note,)
    assert read((b"connection", name)) is HOP_BY_HOP
    if name != b"x-forwarded-for" and b"-" in name:
        assert passed_on((name.replace(b"-", b"_"), b"1"), note) == (note,)
        assert passed_on((name.replace(b"-", b"."), b"1"), note) == (note,)


@pytest.mark.parametrize("name", HOP, ids=named)
def test_what_belongs_to_the_connection_ends_here(name: bytes) -> None:
    note = (b"x-note", b"1")
    assert passed_on((name, b"1"), note, (name, b"2")) == (note,)
    assert passed_on((b"connection", name), note) == (note,)
    if b"-" in name:
        assert read((name.replace(b"-", b"_"), b"1")) is TWIN


@pytest.mark.parametrize("name", SINGLE, ids=named)
def test_what_decides_stands_once_and_goes_on(name: bytes) -> None:
    assert passed_on((name, b"1")) == ((name, b"1"),)
    assert read((name, b"1"), (name, b"1")) is TWICE
    assert read((b"connection", name)) is HOP_BY_HOP
    if b"-" in name:
        assert read((name.replace(b"-", b"_"), b"1")) is TWIN
        assert read((name.replace(b"-", b"."), b"1")) is TWIN


@pytest.mark.parametrize("name", ORDINARY, ids=named)
def test_other_headers_go_on_as_often_as_they_stand(name: bytes) -> None:
    lines = ((name, b"1"), (name, b"2"))
    assert passed_on(*lines) == lines
    assert passed_on((b"connection", name), *lines) == ()


def test_a_head_has_what_decides_by_name() -> None:
    fields = {
        "content_type": b"content-type",
        "action": b"x-tc-action",
        "version": b"x-tc-version",
        "region": b"x-tc-region",
        "identity": b"x-camguard-principal",
        "authorization": b"authorization",
        "timestamp": b"x-tc-timestamp",
        "token": b"x-tc-token",
        "content_sha256": b"x-tc-content-sha256",
    }
    assert RequestHead._fields[-11:-1] == ("host", *fields)
    head = read(*((name, name.upper()) for name in reversed(fields.values())))
    assert isinstance(head, RequestHead)
    assert [getattr(head, field) for field in fields] == [name.upper() for name in fields.values()]
    bare = read()
    assert isinstance(bare, RequestHead)
    assert bare.host == HOST
    assert [getattr(bare, field) for field in fields] == [None] * 9


def test_a_name_is_a_token_in_small_letters() -> None:
    found = {byte: read((bytes([byte]), b"1")) for byte in range(256)}
    taken = {byte for byte, head in found.items() if isinstance(head, RequestHead)}
    assert taken == {*b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"}
    assert all(found[byte] is rejection("header_malformed") for byte in {*range(256)} - taken)
    assert passed_on((b"a" * 256, b"")) == ((b"a" * 256, b""),)
    assert read((b"a" * 257, b"")) is rejection("header_malformed")


# values of Connection, which of the ordinary headers a, b and c go on; or the refusal
CONNECTIONS = [
    pytest.param([b""], b"abc", id="nothing"),
    pytest.param([b","], b"abc", id="empty elements"),
    pytest.param([b"a"], b"bc", id="one"),
    pytest.param([b"a,c"], b"b", id="two"),
    pytest.param([b"\tA \t, \t c\t"], b"b", id="blanks, tabs and capitals"),
    pytest.param([b"a", b"b"], b"c", id="two lines"),
    pytest.param([b"close"], b"abc", id="close"),
    pytest.param([b"keep-alive, Upgrade, TE, expect"], b"abc", id="the words of the connection"),
    pytest.param([b"x" * 256], b"abc", id="a header that is not there"),
    pytest.param([b"a" + b" " * 1023], b"bc", id="1024 bytes"),
    pytest.param([b"a" + b" " * 1024], rejection("headers_too_large"), id="1025 bytes"),
    pytest.param([b"a" * 512, b"b" * 512], rejection("headers_too_large"), id="1025 bytes in two lines"),
    pytest.param([b"connection"], HOP_BY_HOP, id="itself"),
    pytest.param([b"x-camguard-principal"], HOP_BY_HOP, id="the identity"),
    pytest.param([b"a", b"host"], HOP_BY_HOP, id="the host in a second line"),
    pytest.param([b"transfer-encoding"], HOP_BY_HOP, id="how the body is framed"),
    pytest.param([b"a;b"], rejection("header_malformed"), id="a semicolon"),
    pytest.param([b"a b"], rejection("header_malformed"), id="a blank inside"),
]


@pytest.mark.parametrize(("values", "found"), CONNECTIONS)
def test_t20_connection_takes_ordinary_headers_along(values: list[bytes], found: bytes | Rejection) -> None:
    lines = [(b"connection", value) for value in values]
    ordinary = [(bytes([name]), b"1") for name in b"abc"]
    if isinstance(found, Rejection):
        assert read(*lines, *ordinary) is found
    else:
        assert [name for name, _ in passed_on(*lines, *ordinary)] == [bytes([name]) for name in found]


# lines, the detail of the refusal
REFUSED = [
    pytest.param([(b"upgrade", b"x")], "upgrade_refused", id="an upgrade"),
    pytest.param([(b"connection", b"x"), (b"upgrade", b"x")], "upgrade_refused", id="a named upgrade"),
    pytest.param([(b"transfer-encoding", b"gzip")], "framing", id="another transfer encoding"),
    pytest.param([(b"transfer-encoding", b"chunked")] * 2, "header_duplicate", id="chunked twice"),
    pytest.param(
        [(b"transfer-encoding", b"chunked"), (b"content-length", b"1")], "framing", id="chunked, and a length"
    ),
    pytest.param([(b"content-encoding", b"gzip")], "content_encoding", id="a compressed body"),
    pytest.param([(b"content-encoding", b"")], "content_encoding", id="an empty encoding"),
    pytest.param([(b"expect", b"x")], "expectation_failed", id="another expectation"),
    pytest.param([(b"expect", b"100-continue"), (b"expect", b"x")], "expectation_failed", id="a second one"),
    pytest.param([(b"transfer_encoding", b"chunked")], "header_alias", id="a twin of the transfer encoding"),
    pytest.param([(b"host", HOST)], "header_duplicate", id="two hosts"),
]


@pytest.mark.parametrize(("lines", "detail"), REFUSED)
def test_headers_that_frame_have_one_value(lines: list[Line], detail: str) -> None:
    assert read(*lines) is rejection(detail)


def test_how_the_body_came_framed_ends_here() -> None:
    note = (b"x-note", b"1")
    assert passed_on((b"transfer-encoding", b"Chunked"), note) == (note,)
    assert passed_on((b"expect", b"100-Continue"), note, (b"expect", b"100-continue")) == (note,)
    assert passed_on((b"content-encoding", b"Identity")) == ((b"content-encoding", b"Identity"),)
    assert passed_on() == ()
    assert passed_on(note) == (note,)
