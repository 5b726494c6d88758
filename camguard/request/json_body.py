"""The JSON of a body, read at once and without places, in less time than 50 ms (THREATS 3.2.7, T62).

Rule 1: what is refused here is what `camguard.strict_json` refuses, and what costs too much. The cost is
        known before a text is parsed.
Rule 2: escaped quotes and backslashes are hidden behind another sign before a text is searched and parsed:
        a JSON document that is sent as text consists of them, and they cost more than all the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from camguard.strict_json import MAX_DEPTH, Number, no_constant

_QUOTES: Final = 4  # of a member: two around its key, two around its value
# Of a text, as `prepare` counts it: less than 50 ms, together with the digest of a signature.
MOST_PARSE_COST: Final = 18 << 20
_ESCAPE_COST = 6  # of a backslash in a text in which nothing is hidden
_HIDDEN_COST = 2  # of a backslash in another text, and what one costs in addition that is not hidden
_SEEN_COST = 3
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
    return parse_prepared(prepare(raw), depth=depth, most=most)


class Prepared(NamedTuple):
    """A JSON text, prepared to be parsed.

    source: what is parsed. bare: what is searched for quotes. Both are the text, or the text with hidden
    escapes. hides: whether escapes are hidden in `source`. any_letter: whether there is an escape that may
    stand for any letter. cost: of searching and parsing, in bytes that are no escape.
    """

    source: str
    bare: bytes
    hides: bool
    any_letter: bool
    cost: int


def prepare(raw: bytes) -> Prepared:
    """Hide the escaped quotes and backslashes of a text, unless it costs too much anyway.

    Each copy of a long text costs milliseconds. Therefore the text is decoded once, and bytes are searched.
    Raises UnicodeDecodeError, a ValueError, for a text that is not UTF-8 and could be parsed.
    """
    cost = len(raw)
    if b"\\" not in raw:
        return Prepared(raw.decode(), raw, hides=False, any_letter=False, cost=cost)
    backslashes = raw.count(b"\\")
    if not _QUOTE.search(raw):
        any_letter = _UNICODE.search(raw) is not None
        cost += _ESCAPE_COST * backslashes
        return Prepared(raw.decode(), raw, hides=False, any_letter=any_letter, cost=cost)
    cost += 5 * cost // 8 + _HIDDEN_COST * backslashes
    if cost > MOST_PARSE_COST:
        return Prepared("", b"", hides=False, any_letter=False, cost=cost)
    # Backslashes first, because a quote behind an escaped one ends a string.
    bare = raw.replace(b"\\\\", _HIDDEN_BACKSLASH.encode()) if _BACKSLASH.search(raw) else raw
    bare = bare.replace(b'\\"', _HIDDEN_QUOTE.encode())
    any_letter = _UNICODE.search(bare) is not None
    # What is hidden could not be told from a mark that is in the text.
    hides = _MARK.encode() not in raw and not (any_letter and _ESCAPED_MARK.search(bare))
    cost += _SEEN_COST * bare.count(b"\\") if hides else _ESCAPE_COST * backslashes
    return Prepared((bare if hides else raw).decode(), bare, hides, any_letter, cost)


def parse_prepared(prepared: Prepared, *, depth: int = MAX_DEPTH, most: int) -> Any:
    """Do what `parse_json` does."""
    source, bare, hides, any_letter, cost = prepared
    if cost > MOST_PARSE_COST:
        raise TooManyValuesError
    outside = _outside(bare, most)
    if outside.count(b",") + outside.count(b"[") + outside.count(b"{") > most:
        raise TooManyValuesError
    try:
        tree = json.loads(source, parse_int=Number, parse_float=Number, parse_constant=no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # A dict keeps only one of two equal keys. Counting costs a third of a hook that compares them.
    if _members(tree, depth, any_letter=any_letter) != outside.count(b":"):
        raise ValueError("a key appears twice in one object")
    return _show(tree) if hides else tree


def _show(tree: Any) -> Any:
    """Return a tree whose strings are shown, or left out, where something is hidden. Changes the tree.

    Raises ValueError for two names of one object that were different only while they were hidden.
    """
    left = _MOST_SHOWN

    def shown(text: str) -> str | None:
        nonlocal left
        if len(text) > _LONG or len(text) > left:
            return None
        left -= len(text)
        return text.replace(_HIDDEN_QUOTE, '"').replace(_HIDDEN_BACKSLASH, "\\")

    top = [tree]
    level: list[Any] = [top]
    while level:
        below: list[Any] = []
        for node in level:
            if type(node) is dict and _MARK in "".join(node):
                _show_names(node, shown)
            items = node.items() if type(node) is dict else enumerate(node)
            for at, text in [(at, value) for at, value in items if type(value) is str and _MARK in value]:
                node[at] = shown(text)
            values = node.values() if type(node) is dict else node
            below += [value for value in values if type(value) in {dict, list}]
        level = below
    return top[0]


def _show_names(members: dict[Any, Any], shown: Callable[[str], str | None]) -> None:
    names = [shown(name) if _MARK in name else name for name in members]
    if None in names:
        raise TooManyValuesError
    if len(set(names)) != len(names):
        raise ValueError("a key appears twice in one object")
    values = [*members.values()]
    members.clear()
    members.update(zip(names, values, strict=True))


def _outside(raw: bytes, most: int) -> bytes:
    """Return what stands outside of the strings of a JSON text, without the quotes.

    raw: with hidden escapes. most: as for `parse_json`. Raises TooManyValuesError for more strings or more
    text than so many values have.
    """
    pieces = raw.split(b'"', _QUOTES * most + 1)
    outside = b"".join(pieces[::2])
    if len(pieces) > _QUOTES * most + 1 or len(outside) > _LETTERS * most:
        raise TooManyValuesError
    return outside


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
