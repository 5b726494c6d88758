"""Parameters of a query or a form, read so that nobody can read them otherwise (THREATS 3.2.5).

Rule 1: `&` alone parts them; a raw `;`, `#`, blank, control or non-ASCII byte refuses the whole (T28, T29).
Rule 2: each is percent-decoded once, as UTF-8. A control character in a name refuses the whole.
Rule 3: `Action`, `Version` and `Region` are spelled one way and stand once. A name that some reader takes
        for one of them refuses the request (T27, T32). The readers that are provided for are PHP, qs, Rack,
        URLSearchParams, Python's parse_qs, Django and Go, and any that ignores case or Unicode forms.
Rule 4: all names of a request are judged in one pass over their joined text, and that text is bounded.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import a2b_qp
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias
from urllib.parse import unquote

from camguard.edge.refusal import refused
from camguard.engine.decision import Decision

Params: TypeAlias = tuple[tuple[str, str], ...]

ACTION: Final = "Action"
DECIDING: Final = (ACTION, "Version", "Region")
_EXACT: Final = frozenset(DECIDING)
# Printable ASCII without `#` and `;`. Escapes are checked where they are decoded.
_TEXT: Final = bytes(byte for byte in range(0x21, 0x7F) if byte not in b"#;")
_QUOTED: Final = bytes.maketrans(b"%", b"=")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

NAMES_LENGTH: Final = 131_072  # characters of all names of one request
_ODD_LENGTH: Final = 256  # characters of the names in it that are not plain ASCII, or hold a `%`
_ODD_NAME_LENGTH: Final = 64  # to normalise a run of combining marks takes time that grows with its square
_DECODED_AGAIN: Final = 2  # times that a name is percent-decoded by readers that decode too often
_SEPARATORS: Final = str.maketrans(";,", "&&")

_TOO_MANY: Final = refused("too_many_params")
_ALIAS: Final = refused("action_alias")
_DUPLICATE: Final = refused("action_duplicate")
_AMBIGUOUS: Final = refused("param_ambiguous")


def parse_params(raw: bytes, limit: int, malformed: Decision) -> Params | Decision:
    """Return names and values in order, or why they are refused.

    limit: how many there may be. malformed: the decision for what is not well formed.
    """
    if not raw:
        return ()
    if raw.translate(None, _TEXT):
        return malformed
    if raw.count(b"&") >= limit:
        return _TOO_MANY
    raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        pieces = [pair.partition(b"=") for pair in raw.split(b"&")]
        try:
            params = tuple([(_decoded(name), _decoded(value)) for name, _, value in pieces])
        except ValueError:
            return malformed
    else:
        pairs = [pair.partition("=") for pair in raw.decode("ascii").split("&")]
        params = tuple([(name, value) for name, _, value in pairs])
    names = "".join([name for name, _ in params])
    if len(names) > NAMES_LENGTH:
        return _TOO_MANY
    return malformed if _CONTROL.search(names) else params


def _decoded(raw: bytes) -> str:
    """Return the text of percent-encoded UTF-8. Raises ValueError where an escape or a byte is none."""
    escapes = raw.count(b"%")
    if not escapes:
        return raw.decode("ascii")
    # `%41` as the `=41` of quoted-printable (RFC 2045 6.7), which is decoded in C. A Python step for each
    # escape, as in unquote_to_bytes, would make a form of a mebibyte cost 40 ms more and thirty times its
    # memory. What is no escape is left as it is, so that the length tells.
    signs = raw.count(b"=")
    raw = raw.replace(b"=", b"=3D")
    found = a2b_qp(raw.translate(_QUOTED))
    if len(found) != len(raw) - 2 * (escapes + signs):
        raise ValueError
    return found.decode()


def look_alike(names: Iterable[str], behind: str = r"_[0-9]*+") -> re.Pattern[str]:
    """Return a pattern that finds in what `folded` returns each name that a reader may take for one of these.

    names: in lower case. behind: what may follow `_`, as which some readers know a dot or a bracket.
    Leading signs are dropped by some readers (`?Action`, `[Action]`, ` Action`); others end a name at a
    bracket, a dot, a blank or another sign.
    """
    either = "|".join(re.escape(name) for name in names)
    return re.compile(rf"(?:^|&)[^a-z0-9&]*+({either})(?=(?:[^a-z0-9_&-][^&]*+|{behind})?+(?:&|$))")


_LOW = tuple(name.lower() for name in DECIDING)
_LOOK_ALIKE = look_alike(_LOW)


def folded(names: Sequence[str]) -> str | Decision:
    """Return all names as lenient readers know them, in lower case with `&` between them, or why not.

    A name that holds `&`, `;` or `,` counts as several. The result is refused where the names are longer than
    any request needs them, or where what is not plain ASCII in them is.
    """
    text = "&".join(names)
    if len(text) > NAMES_LENGTH:
        return _TOO_MANY
    if text.isascii() and text.isprintable() and "%" not in text:
        return text.lower().translate(_SEPARATORS)
    odd = [name for name in names if "%" in name or not (name.isascii() and name.isprintable())]
    if sum(map(len, odd)) > _ODD_LENGTH or max(map(len, odd)) > _ODD_NAME_LENGTH:
        return _ALIAS  # no parameter has such a name, so it is not found out what it may stand for
    return "&".join([text.lower(), *map(_plain, odd)]).translate(_SEPARATORS)


def _plain(name: str) -> str:
    """Return a name as the most lenient readers know it: decoded again, normalised, cut at a NUL, folded."""
    for _ in range(_DECODED_AGAIN):
        name = unquote(name)
    name = unicodedata.normalize("NFKC", name)
    # A reader may end a name at a NUL, or pass over what it cannot show.
    name = "".join(filter(str.isprintable, name.partition("\0")[0]))
    # Java compares by capitals, too, in which the dotless i is an i; and drops the dot that `İ` has.
    return name.casefold().replace("\u0131", "i").replace("i\u0307", "i")


def ambiguous_names(names: Sequence[str]) -> Decision | None:
    """Return why names are refused: one of them may be read as `Action`, `Version` or `Region` and is not it.

    The same holds where `Action`, `Version` or `Region` stands twice. None: there is no such name.
    """
    others = [name for name in names if name not in _EXACT]
    if len(names) - len(others) > 1:
        for name in DECIDING:
            if names.count(name) > 1:
                return _DUPLICATE if name == ACTION else _AMBIGUOUS
    text = folded(others)
    if isinstance(text, Decision):
        return text
    if not any(name in text for name in _LOW):  # as nearly always, and a fifth of the pattern's time
        return None
    found = _LOOK_ALIKE.search(text)
    if found is None:
        return None
    return _ALIAS if found[1] == "action" else _AMBIGUOUS


def action_of(names: Iterable[tuple[str, str]]) -> str | Decision | None:
    """Return the value of the one `Action`, None where there is none, or why the names are refused."""
    pairs = tuple(names)
    refusal = ambiguous_names([name for name, _ in pairs])
    if refusal is not None:
        return refusal
    return next((value for name, value in pairs if name == ACTION), None)
