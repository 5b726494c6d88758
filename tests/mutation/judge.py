"""Judges the mutants of one suite of tests, each by the tests that reach what it changes.

A mutant of a line that does not run at import is judged in a process that has collected the tests before
(`collected.py`), any other with everything imported anew (`anew.py`): first by the test that fails without an
import, or by those that probably notice the mutant. What survives these is judged by the tests that can
notice it (`readers.py`) where it changes a name that the module assigns, and else by all tests. Tests run in
the order of what they killed for their time.
"""

from __future__ import annotations

import ast
import hashlib
import os
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

_SLOW = 0.2  # seconds of processor time: slower tests judge only what quicker ones do not kill
_LEAST = 0.003  # seconds that any test takes, about
_FADING = 0.95  # what a kill counts after the next one: neighbours die of the same tests
# How many kills a test is expected to make before it made one: a test of the module, a check, another test.
_OWN, _CHECK, _OTHER = 0.5, 0.3, 0.05


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
        # Of each module: what the kills of each test count.
        self._kills: dict[str, dict[int, float]] = defaultdict(dict)
        self._orders: dict[str, dict[int, tuple[float, str]]] = {}
        self._reach = self._recorded(folder, f"{tree} {' '.join(suite)}")
        self._places = {test.name: at for at, test in enumerate(self._reach.tests)}

    def close(self) -> None:
        """End the process of the suite."""
        self._collected.close()

    def __call__(self, subject: Subject, mutant: Mutant) -> str:
        """Return what kills a mutant: a check, a test, a limit; or `SURVIVED`."""
        if not self._at_import(subject, mutant):
            return self._replaced(subject, mutant, self._reaching(subject, mutant))
        killer = self.probably(subject, mutant)
        if killer != SURVIVED:
            return killer
        return self._anew(subject, mutant, self._ordered(subject, self._noticing(subject, mutant)))

    def probably(self, subject: Subject, mutant: Mutant) -> str:
        """Return which of the quick tests that probably notice a mutant kills it; `SURVIVED` for none."""
        quick = self._quick(subject, mutant)
        if not self._at_import(subject, mutant):
            return self._replaced(subject, mutant, quick)
        # What fails with the changed code of the function probably fails with everything imported anew, too.
        tests = _timed(self._reach, quick)
        answer = self._collected.judge(subject.module, mutant.name, tests) if quick else None
        first = [answer] if isinstance(answer, int) else self._guessed(subject, mutant)
        killer = self._anew(subject, mutant, first)
        return self._anew(subject, mutant, self._probable(subject, mutant)) if killer == SURVIVED else killer

    def quickly(self, subject: Subject, mutant: Mutant) -> str | None:
        """Return which quick test kills a mutant of a function without an import; `SURVIVED` for none.

        None where only an import shows whether the mutant is killed.
        """
        if mutant.function is None:
            return None
        killer = self._replaced(subject, mutant, self._quick(subject, mutant))
        return None if killer != SURVIVED and self._at_import(subject, mutant) else killer

    def _quick(self, subject: Subject, mutant: Mutant) -> list[int]:
        """Return the quick tests that reach the changed statement of a function."""
        reaching = self._reaching(subject, mutant) if mutant.function else []
        return [at for at in reaching if not self._slow(at)]

    def _at_import(self, subject: Subject, mutant: Mutant) -> bool:
        return mutant.function is None or self._reach.at_import(subject.path, mutant.statement)

    def _reaching(self, subject: Subject, mutant: Mutant) -> list[int]:
        """Return the tests that reach the statement; where none does, those that reach its function."""
        found = self._reach.reaching(subject.path, mutant.statement)
        return self._ordered(subject, found or self._reach.reaching(subject.path, mutant.function or ()))

    def _replaced(self, subject: Subject, mutant: Mutant, tests: list[int]) -> str:
        answer = self._collected.judge(subject.module, mutant.name, _timed(self._reach, tests))
        if isinstance(answer, int):
            self._note(subject, answer)
            return self._reach.tests[answer].name
        return self._anew(subject, mutant, tests) if answer == UNSUITABLE else answer

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
        kills = self._kills[subject.module]
        for at in kills:
            kills[at] *= _FADING
        kills[killer] = kills.get(killer, 0.0) + 1.0

    def _ordered(self, subject: Subject, tests: Collection[int]) -> list[int]:
        """Return tests in the order in which they run: those first that kill most for their time."""
        kills, order = self._kills[subject.module], self._order(subject)

        def rank(at: int) -> tuple[float, str, int]:
            cost, file = order[at]
            if at in kills:
                processor = max(self._reach.tests[at].processor, _LEAST)
                cost = processor / (kills[at] + self._expected(subject, at))
            return cost, file, at

        return sorted(tests, key=rank)

    def _order(self, subject: Subject) -> dict[int, tuple[float, str]]:
        """Return the seconds for one kill, as expected, and the file, of each test. Files stay together."""
        if subject.module not in self._orders:
            tests = self._reach.tests
            files: dict[tuple[str, bool], list[float]] = defaultdict(list)
            for at, test in enumerate(tests):
                files[_file(test), self._slow(at)].append(max(test.processor, _LEAST))
            means = {file: sum(times) / len(times) for file, times in files.items()}
            self._orders[subject.module] = {
                at: (means[_file(test), self._slow(at)] / self._expected(subject, at), _file(test))
                for at, test in enumerate(tests)
            }
        return self._orders[subject.module]

    def _expected(self, subject: Subject, at: int) -> float:
        test = self._reach.tests[at]
        if self._check(test):
            return _CHECK
        return _OWN if self._own(subject, test) else _OTHER

    def _noticing(self, subject: Subject, mutant: Mutant) -> Collection[int]:
        """Return the tests that could notice a change of what runs at import."""
        inside = mutant.function is not None  # what the function made at import may be anywhere
        found = None if inside else readers(subject.module, mutant.statement, self._reach)
        files = test_files_naming(found.names) if found is not None else None
        if found is None or files is None:
            return range(len(self._reach.tests))
        reading = {at for path, lines in found.lines.items() for at in self._reach.reaching(path, lines)}
        return reading | {at for at, test in enumerate(self._reach.tests) if _file(test) in files}

    def _guessed(self, subject: Subject, mutant: Mutant) -> list[int]:
        """Return the quick tests of the files whose tests killed most mutants of a module lately."""
        kills = self._kills[subject.module]
        best = sorted(kills, key=kills.__getitem__, reverse=True)[:3]
        files = {_file(self._reach.tests[at]) for at in best} - {""}
        stem = f"/test_{subject.path.stem}.py"
        return [at for at in self._probable(subject, mutant) if self._of(at, files, stem) or at in best]

    def _of(self, at: int, files: Collection[str], stem: str) -> bool:
        file = _file(self._reach.tests[at])
        return file in files or file.endswith(stem)

    def _probable(self, subject: Subject, mutant: Mutant) -> list[int]:
        """Return the quick tests that probably kill a change of what runs at import."""
        noticing = self._ordered(subject, self._noticing(subject, mutant))
        return [at for at in noticing if not self._slow(at) and self._likely(subject, at)]

    def _likely(self, subject: Subject, at: int) -> bool:
        test = self._reach.tests[at]
        return at in self._kills[subject.module] or self._check(test) or self._own(subject, test)

    def _own(self, subject: Subject, test: Measured) -> bool:
        return not self._check(test) and test.name.startswith(subject.first)

    def _slow(self, at: int) -> bool:
        return self._reach.tests[at].processor > _SLOW

    def _check(self, test: Measured) -> bool:
        return test.name in self._checks

    def _recorded(self, folder: Path, digest: str) -> Reach:
        """Return the reach of all tests. A recording is kept if all of them pass without the recorder."""
        name = hashlib.sha256(digest.partition(" ")[2].encode()).hexdigest()[:12]
        path, new = folder / f"reach-{name}.json", folder / f"reach-{name}-{os.getpid()}.new"
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
