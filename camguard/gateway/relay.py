"""The application behind the guard: an allowed request goes to the upstream of its service, the answer back.

Rule 1: the scope is already what was judged. Nothing here reads or changes a name, a value or the query.
Rule 2: a failure before the answer began is an envelope of our own; after that the connection ends, so that
        the client sees a cut answer and never one that looks complete.
Rule 3: a client that left takes its upstream call with it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from yarl import URL

from camguard.gateway.client import Body, Client, Headers, Kind, Reply, UpstreamError

LOG = logging.getLogger("camguard.relay")

# RFC 9110 section 7.6.1, and what proxies have made of it. Framing is the server's own business.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
BODILESS = frozenset((204, 304))
STATUSES = range(200, 600)

Failure = Kind | Literal["internal"]


class Gone(Exception):  # noqa: N818 - a fact, not an error
    """The client left before its request was complete."""


class Told(Protocol):
    """Who is told of upstreams: the metrics."""

    def upstream(self, service: str, seconds: float) -> None:
        """Hear of one reply passed on whole. seconds: from sending to the reply's last byte."""

    def upstream_error(self, service: str, kind: str) -> None:
        """Hear of one failure, by its kind."""


class Relay:
    """Forward what the guard let through.

    upstream: service, or `default`, -> `http(s)://host[:port]` or `echo`. echo: the embedded upstream.
    refuse: builds the answer to a call whose upstream failed.
    """

    def __init__(
        self,
        upstream: Mapping[str, str],
        client: Client,
        echo: ASGIApp,
        refuse: Callable[[Scope, Failure], list[Message]],
        told: Told,
    ) -> None:
        self._origins = {service: URL(url) for service, url in upstream.items() if url != "echo"}
        self._echoed = frozenset(service for service, url in upstream.items() if url == "echo")
        self._client = client
        self._echo = echo
        self._refuse = refuse
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one allowed request on."""
        service: str = scope["camguard.service"]
        key = service if service in self._origins or service in self._echoed else "default"
        if key in self._echoed:
            await self._echo(scope, receive, send)
        else:
            await self._forward(self._origins[key], service, scope, receive, send)

    async def _forward(self, origin: URL, service: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body, ended = await take_body(receive)
        except Gone:
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for mypy: a coroutine that runs is in a task
        open_ = True

        def leave(_: object) -> None:
            if open_:
                task.cancel()

        watch = asyncio.create_task(departure(receive, ended))
        watch.add_done_callback(leave)
        try:
            await self._exchange(origin, service, scope, body, send)
        except asyncio.CancelledError:
            if not watch.done():
                raise  # the server ends us, not the client
            task.uncancel()
        finally:
            open_ = False
            watch.cancel()

    async def _exchange(self, origin: URL, service: str, scope: Scope, body: Body, send: Send) -> None:
        started = time.monotonic()
        try:
            reply = await self._client.send(
                origin, scope["method"], scope["query_string"], scope["headers"], body
            )
        except UpstreamError as failure:
            await self._give_up(service, scope, failure.kind, send)
            return
        except Exception:
            LOG.exception("a request could not be sent")
            await self._give_up(service, scope, "internal", send)
            return
        try:
            await self._answer(service, scope, reply, send)
        except UpstreamError as failure:
            # Rule 2: to return without the last message makes the server cut the connection.
            self._told.upstream_error(service, failure.kind)
        else:
            self._told.upstream(service, time.monotonic() - started)
        finally:
            reply.close()

    async def _answer(self, service: str, scope: Scope, reply: Reply, send: Send) -> None:
        headers = end_to_end(reply.status, reply.headers)
        if headers is None:
            await self._give_up(service, scope, "protocol", send)
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        body = reply.whole()
        if body is None:
            async for chunk in reply.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": body or b""})

    async def _give_up(self, service: str, scope: Scope, kind: Failure, send: Send) -> None:
        self._told.upstream_error(service, kind)
        for message in self._refuse(scope, kind):
            await send(message)


async def take_body(receive: Receive) -> tuple[Body, asyncio.Event]:
    """Return the body, whole if one message holds it, and an event for when all of it was read.

    Raises Gone.
    """
    ended = asyncio.Event()
    message = await receive()
    if message["type"] != "http.request":
        raise Gone
    if message.get("more_body", False):
        return stream(message.get("body", b""), receive, ended), ended
    ended.set()
    return message.get("body") or None, ended


async def stream(first: bytes, receive: Receive, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """Give the parts of a body as they come. Raises Gone, which cuts the request to the upstream short."""
    if first:
        yield first
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            ended.set()
            raise Gone
        if body := message.get("body", b""):
            yield body
        more = message.get("more_body", False)
    ended.set()


async def departure(receive: Receive, ended: asyncio.Event) -> None:
    """Return when the client has left. Reads nothing before the body's reader is done."""
    await ended.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


def end_to_end(status: int, headers: Headers) -> list[tuple[bytes, bytes]] | None:
    """Return what of an upstream's headers goes on, in order, repeats included; None if it is no reply."""
    if status not in STATUSES or CONTROL.search(b"".join([value for _, value in headers])):
        return None
    gone = HOP_BY_HOP
    lower = [(name.lower(), value) for name, value in headers]
    named = b",".join([value for name, value in lower if name == b"connection"])
    if named:
        gone |= {token.strip() for token in named.lower().split(b",")}
    if status in BODILESS:
        gone |= {b"content-length"}  # legal there, and yet nothing follows: a server would wait for the bytes
    return [line for line in lower if line[0] not in gone]
