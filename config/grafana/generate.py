"""Writes the dashboards of this folder: `python config/grafana/generate.py`.

The dashboards are generated so that they cannot drift from the metrics that camguard exposes: a test writes
them again and compares, and another one looks up every metric in `camguard.telemetry.exposition`. Recorded
names come from `config/prometheus/rules.yml`.

A dashboard is a list of rows, and a row is a list of panels. The grid of Grafana is 24 units wide; the panels
of a row share its width.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
WIDTH = 24
SCHEMA_VERSION = 39  # of the dashboard model of Grafana 10.4 and later
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

ALL = 'job=~"$job", instance=~"$instance"'
SERVICE = f'{ALL}, service=~"$service"'
RATE = "[$__rate_interval]"
DECISIONS = "camguard_decisions_total"


class Query(NamedTuple):
    """One query of a panel. legend: a template of labels, e.g. `{{service}}`."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One panel. text: what it shows, and when to worry. red_from: the value from which a stat is red."""

    title: str
    text: str
    queries: Sequence[Query]
    kind: str = "timeseries"
    unit: str = "short"
    stacked: bool = False
    red_from: float | None = None


class Row(NamedTuple):
    """One row of panels. height: in units of the grid."""

    title: str
    panels: Sequence[Panel]
    height: int = 8


def _rate(metric: str, labels: str, *by: str, offset: str = "") -> str:
    """Return the expression of a rate per second, summed by labels. offset: how long ago, e.g. `1h`."""
    ago = f" offset {offset}" if offset else ""
    groups = f"by ({', '.join(by)}) " if by else ""
    return f"sum {groups}(rate({metric}{{{labels}}}{RATE}{ago}))"


def _by(metric: str, labels: str, *by: str) -> Query:
    """Return the query of a rate per second for each value of the labels, which are its legend."""
    return Query(_rate(metric, labels, *by), " ".join(f"{{{{{label}}}}}" for label in by))


def _denied_share(*by: str, offset: str = "") -> str:
    """Return the expression of the denied requests as a share of all requests."""
    denied = _rate(DECISIONS, f'{SERVICE}, decision="deny"', *by, offset=offset)
    return f"{denied} / {_rate(DECISIONS, SERVICE, *by, offset=offset)}"


def _stat(title: str, text: str, expr: str, unit: str = "short", red_from: float | None = None) -> Panel:
    return Panel(title, text, [Query(expr)], "stat", unit, red_from=red_from)


def _quantiles(metric: str, labels: str, by: str = "") -> list[Query]:
    """Return queries for the median and the 99th percentile of a histogram, for each value of a label."""
    groups = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return [
        Query(
            f"histogram_quantile({q}, sum by ({groups}) (rate({metric}_bucket{{{labels}}}{RATE})))",
            f"{name}{legend}",
        )
        for q, name in ((0.5, "p50"), (0.99, "p99"))
    ]


_DECISION_RATE = Panel(
    "Decisions per second",
    "Every request that camguard judged, by decision. A fall to zero means that no traffic arrives.",
    [_by(DECISIONS, SERVICE, "decision")],
    unit="reqps",
    stacked=True,
)
_DECISION_TIME = Panel(
    "Time to decide",
    "From the frozen headers to the decision, body and signature included, upstream excluded.",
    _quantiles("camguard_decision_duration_seconds", ALL),
    unit="s",
)
_IN_FLIGHT = Panel(
    "Requests being served, requests waiting for their body",
    "At limits.concurrency and limits.waiting, camguard refuses or drops requests as overloaded.",
    [
        Query(f"sum by (listener) (camguard_requests_in_flight{{{ALL}}})", "served {{listener}}"),
        Query(f"sum by (listener) (camguard_requests_waiting{{{ALL}}})", "waiting {{listener}}"),
    ],
)
_LOG = Panel(
    "Decision log and process log",
    "Records and lines per second. Any dropped record or lost line is missing evidence.",
    [
        Query(
            f"sum by (result) (rate(camguard_decision_log_records_total{{{ALL}}}{RATE}))",
            "decision log {{result}}",
        ),
        Query(_rate("camguard_stderr_lost_lines_total", ALL), "process log lost"),
    ],
    unit="cps",
)
_ANSWERS = Panel(
    "Answers by what callers got",
    "2xx to 5xx: replies of upstream or application. refusal: written by camguard. error: failed or cut.",
    [_by("camguard_responses_total", ALL, "code_class")],
    unit="reqps",
    stacked=True,
)
_FAILED = f'{ALL}, code_class=~"error|5xx"'
_KEYS_AGE = f"time() - min (camguard_keys_last_success_timestamp_seconds{{{ALL}}})"
_BY_POLICY = 'reason=~"no_allow|explicit_deny|undetermined_deny|layer_limit"'
_AGE = f"time() - min (camguard_policy_last_success_timestamp_seconds{{{ALL}}})"

OVERVIEW = [
    Row(
        "State",
        [
            _stat("Instances up", "Targets that answer scrapes.", 'sum (up{job=~"$job"})'),
            _stat(
                "Rate of decisions",
                "Requests that camguard judged, per second.",
                _rate(DECISIONS, SERVICE),
                "reqps",
            ),
            _stat(
                "Share of denials",
                "Denied requests of all requests. What is usual depends on the traffic: watch for changes.",
                _denied_share(),
                "percentunit",
            ),
            _stat(
                "Revisions in use",
                "More than one for longer than a rollout means that an instance does not see a change.",
                f"count (count by (revision) (camguard_policy_info{{{ALL}}} == 1))",
                red_from=2,
            ),
            _stat(
                "Policies unconfirmed for",
                "Time since the policy source was last read successfully, of the worst instance.",
                _AGE,
                "s",
                red_from=600,
            ),
            _stat(
                "Policy errors",
                "Findings of severity error in the active bundle, of the worst instance. See camguard lint.",
                f'max (camguard_policy_findings{{{ALL}, severity="error"}})',
                red_from=1,
            ),
            _stat(
                "Internal errors",
                "Requests in the last hour that were refused because a decision failed.",
                f'sum (increase(camguard_denials_total{{{ALL}, reason="internal_error"}}[1h]))',
                red_from=1,
            ),
        ],
        height=4,
    ),
    Row(
        "Decisions",
        [
            _DECISION_RATE,
            Panel(
                "Denials per second by reason",
                "README, section Metrics, and the command camguard check explain the reasons.",
                [_by(DECISIONS, f'{SERVICE}, decision="deny"', "reason")],
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Share of denials by service",
                "Denied requests of all requests of a service.",
                [Query(_denied_share("service"), "{{service}}")],
                unit="percentunit",
            ),
        ],
    ),
    Row(
        "Services and actions",
        [
            Panel(
                "Decisions per second by service",
                "The traffic of each service, whatever its decisions.",
                [_by(DECISIONS, SERVICE, "service")],
                unit="reqps",
            ),
            Panel(
                "Most denied actions",
                "Denials of the last hour by action. The callers are in the decision log.",
                [
                    Query(
                        "topk(15, sum by (service, action) (increase(camguard_action_decisions_total"
                        '{job=~"$job", instance=~"$instance", service=~"$service", decision="deny"}[1h])))'
                    )
                ],
                "table",
            ),
            Panel(
                "Decisions per second by access",
                "Read, write, list and other, as the catalog lists the action.",
                [_by(DECISIONS, SERVICE, "access")],
                unit="reqps",
            ),
        ],
    ),
    Row(
        "Answers",
        [
            _ANSWERS,
            Panel(
                "Share of failed answers",
                "Errors and replies with 5xx of all answers. Refusals are no failures.",
                [
                    Query(
                        f"{_rate('camguard_responses_total', _FAILED)}"
                        f" / {_rate('camguard_responses_total', ALL)}",
                        "failed",
                    )
                ],
                unit="percentunit",
            ),
            _DECISION_TIME,
        ],
    ),
    Row(
        "Upstream",
        [
            Panel(
                "Replies of the upstream by status class",
                "As they are passed on. The vendor's API answers most errors with 200 and an envelope.",
                [_by("camguard_upstream_responses_total", SERVICE, "code_class")],
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Time of the upstream",
                "From sending a request to the end of its answer.",
                _quantiles("camguard_upstream_duration_seconds", SERVICE, "service"),
                unit="s",
            ),
            Panel(
                "Failures of the upstream",
                "Forwarded requests per second that got no complete answer. Nothing is sent twice.",
                [_by("camguard_upstream_errors_total", SERVICE, "kind")],
                unit="reqps",
            ),
        ],
    ),
    Row(
        "Trust",
        [
            Panel(
                "How the client's address was found",
                "The address of the socket, or a header of a trusted proxy; invalid requests are refused.",
                [_by("camguard_client_ip_total", ALL, "method")],
                unit="reqps",
            ),
            Panel(
                "Signatures by result",
                "Invalid signatures and unknown keys in numbers: a broken proxy, an old key, or guessing.",
                [_by("camguard_signature_checks_total", ALL, "result")],
                unit="reqps",
            ),
        ],
    ),
    Row("Saturation", [_IN_FLIGHT, _LOG]),
]

CHANGES = [
    Row(
        "Now",
        [
            _stat(
                "Failed last polls of policies",
                "Instances that could not use their policies at the last poll and keep the last good bundle.",
                f"sum (1 - camguard_policy_last_reload_successful{{{ALL}}})",
                red_from=1,
            ),
            _stat("Policies unconfirmed for", "Of the worst instance.", _AGE, "s", red_from=600),
            _stat(
                "Active since",
                "Time since the last activation of a bundle.",
                f"time() - max (camguard_policy_activation_timestamp_seconds{{{ALL}}})",
                "s",
            ),
            _stat(
                "Failed last polls of keys",
                "Instances that could not use their keys file at the last poll and keep the last good keys.",
                f"sum (1 - camguard_keys_last_reload_successful{{{ALL}}})",
                red_from=1,
            ),
            _stat("Keys unconfirmed for", "Of the worst instance.", _KEYS_AGE, "s", red_from=600),
            _stat("Statements", "In the active bundle.", f"max (camguard_policy_statements{{{ALL}}})"),
            _stat("Principals", "In the active bundle.", f"max (camguard_policy_principals{{{ALL}}})"),
            _stat("Actions", "In the catalog.", f"max (camguard_catalog_actions{{{ALL}}})"),
        ],
        height=4,
    ),
    Row(
        "Revision",
        [
            Panel(
                "Instances by revision",
                "During a rollout two revisions are in use. A line that stays is an instance left behind.",
                [
                    Query(
                        f"count by (revision) (camguard_policy_info{{{ALL}}} == 1)",
                        "{{revision}}",
                    )
                ],
                stacked=True,
            ),
            Panel(
                "Polls by result",
                "A failure keeps the last good bundle; the process log lists its problems.",
                [_by("camguard_policy_reloads_total", ALL, "result")],
                unit="cps",
            ),
        ],
    ),
    Row(
        "Source of policies",
        [
            _stat(
                "Offered, not in use",
                "Instances whose source offers another bundle than the one in force, without a pin. "
                "The process log says why the bundle was refused.",
                f"sum (camguard_policy_offered_differs{{{ALL}}} * (1 - camguard_policy_pinned{{{ALL}}}))",
                red_from=1,
            ),
            _stat(
                "Pinned",
                "Instances that a rollback holds at a bundle. Changes of the source do not arrive.",
                f"sum (camguard_policy_pinned{{{ALL}}})",
                red_from=1,
            ),
            _stat(
                "From disk",
                "Instances that started without their source and use the last good bundle, unconfirmed.",
                f"sum (camguard_policy_from_disk{{{ALL}}})",
                red_from=1,
            ),
            _stat(
                "Validity left",
                "Until the validity of the first bundle in force ends. Empty if no bundle has one.",
                f"min (camguard_policy_valid_until_timestamp_seconds{{{ALL}}} < Inf) - time()",
                "s",
            ),
            _stat(
                "Revisions within one instance",
                "More than one means that workers of an instance serve different policies.",
                f"max (count by (job, instance) (camguard_policy_info{{{ALL}}} == 1))",
                red_from=2,
            ),
        ],
        height=4,
    ),
    Row(
        "Bundles of the source",
        [
            Panel(
                "Serials",
                "In force on the instance that is furthest behind, and the highest that was offered. "
                "Lines that stay apart: a bundle was refused, or is pinned.",
                [
                    Query(f"min (camguard_policy_serial{{{ALL}}})", "in force"),
                    Query(f"max (camguard_policy_offered_serial{{{ALL}}})", "offered"),
                ],
            ),
            Panel(
                "Requests to the source",
                "By result. After failures they become rarer.",
                [_by("camguard_policy_fetches_total", ALL, "result")],
                unit="cps",
            ),
            Panel(
                "Writes of the last good bundle",
                "A failure stops no activation, but a restart without the source would find an older bundle.",
                [_by("camguard_policy_last_good_writes_total", ALL, "result")],
                unit="cps",
            ),
        ],
    ),
    Row(
        "Findings and keys",
        [
            Panel(
                "Findings by severity",
                "In the active bundle, without those that its lint.toml accepts. Of the worst instance.",
                [
                    Query(
                        f"max by (severity) (camguard_policy_findings{{{ALL}}})",
                        "{{severity}}",
                    )
                ],
            ),
            Panel(
                "Keys by state",
                "If enabled keys fall without a change of yours, the keys file has lost entries.",
                [Query(f"max by (state) (camguard_keys{{{ALL}}})", "{{state}}")],
            ),
        ],
    ),
    Row(
        "Before and after",
        [
            Panel(
                "Share of denials: now, one hour ago, one day ago",
                "A step at an activation that the day before does not have was caused by the change.",
                [
                    Query(_denied_share(), "now"),
                    *(Query(_denied_share(offset=ago), f"{ago} ago") for ago in ("1h", "1d")),
                ],
                unit="percentunit",
            ),
            Panel(
                "Denials per second by service",
                "Policy denials only: what a statement, a missing allow or a limit caused.",
                [_by(DECISIONS, f"{SERVICE}, {_BY_POLICY}", "service")],
                unit="reqps",
            ),
        ],
    ),
    Row(
        "Candidate and shadow mode",
        [
            Panel(
                "Comparison with the candidate",
                "Requests per second that the candidate bundle decided too, by how its decision differs.",
                [_by("camguard_shadow_comparisons_total", ALL, "result")],
                unit="reqps",
            ),
            Panel(
                "Differences in the last hour",
                "Zero in both for a day of usual traffic is what to see before a promotion.",
                [
                    Query(
                        "sum by (result) (increase(camguard_shadow_comparisons_total"
                        f'{{{ALL}, result=~"newly_denied|newly_allowed|error"}}[1h]))',
                        "{{result}}",
                    )
                ],
            ),
            Panel(
                "Denied calls that passed",
                "Their part of the calls is in shadow mode. After a usual day without any, enforce it.",
                [_by("camguard_shadow_passed_total", ALL, "listener", "access")],
                unit="reqps",
            ),
        ],
    ),
]

INSTANCE = [
    Row("Requests", [_DECISION_RATE, _ANSWERS, _DECISION_TIME, _IN_FLIGHT]),
    Row(
        "Process",
        [
            Panel(
                "CPU",
                "Cores in use. One event loop uses one core at most. Several workers do not show it.",
                [Query(f"rate(process_cpu_seconds_total{{{ALL}}}{RATE})", "{{instance}}")],
            ),
            Panel(
                "Memory",
                "Resident memory. Several workers do not show it.",
                [Query(f"process_resident_memory_bytes{{{ALL}}}", "{{instance}}")],
                unit="bytes",
            ),
            Panel(
                "Open files",
                "Connections, mostly, as a share of the limit of the system.",
                [Query(f"process_open_fds{{{ALL}}} / process_max_fds{{{ALL}}}", "{{instance}}")],
                unit="percentunit",
            ),
        ],
    ),
    Row(
        "Parts",
        [
            _LOG,
            Panel(
                "Compiled tables",
                "Look-ups for principals without a recent call. Many misses after a reload are usual.",
                [
                    Query(
                        f"sum by (result) (rate(camguard_table_cache_lookups_total{{{ALL}}}{RATE}))",
                        "{{result}}",
                    ),
                    Query(f"sum (camguard_table_cache_entries{{{ALL}}})", "tables"),
                ],
            ),
            Panel(
                "Versions",
                "What runs where.",
                [Query(f"camguard_build_info{{{ALL}}}")],
                "table",
            ),
        ],
    ),
]

DASHBOARDS = {
    "camguard-overview": ("camguard / Overview", OVERVIEW),
    "camguard-policy-changes": ("camguard / Policy changes", CHANGES),
    "camguard-instance": ("camguard / Instance", INSTANCE),
}


def dashboard(uid: str) -> dict[str, Any]:
    """Return one dashboard in the model that Grafana imports."""
    title, rows = DASHBOARDS[uid]
    return {
        "uid": uid,
        "title": title,
        "tags": ["camguard"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables())},
        "annotations": {"list": [_activations()]},
        "links": [
            {"type": "dashboards", "title": "camguard", "tags": ["camguard"], "asDropdown": True, "icon": "",
             "includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}
        ],
        "panels": list(_panels(rows)),
    }  # fmt: skip


def _variables() -> Iterator[dict[str, Any]]:
    yield {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"}
    queries = {
        "job": "label_values(camguard_build_info, job)",
        "instance": 'label_values(camguard_build_info{job=~"$job"}, instance)',
        "service": 'label_values(camguard_decisions_total{job=~"$job"}, service)',
    }
    for name, query in queries.items():
        yield {
            "type": "query",
            "name": name,
            "label": name.capitalize(),
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,  # whenever the range of time changes
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }


def _activations() -> dict[str, Any]:
    """Return the annotation that marks each activation of a bundle."""
    return {
        "name": "Activations",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": f"changes(camguard_policy_activation_timestamp_seconds{{{ALL}}}[1m]) > 0",
    }


def _panels(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for row in rows:
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": place,
            "panels": (),
        }
        number, top = number + 1, top + 1
        width = WIDTH // len(row.panels)
        for at, panel in enumerate(row.panels):
            yield _panel(panel, number, {"x": at * width, "y": top, "w": width, "h": row.height})
            number += 1
        top += row.height


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    instant = panel.kind != "timeseries"
    targets = [
        {
            "refId": chr(ord("A") + at),
            "datasource": DATASOURCE,
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "instant": instant,
            "range": not instant,
            "format": "table" if panel.kind == "table" else "time_series",
        }
        for at, query in enumerate(panel.queries)
    ]
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults["custom"] = {
            "drawStyle": "line", "fillOpacity": 20 if panel.stacked else 0, "stacking": stacking
        }  # fmt: skip
        defaults["min"] = 0
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "gridPos": dict(place),
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


_OPTIONS: Mapping[str, Any] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
        "justifyMode": "auto",
        "orientation": "auto",
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}


def text_of(uid: str) -> str:
    """Return the content of the file of one dashboard."""
    return json.dumps(dashboard(uid), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text_of(name), encoding="utf-8")
