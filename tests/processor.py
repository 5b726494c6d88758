"""Measurements of CPU time that hold beside other programs, and on a processor that is slower at the moment.

A clock of the CPU time of a thread stands still while the thread waits for a processor. What other programs
add to a measurement nevertheless differs from round to round, so that the least of some rounds counts.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from statistics import median
from types import FrameType
from typing import Any

# The CPU time of `_unit` on the machine on which the bounds were set, while other programs used all of it.
UNIT_SECONDS = 0.0022
_TEXT = json.dumps([{"name": f"ins-{number}", "value": "x\n" * 40} for number in range(400)])
_ROUNDS = 5


def _unit() -> int:
    found = json.loads(_TEXT)
    re.search(r"(?i)action|version\\u", _TEXT)
    return sum(len(row["name"]) for row in found for _ in range(40))


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of this thread that some work takes."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def slowness() -> float:
    """Return how many times as long as on the machine of the bounds the same work takes now; at least 1."""
    return max(1.0, median(seconds(_unit) for _ in range(5)) / UNIT_SECONDS)


def within(bound: float, spent: Iterable[float]) -> bool:
    """Return whether one of some rounds keeps a bound.

    bound: in seconds of CPU time on the machine on which the bounds were set.
    """
    return any(each <= bound or each <= bound * slowness() for each in spent)


def longest_step(work: Callable[[], object]) -> float:
    """Return the longest time for which some work lets no other thread run, divided by the time of the work.

    The interpreter changes threads between two instructions of Python, and never within one that is carried
    out in C. So the longest instruction is measured, and no other thread, which a busy machine would not run.
    """
    whole = min(seconds(work) for _ in range(_ROUNDS))
    steps = _steps(work)
    for _ in range(_ROUNDS - 1):
        steps = list(map(min, steps, _steps(work)))
    return max(steps) / whole


def _steps(work: Callable[[], object]) -> list[float]:
    """Return the CPU time of each instruction of Python code that some work runs, in order."""
    steps: list[float] = []
    last = 0.0

    def note(frame: FrameType, _event: str, _arg: Any) -> Any:
        nonlocal last
        steps.append(time.thread_time() - last)
        frame.f_trace_opcodes = True
        last = time.thread_time()
        return note

    before = sys.gettrace()
    sys.settrace(note)
    last = time.thread_time()
    try:
        work()
    finally:
        sys.settrace(before)
    return steps
