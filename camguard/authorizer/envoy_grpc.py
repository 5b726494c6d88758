"""Envoy's `ext_authz` over gRPC: the same question as over HTTP, and the same answer.

Rule 1: each fact has one place here, too: method, path with query, and host are fields of the request, the
        client's address is the source, headers are those of `header_map`, and the body is `raw_body`. A
        `query` or a `body` beside them that says something else is refused (T140).
Rule 2: only a trusted proxy is believed, as over HTTP.
Rule 3: every header of an answer overwrites, so that none of a client stays beside it.

Needs the extra `authorizer-grpc`. The listener runs in the event loop of the gateway.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from grpc import aio
from starlette.types import Message

from camguard.authorizer.answers import ALLOWED, DECISION, REFUSED, Answer
from camguard.authorizer.application import Authorizer
from camguard.authorizer.dialects import FORWARDED_FOR, HOST, OriginalRequest
from camguard.authorizer.envoy_messages import OVERWRITE, SERVICE, CheckRequest, CheckResponse
from camguard.errors import Problem, SettingsError
from camguard.header_names import REQUEST_ID
from camguard.request.body import show_nothing
from camguard.request.rejection import Rejection, rejection
from camguard.settings import Settings
from camguard.settings.values import Address

NAME: Final = "envoy"
_PERMISSION_DENIED: Final = 7  # google.rpc.Code
_SLACK_BYTES: Final = 1 << 20  # of a message beside the body
_MARK: Final = b"x-envoy-auth-partial-body"
_TAKEN: Final = frozenset((HOST, FORWARDED_FOR, _MARK, b"content-length", b"transfer-encoding"))
# The headers of an answer that go on: to the upstream with an allow, to the client with a refusal.
_TO_UPSTREAM: Final = frozenset((DECISION, REQUEST_ID))
_TO_CLIENT: Final = frozenset((b"content-type", REQUEST_ID))
_ROOT: Final = re.compile(r"/(?:\?([^#\x00-\x20\x7f]*))?")
_PEER: Final = re.compile(r"ipv4:([0-9.]+):([0-9]+)|ipv6:(?:\[|%5B)([0-9A-Fa-f:.%]+?)(?:\]|%5D):([0-9]+)")

_HEADER_INVALID: Final = rejection("front_header_invalid")
_PATH: Final = rejection("path_not_allowed")
_ADDRESS_INVALID: Final = rejection("client_ip_invalid")


def peer_of(text: str) -> tuple[str, int] | None:
    """Return address and port of a peer as gRPC spells it; None for anything else, such as a Unix socket."""
    found = _PEER.fullmatch(text)
    if found is None:
        return None
    host, port = (found[1], found[2]) if found[1] else (found[3], found[4])
    return host, int(port)


def original(check: Any, peer: tuple[str, int] | None, *, shows_bodies: bool) -> OriginalRequest | Rejection:
    """Return the request that a `CheckRequest` asks about, or why it cannot be read. peer: of the socket."""
    http = check.attributes.request.http
    target = _ROOT.fullmatch(http.path)
    if target is None:
        return _PATH
    query = target[1] or ""
    if (http.query and http.query != query) or http.fragment:
        return _HEADER_INVALID
    if not http.method or not http.host or not http.header_map.headers:
        return _HEADER_INVALID
    address = check.attributes.source.address.socket_address.address
    if not address or "," in address:
        return _ADDRESS_INVALID
    data: bytes = http.raw_body
    if http.body and http.body.encode() != data:
        return _HEADER_INVALID
    lines: list[tuple[bytes, bytes]] = []
    marks: list[bytes] = []
    for each in http.header_map.headers:
        name, value = each.key.lower().encode(), each.raw_value or each.value.encode()
        if name == _MARK:
            marks.append(value)
        elif name not in _TAKEN and not name.startswith(b":"):
            lines.append((name, value))
    lines += ((HOST, http.host.encode()), (FORWARDED_FOR, address.encode()))
    receive = show_nothing
    if shows_bodies and marks == [b"false"]:
        lines.append((b"content-length", b"%d" % len(data)))
        receive = _received(data)
    scope = {
        "type": "http",
        "method": http.method,
        "path": "/",
        "raw_path": b"/",
        "query_string": query.encode(),
        "headers": lines,
        "client": peer,
        "http_version": "1.1",
        "extensions": {},
    }
    return OriginalRequest(scope, receive)


def _received(data: bytes) -> Any:
    messages: list[Message] = [{"type": "http.request", "body": data, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def response(answer: Answer) -> Any:
    """Return an allow or a refusal as a `CheckResponse`."""
    kept = _TO_UPSTREAM if answer.status == ALLOWED else _TO_CLIENT
    headers = [
        {"header": {"key": name.decode(), "value": value.decode()}, "append_action": OVERWRITE}
        for name, value in answer.headers
        if name in kept
    ]
    if answer.status == ALLOWED:
        return CheckResponse(status={"code": 0}, ok_response={"headers": headers})
    denied = {"status": {"code": REFUSED}, "headers": headers, "body": answer.body.decode()}
    return CheckResponse(status={"code": _PERMISSION_DENIED}, denied_response=denied)


class Service:
    """Answers `Check`. authorizer: decides, over HTTP as over gRPC."""

    def __init__(self, settings: Settings, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._shows_bodies = NAME in settings.authorizer.bodies

    async def check(self, request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        """Answer one `CheckRequest`."""
        peer = peer_of(context.peer())
        subject = original(request, peer, shows_bodies=self._shows_bodies)
        answer = await self._authorizer.answer(subject, peer)
        if answer is None or answer.status not in {ALLOWED, REFUSED}:
            return await context.abort(grpc.StatusCode.UNAVAILABLE, "nothing could be decided")
        return response(answer)


@asynccontextmanager
async def grpc_listening(
    settings: Settings, address: Address, authorizer: Authorizer, *, shared: bool
) -> AsyncIterator[int]:
    """Serve `Check` at an address while the block runs; yield the port.

    shared: whether other processes serve the same port. Raises SettingsError if it cannot be bound.
    """
    limits = settings.limits
    server = aio.server(
        options=(
            ("grpc.so_reuseport", int(shared)),
            ("grpc.max_receive_message_length", limits.body_bytes + limits.header_bytes + _SLACK_BYTES),
        ),
        maximum_concurrent_rpcs=limits.concurrency,
    )
    service = Service(settings, authorizer)
    handler = grpc.unary_unary_rpc_method_handler(
        service.check,
        request_deserializer=CheckRequest.FromString,
        response_serializer=CheckResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Check": handler}),))
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError:
        port = 0
    if not port:
        message = f"cannot listen on {address}"
        raise SettingsError(Problem("gateway.authorizer_grpc", "BindError", message))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(limits.shutdown_seconds)
