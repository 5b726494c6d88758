"""What is made once for many bodies, and what a body that is there as a whole does not need."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from typing import Any

import pytest

from camguard.request import body as body_module
from camguard.request.body import BodyBuffer, HeldBody, Message, receiving
from camguard.request.rejection import Rejection
from camguard.request.waiting import Waiting


def fail(*_: object) -> None:
    raise AssertionError("more was done than the body needs")


def buffer(budget: int = 100) -> BodyBuffer:
    return BodyBuffer(budget, 1.0, Waiting(10, 10))


def whole(data: bytes) -> Callable[[], Any]:
    """Return the `receive` of a request whose body is one message."""

    async def receive() -> Message:
        return {"type": "http.request", "body": data, "more_body": False}

    return receive


def taken(intake: BodyBuffer, data: bytes, declared: int | None) -> bytes | None:
    """Return the bytes of a body that is there, or None where they are refused."""
    found = intake.take(whole(data), declared, 100, None)
    assert isinstance(found, HeldBody | Rejection), "nothing is awaited"
    return found.data if isinstance(found, HeldBody) else None


def test_one_generator_receives_the_bodies_of_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def noted() -> Any:
        made.append(receiving())
        return made[-1]

    monkeypatch.setattr(body_module, "receiving", noted)
    intake = buffer()
    assert [taken(intake, data, 2) for data in (b"ab", b"cd", b"ef")] == [b"ab", b"cd", b"ef"]
    assert len(made) == 1


def test_a_coroutine_of_a_server_is_run_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "_coroutine", fail)
    assert taken(buffer(), b"ab", 2) == b"ab"


def test_a_body_of_the_declared_length_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BodyBuffer, "_checked", fail)
    assert taken(buffer(), b"ab", 2) == b"ab"
    with pytest.raises(AssertionError, match="more was done"):
        taken(buffer(), b"ab", None)


def test_a_body_that_fills_the_budget_ends_no_other_body(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refused(_waiting: Waiting, size: int, *_: object) -> bool:
        asked.append(size)
        return False

    monkeypatch.setattr(Waiting, "free", refused)
    assert [taken(buffer(4), data, None) for data in (b"abc", b"abcd", b"abcde")] == [b"abc", b"abcd", None]
    assert asked == [1]


def test_a_message_is_copied_only_where_it_is_no_dict() -> None:
    async def received(message: Message) -> Message:
        return message

    generator = receiving()
    next(generator)
    plain: dict[str, Any] = {"type": "http.request"}
    assert generator.send(received(plain)) is plain
    assert generator.send(received(UserDict(plain))) == plain
    generator.close()
