"""Requests, reloads, changes of keys and steps of the clock, with and without recognition.

`python -m tests.recognition [--requests 1000000] [--seed 1] [--signed 0.8]` makes so many requests of two
guards that differ only in whether requests are recognised, compares everything that comes of each, and makes
a difference small. It prints how many requests were recognised, and how many had a good signature.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from prometheus_client import CollectorRegistry

from camguard.authn.authenticator import authenticator
from camguard.authn.credentials import KeyRing
from camguard.bundle import Bundle
from camguard.enforcement.guard import Guard
from camguard.enforcement.lane import Lane, LaneFactory, Met
from camguard.ipset import IpSet
from camguard.middleware import CamguardMiddleware
from camguard.settings.model import AttributesSettings, IdentitySettings, Settings
from camguard.settings.values import egress
from camguard.telemetry.metrics import Metrics
from tests.authn import signing
from tests.stage import OFFICE, POLICIES, PROXY, SETTINGS, FixedPolicies, Line, bundle

START: Final = float(signing.NOW)
_HOURS: Final = "2023-11-14T22:%02d:20Z"  # START is 2023-11-14T22:13:20Z


class WholeWay(Lane):
    """A lane that recognises nothing."""

    def recognize(self, scope: Mapping[str, Any], bundle: Bundle, now: float) -> Met | None:
        del scope, bundle, now
        return None


class CountingLane(Lane):
    """A lane that counts the requests that it recognises."""

    counts: ClassVar[Counter[str]] = Counter()

    def recognize(self, scope: Mapping[str, Any], bundle: Bundle, now: float) -> Met | None:
        met = super().recognize(scope, bundle, now)
        self.counts["recognised"] += met is not None
        return met


# The policies of the bundles that are loaded one after the other.
_TIMED: Final = {
    "version": "2.0",
    "statement": {
        "effect": "allow",
        "action": ["partners:*", "aiart:*"],
        "resource": "*",
        "condition": {
            "date_greater_than": {"qcs:current_time": _HOURS % 10},
            "date_less_than": {"qcs:current_time": _HOURS % 20},
        },
    },
}
_OF_CONTEXT: Final = {
    "version": "2.0",
    "statement": {
        "effect": "allow",
        "action": "*",
        "resource": "*",
        "condition": {"string_equal": {"corp:team": ["art"]}},
    },
}
_CLOSED: Final = {"version": "2.0", "statement": {"effect": "deny", "action": "*", "resource": "*"}}
BUNDLES: Final[tuple[Mapping[str, Any], ...]] = (
    POLICIES,
    {**POLICIES, "office": _TIMED},
    {**POLICIES, "office": _CLOSED},
    {**POLICIES, "office": _OF_CONTEXT},
)
KEYS: Final[tuple[KeyRing, ...]] = (
    signing.keys(),
    signing.keys(enabled=False),
    signing.keys(principal="uin/100000000102"),
    signing.keys(secret_key="ANOTHER-SECRET-KEY-0000000000000"),
    signing.keys(session_policy=_CLOSED),
    signing.keys(expires=START + 60),
    signing.keys(token="TOKEN"),
)
_BASE: Final = replace(
    SETTINGS,
    identity=IdentitySettings(mode="either"),
    attributes=AttributesSettings(header="x-attributes", keys=frozenset({"corp:team"})),
)
_EGRESS: Final = egress({"203.0.113.0/25": "198.51.100.9"}, Path())


def _enforced(settings: Settings, **values: Any) -> Settings:
    return replace(settings, enforcement=replace(settings.enforcement, **values))


SETTINGS_TRIED: Final[tuple[Settings, ...]] = (
    _BASE,
    _enforced(_BASE, mode="shadow"),
    _enforced(_BASE, disclose="detail", status_style="http", request_id_header=False),
    replace(_BASE, client_ip=replace(_BASE.client_ip, egress=_EGRESS)),
    replace(_BASE, identity=IdentitySettings(mode="either", bind_signatures=True)),
    replace(_BASE, client_ip=replace(_BASE.client_ip, trusted_proxies=IpSet.of(("10.0.0.0/24", "::/0")))),
    _enforced(_BASE, candidate=Path("candidate")),
    *(replace(_BASE, identity=IdentitySettings(mode=mode)) for mode in ("signature", "header", "claimed")),
    replace(_BASE, identity=IdentitySettings(mode="signature", allow_unsigned_payload=True)),
)


class Pool(NamedTuple):
    """The values of one field of a request. usual: how often the first one is drawn, of ten."""

    usual: int
    values: tuple[Any, ...]


JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"
# What a request may consist of. The first value is the usual one; None leaves a header out.
FIELDS: Final[Mapping[str, Pool]] = {
    "method": Pool(9, ("POST", "GET", "PUT")),
    "path": Pool(9, ("/", "/x")),
    "query": Pool(9, (b"", b"Action=QueryArea", b"A=1")),
    "version": Pool(9, ("1.1", "1.0", "2")),
    "client": Pool(7, (
        (PROXY, 40000), (PROXY, 1), (PROXY, 0), ("10.0.0.2", 7), (OFFICE, 40000), ("::1", 40000), None,
        ("fe80::1%eth0", 9), ("", 1),
    )),
    "host": Pool(7, (
        b"partners.tencentcloudapi.com", b"aiart.tencentcloudapi.com", b"cvm.tencentcloudapi.com",
        b"partners.tencentcloudapi.com:443", b"x.example",
    )),
    "content-type": Pool(8, (
        JSON, FORM, b"application/json; charset=utf-8", b"application/octet-stream", None,
    )),
    "x-tc-action": Pool(4, (b"QueryArea", b"TextToImage", b"StopInstances", b"PayOrders", b"New", b"", None)),
    "x-tc-version": Pool(8, (b"2022-09-28", b"2018-01-01", None)),
    "x-tc-region": Pool(6, (None, b"ap-guangzhou", b"null", b"X")),
    "x-tc-timestamp": Pool(8, (b"%d" % signing.NOW, b"%d" % (signing.NOW + 100), b"1")),
    "x-forwarded-for": Pool(6, (
        OFFICE.encode(), b"198.51.100.9", b"203.0.113.6", b"10.0.0.1:40000", b"10.0.0.1:1", b"2001:db8::7",
        b"x", b"::1, 203.0.113.7", None,
    )),
    "x-camguard-principal": Pool(4, (
        b"100000000101", None, b"100000000102", b"100000000103", b"999999999999", b"x",
    )),
    "x-attributes": Pool(8, (None, b'{"corp:team":["art"]}', b'{"corp:team":["ops"]}', b"{")),
    "authorization": Pool(5, (
        None, "good", "good", "good", "bad", "no hex", "other day", "other service", "other body",
        "other form", "unknown id", "blanks", b"Basic x",
    )),
    "x-tc-token": Pool(9, (None, b"TOKEN", b"token")),
    "x-tc-content-sha256": Pool(9, (None, b"UNSIGNED-PAYLOAD", b"x")),
    "connection": Pool(8, (None, b"keep-alive", b"close, x-note", b"x-tc-action")),
    "x-note": Pool(8, (None, b"one", b"a\tb", b"a\nb", b"x" * 5000)),
    "expect": Pool(9, (None, b"100-continue", b"x")),
    "traceparent": Pool(8, (None, b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", b"x")),
    "x-request-id": Pool(8, (None, b"call-1", b"call 1")),
    "x-camguard-x": Pool(9, (None, b"1")),
    "length": Pool(8, ("right", None, b"3", b"+3", b"chunked", b"9" * 19)),
    "body": Pool(6, (
        b'{"A":1}', b'{"InstanceIds":["ins-1"]}', b'{"InstanceIds":["ins-2"]}', b'{"Action":"PayOrders"}',
        b'{"action":1}', b'{"Region":"ap-beijing"}', b"Action=QueryArea", b"{", b"", b"\xff",
    )),
    "parts": Pool(7, (1, 2, "late", "left", "reloaded")),
}  # fmt: skip
HEADERS: Final = tuple(
    name for name in FIELDS
    if name not in {"method", "path", "query", "version", "client", "length", "body", "parts"}
)  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """One request: the values of its fields that are not the usual ones."""

    odd: tuple[tuple[str, Any], ...] = ()

    def __getitem__(self, name: str) -> Any:
        return dict(self.odd).get(name, FIELDS[name].values[0])

    def lines(self) -> list[Line]:
        """Return the header lines."""
        lines: list[Line] = []
        for name in HEADERS:
            value = self[name]
            if isinstance(value, str):
                value = self._authorization(value)
            if value is not None:
                lines.append((name.encode(), bytes(value)))
        length = self["length"]
        if length == b"chunked":
            lines.append((b"transfer-encoding", b"chunked"))
        elif length is not None and (self["method"] != "GET" or length != "right"):
            lines.append((b"content-length", b"%d" % len(self["body"]) if length == "right" else length))
        return lines

    def _authorization(self, kind: str) -> bytes:
        """Return a header that is good, or is not as its kind says."""
        host = self["host"].decode()
        service = "aiart" if kind == "other service" else host.partition(".")[0]
        signed = [("content-type", (self["content-type"] or b"").decode()), ("host", host)]
        if kind == "other form":  # as the Node SDK signs a host
            signed[1] = ("host", host.partition(":")[0])
        date = "2023-11-15" if kind == "other day" else "2023-11-14"
        body = {"other body": b"{}"}.get(kind, self["body"])
        if self["x-tc-content-sha256"] is not None:
            body = b"UNSIGNED-PAYLOAD"
        signature = _signature(
            self["method"], self["query"].decode(), tuple(signed), body, int(self["x-tc-timestamp"]),
            date, service,
        )  # fmt: skip
        signature = {"bad": "0" * 64, "no hex": signature[:-1] + "G"}.get(kind, signature)
        secret_id = signing.SECRET_ID[:: -1 if kind == "unknown id" else 1]
        text = signing.authorization(signature, secret_id=secret_id, date=date, service=service).encode()
        return text.replace(b" Credential", b"  Credential") if kind == "blanks" else text


_SIGNATURES: dict[tuple[Any, ...], str] = {}


def _signature(*covered: Any) -> str:
    found = _SIGNATURES.get(covered)
    if found is None:
        method, query, signed, body, timestamp, date, service = covered
        found = _SIGNATURES[covered] = signing.tc3(
            method=method, query=query, signed=signed, payload=b"" if method == "GET" else body,
            timestamp=timestamp, date=date, service=service,
        )  # fmt: skip
    return found


# What may happen between two requests: the bundle, the keys, the time, and the ages of bundle and keys.
CHANGES: Final[Mapping[str, tuple[Any, ...]]] = {
    "bundle": (*range(len(BUNDLES)), None),
    "keys": tuple(range(len(KEYS))),
    "clock": (0.0, 120.0, 400.0, -400.0, 86_400.0, 59.0, 60.0),
    "stale": (False, True),
    "keys_stale": (False, True),
}
Step = Ask | tuple[str, Any]


class World:
    """One guard with all that it is handed, and what came of its requests."""

    def __init__(self, settings: Settings, lane: LaneFactory) -> None:
        self.bundle: Bundle | None = None
        self.fresh_until = inf
        self.keys = KEYS[0]
        self.keys_stale = False
        self.now = START
        self.verified = 0  # requests whose signature was good
        self.records: list[Any] = []
        self.ends: list[Any] = []
        self.reached: list[Any] = []
        self.metrics = Metrics(CollectorRegistry())
        self.authentication = authenticator(settings.identity, self, lambda: self.keys_stale)
        self.guard = Guard(
            settings,
            self,
            self.authentication,
            candidate=None if settings.enforcement.candidate is None else FixedPolicies(bundle(BUNDLES[2])),
            observers=(self.metrics.observe, self.records.append),
            conclusions=(self.metrics.answers.conclude, lambda *end: self.ends.append(end)),
            clock=lambda: self.now,
            lane=lane,
        )
        self.middleware = CamguardMiddleware(self._application, guard=self.guard)
        self.change("bundle", 0)

    def change(self, name: str, value: Any) -> None:
        """Let one of CHANGES happen."""
        if name == "bundle":  # few tables, so that their cache forgets some
            self.bundle = None if value is None else bundle(BUNDLES[value], tables=2)
        elif name == "keys":
            self.keys = KEYS[value]
        elif name == "clock":
            self.now = START + value
        elif name == "keys_stale":
            self.keys_stale = value
        else:
            self.fresh_until = -inf if value else inf

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        self.reached.append((scope, messages))
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-camguard-a", b"1")]})
        await send({"type": "http.response.body", "body": b"OK"})

    async def ask(self, asked: Ask) -> Any:
        """Return all that came of one request, but for its id and for how long it took."""
        sent: list[Any] = []
        parts, body = asked["parts"], asked["body"]
        chunks = [body] if parts != 2 else [body[:3], body[3:]]

        async def receive() -> Any:
            if parts in {"late", "reloaded"}:
                await asyncio.sleep(0)
            if parts == "reloaded":
                self.change("bundle", 2)
            if parts == "left" or not chunks:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "http_version": asked["version"], "method": asked["method"],
            "path": asked["path"], "raw_path": asked["path"].encode(), "query_string": asked["query"],
            "root_path": "", "headers": asked.lines(), "client": asked["client"], "extensions": {},
        }  # fmt: skip
        for kept in (self.records, self.ends, self.reached):
            kept.clear()
        await self.middleware(scope, receive, send)
        guard = self.guard
        name = self.records[0].request_id if self.records else "none"
        self.verified += bool(self.records) and self.records[0].signature == "valid"
        came: list[Any] = [
            sent,
            [(self._shown(s), m) for s, m in self.reached],
            *map(_timeless, self.records),
        ]
        came += [(_timeless(record), *end) for record, *end in self.ends]
        return repr(came).replace(name, "ID"), guard.faults, guard.in_flight, guard.held

    def _shown(self, scope: dict[str, Any]) -> dict[str, Any]:
        return {**scope, "camguard.record": _timeless(scope["camguard.record"])}

    def counters(self) -> Any:
        """Return every counter but for the times that decisions took."""
        counted = dict(self.metrics.snapshot())
        del counted["camguard_decision_duration_seconds"], counted["camguard_stderr_lost_lines_total"]
        replay = self.authentication.replay_guard
        evicted = None if replay is None else (replay.evicted, len(replay))
        return counted, None if self.bundle is None else self.bundle.table_stats(), evicted


def _timeless(record: Any) -> Any:
    return record._replace(duration=0.0)


async def _first_difference(
    steps: Iterable[Step], settings: Settings, lane: LaneFactory, counts: Counter[str] | None
) -> int | None:
    """Return the number of the first step after which two guards are not the same, None if there is none."""
    worlds = (World(settings, lane), World(settings, WholeWay))
    at = 0
    for at, step in enumerate(steps):
        if isinstance(step, Ask):
            one, other = [await world.ask(step) for world in worlds]
            if one != other:
                return at
            if at % 50 == 0 and worlds[0].counters() != worlds[1].counters():
                return at
        else:
            for world in worlds:
                world.change(*step)
    if counts is not None:
        counts["verified"] += worlds[0].verified
    return None if worlds[0].counters() == worlds[1].counters() else at


def first_difference(
    steps: Iterable[Step],
    settings: Settings = _BASE,
    lane: LaneFactory = Lane,
    counts: Counter[str] | None = None,
) -> int | None:
    """Return the number of the first step that shows a difference, None where recognition changes nothing.

    counts: gets the number of requests whose signature was good.
    """
    return asyncio.run(_first_difference(steps, settings, lane, counts))


def drawn(dice: random.Random, count: int, *, signed: float = 0.0) -> list[Step]:
    """Return so many steps, most of them requests that repeat earlier ones but for a field or two.

    signed: the share of the requests that are signed, and usual but for at most one other field. Half of the
    changes then go back to the start, so that signatures hold.
    """
    steps: list[Step] = []
    met: list[Ask] = [Ask()]
    for _ in range(count):
        if dice.random() < 0.02:
            name = dice.choice(list(CHANGES))
            at_start = signed and dice.random() < 0.5
            steps.append((name, CHANGES[name][0] if at_start else dice.choice(CHANGES[name])))
            continue
        asked = dice.choice(met)
        if dice.random() < 0.5:
            odd = dict(asked.odd)
            for name in dice.sample(list(FIELDS), dice.randint(1, 3)):
                usual, values = FIELDS[name]
                odd[name] = values[0] if dice.randint(1, 10) <= usual else dice.choice(values)
            asked = Ask(tuple(odd.items()))
            if len(met) < 40:
                met.append(asked)
            elif dice.random() < 0.3:
                met[dice.randrange(40)] = asked
        if signed and dice.random() < signed:
            kept = dice.sample(asked.odd, min(1, len(asked.odd)))
            asked = Ask((*_WELL_SIGNED, *(field for field in kept if field[0] not in dict(_WELL_SIGNED))))
        steps.append(asked)
    return steps


_WELL_SIGNED: Final = (("authorization", "good"), ("x-camguard-principal", None))


def shrunk(steps: Sequence[Step], settings: Settings, lane: LaneFactory = Lane) -> list[Step]:
    """Return as few of the steps as still show a difference."""
    found = list(steps)
    size = len(found) // 2
    while size:
        at = 0
        while at < len(found):
            fewer = found[:at] + found[at + size :]
            if fewer and first_difference(fewer, settings, lane) is not None:
                found = fewer
            else:
                at += size
        size //= 2
    return found


def main() -> int:
    """Make the requests. Exit code 1 for a difference, which is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.recognition", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--signed", type=float, default=0.0, help="share of requests that are signed")
    options = parser.parse_args()
    logging.disable()  # what is refused for the set-up of the server is said there
    dice = random.Random(options.seed)  # noqa: S311 - a test, no secret
    counts = CountingLane.counts
    asked = turn = 0
    while asked < options.requests:
        settings = SETTINGS_TRIED[turn % len(SETTINGS_TRIED)]
        steps = drawn(dice, min(1000, options.requests), signed=options.signed)
        at = first_difference(steps, settings, CountingLane, counts)
        if at is not None:
            print(f"a difference after {asked} requests, settings {turn % len(SETTINGS_TRIED)}:")
            print(*shrunk(steps[: at + 1], settings), sep="\n")
            return 1
        asked += sum(isinstance(step, Ask) for step in steps)
        turn += 1
    print(f"{asked} requests: every answer, record and counter was the same with and without recognition")
    print(f"{counts['recognised']} were recognised, {counts['verified']} had a good signature")
    return 0


if __name__ == "__main__":
    sys.exit(main())
