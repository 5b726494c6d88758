"""The guard in front of an ASGI application: one line to add to any of them.

Rule 1: `lifespan` passes, `http` is judged, everything else is refused (T56, T57). Only `hosts.health_path`
        is answered without a decision (T136).
Rule 2: the application gets a scope and a `receive` that hold what was judged, or it is not called.
Rule 3: what polls and writes starts with the server: by the lifespan of this application or of another one
        (`lifespan`), or in the event loop in which the middleware is made. Else it starts with the first
        request, before which policies and keys are read anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from camguard.bounded_cache import BoundedCache
from camguard.enforcement.guard import Guard
from camguard.enforcement.health_path import HealthPath
from camguard.enforcement.outcome import UPSTREAM_ERROR_KEY, UPSTREAM_KEY
from camguard.enforcement.server_setup import NO_ASYNCIO, SetupAdvice, under_asyncio
from camguard.errors import Problem, SettingsError
from camguard.header_names import OWN_PREFIX, REQUEST_ID
from camguard.request.head import Lines, new_request_id
from camguard.request.rejection import Refusal, Rejection, Style, refusal, rejection
from camguard.settings import Settings
from camguard.settings.load import parse_settings
from camguard.settings.source import SettingsSource, read_source
from camguard.telemetry.record import NO_REPLY, REPLY_INCOMPLETE
from camguard.wiring import Components, assemble

LOG = logging.getLogger(__name__)
_UNAVAILABLE = rejection("policy_unavailable")
_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1
_WITHOUT = "CamguardMiddleware has no application: give it one, or give `around` to add_middleware"
_BODIES = frozenset(("http.response.body", "http.response.pathsend", "http.response.zerocopysend"))
_DENIAL = "websocket.http.response"  # the ASGI extension
# A whole answer in one message: a start that has its body, too. The gateway's relay sends it to the gateway's
# own server, which costs half of two messages.
WHOLE_ANSWER = "camguard.response"
_START: dict[str, Any] = {"type": "http.response.start", "status": 0, "headers": ()}


class CamguardMiddleware:
    """Let a call through, or answer it with a refusal.

    app: the guarded application; None if `around` is to be given it. config: camguard.toml, or settings.
    guard: instead of config, where the gateway built the parts, and starts and stops them; `health` is then
    the path for load balancers. registry: where metrics are shown, the process's own by default. components:
    the parts that were built from `config`, else None.
    An allowed request's scope carries `camguard.decision`, `camguard.service` and `camguard.record`.

    Raises SettingsError where settings or keys cannot be used. A bundle that cannot be used raises nothing:
    calls are refused until it is repaired. Under an event loop that is not asyncio the start is refused, or
    every call where the server says nothing of a start.

    Where the middleware is made when the module of the application is imported, no server starts with wrong
    settings, whatever the server makes of lifespans. `app.add_middleware(CamguardMiddleware, config=…)` works
    too, but Starlette makes such a middleware so late that most servers go on without the application's
    start: every request then fails, and the log names the cause.

    >>> from starlette.applications import Starlette
    >>> app = CamguardMiddleware(Starlette(), config="config/camguard.toml")
    >>> guarded = CamguardMiddleware(config="config/camguard.toml")  # or, beside other middlewares
    >>> Starlette().add_middleware(guarded.around)
    """

    def __init__(  # noqa: PLR0913 - two ways to be built
        self,
        app: ASGIApp | None = None,
        config: str | os.PathLike[str] | Settings | None = None,
        *,
        guard: Guard | None = None,
        health: HealthPath | None = None,
        clock: Callable[[], float] = time.time,
        registry: CollectorRegistry | None = None,
    ) -> None:
        if (config is None) == (guard is None):
            raise SettingsError(Problem("CamguardMiddleware", "SettingsError", "takes config or guard"))
        self.app = app or _no_application
        self.components: Components | None = None
        self._started = guard is not None
        self._advise = SetupAdvice()
        if guard is None:
            assert config is not None  # noqa: S101 - for mypy: one of the two is given
            try:
                settings, source = _settings_of(config)
                parts = assemble(settings, source=source, clock=clock, registry=registry or REGISTRY)
            except SettingsError as error:  # a server may hide what is raised in a lifespan
                for problem in error.problems:
                    LOG.error("camguard judges no calls: %s", problem)  # noqa: TRY400 - it is raised, too
                raise
            self.components = parts
            guard = parts.guard
            health = HealthPath(settings.hosts.health_path, lambda: not parts.missing())
            with suppress(
                RuntimeError
            ):  # no event loop runs: a server imports applications before it has one
                asyncio.get_running_loop().call_soon(self.start)
        self._guard = guard
        self._health = health or HealthPath(None, lambda: False)

    def around(self, app: ASGIApp) -> CamguardMiddleware:
        """Return this middleware, in front of an application from now on: for `app.add_middleware`.

        Raises SettingsError where the middleware has an application already: one stands in front of one only.
        """
        if self.app is not _no_application:
            raise SettingsError(
                Problem(
                    "CamguardMiddleware", "SettingsError", "stands in front of another application already"
                )
            )
        self.app = app
        return self

    @property
    def ready(self) -> bool:
        """Whether calls can be judged now. False where only `guard` was given, because nobody knows then."""
        return self._health.ready()

    async def __call__(  # noqa: C901, PLR0912 - one path in one order, and a call costs as much as a branch
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        guard = self._guard
        health = self._health
        probed = health.raw is not None and scope.get("raw_path") == health.raw
        if probed and await health.is_probe(scope, receive):
            await health.answer(scope["method"], send, ready=self.start() and health.ready())
            return
        if not self._started and not self.start():
            await send_refusal(self._answer(_UNAVAILABLE), send)
            return
        outcome = guard.handle(scope, receive)
        if not isinstance(outcome, tuple):
            awaited = await outcome
            if awaited is None:
                return
            outcome = awaited
        record, onward, replayed, template, held, own = outcome
        answer = upstream = status = error = None
        try:
            if onward is not None and replayed is not None:
                answer = _Answer()
                answer.passed_on, answer.own, answer.status, answer.whole = send, own, None, False
                await self.app(onward, replayed, answer.send)
            elif template is not None:
                status = template.status
                if isinstance(record.decision, Rejection):
                    self._advise(scope, record.decision)
                # As `send_refusal` sends what `RefusalTemplate.of` returns, without what both allocate.
                name, start = record.request_id.encode(), _START.copy()
                start["status"], start["headers"] = status, [*template.headers]
                if template.names_request:
                    start["headers"].append((REQUEST_ID, name))
                await send(start)
                await send({"type": "http.response.body", "body": name.join(template.pieces)})
        except (asyncio.CancelledError, ClientDisconnect):
            if answer is not None:
                answer.whole = True  # the client has left, or the server ends: no failure of the application
            raise
        finally:  # a client that has left, or a server that ends, must not lose the record
            guard.in_flight -= 1  # as `Guard.release`, without a call
            guard.bodies.kept -= held
            if answer is not None and onward is not None:  # T130
                status = answer.status
                error = None if answer.whole else NO_REPLY if status is None else REPLY_INCOMPLETE
                upstream = onward.get(UPSTREAM_KEY, status)
                error = onward.get(UPSTREAM_ERROR_KEY, error)
            for conclude in guard.conclusions:  # as `Guard.conclude`, without a call
                try:
                    conclude(record, upstream, error, status)
                except Exception as failure:  # noqa: BLE001 - the answer is on its way
                    guard.failed(failure)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what is no request: the application's own start and end. All else is refused."""
        if scope["type"] == "lifespan":
            if not self.start():
                await receive()  # lifespan.startup
                await send({"type": "lifespan.startup.failed", "message": NO_ASYNCIO})
                return
            try:
                await self.app(scope, receive, send)
            finally:
                self.stop()
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
        answer = self._answer(rejection("websocket_refused"), style="http")
        headers = [line for line in answer.headers if line[0] != b"connection"]
        await send({"type": f"{_DENIAL}.start", "status": 403, "headers": headers})
        await send({"type": f"{_DENIAL}.body", "body": answer.body})

    def _answer(self, cause: Rejection, style: Style | None = None) -> Refusal:
        """Return the answer to what is refused before there is a record."""
        answers = self._guard.answers
        return refusal(
            cause, new_request_id(), style=style or answers.style, names_request=answers.names_request
        )

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Start and stop the parts with the lifespan of another application, in which this one is mounted.

        A server tells only the outermost application of its start: `FastAPI(lifespan=guarded.lifespan)`.
        Raises RuntimeError under an event loop that is not asyncio.
        """
        if not self.start():
            raise RuntimeError(NO_ASYNCIO)
        try:
            yield
        finally:
            self.stop()

    def start(self) -> bool:
        """Start to poll and to write decisions, once: where the server says nothing of its start.

        Return False, and start nothing, under an event loop that is not asyncio (T127).
        """
        if not self._started and not under_asyncio():
            self._advise.no_asyncio()
            return False
        if self.components is not None and not self._started:
            self.components.start()
        self._started = True
        return True

    def stop(self) -> None:
        """Stop what `start` started, and write the decisions that wait. A later request starts it again."""
        if self.components is not None and self._started:
            self.components.stop()
            self._started = False


async def _no_application(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the application that was not given: refuse the start, and fail every request."""
    if scope["type"] == "lifespan":
        await receive()  # lifespan.startup
        await send({"type": "lifespan.startup.failed", "message": _WITHOUT})
        return
    raise RuntimeError(_WITHOUT)


def _settings_of(config: str | os.PathLike[str] | Settings) -> tuple[Settings, SettingsSource | None]:
    """Return the settings, and what they were read from. Raises SettingsError."""
    if isinstance(config, Settings):
        return config, None
    source = read_source(config)
    return parse_settings(source), source


def _is_own(name: bytes) -> bool:
    own = name.lower().replace(b"_", b"-").startswith(OWN_PREFIX)
    if not own:
        _OTHER_NAMES[name] = None
    return own


_OTHER_NAMES: BoundedCache[bytes, None] = BoundedCache()  # that were found not to be camguard's own


class _Answer:
    """The answer of an application on its way to the server.

    passed_on: the `send` of the server. own: camguard's own headers. No other header may have such a name
    (T138). status: that was sent; None before. whole: whether the end of the body was sent. A class without
    `__init__`, and an object instead of a closure, save each request half of their cost.
    """

    __slots__ = ("own", "passed_on", "status", "whole")

    passed_on: Send
    own: Lines
    status: int | None
    whole: bool

    async def send(self, message: Message) -> None:
        """Send one message on."""
        kind = message["type"]
        if kind == "http.response.start" or kind == WHOLE_ANSWER:  # noqa: PLR1714 - a set costs more
            onward = message.copy() if type(message) is dict else dict(message)
            lines = onward.get("headers", ())
            if type(lines) is not list:
                lines = [*lines]
            for line in lines:
                if line[0] not in _OTHER_NAMES and _is_own(line[0]):
                    lines = [line for line in lines if not _is_own(line[0])]
                    break
            onward["headers"] = [*lines, *self.own]
            await self.passed_on(onward)
            self.status = message["status"]  # not before: a status that could not be sent is not claimed
            self.whole = kind == WHOLE_ANSWER
        else:
            await self.passed_on(message)
            if kind in _BODIES and not message.get("more_body", False):
                self.whole = True


async def send_refusal(answer: Refusal, send: Send) -> None:
    """Send a whole answer."""
    code, headers, body = answer
    await send({"type": "http.response.start", "status": code, "headers": [*headers]})
    await send({"type": "http.response.body", "body": body})
