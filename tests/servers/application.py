"""What the servers under test serve: guarded applications, and elsewhere what the server handed over.

The environment variable SERVED_CONFIG names the settings. `/` is guarded by itself. Below `/mounted` the same
is mounted, below `/outside/NAME` camguard stands in front of one of Starlette's middlewares, below
`/inside/NAME` behind it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Router
from starlette.types import ASGIApp

from camguard import CamguardMiddleware
from camguard.enforcement.lane import Lane
from camguard.settings import load_settings
from camguard.wiring import assemble
from tests.asgi import read_body, respond

if "TESTS_WITHOUT_RECOGNITION" in os.environ:
    Lane.recognize = lambda *_: None  # type: ignore[method-assign]

END = {"lifespan.startup": "lifespan.startup.complete", "lifespan.shutdown": "lifespan.shutdown.complete"}


class Passing(BaseHTTPMiddleware):
    """Passes each request on, and marks its reply."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        """Serve one request."""
        response = await call_next(request)
        response.headers["x-passed"] = "1"
        return response


MIDDLEWARES: dict[str, Callable[[ASGIApp], ASGIApp]] = {
    "gzip": lambda app: GZipMiddleware(app, minimum_size=1),
    "cors": lambda app: CORSMiddleware(app, allow_origins=["*"]),
    "trusted-host": lambda app: TrustedHostMiddleware(app, allowed_hosts=["*.tencentcloudapi.com"]),
    "sessions": lambda app: SessionMiddleware(app, secret_key="of-no-use"),
    "base-http": Passing,
}


def named(headers: Any) -> list[str]:
    return [name.decode("latin-1") for name, _ in headers]


async def answer(send: Any, found: dict[str, Any]) -> None:
    body = json.dumps(found).encode()
    length = (b"content-length", str(len(body)).encode())
    await respond(send, body, (b"content-type", b"application/json"), length)


async def guarded(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] in END:
            await send({"type": END[message["type"]]})
            if message["type"] == "lifespan.shutdown":
                return
    principal = scope["camguard.record"].principal
    await answer(send, {"principal": principal, "size": len(await read_body(receive))})


middleware = CamguardMiddleware(guarded, config=os.environ["SERVED_CONFIG"], registry=CollectorRegistry())
parts = assemble(load_settings(os.environ["SERVED_CONFIG"]), registry=CollectorRegistry())


def mounted() -> Router:
    """Return the mounted applications. One guard serves all of them."""
    routes = [Mount("/mounted", CamguardMiddleware(guarded, guard=parts.guard))]
    for name, around in MIDDLEWARES.items():
        routes += [
            Mount(f"/outside/{name}", CamguardMiddleware(around(guarded), guard=parts.guard)),
            Mount(f"/inside/{name}", around(CamguardMiddleware(guarded, guard=parts.guard))),
        ]
    return Router(routes)


mounts = mounted()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan" or scope["path"] in {"/", f"{scope.get('root_path', '')}/"}:
        await middleware(scope, receive, send)
        return
    if scope["path"].startswith(("/mounted", "/outside", "/inside")):
        await mounts(scope, receive, send)
        return
    before = named(scope["headers"])
    size = len(await read_body(receive))
    found = {"before": before, "after": named(scope["headers"]), "size": size}
    await answer(send, {**found, "version": scope["http_version"]})
