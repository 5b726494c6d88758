"""Writes the requests that go to upstreams (RFC 9112 section 3).

Rule 1: what is handed in goes out byte for byte: query, names, values, body. Only framing is added, and what
        a request must have: a Host line where there is none.
Rule 2: nothing is written that a reader could take for two requests: no line break within a line, no length
        that is not that of the body, no length beside chunks.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Self, TypeAlias
from urllib.parse import urlsplit

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
Body: TypeAlias = bytes | AsyncIterator[bytes] | None

SLICE = 1 << 16  # bytes written at once, so that a large body waits for the upstream and not in memory

PORTS = {"http": 80, "https": 443}
LENGTHLESS = frozenset(("GET", "HEAD"))  # methods of which a request without a body needs no length
QUERY = re.compile(rb"[\x21-\x7e]*")
METHOD = re.compile(r"[A-Z]+")
LINE = b": ".join
CHUNK = b"%x\r\n%b\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Origin(NamedTuple):
    """An upstream: scheme `http` or `https`, host without brackets, port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Read `http(s)://host[:port]`, which the settings have checked."""
        split = urlsplit(url)
        return cls(split.scheme, split.hostname or "", split.port or PORTS[split.scheme])

    def __str__(self) -> str:
        """Return the origin as `[upstream]` spells it."""
        return f"{self.scheme}://{self.authority()}"

    def authority(self) -> str:
        """Return host and port as a Host line spells them (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class Framing(NamedTuple):
    """How the body of a request ends.

    line: what is added to the head. length: of the body in bytes, None where it is sent in chunks.
    """

    line: bytes
    length: int | None


def framing(method: str, headers: Headers, body: Body) -> Framing:
    """Return how a body ends. Raises ValueError where the headers contradict the body."""
    declared = [value for name, value in headers if name == b"content-length"]
    length = int(declared[0]) if declared else None
    if isinstance(body, bytes):
        size: int | None = len(body)
    else:
        size = 0 if body is None else length
    if len(declared) > 1 or (length is not None and length != size):
        raise ValueError
    if size is None:
        return Framing(b"transfer-encoding: chunked\r\n", None)
    if declared or (body is None and method in LENGTHLESS):
        return Framing(b"", size)
    return Framing(b"content-length: %d\r\n" % size, size)


def request_head(origin: Origin, method: str, query: bytes, headers: Headers, added: bytes) -> bytes:
    """Return the head of a request with the path `/`.

    query: as it was received. headers: names in lower case, without lines of one hop. added: further lines.
    Raises ValueError for what cannot be written as one head.
    """
    count = len(headers)
    names = dict(headers)
    lines = b"\r\n".join([*map(LINE, headers), b""])  # formatting each line takes three times as long
    if lines.count(b"\n") != count or lines.count(b"\r") != count or b"\0" in lines:
        raise ValueError
    if b"transfer-encoding" in names or not METHOD.fullmatch(method) or not QUERY.fullmatch(query):
        raise ValueError
    if b"host" not in names:
        lines = b"host: %b\r\n%b" % (origin.authority().encode("ascii"), lines)
    target = b"/?" + query if query else b"/"
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method.encode("ascii"), target, lines, added)


async def slices(body: bytes) -> AsyncIterator[bytes]:
    """Give a body in parts, each written only when the upstream has taken the one before."""
    for start in range(0, len(body), SLICE):
        yield body[start : start + SLICE]
