"""The application behind the guard: an allowed request goes to the upstream of its service, the answer back.

Rule 1: the scope is already what was judged. Nothing here reads or changes a name, a value or the query.
Rule 2: a failure before the answer began is an envelope of our own; after that the connection ends, so that
        the client sees a cut answer and never one that looks complete. Both are counted, and the record of
        the request names them (T130).
Rule 3: a client that left takes its upstream call with it.
Rule 4: what camguard writes itself on the way back, nobody behind it can write (T138).
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Literal, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from camguard.bounded_cache import BoundedCache
from camguard.enforcement.outcome import SERVICE_KEY, UPSTREAM_ERROR_KEY, UPSTREAM_KEY
from camguard.gateway.client import Client, Reply
from camguard.gateway.connection import Kind, UpstreamError
from camguard.gateway.cycle import DEPARTURE_KEY, Cycle
from camguard.gateway.head_layout import BODILESS, LAYOUT_BYTES, size_of
from camguard.gateway.request_writer import Body, Headers, Origin
from camguard.header_names import HOP_BY_HOP, OWN_PREFIX
from camguard.middleware import WHOLE_ANSWER, send_refusal
from camguard.request.rejection import Refusal
from camguard.telemetry.record import REPLY_INCOMPLETE

LOG = logging.getLogger("camguard.relay")

# Headers of one connection; and the framing, which is the server's own business.
OF_ONE_HOP = HOP_BY_HOP | {b"transfer-encoding"}
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
FIRST_STATUS, END_OF_STATUSES = 200, 600

# internal: a fault of ours. cut: the request left the bounds within which the guard let it through.
Failure = Kind | Literal["internal", "cut"]


class UpstreamObserver(Protocol):
    """Receives the replies and errors of upstreams: the metrics."""

    def upstream(self, service: str, status: int, seconds: float) -> None:
        """Receive one reply passed on whole. seconds: from sending to the reply's last byte."""

    def upstream_error(self, service: str, kind: str) -> None:
        """Receive one failure, by its kind."""


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
        refuse: Callable[[Scope, Failure], Refusal],
        observer: UpstreamObserver,
    ) -> None:
        self._origins = {
            service: None if url == "echo" else Origin.of(url) for service, url in upstream.items()
        }
        self._default = self._origins["default"]
        self._client = client
        self._echo = echo
        self._refuse = refuse
        self._observer = observer

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass one allowed request on."""
        service: str = scope[SERVICE_KEY]
        origin = self._origins.get(service, self._default)
        if origin is None:
            return self._echo(scope, receive, send)
        return self._forward(origin, service, scope, receive, send)

    def forwards(self, service: str) -> bool:
        """Tell whether calls of a service go to an upstream of their own, not to the embedded echo."""
        return self._origins.get(service, self._default) is not None

    async def _forward(  # noqa: C901, PLR0912 - one path in one order, and a call costs as much as a branch
        self, origin: Origin, service: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        cycle: Cycle = scope[DEPARTURE_KEY]
        message = await receive()
        first: bytes | None = message.get("body") or None
        upload = Upload(receive) if message.get("more_body", False) else None
        reply: Reply | None = None
        failure: Failure | None = None
        answered = False
        started = time.monotonic()
        cycle.watch(cycle.cancel)
        try:
            if message["type"] != "http.request" or cycle.disconnected:
                failure = "cut"
            else:
                scope[UPSTREAM_ERROR_KEY] = None
                body: Body = first if upload is None else upload.parts(first)
                reply = await self._client.send(
                    origin, scope["method"], scope["query_string"], scope["headers"], body
                )
                status, headers = reply.status, end_to_end(reply.status, reply.headers)
                whole = reply.whole()
                answered = True
                if whole is not None:
                    await send({"type": WHOLE_ANSWER, "status": status, "headers": headers, "body": whole})
                else:
                    await send({"type": "http.response.start", "status": status, "headers": headers})
                    async for chunk in reply.chunks():
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    await send({"type": "http.response.body", "body": b""})
        except UpstreamError as error:
            cut = reply is None and (cycle.departed or (upload is not None and upload.cut))
            failure = "cut" if cut else error.kind
        except asyncio.CancelledError:
            if not cycle.departed:  # the server ends this request, not the client
                if not answered:  # the call may have been executed, and must not be repeated (T135)
                    await self._fail("internal", service, scope, send, answered=False)
                raise
            cycle.uncancel()
            failure = "cut"
        except Exception as error:  # noqa: BLE001 - the caller gets an envelope, as long as nothing was sent
            event = "a request could not be sent" if reply is None else "a reply could not be passed on"
            failure = _unexpected(event, error)
        finally:
            cycle.watch(None)
            if reply is not None:
                reply.close()
        if failure is not None:
            await self._fail(failure, service, scope, send, answered=answered)
        elif reply is not None:
            self._observer.upstream(service, reply.status, time.monotonic() - started)

    async def _fail(
        self, failure: Failure, service: str, scope: Scope, send: Send, *, answered: bool
    ) -> None:
        """Count a failure, and answer ourselves where no answer has begun.

        A client that left never receives this answer. A client that was cut off for a bad body does.
        """
        if failure != "cut":
            self._observer.upstream_error(service, failure)
            # Rule 2: to return without the last message makes the server cut the connection.
            scope[UPSTREAM_ERROR_KEY] = REPLY_INCOMPLETE if answered else failure
        if not answered:
            scope[UPSTREAM_KEY] = None  # the decision log must not take our status for the upstream's (T117)
            await send_refusal(self._refuse(scope, failure), send)


def _unexpected(event: str, error: Exception) -> Failure:
    """Log a fault of ours and return its kind. Only the type is logged: the text may quote the request."""
    LOG.error("%s: %s", event, type(error).__name__)
    return "internal"


class Upload:
    """The body of a request that comes in parts.

    cut: the client has left, or the guard has cut it off for a body that should not have been sent.
    """

    __slots__ = ("_receive", "cut")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.cut = False

    async def parts(self, first: bytes | None) -> AsyncIterator[bytes]:
        """Give the body as it comes. An error cuts the request to the upstream short."""
        if first:
            yield first
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                self.cut = True
                raise ConnectionAbortedError
            if body := message.get("body", b""):
                yield body
            more = message.get("more_body", False)


def _goes_on(name: bytes) -> bool:
    """Tell whether a header of a reply goes on. name: in lower case. Raises UpstreamError for no name.

    A blank before the colon is no part of a name (RFC 9112 section 5.1): one reader takes the line for a
    length, and another does not.
    """
    if not NAME.fullmatch(name):
        raise UpstreamError("protocol", ValueError())
    return name not in OF_ONE_HOP and not name.replace(b"_", b"-").startswith(OWN_PREFIX)


def _end_to_end_places(names: tuple[bytes, ...]) -> tuple[int, ...] | None:
    """Return the places of the headers that go on, or None where all of them do. Raises UpstreamError."""
    places = tuple(place for place, name in enumerate(names) if _goes_on(name))
    return None if len(places) == len(names) else places


# Upstreams send the same names in every reply.
_PLACES: BoundedCache[tuple[bytes, ...], tuple[int, ...] | None] = BoundedCache(
    _end_to_end_places, entries=256, longest=LAYOUT_BYTES, size=size_of
)


def end_to_end(status: int, headers: Headers) -> Headers:
    """Return what of an upstream's headers goes on, in order, repeats included.

    headers: names in lower case. Raises UpstreamError for what no server may send.
    """
    names, values = zip(*headers) if headers else ((), ())  # noqa: B905 - pairs
    places = _PLACES[names]
    if not FIRST_STATUS <= status < END_OF_STATUSES or CONTROL.search(b"".join(values)):
        raise UpstreamError("protocol", ValueError())
    lines = headers if places is None else [headers[place] for place in places]
    named = b",".join([value for name, value in headers if name == b"connection"]) if places else b""
    gone = {token.strip() for token in named.lower().split(b",")} if named else set()
    if status in BODILESS:
        gone.add(b"content-length")  # legal there, and yet no body follows: a server would wait for it
    return [line for line in lines if line[0] not in gone] if gone else lines
