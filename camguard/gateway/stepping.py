"""Coroutines that run without a task for as long as they need none.

A task costs a request a turn of the event loop, an entry among all tasks, and a callback for each wait. Most
requests need none of that: a refusal is written at the first step, and a relayed call waits for its upstream
only. `Stepped` runs such a coroutine by hand, and what the coroutine waits for continues it at once.

Rule 1: the coroutine does not know who runs it. `Signal` can be awaited in a task as well, and whatever else
        the coroutine waits for (a future, a lock, a sleep) makes a task of the rest of it.
Rule 2: what needs a task before it waits, such as `asyncio.timeout`, awaits `in_task` first.
Rule 3: every step runs in one context, so that context variables of one request are not those of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any

from camguard.request.deadline import resumed


class Signal:
    """What one coroutine waits for. It may be awaited, and set, any number of times."""

    __slots__ = ("_future", "_loop", "step")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.step: Callable[[], None] | None = None  # continues a coroutine that no task runs
        self._future: asyncio.Future[None] | None = None

    def wait(self) -> Generator[Any, Any, None]:
        """Wait until `set` is called. For the `__await__` of an object that is a signal."""
        try:
            if asyncio.current_task(self._loop) is None:
                yield self
            else:
                self._future = self._loop.create_future()
                yield from self._future
        finally:
            self.step = self._future = None

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait until `set` is called."""
        return self.wait()

    @property
    def waits(self) -> bool:
        """Whether a coroutine is waiting."""
        return self.step is not None or (self._future is not None and not self._future.done())

    def set(self) -> None:
        """Let the coroutine that waits go on; in this very call, unless a task runs either of the two."""
        step = self.step
        if step is not None:
            if asyncio.current_task(self._loop) is None:
                step()
            else:
                self.step = None
                self._loop.call_soon(step)
        elif self._future is not None and not self._future.done():
            self._future.set_result(None)


class Stepped:
    """A coroutine that runs without a task. It handles its exceptions itself.

    pauses: called when the coroutine waits for the first signal or for more than that. adopts: is given the
    task that the coroutine goes on in, where one is needed.
    """

    __slots__ = ("_adopts", "_context", "_coroutine", "_pauses", "_waits", "task")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, None],
        pauses: Callable[[], None],
        adopts: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self._coroutine = coroutine
        self._context = copy_context()
        self._pauses = pauses
        self._adopts = adopts
        self._waits = True
        self.task: asyncio.Task[None] | None = None

    def step(self, error: BaseException | None = None) -> None:
        """Run the coroutine until it waits, or to its end. After its end, do nothing.

        error: is raised where the coroutine waits.
        """
        if not self._waits:
            return
        self._waits = False
        coroutine = self._coroutine
        try:
            if error is None:
                awaited = self._context.run(coroutine.send, None)
            else:
                awaited = self._context.run(coroutine.throw, error)
        except StopIteration:
            return
        self._pauses()
        if isinstance(awaited, Signal):
            awaited.step = self.step
            self._waits = True
        else:
            loop = asyncio.get_running_loop()
            self.task = loop.create_task(_rest(coroutine, awaited), context=self._context)
            self._adopts(self.task)

    def cancel(self) -> None:
        """Raise `CancelledError` where the coroutine waits."""
        if self.task is not None:
            self.task.cancel()
        else:
            self.step(asyncio.CancelledError())

    def uncancel(self) -> None:
        """Withdraw a cancellation that the coroutine has handled, as `asyncio.Task.uncancel`."""
        if self.task is not None:
            self.task.uncancel()


async def _rest(coroutine: Coroutine[Any, Any, None], awaited: object) -> None:
    await resumed(coroutine, awaited, None)
