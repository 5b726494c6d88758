"""Several worker processes behind one socket. A supervisor starts them and serves the admin listener.

Rule 1: the supervisor binds the socket once, and the workers inherit it. Connections that wait in the queue
        of the socket outlive any worker.
Rule 2: a worker that ends is replaced. If a worker ends before any worker has served, the supervisor ends
        with an error.
Rule 3: workers share only the socket, and the folder in which their metrics add up.
Rule 4: every worker, also a replacement, uses the settings with which the supervisor was started. The
        supervisor hands over what it has read; no worker reads the settings file.
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
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from camguard.activation import carry_out
from camguard.bundle import Bundle, ReloadOutcome
from camguard.bundle.store import STOP_SECONDS
from camguard.errors import Problem, SettingsError
from camguard.gateway.admin import Sources
from camguard.gateway.run import LAST_SECONDS, ServerStatus, Sockets, admin_listener, handle_signals
from camguard.gateway.systemd import READY, STOPPING, Notify, announced, silent
from camguard.settings import Settings
from camguard.settings.source import SettingsSource, pack_source
from camguard.telemetry.multiprocess import render_all_processes
from camguard.wiring import open_store

LOG = logging.getLogger("camguard.gateway")
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SOON_SECONDS = 2.0  # a worker that ended sooner is replaced after a pause, so that a fault does not spin
PAUSE_SECONDS = 1.0
_DIGEST_BYTES = 64  # a worker writes and the supervisor reads them at once
GRACE_SECONDS = 5.0  # after the workers' own deadline, until they are killed


class Supervisor:
    """Starts, replaces and stops the workers. source: a file descriptor of the packed settings source."""

    def __init__(self, source: int, settings: Settings, sockets: Sockets) -> None:
        self._source = source
        self._settings = settings
        self._sockets = [each for each in (sockets.calls, sockets.authorizer) if each is not None]
        self._running: dict[int, Process] = {}
        self._accepting: dict[int, str] = {}  # process id -> digest of the settings that it uses
        self._stopping = False
        # Workers inherit the reading end. The system closes the writing end when this process ends, however
        # it ends, and so the workers learn of it.
        self._orphaned, self._writing_end = os.pipe()

    def missing(self) -> list[str]:
        """Return `workers` while no worker accepts calls: the part of readiness that this class knows."""
        return [] if self._accepting else ["workers"]

    def workers(self) -> list[dict[str, Any]]:
        """Return the rows of `/api/status`. settings_digest: None until the worker accepts calls."""
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
        """Make the workers poll policies and keys. A starting worker does so anyway, and ignores signals."""
        self.signal(signal.SIGHUP, self._accepting)

    async def keep(self, first: asyncio.Event) -> None:
        """Keep one worker running until `stop` is called. first: set once any worker accepts calls.

        Raises SettingsError if the worker ends before any worker has ever accepted calls.
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
        ready, ready_end = os.pipe()
        calls, *asked = (each.fileno() for each in self._sockets)
        inherited = (self._source, calls, ready_end, self._orphaned, *asked)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(() if "" in sys.path else ("-P",)),  # no module of the working directory may be imported
                "-m",
                "camguard.gateway.worker",
                *map(str, inherited),
                pass_fds=inherited,
                start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which stops the workers
            )
        finally:
            os.close(ready_end)
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
        for file in Path(os.environ[FOLDER]).iterdir():
            if file.name.startswith("gauge_live") and file.name.endswith(f"_{pid}.db"):
                file.unlink(missing_ok=True)

    async def stop(self) -> None:
        """Let the workers finish the requests in flight, then kill the workers that still run."""
        self._stopping = True
        for each in self._sockets:
            each.close()
        self.signal(signal.SIGTERM, self._running)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.limits.shutdown_seconds + GRACE_SECONDS):
                await asyncio.gather(*(each.wait() for each in tuple(self._running.values())))
        self.signal(signal.SIGKILL, self._running)
        os.close(self._orphaned)
        os.close(self._writing_end)


def supervise(
    settings: Settings,
    source: SettingsSource,
    sockets: Sockets,
    started: Callable[[Bundle | None], None],
    notify: Notify = silent,
) -> None:
    """Run the workers until a signal ends them.

    source: what the settings were read from. started: called with the active bundle once a worker accepts
    calls. notify: sends a state to systemd.

    Raises SettingsError.
    """
    with (
        tempfile.TemporaryDirectory(prefix="camguard-metrics-") as folder,
        tempfile.TemporaryFile(prefix="camguard-settings-") as packed,
    ):
        packed.write(pack_source(source))
        packed.flush()
        os.environ.setdefault(FOLDER, folder)
        for file in Path(os.environ[FOLDER]).glob("*.db"):
            file.unlink()  # of an earlier run, whose numbers would be added to those of this run
        store, keys, tickers = open_store(settings, source)
        store.start()
        for ticker in tickers:
            ticker.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                supervisor = Supervisor(packed.fileno(), settings, sockets)
                status = ServerStatus(
                    settings,
                    store,
                    keys,
                    source,
                    supervisor.workers,
                    also_missing=supervisor.missing,
                    notify=notify,
                )
                runner.run(_supervise(status, supervisor, sockets, started))
        finally:
            for ticker in tickers:
                ticker.stop(STOP_SECONDS)
            store.stop()


async def _supervise(
    status: ServerStatus,
    supervisor: Supervisor,
    sockets: Sockets,
    started: Callable[[Bundle | None], None],
) -> None:
    settings, store = status.settings, status.store
    loop = asyncio.get_running_loop()

    def reload() -> ReloadOutcome:  # in a thread
        outcome = store.reload()
        loop.call_soon_threadsafe(supervisor.reload)
        return outcome

    own_reload = announced(store.reload, status.notify)

    def reload_soon() -> None:
        own_reload()
        supervisor.reload()

    stop = handle_signals(reload_soon, settings.limits.shutdown_seconds + LAST_SECONDS)
    first = asyncio.Event()
    sources = Sources(
        render_all_processes,
        status.missing,
        status.failing,
        reload,
        status.report,
        partial(carry_out, settings, store),
    )
    async with admin_listener(sources, settings, sockets):
        keeping = asyncio.gather(*(supervisor.keep(first) for _ in range(settings.gateway.workers)))
        stopped, begun = asyncio.create_task(stop.wait()), asyncio.create_task(first.wait())
        await asyncio.wait((keeping, stopped, begun), return_when=asyncio.FIRST_COMPLETED)
        if begun.done():
            started(store.bundle)
            status.notify(READY)
        await asyncio.wait((keeping, stopped), return_when=asyncio.FIRST_COMPLETED)
        status.stopping = True
        status.notify(STOPPING)
        await supervisor.stop()
        begun.cancel()
        stopped.cancel()
        await keeping
