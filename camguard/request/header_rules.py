"""What each header name means here, and what a sequence of names comes to.

Rule 1: a client sends the same names in the same order, call after call. Such a sequence is judged once and
        becomes a `Shape`; a request is then read by position, and only values are looked at.
Rule 2: a header that decides anything stands once and is spelled one way. `x_tc_action` and whatever else a
        reader behind us may take for `x-tc-action` is refused (T24, T35, T70).
Rule 3: what only a proxy may say is never passed on, whoever said it (T06, T46, THREATS 3.4.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from operator import itemgetter
from typing import Any, TypeAlias

from camguard.engine.decision import Decision
from camguard.request.rejection import refused

Take: TypeAlias = Callable[[tuple[Any, ...]], tuple[Any, ...]]


class Role(Enum):
    """What becomes of a header."""

    ORDINARY = auto()  # goes on as it is
    SINGLE = auto()  # decides or frames: stands once, goes on
    IDENTITY = auto()  # as SINGLE, and ends here
    FORWARDED = auto()  # the one header that names the client; ends here
    CONNECTION = auto()  # may name others; ends here
    HOP = auto()  # of this connection alone; ends here
    SPOOF = auto()  # names who, whence or whither, and is never believed; ends here
    UPGRADE = auto()  # refused


# The fields of a Head that are one header each, in its order.
FIELDS = (
    b"host",
    b"authorization",
    b"x-tc-action",
    b"x-tc-version",
    b"x-tc-region",
    b"x-tc-timestamp",
    b"x-tc-token",
    b"x-tc-content-sha256",
    b"content-type",
)
DECIDING = (b"host", b"content-type", b"x-tc-action", b"x-tc-version", b"x-tc-region")
PLAIN = b"x-forwarded-for"  # what servers make a peer of
EXPECT = b"expect"
_SINGLE = frozenset((*FIELDS, b"content-length", b"content-encoding", b"transfer-encoding"))
_SINGLE_PREFIXES = (b"x-tc-", b"content-")
_HOP = frozenset(
    (
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"trailers",
        EXPECT,
        b"http2-settings",
    )
)
# Client addresses, targets, methods and users as proxies write them and applications believe them.
_SPOOF = frozenset(
    (
        b"forwarded",
        b"x-forwarded-for",
        b"x-real-ip",
        b"x-client-ip",
        b"client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"cf-connecting-ipv6",
        b"cf-pseudo-ipv4",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"do-connecting-ip",
        b"x-appengine-user-ip",
        b"x-azure-clientip",
        b"x-azure-socketip",
        b"x-proxyuser-ip",
        b"proxy-client-ip",
        b"wl-proxy-client-ip",
        b"http-client-ip",
        b"http-x-forwarded-for",
        b"x-originating-ip",
        b"x-forwarded",
        b"forwarded-for",
        b"x-remote-ip",
        b"x-remote-addr",
        b"remote-addr",
        b"x-host",
        b"x-rewrite-url",
        b"x-override-url",
        b"x-tc-service",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"remote-user",
        b"remote-name",
        b"remote-email",
        b"remote-groups",
        b"x-user",
        b"x-userinfo",
        b"x-authenticated-user",
        b"x-authenticated-userid",
        b"x-credential-username",
        b"ssl-client-s-dn",
        b"ssl-client-verify",
    )
)
_SPOOF_PREFIXES = (
    b"x-forwarded-",
    b"x-original-",
    b"x-remote-",
    b"x-auth-request-",
    b"x-webauth-",
    b"x-envoy-",
    b"x-camguard-",
)
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]{1,256}")  # a token (RFC 9110 5.6.2) as ASGI spells it
# Letters and digits stay, all else becomes `-`.
_PLAIN = bytes(byte if byte in b"0123456789abcdefghijklmnopqrstuvwxyz" else 0x2D for byte in range(256))
_LONGEST_CONNECTION = 1024
_DUPLICATE = refused("header_duplicate")
_ALIAS = refused("header_alias")
_MALFORMED = refused("header_malformed")
_UPGRADE = refused("upgrade_refused")
_FRAMING = refused("framing")
_HOST_MISSING = refused("host_missing")
_TOO_LARGE = refused("headers_too_large")
_STAYS = frozenset((Role.ORDINARY, Role.SINGLE))
_ONCE = frozenset((Role.SINGLE, Role.IDENTITY))

# Of these one value is accepted, case aside; another is refused as the detail behind it says.
_ONLY = {
    b"transfer-encoding": (b"chunked", _FRAMING),
    b"content-encoding": (b"identity", refused("content_encoding")),
    EXPECT: (b"100-continue", refused("expectation_failed")),
}


@dataclass(frozen=True, slots=True)
class Demand:
    """The value at `place`, in lower case, is `value`, or the request is refused."""

    place: int
    value: bytes
    refusal: Decision


@dataclass(frozen=True, slots=True)
class Shape:
    """What a sequence of names says before any value is looked at. Indices are places in the sequence.

    size: bytes of all names. fields: takes the values and None behind them, gives those of Head's fields.
    deciding: takes the same, gives what says from where, who and what: DECIDING, the identity and the lines
    of the forwarding header. stays: takes the lines, gives those that go on. plain: takes the values, gives
    those of X-Forwarded-For. length: of the declared length, -1 where there is none. single: of one line
    each. chunked: whether the body comes without a declared length. signed: whether there is an
    `Authorization`. waits: whether the client waits to be asked for its body (`Expect`).
    """

    size: int
    fields: Take
    deciding: Take
    stays: Take
    plain: Take
    length: int
    single: tuple[int, ...]
    connection: tuple[int, ...]
    demands: tuple[Demand, ...]
    chunked: bool
    signed: bool
    waits: bool


class Names:
    """The meaning of every name, settled by which headers carry identity and client address.

    identity, forwarded: in lower case.
    """

    def __init__(self, identity: bytes, forwarded: bytes) -> None:
        self._fields = (*FIELDS, identity)
        self._deciding = (*DECIDING, identity)
        self._roles: dict[bytes, Role] = {
            **dict.fromkeys(_SPOOF, Role.SPOOF),
            **dict.fromkeys(_HOP, Role.HOP),
            **dict.fromkeys(_SINGLE, Role.SINGLE),
            b"upgrade": Role.UPGRADE,
            b"connection": Role.CONNECTION,
            forwarded: Role.FORWARDED,
            identity: Role.IDENTITY,
        }
        self._twins = {_plain(name): role for name, role in self._roles.items()}

    def role(self, name: bytes) -> Role | Decision:
        """Return the role of a name, or why it may not be there."""
        if not _NAME.fullmatch(name):
            return _MALFORMED
        role = self._known(name, self._roles)
        if role is not Role.ORDINARY:
            return role
        plain = _plain(name)
        twin = Role.ORDINARY if plain == name else self._known(plain, self._twins)
        return twin if twin in {Role.ORDINARY, Role.SPOOF} else _ALIAS

    def _known(self, name: bytes, roles: dict[bytes, Role]) -> Role:
        found = roles.get(name)
        if found is not None:
            return found
        if name.startswith(_SPOOF_PREFIXES):
            return Role.SPOOF
        return Role.SINGLE if name.startswith(_SINGLE_PREFIXES) else Role.ORDINARY

    def shape(self, names: tuple[bytes, ...]) -> Shape | Decision:
        """Return what a sequence of names comes to, or why it is refused."""
        roles: list[Role] = []
        for name in names:
            role = self.role(name)
            if isinstance(role, Decision):
                return role
            roles.append(role)
        once = [name for name, role in zip(names, roles, strict=True) if role in _ONCE]
        if len(set(once)) < len(once):
            return _DUPLICATE
        if Role.UPGRADE in roles:
            return _UPGRADE
        if b"transfer-encoding" in once and b"content-length" in once:
            return _FRAMING
        if b"host" not in once:
            return _HOST_MISSING
        stays = tuple(
            i
            for i, role in enumerate(roles)
            if role in _STAYS and names[i] != b"transfer-encoding"  # the body is framed anew
        )
        forwarded = _places(roles, Role.FORWARDED)
        place = {name: i for i, name in enumerate(names)}
        return Shape(
            size=sum(map(len, names)),
            fields=itemgetter(*(place.get(name, -1) for name in self._fields)),
            deciding=itemgetter(*(place.get(name, -1) for name in self._deciding), *forwarded),
            stays=_taker(stays),
            plain=_taker(tuple(i for i, name in enumerate(names) if name == PLAIN)),
            length=place.get(b"content-length", -1),
            single=tuple(i for i, role in enumerate(roles) if role in _ONCE),
            connection=_places(roles, Role.CONNECTION),
            demands=tuple(Demand(i, *_ONLY[name]) for i, name in enumerate(names) if name in _ONLY),
            chunked=b"transfer-encoding" in once,
            signed=b"authorization" in once,
            waits=EXPECT in names,
        )

    def hops(self, connection: bytes) -> frozenset[bytes] | Decision:
        """Return the ordinary headers that a `Connection` value takes along, or why it is refused (T20)."""
        if len(connection) > _LONGEST_CONNECTION:
            return _TOO_LARGE
        dropped = set()
        for raw in connection.split(b","):
            name = raw.strip(b" \t").lower()
            role = self.role(name) if name else Role.HOP
            if isinstance(role, Decision):
                return role
            if role is Role.ORDINARY:
                dropped.add(name)
            elif role is not Role.HOP and role is not Role.UPGRADE:
                return _HOP_BY_HOP
        return frozenset(dropped - {b"close"})


_HOP_BY_HOP = refused("header_hop_by_hop")


def _plain(name: bytes) -> bytes:
    """Return a name as a reader may fold it who knows only letters, digits and `_`, as CGI does."""
    return name.translate(_PLAIN)


def _places(roles: list[Role], wanted: Role) -> tuple[int, ...]:
    return tuple(i for i, role in enumerate(roles) if role is wanted)


def _taker(places: tuple[int, ...]) -> Take:
    """Return what takes these places of a tuple, as a tuple however few they are."""
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))
