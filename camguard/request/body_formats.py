"""The format of a body, its parameters, and whether it names another action (THREATS 3.2.7).

Rule 1: camguard takes no action from a JSON member or multipart field `Action`. An upstream may, so it must
        be the action that was judged, and stand once, spelled one way (T36).
Rule 2: most bodies cannot hold such a name. The bytes are searched first, and parsed only if they may.
Rule 3: a body that two readers could read differently is rejected: a second encoding, a name that some reader
        takes for `Action`, and whatever `multipart` rejects.
Rule 4: the work is bounded for a body as a whole: the number of its values, of its names, and their length.
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
from camguard.request.params import (
    ACTION,
    REGION,
    Lookalikes,
    Parameters,
    ambiguous_names,
    nested_parameters,
)
from camguard.request.rejection import Rejection, rejection

Kind = Literal["json", "form", "multipart", "octets"]

_KINDS: Final[dict[bytes, Kind]] = {
    b"application/json": "json",
    b"application/x-www-form-urlencoded": "form",
    b"multipart/form-data": "multipart",
    b"application/octet-stream": "octets",  # the vendor's SDK sends it
}
_TYPE = re.compile(rb"([a-z/-]{1,64})(.*)", re.IGNORECASE)
# A boundary without quotes is a token: some readers end it at `,`, `/` or another sign that no token has. A
# quoted boundary is letters, digits and the signs that programs use (RFC 2046 section 5.1.1 allows more).
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*(charset|boundary)=(?:([0-9a-z'+_.-]{1,70})|\"([0-9a-z'+_./:=-]{1,70})\")",
    re.IGNORECASE,
)
_UTF8 = (b"utf-8", b"utf8")

_NAMES = (b"action", b"version", b"region")
# One search for the ending that these names share costs a third of three searches, where it is found seldom.
# No beginning overlaps the end of an earlier ending.
_ENDING = re.compile(b"ion")
_BEGINNINGS = tuple(name.removesuffix(b"ion") for name in _NAMES)
_MOST_ENDINGS: Final = 256  # of a slice
_SLICE: Final = 1 << 18
_LONGEST: Final = max(map(len, _NAMES))
# JSON may write any letter of a name so, or a letter that some reader takes for it. This pattern searches a
# body three times as fast as `in` does.
_ESCAPED = re.compile(rb"\\u")
_BOM = b"\xef\xbb\xbf"
_JSON_BLANK = b" \t\r\n"
_VALUES_PER_PARAM: Final = 30  # JSON values that are read for each form parameter that is allowed

_UNSUPPORTED: Final = rejection("content_type")
_MALFORMED: Final = rejection("body_malformed")
_CONFLICT: Final = rejection("action_conflict")
_TOO_MANY: Final = rejection("too_many_params")
_REGION: Final = rejection("region_invalid")


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """The format that a Content-Type announces. boundary: of multipart, else empty."""

    kind: Kind
    boundary: bytes = b""


def body_format(content_type: bytes) -> BodyFormat | Rejection:
    """Return the format that a Content-Type value announces, or why it is rejected (THREATS 3.5.6)."""
    match = _TYPE.fullmatch(content_type)
    if match is None or match[1].lower() not in _KINDS:
        return _UNSUPPORTED
    kind, rest, at = _KINDS[match[1].lower()], match[2], 0
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


def read_body(  # noqa: PLR0913 - a body, and the bounds within which it is read
    form: BodyFormat,
    body: bytes,
    action: str,
    resources: Lookalikes | None,
    *,
    depth: int,
    limit: int,
    region: str | None = None,
) -> Parameters | Rejection | None:
    """Return the parameters in a JSON or multipart body, None if they were not read, or a rejection.

    action: the name that was judged. resources: the parameters that name resources; None where the body is
    only searched for a name that decides. depth: of nesting in JSON, at most. limit: how many parameters
    there may be; each is counted as some JSON values. region: the call's, which a parameter `Region` must
    not contradict (DEC-64); None where the call names none, or `Region` is a parameter of the action's own.
    """
    if form.kind == "json":
        found = _read_json(body, action, resources, depth=depth, limit=limit)
        if region is not None and isinstance(found, dict) and found.get(REGION, region) != region:
            return _REGION
        return found
    if form.kind == "multipart":
        fields = _read_multipart(body, form.boundary, action, resources, limit=limit, region=region)
        if fields is None or isinstance(fields, Rejection):
            return fields
        return nested_parameters(tuple(fields.items()), resources)
    return None


def _read_json(
    body: bytes, action: str, resources: Lookalikes | None, *, depth: int, limit: int
) -> Parameters | Rejection | None:
    if b"\0" in body or body.startswith(_BOM):
        return _MALFORMED  # some readers detect UTF-16 and UTF-32, and some drop a byte order mark
    if not body or (resources is None and not _may_decide(body)):
        return None
    try:
        document = parse_json(body, depth=depth, most=limit * _VALUES_PER_PARAM)
    except TooManyValuesError:
        return _TOO_MANY
    except ValueError:
        return _MALFORMED
    return _members(document, action, resources, limit) if isinstance(document, dict) else None


def _members(
    document: dict[str, Any], action: str, resources: Lookalikes | None, limit: int
) -> Parameters | Rejection | None:
    """Return the members of an object that names no action but the one that was judged, or a rejection."""
    if len(document) > limit:
        return _TOO_MANY
    ambiguous = ambiguous_names(list(document), resources)
    if ambiguous is not None:
        return ambiguous
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
    return after is not None and any(low.find(name, max(0, after.start() - _LONGEST)) >= 0 for name in _NAMES)


def _read_multipart(  # noqa: PLR0913 - as read_body
    body: bytes,
    boundary: bytes,
    action: str,
    resources: Lookalikes | None,
    *,
    limit: int,
    region: str | None,
) -> Parameters | Rejection | None:
    if not body:
        return None
    fields = multipart_fields(body, boundary, limit)
    if isinstance(fields, Rejection):
        return fields
    ambiguous = ambiguous_names([name for name, _ in fields])
    if ambiguous is not None:
        return ambiguous
    actions = [value for name, value in fields if name == ACTION]
    if actions and actions[0] != action.encode():
        return _CONFLICT
    if region is not None and any(name == REGION and value != region.encode() for name, value in fields):
        return _REGION
    return None if resources is None else _parameters(fields, limit)


def _parameters(fields: Sequence[Field], limit: int) -> Parameters | None:
    """Return the parameters in fields, None where they could be read in two ways."""
    found: dict[str, Any] = {}
    most = limit * _VALUES_PER_PARAM
    cost = MOST_PARSE_COST - sum(len(value) for _, value in fields if value)  # the fields were searched
    for name, value in fields:
        if name in found:
            return None
        if value is None:
            found[name] = None  # a file names no resource
            continue
        try:
            if not value.lstrip(_JSON_BLANK).startswith((b"[", b"{")):
                found[name] = value.decode()
                continue
            # The vendor's clients write lists and objects as JSON. Those of all fields are counted together.
            prepared = prepare(value, most, cost)
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
        most -= sum(map(value.count, (b",", b"[", b"{")))
    return found
