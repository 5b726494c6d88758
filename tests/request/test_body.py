"""Bodies: limits, deadline, budget, replay: rows T40, T52, T53, T58 to T61, T65.

Source: THREATS 3.5.5 to THREATS 3.5.8.
"""

from __future__ import annotations

import asyncio
import time
from collections import UserDict
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from camguard.request.body import (
    NOT_SHOWN,
    BodyBuffer,
    HeldBody,
    Receive,
    held_body,
    receiving,
    show_nothing,
    stream,
)
from camguard.request.deadline import Watch, resumed
from camguard.request.head import TRAILERS_APART
from camguard.request.rejection import Rejection, rejection
from camguard.request.waiting import Waiting
from tests.stage import FROM_OFFICE, FixedCaller, Play, Request, enforcement, limits, reply_to, sdk


def buffer(budget: int, seconds: float) -> BodyBuffer:
    """Return a buffer in which as many requests may wait as a test has."""
    return BodyBuffer(budget, seconds, Waiting(100, 100))


async def take(
    intake: BodyBuffer, receive: Receive, declared: int | None, limit: int
) -> bytes | Rejection | None:
    """Return what is taken, waiting for it where it is not there."""
    taken = intake.take(receive, declared, limit, None)
    found = await taken if isinstance(taken, Coroutine) else taken
    return found.data if isinstance(found, HeldBody) else found


LINES = sdk(FROM_OFFICE)
OCTETS = sdk(FROM_OFFICE, content_type=b"application/octet-stream")

VOUCHED: dict[str, Any] = {TRAILERS_APART: {}}
CHUNKED = (b"transfer-encoding", b"chunked")

# declared length, chunks, detail
FRAMES = [
    pytest.param(b"7", (b'{"A":1}',), "allowed", id="a length that is kept"),
    pytest.param(None, (b'{"A":1}',), "allowed", id="none declared"),
    pytest.param(b"07", (b'{"A":1}',), "allowed", id="a leading zero is a digit"),
    pytest.param(b"8", (b'{"A":1}',), "framing", id="T59 fewer bytes than declared"),
    pytest.param(b"6", (b'{"A":1}',), "framing", id="T59 more bytes than declared"),
    pytest.param(b"+7", (b'{"A":1}',), "framing", id="T53 a sign"),
    pytest.param(b"0x7", (b'{"A":1}',), "framing", id="T53 hexadecimal"),
    pytest.param(b"7, 7", (b'{"A":1}',), "framing", id="T53 a list"),
    pytest.param(b"", (b'{"A":1}',), "framing", id="T53 empty"),
    pytest.param(b" 7", (b'{"A":1}',), "framing", id="T53 a blank"),
    pytest.param(b"\xb2", (b'{"A":1}',), "framing", id="T53 a superscript digit"),
    pytest.param(b"0000000000000000007", (b'{"A":1}',), "framing", id="T53 nineteen digits"),
    pytest.param(b"999999999999999999", (b'{"A":1}',), "body_too_large", id="T60 declared too large"),
    pytest.param(b"7", (b'{"A"', b"", b":1}"), "allowed", id="in several messages, one of them empty"),
    pytest.param(b"7", (b'{"A"', b":1}x"), "framing", id="T59 more, in several messages"),
]


@pytest.mark.parametrize(("declared", "chunks", "detail"), FRAMES)
def test_frames(declared: bytes | None, chunks: tuple[bytes, ...], detail: str) -> None:
    lines = LINES if declared is None else (*LINES, (b"content-length", declared))
    reply = reply_to(lines=lines, chunks=chunks, length=False)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")
    if reply.passed:
        assert reply.taken == b"".join(chunks)


@pytest.mark.parametrize(
    ("extra", "detail"),
    [
        pytest.param((b"transfer-encoding", b"chunked"), "allowed", id="chunks"),
        pytest.param((b"transfer-encoding", b"Chunked"), "allowed", id="chunks in another case"),
        pytest.param((b"transfer-encoding", b"gzip, chunked"), "framing", id="T53 a list"),
        pytest.param((b"transfer-encoding", b"identity"), "framing", id="T53 another coding"),
        pytest.param((b"transfer-encoding", b"chunked "), "framing", id="T53 a trailing blank"),
        pytest.param((b"transfer-encoding", b""), "framing", id="T53 empty"),
    ],
)
def test_transfer_encoding(extra: tuple[bytes, bytes], detail: str) -> None:
    reply = reply_to(lines=(*LINES, extra), length=False, extensions=VOUCHED)
    assert reply.detail == detail
    if reply.passed:
        assert b"transfer-encoding" not in dict(reply.reached[0][0]["headers"])


# version of HTTP, method, further headers, extensions of the server, detail
UNDECLARED = [
    pytest.param("1.1", "POST", (CHUNKED,), {}, "trailers_possible", id="chunks"),
    pytest.param("1.0", "POST", (CHUNKED,), {}, "trailers_possible", id="chunks under HTTP/1.0"),
    pytest.param("1.1", "GET", (CHUNKED,), {}, "trailers_possible", id="a GET in chunks"),
    pytest.param("2", "POST", (), {}, "trailers_possible", id="no length over HTTP/2"),
    pytest.param("2", "POST", (CHUNKED,), {}, "trailers_possible", id="chunks over HTTP/2"),
    pytest.param("3", "POST", (), {}, "trailers_possible", id="no length over HTTP/3"),
    pytest.param("", "POST", (), {}, "trailers_possible", id="no length, and an unknown version"),
    pytest.param("2", "GET", (), {}, "allowed", id="a GET over HTTP/2: no client declares its length"),
    pytest.param("1.1", "GET", (), {}, "allowed", id="a GET without a body"),
    pytest.param("1.0", "POST", (), {}, "allowed", id="no length and no chunks under HTTP/1.0: no body"),
    pytest.param("1.1", "POST", (), {}, "allowed", id="no length and no chunks under HTTP/1.1: no body"),
    pytest.param("1.1", "POST", (CHUNKED,), VOUCHED, "allowed", id="chunks, and the server vouches"),
    pytest.param("2", "POST", (), VOUCHED, "allowed", id="no length over HTTP/2, and the server vouches"),
    pytest.param(
        "1.1", "POST", (CHUNKED,), {"http.response.push": {}}, "trailers_possible", id="another extension"
    ),
    pytest.param(
        "1.1",
        "POST",
        (CHUNKED, (TRAILERS_APART.encode(), b"{}"), (b"extensions", TRAILERS_APART.encode())),
        {},
        "trailers_possible",
        id="a client vouches for the server",
    ),
]


@pytest.mark.parametrize(("version", "method", "extra", "extensions", "detail"), UNDECLARED)
def test_t139_a_body_without_a_length(
    version: str, method: str, extra: Any, extensions: dict[str, Any], detail: str
) -> None:
    chunks = (b"",) if method == "GET" else (b"{}",)
    request_: dict[str, Any] = {
        "lines": (*LINES, *extra),
        "length": False,
        "version": version,
        "method": method,
    }
    reply = reply_to(**request_, chunks=chunks, extensions=extensions)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")
    if not reply.passed:
        assert reply.error["Code"] == "UnsupportedProtocol"
        assert reply.headers[b"connection"] == b"close"
        assert reply.records[0].principal is None  # nothing that may be a trailer is believed
        merged = enforcement(allow_merged_trailers=True)
        assert reply_to(merged, **request_, chunks=chunks).detail == (
            "body_on_get" if method == "GET" else "allowed"
        )
    assert reply_to(lines=LINES, chunks=(b"{}",), version=version).detail == "allowed"  # with a length


def test_t139_a_server_without_extensions_does_not_vouch_for_its_headers() -> None:
    scope = Request(lines=(*LINES, CHUNKED), length=False).scope()
    nothing: tuple[Any, ...] = (None, {})
    for extensions in nothing:
        scope["extensions"] = extensions
        assert asyncio.run(Play().serve(Request(), scope)).detail == "trailers_possible"
    del scope["extensions"]
    assert asyncio.run(Play().serve(Request(), scope)).detail == "trailers_possible"


# a GET's further headers, chunks, detail
GETS = [
    pytest.param((), (b"",), "allowed", id="none"),
    pytest.param(((b"content-length", b"0"),), (b"",), "allowed", id="a length of none"),
    pytest.param(((b"content-length", b"1"),), (b"x",), "body_on_get", id="T40 a declared body"),
    pytest.param(
        ((b"transfer-encoding", b"chunked"),), (b"",), "body_on_get", id="T40 chunks, even of nothing"
    ),
    pytest.param((), (b"Action=PayOrders",), "body_on_get", id="T40 a body of undeclared length (HTTP/2)"),
    pytest.param((), (b"", b"x"), "body_on_get", id="T40 a body in a second message"),
]


@pytest.mark.parametrize(("extra", "chunks", "detail"), GETS)
def test_t40_a_get_has_no_body(extra: Any, chunks: tuple[bytes, ...], detail: str) -> None:
    reply = reply_to(lines=(*LINES, *extra), method="GET", chunks=chunks, extensions=VOUCHED)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


def test_t60_a_body_at_its_limit_and_above() -> None:
    bounded = limits(body_bytes=100)
    assert reply_to(bounded, chunks=(b"x" * 100,), length=False).detail == "allowed"
    assert reply_to(bounded, chunks=(b"x" * 101,), length=False).detail == "body_too_large"
    assert (
        reply_to(bounded, chunks=(b"x" * 60, b"x" * 60, b"never taken"), length=False).detail
        == "body_too_large"
    )
    assert reply_to(bounded, chunks=(b"x" * 101,)).detail == "body_too_large"
    assert dict(reply_to(bounded, chunks=(b"x" * 101,)).sent[0]["headers"])[b"connection"] == b"close"


# parts of a body of at most 4 bytes, what is taken, how many parts are asked for
GROWING = [
    pytest.param(
        [(b"ab", True), (b"cde", True), (b"f", False)], rejection("body_too_large"), 2, id="T60 above"
    ),
    pytest.param([(b"ab", True), (b"cd", True), (b"", False)], b"abcd", 3, id="T60 at the limit"),
]


@pytest.mark.parametrize(("parts", "taken", "asked"), GROWING)
def test_t60_a_body_is_refused_as_soon_as_it_is_too_large(
    parts: list[tuple[bytes, bool]], taken: Any, asked: int
) -> None:
    receive, calls = messages(*parts), 0

    async def counted() -> Any:
        nonlocal calls
        calls += 1
        return await receive()

    assert asyncio.run(take(buffer(1000, 5.0), counted, None, 4)) == taken
    assert calls == asked


def test_t60_many_messages_take_linear_time() -> None:
    """Twenty megabytes in twenty thousand messages: to copy them anew each time would take minutes."""
    left = 20_000

    async def receive() -> Any:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": left > 0}

    began = time.process_time()
    taken = asyncio.run(take(buffer(1 << 30, 30.0), receive, None, 1 << 30))
    assert isinstance(taken, bytes)
    assert len(taken) == 20_000_000
    assert time.process_time() - began < 10


def test_t59_the_judged_bytes_go_on_once_and_then_the_client_leaves() -> None:
    play = Play()
    got: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        got.extend([await receive(), await receive(), await receive()])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    play.middleware.app = app
    server = [
        {"type": "http.request", "body": b"{}"},
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return server.pop(0)

    async def send(message: Any) -> None:
        pass

    asyncio.run(play.middleware(Request(lines=LINES, length=False).scope(), receive, send))
    assert got == [
        {"type": "http.request", "body": b"{}", "more_body": False},
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]


def test_t59_the_application_is_given_a_disconnect_when_the_client_leaves_and_not_before() -> None:
    async def scene() -> tuple[bool, dict[str, Any]]:
        left = asyncio.Event()

        async def client() -> dict[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        held = held_body(b"a", client)
        await held.receive()
        following = asyncio.ensure_future(held.receive())
        await asyncio.sleep(0)
        early = following.done()
        left.set()
        return early, dict(await following)

    assert asyncio.run(scene()) == (False, {"type": "http.disconnect"})


def test_t59_further_messages_of_a_server_are_not_passed_on() -> None:
    """After the last message of a body nothing but a disconnect can follow; nothing else is passed on."""
    play = Play()
    got: list[Any] = []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        got.extend([await receive(), await receive()])

    play.middleware.app = app

    async def endless() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    asyncio.run(play.middleware(Request(lines=LINES, length=False).scope(), endless, send))
    assert got[1] == {"type": "http.disconnect"}


@pytest.mark.parametrize("chunks", [(None,), (b"{", None), (b"", b"", None)])
def test_t65_a_client_that_leaves_reaches_nothing(chunks: tuple[bytes | None, ...]) -> None:
    reply = reply_to(lines=(*LINES, (b"content-length", b"7")), chunks=chunks)
    assert (reply.sent, reply.reached, reply.records) == ([], [], [])


def test_t61_a_slow_body_is_refused_at_the_deadline() -> None:
    play = Play(limits(body_seconds=0.05))
    reply = play.reply_to(lines=(*LINES, (b"content-length", b"7")), chunks=(b"{", b"}"), length=False)
    assert reply.detail == "framing"
    for chunks in ((), (b"",)):
        reply = asyncio.run(dribble(play, chunks))
        assert reply.detail == "request_timeout"
        assert reply.headers[b"connection"] == b"close"
        assert not reply.passed


async def dribble(play: Play, first: tuple[bytes, ...]) -> Any:
    """Serve a request whose body never ends."""
    request = Request(lines=LINES, length=False)
    waiting = list(first)
    sent: list[Any] = []

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": waiting.pop(0), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    before = len(play.records)
    await play.middleware(request.scope(), receive, send)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    reply = await play.serve(Request(lines=LINES))
    reply.sent, reply.records, reply.reached = sent, play.records[before : before + 1], []
    return reply


def test_t65_cancelled_while_waiting_leaves_nothing_behind() -> None:
    async def scene() -> None:
        play = Play()
        requests = [asyncio.create_task(dribble(play, (b"{",))) for _ in range(20)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert (play.guard.in_flight, play.guard.waiting) == (0, 20)
        assert play.guard.held == 20
        for task in requests:
            task.cancel()
        ends = await asyncio.gather(*requests, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}
        assert (play.guard.in_flight, play.guard.waiting, play.guard.held) == (0, 0, 0)
        assert (play.reached, play.records) == ([], [])

    asyncio.run(scene())


def test_a_budget_bounds_all_bodies_together() -> None:
    play = Play(limits(buffered_bytes=1000, body_bytes=900, form_bytes=900))
    release = asyncio.Event()
    went: list[int] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        went.append(len((await receive())["body"]))
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def scene() -> list[str]:
        play.middleware.app = app
        bodies = ((b"x" * 600,), (b"x" * 600,), (b"x" * 300, b"y" * 200), (b"x" * 300,))
        tasks = []
        for chunks in bodies:
            request = Request(lines=LINES, chunks=chunks, length=len(chunks) == 1)
            tasks.append(asyncio.create_task(served(play, request)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert play.guard.held == 900
        release.set()
        await asyncio.gather(*tasks)
        assert play.guard.held == 0
        return [record.decision.detail or "allowed" for record in play.records]

    assert asyncio.run(scene()) == ["allowed", "overloaded", "overloaded", "allowed"]
    assert went == [600, 300]


async def served(play: Play, request: Request) -> None:
    waiting = list(request.chunks)

    async def receive() -> Any:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        pass

    await play.middleware(request.scope(), receive, send)


def test_a_stream_of_bytes_passes_through_as_it_comes() -> None:
    reply = reply_to(lines=OCTETS, chunks=(b"ab", b"", b"cd"))
    assert [message["body"] for message in reply.reached[0][1]] == [b"ab", b"", b"cd"]
    assert reply.records[0].decision


def test_a_stream_of_bytes_is_held_where_a_signature_covers_it() -> None:
    authentication = FixedCaller(body=True)
    signed = (*OCTETS, (b"authorization", b"TC3-HMAC-SHA256 ..."))
    reply = reply_to(lines=signed, chunks=(b"ab", b"cd"), authentication=authentication)
    assert [message["body"] for message in reply.reached[0][1]] == [b"abcd"]
    assert authentication.requests[0][2] == b"abcd"


# declared length, chunks, what the application reads
STREAMS = [
    pytest.param(None, (b"ab", b"cd"), [b"ab", b"cd"], id="none declared"),
    pytest.param(b"4", (b"ab", b"cd"), [b"ab", b"cd"], id="a length that is kept"),
    pytest.param(b"3", (b"ab", b"cd"), [b"ab", None], id="T59 more than declared"),
    pytest.param(b"5", (b"ab", b"cd"), [b"ab", None], id="T59 fewer than declared"),
    pytest.param(None, (b"x" * 60, b"x" * 60), [b"x" * 60, None], id="T60 above the limit"),
    pytest.param(b"4", (b"ab", None), [b"ab", None], id="the client leaves"),
]


@pytest.mark.parametrize(("declared", "chunks", "read"), STREAMS)
def test_streams(declared: bytes | None, chunks: tuple[bytes | None, ...], read: list[bytes | None]) -> None:
    lines = OCTETS if declared is None else (*OCTETS, (b"content-length", declared))
    reply = reply_to(limits(body_bytes=100, form_bytes=100), lines=lines, chunks=chunks, length=False)
    assert [message.get("body") for message in reply.reached[0][1]] == read
    assert bool(reply.sent) == (None not in read)


def messages(*parts: tuple[bytes | None, bool]) -> Callable[[], Any]:
    """Return the `receive` of a server. parts: each with whether more follows; None: the client leaves."""
    waiting = list(parts)

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        body, more = waiting.pop(0)
        if body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": more}

    return receive


def test_a_stream_that_broke_its_bounds_stays_cut() -> None:
    async def scene() -> list[str]:
        receive = stream(messages((b"ab", True), (b"cd", True), (b"ef", False)), None, 3, 5.0, lambda: True)
        return [(await receive())["type"] for _ in range(4)]

    assert asyncio.run(scene()) == ["http.request", *["http.disconnect"] * 3]


def test_a_stream_that_is_cut_asks_the_server_for_nothing_more() -> None:
    asked = 0

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b"abcd", "more_body": True}

    async def scene() -> None:
        passed = stream(receive, None, 3, 5.0, lambda: True)
        for _ in range(3):
            assert await passed() == {"type": "http.disconnect"}

    asyncio.run(scene())
    assert asked == 1


def test_a_stream_has_the_deadline_too() -> None:
    async def scene() -> list[str]:
        receive = stream(messages((b"ab", True)), None, 100, 0.02, lambda: True)
        return [(await receive())["type"] for _ in range(3)]

    assert asyncio.run(scene()) == ["http.request", "http.disconnect", "http.disconnect"]


def test_a_stream_that_ended_passes_on_a_disconnect_only() -> None:
    async def scene() -> list[str]:
        receive = stream(messages((b"ab", False), (b"cd", False)), None, 100, 5.0, lambda: True)
        return [(await receive())["type"] for _ in range(2)]

    assert asyncio.run(scene()) == ["http.request", "http.disconnect"]


def test_a_stream_that_ended_has_no_deadline() -> None:
    """The deadline sends no disconnect to an application that waits for its client to leave."""

    async def scene() -> None:
        receive = stream(messages((b"ab", False)), None, 100, 0.01, lambda: True)
        assert (await receive())["body"] == b"ab"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.03)

    asyncio.run(scene())


def test_a_stream_asks_the_server_for_nothing_before_a_task_runs_it() -> None:
    """A deadline cancels the task that waits, so without a task a slow client would never be cut."""

    async def scene() -> None:
        asked: list[bool] = []

        async def receive() -> Any:
            asked.append(True)
            return {"type": "http.request", "body": b"ab"}

        async def streamed() -> Any:
            return await stream(receive, None, 100, 5.0, lambda: True)()

        begun, steps = streamed(), []
        asyncio.get_running_loop().call_soon(lambda: steps.append(begun.send(None)))
        await asyncio.sleep(0)
        assert (steps, asked) == ([None], [])
        assert (await asyncio.create_task(begun))["body"] == b"ab"

    asyncio.run(scene())


# declared length, parts, what the application reads of each, how often `holds` was asked until then
JUDGED_STREAMS = [
    pytest.param(
        4, [(b"ab", True), (b"cd", True), (b"", False)], [2, 2, 0], [0, 1, 1], id="an empty last part"
    ),
    pytest.param(4, [(b"ab", True), (b"cd", False)], [2, 2], [0, 1], id="two parts"),
    pytest.param(None, [(b"ab", True), (b"cd", True), (b"", False)], [2, 2, 0], [0, 0, 1], id="no length"),
    pytest.param(3, [(b"ab", True), (b"cd", True)], [2, None], [0, 0], id="more than was declared"),
    pytest.param(5, [(b"ab", True), (b"cd", False)], [2, None], [0, 0], id="less than was declared"),
    pytest.param(0, [(b"", False)], [0], [1], id="nothing"),
    pytest.param(4, [(b"abcd", True), (b"x", False)], [4, None], [1, 1], id="a part behind the last one"),
    pytest.param(None, [(b"ab", True), (None, False)], [2, None], [0, 0], id="the client leaves amid it"),
]


@pytest.mark.parametrize(("declared", "parts", "read", "asked"), JUDGED_STREAMS)
def test_a_stream_is_asked_about_once_when_all_of_it_is_here(
    declared: int | None, parts: list[tuple[bytes | None, bool]], read: list[int | None], asked: list[int]
) -> None:
    async def scene() -> tuple[list[int | None], list[int]]:
        calls: list[bool] = []

        def holds() -> bool:
            calls.append(True)
            return True

        receive = stream(messages(*parts), declared, 100, 5.0, holds)
        found, counts = [], []
        for _ in parts:
            message = await receive()
            found.append(len(message["body"]) if message["type"] == "http.request" else None)
            counts.append(len(calls))
        return found, counts

    assert asyncio.run(scene()) == (read, asked)


def test_the_last_part_of_a_stream_stays_here_where_the_call_does_not_hold() -> None:
    async def scene() -> list[str]:
        receive = stream(messages((b"ab", True), (b"cd", True), (b"", False)), 4, 100, 5.0, lambda: False)
        return [(await receive())["type"] for _ in range(3)]

    assert asyncio.run(scene()) == ["http.request", "http.disconnect", "http.disconnect"]


def test_the_deadline_of_a_stream_is_one_for_all_of_its_parts() -> None:
    async def paced() -> Any:
        await asyncio.sleep(0.1)
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def scene() -> list[str]:
        receive = stream(paced, None, 100, 0.25, lambda: True)
        return [(await receive())["type"] for _ in range(4)]

    assert asyncio.run(scene())[-1] == "http.disconnect"


def test_a_message_without_fields_is_an_empty_last_part() -> None:
    """The ASGI specification gives `body` and `more_body` these defaults."""

    async def bare() -> Any:
        return {"type": "http.request"}

    async def scene() -> tuple[bytes | Rejection | None, bytes | Rejection | None, int, str]:
        intake = buffer(1000, 5.0)
        receive = stream(bare, 0, 100, 5.0, lambda: True)
        found = await take(intake, bare, 0, 10), await take(intake, bare, None, 10)
        return *found, intake.kept, (await receive())["type"]

    assert asyncio.run(scene()) == (b"", b"", 0, "http.request")


def test_a_message_without_bytes_adds_nothing_to_a_body() -> None:
    parts: list[dict[str, Any]] = [{"more_body": True}, {"body": b"ab", "more_body": True}, {}]

    async def receive() -> Any:
        return {"type": "http.request", **parts.pop(0)}

    assert asyncio.run(take(buffer(1000, 5.0), receive, 2, 10)) == b"ab"


@pytest.mark.parametrize("more", [False, True], ids=["one message", "two messages"])
def test_a_message_may_be_any_mapping(more: bool) -> None:
    parts = [UserDict({"type": "http.request", "body": b"ab", "more_body": more})]
    if more:
        parts.append(UserDict({"type": "http.request", "body": b"", "more_body": False}))

    async def receive() -> Any:
        return parts.pop(0)

    assert asyncio.run(take(buffer(1000, 5.0), receive, 2, 10)) == b"ab"


def test_each_application_call_gets_a_message_of_its_own() -> None:
    async def scene() -> None:
        first = await held_body(b"first", messages()).receive()
        first["body"] += b", and what the application appended"
        second = await held_body(b"second", messages()).receive()
        assert first["body"] == b"first, and what the application appended"
        assert second == {"type": "http.request", "body": b"second", "more_body": False}

    asyncio.run(scene())


# bytes of a body, its declared length, what is taken where the budget is 10 bytes
BUDGETS = [
    pytest.param(10, 10, b"x" * 10, id="as many bytes as the budget"),
    pytest.param(11, 11, rejection("overloaded"), id="a byte more than the budget"),
    pytest.param(10, None, b"x" * 10, id="as many bytes as the budget, not declared"),
    pytest.param(11, None, rejection("overloaded"), id="a byte more than the budget, not declared"),
]


@pytest.mark.parametrize(("size", "declared", "taken"), BUDGETS)
@pytest.mark.parametrize("parts", [1, 2], ids=["in one message", "in two messages"])
def test_t61_bodies_may_fill_the_budget_and_no_more(
    size: int, declared: int | None, taken: Any, parts: int
) -> None:
    whole = b"x" * size
    sent = [(whole, False)] if parts == 1 else [(whole, True), (b"", False)]
    intake = buffer(10, 5.0)
    assert asyncio.run(take(intake, messages(*sent), declared, 100)) == taken
    assert intake.held == (size if taken == whole else 0)


def test_t141_a_body_that_a_proxy_does_not_show_counts_no_byte() -> None:
    intake = buffer(1000, 5.0)
    assert intake.take(show_nothing, None, 10, None) is NOT_SHOWN
    assert (NOT_SHOWN.data, intake.held) == (b"", 0)


def test_one_timer_serves_all_waits_and_none_is_set_without_a_wait() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        watch = Watch(loop, 0.03)
        calls = 0
        call_later = loop.call_later

        def counted(*args: Any) -> Any:
            nonlocal calls
            calls += args[1].__name__ == "_sweep"
            return call_later(*args)

        loop.call_later = counted  # type: ignore[assignment]
        for _ in range(100):
            watch.leave(watch.enter())
        assert calls == 1
        await asyncio.sleep(0.05)
        task = watch.enter()
        assert calls == 2
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1)
        assert not watch.waits(task)
        assert task.cancelling() == 1
        watch.leave(task)
        assert task.cancelling() == 0

    asyncio.run(scene())


def test_somebody_elses_cancellation_is_not_a_deadline() -> None:
    async def scene() -> None:
        intake = buffer(1000, 5.0)
        task = asyncio.create_task(take(intake, messages(), None, 10))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())


def test_a_request_that_is_cancelled_while_it_yields_stays_cancelled() -> None:
    async def scene() -> None:
        intake = buffer(1000, 5.0)
        task = asyncio.create_task(take(intake, messages((b"ab", True)), None, 10))
        await asyncio.sleep(0)
        assert intake.waiting.free(2)  # the request is cancelled when its task runs next
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(scene())


def test_a_deadline_holds_in_each_event_loop() -> None:
    intake = buffer(1000, 0.02)
    for _ in range(3):
        taken = asyncio.run(take(intake, messages(), None, 10))
        assert taken is rejection("request_timeout")


# what a server hands over, one after the other, each after a wait; what is taken
WAITS = [
    pytest.param([(b"abcd", False)], b"abcd", id="whole"),
    pytest.param([(b"ab", True), (b"cd", False)], b"abcd", id="in two messages"),
    pytest.param([(b"abcde", False)], rejection("framing"), id="more than declared"),
    pytest.param([(b"ab", True), (None, False)], None, id="the client leaves amid it"),
    pytest.param([(None, False)], None, id="the client leaves before it"),
]


@pytest.mark.parametrize(("parts", "taken"), WAITS)
def test_a_body_that_comes_after_its_head(parts: list[tuple[bytes | None, bool]], taken: Any) -> None:
    async def scene() -> Any:
        intake = buffer(1000, 5.0)
        waiting = list(parts)

        async def receive() -> Any:
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            body, more = waiting.pop(0)
            if body is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": body, "more_body": more}

        found = await take(intake, receive, 4, 100)
        assert intake.held == (4 if found == b"abcd" else 0)
        return found

    assert asyncio.run(scene()) == taken


def test_what_a_server_raises_while_we_wait_is_not_swallowed() -> None:
    async def receive() -> Any:
        await asyncio.sleep(0)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(take(buffer(1000, 5.0), receive, 4, 100))


def test_a_server_may_catch_the_cancellation_and_answer_all_the_same() -> None:
    async def receive() -> Any:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return {"type": "http.request", "body": b"abcd"}

    async def scene() -> Any:
        found = await take(buffer(1000, 0.01), receive, 4, 100)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return found

    assert asyncio.run(scene()) == b"abcd"


def test_a_receive_may_be_any_awaitable() -> None:
    async def scene() -> Any:
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(
            0.001, ready.set_result, {"type": "http.request", "body": b"abcd"}
        )
        return await take(buffer(1000, 5.0), lambda: ready, 4, 100)

    assert asyncio.run(scene()) == b"abcd"


class Plain:
    """An awaitable with no more than PEP 492 asks for: its message comes after some turns."""

    def __init__(self, message: dict[str, Any], turns: int, error: Exception | None = None) -> None:
        self.message = message
        self.turns = turns
        self.error = error

    def __await__(self) -> Any:
        return self

    def __next__(self) -> None:
        if not self.turns:
            if self.error is not None:
                raise self.error
            raise StopIteration(self.message)
        self.turns -= 1


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("parts", [(b"abcd",), (b"ab", b"cd"), (b"", b"abcd", b"")], ids=len)
def test_t127_an_awaitable_may_be_a_plain_iterator(parts: tuple[bytes, ...], turns: int) -> None:
    waiting = [
        {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)}
        for number, part in enumerate(parts)
    ]
    taken = asyncio.run(take(buffer(1000, 5.0), lambda: Plain(waiting.pop(0), turns), 4, 100))
    assert taken == b"abcd"


def test_t127_a_plain_iterator_has_the_deadline_and_the_errors_of_any_other() -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(take(buffer(1000, 5.0), lambda: Plain({}, 1 << 30), 4, 100))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    late = asyncio.run(take(buffer(1000, 0.02), lambda: Plain({}, 1 << 30), 4, 100))
    assert late is rejection("request_timeout")
    with pytest.raises(ConnectionResetError):
        asyncio.run(take(buffer(1000, 5.0), lambda: Plain({}, 2, ConnectionResetError()), 4, 100))


def test_a_request_that_is_closed_while_it_waits_closes_what_it_waits_for() -> None:
    closed = []

    async def receive() -> Any:
        try:
            await Plain({}, 5)
        finally:
            closed.append(True)

    async def received() -> Any:
        return await Plain({}, 5)

    for awaitable in (receive(), received()):
        generator = receiving()
        next(generator)
        waiting = resumed(generator, generator.send(awaitable), dict)
        waiting.send(None)
        waiting.close()
    assert closed == [True]


def test_waits_end_in_the_order_in_which_they_began() -> None:
    async def scene() -> list[int]:
        watch = Watch(asyncio.get_running_loop(), 0.02)
        ended: list[int] = []

        async def wait(number: int) -> None:
            await asyncio.sleep(number * 0.005)
            watch.enter()
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                ended.append(number)

        await asyncio.gather(*(wait(number) for number in range(4)))
        return ended

    assert asyncio.run(scene()) == [0, 1, 2, 3]
