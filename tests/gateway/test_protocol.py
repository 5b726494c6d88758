"""What a listener bounds before there is a request, over real sockets (THREATS 3.5.8, T26, T61, T62)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from camguard.gateway import server
from camguard.gateway.protocol import Bounds
from camguard.gateway.server import listen, listening
from tests.gateway.stage import BOUNDS, POST, Writer, ask, play, post, serving, settled
from tests.running import PATIENCE

PATIENT = BOUNDS._replace(head_seconds=2 * PATIENCE, body_seconds=2 * PATIENCE)
TIGHT = Bounds(head_seconds=0.3, body_seconds=0.4, head_bytes=2000, connections=100)


class App:
    """Read a request to its end and answer 200. scopes: of each request, as they are at its end."""

    def __init__(self, answer: bytes = b"{}") -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be the application."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            more = message["more_body"]
        self.scopes.append(scope)
        self.bodies.append(body)
        length = str(len(self.answer)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.answer})


async def trickle(writer: Writer, data: bytes, pause: float = 0.02) -> bool:
    """Send one byte after the other; return whether the other side has taken all of them."""
    try:
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        return False
    return True


SLOW = [
    pytest.param(b"", b"", b"", id="nothing is sent"),
    pytest.param(b"", b"\r\n" * 400, b"408", id="empty lines are sent for ever"),
    pytest.param(b"", POST, b"408", id="a head comes byte by byte"),
    pytest.param(POST, b"x-slow: " + b"x" * 400, b"408", id="a value comes byte by byte"),
    pytest.param(POST + b"content-length: 400\r\n\r\n", b"x" * 400, b"", id="a body comes byte by byte"),
    pytest.param(
        POST + b"transfer-encoding: chunked\r\n\r\n0\r\n",
        b"x-t: 1\r\n" * 50,
        b"",
        id="trailers come for ever",
    ),
    pytest.param(post(close=False), b"", b"200", id="nothing comes after an answer"),
    pytest.param(post(close=False), POST, b"408", id="the next head comes byte by byte"),
]


ENDLESS = [
    pytest.param(b"2\r\n{}\r\n0\r\nx-late: ", id="T60 a trailer without end"),
    pytest.param(b"2\r\n{}\r\n2;x=", id="T60 a chunk extension without end"),
]


@pytest.mark.parametrize("beginning", ENDLESS)
def test_what_a_parser_would_keep_for_ever_is_cut_by_its_bytes(beginning: bytes) -> None:
    patient = Bounds(head_seconds=20, body_seconds=20, head_bytes=2000, connections=100)

    async def scene() -> int:
        sent = 0
        async with serving(App(), patient) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"transfer-encoding: chunked\r\n\r\n" + beginning)
            with contextlib.suppress(ConnectionError):
                while sent < 64 << 20:
                    writer.write(b"x" * 65_536)
                    await writer.drain()
                    sent += 65_536
            writer.close()
        return sent

    assert play(scene()) < 32 << 20, "what the sockets on the way hold, and no more"


@pytest.mark.parametrize(("at_once", "slowly", "status"), SLOW)
def test_a_connection_that_makes_us_wait_is_cut_at_the_deadline(
    at_once: bytes, slowly: bytes, status: bytes
) -> None:
    async def scene() -> None:
        async with serving(App(), TIGHT) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(at_once)
            began = time.monotonic()
            sending = asyncio.create_task(trickle(writer, slowly))
            try:
                got = await reader.read()
            except ConnectionError:  # a byte was on its way when the connection was closed
                got = status
            took = time.monotonic() - began
            cut = not slowly or not sending.done() or not sending.result()
            sending.cancel()
            writer.close()
            assert status in got
            assert took > 0.2
            assert cut, "it is cut while bytes still come"

    play(scene())


def test_a_client_that_never_reads_its_answer_is_cut() -> None:
    async def scene() -> None:
        async with serving(App(b"x" * 50_000_000), TIGHT) as port:
            loop = asyncio.get_running_loop()
            with socket.create_connection(("127.0.0.1", port)) as deaf:
                deaf.setblocking(False)
                await loop.sock_sendall(deaf, post())
                await asyncio.sleep(0.1)
                while True:  # look at the connection without taking the answer
                    try:
                        deaf.send(b"x")
                    except BlockingIOError:
                        pass
                    except ConnectionError:
                        break
                    await asyncio.sleep(0.02)

    play(scene())


LARGE = [
    pytest.param(b"x-a: " + b"x" * 10_000, id="one long value"),
    pytest.param(b"x-a: 1\r\n" * 2000, id="many lines"),
]


@pytest.mark.parametrize("lines", LARGE)
def test_a_head_that_does_not_end_within_its_bytes_is_refused(lines: bytes) -> None:
    async def scene() -> None:
        app = App()
        async with serving(app, TIGHT) as port:
            answer = await ask(port, POST + lines)
            assert answer.startswith(b"HTTP/1.1 431 ")
        assert app.scopes == []

    play(scene())


def test_a_target_that_does_not_end_is_refused() -> None:
    async def scene() -> None:
        async with serving(App(), TIGHT) as port:
            assert (await ask(port, b"GET /?" + b"x" * 10_000)).startswith(b"HTTP/1.1 431 ")

    play(scene())


@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["in one packet", "after the application has begun"])
def test_trailers_never_reach_the_headers(pause: float) -> None:
    async def scene() -> None:
        app = App()
        head = (
            POST
            + b"x-tc-action: QueryArea\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"
        )
        async with serving(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            await asyncio.sleep(pause)
            writer.write(b"0\r\nx-tc-action: DeleteBudget\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        (scope,) = app.scopes
        assert [value for name, value in scope["headers"] if name == b"x-tc-action"] == [b"QueryArea"]

    play(scene())


ODD = [
    pytest.param(b"GET /\r\n\r\n", id="HTTP/0.9"),
    pytest.param(b"GET / HTTP/2.0\r\nhost: h\r\n\r\n", id="HTTP/2.0 in words"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="the preface of HTTP/2"),
    pytest.param(
        POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="two framings"
    ),
    pytest.param(POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}", id="two lengths"),
    pytest.param(POST + b"x: a\r\n b\r\n\r\n", id="a folded line"),
    pytest.param(POST + b"x: a\x01b\r\n\r\n", id="a control byte"),
    pytest.param(b"\x16\x03\x01\x02\x00", id="TLS on a plain port"),
    pytest.param(b"GET http://evil/ HTTP/1.1\r\nhost: h\r\n\r\n", id="T41 a target of another host"),
    pytest.param(b"GET http://a@h/ HTTP/1.1\r\nhost: h\r\n\r\n", id="T41 a target with a user"),
    pytest.param(b"GET http://h/ HTTP/1.1\r\n\r\n", id="T41 a target's host alone"),
    pytest.param(b"GET /?A=1#x HTTP/1.1\r\nhost: h\r\n\r\n", id="T39 a fragment"),
    pytest.param(
        b"PROXY TCP4 203.0.113.7 10.0.0.1 4242 80\r\n" + POST + b"\r\n", id="T18 the PROXY protocol in text"
    ),
    pytest.param(
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + POST + b"\r\n",
        id="T18 the PROXY protocol in bytes",
    ),
]


@pytest.mark.parametrize("request_bytes", ODD)
def test_what_is_no_request_never_reaches_the_application(request_bytes: bytes) -> None:
    async def scene() -> None:
        app = App()
        async with serving(app, TIGHT) as port:
            answer = await ask(port, request_bytes)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
        assert app.scopes == []

    play(scene())


def test_a_target_as_sent_to_a_proxy_is_read_where_it_names_the_same_host() -> None:
    async def scene() -> None:
        app = App()
        async with serving(app, TIGHT) as port:
            answer = await ask(
                port, b"GET http://H:80/?a=b HTTP/1.1\r\nhost: h:80\r\nconnection: close\r\n\r\n"
            )
            assert answer.startswith(b"HTTP/1.1 200 ")
        (scope,) = app.scopes
        assert (scope["path"], scope["query_string"]) == ("/", b"a=b")

    play(scene())


def test_connections_are_bounded() -> None:
    async def scene() -> None:
        async with serving(App(), BOUNDS._replace(connections=2)) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            assert (await ask(port, post())).startswith(b"HTTP/1.1 503 ")
            held[0][1].close()
            while not (await ask(port, post())).startswith(
                b"HTTP/1.1 200 "
            ):  # its place is free a little later
                pass
            held[1][1].close()

    play(scene())


def test_pipelined_requests_are_answered_in_order() -> None:
    async def scene() -> None:
        app = App()
        async with serving(app) as port:
            answer = await ask(port, post(b"1", close=False) + post(b"2", close=False) + post(b"3"))
        assert answer.count(b"HTTP/1.1 200 ") == 3
        assert app.bodies == [b"1", b"2", b"3"]

    play(scene())


def slow_app(entered: asyncio.Event, go: asyncio.Event) -> ASGIApp:
    """Answer once told to."""
    app = App()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await go.wait()
        await app(scope, receive, send)

    return slow


def test_stopping_finishes_what_is_in_flight_and_accepts_nothing_more() -> None:
    async def scene() -> None:
        entered, go = asyncio.Event(), asyncio.Event()
        listener = await listen(slow_app(entered, go), socket.create_server(("127.0.0.1", 0)), BOUNDS)
        asked = asyncio.create_task(ask(listener.port, post(close=False)))
        await entered.wait()
        stopping = asyncio.create_task(listener.stop(2 * PATIENCE))
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.close()
        assert not stopping.done()
        go.set()
        answer = await asked
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"{}")
        await stopping

    play(scene())


def test_a_request_that_meets_the_stop_on_an_idle_connection_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "LINGER_SECONDS", PATIENCE)

    async def scene() -> None:
        listener = await listen(App(), socket.create_server(("127.0.0.1", 0)), BOUNDS)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(post(close=False))
        await reader.readuntil(b"{}")
        stopping = asyncio.create_task(listener.stop(2 * PATIENCE))
        await settled()
        writer.write(post(close=False))
        answer = await reader.read()  # to the end: the connection is closed behind it
        assert answer.startswith(b"HTTP/1.1 200 ")
        await stopping
        writer.close()

    play(scene())


def test_stopping_cuts_what_does_not_finish() -> None:
    async def scene() -> None:
        entered, go = asyncio.Event(), asyncio.Event()
        sock = socket.create_server(("127.0.0.1", 0))
        async with listening(slow_app(entered, go), sock, BOUNDS, 0.2) as listener:
            asked = asyncio.create_task(ask(listener.port, post()))
            await entered.wait()
        assert b"200" not in await asked

    play(scene())


def test_idle_connections_do_not_hold_up_the_stop() -> None:
    async def scene() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        async with listening(App(), sock, PATIENT, 2 * PATIENCE) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            await settled()
        writer.close()

    play(scene())


@pytest.mark.heavy
def test_a_thousand_slow_clients_do_not_hold_up_a_quick_one() -> None:
    async def scene() -> None:
        async with serving(App(), Bounds(2, 2, 65536, 5000)) as port:
            slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1000)]
            sending = [asyncio.create_task(trickle(writer, POST * 3, 1.0)) for _, writer in slow]
            began = time.process_time()
            for _ in range(200):
                assert (await ask(port, post())).startswith(b"HTTP/1.1 200 ")
            assert time.process_time() - began < 5
            ends = await asyncio.gather(*(reader.read() for reader, _ in slow), return_exceptions=True)
            assert len(ends) == 1000
            for task in sending:
                task.cancel()
            for _, writer in slow:
                writer.close()

    play(scene())
