"""Measuring on a machine that is not quiet: interleaved rounds, medians, ratios within a round."""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection

Subject = Callable[[], int]  # does a round of work once and says how many operations it was
Facts = tuple[float | str, ...]  # what the maker of a subject reports about it

SLICE = 0.04  # seconds of work in one turn of a process


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


def apart(
    makers: Mapping[str, Callable[[], tuple[Subject | None, Facts]]], rounds: int = 9
) -> tuple[dict[str, list[float]], dict[str, Facts]]:
    """Make every subject in a process of its own and let them work in turn, a slice each.

    Returns what `interleave` returns, and what each maker reported. Each process has its own memory, so no
    subject is slowed by what another left in the processor's cache. A maker returns None as its subject where
    there is nothing to measure.
    """
    context = multiprocessing.get_context("fork")
    pipes: dict[str, Connection] = {}
    processes = []
    facts: dict[str, Facts] = {}
    taken: dict[str, list[float]] = {}
    for name, maker in makers.items():  # one after the other: to make some takes much memory
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, maker), daemon=True)
        process.start()
        there.close()
        processes.append(process)
        pipes[name] = here
        measured, facts[name] = here.recv()
        if measured:
            taken[name] = []
    for turn in range(rounds):
        names = list(taken)
        for name in names if turn % 2 else reversed(names):
            pipes[name].send("work")
            taken[name].append(pipes[name].recv())
    for name, process in zip(pipes, processes, strict=True):
        pipes[name].send("end")
        process.join()
    return taken, facts


def _work(pipe: Connection, maker: Callable[[], tuple[Subject | None, Facts]]) -> None:
    subject, facts = maker()
    if subject is not None:
        subject()  # what is made on first use is made before
    gc.collect()
    gc.freeze()  # as `camguard serve` does after a load
    pipe.send((subject is not None, facts))
    while pipe.recv() == "work" and subject is not None:
        begin, count = time.process_time_ns(), 0
        while time.process_time_ns() - begin < SLICE * 1e9:
            count += subject()
        pipe.send((time.process_time_ns() - begin) / 1000 / count)


def ratio(taken: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """Return the median over the rounds of `one` / `other`, each within its round."""
    return statistics.median(a / b for a, b in zip(taken[one], taken[other], strict=True))


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)
