"""Bodies: taken whole where they are judged, passed through within bounds where they are not (THREATS 3.5).

Rule 1: the bytes that were judged are the bytes that go on, once; after them only a disconnect (T59).
Rule 2: what is held is bounded: each by a limit and a deadline, all together by a budget (T60, T61). Where
        the budget is used up, incomplete bodies make room for complete ones.
Rule 3: a declared length is a promise: neither more nor fewer bytes go on.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, MutableMapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from camguard.fast_tuple import constructor_of
from camguard.request.deadline import Deadline
from camguard.request.rejection import Rejection, rejection
from camguard.request.waiting import Waiter, Waiting

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

_FRAMING: Final = rejection("framing")
TOO_LARGE: Final = rejection("body_too_large")
_TIMED_OUT: Final = rejection("request_timeout")
_OVERLOADED: Final = rejection("overloaded")
Begun: TypeAlias = Iterator[Any]  # the iterator of an awaitable, asked for its first element

_LARGE: Final = 65_536
# Letters in lower case; a NUL and a backslash, which can hide a name from a search, become no ASCII.
_FOLDED: Final = bytes(0x80 if byte in b"\0\\" else byte for byte in bytes(range(256)).lower())


class HeldBody(NamedTuple):
    """A body that was received whole.

    receive: gives the application these bytes once, then tells when the client leaves. plain: whether the
    bytes are short ASCII text that holds no name that decides (`Action`, `Version`, `Region`) in any spelling
    of JSON.
    """

    data: bytes
    receive: Receive
    plain: bool


# The body, or why it is rejected, or None when the client has left.
Taken: TypeAlias = HeldBody | Rejection | None

_held = constructor_of(HeldBody)


class BodyBuffer:
    """Holds the bodies of a listener while they are judged.

    kept: bytes of those that are complete; the caller of `take` subtracts them again. waiting: the requests
    whose body is not complete.
    """

    def __init__(self, budget: int, seconds: float, waiting: Waiting | None = None) -> None:
        self.kept = 0
        self.waiting = waiting or Waiting(1000, 250)
        self._budget = budget
        self._deadline = Deadline(seconds)

    @property
    def held(self) -> int:
        """Bytes of all bodies that are held now, complete or not."""
        return self.kept + self.waiting.size

    def take(
        self, receive: Receive, declared: int | None, limit: int, place: int | None = None
    ) -> Taken | Coroutine[Any, Any, Taken]:
        """Return a body and count it as kept; or the refusal; or None when the client has left.

        Or, where it is not all there yet, what is to be awaited for it.

        declared: its length if that is known, at most limit. limit: bytes it may have. place: of the client's
        address on the number line, by which a request that waits is counted.
        """
        if declared is not None and self.kept + declared > self._budget:
            return _OVERLOADED
        # Most bodies came with their head. Only one that must be waited for is put under the deadline, which
        # would cost every other request 0.6 of some 10 µs.
        waiting = receive().__await__()
        try:
            awaited = next(waiting)
        except StopIteration as done:
            message: Message = done.value
        else:
            return self._wait(
                partial(self._later, waiting, awaited, receive, limit), receive, declared, limit, place
            )
        if message["type"] != "http.request":
            return None
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            return self._wait(partial(self._parts, message, receive, limit), receive, declared, limit, place)
        if len(body) == declared and self.kept + declared + self.waiting.size <= self._budget:
            held = _held((body, resend(body, receive), is_plain(body)))
            self.kept += declared  # last: a body that was not returned must not be counted
            return held
        return self._checked(body, receive, declared, limit)

    async def _wait(
        self,
        taking: Callable[[Waiter], Awaitable[Rejection | None]],
        receive: Receive,
        declared: int | None,
        limit: int,
        place: int | None,
    ) -> Taken:
        """Return what is taken; or the refusal, at the deadline too, and where the request made room.

        taking: gathers the parts; returns the refusal, or None at the end.
        """
        watch = self._deadline.watch()
        task = watch.enter()
        waiter = self.waiting.enter(place, task, watch)
        try:
            refusal = await taking(waiter)
        except asyncio.CancelledError:
            if watch.waits(task) or task.cancelling() > 1:
                raise  # the cancellation came from elsewhere: from the server or the application
            refusal = _TIMED_OUT
        finally:
            body = self.waiting.leave(waiter)
            watch.leave(task)
        if waiter.yielded:
            return _OVERLOADED
        if refusal is not None:
            return refusal
        return None if waiter.left else self._checked(body, receive, declared, limit)

    async def _later(
        self, begun: Begun, awaited: Any, receive: Receive, limit: int, waiter: Waiter
    ) -> Rejection | None:
        """Gather a body whose first message is still to come."""
        return await self._parts(await resumed(begun, awaited), receive, limit, waiter)

    async def _parts(
        self, message: Message, receive: Receive, limit: int, waiter: Waiter
    ) -> Rejection | None:
        """Gather a body that comes in several messages, of which this is the first."""
        while message["type"] == "http.request":
            if waiter.yielded:  # and the server caught the cancellation
                return None
            self.waiting.grow(waiter, message.get("body", b""))
            if not message.get("more_body", False):
                return None
            if len(waiter.body) > limit:
                return TOO_LARGE
            if self.held > self._budget and not self.waiting.free(self.held - self._budget, waiter):
                return _OVERLOADED
            message = await receive()
        waiter.left = True
        return None

    def _checked(
        self, data: bytes, receive: Receive, declared: int | None, limit: int
    ) -> HeldBody | Rejection:
        size = len(data)
        if size > limit:
            return TOO_LARGE
        if declared is not None and size != declared:
            return _FRAMING
        over = self.kept + self.waiting.size + size - self._budget
        if over > 0 and not self.waiting.free(over):
            return _OVERLOADED
        body = _held((data, resend(data, receive), is_plain(data)))
        self.kept += size  # last: a body that was not returned must not be counted
        return body


def is_plain(data: bytes) -> bool:
    """Tell whether a body is short ASCII that holds no name that decides, as nearly all bodies are.

    A long body is not looked at: each look at it would cost milliseconds, and `body_formats` looks once.
    """
    if len(data) > _LARGE:
        return False
    low = data.translate(_FOLDED)
    if not low.isascii():
        return False
    # All three names end alike, so that one search answers for nearly every body.
    return b"ion" not in low or not (b"action" in low or b"version" in low or b"region" in low)


@types.coroutine
def resumed(begun: Begun, awaited: Any) -> Generator[Any, Any, Message]:
    """Go on awaiting what was begun and asked for `awaited`, as `await` would (PEP 380, `yield from`).

    begun: an iterator; it need not have the `send` and `throw` of a generator (PEP 492).
    """
    while True:
        try:
            sent = yield awaited
        except GeneratorExit:
            close = getattr(begun, "close", None)
            if close is not None:
                close()
            raise
        except BaseException as error:
            throw = getattr(begun, "throw", None)
            if throw is None:
                raise
            step = partial(throw, error)
        else:
            step = partial(next, begun) if sent is None else partial(begun.send, sent)  # type: ignore[attr-defined]
        try:
            awaited = step()
        except StopIteration as done:
            message: Message = done.value
            return message


def resend(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body once and then tells when the client leaves."""
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def resent() -> Message:
        nonlocal message
        if message is not None:
            once, message = message, None
            return once
        after = await receive()
        # Further body bytes of the server would reach the application without having been judged.
        return after if after["type"] == "http.disconnect" else {"type": "http.disconnect"}

    return resent


def stream(
    receive: Receive, declared: int | None, limit: int, seconds: float, holds: Callable[[], bool]
) -> Receive:
    """Return a `receive` that passes a body through; where it leaves its bounds the client has left.

    holds: tells, once all of the body is here, whether the call may still be made. If not, the last part does
    not go on.
    """
    taken = 0
    ended = cut = whole = False
    due: float | None = None
    bound = limit if declared is None else min(declared, limit)

    async def streamed() -> Message:
        nonlocal taken, ended, cut, whole, due
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
        if ended or taken > bound or (complete and declared is not None and taken != declared):
            cut = True
        elif not whole and (complete or taken == declared):
            whole = True
            cut = not holds()
        if cut:
            return {"type": "http.disconnect"}
        ended = complete
        return message

    return streamed
