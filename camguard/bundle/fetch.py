"""Fetches the archive of a bundle over HTTP, with the standard library, within bounds of bytes and time.

Rule 1: every wait ends at one deadline, that for a single byte of a slow server, too.
Rule 2: a redirect is followed within the same scheme, host and port only, and without the query of the URL,
        which may be a credential. Any other redirect is refused: it could lead to another source, or to one
        without TLS.
Rule 3: no message contains the user, the password or the query of a URL.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

from camguard._version import __version__
from camguard.bundle.ustar import ARCHIVE_BYTES
from camguard.errors import BundleError, Problem
from camguard.printable import without_credentials

CODE: Final = "SourceError"
FETCH_SECONDS: Final = 20.0  # from the connection to the last byte
_REDIRECTS: Final = 3
_CHUNK: Final = 1 << 18
_OK, _NOT_MODIFIED = 200, 304
_MOVED: Final = frozenset((301, 302, 303, 307, 308))
_ETAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,1000}"')  # RFC 9110 8.8.3, without obs-text
_PORTS: Final = {"http": 80, "https": 443}

Monotonic: TypeAlias = Callable[[], float]


class Fetched(NamedTuple):
    """The bytes that a source returned. etag: "" if the source gave none that can be sent back."""

    raw: bytes
    etag: str


def fetch(
    url: str,
    etag: str = "",
    *,
    seconds: float = FETCH_SECONDS,
    most: int = ARCHIVE_BYTES,
    monotonic: Monotonic = time.monotonic,
) -> Fetched | Literal["not modified"]:
    """Return what a URL holds, or that it still holds what has this ETag.

    etag: of what the caller has; "" if it has nothing. seconds: for everything. most: bytes of the answer.
    Raises BundleError: the source cannot be reached, is too slow, or answers something else.
    """
    until = monotonic() + seconds
    parts = urlsplit(url)
    try:
        for _ in range(_REDIRECTS + 1):
            answer = _ask(parts, etag, until, monotonic)
            try:
                if answer.status in _MOVED:
                    parts = _target(parts, answer, url)
                    continue
                if answer.status == _NOT_MODIFIED and etag:
                    return "not modified"
                if answer.status != _OK:
                    raise _wrong(url, f"the source answers {answer.status} {answer.reason[:64]!r}")
                raw = _body(answer, most, url)
            finally:
                answer.close()
            given = answer.getheader("ETag", "")
            return Fetched(raw, given if _ETAG.fullmatch(given) else "")
        raise _wrong(url, f"the source redirects more than {_REDIRECTS} times")
    except TimeoutError:
        raise _wrong(url, f"the source has not answered completely within {seconds:g} seconds") from None
    except ssl.SSLError as error:
        raise _wrong(url, f"TLS failed: {error.reason or type(error).__name__}") from None
    except OSError as error:
        raise _wrong(url, f"the source cannot be reached: {error.strerror or type(error).__name__}") from None
    except (HTTPException, ValueError) as error:
        raise _wrong(url, f"the source answers no HTTP: {type(error).__name__}") from None


def _wrong(url: str, message: str) -> BundleError:
    return BundleError(Problem(without_credentials(url), CODE, message))


def _ask(parts: SplitResult, etag: str, until: float, monotonic: Monotonic) -> HTTPResponse:
    """Send the request and return the answer, of which only the head has been read."""
    left = _left(until, monotonic)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    connection: HTTPConnection
    if parts.scheme == "https":
        connection = HTTPSConnection(host, port, timeout=left, context=ssl.create_default_context())
    else:
        connection = HTTPConnection(host, port, timeout=left)
    headers = {"User-Agent": f"camguard/{__version__}", "Accept-Encoding": "identity", "Connection": "close"}
    if etag:
        headers["If-None-Match"] = etag

    class Answer(HTTPResponse):
        """An answer of which each read ends at the deadline."""

        def __init__(self, sock: socket.socket, *rest: Any, **named: Any) -> None:
            super().__init__(sock, *rest, **named)
            self.fp = io.BufferedReader(_Timed(sock, self.fp, until, monotonic))

    connection.response_class = Answer
    try:
        path = parts.path or "/"
        connection.request("GET", f"{path}?{parts.query}" if parts.query else path, headers=headers)
        return connection.getresponse()  # with `Connection: close` the answer owns the socket
    except BaseException:
        connection.close()
        raise


def _left(until: float, monotonic: Monotonic) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Timed(io.RawIOBase):
    """Reads from a socket until a deadline, however many reads that takes (Rule 1)."""

    def __init__(self, sock: socket.socket, file: Any, until: float, monotonic: Monotonic) -> None:
        self._socket = sock
        self._file = file  # of the socket: the socket stays open until this file is closed
        self._until = until
        self._monotonic = monotonic

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_left(self._until, self._monotonic))
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _body(answer: HTTPResponse, most: int, url: str) -> bytes:
    """Return the body of an answer. Raises BundleError if it is too large or was cut off."""
    length = answer.length
    if length is not None and length > most:
        raise _wrong(url, f"the archive is too large: {length} bytes, at most {most}")
    parts, size = [], 0
    while part := answer.read(_CHUNK):
        size += len(part)
        if size > most:
            raise _wrong(url, f"the archive is too large: more than {most} bytes")
        parts.append(part)
    if length is not None and size < length:
        raise _wrong(url, f"the answer was cut off after {size} of {length} bytes")
    return b"".join(parts)


def _target(parts: SplitResult, answer: HTTPResponse, url: str) -> SplitResult:
    """Return where a redirect leads. Raises BundleError unless that is the same origin (Rule 2)."""
    location = urlsplit(urljoin(parts.geturl(), answer.getheader("Location", "")))
    if _origin(location) != _origin(parts) or location.username is not None:
        place = without_credentials(f"{location.scheme}://{location.hostname}")
        raise _wrong(url, f"the source redirects to {place!r}; camguard follows within one origin only")
    return location


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
