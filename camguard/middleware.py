"""The guard in front of an ASGI application: one line to add to any of them.

Rule 1: `lifespan` passes, `http` is judged, everything else is refused (T56, T57).
Rule 2: the application gets a scope and a `receive` that hold what was judged, or it is not called.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from prometheus_client import REGISTRY, CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from camguard.enforcement.guard import Guard
from camguard.enforcement.outcome import UPSTREAM_KEY
from camguard.errors import Problem, SettingsError
from camguard.request.head import new_request_id
from camguard.request.rejection import Refusal, refusal, rejection
from camguard.settings import Settings, load_settings
from camguard.telemetry.record import Record
from camguard.wiring import Components, assemble

_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1
_DENIAL = "websocket.http.response"  # the ASGI extension


class CamguardMiddleware:
    """Let a call through, or answer it with a refusal.

    config: camguard.toml, or settings. guard: instead of config, where the gateway built the parts, and
    starts and stops them. registry: where metrics are shown, the process's own by default.
    An allowed request's scope carries `camguard.decision`, `camguard.service` and `camguard.record`.

    Raises SettingsError where settings or keys cannot be used. A bundle that cannot be used raises nothing:
    calls are refused until it is repaired.

    >>> from starlette.applications import Starlette
    >>> app = Starlette()
    >>> app.add_middleware(CamguardMiddleware, config="config/camguard.toml")
    """

    def __init__(
        self,
        app: ASGIApp,
        config: str | os.PathLike[str] | Settings | None = None,
        *,
        guard: Guard | None = None,
        clock: Callable[[], float] = time.time,
        registry: CollectorRegistry | None = None,
    ) -> None:
        if (config is None) == (guard is None):
            raise SettingsError(Problem("CamguardMiddleware", "SettingsError", "takes config or guard"))
        self.app = app
        self._components: Components | None = None
        self._started = guard is not None
        if guard is None:
            assert config is not None  # noqa: S101 - for mypy: one of the two is given
            settings = config if isinstance(config, Settings) else load_settings(config)
            self._components = assemble(settings, clock=clock, registry=registry or REGISTRY)
            guard = self._components.guard
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        if not self._started:
            self._start()
        guard = self._guard
        outcome = await guard.handle(scope, receive)
        if outcome is None:
            return
        record, onward, replayed, refused, _ = outcome
        try:
            if onward is None or replayed is None:
                assert refused is not None  # noqa: S101 - for mypy: an outcome is either of the two
                try:
                    await send_refusal(refused, send)
                finally:  # a client that has left, or a server that ends, must not lose the record
                    guard.conclude(record, None)
            elif guard.conclusions:
                await self._conclude(record, onward, replayed, send)
            else:
                await self.app(onward, replayed, send)
        finally:
            guard.release(outcome)

    async def _conclude(self, record: Record, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, and hand the status of its answer to the conclusions."""
        status: int | None = None

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting_status)
        finally:
            self._guard.conclude(record, scope.get(UPSTREAM_KEY, status))

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what is no request: the application's own start and end. All else is refused."""
        if scope["type"] == "lifespan":
            self._start()
            try:
                await self.app(scope, receive, send)
            finally:
                if self._components is not None:
                    self._components.stop()
                    self._started = False
        elif scope["type"] == "websocket":
            await self._refuse_websocket(scope, receive, send)
        else:
            msg = f"camguard serves no ASGI scope of type {scope['type']!r}"
            raise NotImplementedError(msg)

    async def _refuse_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if _DENIAL not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        answer = refusal(rejection("websocket_refused"), new_request_id(), style="http")
        headers = [line for line in answer.headers if line[0] != b"connection"]
        await send({"type": f"{_DENIAL}.start", "status": 403, "headers": headers})
        await send({"type": f"{_DENIAL}.body", "body": answer.body})

    def _start(self) -> None:
        """Start the parts once: with the application, or with the first request where no server says when."""
        if self._components is not None and not self._started:
            self._components.start()
        self._started = True


async def send_refusal(answer: Refusal, send: Send) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)})
    await send({"type": "http.response.body", "body": answer.body})
