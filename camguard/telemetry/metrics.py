"""The metrics of Prometheus: requests, answers, reloads, keys and the process, as one snapshot.

Theory of operation. `requests` and `answers` count in plain numbers; reloads, keys and the decision log are
asked at a scrape. An `Exposition` shows the snapshots of all guards in one registry as their sum.

Rule 1: a request looks up no label, creates no child metric and takes no lock.
Rule 2: text from a request is never a label (T114).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from camguard.bundle.model import Bundle
from camguard.bundle.store import ReloadOutcome
from camguard.catalog.labels import api_actions
from camguard.catalog.model import Catalog
from camguard.grammar import REVISION_DIGITS
from camguard.policy.patterns import star_match
from camguard.telemetry.answers import ZERO_SERVICES, Answers
from camguard.telemetry.exposition import (
    FAMILIES,
    KEY_STATE,
    LOG_RESULT,
    OTHER,
    RELOAD,
    SEVERITY,
    UNKNOWN,
    Labels,
    Snapshot,
    Value,
    exposition_of,
    zeros,
)
from camguard.telemetry.multiprocess import multiprocess_enabled, process_exporter, render_all_processes
from camguard.telemetry.process_log import lost_lines
from camguard.telemetry.requests import CatalogLabels, Requests

if TYPE_CHECKING:
    from camguard.bundle.remote import SourceFacts

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4  # of `render`; every version of Prometheus reads it
OWN_COUNTERS = 1000  # actions with a counter of their own
_OLD_REVISIONS = 16  # replaced revisions that are still shown, as 0


class _Policy(NamedTuple):
    """The outcomes of reloads so far. The thread that reloads replaces it as a whole."""

    bundle: Bundle | None = None
    reloads: Mapping[str, int] = dict.fromkeys(RELOAD, 0)
    successful: bool = False
    confirmed: float = 0.0  # Unix time
    activated: float = 0.0  # Unix time
    old: tuple[str, ...] = ()  # replaced revisions, the last one last
    lookups: tuple[int, int] = (0, 0)  # hits and misses of replaced bundles
    source: SourceFacts | None = None  # of the last poll; None for a folder


class KeysState(NamedTuple):
    """The access keys at one moment.

    counts: entries by their state, of KEY_STATE. successful: whether the file was good when it was last read.
    confirmed: Unix time at which it was last read and good.
    """

    counts: Mapping[str, int]
    successful: bool
    confirmed: float


class Metrics:
    """The numbers of one guard or of one process's guards.

    registry: the registry that shows them, e.g. the host application's. None: an own registry, which also
        shows the memory, time and files of the process. Several Metrics in one registry are shown as their
        sum.
    listeners: the values of `Record.listener`. actions: patterns of the actions with a counter of their own.
    catalog: the catalog that is known before the first bundle is loaded.

    Raises SettingsError if the registry has another metric under one of camguard's names.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        listeners: Iterable[str] = ("middleware",),
        actions: Iterable[str] = ("*",),
        catalog: Catalog | None = None,
        version: str = "unknown",
    ) -> None:
        self._patterns = tuple(actions)
        self._build = (version, platform.python_version())
        self._in_flight: tuple[tuple[str, Callable[[], int]], ...] = ()
        self._waiting: tuple[tuple[str, Callable[[], int]], ...] = ()
        self._log: Callable[[], tuple[int, int, int]] = lambda: (0, 0, 0)
        self._keys: Callable[[], KeysState] | None = None
        self._policy = _Policy()
        self._catalog = CatalogLabels()
        listeners = tuple(listeners)
        self.requests = Requests(listeners, lambda: self._catalog)
        self.observe = self.requests.observe
        self.answers = Answers(listeners, lambda: self._catalog.services)
        if catalog is not None:
            self._add_catalog(catalog)
        self._exporter = process_exporter() if multiprocess_enabled() else None
        if registry is None:
            registry = CollectorRegistry()
            if self._exporter is None:
                ProcessCollector(registry=registry)
        self._registry = registry
        self._exposition = self._exporter.exposition if self._exporter else exposition_of(registry)
        self._owner = object()  # names this Metrics in the exposition without keeping it alive
        self._exposition.show(self._owner, self.snapshot)

    # Per reload, start, stop and scrape.

    def policy(self, outcome: ReloadOutcome) -> None:
        """Count one poll of the policy source. Only one thread at a time may call it."""
        was = self._policy
        reloads = {**was.reloads, outcome.result: was.reloads[outcome.result] + 1}
        now = was._replace(reloads=reloads, successful=outcome.result != "failure", source=outcome.source)
        if now.successful:
            now = now._replace(confirmed=outcome.time)
        if outcome.bundle is not None and outcome.bundle is not was.bundle:
            self._add_catalog(outcome.bundle.catalog)
            now = now._replace(bundle=outcome.bundle, activated=outcome.time)
            if was.bundle is not None:
                hits, misses, _ = was.bundle.table_stats()
                old = tuple(each for each in was.old if each != was.bundle.revision)
                now = now._replace(
                    lookups=(was.lookups[0] + hits, was.lookups[1] + misses),
                    old=(*old, was.bundle.revision)[-_OLD_REVISIONS:],
                )
        self._policy = now

    def follow_in_flight(self, listener: str, count: Callable[[], int]) -> None:
        """Show how many requests a listener is serving. Each scrape calls `count`."""
        self._in_flight = (*self._in_flight, (listener, count))

    def follow_waiting(self, listener: str, count: Callable[[], int]) -> None:
        """Show how many requests of a listener wait for their body. Each scrape calls `count`."""
        self._waiting = (*self._waiting, (listener, count))

    def follow_log(self, counts: Callable[[], tuple[int, int, int]]) -> None:
        """Show the records of a decision log. counts: returns those written, dropped and failed so far."""
        self._log = counts

    def follow_keys(self, state: Callable[[], KeysState]) -> None:
        """Show the access keys. Each scrape calls `state`. Without it, there are no series of keys."""
        self._keys = state

    def start(self) -> None:
        """Show the current numbers, also after `stop`; among several processes, begin to flush."""
        self._exposition.show(self._owner, self.snapshot)
        if self._exporter is not None:
            self._exporter.start()

    def stop(self) -> None:
        """Show the counters as they are now, and no gauges: a missing counter would look like a restart."""
        if self._exporter is not None:
            self._exporter.flush()
        counters = {name: each for name, each in self.snapshot().items() if FAMILIES[name].kind != "gauge"}
        self._exposition.show(self._owner, lambda: counters)

    def render(self) -> bytes:
        """Return the text of a scrape, with the numbers of all processes. It is slow: call it in a thread."""
        if self._exporter is None:
            return generate_latest(self._registry)
        self._exporter.flush()
        return render_all_processes()

    def _add_catalog(self, catalog: Catalog) -> None:
        """Permit the names of a catalog as labels. An action keeps its labels, so that no series moves."""
        labels = dict(self._catalog.actions)
        own = sum(1 for key, (_, _, action) in labels.items() if key.partition(":")[2] and action != OTHER)
        called = api_actions(catalog)
        entries = {found.entry.id: found.entry for actions in called.values() for found in actions.values()}
        for key in sorted(entries):
            if key in labels:
                continue
            entry = entries[key]
            chosen = own < OWN_COUNTERS and any(star_match(pattern, key) for pattern in self._patterns)
            own += chosen
            labels[key] = (entry.service, entry.access.value, entry.name if chosen else OTHER)
        labels |= {f"{service}:": (service, UNKNOWN, UNKNOWN) for service in called}
        services = self._catalog.services.union(called)
        accesses = frozenset((service, access) for service, access, _ in labels.values() if access != UNKNOWN)
        self._catalog = CatalogLabels(
            labels, services, accesses if len(services) <= ZERO_SERVICES else frozenset()
        )

    def snapshot(self) -> Snapshot:
        """Return the current numbers. Any thread may call it while requests are counted."""
        return {**self._of_requests(), **self.answers.snapshot(), **self._of_policy(), **self._of_keys()}

    def _of_requests(self) -> Snapshot:
        counted = self.requests.snapshot()
        listeners = self.requests.listeners()
        in_flight, waiting = zeros(product(listeners)), zeros(product(listeners))
        for numbers, followed in ((in_flight, self._in_flight), (waiting, self._waiting)):
            for listener, current in followed:
                numbers[listener,] += current()
        return {
            **counted,
            "camguard_requests_in_flight": in_flight,
            "camguard_requests_waiting": waiting,
            "camguard_decision_log_records_total": dict(zip(product(LOG_RESULT), self._log(), strict=True)),
        }

    def _of_keys(self) -> Snapshot:
        if self._keys is None:
            return {}
        state = self._keys()
        return {
            "camguard_keys": {(name,): state.counts[name] for name in KEY_STATE},
            "camguard_keys_last_reload_successful": {(): int(state.successful)},
            "camguard_keys_last_success_timestamp_seconds": {(): state.confirmed},
        }

    def _of_policy(self) -> Snapshot:
        policy = self._policy
        bundle = policy.bundle
        hits, misses, entries = bundle.table_stats() if bundle else (0, 0, 0)
        found = bundle.findings.counts() if bundle and bundle.findings else {}
        revisions: dict[Labels, Value] = {(revision[:REVISION_DIGITS],): 0 for revision in policy.old}
        if bundle:
            revisions[bundle.revision[:REVISION_DIGITS],] = 1
        return {
            "camguard_policy_reloads_total": {(result,): count for result, count in policy.reloads.items()},
            "camguard_policy_last_reload_successful": {(): int(policy.successful)},
            "camguard_policy_last_success_timestamp_seconds": {(): policy.confirmed},
            "camguard_policy_activation_timestamp_seconds": {(): policy.activated},
            "camguard_policy_info": revisions,
            "camguard_policy_statements": {(): bundle.statement_count if bundle else 0},
            "camguard_policy_findings": {(each,): found.get(each, 0) for each in SEVERITY},
            "camguard_policy_principals": {(): len(bundle.people.layers) if bundle else 0},
            "camguard_catalog_actions": {(): len(bundle.catalog.actions) if bundle else 0},
            "camguard_table_cache_lookups_total": {
                ("hit",): policy.lookups[0] + hits,
                ("miss",): policy.lookups[1] + misses,
            },
            "camguard_table_cache_entries": {(): entries},
            **_of_source(policy.source),
            "camguard_stderr_lost_lines_total": {(): lost_lines()},
            "camguard_build_info": {self._build: 1},
        }


def _of_source(source: SourceFacts | None) -> Snapshot:
    if source is None:
        return {}
    return {
        "camguard_policy_serial": {(): source.serial},
        "camguard_policy_offered_serial": {(): source.offered_serial},
        "camguard_policy_offered_differs": {(): int(source.differs)},
        "camguard_policy_pinned": {(): int(source.pinned)},
        "camguard_policy_from_disk": {(): int(source.from_disk)},
        "camguard_policy_valid_until_timestamp_seconds": {
            (): inf if source.valid_until is None else source.valid_until
        },
        "camguard_policy_fetches_total": {(result,): count for result, count in source.fetches.items()},
        "camguard_policy_last_good_writes_total": {
            (result,): count for result, count in source.writes.items()
        },
    }
