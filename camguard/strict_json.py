"""JSON from outside, read strictly: UTF-8, no duplicate keys, no NaN, no lone surrogates, bounded depth.

Rule 1: a text that two JSON readers could read differently is refused (T86, T87).
Rule 2: a number keeps its text (`Number`), so that nothing is lost to a float.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeAlias, TypeGuard

from camguard.errors import CamguardError, Problem
from camguard.json_advice import json_advice
from camguard.suggest import nearest

MAX_DEPTH = 64
_TOO_DEEP = "nested too deeply"
_MANY = 1000  # members of one object

# The place of a value: the place of the object or list that contains it, and its name or index there; () is
# the document. It becomes a pointer only for a problem: a pointer for each value would cost as much as the
# longest key times the number of values.
Place: TypeAlias = "tuple[()] | tuple[Place, str | int]"


class Number(str):
    """The text of a JSON number. Not a string of the document: test for it before `str`."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """The members of an object in which a key appears twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Pairs:
    """Return an object, or its members if a key appears twice."""
    # In Python on purpose: with a class as its hook, json.loads blocks all other threads until it returns. So
    # does `dict`, for tens of milliseconds where an object has 100,000 members; a comprehension does not.
    found = dict(pairs) if len(pairs) < _MANY else {name: value for name, value in pairs}  # noqa: C416
    return found if len(found) == len(pairs) else _Pairs(pairs)


def no_constant(text: str) -> NoReturn:
    """Raise ValueError: NaN and Infinity are not JSON."""
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
    Raises `error(problem)` with the given code if the text is not strict JSON.
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
            parse_constant=no_constant,
        )
    except UnicodeDecodeError as exc:
        wide = exc.object.startswith((b"\xff\xfe", b"\xfe\xff"))
        cure = ": this is UTF-16; save the file as UTF-8" if wide else ""
        raise wrong((), f"not UTF-8 at byte {exc.start}{cure}") from None
    except json.JSONDecodeError as exc:
        place, advice = f"line {exc.lineno} column {exc.colno}", json_advice(exc.doc, exc.pos)
        why = f"not JSON at {place}: {advice}" if advice else f"not JSON: {exc.msg} at {place}"
        raise wrong((), why) from None
    except ValueError as exc:
        raise wrong((), str(exc)) from None
    except RecursionError:
        raise wrong((), _TOO_DEEP) from None
    _check(tree, (), depth, wrong)
    return tree


def _pointer(at: Place) -> str:
    names: list[str | int] = []
    while at:
        at, name = at
        names.append(name)
    return "".join(child("", name) for name in reversed(names))


def _check(tree: Any, at: Place, depth: int, wrong: Callable[[Place, str], CamguardError]) -> None:
    """Raise the first problem in the order of the document."""
    if depth < 0:
        raise wrong(at, _TOO_DEEP)
    if isinstance(tree, (dict, _Pairs)):
        before = set()
        for name, value in tree.items() if isinstance(tree, dict) else tree:
            _encodable(name, at, wrong)
            if name in before:
                raise wrong((at, name), f"the key {name!r} appears twice in one object")
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
            raise wrong(at, "contains half of a surrogate pair") from None


# Objects: which members they may have, and what each member must be.

# One problem of a value: the names that lead to its place below the value, and a message.
Fault: TypeAlias = tuple[tuple[str | int, ...], str]
Check: TypeAlias = Callable[[Any], Iterable[Fault]]


def is_text(value: Any) -> TypeGuard[str]:
    """Whether a value is a string of the document; the text of a number is none."""
    return isinstance(value, str) and not isinstance(value, Number)


def must(test: Callable[[Any], object], rule: str) -> Check:
    """Return the check that a value passes a test. rule: what the value must be."""
    wrong = (((), f"must be {rule}"),)
    return lambda value: () if test(value) else wrong


def shaped(shape: re.Pattern[str], rule: str) -> Check:
    """Return the check that a value is a string of a shape. The message does not quote the value."""
    return must(lambda value: is_text(value) and shape.fullmatch(value), rule)


def one_of(*words: str) -> Check:
    """Return the check that a value is one of some strings."""

    def check(value: Any) -> Iterable[Fault]:
        if not is_text(value) or value not in words:
            hint = nearest(value, words) if is_text(value) else ""
            yield (), f"must be one of {', '.join(words)}{hint}"

    return check


def list_of(item: Callable[[Any], object], rule: str, items: str) -> Check:
    """Return the check of a list and of its elements. rule, items: what one and all of them must be."""

    def check(value: Any) -> Iterable[Fault]:
        if not isinstance(value, list):
            return (((), f"must be a list of {items}"),)
        if all(map(item, value)):
            return ()
        return [((i,), f"must be {rule}") for i, each in enumerate(value) if not item(each)]

    return check


def or_null(check: Check) -> Check:
    """Return the check that a value is null or passes `check`."""

    def check_value(value: Any) -> Iterable[Fault]:
        if value is None:
            return ()
        return [(below, message if below else f"{message} or null") for below, message in check(value)]

    return check_value


text: Final = must(is_text, "a string")
flag: Final = must(lambda value: isinstance(value, bool), "true or false")
texts: Final = list_of(is_text, "a string", "strings")


class ObjectReader:
    """Reads the objects of one document strictly, and collects everything that is wrong with them.

    source: the name of the file. code: of every problem. noun: what the format calls an object. Places are
    JSON Pointers behind `source#`; a format without pointers hands in its own `joint` and `step`.
    """

    def __init__(
        self,
        source: str,
        code: str,
        *,
        noun: str = "an object",
        joint: str = "#",
        step: Callable[[str, str | int], str] = child,
    ) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._code = code
        self._noun = noun
        self._joint = joint
        self._step = step

    def wrong(self, at: str, message: str) -> None:
        """Add a problem; `at` is empty for the document as a whole."""
        where = f"{self.source}{self._joint}{at}" if at else self.source
        self.problems.append(Problem(where, self._code, message))

    def passes(self, value: Any, at: str, check: Check) -> bool:
        """Tell whether a value passes a check, after adding what is wrong with it."""
        faults = [*check(value)]
        for below, message in faults:
            self.wrong(reduce(self._step, below, at), message)
        return not faults

    def object(self, value: Any, at: str) -> dict[str, Any]:
        """Return an object with any keys. For any other value, add a problem and return {}."""
        if isinstance(value, dict):
            return value
        self.wrong(at, f"must be {self._noun}")
        return {}

    def members(
        self,
        value: Any,
        at: str,
        required: Mapping[str, Check] = MappingProxyType({}),
        optional: Mapping[str, Check] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return the members of an object that pass their checks, and add a problem for each other one."""
        members = self.object(value, at)
        good: dict[str, Any] = {}
        for name, member in members.items():
            check = required.get(name) or optional.get(name)
            if check is None:
                known = (*required, *optional)
                self.wrong(self._step(at, name), f"unknown key {name!r}{nearest(name, known)}")
            elif check(member):  # a shortcut: a bundle may have more than 100,000 users
                if self.passes(member, self._step(at, name), check):
                    good[name] = member
            else:
                good[name] = member
        if isinstance(value, dict):
            for name in required:
                if name not in value:
                    self.wrong(at, f"lacks {name!r}")
        return good
