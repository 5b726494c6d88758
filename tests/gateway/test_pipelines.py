"""How a connection is read: one message at a time, in bounded turns, whatever arrives at once (T61, T62)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import socket
import time
from collections.abc import AsyncIterator
from functools import partial
from statistics import median
from typing import Any, NamedTuple, cast

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from camguard.gateway.parsing import MOST_READ_BYTES, QUANTUM, READ_UNITS, REQUEST_UNITS
from camguard.gateway.protocol import READ_PART_BYTES, READ_PARTS, BoundedProtocol, Bounds, bound
from camguard.gateway.server import listen
from camguard.gateway.turns import TURN
from tests.gateway.stage import BOUNDS, POST, ask, play, post, serving, settled, still, until

KIB, MIB = 1 << 10, 1 << 20
READ = 256 * KIB  # what uvloop takes at once
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
RANDOM = random.Random(5)  # noqa: S311 - no secret
TINY = b"GET / HTTP/1.1\r\n\r\n"
OK = [(b"content-length", b"2")]


class App:
    """Read each request to its end and answer it. messages: how many brought the body. open: requests now."""

    def __init__(self, go: asyncio.Event | None = None, answer: bytes = b"{}") -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []
        self.messages = self.open = self.most = 0
        self.left = 0
        self._go = go
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be the application."""
        self.scopes.append(scope)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            body, more = b"", True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    self.left += 1
                    return
                self.messages += 1
                body += message["body"]
                more = message["more_body"]
            self.bodies.append(body)
            if self._go is not None:
                await self._go.wait()
            length = (b"content-length", b"%d" % len(self._answer))
            await send({"type": "http.response.start", "status": 200, "headers": [length]})
            await send({"type": "http.response.body", "body": self._answer})
        finally:
            self.open -= 1


class Transport:
    """As much of a transport as the protocol uses, without a socket."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.paused = False

    def write(self, data: bytes) -> None:
        """Keep what is written."""
        self.written += data

    def is_closing(self) -> bool:
        """Say whether the connection ends."""
        return self.closed

    def close(self) -> None:
        """End the connection."""
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        """Read no more."""
        self.paused = True

    def resume_reading(self) -> None:
        """Read on."""
        self.paused = False

    def get_extra_info(self, _name: str) -> None:
        """Know nothing."""

    def can_write_eof(self) -> bool:
        """Refuse to end one side."""
        return False


class Connection(NamedTuple):
    """One connection without a socket."""

    protocol: BoundedProtocol
    transport: Transport

    async def take(self, data: bytes, turns: int = 8) -> None:
        """Bring bytes in one read and give the event loop so many turns."""
        self.protocol.data_received(data)
        for _ in range(turns):
            await asyncio.sleep(0)


def connections(
    app: ASGIApp, count: int = 1, bounds: Bounds = BOUNDS, *, direct: bool = False
) -> list[Connection]:
    """Return connections of one listener. direct: as for `bound`."""
    config = uvicorn.Config(app, ws="none", lifespan="off", interface="asgi3", log_config=None)
    config.load()
    factory = partial(bound(bounds, direct=direct), config=config, server_state=ServerState(), app_state={})
    made = []
    for _ in range(count):
        made.append(Connection(factory(), Transport()))
        made[-1].protocol.connection_made(cast("asyncio.Transport", made[-1].transport))
    return made


STREAMS = {
    "declared, chunked and none": post(b"ab", close=False)
    + CHUNKED
    + b"4\r\n\r\n\r\n\r\n7;x=y\r\n0\r\n\r\n{}\r\n0\r\nx-t: 1\r\n\r\n"
    + b"GET /?a=b HTTP/1.1\r\nhost: h\r\n\r\n",
    "chunks that hold what frames others": CHUNKED
    + b"19\r\n5000\r\nx\r\n\r\n0\r\n\r\n1\r\n\r\n\n5\r\n\r\n2\r\n\r\n\r\n"
    + b'00004;e="1"\r\n\r\n\r\n\r\n0;x\r\na: 5\r\n\r\n'
    + post(b"{}", close=False)
    + CHUNKED
    + b"0\r\n\r\n",
    "empty lines between": b"\r\n\r\n"
    + post(b"", close=False)
    + b"\r\n"
    + post(b"\r\n\r\n", close=False)
    + TINY,
    "an upgrade that nobody makes": b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    + TINY
    + post(b"{}", close=False),
}


async def heard(parts: list[bytes]) -> tuple[list[tuple[Any, ...]], int]:
    app = App()
    (connection,) = connections(app)
    for part in parts:
        await connection.take(part, 2)
    for _ in range(40):
        await asyncio.sleep(0)
    assert app.open == 0
    read = [
        (scope["method"], scope["query_string"], tuple(scope["headers"]), body)
        for scope, body in zip(app.scopes, app.bodies, strict=True)
    ]
    return read, connection.transport.written.count(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_requests_are_the_same_wherever_the_stream_is_cut(stream: bytes) -> None:
    async def scene() -> None:
        whole = await heard([stream])
        assert len(whole[0]) == whole[1] == 3
        for cut in range(1, len(stream)):
            assert await heard([stream[:cut], stream[cut:]]) == whole, cut
        assert await heard([stream[at : at + 1] for at in range(len(stream))]) == whole
        for _ in range(50):
            cuts = sorted(RANDOM.sample(range(1, len(stream)), 5))
            parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
            assert await heard(parts) == whole, cuts

    play(scene())


PIPELINES = [
    pytest.param(post(b"x" * 40, close=False), 2000, id="beyond the bytes of one head"),
    pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", 1000, id="chunked"),
    pytest.param(post(b"x" * 50_000, close=False), 20, id="with large bodies"),
    pytest.param(TINY, 3000, id="tiny"),
]


@pytest.mark.parametrize(("request_bytes", "count"), PIPELINES)
def test_good_pipelined_calls_are_all_served_in_order(request_bytes: bytes, count: int) -> None:
    async def scene() -> None:
        app = App()
        async with serving(app, BOUNDS._replace(head_bytes=2000)) as port:
            answer = await ask(port, request_bytes * count + post(b"last"))
        assert answer.count(b"HTTP/1.1 200 ") == count + 1
        assert app.bodies[-1] == b"last"
        assert app.most == 1, "one request of a connection at a time"

    play(scene())


def test_nothing_behind_a_request_is_parsed_before_its_answer() -> None:
    async def scene() -> None:
        go = asyncio.Event()
        app = App(go)
        (connection,) = connections(app)
        await connection.take(post(close=False) + TINY + b"GET / HTTP/9.9\r\n\r\n")
        assert len(app.scopes) == 1
        assert not connection.transport.closed, "what is malformed behind it is judged when its turn comes"
        go.set()
        await until(lambda: connection.transport.closed)
        assert re.findall(rb"HTTP/1.1 (\d+)", connection.transport.written) == [b"200", b"200", b"400"]
        assert len(app.scopes) == 2

    play(scene())


def test_two_messages_of_one_slice_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "slice_end", lambda _self, data, _at: len(data))

    async def scene() -> None:
        app = App()
        (connection,) = connections(app)
        await connection.take(TINY + TINY)
        assert len(app.scopes) == 1
        assert connection.transport.closed

    play(scene())


SMUGGLED = b"GET /?a=b HTTP/1.1\r\nhost: h\r\nx-camguard-principal: root\r\n\r\n"
UPGRADES = [
    pytest.param(
        POST
        + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: %d\r\n\r\n" % len(SMUGGLED)
        + SMUGGLED,
        id="with a length",
    ),
    pytest.param(
        POST
        + b"connection: upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        id="in chunks",
    ),
    pytest.param(
        b"CONNECT h:80 HTTP/1.1\r\nhost:\r\ncontent-length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        id="of a tunnel",
    ),
]


@pytest.mark.parametrize("stream", UPGRADES)
def test_t56_a_body_behind_an_upgrade_is_never_read_as_a_request(stream: bytes) -> None:
    async def scene() -> None:
        for size in (len(stream), 100, 1):
            app = App()
            (connection,) = connections(app)
            for at in range(0, len(stream), size):
                if not connection.transport.closed:
                    await connection.take(stream[at : at + size], 2)
            assert connection.transport.closed or connection.protocol.drained_at is not None
            assert connection.transport.written.count(b"HTTP/1.1 ") == 1
            assert not any(dict(scope["headers"]).get(b"x-camguard-principal") for scope in app.scopes)

    play(scene())


LENGTHS = [
    pytest.param(b"content-length: 2", id="in small letters"),
    pytest.param(b"Content-Length: 2", id="as most clients write it"),
    pytest.param(b"CONTENT-LENGTH: 2", id="in capitals"),
    pytest.param(b"content-length:2", id="without a blank"),
    pytest.param(b"content-length:  2 ", id="with blanks"),
    pytest.param(b"content-length: 02", id="with a zero before it"),
    pytest.param(b"x-wavelength: 9\r\nContent-Length: 2", id="behind a name with the same end"),
    pytest.param(b"x: content-length: 9\r\nContent-Length: 2", id="behind a value that spells a length"),
]


@pytest.mark.parametrize("line", LENGTHS)
def test_a_declared_length_is_found_however_it_is_written(line: bytes) -> None:
    stream = POST + line + b"\r\n\r\n{}"

    async def scene() -> None:
        whole = await heard([stream])
        assert [each[-1] for each in whole[0]] == [b"{}"]
        assert await heard([stream[:-2], stream[-2:]]) == whole
        assert await heard([stream + TINY]) == (whole[0] + (await heard([TINY]))[0], 2)

    play(scene())


HELD = [
    pytest.param(b"", TINY * (MIB // len(TINY)), id="heads"),
    pytest.param(b"", post(b"x" * 100_000, close=False) * 10, id="large bodies"),
    pytest.param(
        CHUNKED,
        (b"100\r\n" + b"x" * 256 + b"\r\n") * 9000,
        id="small chunks that the application does not take",
    ),
    pytest.param(
        CHUNKED, b"4000\r\n" + b"x" * 0x4000 + b"\r\n", id="chunks that the application does not take"
    ),
    pytest.param(POST + b"content-length: 9999999\r\n\r\n", b"x" * MIB, id="a body that it does not take"),
]


@pytest.mark.parametrize(("head", "more"), HELD)
def test_what_one_connection_holds_is_bounded(head: bytes, more: bytes) -> None:
    async def deaf(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    async def scene() -> None:
        listener = await listen(deaf, socket.create_server(("127.0.0.1", 0)), BOUNDS)
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(head + more * (20 * MIB // len(more)))
        most = looks = 0
        while looks < 60 or most <= 64 * KIB:
            looks += 1
            await asyncio.sleep(0.01)
            for connection in listener._state.connections:  # noqa: SLF001
                assert isinstance(connection, BoundedProtocol)
                body = len(connection.cycle.body) if connection.cycle else 0
                most = max(most, len(connection.held) + body)
        writer.transport.abort()
        await listener.stop(0)
        assert most <= 320 * KIB

    play(scene())


def test_one_byte_chunks_are_gathered() -> None:
    async def scene() -> None:
        app = App()
        async with serving(app) as port:
            body = bytes(RANDOM.choices(b"ab\r\n0;", k=30_000))
            chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
            answer = await ask(
                port, CHUNKED.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + chunks + b"0\r\n\r\n"
            )
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert app.bodies == [body]
        assert app.messages < len(body) / 500

    play(scene())


def chunked(size: int, count: int) -> bytes:
    head = POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n" % (size, b"x" * size) * count + b"0\r\n\r\n"


CHUNKINGS = [
    pytest.param(1, READ_PARTS + 3000, False, id="more one-byte chunks than may be read"),
    pytest.param(READ_PART_BYTES - 2, READ_PARTS + 3000, False, id="more small chunks than may be read"),
    pytest.param(1, READ_PARTS - 3000, True, id="as many one-byte chunks as may be read"),
    pytest.param(READ_PART_BYTES + 9, READ_PARTS + 3000, True, id="many chunks that are not small"),
]


@pytest.mark.parametrize(("size", "count", "taken"), CHUNKINGS)
def test_a_body_of_too_many_small_chunks_is_refused(size: int, count: int, *, taken: bool) -> None:
    async def scene() -> None:
        app = App()
        async with serving(app) as port:
            answer = await ask(port, chunked(size, count))
            await until(lambda: not app.open)
        assert answer.startswith(b"HTTP/1.1 200 " if taken else b"HTTP/1.1 400 ")
        assert app.bodies == ([b"x" * size * count] if taken else [])
        assert app.left == (not taken)

    play(scene())


def test_an_answer_that_has_begun_is_cut_where_the_chunks_turn_out_small() -> None:
    async def begins(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        while (await receive())["type"] == "http.request":
            pass

    async def scene() -> None:
        (connection,) = connections(begins)
        await connection.take(CHUNKED + b"2\r\n{}\r\n")
        for _ in range(READ_PARTS // 10_000 + 1):
            await connection.take(b"1\r\nx\r\n" * 10_000, 80)
        assert connection.transport.closed
        assert connection.transport.written.endswith(b"part")

    play(scene())


LARGE = [
    pytest.param(64 * KIB, 1, id="64 KiB"),
    pytest.param(MIB, 1, id="1 MiB"),
    pytest.param(KIB, 32, id="1 KiB"),
]


@pytest.mark.parametrize(("size", "most"), LARGE)
@pytest.mark.parametrize("framed", ["declared", "chunked"])
def test_few_large_bodies_are_complete_in_one_turn(size: int, most: int, framed: str) -> None:
    """Whoever judges a body reads all of it at once, in the turn after the one that parsed its last byte."""

    async def scene() -> None:
        app = App()
        many = connections(app, 40)
        head = (
            CHUNKED + b"%x\r\n" % size if framed == "chunked" else POST + b"content-length: %d\r\n\r\n" % size
        )
        last = b"x\r\n0\r\n\r\n" if framed == "chunked" else b"x"
        for connection in many:
            await connection.take(head)
            for start in range(0, size - 1, 32 * KIB):
                await connection.take(b"x" * min(32 * KIB, size - 1 - start), 3)
        assert app.bodies == []
        for connection in many:
            connection.protocol.data_received(last)
        judged = [0]
        while judged[-1] < len(many):
            await asyncio.sleep(0)
            judged.append(len(app.bodies))
        assert max(after - before for before, after in itertools.pairwise(judged)) <= most + 1

    play(scene())


ROUNDS = 6  # in which the same work is done again where its CPU time exceeds a bound
AT_ONCE = QUANTUM // REQUEST_UNITS  # requests of one connection in one turn

HOSTILE = {
    "one-byte chunks": (CHUNKED, b"1\r\nx\r\n"),
    "chunks of two bytes": (CHUNKED, b"2\r\nxx\r\n"),
    "chunks of 64 bytes": (CHUNKED, b"40\r\n" + b"x" * 64 + b"\r\n"),
    "chunks that hold empty lines": (CHUNKED, b"1000\r\n" + b"\r\n" * 2048 + b"\r\n"),
    "chunks that look like the last one": (CHUNKED, b"5000\r\n" + b"0\r\n\r\n" * 4096 + b"\r\n"),
    "chunk extensions": (CHUNKED, b"1;" + b"x" * 1000 + b"\r\nx\r\n"),
    "trailers": (CHUNKED + b"0\r\n", b"a:\r\n"),
    "heads": (b"", TINY),
    "heads with bodies": (b"", post(close=False)),
    "empty lines": (b"", b"\r\n"),
    "lines of one head": (TINY[:-2], b"a:\r\n"),
    "a declared body": (POST + b"content-length: 99999999\r\n\r\n", b"x"),
}
# One of each kind: bodies in chunks, trailers, heads, bodies of a length.
QUICKLY = {"one-byte chunks", "trailers", "heads", "a declared body"}


async def refuses(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": OK})
    await send({"type": "http.response.body", "body": b"no"})


@pytest.mark.usefixtures("no_collection")  # as the gateway freezes what it has loaded
@pytest.mark.parametrize(
    "app",
    [
        pytest.param(App(), id="read"),
        pytest.param(refuses, id="refused by its head", marks=pytest.mark.heavy),
    ],
)
@pytest.mark.parametrize(
    ("head", "part"),
    [
        pytest.param(*sent, id=name, marks=() if name in QUICKLY else pytest.mark.heavy)
        for name, sent in HOSTILE.items()
    ],
)
def test_no_turn_of_the_event_loop_is_long_whoever_sends_what(head: bytes, part: bytes, app: ASGIApp) -> None:
    """Fifty connections bring a full read each, and go on in turns of at most `TURN`.

    Each read and each turn counts by its least CPU time of some rounds, which do the same work: what other
    programs add differs from round to round.
    """
    data = (head + part * (READ // len(part)))[:READ]

    async def spent() -> tuple[list[float], list[float]]:
        reads, turns = [], []
        for connection in connections(app, 50, Bounds(50, 50, 106_000, 1000, head_lines=256)):
            before = time.thread_time()
            connection.protocol.data_received(data)
            reads.append(time.thread_time() - before)
        for _ in range(60):
            before = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - before)
        return reads, turns

    reads, turns = play(spent())
    for _ in range(ROUNDS):
        if max(reads) < 0.02 and max(turns) < 0.05:
            break
        again = play(spent())
        reads, turns = (list(map(min, *each)) for each in zip((reads, turns), again, strict=True))
    assert max(reads) < 0.02, "one read"
    assert max(turns) < 0.05, "one turn"


def test_pipelines_that_are_answered_without_tasks_take_turns() -> None:
    """Each connection brings 200 requests in one read, and each request is answered at its first step."""

    async def scene() -> None:
        served: list[Any] = []
        tasks: set[object] = set()

        async def counts(scope: Scope, receive: Receive, send: Send) -> None:
            served.append(scope["client"])
            tasks.add(asyncio.current_task())
            await receive()
            await refuses(scope, receive, send)

        many = connections(counts, 5, direct=True)
        for connection in many:
            asyncio.get_running_loop().call_soon(connection.protocol.data_received, post(close=False) * 200)
        turns = [0]
        while turns[-1] < 5 * 200:
            await asyncio.sleep(0)
            turns.append(len(served))
            for connection in many:
                assert connection.transport.written.count(b"HTTP/1.1 200 ") <= len(turns) * AT_ONCE
        assert max(after - before for before, after in itertools.pairwise(turns)) <= len(many) * AT_ONCE
        assert tasks == {None}

    play(scene())


@pytest.mark.parametrize("app", [App(), refuses], ids=["read", "refused by its head"])
@pytest.mark.parametrize("size", [READ, 32 * KIB], ids=["256 KiB", "32 KiB"])
def test_what_is_read_in_one_turn_is_bounded_over_all_connections(size: int, app: ASGIApp) -> None:
    """A thousand sockets have bytes at once. The event loop reads from each socket that is not paused."""

    async def scene() -> None:
        many = connections(app, 1000, Bounds(50, 50, 106_000, 1000))
        for connection in many:
            await connection.take(POST + b"content-length: 99999999\r\n\r\n", 1)
        await settled()
        data = b"x" * size
        served = set()
        for _ in range(100):
            reading = [connection for connection in many if not connection.transport.paused]
            read = 0
            for connection in reading:
                if not connection.transport.paused:
                    connection.protocol.data_received(data)
                    served.add(id(connection))
                    read += size
            assert read <= MOST_READ_BYTES + size
            await asyncio.sleep(0)
        assert len(served) == len(many), "each connection is read from in the end"
        paused = [connection for connection in many if connection.transport.paused]
        await asyncio.sleep(0)
        resumed = [connection for connection in paused if not connection.transport.paused]
        assert len(resumed) <= TURN // READ_UNITS

    play(scene())


def test_a_quiet_connection_is_served_beside_a_hundred_that_never_rest() -> None:
    async def scene() -> None:
        app = App()
        *hostile, quiet = connections(app, 101)
        for connection in hostile:
            connection.protocol.data_received(CHUNKED + b"1\r\nx\r\n" * (READ // 6))
        assert hostile[0].protocol.turns.spent >= TURN
        turns = 0
        quiet.protocol.data_received(post(b"quiet", close=False))
        while not quiet.transport.written:
            await asyncio.sleep(0)
            turns += 1
        assert turns < 4 * 100 * QUANTUM / TURN + 5, "those that came before have one quantum each"

    play(scene())


def test_refused_tiny_chunks_are_discarded_and_not_parsed() -> None:
    async def scene() -> None:
        (connection,) = connections(refuses, 1, BOUNDS._replace(drain_bytes=8 * MIB))
        await connection.take(CHUNKED)
        assert connection.transport.written.endswith(b"no")
        for _ in range(3):
            await connection.take(b"1\r\nx\r\n" * 1000)
        assert connection.protocol.drained_at is not None
        spent = []
        for _ in range(20):
            before = time.thread_time()
            await connection.take(b"1\r\nx\r\n" * (READ // 6), 1)
            spent.append(time.thread_time() - before)
        assert median(spent) < 0.0005
        assert not connection.transport.closed
        await connection.take(b"x" * 4 * MIB)
        assert connection.transport.closed, "the bound holds for what is not parsed"

    play(scene())


def test_the_lines_of_a_head_that_goes_on_are_bounded() -> None:
    async def scene() -> None:
        app = App()
        async with serving(app, BOUNDS._replace(head_lines=256)) as port:
            assert (await ask(port, POST + b"a:\r\n" * 10_000)).startswith(b"HTTP/1.1 431 ")
            assert (await ask(port, POST + b"a:\r\n" * 250 + b"connection: close\r\n\r\n")).startswith(
                b"HTTP/1.1 200 "
            )
        assert len(app.scopes) == 1

    play(scene())


def test_an_answer_that_has_begun_is_cut_where_the_body_turns_out_malformed() -> None:
    async def begins(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await receive()

    async def scene() -> None:
        async with serving(begins) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(CHUNKED + b"2\r\n{}\r\n")
            await reader.readuntil(b"part")
            writer.write(b"zz\r\n")
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    play(scene())


def test_a_client_that_reads_slowly_has_one_request_at_a_time_and_all_its_answers() -> None:
    async def scene() -> None:
        app = App(answer=b"x" * 100_000)
        async with serving(app) as port:
            loop = asyncio.get_running_loop()
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.setblocking(False)
                await loop.sock_connect(slow, ("127.0.0.1", port))
                await loop.sock_sendall(slow, post(close=False) * 200 + post())
                assert await still(lambda: len(app.scopes)) < 100, "requests wait until answers are taken"
                got = 0
                while part := await loop.sock_recv(slow, MIB):
                    got += part.count(b"x" * 1000)
                assert len(app.scopes) == 201
                assert got > 201 * 90
        assert app.most == 1

    play(scene())


def test_a_client_that_left_is_gone_for_every_request_it_pipelined() -> None:
    async def scene() -> None:
        app = App(asyncio.Event())
        (connection,) = connections(app)
        await connection.take(post(close=False) * 3)
        connection.transport.closed = True
        connection.protocol.connection_lost(None)
        await asyncio.sleep(0)
        assert connection.protocol.cycle is not None
        assert connection.protocol.cycle.disconnected
        assert len(app.scopes) == 1
        assert connection.protocol.held == b""

    play(scene())


def streams(*lines: tuple[bytes, bytes], status: int = 200) -> ASGIApp:
    """Answer in two parts."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": list(lines)})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    return app


OLD = [
    pytest.param(streams(), b"GET / HTTP/1.0\r\n\r\n", b"onetwo", id="ends with the connection"),
    pytest.param(
        streams((b"transfer-encoding", b"chunked")),
        b"GET / HTTP/1.0\r\n\r\n",
        b"onetwo",
        id="not as the application says",
    ),
    pytest.param(
        streams((b"content-length", b"6")), b"GET / HTTP/1.0\r\n\r\n", b"onetwo", id="has its declared length"
    ),
    pytest.param(
        streams(),
        b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        b"onetwo",
        id="ends though it should stay",
    ),
    pytest.param(streams(), b"HEAD / HTTP/1.0\r\n\r\n", b"", id="HEAD has no body"),
    pytest.param(
        streams(),
        b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
        b"onetwo",
        id="no 100 Continue",
    ),
]


@pytest.mark.parametrize(("app", "request_bytes", "body"), OLD)
def test_an_http_1_0_client_gets_no_chunks(app: ASGIApp, request_bytes: bytes, body: bytes) -> None:
    async def scene() -> None:
        async with serving(app) as port:
            head, _, rest = (await ask(port, request_bytes)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"transfer-encoding" not in head
        assert b"\r\nconnection: close" in head
        assert rest == body

    play(scene())


async def small_parts(size: int) -> AsyncIterator[bytes]:
    for _ in range(size):
        yield b"x"
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "head", [POST + b"content-length: 5000\r\n\r\n", CHUNKED], ids=["declared", "chunked"]
)
def test_a_body_in_tiny_messages_arrives_whole(head: bytes) -> None:
    async def scene() -> None:
        app = App()
        (connection,) = connections(app)
        await connection.take(head)
        async for part in small_parts(5000):
            await connection.take(part if b"content-length" in head else b"1\r\n" + part + b"\r\n", 1)
        await connection.take(b"" if b"content-length" in head else b"0\r\n\r\n")
        assert app.bodies == [b"x" * 5000]

    play(scene())


def test_an_answer_is_not_reset_by_pipelined_bytes_that_nobody_reads() -> None:
    """The kernel resets a connection that is closed with bytes unread, and a reset takes the answer along."""

    async def scene() -> None:
        go = asyncio.Event()
        app = App(go, answer=b"y" * 100_000)
        async with serving(app) as port:
            for _ in range(5):
                go.clear()
                app.scopes.clear()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(post() + TINY * 60_000)
                await until(lambda: app.scopes)
                await settled()
                go.set()
                await settled()
                assert (await reader.read()).endswith(b"y" * 100_000)
                assert len(app.scopes) == 1
                writer.close()

    play(scene())
