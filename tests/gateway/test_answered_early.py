"""Who is answered while still sending hears the answer, and cannot send for ever; over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import time
import tracemalloc
from collections.abc import Callable

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from camguard.gateway import protocol
from camguard.gateway.server import listen
from tests.asgi import respond
from tests.gateway.stage import BOUNDS, POST, Writer, ask, play, post, serving
from tests.running import PATIENCE

MIB = 1 << 20
PART = b"x" * (64 << 10)
CHUNK = b"%x\r\n" % len(PART) + PART + b"\r\n"
ROOMY = BOUNDS._replace(drain_bytes=64 * MIB)
NO = b'{"Response":{"Error":{"Code":"No"}}}'
LENGTH = (b"content-length", str(len(NO)).encode())
CLOSE = (b"connection", b"close")
ENDLESS = POST + b"transfer-encoding: chunked\r\n\r\n"


def refusing(after: int = 0, *lines: tuple[bytes, bytes]) -> ASGIApp:
    """Answer as soon as so many bytes of the body were read. lines: further ones of the answer's head."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        read = 0
        while read < after:
            read += len((await receive())["body"])
        await respond(send, NO, LENGTH, *lines)

    return app


REFUSED = refusing(0, CLOSE)


def sends_all(port: int, request: bytes) -> bytes:
    """Send everything, and only then read, to the end. Blocks."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
        raw.sendall(request)
        parts = []
        while part := raw.recv(65536):
            parts.append(part)
        return b"".join(parts)


def declared(size: int) -> bytes:
    return post(b"x" * size, close=False)


def chunked(size: int) -> bytes:
    return ENDLESS + CHUNK * (size // len(PART)) + b"0\r\n\r\n"


@pytest.mark.parametrize("spelled", [declared, chunked])
@pytest.mark.parametrize("after", [0, 1, 3 * MIB], ids=["at the head", "within the first bytes", "half way"])
def test_a_client_that_sends_all_before_it_reads_has_the_whole_answer(
    after: int, spelled: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends with the body: the client does not wait for one of the limits, which are far."""
    monkeypatch.setattr(protocol, "DRAIN_SECONDS", 2 * PATIENCE)

    async def scene() -> None:
        async with serving(refusing(after, CLOSE), ROOMY._replace(body_seconds=2 * PATIENCE)) as port:
            answer = await asyncio.to_thread(sends_all, port, spelled(10 * MIB))
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"\r\n\r\n" + NO)
            assert answer.count(b"connection: close") == 1

    play(scene())


def test_a_client_library_that_sends_all_before_it_reads_has_the_answer() -> None:
    def library(port: int) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("POST", "/", body=b"x" * (10 * MIB))
        answer = connection.getresponse()
        connection.close()
        return answer.read()

    async def scene() -> None:
        async with serving(REFUSED, ROOMY) as port:
            assert await asyncio.to_thread(library, port) == NO

    play(scene())


def test_a_client_that_requested_to_close_receives_an_early_answer_too() -> None:
    async def scene() -> None:
        async with serving(refusing(), ROOMY) as port:
            answer = await asyncio.to_thread(sends_all, port, post(b"x" * (10 * MIB)))
            assert answer.endswith(NO)

    play(scene())


async def pour(writer: Writer, part: bytes, most: int = 1 << 40) -> int:
    """Send the same part again and again, until cut. Return how many bytes were sent."""
    sent = 0
    try:
        while sent < most:
            writer.write(part)
            await writer.drain()
            sent += len(part)
    except (ConnectionError, RuntimeError):  # the latter: uvloop, of a connection that is closed
        pass
    return sent


NEVER = [
    pytest.param(POST + b"content-length: 99999999999\r\n\r\n", PART, id="a declared body"),
    pytest.param(ENDLESS, CHUNK, id="chunks"),
    pytest.param(ENDLESS + b"0\r\n", b"x-t: 1\r\n" * 5000, id="trailers"),
    pytest.param(ENDLESS + b"0\r\nx-t: ", PART, id="one trailer"),
    pytest.param(ENDLESS + b"1;x=", PART, id="a chunk's extension"),
]


@pytest.mark.parametrize(("head", "part"), NEVER)
def test_a_client_that_never_stops_is_cut_at_the_bound_and_nothing_is_kept(head: bytes, part: bytes) -> None:
    async def scene() -> None:
        bounds = BOUNDS._replace(drain_bytes=16 * MIB)
        async with serving(REFUSED, bounds) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            assert (await reader.readuntil(NO)).startswith(b"HTTP/1.1 200 ")
            tracemalloc.start()
            try:
                sent = await pour(writer, part)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            writer.close()
            assert bounds.drain_bytes < sent < bounds.drain_bytes + 16 * MIB  # what the kernel holds
            assert peak < 2 * MIB

    play(scene())


def test_a_body_without_end_behind_an_answer_that_keeps_the_connection_is_cut() -> None:
    async def scene() -> None:
        async with serving(refusing(), BOUNDS._replace(drain_bytes=16 * MIB)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(3):  # what is thrown away of one request is not held against the next
                writer.write(chunked(8 * MIB))
                await reader.readuntil(NO)
            writer.write(ENDLESS)
            await reader.readuntil(NO)
            assert 16 * MIB < await pour(writer, CHUNK, 64 * MIB) < 32 * MIB
            writer.close()

    play(scene())


@pytest.mark.parametrize("spelled", [declared, chunked])
def test_no_request_behind_the_refused_one_is_answered(spelled: Callable[[int], bytes]) -> None:
    async def scene() -> None:
        async with serving(REFUSED, ROOMY) as port:
            smuggled = spelled(MIB) + post() * 3
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(smuggled[:1000])
            await reader.readuntil(NO)
            writer.write(smuggled[1000:])
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    play(scene())


def test_the_end_of_a_declared_body_is_the_end_of_the_connection() -> None:
    async def scene() -> None:
        async with serving(REFUSED, BOUNDS._replace(connections=1)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"content-length: 10\r\n\r\n12345")
            await reader.readuntil(NO)
            assert (await ask(port, post())).startswith(b"HTTP/1.1 503 ")  # it counts as a connection
            writer.write(b"67890")
            assert await reader.read() == b""
            assert (await ask(port, post())).startswith(b"HTTP/1.1 200 ")
            writer.close()

    play(scene())


HANGING = [
    pytest.param(BOUNDS, 0.0, id="nothing more is sent"),
    pytest.param(BOUNDS._replace(body_seconds=0.6), 0.05, id="a byte now and then"),
]


@pytest.mark.parametrize(("bounds", "pause"), HANGING)
def test_a_client_that_hangs_on_to_its_answer_is_cut(
    bounds: protocol.Bounds, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "DRAIN_SECONDS", 0.3)

    async def scene() -> None:
        async with serving(REFUSED, bounds) as port:
            loop = asyncio.get_running_loop()
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.setblocking(False)
                await loop.sock_sendall(raw, ENDLESS)
                began = time.monotonic()
                with contextlib.suppress(ConnectionError):
                    while pause:
                        raw.send(b"1\r\nx\r\n")
                        await asyncio.sleep(pause)
                    while await loop.sock_recv(raw, 65536):
                        pass
                assert time.monotonic() - began < BOUNDS.body_seconds / 2

    play(scene())


def test_stopping_does_not_wait_for_clients_that_have_their_answer() -> None:
    async def scene() -> None:
        listener = await listen(REFUSED, socket.create_server(("127.0.0.1", 0)), ROOMY)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(ENDLESS + CHUNK)
        await reader.readuntil(NO)
        await listener.stop(2 * PATIENCE)
        writer.close()

    play(scene())


def test_an_answer_that_is_cut_short_ends_at_once() -> None:
    async def broken(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [LENGTH]})

    async def scene() -> None:
        async with serving(broken, BOUNDS._replace(connections=1)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(ENDLESS)
            assert NO not in await reader.read()
            assert (await ask(port, post(close=False))).startswith(b"HTTP/1.1 200 ")
            writer.close()

    play(scene())


@pytest.mark.heavy
def test_many_refused_uploads_at_once_all_receive_the_refusal() -> None:
    async def scene() -> None:
        async with serving(REFUSED, ROOMY) as port:

            async def upload() -> bytes:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(POST + b"content-length: %d\r\n\r\n" % (10 * MIB))
                await pour(writer, PART, 10 * MIB)
                answer = await reader.read()
                writer.close()
                return answer

            answers = await asyncio.gather(*(upload() for _ in range(200)))
            assert all(answer.endswith(NO) for answer in answers)

    play(scene())
