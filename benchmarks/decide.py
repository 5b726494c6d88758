"""One decision: a stream of calls over 1,000 principals, beside what it cannot be cheaper than.

The floor is two dict look-ups and one bisection in 1,000 ranges, made for the same calls in the same rounds.
The stream has several thousand different calls, so that memory is part of the cost; the hot set has fifty.
"""

from __future__ import annotations

import gc
import random
import time
from bisect import bisect_right

from _measure import Subject, interleave, median, ratio
from _report import Report, options, show
from _workload import Size, make_calls, make_workload

from camguard.bundle import Bundle
from camguard.engine.call import Call

HOT = 50


def stream(bundle: Bundle, calls: list[Call]) -> Subject:
    """Return a round: every call once."""

    def work() -> int:
        decide = bundle.decide
        for call in calls:
            decide(call)
        return len(calls)

    return work


def floor(calls: list[Call]) -> Subject:
    """Return a round of two dict look-ups and one bisection per call."""
    rng = random.Random(3)  # noqa: S311 - a workload, no secret
    bounds = sorted(rng.getrandbits(33) for _ in range(1000))
    actions = {call.action: i for i, call in enumerate(calls)}
    people = {call.principal: actions for call in calls}

    def look_up(call: Call) -> int:
        people[call.principal][call.action]
        return bisect_right(bounds, call.source_ip or 0)

    def work() -> int:
        for call in calls:
            look_up(call)
        return len(calls)

    return work


def nothing(calls: list[Call]) -> Subject:
    """Return a round of the loop alone, with one call of a function that does nothing."""

    def ask(call: Call) -> Call:
        return call

    def work() -> int:
        for call in calls:
            ask(call)
        return len(calls)

    return work


def main() -> None:
    """Print microseconds per decision and the ratios to the floor."""
    given = options(__doc__)
    count, rounds = (5_000, 9) if given.quick else (20_000, 25)
    workload = make_workload(Size())
    bundle = workload.bundle()
    calls = make_calls(workload, count)
    hot = calls[:HOT] * (count // HOT)
    begin = time.perf_counter()
    stream(bundle, calls)()
    first = time.perf_counter() - begin
    _, misses, _ = bundle.table_stats()
    gc.collect()
    gc.freeze()  # as `camguard serve` does after a load
    taken = interleave(
        {
            "loop alone": nothing(calls),
            "two look-ups + bisection": floor(calls),
            "decision, stream": stream(bundle, calls),
            "decision, 50 hot calls": stream(bundle, hot),
        },
        rounds,
    )
    report = Report(
        "decide: 1,000 principals, 20 statements, 10 ranges, all different", ("", "µs, median", "best")
    )
    report.rows = [(name, median(values), min(values)) for name, values in taken.items()]
    report.rows.append(("table and rows on first use, per principal", first * 1e6 / misses, ""))
    for name in ("decision, stream", "decision, 50 hot calls"):
        value = ratio(taken, name, "two look-ups + bisection")
        report.ratios.append((f"{name} / two look-ups + bisection", value, "<= 4"))
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
