"""Replies as bytes: what is a reply, where it ends, and that the cuts of the stream change nothing."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.gateway.reply_parser import HEAD_BYTES, ReplyError, ReplyParser

LINE = b"HTTP/1.1 200 OK\r\n"
CHUNKS = LINE + b"transfer-encoding: chunked\r\n\r\n"


class Found(NamedTuple):
    """What a parser has found when its input ended. keeps_alive: and nothing followed."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    complete: bool
    until_close: bool
    keeps_alive: bool


def parsed(*parts: bytes, to_head: bool = False, parser: ReplyParser | None = None) -> Found:
    """Feed parts to a parser, as a connection does: what follows a complete reply is not fed."""
    parser = parser or ReplyParser()
    parser.begin(to_head=to_head)
    body = b""
    followed = False
    for part in parts:
        if parser.complete:
            followed = True
            break
        parser.feed(part)
        body += parser.take()
    followed = followed or parser.followed
    return Found(
        parser.status,
        tuple(parser.headers),
        body,
        parser.complete,
        parser.until_close,
        parser.keeps_alive and not followed,
    )


LENGTH_2 = ((b"content-length", b"2"),)
CODED = ((b"transfer-encoding", b"chunked"),)
# What is fed, and what is found.
REPLIES = [
    pytest.param(
        LINE + b"content-length: 2\r\n\r\n{}",
        Found(200, LENGTH_2, b"{}", True, False, True),
        id="a declared length",
    ),
    pytest.param(
        LINE + b"Content-Length: 2\r\nX-Odd: \x80\xff\r\n\r\n{}",
        Found(200, (*LENGTH_2, (b"x-odd", b"\x80\xff")), b"{}", True, False, True),
        id="names become lower case and values stay bytes",
    ),
    pytest.param(
        CHUNKS + b"2\r\n{}\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
        Found(200, CODED, b"{}abc", True, False, True),
        id="chunks",
    ),
    pytest.param(
        CHUNKS + b"2\r\n{}\r\n0\r\nx-late: 1\r\nserver: y\r\n\r\n",
        Found(200, CODED, b"{}", True, False, True),
        id="trailers never become headers",
    ),
    pytest.param(
        LINE + b"\r\n{}", Found(200, (), b"{}", False, True, False), id="a body that the connection ends"
    ),
    pytest.param(
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        Found(200, (), b"{}", False, True, False),
        id="HTTP/1.0 without a length",
    ),
    pytest.param(
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}",
        Found(200, ((b"connection", b"keep-alive"), *LENGTH_2), b"{}", True, False, True),
        id="HTTP/1.0 that keeps the connection",
    ),
    pytest.param(
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        Found(200, LENGTH_2, b"{}", True, False, False),
        id="HTTP/1.0 ends the connection by default",
    ),
    pytest.param(
        LINE + b"connection: close\r\ncontent-length: 2\r\n\r\n{}",
        Found(200, ((b"connection", b"close"), *LENGTH_2), b"{}", True, False, False),
        id="an upstream that ends the connection",
    ),
    pytest.param(
        b"HTTP/1.1 204 No Content\r\n\r\n", Found(204, (), b"", True, False, True), id="204 has no body"
    ),
    pytest.param(
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n",
        Found(304, LENGTH_2, b"", True, False, True),
        id="304 names a length and has no body",
    ),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 199 What\r\n\r\n" + LINE + b"content-length: 2\r\n\r\n{}",
        Found(200, LENGTH_2, b"{}", True, False, True),
        id="interim replies are passed over, unknown ones too",
    ),
    pytest.param(
        LINE + b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\n{}",
        Found(200, ((b"upgrade", b"h2c"), (b"connection", b"upgrade"), *LENGTH_2), b"{}", True, False, True),
        id="the offer of an upgrade is no upgrade",
    ),
    pytest.param(
        b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n{}",
        Found(200, LENGTH_2, b"{}", True, False, True),
        id="a status line without a reason",
    ),
    pytest.param(
        LINE + b"content-length: 9\r\n\r\n{}",
        Found(200, ((b"content-length", b"9"),), b"{}", False, False, True),
        id="a body short of its length is not complete",
    ),
    pytest.param(
        CHUNKS + b"5\r\n{}", Found(200, CODED, b"{}", False, False, True), id="a chunk short of its size"
    ),
    pytest.param(
        CHUNKS + b"2\r\n{}\r\n0\r\n",
        Found(200, CODED, b"{}", False, False, True),
        id="no end behind the last chunk",
    ),
    pytest.param(
        LINE + b"content-length: 2\r\n\r\n{}" + LINE,
        Found(200, LENGTH_2, b"{}", True, False, False),
        id="a second reply behind the first one",
    ),
    pytest.param(
        CHUNKS + b"2\r\n{}\r\n0\r\n\r\n\r\n",
        Found(200, CODED, b"{}", True, False, False),
        id="an empty line behind the last chunk",
    ),
]


@pytest.mark.parametrize(("data", "expected"), REPLIES)
def test_a_reply_is_found(data: bytes, expected: Found) -> None:
    assert parsed(data) == expected


@pytest.mark.parametrize(("data", "expected"), REPLIES)
def test_the_cuts_of_a_reply_change_nothing(data: bytes, expected: Found) -> None:
    assert parsed(*(data[at : at + 1] for at in range(len(data)))) == expected
    for at in range(1, len(data)):
        assert parsed(data[:at], data[at:]) == expected, at


WRONG = [
    pytest.param(b"SSH-2.0-OpenSSH_9\r\n", id="no HTTP"),
    pytest.param(b"RTSP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", id="another protocol with the same form"),
    pytest.param(b"\r\n" + LINE + b"content-length: 0\r\n\r\n", id="an empty line before the reply"),
    pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", id="a status of two digits"),
    pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="a status of four digits"),
    pytest.param(b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n", id="a status below 100"),
    pytest.param(b"HTTP/1.1  200 OK\r\n\r\n", id="two blanks before the status"),
    pytest.param(b"HTTP/1.1 200 OK\ncontent-length: 0\n\n", id="bare line feeds"),
    pytest.param(LINE + b"x: 1\ncontent-length: 0\r\n\r\n", id="a bare line feed behind a header"),
    pytest.param(LINE + b"x: a\rb\r\ncontent-length: 0\r\n\r\n", id="a bare carriage return in a value"),
    pytest.param(b"http/1.1 200 OK\r\n\r\n", id="the protocol in small letters"),
    pytest.param(b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n", id="HTTP/2.0"),
    pytest.param(b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n", id="HTTP/0.9"),
    pytest.param(b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n", id="HTTP/1.2"),
    pytest.param(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", id="an upgrade"
    ),
    pytest.param(b"HTTP/1.1 100 Continue\r\ncontent-length: 2\r\n\r\n{}", id="an interim reply with a body"),
    pytest.param(
        LINE + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        id="a length before chunks",
    ),
    pytest.param(
        LINE + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        id="a length behind chunks",
    ),
    pytest.param(LINE + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}", id="the same length twice"),
    pytest.param(LINE + b"content-length: 2, 2\r\n\r\n{}", id="the same length twice in one line"),
    pytest.param(LINE + b"content-length: +2\r\n\r\n{}", id="a length with a sign"),
    pytest.param(LINE + b"content-length: 0x2\r\n\r\n{}", id="a hexadecimal length"),
    pytest.param(LINE + b"content-length: \r\n\r\n{}", id="an empty length"),
    pytest.param(LINE + b"content-length: 99999999999999999999\r\n\r\n{}", id="a length above 64 bits"),
    pytest.param(
        LINE + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="a coding that none asked for"
    ),
    pytest.param(LINE + b"transfer-encoding: identity\r\n\r\n{}", id="the coding that RFC 7230 removed"),
    pytest.param(LINE + b"transfer-encoding: chunked, identity\r\n\r\n{}", id="chunks before another coding"),
    pytest.param(
        LINE + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="chunks twice"
    ),
    pytest.param(
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="chunks under HTTP/1.0"
    ),
    pytest.param(LINE + b"x: 1\r\n folded\r\ncontent-length: 0\r\n\r\n", id="a folded line"),
    pytest.param(LINE + b" x: 1\r\ncontent-length: 0\r\n\r\n", id="a blank before the first header"),
    pytest.param(LINE + b"x : 1\r\ncontent-length: 0\r\n\r\n", id="a blank before a colon"),
    pytest.param(LINE + b"no colon\r\ncontent-length: 0\r\n\r\n", id="a line without a colon"),
    pytest.param(LINE + b": 1\r\ncontent-length: 0\r\n\r\n", id="a header without a name"),
    pytest.param(LINE + b"x\xff: 1\r\ncontent-length: 0\r\n\r\n", id="a name that is no token"),
    pytest.param(LINE + b"x: \x00\r\ncontent-length: 0\r\n\r\n", id="a NUL in a value"),
    pytest.param(CHUNKS + b"0\r\ncontent-length: 9\r\n\r\n", id="a length behind the last chunk"),
    pytest.param(CHUNKS + b"zz\r\n", id="a chunk's size that is no number"),
    pytest.param(CHUNKS + b"-1\r\n", id="a negative size"),
    pytest.param(CHUNKS + b"2 \r\n{}\r\n0\r\n\r\n", id="a blank behind a size"),
    pytest.param(CHUNKS + b"2\n{}\r\n0\r\n\r\n", id="a bare line feed behind a size"),
    pytest.param(CHUNKS + b"2\r\n{}abc\r\n0\r\n\r\n", id="a chunk longer than its size"),
    pytest.param(CHUNKS + b"fffffffffffffffff\r\n", id="a size that no number holds"),
    pytest.param(LINE + b"x: " + b"y" * HEAD_BYTES + b"\r\n\r\n", id="a line that is too long"),
    pytest.param(LINE + b"x: y\r\n" * (HEAD_BYTES // 6) + b"\r\n", id="too many lines"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, id="interim replies without end"),
    pytest.param(CHUNKS + b"0\r\nx: " + b"y" * HEAD_BYTES * 2, id="a trailer without end"),
    pytest.param(CHUNKS + b"1;x=" + b"y" * HEAD_BYTES * 2, id="an extension of a chunk without end"),
]


@pytest.mark.parametrize("data", WRONG)
@pytest.mark.parametrize("size", [1 << 20, 1000, 1], ids=["whole", "in parts", "byte by byte"])
def test_what_has_no_certain_end_is_an_error(data: bytes, size: int) -> None:
    with pytest.raises(ReplyError):
        parsed(*(data[at : at + size] for at in range(0, len(data), size)))


def test_a_head_of_exactly_the_bound_passes_in_one_read_with_its_body() -> None:
    start, end = LINE + b"content-length: 100000\r\nx: ", b"\r\n\r\n"
    head = start + b"y" * (HEAD_BYTES - len(start) - len(end)) + end
    body = b"z" * 100_000
    assert parsed(head + body).body == body
    assert parsed(head, body).complete
    with pytest.raises(ReplyError):
        parsed(head.replace(b"x: ", b"x: y") + body)


@pytest.mark.parametrize("framing", [b"", b"content-length: 9\r\n", b"transfer-encoding: chunked\r\n"])
def test_the_reply_to_a_head_ends_with_its_head_and_the_next_reply_is_read_anew(framing: bytes) -> None:
    parser = ReplyParser()
    for _ in range(2):
        found = parsed(LINE + framing + b"\r\n", to_head=True, parser=parser)
        assert (found.complete, found.body, found.until_close) == (True, b"", False)
        assert parsed(LINE + b"content-length: 2\r\n\r\n{}", parser=parser).body == b"{}"
    found = parsed(LINE + framing + b"\r\nabc", to_head=True, parser=parser)
    assert (found.complete, found.body, found.keeps_alive) == (True, b"", False)


def test_one_parser_reads_one_reply_after_the_other() -> None:
    parser = ReplyParser()
    for case in REPLIES:
        data, expected = case.values
        assert isinstance(data, bytes)
        assert isinstance(expected, Found)
        if expected.keeps_alive and expected.complete:
            assert parsed(data, parser=parser) == expected


NAMES = st.sampled_from([b"Date", b"Server", b"X-Odd", b"x_odd", b"Set-Cookie", b"ETag"])
VALUES = st.binary(max_size=20).map(
    lambda raw: bytes(byte for byte in raw if byte == 9 or 32 <= byte != 127).strip()
)
STATUSES = st.sampled_from([200, 201, 302, 404, 500, 599])


@st.composite
def replies(draw: st.DrawFn) -> tuple[bytes, bytes, int, list[tuple[bytes, bytes]]]:
    """Return the bytes of a correct reply, and the body, status and headers that it was made of."""
    status = draw(STATUSES)
    lines = draw(st.lists(st.tuples(NAMES, VALUES), max_size=6))
    chunks = draw(st.lists(st.binary(min_size=1, max_size=60), max_size=5))
    body = b"".join(chunks)
    coded = draw(st.booleans())
    framing = (b"Transfer-Encoding", b"chunked") if coded else (b"Content-Length", b"%d" % len(body))
    lines.insert(draw(st.integers(0, len(lines))), framing)
    raw = b"".join(b"%b: %b\r\n" % line for line in lines)
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    head = interim + b"HTTP/1.1 %d X\r\n" % status + raw + b"\r\n"
    framed = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n\r\n"
    return head + (framed if coded else body), body, status, [(name.lower(), value) for name, value in lines]


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut bytes at places of the caller's choice; no part is empty."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[begin:end] for begin, end in pairwise(places)]


@given(replies(), st.lists(st.integers(0, 10_000), max_size=12))
def test_a_reply_cut_anywhere_is_what_it_was_made_of(
    reply: tuple[bytes, bytes, int, list[tuple[bytes, bytes]]], places: list[int]
) -> None:
    data, body, status, headers = reply
    expected = Found(status, tuple(headers), body, True, False, True)
    assert parsed(data) == expected
    assert parsed(*cut(data, places)) == expected


@given(replies(), st.lists(st.integers(0, 10_000), max_size=6), st.integers(0, 10_000), st.binary(max_size=3))
def test_a_damaged_reply_is_the_same_however_it_is_cut(
    reply: tuple[bytes, bytes, int, list[tuple[bytes, bytes]]], places: list[int], at: int, put: bytes
) -> None:
    """A reply of which bytes were replaced or lost is an error, or the same reply, whole and in parts."""
    data = reply[0]
    at %= len(data)
    data = data[:at] + put + data[at + 2 :]

    def outcome(parts: list[bytes]) -> Found | str:
        try:
            found = parsed(*parts)
        except ReplyError:
            return "error"
        # What follows a complete reply may be an error or not; either way the connection ends.
        return found if found.keeps_alive or not found.complete else "ends the connection"

    if not data:
        return
    whole, in_parts = outcome([data]), outcome(cut(data, places))
    if whole != in_parts:
        assert {whole, in_parts} <= {"error", "ends the connection"}
