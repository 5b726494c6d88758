"""One deadline for many waits: which task is cancelled, when, and when a cancellation is withdrawn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from camguard.request.deadline import Deadline, Watch, in_task, resumed

SECONDS = 10.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time a test sets."""

    now = 0.0

    def time(self) -> float:
        return self.now

    async def pass_to(self, now: float) -> None:
        """Let time pass, and let every task that is due run."""
        self.now = now
        for _ in range(5):
            await asyncio.sleep(0)


class Wait:
    """A task that waits under a deadline. result: `waiting`, or how the wait ended."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.result = "waiting"
        self.arrived = asyncio.Event()
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        task = self.watch.enter()
        try:
            await self.arrived.wait()
            self.result = "arrived"
        except asyncio.CancelledError:
            self.result = "cancelled from outside" if self.watch.waits(task) else "timed out"
            if self.result != "timed out":
                raise
        finally:
            self.watch.leave(task)
        assert task.cancelling() == 0, "the cancellation at the deadline is withdrawn"


def run(scene: Callable[[Loop, Watch], Awaitable[None]]) -> None:
    loop = Loop()
    try:
        loop.run_until_complete(_whole(scene, loop))
    finally:
        loop.close()


async def _whole(scene: Callable[[Loop, Watch], Awaitable[None]], loop: Loop) -> None:
    await scene(loop, Deadline(SECONDS).watch())


def test_each_wait_ends_at_its_own_deadline() -> None:
    async def scene(loop: Loop, watch: Watch) -> None:
        waits = []
        for moment in (0.0, 4.0, 8.0):
            await loop.pass_to(moment)
            waits.append(Wait(watch))
            await loop.pass_to(moment)
        found = []
        for moment in (9.9, 10.0, 13.9, 14.0, 18.0):
            await loop.pass_to(moment)
            found.append(sum(each.result == "timed out" for each in waits))
        assert found == [0, 1, 1, 2, 3]
        assert [each.result for each in waits] == ["timed out"] * 3

    run(scene)


def test_a_wait_that_begins_after_all_others_ended_has_a_timer_of_its_own() -> None:
    async def scene(loop: Loop, watch: Watch) -> None:
        first = Wait(watch)
        await loop.pass_to(0.0)
        await loop.pass_to(10.0)
        second = Wait(watch)
        await loop.pass_to(10.0)
        assert (first.result, second.result) == ("timed out", "waiting")
        await loop.pass_to(19.9)
        assert second.result == "waiting"
        await loop.pass_to(20.0)
        assert second.result == "timed out"

    run(scene)


def test_a_wait_that_ended_in_time_is_not_cancelled_later() -> None:
    async def scene(loop: Loop, watch: Watch) -> None:
        early, late = Wait(watch), Wait(watch)
        await loop.pass_to(0.0)
        await loop.pass_to(5.0)
        early.arrived.set()
        await loop.pass_to(9.0)
        await loop.pass_to(10.0)
        assert (early.result, late.result) == ("arrived", "timed out")
        assert not early.task.cancelled()

    run(scene)


def test_a_body_that_arrives_with_the_deadline_is_taken_and_the_task_goes_on() -> None:
    async def scene(loop: Loop, watch: Watch) -> None:
        async def both() -> str:
            task = watch.enter()
            loop.now = 10.0
            watch.end(task)
            watch.leave(task)  # before the cancellation was delivered
            assert task.cancelling() == 0
            return "goes on"

        task = asyncio.create_task(both())
        await loop.pass_to(0.0)
        assert task.done()

    run(scene)


def test_a_wait_that_is_ended_before_its_deadline_ends_as_at_the_deadline() -> None:
    async def scene(loop: Loop, watch: Watch) -> None:
        given_up, other = Wait(watch), Wait(watch)
        await loop.pass_to(0.0)
        await loop.pass_to(1.0)
        watch.end(given_up.task)
        await loop.pass_to(1.0)
        assert (given_up.result, other.result) == ("timed out", "waiting")
        await loop.pass_to(10.0)
        assert other.result == "timed out"

    run(scene)


def test_a_task_that_is_cancelled_from_outside_is_still_waiting_by_then() -> None:
    async def scene(loop: Loop, watch: Watch) -> None:
        found = Wait(watch)
        await loop.pass_to(1.0)
        found.task.cancel()
        await loop.pass_to(1.0)
        assert found.result == "cancelled from outside"
        assert found.task.cancelled()
        assert not watch.waits(found.task)

    run(scene)


def test_each_event_loop_has_a_watch_of_its_own() -> None:
    deadline = Deadline(SECONDS)

    async def watch() -> tuple[Watch, Watch]:
        return deadline.watch(), deadline.watch()

    first, second = asyncio.run(watch()), asyncio.run(watch())
    assert first[0] is first[1]
    assert second[0] is second[1]
    assert first[0] is not second[0]
    assert first[0].seconds == SECONDS


def test_what_runs_without_a_task_stops_until_a_task_runs_it() -> None:
    async def scene() -> None:
        tasks: list[object] = []

        async def wait() -> None:
            await in_task()
            tasks.append(asyncio.current_task())

        begun, steps = wait(), []
        asyncio.get_running_loop().call_soon(lambda: steps.append(begun.send(None)))
        await asyncio.sleep(0)
        assert (steps, tasks) == ([None], [])
        task = asyncio.create_task(begun)
        await task
        assert tasks == [task]

    asyncio.run(scene())


def test_what_a_task_runs_does_not_stop() -> None:
    async def scene() -> None:
        with contextlib.suppress(StopIteration):
            stopped = in_task().send(None)
            raise AssertionError(stopped)

    asyncio.run(scene())


def test_what_was_begun_by_hand_returns_its_result_and_raises_its_errors() -> None:
    async def scene() -> None:
        async def waits(error: Exception | None = None) -> str:
            await asyncio.sleep(0)
            if error is not None:
                raise error
            return "a result"

        begun = waits()
        assert await resumed(begun, begun.send(None), None) == "a result"
        begun = waits(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            await resumed(begun, begun.send(None), None)

    asyncio.run(scene())
