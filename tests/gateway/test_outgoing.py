"""Answers on their way to the caller: how many writes they take, and that none is lost."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from camguard.gateway.outgoing import JOINED_BYTES, Outgoing
from tests.gateway.stage import play

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE = b"x" * (JOINED_BYTES + 1)


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        """Keep the bytes of one write."""
        self.written.append(data)

    def is_closing(self) -> bool:
        """Tell whether the connection is ending."""
        return self.closing


def outgoing(wire: Any) -> Outgoing:
    return Outgoing(cast("asyncio.Transport", wire), lambda: None, asyncio.get_running_loop())


# What is written in one turn of the event loop, and the writes that it takes.
WRITES = [
    pytest.param([HEAD, b"{}"], [HEAD + b"{}"], id="a head and its body are one write"),
    pytest.param([HEAD, b""], [HEAD], id="a head without a body"),
    pytest.param([HEAD], [HEAD], id="a head whose body comes later is written in the next turn"),
    pytest.param([HEAD, b"{", b"}"], [HEAD + b"{", b"}"], id="further parts are written as they come"),
    pytest.param([HEAD, LARGE], [HEAD, LARGE], id="a large body is not copied"),
    pytest.param([CONTINUE, HEAD, b"{}"], [CONTINUE + HEAD, b"{}"], id="an interim answer stays in front"),
    pytest.param([b"{}"], [b"{}"], id="bytes that are no head are written at once"),
]


@pytest.mark.parametrize(("parts", "expected"), WRITES)
def test_an_answer_is_written(parts: list[bytes], expected: list[bytes]) -> None:
    async def scene() -> None:
        wire = Wire()
        answer = outgoing(wire)
        for part in parts:
            answer.write(part)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert wire.written == expected

    play(scene())


def test_nothing_is_written_to_a_connection_that_is_ending() -> None:
    async def scene() -> None:
        wire = Wire()
        answer = outgoing(wire)
        answer.write(HEAD)
        wire.closing = True
        answer.write(b"{}")
        answer.flush()
        await asyncio.sleep(0)
        assert wire.written == []

    play(scene())


@pytest.mark.parametrize("data", [pytest.param(HEAD, id="a head"), pytest.param(b"{}", id="a body")])
def test_what_is_written_after_the_event_loop_was_closed_is_dropped(data: bytes) -> None:
    async def scene() -> tuple[Wire, Outgoing]:
        wire = Wire()
        return wire, outgoing(wire)

    wire, answer = play(scene())
    answer.write(data)
    assert wire.written == []
