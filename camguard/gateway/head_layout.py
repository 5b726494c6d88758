"""The layouts of message heads: what a sequence of header names comes to before any value is looked at.

Callers and upstreams send the same names in the same order call after call. What depends on the names alone
is therefore computed once for each sequence of names and kept; what depends on a value is judged each time.

Rule 1: a name that a reader could take for something else than a name has no layout.
Rule 2: what is kept is bounded in number and size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from camguard.bounded_cache import BoundedCache

LAYOUTS = 1024
LAYOUT_BYTES = 4096  # of the names of a layout
END = b"\r\n"
NO_NAME = re.compile(rb'[\x00-\x1f\x7f()<>@,;:\[\]={} \t\\"]|^$')
FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection"))
BODILESS = frozenset((204, 304))  # statuses of which no body follows the head (RFC 9112 section 6.3)
CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})

# Names in lower case, each as one object: equal names that are the same object need no comparison.
LOWER: BoundedCache[bytes, bytes] = BoundedCache(bytes.lower)

# Declared lengths. A look-up costs half of what `int` costs, which raises ValueError for what is no number.
LENGTH_OF: BoundedCache[bytes, int] = BoundedCache(int, longest=18)


class HeadLayout(NamedTuple):
    """What a sequence of header names comes to.

    pieces: what is written between the values, from the line break before the first name to the one behind
    the last value, with room for the values and for what stands before and behind. framing: place and name of
    the lines that may say how the message ends. names_host: whether there is a Host line.
    """

    pieces: tuple[bytes, ...]
    framing: tuple[tuple[int, bytes], ...]
    names_host: bool


def _layout(names: tuple[bytes, ...]) -> HeadLayout:
    """Return the layout of names. Raises ValueError for what is no name."""
    if any(NO_NAME.search(name) for name in names):
        raise ValueError
    lower = [name.lower() for name in names]
    pieces = [b""]
    for name in lower:
        pieces += (END + name + b": ", b"")
    framing = tuple((place, name) for place, name in enumerate(lower) if name in FRAMING)
    return HeadLayout((*pieces, END), framing, b"host" in lower)


def size_of(names: tuple[bytes, ...]) -> int:
    """Return the bytes of names together."""
    return sum(map(len, names))


LAYOUT_OF: BoundedCache[tuple[bytes, ...], HeadLayout] = BoundedCache(
    _layout, entries=LAYOUTS, longest=LAYOUT_BYTES, size=size_of
)


def written(layout: HeadLayout, first: bytes, values: Sequence[bytes], last: bytes) -> bytes:
    """Return a head. first: its first line. values: without line breaks. last: further lines, and the end."""
    pieces = [*layout.pieces]
    pieces[0] = first
    pieces[2:-1:2] = values
    pieces.append(last)
    return b"".join(pieces)
