"""What a decision costs as policies, ranges, principals and catalogs grow.

Each row is the same stream of calls over a smaller and a larger workload, both asked in the same rounds.
"shared": all principals share 50 sets of policies; "all differ": each has a set of its own. In the full form
there are 100,000 that all differ, and the table of each is compiled before the calls: more than a bundle
keeps unless it is told to. A principal beyond what is kept costs a miss: one compilation.
"""

from __future__ import annotations

import gc
import time
from dataclasses import replace

from _measure import interleave, median, microseconds, ratio
from _report import Report, options, show
from _workload import Size, make_calls, make_workload
from decide import stream

from camguard.bundle import Bundle
from camguard.engine.call import Call
from camguard.engine.evaluator import MAX_TABLES

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


def resident(size: Size) -> tuple[Bundle, list[Call], float]:
    """Return a bundle with every principal's table compiled, calls, and the processor's µs to compile one."""
    workload = make_workload(size)
    bundle = workload.bundle(tables=size.principals)  # `limits.tables`
    begin = time.process_time()  # it takes long enough for others to want the processor, too
    for principal in bundle.people.layers:
        bundle.evaluator.table(principal)
    compiled = (time.process_time() - begin) * 1e6 / size.principals
    return bundle, make_calls(workload, 20_000), compiled


def misses() -> list[float]:
    """Return the µs of each principal's first call: its table is compiled and one row of it made."""
    workload = make_workload(BASE)
    bundle = workload.bundle()
    calls = {call.principal: call for call in make_calls(workload, 20_000)}
    gc.collect()
    gc.freeze()
    taken = [microseconds(stream(bundle, [call])) for call in calls.values()]
    gc.unfreeze()
    return taken


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
    if not given.quick:
        _all_resident(report, rounds)
    taken_first = misses()
    report.ratios.append(
        ("µs of a miss, a compilation and a decision, median", median(taken_first), "<= 200")
    )
    show(report, as_json=given.json)


def _all_resident(report: Report, rounds: int) -> None:
    gc.disable()  # as a bundle's loader does
    small, few, _ = resident(replace(BASE, principals=10))
    large, many, compiled = resident(replace(BASE, principals=100_000))
    gc.collect()
    gc.freeze()
    gc.enable()
    taken = interleave({"smaller": stream(small, few), "larger": stream(large, many)}, rounds)
    name = "principals 10 → 100,000, all differ, all compiled"
    report.rows.append((name, median(taken["smaller"]), median(taken["larger"]), ""))
    report.ratios.append((name, ratio(taken, "larger", "smaller"), "<= 4"))
    report.ratios.append(("µs of compiling one of 100,000 tables", compiled, "<= 200"))
    report.notes.append(f"a bundle keeps {MAX_TABLES:,} tables; a principal beyond costs a miss")


if __name__ == "__main__":
    main()
