"""What the vendor's clients really sent, read into ASGI scopes, and how they took answers.

capture.py recorded Python, Node and tccli. The files that name a repository under `about` were recorded in
the same way with clients of other languages; http2.json holds header lists, because HTTP/2 sends no such
bytes. answers.json says for each client and answer: the requests that arrived, whether each had the same
bytes as the one before, and what each call of the client came to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from _pytest.mark.structures import ParameterSet

from tests.tables import by_topic

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

    @property
    def form(self) -> bool:
        """Whether its body is a form."""
        kind = dict(self.scope["headers"]).get(b"content-type", b"")
        return bool(self.scope["method"] == "POST" and kind.startswith(b"application/x-www-form-urlencoded"))

    def params(self) -> bytes:
        """Return the bytes that hold its parameters: the query, or the form."""
        query: bytes = self.scope["query_string"]
        return self.body if self.form else query


def by_client(found: Iterable[Capture]) -> list[ParameterSet]:
    """Return one parameter for each client: its captures, by their names."""
    return by_topic(found, lambda each: each.client, lambda each: each.name)


def captures() -> list[Capture]:
    """Return every capture there is, in the order of files and scenarios."""
    found = []
    for path in sorted(HERE.glob("*.json")):
        document = json.loads(path.read_text(encoding="ascii"))
        for each in document.get("captures", ()):
            scope, body = _split(each.pop("raw").encode("latin-1"))
            found.append(Capture(client=document["client"], scope=scope, body=body, **each))
        for each in document.get("requests", ()):
            body = each.pop("body").encode("latin-1")
            scope = _over_http2(each.pop("headers"))
            client = f"{each.pop('client')} {document['client']}"
            found.append(Capture(client, service="aiart", expected="signed", scope=scope, body=body, **each))
    return found


def answers() -> dict[str, dict[str, Any]]:
    """Return how each client took each answer: client -> answer -> requests, same_bytes, outcome."""
    found: dict[str, dict[str, Any]] = json.loads((HERE / "answers.json").read_text(encoding="ascii"))
    return found


def _over_http2(lines: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the scope of a request over HTTP/2: its `:authority` is the `host` (ASGI 3.0)."""
    pseudo = {name: value for name, value in lines if name.startswith(":")}
    path, _, query = pseudo[":path"].partition("?")
    headers = [("host", pseudo[":authority"]), *(line for line in lines if line[0] not in pseudo)]
    return {
        "type": "http",
        "method": pseudo[":method"],
        "path": path,
        "raw_path": path.encode("latin-1"),
        "http_version": "2",
        "query_string": query.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    }


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
