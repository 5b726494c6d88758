"""The listener of proxies that ask: one path for each dialect, and the guard behind all of them.

Rule 1: only a trusted proxy is believed. Every other peer is refused, whatever it asks (T140).
Rule 2: the guard decides, as it does for requests that camguard forwards itself: one target, one record.
        Nothing that the guard decides is changed here.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.types import Receive, Scope, Send

from camguard.authorizer.answers import Answer, allowed, refused, unread
from camguard.authorizer.dialects import OriginalRequest, original, readers
from camguard.bounded_cache import BoundedCache
from camguard.enforcement.guard import Guard
from camguard.request.client_address import AddressRules
from camguard.request.head import peer_address
from camguard.request.rejection import Rejection, rejection
from camguard.settings import Settings

_IN_HEADER: Final = "nginx"  # the dialect whose proxy throws the body of a refusal away
_PATH: Final = rejection("path_not_allowed")
_UNTRUSTED: Final = rejection("front_untrusted")


class Authorizer:
    """The ASGI application that answers proxies. guard: one that was made for this listener."""

    def __init__(self, settings: Settings, guard: Guard) -> None:
        self._guard = guard
        self._readers = readers(settings.authorizer)
        known = AddressRules(settings.client_ip).known
        self._trusted: BoundedCache[str, bool] = BoundedCache(lambda host: known[host, ()].trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one subrequest. A proxy that has left gets no answer."""
        if scope["type"] != "http":
            msg = f"the authorizer serves no ASGI scope of type {scope['type']!r}"
            raise NotImplementedError(msg)
        reader = self._readers.get(scope.get("raw_path") or b"")
        if reader is None:
            answer = await self.answer(_PATH, scope.get("client"))
        else:
            in_header = reader.dialect.name == _IN_HEADER
            subject = original(scope, receive, reader)
            answer = await self.answer(subject, scope.get("client"), in_header=in_header)
        if answer is not None:
            status, headers, body = answer
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def answer(
        self, subject: OriginalRequest | Rejection, client: Any, *, in_header: bool = False
    ) -> Answer | None:
        """Return the answer to a request, or to what could not be read as one; None where the proxy left.

        client: address and port of the socket's peer, as in an ASGI scope. in_header: as for `refused`.
        """
        guard = self._guard
        host = peer_address(client)
        if host is None or not self._trusted[host]:
            subject = _UNTRUSTED  # Rule 1
        if isinstance(subject, Rejection):
            record = guard.refuse(subject, host)
            answer = unread(record, guard.answers, in_header=in_header)
            guard.conclude(record, None, None, answer.status)
            return answer
        outcome = guard.handle(subject.scope, subject.receive)
        if not isinstance(outcome, tuple):
            awaited = await outcome
            if awaited is None:
                return None
            outcome = awaited
        try:
            record, _, _, refusal, _, _ = outcome
            if refusal is None:
                answer = allowed(record)
            else:
                answer = refused(record, refusal.of(record.request_id), in_header=in_header)
            guard.conclude(record, None, None, answer.status)
            return answer
        finally:
            guard.release(outcome)
