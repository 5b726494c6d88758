"""A watchdog in the event loop of each gateway that a fault program runs: it measures the longest stall.

`inject` names a folder in the environment. `tests/running.py` then starts gateways through `run`, which lets
a timer tick in the loop every `TICK_SECONDS`; whatever holds the loop holds the timer. Between two ticks are
measured:

* CPU: what the loop's thread used. The loop may serve many short callbacks between two ticks, so the figure
  is up to one tick too large.
* Clock: what passed, less the time for which threads of the gateway could run and had no processor
  (`/proc/self/task/*/schedstat`), because load programs share the machine. This includes the other threads:
  while one of them holds Python's lock and has no processor, the loop waits for it. What is counted is the
  waiting for system calls, and for Python's lock while the thread that holds it runs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop

from camguard.cli import run as camguard
from tests.running import WATCH_FOLDER

TICK_SECONDS = 0.002
CPU_SECONDS = 0.050
CLOCK_SECONDS = 0.100
THREADS = Path("/proc/self/task")


class Stall(NamedTuple):
    """The longest times between two ticks, in seconds; each may be of another moment."""

    cpu: float
    clock: float


def run() -> None:
    """Be camguard, with a watchdog in each event loop."""
    new_event_loop = uvloop.new_event_loop

    def watched() -> asyncio.AbstractEventLoop:
        loop = new_event_loop()
        loop.call_soon(Watch(loop, Path(os.environ[WATCH_FOLDER], f"{os.getpid()}")).tick)
        return loop

    uvloop.new_event_loop = watched  # type: ignore[assignment]
    camguard()


class Watch:
    """One loop's watchdog. path: where the longest stalls are kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: Path) -> None:
        self._loop = loop
        self._path = path
        self._longest = Stall(0, 0)
        self._last: tuple[float, float] | None = None
        self._unserved: dict[str, int] = {}

    def tick(self) -> None:
        """Measure the time since the last tick."""
        now = time.thread_time(), time.monotonic()
        unserved = self._unserved_seconds()
        if self._last is not None:
            cpu, clock = now[0] - self._last[0], now[1] - self._last[1] - TICK_SECONDS - unserved
            longest = Stall(max(self._longest.cpu, cpu), max(self._longest.clock, clock))
            if longest != self._longest:
                self._longest = longest
                self._path.write_text(f"{longest.cpu} {longest.clock}")
        self._last = time.thread_time(), time.monotonic()
        self._loop.call_later(TICK_SECONDS, self.tick)

    def _unserved_seconds(self) -> float:
        """Return for how long threads of this process could run and had no processor since the last call."""
        before, self._unserved = self._unserved, dict(_unserved())
        return sum(now - before.get(thread, 0) for thread, now in self._unserved.items()) / 1e9


def _unserved() -> Iterator[tuple[str, int]]:
    """Yield for each thread of this process how many nanoseconds it could have run and had no processor."""
    for thread in THREADS.iterdir() if THREADS.exists() else ():
        with suppress(OSError):  # the thread has ended meanwhile
            yield thread.name, int((thread / "schedstat").read_bytes().split()[1])


@contextmanager
def watching() -> Iterator[list[Stall]]:
    """Watch each gateway that is started in the block; then the list holds each one's longest."""
    stalls: list[Stall] = []
    with TemporaryDirectory() as folder:
        os.environ[WATCH_FOLDER] = folder
        try:
            yield stalls
        finally:
            del os.environ[WATCH_FOLDER]
            stalls += [Stall(*map(float, path.read_text().split())) for path in Path(folder).iterdir()]
