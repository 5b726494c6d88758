"""Parameters of a query or a form, read so that no other reader can read them differently (THREATS 3.2.5).

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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from camguard.request.rejection import Rejection, rejection

Params: TypeAlias = tuple[tuple[str, str], ...]
Parameters: TypeAlias = Mapping[str, Any]  # as JSON has them: text, lists, objects
ParameterSources: TypeAlias = Parameters | Sequence[Parameters]  # of one place, or of each of several places

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
_DEEPEST: Final = 16  # levels of a flat parameter name
_SEPARATORS: Final = str.maketrans(";,", "&&")

_TOO_MANY: Final = rejection("too_many_params")
_ALIAS: Final = rejection("action_alias")
_DUPLICATE: Final = rejection("action_duplicate")
_AMBIGUOUS: Final = rejection("param_ambiguous")


def parse_params(raw: bytes, limit: int, malformed: Rejection) -> Params | Rejection:
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
    if signs:
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


def folded(names: Sequence[str]) -> str | Rejection:
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
    if not name.isprintable():  # a reader may end a name at a NUL, or pass over what it cannot show
        name = "".join(filter(str.isprintable, name.partition("\0")[0]))
    # Java compares by capitals, too, in which the dotless i is an i; and drops the dot that `İ` has.
    return name.strip().casefold().replace("\u0131", "i").replace("i\u0307", "i")


class Lookalikes(NamedTuple):
    """The parameters of an action that name its resources, and what lenient readers take for one of them.

    names: every spelling that is read as the parameter, in lower case. pattern: see `look_alike`.
    """

    names: frozenset[str]
    pattern: re.Pattern[str]


def ambiguous_names(names: Sequence[str], resources: Lookalikes | None = None) -> Rejection | None:
    """Return why names are rejected: one may be read as a parameter that decides, or stands twice.

    Parameters that decide are `Action`, `Version`, `Region`, and those in `resources`. None: there is no such
    name.
    """
    others = [name for name in names if name not in _EXACT]
    if len(names) - len(others) > 1:
        for name in DECIDING:
            if names.count(name) > 1:
                return _DUPLICATE if name == ACTION else _AMBIGUOUS
    text = folded(others)
    if isinstance(text, Rejection):
        return text
    if resources is not None and misread(text, others, resources):
        return _AMBIGUOUS
    if not any(name in text for name in _LOW):  # as nearly always, and a fifth of the pattern's time
        return None
    found = _LOOK_ALIKE.search(text)
    if found is None:
        return None
    return _ALIAS if found[1] == "action" else _AMBIGUOUS


def misread(text: str, names: Sequence[str], resources: Lookalikes) -> bool:
    """Tell whether a reader may take a name for a parameter that names resources and is spelled otherwise.

    text: what `folded` returns for these names.
    """
    if resources.pattern.search(text) is None:
        return False
    # The parameters themselves look like themselves; only other names count.
    text_of_others = folded([name for name in names if name.casefold() not in resources.names])
    return isinstance(text_of_others, Rejection) or resources.pattern.search(text_of_others) is not None


def action_of(names: Iterable[tuple[str, str]]) -> str | Rejection | None:
    """Return the value of the one `Action`, None where there is none, or why the names are refused."""
    pairs = tuple(names)
    refusal = ambiguous_names([name for name, _ in pairs])
    if refusal is not None:
        return refusal
    return next((value for name, value in pairs if name == ACTION), None)


def nested_parameters(
    pairs: Sequence[tuple[str, Any]], resources: Lookalikes | None
) -> Parameters | Rejection | None:
    """Return flat parameters as `nest` does, or why they are rejected.

    resources: where the parameters name resources, no other name may be read as such a parameter; where they
    cannot be nested, such a name must not be there at all.
    """
    nested = nest(pairs)
    if resources is None:
        return nested
    names = [name for name, _ in pairs] if nested is None else list(nested)
    text = folded(names)
    if isinstance(text, Rejection):
        return text
    doubtful = resources.pattern.search(text) if nested is None else misread(text, names, resources)
    return _AMBIGUOUS if doubtful else nested


def beside(*sources: Parameters | Rejection | None) -> ParameterSources | Rejection | None:
    """Return the parameters of several places, for it is not known which of them an upstream reads.

    The result is the rejection of one of them, or None where one could not be read.
    """
    for source in sources:
        if source is None or isinstance(source, Rejection):
            return source
    return tuple(source for source in sources if isinstance(source, Mapping))


def nest(pairs: Sequence[tuple[str, Any]]) -> Parameters | None:
    """Return flat parameters (`Filters.0.Values.1=x`) as JSON would hold them (CAM 14.1).

    Returns None where two of them cannot both be meant: `A` beside `A.0`, or the same name twice; and where
    one is written as only others nest (`A[0]`), or has a level without a name (`.A`).
    """
    top: dict[str, Any] = {}
    for name, value in pairs:
        if "[" in name:
            return None
        *path, last = name.split(".")
        if len(path) > _DEEPEST or (path and not all((*path, last))):
            return None
        node = top
        for step in path:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                return None
        if last in node:
            return None
        node[last] = value
    return {key: _listed(value) for key, value in top.items()}


def _listed(node: Any) -> Any:
    """Turn objects whose keys are all numbers into lists."""
    if not isinstance(node, dict):
        return node
    values = [_listed(value) for value in node.values()]
    return values if all(map(str.isdecimal, node)) else dict(zip(node, values, strict=True))
