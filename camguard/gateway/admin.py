"""The admin listener: metrics, health, readiness, reload, status. It never shares a port with calls (T118).

Rule 1: an admin request never delays a call: a scrape is rendered in a thread, one at a time (T115).
Rule 2: no answer contains a secret, or text that a caller has written.
Rule 3: work that may block runs in a daemon thread, so that a thread that never returns does not keep the
        process from ending.
Rule 4: a page whose name an attacker lets resolve to this machine (DNS rebinding) can neither read nor
        reload: `Host` must be an address, `localhost` or a name of the settings, except for scrapes and
        health checks.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from camguard.bundle.store import ReloadOutcome
from camguard.errors import AddressError, Problem
from camguard.ipset import parse_address
from camguard.printable import printable_json
from camguard.telemetry.metrics import CONTENT_TYPE

T = TypeVar("T")

FRESH: Final = {"cache-control": "no-store"}
RELOAD_SECONDS: Final = 30.0  # after which a request for a reload is answered, even if the poll has not ended
ANY_HOST: Final = frozenset(("/metrics", "/-/healthy", "/-/ready"))  # answered for every `Host`, GET and HEAD
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the admin listener gets its answers from.

    render: returns the exposition. missing: returns why calls cannot be judged now, empty when ready. reload:
    polls policies and keys, in the calling thread. status: returns the content of `/api/status`; may block.
    """

    render: Callable[[], bytes]
    missing: Callable[[], Sequence[str]]
    reload: Callable[[], ReloadOutcome]
    status: Callable[[], Mapping[str, Any]]


class AdminResponse(JSONResponse):
    """A JSON answer that no cache stores and every terminal can show."""

    def __init__(self, content: Mapping[str, Any], status_code: int = 200) -> None:
        super().__init__(content, status_code, FRESH)

    def render(self, content: Any) -> bytes:
        """Return compact JSON without control, format and bidi characters."""
        document = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return printable_json(document).encode()


def admin(sources: Sources, hosts: Collection[str] = ()) -> ASGIApp:
    """Return the application of the admin listener. hosts: names in lower case that `Host` may hold."""
    return HostFilter(
        Starlette(
            routes=[
                Route("/metrics", metrics(sources)),
                Route("/-/healthy", healthy),
                Route("/-/ready", ready(sources)),
                Route("/-/reload", reload(sources), methods=["POST"]),
                Route("/api/status", status(sources)),
            ]
        ),
        hosts,
    )


class HostFilter:
    """Refuses requests whose `Host` is not an allowed name, except for the paths in `ANY_HOST`."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(("localhost", *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        read = scope["method"] in {"GET", "HEAD"} and scope["path"] in ANY_HOST
        if read or self._allowed(Request(scope).headers.getlist("host")):
            await self._app(scope, receive, send)
            return
        message = "is neither an IP address nor localhost nor a name in gateway.admin_hosts"
        await refusal(message)(scope, receive, send)

    def _allowed(self, values: Sequence[str]) -> bool:
        found = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if found is None:
            return False
        bracketed, bare = found.groups()
        if bare is not None and bare.lower() in self._hosts:
            return True
        with suppress(AddressError):
            parse_address(bracketed or bare)
            return bracketed is None or ":" in bracketed
        return False


def refusal(message: str) -> Response:
    """Return the answer to a request with a `Host` that is not allowed. message: what is wrong with it."""
    problem = Problem("Host", "HostRefused", message)._asdict()
    return AdminResponse({"result": "refused", "problems": [problem]}, 403)


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


Endpoint = Callable[[Request], Awaitable[Response]]


def metrics(sources: Sources) -> Endpoint:
    """Return the endpoint that Prometheus scrapes."""
    turn = asyncio.Lock()

    async def endpoint(_: Request) -> Response:
        async with turn:
            body = await in_daemon_thread(sources.render)
        return Response(body, media_type=CONTENT_TYPE)

    return endpoint


async def healthy(_: Request) -> Response:
    """Answer that the event loop runs."""
    return PlainTextResponse("healthy\n", headers=FRESH)


def ready(sources: Sources) -> Endpoint:
    """Return the endpoint for load balancers: it answers 200, or 503 with what is missing."""

    async def endpoint(_: Request) -> Response:
        missing = list(sources.missing())
        return AdminResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    return endpoint


def reload(sources: Sources) -> Endpoint:
    """Return the endpoint that polls policies and keys, and answers with the outcome.

    One poll runs at a time. A request that arrives during a poll waits for it, and a new poll is made for the
    request: the answer covers every change that was made before the request.
    """
    turn = asyncio.Lock()

    async def poll(begun: asyncio.Event) -> ReloadOutcome:
        async with turn:
            begun.set()
            return await in_daemon_thread(sources.reload)

    async def endpoint(request: Request) -> Response:
        if not same_site(request):
            return AdminResponse({"result": "refused", "problems": []}, 403)
        begun = asyncio.Event()
        task = asyncio.create_task(poll(begun))
        done, _ = await asyncio.wait((task,), timeout=RELOAD_SECONDS)
        if done:
            outcome = task.result()
            return AdminResponse(outcome_document(outcome), 500 if outcome.result == "failure" else 200)
        if not begun.is_set():
            task.cancel()  # so that requests do not queue behind a poll that hangs
        return AdminResponse({"result": "failure", "problems": [timeout_problem()]}, 504)

    return endpoint


def timeout_problem() -> dict[str, Any]:
    """Return the problem of a reload that has not ended."""
    message = f"has not ended after {RELOAD_SECONDS:g} seconds; what was in force before stays in force"
    return Problem("bundle", "ReloadTimeout", message)._asdict()


def status(sources: Sources) -> Endpoint:
    """Return the endpoint that shows operators the state of the gateway."""
    turn = asyncio.Lock()

    async def endpoint(_: Request) -> Response:
        async with turn:
            return AdminResponse(await in_daemon_thread(sources.status))

    return endpoint


def outcome_document(outcome: ReloadOutcome) -> dict[str, Any]:
    """Return the outcome of a poll as JSON contains it."""
    return {
        "result": outcome.result,
        "revision": outcome.revision,
        "problems": [problem._asdict() for problem in outcome.problems],
    }


def same_site(request: Request) -> bool:
    """Return False if a browser sent the request for a page of another site."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
