"""The one frozen copy of a request's head: `Lines` as they came, and a `Head` of named fields made of them.

Rule 1: the copy is taken before the first `receive`: a server may append trailers to the list it handed over
        (T26). What is decided on and what goes on are this copy.
Rule 2: nothing is trimmed or folded. Servers differ in whether a value keeps its trailing blanks, so a blank
        in a header that decides is refused by that header's own grammar (T31); in an ordinary one it goes on.
Rule 3: a NUL, a line break or another control character is refused wherever it stands (T54, T55).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from camguard.bounded_cache import BoundedCache
from camguard.engine.decision import Decision
from camguard.fast_tuple import maker_of
from camguard.request.header_rules import Names, Shape
from camguard.request.rejection import refused
from camguard.settings.model import Settings

_CONTROLS = bytes((*range(32), 127))
_LINE_COST = 4  # ": " and the line's end
_SHAPES = 1024
_SHAPE_BYTES = 4096
_METHODS = frozenset(("GET", "POST"))

_METHOD = refused("method_not_allowed")
_PATH = refused("path_not_allowed")
_MALFORMED = refused("header_malformed")
_TOO_LARGE = refused("headers_too_large")
_QUERY_TOO_LARGE = refused("query_too_large")
_HOST_MISSING = refused("host_missing")


class Lines(NamedTuple):
    """What was received, found to be well formed, and of it what goes on.

    method: "GET" or "POST". received: every header line as it came; values: theirs, and None behind them.
    headers: those that go on. shape: what the names say.
    """

    method: str
    query: bytes
    received: tuple[tuple[bytes, bytes], ...]
    values: tuple[Any, ...]
    headers: tuple[tuple[bytes, bytes], ...]
    shape: Shape


class Head(NamedTuple):
    """What was received, by name: for whoever needs more than most requests ask for.

    received: every header line as it came. headers: those that go on. The fields behind them are single-line
    security headers, None where absent.
    """

    method: str  # "GET" or "POST"
    query: bytes
    received: tuple[tuple[bytes, bytes], ...]
    headers: tuple[tuple[bytes, bytes], ...]
    host: bytes
    authorization: bytes | None
    action: bytes | None
    version: bytes | None
    region: bytes | None
    timestamp: bytes | None
    token: bytes | None
    content_sha256: bytes | None
    content_type: bytes | None
    identity: bytes | None


_lines = maker_of(Lines)
_head = maker_of(Head)


class HeadRules:
    """What a head is read by, settled once."""

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self.lines = limits.header_lines
        self.bytes = limits.header_bytes
        self.value_bytes = limits.header_value_bytes
        self.query_bytes = limits.query_bytes
        names = Names(settings.identity.header.encode(), settings.client_ip.header.encode())
        self.shapes: BoundedCache[tuple[bytes, ...], Shape | Decision] = BoundedCache(
            names.shape, entries=_SHAPES, longest=_SHAPE_BYTES, size=lambda each: sum(map(len, each))
        )
        self.hops: BoundedCache[bytes, frozenset[bytes] | Decision] = BoundedCache(names.hops)


def read_lines(  # noqa: C901, PLR0911, PLR0912 - one check after the other; calls would cost what is checked
    scope: Mapping[str, Any], rules: HeadRules
) -> Lines | Decision:
    """Return the header lines of an ASGI `http` scope, or why they are refused (THREATS 3.5)."""
    received = tuple(scope["headers"])  # first of all: Rule 1
    method, query = scope["method"], scope["query_string"]
    if method not in _METHODS:
        return _METHOD
    if scope["path"] != "/" or (scope.get("raw_path") or b"/") != b"/":
        return _PATH
    if len(query) > rules.query_bytes:
        return _QUERY_TOO_LARGE
    if len(received) > rules.lines:
        return _TOO_LARGE
    if not received:
        return _HOST_MISSING
    names, values = zip(*received)  # noqa: B905 - pairs, by the ASGI specification
    text = b" ".join(values)
    size = len(text)
    if size > rules.value_bytes and max(map(len, values)) > rules.value_bytes:
        return _TOO_LARGE
    shape = rules.shapes[names]
    if isinstance(shape, Decision):
        return shape
    if size + shape.size + _LINE_COST * len(names) > rules.bytes:
        return _TOO_LARGE
    if len(text.translate(None, _CONTROLS)) != size and not _tabs_alone(values, shape):
        return _MALFORMED
    for demand in shape.demands:
        if values[demand.place].lower() != demand.value:
            return demand.refusal
    stay = shape.stays(received)
    if shape.connection:  # its lines are one list (RFC 9110 5.3), and bounded as one
        dropped = rules.hops[b",".join([values[place] for place in shape.connection])]
        if isinstance(dropped, Decision):
            return dropped
        if dropped:
            stay = tuple([line for line in stay if line[0] not in dropped])
    return _lines((method, query, received, (*values, None), stay, shape))


def head_of(lines: Lines) -> Head:
    """Return the named fields of header lines."""
    method, query, received, values, headers, shape = lines
    return _head((method, query, received, headers, *shape.fields(values)))


def _tabs_alone(values: tuple[bytes, ...], shape: Shape) -> bool:
    """Tell whether the only control characters are tabs, in headers that decide nothing."""
    if any(value.translate(None, _CONTROLS) != value.replace(b"\t", b"") for value in values):
        return False
    return not any(b"\t" in values[place] for place in shape.single)
