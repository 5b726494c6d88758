"""The same small application behind each of the middlewares that are compared.

`python benchmarks/_apps.py FOLDER VARIANT PORT` serves one of them with uvicorn, one worker, on loopback.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from _workload import NOW, Size, Workload, make_workload
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from camguard import CamguardMiddleware, parse_address
from camguard.catalog import save_all
from camguard.engine.call import Call
from camguard.settings import load_settings

SIZE = Size(principals=100)
KEY = ("AKIDbenchmark000000000000000000000000", "benchmark-secret-key-of-no-value")
ANSWER = b'{"Response":{"RequestId":"3c140219-cfe9-470e-b241-907877d6fb03","ResultUrl":"https://example.invalid/"}}'

Scope = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


async def _endpoint(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, media_type="application/json")


def bare() -> App:
    """Return the application alone."""
    return Starlette(routes=[Route("/", _endpoint, methods=["POST"])])


class Nothing(BaseHTTPMiddleware):
    """Does nothing, the way most middleware is written."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Pass on."""
        return await call_next(request)


def peer(app: App, answer: Callable[[Call], object]) -> App:
    """Return a thin middleware around a peer: it reads what it needs, asks, passes on or refuses."""

    async def middleware(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        service = headers[b"host"].split(b".")[0].decode()
        action = f"{service}:{headers[b'x-tc-action'].decode()}"
        place = parse_address(headers[b"x-forwarded-for"].decode())
        if answer(Call(headers[b"x-camguard-principal"].decode(), action, place, NOW)):
            await app(scope, receive, send)
            return
        await Response(b"{}", media_type="application/json")(scope, receive, send)

    return middleware


def write_config(folder: Path, workload: Workload) -> Path:
    """Write a workload as a working folder of camguard and return its settings file."""
    bundle = folder / "bundle"
    (bundle / "policies").mkdir(parents=True, exist_ok=True)
    for name, document in workload.documents.items():
        (bundle / f"policies/{name}.json").write_text(json.dumps(document), encoding="utf-8")
    (bundle / "principals.json").write_text(json.dumps(workload.principals), encoding="utf-8")
    save_all(workload.catalog.services.values(), folder / "catalog")
    keys = folder / "keys.json"
    principal = f"uin/{min(workload.principals['users'])}"
    keys.write_text(json.dumps({KEY[0]: {"secret_key": KEY[1], "principal": principal, "enabled": True}}))
    keys.chmod(0o600)
    settings = folder / "camguard.toml"
    settings.write_text(
        '[identity]\nmode = "either"\n[client_ip]\ntrusted_proxies = ["127.0.0.1/32"]\n'
        '[enforcement]\nip_support = "gateway"\n[decision_log]\npath = ""\n[policy]\npoll_seconds = 3600.0\n'
    )
    return settings


def application(variant: str, folder: Path) -> App:
    """Return the application behind one middleware: none, an empty one, camguard's, a floor, or a peer's."""
    if variant == "bare":
        return bare()
    if variant == "empty BaseHTTPMiddleware":
        return Nothing(bare())
    if variant.startswith("camguard"):
        settings = load_settings(folder / "camguard.toml", environ={})
        return CamguardMiddleware(bare(), settings, clock=_clock, registry=CollectorRegistry())
    from _ladders import LADDERS, floor  # noqa: PLC0415 - floors import this module

    if variant.partition(": ")[0] in LADDERS:
        return floor(variant, bare())
    from _peers import PEERS  # noqa: PLC0415 - only where a peer is served: it imports them all

    found = next(each for each in PEERS if each.name == variant)
    return peer(bare(), found.build(make_workload(SIZE)))


def _clock() -> float:
    return NOW


def main() -> None:
    """Serve one variant until told to stop."""
    import uvicorn  # noqa: PLC0415 - only where it serves

    folder, variant, port = sys.argv[1:]
    uvicorn.run(
        application(variant, Path(folder)),
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on" if os.environ.get("CAMGUARD_LIFESPAN") else "off",
    )


if __name__ == "__main__":
    main()
