"""Floors of a call that is signed with TC3: the least code that verifies its signature, step by step.

Written as those in `_floors.py`. What the headers determine is kept from call to call, as camguard keeps it:
the decision, both hash states of the signing key, and that of the beginning of the canonical request. What
each call brings anew is the body, the time and the signature: the digest of the body, that of the canonical
request, and both hashes of HMAC cannot be left out by anybody.
"""

from __future__ import annotations

import hmac
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from operator import itemgetter
from typing import Any

from _apps import KEY, App
from _floors import BOUNDS, ID, IDS, holding

DECIDING = b"host", b"content-type", b"x-tc-action", b"x-tc-version", b"x-forwarded-for"
ALGORITHM = b"TC3-HMAC-SHA256"
WRONG = "the signature of the benchmark does not verify"


def taker(names: tuple[bytes, ...]) -> Any:
    """Return what takes `Authorization`, the timestamp and the deciding values. names: of the headers."""
    return itemgetter(*map(names.index, (b"authorization", b"x-tc-timestamp", *DECIDING)))


def prepared(credential: bytes, deciding: list[bytes]) -> tuple[Any, ...]:
    """Return what is kept: both states of the key, the scope, the canonical request's state, the decision."""
    scope = credential.split(b"Credential=")[1].split(b",")[0].split(b"/")[1:]
    key = f"TC3{KEY[1]}".encode()
    for part in scope:
        key = hmac.digest(key, part, "sha256")
    padded = key.ljust(64, b"\0")
    states = (sha256(bytes(byte ^ pad for byte in padded)) for pad in (0x36, 0x5C))
    host, content_type = deciding[:2]
    lines = b"POST", b"/", b"", b"content-type:" + content_type, b"host:" + host
    canonical = sha256(b"\n".join((*lines, b"", b"content-type;host", b"")))
    return (*states, b"/".join(scope), canonical, 0)


def digesting(app: App) -> App:
    """Return a middleware that has the body first, and its digest."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        sha256(message["body"]).hexdigest().encode()

        async def replayed() -> Any:
            return message

        await app(scope, replayed, send)

    return middleware


def finding(app: App) -> App:
    """Return a middleware that also looks up the ready decision, and what is kept of the key."""
    last: Any = ()
    take: Any = None
    known: dict[tuple[bytes, ...], Any] = {}

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        nonlocal last, take
        names, values = zip(*scope["headers"])  # noqa: B905 - pairs, by the ASGI specification
        if names != last:
            last, take = names, taker(names)
        authorization, _, *deciding = take(values)
        found = known.get((authorization[:-64], *deciding))
        if found is None:
            found = known[authorization[:-64], *deciding] = prepared(authorization[:-64], deciding)
        message = await receive()
        sha256(message["body"]).hexdigest().encode()

        async def replayed() -> Any:
            return message

        await app(scope, replayed, send)

    return middleware


def verifying(app: App) -> App:
    """Return a middleware that also verifies the signature."""
    last: Any = ()
    take: Any = None
    known: dict[tuple[bytes, ...], Any] = {}

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        nonlocal last, take
        names, values = zip(*scope["headers"])  # noqa: B905 - pairs, by the ASGI specification
        if names != last:
            last, take = names, taker(names)
        authorization, timestamp, *deciding = take(values)
        found = known.get((authorization[:-64], *deciding))
        if found is None:
            found = known[authorization[:-64], *deciding] = prepared(authorization[:-64], deciding)
        inner, outer, credential_scope, canonical, _ = found
        message = await receive()
        request, text, signature = canonical.copy(), inner.copy(), outer.copy()
        request.update(sha256(message["body"]).hexdigest().encode())
        lines = ALGORITHM, timestamp, credential_scope, request.hexdigest().encode()
        text.update(b"\n".join(lines))
        signature.update(text.digest())
        if not hmac.compare_digest(signature.hexdigest().encode(), authorization[-64:]):
            raise SystemExit(WRONG)

        async def replayed() -> Any:
            return message

        await app(scope, replayed, send)

    return middleware


def recording(app: App) -> App:
    """Return a middleware that also keeps a record of the call, and counts and times it."""
    last: Any = ()
    take: Any = None
    known: dict[tuple[bytes, ...], Any] = {}
    records: deque[tuple[Any, ...]] = deque(maxlen=1000)
    counts, buckets = [0], [0] * (len(BOUNDS) + 1)

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        nonlocal last, take
        began, clock = time.time(), time.monotonic()
        names, values = zip(*scope["headers"])  # noqa: B905 - pairs, by the ASGI specification
        if names != last:
            last, take = names, taker(names)
        authorization, timestamp, *deciding = take(values)
        found = known.get((authorization[:-64], *deciding))
        if found is None:
            found = known[authorization[:-64], *deciding] = prepared(authorization[:-64], deciding)
        inner, outer, credential_scope, canonical, decision = found
        message = await receive()
        request, text, signature = canonical.copy(), inner.copy(), outer.copy()
        request.update(sha256(message["body"]).hexdigest().encode())
        lines = ALGORITHM, timestamp, credential_scope, request.hexdigest().encode()
        text.update(b"\n".join(lines))
        signature.update(text.digest())
        if not hmac.compare_digest(signature.hexdigest().encode(), authorization[-64:]):
            raise SystemExit(WRONG)
        took = time.monotonic() - clock
        records.append((began, took, decision, scope["client"]))
        counts[decision] += 1
        buckets[bisect_left(BOUNDS, took)] += 1

        async def replayed() -> Any:
            return message

        await app(scope, replayed, send)

    return middleware


def naming(app: App) -> App:
    """Return a middleware that also gives each call an id, for the application and for the caller."""
    last: Any = ()
    take: Any = None
    known: dict[tuple[bytes, ...], Any] = {}
    records: deque[tuple[Any, ...]] = deque(maxlen=1000)
    counts, buckets, ids = [0], [0] * (len(BOUNDS) + 1), [*IDS]

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        nonlocal last, take
        began, clock = time.time(), time.monotonic()
        names, values = zip(*scope["headers"])  # noqa: B905 - pairs, by the ASGI specification
        if names != last:
            last, take = names, taker(names)
        authorization, timestamp, *deciding = take(values)
        found = known.get((authorization[:-64], *deciding))
        if found is None:
            found = known[authorization[:-64], *deciding] = prepared(authorization[:-64], deciding)
        inner, outer, credential_scope, canonical, decision = found
        message = await receive()
        request, text, signature = canonical.copy(), inner.copy(), outer.copy()
        request.update(sha256(message["body"]).hexdigest().encode())
        lines = ALGORITHM, timestamp, credential_scope, request.hexdigest().encode()
        text.update(b"\n".join(lines))
        signature.update(text.digest())
        if not hmac.compare_digest(signature.hexdigest().encode(), authorization[-64:]):
            raise SystemExit(WRONG)
        took = time.monotonic() - clock
        name = ids.pop() if ids else ids.extend(IDS) or ids.pop()
        records.append((began, name, took, decision, scope["client"]))
        counts[decision] += 1
        buckets[bisect_left(BOUNDS, took)] += 1
        line = ID, name.encode()
        onward = dict(scope)
        onward["headers"] = [*scope["headers"], line]

        async def replayed() -> Any:
            return message

        async def named(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append(line)
            await send(message)

        await app(onward, replayed, named)

    return middleware


SIGNED: dict[str, Callable[[App], App]] = {
    "and has the body first": holding,
    "and hashes the body": digesting,
    "and looks up key and decision": finding,
    "and verifies the signature": verifying,
    "and keeps a record, counts and times": recording,
    "and gives an id to application and caller": naming,
}
