"""Metrics, health and readiness as ASGI: beside the middleware, and on the admin listener of the gateway.

Rule 1: an answer never delays a call: a scrape is rendered in a thread, one at a time (T115).
Rule 2: no answer contains a secret, or text that a caller has written.
Rule 3: work that may block runs in a daemon thread, so that a thread that never returns does not keep the
        process from ending.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from camguard.errors import Problem, SettingsError
from camguard.middleware import CamguardMiddleware
from camguard.printable import printable_json
from camguard.telemetry.metrics import CONTENT_TYPE

T = TypeVar("T")

FRESH: Final = {"cache-control": "no-store"}


def admin_app(middleware: CamguardMiddleware) -> ASGIApp:
    """Return an application with the metrics, the health and the readiness of a guarded application.

    It answers `/metrics`, `/-/healthy` and `/-/ready`, as the admin listener of the gateway does, and asks
    for no password. Add it as a route or mount it beside the guarded application, or serve it on a port of
    its own in the same process. `/metrics` shows the numbers of this process, or of all processes with
    `PROMETHEUS_MULTIPROC_DIR`.

    >>> from fastapi import FastAPI
    >>> app = FastAPI()
    >>> app.add_route("/metrics", admin_app(guarded))
    >>> app.mount("/admin", admin_app(guarded))  # /admin/metrics, /admin/-/healthy, /admin/-/ready

    Raises SettingsError where the middleware was given `guard` instead of `config`.
    """
    parts = middleware.components
    if parts is None:
        problem = "takes a middleware that was given config; the owner of a guard has its metrics"
        raise SettingsError(Problem("admin_app", "SettingsError", problem))

    return _AdminApp(middleware.start, probe_routes(parts.metrics.render, parts.missing, parts.failing))


class _AdminApp(Starlette):
    """An application that starts what polls before its first answer, where no server has said it starts."""

    def __init__(self, start: Callable[[], object], routes: Sequence[Route]) -> None:
        super().__init__(routes=routes)
        self._start = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        self._start()
        await super().__call__(scope, receive, send)


def probe_routes(
    render: Callable[[], bytes],
    missing: Callable[[], Sequence[str]],
    failing: Callable[[], Sequence[str]],
    detail: Callable[[], Mapping[str, Any]] = dict,
) -> list[Route]:
    """Return the routes of metrics, health and readiness.

    render: returns the exposition. missing: returns why calls cannot be judged now, empty when ready.
    failing: returns what could not be read anew, so that its last good content is in use. detail: returns
    what the answer about readiness shows besides.
    """
    return [
        Route("/metrics", _metrics(render)),
        Route("/-/healthy", _healthy),
        Route("/-/ready", _ready(missing, failing, detail)),
    ]


class AdminResponse(JSONResponse):
    """A JSON answer that no cache stores and every terminal can show."""

    def __init__(self, content: Mapping[str, Any], status_code: int = 200) -> None:
        super().__init__(content, status_code, FRESH)

    def render(self, content: Any) -> bytes:
        """Return compact JSON without control, format and bidi characters."""
        document = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return printable_json(document).encode()


async def in_daemon_thread(do: Callable[[], T]) -> T:
    """Return what `do` returns, run in a daemon thread, because Python waits for the threads of a pool."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(result: T | None, error: Exception | None) -> None:
        if future.done():  # the listener has ended meanwhile
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # T may be None itself

    def run() -> None:
        result, error = None, None
        try:
            result = do()
        except Exception as exc:  # noqa: BLE001 - it is raised again where the result is awaited
            error = exc
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(deliver, result, error)

    threading.Thread(target=run, name="camguard-admin", daemon=True).start()
    return await future


def _metrics(render: Callable[[], bytes]) -> Callable[[Request], Any]:
    """Return the endpoint that Prometheus scrapes."""
    turn = asyncio.Lock()

    async def endpoint(_: Request) -> Response:
        async with turn:
            body = await in_daemon_thread(render)
        return Response(body, media_type=CONTENT_TYPE)

    return endpoint


async def _healthy(_: Request) -> Response:
    """Answer that the event loop runs."""
    return PlainTextResponse("healthy\n", headers=FRESH)


def _ready(
    missing: Callable[[], Sequence[str]],
    failing: Callable[[], Sequence[str]],
    detail: Callable[[], Mapping[str, Any]],
) -> Callable[[Request], Any]:
    """Return the endpoint for load balancers: it answers 200, or 503 with what is missing.

    What only failed to be read anew is named, too, and changes no status.
    """

    async def endpoint(_: Request) -> Response:
        lacks = list(missing())
        content = {"ready": not lacks, "missing": lacks, "failing": list(failing()), **detail()}
        return AdminResponse(content, 503 if lacks else 200)

    return endpoint
