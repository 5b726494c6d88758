"""From settings to the parts that judge: read once, put together once.

Rule 1: settings and keys that cannot be used raise here; a bundle or catalog that cannot, and that may be
        repaired while we run, leaves the store empty: calls are refused until it is (T108).
Rule 2: nothing is reached for: clock and registry are handed in, observers are handed out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from prometheus_client import CollectorRegistry

from camguard._version import __version__
from camguard.bundle.load import Content, build_bundle, read_content
from camguard.bundle.model import Bundle
from camguard.bundle.store import ReloadObserver, ReloadOutcome, Store
from camguard.edge.guard import Guard
from camguard.edge.identity import make_identify
from camguard.edge.keys import KeyStore
from camguard.errors import CamguardError, Problem, SettingsError
from camguard.settings import Settings
from camguard.telemetry.decision_log import DecisionLog
from camguard.telemetry.metrics import Metrics

STOP_SECONDS = 4.0  # below the grace that the supervisor of workers gives them

_LOGGER = logging.getLogger(__name__)


class Parts:
    """What serves calls, put together; started and stopped as one.

    guards: by listener. keys: None where no signature is ever verified. candidate: None without one.
    """

    def __init__(  # noqa: PLR0913 - the parts, each named
        self,
        *,
        guards: Mapping[str, Guard],
        store: Store,
        candidate: Store | None,
        keys: KeyStore | None,
        metrics: Metrics,
        log: DecisionLog,
    ) -> None:
        self.guards = guards
        self.store = store
        self.candidate = candidate
        self.keys = keys
        self.metrics = metrics
        self.log = log

    @property
    def guard(self) -> Guard:
        """The first listener's guard."""
        return next(iter(self.guards.values()))

    def start(self) -> None:
        """Begin to look for changes and to write decisions."""
        self.log.start()
        self.metrics.start()
        self.store.start()
        if self.candidate is not None:
            self.candidate.start()

    def stop(self) -> None:
        """End what `start` began; decisions that wait are written. Blocks for at most `STOP_SECONDS`.

        What hangs, a read of a file or a write to a pipe, is left behind: all these threads are daemons.
        """
        until = time.monotonic() + STOP_SECONDS
        stores = [store for store in (self.candidate, self.store) if store is not None]
        for store in stores:
            store.end()
        self.log.stop(STOP_SECONDS / 2)  # before the metrics: what it still writes is counted
        for store in stores:
            store.stop(max(0.0, until - time.monotonic()))
        self.metrics.stop()


def assemble(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    registry: CollectorRegistry | None = None,
    listeners: tuple[str, ...] = ("middleware",),
    drains: bool = False,
) -> Parts:
    """Return the parts that settings describe, the bundle loaded if it is whole.

    registry: where the metrics are shown; None: in one of their own.
    listeners: as metrics and decision log name them; each gets a guard. drains: as `Guard`.

    Raises SettingsError.
    """
    metrics = Metrics(registry, listeners=listeners, actions=settings.metrics.actions, version=__version__)
    log = DecisionLog(settings.decision_log.path)
    metrics.follow_log(log.counts)
    keys = _keys(settings)
    who = make_identify(settings.identity, keys)
    store = _store(settings, Path(_folder(settings)), keys, clock, (metrics.policy,))
    candidate = None
    if settings.enforcement.candidate is not None:
        candidate = _store(settings, settings.enforcement.candidate, None, clock, ())
    guards = {
        listener: Guard(
            settings,
            store,
            who,
            candidate=candidate,
            observers=(metrics.observe,),
            conclusions=(log.conclude,) if log.enabled else (),
            listener=listener,
            drains=drains,
            clock=clock,
        )
        for listener in listeners
    }
    for listener, guard in guards.items():
        metrics.follow_in_flight(listener, partial(getattr, guard, "in_flight"))
        metrics.follow_waiting(listener, partial(getattr, guard, "waiting"))
    return Parts(
        guards=MappingProxyType(guards),
        store=store,
        candidate=candidate,
        keys=keys,
        metrics=metrics,
        log=log,
    )


def _keys(settings: Settings) -> KeyStore | None:
    """Return the keys; None where only proxies say who calls and there are none. Raises SettingsError."""
    if settings.identity.mode == "header" and not settings.identity.keys_file.exists():
        return None
    return KeyStore(settings.identity.keys_file)


def _folder(settings: Settings) -> str:
    source = settings.policy.source
    if "://" in source:
        raise SettingsError(
            Problem("policy.source", "SettingsError", "is a URL; this version reads bundles from a folder")
        )
    return source


def _store(
    settings: Settings,
    folder: Path,
    keys: KeyStore | None,
    clock: Callable[[], float],
    observers: tuple[ReloadObserver, ...],
) -> Store:
    """Return a store that has looked at its folder once."""

    def read() -> Content:
        # Keys are looked at whenever policies are: one clock for all that may be revoked (T82).
        if keys is not None:
            _tell_keys(keys)
        return read_content(folder, settings.catalog.path)

    def build(content: Content) -> Bundle:
        return build_bundle(
            content,
            ip_support=settings.enforcement.ip_support,
            unknown_action=settings.enforcement.unknown_action,
            tables=settings.limits.tables,
        )

    store = Store(
        read,
        build,
        poll_seconds=settings.policy.poll_seconds,
        max_age_seconds=settings.policy.max_age_seconds,
        observers=(*observers, _Told(folder)),
        clock=clock,
    )
    store.reload()
    return store


def _tell_keys(keys: KeyStore) -> None:
    outcome = keys.poll()
    if outcome.result == "failure":
        _LOGGER.error("the last good keys stay in use:\n%s", CamguardError(*outcome.problems))
    elif outcome.result == "success":
        _LOGGER.info("keys were replaced")


class _Told:
    """Writes what reloads come to into the log, each thing once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: tuple[Problem, ...] = ()

    def __call__(self, outcome: ReloadOutcome) -> None:
        if outcome.problems and outcome.problems != self._last:
            stays = f"revision {outcome.revision[:12]} stays" if outcome.revision else "nothing is allowed"
            _LOGGER.error("bundle %s: %s:\n%s", self._folder, stays, CamguardError(*outcome.problems))
        elif outcome.result == "success":
            _LOGGER.info("bundle %s: revision %s is in force", self._folder, outcome.revision[:12])
        self._last = outcome.problems
