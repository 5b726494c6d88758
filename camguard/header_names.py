"""Names of HTTP headers that have a fixed meaning, in lower case, as ASGI spells them.

Settings refuse these names for the headers that carry identity and attributes, and the rules of request
headers classify them. Both read them from here, so that settings accept no name that a request then treats as
another header.
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

# Set by camguard for requests that came over a shared host (T123). A request that brings it is refused.
SERVICE_HEADER: Final = b"x-camguard-service"

# Client addresses, targets, methods and users as proxies write them and applications believe them. They are
# removed from every request, except for the ones that the settings name.
SPOOF: Final = frozenset((
    b"forwarded", b"x-forwarded-for", b"x-real-ip", b"x-client-ip", b"client-ip", b"x-cluster-client-ip",
    b"true-client-ip", b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-pseudo-ipv4", b"fastly-client-ip",
    b"fly-client-ip", b"do-connecting-ip", b"x-appengine-user-ip", b"x-azure-clientip", b"x-azure-socketip",
    b"x-proxyuser-ip", b"proxy-client-ip", b"wl-proxy-client-ip", b"http-client-ip",
    b"http-x-forwarded-for", b"x-originating-ip", b"x-forwarded", b"forwarded-for", b"x-remote-ip",
    b"x-remote-addr", b"remote-addr", b"x-host", b"x-rewrite-url", b"x-override-url", b"x-tc-service",
    b"x-http-method", b"x-http-method-override", b"x-method-override", b"remote-user", b"remote-name",
    b"remote-email", b"remote-groups", b"x-user", b"x-userinfo", b"x-authenticated-user",
    b"x-authenticated-userid", b"x-credential-username", b"ssl-client-s-dn", b"ssl-client-verify",
))  # fmt: skip
SPOOF_PREFIXES: Final = (
    b"x-forwarded-", b"x-original-", b"x-remote-", b"x-auth-request-", b"x-webauth-", b"x-envoy-",
    OWN_PREFIX,
)  # fmt: skip

# Headers that camguard itself sets on requests and answers.
_OWN: Final = frozenset((b"x-camguard-principal", SERVICE_HEADER, REQUEST_ID))

# Headers that clients and proxies send for other purposes: as identity they would be there in every request.
_OTHER: Final = frozenset((
    b"accept", b"accept-encoding", b"cookie", b"date", b"forwarded", b"user-agent", b"via",
))  # fmt: skip
_OTHER_PREFIXES: Final = (b"x-forwarded-", b"proxy-")


def is_reserved(name: str) -> bool:
    """Return whether a header of this name (lower case, ASCII) cannot carry identity."""
    raw = name.encode("ascii")
    return raw in HOP_BY_HOP | SINGLE | _OTHER | {SERVICE_HEADER} or raw.startswith(
        (*SINGLE_PREFIXES, *_OTHER_PREFIXES)
    )


def is_occupied(name: str) -> bool:
    """Return whether a header of this name has another meaning than to carry attributes (T137).

    name: in lower case, ASCII. Other names under `x-camguard-` mean nothing, and may carry them.
    """
    raw = name.encode("ascii")
    return raw in SPOOF | _OWN or (raw.startswith(SPOOF_PREFIXES) and not raw.startswith(b"x-camguard-"))
