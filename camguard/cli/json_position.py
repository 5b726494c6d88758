"""Finds the line of a JSON text to which a JSON Pointer points."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # public in the module, absent from its stub

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def line_of(text: str, pointer: str) -> int:
    """Return the line, from 1, on which the value of `pointer` begins; a member begins at its name.

    If the value does not exist, the line is that of the last step of the pointer that exists. If no name of a
    member is equal to a step, letter case is ignored. For text that is not JSON the line is 1.
    Source: RFC 6901.
    """
    at = begin = _skip(text, 0)
    try:
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            items = list(_items(text, at))
            found = [item for item in items if item[0] == name]
            found += [item for item in items if item[0].lower() == name.lower()]
            if not found:
                break
            _, begin, at = found[0]
    except (ValueError, IndexError, RecursionError):
        return 1
    return text.count("\n", 0, begin) + 1


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _items(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Yield each item of the object or list at `at`: its name or index, where it and its value begin."""
    opening, index = text[at], 0
    if opening not in "{[":
        return
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        name, value = str(index), at
        if opening == "{":
            name, end = scanstring(text, at + 1, True)  # noqa: FBT003 - the only way to call it
            value = _skip(text, _skip(text, end) + 1)
        yield name, at, value
        at = _skip(text, _DECODER.raw_decode(text, value)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)
        index += 1
