"""Judges a mutant in a fork that imports the package and its tests anew, with the changed code of one module.

The code of everything else is compiled once, and packages that are not ours stay imported: a process is
therefore at its first test after a tenth of a second, and a second or two where it needs all tests.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Container, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from types import CodeType

import pytest

from tests.mutation.checks import Check
from tests.mutation.process import allow, in_fork, run_pytest
from tests.mutation.reach import Measured

_OURS = ("camguard", "tests.")
_KEPT = ("tests.mutation", "tests.oracle", "tests.casebook", "tests.generators")  # import nothing of camguard
_IMPORT = 4.0  # seconds that an import of the package and all tests takes, at most

_codes: dict[str, CodeType | None] = {}
_read_code = SourceFileLoader.get_code


def prepare(suite: Sequence[str]) -> None:
    """Import what a suite needs besides our own modules, and keep the code of these."""
    SourceFileLoader.get_code = _get_code  # type: ignore[method-assign, assignment]
    run_pytest(["--collect-only", *suite], None)
    for name in [name for name in sys.modules if name.startswith(_OURS) and not name.startswith(_KEPT)]:
        holder, _, attribute = name.rpartition(".")
        del sys.modules[name]
        if holder in sys.modules:  # `from tests import company` would find the old module there
            vars(sys.modules[holder]).pop(attribute, None)
    gc.collect()
    gc.freeze()


def judge(
    module: str, code: CodeType, tests: Sequence[Measured], known: Container[str], checks: Mapping[str, Check]
) -> str | None:
    """Return which test fails first with the code in place of the module, "" for none, None for a limit.

    known: the names of all tests of the unchanged package. A test that is not among them runs, too: a change
    of a table may rename what is parametrized with it. checks: all checks by name; those among the tests run
    before the others.
    """
    answer = in_fork(lambda: f"{_failing(module, code, tests, known, checks)}\n")
    return answer and answer.removesuffix("\n")


def _failing(
    module: str, code: CodeType, tests: Sequence[Measured], known: Container[str], checks: Mapping[str, Check]
) -> str:
    _codes[module] = code
    allow(_IMPORT, _IMPORT)
    ours = [checks[test.name] for test in tests if test.name in checks]
    others = [test for test in tests if test.name not in checks]
    if others and others[0] is tests[0]:
        return _failing_test(others, known) or _failing_check(ours)
    return _failing_check(ours) or _failing_test(others, known)


def _failing_check(checks: Sequence[Check]) -> str:
    for check in checks:
        allow(_IMPORT, _IMPORT)  # the first one imports the package
        if not check.passes():
            return check.name
    return ""


def _failing_test(tests: Sequence[Measured], known: Container[str]) -> str:
    if not tests:
        return ""
    allow(_IMPORT, _IMPORT)
    listener = _Listener(tests, known)
    paths = sorted({test.name.partition("::")[0] for test in tests})
    if run_pytest(["-x", *paths], listener) == pytest.ExitCode.OK:
        return ""
    return listener.failed or "pytest does not start"


class _Listener:
    """A plugin of pytest that chooses and orders the tests of a run, and keeps which one fails first."""

    def __init__(self, tests: Sequence[Measured], known: Container[str]) -> None:
        self._known = known
        self._ranks = {test.name: at for at, test in enumerate(tests)}
        self._tests = {test.name: test for test in tests}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._ranks or item.nodeid not in self._known]
        items.sort(key=lambda item: self._ranks.get(item.nodeid, 0))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        test = self._tests.get(nodeid, Measured(nodeid, 1.0, 1.0))
        allow(test.processor, test.wall)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} cannot be read"


def _get_code(self: SourceFileLoader, name: str) -> CodeType | None:
    if not name.startswith(_OURS):
        return _read_code(self, name)
    if name not in _codes:
        _codes[name] = _read_code(self, name)
    return _codes[name]
