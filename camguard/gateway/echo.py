"""The embedded upstream: answers in the vendor's envelope with what it was sent. A newcomer needs no other.

It tells facts of the call and sizes. Authorization, token, query and body are never repeated.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Receive, Scope, Send

from camguard.enforcement.outcome import RECORD_KEY
from camguard.ipset import format_address
from camguard.telemetry.record import Record

HEADERS = {b"x-tc-version": "Version", b"x-tc-region": "Region", b"content-type": "ContentType"}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request with HTTP 200 and `{"Response": {…}}`."""
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    body = json.dumps({"Response": facts(scope, size)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def facts(scope: Scope, size: int) -> dict[str, Any]:
    """Return what the request said. size: bytes of its body."""
    record: Record = scope[RECORD_KEY]
    said: dict[str, Any] = {
        "Echo": True,
        "Service": record.service,
        "Action": record.action,
        "Principal": record.principal,
        "SourceIp": None if record.source_ip is None else format_address(record.source_ip),
        "Decision": record.decision.reason,
        "Method": scope["method"],
        "QueryBytes": len(scope["query_string"]),
        "BodyBytes": size,
        "RequestId": record.request_id,
    }
    said |= {HEADERS[name]: value.decode("latin-1") for name, value in scope["headers"] if name in HEADERS}
    return said
