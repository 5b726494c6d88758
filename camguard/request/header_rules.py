"""The class of each header name, and the layout of a sequence of names.

A client sends the same header names in the same order, call after call. Such a sequence is judged once and
becomes a `HeaderLayout`: which names are accepted, where the values stand that decide, which lines go on. A
request with a known sequence is then read by position, and only its values are looked at.

Rule 1: a header that decides anything stands once and is spelled one way. `x_tc_action`, and any other name
        that a reader behind camguard may take for `x-tc-action`, is rejected (T24, T35, T70).
Rule 2: a header that only a proxy may set never goes on, whoever sent it (T06, T46, THREATS 3.4.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from operator import itemgetter
from typing import Any, TypeAlias

from camguard.header_names import (
    CORRELATING,
    HOP_BY_HOP,
    SERVICE_HEADER,
    SINGLE,
    SINGLE_PREFIXES,
    SPOOF,
    SPOOF_PREFIXES,
)
from camguard.request.rejection import Rejection, rejection

Take: TypeAlias = Callable[[tuple[Any, ...]], tuple[Any, ...]]


class HeaderClass(Enum):
    """What becomes of a header."""

    ORDINARY = auto()  # goes on as it is
    SINGLE = auto()  # decides or frames: stands once, goes on
    IDENTITY = auto()  # as SINGLE, and ends here; so does the header of attributes
    FORWARDED = auto()  # the one header that names the client; ends here
    CONNECTION = auto()  # may name others; ends here
    HOP = auto()  # of this connection alone; ends here
    SPOOF = auto()  # names a client, user or destination and is never believed; ends here
    UPGRADE = auto()  # refused
    SERVICE = auto()  # names a service to what stands behind camguard; refused (T123)


# The headers that decide, and those of a signature, in the order of the fields of a `RequestHead`. The
# headers of identity and of attributes stand between them.
DECIDING = (b"host", b"content-type", b"x-tc-action", b"x-tc-version", b"x-tc-region")
SIGNING = (b"authorization", b"x-tc-timestamp", b"x-tc-token", b"x-tc-content-sha256")
FORWARDED_FOR = b"x-forwarded-for"  # from which the proxy-header options of servers take a peer
EXPECT = b"expect"
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]{1,256}")  # a token (RFC 9110 5.6.2) as ASGI spells it
# Letters and digits stay, all else becomes `-`.
_CGI = bytes(byte if byte in b"0123456789abcdefghijklmnopqrstuvwxyz" else 0x2D for byte in range(256))
_LONGEST_CONNECTION = 1024
_DUPLICATE = rejection("header_duplicate")
_ALIAS = rejection("header_alias")
_MALFORMED = rejection("header_malformed")
_UPGRADE = rejection("upgrade_refused")
_SERVICE = rejection("service_conflict")
_FRAMING = rejection("framing")
_HOST_MISSING = rejection("host_missing")
_TOO_LARGE = rejection("headers_too_large")
_HOP_BY_HOP = rejection("header_hop_by_hop")
_ONWARD = frozenset((HeaderClass.ORDINARY, HeaderClass.SINGLE))
_ONCE = frozenset((HeaderClass.SINGLE, HeaderClass.IDENTITY))

# Of these one value is accepted, case aside; another is refused as the detail behind it says.
_ONLY = {
    b"transfer-encoding": (b"chunked", _FRAMING),
    b"content-encoding": (b"identity", rejection("content_encoding")),
    EXPECT: (b"100-continue", rejection("expectation_failed")),
}


@dataclass(frozen=True, slots=True)
class RequiredValue:
    """The value at `place`, in lower case, must be `value`, or the request is rejected."""

    place: int
    value: bytes
    rejection: Rejection


@dataclass(frozen=True, slots=True)
class HeaderLayout:
    """What a sequence of header names means before any value is looked at. Indices are places in it.

    size: bytes of all names. signing: an itemgetter that takes the values, and None behind them, and returns
    those of SIGNING. deciding: takes the same and returns the values of DECIDING, of the headers of identity
    and of attributes, and of each line of the forwarding header. ended: the places of the lines that do not
    go on, the last one first. forwarded_for: takes the values and returns those of X-Forwarded-For. length:
    the place of the declared length, -1 if no length is declared. single: the places of headers that may
    stand once. connection: the places of Connection lines. chunked: whether the body comes without a declared
    length. signed: whether there is an `Authorization`. awaits_continue: whether the client waits for `100
    Continue` before it sends its body (`Expect`). correlating: takes the values, and None behind them, and
    returns those of CORRELATING that stand once; None if no such header is there. decisive: takes the
    values and returns all that decide anything but a signature, the body's length, and the names of a
    request.
    """

    size: int
    signing: Take
    deciding: Take
    ended: tuple[int, ...]
    forwarded_for: Take
    length: int
    single: tuple[int, ...]
    connection: tuple[int, ...]
    required: tuple[RequiredValue, ...]
    chunked: bool
    signed: bool
    awaits_continue: bool
    correlating: Take | None
    decisive: Take


class HeaderRules:
    """The class of every header name, settled by which headers carry identity, client address and attributes.

    identity, forwarded, attributes: the names of these headers in lower case; attributes may be empty.
    """

    def __init__(self, identity: bytes, forwarded: bytes, attributes: bytes) -> None:
        self._deciding = (*DECIDING, identity, attributes)
        self._classes: dict[bytes, HeaderClass] = {
            **dict.fromkeys(SPOOF, HeaderClass.SPOOF),
            **dict.fromkeys(HOP_BY_HOP, HeaderClass.HOP),
            **dict.fromkeys(SINGLE, HeaderClass.SINGLE),
            b"upgrade": HeaderClass.UPGRADE,
            SERVICE_HEADER: HeaderClass.SERVICE,
            b"connection": HeaderClass.CONNECTION,
            forwarded: HeaderClass.FORWARDED,
            identity: HeaderClass.IDENTITY,
            attributes: HeaderClass.IDENTITY,  # where it is empty: no header has an empty name
        }
        self._twins = {_as_cgi(name): each for name, each in self._classes.items()}

    def header_class(self, name: bytes) -> HeaderClass | Rejection:
        """Return the class of a name, or why the name is rejected."""
        if not _NAME.fullmatch(name):
            return _MALFORMED
        found = self._known(name, self._classes)
        if found is not HeaderClass.ORDINARY:
            return found
        folded = _as_cgi(name)
        twin = HeaderClass.ORDINARY if folded == name else self._known(folded, self._twins)
        return twin if twin in {HeaderClass.ORDINARY, HeaderClass.SPOOF} else _ALIAS

    def _known(self, name: bytes, classes: dict[bytes, HeaderClass]) -> HeaderClass:
        found = classes.get(name)
        if found is not None:
            return found
        if name.startswith(SPOOF_PREFIXES):
            return HeaderClass.SPOOF
        return HeaderClass.SINGLE if name.startswith(SINGLE_PREFIXES) else HeaderClass.ORDINARY

    def layout(  # noqa: PLR0911 - one check after the other
        self, names: tuple[bytes, ...]
    ) -> HeaderLayout | Rejection:
        """Return the layout of a sequence of names, or why it is rejected."""
        classes: list[HeaderClass] = []
        for name in names:
            found = self.header_class(name)
            if isinstance(found, Rejection):
                return found
            classes.append(found)
        once = [name for name, each in zip(names, classes, strict=True) if each in _ONCE]
        if len(set(once)) < len(once):
            return _DUPLICATE
        if HeaderClass.UPGRADE in classes:
            return _UPGRADE
        if HeaderClass.SERVICE in classes:
            return _SERVICE
        if b"transfer-encoding" in once and b"content-length" in once:
            return _FRAMING
        if b"host" not in once:
            return _HOST_MISSING
        ended = tuple(
            i
            for i, each in reversed(list(enumerate(classes)))
            if each not in _ONWARD or names[i] == b"transfer-encoding"  # the body is framed anew
        )
        forwarded = _places(classes, HeaderClass.FORWARDED)
        named_peers = tuple(i for i, name in enumerate(names) if name == FORWARDED_FOR)
        connection = _places(classes, HeaderClass.CONNECTION)
        required = tuple(RequiredValue(i, *_ONLY[name]) for i, name in enumerate(names) if name in _ONLY)
        place = {name: i for i, name in enumerate(names)}
        return HeaderLayout(
            size=sum(map(len, names)),
            signing=itemgetter(*(place.get(name, -1) for name in SIGNING)),
            deciding=itemgetter(*(place.get(name, -1) for name in self._deciding), *forwarded),
            ended=ended,
            forwarded_for=taker(named_peers),
            length=place.get(b"content-length", -1),
            single=tuple(i for i, each in enumerate(classes) if each in _ONCE),
            connection=connection,
            required=required,
            chunked=b"transfer-encoding" in once,
            signed=b"authorization" in once,
            awaits_continue=EXPECT in names,
            correlating=_once_of(CORRELATING, names),
            decisive=taker(
                (
                    *(place[name] for name in self._deciding if name in place),
                    *forwarded,
                    *named_peers,
                    *connection,
                    *(each.place for each in required),
                )
            ),
        )

    def hops(self, connection: bytes) -> frozenset[bytes] | Rejection:
        """Return the ordinary headers that a `Connection` value removes, or why it is rejected (T20)."""
        if len(connection) > _LONGEST_CONNECTION:
            return _TOO_LARGE
        dropped = set()
        for raw in connection.split(b","):
            name = raw.strip(b" \t").lower()
            found = self.header_class(name) if name else HeaderClass.HOP
            if isinstance(found, Rejection):
                return found
            if found is HeaderClass.ORDINARY:
                dropped.add(name)
            elif found is not HeaderClass.HOP and found is not HeaderClass.UPGRADE:
                return _HOP_BY_HOP
        return frozenset(dropped - {b"close"})


def _as_cgi(name: bytes) -> bytes:
    """Return a name as a reader folds it that knows only letters, digits and one separator, as CGI does."""
    return name.translate(_CGI)


def _places(classes: list[HeaderClass], wanted: HeaderClass) -> tuple[int, ...]:
    return tuple(i for i, each in enumerate(classes) if each is wanted)


def _once_of(wanted: tuple[bytes, ...], names: tuple[bytes, ...]) -> Take | None:
    """Return an itemgetter of the wanted names that stand once, and of the last value for the others."""
    places = [names.index(name) if names.count(name) == 1 else -1 for name in wanted]
    return None if set(places) == {-1} else itemgetter(*places)


def taker(places: tuple[int, ...]) -> Take:
    """Return an itemgetter of these places that returns a tuple however few they are."""
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))
