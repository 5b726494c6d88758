"""One decision, compared with the alternatives to camguard.

Every peer answers the same calls in a process of its own, a slice of time each in turn. Its answers are first
compared with those of camguard, which `tests/test_agreement.py` compares with an evaluator that shares no
code with camguard; a peer whose answers differ is shown without a time. The base point is 1,000 principals,
20 statements, 10 ranges, all different.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from _measure import Facts, Subject, apart, median, ratio
from _peers import PEERS, Peer
from _report import Report, options, show
from _workload import Size, Workload, make_calls, make_workload

from camguard.engine.call import Call

GOALS = {"cedarpy": 200, "regorus": 100, "CEL": 20, "hand-rolled, integers": 5}


def ours(workload: Workload) -> Callable[[Call], object]:
    """Return camguard's own answer: what a gateway calls. Tables are compiled on first use, not here."""
    return workload.bundle(ip_support="gateway").decide  # no peer knows which actions have no address


OURS = Peer("camguard", "camguard", ours)


def asked(answer: Callable[[Call], object], calls: list[Call], count: int) -> list[Call]:
    """Return as many calls of the stream as a peer answers in about a twentieth of a second."""
    for _ in range(2):  # the second time, what is made on first use is there
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
    principals, count, rounds = (100, 2_000, 7) if given.quick else (1_000, 5_000, 15)
    workload = make_workload(Size(principals=principals))
    calls = make_calls(workload, count)
    allowed = [bool(answer) for answer in map(ours(workload), calls)]
    report = Report(
        f"peers: {principals:,} principals, 20 statements, 10 ranges, all different",
        ("", "µs", "build ms/principal", "differs", "what it cannot say"),
    )
    report.notes += [
        f"{peer.name} is not installed (package {peer.package})" for peer in PEERS if not peer.installed
    ]

    def maker(peer: Peer) -> Callable[[], tuple[Subject | None, Facts]]:
        def make() -> tuple[Subject | None, Facts]:
            begin = time.perf_counter()
            answer = peer.build(workload)
            seconds = time.perf_counter() - begin
            few = asked(answer, calls, count)
            wrong = sum(bool(answer(call)) is not right for call, right in zip(few, allowed, strict=False))
            facts = (seconds * 1000 / principals, f"{wrong}/{len(few)}", peer.gap)
            return None if wrong else work_of(answer, few), facts

        return make

    taken, facts = apart({peer.name: maker(peer) for peer in (OURS, *PEERS) if peer.installed}, rounds)
    for name, told in facts.items():
        report.rows.append((name, median(taken[name]) if name in taken else "", *told))
        if name in taken and name != "camguard":
            goal = f">= {GOALS[name]}" if name in GOALS else ""
            report.ratios.append((f"{name} / camguard", ratio(taken, name, "camguard"), goal))
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
