"""Floors: the least code that does one part of what camguard does to a request.

Each is written by hand for the one request that is counted: it checks nothing, and judges nothing. A floor
shows what a part costs in Python under ASGI, whoever writes it; what camguard costs above it is the price of
its checks, and of being made for every request. The floors of an allowed call build on each other, in the
order of the path of a call. Each one is written out, so that no call of a helper is counted with it.

Where camguard has a quick way to do a part, its floor does it that way, too: the names of the headers are
compared with those of the last request, and ids are drawn before they are needed.

The floors of a signed call stand in `_signed_floors.py`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from _apps import App

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
IDS = [f"3c140219-cfe9-470e-b241-907877{number:06x}" for number in range(10_000)]
# The refusal of the benchmark's request, without its request id.
REFUSED = (
    b'{"Response":{"Error":{"Code":"AuthFailure.UnauthorizedOperation","Message":"'
    b"You are not authorized to perform this operation. Check your CAM policies, and ensure that you are "
    b"using the correct access keys. [[request id:%b]you are not authorized to perform operation "
    b'(aiart:DescribeStatInfo)\\nresource (*) has no permission\\n]"},"RequestId":"%b"}}'
)
REFUSED_TYPE = b"content-type", b"application/json"
REFUSED_LENGTH = b"content-length", b"%d" % (len(REFUSED) - 4 + 2 * len(IDS[0]))


def passing(app: App) -> App:
    """Return a middleware that does nothing."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return middleware


def holding(app: App) -> App:
    """Return a middleware that has the body before the application is called."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()

        async def replayed() -> Any:
            return message

        await app(scope, replayed, send)

    return middleware


def deciding(app: App) -> App:
    """Return a middleware that also looks up a ready decision by the names and the deciding values."""
    last: Any = ()
    take: Any = None
    decisions: dict[tuple[bytes, ...], int] = {}

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        nonlocal last, take
        names, values = zip(*scope["headers"])  # noqa: B905 - pairs, by the ASGI specification
        if names != last:
            last, take = names, itemgetter(*(i for i, name in enumerate(names) if name in DECIDING))
        decisions.setdefault(take(values), 0)
        message = await receive()

        async def replayed() -> Any:
            return message

        await app(scope, replayed, send)

    return middleware


def recording(app: App) -> App:
    """Return a middleware that also keeps a record of the call, and counts and times it."""
    last: Any = ()
    take: Any = None
    decisions: dict[tuple[bytes, ...], int] = {}
    records: deque[tuple[Any, ...]] = deque(maxlen=1000)
    counts, buckets = [0], [0] * (len(BOUNDS) + 1)

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        nonlocal last, take
        began, clock = time.time(), time.monotonic()
        names, values = zip(*scope["headers"])  # noqa: B905 - pairs, by the ASGI specification
        if names != last:
            last, take = names, itemgetter(*(i for i, name in enumerate(names) if name in DECIDING))
        decision = decisions.setdefault(take(values), 0)
        message = await receive()
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
    decisions: dict[tuple[bytes, ...], int] = {}
    records: deque[tuple[Any, ...]] = deque(maxlen=1000)
    counts, buckets, ids = [0], [0] * (len(BOUNDS) + 1), [*IDS]

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        nonlocal last, take
        began, clock = time.time(), time.monotonic()
        names, values = zip(*scope["headers"])  # noqa: B905 - pairs, by the ASGI specification
        if names != last:
            last, take = names, itemgetter(*(i for i, name in enumerate(names) if name in DECIDING))
        decision = decisions.setdefault(take(values), 0)
        message = await receive()
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


def constant(_: App) -> App:
    """Return an application that answers the bytes of a refusal at once, always the same ones."""
    name = IDS[0].encode()
    headers, body = [REFUSED_TYPE, REFUSED_LENGTH, (ID, name)], REFUSED % (name, name)

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def refusing(_: App) -> App:
    """Return an application that answers the bytes of a refusal with an id of its own, and no more."""
    ids = [*IDS]

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        name = (ids.pop() if ids else ids.extend(IDS) or ids.pop()).encode()
        headers = [REFUSED_TYPE, REFUSED_LENGTH, (ID, name)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSED % (name, name)})

    return application


def judging(_: App) -> App:
    """Return an application that also looks up a ready decision before it refuses."""
    last: Any = ()
    take: Any = None
    decisions: dict[tuple[bytes, ...], int] = {}
    ids = [*IDS]

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        nonlocal last, take
        names, values = zip(*scope["headers"])  # noqa: B905 - pairs, by the ASGI specification
        if names != last:
            last, take = names, itemgetter(*(i for i, name in enumerate(names) if name in DECIDING))
        decisions.setdefault(take(values), 0)
        name = (ids.pop() if ids else ids.extend(IDS) or ids.pop()).encode()
        headers = [REFUSED_TYPE, REFUSED_LENGTH, (ID, name)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSED % (name, name)})

    return application


def refusing_on_record(_: App) -> App:
    """Return an application that also keeps a record of the refusal, and counts and times it."""
    last: Any = ()
    take: Any = None
    decisions: dict[tuple[bytes, ...], int] = {}
    records: deque[tuple[Any, ...]] = deque(maxlen=1000)
    counts, buckets, ids = [0], [0] * (len(BOUNDS) + 1), [*IDS]

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        nonlocal last, take
        began, clock = time.time(), time.monotonic()
        names, values = zip(*scope["headers"])  # noqa: B905 - pairs, by the ASGI specification
        if names != last:
            last, take = names, itemgetter(*(i for i, name in enumerate(names) if name in DECIDING))
        decision = decisions.setdefault(take(values), 0)
        took = time.monotonic() - clock
        text = ids.pop() if ids else ids.extend(IDS) or ids.pop()
        records.append((began, text, took, decision, scope["client"]))
        counts[decision] += 1
        buckets[bisect_left(BOUNDS, took)] += 1
        name = text.encode()
        headers = [REFUSED_TYPE, REFUSED_LENGTH, (ID, name)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSED % (name, name)})

    return application


IDENTITY: dict[str, Callable[[App], App]] = {
    "a middleware that does nothing": passing,
    "and has the body first": holding,
    "and looks up a ready decision": deciding,
    "and keeps a record, counts and times": recording,
    "and gives an id to application and caller": naming,
}
REFUSAL: dict[str, Callable[[App], App]] = {
    "always the same bytes": constant,
    "and an id of its own": refusing,
    "and looks up the ready decision": judging,
    "and keeps a record, counts and times": refusing_on_record,
}
