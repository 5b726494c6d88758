"""Metrics of several processes (the client library's PROMETHEUS_MULTIPROC_DIR).

Theory of operation. In this mode the client library reads files that its own metrics write, and ignores
custom collectors such as `Exposition`. Each process therefore adds what it has counted since the last flush
to library metrics of the same names: once a second, before a scrape, and when it stops.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from camguard.telemetry.exposition import FAMILIES, Exposition, Family, Labels, Timed, Value, merge

FLUSH_SECONDS = 1.0

_log = logging.getLogger("camguard.telemetry")


class _BulkHistogram(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, counts: Sequence[int], seconds: float) -> None:
        self._sum.inc(seconds)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class MultiprocessExporter:
    """Copies the numbers of an exposition into metrics of the client library."""

    def __init__(self, exposition: Exposition) -> None:
        self.exposition = exposition
        self._metrics: dict[str, Counter | Gauge | _BulkHistogram] = {}
        self._flushed: dict[str, dict[Labels, Value]] = merge(())
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False
        # A child inherits the counters of its parent. The flush before a fork marks them as flushed, so that
        # the child adds only what it counts itself.
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._lock.release, after_in_child=self._in_child
        )

    def start(self) -> None:
        """Begin to flush once a second."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._run, name="camguard-metrics", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Add what was counted since the last flush. Raises nothing: metrics may fail, calls may not."""
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
            for name, numbers in self.exposition.snapshot().items():
                for labels, value in numbers.items():
                    self._copy(name, labels, value)
            self._failing = False
        except (OSError, ValueError) as error:
            if not self._failing:
                _log.warning("metrics cannot be written to PROMETHEUS_MULTIPROC_DIR: %s", error)
            self._failing = True

    def _copy(self, name: str, labels: Labels, value: Value) -> None:
        metric = self._metrics.get(name)
        if metric is None:  # only now: a gauge without labels shows 0 as soon as it exists
            metric = self._metrics[name] = _library_metric(FAMILIES[name])
        flushed = self._flushed[name]
        if flushed.get(labels) == value and not isinstance(metric, Gauge):
            return  # an unchanged gauge is set again, because another process may have taken over its file
        child = metric.labels(*labels) if labels else metric
        if isinstance(value, Timed):
            before = cast("Timed", flushed.get(labels, Timed((0,) * len(value.counts), 0.0)))
            counts = [new - old for new, old in zip(value.counts, before.counts, strict=True)]
            cast("_BulkHistogram", child).add(counts, value.sum - before.sum)
        elif isinstance(child, Gauge):
            child.set(value)
        else:
            cast("Counter", child).inc(value - cast("float", flushed.get(labels, 0)))
        flushed[labels] = value


def _library_metric(family: Family) -> Counter | Gauge | _BulkHistogram:
    name, text, labels = family.name, family.help, family.labels
    if family.kind == "counter":
        return Counter(name, text, labels, registry=None)
    if family.kind == "gauge":
        return Gauge(name, text, labels, multiprocess_mode=family.mode, registry=None)
    return _BulkHistogram(name, text, labels, buckets=family.bounds, registry=None)


_exporters: list[MultiprocessExporter] = []  # at most one, because a process has one file per type of metric
_making = threading.Lock()


def multiprocess_enabled() -> bool:
    """Return whether the client library shares its numbers between processes."""
    return values.ValueClass is not values.MutexValue


def process_exporter() -> MultiprocessExporter:
    """Return the exporter of this process, created at the first call."""
    with _making:
        if not _exporters:
            _exporters.append(MultiprocessExporter(Exposition()))
        return _exporters[0]


class _Collector(MultiProcessCollector):
    """Reads the files of all processes but those that their processes have just created.

    A process creates its file empty and gives it a size afterwards. The client library cannot read an empty
    file: a scrape at that moment would fail.
    """

    def collect(self) -> Iterable[Metric]:
        files = sorted(Path(self._path).glob("*.db"))
        return self.merge([str(file) for file in files if _has_begun(file)], accumulate=True)  # type: ignore[no-any-return, no-untyped-call]


def _has_begun(file: Path) -> bool:
    with suppress(FileNotFoundError):  # of a process that has ended
        return file.stat().st_size > 0
    return False


def render_all_processes() -> bytes:
    """Return the text of a scrape, with the numbers of all processes."""
    registry = CollectorRegistry()
    _Collector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
