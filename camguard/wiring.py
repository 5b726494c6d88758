"""Builds the components of a running camguard from its settings.

Rule 1: settings or keys that cannot be used raise SettingsError here. A bundle or a catalog that cannot be
        used leaves the store empty, because it may be repaired while camguard runs: until then every call is
        refused (T108).
Rule 2: components receive the clock and the metrics registry as arguments, and the guard receives its
        observers. No component looks for them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
from camguard.bundle.store import ReloadObserver, Store
from camguard.enforcement.guard import Guard
from camguard.errors import BundleError, Problem
from camguard.polling import Ticker
from camguard.reload_log import KeysLog, ReloadLog, SettingsWatch, log_watched
from camguard.settings import Settings
from camguard.settings.source import SettingsSource
from camguard.settings.values import is_url
from camguard.telemetry.decision_log import DecisionLog, require_writable
from camguard.telemetry.metrics import KeysState, Metrics
from camguard.telemetry.record import AUTHORIZER

if TYPE_CHECKING:
    from camguard.bundle.remote import RemoteSource

SHOWN_BODY_SECONDS = 0.8  # for a body that a proxy sends along; the proxy has all of it already
STOP_SECONDS = 4.0  # less than the time that the supervisor leaves its workers to end


@dataclass(eq=False)
class Components:
    """The components that serve calls. They start and stop together.

    guards: by listener. keys: None if no signature is ever verified. candidate: None if none is set.
    source: what the settings were read from; None if they are not watched for edits. tickers: what polls
    besides the stores.
    """

    settings: Settings
    guards: Mapping[str, Guard]
    store: Store
    candidate: Store | None
    keys: KeyStore | None
    metrics: Metrics
    log: DecisionLog
    source: SettingsSource | None = None
    tickers: tuple[Ticker, ...] = ()

    @property
    def guard(self) -> Guard:
        """The guard of the first listener."""
        return next(iter(self.guards.values()))

    def start(self) -> None:
        """Start to poll for changes and to write decisions."""
        log_watched(self.settings, keys=self.keys, source=self.source)
        self.log.start()
        self.metrics.start()
        self.store.start()
        for ticker in self.tickers:
            ticker.start()
        if self.candidate is not None:
            self.candidate.start()

    def missing(self) -> list[str]:
        """Return why calls cannot be judged now, as `missing` does."""
        return missing(self.settings, self.store, self.keys)

    def failing(self) -> list[str]:
        """Return what could not be read anew, as `failing` does."""
        return failing(self.store, self.keys)

    def stop(self) -> None:
        """Stop what `start` started, and write the decisions that wait. Blocks for at most `STOP_SECONDS`.

        A thread that hangs while it reads a file or writes to a pipe is abandoned: all are daemon threads.
        """
        until = time.monotonic() + STOP_SECONDS
        stores = [store for store in (self.candidate, self.store) if store is not None]
        for store in stores:
            store.end()
        self.log.stop(STOP_SECONDS / 2)  # before the metrics, which count what the log still writes
        for ticker in self.tickers:
            ticker.stop(max(0.0, until - time.monotonic()))
        for store in stores:
            store.stop(max(0.0, until - time.monotonic()))
        self.metrics.stop()


def missing(settings: Settings, store: Store, keys: KeyStore | None) -> list[str]:
    """Return why calls cannot be judged now: `bundle`, `stale`, `keys`; empty when ready.

    `keys`: each call must be signed, and the keys are older than `identity.keys_max_age_seconds`.
    """
    signed = settings.identity.mode in {"signature", "claimed"}
    facts = {
        "bundle": store.bundle is None,
        "stale": store.stale,
        "keys": signed and keys is not None and keys.stale,
    }
    return [name for name, true in facts.items() if true]


def failing(store: Store, keys: KeyStore | None) -> list[str]:
    """Return what could not be read anew, so that the last good one is in use: `bundle`, `keys`."""
    facts = {"bundle": store.failing, "keys": keys is not None and bool(keys.problems)}
    return [name for name, true in facts.items() if true]


def assemble(  # noqa: PLR0913 - what a process adds to its settings
    settings: Settings,
    *,
    source: SettingsSource | None = None,
    clock: Callable[[], float] = time.time,
    registry: CollectorRegistry | None = None,
    listeners: tuple[str, ...] = ("middleware",),
    drains: bool = False,
) -> Components:
    """Return the components that the settings describe, with the bundle loaded if it is valid.

    source: what the settings were read from, to notice edits of it; None where another process does so.
    registry: where the metrics are exposed; None creates a registry. listeners: their names in metrics and in
    the decision log; each gets a guard. drains: as for `Guard`.

    Raises SettingsError.
    """
    require_writable(settings.decision_log.path)
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
    store, tickers = _open_active_store(settings, keys, clock, source, metrics.policy)
    candidate = None
    if settings.enforcement.candidate is not None:
        candidate = _open_store(settings, settings.enforcement.candidate, clock, (), name="candidate")
    guards = {
        listener: Guard(
            authorizer_settings(settings) if listener == AUTHORIZER else settings,
            store,
            authentication,
            candidate=candidate,
            observers=(metrics.observe,),
            conclusions=(metrics.answers.conclude, log.conclude)
            if log.enabled
            else (metrics.answers.conclude,),
            listener=listener,
            drains=drains,
            for_proxy=listener == AUTHORIZER,
            clock=clock,
        )
        for listener in listeners
    }
    for listener, guard in guards.items():
        metrics.follow_in_flight(listener, partial(getattr, guard, "in_flight"))
        metrics.follow_waiting(listener, partial(getattr, guard, "waiting"))
    return Components(
        settings, MappingProxyType(guards), store, candidate, keys, metrics, log, source, tickers
    )


def authorizer_settings(settings: Settings) -> Settings:
    """Return the settings of the guard that proxies ask: the dialect of each names the address in one header.

    Whichever header the dialect has, the guard is given its value as `X-Forwarded-For`.
    """
    seconds = min(settings.limits.body_seconds, SHOWN_BODY_SECONDS)
    return replace(
        settings,
        client_ip=replace(settings.client_ip, header="x-forwarded-for"),
        limits=replace(settings.limits, body_seconds=seconds),
    )


def open_store(
    settings: Settings, source: SettingsSource, *observers: ReloadObserver
) -> tuple[Store, KeyStore | None, tuple[Ticker, ...]]:
    """Return the store of the active bundle and the keys, for a process that judges no calls.

    Besides them, what polls the keys. The process that supervises workers reports on bundle and keys, notices
    edits of the settings file, and needs no other component. Raises SettingsError.
    """
    require_writable(settings.decision_log.path)
    keys = _open_keys(settings, time.time)
    store, tickers = _open_active_store(settings, keys, time.time, source, *observers)
    log_watched(settings, keys=keys, source=source)
    return store, keys, tickers


def _open_keys(settings: Settings, clock: Callable[[], float]) -> KeyStore | None:
    """Return the keys; None if only proxies name the caller and there is no file. Raises SettingsError."""
    identity = settings.identity
    if identity.mode == "header" and not identity.keys_file.exists():
        return None
    return KeyStore(identity.keys_file, max_age_seconds=identity.keys_max_age_seconds, clock=clock)


def _keys_state(keys: KeyStore, clock: Callable[[], float]) -> KeysState:
    return KeysState(keys.keys.states(clock()), not keys.problems, keys.confirmed)


def _open_active_store(
    settings: Settings,
    keys: KeyStore | None,
    clock: Callable[[], float],
    source: SettingsSource | None,
    *observers: ReloadObserver,
) -> tuple[Store, tuple[Ticker, ...]]:
    """Return the store of the active bundle. It polls the keys and the settings file, too.

    A URL may be slow, and is asked less often after failures. So that a revoked key does not wait for it, a
    thread of its own polls the keys then.
    """
    keys_log = None if keys is None else KeysLog(keys, settings.identity.keys_file)
    watching: list[ReloadObserver] = [] if keys_log is None else [keys_log]
    if source is not None:
        watching.append(SettingsWatch(source, settings))

    polling = threading.Lock()

    def poll_keys() -> None:
        # Keys are polled together with policies: one interval for everything that can be revoked (T82).
        if keys is not None and keys_log is not None:
            with polling:
                keys_log.polled(keys.poll())

    tickers: tuple[Ticker, ...] = ()
    if keys is not None and is_url(settings.policy.source):
        tickers = (Ticker(poll_keys, settings.policy.poll_seconds, "camguard-keys"),)
    store = _open_store(
        settings,
        settings.policy.source,
        clock,
        observers,
        watching=tuple(watching),
        before=poll_keys,
        keeps=True,
    )
    return store, tickers


def _open_store(  # noqa: PLR0913 - the source, the clock and the observers of a store
    settings: Settings,
    place: str,
    clock: Callable[[], float],
    observers: tuple[ReloadObserver, ...],
    *,
    name: str = "bundle",
    watching: tuple[ReloadObserver, ...] = (),
    before: Callable[[], None] = lambda: None,
    keeps: bool = False,
) -> Store:
    """Return a store that has polled its source once.

    place: a folder or a URL. name: of the bundle in the log. watching: observers behind the one that logs the
    reload. before: called before each reading. keeps: whether bundles of a URL are kept on disk.
    """
    log = ReloadLog(name, place)
    source = _remote_source(settings, place, clock, keeps=keeps) if is_url(place) else None
    tests = settings.policy.run_tests

    def read() -> Content:
        before()
        if source is not None:
            return source.read()
        return read_content(Path(place), settings.catalog.path, tests=tests)

    def build(content: Content) -> Bundle:
        bundle = build_content(settings, content, clock)
        log.built(content, bundle)
        return bundle

    store = Store(
        read,
        build,
        poll_seconds=settings.policy.poll_seconds,
        max_age_seconds=settings.policy.max_age_seconds,
        observers=(*observers, log, *watching),
        source=source,
        clock=clock,
    )
    if store.reload().result == "failure" and source is not None:
        store.reload()  # a bundle that cannot be activated does not keep the last good one from its place
    return store


def build_content(settings: Settings, content: Content, clock: Callable[[], float]) -> Bundle:
    """Return the bundle that a content describes, built with these settings, its tests included.

    Raises BundleError or CatalogError.
    """
    bundle = build_bundle(
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
    if settings.policy.run_tests:
        _require_passing_tests(content, bundle)
    return bundle


def _require_passing_tests(content: Content, bundle: Bundle) -> None:
    """Raise BundleError unless all tests and invariants of a bundle pass, and there is one."""
    # Imported here, because few settings ask for it: `import camguard` does not load it.
    from camguard.policytest import failures_of, parse_tests  # noqa: PLC0415

    tests = parse_tests(content.tests, bundle)
    failed = []
    for line in failures_of(tests, bundle):
        where, _, message = line.partition(": ")
        failed.append(Problem(where, "TestFailed", message))
    if failed:
        raise BundleError(*failed)
    if not tests.invariants and not any(suite.cases for suite in tests.suites):
        message = "holds no policy test, and policy.run_tests requires that tests pass"
        raise BundleError(Problem("tests", "TestFailed", message))


def _remote_source(settings: Settings, url: str, clock: Callable[[], float], *, keeps: bool) -> RemoteSource:
    """Return the source of the bundles of a URL. Raises SettingsError: the key cannot be read."""
    # Imported here, because only a URL needs HTTP and TLS: `import camguard` does not load them.
    from camguard.bundle.last_good import LastGood  # noqa: PLC0415
    from camguard.bundle.remote import RemoteSource  # noqa: PLC0415
    from camguard.bundle.signature import read_verify_key  # noqa: PLC0415

    policy = settings.policy
    return RemoteSource(
        url,
        settings.catalog.path,
        key=None if policy.verify_key_file is None else read_verify_key(policy.verify_key_file),
        last_good=LastGood(policy.last_good) if keeps and policy.last_good is not None else None,
        tests=policy.run_tests,
        poll_seconds=policy.poll_seconds,
        max_age=policy.max_age_seconds > 0,
        clock=clock,
    )
