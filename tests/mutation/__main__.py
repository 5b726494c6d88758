"""Mutation testing of the decision path: every mutant must be killed by a test, or argued to be no fault.

`python -m tests.mutation [module …] [--sample n]`; a module is `camguard.engine.row`, or a part of it.
Exits 1 for a survivor that `argued.toml` does not name, or a name there that survives no more.

Each mutant gets a process of its own: forked, told to take the mutant's code for the module, and only then
made to import camguard. What it may cost is limited; running out of time or memory kills it too.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import random
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutation.checks import Check, checks, forget, suite
from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
PATHS = (
    *sorted((ROOT / "camguard/policy").glob("*.py")),
    *sorted((ROOT / "camguard/engine").glob("*.py")),
    ROOT / "camguard/ipset.py",
)
CPU_SECONDS = 15  # of processor time; what survives takes about three
WALL_SECONDS = 180
MEMORY = 2 << 30  # bytes
SURVIVED = "survived"
LIMIT = "a limit"


def main(arguments: list[str]) -> int:
    """Judge the mutants of the modules asked for, print the report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", help="modules, or parts of their names; default: all")
    parser.add_argument("--sample", type=int, help="so many mutants of each module, drawn by lot")
    asked = parser.parse_args(arguments)
    argued = tomllib.loads((ROOT / "tests/mutation/argued.toml").read_text(encoding="utf-8"))["argued"]
    known = {name for each in argued for name in each["mutants"]}
    ready = checks()
    importlib.import_module("tests.bridge")  # what it imports besides camguard stays imported
    forget("camguard", "tests.bridge")
    gc.freeze()
    new: list[str] = []
    gone: list[str] = []
    totals = [0, 0, 0]
    for path in PATHS:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if asked.modules and not any(part in module for part in asked.modules):
            continue
        source = path.read_text(encoding="utf-8")
        found = list(mutants(source, module, str(path)))
        if not found:
            continue
        for tests_first in (False, True):
            killer = _killer(compile(source, path, "exec"), module, ready, tests_first=tests_first)
            if killer != SURVIVED:
                parser.error(f"{module} does not pass unchanged: {killer}")
        if asked.sample and asked.sample < len(found):
            found = random.Random(1).sample(found, asked.sample)  # noqa: S311 - a sample, no secret
        survivors = {mutant.name for mutant, killer in _judged(found, module, ready) if killer == SURVIVED}
        new += sorted(survivors - known)
        gone += sorted((known & {mutant.name for mutant in found}) - survivors)
        if not asked.sample:
            here = {name for name in known if name.startswith(f"{module} ")}
            gone += sorted(here - {mutant.name for mutant in found})
        counts = (len(found), len(found) - len(survivors), len(survivors & known))
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        print(_row(module, *counts), flush=True)
    print(_row("all", *totals))
    for words, names in (("survived, and nobody argued why:", new), ("argued, but killed or gone:", gone)):
        if names:
            print(f"\n{words}", *names, sep="\n  ")
    return 1 if new or gone else 0


def _row(module: str, made: int, killed: int, argued: int) -> str:
    share = f"{100 * killed / made:.1f} %" if made else "-"
    new = made - killed - argued
    return f"{module:32} {made:5} made {killed:5} killed {share:>8} {argued:4} argued {new:4} new"


def _judged(found: list[Mutant], module: str, ready: list[Check]) -> Iterator[tuple[Mutant, str]]:
    """Judge each mutant. What killed one - a check, or the tests - is the first that the next has to pass."""
    order = list(ready)
    tests_first = False
    verbose = bool(os.environ.get("VERBOSE"))
    for mutant in found:
        begin = time.monotonic()
        killer = _killer(mutant.code, module, order, tests_first=tests_first)
        if verbose:
            print(f"{time.monotonic() - begin:6.2f} s  {killer[:60]:60}  {mutant.name}", flush=True)
        at = next((i for i, check in enumerate(order) if check.name == killer), None)
        tests_first = at is None
        order.insert(0, order.pop(at or 0))
        yield mutant, killer


def _killer(code: CodeType, module: str, order: list[Check], *, tests_first: bool) -> str:
    """Return what kills a mutant: a check, a test, a limit; or `SURVIVED`."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            _confine(code, module)
            found = suite(module) or _failing(order) if tests_first else _failing(order) or suite(module)
            os.write(writer, (found or SURVIVED).encode()[:4000])
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read().decode(errors="replace")
    os.waitpid(pid, 0)
    return told or LIMIT


def _confine(code: CodeType, module: str) -> None:
    """Limit what this process may cost, and let it import a mutant in place of its module."""
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    genuine = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, name: str) -> CodeType | None:
        return code if name == module else genuine(self, name)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
    # camguard imports its middleware too; nothing that is judged here needs it, and it takes a while.
    unused = ModuleType("camguard.middleware")
    unused.CamguardMiddleware = None  # type: ignore[attr-defined]
    sys.modules[unused.__name__] = unused


def _failing(order: list[Check]) -> str | None:
    for check in order:
        try:
            if not check.holds():
                return check.name
        except BaseException:  # noqa: BLE001 - whatever is raised where nothing may be
            return check.name
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
