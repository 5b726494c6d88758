"""Requests as bytes: what goes out is what was handed in, and never two requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from camguard.gateway.request_writer import Body, Headers, Origin, request_head

ORIGIN = Origin("http", "upstream.example", 8080)
HOST = (b"host", b"h.example")


async def parts() -> AsyncIterator[bytes]:
    yield b"{}"


ORIGINS = [
    pytest.param("http://h.example", Origin("http", "h.example", 80), "h.example", id="the port of http"),
    pytest.param("https://h.example", Origin("https", "h.example", 443), "h.example", id="the port of https"),
    pytest.param("https://h.example:80", Origin("https", "h.example", 80), "h.example:80", id="a port"),
    pytest.param("http://[::1]:81", Origin("http", "::1", 81), "[::1]:81", id="an IPv6 address"),
    pytest.param("http://127.0.0.1:80", Origin("http", "127.0.0.1", 80), "127.0.0.1", id="an IPv4 address"),
]


@pytest.mark.parametrize(("url", "origin", "authority"), ORIGINS)
def test_an_origin_is_read_from_the_settings(url: str, origin: Origin, authority: str) -> None:
    assert Origin.of(url) == origin
    assert origin.authority() == authority
    assert str(origin) == f"{origin.scheme}://{authority}"


HEADS = [
    pytest.param(
        "GET", b"a=%20+~&b='", [HOST],
        b"GET /?a=%20+~&b=' HTTP/1.1\r\nhost: h.example\r\n\r\n",
        id="the query goes on as it came",
    ),
    pytest.param(
        "POST", b"", [HOST, (b"x-odd", b"\x80\xff"), (b"x-odd", b"")],
        b"POST / HTTP/1.1\r\nhost: h.example\r\nx-odd: \x80\xff\r\nx-odd: \r\ncontent-length: 0\r\n\r\n",
        id="values are bytes, and repeats stay",
    ),
    pytest.param(
        "GET", b"", [], b"GET / HTTP/1.1\r\nhost: upstream.example:8080\r\n\r\n",
        id="a request without a Host gets that of the upstream",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "query", "headers", "expected"), HEADS)
def test_a_head_is_written(method: str, query: bytes, headers: Headers, expected: bytes) -> None:
    assert request_head(ORIGIN, method, query, headers, None, b"") == (expected, 0)


def test_further_lines_stand_behind_those_of_the_request() -> None:
    head, _ = request_head(ORIGIN, "GET", b"", [HOST], None, b"connection: close\r\n")
    assert head == b"GET / HTTP/1.1\r\nhost: h.example\r\nconnection: close\r\n\r\n"


UNWRITABLE = [
    pytest.param("POST", b"", [(b"x", b"a\r\nx-camguard-principal: root")], id="a line break in a value"),
    pytest.param("POST", b"", [(b"x", b"a\nb")], id="a line feed in a value"),
    pytest.param("POST", b"", [(b"x", b"a\rb")], id="a carriage return in a value"),
    pytest.param("POST", b"", [(b"x", b"a\0b")], id="a NUL in a value"),
    pytest.param("POST", b"", [(b"x\r\ny", b"a")], id="a line break in a name"),
    pytest.param("POST", b"", [(b"", b"a")], id="no name"),
    pytest.param("POST", b"", [(b"x y", b"a")], id="a blank in a name"),
    pytest.param("POST", b"", [(b"transfer-encoding", b"chunked")], id="framing that is not ours"),
    pytest.param("GET / HTTP/1.1\r\n", b"", [HOST], id="a method that is none"),
    pytest.param("GET", b"a b", [HOST], id="a blank in the query"),
    pytest.param("GET", b"a\r\n", [HOST], id="a line break in the query"),
    pytest.param("GET", b"\xe4", [HOST], id="a query that is no ASCII"),
]


@pytest.mark.parametrize(("method", "query", "headers"), UNWRITABLE)
def test_t55_what_could_be_read_as_two_requests_is_not_written(
    method: str, query: bytes, headers: Headers
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it says nothing, because it could quote a request
        request_head(ORIGIN, method, query, headers, None, b"")


def declared(text: bytes) -> Headers:
    return [HOST, (b"content-length", text)]


# Method, headers, body; the line that is added and the length.
FRAMED = [
    pytest.param("POST", [], b"{}", b"content-length: 2\r\n", 2, id="a body without a length gets one"),
    pytest.param("POST", declared(b"2"), b"{}", b"", 2, id="a declared length stays"),
    pytest.param("POST", [], None, b"content-length: 0\r\n", 0, id="a POST without a body has length 0"),
    pytest.param("POST", declared(b"0"), None, b"", 0, id="a declared length of 0 stays"),
    pytest.param("GET", [], None, b"", 0, id="a GET needs no length"),
    pytest.param("POST", declared(b"9"), parts(), b"", 9, id="a body in parts has its declared length"),
    pytest.param("POST", [], parts(), b"transfer-encoding: chunked\r\n", None, id="else a body is chunked"),
]


@pytest.mark.parametrize(("method", "headers", "body", "line", "length"), FRAMED)
def test_a_body_is_framed(method: str, headers: Headers, body: Body, line: bytes, length: int | None) -> None:
    given = b"".join(b"%b: %b\r\n" % each for each in headers or [(b"host", b"upstream.example:8080")])
    expected = method.encode() + b" / HTTP/1.1\r\n" + given + line + b"\r\n"
    assert request_head(ORIGIN, method, b"", headers, body, b"") == (expected, length)


CONTRADICTIONS = [
    pytest.param(declared(b"3"), b"{}", id="a length above that of the body"),
    pytest.param(declared(b"1"), b"{}", id="a length below that of the body"),
    pytest.param(declared(b"2"), None, id="a length without a body"),
    pytest.param([*declared(b"2"), (b"content-length", b"2")], b"{}", id="two lengths"),
    pytest.param(declared(b"two"), b"{}", id="a length that is no number"),
]


@pytest.mark.parametrize(("headers", "body"), CONTRADICTIONS)
def test_t52_a_length_that_is_not_that_of_the_body_is_not_written(headers: Headers, body: Body) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - same
        request_head(ORIGIN, "POST", b"", headers, body, b"")
