"""The JSON of a body, read at once and without places, in less time than 50 ms (THREATS 3.2.7, T62).

Rule 1: what is refused here is what `camguard.strict_json` refuses, and what costs too much. The cost is
        known before a text is parsed.
Rule 2: escaped quotes and backslashes are hidden behind another sign before a text is searched and parsed:
        a JSON document that is sent as text consists of them, and they cost more than all the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from camguard.strict_json import MAX_DEPTH, Number, no_constant

_QUOTES: Final = 4  # of a member: two around its key, two around its value
# Of a text, as `prepare` counts it: less than 50 ms, together with the digest of a signature.
MOST_PARSE_COST: Final = 203 << 16
_ESCAPE_COST = 6  # of a backslash in a text in which nothing is hidden
_HIDDEN_COST = 2  # of a backslash in another text, and what one costs in addition that is not hidden
_KNOWN_COST = 5
_PIECE_COST = 64  # of what stands between two quotes, in a text with hidden escapes
# A pattern of literals searches three times as fast as `in` does for two letters.
_QUOTE = re.compile(rb'\\"')
_BACKSLASH = re.compile(rb"\\\\")
_UNICODE = re.compile(rb"\\u")
# What hides an escaped backslash or quote, in as many letters. JSON allows the mark nowhere but in strings.
_MARK = "\x7f"
_ESCAPED_MARK = re.compile(rb"\\u007[fF]")
_HIDDEN_BACKSLASH = _MARK + "b"
_HIDDEN_QUOTE = _MARK + "q"
# A longer string in which something is hidden is left out: no value that is compared is so long.
_LONG = 4096
_CONTAINERS = frozenset((dict, list))
_MOST_SHOWN = 1 << 16  # letters of all such strings
# Characters per value outside strings, blanks included: the average over as many values as are allowed.
_LETTERS = 64


class TooManyValuesError(ValueError):
    """A JSON text contains more values than its reader accepts."""


def parse_json(raw: bytes, *, depth: int = MAX_DEPTH, most: int) -> Any:
    """Return the document as dict, list, str, `Number`, bool and None: the fast way, for bodies of requests.

    depth: of nesting, at most. most: values in the text, at most; more are found before the text is parsed.
    Where a text contains escaped quotes, None stands for each string of more than 4,096 letters that contains
    an escaped quote or backslash, and for shorter ones behind the first 64 KiB of them, the upper levels
    first: to resolve these escapes would cost as much as the rest.

    Raises TooManyValuesError, or ValueError if the text is not strict JSON. The error names no place, because
    finding it costs more than parsing the text.
    """
    return parse_prepared(prepare(raw, most), depth=depth)


class Prepared(NamedTuple):
    """A JSON text, prepared to be parsed.

    source: the text, or the text with hidden escapes. hides: which of both. colons: outside of strings.
    any_letter: whether there is an escape that may stand for any letter. cost: of searching and parsing, in
    bytes that are no escape.
    """

    source: str
    colons: int
    hides: bool
    any_letter: bool
    cost: int


def prepare(raw: bytes, most: int, most_cost: int = MOST_PARSE_COST) -> Prepared:
    """Hide the escaped quotes and backslashes of a text, and count its values.

    most: as for `parse_json`. most_cost: of the text, at most. Raises TooManyValuesError for more of either,
    and UnicodeDecodeError, a ValueError, for a text that is not UTF-8.
    """
    # A long text is copied as seldom as possible, and no more than two copies exist at a time: the kernel
    # takes milliseconds to provide the memory of each.
    cost = len(raw)
    hides = any_letter = False
    bare = raw
    if b"\\" in raw:
        backslashes = raw.count(b"\\")
        hides = _QUOTE.search(raw) is not None
        if hides:
            # In eighths of a byte: what one pass of `replace` costs, and another one with its copy.
            cost += (7 if _BACKSLASH.search(raw) else 5) * cost // 8 + _HIDDEN_COST * backslashes
        else:
            cost += _ESCAPE_COST * backslashes
        if cost > most_cost:
            raise TooManyValuesError
        if hides:
            bare = _hide(raw)
        any_letter = _UNICODE.search(bare) is not None
        # What is hidden could not be told from a mark that is in the text.
        if hides and (_MARK.encode() in raw or (any_letter and _ESCAPED_MARK.search(bare))):
            hides = False
            cost += _ESCAPE_COST * backslashes
        elif hides:
            cost += _KNOWN_COST * bare.count(b"\\")
    pieces, colons = _count(bare, most)
    if hides:
        cost += _PIECE_COST * pieces
    if cost > most_cost:
        raise TooManyValuesError
    return Prepared((bare if hides else raw).decode(), colons, hides, any_letter, cost)


def _hide(raw: bytes) -> bytes:
    # Backslashes first, because a quote behind an escaped one ends a string.
    if _BACKSLASH.search(raw):
        raw = raw.replace(b"\\\\", _HIDDEN_BACKSLASH.encode())
    return raw.replace(b'\\"', _HIDDEN_QUOTE.encode())


def parse_prepared(prepared: Prepared, *, depth: int = MAX_DEPTH) -> Any:
    """Do what `parse_json` does."""
    source, colons, hides, any_letter, _ = prepared
    try:
        tree = json.loads(source, parse_int=Number, parse_float=Number, parse_constant=no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # A dict keeps only one of two equal keys. Counting costs a third of a hook that compares them.
    if _members(tree, depth, any_letter=any_letter) != colons:
        raise ValueError("a key appears twice in one object")
    return _show(tree) if hides else tree


def _show(tree: Any) -> Any:
    """Return a tree whose strings are shown, or left out, where something is hidden. Changes the tree.

    Raises ValueError for two names of one object that were different only while they were hidden, and
    TooManyValuesError for a name that is left out.
    """
    left = _MOST_SHOWN
    top = [tree]
    level: list[Any] = [top]
    while level:
        below: list[Any] = []
        for node in level:
            named = type(node) is dict
            if named and _MARK in "".join(node):
                _show_names(node)
            for at, text in [
                (at, value)
                for at, value in (node.items() if named else enumerate(node))
                if type(value) is str and _MARK in value
            ]:
                size = len(text)
                if size > _LONG or size > left:
                    node[at] = None
                else:
                    left -= size
                    node[at] = _shown(text)
            below += [value for value in (node.values() if named else node) if type(value) in _CONTAINERS]
        level = below
    return top[0]


def _shown(text: str) -> str:
    return text.replace(_HIDDEN_QUOTE, '"').replace(_HIDDEN_BACKSLASH, "\\")


def _show_names(members: dict[Any, Any]) -> None:
    hidden = [name for name in members if _MARK in name]
    if sum(map(len, hidden)) > _LONG:
        raise TooManyValuesError
    pairs = [(_shown(name), value) for name, value in members.items()]
    members.clear()
    members.update(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key appears twice in one object")


def _count(bare: bytes, most: int) -> tuple[int, int]:
    """Return how many pieces the quotes of a JSON text make, and how many colons are outside of strings.

    bare: with hidden escapes. most: as for `parse_json`. Raises TooManyValuesError for more values, more
    strings or more text outside of them than so many values have.
    """
    pieces = bare.split(b'"', _QUOTES * most + 1)
    outside = b"".join(pieces[::2])
    if len(pieces) > _QUOTES * most + 1 or len(outside) > _LETTERS * most:
        raise TooManyValuesError
    if outside.count(b",") + outside.count(b"[") + outside.count(b"{") > most:
        raise TooManyValuesError
    return len(pieces), outside.count(b":")


def _members(tree: Any, depth: int, *, any_letter: bool) -> int:
    """Return how many members all objects of a tree have. Walks it level by level.

    any_letter: whether a string may hold half of a surrogate pair.
    Raises ValueError for a value that is too deep, and for half of a surrogate pair.
    """
    members = 0
    level: list[Any] = [tree]
    for _ in range(depth + 1):
        if any_letter:
            _encode([value for value in level if isinstance(value, str)])
        objects = [value for value in level if type(value) is dict]
        lists = [value for value in level if type(value) is list]
        if not objects and not lists:
            return members
        level = []
        for each in lists:
            level += each
        for found in objects:
            members += len(found)
            level += found.values()
            if any_letter:
                _encode(found)
    if level:
        raise ValueError("nested too deeply")
    return members


def _encode(texts: Iterable[str]) -> None:
    """Raise UnicodeEncodeError, a ValueError, if a text contains half of a surrogate pair."""
    joined = "\n".join(texts)
    if not joined.isascii():
        joined.encode()
