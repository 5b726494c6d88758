"""Puts the changed code of a function into the functions of this process."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from types import CodeType, FunctionType

_Place = tuple[str, str, int]  # file, qualified name and first line of a function


def functions_of(files: str) -> dict[_Place, list[FunctionType]]:
    """Return the functions in this process that come from files whose path begins so."""
    found = defaultdict(list)
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(files):
            found[_place(each.__code__)].append(each)
    return dict(found)


def replace(functions: dict[_Place, list[FunctionType]], original: CodeType, changed: CodeType) -> bool:
    """Give functions the code that is changed. Return False if that cannot be done, or is not all.

    original, changed: the code of a module, with and without a change inside of one function's body. A
    function that another one returned at import has code of its own, and gets it replaced, too.
    """
    before, after = list(_functions(original)), list(_functions(changed))
    leaves_out = len(before) != len(after)  # a nested function, of which no change can be shown
    if leaves_out:
        before, after = list(_outermost(original)), list(_outermost(changed))
    places = [_place(each) for each in before]
    done = False
    for place, old, new in zip(places, before, after, strict=True):
        if old == new:
            continue
        if leaves_out and any(_is_nested(each, place) for each in functions):
            return False  # a function that this one returned before would keep its code
        found = functions.get(place, [])
        nested = "<locals>" in place[1]
        if (found and places.count(place) > 1) or not (found or nested):
            return False
        for function in found:
            if len(function.__code__.co_freevars) != len(new.co_freevars):
                return False
            function.__code__ = new
        done = done or not nested
    return done


def _functions(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of each function, also of those in classes and in other functions."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_flags & CO_OPTIMIZED:
                yield each
            yield from _functions(each)


def _outermost(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of each function that is in no other function, also of those in classes."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_flags & CO_OPTIMIZED:
                yield each
            else:
                yield from _outermost(each)


def _is_nested(place: _Place, outer: _Place) -> bool:
    return place[0] == outer[0] and place[1].startswith(f"{outer[1]}.<locals>.")


def _place(code: CodeType) -> _Place:
    return code.co_filename, code.co_qualname, code.co_firstlineno
