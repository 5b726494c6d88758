"""Bytes of what is compiled, and whether a day of strangers leaves memory flat.

The day: a million different addresses from a hundred thousand different principals, compressed into minutes.
"""

from __future__ import annotations

import gc
import random
import resource
import tracemalloc
from pathlib import Path

from _report import Report, options, show
from _workload import NOW, Size, make_calls, make_workload

from camguard.engine.call import Call


def resident() -> float:
    """Return the process's memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def per_table(size: Size) -> tuple[float, float]:
    """Return bytes of a compiled table without rows, and of one row, both averages."""
    workload = make_workload(size)
    bundle = workload.bundle()
    calls = make_calls(workload, 20 * size.principals)
    principals = sorted({call.principal for call in calls} & set(bundle.people.layers))
    gc.collect()
    tracemalloc.start()
    tables = [bundle.evaluator.table(principal) for principal in principals]
    of_tables = tracemalloc.get_traced_memory()[0]
    for call in calls:
        bundle.decide(call)
    of_rows = tracemalloc.get_traced_memory()[0] - of_tables
    tracemalloc.stop()
    rows = sum(len(table.rows) for table in tables if table)
    return of_tables / len(tables), of_rows / max(rows, 1)


def day(total: int) -> list[float]:
    """Return resident memory after each eighth of a day of ever new principals and addresses."""
    workload = make_workload(Size(principals=100_000, sets=50))
    bundle = workload.bundle()
    names = sorted(workload.catalog.actions)
    people = [f"uin/{uin}" for uin in workload.principals["users"]]
    rng = random.Random(7)  # noqa: S311 - a workload, no secret
    marks = []
    for i in range(total):
        action = names[i % len(names)] if i % 3 else f"aiart:Unheard{i}"
        principal = people[rng.randrange(len(people))] if i % 5 else f"uin/{i}"
        bundle.decide(Call(principal, action, rng.getrandbits(32 if i % 2 else 128), NOW + i))
        if (i + 1) % (total // 8) == 0:
            marks.append(resident())
    return marks


def main() -> None:
    """Print bytes per table and row, and the growth of the last quarter of the day."""
    given = options(__doc__)
    report = Report("memory", ("", "bytes per table", "bytes per row used"))
    for statements, ranges in ((20, 10), (2, 10), (200, 10), (20, 1000)):
        few = 20 if ranges == 1000 or statements == 200 else 200
        table, row = per_table(Size(principals=few, statements=statements, ranges=ranges))
        report.rows.append((f"{statements} statements, {ranges:,} ranges", table, row))
        if (statements, ranges) == (20, 10):
            report.ratios.append(("KiB per table, 20 statements, 10 ranges", table / 1024, "<= 8"))
    marks = day(200_000 if given.quick else 1_000_000)
    report.notes.append("resident MiB after each eighth of the day: " + ", ".join(f"{m:.1f}" for m in marks))
    report.ratios.append(("memory at the end / after three quarters", marks[-1] / marks[5], "<= 1.02"))
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
