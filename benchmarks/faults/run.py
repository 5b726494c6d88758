"""Fault injection against the gateway, on loopback: `python benchmarks/faults/run.py [--quick] [PROGRAM …]`.

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
    "valid-reload": reloading.inject_valid_reload,
    "broken-reload": reloading.inject_broken_reload,
    "broken-start": reloading.inject_broken_start,
    "upstreams": upstreams.inject_upstreams,
    "clocks": clocks.inject_clocks,
    "reload-storm": reloading.inject_reload_storm,
    "decision-log": logs.inject_decision_log,
    "uploads": clients.inject_uploads,
    "vanishing-clients": clients.inject_vanishing_clients,
    "exceptions": stages.inject_exceptions,
    "shutdown": clients.inject_shutdown,
    "bit-flips": flips.inject_bit_flips,
    "strangers": strangers.inject_strangers,
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
    parser.add_argument(
        "names", nargs="*", choices=[*PROGRAMS, []], metavar="PROGRAM", help=", ".join(PROGRAMS)
    )
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
