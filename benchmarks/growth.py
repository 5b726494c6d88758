"""What a decision costs as policies, ranges, principals and catalogs grow.

Each row is the same stream of calls over a smaller and a larger workload, both asked in the same rounds.
"shared": all principals share 50 sets of policies; "all differ": each has a set of its own.
"""

from __future__ import annotations

import gc
import time
from dataclasses import replace

from _measure import interleave, median, ratio
from _report import Report, options, show
from _workload import Size, make_calls, make_workload
from decide import stream

from camguard.bundle import Bundle
from camguard.engine.call import Call

BASE = Size(principals=1000, statements=20, ranges=10)


def sizes(*, quick: bool) -> list[tuple[str, Size, Size, float]]:
    """Return name, smaller, larger and the bound of their ratio."""
    many = 10_000 if quick else 100_000
    shared = replace(BASE, sets=50)
    few = replace(BASE, principals=100)
    return [
        ("statements 2 → 200, shared", replace(shared, statements=2), replace(shared, statements=200), 1.5),
        ("ranges 1 → 1,000, shared", replace(shared, ranges=1), replace(shared, ranges=1000), 1.5),
        ("statements 2 → 200, all differ", replace(few, statements=2), replace(few, statements=200), 2.5),
        ("ranges 1 → 1,000, all differ", replace(few, ranges=1), replace(few, ranges=1000), 2.5),
        ("catalog 281 → 10,000", shared, replace(shared, actions=10_000), 1.1),
        (
            f"principals 10 → {many:,}, shared",
            replace(shared, principals=10),
            replace(shared, principals=many),
            2,
        ),
        (
            f"principals 10 → {many // 10:,}, all differ",
            replace(BASE, principals=10),
            replace(BASE, principals=many // 10),
            4,
        ),
    ]


def loaded(size: Size, count: int) -> tuple[Bundle, float, list[Call]]:
    """Return a bundle, the seconds its making took, and calls for it that were asked once."""
    workload = make_workload(size)
    calls = make_calls(workload, count)
    begin = time.perf_counter()
    bundle = workload.bundle()
    seconds = time.perf_counter() - begin
    stream(bundle, calls)()
    return bundle, seconds, calls


def main() -> None:
    """Print each pair and the ratio of larger to smaller."""
    given = options(__doc__)
    count, rounds = (5_000, 7) if given.quick else (20_000, 15)
    report = Report(
        "growth: the same stream, smaller and larger", ("", "µs smaller", "µs larger", "load larger, s")
    )
    for name, smaller, larger, bound in sizes(quick=given.quick):
        small, _, calls = loaded(smaller, count)
        large, seconds, more = loaded(larger, count)
        gc.collect()
        gc.freeze()
        taken = interleave({"smaller": stream(small, calls), "larger": stream(large, more)}, rounds)
        gc.unfreeze()
        report.rows.append((name, median(taken["smaller"]), median(taken["larger"]), seconds))
        report.ratios.append((name, ratio(taken, "larger", "smaller"), f"<= {bound}"))
        del small, large
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
