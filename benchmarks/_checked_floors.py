"""Floors that check: the last step of both ladders of allowed calls.

They do what the floors before them do, and check what another request with the same deciding headers may fail
(`camguard/request/THREATS.md`), so that no recognised request may be spared it: the scope and the path, the
number of calls, the age of the policies, the stretch of time of the decision, the size and the control
characters of the other headers, the declared length, the completeness of the body and its length, and that
the body names no second action. A signed call is asked for its time, its day, its digits and its key, too.
The application's answer is searched for headers that only camguard may set, and its status is counted.

What fails a check ends the program: there is no way of another request, and so no price for having one.
"""

from __future__ import annotations

import hmac
import time
from bisect import bisect_left
from collections import deque
from hashlib import sha256
from math import inf
from operator import itemgetter
from typing import Any

from _apps import App
from _floors import BOUNDS, DECIDING, ID, IDS
from _signed_floors import ALGORITHM, WRONG, prepared, taker
from _signed_floors import DECIDING as SIGNED_DECIDING
from _workload import NOW

FAILED = "the request of the benchmark fails a check"
ROOM, LIMIT, CALLS = 8192, 1 << 20, 1000  # bytes of the other headers, bytes of a body, calls at a time
SKEW, DAY = 300, 86_400  # seconds
OWN = b"x-camguard-"
ONLY_ASCII = bytes(0x80 if byte < 32 or byte == 127 else min(byte, 0x7E) for byte in range(256))
ONLY_HEX = bytes(0 if byte in b"0123456789abcdef" else 0x80 for byte in range(256))


def rest_of(names: tuple[bytes, ...], deciding: tuple[bytes, ...]) -> Any:
    """Return what takes the values that do not decide."""
    return itemgetter(*(i for i, name in enumerate(names) if name not in deciding))


def checking(app: App) -> App:  # noqa: C901, PLR0915 - written out, as every floor
    """Return a middleware that also checks what each call may fail."""
    last: Any = ()
    take: Any = None
    rest: Any = None
    length = running = 0
    known: dict[Any, tuple[int, float, float]] = {}
    records: deque[tuple[Any, ...]] = deque(maxlen=1000)
    counts, buckets, ids, statuses = [0], [0] * (len(BOUNDS) + 1), [*IDS], {200: 0}
    fresh_until = inf

    async def middleware(scope: Any, receive: Any, send: Any) -> None:  # noqa: C901, PLR0915
        nonlocal last, take, rest, length, running
        began, clock = time.time(), time.monotonic()
        running += 1
        try:
            if scope["type"] != "http" or running > CALLS or clock > fresh_until:
                raise SystemExit(FAILED)
            lines, client = tuple(scope["headers"]), scope["client"]
            if scope["query_string"] or scope["path"] != "/" or scope["raw_path"] != b"/":
                raise SystemExit(FAILED)
            if scope["root_path"] or client is None or client[1] == 0:
                raise SystemExit(FAILED)
            names, values = zip(*lines)  # noqa: B905 - pairs, by the ASGI specification
            if names != last:
                last, length = names, names.index(b"content-length")
                take = itemgetter(*(i for i, name in enumerate(names) if name in DECIDING))
                rest = rest_of(names, DECIDING)
            key = scope["method"], client[0], b"\n".join(take(values))
            decision, begin, end = known.get(key) or known.setdefault(key, (0, 0.0, inf))
            others, digits = b"".join(rest(values)), values[length]
            if len(others) > ROOM or not others.translate(ONLY_ASCII).isascii():
                raise SystemExit(FAILED)
            if not digits.isdigit() or len(digits) > 18 or int(digits) > LIMIT or not begin <= began < end:
                raise SystemExit(FAILED)
            message = await receive()
            if message["type"] != "http.request" or message["more_body"]:
                raise SystemExit(FAILED)
            body = message["body"]
            lower = body.lower()
            if len(body) != int(digits) or not lower.isascii():
                raise SystemExit(FAILED)
            text = lower.decode()
            if "\\" in text or "\0" in text or "ion" in text:
                raise SystemExit(FAILED)
            took = time.monotonic() - clock
            name = ids.pop() if ids else ids.extend(IDS) or ids.pop()
            records.append((began, name, took, decision, client))
            counts[decision] += 1
            buckets[bisect_left(BOUNDS, took)] += 1
            line = ID, name.encode()
            onward = dict(scope)
            onward["headers"] = [*lines, line]

            async def replayed() -> Any:
                return message

            async def named(answer: Any) -> None:
                if answer["type"] == "http.response.start":
                    for each in answer["headers"]:
                        if each[0].startswith(OWN):
                            raise SystemExit(FAILED)
                    answer["headers"].append(line)
                    statuses[answer["status"]] += 1
                await send(answer)

            await app(onward, replayed, named)
        finally:
            running -= 1

    return middleware


def checking_signed(app: App) -> App:  # noqa: C901, PLR0915 - as above
    """Return a middleware that also checks what each signed call may fail."""
    last: Any = ()
    take: Any = None
    rest: Any = None
    length = running = 0
    known: dict[Any, Any] = {}
    keys: dict[bytes, float] = {}  # when each expires
    records: deque[tuple[Any, ...]] = deque(maxlen=1000)
    counts, buckets, ids, statuses = [0], [0] * (len(BOUNDS) + 1), [*IDS], {200: 0}
    fresh_until = inf

    async def middleware(scope: Any, receive: Any, send: Any) -> None:  # noqa: C901, PLR0912, PLR0915
        nonlocal last, take, rest, length, running
        began, clock = time.time(), time.monotonic()
        running += 1
        try:
            if scope["type"] != "http" or running > CALLS or clock > fresh_until:
                raise SystemExit(FAILED)
            lines, client = tuple(scope["headers"]), scope["client"]
            if scope["query_string"] or scope["path"] != "/" or scope["raw_path"] != b"/":
                raise SystemExit(FAILED)
            if scope["root_path"] or client is None or client[1] == 0:
                raise SystemExit(FAILED)
            names, values = zip(*lines)  # noqa: B905 - pairs, by the ASGI specification
            if names != last:
                last, length, take = names, names.index(b"content-length"), taker(names)
                rest = rest_of(names, SIGNED_DECIDING)
            authorization, timestamp, *deciding = take(values)
            credential, digest = authorization[:-64], authorization[-64:]
            key = scope["method"], client[0], credential, b"\n".join(deciding)
            found = known.get(key)
            if found is None:
                day = int(timestamp) // DAY
                found = known[key] = (*prepared(credential, deciding), day, 0.0, inf)
                keys[credential] = inf
            inner, outer, credential_scope, canonical, decision, day, begin, end = found
            others, digits = b"".join(rest(values)), values[length]
            if len(others) > ROOM or not others.translate(ONLY_ASCII).isascii():
                raise SystemExit(FAILED)
            if not digits.isdigit() or len(digits) > 18 or int(digits) > LIMIT or not begin <= began < end:
                raise SystemExit(FAILED)
            if not timestamp.isdigit() or timestamp[0] == 48 or keys[credential] < began:
                raise SystemExit(FAILED)
            signed_at = int(timestamp)
            if not -SKEW <= NOW - signed_at <= SKEW or signed_at // DAY != day:
                raise SystemExit(FAILED)
            if not digest.translate(ONLY_HEX).isascii():
                raise SystemExit(FAILED)
            message = await receive()
            if message["type"] != "http.request" or message["more_body"]:
                raise SystemExit(FAILED)
            body = message["body"]
            request, text, signature = canonical.copy(), inner.copy(), outer.copy()
            request.update(sha256(body).hexdigest().encode())
            signed_lines = ALGORITHM, timestamp, credential_scope, request.hexdigest().encode()
            text.update(b"\n".join(signed_lines))
            signature.update(text.digest())
            if not hmac.compare_digest(signature.hexdigest().encode(), digest):
                raise SystemExit(WRONG)
            lower = body.lower()
            if len(body) != int(digits) or not lower.isascii():
                raise SystemExit(FAILED)
            shown = lower.decode()
            if "\\" in shown or "\0" in shown or "ion" in shown:
                raise SystemExit(FAILED)
            took = time.monotonic() - clock
            name = ids.pop() if ids else ids.extend(IDS) or ids.pop()
            records.append((began, name, took, decision, client))
            counts[decision] += 1
            buckets[bisect_left(BOUNDS, took)] += 1
            line = ID, name.encode()
            onward = dict(scope)
            onward["headers"] = [*lines, line]

            async def replayed() -> Any:
                return message

            async def named(answer: Any) -> None:
                if answer["type"] == "http.response.start":
                    for each in answer["headers"]:
                        if each[0].startswith(OWN):
                            raise SystemExit(FAILED)
                    answer["headers"].append(line)
                    statuses[answer["status"]] += 1
                await send(answer)

            await app(onward, replayed, named)
        finally:
            running -= 1

    return middleware
