"""A process that has imported the package and collected a suite, and forks for each mutant of a function.

The fork replaces the code of the function and runs the tests that are asked for: nothing is imported anew.
What was made at import keeps what the unchanged code made of it. Only a mutant whose line does not run at
import is therefore judged here, and `judge.py` judges each that survives a second time, with everything
imported anew.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType
from typing import Any

import pytest

from tests.mutation import reach
from tests.mutation.checks import Check
from tests.mutation.mutants import Mutant
from tests.mutation.process import allow, in_fork, run_pytest
from tests.mutation.reach import Measured, Reach
from tests.mutation.replacing import functions_of, replace
from tests.mutation.subjects import ROOT

SURVIVED = "survived"
LIMIT = "a limit of time or memory"
UNSUITABLE = "cannot be replaced"

# The place of a test in `Reach.tests`, and the seconds of processor and wall time that it takes.
Timed = tuple[int, float, float]
# Of each module: the unchanged code, and its mutants.
Changes = Mapping[str, tuple[CodeType, Mapping[str, Mutant]]]


class Collected:
    """The process of one suite, as the judge sees it."""

    def __init__(self, suite: Sequence[str], checks: Sequence[Check], changes: Changes) -> None:
        ask_reader, ask_writer = os.pipe()
        answer_reader, answer_writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(ask_writer)
                os.close(answer_reader)
                asked, answers = os.fdopen(ask_reader, "r"), os.fdopen(answer_writer, "w")
                _serve(suite, _Session(asked, answers, checks, changes))
            finally:
                os._exit(0)
        os.close(ask_reader)
        os.close(answer_writer)
        self._asked, self._answers = os.fdopen(ask_writer, "w"), os.fdopen(answer_reader, "r")

    def record(self, path: Path, digest: str) -> None:
        """Write to a file which tests reach which line."""
        self._ask("record", str(path), digest)

    def judge(self, module: str, name: str, tests: Sequence[Timed]) -> str | int:
        """Return which of the tests kills a mutant, `SURVIVED`, `LIMIT` or `UNSUITABLE`."""
        answer: str | int = self._ask("judge", module, name, tests)
        return answer

    def unchanged(self, tests: Sequence[Timed]) -> str | int:
        """Return which of the tests fails without any change, `SURVIVED` or `LIMIT`."""
        answer: str | int = self._ask("unchanged", tests)
        return answer

    def close(self) -> None:
        """End the process."""
        self._asked.close()
        self._answers.close()
        os.waitpid(self._pid, 0)

    def _ask(self, *question: Any) -> Any:
        print(json.dumps(question), file=self._asked, flush=True)
        line = self._answers.readline()
        if not line:
            raise RuntimeError("the tests cannot be collected")
        return json.loads(line)


def _serve(suite: Sequence[str], session: _Session) -> None:
    session.importing.start()
    run_pytest(suite, session)


class _Session:
    """What runs in the process: a plugin of pytest that answers questions instead of running the tests."""

    def __init__(self, asked: Any, answers: Any, checks: Sequence[Check], changes: Changes) -> None:
        self._asked, self._answers = asked, answers
        self._checks, self._changes = checks, changes
        self.importing = reach.measuring()
        self._recording: _Recording | None = None
        self._failed = False
        self._items: list[pytest.Item] = []
        self._functions: dict[Any, Any] = {}
        self._kept: list[Callable[[], None]] = []  # what drops the results that functions and caches keep

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.importing.stop()
        if session.testsfailed:
            return True
        self._items = session.items
        gc.unfreeze()  # tests/conftest.py freezes what the collection made, and hides every function so
        self._functions = functions_of(f"{ROOT}/camguard/")
        self._kept = [*_droppers()]
        gc.collect()
        gc.freeze()
        questions: dict[str, Callable[..., Any]] = {
            "record": self._record,
            "judge": self._judge,
            "unchanged": self._run,
        }
        for line in self._asked:
            question, *arguments = json.loads(line)
            print(json.dumps(self._answer(questions[question], arguments)), file=self._answers, flush=True)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:
        if self._recording is None or fixturedef.scope == "function":
            return (yield)
        with self._recording.fixture(fixturedef.argname, fixturedef.baseid):
            return (yield)

    def _answer(self, run: Callable[..., Any], arguments: list[Any]) -> Any:
        with TemporaryDirectory(prefix="camguard-mutation-") as folder:
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder  # nothing is left behind by a process that is ended
            answer = in_fork(lambda: json.dumps(run(*arguments)))
        return LIMIT if answer is None else json.loads(answer)

    def _judge(self, module: str, name: str, tests: list[Timed]) -> str | int:
        original, mutants = self._changes[module]
        if not replace(self._functions, original, mutants[name].compiled()):
            return UNSUITABLE
        return self._run(tests)

    def _run(self, tests: list[Timed]) -> str | int:
        """Return which of the tests fails first, or `SURVIVED`."""
        items = [at for at, *_ in tests if at < len(self._items)]
        following = dict(pairwise(items))
        for at, processor, wall in tests:
            allow(processor, wall)
            if at >= len(self._items):
                passes = self._checks[at - len(self._items)].passes()
            else:
                after = following.get(at)
                passes = self._passes(self._items[at], None if after is None else self._items[after])
            if not passes:
                return at
        return SURVIVED

    def _passes(self, item: pytest.Item, following: pytest.Item | None) -> bool:
        self._failed = False
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        return not self._failed

    def _record(self, path: str, digest: str) -> None:
        """Write the reach of all tests. A test that measures time may fail."""
        recording = self._recording = _Recording()
        following = [*self._items[1:], None]
        for at, (item, after) in enumerate(zip(self._items, following, strict=True)):
            for drop in self._kept:
                drop()
            with recording.test(at):
                self._passes(item, after)
        for at, check in enumerate(self._checks, len(self._items)):
            with recording.test(at):
                check.passes()
        names = [*(item.nodeid for item in self._items), *(check.name for check in self._checks)]
        imported = {name: set(lines) for name, lines in reach.lines_by_context(self.importing).items()}
        reach.write(recording.reach(names, self._items, imported), Path(path), digest)


class _Recording:
    """A recording of which lines run in which test, and in which fixture that tests share."""

    def __init__(self) -> None:
        self._recorder = reach.measuring()
        self._recorder.start()
        self._context = ""
        self._costs: dict[str, tuple[float, float]] = {}
        self._fixtures: dict[str, tuple[str, str]] = {}  # of each context, the fixture's name and place

    def test(self, at: int) -> AbstractContextManager[None]:
        return self._measured(f"test {at}")

    def fixture(self, name: str, place: str) -> AbstractContextManager[None]:
        context = f"fixture {name} {place}"
        self._fixtures[context] = name, place
        return self._measured(context)

    @contextmanager
    def _measured(self, context: str) -> Iterator[None]:
        outer, self._context = self._context, context
        self._recorder.switch_context(context)
        processor, wall = time.process_time(), time.monotonic()
        yield
        self._costs[context] = time.process_time() - processor, time.monotonic() - wall
        self._context = outer
        self._recorder.switch_context(outer)

    def reach(self, names: list[str], items: list[Any], imported: dict[str, set[int]]) -> Reach:
        """Return what was recorded. items: the tests among the names, which may share fixtures."""
        self._recorder.stop()
        users: dict[str, list[int]] = defaultdict(list)  # of each context, the tests that need it
        costs = []
        for at, name in enumerate(names):
            needed = [f"test {at}"]
            if at < len(items):
                shared = items[at].fixturenames
                needed += [
                    context
                    for context, (fixture, place) in self._fixtures.items()
                    if fixture in shared and name.startswith(place)
                ]
            for context in needed:
                users[context].append(at)
            costs.append([sum(self._costs[context][part] for context in needed) for part in (0, 1)])
        masks = {context: sum(1 << at for at in tests) for context, tests in users.items()}
        lines: dict[str, dict[int, int]] = {}
        for path, found in reach.lines_by_context(self._recorder).items():
            lines[path] = {}
            for line, contexts in found.items():
                mask = 0
                for context in contexts:
                    mask |= masks.get(context, 0)
                lines[path][line] = mask
        tests = [Measured(name, *cost) for name, cost in zip(names, costs, strict=True)]
        return Reach(tests, imported, lines)


def _droppers() -> Iterator[Callable[[], None]]:
    """Yield what empties each cache that was made at import: of our functions, and of `bounded_cache`.

    Classes are compared by name, because the package may have been imported twice.
    """
    kept = type(functools.cache(int))
    for each in gc.get_objects():
        if isinstance(each, kept) and _ours(each):
            yield each.cache_clear
        elif isinstance(each, dict) and type(each).__name__ == "BoundedCache":
            yield each.clear


def _ours(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] in {"camguard", "tests"}
