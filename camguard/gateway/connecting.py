"""Opens connections to upstreams: names, addresses, sockets, TLS.

Rule 1: nothing of a request is known here, so nothing of one can be sent.
Rule 2: under TLS the certificate must be valid for the host of the origin. There is no switch that turns the
        verification off; `SSL_CERT_FILE` names other authorities than the system's.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import TypeAlias, TypeVar

from camguard.gateway.request_writer import Origin

P = TypeVar("P", bound=asyncio.Protocol)
AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[object, ...]]  # as `getaddrinfo` returns it

NAME_SECONDS = 10.0  # how long the addresses of a name are used before the name is resolved again
STAGGER_SECONDS = 0.25  # RFC 8305 section 5


@cache
def verifying() -> ssl.SSLContext:
    """Return the TLS settings of all connections: certificates are verified, HTTP/1.1 is the only protocol.

    To load the certificates of the authorities takes some 20 ms, so the gateway calls this before it serves.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    # Python sets this option, which makes a connection that was cut look like one that was ended in order.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


class Names:
    """The addresses of names. Each is resolved by one thread at a time and used for `NAME_SECONDS`."""

    def __init__(self) -> None:
        self._found: dict[Origin, tuple[float, deque[AddressInfo]]] = {}
        self._lookups: dict[Origin, asyncio.Task[deque[AddressInfo]]] = {}

    async def addresses(self, origin: Origin) -> Sequence[AddressInfo]:
        """Return the addresses of an origin, each call with another one first. Raises OSError."""
        due, found = self._found.get(origin, (0.0, deque()))
        if asyncio.get_running_loop().time() >= due:
            lookup = self._lookups.get(origin)
            if lookup is None:
                lookup = self._lookups[origin] = asyncio.create_task(self._ask(origin))
                lookup.add_done_callback(lambda task: task.cancelled() or task.exception())
            found = await asyncio.shield(lookup)
        found.rotate(-1)
        return tuple(found)

    async def _ask(self, origin: Origin) -> deque[AddressInfo]:
        try:
            found = deque(alternating(await resolve(origin)))
            self._found[origin] = asyncio.get_running_loop().time() + NAME_SECONDS, found
            return found
        finally:
            del self._lookups[origin]


async def resolve(origin: Origin) -> Sequence[AddressInfo]:
    """Return the addresses of a host, as the system finds them. Raises OSError."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)


def alternating(infos: Sequence[AddressInfo]) -> list[AddressInfo]:
    """Return addresses with the families in turn, the first family first (RFC 8305 section 4)."""
    first = [info for info in infos if info[0] == infos[0][0]]
    other = [info for info in infos if info[0] != infos[0][0]]
    most = max(len(first), len(other))
    return [info for at in range(most) for info in (*first[at : at + 1], *other[at : at + 1])]


async def open_connection(origin: Origin, names: Names, seconds: float, protocol: Callable[[], P]) -> P:
    """Return a protocol that is connected to an origin. seconds: for the TLS handshake. Raises OSError."""
    sock = await first_connected(await names.addresses(origin), seconds)
    tls = verifying() if origin.scheme == "https" else None
    try:
        _, made = await asyncio.get_running_loop().create_connection(
            protocol,
            sock=sock,
            ssl=tls,
            server_hostname=origin.host if tls else None,
            ssl_handshake_timeout=seconds if tls else None,
        )
    except BaseException:
        sock.close()
        raise
    return made


async def first_connected(infos: Sequence[AddressInfo], seconds: float) -> socket.socket:
    """Return a socket that is connected to the first address that answers (RFC 8305). Raises OSError.

    The next address is tried when one has failed, or has not answered for a moment. seconds: as `_connected`.
    """
    if len(infos) == 1:
        return await _connected(infos[0], seconds)
    untried = deque(infos)
    tasks: set[asyncio.Task[socket.socket]] = set()
    failure: OSError | None = None
    try:
        while untried or tasks:
            if untried:
                tasks.add(asyncio.create_task(_connected(untried.popleft(), seconds)))
            done, _ = await asyncio.wait(
                tasks,
                timeout=STAGGER_SECONDS if untried else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                tasks.discard(task)
                try:
                    return task.result()
                except OSError as exc:
                    failure = exc
        raise failure or OSError("no address")
    finally:
        for task in tasks:
            task.cancel()
            task.add_done_callback(_close_late)


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    """Close what an attempt has connected that is not needed any more."""
    with suppress(asyncio.CancelledError, OSError):
        task.result().close()


async def _connected(info: AddressInfo, seconds: float) -> socket.socket:
    """Return a connected socket, which the kernel cuts if the peer takes nothing for `seconds`."""
    family, kind, number, _, address = info
    made = socket.socket(family, kind, number)
    try:
        made.settimeout(0)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(seconds * 1000)))
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made
