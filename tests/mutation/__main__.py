"""Mutation testing of what decides: every mutant must be killed by a test, or argued to be no fault.

`python -m tests.mutation [module …] [--shard 1/4] [--sample n] [--quick] [--probable] [--again] [--argued]`;
a module is `camguard.engine.row`, or a part of it. What was judged is in a file outside of the repository: an
interrupted run continues where it stopped. Exits 1 for a survivor that `argued.toml` does not name, for a
name there that is killed, and for a module of which less than 95 % are killed.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import tomllib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tests.mutation import results
from tests.mutation.checks import Check, checks
from tests.mutation.collected import SURVIVED
from tests.mutation.judge import Judge
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.subjects import ROOT, Subject, subjects

ARGUED = ROOT / "tests/mutation/argued.toml"
ENOUGH = 0.95  # of the mutants of a module that must be killed


class Report(NamedTuple):
    """What became of one module. new: survivors without an argument. stale: arguments that are killed."""

    module: str
    made: int
    killed: int
    new: list[str]
    stale: list[str]
    seconds: float

    @property
    def argued(self) -> int:
        return self.made - self.killed - len(self.new)

    def __str__(self) -> str:
        share = f"{100 * self.killed / self.made:.1f} %" if self.made else "-"
        counts = f"{self.made:5} made {self.killed:5} killed {share:>8}"
        return f"{self.module:32} {counts} {self.argued:4} argued {len(self.new):4} new {self.seconds:6.0f} s"


def argued() -> list[str]:
    """Return the names of all mutants that are argued to be no fault."""
    groups = tomllib.loads(ARGUED.read_text(encoding="utf-8"))["argued"]
    return [name for group in groups for name in group["mutants"]]


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", help="modules, or parts of their names; default: all")
    parser.add_argument("--shard", type=_shard, default=(1, 1), help="`2/4`: the second of four parts")
    parser.add_argument("--sample", type=int, help="so many mutants of each module, drawn by lot")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="only changes inside of functions, by the quick tests; what survives these is not kept",
    )
    parser.add_argument(
        "--probable",
        action="store_true",
        help="only by the quick tests that probably notice a change; what survives these is not kept",
    )
    parser.add_argument("--argued", action="store_true", help="only the mutants that are argued")
    parser.add_argument(
        "--again",
        action="store_true",
        help="after a change of tests: judge the survivors; what was killed counts as killed",
    )
    parser.add_argument("--results", type=Path, default=results.default_path(), help="the file of results")
    return parser.parse_args(arguments)


def _shard(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not 1 <= int(number) <= int(of):
        raise ValueError(text)
    return int(number), int(of)


def chosen(parts: list[str], shard: tuple[int, int]) -> list[tuple[Subject, list[Mutant]]]:
    """Return the modules of one shard: the largest is dealt first, to the shard that has least so far."""
    found = []
    for subject in subjects():
        if not parts or any(part in subject.module for part in parts):
            made = list(mutants(subject.path.read_text(encoding="utf-8"), str(subject.path)))
            if made:
                found.append((subject, made))
    loads = [0] * shard[1]
    mine = []
    for each in sorted(found, key=lambda pair: -len(pair[1])):
        least = loads.index(min(loads))
        loads[least] += len(each[1])
        if least == shard[0] - 1:
            mine.append(each[0].module)
    return [each for each in found if each[0].module in mine]


def main(arguments: list[str]) -> int:
    """Judge the mutants of the modules asked for, print the report, and return the exit code."""
    options = _parsed(arguments)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    names = set(argued())
    options.tree = results.digest_of_tree()  # once: a change during the run is not part of it
    parts = chosen(options.modules, options.shard)
    ready = checks() if any(subject.cases for subject, _ in parts) else []
    reports = []
    for _, group in groupby(parts, key=lambda part: part[0].suite):
        run = _Run(list(group), names, ready, options)
        for report in run.reports():
            reports.append(report)
            print(report, flush=True)
        run.close()
    made, killed = (sum(getattr(each, field) for each in reports) for field in ("made", "killed"))
    new = [f"{each.module}: {name}" for each in reports for name in each.new]
    stale = [f"{each.module}: {name}" for each in reports for name in each.stale]
    few = [] if options.argued else [each.module for each in reports if each.killed < ENOUGH * each.made]
    print(Report("all", made, killed, new, stale, sum(each.seconds for each in reports)))
    for words, lines in (
        ("survived, and no argument says why that is no fault:", new),
        ("argued, but killed:", stale),
        (f"killed less than {ENOUGH:.0%}:", few),
    ):
        if lines:
            print(f"\n{words}", *lines, sep="\n  ")
    return 1 if new or stale or few else 0


class _Run:
    """The mutants of the modules of one suite. The judge is made when the first mutant has to be judged."""

    def __init__(
        self,
        parts: list[tuple[Subject, list[Mutant]]],
        names: set[str],
        ready: list[Check],
        options: argparse.Namespace,
    ) -> None:
        self._parts, self._names, self._ready, self._options = parts, names, ready, options
        self._judge: Judge | None = None

    def reports(self) -> Iterator[Report]:
        options = self._options
        for subject, found in self._parts:
            asked = [mutant for mutant in found if mutant.name in self._names] if options.argued else found
            if options.sample and options.sample < len(asked):
                asked = random.Random(1).sample(asked, options.sample)  # noqa: S311 - a sample, no secret
            if asked:
                yield self._report(subject, asked)

    def close(self) -> None:
        if self._judge is not None:
            self._judge.close()

    def _report(self, subject: Subject, asked: list[Mutant]) -> Report:
        began = time.monotonic()
        killers = dict(self._judged(subject, asked))
        survivors = {name for name, killer in killers.items() if killer == SURVIVED}
        return Report(
            subject.module,
            len(killers),
            len(killers) - len(survivors),
            sorted(survivors - self._names),
            sorted((self._names & killers.keys()) - survivors),
            time.monotonic() - began,
        )

    def _judged(self, subject: Subject, asked: list[Mutant]) -> Iterator[tuple[str, str]]:
        options = self._options
        source = results.digest_of(subject)
        known = results.known(results.read(options.results), subject, options.tree, keep_kills=options.again)
        for mutant in asked:
            if mutant.name not in known:
                began = time.monotonic()
                killer = self._killer(subject, mutant)
                seconds = round(time.monotonic() - began, 2)
                if killer is None:
                    continue
                known[mutant.name] = killer
                line = results.Result(subject.module, source, options.tree, mutant.name, killer, seconds)
                if killer != SURVIVED or not (options.quick or options.probable):
                    results.append(options.results, line)
                if os.environ.get("VERBOSE"):
                    print(f"{seconds:6.2f} s  {killer[:60]:60}  {mutant.name}", flush=True)
            yield mutant.name, known[mutant.name]

    def _killer(self, subject: Subject, mutant: Mutant) -> str | None:
        judge = self._ready_judge()
        if self._options.quick:
            return judge.quickly(subject, mutant)
        return (judge.probably if self._options.probable else judge)(subject, mutant)

    def _ready_judge(self) -> Judge:
        if self._judge is None:
            options = self._options
            self._judge = Judge(self._parts, self._ready, options.results.parent, options.tree)
        return self._judge


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
