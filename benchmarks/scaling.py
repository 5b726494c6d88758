"""One decision against the size of the policies, for camguard and for each peer: what the plot shows.

Few principals, so that everyone's data stay in the processor's cache: the algorithm, not the memory.
"""

from __future__ import annotations

from dataclasses import replace

from _measure import interleave, median
from _peers import PEERS, Peer
from _report import Report, options, show
from _workload import Size, make_calls, make_workload
from peers import asked, work_of

BASE = Size(principals=10)
POINTS = {
    "statements": [replace(BASE, statements=n) for n in (2, 20, 200)],
    "ranges": [replace(BASE, ranges=n) for n in (1, 10, 100, 1000)],
}
SLOW = {"CEL": 100, "regorus": 1000, "cedarpy": 1000}  # ranges above which building takes minutes


def cost(size: Size, peers: list[Peer], rounds: int) -> dict[str, float]:
    """Return microseconds of one decision of everyone at one size."""
    workload = make_workload(size)
    bundle = workload.bundle(ip_support="gateway")
    calls = make_calls(workload, 500)
    subjects = {"camguard": work_of(bundle.decide, calls)}
    for each in peers:
        if size.ranges <= SLOW.get(each.name, size.ranges):
            answer = each.build(workload)
            subjects[each.name] = work_of(answer, asked(answer, calls, len(calls)))
    return {name: median(values) for name, values in interleave(subjects, rounds).items()}


def main() -> None:
    """Print a row per size and peer."""
    given = options(__doc__)
    peers = [each for each in PEERS if each.installed]
    report = Report("scaling: one decision, µs", ("", *("camguard", *(each.name for each in peers))))
    for axis, sizes in POINTS.items():
        for size in sizes:
            taken = cost(size, peers, 3 if given.quick else 9)
            number = getattr(size, axis)
            report.rows.append((f"{number:,} {axis}", *(taken.get(name, "") for name in report.columns[1:])))
            for name, value in taken.items():
                report.series.setdefault(f"{axis}/{name}", []).append((number, value))
    for axis in POINTS:
        first, *_, last = report.series[f"{axis}/camguard"]
        report.ratios.append((f"camguard, {last[0]:,} / {first[0]:,} {axis}", last[1] / first[1], ""))
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
