"""`camguard serve` with several workers: the supervisor's process, with the admin listener.

Rule 1: the supervisor binds the sockets once, and the workers inherit them. Connections that wait in the
        queue of a socket outlive any worker.
Rule 2: workers share only the sockets, and the folder in which their metrics add up.
Rule 3: every worker, also a replacement, uses the settings with which the supervisor was started, or those of
        the last restart of the workers. The supervisor hands over what it has read; no worker reads the
        settings file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import uvloop

from camguard.activation import carry_out
from camguard.asgi import in_daemon_thread
from camguard.authn.key_store import KeyStore
from camguard.bundle import Bundle, ReloadOutcome, Store
from camguard.bundle.store import STOP_SECONDS
from camguard.errors import BundleError, CamguardError, Problem, SettingsError
from camguard.gateway.admin import Sources
from camguard.gateway.channel import WorkerOutcome
from camguard.gateway.run import LAST_SECONDS, ServerStatus, Sockets, admin_listener, handle_signals
from camguard.gateway.supervisor import FOLDER, Supervisor
from camguard.gateway.systemd import READY, STOPPING, Notify, announced, silent
from camguard.polling import Ticker
from camguard.settings import Settings
from camguard.settings.load import parse_settings
from camguard.settings.source import SettingsSource, pack_source, read_source
from camguard.telemetry.multiprocess import render_all_processes
from camguard.telemetry.process_log import Event
from camguard.wiring import open_store

LOG = logging.getLogger("camguard.gateway")
# What the supervisor has opened by it: a restart of the workers cannot change it.
FIXED = ("listen", "authorizer", "authorizer_grpc", "admin", "admin_hosts", "workers")


@dataclass(slots=True)
class Loaded:
    """Settings, and what the supervisor reads by them: it reports on bundle and keys, and judges no call."""

    settings: Settings
    source: SettingsSource
    packed: IO[bytes]
    store: Store
    keys: KeyStore | None
    tickers: tuple[Ticker, ...]

    def start(self) -> None:
        """Begin to poll."""
        self.store.start()
        for ticker in self.tickers:
            ticker.start()

    def stop(self) -> None:
        """Stop what `start` started."""
        for ticker in self.tickers:
            ticker.stop(STOP_SECONDS)
        self.store.stop()
        self.packed.close()


def load(settings: Settings, source: SettingsSource) -> Loaded:
    """Return settings with what is read by them. Raises SettingsError."""
    packed = tempfile.TemporaryFile(prefix="camguard-settings-")  # noqa: SIM115 - `Loaded.stop` closes it
    try:
        packed.write(pack_source(source))
        packed.flush()
        return Loaded(settings, source, packed, *open_store(settings, source))
    except BaseException:
        packed.close()
        raise


def load_anew(before: Loaded) -> Loaded:
    """Return the settings of the file as it is now, for a restart of the workers.

    Raises CamguardError: they are wrong, cannot be used, or change what only a restart of the service can.
    """
    source = read_source(before.source.file, before.source.environ)
    settings = parse_settings(source)
    problems = [
        Problem(f"gateway.{name}", "SettingsError", "was changed, which takes a restart of the service")
        for name in FIXED
        if getattr(settings.gateway, name) != getattr(before.settings.gateway, name)
    ]
    if problems:
        raise SettingsError(*problems)
    found = load(settings, source)
    if found.store.bundle is None:
        problems = list(found.store.reload().problems)
        found.packed.close()
        raise BundleError(*problems)
    return found


def supervise(
    settings: Settings,
    source: SettingsSource,
    sockets: Sockets,
    started: Callable[[Bundle | None], None],
    notify: Notify = silent,
) -> None:
    """Run the workers until a signal ends them.

    source: what the settings were read from. started: called with the active bundle once every worker accepts
    calls. notify: sends a state to systemd.

    Raises SettingsError.
    """
    with tempfile.TemporaryDirectory(prefix="camguard-metrics-") as folder:
        os.environ.setdefault(FOLDER, folder)
        for file in Path(os.environ[FOLDER]).glob("*.db"):
            file.unlink()  # of an earlier run, whose numbers would be added to those of this run
        instance = _Instance(load(settings, source), sockets, notify)
        instance.loaded.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(instance.run(started))
        finally:
            instance.loaded.stop()


class _Instance:
    """The supervisor with what it has loaded, which a restart of the workers replaces."""

    def __init__(self, loaded: Loaded, sockets: Sockets, notify: Notify) -> None:
        self.loaded = loaded
        self._sockets = sockets
        self._notify = notify
        settings = loaded.settings
        self._supervisor = Supervisor(
            loaded.packed.fileno(), settings.limits.ending_seconds, sockets, settings.gateway.workers
        )
        self._status = ServerStatus(
            settings,
            loaded.store,
            loaded.keys,
            loaded.source,
            self._supervisor.workers,
            also_missing=self._supervisor.missing,
            also_failing=self._supervisor.failing,
            notify=notify,
        )
        self._supervisor.verdict = self._status.missing

    async def run(self, started: Callable[[Bundle | None], None]) -> None:
        """Keep the workers and serve the admin listener until a signal ends the process."""
        supervisor, settings = self._supervisor, self.loaded.settings
        stop = self._handle_signals()
        sources = Sources(
            render_all_processes,
            self._status.missing,
            self._status.failing,
            self._reload,
            self._status.report,
            lambda order, options: carry_out(self.loaded.settings, self.loaded.store, order, options),
            reload_workers=lambda force: supervisor.reload(force=force),
            restart=self.restart,
            detail=lambda: {"revisions": supervisor.revisions()},
        )
        async with admin_listener(sources, settings, self._sockets):
            keeping = asyncio.gather(*(supervisor.keep(slot) for slot in range(settings.gateway.workers)))
            stopped, begun = asyncio.create_task(stop.wait()), asyncio.create_task(supervisor.begun.wait())
            watching = asyncio.create_task(supervisor.watch())
            await asyncio.wait((keeping, stopped, begun), return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                started(self.loaded.store.bundle)
                self._notify(READY)
            await asyncio.wait((keeping, stopped), return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            self._status.stopping = True
            self._notify(STOPPING)
            await supervisor.stop()
            begun.cancel()
            stopped.cancel()
            await keeping

    def _reload(self) -> ReloadOutcome:
        return self.loaded.store.reload()

    def _handle_signals(self) -> asyncio.Event:
        loop = asyncio.get_running_loop()

        def reload() -> ReloadOutcome:  # in a thread
            reloading = asyncio.run_coroutine_threadsafe(self._supervisor.reload(), loop)
            outcome = self._reload()
            failed = any(each.failed for each in reloading.result())
            return outcome._replace(result="failure") if failed else outcome

        tasks: set[asyncio.Task[None]] = set()

        async def restart() -> None:
            with suppress(CamguardError):  # it is logged
                await self.restart()

        def restart_soon() -> None:
            task = loop.create_task(restart())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        seconds = self.loaded.settings.limits.ending_seconds + LAST_SECONDS
        return handle_signals(announced(reload, self._notify), seconds, restart_soon)

    async def restart(self) -> list[WorkerOutcome]:
        """Read the settings file, and replace one worker after the other by workers with these settings.

        Raises CamguardError: the settings cannot be used, and no worker was touched.
        """
        LOG.info("the workers are replaced one after the other")
        try:
            loaded = await in_daemon_thread(lambda: load_anew(self.loaded))
        except CamguardError as error:
            for where, code, message in error.problems:
                LOG.error(Event("the workers are not replaced", where=where, code=code, problem=message))  # noqa: TRY400 - the problem names the place
            raise
        limits = loaded.settings.limits
        outcomes = await self._supervisor.restart(loaded.packed.fileno(), limits.ending_seconds)
        for each in outcomes:
            for problem in each.problems if each.failed else ():
                LOG.error(Event("the workers are not replaced", worker=each.pid, **problem))
        if any(each.failed for each in outcomes):
            await in_daemon_thread(loaded.stop)
            return outcomes
        loaded.start()
        before, self.loaded = self.loaded, loaded
        status = self._status
        status.settings, status.store, status.keys, status.source = (
            loaded.settings,
            loaded.store,
            loaded.keys,
            loaded.source,
        )
        await in_daemon_thread(before.stop)
        LOG.info("all workers were replaced")
        return outcomes
