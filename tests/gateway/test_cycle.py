"""Answers on their way to the caller: how many writes they take, what ends them, and that none is lost."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from camguard.gateway.cycle import CONTINUE, DEPARTURE_KEY, JOINED_BYTES, Cycle
from camguard.middleware import WHOLE_ANSWER
from tests.gateway.stage import play

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LARGE = b"x" * (JOINED_BYTES + 1)


class Wire:
    """A connection that keeps what is written to it, each write apart."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = self.closed = False
        self.transport, self.tasks = self, set[asyncio.Task[None]]()
        self.flow = SimpleNamespace(write_paused=False)
        self.loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        """Keep the bytes of one write."""
        self.written.append(data)

    def is_closing(self) -> bool:
        """Tell whether the connection is ending."""
        return self.closing

    def wake(self) -> None:
        """Do nothing: all has been read."""

    def on_response_complete(self) -> None:
        """Do nothing: there is no other request."""

    def close_behind_answer(self) -> None:
        """Note the end of the connection."""
        self.closed = True


def begun(wire: Wire, method: str = "POST", *, old: bool = False, waits: bool = False) -> Cycle:
    """Return a request on a connection, with a whole body of no bytes."""
    cycle = Cycle(cast("Any", wire), method, keep_alive=not old, old=old, awaits_continue=waits)
    cycle.more_body = False
    cycle.arrived()
    return cycle


def start(*lines: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": lines}


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def whole(body: bytes, *lines: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": WHOLE_ANSWER, "status": 200, "headers": lines, "body": body}


def length(size: int) -> tuple[bytes, bytes]:
    return b"Content-Length", str(size).encode()


# What an application sends in one step, and the writes that it takes.
WRITES = [
    pytest.param([start(length(2)), part(b"{}")], [HEAD % 2 + b"{}"], id="a head and its body are one write"),
    pytest.param([start(length(0)), part(b"")], [HEAD % 0], id="a head without a body"),
    pytest.param([start(length(2))], [HEAD % 2], id="a head whose body comes later is written before it"),
    pytest.param(
        [start(length(2)), part(b"{", more=True), part(b"}")],
        [HEAD % 2 + b"{", b"}"],
        id="further parts are written as they come",
    ),
    pytest.param(
        [start(length(len(LARGE))), part(LARGE)], [HEAD % len(LARGE), LARGE], id="a large body is not copied"
    ),
    pytest.param(
        [start(), part(b"{", more=True), part(b"}")],
        [CHUNKS + b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"],
        id="a body without a declared length comes in chunks",
    ),
    pytest.param(
        [start(status=204), part(b"")], [b"HTTP/1.1 204 No Content\r\n\r\n"], id="a status without a body"
    ),
    pytest.param([whole(b"{}", length(2))], [HEAD % 2 + b"{}"], id="a whole answer is one write"),
    pytest.param([whole(b"{}")], [CHUNKS + b"2\r\n{}\r\n0\r\n\r\n"], id="a whole answer without a length"),
]


@pytest.mark.parametrize("direct", [pytest.param(True, id="by hand"), pytest.param(False, id="in a task")])
@pytest.mark.parametrize(("messages", "expected"), WRITES)
def test_an_answer_is_written(messages: list[Any], expected: list[bytes], *, direct: bool) -> None:
    assert answered(messages, direct=direct).written == expected


def answered(
    messages: Sequence[Any], method: str = "POST", *, direct: bool = True, old: bool = False
) -> Wire:
    """Return the connection on which an application sent messages, and then waited for a moment."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in messages:
            await send(message)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def scene() -> Wire:
        wire = Wire()
        asyncio.get_running_loop().call_soon(
            lambda: begun(wire, method, old=old).start(app, {}, direct=direct)
        )
        for _ in range(8):
            await asyncio.sleep(0)
        return wire

    return play(scene())


def test_a_head_request_gets_no_body() -> None:
    assert answered([start(length(2)), part(b"{}")], "HEAD").written == [HEAD % 2]
    assert answered([whole(b"{}", length(2))], "HEAD").written == [HEAD % 2]


# To a client of HTTP/1.0: the messages, and the writes.
OLD = [
    pytest.param(
        [start(length(2)), part(b"{}")],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"],
        id="a declared length stays",
    ),
    pytest.param(
        [start((b"transfer-encoding", b"chunked")), part(b"{", more=True), part(b"}")],
        [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{", b"}"],
        id="chunks are sent as they are, to the end of the connection",
    ),
]


@pytest.mark.parametrize(("messages", "expected"), OLD)
def test_an_http_1_0_client_gets(messages: list[Any], expected: list[bytes]) -> None:
    wire = answered(messages, old=True)
    assert (wire.written, wire.closed) == (expected, True)


BROKEN = [
    pytest.param([start(length(2)), part(b"{}!")], id="is longer than its length"),
    pytest.param([start(length(3)), part(b"{}")], id="is shorter than its length"),
    pytest.param([start(length(2)), part(b"{", more=True)], id="has no end"),
    pytest.param([start((b"a", b"b\r\nset-cookie: c")), part(b"")], id="has a line break in a value"),
    pytest.param([start((b"a:b", b"c")), part(b"")], id="has a colon in a name"),
    pytest.param([start(), start()], id="begins twice"),
    pytest.param([start(), whole(b"")], id="begins twice, the second time as a whole"),
    pytest.param([whole(b"{}!", length(2))], id="is a whole that is longer than its length"),
    pytest.param([whole(b"{}", length(3))], id="is a whole that is shorter than its length"),
]


@pytest.mark.parametrize("messages", BROKEN)
def test_the_connection_ends_where_an_answer(messages: list[Any]) -> None:
    wire = answered(messages)
    assert wire.closed
    assert b"set-cookie" not in b"".join(wire.written)
    assert not b"".join(wire.written).endswith(b"0\r\n\r\n")


def test_status_500_is_sent_where_the_application_sends_nothing() -> None:
    wire = answered([])
    assert [data.partition(b"\r\n")[0] for data in wire.written] == [b"HTTP/1.1 500 Internal Server Error"]
    assert wire.closed


@pytest.mark.parametrize("direct", [pytest.param(True, id="by hand"), pytest.param(False, id="in a task")])
def test_a_request_that_has_ended_leaves_nothing_to_the_garbage_collector(*, direct: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope[DEPARTURE_KEY].watch(lambda: None)
        await receive()
        await send(start(length(2)))
        await asyncio.sleep(0)
        await send(part(b"{}"))
        scope[DEPARTURE_KEY].watch(None)

    async def scene() -> bool:
        wire = Wire()
        ended = []

        def begin() -> None:
            cycle = begun(wire)
            ended.append(weakref.ref(cycle))
            cycle.start(app, {DEPARTURE_KEY: cycle}, direct=direct)

        asyncio.get_running_loop().call_soon(begin)
        for _ in range(8):
            await asyncio.sleep(0)
        assert wire.written[-1].endswith(b"{}")
        return ended[0]() is None

    gc.collect()
    gc.disable()
    try:
        assert play(scene())
    finally:
        gc.enable()


def test_an_interim_answer_is_written_at_once() -> None:
    async def scene() -> list[bytes]:
        wire = Wire()
        await begun(wire, waits=True).receive()
        return wire.written

    assert play(scene()) == [CONTINUE]


def test_nothing_is_written_to_a_connection_that_is_ending() -> None:
    async def scene() -> None:
        wire = Wire()
        cycle = begun(wire)
        await cycle.send(start(length(2)))
        wire.closing = True
        await cycle.send(part(b"{}"))
        cycle.flush()
        await asyncio.sleep(0)
        assert wire.written == []

    play(scene())


def test_what_is_written_after_the_event_loop_was_closed_is_dropped() -> None:
    async def scene() -> tuple[Wire, Cycle]:
        wire = Wire()
        cycle = begun(wire)
        cycle.start(never, {}, direct=True)
        await cycle.send(start(length(2)))
        return wire, cycle

    async def never(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(0)

    wire, cycle = play(scene())
    wire.written.clear()
    cycle.flush()
    with pytest.raises(StopIteration):
        cycle.send(part(b"{}")).send(None)
    assert wire.written == []
