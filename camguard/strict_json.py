"""JSON from outside, read strictly: UTF-8, no duplicate keys, no NaN, no lone surrogates, bounded depth.

Rule 1: what two readers could read differently is refused (threats T86, T87).
Rule 2: a number keeps its text (`Number`), so that nothing is lost to a float.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from camguard.errors import CamguardError, Problem

MAX_DEPTH = 64


# Where a value stands: the place of what holds it, and its name or index there; () is the document. Spelled
# out only for a problem: a pointer per value would cost as much as the longest key times all values.
Place: TypeAlias = "tuple[()] | tuple[Place, str | int]"


class Number(str):
    """The text of a JSON number. Not a string of the document: test for it before `str`."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object as written, in which a key stands twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Pairs:
    """Return an object, or what was written where that makes none."""
    # In Python on purpose: with a class for a hook, json.loads keeps every other thread waiting to its end.
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Pairs(pairs)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def child(at: str, name: str | int) -> str:
    """Return the pointer of a member or element (RFC 6901)."""
    return f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}"


def read_json(
    raw: str | bytes,
    source: str,
    error: Callable[[Problem], CamguardError],
    code: str,
    *,
    depth: int = MAX_DEPTH,
) -> Any:
    """Return the document as dict, list, str, `Number`, bool and None.

    source: the file's name; problems are placed at `source#pointer`. depth: of nesting, at most.
    Raises `error(problem)` with the given code when the text is not strict JSON.
    """

    def wrong(at: Place, message: str) -> CamguardError:
        return error(Problem(f"{source}#{_pointer(at)}" if at else source, code, message))

    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        tree = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as exc:
        raise wrong((), f"not UTF-8 at byte {exc.start}") from None
    except json.JSONDecodeError as exc:
        raise wrong((), f"not JSON: {exc.msg} at line {exc.lineno} column {exc.colno}") from None
    except ValueError as exc:
        raise wrong((), str(exc)) from None
    except RecursionError:
        raise wrong((), "nested too deeply") from None
    _check(tree, (), depth, wrong)
    return tree


def _pointer(at: Place) -> str:
    names: list[str | int] = []
    while at:
        at, name = at
        names.append(name)
    return "".join(child("", name) for name in reversed(names))


def _check(tree: Any, at: Place, depth: int, wrong: Callable[[Place, str], CamguardError]) -> None:
    """Raise what is wrong first, in the order of the document."""
    if depth < 0:
        raise wrong(at, "nested too deeply")
    if isinstance(tree, (dict, _Pairs)):
        before = set()
        for name, value in tree.items() if isinstance(tree, dict) else tree:
            _encodable(name, at, wrong)
            if name in before:
                raise wrong((at, name), f"the key {name!r} stands twice in one object")
            before.add(name)
            _check(value, (at, name), depth - 1, wrong)
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            _check(value, (at, i), depth - 1, wrong)
    elif isinstance(tree, str):
        _encodable(tree, at, wrong)


def _encodable(text: str, at: Place, wrong: Callable[[Place, str], CamguardError]) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise wrong(at, "holds half of a surrogate pair") from None
