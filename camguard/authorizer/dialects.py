"""The dialects in which proxies tell the request that they ask about, and its translation to that request.

A proxy sends a request of its own, the subrequest, whose headers are those of the client but for a few in
which the proxy tells the facts: method, URI, host and client address. `original` turns the scope of a
subrequest into the scope of the request that the client sent. The guard then judges it like any other.

Rule 1: each fact has one place in each dialect. A place that is empty or filled twice is refused: the
        subrequest itself is never judged in place of the request (T140).
Rule 2: nothing is normalised. The path of the subrequest is looked up byte for byte, and the path of the
        request is `/` (T140).
Rule 3: a body that is not shown is not an empty body. Only where the settings list the dialect, and the
        mark of the dialect does not contradict, are the bytes of the subrequest those of the request (T141).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Final, NamedTuple

from camguard.bounded_cache import BoundedCache
from camguard.fast_tuple import constructor_of
from camguard.request.body import Receive, show_nothing
from camguard.request.head import Line, Lines
from camguard.request.header_rules import taker
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import AuthorizerSettings, DialectName

HOST: Final = b"host"
FORWARDED_FOR: Final = b"x-forwarded-for"
_SEQUENCES: Final = 1024  # of header names that are remembered for each dialect
_SEQUENCE_BYTES: Final = 4096
# Of a request whose body is not shown: the guard recognises requests with a declared length.
_NO_LENGTH: Final[Line] = (b"content-length", b"0")
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))
_NAME: Final = itemgetter(0)

# A target in origin form (RFC 9112 3.2.1) whose path is "/": no fragment, no blank, no control character.
_ROOT: Final = re.compile(rb"/(?:\?([^#\x00-\x20\x7f]*))?")
_URL: Final = re.compile(rb"https?://([^/?#\x00-\x20\x7f]+)(/.*)", re.DOTALL)

_HEADER_INVALID: Final = rejection("front_header_invalid")
_PATH: Final = rejection("path_not_allowed")
_ADDRESS_INVALID: Final = rejection("client_ip_invalid")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where one kind of proxy tells the facts of a request. Names are in lower case, as ASGI spells them.

    name: as the settings spell it. path: the raw path of every subrequest. method, uri: the headers that
    hold them; None where the subrequest has the method and the query of the request itself. host: the header
    that holds it; None where `uri` holds a whole URL. address: the header that holds the client's address.
    lists_addresses: whether it may be a list, whose trusted end is skipped. mark: the header that tells
    whether the body was cut, and the one value which says that it was not; None where there is none.
    posts: whether the subrequest that shows a body is a POST; a GET of such a dialect shows no body.
    """

    name: DialectName
    path: bytes
    method: bytes | None
    uri: bytes | None
    host: bytes | None
    address: bytes
    lists_addresses: bool = False
    mark: tuple[bytes, bytes] | None = None
    posts: bool = False


# auth_request asks with a GET whatever the client sent; the script of `camguard front nginx-js` asks about a
# POST with a POST.
_NGINX = Dialect(
    "nginx",
    b"/authz/nginx",
    b"x-original-method",
    b"x-original-uri",
    b"x-original-host",
    b"x-real-ip",
    posts=True,
)
_INGRESS = Dialect(
    "nginx", b"/authz/nginx", b"x-original-method", b"x-original-url", None, b"x-real-ip", posts=True
)
_HAPROXY = Dialect(
    "haproxy", b"/authz/haproxy", b"x-original-method", b"x-original-uri", b"x-original-host", b"x-real-ip"
)
_ENVOY = Dialect(
    "envoy",
    b"/authz/envoy/",
    None,
    None,
    HOST,
    b"x-camguard-client-ip",
    mark=(b"x-envoy-auth-partial-body", b"false"),
)
_FORWARDED = (b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host", FORWARDED_FOR, True)
_FORWARD = Dialect("forward", b"/authz/forward", *_FORWARDED)
_APISIX = Dialect("apisix", b"/authz/apisix", *_FORWARDED)


class Places(NamedTuple):
    """What a sequence of header names comes to before any value is looked at.

    Each function takes all header lines and returns some of them. facts: those of method, URI, host and
    address, in this order; where the dialect tells one of these otherwise, any line stands for it. addresses:
    all lines of the address; None where it is the one of `facts`. mark: that of the mark; None where it is
    missing or stands twice. hidden: the lines of the request where its body is not shown. shown: the same
    with those that frame the body.
    """

    facts: Callable[[Lines], tuple[Line, Line, Line, Line]]
    addresses: Callable[[Lines], Lines] | None
    mark: int | None
    hidden: Callable[[Lines], Lines]
    shown: Callable[[Lines], Lines]


class Reader(NamedTuple):
    """A dialect, ready to read. places: by the names of a subrequest; proxies send the same ones again."""

    dialect: Dialect
    shows_bodies: bool
    places: BoundedCache[tuple[bytes, ...], Places | Rejection]


def readers(settings: AuthorizerSettings) -> Mapping[bytes, Reader]:
    """Return the reader of each dialect by the raw path of its subrequests."""
    nginx = _INGRESS if settings.nginx == "ingress" else _NGINX
    return {
        each.path: Reader(
            each,
            each.name in settings.bodies,
            BoundedCache(
                partial(_places, each),
                entries=_SEQUENCES,
                longest=_SEQUENCE_BYTES,
                size=lambda names: sum(map(len, names)),
            ),
        )
        for each in (nginx, _HAPROXY, _ENVOY, _FORWARD, _APISIX)
    }


def _places(dialect: Dialect, names: tuple[bytes, ...]) -> Places | Rejection:
    """Return where a subrequest with these names has the facts of a dialect, or which fact it has not.

    A header of a fact that stands twice tells none (Rule 1), but for the address where it may be a list.
    """
    named = tuple(filter(None, (dialect.method, dialect.uri, dialect.host)))
    if any(names.count(name) != 1 for name in named):
        return _HEADER_INVALID
    count = names.count(dialect.address)
    if not count or (count > 1 and not dialect.lists_addresses):
        return _ADDRESS_INVALID
    address = names.index(dialect.address)
    facts = [names.index(name) if name else address for name in (dialect.method, dialect.uri, dialect.host)]
    mark = None if dialect.mark is None else dialect.mark[0]
    taken = {*named, mark, dialect.address, HOST, FORWARDED_FOR, *_FRAMING}
    hidden = tuple(at for at, name in enumerate(names) if name not in taken)
    framing = tuple(at for at, name in enumerate(names) if name in _FRAMING)
    addresses = tuple(at for at, name in enumerate(names) if name == dialect.address)
    return Places(
        itemgetter(*facts, address),
        taker(addresses) if count > 1 else None,
        names.index(mark) if mark is not None and names.count(mark) == 1 else None,
        taker(hidden),
        taker(hidden + framing),
    )


class OriginalRequest(NamedTuple):
    """The request that a proxy asks about: what `Guard.handle` takes."""

    scope: dict[str, Any]
    receive: Receive


_original_request = constructor_of(OriginalRequest)


def original(  # noqa: C901, PLR0911, PLR0912 - one check after the other; calls would cost as much as the checks
    scope: Mapping[str, Any], receive: Receive, reader: Reader
) -> OriginalRequest | Rejection:
    """Return the request that a subrequest asks about, or why it cannot be read."""
    headers = tuple(scope["headers"])
    if not headers:
        return _HEADER_INVALID
    dialect, shows_bodies, known = reader
    places = known[tuple(map(_NAME, headers))]
    if isinstance(places, Rejection):
        return places
    take, addresses, mark, hidden, shown = places
    (_, written), (_, uri), (_, host), (_, address) = take(headers)
    if dialect.method is None:
        method, query = scope["method"], scope["query_string"]
        if not host:
            return _HEADER_INVALID
    else:
        if dialect.host is None:
            url = _URL.fullmatch(uri)
            if url is None:
                return _HEADER_INVALID
            host, uri = url.groups()
        if not written or not uri or not host:
            return _HEADER_INVALID
        method, query = written.decode("latin-1"), b""
        if uri != b"/":
            target = _ROOT.fullmatch(uri)
            if target is None:
                return _PATH
            query = target[1] or b""
    if addresses is not None:
        address = b",".join([value for _, value in addresses(headers)])  # of one list (RFC 9110 5.3)
    if not address or (not dialect.lists_addresses and b"," in address):
        return _ADDRESS_INVALID
    if (
        shows_bodies
        and (dialect.mark is None or (mark is not None and headers[mark][1] == dialect.mark[1]))
        and (not dialect.posts or scope["method"] == "POST")
    ):
        lines = [*shown(headers), (HOST, host), (FORWARDED_FOR, address)]
    else:
        receive = show_nothing
        lines = [*hidden(headers), (HOST, host), (FORWARDED_FOR, address)]
        if method != "GET":
            lines.append(_NO_LENGTH)
    onward = {
        "type": "http",
        "method": method,
        "path": "/",
        "raw_path": b"/",
        "query_string": query,
        "headers": lines,
        "client": scope.get("client"),
        "http_version": scope.get("http_version"),
        "extensions": scope.get("extensions"),
    }
    return _original_request((onward, receive))
