"""Bodies: buffered where they must be judged, passed through within bounds elsewhere (THREATS 3.5).

Most bodies arrive together with their head, so `BodyBuffer.take` first asks the server for one message
without awaiting it: a generator (`receiving`) awaits in its place, and stops at the message or where it would
have to wait. If the message is the whole body, no deadline is set and no coroutine is made. If not, `take`
returns a coroutine that goes on with the same generator (`resumed`), under a deadline and counted as waiting.

Rule 1: the bytes that were judged are the bytes that go on, once. Only a disconnect follows them (T59).
Rule 2: buffered bytes are bounded: one body by a limit and a deadline, all bodies by a budget (T60, T61).
        When the budget is used up, incomplete bodies are given up for complete ones.
Rule 3: exactly as many bytes go on as the declared length says.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from functools import partial
from types import CoroutineType
from typing import Any, Final, TypeAlias

from camguard.request.deadline import Deadline, in_task, resumed
from camguard.request.rejection import Rejection, rejection
from camguard.request.waiting import Waiter, Waiting

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

_FRAMING: Final = rejection("framing")
TOO_LARGE: Final = rejection("body_too_large")
_TIMED_OUT: Final = rejection("request_timeout")
_OVERLOADED: Final = rejection("overloaded")
Receiving: TypeAlias = Generator[Any, Any, None]

_LARGE: Final = 65_536
_WHOLE_BODY: Final[dict[str, Any]] = {"type": "http.request", "more_body": False}


class HeldBody:
    """A body that was received whole, made by `held_body`.

    data: its bytes. given: whether the application got them. following: the `receive` of the server.
    """

    __slots__ = ("data", "following", "given")

    data: bytes
    given: bool
    following: Receive

    async def receive(self) -> Message:
        """Give the application the bytes once, and then a disconnect when the client leaves (Rule 1)."""
        if not self.given:
            self.given = True
            message = _WHOLE_BODY.copy()  # costs two thirds of a display of three pairs
            message["body"] = self.data
            return message
        await self.following()  # whatever it is: further body bytes would reach the application unjudged
        return {"type": "http.disconnect"}


def held_body(data: bytes, receive: Receive) -> HeldBody:
    """Return a body. `take` sets the attributes itself, because a call costs as much as the object."""
    body = HeldBody()
    body.data, body.given, body.following = data, False, receive
    return body


_NOT_SHOWN_TYPE: Final = "camguard.body_not_shown"


async def show_nothing() -> Message:
    """Be the `receive` of a request whose body a proxy does not show."""
    return {"type": _NOT_SHOWN_TYPE}


# What `take` returns for a request whose body a proxy does not show (`show_nothing`). It is compared with
# `is`: an empty body was shown, this one was not.
NOT_SHOWN: Final = held_body(b"", show_nothing)

# The body, or why it is rejected, or None when the client has left.
Taken: TypeAlias = HeldBody | Rejection | None


class BodyBuffer:
    """The bodies of a listener while they are judged.

    kept: bytes of complete bodies; the caller of `take` subtracts them when a request ends. waiting: the
    requests whose body is not complete.
    """

    def __init__(self, budget: int, seconds: float, waiting: Waiting) -> None:
        self.kept = 0
        self.waiting = waiting
        self._budget = budget
        self._deadline = Deadline(seconds)
        self._receiving: Receiving | None = None  # ready for the next request

    @property
    def held(self) -> int:
        """The bytes of all buffered bodies, complete or not."""
        return self.kept + self.waiting.size

    def take(
        self, receive: Receive, declared: int | None, limit: int, place: int | None
    ) -> Taken | Coroutine[Any, Any, Taken]:
        """Return a body and count it as kept; or why it is rejected; or None when the client has left.

        For a body that is not complete yet, return a coroutine that returns one of these.

        declared: the length of the body in bytes, at most limit; None where it is not declared. limit: bytes.
        place: of the client's address on the number line, by which a waiting request is counted.
        """
        if declared is not None and self.kept + declared > self._budget:
            return _OVERLOADED
        # A deadline costs 0.6 µs of some 10 µs, so only a body that must be awaited is put under one.
        generator = self._receiving
        if generator is None:
            generator = receiving()
            next(generator)
        self._receiving = None  # a generator that waits or fails is used by no other request
        begun: Any = receive()
        message = generator.send(begun if type(begun) is CoroutineType else _coroutine(begun))
        if type(message) is not dict:
            going_on = partial(self._later, generator, message, receive, limit)
            return self._wait(going_on, receive, declared, limit, place)
        self._receiving = generator
        if message["type"] != "http.request":
            return NOT_SHOWN if message["type"] == _NOT_SHOWN_TYPE else None
        body: bytes
        try:
            body, more = message["body"], message["more_body"]
        except KeyError:  # servers may leave them out; most do not, and `get` would cost more
            body, more = message.get("body", b""), message.get("more_body")
        if more:
            return self._wait(partial(self._parts, message, receive, limit), receive, declared, limit, place)
        if len(body) == declared and not self.waiting.size:
            held = HeldBody()  # as `held_body` makes it
            held.data, held.given, held.following = body, False, receive
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
        """Return the body; or a rejection, also at the deadline and when the request yielded; or None.

        taking: gathers the parts; returns a rejection, or None at the end of the body.
        """
        watch = self._deadline.watch()
        task = watch.enter()
        waiter = self.waiting.enter(place, task, watch)
        try:
            failure = await taking(waiter)
        except asyncio.CancelledError:
            if watch.waits(task) or task.cancelling() > 1:
                raise  # another part of the program cancelled the task
            failure = _TIMED_OUT
        finally:
            body = self.waiting.leave(waiter)
            watch.leave(task)
        if waiter.yielded:
            return _OVERLOADED
        if failure is not None:
            return failure
        return None if waiter.left else self._checked(body, receive, declared, limit)

    async def _later(
        self, generator: Receiving, awaited: Any, receive: Receive, limit: int, waiter: Waiter
    ) -> Rejection | None:
        """Gather a body whose first message has not arrived yet."""
        return await self._parts(await resumed(generator, awaited, dict), receive, limit, waiter)

    async def _parts(
        self, message: Message, receive: Receive, limit: int, waiter: Waiter
    ) -> Rejection | None:
        """Gather a body of several messages. message: the first of them."""
        while message["type"] == "http.request" and not waiter.yielded:  # a server may catch the cancellation
            self.waiting.grow(waiter, message.get("body", b""))
            if not message.get("more_body") or len(waiter.body) > limit:  # `_checked` refuses the latter
                return None
            if not self.waiting.free(self.held - self._budget, waiter):
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
        body = held_body(data, receive)
        self.kept += size  # last: only a body that is returned counts
        return body


def is_plain(data: bytes) -> bool:
    """Tell whether a body is short ASCII text without a name that decides. Nearly all bodies are.

    The names are `Action`, `Version` and `Region`, in any spelling of JSON.

    A long body is not searched here, because one search takes milliseconds and `body_formats` searches it.
    """
    if len(data) > _LARGE:
        return False
    # A text, because `in` of bytes asks first whether it is given a number, and raises and catches. Every
    # byte becomes one character, and a text knows whether it is ASCII.
    text = data.decode("latin-1")
    if not text.isascii() or "\\" in text or "\0" in text:  # either can hide a name from a search
        return False
    if "I" in text or "O" in text or "N" in text:  # a text without them is searched as it is, for less
        text = text.lower()
    # All three names end in "ion", so one search is enough for nearly every body.
    if "ion" not in text:
        return True
    text = text.lower()
    return not ("action" in text or "version" in text or "region" in text)


async def _coroutine(awaitable: Awaitable[Message]) -> Message:
    return await awaitable


@types.coroutine
def receiving() -> Receiving:
    """Await one coroutine after the other: each is sent in, and its message comes out as a `dict`.

    A message that a generator yields costs a third less than one that a coroutine returns when the coroutine
    is run by hand, because that return is an exception.
    """
    awaited = yield
    while True:
        message = yield from awaited
        awaited = yield message if type(message) is dict else dict(message)


def stream(
    receive: Receive, declared: int | None, limit: int, seconds: float, holds: Callable[[], bool]
) -> Receive:
    """Return a `receive` that passes a body through. Past its bounds the application gets a disconnect.

    declared: the length in bytes, None where it is not declared. limit: bytes. seconds: for the whole body.
    holds: tells, when the body is complete, whether the call may still be made; if not, the application gets
    a disconnect in place of the last part.
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
            await in_task()
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
        complete = not message.get("more_body")
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
