"""The programs of the repository as tests read them: each is read, parsed and walked once."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return every node of a program; the first one is its module."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))))


def module(path: Path) -> ast.Module:
    """Return the module itself."""
    found = nodes(path)[0]
    assert isinstance(found, ast.Module)
    return found
