"""What a body is, and whether it names an action of its own (threats 3.2.7, choice S-JSONACT).

Rule 1: a JSON member or multipart field `Action` is no carrier; but an upstream may read it, so it must
        agree with the action that was judged, and stand once, spelled one way (T36).
Rule 2: most bodies cannot hold such a name: the bytes are searched, and parsed only where they could.
Rule 3: what two readers could take apart differently is refused: a second encoding, a boundary that only
        some would see, a part without a plain name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote

from camguard.edge.params import ACTION, Params, action_of, is_alias
from camguard.edge.refusal import refused
from camguard.engine.decision import Decision
from camguard.errors import CamguardError, Problem
from camguard.strict_json import read_json

Kind = Literal["json", "form", "multipart", "octets"]

_KINDS: Final[dict[bytes, Kind]] = {
    b"application/json": "json",
    b"application/x-www-form-urlencoded": "form",
    b"multipart/form-data": "multipart",
    b"application/octet-stream": "octets",  # the vendor's SDK sends it (clients.md 1)
}
_TYPE = re.compile(rb"([a-z/-]{1,64})(.*)", re.IGNORECASE)
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*([a-z]{1,32})=(?:([0-9a-z'()+_,./:=?-]{1,70})|\"([0-9a-z'()+_,./:=? -]{1,70})\")",
    re.IGNORECASE,
)
_UTF8 = (b"utf-8", b"utf8")

_NEEDLE = b"action"
# Letters in lower case; what can hide a name from a search, a NUL or an escape, turned into no ASCII.
_FOLDED = bytes(0x80 if byte in b"\0\\" else byte for byte in bytes(range(256)).lower())
_ESCAPED = b"\\u00"  # how JSON may write the letters of the name; other escapes are none of them
_BOM = b"\xef\xbb\xbf"
_JSON_BLANK = " \t\r\n"
_VALUES_PER_PARAM: Final = 100  # JSON values that are read where form parameters could be one

_PART_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}):[ \t]*([\t -~\x80-\xff]*)")
_DISPOSITION = re.compile(
    rb'form-data((?:[ \t]*;[ \t]*[a-z]{1,32}="(?:[^"\\]|\\.)*+")++)[ \t]*', re.IGNORECASE
)
_DISPOSITION_PARAMETER = re.compile(rb'([a-z]{1,32})="((?:[^"\\]|\\.)*+)"', re.IGNORECASE)
_LONGEST_PART_HEAD: Final = 8192

_UNSUPPORTED: Final = refused("content_type")
_MALFORMED: Final = refused("body_malformed")
_CONFLICT: Final = refused("action_conflict")
_ALIAS: Final = refused("action_alias")
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
    """Return what a Content-Type value announces, or the refusal (threats 3.5.6)."""
    match = _TYPE.fullmatch(content_type)
    kind = _KINDS.get(match[1].lower()) if match else None
    if match is None or kind is None:
        return _UNSUPPORTED
    rest, at = match[2], 0
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
    if said or bool(boundary) != (kind == "multipart") or boundary.endswith(b" "):
        return _UNSUPPORTED
    return Content(kind, boundary)


def plain_json(body: bytes) -> bool:
    """Tell whether a JSON body is ASCII that cannot hold the name of an action, as nearly all are."""
    low = body.translate(_FOLDED)
    if low.isascii():
        return _NEEDLE not in low
    if not body.isascii() or b"\0" in body:
        return False
    low = body.lower()
    return _NEEDLE not in low and _ESCAPED not in low


def inspect_json(body: bytes, action: str, *, wanted: bool, depth: int, limit: int) -> Fields | Decision:
    """Return what a JSON body says, or why it is refused.

    action: what was judged. wanted: whether the parameters are needed. depth: of nesting, at most.
    limit: how many parameters there may be, of which each is counted as some JSON values.
    """
    if not _utf8(body):
        return _MALFORMED
    low = body.lower()
    if not body or not (wanted or _NEEDLE in low or _ESCAPED in low):
        return UNREAD
    if body.count(b",") + body.count(b"[") + body.count(b"{") > limit * _VALUES_PER_PARAM:
        return _TOO_MANY
    try:
        document = read_json(body, "body", CamguardError, "BodyError", depth=depth)
    except CamguardError:
        return _MALFORMED
    return _agreeing(document, action) if isinstance(document, dict) else UNREAD


def _utf8(body: bytes) -> bool:
    """Tell whether every reader takes a text for UTF-8: some detect UTF-16 and UTF-32, or drop a mark."""
    if b"\0" in body or body.startswith(_BOM):
        return False
    try:
        return body.isascii() or body.decode() is not None
    except UnicodeDecodeError:
        return False


def _agreeing(document: dict[str, Any], action: str) -> Fields | Decision:
    """Return the members of a body that names no other action than the one judged."""
    found = action_of(document.items())
    if isinstance(found, Decision):
        return found
    return _CONFLICT if document.get(ACTION, action) != action else Fields(document)


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
    found = action_of(fields)
    if isinstance(found, Decision):
        return found
    if found is not None and found != action:
        return _CONFLICT
    return _told(fields, limit) if wanted else UNREAD


def _told(fields: Params, limit: int) -> Fields:
    """Return the parameters that fields hold, unread where they could be read in two ways."""
    if len(dict(fields)) < len(fields):
        return UNREAD
    try:
        return Fields({name: _value(text, limit) for name, text in fields})
    except CamguardError:
        return UNREAD


def _value(text: str, limit: int) -> Any:
    """Return what a field holds: the vendor's SDK writes lists and objects as JSON. Raises CamguardError."""
    if not text.lstrip(_JSON_BLANK).startswith(("[", "{")):
        return text
    if sum(map(text.count, ",[{")) > limit * _VALUES_PER_PARAM:
        raise CamguardError(Problem("body", "BodyError", "holds too many values"))
    return read_json(text, "body", CamguardError, "BodyError")


def multipart_fields(body: bytes, boundary: bytes, limit: int) -> Params | Decision:
    """Return names and values of the parts, in order; a value that is no text is empty."""
    delimiter = b"--" + boundary
    if body.count(delimiter) > limit + 1:
        return _TOO_MANY
    preamble, *parts = body.split(delimiter)
    if preamble or not parts or parts.pop() not in {b"--", b"--\r\n"}:
        return _MALFORMED
    fields = []
    for part in parts:
        head, blank, value = part[2:].partition(b"\r\n\r\n")
        name = _part_name(head) if blank and part.startswith(b"\r\n") and part.endswith(b"\r\n") else None
        if name is None:
            return _MALFORMED
        if "%" in name and (is_alias(unquote(name)) or unquote(name) == ACTION):
            return _ALIAS
        fields.append((name, _text(value[:-2])))
    return tuple(fields)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""


def _part_name(head: bytes) -> str | None:
    """Return the field that a part's head names, None where it does not do so plainly."""
    if len(head) > _LONGEST_PART_HEAD:
        return None
    dispositions = []
    for line in head.split(b"\r\n"):
        match = _PART_LINE.fullmatch(line)
        if match is None:
            return None
        if match[1].lower() == b"content-disposition":
            dispositions.append(match[2])
    said = _DISPOSITION.fullmatch(dispositions[0]) if len(dispositions) == 1 else None
    if said is None:
        return None
    pairs = [(key.lower(), value) for key, value in _DISPOSITION_PARAMETER.findall(said[1])]
    name = dict(pairs).get(b"name", b"\\")
    if len(dict(pairs)) < len(pairs) or b"\\" in name:
        return None
    return _text(name) or None
