"""The admin listener: metrics, health, readiness, reload, status. Its own port, never the callers' (T118).

Rule 1: it is asked seldom and never delays a call: a scrape is rendered in a thread, one at a time (T115).
Rule 2: nothing here is secret and nothing of it was written by a caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from camguard.bundle.store import ReloadOutcome
from camguard.telemetry.metrics import CONTENT_TYPE

FRESH = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Sources:
    """What the admin listener tells of.

    render: the exposition. missing: what keeps calls from being judged now, empty when ready. reload: look at
    policies and keys now, in the thread that calls. status: facts for a person.
    """

    render: Callable[[], bytes]
    missing: Callable[[], Sequence[str]]
    reload: Callable[[], ReloadOutcome]
    status: Callable[[], Mapping[str, Any]]


def admin(sources: Sources) -> Starlette:
    """Return the application of the admin listener."""
    return Starlette(
        routes=[
            Route("/metrics", metrics(sources)),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready(sources)),
            Route("/-/reload", reload(sources), methods=["POST"]),
            Route("/api/status", status(sources)),
        ]
    )


Endpoint = Callable[[Request], Awaitable[Response]]


def metrics(sources: Sources) -> Endpoint:
    """Return what Prometheus asks."""
    turn = asyncio.Lock()

    async def endpoint(_: Request) -> Response:
        async with turn:
            body = await asyncio.to_thread(sources.render)
        return Response(body, media_type=CONTENT_TYPE)

    return endpoint


async def healthy(_: Request) -> Response:
    """Say that the event loop turns."""
    return PlainTextResponse("healthy\n", headers=FRESH)


def ready(sources: Sources) -> Endpoint:
    """Return what a load balancer asks: 200, or 503 with what is missing."""

    async def endpoint(_: Request) -> Response:
        missing = list(sources.missing())
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200, FRESH)

    return endpoint


def reload(sources: Sources) -> Endpoint:
    """Return what looks at policies and keys now, and answers with what came of it."""

    async def endpoint(request: Request) -> Response:
        if not same_site(request):
            return JSONResponse({"result": "refused", "problems": []}, 403, FRESH)
        outcome = await asyncio.to_thread(sources.reload)
        return JSONResponse(told(outcome), 500 if outcome.result == "failure" else 200, FRESH)

    return endpoint


def status(sources: Sources) -> Endpoint:
    """Return what a person asks."""

    async def endpoint(_: Request) -> Response:
        return JSONResponse(dict(sources.status()), headers=FRESH)

    return endpoint


def told(outcome: ReloadOutcome) -> dict[str, Any]:
    """Return a reload as JSON holds it."""
    return {
        "result": outcome.result,
        "revision": outcome.revision,
        "problems": [problem._asdict() for problem in outcome.problems],
    }


def same_site(request: Request) -> bool:
    """Whether a request was not sent by a page of another site in somebody's browser."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
