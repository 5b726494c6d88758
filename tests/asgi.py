"""The two sides of ASGI that tests hand to an application in process."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple

Message = dict[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Message]]

DISCONNECT: Message = {"type": "http.disconnect"}


class Response(NamedTuple):
    """What an application answered. headers: the last line of each name."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def receive_of(messages: Iterable[Message]) -> Receive:
    """Return a `receive` that hands over the messages, and then that the client has disconnected."""
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting, DISCONNECT)

    return receive


def body_of(*chunks: bytes) -> list[Message]:
    """Return the messages of a body that arrives in so many parts."""
    last = len(chunks) - 1
    return [
        {"type": "http.request", "body": chunk, "more_body": at < last} for at, chunk in enumerate(chunks)
    ]


def http_scope(method: str, path: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> dict[str, Any]:
    """Return the scope of a request from this machine, as a server makes it."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 9464),
    }


async def discard(_: Any) -> None:
    """Be a `send` that takes every message and keeps none."""


async def exchange(app: Any, scope: Any, messages: Iterable[Message]) -> list[Message]:
    """Run one request to its end and return the messages that the application sent."""
    sent: list[Message] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive_of(messages), send)
    return sent


async def request(app: Any, scope: Any, body: bytes = b"") -> Response:
    """Send one request with its whole body and return the response."""
    sent = await exchange(app, scope, body_of(body))
    whole = b"".join(message.get("body", b"") for message in sent)
    return Response(sent[0]["status"], dict(sent[0]["headers"]), whole)


async def read_body(receive: Any) -> bytes:
    """Return the body of a request, as an application takes it."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def respond(send: Any, body: bytes = b"", *headers: tuple[bytes, bytes], status: int = 200) -> None:
    """Send one whole response, as an application does."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
