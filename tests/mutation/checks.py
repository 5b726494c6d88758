"""What judges a mutant: quick checks first, and it is killed by the first that fails.

Everything that the checks expect is settled before a mutant is imported: the cases as written, and what
the oracle says of seeded bundles, calls and documents.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

from tests import oracle
from tests.casebook import catalogs, decision_cases, document_cases
from tests.generators import a_broken_document, a_catalog, seeded, stream

WORLDS, CALLS, DOCUMENTS = 150, 20, 1000  # seeded bundles, calls of each, and documents
POLICY = tuple(
    f"tests/policy/test_{name}.py"
    for name in ("actions", "resources", "values", "operators", "keys", "document", "patterns")
)
SUITE = ("tests/engine", "tests/internals/test_evaluator_caches.py", *POLICY, "tests/test_ipset.py")
FIRST = {  # where a module's own tests are, if not in tests/engine
    "camguard.policy": POLICY,
    "camguard.ipset": ("tests/test_ipset.py",),
}

# The same examples for every mutant, and no limit on time but the runner's own.
settings.register_profile("mutation", deadline=None, derandomize=True, database=None)


class Check(NamedTuple):
    """One thing that must hold. name: said of the mutant that it kills."""

    name: str
    holds: Callable[[], bool]


def checks() -> list[Check]:
    """Return the quick checks. What they need of camguard is imported when they are called."""
    return [*_cases(), *_documents(), *_worlds()]


def _bridge() -> Any:
    return importlib.import_module("tests.bridge")


def _cases() -> Iterator[Check]:
    main = catalogs()["main"]
    for case in decision_cases():
        worlds = (case.policies, case.principals, case.settings)
        answer = (case.reason, case.statements)
        yield Check(f"{case.rule} {case.id}", _world(main, *worlds, [(case.call, answer)]))
    for each in document_cases():
        yield Check(f"{each.rule} {each.id}", _document(each.document, each.codes))


def _documents() -> Iterator[Check]:
    for seed in range(DOCUMENTS):
        dice = seeded(seed)
        text = a_broken_document(dice, a_catalog(dice))
        yield Check(f"seeded document {seed}", _document(text, frozenset(oracle.validate(text))))


def _worlds() -> Iterator[Check]:
    for i, (world, calls) in enumerate(islice(stream(1, CALLS), WORLDS)):
        parts = (world.catalog, world.policies, world.principals)
        rules: Any = world.settings
        asked = [(call, oracle.decide(*parts, call, **rules)) for call in calls]
        yield Check(f"seeded bundle {i}", _world(*parts, rules, asked))


def _document(text: str, codes: frozenset[str]) -> Callable[[], bool]:
    return lambda: bool(_bridge().codes_of(text) == codes)


def _world(
    catalog: Any, policies: Any, principals: Any, rules: Any, asked: list[tuple[Any, oracle.Answer]]
) -> Callable[[], bool]:
    def holds() -> bool:
        bridge = _bridge()
        bundle = bridge.to_bundle(bridge.to_catalog(catalog), policies, principals, **rules)
        for call, wanted in asked:
            ready = bridge.to_call(call)
            found = {bridge.answer(each) for each in (bundle.decide(ready), bundle.explain(ready).decision)}
            if found != {wanted} or bridge.answer(bundle.decide(ready)) != wanted:
                return False
        return True

    return holds


def suite(module: str) -> str | None:
    """Run the tests of the decision path, a module's own first; return which failed, or None."""
    failed: list[str] = []

    class Listener:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.failed:
                failed.append(f"{report.nodeid} cannot be read")

    first = next((paths for part, paths in FIRST.items() if module.startswith(part)), SUITE)
    paths = dict.fromkeys((*first, *SUITE))
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-profile=mutation"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning", "--deselect"]
    options.append("tests/engine/test_evaluator.py::test_many_threads_may_decide_at_once")
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        code = pytest.main([*options, *paths], [Listener()])
    if code == pytest.ExitCode.OK:
        return None
    return failed[0] if failed else "pytest does not start"


def forget(*prefixes: str) -> None:
    """Forget modules, so that the next import makes them anew."""
    for name in [name for name in sys.modules if name.startswith(prefixes)]:
        del sys.modules[name]
