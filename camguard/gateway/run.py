"""The gateway as one process: starts components and listeners, handles signals, ends everything in order.

Rule 1: sockets are bound before camguard reports that it serves. At the end, the listeners accept no new
        connection before any component is stopped.
Rule 2: a bundle that cannot be used does not end the process: every call is refused until it is repaired
        (T108).
Rule 3: SIGTERM and SIGINT let requests in flight finish; a second signal ends the process at once. SIGHUP
        polls policies and keys at once. SIGUSR2 replaces the workers one after the other.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import uvloop
from starlette.types import ASGIApp, Scope

from camguard._version import __version__
from camguard.activation import carry_out
from camguard.authn.key_store import KeyStore
from camguard.authorizer.application import Authorizer
from camguard.bundle import Bundle, Store
from camguard.enforcement.health_path import HealthPath
from camguard.enforcement.outcome import RECORD_KEY
from camguard.errors import Problem, SettingsError
from camguard.exit_codes import Exit
from camguard.gateway.admin import Sources, admin
from camguard.gateway.channel import WorkerChannel, WorkerState, row_of, state_of
from camguard.gateway.client import HttpClient
from camguard.gateway.connecting import verifying
from camguard.gateway.echo import echo
from camguard.gateway.protocol import Bounds
from camguard.gateway.relay import Failure, Relay
from camguard.gateway.server import bind, listening, raise_file_limit
from camguard.gateway.systemd import READY, STOPPING, Notify, announced, silent
from camguard.middleware import CamguardMiddleware
from camguard.request.rejection import Refusal, Style, refusal, rejection
from camguard.settings import Settings
from camguard.settings.source import SettingsSource, state_of_file
from camguard.telemetry.record import AUTHORIZER
from camguard.wiring import Components, assemble, authorizer_settings, failing, missing

LOG = logging.getLogger("camguard.gateway")
LISTENER = "gateway"  # the name of the callers' listener in metrics and decision log
ADMIN_BOUNDS = Bounds(head_seconds=10, body_seconds=30, head_bytes=65_536, connections=256)
ADMIN_STOP_SECONDS = 1.0
LAST_SECONDS = 10.0  # after the two limits of an end, until a process that hangs is ended
SWITCH_SECONDS = 0.001  # for which a thread that reads a bundle may delay a call; Python's default is 0.005

DETAILS: dict[Failure, str] = {"timeout": "upstream_timeout", "internal": "internal_error", "cut": "framing"}


class Ports(NamedTuple):
    """The bound ports of the listeners, None for one that is not there."""

    calls: int
    admin: int | None
    authorizer: int | None


@dataclass(frozen=True, slots=True)
class Sockets:
    """The bound sockets. admin: None if there is no admin listener, or if another process serves it.

    authorizer: None if proxies are not answered.
    """

    calls: socket.socket
    admin: socket.socket | None = None
    authorizer: socket.socket | None = None

    @property
    def ports(self) -> Ports:
        """The bound ports. With port 0 in the settings, the system has chosen them."""
        admin, authorizer = (
            each.getsockname()[1] if each else None for each in (self.admin, self.authorizer)
        )
        return Ports(self.calls.getsockname()[1], admin, authorizer)

    def close(self) -> None:
        """Close the sockets that no listener has closed."""
        for each in (self.calls, self.admin, self.authorizer):
            if each is not None:
                each.close()


@dataclass(slots=True)
class ServerStatus:
    """What a running gateway reports about itself on the admin listener.

    source: what the settings were read from. keys: None where no signature is ever verified. workers: returns
    the rows that `/api/status` shows. also_missing: returns what is missing besides a valid bundle.
    also_failing: returns what else could not be read anew. notify: sends a state to systemd. begun: Unix
    time. retired: whether another worker has taken over, so that the instance goes on while this process
    ends.
    """

    settings: Settings
    store: Store
    keys: KeyStore | None
    source: SettingsSource
    workers: Callable[[], list[dict[str, Any]]]
    also_missing: Callable[[], list[str]] = list
    also_failing: Callable[[], list[str]] = list
    notify: Notify = silent
    begun: float = field(default_factory=time.time)
    stopping: bool = False
    retired: Callable[[], bool] = lambda: False

    def missing(self) -> list[str]:
        """Return why calls cannot be judged now: as `camguard.wiring.missing`, or `stopping`."""
        stopping = ["stopping"] if self.stopping else []
        found = (*missing(self.settings, self.store, self.keys), *stopping, *self.also_missing())
        return list(dict.fromkeys(found))

    def failing(self) -> list[str]:
        """Return what could not be read anew, as `camguard.wiring.failing` does."""
        return list(dict.fromkeys((*failing(self.store, self.keys), *self.also_failing())))

    def report(self) -> dict[str, Any]:
        """Return the content of `/api/status`. It reads the settings file, so it may block."""
        bundle = self.store.bundle
        return {
            "version": __version__,
            "begun": self.begun,
            "missing": self.missing(),
            "failing": self.failing(),
            "revision": bundle.revision if bundle else None,
            "statements": bundle.statement_count if bundle else 0,
            "principals": len(bundle.people.layers) if bundle else 0,
            "actions": len(bundle.catalog.actions) if bundle else 0,
            "findings": bundle.findings.counts() if bundle and bundle.findings else None,
            "keys": self.keys.report() if self.keys else None,
            "settings_digest": self.settings.digest(),
            "settings_file": state_of_file(self.source),
            "workers": self.workers(),
            "settings": self.settings.effective(),
        }


def bind_all(settings: Settings) -> Sockets:
    """Bind the addresses that the settings name, but for that of gRPC, which its server binds itself.

    Raises SettingsError.
    """
    gateway = settings.gateway
    if gateway.authorizer_grpc is not None and find_spec("grpc") is None:
        message = "needs grpcio, which is not installed: install the extra `authorizer-grpc`"
        raise SettingsError(Problem("gateway.authorizer_grpc", "SettingsError", message))
    with ExitStack() as bound:
        addresses = {"calls": gateway.listen, "admin": gateway.admin, "authorizer": gateway.authorizer}
        names = {"calls": "listen"}
        sockets = {
            name: bound.enter_context(bind(address, names.get(name, name)))
            for name, address in addresses.items()
            if address is not None
        }
        bound.pop_all()
    return Sockets(**sockets)


def refuser(style: Style) -> Callable[[Scope, Failure], Refusal]:
    """Return the function that answers an allowed call whose upstream failed (DEC-53)."""

    def refuse(scope: Scope, failure: Failure) -> Refusal:
        decision = rejection(DETAILS.get(failure, "upstream_error"))
        return refusal(decision, scope[RECORD_KEY].request_id, style=style)

    return refuse


@asynccontextmanager
async def guarded_relay(
    settings: Settings, components: Components, ready: Callable[[], bool]
) -> AsyncIterator[ASGIApp]:
    """Yield the application of the callers' listener. ready: whether calls can be judged now."""
    health = HealthPath(settings.hosts.health_path, ready)
    limits = settings.limits
    if any(url.startswith("https:") for url in settings.upstream.values()):
        verifying()  # it reads files, and the first call should not wait for that
    client = HttpClient(
        seconds=limits.upstream_seconds,
        connections=limits.concurrency,
        idle_seconds=limits.upstream_idle_seconds,
    )
    refuse = refuser(settings.enforcement.status_style)
    try:
        relay = Relay(settings.upstream, client, echo, refuse, components.metrics.answers)
        components.metrics.answers.follow_upstreams(relay.forwards)
        yield CamguardMiddleware(relay, guard=components.guards[LISTENER], health=health)
    finally:
        await client.close()


def admin_listener(
    sources: Sources, settings: Settings, sockets: Sockets
) -> AbstractAsyncContextManager[object]:
    """Return the admin listener, which serves while its context is open; without a socket, nothing."""
    if sockets.admin is None:
        return nullcontext()
    app = admin(sources, settings.gateway.admin_hosts)
    return listening(app, sockets.admin, ADMIN_BOUNDS, ADMIN_STOP_SECONDS)


def authorizer_listener(
    settings: Settings,
    components: Components,
    sockets: Sockets,
    connections: int,
    patient: Callable[[], bool],
) -> AbstractAsyncContextManager[object]:
    """Return the listener of proxies that ask, as `admin_listener` does.

    connections: at most so many. patient: as for `listening`.
    """
    if sockets.authorizer is None:
        return nullcontext()
    app = Authorizer(settings, components.guards[AUTHORIZER])
    bounds = Bounds.of(authorizer_settings(settings).limits, connections)
    return listening(app, sockets.authorizer, bounds, settings.limits.shutdown_seconds, patient)


def grpc_listener(settings: Settings, components: Components) -> AbstractAsyncContextManager[object]:
    """Return the listener of Envoys that ask over gRPC, as `admin_listener` does. Raises SettingsError."""
    address = settings.gateway.authorizer_grpc
    if address is None:
        return nullcontext()
    from camguard.authorizer.envoy_grpc import grpc_listening  # noqa: PLC0415 - of another extra

    app = Authorizer(settings, components.guards[AUTHORIZER])
    return grpc_listening(settings, address, app, shared=settings.gateway.workers > 1)


async def serve(
    status: ServerStatus,
    components: Components,
    sockets: Sockets,
    stop: asyncio.Event,
    started: Callable[[Bundle | None], None],
) -> None:
    """Serve until `stop` is set, then let requests in flight finish. Listeners end in reverse order."""
    settings = status.settings
    sources = Sources(
        components.metrics.render,
        status.missing,
        status.failing,
        components.store.reload,
        status.report,
        partial(carry_out, settings, components.store),
    )
    bounds = Bounds.of(settings.limits, raise_file_limit())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(admin_listener(sources, settings, sockets))
        app = await stack.enter_async_context(
            guarded_relay(settings, components, lambda: not status.missing())
        )
        calls = listening(
            app, sockets.calls, bounds, settings.limits.shutdown_seconds, status.retired, direct=True
        )
        await stack.enter_async_context(calls)
        listener = authorizer_listener(settings, components, sockets, bounds.connections, status.retired)
        await stack.enter_async_context(listener)
        await stack.enter_async_context(grpc_listener(settings, components))
        started(components.store.bundle)
        status.notify(READY)
        await stop.wait()
        status.stopping = not status.retired()
        status.notify(STOPPING)
        if status.stopping:  # a load balancer learns of it before connections are refused
            await asyncio.sleep(settings.limits.drain_seconds)


def cannot_restart() -> None:
    """Log that one process cannot be replaced without a failed request."""
    LOG.warning("SIGUSR2 replaces workers one after the other, which needs gateway.workers of 2 or more")


def handle_signals(
    reload: Callable[[], None], seconds: float, restart: Callable[[], None] = cannot_restart
) -> asyncio.Event:
    """Return the event that the first SIGTERM or SIGINT sets. SIGHUP calls `reload`, SIGUSR2 `restart`.

    Must be called in the main thread, while the event loop runs. seconds: after the first signal, until the
    process is ended even if something hangs: a read of a file, the resolution of a name, or a write to a pipe
    that no process reads.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def end() -> None:
        stop.set()
        last = threading.Timer(seconds, os._exit, (Exit.UNEXPECTED,))
        last.daemon = True
        last.start()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)  # a second signal ends the process at once (Rule 3)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, end)
    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGUSR2, restart)
    return stop


def serve_alone(  # noqa: PLR0913 - what both callers hand over, and one thing that each of them adds
    settings: Settings,
    source: SettingsSource,
    sockets: Sockets,
    started: Callable[[Bundle | None], None],
    notify: Notify = silent,
    *,
    channel: socket.socket | None = None,
) -> None:
    """Serve calls in this process until a signal ends it.

    source: what the settings were read from. started: called with the active bundle once calls are accepted.
    notify: sends a state to systemd. channel: to the supervisor of this process, if it is a worker; the
    process ends when the supervisor has ended.

    Raises SettingsError.
    """
    watched = source if channel is None else None  # else the supervisor notices edits of the settings file
    gateway = settings.gateway
    authorizes = gateway.authorizer is not None or gateway.authorizer_grpc is not None
    listeners = (LISTENER, AUTHORIZER) if authorizes else (LISTENER,)
    components = assemble(settings, source=watched, listeners=listeners, drains=True)
    components.start()
    gc.collect()
    gc.freeze()  # the loaded objects stay; without this, every collection would visit them again
    sys.setswitchinterval(SWITCH_SECONDS)

    async def run() -> None:
        reload = announced(components.store.reload, notify)
        stop = handle_signals(reload, settings.limits.ending_seconds + LAST_SECONDS)
        digest = settings.digest()

        def state() -> WorkerState:
            return state_of(digest, components.store, components.missing(), components.failing())

        def rows() -> list[dict[str, Any]]:
            return [row_of(os.getpid(), state())]

        status = ServerStatus(settings, components.store, components.keys, source, rows, notify=notify)
        if channel is None:
            await serve(status, components, sockets, stop, started)
            return
        supervisor = WorkerChannel(channel, state, components.store, stop)
        status.also_missing = lambda: supervisor.other_missing
        status.retired = lambda: supervisor.retired
        attending: list[asyncio.Task[None]] = []

        def attend(bundle: Bundle | None) -> None:
            started(bundle)
            attending.append(asyncio.create_task(supervisor.attend()))

        await serve(status, components, sockets, stop, attend)
        for each in attending:
            each.cancel()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    finally:
        components.stop()
