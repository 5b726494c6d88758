"""The parts that judge a mutant: which lines name its tests, and how its code gets into a function."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from tests.mutation.collected import SURVIVED, Collected
from tests.mutation.mutants import mutants
from tests.mutation.process import allow, in_fork
from tests.mutation.reach import Measured, Reach, read, write
from tests.mutation.readers import readers
from tests.mutation.replacing import functions_of, replace
from tests.mutation.subjects import ROOT

pytestmark = pytest.mark.heavy

SOURCE = """
LIMIT = 1

def outer(a=2):
    if (a ==
        3):
        return 4
    return [b for b in (5,)]

class Kept:
    size: int = 6

    @staticmethod
    def still(c):
        try:
            return c + 7
        except TypeError:
            return 8

    @property
    def own(self):
        def nested():
            return 9
        return nested()

def make():
    def made():
        return 20
    return made

KEEPS = make()
"""

# a constant of SOURCE; the lines of its statement; the lines of its outermost function
PLACES = [
    pytest.param("1", [2], None, id="a table is in no function"),
    pytest.param("2", [4], None, id="a default value is in no function"),
    pytest.param("3", [5, 6], [4, 5, 6, 7, 8], id="a condition has the lines of the head of its statement"),
    pytest.param("4", [7], [4, 5, 6, 7, 8], id="a statement that holds no other has its own lines"),
    pytest.param("6", [11], None, id="a field of a class is in no function"),
    pytest.param("8", [18], [14, 15, 16, 17, 18], id="a handler's body is a statement of its own"),
    pytest.param("9", [23], [21, 22, 23, 24], id="a nested function belongs to the outermost one"),
]


@pytest.mark.parametrize(("constant", "statement", "function"), PLACES)
def test_a_mutant_has_the_lines_that_name_its_tests(
    constant: str, statement: list[int], function: list[int] | None
) -> None:
    found = next(
        each for each in mutants(SOURCE, "mutated.py") if f" {constant} -> {int(constant) + 1}" in each.name
    )
    assert list(found.statement) == statement
    assert (None if found.function is None else list(found.function)) == function


# a constant of SOURCE; what a caller gets from the module after the change of the constant
REPLACED = [
    pytest.param("4", lambda found: found.outer(3), 5, id="a function"),
    pytest.param("5", lambda found: found.outer(), [6], id="what a function holds"),
    pytest.param("7", lambda found: found.Kept.still(0), 8, id="a static method"),
    pytest.param("9", lambda found: found.Kept().own, 10, id="a function in a property"),
    pytest.param("20", lambda found: found.KEEPS(), 21, id="a function that another one returned at import"),
]


@pytest.mark.parametrize(("constant", "result", "changed"), REPLACED)
def test_the_code_of_a_live_function_is_replaced(
    constant: str, result: Callable[[Any], object], changed: object
) -> None:
    module = ModuleType("mutated")
    original = compile(ast.parse(SOURCE), "mutated.py", "exec")
    exec(original, module.__dict__)  # noqa: S102 - the module of this test
    mutant = next(
        each for each in mutants(SOURCE, "mutated.py") if f" {constant} -> {int(constant) + 1}" in each.name
    )
    functions = functions_of("mutated.py")
    assert result(module) != changed
    assert replace(functions, original, mutant.compiled())
    assert result(module) == changed


RETURNED = """
def outer():
    def inner(a):
        return [b for b in a]
    return inner
"""


@pytest.mark.parametrize("live", [True, False])
def test_a_function_that_another_one_returned_at_import_needs_a_new_import_where_it_loses_a_function(
    *, live: bool
) -> None:
    module = ModuleType("mutated")
    original = compile(ast.parse(RETURNED), "mutated.py", "exec")
    exec(original, module.__dict__)  # noqa: S102 - the module of this test
    inner = module.outer() if live else None
    mutant = next(each for each in mutants(RETURNED, "mutated.py") if each.name.endswith("-> None"))
    assert replace(functions_of("mutated.py"), original, mutant.compiled()) is not live
    assert live or module.outer()([1]) is None
    del inner


def test_a_process_that_has_collected_tests_replaces_the_code_of_a_function() -> None:
    path = ROOT / "camguard/policy/patterns.py"
    source = path.read_text(encoding="utf-8")
    mutant = next(each for each in mutants(source, str(path)) if each.name.startswith("fits | branch"))
    changes = compile(ast.parse(source), str(path), "exec"), {mutant.name: mutant}
    process = Collected(["tests/policy/test_patterns.py"], [], {"camguard.policy.patterns": changes})
    every = [(at, 30.0, 30.0) for at in range(5)]
    unchanged, killer = (
        process.unchanged(every),
        process.judge("camguard.policy.patterns", mutant.name, every),
    )
    process.close()
    assert (unchanged, killer in range(5)) == (SURVIVED, True), killer


def test_making_mutants_changes_no_other_code() -> None:
    source = "def one(a):\n    return not a.lower()\n\ndef other(b):\n    return not b.upper()\n"
    unchanged = compile(ast.parse(source), "mutated.py", "exec")
    kept = [each for each in unchanged.co_consts if isinstance(each, CodeType)]
    for mutant in list(mutants(source, "mutated.py")):
        assert [each in mutant.compiled().co_consts for each in kept].count(False) == 1, mutant.name


def test_a_change_outside_of_functions_is_not_replaced() -> None:
    module = ModuleType("mutated")
    original = compile(ast.parse(SOURCE), "mutated.py", "exec")
    exec(original, module.__dict__)  # noqa: S102 - the module of this test
    mutant = next(each for each in mutants(SOURCE, "mutated.py") if each.name.startswith("LIMIT | "))
    assert not replace(functions_of("mutated.py"), original, mutant.compiled())
    assert isinstance(module.outer, FunctionType)


def test_a_recording_names_the_tests_of_lines_and_is_kept_for_one_digest(tmp_path: Path) -> None:
    file = ROOT / "camguard" / "ipset.py"
    tests = [Measured("a", 0.1, 0.2), Measured("b", 0.1, 0.2), Measured("c", 0.1, 0.2)]
    found = Reach(tests, {"camguard/ipset.py": {1, 2}}, {"camguard/ipset.py": {2: 0b100, 3: 0b101}})
    write(found, tmp_path / "reach.json", "digest")
    again = read(tmp_path / "reach.json", "digest")
    assert again == found
    assert (again.reaching(file, [3]), again.reaching(file, [1, 2]), again.reaching(file, [9])) == (
        [0, 2],
        [2],
        [],
    )
    assert (again.at_import(file, [2, 3]), again.at_import(file, [3])) == (True, False)
    assert read(tmp_path / "reach.json", "another digest") is None
    assert read(tmp_path / "absent.json", "digest") is None


def _endless() -> str:
    allow(-0.39, 0)  # 0.05 seconds of the processor
    while time.monotonic():
        pass
    return "it ended"


def test_a_process_answers_or_is_ended() -> None:
    assert in_fork(lambda: "answer") == "answer"
    assert in_fork(_endless) is None


# module, the beginning of a line of it, the files with functions that read what the line assigns
READ = [
    pytest.param(
        "camguard.engine.row", "MOST_TAG_WORK =", {"row.py", "rule_index.py"}, id="a bound of two modules"
    ),
    pytest.param("camguard.grammar", "TAG_PATH:", {"files.py"}, id="a table of another module holds it"),
    pytest.param("camguard.engine.call", "class Call", None, id="a class, whose objects may be anywhere"),
]


@pytest.mark.parametrize(("module", "line", "files"), READ)
def test_the_readers_of_a_table_are_found(module: str, line: str, files: set[str] | None) -> None:
    text = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    number = next(at for at, each in enumerate(text.splitlines(), 1) if each.startswith(line))
    found = readers(module, range(number, number + 1), Reach([], {}, {}))
    assert (None if found is None else {path.name for path in found.lines}) == files
