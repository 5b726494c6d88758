"""Where a request comes from (THREATS 3.1).

Rule 1: only the socket's peer is a fact. A header counts if that peer is a trusted proxy, and then only the
        one configured header, read from its right end, which is the end that the proxy wrote.
Rule 2: a visited element that cannot be read refuses the request; it is never skipped (T09). What stands
        left of the client is never read (T10).
Rule 3: the answer belongs to one request. Nothing of it is kept for a connection (T19).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from camguard.bounded_cache import BoundedCache
from camguard.edge.refusal import refused
from camguard.engine.decision import Decision
from camguard.errors import AddressError
from camguard.ipset import IpSet, parse_address
from camguard.settings.model import ClientIpSettings

Method = Literal["peer", "forwarded"]

REWRITTEN: Final = "rewritten"
MOST_ELEMENTS: Final = 32
MOST_BYTES: Final = 4096
_MOST_NAMED: Final = 1000  # elements that may name the peer's own address
_LONGEST_PORT: Final = 65535
_BLANK: Final = " \t"

_V4_PORT = re.compile(r"([0-9.]{7,15}):([0-9]{1,5})", re.ASCII)
_V6_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::([0-9]{1,5}))?", re.ASCII)
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - RFC 9110's word for a run of name characters
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ELEMENT = re.compile(rf'(?:[^",]|{_QUOTED})*+')
_PAIR = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})", re.ASCII)

INVALID: Final = refused("client_ip_invalid")
_TOO_LONG: Final = refused("forwarded_too_long")


class Source(NamedTuple):
    """The address that conditions see, as a place on the number line, and how it was found."""

    place: int
    method: Method


class Peer(NamedTuple):
    """The other end of the socket.

    source: its own address as the client's; None behind a unix socket. trusted: whether it may say who the
    client is.
    """

    source: Source | None
    trusted: bool


def peer_of(client: str | None, trusted: IpSet, *, trust_unix_socket: bool = False) -> Peer | Decision:
    """Return the peer that a socket address names.

    client: as the kernel spells it, the zone of a link-local address included; None: there is none. A server
    that put a header's text in its place may have put anything there (T05): what is no address is refused.
    """
    if client is None:
        return Peer(None, trusted=True) if trust_unix_socket else INVALID
    address = client.partition("%")[0] if ":" in client else client
    try:
        place = parse_address(address)
    except AddressError:
        return INVALID
    return Peer(Source(place, "peer"), place in trusted)


def peer_text(client: Any, plain: Sequence[bytes] = ()) -> str | None:
    """Return the address in an ASGI scope's `client`, None where there is none.

    plain: the lines of `X-Forwarded-For`. A port of 0, or one that they name with that very address, means
    that no kernel wrote it: a server's proxy-header option did (T05). What is returned then is no address,
    whatever the text spells.
    """
    if not client:
        return None
    host, port = client
    if not isinstance(host, str) or port == 0:
        return REWRITTEN
    if plain and host:
        text = b",".join(plain)
        if b":" in text and _names(text, host, port):
            return REWRITTEN
    return host or None


def _names(text: bytes, host: str, port: object) -> bool:
    """Tell whether an element is this address with this port, read as generously as servers do.

    Elements that do not hold the address are passed over without being cut out.
    """
    whole = text.decode("latin-1")
    at = whole.find(host)
    for _ in range(_MOST_NAMED):
        if at < 0:
            return False
        end = whole.find(",", at)
        end = len(whole) if end < 0 else end
        address, _, said = whole[whole.rfind(",", 0, at) + 1 : end].strip().rpartition(":")
        if address.strip("[]") == host:
            with contextlib.suppress(ValueError):
                if int(said) == port:
                    return True
        at = whole.find(host, end)
    return True  # no proxy names one address that often, and no server reads as much


def client_address(
    peer: Peer, forwarded: tuple[bytes, ...], trusted: IpSet, header: str
) -> Source | Decision:
    """Return the client of a request, or why it cannot be told.

    forwarded: the lines of the configured header, in order. header: its name, which says its grammar.
    """
    if not peer.trusted or not forwarded:
        return INVALID if peer.source is None else peer.source
    text = b", ".join(forwarded).decode("latin-1")
    if len(text) > MOST_BYTES:
        return _TOO_LONG
    elements = _SPLIT[header](text)
    if elements is None:
        return INVALID
    if len(elements) > MOST_ELEMENTS:
        return _TOO_LONG
    place = None
    for element in reversed(elements):
        place = _READ[header](element.strip(_BLANK))
        if place is None or place not in trusted:
            break
    return INVALID if place is None else Source(place, "forwarded")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from.

    peer: the socket's address as text, None where it has none. trusted: whether it may speak for others.
    place: the client's address, None where it cannot be told. method: how that was found. refusal: why not.
    """

    peer: str | None
    trusted: bool
    place: int | None
    method: Method | Literal["invalid"]
    refusal: Decision | None


Said: TypeAlias = tuple[str | None, tuple[bytes, ...]]  # the socket's address, the lines of the header


class Origins:
    """Where requests come from, by settled rules. known: what addresses and headers came to."""

    def __init__(self, settings: ClientIpSettings) -> None:
        self._settings = settings
        self.known: BoundedCache[Said, Origin] = BoundedCache(
            self.origin, size=lambda said: sum(map(len, said[1]))
        )

    def origin(self, said: Said) -> Origin:
        """Return what a socket's address and the header's lines come to."""
        client, forwarded = said
        trusted = self._settings.trusted_proxies
        peer = peer_of(client, trusted, trust_unix_socket=self._settings.trust_unix_socket)
        if isinstance(peer, Decision):
            return Origin(None, trusted=False, place=None, method="invalid", refusal=peer)
        source = client_address(peer, forwarded, trusted, self._settings.header)
        if isinstance(source, Decision):
            return Origin(client, peer.trusted, None, "invalid", source)
        return Origin(client, peer.trusted, source.place, source.method, None)


def element_place(element: str) -> int | None:
    """Return the place of `IPv4`, `IPv4:port`, `IPv6`, `[IPv6]` or `[IPv6]:port`; None for anything else."""
    address, port = element, None
    match = _V4_PORT.fullmatch(element)
    if match is None and element.startswith("["):
        match = _V6_BRACKETED.fullmatch(element)
        if match is None or ":" not in match[1]:
            return None
    if match is not None:
        address, port = match[1], match[2]
    if port is not None and int(port) > _LONGEST_PORT:
        return None
    try:
        return parse_address(address)
    except AddressError:
        return None


def _split_plain(text: str) -> list[str] | None:
    return text.split(",")


def _split_quoted(text: str) -> list[str] | None:
    """Return the elements of a `Forwarded` value, None where a quote never ends.

    Elements behind the first one that is too many are left out.
    A quote that the client left open would take the proxy's own element into itself. The proxy's quotes
    come in pairs, so the last one then stays open and the request is refused.
    """
    elements = []
    at = 0
    while True:
        match = _ELEMENT.match(text, at)
        assert match is not None  # noqa: S101 - for mypy: the pattern matches nothing, too
        elements.append(match[0])
        at = match.end() + 1
        if match.end() == len(text) or len(elements) > MOST_ELEMENTS:
            return elements
        if text[match.end()] != ",":
            return None


def _pairs(element: str) -> Iterator[tuple[str, str] | None]:
    """Yield the parameters of an element, None where one is not well formed."""
    at = 0
    while True:
        match = _PAIR.match(element, at)
        yield match and (match[1].lower(), match[2])
        if match is None or match.end() == len(element):
            return
        if element[match.end()] != ";":
            yield None
            return
        at = match.end() + 1


def forwarded_place(element: str) -> int | None:
    """Return the place that the one `for` of an RFC 7239 element names; None for anything else."""
    node = None
    for pair in _pairs(element):
        if pair is None:
            return None
        if pair[0] == "for":
            if node is not None:
                return None
            node = pair[1]
    if node is None:
        return None
    if node.startswith('"'):
        node = node[1:-1]
    # A token holds no colon. Between quotes IPv6 must be in brackets (RFC 7239 section 6).
    return None if node.count(":") > 1 and not node.startswith("[") else element_place(node)


_SPLIT: Mapping[str, Callable[[str], list[str] | None]] = MappingProxyType(
    {"x-forwarded-for": _split_plain, "forwarded": _split_quoted}
)
_READ: Mapping[str, Callable[[str], int | None]] = MappingProxyType(
    {"x-forwarded-for": element_place, "forwarded": forwarded_place}
)
