"""What the vendor's clients really sent, as capture.py recorded it, read into ASGI scopes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
KEYS = (HERE / "keys.json").read_bytes()


class Capture(NamedTuple):
    """One recorded request.

    time: seconds since the epoch. service: what the call was for, whatever its host says.
    expected: `signed`, or the detail of the refusal that it must meet.
    """

    client: str
    name: str
    service: str
    time: int
    expected: str
    scope: dict[str, Any]
    body: bytes

    def __str__(self) -> str:
        return f"{self.client}: {self.name}"

    def params(self) -> bytes:
        """Return the bytes that hold its parameters: the query, or the form."""
        query: bytes = self.scope["query_string"]
        kind = dict(self.scope["headers"]).get(b"content-type", b"")
        form = self.scope["method"] == "POST" and kind == b"application/x-www-form-urlencoded"
        return self.body if form else query


def captures() -> list[Capture]:
    """Return every capture there is, in the order of files and scenarios."""
    found = []
    for path in sorted(HERE.glob("*.json")):
        document = json.loads(path.read_text(encoding="ascii"))
        for each in document.get("captures", ()):
            scope, body = _split(each.pop("raw").encode("latin-1"))
            found.append(Capture(client=document["client"], scope=scope, body=body, **each))
    return found


def _split(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a request as a server hands it over: its ASGI scope and its body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    method, target, _ = line.split(b" ")
    path, _, query = target.partition(b"?")
    headers = [(name.lower(), value.strip()) for name, _, value in (each.partition(b":") for each in lines)]
    scope = {
        "type": "http",
        "method": method.decode(),
        "path": path.decode(),
        "raw_path": path,
        "http_version": "1.1",
        "query_string": query,
        "headers": headers,
    }
    if (b"transfer-encoding", b"chunked") in headers:
        body = _joined(body)
    return scope, body


def _joined(chunks: bytes) -> bytes:
    """Return a chunked body in one piece."""
    body = b""
    while True:
        size, _, chunks = chunks.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return body
        body, chunks = body + chunks[:length], chunks[length + 2 :]
