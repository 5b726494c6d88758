"""The metrics as a contract (names, types, labels, texts), and the collector that a registry shows them with.

Rule 1: the value of a label comes from the catalog or from a list in this file, never from a request (T114).
Rule 2: the name of a counter ends in `_total`, a duration is in seconds, a moment is a Unix time.
Rule 3: several processes, or several guards in one registry, are shown as one: counters and histograms are
        added, a gauge follows its `mode`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

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

UNKNOWN = "_unknown"  # a value of a request that neither the catalog nor a list contains
OTHER = "other"  # an action without a counter of its own

CLIENT_IP = ("peer", "forwarded", "mapped", "invalid")
SIGNATURE = ("valid", "invalid", "expired", "malformed", "unknown_key", "replayed", "claimed")
COMPARISON = ("same", "newly_denied", "newly_allowed", "error")
KEY_STATE = ("enabled", "disabled", "expired")
RELOAD = ("success", "unchanged", "failure")
LOG_RESULT = ("written", "dropped", "error")
SEVERITY = ("error", "warning", "style")
CODE_CLASS = ("2xx", "3xx", "4xx", "5xx")  # of a status that an upstream or an application gave
RESPONSE = (*CODE_CLASS, "refusal", "error")
UPSTREAM_ERROR = ("connect", "timeout", "reset", "protocol", "truncated", "internal")

DECISION_BOUNDS = (5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 5e-2)  # seconds
UPSTREAM_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Mode = Literal["livesum", "livemin", "livemax"]


class Family(NamedTuple):
    """One metric. mode: how gauges of several processes become one; bounds: of buckets, in seconds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    mode: Mode = "livesum"
    bounds: tuple[float, ...] = ()


_FAMILIES = (
    Family("camguard_decisions_total", "counter", ("listener", "service", "access", "decision", "reason"),
           "Requests by decision and reason."),
    Family("camguard_action_decisions_total", "counter", ("service", "action", "decision"),
           "Requests by action; an action without a counter of its own is 'other'."),
    Family("camguard_denials_total", "counter", ("listener", "reason"),
           "Denied requests by reason; every reason is there from the start."),
    Family("camguard_responses_total", "counter", ("listener", "code_class"),
           "Answers to callers: status class of upstream or application; 'refusal': camguard's own; 'error': "
           "a reply that failed or was cut."),
    Family("camguard_denials_by_detail_total", "counter", ("detail",),
           "Refused requests by exact cause: the detail, or the reason of a denial without one."),
    Family("camguard_decision_duration_seconds", "histogram", ("listener",),
           "Time from frozen headers to decision, body and signature included, upstream excluded.",
           bounds=DECISION_BOUNDS),
    Family("camguard_requests_in_flight", "gauge", ("listener",), "Requests that are being served."),
    Family("camguard_requests_waiting", "gauge", ("listener",), "Requests whose body is not complete."),
    Family("camguard_client_ip_total", "counter", ("method",), "How the address of the client was found."),
    Family("camguard_signature_checks_total", "counter", ("result",), "Checked signatures by result."),
    Family("camguard_shadow_comparisons_total", "counter", ("result", "access"),
           "Requests that the candidate bundle decided too, by how it differs from the active bundle."),
    Family("camguard_shadow_passed_total", "counter", ("listener", "access"),
           "Denied requests that passed, because their part of the calls is in shadow mode."),
    Family("camguard_policy_reloads_total", "counter", ("result",), "Polls of the policy source."),
    Family("camguard_policy_last_reload_successful", "gauge", (),
           "1 if the last poll of the policy source found a valid bundle, else 0.", "livemin"),
    Family("camguard_policy_last_success_timestamp_seconds", "gauge", (),
           "Unix time at which the policy source was last confirmed, changed or not.", "livemin"),
    Family("camguard_policy_activation_timestamp_seconds", "gauge", (),
           "Unix time at which the active bundle was activated.", "livemin"),
    Family("camguard_policy_info", "gauge", ("revision",),
           "1 for the active revision (12 hex digits), 0 for a replaced one.", "livemax"),
    Family("camguard_policy_serial", "gauge", (), "Serial of the active bundle of a URL.", "livemin"),
    Family("camguard_policy_offered_serial", "gauge", (),
           "Serial of the last bundle that the URL offered and that could be read.", "livemax"),
    Family("camguard_policy_offered_differs", "gauge", (),
           "1 if the URL offers another bundle than the active one, else 0.", "livemax"),
    Family("camguard_policy_pinned", "gauge", (), "1 if an operator has pinned the active bundle, else 0.",
           "livemax"),
    Family("camguard_policy_from_disk", "gauge", (),
           "1 if the active bundle was read from policy.last_good and no source has confirmed it, else 0.",
           "livemax"),
    Family("camguard_policy_valid_until_timestamp_seconds", "gauge", (),
           "Unix time at which the validity of the active bundle of a URL ends; +Inf: it does not end.",
           "livemin"),
    Family("camguard_policy_fetches_total", "counter", ("result",), "Requests to the URL of the bundle."),
    Family("camguard_policy_last_good_writes_total", "counter", ("result",),
           "Writes to the folder policy.last_good."),
    Family("camguard_keys", "gauge", ("state",),
           "Access keys in use, by state, and those that the keys file disables.", "livemax"),
    Family("camguard_keys_last_reload_successful", "gauge", (),
           "1 if the keys file was good when it was last read, else 0.", "livemin"),
    Family("camguard_keys_last_success_timestamp_seconds", "gauge", (),
           "Unix time at which the keys file was last read and good, changed or not.", "livemin"),
    Family("camguard_policy_statements", "gauge", (), "Statements in the active bundle.", "livemax"),
    Family("camguard_policy_findings", "gauge", ("severity",),
           "Findings of lint in the active bundle that its lint.toml does not accept.", "livemax"),
    Family("camguard_policy_principals", "gauge", (), "Principals in the active bundle.", "livemax"),
    Family("camguard_catalog_actions", "gauge", (), "Actions in the catalog.", "livemax"),
    Family("camguard_table_cache_lookups_total", "counter", ("result",),
           "Look-ups of compiled tables for principals without a recent call, across reloads."),
    Family("camguard_table_cache_entries", "gauge", (), "Compiled tables of the active bundle."),
    Family("camguard_decision_log_records_total", "counter", ("result",),
           "Records of the decision log; 'error' counts failed writes, which are tried again."),
    Family("camguard_stderr_lost_lines_total", "counter", (),
           "Lines of the process log (stderr) that were lost, because their reader was too slow."),
    Family("camguard_upstream_duration_seconds", "histogram", ("service",),
           "Time from sending a request upstream to its answer.", bounds=UPSTREAM_BOUNDS),
    Family("camguard_upstream_responses_total", "counter", ("service", "code_class"),
           "Replies of upstreams that were passed on whole, by status class."),
    Family("camguard_upstream_errors_total", "counter", ("service", "kind"),
           "Forwarded requests that failed, by kind of failure."),
    Family("camguard_build_info", "gauge", ("version", "python_version"),
           "1, labelled with the running versions.", "livemax"),
)  # fmt: skip
FAMILIES: Mapping[str, Family] = MappingProxyType({family.name: family for family in _FAMILIES})

Labels: TypeAlias = tuple[str, ...]


class Timed(NamedTuple):
    """The state of a histogram. counts: per bucket, not cumulative, the last one unbounded; sum: seconds."""

    counts: tuple[int, ...]
    sum: float


Value: TypeAlias = float | Timed
Snapshot: TypeAlias = Mapping[str, Mapping[Labels, Value]]  # family name -> label values -> value
Source: TypeAlias = Callable[[], Snapshot]


def zeros(labels: Iterable[Labels]) -> Counter[Labels]:
    """Return a counter that has these labels from the start."""
    return Counter(dict.fromkeys(labels, 0))


def new_timed(bounds: tuple[float, ...]) -> list[float]:
    """Return the counts of all buckets, the unbounded one included, and the sum of seconds at the end."""
    return [0] * (len(bounds) + 1) + [0.0]


def histograms(timed: Mapping[str, list[float]]) -> dict[Labels, Value]:
    """Return what `new_timed` began, by label, as it stands now."""
    found: dict[Labels, Value] = {}
    for label, live in timed.items():
        *counts, seconds = live.copy()
        found[label,] = Timed(tuple(map(int, counts)), seconds)
    return found


def merge(snapshots: Iterable[Snapshot]) -> dict[str, dict[Labels, Value]]:
    """Return several snapshots as one (Rule 3), with every family, in the order of FAMILIES."""
    merged: dict[str, dict[Labels, Value]] = {name: {} for name in FAMILIES}
    for snapshot in snapshots:
        for name, values in snapshot.items():
            family, into = FAMILIES[name], merged[name]
            for labels, value in values.items():
                into[labels] = _both(family, into[labels], value) if labels in into else value
    return merged


def _both(family: Family, one: Value, other: Value) -> Value:
    if isinstance(one, Timed) and isinstance(other, Timed):
        return Timed(tuple(map(sum, zip(one.counts, other.counts, strict=True))), one.sum + other.sum)
    if isinstance(one, Timed) or isinstance(other, Timed):
        raise TypeError(family.name)
    if family.kind == "gauge" and family.mode != "livesum":
        return (min if family.mode == "livemin" else max)(one, other)
    return one + other


class Exposition(Collector):
    """Shows the sum of several sources, e.g. when a host application builds its middleware twice.

    A registry refuses a second metric of the same name, so there is one Exposition per registry.
    """

    def __init__(self) -> None:
        self._sources: dict[object, Source] = {}

    def show(self, owner: object, source: Source) -> None:
        """Show a source from now on, in place of the previous source of the same owner."""
        self._sources[owner] = source

    def snapshot(self) -> dict[str, dict[Labels, Value]]:
        """Return the current numbers, with every family."""
        return merge(source() for source in tuple(self._sources.values()))

    def describe(self) -> Iterator[Metric]:
        """Yield the families without numbers; a registry compares their names with those it has."""
        return map(_empty, FAMILIES.values())

    def collect(self) -> Iterator[Metric]:
        """Yield the families with the current numbers."""
        for name, numbers in self.snapshot().items():
            family = FAMILIES[name]
            shown = _empty(family)
            for labels, value in sorted(numbers.items()):
                if isinstance(value, Timed):
                    bounds = (*map(floatToGoString, family.bounds), "+Inf")
                    buckets = list(zip(bounds, accumulate(value.counts), strict=True))
                    shown.add_metric(labels, buckets, value.sum)
                else:
                    shown.add_metric(labels, value)
            yield shown


_TYPES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


def _empty(family: Family) -> Any:
    return _TYPES[family.kind](family.name, family.help, labels=family.labels)


def exposition_of(registry: CollectorRegistry) -> Exposition:
    """Return the exposition of a registry, which is registered at the first call.

    Raises SettingsError if the registry has another metric under one of camguard's names.
    """
    exposition = Exposition()
    try:
        registry.register(exposition)
    except ValueError as error:
        # The client library has no public way to find a registered collector.
        for registered in tuple(registry._collector_to_names):  # noqa: SLF001
            if isinstance(registered, Exposition):
                return registered
        message = f"has a metric of that name already ({error}); use another registry"
        raise SettingsError(Problem("registry", "SettingsError", message)) from None
    return exposition
