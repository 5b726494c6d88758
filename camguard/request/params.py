"""Parameters of a query or a form, accepted only where every common reader finds the same (THREATS 3.2.5).

An upstream may use any of a dozen parsers, and an attacker chooses the text on which two of them differ.
`parse_params` therefore rejects what is not plain, and `ambiguous_names` rejects every name that some reader
may take for a parameter that decides. It does not ask each reader: it folds all names as the most lenient
readers together would (`folded`), and searches the result once with one pattern (`look_alike`).


Rule 1: only `&` separates parameters. A text with a raw `;`, `#`, blank, control or non-ASCII byte is
        rejected (T28, T29).
Rule 2: names and values are percent-decoded once, as UTF-8. A control character in a name is rejected.
Rule 3: `Action`, `Version` and `Region` are spelled one way and stand once. A name that some reader takes
        for one of them is rejected (T27, T32). The readers that are provided for are PHP, qs, Rack,
        URLSearchParams, Python's parse_qs, Django and Go, and any that ignores case or Unicode forms.
Rule 4: all names of a request are searched in one pass over their joined text, and that text is bounded.
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
ParameterSources: TypeAlias = Parameters | Sequence[Parameters]  # of the body, or of query and body apart

ACTION: Final = "Action"
REGION: Final = "Region"
DECIDING: Final = (ACTION, "Version", REGION)
_EXACT: Final = frozenset(DECIDING)
# Printable ASCII without `#` and `;`. Escapes are checked where they are decoded.
_TEXT: Final = bytes(byte for byte in range(0x21, 0x7F) if byte not in b"#;")
_QUOTED: Final = bytes.maketrans(b"%", b"=")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

NAMES_LENGTH: Final = 131_072  # characters of all names of one request
_UNUSUAL_LENGTH: Final = 256  # characters of those names that are not printable ASCII, or hold a `%`
_UNUSUAL_NAME_LENGTH: Final = (
    64  # normalising combining marks takes time that grows with the square of their number
)
_EXTRA_DECODINGS: Final = 2  # times that a name is percent-decoded by readers that decode too often
_MAX_LEVELS: Final = 16  # levels of a flat parameter name
_SEPARATORS: Final = str.maketrans(";,", "&&")

_TOO_MANY: Final = rejection("too_many_params")
_ALIAS: Final = rejection("action_alias")
_DUPLICATE: Final = rejection("action_duplicate")
_AMBIGUOUS: Final = rejection("param_ambiguous")


def parse_params(raw: bytes, limit: int, malformed: Rejection) -> Params | Rejection:
    """Return names and values in order, or why they are rejected.

    limit: how many there may be. malformed: the rejection of a text that is not well formed.
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
    """Return the text of percent-encoded UTF-8. Raises ValueError for an invalid escape or byte."""
    escapes = raw.count(b"%")
    if not escapes:
        return raw.decode("ascii")
    # `%41` as the `=41` of quoted-printable (RFC 2045 6.7), which is decoded in C. A Python step for each
    # escape, as in unquote_to_bytes, would make a form of a mebibyte cost 40 ms more and thirty times its
    # memory. An invalid escape stays as it is, and shows in the length.
    signs = raw.count(b"=")
    raw = raw.replace(b"=", b"=3D")
    found = a2b_qp(raw.translate(_QUOTED))
    if len(found) != len(raw) - 2 * (escapes + signs):
        raise ValueError
    return found.decode()


def look_alike(names: Iterable[str], suffix: str = r"_[0-9]*+") -> re.Pattern[str]:
    """Return a pattern that finds, in what `folded` returns, names that a reader may take for one of these.

    names: in lower case. suffix: a pattern of what may follow; some readers turn a dot or bracket into `_`.
    Leading signs are dropped by some readers (`?Action`, `[Action]`, ` Action`); others end a name at a
    bracket, a dot, a blank or another sign.
    """
    either = "|".join(re.escape(name) for name in names)
    return re.compile(rf"(?:^|&)[^a-z0-9&]*+({either})(?=(?:[^a-z0-9_&-][^&]*+|{suffix})?+(?:&|$))")


_LOWER_CASE = tuple(name.lower() for name in DECIDING)
_LOOK_ALIKE = look_alike(_LOWER_CASE)


def folded(names: Sequence[str]) -> str | Rejection:
    """Return all names as lenient readers read them, in lower case and joined by `&`, or a rejection.

    A name that holds `&`, `;` or `,` counts as several. Names that together are longer than any request needs
    are rejected; for names that are not printable ASCII that length is shorter.
    """
    text = "&".join(names)
    if len(text) > NAMES_LENGTH:
        return _TOO_MANY
    if text.isascii() and text.isprintable() and "%" not in text:
        return text.lower().translate(_SEPARATORS)
    unusual = [name for name in names if "%" in name or not (name.isascii() and name.isprintable())]
    if sum(map(len, unusual)) > _UNUSUAL_LENGTH or max(map(len, unusual)) > _UNUSUAL_NAME_LENGTH:
        return _ALIAS  # no parameter has such a name, so its possible readings are not computed
    return "&".join([text.lower(), *map(_most_lenient, unusual)]).translate(_SEPARATORS)


def _most_lenient(name: str) -> str:
    """Return a name as the most lenient readers read it: decoded again, normalised, cut at a NUL, folded."""
    for _ in range(_EXTRA_DECODINGS):
        name = unquote(name)
    name = unicodedata.normalize("NFKC", name)
    # A reader may end a name at a NUL, or skip characters that do not print.
    name = "".join(filter(str.isprintable, name.partition("\0")[0]))
    # Java also compares in upper case, where the dotless i is an i, and drops the dot of `İ`.
    return name.casefold().replace("\u0131", "i").replace("i\u0307", "i")


class Lookalikes(NamedTuple):
    """The parameters of an action that name its resources, and what lenient readers take for one of them.

    names: every spelling that camguard reads as the parameter, in lower case. pattern: see `look_alike`.
    """

    names: frozenset[str]
    pattern: re.Pattern[str]


# Of an action whose parameters are read, but name no resource.
NOTHING_ALIKE: Final = Lookalikes(frozenset(), re.compile("(?!)"))


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
    if not any(name in text for name in _LOWER_CASE):  # nearly always, in a fifth of the time of the pattern
        return None
    found = _LOOK_ALIKE.search(text)
    if found is None:
        return None
    return _ALIAS if found[1] == "action" else _AMBIGUOUS


def misread(text: str, names: Sequence[str], resources: Lookalikes) -> bool:
    """Tell whether a reader may take another name for a parameter that names resources.

    text: what `folded` returns for these names.
    """
    if resources.pattern.search(text) is None:
        return False
    # The parameters themselves fit the pattern; only other names count.
    text_of_others = folded([name for name in names if name.casefold() not in resources.names])
    return isinstance(text_of_others, Rejection) or resources.pattern.search(text_of_others) is not None


def action_of(names: Iterable[tuple[str, str]]) -> str | Rejection | None:
    """Return the value of the one `Action`, None if no name is `Action`, or why the names are rejected."""
    pairs = tuple(names)
    ambiguous = ambiguous_names([name for name, _ in pairs])
    if ambiguous is not None:
        return ambiguous
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
    """Return the parameters of several places, because an upstream may read any of them.

    The result is the rejection of one of them, or None where one could not be read.
    """
    for source in sources:
        if source is None or isinstance(source, Rejection):
            return source
    return tuple(source for source in sources if isinstance(source, Mapping))


def nest(pairs: Sequence[tuple[str, Any]]) -> Parameters | None:
    """Return flat parameters (`Filters.0.Values.1=x`) as JSON would hold them (CAM 14.1).

    Returns None where two of them contradict each other (`A` beside `A.0`, or the same name twice), and where
    a name has brackets (`A[0]`), which only some readers nest, or a level without a name (`.A`).
    """
    top: dict[str, Any] = {}
    for name, value in pairs:
        if "[" in name:
            return None
        *path, last = name.split(".")
        if len(path) > _MAX_LEVELS or (path and not all((*path, last))):
            return None
        node = top
        for step in path:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                return None
        if last in node:
            return None
        node[last] = value
    return {key: _with_lists(value) for key, value in top.items()}


def _with_lists(node: Any) -> Any:
    """Return a tree in which each object whose keys are all numbers is a list."""
    if not isinstance(node, dict):
        return node
    values = [_with_lists(value) for value in node.values()]
    return values if all(map(str.isdecimal, node)) else dict(zip(node, values, strict=True))
