"""Floors: the least code that does one part of what camguard does to a request.

Each is written by hand for the one request that is counted: it checks nothing, judges nothing and answers
nothing else. A floor shows what a part costs in Python under ASGI, whoever writes it; what camguard costs
above it is the price of its checks, and of being made for every request. The floors of an allowed call build
on each other, in the order of the path of a call. Each one is written out, so that no call of a helper is
counted with it.
"""

from __future__ import annotations

import hmac
import os
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from _apps import KEY, App

DECIDING = (
    b"host",
    b"content-type",
    b"x-tc-action",
    b"x-tc-version",
    b"x-camguard-principal",
    b"x-forwarded-for",
)
BOUNDS = (0.0001, 0.001, 0.01, 0.1)
ID = b"x-camguard-request-id"
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"370")]
AROUND_ID = b"x" * 300, b"x" * 34  # a refusal, but for its request id


def _handed_on(message: Any) -> Callable[[], Any]:
    async def receive() -> Any:
        return message

    return receive


def passing(app: App) -> App:
    """Return a middleware that does nothing."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return middleware


def holding(app: App) -> App:
    """Return a middleware that has the body before the application is called."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, _handed_on(await receive()), send)

    return middleware


def deciding(app: App) -> App:
    """Return a middleware that also looks up a ready decision by the names and the deciding values."""
    places: dict[tuple[bytes, ...], tuple[int, ...]] = {}
    decisions: dict[tuple[bytes, ...], int] = {}

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        _look_up(scope["headers"], places, decisions)
        await app(scope, _handed_on(await receive()), send)

    return middleware


def _look_up(
    headers: Any,
    places: dict[tuple[bytes, ...], tuple[int, ...]],
    decisions: dict[tuple[bytes, ...], int],
) -> int:
    names, values = zip(*headers, strict=True)
    found = places.get(names)
    if found is None:
        found = places[names] = tuple(i for i, name in enumerate(names) if name in DECIDING)
    return decisions.setdefault(tuple([values[i] for i in found]), 0)


def recording(app: App) -> App:
    """Return a middleware that also keeps a record of the call, and counts and times it."""
    places: dict[tuple[bytes, ...], tuple[int, ...]] = {}
    decisions: dict[tuple[bytes, ...], int] = {}
    records: deque[tuple[Any, ...]] = deque(maxlen=1000)
    counts, buckets = [0], [0] * (len(BOUNDS) + 1)

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        began, clock = time.time(), time.perf_counter()
        decision = _look_up(scope["headers"], places, decisions)
        receive = _handed_on(await receive())
        took = time.perf_counter() - clock
        records.append((began, took, decision, scope["client"]))
        counts[decision] += 1
        buckets[bisect_left(BOUNDS, took)] += 1
        await app(scope, receive, send)

    return middleware


def naming(app: App) -> App:
    """Return a middleware that also gives each call an id, for the application and for the caller."""
    places: dict[tuple[bytes, ...], tuple[int, ...]] = {}
    decisions: dict[tuple[bytes, ...], int] = {}
    records: deque[tuple[Any, ...]] = deque(maxlen=1000)
    counts, buckets = [0], [0] * (len(BOUNDS) + 1)

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        began, clock = time.time(), time.perf_counter()
        decision = _look_up(scope["headers"], places, decisions)
        receive = _handed_on(await receive())
        took = time.perf_counter() - clock
        line = ID, os.urandom(18).hex().encode()
        records.append((began, took, decision, scope["client"], line))
        counts[decision] += 1
        buckets[bisect_left(BOUNDS, took)] += 1

        async def named(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append(line)
            await send(message)

        await app({**scope, "headers": [*scope["headers"], line]}, receive, named)

    return middleware


def hashing(app: App) -> App:
    """Return a middleware that has the body, and verifies the hashes of TC3 with a key that it keeps."""
    known: dict[bytes, tuple[Any, ...]] = {}

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        message = await receive()
        authorization = headers[b"authorization"]
        credential = authorization[:-64]
        found = known.get(credential)
        if found is None:
            found = known[credential] = _of_credential(credential, headers)
        inner, outer, credential_scope, canonical = (
            *(each.copy() for each in found[:2]),
            found[2],
            found[3].copy(),
        )
        canonical.update(sha256(message["body"]).hexdigest().encode())
        lines = (
            b"TC3-HMAC-SHA256",
            headers[b"x-tc-timestamp"],
            credential_scope,
            canonical.hexdigest().encode(),
        )
        inner.update(b"\n".join(lines))
        outer.update(inner.digest())
        if not hmac.compare_digest(outer.hexdigest().encode(), authorization[-64:]):
            raise SystemExit("the signature of the benchmark does not verify")
        await app(scope, _handed_on(message), send)

    return middleware


def _of_credential(credential: bytes, headers: dict[bytes, bytes]) -> tuple[Any, ...]:
    """Return both states of the signing key, the scope, and the state of the canonical request."""
    scope = credential.split(b"Credential=")[1].split(b",")[0].split(b"/")[1:]
    key = f"TC3{KEY[1]}".encode()
    for part in scope:
        key = hmac.digest(key, part, "sha256")
    padded = key.ljust(64, b"\0")
    states = (sha256(bytes(byte ^ pad for byte in padded)) for pad in (0x36, 0x5C))
    lines = b"POST", b"/", b"", b"content-type:" + headers[b"content-type"], b"host:" + headers[b"host"]
    canonical = sha256(b"\n".join((*lines, b"", b"content-type;host", b"")))
    return (*states, b"/".join(scope), canonical)


def constant(_: App) -> App:
    """Return an application that answers the same bytes at once, and takes no body."""

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b"x" * 370})

    return application


def refusing(_: App) -> App:
    """Return an application that takes the body and answers each request with an id of its own."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        dict(scope["headers"])
        await receive()
        name = os.urandom(18).hex().encode()
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, (ID, name)]})
        await send({"type": "http.response.body", "body": name.join(AROUND_ID)})

    return application


FLOORS: dict[str, Callable[[App], App]] = {
    "a middleware that does nothing": passing,
    "and has the body first": holding,
    "and looks up a ready decision": deciding,
    "and keeps a record, counts and times": recording,
    "and gives an id to application and caller": naming,
    "the body first, and the hashes of TC3": hashing,
    "a constant answer": constant,
    "an answer with an id of its own": refusing,
}
