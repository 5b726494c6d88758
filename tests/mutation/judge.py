"""Judges the mutants of one suite of tests, each by the tests that reach what it changes.

A mutant of a function's body is judged by the quick tests in a process that has collected them before
(`collected.py`); one that survives there, and any other, with everything imported anew (`anew.py`). A change
of a name that the module assigns is judged by the tests that can notice it (`readers.py`), and any other
change outside of a body, or of a line that runs at import, by all tests.
"""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from types import CodeType

from tests.mutation import anew, reach
from tests.mutation.checks import Check
from tests.mutation.collected import LIMIT, SURVIVED, UNSUITABLE, Collected, Timed
from tests.mutation.mutants import Mutant
from tests.mutation.reach import Measured, Reach
from tests.mutation.readers import readers, test_files_naming
from tests.mutation.subjects import Subject

_RECENT = 30  # tests that killed are tried first, so many
_SLOW = 0.2  # seconds of processor time: slower tests run last


class Judge:
    """Judges the mutants of all modules of one suite."""

    def __init__(
        self, found: Sequence[tuple[Subject, list[Mutant]]], checks: Sequence[Check], folder: Path, tree: str
    ) -> None:
        """Collect the suite, and record which tests reach what unless the folder has the recording.

        found: the modules with their mutants; all have the same suite. tree: the digest of package and tests.
        Raises ValueError with the name of the test that fails for the unchanged package.
        """
        suite = found[0][0].suite
        self._checks = {check.name: check for check in checks} if found[0][0].cases else {}
        anew.prepare(suite)
        changes = {
            subject.module: (_unchanged(subject), {mutant.name: mutant for mutant in mutants})
            for subject, mutants in found
        }
        self._collected = Collected(suite, list(self._checks.values()), changes)
        self._recent: dict[str, list[int]] = defaultdict(
            list
        )  # of each module: tests that killed, the last first
        self._orders: dict[str, list[int]] = {}
        self._reach = self._recorded(folder, f"{tree} {' '.join(suite)}")
        self._places = {test.name: at for at, test in enumerate(self._reach.tests)}

    def close(self) -> None:
        """End the process of the suite."""
        self._collected.close()

    def __call__(self, subject: Subject, mutant: Mutant) -> str:
        """Return what kills a mutant: a check, a test, a limit; or `SURVIVED`."""
        if mutant.function is None or self._reach.at_import(subject.path, mutant.statement):
            first, rest = self._halves(subject, self._noticing(subject, mutant))
            killer = self._anew(subject, mutant, first)
            return self._anew(subject, mutant, rest) if killer == SURVIVED else killer
        killer = self.quickly(subject, mutant)
        if killer != SURVIVED:
            return killer
        tests = self._reaching(subject, mutant)
        quick = [at for at in tests if not self._slow(at)]
        return self._anew(subject, mutant, [*filter(self._slow, tests), *quick])

    def quickly(self, subject: Subject, mutant: Mutant) -> str:
        """Return which quick test kills a mutant of a function without an import; `SURVIVED` for none."""
        if mutant.function is None or self._reach.at_import(subject.path, mutant.statement):
            return SURVIVED
        recent = self._recent[subject.module]
        tests = [at for at in self._reaching(subject, mutant) if at in recent or not self._slow(at)]
        return self._replaced(subject, mutant, tests)

    def _reaching(self, subject: Subject, mutant: Mutant) -> list[int]:
        """Return the tests that reach the statement; where none does, those that reach its function."""
        found = self._reach.reaching(subject.path, mutant.statement)
        return self._ordered(subject, found or self._reach.reaching(subject.path, mutant.function or ()))

    def _replaced(self, subject: Subject, mutant: Mutant, tests: list[int]) -> str:
        answer = self._collected.judge(subject.module, mutant.name, _timed(self._reach, tests))
        if isinstance(answer, int):
            self._note(subject, answer)
            return self._reach.tests[answer].name
        return SURVIVED if answer == UNSUITABLE else answer

    def _anew(self, subject: Subject, mutant: Mutant, tests: list[int]) -> str:
        if not tests:
            return SURVIVED
        named = [self._reach.tests[at] for at in tests]
        killer = anew.judge(subject.module, mutant.compiled(), named, self._places, self._checks)
        if killer is None:
            return LIMIT
        if killer in self._places:
            self._note(subject, self._places[killer])
        return killer or SURVIVED

    def _note(self, subject: Subject, killer: int) -> None:
        recent = self._recent[subject.module]
        self._recent[subject.module] = [killer, *(at for at in recent if at != killer)][:_RECENT]

    def _ordered(self, subject: Subject, tests: Collection[int]) -> list[int]:
        """Return tests in the order in which they run: first those that killed lately."""
        recent = self._recent[subject.module]
        chosen = set(tests)
        return [at for at in recent if at in chosen] + [
            at for at in self._order(subject) if at in chosen and at not in recent
        ]

    def _order(self, subject: Subject) -> list[int]:
        """Return all tests: those of the module, the checks, then the others; what is slow comes last."""
        if subject.module not in self._orders:
            tests = self._reach.tests
            files: dict[str, list[float]] = defaultdict(list)
            for test in tests:
                files[_file(test)].append(test.processor)
            means = {file: sum(times) / len(times) for file, times in files.items()}

            def rank(at: int) -> tuple[float, bool, bool, float, int]:
                test = tests[at]
                slow = test.processor if self._slow(at) else 0.0
                return slow, not self._own(subject, test), not self._check(test), means[_file(test)], at

            self._orders[subject.module] = sorted(range(len(tests)), key=rank)
        return self._orders[subject.module]

    def _noticing(self, subject: Subject, mutant: Mutant) -> Collection[int]:
        """Return the tests that could notice a change of what runs at import."""
        inside = mutant.function is not None  # what the function made at import may be anywhere
        found = None if inside else readers(subject.module, mutant.statement, self._reach)
        files = test_files_naming(found.names) if found is not None else None
        if found is None or files is None:
            return range(len(self._reach.tests))
        reading = {at for path, lines in found.lines.items() for at in self._reach.reaching(path, lines)}
        return reading | {at for at, test in enumerate(self._reach.tests) if _file(test) in files}

    def _halves(self, subject: Subject, tests: Collection[int]) -> tuple[list[int], list[int]]:
        """Return the tests that probably kill a change of a table, and the others."""
        recent = set(self._recent[subject.module][:5])
        first: list[int] = []
        rest: list[int] = []
        for at in self._ordered(subject, tests):
            test = self._reach.tests[at]
            probable = at in recent or self._check(test) or self._own(subject, test)
            (first if probable else rest).append(at)
        return first, rest

    def _own(self, subject: Subject, test: Measured) -> bool:
        return not self._check(test) and test.name.startswith(subject.first)

    def _slow(self, at: int) -> bool:
        return self._reach.tests[at].processor > _SLOW

    def _check(self, test: Measured) -> bool:
        return test.name in self._checks

    def _recorded(self, folder: Path, digest: str) -> Reach:
        """Return the reach of all tests. A recording is kept if all of them pass without the recorder."""
        name = hashlib.sha256(digest.partition(" ")[2].encode()).hexdigest()[:12]
        path, new = folder / f"reach-{name}.json", folder / f"reach-{name}.new"
        known = reach.read(path, digest)
        if known is not None:
            return known
        self._collected.record(new, digest)
        found = reach.read(new, digest)
        if found is None:
            raise ValueError(LIMIT)
        every = sorted(range(len(found.tests)), key=lambda at: (found.tests[at].processor > _SLOW, at))
        answer = self._collected.unchanged(_timed(found, every))
        if answer != SURVIVED:
            raise ValueError(found.tests[answer].name if isinstance(answer, int) else answer)
        new.rename(path)
        return found


def _timed(reach: Reach, tests: Sequence[int]) -> list[Timed]:
    return [(at, reach.tests[at].processor, reach.tests[at].wall) for at in tests]


def _file(test: Measured) -> str:
    return test.name.partition("::")[0] if "::" in test.name else ""


def _unchanged(subject: Subject) -> CodeType:
    return compile(ast.parse(subject.path.read_text(encoding="utf-8")), str(subject.path), "exec")
