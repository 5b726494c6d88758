"""Metrics of one process among several (the client library's PROMETHEUS_MULTIPROC_DIR).

Custom collectors are not seen there, so the plain numbers are carried over into the library's own metrics:
once a second, whenever somebody reads, and at the end.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from camguard.telemetry.exposition import Exposition
from camguard.telemetry.families import FAMILIES, Family, Labels, Timed, Value, merge

FLUSH_SECONDS = 1.0

_log = logging.getLogger("camguard.telemetry")


class _Bulk(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, counts: Sequence[int], seconds: float) -> None:
        self._sum.inc(seconds)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class Carrier:
    """Carries an exposition's numbers over into the client library's own metrics."""

    def __init__(self, exposition: Exposition) -> None:
        self.exposition = exposition
        self._metrics: dict[str, Counter | Gauge | _Bulk] = {}
        self._told: dict[str, dict[Labels, Value]] = merge(())
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False
        # Told before a fork, the child inherits numbers that are told already, and adds only its own.
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._lock.release, after_in_child=self._in_child
        )

    def start(self) -> None:
        """Begin to carry, once a second."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._run, name="camguard-metrics", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Carry over what was counted since last time. Raises nothing: counters degrade, calls do not."""
        with self._lock:
            self._flush()

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            self.flush()

    def _before_fork(self) -> None:
        self._lock.acquire()
        self._flush()

    def _in_child(self) -> None:
        self._lock.release()
        if self._thread is not None:
            self._thread = None
            self.start()

    def _flush(self) -> None:
        try:
            if not self._metrics:
                self._metrics = {name: _library_metric(family) for name, family in FAMILIES.items()}
            for name, numbers in self.exposition.snapshot().items():
                for labels, value in numbers.items():
                    self._carry(name, labels, value)
            self._failing = False
        except (OSError, ValueError) as error:
            if not self._failing:
                _log.warning("metrics cannot be carried to PROMETHEUS_MULTIPROC_DIR: %s", error)
            self._failing = True

    def _carry(self, name: str, labels: Labels, value: Value) -> None:
        told, metric = self._told[name], self._metrics[name]
        if told.get(labels) == value and not isinstance(metric, Gauge):
            return  # a gauge is set again all the same: another process may have taken over its file
        child = metric.labels(*labels) if labels else metric
        if isinstance(value, Timed):
            before = told.get(labels, Timed((0,) * len(value.counts), 0.0))
            cast("_Bulk", child).add(*_since(cast("Timed", before), value))
        elif isinstance(child, Gauge):
            child.set(value)
        else:
            cast("Counter", child).inc(value - cast("float", told.get(labels, 0)))
        told[labels] = value


def _since(before: Timed, now: Timed) -> Timed:
    counts = (new - old for new, old in zip(now.counts, before.counts, strict=True))
    return Timed(tuple(counts), now.sum - before.sum)


def _library_metric(family: Family) -> Counter | Gauge | _Bulk:
    if family.kind == "counter":
        return Counter(family.name, family.help, family.labels, registry=None)
    if family.kind == "gauge":
        return Gauge(family.name, family.help, family.labels, multiprocess_mode=family.mode, registry=None)
    return _Bulk(family.name, family.help, family.labels, buckets=family.bounds, registry=None)


_carriers: list[Carrier] = []  # at most one: a process has one file for each type of metric
_making = threading.Lock()


def among_processes() -> bool:
    """Whether the client library was loaded to share its numbers between processes."""
    return values.ValueClass is not values.MutexValue


def process_carrier() -> Carrier:
    """Return the carrier of this process, made the first time."""
    with _making:
        if not _carriers:
            _carriers.append(Carrier(Exposition()))
        return _carriers[0]


def render_all_processes() -> bytes:
    """Return what a scrape reads of all processes together."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
