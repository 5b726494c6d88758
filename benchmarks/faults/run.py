"""Fault injection against the real gateway, on loopback: `python benchmarks/faults/run.py [--quick] [F-1 …]`.

Each program stops by itself within two minutes, ends only what it started, says what it sent, what failed and
what was misjudged, and claims that hold or do not. Exit code 1 if one does not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.faults import (  # noqa: E402
    clients,
    clocks,
    flips,
    floods,
    logs,
    reloading,
    stages,
    strangers,
    upstreams,
    waiting,
)
from benchmarks.faults.report import Report  # noqa: E402
from benchmarks.faults.watch import CLOCK_SECONDS, CPU_SECONDS, watching  # noqa: E402


class Program(Protocol):
    """One fault program. quick: the form that takes seconds."""

    __doc__: str | None

    def __call__(self, report: Report, *, quick: bool) -> None:
        """Inject, and report."""


PROGRAMS: Mapping[str, Program] = {
    "F-1": reloading.f_1,
    "F-2": reloading.f_2,
    "F-3": reloading.f_3,
    "F-6": upstreams.f_6,
    "F-7": clocks.f_7,
    "F-9": reloading.f_9,
    "F-10": logs.f_10,
    "F-13": clients.f_13,
    "F-14": clients.f_14,
    "F-15": stages.f_15,
    "F-17": clients.f_17,
    "F-19": flips.f_19,
    "F-20": strangers.f_20,
    "waiting": waiting.waiting,
    "pipelines": floods.pipelines,
    "chunks": floods.chunks,
    "stalls": floods.stalls,
}


def inject(name: str, *, quick: bool, silent: bool = False) -> Report:
    """Run one program, with a watchdog in the event loop of each gateway that it starts."""
    report = Report(name, silent)
    with watching() as stalls:
        PROGRAMS[name](report, quick=quick)
    if stalls:
        cpu, clock = max(stall.cpu for stall in stalls), max(stall.clock for stall in stalls)
        report.says(longest_stall_cpu_ms=cpu * 1e3, longest_stall_clock_ms=clock * 1e3)
        report.holds("no stall takes the loop's thread more than 50 ms of CPU", true=cpu <= CPU_SECONDS)
        report.holds("no stall is longer than 100 ms", true=clock <= CLOCK_SECONDS)
    return report


def main(clock: Callable[[], float] = time.monotonic) -> int:
    """Run the programs that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*PROGRAMS, []], metavar="F-1", help=", ".join(PROGRAMS))
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    asked = parser.parse_args()
    failed = []
    for name in asked.names or PROGRAMS:
        print(f"{name}: {PROGRAMS[name].__doc__}", flush=True)
        began = clock()
        report = inject(name, quick=asked.quick)
        failed += [f"{name}: {claim}" for claim in report.failed]
        print(f"  took {clock() - began:.0f} s\n")
    print("\n".join(["FAIL", *failed]) if failed else "PASS")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
