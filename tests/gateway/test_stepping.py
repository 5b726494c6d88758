"""Coroutines that run without a task for as long as they need none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest

from camguard.gateway.stepping import Signal, Stepped
from camguard.request.deadline import in_task
from tests.gateway.stage import play

NAME: ContextVar[str] = ContextVar("NAME")


class Run:
    """One coroutine under `Stepped`, begun by the event loop, as connections begin them.

    events: what happened, in order. tasks: in which the coroutine went on.
    """

    def __init__(self, work: Callable[[Run], Awaitable[None]]) -> None:
        self.events: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.signal = Signal(asyncio.get_running_loop())
        self._work = work
        self.stepped = Stepped(self._run(), lambda: self.events.append("pause"), self.tasks.append)

    async def _run(self) -> None:
        try:
            await self._work(self)
        except asyncio.CancelledError:
            self.events.append("cancelled")
        self.events.append("end")

    async def begin(self) -> None:
        await outside_of_tasks(self.stepped.step)


async def outside_of_tasks(act: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(act)
    await asyncio.sleep(0)


async def ready(_run: Run) -> None:
    """Wait for nothing."""


async def signalled(run: Run) -> None:
    await run.signal


async def slept(_run: Run) -> None:
    await asyncio.sleep(0)


async def timed(run: Run) -> None:
    await in_task()
    async with asyncio.timeout(60):
        await run.signal


async def slept_first(run: Run) -> None:
    await asyncio.sleep(0)
    await run.signal


# What the coroutine does, whether a signal is set, what happens, and how many tasks it takes.
RUNS = [
    pytest.param(ready, False, ["end"], 0, id="what never waits ends at the first step"),
    pytest.param(signalled, False, ["pause"], 0, id="what waits for a signal waits"),
    pytest.param(signalled, True, ["pause", "end"], 0, id="a signal continues it without a task"),
    pytest.param(slept, False, ["pause", "end"], 1, id="another wait makes a task"),
    pytest.param(timed, True, ["pause", "end"], 1, id="a timeout gets its task first"),
    pytest.param(slept_first, True, ["pause", "end"], 1, id="a signal continues a task, too"),
]


@pytest.mark.parametrize(("work", "sets", "events", "tasks"), RUNS)
def test_a_run(work: Callable[[Run], Awaitable[None]], events: list[str], tasks: int, *, sets: bool) -> None:
    async def scene() -> None:
        run = Run(work)
        await run.begin()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if sets:
            await outside_of_tasks(run.signal.set)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert run.events == events
        assert len(run.tasks) == tasks

    play(scene())


@pytest.mark.parametrize(
    ("work", "events"),
    [
        pytest.param(signalled, ["pause", "cancelled", "end"], id="without a task"),
        pytest.param(slept_first, ["pause", "cancelled", "end"], id="in its task"),
    ],
)
def test_a_run_is_cancelled_where_it_waits(work: Callable[[Run], Awaitable[None]], events: list[str]) -> None:
    async def scene() -> None:
        run = Run(work)
        await run.begin()
        await asyncio.sleep(0)
        await outside_of_tasks(run.stepped.cancel)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert run.events == events
        await outside_of_tasks(run.signal.set)
        await outside_of_tasks(run.stepped.cancel)
        assert run.events == events, "what has ended does not go on"

    play(scene())


def test_a_signal_that_a_task_sets_runs_nothing_within_that_task() -> None:
    async def scene() -> None:
        found: list[asyncio.Task[None] | None] = []

        async def work(run: Run) -> None:
            await run.signal
            found.append(asyncio.current_task())

        run = Run(work)
        await run.begin()
        run.signal.set()
        assert found == []
        await asyncio.sleep(0)
        assert found == [None]

    play(scene())


def test_context_variables_of_one_run_are_not_those_of_another() -> None:
    async def scene() -> None:
        found: list[str] = []

        async def work(run: Run) -> None:
            NAME.set("mine")
            await run.signal
            found.append(NAME.get("none"))
            await asyncio.sleep(0)
            found.append(NAME.get("none"))

        run = Run(work)
        await run.begin()
        await outside_of_tasks(run.signal.set)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert found == ["mine", "mine"]
        assert NAME.get("none") == "none"

    play(scene())
