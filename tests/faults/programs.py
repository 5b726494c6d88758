"""The table of fault programs, by the name that the command line takes: `python -m tests.faults`.

Each program sends traffic to loopback only, stops by itself within two minutes, and ends only processes that
it started. It prints what it sent, what failed and what was decided wrongly, and claims that hold or do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tests.faults import (
    clients,
    clocks,
    flips,
    floods,
    idle,
    logs,
    polls,
    reloading,
    stages,
    strangers,
    upstreams,
    waiting,
)
from tests.faults.report import Report
from tests.faults.watch import CLOCK_SECONDS, CPU_SECONDS, watching


class Program(Protocol):
    """One fault program. quick: the form that takes seconds."""

    __doc__: str | None

    def __call__(self, report: Report, *, quick: bool) -> None:
        """Inject the faults and report."""


PROGRAMS: Mapping[str, Program] = {
    "valid-reload": reloading.inject_valid_reload,
    "broken-reload": reloading.inject_broken_reload,
    "broken-start": reloading.inject_broken_start,
    "upstreams": upstreams.inject_upstreams,
    "idle-upstreams": idle.inject_idle_upstreams,
    "clocks": clocks.inject_clocks,
    "reload-storm": reloading.inject_reload_storm,
    "polls": polls.inject_polls,
    "decision-log": logs.inject_decision_log,
    "uploads": clients.inject_uploads,
    "vanishing-clients": clients.inject_vanishing_clients,
    "exceptions": stages.inject_exceptions,
    "shutdown": clients.inject_shutdown,
    "bit-flips": flips.inject_bit_flips,
    "strangers": strangers.inject_strangers,
    "waiting": waiting.inject_waiting,
    "pipelines": floods.inject_pipelines,
    "chunks": floods.inject_chunks,
    "stalls": floods.inject_stalls,
}


def inject(name: str, *, quick: bool, silent: bool = False) -> Report:
    """Run one program, with a watchdog in the event loop of each gateway that the program starts."""
    report = Report(name, silent)
    with watching() as stalls:
        PROGRAMS[name](report, quick=quick)
    if stalls:
        cpu, clock = max(stall.cpu for stall in stalls), max(stall.clock for stall in stalls)
        report.says(longest_stall_cpu_ms=cpu * 1e3, longest_stall_clock_ms=clock * 1e3)
        report.holds("no stall takes the loop's thread more than 50 ms of CPU", true=cpu <= CPU_SECONDS)
        report.holds("no stall is longer than 100 ms", true=clock <= CLOCK_SECONDS)
    return report
