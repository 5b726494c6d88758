"""Measuring on a machine that is not quiet: interleaved rounds, medians, ratios within a round."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Subject = Callable[[], int]  # does a round of work once and says how many operations it was


def microseconds(subject: Subject) -> float:
    """Return the time of one operation in one round."""
    begin = time.perf_counter_ns()
    count = subject()
    return (time.perf_counter_ns() - begin) / 1000 / count


def interleave(subjects: Mapping[str, Subject], rounds: int = 9) -> dict[str, list[float]]:
    """Run every subject once a round, so that a slow moment of the machine meets them all."""
    for subject in subjects.values():
        subject()  # what is made on first use is made before
    gc.collect()
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(rounds):
        names = list(subjects)
        for name in names if turn % 2 else reversed(names):
            taken[name].append(microseconds(subjects[name]))
    return taken


def ratio(taken: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """Return the median over the rounds of `one` / `other`, each within its round."""
    return statistics.median(a / b for a, b in zip(taken[one], taken[other], strict=True))


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)
