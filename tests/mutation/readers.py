"""Which lines read a name that a module assigns, such as a table or a pattern, and which test files name it.

A test can notice a change of the name's value only if a line runs that reads the name: in a function of the
module, in one of a module that imports the name, or in a reader of another name whose value is made of it.
Where that cannot be known from the source, `readers` returns None: then any test may notice the change.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.mutation.reach import Reach
from tests.mutation.subjects import ROOT

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


class Readers(NamedTuple):
    """What reads a name and the names that are made of it. lines: of each file, those of the functions."""

    names: set[str]
    lines: dict[Path, set[int]]


class _Unit(NamedTuple):
    """A statement of a module. outer: the names and attributes that it reads at import."""

    statement: ast.stmt
    outer: frozenset[str]
    functions: list[_Body]


class _Body(NamedTuple):
    """The body of a function or method. lines: those of the body. read: the names and attributes in it."""

    lines: frozenset[int]
    read: frozenset[str]


class _Module(NamedTuple):
    """A module of the package. imported: of each local name, the module and the name that it stands for."""

    path: Path
    units: list[_Unit]
    imported: dict[str, tuple[str, str]]


@cache
def _modules() -> dict[str, _Module]:
    found = {}
    for path in sorted((ROOT / "camguard").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        units = [
            _Unit(
                each,
                _read(_without_bodies(each)),
                [
                    _Body(
                        frozenset(line for part in function.body for line in _lines(part)),
                        _read(function.body),
                    )
                    for function in _functions(each)
                ],
            )
            for each in tree.body
        ]
        found[name] = _Module(path, units, imported)
    return found


def readers(module: str, lines: range, reach: Reach) -> Readers | None:
    """Return what reads the names that a statement of a module assigns, or None where that is not known."""
    units = _modules()[module].units
    names = _assigned(next(each.statement for each in units if lines.start in _lines(each.statement)))
    if names is None:
        return None
    found = Readers(set(), {})
    waiting, done = [(module, name) for name in names], set()
    while waiting:
        origin = waiting.pop()
        if origin in done:
            continue
        done.add(origin)
        found.names.add(origin[1])
        for other, part in _modules().items():
            local = {alias for alias, each in part.imported.items() if each == origin}
            waiting += [(other, alias) for alias in local]  # others may import the name from there
            if other == origin[0]:
                local.add(origin[1])
            if any(".".join(each) == origin[0] for each in part.imported.values()):
                local.add(f".{origin[1]}")
            made = _read_in(part, local, found, reach) if local else set()
            if made is None:
                return None
            waiting += [(other, name) for name in made]
    return found


def _read_in(module: _Module, names: set[str], found: Readers, reach: Reach) -> set[str] | None:
    """Add the functions of a module that read a name. Return the names that are made of it, or None."""
    made: set[str] = set()
    for unit in module.units:
        for body in unit.functions:
            if not names.isdisjoint(body.read):
                if reach.at_import(module.path, body.lines):
                    return None  # what it makes of the name is kept somewhere
                found.lines.setdefault(module.path, set()).update(body.lines)
        if not names.isdisjoint(unit.outer):
            assigned = _assigned(unit.statement)
            if assigned is None:
                return None
            made |= assigned
    return made


def _functions(statement: ast.stmt) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield a function that stands in a module, or the methods of a class."""
    if isinstance(statement, _Function):
        yield statement
    elif isinstance(statement, ast.ClassDef):
        for each in statement.body:
            yield from _functions(each)


def _without_bodies(statement: ast.stmt) -> list[ast.AST]:
    """Return what of a statement runs at import."""
    if isinstance(statement, _Function):
        return [*statement.decorator_list, statement.args]
    if isinstance(statement, ast.ClassDef):
        outer: list[ast.AST] = [*statement.decorator_list, *statement.bases, *statement.keywords]
        return outer + [part for each in statement.body for part in _without_bodies(each)]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return []
    if isinstance(statement, ast.AnnAssign):
        return [statement.value] if statement.value is not None else []
    return [statement]


def _read(parts: Sequence[ast.AST]) -> frozenset[str]:
    """Return the names that are read, and the attributes, with a dot before them."""
    nodes = [node for part in parts for node in ast.walk(part)]
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return frozenset(names | {f".{node.attr}" for node in nodes if isinstance(node, ast.Attribute)})


def _assigned(statement: ast.stmt) -> set[str] | None:
    """Return the names that a statement assigns, or None if it does anything else."""
    match statement:
        case ast.Assign(targets=targets):
            parts = targets
        case ast.AnnAssign(target=target):
            parts = [target]
        case _:
            return None
    flat = [each for part in parts for each in (part.elts if isinstance(part, ast.Tuple) else [part])]
    names = {each.id for each in flat if isinstance(each, ast.Name)}
    return names if len(names) == len(flat) else None


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


@cache
def _words(path: Path) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", path.read_text(encoding="utf-8")))


def test_files_naming(names: set[str]) -> set[str] | None:
    """Return the test files in which a name stands; None if one stands in a file that serves other tests."""
    found = set()
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if "mutation" not in path.parts and not names.isdisjoint(_words(path)):
            if not path.name.startswith("test_"):
                return None
            found.add(str(path.relative_to(ROOT)))
    return found
