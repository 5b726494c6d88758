"""Run benchmarks in their quick form and write their sections of RESULTS.md, and the plot beside it.

Without names, all benchmarks run. Each section is written when its benchmark has ended, with the day and the
load average at its start; the sections of benchmarks that do not run stay as they are.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from _report import Report

HERE = Path(__file__).resolve().parent
PROGRAMS = (
    "decide",
    "growth",
    "peers",
    "resources",
    "scaling",
    "middleware",
    "instructions",
    "telemetry",
    "relay",
    "authorizer",
    "fronts",
    "workers",
    "reload",
    "memory",
    "access",
    "questions",
)
PACKAGES = (
    "starlette", "cachetools", "prometheus-client", "uvicorn", "uvloop", "httptools",
    "cedarpy", "casbin", "common-expression-language", "opa-eval", "regopy", "parliament", "policy-sentry",
)  # fmt: skip
COLOURS = ("#c0392b", "#2c3e50", "#7f8c8d", "#2980b9", "#8e44ad", "#27ae60", "#d35400")


def run(name: str, *, full: bool, base: Path | None) -> Report | str:
    """Return the report of one program, or the error that ended the program.

    base: the checkout that `relay` compares with.
    """
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", *([] if full else ["--quick"])]
    if base is not None and name == "relay":
        command += ["--base", str(base.resolve())]
    path = os.pathsep.join((str(HERE.parent), os.environ.get("PYTHONPATH", "")))
    print(f"{name} …", file=sys.stderr)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    )
    if done.returncode:
        return done.stderr.strip().rpartition("\n")[2] or f"exit {done.returncode}"
    found: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return Report(**found)


def machine() -> str:
    """Return processor, cores, system and Python in one line."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines())
        model = next((value.strip() for key, _, value in lines if key.strip() == "model name"), model)
    python = platform.python_version()
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {python}"


def versions() -> str:
    """Return the installed versions of what is measured."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)


def plot(series: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Return an SVG with one panel for each axis: microseconds against size, both logarithmic."""
    axes = list(dict.fromkeys(name.partition("/")[0] for name in series))
    names = list(dict.fromkeys(name.partition("/")[2] for name in series))
    width, height, left, panel = 460 * len(axes), 340, 60, 460
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 60}">',
        '<style>text {font: 11px sans-serif}</style><rect width="100%" height="100%" fill="white"/>',
    ]
    for i, axis in enumerate(axes):
        mine = {name: series[f"{axis}/{name}"] for name in names if f"{axis}/{name}" in series}
        lines += _panel(axis, mine, names, x0=i * panel + left, width=panel - left - 30, height=height)
    for i, name in enumerate(names):
        x, y = 60 + (i % 4) * 220, height + 24 + (i // 4) * 18
        lines.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{COLOURS[i % len(COLOURS)]}"/>')
        lines.append(f'<text x="{x + 16}" y="{y}">{escape(name)}</text>')
    return "\n".join([*lines, "</svg>\n"])


def _panel(  # noqa: PLR0913 - where it stands, each named
    axis: str,
    mine: Mapping[str, Sequence[Sequence[float]]],
    names: list[str],
    *,
    x0: int,
    width: int,
    height: int,
) -> Iterator[str]:
    xs = sorted({x for points in mine.values() for x, _ in points})
    ys = [y for points in mine.values() for _, y in points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def px(x: float) -> float:
        span = math.log10(xs[-1] / xs[0]) or 1
        return x0 + width * math.log10(x / xs[0]) / span

    def py(y: float) -> float:
        return 30 + (height - 70) * (high - math.log10(y)) / (high - low)

    yield f'<text x="{x0}" y="16" font-size="13">µs of one decision against {escape(axis)}</text>'
    for power in range(low, high + 1):
        y = py(10**power)
        yield f'<line x1="{x0}" x2="{x0 + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>'
    for x in xs:
        yield f'<text x="{px(x):.1f}" y="{height - 20}" text-anchor="middle">{x:g}</text>'
    for name, points in mine.items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="3" fill="{colour}"/>' for x, y in points)


def sections(text: str) -> dict[str, str]:
    """Return the sections of RESULTS.md by their names."""
    _, *found = f"\n{text}".split("\n## ")
    parts = (each.partition("\n") for each in found)
    return {name: content.strip() for name, _, content in parts}


def page(found: Mapping[str, str]) -> str:
    """Return RESULTS.md with these sections, in the order of the benchmarks."""
    text = [
        "# Results",
        "",
        "`make bench`. Ratios are of one run, medians of interleaved rounds; times may only be compared",
        "within a table. Each table says when it was measured, and the load average of the machine, which",
        "has two cores, when its benchmark began.",
        "",
        f"* {machine()}",
        f"* {versions()}",
        "",
        "![one decision against the size of the policies](scaling.svg)",
    ]
    for name in PROGRAMS:
        if name in found:
            text += ["", f"## {name}", "", found[name]]
    return "\n".join(text) + "\n"


def section(name: str, *, full: bool, base: Path | None) -> str:
    """Run a benchmark and return its section. The plot of `scaling` is written, too. base: as for `run`."""
    began = f"{datetime.now(UTC).date()}, {'full' if full else 'quick'} form, load {os.getloadavg()[0]:.1f}"
    report = run(name, full=full, base=base)
    shown = f"not measured: {report}" if isinstance(report, str) else report.text()
    if name == "scaling" and isinstance(report, Report):
        (HERE / "scaling.svg").write_text(plot(report.series), encoding="utf-8")
    return "\n".join((f"*{began}*", "", "```text", shown, "```"))


def main() -> None:
    """Write RESULTS.md and scaling.svg."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROGRAMS)} (default: all)")
    parser.add_argument("--full", action="store_true", help="the long form: many minutes instead of a few")
    parser.add_argument("--base", type=Path, help="the checkout of another commit, for `relay`")
    given = parser.parse_args()
    unknown = sorted({*given.names} - {*PROGRAMS})
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    file = HERE / "RESULTS.md"
    for name in given.names or PROGRAMS:
        found = sections(file.read_text(encoding="utf-8") if file.exists() else "")
        found[name] = section(name, full=given.full, base=given.base)
        file.write_text(page(found), encoding="utf-8")
        print(f"## {name}\n\n{found[name]}\n", flush=True)


if __name__ == "__main__":
    main()
