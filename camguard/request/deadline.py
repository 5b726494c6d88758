"""One deadline for many waits, with one timer for all of them. For asyncio and compatible loops (uvloop).

All waits may last equally long, so the oldest one ends first, and one timer set for the oldest is enough. An
`asyncio.timeout` for each wait would cost 4 µs; an entry in this queue costs 0.6 µs.

Most requests wait for nothing. Their first step is run by hand, and only what waits is awaited in a task.
What a deadline or a server needs for that (`in_task`, `resumed`) is here, too.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, TypeAlias

Begun: TypeAlias = Generator[Any, Any, Any] | Coroutine[Any, Any, Any]


@types.coroutine
def in_task() -> Generator[None, None, None]:
    """Make sure that a task runs the caller: a deadline cancels the task that waits.

    A server of camguard's own runs a request without a task for as long as it waits for nothing; it makes a
    task of what waits.
    """
    if asyncio.current_task() is None:
        yield


@types.coroutine
def resumed(begun: Begun, awaited: Any, ends: type | None) -> Generator[Any, Any, Any]:
    """Await the rest of a generator or coroutine whose first step was run by hand, and return its result.

    awaited: what that step yielded, which `begun` waits for. ends: a type; an object of it that `begun`
    yields is its result. None: the result is what `begun` returns.
    """
    while type(awaited) is not ends:
        try:
            sent = yield awaited
        except GeneratorExit:
            begun.close()
            raise
        except BaseException as error:  # noqa: BLE001 - `begun` raises it again, or handles it
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, sent)
        try:
            awaited = step()
        except StopIteration as end:
            return end.value
    return awaited


class Watch:
    """The waiting tasks of one event loop, oldest first, each with the loop time at which it is cancelled."""

    __slots__ = ("_armed", "_due", "loop", "seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        self.seconds = seconds
        self._due: dict[asyncio.Task[object], float] = {}
        self._armed = False

    def enter(self) -> asyncio.Task[object]:
        """Begin a wait of the current task, and return that task."""
        task = asyncio.current_task(self.loop)
        assert task is not None  # noqa: S101 - for mypy: a coroutine that runs is in a task
        self._due[task] = self.loop.time() + self.seconds
        if not self._armed:
            self._armed = True
            self.loop.call_later(self.seconds, self._sweep)
        return task

    def waits(self, task: asyncio.Task[object]) -> bool:
        """Tell whether a task is still waiting. If not, it has been cancelled."""
        return task in self._due

    def end(self, task: asyncio.Task[object]) -> None:
        """Cancel a waiting task before its deadline, in the same way as at the deadline."""
        del self._due[task]
        task.cancel()

    def leave(self, task: asyncio.Task[object]) -> None:
        """End the wait of a task. A cancellation at the deadline is withdrawn, delivered or not."""
        if self._due.pop(task, None) is None:
            task.uncancel()

    def _sweep(self) -> None:
        now = self.loop.time()
        for task, due in tuple(self._due.items()):
            if due > now:
                self.loop.call_at(due, self._sweep)
                return
            del self._due[task]
            task.cancel()
        self._armed = False


class Deadline:
    """A watch for the event loop that is running. seconds: how long a wait may last."""

    __slots__ = ("_seconds", "_watch")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watch: Watch | None = None

    def watch(self) -> Watch:
        """Return the watch of the running loop."""
        loop = asyncio.get_running_loop()
        watch = self._watch
        if watch is None or watch.loop is not loop:
            watch = self._watch = Watch(loop, self._seconds)
        return watch
