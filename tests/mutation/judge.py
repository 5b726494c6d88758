"""Judges a mutant: in a process of its own, by quick checks, by the module's own tests, then by the suite.

Each mutant gets a forked process that imports camguard and its tests anew, with the mutant's code in place of
the module. The code of everything else is compiled once, and packages that are not ours stay imported: a
process is therefore at its first test after a tenth of a second. What a process may cost is limited by what
the unchanged module costs; running out of time or memory kills a mutant too.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import pytest
from hypothesis import settings

from tests.mutation.checks import Check
from tests.mutation.subjects import PASSED_OVER, Subject

SURVIVED = "survived"
LIMIT = "a limit of time or memory"
_MEMORY = 2 << 30  # bytes
_UNMEASURED = 600  # seconds that the unchanged module may take
_WALL = 20  # so many times the processor time that is allowed: other programs use the machine too
_OURS = ("camguard", "tests.")
_KEPT = ("tests.mutation", "tests.oracle", "tests.casebook", "tests.generators")  # import nothing of camguard

# The same examples for every mutant, and no limit on time but the judge's own.
settings.register_profile("mutation", deadline=None, derandomize=True, database=None)

_codes: dict[str, CodeType | None] = {}
_read_code = SourceFileLoader.get_code


class _Stage(NamedTuple):
    """One process of a mutant. seconds: of processor time that it may take."""

    run: Callable[[], str | None]
    seconds: int


class Judge:
    """Judges the mutants of one module. What killed one of them is the first that the next has to pass."""

    def __init__(self, subject: Subject, checks: Sequence[Check]) -> None:
        self._subject = subject
        self._checks = list(checks) if subject.cases else []
        self._recent: list[str] = []  # tests that killed, the last one first
        self._tests_first = False  # as a test killed the last mutant, and no check
        self._stages: list[_Stage] = []

    def prepare(self, *, only_first: bool = False) -> str | None:
        """Measure what the unchanged module costs. Return what fails for it, or None as it must be.

        only_first: judge by the quick checks and the module's own tests alone.
        """
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        SourceFileLoader.get_code = _get_code  # type: ignore[method-assign, assignment]
        subject = self._subject
        _pytest("--collect-only", *_left_out(PASSED_OVER), *subject.suite)  # imports what is not ours
        _forget()
        gc.collect()
        gc.freeze()
        unchanged = compile(subject.path.read_text(encoding="utf-8"), subject.path, "exec")
        stages = []
        for run in (self._own, self._suite)[: 1 if only_first else 2]:
            began = _cpu_of_children()
            killer = self._forked(_Stage(run, _UNMEASURED), unchanged)
            if killer != SURVIVED:
                return killer
            stages.append(_Stage(run, int(3 * (_cpu_of_children() - began)) + 3))
        self._stages = stages
        return None

    def __call__(self, code: CodeType) -> str:
        """Return what kills a mutant: a check, a test, a limit; or `SURVIVED`."""
        for stage in self._stages:
            killer = self._forked(stage, code)
            if killer == SURVIVED:
                continue
            at = next((i for i, check in enumerate(self._checks) if check.name == killer), None)
            self._tests_first = at is None
            if at is not None:
                self._checks.insert(0, self._checks.pop(at))
            elif killer != LIMIT:
                self._recent = [killer, *(each for each in self._recent if each != killer)]
            return killer
        return SURVIVED

    def _own(self) -> str | None:
        if self._tests_first:
            return self._failing_test() or self._failing_check()
        return self._failing_check() or self._failing_test()

    def _failing_check(self) -> str | None:
        for check in self._checks:
            try:
                if not check.holds():
                    return check.name
            except BaseException:  # noqa: BLE001 - whatever is raised where nothing may be
                return check.name
        return None

    def _failing_test(self) -> str | None:
        return _failing(self._subject.first, self._recent) if self._subject.first else None

    def _suite(self) -> str | None:
        return _failing(self._subject.suite, self._recent, passed_over=self._subject.first)

    def _forked(self, stage: _Stage, code: CodeType) -> str:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(reader)
                _confine(stage.seconds)
                _codes[self._subject.module] = code
                os.write(writer, (stage.run() or SURVIVED).encode()[:4000])
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read().decode(errors="replace")
        os.waitpid(pid, 0)
        return answer or LIMIT


def _get_code(self: SourceFileLoader, name: str) -> CodeType | None:
    if not name.startswith(_OURS):
        return _read_code(self, name)
    if name not in _codes:
        _codes[name] = _read_code(self, name)
    return _codes[name]


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _confine(seconds: int) -> None:
    """Limit what this process may cost."""
    signal.setitimer(signal.ITIMER_REAL, seconds * _WALL)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _forget() -> None:
    """Forget our modules, so that the next import makes them anew."""
    for name in [name for name in sys.modules if name.startswith(_OURS) and not name.startswith(_KEPT)]:
        del sys.modules[name]


class _Listener:
    """Orders the tests of a run, and keeps what fails."""

    def __init__(self, recent: Sequence[str]) -> None:
        self._rank = {name: at for at, name in enumerate(recent)}
        self.failed: list[str] = []

    def pytest_configure(self) -> None:
        settings.load_profile("mutation")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._rank.get(item.nodeid, len(self._rank)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid} cannot be read")


def _failing(paths: Sequence[str], recent: Sequence[str], passed_over: Sequence[str] = ()) -> str | None:
    """Run tests; return which one failed, or None."""
    listener = _Listener(recent)
    done = [f"--deselect={each}" for each in passed_over]
    if _pytest(*_left_out(PASSED_OVER), *done, *paths, plugin=listener) == pytest.ExitCode.OK:
        return None
    return listener.failed[0] if listener.failed else "pytest does not start"


def _left_out(names: Sequence[str]) -> list[str]:
    """Return the options that leave tests out. A whole file is not even imported: its tables may be large."""
    return [f"--{'deselect' if '::' in name else 'ignore'}={name}" for name in names]


def _pytest(*arguments: str, plugin: object = None) -> int | pytest.ExitCode:
    options = ["-x", "-q", "-o", "addopts=--import-mode=importlib", "-m", "not heavy", "--assert=plain"]
    options += ["-p", "no:cacheprovider"]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return pytest.main([*options, *arguments], [plugin] if plugin else [])


def timed(judge: Judge, code: CodeType) -> tuple[str, float]:
    """Return what kills a mutant, and how many seconds that took."""
    began = time.monotonic()
    return judge(code), time.monotonic() - began
