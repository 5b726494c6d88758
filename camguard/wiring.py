"""Builds the components of a running camguard from its settings.

Rule 1: settings or keys that cannot be used raise SettingsError here. A bundle or a catalog that cannot be
        used leaves the store empty, because it may be repaired while camguard runs: until then every call is
        refused (T108).
Rule 2: components receive the clock and the metrics registry as arguments, and the guard receives its
        observers. No component looks for them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from camguard._version import __version__
from camguard.authn.authenticator import authenticator
from camguard.authn.key_store import KeyStore
from camguard.bundle.load import Content, build_bundle, read_content
from camguard.bundle.model import Bundle
from camguard.bundle.store import ReloadObserver, ReloadOutcome, Store
from camguard.enforcement.guard import Guard
from camguard.errors import CamguardError, Problem
from camguard.printable import printable
from camguard.settings import Settings
from camguard.settings.load import require_supported
from camguard.telemetry.decision_log import DecisionLog
from camguard.telemetry.metrics import KeysState, Metrics

if TYPE_CHECKING:
    from camguard.lint import GrantsNothing

STOP_SECONDS = 4.0  # less than the time that the supervisor leaves its workers to end

NAMED_ERRORS = 50  # findings that one activation logs by name

_LOGGER = logging.getLogger(__name__)


@dataclass(eq=False)
class Components:
    """The components that serve calls. They start and stop together.

    guards: by listener. keys: None if no signature is ever verified. candidate: None if there is none.
    """

    guards: Mapping[str, Guard]
    store: Store
    candidate: Store | None
    keys: KeyStore | None
    metrics: Metrics
    log: DecisionLog

    @property
    def guard(self) -> Guard:
        """The guard of the first listener."""
        return next(iter(self.guards.values()))

    def start(self) -> None:
        """Start to poll for changes and to write decisions."""
        self.log.start()
        self.metrics.start()
        self.store.start()
        if self.candidate is not None:
            self.candidate.start()

    def stop(self) -> None:
        """Stop what `start` started, and write the decisions that wait. Blocks for at most `STOP_SECONDS`.

        A thread that hangs while it reads a file or writes to a pipe is abandoned: all are daemon threads.
        """
        until = time.monotonic() + STOP_SECONDS
        stores = [store for store in (self.candidate, self.store) if store is not None]
        for store in stores:
            store.end()
        self.log.stop(STOP_SECONDS / 2)  # before the metrics, which count what the log still writes
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
) -> Components:
    """Return the components that the settings describe, with the bundle loaded if it is valid.

    registry: where the metrics are exposed; None creates a registry. listeners: their names in metrics and in
    the decision log; each gets a guard. drains: as for `Guard`.

    Raises SettingsError.
    """
    metrics = Metrics(registry, listeners=listeners, actions=settings.metrics.actions, version=__version__)
    log = DecisionLog(settings.decision_log.path)
    metrics.follow_log(log.counts)
    keys = _open_keys(settings, clock)
    if keys is not None:
        metrics.follow_keys(partial(_keys_state, keys, clock))
    limited = keys is not None and settings.identity.keys_max_age_seconds > 0
    authentication = authenticator(
        settings.identity, keys, partial(getattr, keys, "stale") if limited else None
    )
    store = _open_store(settings, _bundle_folder(settings), keys, clock, (metrics.policy,))
    candidate = None
    if settings.enforcement.candidate is not None:
        candidate = _open_store(settings, settings.enforcement.candidate, None, clock, ())
    guards = {
        listener: Guard(
            settings,
            store,
            authentication,
            candidate=candidate,
            observers=(metrics.observe,),
            conclusions=(metrics.answers.conclude, log.conclude)
            if log.enabled
            else (metrics.answers.conclude,),
            listener=listener,
            drains=drains,
            clock=clock,
        )
        for listener in listeners
    }
    for listener, guard in guards.items():
        metrics.follow_in_flight(listener, partial(getattr, guard, "in_flight"))
        metrics.follow_waiting(listener, partial(getattr, guard, "waiting"))
    return Components(MappingProxyType(guards), store, candidate, keys, metrics, log)


def open_store(settings: Settings) -> tuple[Store, KeyStore | None]:
    """Return the store of the active bundle and the keys, for a process that judges no calls.

    The process that supervises workers reports on bundle and keys, and needs no other component.
    Raises SettingsError.
    """
    keys = _open_keys(settings, time.time)
    return _open_store(settings, _bundle_folder(settings), keys, time.time, ()), keys


def _open_keys(settings: Settings, clock: Callable[[], float]) -> KeyStore | None:
    """Return the keys; None if only proxies name the caller and there is no file. Raises SettingsError."""
    identity = settings.identity
    if identity.mode == "header" and not identity.keys_file.exists():
        return None
    return KeyStore(identity.keys_file, max_age_seconds=identity.keys_max_age_seconds, clock=clock)


def _keys_state(keys: KeyStore, clock: Callable[[], float]) -> KeysState:
    return KeysState(keys.keys.states(clock()), not keys.problems, keys.confirmed)


def _bundle_folder(settings: Settings) -> Path:
    require_supported(settings, "policy.source")
    return Path(settings.policy.source)


def _open_store(
    settings: Settings,
    folder: Path,
    keys: KeyStore | None,
    clock: Callable[[], float],
    observers: tuple[ReloadObserver, ...],
) -> Store:
    """Return a store that has polled its folder once."""

    def read() -> Content:
        # Keys are polled together with policies: one interval for everything that can be revoked (T82).
        if keys is not None:
            _poll_keys(keys)
        return read_content(folder, settings.catalog.path)

    def build(content: Content) -> Bundle:
        return build_bundle(
            content,
            ip_support=settings.enforcement.ip_support,
            unknown_action=settings.enforcement.unknown_action,
            tables=settings.limits.tables,
            strict=settings.policy.strict,
            egress=settings.client_ip.egress,
            attribute_keys=settings.attributes.keys,
            today=datetime.fromtimestamp(clock(), UTC).date(),
            aliases=settings.hosts.aliases,
        )

    store = Store(
        read,
        build,
        poll_seconds=settings.policy.poll_seconds,
        max_age_seconds=settings.policy.max_age_seconds,
        observers=(*observers, _ReloadLog(folder)),
        clock=clock,
    )
    store.reload()
    return store


def _poll_keys(keys: KeyStore) -> None:
    outcome = keys.poll()
    if outcome.result == "failure":
        effect = "the last good keys stay in use"
        if outcome.dropped:
            effect = f"{outcome.dropped} keys that the file does not hold any more are revoked, none is added"
        _LOGGER.error("%s:\n%s", effect, CamguardError(*outcome.problems))
    elif outcome.result == "success":
        _LOGGER.info("keys were replaced")


class _ReloadLog:
    """Logs the outcome of each reload and the findings and idle policies of a new bundle, each once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._problems: tuple[Problem, ...] = ()
        self._idle: tuple[object, ...] = ()

    def __call__(self, outcome: ReloadOutcome) -> None:
        if outcome.problems and outcome.problems != self._problems:
            stays = f"revision {outcome.revision[:12]} stays" if outcome.revision else "nothing is allowed"
            _LOGGER.error("bundle %s: %s:\n%s", self._folder, stays, CamguardError(*outcome.problems))
        elif outcome.result == "success":
            _LOGGER.info("bundle %s: revision %s is in force", self._folder, outcome.revision[:12])
            self._log_findings(outcome)
            idle = outcome.bundle.granting_nothing if outcome.bundle else ()
            if idle and idle != self._idle:
                _LOGGER.warning("policies that can grant nothing here:\n%s", "\n".join(_table(idle)))
            self._idle = idle
        self._problems = outcome.problems

    def _log_findings(self, outcome: ReloadOutcome) -> None:
        """Log how many findings the bundle has, and the errors that this activation brought (DEC-55)."""
        findings = outcome.bundle.findings if outcome.bundle else None
        if findings is None or not (findings.open or findings.accepted):
            return
        counts = ", ".join(f"{name} {count}" for name, count in findings.counts().items())
        if not outcome.new_errors:
            _LOGGER.info("bundle %s: findings: %s", self._folder, counts)
            return
        lines = [f"{each.where}: {each.advice} [{each.code}]" for each in outcome.new_errors[:NAMED_ERRORS]]
        if len(outcome.new_errors) > len(lines):
            lines.append(
                f"and {len(outcome.new_errors) - len(lines)} more; `camguard lint` lists all of them"
            )
        text = "bundle %s: findings: %s; errors that this activation brought:\n%s"
        _LOGGER.warning(text, self._folder, counts, "\n".join(map(printable, lines)))


def _table(idle: tuple[GrantsNothing, ...]) -> Iterator[str]:
    # Imported here, because lint is loaded for an activation only.
    from camguard.lint import table  # noqa: PLC0415

    return table(idle)
