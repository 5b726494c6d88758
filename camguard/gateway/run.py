"""The gateway as one process: parts and listeners started, signals heard, all of it ended in order.

Rule 1: sockets are bound before anything is promised, and closed to new calls before anything is ended.
Rule 2: a bundle that cannot be used stops nothing: calls are refused until it is repaired (T108).
Rule 3: SIGTERM and SIGINT finish what is in flight; a second one does not wait. SIGHUP looks at policies and
        keys at once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvloop
from starlette.types import ASGIApp, Message, Scope

from camguard._version import __version__
from camguard.assembly import Parts, assemble
from camguard.enforcement.outcome import RECORD_KEY
from camguard.errors import Problem, SettingsError
from camguard.gateway.admin import Sources, admin
from camguard.gateway.client import AiohttpClient
from camguard.gateway.echo import echo
from camguard.gateway.protocol import Bounds
from camguard.gateway.relay import Failure, Relay
from camguard.gateway.server import bind, listening, raise_file_limit
from camguard.middleware import CamguardMiddleware
from camguard.request.rejection import Style, refusal, rejection
from camguard.settings import Settings
from camguard.settings.source import SettingsSource, state_of_file

LISTENER = "gateway"  # of the calls, as metrics and decision log name it
ADMIN_BOUNDS = Bounds(head_seconds=10, body_seconds=30, head_bytes=65_536, connections=256)
ADMIN_STOP_SECONDS = 1.0
LAST_SECONDS = 10.0  # beyond `limits.shutdown_seconds`, before a process that hangs is ended
HUNG = 1  # its exit code
SWITCH_SECONDS = 0.001  # that a call waits for a thread which reads a bundle, where Python's own are 0.005

DETAILS: dict[Failure, str] = {"timeout": "upstream_timeout", "internal": "internal_error", "cut": "framing"}


@dataclass(frozen=True, slots=True)
class Sockets:
    """What is bound. admin: None where there is no admin listener, or another process has it."""

    calls: socket.socket
    admin: socket.socket | None = None

    @property
    def ports(self) -> tuple[int, int | None]:
        """Of calls and admin, as bound: a setting may leave the choice to the system."""
        return self.calls.getsockname()[1], self.admin.getsockname()[1] if self.admin else None

    def close(self) -> None:
        """Close what no listener has closed."""
        self.calls.close()
        if self.admin is not None:
            self.admin.close()


@dataclass(slots=True)
class Life:
    """What a running gateway reports about itself.

    source: what the settings were read from. workers: as `/api/status` shows them. begun: Unix time.
    also_missing: beside what the parts miss.
    """

    settings: Settings
    parts: Parts
    source: SettingsSource
    workers: Callable[[], list[dict[str, Any]]]
    also_missing: Callable[[], list[str]] = list
    begun: float = field(default_factory=time.time)
    stopping: bool = False

    def missing(self) -> list[str]:
        """Return what keeps calls from being judged: `bundle`, `stale`, `stopping`."""
        facts = {
            "bundle": self.parts.store.bundle is None,
            "stale": self.parts.store.stale,
            "stopping": self.stopping,
        }
        return [name for name, true in facts.items() if true] + self.also_missing()

    def status(self) -> dict[str, Any]:
        """Return facts for a person. Reads the settings file, so it may block."""
        bundle = self.parts.store.bundle
        return {
            "version": __version__,
            "begun": self.begun,
            "missing": self.missing(),
            "revision": bundle.revision if bundle else None,
            "statements": bundle.statement_count if bundle else 0,
            "principals": len(bundle.people.layers) if bundle else 0,
            "actions": len(bundle.catalog.actions) if bundle else 0,
            "settings_digest": self.settings.digest(),
            "settings_file": state_of_file(self.source),
            "workers": self.workers(),
            "settings": self.settings.effective(),
        }


def bind_all(settings: Settings) -> Sockets:
    """Bind what the settings name. Raises SettingsError."""
    if settings.gateway.authorizer is not None:
        why = "has no listener in this version; leave it empty"
        raise SettingsError(Problem("gateway.authorizer", "SettingsError", why))
    calls = bind(settings.gateway.listen, "listen")
    try:
        return Sockets(calls, bind(settings.gateway.admin, "admin") if settings.gateway.admin else None)
    except BaseException:
        calls.close()
        raise


def refuser(style: Style) -> Callable[[Scope, Failure], list[Message]]:
    """Return what answers an allowed call that found no upstream (DEC-53)."""

    def refuse(scope: Scope, failure: Failure) -> list[Message]:
        decision = rejection(DETAILS.get(failure, "upstream_error"))
        status, headers, body = refusal(decision, scope[RECORD_KEY].request_id, style=style)
        return [
            {"type": "http.response.start", "status": status, "headers": list(headers)},
            {"type": "http.response.body", "body": body},
        ]

    return refuse


@asynccontextmanager
async def guarded_relay(settings: Settings, parts: Parts) -> AsyncIterator[ASGIApp]:
    """Give the application of the callers' listener."""
    client = AiohttpClient(seconds=settings.limits.upstream_seconds, connections=settings.limits.concurrency)
    refuse = refuser(settings.enforcement.status_style)
    try:
        relay = Relay(settings.upstream, client, echo, refuse, parts.metrics)
        yield CamguardMiddleware(relay, guard=parts.guards[LISTENER])
    finally:
        await client.close()


async def serve(life: Life, sockets: Sockets, stop: asyncio.Event, started: Callable[[], None]) -> None:
    """Serve until `stop` is set, then finish what is in flight. Listeners end in reverse order."""
    settings, parts = life.settings, life.parts
    sources = Sources(parts.metrics.render, life.missing, parts.store.reload, life.status)
    bounds = Bounds.of(settings.limits, raise_file_limit())
    async with AsyncExitStack() as stack:
        if sockets.admin is not None:
            await stack.enter_async_context(
                listening(
                    admin(sources, settings.gateway.admin_hosts),
                    sockets.admin,
                    ADMIN_BOUNDS,
                    ADMIN_STOP_SECONDS,
                )
            )
        app = await stack.enter_async_context(guarded_relay(settings, parts))
        calls = listening(app, sockets.calls, bounds, settings.limits.shutdown_seconds)
        await stack.enter_async_context(calls)
        started()
        await stop.wait()
        life.stopping = True


def hear_signals(reload: Callable[[], None], seconds: float) -> asyncio.Event:
    """Return what SIGTERM and SIGINT set, once; SIGHUP reloads. In the running loop, in the main thread.

    seconds: after which the process ends whatever still hangs: a read of a file, a name that is resolved, a
    write to a pipe that nobody reads.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def end() -> None:
        stop.set()
        last = threading.Timer(seconds, os._exit, (HUNG,))
        last.daemon = True
        last.start()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)  # whoever asks twice is not made to wait

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, end)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return stop


def serve_alone(
    settings: Settings,
    source: SettingsSource,
    sockets: Sockets,
    started: Callable[[Parts], None],
    orphaned: int | None = None,
) -> None:
    """Be the gateway until a signal ends it.

    source: what the settings were read from. started: called once calls are accepted.
    orphaned: a file descriptor that becomes readable when the process that watches this one is gone.

    Raises SettingsError.
    """
    parts = assemble(settings, listeners=(LISTENER,), drains=True)
    parts.start()
    gc.collect()
    gc.freeze()  # what was loaded stays; a collection need not walk it again and again
    sys.setswitchinterval(SWITCH_SECONDS)

    async def serving() -> None:
        stop = hear_signals(parts.store.request, settings.limits.shutdown_seconds + LAST_SECONDS)
        if orphaned is not None:
            asyncio.get_running_loop().add_reader(orphaned, stop.set)
        me = {"pid": os.getpid(), "accepting": True, "settings_digest": settings.digest()}
        await serve(Life(settings, parts, source, lambda: [me]), sockets, stop, partial(started, parts))

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serving())
    finally:
        parts.stop()
