"""What the servers under test serve: the guarded application at `/`, elsewhere what the server handed over.

The environment variable SERVED_CONFIG names the settings.
"""

from __future__ import annotations

import json
import os
from typing import Any

from prometheus_client import CollectorRegistry

from camguard import CamguardMiddleware
from tests.asgi import read_body, respond

END = {"lifespan.startup": "lifespan.startup.complete", "lifespan.shutdown": "lifespan.shutdown.complete"}


def named(headers: Any) -> list[str]:
    return [name.decode("latin-1") for name, _ in headers]


async def answer(send: Any, found: dict[str, Any]) -> None:
    body = json.dumps(found).encode()
    await respond(send, body, (b"content-length", str(len(body)).encode()))


async def guarded(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] in END:
            await send({"type": END[message["type"]]})
            if message["type"] == "lifespan.shutdown":
                return
    principal = scope["camguard.record"].principal
    await answer(send, {"principal": principal, "size": len(await read_body(receive))})


middleware = CamguardMiddleware(guarded, config=os.environ["SERVED_CONFIG"], registry=CollectorRegistry())


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan" or scope["path"] == "/":
        await middleware(scope, receive, send)
        return
    before = named(scope["headers"])
    size = len(await read_body(receive))
    found = {"before": before, "after": named(scope["headers"]), "size": size}
    await answer(send, {**found, "version": scope["http_version"]})
