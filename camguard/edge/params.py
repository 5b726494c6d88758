"""Parameters of a query or a form, read so that nobody can read them otherwise (threats 3.2.5).

Rule 1: `&` alone parts them; a raw `;`, `#`, blank, control or non-ASCII byte refuses the whole (T28, T29).
Rule 2: each is percent-decoded once, as UTF-8. A control character in a name refuses the whole.
Rule 3: `Action` is spelled one way. What a lenient reader would fold into it is refused (T27, T32).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final, TypeAlias

from camguard.edge.refusal import refused
from camguard.engine.decision import Decision

Params: TypeAlias = tuple[tuple[str, str], ...]

ACTION: Final = "Action"
_TEXT = re.compile(rb"(?:[!\"$&-:<-~]|%[0-9A-Fa-f]{2})*+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FOLDED = re.compile(r"action(?:\[.*)?", re.DOTALL)
_LONGEST_FOLDED: Final = 64  # to normalise a run of combining marks takes time that grows with its square
_TOO_MANY: Final = refused("too_many_params")
_ALIAS: Final = refused("action_alias")
_DUPLICATE: Final = refused("action_duplicate")


def parse_params(raw: bytes, limit: int, malformed: Decision) -> Params | Decision:
    """Return names and values in order, or why they are refused.

    limit: how many there may be. malformed: the decision for what is not well formed.
    """
    if not raw:
        return ()
    if not _TEXT.fullmatch(raw):
        return malformed
    if raw.count(b"&") >= limit:
        return _TOO_MANY
    params = []
    for pair in raw.split(b"&"):
        name, _, value = pair.partition(b"=")
        try:
            params.append((_decoded(name), _decoded(value)))
        except UnicodeDecodeError:
            return malformed
        if _CONTROL.search(params[-1][0]):
            return malformed
    return tuple(params)


def _decoded(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" not in raw:
        return raw.decode()
    # `%41` as the `\x41` of a literal, which is read in C: a Python step for each escape, as in
    # unquote_to_bytes, would make a form of a mebibyte cost 40 ms more and thirty times its memory.
    literal = raw.replace(b"\\", rb"\\").replace(b"%", rb"\x")
    return literal.decode("unicode_escape").encode("latin-1").decode()


def is_alias(name: str) -> bool:
    """Tell whether some reader may take a name for `Action` that is not exactly that.

    Of a long name that is not ASCII it is not found out; no parameter has one, so that is taken for yes.
    """
    if name == ACTION:
        return False
    if not name.isascii():
        if len(name) > _LONGEST_FOLDED:
            return True
        name = unicodedata.normalize("NFKC", name)
    if not name.isprintable():  # a reader may end a name at a NUL, or pass over what it cannot show
        name = "".join(filter(str.isprintable, name.partition("\0")[0]))
    # Java compares by capitals, too, in which the dotless i is an i; and drops the dot that `İ` has.
    folded = name.strip().casefold().replace("\u0131", "i").replace("i\u0307", "i")
    return _FOLDED.fullmatch(folded) is not None


def action_of(names: Iterable[tuple[str, str]]) -> str | Decision | None:
    """Return the value of the one `Action`, None where there is none, or why it is refused."""
    found = None
    for name, value in names:
        if name == ACTION:
            if found is not None:
                return _DUPLICATE
            found = value
        elif is_alias(name):
            return _ALIAS
    return found
