"""What goes on to the upstream and what comes back, over real sockets."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway.stage import (
    BOUNDS,
    OK,
    POST,
    Answer,
    Heard,
    Reader,
    Upstream,
    Writer,
    ask,
    hangs,
    play,
    post,
    relaying,
    reset,
    says,
    says_and_closes,
    says_and_resets,
    says_in_parts,
    settled,
    until,
)
from tests.running import PATIENCE

MIB = 1 << 20
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def answered(
    answer: Answer, request: bytes, seconds: float = 30
) -> tuple[bytes, Upstream, list[tuple[str, str]]]:
    """Send one request through the relay; return the bytes of the client, the upstream and the errors."""

    async def scene() -> tuple[bytes, Upstream, list[tuple[str, str]]]:
        async with Upstream(answer) as upstream, relaying(upstream.url, seconds=seconds) as (port, heard):
            return await ask(port, request), upstream, heard.errors

    return play(scene())


SENT = [
    pytest.param(post(b'{"a": "\xc3\xa4"}'), b'{"a": "\xc3\xa4"}', id="the body goes on byte for byte"),
    pytest.param(post(b""), b"content-length: 0\r\n\r\n", id="an empty body stays empty"),
    pytest.param(
        post(b"{}", b"authorization: TC3-HMAC-SHA256 Credential=A/b, Signature=0"),
        b"authorization: TC3-HMAC-SHA256 Credential=A/b, Signature=0\r\n",
        id="the signature goes on",
    ),
    pytest.param(
        post(b"{}", b"x-odd: \xc3\xa9\xe2\x82\xac"),
        b"x-odd: \xc3\xa9\xe2\x82\xac\r\n",
        id="UTF-8 in a value stays",
    ),
    pytest.param(
        post(b"{}", b"x-odd: \x80\xff\xe9 \xc3"),
        b"x-odd: \x80\xff\xe9 \xc3\r\n",
        id="T130 a value that is no UTF-8 goes on byte for byte",
    ),
    pytest.param(
        post(b"\xc3\xa9\xff" * 100_000, b"x-odd: \xc3\xff"),
        b"x-odd: \xc3\xff\r\ncontent-length: 300000\r\n\r\n" + b"\xc3\xa9\xff" * 100_000,
        id="T130 the body behind such a value stays as it is",
    ),
    pytest.param(
        post(b"{}", b"x-twice: 1", b"x-twice: 2"),
        b"x-twice: 1\r\nx-twice: 2\r\n",
        id="repeats stay, in order",
    ),
    pytest.param(
        post(b"{}", b'cookie: a=b; c="d"'), b'cookie: a=b; c="d"\r\n', id="a cookie is not rewritten"
    ),
    pytest.param(
        b"GET /?Action=A&b=%20+%41'\"~%2f&c=..&d=%E4 HTTP/1.1\r\nhost: h.example:8443\r\n"
        b"connection: close\r\n\r\n",
        b"GET /?Action=A&b=%20+%41'\"~%2f&c=..&d=%E4 HTTP/1.1\r\nhost: h.example:8443\r\n\r\n",
        id="a GET's target and Host stay, and nothing else is added",
    ),
    pytest.param(
        POST + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"{}",
        id="a chunked body arrives",
    ),
    pytest.param(
        post(b"x" * 300_000),
        b"content-length: 300000\r\n\r\n" + b"x" * 300_000,
        id="a large body arrives whole",
    ),
]


@pytest.mark.parametrize(("request_bytes", "part"), SENT)
def test_the_upstream_receives(request_bytes: bytes, part: bytes) -> None:
    answer, upstream, errors = answered(says(OK), request_bytes)
    assert part in upstream.requests[0]
    assert answer.endswith(b"\r\n\r\n{}")
    assert errors == []


@pytest.mark.parametrize(
    "name", [b"user-agent", b"accept", b"accept-encoding", b"content-type", b"cookie", b"expect"]
)
def test_no_header_is_added(name: bytes) -> None:
    request = b"POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
    _, upstream, _ = answered(says(OK), request)
    assert name not in upstream.requests[0].lower()


GIVEN = [
    pytest.param(
        HEAD + b"content-length: 2\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n{}",
        b"set-cookie: a=1\r\nset-cookie: b=2\r\n",
        id="repeated headers stay",
    ),
    pytest.param(
        HEAD + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08",
        b"content-encoding: gzip\r\ncontent-length: 3\r\nconnection: close\r\n\r\n\x1f\x8b\x08",
        id="a compressed reply is not unpacked",
    ),
    pytest.param(
        HEAD + b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\nserver: x\r\ncontent-length: 2\r\n\r\n{}",
        b"application/json\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nserver: x\r\n",
        id="Date and Server are the upstream's",
    ),
    pytest.param(
        b"HTTP/1.1 404 Nope\r\ncontent-length: 2\r\n\r\nno",
        b"HTTP/1.1 404 Not Found\r\n",
        id="a status goes on as it is",
    ),
    pytest.param(
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n",
        id="a redirect is not followed",
    ),
    pytest.param(
        HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        id="a chunked reply ends as such",
    ),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\n",
        id="interim replies are passed over",
    ),
    pytest.param(
        HEAD + b"x-odd: \x80\xff\xe9\r\ncontent-length: 2\r\n\r\n{}",
        b"x-odd: \x80\xff\xe9\r\n",
        id="T130 a value that is no UTF-8 comes back byte for byte",
    ),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\n", id="204 has no body"),
    pytest.param(
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n",
        id="304 may name a length and has no body",
    ),
]


@pytest.mark.parametrize(("reply", "part"), GIVEN)
def test_the_client_receives(reply: bytes, part: bytes) -> None:
    answer, _, errors = answered(says(reply), post())
    assert part in answer
    assert errors == []


def test_hop_by_hop_headers_of_a_reply_end_here() -> None:
    reply = (
        HEAD
        + b"connection: keep-alive, X-Secret\r\nx-secret: 1\r\nkeep-alive: timeout=9\r\n"
        + b"x-kept: 1\r\ncontent-length: 2\r\n\r\n{}"
    )
    answer, _, _ = answered(says(reply), post())
    assert b"x-kept: 1" in answer
    assert b"secret" not in answer.lower()
    assert b"keep-alive" not in answer


@pytest.mark.parametrize(
    "name", [b"x-camguard-request-id", b"X-Camguard-Decision", b"x_camguard_code", b"X-CAMGUARD_anything"]
)
def test_t138_what_camguard_writes_itself_comes_from_no_upstream(name: bytes) -> None:
    answer, _, errors = answered(
        says(HEAD + name + b": evil\r\nx-kept: 1\r\ncontent-length: 2\r\n\r\n{}"), post()
    )
    assert answer.endswith(b"{}")
    assert b"x-kept: 1" in answer
    assert b"evil" not in answer
    assert errors == []


FAILURES = [
    pytest.param(says_and_resets(), "reset", id="a reset before the head"),
    pytest.param(says_and_closes(b""), "reset", id="a close before the head"),
    pytest.param(says_and_closes(b"HTTP/1.1 200 OK\r\ncontent-le"), "reset", id="a head that ends half way"),
    pytest.param(says_and_closes(b"SSH-2.0-OpenSSH_9\r\n"), "protocol", id="no HTTP at all"),
    pytest.param(
        says_and_closes(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        "protocol",
        id="two lengths",
    ),
    pytest.param(
        says_and_closes(b"HTTP/1.1 200 OK\r\nx: \x01\r\ncontent-length: 2\r\n\r\n{}"),
        "protocol",
        id="a control byte in a value",
    ),
    pytest.param(
        says_and_closes(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
        "protocol",
        id="an upgrade that no client requested",
    ),
    pytest.param(
        says_and_closes(b"HTTP/1.1 999 What\r\ncontent-length: 2\r\n\r\n{}"),
        "protocol",
        id="a status outside of HTTP",
    ),
    *(
        pytest.param(
            says_and_closes(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n{}"),
            "protocol",
            id=f"T130 a blank before the colon of {line.partition(b' ')[0].decode()}",
        )
        for line in (
            b"Content-Length : 2",
            b"Transfer-Encoding : chunked",
            b"Connection : close",
            b"Upgrade : h2c",
            b"Proxy-Connection : close",
            b"X-Other : 1",
        )
    ),
    pytest.param(
        says_and_closes(b"HTTP/1.1 200 OK\r\nX-Other\t: 1\r\ncontent-length: 2\r\n\r\n{}"),
        "protocol",
        id="T130 a tab before the colon",
    ),
    pytest.param(hangs, "timeout", id="silence"),
]


@pytest.mark.parametrize(("answer", "kind"), FAILURES)
def test_a_failure_before_the_answer_is_an_envelope_and_the_request_was_sent_once(
    answer: Answer, kind: str
) -> None:
    """T135: a client that got no answer would send the call again."""
    seconds = 0.5 if kind == "timeout" else PATIENCE
    got, upstream, errors = answered(answer, post(), seconds=seconds)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"Code":"InternalError"' in got
    assert errors == [("aiart", kind)]
    assert len(upstream.requests) == 1


def test_t135_a_call_without_a_reply_is_answered_when_the_gateway_stops() -> None:
    async def scene() -> tuple[bytes, Heard]:
        async with Upstream(hangs) as upstream:
            async with relaying(upstream.url) as (port, heard):
                asked = asyncio.create_task(ask(port, post(close=False)))
                await until(lambda: upstream.requests)
            return await asked, heard

    got, heard = play(scene())
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in got
    assert b'"Code":"InternalError"' in got
    assert heard.errors == [("aiart", "internal")]


def test_an_answer_that_has_begun_is_cut_when_the_gateway_stops() -> None:
    async def scene() -> bytes:
        parts = says_in_parts(HEAD + b"content-length: 100\r\n\r\n{")
        async with Upstream(parts) as upstream:
            async with relaying(upstream.url) as (port, _):
                asked = asyncio.create_task(ask(port, post(close=False)))
                await until(lambda: upstream.requests)
                await settled()
            return await asked

    got = play(scene())
    assert b"InternalError" not in got
    assert got == b"" or got.endswith(b"\r\n\r\n{")


def test_a_refused_connection_is_an_envelope() -> None:
    async def scene() -> None:
        async with Upstream(says(OK)) as gone:
            pass
        async with relaying(gone.url) as (port, heard):
            assert b"InternalError" in await ask(port, post())
            assert heard.errors == [("aiart", "connect")]

    play(scene())


CUTS = [
    pytest.param(
        says_and_closes(HEAD + b"content-length: 100\r\n\r\n{"), "truncated", id="short of its length"
    ),
    pytest.param(
        says_and_resets(HEAD + b"content-length: 100\r\n\r\n{"), "truncated", id="reset after the head"
    ),
    pytest.param(
        says_and_closes(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        "truncated",
        id="no last chunk",
    ),
    pytest.param(
        says_and_resets(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        "truncated",
        id="reset between chunks",
    ),
    pytest.param(
        says_in_parts(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", b"zz\r\n"),
        "truncated",
        id="a bad chunk",
    ),
]


@pytest.mark.parametrize(("answer", "kind"), CUTS)
def test_a_cut_answer_looks_cut(answer: Answer, kind: str) -> None:
    got, upstream, errors = answered(answer, post())
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"InternalError" not in got
    head, _, body = got.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head:
        assert not body.endswith(b"0\r\n\r\n")
    else:
        assert len(body) < 100
    assert errors == [("aiart", kind)]
    assert len(upstream.requests) == 1


def test_an_answer_that_falls_silent_is_cut() -> None:
    async def stalls(_up: Upstream, _head: bytes, reader: Reader, writer: Writer) -> None:
        writer.write(HEAD + b"content-length: 100\r\n\r\n{")
        await reader.read()

    got, _, errors = answered(stalls, post(), seconds=2)  # a busy machine needs a part of it for the head
    assert got.endswith(b"\r\n\r\n{")
    assert errors == [("aiart", "timeout")]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_on_a_reused_connection_that_resets_is_not_repeated(method: str) -> None:
    async def scene() -> None:
        async def once_then_reset(up: Upstream, head: bytes, reader: Reader, writer: Writer) -> None:
            await (says(OK) if len(up.requests) == 1 else says_and_resets())(up, head, reader, writer)

        one = f"{method} / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
        async with Upstream(once_then_reset) as upstream, relaying(upstream.url) as (port, heard):
            assert (await ask(port, one)).endswith(b"{}")
            assert b"InternalError" in await ask(port, one)
            assert upstream.connections == 1, "the connection was not re-used: the test proves nothing"
            assert len(upstream.requests) == 2
            assert heard.errors == [("aiart", "reset")]
            upstream.answer = says(OK)
            assert (await ask(port, one)).endswith(b"{}")

    play(scene())


def test_a_connection_is_reused() -> None:
    async def scene() -> None:
        async with Upstream(says(OK)) as upstream, relaying(upstream.url) as (port, heard):
            for _ in range(5):
                await ask(port, post())
            assert upstream.connections == 1
            assert heard.replies == ["aiart"] * 5
            assert heard.statuses == [200] * 5

    play(scene())


def test_a_client_that_leaves_takes_its_upstream_call_along() -> None:
    async def scene() -> None:
        async with Upstream(hangs) as upstream, relaying(upstream.url) as (port, heard):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post())
            await until(lambda: upstream.requests)
            writer.close()
            await upstream.ended.wait()
            assert heard.errors == []

    play(scene())


BEHIND = {
    "another request": post(close=False),
    "half a head": POST + b"x-half",
    "half a body": POST + b"content-length: 9\r\n\r\n{",
    "more requests than are held": post(close=False) * 2000,
    "a body that fills every buffer": post(b"x" * 2_000_000, close=False),
}
LEAVES: dict[str, Callable[[Writer], None]] = {
    "closes": lambda writer: writer.transport.abort(),
    "resets": reset,
    "ends its side": lambda writer: writer.write_eof(),
}
# The end of a connection whose buffers are full waits behind the bytes in them: only a reset is heard there.
LEFT = [
    pytest.param(
        behind,
        leave,
        id=f"{leave} behind {text}",
        marks=() if text == "another request" else pytest.mark.heavy,
    )
    for text, behind in BEHIND.items()
    for leave in LEAVES
    if len(behind) < MIB or leave == "resets"
]


@pytest.mark.parametrize(("behind", "leave"), LEFT)
def test_bytes_behind_a_request_do_not_hide_that_its_client_left(
    behind: bytes, leave: str, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()  # what other tests left behind is not judged here
    caplog.clear()
    problems: list[dict[str, Any]] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        bounds = BOUNDS._replace(head_seconds=1)  # the sweep looks four times in it
        async with Upstream(hangs) as upstream, relaying(upstream.url, bounds=bounds) as (port, heard):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post(close=False))
            await until(lambda: upstream.requests)
            writer.write(behind)
            await settled()
            LEAVES[leave](writer)
            await upstream.ended.wait()
            assert heard.errors == []
            assert len(upstream.requests) == 1
            writer.close()
            await settled()

    play(scene())
    gc.collect()  # a task whose exception was not retrieved complains when it is collected
    assert problems == []
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def test_the_first_of_two_pipelined_calls_fails_alone() -> None:
    async def scene() -> None:
        async def once_resets(up: Upstream, head: bytes, reader: Reader, writer: Writer) -> None:
            await (says_and_resets() if len(up.requests) == 1 else says(OK))(up, head, reader, writer)

        async with Upstream(once_resets) as upstream, relaying(upstream.url) as (port, heard):
            first, _, second = (
                (await ask(port, post(close=False) + post()))
                .partition(b"HTTP/1.1 200 OK\r\n")[2]
                .partition(b"HTTP/1.1 200 OK\r\n")
            )
            assert b"InternalError" in first
            assert second.endswith(b"{}")
            assert heard.errors == [("aiart", "reset")]

    play(scene())


def test_a_client_that_leaves_half_way_leaves_no_whole_request_upstream() -> None:
    async def scene() -> None:
        async with Upstream(says(OK)) as upstream, relaying(upstream.url) as (port, _):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"content-length: 100000\r\n\r\n" + b"x" * 50_000)
            await until(lambda: upstream.connections)
            writer.close()
            await upstream.ended.wait()
            assert upstream.requests == []

    play(scene())


def test_the_answer_streams() -> None:
    async def scene() -> None:
        go = asyncio.Event()

        async def two_parts(_up: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
            await go.wait()
            writer.write(b"data: 2\n\n")
            writer.close()

        async with Upstream(two_parts) as upstream, relaying(upstream.url) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post())
            await reader.readuntil(b"data: 1\n\n")
            go.set()
            assert b"data: 2\n\n" in await reader.read()
            writer.close()

    play(scene())


def test_the_request_streams() -> None:
    async def scene() -> None:
        reached = asyncio.Event()

        async def front_of_body(_up: Upstream, head: bytes, reader: Reader, writer: Writer) -> None:
            del head
            assert await reader.readexactly(7) == b"2\r\nab\r\n"
            reached.set()
            assert await reader.readexactly(12) == b"2\r\ncd\r\n0\r\n\r\n"
            writer.write(OK)

        upstream = Upstream(front_of_body, reads_bodies=False)
        async with upstream, relaying(upstream.url) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nab\r\n")
            await reached.wait()
            writer.write(b"2\r\ncd\r\n0\r\n\r\n")
            assert (await reader.read()).endswith(b"{}")
            writer.close()

    play(scene())


def test_a_caller_that_still_sends_gets_the_early_reply() -> None:
    async def scene() -> None:
        answer = HEAD + b"content-length: 2\r\n\r\nno"
        async with (
            Upstream(says(answer), reads_bodies=False) as upstream,
            relaying(upstream.url) as (port, _),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"content-length: 100000\r\n\r\n" + b"x" * 50_000)
            assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 200 ")
            writer.close()
            await upstream.ended.wait()
            assert (await ask(port, post(b""))).endswith(b"no")
            assert upstream.connections == 2

    play(scene())
