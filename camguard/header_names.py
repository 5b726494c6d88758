"""Names of HTTP headers that have a fixed meaning, in lower case, as ASGI spells them.

Settings refuse these names for the header that carries identity, and the rules of request headers classify
them. Both read them from here, so that settings accept no name that a request then treats as another header.
"""

from __future__ import annotations

from typing import Final

# Headers of one connection, which no proxy forwards: RFC 9110 section 7.6.1, and what proxies have added.
HOP_BY_HOP: Final = frozenset((
    b"connection", b"expect", b"http2-settings", b"keep-alive", b"proxy-authenticate",
    b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"trailers", b"upgrade",
))  # fmt: skip

# Headers that frame, decide or sign a request. Each may stand in it once at most.
SINGLE: Final = frozenset((
    b"authorization", b"content-encoding", b"content-length", b"content-type", b"host", b"transfer-encoding",
    b"x-tc-action", b"x-tc-content-sha256", b"x-tc-region", b"x-tc-timestamp", b"x-tc-token", b"x-tc-version",
))  # fmt: skip
SINGLE_PREFIXES: Final = (b"x-tc-", b"content-")

# camguard's own header, to the upstream and back to the caller: the id of log and refusals (T138).
REQUEST_ID: Final = b"x-camguard-request-id"
OWN_PREFIX: Final = b"x-camguard-"

# Headers by which callers name a request in their own logs, in the order of the fields of a `RequestHead`.
CORRELATING: Final = (b"traceparent", b"x-request-id")

# Headers that clients and proxies send for other purposes: as identity they would be there in every request.
_OTHER: Final = frozenset((
    b"accept", b"accept-encoding", b"cookie", b"date", b"forwarded", b"user-agent", b"via",
))  # fmt: skip
_OTHER_PREFIXES: Final = (b"x-forwarded-", b"proxy-")


def is_reserved(name: str) -> bool:
    """Return whether a header of this name (lower case, ASCII) cannot carry identity."""
    raw = name.encode("ascii")
    return raw in HOP_BY_HOP | SINGLE | _OTHER or raw.startswith((*SINGLE_PREFIXES, *_OTHER_PREFIXES))
