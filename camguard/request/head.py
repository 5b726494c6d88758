"""The head of one request, frozen and read by name.

A server hands over a list of header lines and may go on writing to it: trailers of a chunked body arrive
while the body is read. So the list is copied once, before the first `receive`, and everything that is decided
and everything that goes on is taken from the copy. Clients send the same header names in the same order call
after call; what a sequence of names means is therefore settled once, as a `HeaderLayout` (header_rules.py),
and a request only picks its values by position. The values that together name client, service, action and
caller form the `target_key`, by which `enforcement.target` caches the resolved `Target`.

Rule 1: the copy is taken before the first `receive` (T26).
Rule 2: nothing is trimmed or folded. Servers differ in whether a value keeps its trailing blanks, so a blank
        in a header that decides is refused by the grammar of that header (T31); in an ordinary header it goes
        on.
Rule 3: a NUL, a line break or another control character is refused wherever it stands (T54, T55).
Rule 4: where the server may have put trailers among the headers, a request that may have trailers is refused
        (T139).
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from camguard.bounded_cache import BoundedCache
from camguard.fast_tuple import constructor_of
from camguard.request.header_rules import HeaderLayout, HeaderRules
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import Settings

# In the `extensions` of a scope: the server keeps trailers out of `headers`, whenever they arrive.
TRAILERS_APART: Final = "camguard.trailers_apart"
_MOST_NAMED: Final = 1000  # elements that may name the address of the peer
REWRITTEN: Final = "rewritten"  # in place of a peer's address that did not come from the socket

CONTROLS: Final = bytes((*range(32), 127))
LINE_COST: Final = 4  # ": " and the line's end
_LAYOUTS: Final = 1024
_LAYOUT_BYTES: Final = 4096
LENGTH_DIGITS: Final = 18
MOST_UNPACKED: Final = 128  # lines; to compile a function for as many takes some milliseconds
_METHODS: Final = frozenset(("GET", "POST"))
# The versions in which a request without length and coding has no body.
_HTTP_1: Final = frozenset(("1.0", "1.1"))

_METHOD: Final = rejection("method_not_allowed")
PATH: Final = rejection("path_not_allowed")
_MALFORMED: Final = rejection("header_malformed")
_TOO_LARGE: Final = rejection("headers_too_large")
_QUERY_TOO_LARGE: Final = rejection("query_too_large")
_HOST_MISSING: Final = rejection("host_missing")
_TRAILERS: Final = rejection("trailers_possible")
_FRAMING: Final = rejection("framing")

Line: TypeAlias = tuple[bytes, bytes]
Lines: TypeAlias = tuple[Line, ...]
# Method, the peer's address as text, host, content type, action, version, region, identity and attributes as
# the headers have them (None where absent), then the lines of the forwarding header.
TargetKey: TypeAlias = tuple[Any, ...]
Correlation: TypeAlias = tuple[str | None, str | None]

NO_CORRELATION: Final[Correlation] = (None, None)
# W3C Trace Context, `traceparent`: version, trace id, parent id, flags; only versions after 00 may go on.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,200})?"
)
_SENT_REQUEST_ID: Final = re.compile(rb"[0-9A-Za-z._:/+=@-]{1,128}")


# Takes header lines apart: returns their names, and the values of each group of places.
Unpacker: TypeAlias = Callable[[Sequence[Line]], tuple[tuple[Any, ...], ...]]


def unpacker(count: int, *groups: tuple[int | None, ...]) -> Unpacker:
    """Return a function that takes so many header lines apart. It raises ValueError for what is no pair.

    groups: places of lines, None for a value that is always None. One statement that unpacks all pairs costs
    a third of `zip(*lines)`, and tuples of what it unpacked cost a quarter of an itemgetter. But its text
    depends on the number of lines and on the places, and is made of these alone.
    """
    pairs = "".join(f"(n{place},v{place})," for place in range(count))
    names = "".join(f"n{place}," for place in range(count))
    values = ("".join("None," if place is None else f"v{place}," for place in group) for group in groups)
    found = ", ".join(f"({each})" for each in (names, *values))
    made: dict[str, Unpacker] = {}
    exec(f"def unpacked(lines):\n    {pairs} = lines\n    return {found}", made)  # noqa: S102
    return made["unpacked"]


def _unpacker_of(count: int) -> Unpacker:
    return unpacker(count, tuple(range(count))) if count <= MOST_UNPACKED else _unpack_by_zip


def _unpack_by_zip(lines: Sequence[Line]) -> tuple[tuple[Any, ...], ...]:
    names, values = zip(*lines, strict=True)
    return names, values


# By the number of lines. These unpackers have one group, of all places.
UNPACKER_OF: Final[BoundedCache[int, Unpacker]] = BoundedCache(_unpacker_of, longest=MOST_UNPACKED, size=int)


class RequestHead(NamedTuple):
    """One request before its body. All values are bytes as they were received, None where absent.

    request_id: drawn for this request, in every record and answer of it. method: "GET" or "POST". lines:
    every header line, its name in lower case. ended: the places of the lines that do not go on, the last one
    first. declared: the length of the body in bytes, None where it is not declared. correlation: the trace id
    and the request id that the caller named, as `correlation_of` returns them.
    """

    request_id: str
    method: str
    query: bytes
    lines: tuple[Line, ...]
    ended: tuple[int, ...]
    layout: HeaderLayout
    declared: int | None
    target_key: TargetKey
    host: bytes
    content_type: bytes | None
    action: bytes | None
    version: bytes | None
    region: bytes | None
    identity: bytes | None
    authorization: bytes | None
    timestamp: bytes | None
    token: bytes | None
    content_sha256: bytes | None
    correlation: Correlation

    def onward(self) -> list[Line]:
        """Return the lines that go on; a list, as frameworks expect it."""
        lines = list(self.lines)
        for place in self.ended:
            del lines[place]
        return lines


new_head = constructor_of(RequestHead)


class HeadRules:
    """The rules by which heads are read, settled once from the settings."""

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self.lines = limits.header_lines
        self.bytes = limits.header_bytes
        self.value_bytes = limits.header_value_bytes
        self.query_bytes = limits.query_bytes
        self.health_path = None if settings.hosts.health_path is None else settings.hosts.health_path.encode()
        self.merged_trailers_allowed = settings.enforcement.allow_merged_trailers
        rules = HeaderRules(
            settings.identity.header.encode(),
            settings.client_ip.header.encode(),
            settings.attributes.header.encode(),
        )
        self.layouts: BoundedCache[tuple[bytes, ...], HeaderLayout | Rejection] = BoundedCache(
            rules.layout, entries=_LAYOUTS, longest=_LAYOUT_BYTES, size=lambda each: sum(map(len, each))
        )
        self.hops: BoundedCache[bytes, frozenset[bytes] | Rejection] = BoundedCache(rules.hops)


def read_head(  # noqa: C901, PLR0911, PLR0912 - one check after the other; calls would cost as much as the checks
    scope: Mapping[str, Any], rules: HeadRules
) -> RequestHead | Rejection:
    """Return the head of an ASGI `http` scope, or why the request is rejected (THREATS 3.5)."""
    lines = tuple(scope["headers"])  # before anything else: Rule 1
    method, query = scope["method"], scope["query_string"]
    if method not in _METHODS:
        return _METHOD
    apart = scope["path"] != "/" or (scope.get("raw_path") or b"/") != b"/" or scope.get("root_path")
    if apart and (not _is_root_of_mount(scope) or scope.get("raw_path") == rules.health_path is not None):
        return PATH
    if len(query) > rules.query_bytes:
        return _QUERY_TOO_LARGE
    if len(lines) > rules.lines:
        return _TOO_LARGE
    if not lines:
        return _HOST_MISSING
    names, values = UNPACKER_OF[len(lines)](lines)
    text = b" ".join(values)
    size = len(text)
    if size > rules.value_bytes and max(map(len, values)) > rules.value_bytes:
        return _TOO_LARGE
    layout = rules.layouts[names]
    if isinstance(layout, Rejection):
        return layout
    if size + layout.size + LINE_COST * len(names) > rules.bytes:
        return _TOO_LARGE
    if len(text.translate(None, CONTROLS)) != size and not _only_harmless_tabs(values, layout):
        return _MALFORMED
    for required in layout.required:
        if values[required.place].lower() != required.value:
            return required.rejection
    ended = layout.ended
    if layout.connection:  # its lines are one list (RFC 9110 5.3), and bounded as one
        dropped = rules.hops[b",".join([values[place] for place in layout.connection])]
        if isinstance(dropped, Rejection):
            return dropped
        if dropped:
            ended = tuple(
                [place for place in reversed(range(len(names))) if place in ended or names[place] in dropped]
            )
    values = (*values, None)
    declared: int | None = None
    length = values[layout.length]
    if length is not None:
        if not length.isdigit() or len(length) > LENGTH_DIGITS:
            return _FRAMING
        declared = int(length)
    elif not rules.merged_trailers_allowed and _may_have_trailers(scope, method, layout):
        return _TRAILERS
    key = (method, peer_address(scope.get("client"), layout.forwarded_for(values)), *layout.deciding(values))
    return new_head(
        (
            new_request_id(),
            method,
            query,
            lines,
            ended,
            layout,
            declared,
            key,
            *key[2:8],
            *layout.signing(values),
            NO_CORRELATION if layout.correlating is None else correlation_of(*layout.correlating(values)),
        )
    )


def _is_root_of_mount(scope: Mapping[str, Any]) -> bool:
    """Tell whether the path is the `root_path` of a mounted application, with `/` behind it or not (T128).

    Both spellings of the path must be it, byte for byte; one that is escaped or no ASCII never is.
    """
    root, path, raw = scope.get("root_path"), scope["path"], scope.get("raw_path")
    if not root or path not in {root, f"{root}/"}:
        return False
    return not raw or (path.isascii() and raw == path.encode())


def _only_harmless_tabs(values: tuple[bytes, ...], layout: HeaderLayout) -> bool:
    """Tell whether the only control characters are tabs, in headers that decide nothing."""
    if any(value.translate(None, CONTROLS) != value.replace(b"\t", b"") for value in values):
        return False
    return not any(b"\t" in values[place] for place in layout.single)


def _may_have_trailers(scope: Mapping[str, Any], method: str, layout: HeaderLayout) -> bool:
    """Tell whether the headers of a request without a declared length may hold its trailers (T139).

    Trailers follow a chunked body, and over HTTP/2 and later any body without a length. A GET counts only
    where it is chunked: it may have no body, every client sends it without a length over HTTP/2, and no
    server was found that merges trailers of HTTP/2 (SECURITY.md).
    """
    possible = layout.chunked or (method != "GET" and scope.get("http_version") not in _HTTP_1)
    return possible and TRAILERS_APART not in (scope.get("extensions") or ())


def peer_address(client: Any, forwarded_for: Sequence[bytes] = ()) -> str | None:
    """Return the address in an ASGI scope's `client` as text, or None if the scope has no address.

    forwarded_for: the lines of `X-Forwarded-For`. A port of 0, or a port that these lines name with that very
    address, shows that the address did not come from the kernel: the proxy-header option of a server took it
    from a header (T05). Then the result is a word that is no address.
    """
    if not client:
        return None
    host, port = client
    if not isinstance(host, str) or port == 0:
        return REWRITTEN
    if forwarded_for and host:
        text = b",".join(forwarded_for).decode("latin-1")
        if ":" in text and _names(text, host, port):
            return REWRITTEN
    return host or None


def _names(whole: str, host: str, port: object) -> bool:
    """Tell whether an element of a list is this address with this port, parsed as leniently as servers do.

    Brackets, blanks and any integer for a port are accepted. Elements without the address are not cut out.
    """
    at = whole.find(host)
    for _ in range(_MOST_NAMED):
        if at < 0:
            return False
        end = whole.find(",", at)
        end = len(whole) if end < 0 else end
        address, _, its_port = whole[whole.rfind(",", 0, at) + 1 : end].strip().rpartition(":")
        if address.strip("[]") == host:
            with contextlib.suppress(ValueError):
                if int(its_port) == port:
                    return True
        at = whole.find(host, end)
    return True  # no proxy names one address that often, and no server reads as much


def correlation_of(traceparent: bytes | None, request_id: bytes | None) -> Correlation:
    """Return the trace id in `traceparent` and the id in `X-Request-Id`, for records only (T112, T114).

    A value that is not well formed, or not short, is None: what a caller cannot spell cannot mislead a reader
    of the log. Source: W3C Trace Context, `traceparent`.
    """
    trace = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    if trace is not None and trace[1] == b"00" and trace[3] is not None:
        trace = None
    named = None if request_id is None else _SENT_REQUEST_ID.fullmatch(request_id)
    return (
        None if trace is None else trace[2].decode("ascii"),
        None if named is None else named[0].decode("ascii"),
    )


# Request ids are version 4 UUIDs. One is drawn for each batch of 256, and its last two digits count: an id
# has 114 random bits, and costs 0.1 µs instead of the 2.5 of `uuid.uuid4`.
_COUNTED: Final = tuple(f"{number:02x}" for number in range(256))
READY_IDS: list[str] = []

os.register_at_fork(after_in_child=READY_IDS.clear)  # else parent and child would use the same ids


def new_request_id() -> str:
    """Return a UUID of version 4 (RFC 9562 5.4), in lower case."""
    try:
        return READY_IDS.pop()
    except IndexError:
        drawn = str(uuid.uuid4())[:-2]
        READY_IDS.extend([drawn + digits for digits in _COUNTED])
        return READY_IDS.pop()
