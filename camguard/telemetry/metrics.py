"""Counting calls. An observer, handed in, never reached for.

Rule 1: a call adds to plain ints in dicts: no label is looked up, no child made, no lock taken.
Rule 2: what a request wrote is never a label: an action counts under its own name only if a catalog that
        was loaded has it (threats T114). So every dict here is bounded by the catalog.
Rule 3: whoever reads, from whatever thread, copies a dict in one step and works on the copy.

Counts are exact for calls judged in one thread, as an event loop judges them.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from camguard.bundle.model import Bundle
from camguard.bundle.store import ReloadOutcome
from camguard.catalog.model import Access, Catalog
from camguard.engine.decision import Decision, Reason
from camguard.policy.star import star_match
from camguard.telemetry.exposition import NOTHING, exposition_of
from camguard.telemetry.families import (
    CLIENT_IP,
    COMPARISON,
    DECISION_BOUNDS,
    LOG_RESULT,
    OTHER,
    RELOAD,
    SIGNATURE,
    UNKNOWN,
    UPSTREAM_BOUNDS,
    UPSTREAM_ERROR,
    Labels,
    Snapshot,
    Timed,
    Value,
)
from camguard.telemetry.multiprocess import among_processes, process_carrier, render_all_processes
from camguard.telemetry.record import Record

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4  # of what `render` returns; every version of Prometheus reads it
OWN_COUNTERS = 1000  # actions with a counter of their own
ZERO_SERVICES = 64  # above that many services, a series of decisions appears when it is first needed
REVISION_DIGITS = 12
_LEFT_REVISIONS = 16  # shown as 0, then forgotten
_FAILED = (Reason.INTERNAL_ERROR, Reason.POLICY_UNAVAILABLE)
_FIRST_REASONS = (Reason.ALLOWED, Reason.NO_ALLOW, Reason.EXPLICIT_DENY)

ActionLabels = tuple[str, str, str]  # service, access, action or `other`
NOWHERE: ActionLabels = (UNKNOWN, UNKNOWN, UNKNOWN)


class _Policy(NamedTuple):
    """What reloads told: replaced as a whole by the one thread that reloads."""

    bundle: Bundle | None = None
    reloads: Mapping[str, int] = dict.fromkeys(RELOAD, 0)
    successful: bool = False
    confirmed: float = 0.0  # Unix time
    activated: float = 0.0  # Unix time
    left: tuple[str, ...] = ()  # revisions, the last left last
    lookups: tuple[int, int] = (0, 0)  # hits and misses of bundles that were left


class _Catalog(NamedTuple):
    """What is known of the catalog: replaced as a whole.

    actions: labels by action id; `aiart:` is any action of aiart that the catalog lacks, "" any other.
    """

    actions: Mapping[str, ActionLabels] = {"": NOWHERE}
    services: frozenset[str] = frozenset()
    accesses: frozenset[tuple[str, str]] = frozenset()  # service and access


class Metrics:
    """Everything that camguard tells Prometheus.

    registry: where it is shown, e.g. the host application's; None: one of its own, with the process's memory,
        time and files beside. Several guards in one registry are shown as their sum.
    listeners: the values that `Record.listener` may have. actions: patterns of those that get a counter each.
    catalog: what is known before the first bundle is loaded.

    Raises SettingsError if the registry has somebody else's metric under one of camguard's names.
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
        self._calls: dict[tuple[str, str, str], int] = {}  # listener, key of _Catalog.actions, reason
        self._marks: dict[tuple[str | None, str | None], int] = {}  # client_ip, signature
        self._marks |= dict.fromkeys(product((*CLIENT_IP, None), (*SIGNATURE, None)), 0)
        self._timed = {listener: [0] * (len(DECISION_BOUNDS) + 1) + [0.0] for listener in listeners}
        self._compared = dict.fromkeys(product(COMPARISON, (*(each.value for each in Access), UNKNOWN)), 0)
        self._upstream: dict[str, list[float]] = {}
        self._upstream_errors: dict[tuple[str, str], int] = {}
        self._in_flight: tuple[tuple[str, Callable[[], int]], ...] = ()
        self._log: Callable[[], tuple[int, int, int]] | None = None
        self._policy = _Policy()
        self._catalog = _Catalog()
        if catalog is not None:
            self._learn(catalog)
        self._carrier = process_carrier() if among_processes() else None
        if registry is None:
            registry = CollectorRegistry()
            if self._carrier is None:
                ProcessCollector(registry=registry)
        self._registry = registry
        self._exposition = self._carrier.exposition if self._carrier else exposition_of(registry)
        self._exposition.add(self.snapshot)
        self._left = NOTHING

    # What happens per call.

    def observe(self, record: Record) -> None:
        """Count one judged request."""
        entry = record.entry
        listener = record.listener
        try:
            action = entry.id if entry is not None else f"{record.service}:"
            self._calls[listener, action, record.decision.reason] += 1
            timed = self._timed[listener]
        except KeyError:
            timed = self._meet(record)
        duration = record.duration
        timed[bisect_left(DECISION_BOUNDS, duration)] += 1
        timed[-1] += duration
        try:
            self._marks[record.client_ip, record.signature] += 1
        except KeyError:
            self._meet_mark(record)
        if record.candidate is not None:
            self._compare(record, record.candidate)

    def _meet(self, record: Record) -> list[float]:
        """Count the first call of its kind, or one whose action the catalog does not have."""
        listener = record.listener if record.listener in self._timed else UNKNOWN
        timed = self._timed.setdefault(listener, [0] * (len(DECISION_BOUNDS) + 1) + [0.0])
        names = [f"{record.service}:"]
        if record.entry is not None:
            names = [record.entry.id, f"{record.entry.service}:"]
        action = next((each for each in names if each in self._catalog.actions), "")
        key = (listener, action, record.decision.reason)
        self._calls[key] = self._calls.get(key, 0) + 1
        return timed

    def _meet_mark(self, record: Record) -> None:
        client_ip = record.client_ip if record.client_ip in (*CLIENT_IP, None) else UNKNOWN
        signature = record.signature if record.signature in (*SIGNATURE, None) else UNKNOWN
        self._marks[client_ip, signature] = self._marks.get((client_ip, signature), 0) + 1

    def _compare(self, record: Record, candidate: Decision) -> None:
        if candidate.reason in _FAILED:
            result = "error"
        elif bool(candidate) == bool(record.decision):
            result = "same"
        else:
            result = "newly_allowed" if candidate else "newly_denied"
        access = record.entry.access.value if record.entry is not None else UNKNOWN
        self._compared[result, access] += 1

    def upstream(self, service: str, seconds: float) -> None:
        """Count one request answered by its upstream. seconds: from sending to the end of the answer."""
        label = service if service in self._catalog.services else UNKNOWN
        timed = self._upstream.setdefault(label, [0] * (len(UPSTREAM_BOUNDS) + 1) + [0.0])
        timed[bisect_left(UPSTREAM_BOUNDS, seconds)] += 1
        timed[-1] += seconds

    def upstream_error(self, service: str, kind: str) -> None:
        """Count one request whose upstream failed. kind: one of UPSTREAM_ERROR."""
        label = service if service in self._catalog.services else UNKNOWN
        key = (label, kind if kind in UPSTREAM_ERROR else UNKNOWN)
        self._upstream_errors[key] = self._upstream_errors.get(key, 0) + 1

    # What happens now and then.

    def policy(self, outcome: ReloadOutcome) -> None:
        """Hear what a look at the policy source came to. Called by one thread at a time."""
        was = self._policy
        reloads = {**was.reloads, outcome.result: was.reloads[outcome.result] + 1}
        now = was._replace(reloads=reloads, successful=outcome.result != "failure")
        if now.successful:
            now = now._replace(confirmed=outcome.time)
        if outcome.bundle is not None and outcome.bundle is not was.bundle:
            self._learn(outcome.bundle.catalog)
            now = now._replace(bundle=outcome.bundle, activated=outcome.time)
            if was.bundle is not None:
                hits, misses, _ = was.bundle.table_stats()
                now = now._replace(lookups=(was.lookups[0] + hits, was.lookups[1] + misses))
                left = tuple(each for each in was.left if each != was.bundle.revision)
                now = now._replace(left=(*left, was.bundle.revision)[-_LEFT_REVISIONS:])
        self._policy = now

    def follow_in_flight(self, listener: str, count: Callable[[], int]) -> None:
        """Show how many requests a listener is serving: `count` is asked at each scrape."""
        self._in_flight = (*self._in_flight, (listener, count))

    def follow_log(self, counts: Callable[[], tuple[int, int, int]]) -> None:
        """Show a decision log's records: `counts` gives those written, dropped and failed so far."""
        self._log = counts

    def start(self) -> None:
        """Be shown, after a stop again; among other processes, begin to tell them."""
        self._exposition.add(self.snapshot, self._left)
        self._left = NOTHING
        if self._carrier is not None:
            self._carrier.start()

    def stop(self) -> None:
        """Leave the registry with the counters as they are, and nothing of a bundle."""
        if self._carrier is not None:
            self._carrier.flush()
        self._left = self._exposition.remove(self.snapshot) or self._left

    def render(self) -> bytes:
        """Return what a scrape reads, of all processes where there are several. Slow: call it in a thread."""
        if self._carrier is None:
            return generate_latest(self._registry)
        self._carrier.flush()
        return render_all_processes()

    def snapshot(self) -> Snapshot:
        """Return the numbers of now. From any thread, while calls are counted."""
        return {**self._of_calls(), **self._of_upstreams(), **self._of_policy(), **self._of_surroundings()}

    def _learn(self, catalog: Catalog) -> None:
        """Know a catalog's names. An action once known keeps its labels, so that no series jumps."""
        labels = dict(self._catalog.actions)
        own = sum(1 for key, (_, _, action) in labels.items() if key.partition(":")[2] and action != OTHER)
        for key in sorted(catalog.actions):
            if key in labels:
                continue
            entry = catalog.actions[key]
            chosen = own < OWN_COUNTERS and any(star_match(pattern, key) for pattern in self._patterns)
            own += chosen
            labels[key] = (entry.service, entry.access.value, entry.name if chosen else OTHER)
        labels |= {f"{service}:": (service, UNKNOWN, UNKNOWN) for service in catalog.services}
        services = self._catalog.services | catalog.services.keys()
        accesses = frozenset((service, access) for service, access, _ in labels.values() if access != UNKNOWN)
        self._catalog = _Catalog(
            labels, services, accesses if len(services) <= ZERO_SERVICES else frozenset()
        )

    def _of_calls(self) -> dict[str, dict[Labels, Value]]:
        calls = self._calls.copy()
        catalog = self._catalog  # after the copy: whatever was counted is known by now
        decisions: dict[Labels, Value] = {}
        actions: dict[Labels, Value] = {}
        for listener, (service, access), reason in product(
            self._timed.copy(), catalog.accesses, _FIRST_REASONS
        ):
            decisions[listener, service, access, _effect(reason), reason.value] = 0
        for (listener, action_id, why), count in calls.items():
            service, access, action = catalog.actions[action_id]
            decision = _effect(why)
            one, other = (listener, service, access, decision, str(why)), (service, action, decision)
            decisions[one] = _plain(decisions.get(one)) + count
            actions[other] = _plain(actions.get(other)) + count
        methods: dict[Labels, Value] = {(word,): 0 for word in CLIENT_IP}
        results: dict[Labels, Value] = {(word,): 0 for word in SIGNATURE}
        for (client_ip, signature), count in self._marks.copy().items():
            for numbers, word in ((methods, client_ip), (results, signature)):
                if word is not None and (count or word != UNKNOWN):
                    numbers[word,] = _plain(numbers.get((word,))) + count
        return {
            "camguard_decisions_total": decisions,
            "camguard_action_decisions_total": actions,
            "camguard_decision_duration_seconds": _timed(self._timed.copy()),
            "camguard_client_ip_total": methods,
            "camguard_signature_checks_total": results,
            "camguard_shadow_comparisons_total": _values(self._compared),
        }

    def _of_upstreams(self) -> dict[str, dict[Labels, Value]]:
        timed, zeros = self._upstream.copy(), dict.fromkeys(product(self._upstream.copy(), UPSTREAM_ERROR), 0)
        return {
            "camguard_upstream_duration_seconds": _timed(timed),
            "camguard_upstream_errors_total": _values(zeros | self._upstream_errors.copy()),
        }

    def _of_policy(self) -> dict[str, dict[Labels, Value]]:
        policy = self._policy
        bundle = policy.bundle
        hits, misses, entries = bundle.table_stats() if bundle else (0, 0, 0)
        revisions: dict[Labels, Value] = {(revision[:REVISION_DIGITS],): 0 for revision in policy.left}
        if bundle:
            revisions[bundle.revision[:REVISION_DIGITS],] = 1
        return {
            "camguard_policy_reloads_total": {(result,): count for result, count in policy.reloads.items()},
            "camguard_policy_last_reload_successful": {(): int(policy.successful)},
            "camguard_policy_last_success_timestamp_seconds": {(): policy.confirmed},
            "camguard_policy_activation_timestamp_seconds": {(): policy.activated},
            "camguard_policy_info": revisions,
            "camguard_policy_statements": {(): bundle.statement_count if bundle else 0},
            "camguard_policy_principals": {(): len(bundle.people.layers) if bundle else 0},
            "camguard_catalog_actions": {(): len(bundle.catalog.actions) if bundle else 0},
            "camguard_table_cache_lookups_total": {
                ("hit",): policy.lookups[0] + hits,
                ("miss",): policy.lookups[1] + misses,
            },
            "camguard_table_cache_entries": {(): entries},
        }

    def _of_surroundings(self) -> dict[str, dict[Labels, Value]]:
        in_flight: dict[Labels, Value] = {(listener,): 0 for listener in self._timed.copy()}
        for listener, count in self._in_flight:
            in_flight[listener,] = _plain(in_flight.get((listener,))) + count()
        records = self._log() if self._log else (0, 0, 0)
        return {
            "camguard_requests_in_flight": in_flight,
            "camguard_decision_log_records_total": {
                (result,): count for result, count in zip(LOG_RESULT, records, strict=True)
            },
            "camguard_build_info": {self._build: 1},
        }


def _effect(reason: str) -> str:
    return "allow" if reason == Reason.ALLOWED else "deny"


def _plain(value: Value | None) -> float:
    return 0 if value is None or isinstance(value, Timed) else value


def _values(numbers: Mapping[tuple[str, str], int]) -> dict[Labels, Value]:
    return dict(numbers.items())


def _timed(cells: Mapping[str, list[float]]) -> dict[Labels, Value]:
    found: dict[Labels, Value] = {}
    for label, live in cells.items():
        *counts, seconds = live.copy()
        found[label,] = Timed(tuple(map(int, counts)), seconds)
    return found
