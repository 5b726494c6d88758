"""From a JSON Pointer to a line of the text it points into."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # public in the module, absent from its stub

_SPACE = re.compile(r"[ \t\r\n]*")
_ESCAPES = (("~1", "/"), ("~0", "~"))


def line_of(text: str, pointer: str) -> int:
    """Return the line, from 1, on which what `pointer` names begins: a member at its name.

    Of a pointer that leads nowhere it is the line of the last step that exists; letter case of member names
    is passed over where no name is equal. Text that is not JSON is line 1.
    Source: RFC 6901.
    """
    at = _skip(text, 0)
    shown = at
    try:
        for step in pointer.split("/")[1:]:
            name = step
            for escape, char in _ESCAPES:
                name = name.replace(escape, char)
            found = _member(text, at, name) if text[at] == "{" else _element(text, at, name)
            if found is None:
                break
            shown, at = found
    except (ValueError, IndexError, RecursionError):
        return 1
    return text.count("\n", 0, shown) + 1


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _after(text: str, at: int) -> int:
    """Return where the value that begins at `at` ends."""
    end: int = json.JSONDecoder().raw_decode(text, at)[1]
    return end


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Yield name, place of the name and place of the value of each member of the object at `at`."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, end = scanstring(text, at + 1, True)  # noqa: FBT003 - the only way to call it
        value = _skip(text, _skip(text, end) + 1)
        yield name, at, value
        at = _next(text, value)


def _next(text: str, value: int) -> int:
    """Return the place of the item after a value, or of what closes the list."""
    at = _skip(text, _after(text, value))
    return _skip(text, at + 1) if text[at] == "," else at


def _member(text: str, at: int, name: str) -> tuple[int, int] | None:
    members = list(_members(text, at))
    for wanted in (str.__eq__, lambda one, other: one.lower() == other.lower()):
        for written, place, value in members:
            if wanted(written, name):
                return place, value
    return None


def _element(text: str, at: int, name: str) -> tuple[int, int] | None:
    if text[at] != "[" or not name.isdecimal():
        return None
    value = _skip(text, at + 1)
    for _ in range(int(name)):
        if text[value] == "]":
            return None
        value = _next(text, value)
    return None if text[value] == "]" else (value, value)
