"""Draws the dashboards as one HTML page from the answers of a Prometheus, for a look without Grafana.

`python config/grafana/preview.py http://127.0.0.1:9090 > preview.html`. Every panel is drawn with its title,
its text and its newest values. A panel without data says so.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from generate import DASHBOARDS, Panel, Query

MINUTES = 5
POINTS = 60
WIDTH, HEIGHT = 460, 150  # of a drawing, in pixels
COLOURS = ("#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0")
UNITS = {"s": " s", "reqps": " req/s", "cps": " /s"}
STYLE = (
    "body{font:13px sans-serif;background:#111217;color:#ccccdc;margin:16px}"
    "section{display:flex;flex-wrap:wrap;gap:8px}article{background:#181b1f;padding:8px;width:480px}"
    "h3{margin:0;font-size:14px}p{margin:2px 0 6px;color:#9a9aa8}b{font-size:28px}.red{color:#f2495c}"
    "li{list-style:none;font-size:12px}ul{padding:0;margin:4px 0}td,th{padding:0 8px;text-align:left}"
)


class Series(NamedTuple):
    """One line of a panel. points: time and value; without those that are not a number."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Answered(NamedTuple):
    """A panel with the series of each of its queries."""

    dashboard: str
    row: str
    panel: Panel
    series: Sequence[tuple[Query, Sequence[Series]]]


def resolved(expr: str, seconds: int) -> str:
    """Return an expression with its variables replaced. seconds: the interval of rates."""
    values = {"$__rate_interval": f"{seconds}s", "$job": ".*", "$instance": ".*", "$service": ".*"}
    for name, value in values.items():
        expr = expr.replace(name, value)
    return expr


def answered(url: str, *, rate_seconds: int = 60) -> Iterator[Answered]:
    """Ask the queries of every panel. url: of the Prometheus."""
    for title, rows in DASHBOARDS.values():
        for row in rows:
            for panel in row.panels:
                asked = [(query, _series(url, panel, query, rate_seconds)) for query in panel.queries]
                yield Answered(title, row.title, panel, asked)


def _series(url: str, panel: Panel, query: Query, rate_seconds: int) -> list[Series]:
    expr, now = resolved(query.expr, rate_seconds), time.time()
    if panel.kind == "timeseries":
        begin, step = now - MINUTES * 60, MINUTES * 60 / POINTS
        found = _get(url, "query_range", query=expr, start=str(begin), end=str(now), step=str(step))
    else:
        found = _get(url, "query", query=expr)
    return [
        Series(
            _legend(query, each["metric"]),
            each["metric"],
            [
                (float(at), float(value))
                for at, value in each.get("values", [each.get("value")])
                if math.isfinite(float(value))
            ],
        )
        for each in found
    ]


def _get(url: str, path: str, **parameters: str) -> list[dict[str, Any]]:
    address = f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - the address that the user names
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


def _legend(query: Query, labels: Mapping[str, str]) -> str:
    if query.legend:
        return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), query.legend)
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def page(panels: Sequence[Answered]) -> str:
    """Return the page of answered panels."""
    parts = [f"<!doctype html><meta charset=utf-8><title>camguard</title><style>{STYLE}</style>"]
    place = ("", "")
    for each in panels:
        if (each.dashboard, each.row) != place:
            head = f"<h1>{escape(each.dashboard)}</h1>" if each.dashboard != place[0] else ""
            parts.append(f"</section>{head}<h2>{escape(each.row)}</h2><section>")
            place = (each.dashboard, each.row)
        title, text = escape(each.panel.title), escape(each.panel.text)
        parts.append(f"<article><h3>{title}</h3><p>{text}</p>{_drawn(each)}</article>")
    return "\n".join(parts)


def _drawn(each: Answered) -> str:
    series = [line for _, lines in each.series for line in lines if line.points]
    if not series:
        return "<em>no data</em>"
    if each.panel.kind == "table":
        rows = (
            f"<tr><td>{escape(line.name)}<td>{_amount(line.points[-1][1], each.panel.unit)}"
            for line in series
        )
        return f"<table>{''.join(rows)}</table>"
    if each.panel.kind == "stat":
        value, limit = series[0].points[-1][1], each.panel.red_from
        red = " class=red" if limit is not None and value >= limit else ""
        return f"<b{red}>{_amount(value, each.panel.unit)}</b>"
    return _chart(series, each.panel)


def _chart(series: Sequence[Series], panel: Panel) -> str:
    times = [at for line in series for at, _ in line.points]
    first, last = min(times), max(times)
    top = max((value for line in series for _, value in line.points), default=0.0) or 1.0
    lines, names = [], []
    for number, line in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(
            f"{WIDTH * (at - first) / ((last - first) or 1):.0f},{HEIGHT - HEIGHT * value / top:.0f}"
            for at, value in line.points
        )
        lines.append(f'<polyline fill="none" stroke="{colour}" points="{points}"/>')
        newest = _amount(line.points[-1][1], panel.unit)
        names.append(f'<li style="color:{colour}">{escape(line.name)} {newest}')
    drawing = f'<svg width="{WIDTH}" height="{HEIGHT}">{"".join(lines)}</svg>'
    return f"{drawing}<div>0 to {_amount(top, panel.unit)}</div><ul>{''.join(names)}</ul>"


def _amount(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "bytes":
        return f"{value / 2**20:.1f} MiB"
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.4g}{UNITS.get(unit, '')}"


def main(arguments: Sequence[str]) -> str | None:
    """Print the page, or return what is wrong: with the arguments, or with the Prometheus that they name."""
    if len(arguments) != 1 or not arguments[0].startswith(("http://", "https://")):
        return "usage: python config/grafana/preview.py http://PROMETHEUS:9090 > dashboards.html"
    try:
        sys.stdout.write(page(list(answered(arguments[0].rstrip("/")))))
    except (OSError, ValueError, KeyError) as error:
        return f"{arguments[0]}: this is no Prometheus, or it does not answer: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
