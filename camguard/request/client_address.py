"""Where a request comes from (THREATS 3.1).

Rule 1: only the socket's peer is a fact. A header counts if that peer is a trusted proxy, and then only the
        one configured header, read from its right end, which is the end that the proxy wrote.
Rule 2: a visited element that cannot be read refuses the request; it is never skipped (T09). What stands
        left of the client is never read (T10).
Rule 3: the answer belongs to one request. Nothing of it is kept for a connection (T19).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from camguard.bounded_cache import BoundedCache
from camguard.errors import AddressError
from camguard.ipset import IpSet, parse_address
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import ClientIpSettings

Method = Literal["peer", "forwarded", "invalid"]

MOST_ELEMENTS: Final = 32
MOST_BYTES: Final = 4096
_LONGEST_PORT: Final = 65535
_BLANK: Final = " \t"

_V4_PORT = re.compile(r"([0-9.]{7,15}):([0-9]{1,5})", re.ASCII)
_V6_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::([0-9]{1,5}))?", re.ASCII)
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - RFC 9110's word for a run of name characters
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ELEMENT = re.compile(rf'(?:[^",]|{_QUOTED})*+')
# Pairs may be empty, and blanks may stand around `;` (RFC 7239 4, T126).
_PAIR = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})(?:[ \t]*+;[ \t;]*+|\Z)", re.ASCII)
_EMPTY_PAIRS: Final = _BLANK + ";"

INVALID: Final = rejection("client_ip_invalid")
_TOO_LONG: Final = rejection("forwarded_too_long")


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Where a request comes from.

    peer: the address of the socket as text, None behind a unix socket or where it is not an address. trusted:
    whether the peer may say who the client is. place: the client's address on the number line, None where it
    cannot be determined; rejection says why.
    """

    peer: str | None
    trusted: bool
    place: int | None
    method: Method
    rejection: Rejection | None = None


AddressKey: TypeAlias = tuple[str | None, tuple[bytes, ...]]  # peer as text, lines of the forwarding header


class AddressRules:
    """Determines client addresses by the settings. known: the address by `AddressKey`, remembered."""

    def __init__(self, settings: ClientIpSettings) -> None:
        self._trusted_proxies = settings.trusted_proxies
        self._trust_unix_socket = settings.trust_unix_socket
        self._header = settings.header
        self.known: BoundedCache[AddressKey, ClientAddress] = BoundedCache(
            self.find, size=lambda key: sum(map(len, key[1]))
        )

    def find(self, key: AddressKey) -> ClientAddress:
        """Return the address of a client, or why it cannot be determined."""
        peer, forwarded = key
        own = None if peer is None else socket_place(peer)
        if own is None and (peer is not None or not self._trust_unix_socket):
            return ClientAddress(None, trusted=False, place=None, method="invalid", rejection=INVALID)
        trusted = own is None or own in self._trusted_proxies
        if not trusted or not forwarded:
            rejected = INVALID if own is None else None
            return ClientAddress(peer, trusted, own, "peer" if rejected is None else "invalid", rejected)
        client = forwarded_client(forwarded, self._trusted_proxies, self._header)
        if isinstance(client, Rejection):
            return ClientAddress(peer, trusted, None, "invalid", client)
        return ClientAddress(peer, trusted, client, "forwarded")


def socket_place(peer: str) -> int | None:
    """Return the address of a socket's peer on the number line, None for text that is no address.

    peer: as the kernel spells it, the zone of a link-local address included. A server that put a header's
    text in its place may have put anything there (T05).
    """
    try:
        return parse_address(peer.partition("%")[0] if ":" in peer else peer)
    except AddressError:
        return None


def forwarded_client(lines: tuple[bytes, ...], trusted: IpSet, header: str) -> int | Rejection:
    """Return the place on the number line of the client that a trusted proxy names, or a rejection.

    lines: of the configured header, in order, at least one. header: its name, which determines its grammar.
    """
    text = b", ".join(lines).decode("latin-1")
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
    return INVALID if place is None else place


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
    """Yield the parameters of an element but for the empty ones, None where one is not well formed."""
    element = element.lstrip(_EMPTY_PAIRS)
    at = 0
    while at < len(element):
        match = _PAIR.match(element, at)
        if match is None:
            yield None
            return
        yield match[1].lower(), match[2]
        at = match.end()


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
