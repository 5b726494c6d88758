"""What a body is, and whether it names an action of its own (THREATS 3.2.7).

Rule 1: a JSON member or multipart field `Action` is no carrier; but an upstream may read it, so it must
        agree with the action that was judged, and stand once, spelled one way (T36).
Rule 2: most bodies cannot hold such a name: the bytes are searched, and parsed only where they could.
Rule 3: what two readers could take apart differently is refused: a second encoding, a name that some reader
        takes for the action's, or what `multipart` refuses.
Rule 4: the work is bounded over a whole body: its values, its names and their length, never each alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from camguard.edge.multipart import Field, multipart_fields
from camguard.edge.params import ACTION, ambiguous_names
from camguard.edge.refusal import refused
from camguard.engine.decision import Decision
from camguard.strict_json import TooManyValuesError, parse_json

Kind = Literal["json", "form", "multipart", "octets"]

_KINDS: Final[dict[bytes, Kind]] = {
    b"application/json": "json",
    b"application/x-www-form-urlencoded": "form",
    b"multipart/form-data": "multipart",
    b"application/octet-stream": "octets",  # the vendor's SDK sends it
}
_TYPE = re.compile(rb"([a-z/-]{1,64})(.*)", re.IGNORECASE)
# A boundary that is not quoted is a token: some readers end it at `,`, `/` or another sign that is none. What
# programs that write quotes put into a boundary is letters, digits and a few signs (RFC 2046 5.1.1 has more).
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*(charset|boundary)=(?:([0-9a-z'+_.-]{1,70})|\"([0-9a-z'+_./:=-]{1,70})\")",
    re.IGNORECASE,
)
_UTF8 = (b"utf-8", b"utf8")

_NEEDLES = (b"action", b"version", b"region")
# Letters in lower case; what can hide a name from a search, a NUL or an escape, turned into no ASCII.
_FOLDED = bytes(0x80 if byte in b"\0\\" else byte for byte in bytes(range(256)).lower())
_ESCAPED = b"\\u"  # how JSON may write any letter of a name, or one that some reader takes for it
_LARGE: Final = 65_536
_JSON_BLANK = " \t\r\n"
_VALUES_PER_PARAM: Final = 30  # JSON values that are read where form parameters could be one
_MOST_ESCAPES: Final = 400_000  # of a JSON text; each costs as much as forty letters

_UNSUPPORTED: Final = refused("content_type")
_MALFORMED: Final = refused("body_malformed")
_CONFLICT: Final = refused("action_conflict")
_TOO_MANY: Final = refused("too_many_params")


@dataclass(frozen=True, slots=True)
class Content:
    """What a Content-Type announces. boundary: of multipart, else empty."""

    kind: Kind
    boundary: bytes = b""


class Fields(NamedTuple):
    """What of a body is known. parameters: as JSON would hold them; None: it was not read as far as that."""

    parameters: dict[str, Any] | None = None


UNREAD: Final = Fields()


def content_of(content_type: bytes) -> Content | Decision:
    """Return what a Content-Type value announces, or the refusal (THREATS 3.5.6)."""
    match = _TYPE.fullmatch(content_type)
    if match is None or match[1].lower() not in _KINDS:
        return _UNSUPPORTED
    kind, rest, at = _KINDS[match[1].lower()], match[2], 0
    said: dict[bytes, bytes] = {}
    while at < len(rest):
        parameter = _PARAMETER.match(rest, at)
        if parameter is None or parameter[1].lower() in said:
            return _UNSUPPORTED
        said[parameter[1].lower()] = parameter[2] or parameter[3]
        at = parameter.end()
    if said.pop(b"charset", b"utf-8").lower() not in _UTF8:
        return _UNSUPPORTED
    boundary = said.pop(b"boundary", b"")
    if bool(boundary) != (kind == "multipart"):
        return _UNSUPPORTED
    return Content(kind, boundary)


def plain_json(body: bytes) -> bool:
    """Tell whether a JSON body is short ASCII that cannot hold a name that decides, as nearly all are."""
    if len(body) > _LARGE:  # each look at it costs milliseconds: `inspect_json` looks once
        return False
    low = body.translate(_FOLDED)
    if low.isascii():
        return not (b"action" in low or b"version" in low or b"region" in low)
    return b"\0" not in body and not _may_decide(body)


def inspect_json(body: bytes, action: str, *, wanted: bool, depth: int, limit: int) -> Fields | Decision:
    """Return what a JSON body says, or why it is refused.

    action: what was judged. wanted: whether the parameters are needed. depth: of nesting, at most.
    limit: how many parameters there may be, of which each is counted as some JSON values.
    """
    text = _utf8(body)
    if text is None:
        return _MALFORMED
    if not body or not (wanted or _may_decide(body)):
        return UNREAD
    if b"\\" in body and body.count(b"\\") > _MOST_ESCAPES:
        return _TOO_MANY
    try:
        document = parse_json(text, depth=depth, most=limit * _VALUES_PER_PARAM)
    except TooManyValuesError:
        return _TOO_MANY
    except ValueError:
        return _MALFORMED
    return _members(document, action, limit) if isinstance(document, dict) else UNREAD


def _members(document: dict[str, Any], action: str, limit: int) -> Fields | Decision:
    """Return the members of an object that names no other action than the one that was judged."""
    if len(document) > limit:
        return _TOO_MANY
    refusal = ambiguous_names(list(document))
    if refusal is not None:
        return refusal
    return _CONFLICT if document.get(ACTION, action) != action else Fields(document)


def _may_decide(body: bytes) -> bool:
    """Tell whether a JSON text may hold a name that decides, or a letter or an escape that may hide one."""
    if not body.isascii() or (b"\\" in body and _ESCAPED in body):
        return True
    low = body.lower()
    return any(needle in low for needle in _NEEDLES)


def _utf8(body: bytes) -> str | None:
    """Return a text that every reader takes for UTF-8, else None.

    Some readers detect UTF-16 and UTF-32, which hold a NUL in every name of ASCII letters. A byte order mark,
    which some readers drop, is no JSON to `parse_json`.
    """
    if b"\0" in body:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def inspect_multipart(
    body: bytes, boundary: bytes, action: str, *, wanted: bool, limit: int
) -> Fields | Decision:
    """Return what a multipart body says, or why it is refused.

    wanted: whether the parameters are needed. limit: how many fields there may be.
    """
    if not body:
        return UNREAD
    fields = multipart_fields(body, boundary, limit)
    if isinstance(fields, Decision):
        return fields
    refusal = ambiguous_names([name for name, _ in fields])
    if refusal is not None:
        return refusal
    named = [value for name, value in fields if name == ACTION]
    if named and named[0] != action.encode():
        return _CONFLICT
    return _parameters(fields, limit) if wanted else UNREAD


def _parameters(fields: Sequence[Field], limit: int) -> Fields:
    """Return the parameters that fields hold, unread where they could be read in two ways."""
    found: dict[str, Any] = {}
    most = limit * _VALUES_PER_PARAM
    for name, value in fields:
        if name in found:
            return UNREAD
        if value is None:
            found[name] = None  # a file is no text that could name a resource
            continue
        try:
            text = value.decode()
        except UnicodeDecodeError:
            found[name] = ""
            continue
        if not text.lstrip(_JSON_BLANK).startswith(("[", "{")):
            found[name] = text
            continue
        # The vendor's clients write lists and objects as JSON. All of a request are counted together.
        try:
            found[name] = parse_json(text, most=most)
        except ValueError:
            return UNREAD
        most -= sum(map(text.count, ",[{"))
    return Fields(found)
