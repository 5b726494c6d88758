"""Reads the replies of one upstream connection from bytes (RFC 9112). There is no input or output here.

httptools checks the syntax. What httptools leaves to its caller is decided here:

Rule 1: a reply whose end is in doubt is an error. httptools rejects a length beside chunks, two lengths, and
        a length that is no number. This module rejects every coding of the transfer but `chunked`, chunks
        under HTTP/1.0, an interim reply with a body, a version other than 1.0 and 1.1, and an upgrade.
Rule 2: a head ends within `HEAD_BYTES`, interim replies before it included. What follows the last chunk, and
        a line of a chunk's size, is bounded by the same number.
Rule 3: it is known whether a byte follows the reply. httptools says that a reply has ended, not where. Where
        the first read of a reply holds all of it, its end is where the head ends (an empty line, for
        httptools as well) and the declared length. Without one, it ends with an empty line, and behind it
        httptools passes over empty lines, begins another reply, or fails. Every later read in which the reply
        may end is fed in two parts, all but its last byte and that byte: a reply that has ended before the
        last byte was followed by something.
Rule 4: what comes behind the last chunk (trailers) never becomes part of the headers.
"""

from __future__ import annotations

import httptools

from camguard.gateway.head_layout import BODILESS, LENGTH_OF, LOWER

HEAD_BYTES = 1 << 16
VERSIONS = ("1.1", "1.0")
FRAMING = frozenset((b"content-length", b"transfer-encoding"))

END = b"\r\n\r\n"
EMPTY_LINES = (b"\n" + END, b"\r" + END)
H = ord("H")
FIRST_INTERIM, FIRST_FINAL, SWITCHING_PROTOCOLS = 100, 200, 101


class ReplyError(Exception):
    """The bytes are no reply, or a reply whose end is in doubt."""


class ReplyParser:
    """The replies of one connection, one after the other.

    status: of the final reply, 0 until its head is complete. headers: of the final reply, names in lower
    case. complete: whether the reply has ended. until_close: whether the reply ends where the connection
    ends. followed: whether bytes have arrived behind the reply. keeps_alive: whether the upstream takes
    another request on this connection.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # an attribute and no method: httptools runs no Python code for it
        self._renew()
        self.begin()

    def _renew(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._stale = False

    def begin(self, *, to_head: bool = False) -> None:
        """Expect the reply to the next request. to_head: the method of the request is HEAD."""
        if self._stale:
            self._renew()
        self._to_head = to_head
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = self.until_close = self.followed = self.keeps_alive = False
        self._length: int | None = None
        self._chunked = False
        self._to_come = 0  # bytes of a body of declared length that were not taken yet
        self._last = 0  # parts of the body that had arrived when the reply ended
        self._interim = 0  # interim replies that came before the reply
        self._unspent = 0  # bytes of heads, or bytes since the last part of a body

    def feed(self, data: bytes) -> None:
        """Take bytes that have arrived. Raises ReplyError."""
        if self.status or self._unspent or self._to_head or len(data) > HEAD_BYTES:
            self._feed_further(data)
            return
        # The first bytes of a reply, which nearly always are all of it.
        if data[0] != H:  # httptools passes over empty lines, and takes RTSP
            raise ReplyError
        self._parse(data)
        if not self.complete:
            if not self.status:
                self._unspent = len(data)
        elif self._length and self.status not in BODILESS:
            end = data.find(END)
            for _ in range(self._interim):
                end = data.find(END, end + len(END))
            if end + len(END) + self._length != len(data):
                self.followed = True
        elif not data.endswith(END) or data.endswith(EMPTY_LINES):
            self.followed = True

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise ReplyError from None

    def _feed_further(self, data: bytes) -> None:
        if not self.status:
            if not self._unspent and data[0] != H:
                raise ReplyError
            room = HEAD_BYTES - self._unspent
            if len(data) > room:
                self._feed(data[:room])
                if not self.status:
                    raise ReplyError
                data = data[room:]
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        if self.complete:
            self.followed = True
            return
        size, parts, head_came = len(data), len(self._pieces), self.status
        if self._to_come > size or self.until_close:
            self._parse(data)
        else:
            self._parse(data[:-1])
            if self.complete:
                self.followed = True
            else:
                self._parse(data[-1:])
        if len(self._pieces) > parts or self.status != head_came:
            self._unspent = 0
        else:
            self._unspent += size
            if self._unspent > HEAD_BYTES:
                raise ReplyError

    def take(self) -> bytes:
        """Return what has arrived of the body since the last call."""
        pieces = self._pieces
        if self.followed:
            del pieces[self._last :]  # these belong to what follows the reply
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._to_come -= len(data)
        return data

    def close(self) -> None:
        """Let go of the parser, which refers to this object."""
        del self._parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one line of a head."""
        if self.status:  # a trailer, or part of what follows the reply
            return
        name = LOWER[name]
        if name in FRAMING:
            self._frame(name, value)
        self.headers.append((name, value))

    def _frame(self, name: bytes, value: bytes) -> None:
        value = value.strip(b" \t")
        if name == b"content-length":
            if self._length is not None or not value.isdigit():
                raise ReplyError
            self._length = LENGTH_OF[value]
        elif self._chunked or value.lower() != b"chunked":
            raise ReplyError
        else:
            self._chunked = True

    def on_headers_complete(self) -> None:
        """Decide how the reply ends (RFC 9112 section 6.3)."""
        if self.status:
            self.followed = True
            return
        parser = self._parser
        status = parser.get_status_code()
        version = parser.get_http_version()
        framed = self._length is not None or self._chunked
        if version not in VERSIONS or status < FIRST_INTERIM or status == SWITCHING_PROTOCOLS:
            raise ReplyError
        if status < FIRST_FINAL:
            if framed:
                raise ReplyError
            self.headers = []
            self._interim += 1
            return
        if self._chunked and (self._length is not None or version == "1.0"):
            raise ReplyError
        self.status = status
        self.keeps_alive = parser.should_keep_alive()
        if self._to_head:
            self._stale = True  # the parser would wait for the body that a HEAD does not get
            self.complete = True
        elif status not in BODILESS:
            self.until_close = not framed
            self._to_come = self._length or 0

    def on_message_complete(self) -> None:
        """Note that the reply has ended. Of interim replies nothing is kept."""
        if self.status and not self.complete:
            self._last = len(self._pieces)
            self.complete = True
