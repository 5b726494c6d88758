"""The arguments of the mutation run name mutants that exist; its table names modules and tests that do.

No mutant is run here: `make mutation` does that.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.mutation.__main__ import argued, chosen
from tests.mutation.checks import checks
from tests.mutation.mutants import mutants
from tests.mutation.subjects import PASSED_OVER, ROOT, ROWS, subjects


def test_each_argument_names_one_mutant_of_one_module() -> None:
    modules = defaultdict(list)
    for subject in subjects():
        for mutant in mutants(subject.path.read_text(encoding="utf-8")):
            modules[mutant.name].append(subject.module)
    names = argued()
    assert len(names) == len(set(names)), "a mutant is argued twice"
    assert {name: modules[name] for name in names if len(modules[name]) != 1} == {}


def test_each_row_names_modules_and_tests_that_exist() -> None:
    assert [row.files for row in ROWS if not list(ROOT.glob(row.files))] == []
    paths = [path for row in ROWS for path in row.suite] + [each.partition("::")[0] for each in PASSED_OVER]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_shards_hold_each_module_once() -> None:
    parts = ["catalog", "ipset", "grammar"]
    dealt = [subject.module for at in (1, 2, 3) for subject, _ in chosen(parts, (at, 3))]
    assert sorted(dealt) == sorted(subject.module for subject, _ in chosen(parts, (1, 1)))


@pytest.mark.heavy
def test_the_quick_checks_hold_for_the_unchanged_package() -> None:
    assert [check.name for check in checks() if not check.holds()] == []


# module, the same module with another layout and other comments
SAME = [
    pytest.param(
        "def f(a):\n    return a == 1\n", "# x\ndef f(a):\n  return (a\n    ==  0x1)\n", id="layout"
    ),
    pytest.param("def f():\n    return 'a'\n", 'def f():\n    return "a"\n', id="quotes"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_layout_of_a_module_changes_no_name(one: str, other: str) -> None:
    names = [mutant.name for mutant in mutants(one)]
    assert names
    assert names == [mutant.name for mutant in mutants(other)]


def test_names_are_unique_in_a_module() -> None:
    names = [mutant.name for mutant in mutants("def f(a):\n    g(1)\n    g(1)\n    return a + 1\n")]
    assert "f | constant | g(1) | 1 -> 2 #2" in names
    assert len(names) == len(set(names))


def test_imports_for_annotations_are_not_changed() -> None:
    assert list(mutants("if TYPE_CHECKING:\n    from hashlib import HASH\n")) == []
