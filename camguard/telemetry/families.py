"""The metrics, as a contract: names, types, labels, and what their numbers mean.

Rule 1: a label's value is from the catalog or from a list in this file, never from a request (threats T114).
Rule 2: a counter's name ends in `_total`, a duration is in seconds, a moment is a Unix time.
Rule 3: several processes, or several guards in one registry, are one: counters and histograms add up, a
        gauge follows its `mode`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

UNKNOWN = "_unknown"  # what a request named and neither catalog nor list has
OTHER = "other"  # an action without a counter of its own

CLIENT_IP = ("peer", "forwarded", "invalid")
SIGNATURE = ("valid", "invalid", "expired", "malformed", "unknown_key", "replayed", "claimed")
COMPARISON = ("same", "newly_denied", "newly_allowed", "error")
RELOAD = ("success", "unchanged", "failure")
LOG_RESULT = ("written", "dropped", "error")
UPSTREAM_ERROR = ("connect", "timeout", "reset", "protocol", "truncated", "internal")

DECISION_BOUNDS = (5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 5e-2)  # seconds
UPSTREAM_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Mode = Literal["livesum", "livemin", "livemax"]


class Family(NamedTuple):
    """One metric. mode: how gauges of several processes become one; bounds: upper ends, seconds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    mode: Mode = "livesum"
    bounds: tuple[float, ...] = ()


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family(
                "camguard_decisions_total",
                "counter",
                ("listener", "service", "access", "decision", "reason"),
                "Judged requests by what was decided and why.",
            ),
            Family(
                "camguard_action_decisions_total",
                "counter",
                ("service", "action", "decision"),
                "Judged requests by action; an action without a counter of its own is 'other'.",
            ),
            Family(
                "camguard_decision_duration_seconds",
                "histogram",
                ("listener",),
                "Time from frozen headers to decision, body and signature included, upstream excluded.",
                bounds=DECISION_BOUNDS,
            ),
            Family("camguard_requests_in_flight", "gauge", ("listener",), "Requests being served."),
            Family("camguard_client_ip_total", "counter", ("method",), "How the client's address was found."),
            Family(
                "camguard_signature_checks_total", "counter", ("result",), "Checked signatures by result."
            ),
            Family(
                "camguard_shadow_comparisons_total",
                "counter",
                ("result", "access"),
                "Requests that the candidate bundle judged too, by how it differs from the active one.",
            ),
            Family("camguard_policy_reloads_total", "counter", ("result",), "Looks at the policy source."),
            Family(
                "camguard_policy_last_reload_successful",
                "gauge",
                (),
                "1 if the last look at the policy source found a good bundle, else 0.",
                "livemin",
            ),
            Family(
                "camguard_policy_last_success_timestamp_seconds",
                "gauge",
                (),
                "Unix time at which the policy source was last confirmed, changed or not.",
                "livemin",
            ),
            Family(
                "camguard_policy_activation_timestamp_seconds",
                "gauge",
                (),
                "Unix time at which the active bundle was activated.",
                "livemin",
            ),
            Family(
                "camguard_policy_info",
                "gauge",
                ("revision",),
                "1 for the active revision (12 hex digits), 0 for one that was left.",
                "livemax",
            ),
            Family("camguard_policy_statements", "gauge", (), "Statements in the active bundle.", "livemax"),
            Family("camguard_policy_principals", "gauge", (), "Principals in the active bundle.", "livemax"),
            Family("camguard_catalog_actions", "gauge", (), "Actions in the catalog.", "livemax"),
            Family(
                "camguard_table_cache_lookups_total",
                "counter",
                ("result",),
                "Lookups of compiled tables by principals not met lately, across reloads.",
            ),
            Family("camguard_table_cache_entries", "gauge", (), "Compiled tables held by the active bundle."),
            Family(
                "camguard_decision_log_records_total",
                "counter",
                ("result",),
                "Records of the decision log; 'error' counts failed writes, the record is then tried again.",
            ),
            Family(
                "camguard_stderr_lost_lines_total",
                "counter",
                (),
                "Lines of the process log (stderr) that were lost, because nobody read them fast enough.",
            ),
            Family(
                "camguard_upstream_duration_seconds",
                "histogram",
                ("service",),
                "Time from sending a request upstream to its answer.",
                bounds=UPSTREAM_BOUNDS,
            ),
            Family(
                "camguard_upstream_errors_total",
                "counter",
                ("service", "kind"),
                "Forwarded requests that failed, by how.",
            ),
            Family(
                "camguard_build_info",
                "gauge",
                ("version", "python_version"),
                "1; what is running.",
                "livemax",
            ),
        )
    }
)

Labels: TypeAlias = tuple[str, ...]


class Timed(NamedTuple):
    """A histogram's state. counts: per bucket, not cumulative, the last one without bound; sum: seconds."""

    counts: tuple[int, ...]
    sum: float


Value: TypeAlias = float | Timed
Snapshot: TypeAlias = Mapping[str, Mapping[Labels, Value]]  # family name -> label values -> value


def merge(snapshots: Iterable[Snapshot]) -> dict[str, dict[Labels, Value]]:
    """Return several snapshots as one (rule 3), every family present, in the order of FAMILIES."""
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
