"""What the whole matrix of principals and actions costs, and whether it grows linearly.

Each cell is an access set at one time: every address at once. "shared": all principals share 50 sets of
policies; "all differ": each has a set of its own. The rows that are compiled are those that decide calls.
Times are those of the processor, because a matrix takes long enough for others to want it, too.
The last ratio compares a cell with a plain decision on the same bundle.
"""

from __future__ import annotations

import gc
import time
from dataclasses import replace

from _report import Report, options, show
from _workload import NOW, Size, make_calls, make_workload
from decide import stream

from camguard.analysis import access_reader
from camguard.analysis.invariants import EVERY_ADDRESS, Invariant, Space, prove
from camguard.analysis.questions import callable_actions, entries
from camguard.ipset import IpSet

OUTSIDE = EVERY_ADDRESS - IpSet.of(["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"])
BASE = Size(principals=1000, statements=20, ranges=10)


def matrix(size: Size) -> tuple[float, int, int]:
    """Return the seconds of a matrix on a new bundle, the number of its cells, and of those not denied."""
    bundle = make_workload(size).bundle()
    actions = tuple(callable_actions(bundle.catalog))
    gc.collect()
    gc.freeze()
    begin = time.process_time()
    read = access_reader(bundle.evaluator, time=NOW)
    found = sum(1 for _ in entries(read, bundle.people.layers, actions))
    seconds = time.process_time() - begin
    gc.unfreeze()
    return seconds, len(bundle.people.layers) * len(actions), found


def invariant(size: Size) -> float:
    """Return the processor's seconds of one invariant over all principals and actions of a new bundle."""
    bundle = make_workload(size).bundle()
    everything = Space(tuple(bundle.people.layers), tuple(callable_actions(bundle.catalog)), OUTSIDE)
    gc.collect()
    begin = time.process_time()
    prove(bundle, Invariant(everything))
    return time.process_time() - begin


def decision(size: Size) -> float:
    """Return the processor's seconds of one decision, with warm tables."""
    workload = make_workload(size)
    bundle, calls = workload.bundle(), make_calls(workload, 50_000)
    ask = stream(bundle, calls)
    ask()
    begin = time.process_time()
    asked = ask()
    return (time.process_time() - begin) / asked


def main() -> None:
    """Print a row for each matrix."""
    given = options(__doc__)
    shared = replace(BASE, sets=50)
    sizes = {
        "1,000 principals, shared": (shared, "<= 5"),
        "1,000 principals, 50 statements each, shared": (replace(shared, statements=50), "<= 5"),
        "1,000 principals, all differ": (BASE, "<= 5"),
    }
    if not given.quick:
        sizes["10,000 principals, shared"] = replace(shared, principals=10_000), ""
    report = Report(
        "access: the matrix of principals and actions",
        ("", "s", "cells", "µs a cell", "not denied"),
    )
    taken: dict[str, float] = {}
    for name, (size, goal) in sizes.items():
        taken[name], cells, found = matrix(size)
        report.rows.append((name, taken[name], cells, taken[name] * 1e6 / cells, found))
        if goal:
            report.ratios.append((f"s: {name}", taken[name], goal))
    if not given.quick:
        growth = taken["10,000 principals, shared"] / taken["1,000 principals, shared"]
        report.ratios.append(("principals 1,000 → 10,000, shared", growth, "<= 12"))
    for name, size, goal in (("shared", shared, "<= 2"), ("all differ", BASE, "")):
        what = f"s: an invariant over 1,000 principals at all times, {name}"
        report.ratios.append((what, invariant(size), goal))
    cell = taken["1,000 principals, shared"] / (1001 * 281)
    report.ratios.append(("a cell to a plain decision, shared", cell / decision(shared), ""))
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
