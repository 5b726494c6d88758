"""Bodies: taken whole where they are judged, passed through within bounds where they are not (threats 3.5).

Rule 1: the bytes that were judged are the bytes that go on, once; after them only a disconnect (T59).
Rule 2: what is held is bounded: each by a limit and a deadline, all together by a budget (T60, T61).
Rule 3: a declared length is a promise: neither more nor fewer bytes go on.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from functools import partial
from typing import Any, Final, TypeAlias

from camguard.edge.deadline import Deadline
from camguard.edge.refusal import refused
from camguard.engine.decision import Decision

# Bytes, or the refusal, or None when the client has left.
Taken: TypeAlias = bytes | Decision | None
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

_FRAMING: Final = refused("framing")
TOO_LARGE: Final = refused("body_too_large")
_TIMED_OUT: Final = refused("request_timeout")
_OVERLOADED: Final = refused("overloaded")
Waiting: TypeAlias = Generator[Any, Any, Message]  # an awaitable that has begun


class Intake:
    """Takes bodies whole. held: bytes of all that are held now; whoever took one gives it back."""

    def __init__(self, budget: int, seconds: float) -> None:
        self.held = 0
        self._budget = budget
        self._deadline = Deadline(seconds)

    def take(self, receive: Receive, declared: int | None, limit: int) -> Taken | Coroutine[Any, Any, Taken]:
        """Return a body and count it as held; or the refusal; or None when the client has left.

        Or, where it is not all there yet, what is to be awaited for it.

        declared: its length if that is known, at most limit. limit: bytes it may have.
        """
        if declared is not None and self.held + declared > self._budget:
            return _OVERLOADED
        # Most bodies came with their head. Only one that must be waited for is put under the deadline, which
        # would cost every other request 0.6 of some 10 µs.
        waiting = receive().__await__()
        try:
            awaited = next(waiting)
        except StopIteration as done:
            message: Message = done.value
        else:
            return self._in_time(self._later(waiting, awaited, receive, declared, limit))
        if message["type"] != "http.request":
            return None
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            return self._in_time(self._rest(receive, body, declared, limit))
        if len(body) == declared:  # which is within limit and budget
            self.held += declared
            return body
        return self._checked(body, declared, limit)

    async def _in_time(self, taking: Awaitable[Taken]) -> Taken:
        """Return what is taken, or the refusal at the deadline."""
        watch = self._deadline.watch()
        task = watch.enter()
        try:
            return await taking
        except asyncio.CancelledError:
            if watch.waits(task) or task.cancelling() > 1:
                raise  # somebody else wants us to end
            return _TIMED_OUT
        finally:
            watch.leave(task)

    async def _later(
        self, waiting: Waiting, awaited: Any, receive: Receive, declared: int | None, limit: int
    ) -> Taken:
        """Return a body whose first message is still to come."""
        message = await resumed(waiting, awaited)
        if message["type"] != "http.request":
            return None
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            return await self._rest(receive, body, declared, limit)
        return self._checked(body, declared, limit)

    async def _rest(self, receive: Receive, first: bytes, declared: int | None, limit: int) -> Taken:
        """Return a body that comes in several messages, as `take` does."""
        body = bytearray(first)
        self.held += len(first)
        try:
            more = True
            while more:
                if len(body) > limit:
                    return TOO_LARGE
                if self.held > self._budget:
                    return _OVERLOADED
                message = await receive()
                if message["type"] != "http.request":
                    return None
                chunk = message.get("body", b"")
                body += chunk
                self.held += len(chunk)
                more = message.get("more_body", False)
        finally:
            self.held -= len(body)
        return self._checked(bytes(body), declared, limit)

    def _checked(self, body: bytes, declared: int | None, limit: int) -> bytes | Decision:
        if len(body) > limit:
            return TOO_LARGE
        if declared is not None and len(body) != declared:
            return _FRAMING
        if self.held + len(body) > self._budget:
            return _OVERLOADED
        self.held += len(body)
        return body


@types.coroutine
def resumed(waiting: Waiting, awaited: Any) -> Waiting:
    """Go on awaiting what was begun and asked for `awaited`, as `await` would (PEP 380, `yield from`)."""
    while True:
        try:
            sent = yield awaited
        except BaseException as error:  # noqa: BLE001 - handed on, as `await` does
            step = partial(waiting.throw, error)
        else:
            step = partial(waiting.send, sent)
        try:
            awaited = step()
        except StopIteration as done:
            message: Message = done.value
            return message


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body once and then tells when the client leaves."""
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def replayed() -> Message:
        nonlocal message
        if message is not None:
            once, message = message, None
            return once
        after = await receive()
        # A server that has more to say than the body we judged would say it unjudged.
        return after if after["type"] == "http.disconnect" else {"type": "http.disconnect"}

    return replayed


def stream(receive: Receive, declared: int | None, limit: int, seconds: float) -> Receive:
    """Return a `receive` that passes a body through; where it leaves its bounds the client has left."""
    taken = 0
    ended = cut = False
    due: float | None = None

    async def streamed() -> Message:
        nonlocal taken, ended, cut, due
        if cut:
            return {"type": "http.disconnect"}
        if ended:
            message = await receive()
        else:
            if due is None:
                due = asyncio.get_running_loop().time() + seconds
            try:
                async with asyncio.timeout_at(due):
                    message = await receive()
            except TimeoutError:
                cut = True
                return {"type": "http.disconnect"}
        if message["type"] == "http.disconnect":
            return message
        taken += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        bound = limit if declared is None else min(declared, limit)
        if ended or taken > bound or (complete and declared is not None and taken != declared):
            cut = True
            return {"type": "http.disconnect"}
        ended = complete
        return message

    return streamed
