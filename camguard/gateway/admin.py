"""The admin listener: metrics, health, readiness, reload, status. It never shares a port with calls (T118).

Metrics, health and readiness are those of `camguard.asgi`, whose rules hold for the other answers, too.

Rule 1: a page whose name an attacker lets resolve to this machine (DNS rebinding) can neither read nor
        reload: `Host` must be an address, `localhost` or a name of the settings, except for scrapes and
        health checks.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from camguard.asgi import AdminResponse, in_daemon_thread, probe_routes
from camguard.bundle.store import ReloadOutcome
from camguard.errors import AddressError, CamguardError, Problem
from camguard.gateway.channel import WorkerOutcome, outcome_of
from camguard.ipset import parse_address

if TYPE_CHECKING:
    from camguard.bundle.remote import SourceFacts

RELOAD_SECONDS: Final = 30.0  # after which a request for a reload is answered, even if the poll has not ended
ANY_HOST: Final = frozenset(("/metrics", "/-/healthy", "/-/ready"))  # answered for every `Host`, GET and HEAD
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


Workers: TypeAlias = Sequence[WorkerOutcome]
ReloadWorkers: TypeAlias = Callable[[bool], Awaitable[Workers]]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the admin listener gets its answers from.

    render: returns the exposition. missing: returns why calls cannot be judged now, empty when ready.
    failing: returns what could not be read anew, so that its last good content is in use. reload: polls
    policies and keys, in the calling thread. status: returns the content of `/api/status`; may block. order:
    carries out an order of an operator, by its name and options, before the reload; raises CamguardError.
    reload_workers: makes the workers poll, with the option `force` or without it, and returns what came of
    it; None where this process judges the calls itself. restart: replaces the workers one after the other;
    None where there are none; raises CamguardError. detail: what `/-/ready` shows besides.
    """

    render: Callable[[], bytes]
    missing: Callable[[], Sequence[str]]
    failing: Callable[[], Sequence[str]]
    reload: Callable[[], ReloadOutcome]
    status: Callable[[], Mapping[str, Any]]
    order: Callable[[str, Mapping[str, str]], None] = lambda _name, _options: None
    reload_workers: ReloadWorkers | None = None
    restart: Callable[[], Awaitable[Sequence[WorkerOutcome]]] | None = None
    detail: Callable[[], Mapping[str, Any]] = dict


def admin(sources: Sources, hosts: Collection[str] = ()) -> ASGIApp:
    """Return the application of the admin listener. hosts: names in lower case that `Host` may hold."""
    return HostFilter(
        Starlette(
            routes=[
                *probe_routes(sources.render, sources.missing, sources.failing, sources.detail),
                Route("/-/reload", reload(sources), methods=["POST"]),
                Route("/-/rollback", reload(sources, "rollback"), methods=["POST"]),
                Route("/-/promote", reload(sources, "promote"), methods=["POST"]),
                Route("/-/restart", restart(sources), methods=["POST"]),
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


Endpoint = Callable[[Request], Awaitable[Response]]


# The parameters that a query may have, by the order of an operator. `force` and `release` are `true`.
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "reload": ("force",),
    "rollback": ("revision", "release"),
    "promote": ("revision",),
}


def reload(sources: Sources, order: str = "reload") -> Endpoint:
    """Return the endpoint that polls policies and keys, and answers with the outcome.

    order: of OPTIONS, carried out before the poll.

    One poll runs at a time. A request that arrives during a poll waits for it, and a new poll is made for the
    request: the answer covers every change that was made before the request.
    """
    turn = asyncio.Lock()

    async def poll(begun: asyncio.Event, options: Mapping[str, str]) -> tuple[ReloadOutcome, Workers]:
        async with turn:
            begun.set()
            if order != "reload" or options:
                await in_daemon_thread(partial(sources.order, order, options))
            if sources.reload_workers is None:
                outcome = await in_daemon_thread(sources.reload)
                return outcome, (outcome_of(os.getpid(), outcome),)
            workers = asyncio.ensure_future(sources.reload_workers("force" in options))
            outcome = await in_daemon_thread(sources.reload)
            return outcome, await workers

    async def endpoint(request: Request) -> Response:
        if not same_site(request):
            return AdminResponse({"result": "refused", "problems": []}, 403)
        options = dict(request.query_params)
        flags = [options[name] for name in ("force", "release") if name in options]
        if not options.keys() <= {*OPTIONS[order]} or any(each != "true" for each in flags):
            message = f"takes {', '.join(OPTIONS[order])}; force and release are `true` or not there"
            problem = Problem("query", "UsageError", message)._asdict()
            return AdminResponse({"result": "refused", "problems": [problem]}, 400)
        begun = asyncio.Event()
        task = asyncio.create_task(poll(begun, options))
        done, _ = await asyncio.wait((task,), timeout=RELOAD_SECONDS)
        if done:
            try:
                outcome, workers = task.result()
            except CamguardError as error:
                problems = [problem._asdict() for problem in error.problems]
                return AdminResponse({"result": "failure", "problems": problems}, 500)
            document = outcome_document(outcome, workers)
            return AdminResponse(document, 500 if document["result"] == "failure" else 200)
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


def restart(sources: Sources) -> Endpoint:
    """Return the endpoint that replaces the workers one after the other.

    It answers 409 where there is one process, and 504 after `RELOAD_SECONDS`, while the restart goes on.
    """
    running: set[asyncio.Task[Sequence[WorkerOutcome]]] = set()

    async def endpoint(request: Request) -> Response:
        if not same_site(request):
            return AdminResponse({"result": "refused", "problems": []}, 403)
        if sources.restart is None:
            message = "is 1, and one process cannot be replaced without a failed request: restart the service"
            problem = Problem("gateway.workers", "UsageError", message)._asdict()
            return AdminResponse({"result": "refused", "problems": [problem]}, 409)
        if not running:
            task = asyncio.ensure_future(sources.restart())
            running.add(task)
            task.add_done_callback(running.discard)
        (task,) = running
        done, _ = await asyncio.wait((task,), timeout=RELOAD_SECONDS)
        if not done:
            message = "goes on: the log and /api/status show how it ends"
            problem = Problem("workers", "RestartTimeout", message)._asdict()
            return AdminResponse({"result": "failure", "problems": [problem]}, 504)
        try:
            workers = task.result()
        except CamguardError as error:
            problems = [problem._asdict() for problem in error.problems]
            return AdminResponse({"result": "failure", "problems": problems, "workers": []}, 500)
        problems = worker_problems(workers)
        document = {"result": "failure" if problems else "success", "problems": problems}
        rows = [worker._asdict() for worker in workers]
        return AdminResponse({**document, "workers": rows}, 500 if problems else 200)

    return endpoint


def worker_problems(workers: Workers) -> list[dict[str, Any]]:
    """Return what kept workers from doing what they were ordered, each problem with the worker's number."""
    return [
        {**problem, "where": f"worker {worker.pid}: {problem['where']}"}
        for worker in workers
        if worker.failed
        for problem in worker.problems
    ]


def outcome_document(outcome: ReloadOutcome, workers: Workers = ()) -> dict[str, Any]:
    """Return the outcome of a poll as JSON contains it, with the findings of the active bundle (DEC-55).

    findings: counts by severity; None without a bundle. new_errors: those that this poll activated. result:
    `failure` if any worker failed, or if they have different revisions afterwards.
    """
    findings = outcome.bundle.findings if outcome.bundle else None
    new = [Problem(each.where, each.code, each.advice)._asdict() for each in outcome.new_errors]
    problems = [problem._asdict() for problem in outcome.problems]
    result: str = outcome.result
    if result != "failure":  # else the workers have the same problems
        problems += worker_problems(workers)
        if any(each.failed for each in workers):
            result = "failure"
        elif {each.revision for each in workers} - {outcome.revision}:
            message = "have different revisions, because the source was changed meanwhile; reload once more"
            problems.append(Problem("workers", "RevisionsDiffer", message)._asdict())
            result = "failure"
        elif any(each.result == "success" for each in workers):
            result = "success"
    return {
        "result": result,
        "revision": outcome.revision,
        "problems": problems,
        "findings": None if findings is None else findings.counts(),
        "new_errors": new,
        "workers": [worker._asdict() for worker in workers],
        **({} if outcome.source is None else source_document(outcome.source, outcome.warnings)),
    }


def source_document(source: SourceFacts, warnings: Sequence[Problem]) -> dict[str, Any]:
    """Return what the URL of the bundle says, and what went wrong without stopping the activation."""
    facts = {**source._asdict(), "fetches": dict(source.fetches), "writes": dict(source.writes)}
    return {"source": facts, "warnings": [problem._asdict() for problem in warnings]}


def same_site(request: Request) -> bool:
    """Return False if a browser sent the request for a page of another site."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
