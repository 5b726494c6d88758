"""Notifications to systemd, which a unit with `Type=notify` waits for.

systemd gives the address of a datagram socket in NOTIFY_SOCKET. Without this variable camguard sends nothing.

Rule 1: the variable is taken out of the environment, so that only this process notifies, and no worker.
Rule 2: a notification neither ends the process nor delays calls for long: one that cannot be sent within
        `SEND_SECONDS` is logged and lost.

Source: sd_notify(3).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final, TypeAlias

from camguard.asgi import in_daemon_thread
from camguard.bundle import ReloadOutcome

LOG = logging.getLogger("camguard.gateway")
ADDRESS: Final = "NOTIFY_SOCKET"
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
SEND_SECONDS: Final = 0.5

Notify: TypeAlias = Callable[[str], None]


def silent(_: str) -> None:
    """Send nothing: the process that systemd has not started, or a worker."""


def notifier(environ: MutableMapping[str, str]) -> Notify:
    """Return the function that sends a state to systemd.

    environ: the environment of the process; NOTIFY_SOCKET is removed from it. An address that is neither a
    path nor the name of an abstract socket is logged, and nothing is sent.
    """
    address = environ.pop(ADDRESS, "")
    if not address:
        return silent
    if address[0] not in "/@":
        LOG.warning("%s is neither a path nor an abstract socket; systemd is not notified", ADDRESS)
        return silent
    target = "\0" + address[1:] if address[0] == "@" else address

    def notify(state: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_SECONDS)
                sender.sendto(state.encode(), target)
        except OSError as error:
            LOG.warning("systemd cannot be notified of %s: %s", state.split("\n", maxsplit=1)[0], error)

    return notify


def reloading() -> str:
    """Return the state that a reload begins with. systemd orders notifications by the time in it."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def announced(poll: Callable[[], ReloadOutcome], notify: Notify) -> Callable[[], None]:
    """Return a signal handler that polls policies and keys in a thread, and notifies before and after.

    poll: called in a daemon thread; it raises nothing. Signals that arrive during a poll together make one
    more poll. `READY=1` follows the last poll, whatever its result: after a failure the last good bundle
    serves on. The handler must be called in the event loop.
    """
    tasks: set[asyncio.Task[None]] = set()
    requested = False

    async def run() -> None:
        nonlocal requested
        notify(reloading())
        while requested:
            requested = False
            outcome = await in_daemon_thread(poll)
        notify(f"{READY}\nSTATUS=last reload: {outcome.result}")

    def reload() -> None:
        nonlocal requested
        requested = True
        if not tasks:
            task = asyncio.get_running_loop().create_task(run())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    return reload
