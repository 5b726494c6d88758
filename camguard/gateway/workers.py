"""Several worker processes behind one socket, watched by one that serves the admin listener.

Rule 1: the socket is bound once and inherited: what waits in its queue outlives any worker.
Rule 2: a worker that dies is replaced; one that cannot start while none serves ends all, with its exit code.
Rule 3: workers share nothing but the socket and the folder in which their metrics add up.
Rule 4: every worker, a replaced one too, runs by the settings that this process was started with. They are
        handed over as they were read then; the file is not looked at again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from camguard.assembly import Parts, assemble
from camguard.bundle.store import ReloadOutcome
from camguard.errors import Problem, SettingsError
from camguard.gateway.admin import Sources, admin
from camguard.gateway.run import (
    ADMIN_BOUNDS,
    ADMIN_STOP_SECONDS,
    LAST_SECONDS,
    Life,
    Sockets,
    hear_signals,
)
from camguard.gateway.server import listening
from camguard.settings import Settings
from camguard.settings.source import SettingsSource, pack_source
from camguard.telemetry.multiprocess import render_all_processes

LOG = logging.getLogger("camguard.gateway")
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SOON_SECONDS = 2.0  # a worker that ended sooner is replaced after a pause, so that a fault does not spin
PAUSE_SECONDS = 1.0
_DIGEST_BYTES = 64  # written at once, read at once
GRACE_SECONDS = 5.0  # beyond the workers' own deadline, before they are killed


class Crew:
    """The workers. `missing` is what readiness adds: `workers` while none accepts calls.

    source: a descriptor of the packed source of the settings.
    """

    def __init__(self, source: int, settings: Settings, sockets: Sockets) -> None:
        self._source = source
        self._settings = settings
        self._calls = sockets.calls
        self._running: dict[int, Process] = {}
        self._accepting: dict[int, str] = {}  # process id -> digest of the settings it runs by
        self._stopping = False
        self._alive_end, self._alive = os.pipe()  # closed by our death, however we die

    def missing(self) -> list[str]:
        """Return what keeps calls from being judged."""
        return [] if self._accepting else ["workers"]

    def workers(self) -> list[dict[str, Any]]:
        """Return the workers as `/api/status` shows them. settings_digest: None until one accepts calls."""
        accepting = dict(self._accepting)
        return [
            {"pid": pid, "accepting": pid in accepting, "settings_digest": accepting.get(pid)}
            for pid in tuple(self._running)
        ]

    def signal(self, number: signal.Signals, pids: Iterable[int]) -> None:
        """Send a signal to some of the workers."""
        for process in [self._running[pid] for pid in pids]:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    def reload(self) -> None:
        """Let the workers look at policies and keys. A starting one does, and hears nothing yet."""
        self.signal(signal.SIGHUP, self._accepting)

    async def keep(self, first: asyncio.Event) -> None:
        """Keep one worker running until `stop`. first: set once any accepts calls.

        Raises SettingsError if it ends before any has ever accepted calls.
        """
        while not self._stopping:
            began = time.monotonic()
            process = await self._start(first)
            code = await process.wait()
            self._forget(process.pid)
            if self._stopping:
                return
            LOG.error("worker %d ended with code %d; another takes its place", process.pid, code)
            if not first.is_set():
                raise SettingsError(Problem("gateway.workers", "WorkerError", "a worker cannot start"))
            if time.monotonic() - began < SOON_SECONDS:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _start(self, first: asyncio.Event) -> Process:
        ready, told = os.pipe()
        calls = self._calls.fileno()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(() if "" in sys.path else ("-P",)),  # a module in the working directory is not ours
                "-m",
                "camguard.gateway.worker",
                *map(str, (self._source, calls, told, self._alive_end)),
                pass_fds=(self._source, calls, told, self._alive_end),
                start_new_session=True,  # a terminal's Ctrl-C is for us; we tell them
            )
        finally:
            os.close(told)
        self._running[process.pid] = process

        def accepts() -> None:
            asyncio.get_running_loop().remove_reader(ready)
            digest = os.read(ready, _DIGEST_BYTES).decode()
            if digest and process.pid in self._running:
                self._accepting[process.pid] = digest
                first.set()
            os.close(ready)

        asyncio.get_running_loop().add_reader(ready, accepts)
        return process

    def _forget(self, pid: int) -> None:
        self._running.pop(pid, None)
        self._accepting.pop(pid, None)
        for left in Path(os.environ[FOLDER]).iterdir():
            if left.name.startswith("gauge_live") and left.name.endswith(f"_{pid}.db"):
                left.unlink(missing_ok=True)

    async def stop(self) -> None:
        """Let the workers finish what is in flight; kill those that do not end."""
        self._stopping = True
        self._calls.close()
        self.signal(signal.SIGTERM, self._running)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.limits.shutdown_seconds + GRACE_SECONDS):
                await asyncio.gather(*(each.wait() for each in tuple(self._running.values())))
        self.signal(signal.SIGKILL, self._running)
        os.close(self._alive)
        os.close(self._alive_end)


def supervise(
    settings: Settings, source: SettingsSource, sockets: Sockets, started: Callable[[Parts], None]
) -> None:
    """Run the workers until a signal ends them.

    source: what the settings were read from. started: called once a worker accepts calls.

    Raises SettingsError.
    """
    with (
        tempfile.TemporaryDirectory(prefix="camguard-metrics-") as folder,
        tempfile.TemporaryFile(prefix="camguard-settings-") as packed,
    ):
        packed.write(pack_source(source))
        packed.flush()
        os.environ.setdefault(FOLDER, folder)
        for left in Path(os.environ[FOLDER]).glob("*.db"):
            left.unlink()  # of a run before: its numbers would be added to ours
        parts = assemble(settings, listeners=())
        parts.store.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                crew = Crew(packed.fileno(), settings, sockets)
                life = Life(settings, parts, source, crew.workers, also_missing=crew.missing)
                runner.run(_supervise(life, crew, sockets, partial(started, parts)))
        finally:
            parts.store.stop()


async def _supervise(life: Life, crew: Crew, sockets: Sockets, started: Callable[[], None]) -> None:
    settings, parts = life.settings, life.parts
    loop = asyncio.get_running_loop()

    def reload() -> ReloadOutcome:  # in a thread
        outcome = parts.store.reload()
        loop.call_soon_threadsafe(crew.reload)
        return outcome

    def reload_soon() -> None:
        parts.store.request()
        crew.reload()

    stop = hear_signals(reload_soon, settings.limits.shutdown_seconds + LAST_SECONDS)
    first = asyncio.Event()
    sources = Sources(render_all_processes, life.missing, reload, life.status)
    async with AsyncExitStack() as stack:
        if sockets.admin is not None:
            await stack.enter_async_context(
                listening(
                    admin(sources, settings.gateway.admin_hosts),
                    sockets.admin,
                    ADMIN_BOUNDS,
                    ADMIN_STOP_SECONDS,
                )
            )
        keeping = asyncio.gather(*(crew.keep(first) for _ in range(settings.gateway.workers)))
        stopped, begun = asyncio.create_task(stop.wait()), asyncio.create_task(first.wait())
        await asyncio.wait((keeping, stopped, begun), return_when=asyncio.FIRST_COMPLETED)
        if begun.done():
            started()
        await asyncio.wait((keeping, stopped), return_when=asyncio.FIRST_COMPLETED)
        life.stopping = True
        await crew.stop()
        begun.cancel()
        stopped.cancel()
        await keeping
