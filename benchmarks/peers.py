"""One decision, beside what somebody could pick instead.

Every peer answers the same calls; its answers are checked first, and a peer that is wrong is shown without a
time. The base point is 1,000 principals, 20 statements, 10 ranges, all different.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from _measure import Subject, interleave, median, ratio
from _peers import PEERS, Answer
from _report import Report, options, show
from _workload import Size, make_calls, make_workload

from camguard.engine.call import Call

GOALS = {"cedarpy": 200, "regorus": 100, "CEL": 20, "hand-rolled, integers": 5}


def asked(answer: Answer, calls: list[Call], count: int) -> list[Call]:
    """Return as many calls of the stream as a peer answers in about a twentieth of a second."""
    begin = time.perf_counter()
    for call in calls[:20]:
        answer(call)
    each = (time.perf_counter() - begin) / 20
    return calls[: max(50, min(count, int(0.05 / each)))]


def work_of(answer: Callable[[Call], object], calls: list[Call]) -> Subject:
    """Return a round: every call once."""

    def work() -> int:
        for call in calls:
            answer(call)
        return len(calls)

    return work


def main() -> None:
    """Print microseconds per decision of everyone, and how many times faster camguard is."""
    given = options(__doc__)
    principals, count, rounds = (100, 2_000, 5) if given.quick else (1_000, 5_000, 9)
    workload = make_workload(Size(principals=principals))
    bundle = workload.bundle(ip_support="gateway")  # no peer knows which actions cannot be limited by address
    calls = make_calls(workload, count)
    truth = [bool(bundle.decide(call)) for call in calls]
    report = Report(
        f"peers: {principals:,} principals, 20 statements, 10 ranges, all different",
        ("", "µs", "build ms/principal", "wrong", "what it cannot say"),
    )
    subjects = {"camguard": work_of(bundle.decide, calls)}
    built: dict[str, tuple[float, int, int, str]] = {}
    for each in PEERS:
        if not each.installed:
            report.notes.append(f"{each.name} is not installed (package {each.package})")
            continue
        begin = time.perf_counter()
        answer = each.build(workload)
        seconds = time.perf_counter() - begin
        few = asked(answer, calls, count)
        wrong = sum(answer(call) is not right for call, right in zip(few, truth, strict=False))
        built[each.name] = (seconds * 1000 / principals, wrong, len(few), each.gap)
        if not wrong:
            subjects[each.name] = work_of(answer, few)
    taken = interleave(subjects, rounds)
    report.rows.append(("camguard", median(taken["camguard"]), "", f"0/{count}", ""))
    for name, (build, wrong, few_count, gap) in built.items():
        shown = "" if wrong else median(taken[name])
        report.rows.append((name, shown, build, f"{wrong}/{few_count}", gap))
        if not wrong:
            goal = f">= {GOALS[name]}" if name in GOALS else ""
            report.ratios.append((f"{name} / camguard", ratio(taken, name, "camguard"), goal))
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
