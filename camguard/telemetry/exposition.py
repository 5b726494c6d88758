"""What a registry shows of camguard: one collector over plain numbers.

One `Exposition` stands in a registry, however many guards count into it: a host application may build its
middleware twice, and its registry must not refuse the second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import cast
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from camguard.errors import Problem, SettingsError
from camguard.telemetry.families import FAMILIES, Family, Labels, Snapshot, Timed, Value, merge

Source = Callable[[], Snapshot]
NOTHING: Snapshot = MappingProxyType({})


class Exposition(Collector):
    """The sum of several sources of numbers."""

    def __init__(self) -> None:
        self._sources: tuple[tuple[Source, ...], Snapshot] = (
            (),
            {},
        )  # who counts, and what is left of others
        self._changing = threading.Lock()

    def add(self, source: Source, left: Snapshot = NOTHING) -> None:
        """Show a source from now on. left: what `remove` returned, if it was here before."""
        with self._changing:
            sources, leftovers = self._sources
            if source not in sources:
                self._sources = ((*sources, source), merge((leftovers, _negative(left))))

    def remove(self, source: Source) -> Snapshot:
        """Let a source go and return what is left of it: its counters, which go on being shown.

        A counter that falls would look like a restart.
        """
        with self._changing:
            sources, leftovers = self._sources
            if source not in sources:
                return NOTHING
            left = {name: numbers for name, numbers in source().items() if FAMILIES[name].kind != "gauge"}
            self._sources = (tuple(each for each in sources if each != source), merge((leftovers, left)))
            return left

    def snapshot(self) -> dict[str, dict[Labels, Value]]:
        """Return the numbers of now, every family present."""
        sources, left = self._sources
        return merge((left, *(source() for source in sources)))

    def describe(self) -> Iterator[Metric]:
        """Yield the families without numbers: what a registry compares names with."""
        return map(_empty, FAMILIES.values())

    def collect(self) -> Iterator[Metric]:
        """Yield the families with the numbers of now."""
        for name, numbers in self.snapshot().items():
            family = FAMILIES[name]
            shown = _empty(family)
            for labels, value in sorted(numbers.items()):
                _add(shown, family, labels, value)
            yield shown


def _negative(snapshot: Snapshot) -> Snapshot:
    return {
        name: {
            labels: Timed(tuple(-count for count in value.counts), -value.sum)
            if isinstance(value, Timed)
            else -value
            for labels, value in numbers.items()
        }
        for name, numbers in snapshot.items()
    }


_MAKERS: Mapping[str, Callable[..., Metric]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def _empty(family: Family) -> Metric:
    return _MAKERS[family.kind](family.name, family.help, labels=family.labels)


def _add(shown: Metric, family: Family, labels: Labels, value: Value) -> None:
    if isinstance(value, Timed):
        bounds = (*map(floatToGoString, family.bounds), "+Inf")
        buckets = list(zip(bounds, accumulate(value.counts), strict=True))
        cast("HistogramMetricFamily", shown).add_metric(labels, buckets, value.sum)
    else:
        cast("CounterMetricFamily | GaugeMetricFamily", shown).add_metric(labels, value)


_expositions: WeakKeyDictionary[CollectorRegistry, Exposition] = WeakKeyDictionary()
_making = threading.Lock()


def exposition_of(registry: CollectorRegistry) -> Exposition:
    """Return what stands in a registry, put there the first time.

    Raises SettingsError if the registry has a metric of somebody else under one of camguard's names.
    """
    with _making:
        found = _expositions.get(registry)
        if found is None:
            found = Exposition()
            try:
                registry.register(found)
            except ValueError as error:
                message = f"has a metric of that name already ({error}); hand in another registry"
                raise SettingsError(Problem("registry", "SettingsError", message)) from None
            _expositions[registry] = found
        return found
