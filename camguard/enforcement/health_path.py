"""The one path that camguard answers itself, for load balancers (T136).

Rule 1: the path is compared with the raw path of the request, byte for byte; a header never names a path.
Rule 2: only a GET or HEAD without query and body is answered. Any other request at the path is judged, and
        refused because of its path.
Rule 3: the body is constant. The status says whether calls can be judged: 200 or 503, in every status style.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.types import Receive, Send

BODY_SECONDS: Final = 1.0  # until a body whose length is not declared must have ended
_BODY: Final = b"camguard\n"
_HEADERS: Final = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"cache-control", b"no-store"),
)
_HTTP_1: Final = frozenset(("1.0", "1.1"))


class HealthPath:
    """Answers a load balancer. path: None if there is no such path. ready: whether calls can be judged."""

    __slots__ = ("raw", "ready")

    def __init__(self, path: str | None, ready: Callable[[], bool]) -> None:
        self.raw = None if path is None else path.encode()
        self.ready = ready

    async def is_probe(self, scope: Mapping[str, Any], receive: Receive) -> bool:
        """Tell whether an `http` scope whose raw path is `raw` asks for the health (Rule 2).

        If this is False, no part of a body was taken that a judge of the request would need: the path alone
        refuses it.
        """
        if scope["method"] not in {"GET", "HEAD"} or scope["query_string"]:
            return False
        lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
        if any(name.lower() == b"transfer-encoding" for name, _ in scope["headers"]):
            return False
        if lengths or scope.get("http_version") in _HTTP_1:
            return lengths in ([], [b"0"])
        return await _is_empty(receive)

    async def answer(self, method: str, send: Send, *, ready: bool) -> None:
        """Answer a request for the health path."""
        status = 200 if ready else 503
        await send({"type": "http.response.start", "status": status, "headers": list(_HEADERS)})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else _BODY})


async def _is_empty(receive: Receive) -> bool:
    """Tell whether a request of HTTP/2 or later, whose length is not declared, has no body."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await receive()
    except TimeoutError:
        return False
    return message["type"] == "http.request" and not message.get("body") and not message.get("more_body")
