"""Set-ups of a server under which every call is refused: said once in the log, with the cure (T127, T128).

A refusal tells its caller nothing of the cause, and callers can send requests that look like these. So the
log says what was seen once, and what to change if every call is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from camguard.request.client_address import INVALID
from camguard.request.head import PATH, REWRITTEN, peer_address
from camguard.request.header_rules import FORWARDED_FOR
from camguard.request.rejection import Rejection

_LOGGER = logging.getLogger(__name__)

_PEER_REWRITTEN: Final = (
    "the server has replaced the address of the connection by text from a header, so every request behind"
    " a proxy is refused (client_ip_invalid). camguard reads the forwarding header itself "
    "(client_ip.trusted_proxies). Turn the server's own reading off: uvicorn --no-proxy-headers, or, "
    "where gunicorn starts uvicorn's worker, --forwarded-allow-ips 192.0.2.1 (an address that never "
    "connects); remove ProxyHeadersMiddleware"
)
_NO_PEER: Final = (
    "the server names no address of the connection, as behind a Unix socket, so every request is refused "
    "(client_ip_invalid). If only your own proxy can open that socket, set client_ip.trust_unix_socket = "
    "true"
)
_ROOT_PATH: Final = (
    "the server or a framework says that the application is mounted under a root_path, and the path of a "
    "request does not begin with it, so every request is refused (path_not_allowed). Let the proxy pass "
    "the path on whole, or take root_path away from the server (--root-path) or the framework"
)


NO_ASYNCIO: Final = (
    "camguard runs under asyncio and event loops made for it (uvloop), and this server runs another one, "
    "so nothing is served. Choose such an event loop: hypercorn --worker-class asyncio"
)


def under_asyncio() -> bool:
    """Tell whether an asyncio event loop, or a compatible one, runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _peer_rewritten(scope: Mapping[str, Any]) -> bool:
    lines = [value for name, value in scope["headers"] if name == FORWARDED_FOR]
    return peer_address(scope.get("client"), lines) == REWRITTEN


def _no_peer(scope: Mapping[str, Any]) -> bool:
    return peer_address(scope.get("client")) is None


def _root_path_apart(scope: Mapping[str, Any]) -> bool:
    root = scope.get("root_path")
    return bool(root) and not scope["path"].startswith(root)


_CASES: Final[tuple[tuple[Rejection, Callable[[Mapping[str, Any]], bool], str], ...]] = (
    (INVALID, _peer_rewritten, _PEER_REWRITTEN),
    (INVALID, _no_peer, _NO_PEER),
    (PATH, _root_path_apart, _ROOT_PATH),
)


class SetupAdvice:
    """Logs each set-up that refuses calls, the first time that a request shows it."""

    __slots__ = ("_no_asyncio_logged", "_open")

    def __init__(self) -> None:
        self._open = _CASES
        self._no_asyncio_logged = False

    def no_asyncio(self) -> None:
        """Log that the event loop cannot be used."""
        if not self._no_asyncio_logged:
            self._no_asyncio_logged = True
            _LOGGER.error(NO_ASYNCIO)

    def __call__(self, scope: Mapping[str, Any], cause: object) -> None:
        """Look at a request that was refused. cause: the decision, which a set-up may have caused."""
        for case in self._open:
            rejected, holds, text = case
            if cause is rejected and holds(scope):
                self._open = tuple(each for each in self._open if each is not case)
                _LOGGER.error(text)
