"""The HTTP client by itself: what it may never do, whatever version is installed."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from camguard.gateway.client import HttpClient
from camguard.gateway.connection import UpstreamError
from camguard.gateway.request_writer import Body, Headers, Origin
from tests.gateway.stage import (
    OK,
    Reader,
    Upstream,
    Writer,
    play,
    says,
    says_and_closes,
    says_and_resets,
    settled,
    still,
)
from tests.running import PATIENCE

MIB = 1 << 20


async def fetch(
    upstream: Upstream, method: str = "POST", body: Body = None, headers: Headers = (), seconds: float = 30
) -> bytes:
    """Send one request with a client of its own; return the reply's body."""
    client = HttpClient(seconds=seconds, connections=10)
    try:
        reply = await client.send(Origin.of(upstream.url), method, b"", headers, body)
        return b"".join([chunk async for chunk in reply.chunks()])
    finally:
        await client.close()


@pytest.mark.parametrize("size", [1, 65536, 65537, 3 * MIB])
def test_a_body_arrives_whole_with_its_length(size: int) -> None:
    async def scene() -> None:
        async with Upstream(says(OK)) as upstream:
            await fetch(upstream, body=b"x" * size)
            head, _, body = upstream.requests[0].partition(b"\r\n\r\n")
            assert f"content-length: {size}".encode() in head.lower()
            assert len(body) == size

    play(scene())


async def parts(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_a_body_in_parts_keeps_its_declared_length() -> None:
    async def scene() -> None:
        async with Upstream(says(OK)) as upstream:
            await fetch(upstream, body=parts(b"ab", b"cd"), headers=[(b"content-length", b"4")])
            assert upstream.requests[0].endswith(b"\r\n\r\nabcd")
            assert b"transfer-encoding" not in upstream.requests[0].lower()

    play(scene())


def test_a_body_in_parts_without_a_length_is_chunked() -> None:
    async def scene() -> None:
        async with Upstream(says(OK)) as upstream:
            await fetch(upstream, body=parts(b"ab", b"cd"))
            assert upstream.requests[0].endswith(b"\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")

    play(scene())


@pytest.mark.parametrize("body", [None, b"\xc3\xa9", b"\xc3\xa9" * MIB], ids=["none", "short", "long"])
def test_t130_header_values_are_opaque_bytes(body: bytes | None) -> None:
    async def scene() -> None:
        every = bytes([*range(0x20, 0x7F), *range(0x80, 0x100)]).strip()
        async with Upstream(says(OK)) as upstream:
            for streamed in (False, True) if body else (False,):
                given = parts(body[:2], body[2:]) if streamed and body else body
                await fetch(upstream, body=given, headers=[(b"x-odd", every), (b"x-even", b"1")])
                request = upstream.requests[-1]
                assert b"\r\nx-odd: " + every + b"\r\nx-even: 1\r\n" in request
                if body and not streamed:
                    assert request.endswith(b"\r\n\r\n" + body)

    play(scene())


def test_an_upstream_that_takes_no_body_is_given_up() -> None:
    async def scene() -> None:
        async def deaf(_up: Upstream, _head: bytes, _reader: Reader, _writer: Writer) -> None:
            await asyncio.sleep(3)

        async with Upstream(deaf, reads_bodies=False) as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetch(upstream, body=b"x" * (20 * MIB), seconds=0.5)
            assert caught.value.kind == "timeout"

    play(scene())


def test_an_error_says_nothing_of_the_request() -> None:
    async def scene() -> None:
        async with Upstream(says_and_resets()) as upstream:
            client = HttpClient(seconds=30, connections=1)
            with pytest.raises(UpstreamError) as caught:
                await client.send(Origin.of(upstream.url), "GET", b"Signature=secret", (), None)
            assert "secret" not in str(caught.value)
            assert caught.value.__cause__ is None
            await client.close()

    play(scene())


def test_a_reply_is_held_back_while_nobody_takes_it() -> None:
    async def scene() -> None:
        written = 0

        async def floods(_up: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
            nonlocal written
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (1 << 30))
            while True:
                writer.write(b"x" * MIB)
                written += MIB
                await writer.drain()

        async with Upstream(floods) as upstream:
            client = HttpClient(seconds=30, connections=1)
            reply = await client.send(Origin.of(upstream.url), "GET", b"", (), None)
            assert await still(lambda: written) < 64 * MIB
            reply.close()
            await client.close()

    play(scene())


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
STRAY = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nSTRAY"

# What an upstream says at once, and what it says later while nobody waits; both on one connection.
STRAYS = [
    pytest.param(OK, STRAY, id="a second answer later"),
    pytest.param(OK, STRAY[:20], id="the beginning of a second answer later"),
    pytest.param(OK, b"\n", id="one byte later"),
    pytest.param(OK, b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n", id="a 408 for idleness"),
    pytest.param(OK, b"HTTP/1.1 100 Continue\r\n\r\n", id="an interim answer later"),
    pytest.param(OK + STRAY, b"", id="a second answer at once"),
    pytest.param(OK + STRAY[:20], b"", id="the beginning of a second answer at once"),
    pytest.param(OK + STRAY[:20], STRAY[20:], id="a second answer, half at once and half later"),
    pytest.param(OK + b"\r\n", b"", id="an empty line at once"),
    pytest.param(OK, b"x", id="one byte that begins no answer later"),
    pytest.param(CHUNKED + b"\r\r\n\r\n", b"", id="empty lines behind chunks that end as an answer does"),
    pytest.param(
        HEAD + b"content-length: 4\r\n\r\n\r\n{}\r\n", b"", id="an empty line behind a body of lines"
    ),
    pytest.param(CHUNKED + STRAY, b"", id="a second answer behind chunks"),
    pytest.param(CHUNKED + STRAY[:20], STRAY[20:], id="a second answer behind chunks, half of it later"),
    pytest.param(CHUNKED, STRAY, id="a second answer later, behind chunks"),
    pytest.param(HEAD + b"content-length: 0\r\n\r\n" + STRAY, b"", id="a body behind a length of 0"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", STRAY, id="a second answer later, behind 204"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + STRAY, b"", id="behind an interim answer"),
    pytest.param(
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}" + STRAY,
        b"",
        id="behind an HTTP/1.0 answer that keeps the connection",
    ),
    pytest.param(
        HEAD + b"content-length: 300000\r\n\r\n" + b"x" * 300_000 + STRAY,
        b"",
        id="behind a body that waits for its reader",
    ),
]


@pytest.mark.parametrize(("at_once", "later"), STRAYS)
def test_a_connection_that_says_what_nobody_asked_for_is_closed_and_never_used_again(
    at_once: bytes, later: bytes
) -> None:
    async def scene() -> None:
        answered = asyncio.Event()

        async def stray(upstream: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
            if upstream.connections > 1:
                writer.write(OK)
                return
            writer.write(at_once)
            await answered.wait()
            writer.write(later)

        async with Upstream(stray) as upstream:
            client = HttpClient(seconds=30, connections=1)
            reply = await client.send(Origin.of(upstream.url), "POST", b"", (), b"{}")
            body = b"".join([chunk async for chunk in reply.chunks()])
            reply.close()
            assert body.strip() in (b"{}", b"", b"x" * 300_000), "the first caller has its answer"
            answered.set()
            await upstream.ended.wait()
            reply = await client.send(Origin.of(upstream.url), "POST", b"", (), b"{}")
            assert b"".join([chunk async for chunk in reply.chunks()]) == b"{}"
            assert upstream.connections == 2
            await client.close()

    play(scene())


GARBAGE = [
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n{}", id="a body behind 204"),
    pytest.param(
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nSTRAY", id="the body that a 304 names"
    ),
    pytest.param(OK + b"more", id="more than the length"),
    pytest.param(OK + b"x", id="one byte more than the length"),
    pytest.param(CHUNKED + b"2\r\n{}\r\n", id="a chunk behind the last one"),
]


@pytest.mark.parametrize("reply", GARBAGE)
def test_a_reply_with_garbage_behind_it_in_one_read_is_an_error_and_the_connection_is_closed(
    reply: bytes,
) -> None:
    async def scene() -> None:
        async def once(upstream: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
            writer.write(reply if upstream.connections == 1 else OK)

        async with Upstream(once) as upstream:
            client = HttpClient(seconds=30, connections=1)
            with pytest.raises(UpstreamError) as caught:
                await client.send(Origin.of(upstream.url), "POST", b"", (), b"{}")
            assert caught.value.kind == "protocol"
            await upstream.ended.wait()
            reply_there = await client.send(Origin.of(upstream.url), "POST", b"", (), b"{}")
            assert reply_there.whole() == b"{}"
            await client.close()

    play(scene())


KEPT = [
    pytest.param((OK,), id="a length"),
    pytest.param((CHUNKED,), id="chunks"),
    pytest.param((CHUNKED[:-1], CHUNKED[-1:]), id="the last byte comes alone"),
    pytest.param((OK[:1], OK[1:]), id="the first byte comes alone"),
    pytest.param((b"HTTP/1.1 204 No Content\r\n\r\n",), id="no body"),
    pytest.param((HEAD + b"content-length: 0\r\n\r\n",), id="an empty body"),
    pytest.param((b"HTTP/1.1 103 Early Hints\r\n\r\n", OK), id="an interim answer before it"),
    pytest.param((HEAD + b"content-length: 40000\r\n\r\n" + b"x" * 40_000,), id="a larger body"),
]


@pytest.mark.parametrize("parts", KEPT)
def test_a_connection_whose_replies_end_where_they_should_is_used_again(parts: tuple[bytes, ...]) -> None:
    async def scene() -> None:
        async def says_parts(_up: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.01)

        async with Upstream(says_parts) as upstream:
            client = HttpClient(seconds=30, connections=1)
            for _ in range(3):
                reply = await client.send(Origin.of(upstream.url), "POST", b"", (), b"{}")
                assert b"".join([chunk async for chunk in reply.chunks()]).strip(b"x") in (b"{}", b"")
                reply.close()
            assert upstream.connections == 1
            await client.close()

    play(scene())


def test_what_waits_in_the_kernel_of_an_idle_connection_is_no_answer() -> None:
    """A stray answer that the event loop has not read yet when the next caller comes."""

    async def scene() -> None:
        async with Upstream(says(OK)) as upstream:
            client = HttpClient(seconds=30, connections=1)
            reply = await client.send(Origin.of(upstream.url), "POST", b"", (), b"{}")
            assert reply.whole() == b"{}"
            (writer,) = upstream._open  # noqa: SLF001 - the upstream's side of the one connection
            sock = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
            with sock:
                sock.sendall(STRAY)  # in this turn of the event loop: nobody reads it before the next call
                reply = await client.send(Origin.of(upstream.url), "POST", b"", (), b"{}")
            assert b"".join([chunk async for chunk in reply.chunks()]) == b"{}"
            assert upstream.connections == 2
            await client.close()

    play(scene())


def test_a_connection_is_not_used_again_when_the_reply_came_before_the_request_was_whole() -> None:
    async def scene() -> None:
        go = asyncio.Event()

        async def slow_body() -> AsyncIterator[bytes]:
            yield b"ab"
            await go.wait()
            yield b"cd"

        async with Upstream(says(OK), reads_bodies=False) as upstream:
            client = HttpClient(seconds=30, connections=1)
            reply = await client.send(
                Origin.of(upstream.url), "POST", b"", [(b"content-length", b"4")], slow_body()
            )
            assert b"".join([chunk async for chunk in reply.chunks()]) == b"{}"
            reply.close()
            go.set()
            reply = await client.send(Origin.of(upstream.url), "POST", b"", (), b"{}")
            assert b"".join([chunk async for chunk in reply.chunks()]) == b"{}"
            assert upstream.connections == 2
            await client.close()

    play(scene())


def test_a_reply_that_ends_with_the_connection_is_the_last_one_there() -> None:
    async def scene() -> None:
        async with Upstream(says_and_closes(HEAD + b"\r\n{}")) as upstream:
            client = HttpClient(seconds=30, connections=1)
            for _ in range(2):
                reply = await client.send(Origin.of(upstream.url), "POST", b"", (), b"{}")
                assert b"".join([chunk async for chunk in reply.chunks()]) == b"{}"
                reply.close()
            assert upstream.connections == 2
            await client.close()

    play(scene())


BODIES: dict[str, Callable[[], Body]] = {
    "no body": lambda: None,
    "a short body": lambda: b"abcd",
    "a body in slices": lambda: b"abcd" * 50_000,
    "a body in parts": lambda: parts(b"abcd" * 10, b"efgh"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_what_was_not_written_goes_to_a_new_connection(body: Callable[[], Body], reset: bool) -> None:
    """The upstream ends a kept connection in the turn of the event loop in which the next request begins."""

    async def scene() -> None:
        async with Upstream(says(OK)) as upstream:
            client = HttpClient(seconds=30, connections=1)
            for at in (1, 2, 3):
                if at == 2:
                    (writer,) = upstream._open  # noqa: SLF001 - the upstream's side of the one connection
                    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as sock:
                        if reset:
                            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                            writer.transport.abort()
                        sock.shutdown(socket.SHUT_WR)
                reply = await client.send(Origin.of(upstream.url), "POST", b"", (), body())
                assert b"".join([chunk async for chunk in reply.chunks()]) == b"{}"
                assert len(upstream.requests) == at
            assert upstream.connections == 2
            request, again, last = upstream.requests
            assert request == again == last
            await client.close()

    play(scene())


def test_what_was_written_in_part_is_not_sent_again() -> None:
    async def scene() -> None:
        closed = asyncio.Event()

        async def first_part_ends(up: Upstream, head: bytes, reader: Reader, writer: Writer) -> None:
            if len(up.requests) == 1:
                await says(OK)(up, head, reader, writer)
                return
            await reader.readexactly(2)
            writer.close()
            closed.set()

        async def slow_body() -> AsyncIterator[bytes]:
            yield b"ab"
            await closed.wait()
            await settled()
            yield b"cd"

        async with Upstream(first_part_ends, reads_bodies=False) as upstream:
            client = HttpClient(seconds=30, connections=1)
            reply = await client.send(Origin.of(upstream.url), "POST", b"", (), None)
            assert reply.whole() == b"{}"
            with pytest.raises(UpstreamError) as caught:
                await client.send(
                    Origin.of(upstream.url), "POST", b"", [(b"content-length", b"4")], slow_body()
                )
            assert caught.value.kind == "reset"
            assert (upstream.connections, len(upstream.requests)) == (1, 2)
            await client.close()

    play(scene())


@pytest.mark.parametrize(
    ("idle_seconds", "pause", "connections"),
    [
        pytest.param(PATIENCE, 0.05, 1, id="kept"),
        pytest.param(0.2, 0.5, 3, id="kept for too short a time"),
        pytest.param(0, 0, 3, id="not kept at all"),
    ],
)
def test_an_idle_connection_is_kept_for_as_long_as_the_settings_say(
    idle_seconds: float, pause: float, connections: int
) -> None:
    async def scene() -> None:
        async with Upstream(says(OK)) as upstream:
            client = HttpClient(seconds=30, connections=1, idle_seconds=idle_seconds)
            for _ in range(3):
                reply = await client.send(Origin.of(upstream.url), "GET", b"", (), None)
                assert reply.whole() == b"{}"
                reply.close()
                await asyncio.sleep(pause)
            assert upstream.connections == connections
            await client.close()

    play(scene())


@pytest.mark.heavy
def test_a_reply_of_one_gibibyte_passes_in_little_memory() -> None:
    async def scene() -> int:
        async def floods(_up: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (1 << 30))
            for _ in range(1024):
                writer.write(b"x" * MIB)
                await writer.drain()

        async with Upstream(floods) as upstream:
            client = HttpClient(seconds=30, connections=1)
            reply = await client.send(Origin.of(upstream.url), "GET", b"", (), None)
            passed = 0
            async for chunk in reply.chunks():
                passed += len(chunk)
            await client.close()
            return passed

    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert play(scene()) == 1 << 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
