"""The listener of proxies that ask: one path for each dialect, and the guard behind all of them.

Rule 1: only a trusted proxy is believed. Every other peer is refused, whatever it asks (T140).
Rule 2: the guard decides, as it does for requests that camguard forwards itself: one target, one record.
        Nothing that the guard decides is changed here.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.types import Receive, Scope, Send

from camguard.authorizer.answers import Answer, allowed, refused, unread
from camguard.authorizer.dialects import Asked, original, readers
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
        self._peers = AddressRules(settings.client_ip).known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one subrequest. A proxy that has left gets no answer."""
        if scope["type"] != "http":
            msg = f"the authorizer serves no ASGI scope of type {scope['type']!r}"
            raise NotImplementedError(msg)
        answer = await self._answer(scope, receive)
        if answer is not None:
            start = {"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)}
            await send(start)
            await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        """Return the answer to a subrequest; None where the proxy left before it had sent all of it."""
        reader = self._readers.get(scope.get("raw_path") or b"")
        asked = _PATH if reader is None else original(scope, receive, reader)
        in_header = reader is not None and reader.dialect.name == _IN_HEADER
        return await self.answer(asked, scope.get("client"), in_header=in_header)

    async def answer(
        self, asked: Asked | Rejection, client: Any, *, in_header: bool = False
    ) -> Answer | None:
        """Return the answer to a request, or to what could not be read as one; None where the proxy left.

        client: address and port of the socket's peer, as in an ASGI scope. in_header: as for `refused`.
        """
        guard, peer = self._guard, peer_address(client)
        if peer is None or not self._peers[peer, ()].trusted:
            asked = _UNTRUSTED  # Rule 1
        if isinstance(asked, Rejection):
            return self._unread(asked, peer, in_header=in_header)
        outcome = await guard.handle(asked.scope, asked.receive)
        if outcome is None:
            return None
        try:
            record, _, _, refusal, _ = outcome
            answer = allowed(record) if refusal is None else refused(record, refusal, in_header=in_header)
            guard.conclude(record, None, None, answer.status)
            return answer
        finally:
            guard.release(outcome)

    def _unread(self, cause: Rejection, peer: str | None, *, in_header: bool) -> Answer:
        """Return the answer to a subrequest that is refused before the guard reads it."""
        record = self._guard.refuse(cause, peer)
        answer = unread(record, self._guard.answers, in_header=in_header)
        self._guard.conclude(record, None, None, answer.status)
        return answer
