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
from itertools import islice
from typing import Any, Final, Literal

from camguard.request.json_body import (
    MOST_PARSE_COST,
    TooManyValuesError,
    parse_json,
    parse_prepared,
    prepare,
)
from camguard.request.multipart import Field, multipart_fields
from camguard.request.params import ACTION, Lookalikes, Parameters, ambiguous_names, nested_parameters
from camguard.request.rejection import Rejection, rejection

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
# One search for the ending that these names share costs a third of three searches, where it is found seldom.
# No beginning overlaps the end of an earlier ending.
_ENDING = re.compile(b"ion")
_BEGINNINGS = tuple(name.removesuffix(b"ion") for name in _NEEDLES)
_MOST_ENDINGS: Final = 256  # of a slice
_SLICE: Final = 1 << 18
_LONGEST: Final = max(map(len, _NEEDLES))
# How JSON may write any letter of a name, or one that some reader takes for it. This pattern searches a body
# three times as fast as `in` does.
_ESCAPED = re.compile(rb"\\u")
_BOM = b"\xef\xbb\xbf"
_JSON_BLANK = b" \t\r\n"
_VALUES_PER_PARAM: Final = 30  # JSON values that are read where form parameters could be one

_UNSUPPORTED: Final = rejection("content_type")
_MALFORMED: Final = rejection("body_malformed")
_CONFLICT: Final = rejection("action_conflict")
_TOO_MANY: Final = rejection("too_many_params")


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """What a Content-Type announces. boundary: of multipart, else empty."""

    kind: Kind
    boundary: bytes = b""


def body_format(content_type: bytes) -> BodyFormat | Rejection:
    """Return what a Content-Type value announces, or the refusal (THREATS 3.5.6)."""
    match = _TYPE.fullmatch(content_type)
    kind = _KINDS.get(match[1].lower()) if match else None
    if match is None or kind is None:
        return _UNSUPPORTED
    rest, at = match[2], 0
    found: dict[bytes, bytes] = {}
    while at < len(rest):
        parameter = _PARAMETER.match(rest, at)
        if parameter is None or parameter[1].lower() in found:
            return _UNSUPPORTED
        found[parameter[1].lower()] = parameter[2] or parameter[3]
        at = parameter.end()
    if found.pop(b"charset", b"utf-8").lower() not in _UTF8:
        return _UNSUPPORTED
    boundary = found.pop(b"boundary", b"")
    if bool(boundary) != (kind == "multipart"):
        return _UNSUPPORTED
    return BodyFormat(kind, boundary)


def read_body(  # noqa: PLR0913 - a body, and by which bounds it is read
    form: BodyFormat,
    body: bytes,
    action: str,
    resources: Lookalikes | None,
    *,
    depth: int,
    limit: int,
) -> Parameters | Rejection | None:
    """Return the parameters in a JSON or multipart body, None if they were not read, or a rejection.

    action: the name that was judged. resources: the parameters that name resources; None where the body is
    only searched for a name that decides. depth: of nesting in JSON, at most. limit: how many parameters
    there may be; each is counted as some JSON values.
    """
    if form.kind == "json":
        return _read_json(body, action, resources, depth=depth, limit=limit)
    if form.kind == "multipart":
        fields = _read_multipart(body, form.boundary, action, resources, limit=limit)
        if fields is None or isinstance(fields, Rejection):
            return fields
        return nested_parameters(tuple(fields.items()), resources)
    return None


def _read_json(
    body: bytes, action: str, resources: Lookalikes | None, *, depth: int, limit: int
) -> Parameters | Rejection | None:
    if b"\0" in body or body.startswith(_BOM):
        return _MALFORMED  # some readers detect UTF-16 and UTF-32, and some drop a byte order mark
    try:
        if not body or not (resources is not None or _may_decide(body)):
            body.decode()
            return None
        document = parse_json(body, depth=depth, most=limit * _VALUES_PER_PARAM)
    except TooManyValuesError:
        return _TOO_MANY
    except ValueError:
        return _MALFORMED
    return _members(document, action, resources, limit) if isinstance(document, dict) else None


def _members(
    document: dict[str, Any], action: str, resources: Lookalikes | None, limit: int
) -> Parameters | Rejection | None:
    """Return the members of an object that names no other action than the one that was judged."""
    if len(document) > limit:
        return _TOO_MANY
    refusal = ambiguous_names(list(document), resources)
    if refusal is not None:
        return refusal
    return _CONFLICT if document.get(ACTION, action) != action else document


def _may_decide(body: bytes) -> bool:
    """Tell whether a JSON text may hold a name that decides, or a letter or an escape that may hide one."""
    if not body.isascii() or (b"\\" in body and _ESCAPED.search(body)):
        return True
    # Slice by slice: the memory of a copy of a long body would take longer to provide than the search takes.
    return any(_holds_name(body[at : at + _SLICE + _LONGEST].lower()) for at in range(0, len(body), _SLICE))


def _holds_name(low: bytes) -> bool:
    endings = _ENDING.finditer(low)
    for ending in islice(endings, _MOST_ENDINGS):
        if low.endswith(_BEGINNINGS, 0, ending.start()):
            return True
    after = next(endings, None)
    return after is not None and any(
        low.find(name, max(0, after.start() - _LONGEST)) >= 0 for name in _NEEDLES
    )


def _read_multipart(
    body: bytes, boundary: bytes, action: str, resources: Lookalikes | None, *, limit: int
) -> Parameters | Rejection | None:
    if not body:
        return None
    fields = multipart_fields(body, boundary, limit)
    if isinstance(fields, Rejection):
        return fields
    refusal = ambiguous_names([name for name, _ in fields])
    if refusal is not None:
        return refusal
    named = [value for name, value in fields if name == ACTION]
    if named and named[0] != action.encode():
        return _CONFLICT
    return None if resources is None else _parameters(fields, limit)


def _parameters(fields: Sequence[Field], limit: int) -> Parameters | None:
    """Return the parameters that fields hold, unread where they could be read in two ways."""
    found: dict[str, Any] = {}
    most = limit * _VALUES_PER_PARAM
    cost = MOST_PARSE_COST - sum(len(value) for _, value in fields if value)  # the fields were searched
    for name, value in fields:
        if name in found:
            return None
        if value is None:
            found[name] = None  # a file is no text that could name a resource
            continue
        try:
            if not value.lstrip(_JSON_BLANK).startswith((b"[", b"{")):
                found[name] = value.decode()
                continue
            # The vendor's clients write lists and objects as JSON. All of a request are counted together.
            most -= sum(map(value.count, (b",", b"[", b"{")))
            prepared = prepare(value, max(most, 0), cost)
        except UnicodeDecodeError:
            found[name] = ""
            continue
        except TooManyValuesError:
            return None
        cost -= prepared.cost
        try:
            found[name] = parse_prepared(prepared)
        except ValueError:
            return None
    return found
