"""What the matrix of principals and actions and the diff of two bundles cost, and whether they grow linearly.

Each cell is an access set at one time: every address at once. "shared": all principals share 50 sets of
policies; "all differ": each has a set of its own. The rows that are compiled are those that decide calls.
Times are those of the processor, because a matrix takes long enough for others to want it, too.
The last ratio compares a cell with a plain decision on the same bundle.
"""

from __future__ import annotations

import gc
import random
import resource
import time
from dataclasses import replace

from _report import Report, options, show
from _workload import NOW, Size, Workload, make_calls, make_workload
from decide import stream

from camguard.analysis.causes import Side
from camguard.analysis.diff import access_diff, actions_of, principals_of
from camguard.analysis.invariants import Invariant, Space, prove
from camguard.analysis.questions import callable_actions, entries
from camguard.ipset import EVERY_ADDRESS, IpSet

OUTSIDE = EVERY_ADDRESS - IpSet.of(["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"])
BASE = Size(principals=1000, statements=20, ranges=10)


def matrix(size: Size) -> tuple[float, int, int]:
    """Return the seconds of a matrix on a new bundle, the number of its cells, and of those not denied."""
    bundle = make_workload(size).bundle()
    actions = tuple(callable_actions(bundle.catalog))
    gc.collect()
    gc.freeze()
    begin = time.process_time()
    found = sum(1 for _ in entries(bundle.evaluator, bundle.people.layers, actions, time=NOW))
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


def changed(workload: Workload) -> Workload:
    """Return a workload in which one statement of each policy holds for other addresses."""
    rng = random.Random(3)  # noqa: S311 - a workload, no secret
    documents = {}
    for name, document in workload.documents.items():
        statements = list(document["statement"])
        at = rng.randrange(len(statements))
        ranges = [f"{rng.randint(1, 200)}.{rng.randint(0, 255)}.0.0/16"]
        statements[at] = {**statements[at], "condition": {"ip_equal": {"qcs:ip": ranges}}}
        documents[name] = {**document, "statement": statements}
    return replace(workload, documents=documents)


def difference(size: Size, *, unrelated: bool = False) -> tuple[float, int]:
    """Return the seconds of a diff of two new bundles, and the number of its groups.

    unrelated: every policy of the second bundle is another one; else one statement of each policy changed.
    """
    before = make_workload(size)
    after = make_workload(size, seed=7) if unrelated else changed(before)
    old, new = Side(before.bundle()), Side(after.bundle())
    gc.collect()
    gc.freeze()
    begin = time.process_time()
    groups = access_diff(old, new, principals_of(old, new), actions_of(old, new))
    seconds = time.process_time() - begin
    gc.unfreeze()
    return seconds, len(groups)


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
    """Print a row for each matrix and each diff."""
    given = options(__doc__)
    shared = replace(BASE, sets=50)
    sizes = {
        "1,000 principals, shared": (shared, "<= 5"),
        "1,000 principals, 50 statements each, shared": (replace(shared, statements=50), "<= 5"),
        "1,000 principals, all differ": (BASE, "<= 5"),
    }
    if not given.quick:
        sizes["10,000 principals, shared"] = replace(shared, principals=10_000), ""
        sizes["10,000 principals, all differ"] = replace(BASE, principals=10_000), ""
    report = Report(
        "access: the matrix of principals and actions, and the diff of two bundles",
        ("", "s", "cells", "µs a cell", "not denied, or groups"),
    )
    taken: dict[str, float] = {}
    for name, (size, goal) in sizes.items():
        taken[name], cells, found = matrix(size)
        report.rows.append((name, taken[name], cells, taken[name] * 1e6 / cells, found))
        if goal:
            report.ratios.append((f"s: matrix, {name}", taken[name], goal))
    for name, size, unrelated in (
        ("diff, shared, every policy changed", shared, False),
        ("diff, all differ, every policy changed", BASE, False),
        ("diff, shared, unrelated", shared, True),
        *([] if given.quick else [("diff, all differ, unrelated", BASE, True)]),
    ):
        seconds, groups = difference(size, unrelated=unrelated)
        cells = (size.principals + 1) * size.actions
        report.rows.append((name, seconds, cells, seconds * 1e6 / cells, groups))
        report.ratios.append((f"s: {name}", seconds, "<= 10"))
    one = decision(shared)
    if not given.quick:
        for kind in ("shared", "all differ"):
            growth = taken[f"10,000 principals, {kind}"] / taken[f"1,000 principals, {kind}"]
            report.ratios.append((f"principals 1,000 -> 10,000, {kind}", growth, "<= 12"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        report.ratios.append(("MiB at most, all of the above in one process", peak, ""))
    for name, size, goal in (("shared", shared, "<= 2"), ("all differ", BASE, "")):
        what = f"s: an invariant over 1,000 principals at all times, {name}"
        report.ratios.append((what, invariant(size), goal))
    for kind in ("shared", "all differ"):
        cell = taken[f"1,000 principals, {kind}"] / (1001 * 281)
        report.ratios.append((f"a cell to a plain decision, {kind}", cell / one, ""))
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
