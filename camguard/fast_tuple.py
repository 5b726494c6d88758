"""A quicker way to construct a NamedTuple, for those that every request constructs.

Calling the class runs a Python function that takes the fields apart and puts them together again: a third of
a microsecond each time, where `tuple.__new__` takes a third of that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

T = TypeVar("T", bound=tuple[Any, ...])


def constructor_of(kind: type[T]) -> Callable[[tuple[Any, ...]], T]:
    """Return what constructs a `kind` of a tuple of all its fields in order. Their number is not checked."""
    return cast("Callable[[tuple[Any, ...]], T]", partial(tuple.__new__, kind))
