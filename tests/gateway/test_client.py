"""The HTTP client by itself: what it may never do, whatever version is installed."""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from camguard.gateway.client import AiohttpClient, Body, Headers, UpstreamError
from tests.gateway.stage import OK, Reader, Upstream, Writer, play, says, says_and_resets

MIB = 1 << 20


async def fetch(
    upstream: Upstream, method: str = "POST", body: Body = None, headers: Headers = (), seconds: float = 5
) -> bytes:
    """Send one request with a client of its own; return the reply's body."""
    client = AiohttpClient(seconds=seconds, connections=10)
    try:
        reply = await client.send(URL(upstream.url), method, b"", headers, body)
        return b"".join([chunk async for chunk in reply.chunks()])
    finally:
        await client.close()


def test_aiohttp_is_told_not_to_repeat() -> None:
    async def scene() -> None:
        client = AiohttpClient(seconds=1, connections=1)
        assert client._session._retry_connection is False  # noqa: SLF001
        await client.close()

    play(scene())


def test_aiohttp_would_repeat_a_get_if_not_told() -> None:
    """The test of the tests: without the switch this very scene shows two requests."""

    async def scene() -> int:
        async def once_then_reset(up: Upstream, head: bytes, reader: Reader, writer: Writer) -> None:
            await (says(OK) if len(up.requests) == 1 else says_and_resets())(up, head, reader, writer)

        async with Upstream(once_then_reset) as upstream, aiohttp.ClientSession() as session:
            async with session.get(upstream.url) as first:
                await first.read()
            with pytest.raises(aiohttp.ClientError):
                await session.get(upstream.url)
            return len(upstream.requests)

    assert play(scene()) == 3


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
            client = AiohttpClient(seconds=1, connections=1)
            with pytest.raises(UpstreamError) as caught:
                await client.send(URL(upstream.url), "GET", b"Signature=secret", (), None)
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
            client = AiohttpClient(seconds=5, connections=1)
            reply = await client.send(URL(upstream.url), "GET", b"", (), None)
            await asyncio.sleep(0.3)
            assert written < 64 * MIB
            reply.close()
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
            client = AiohttpClient(seconds=5, connections=1)
            reply = await client.send(URL(upstream.url), "GET", b"", (), None)
            passed = 0
            async for chunk in reply.chunks():
                passed += len(chunk)
            await client.close()
            return passed

    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert play(scene()) == 1 << 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
