"""The stage of the request tests: a small company, one call that passes, and ways to change it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from hypothesis import settings

from camguard.authn.authenticator import Claim
from camguard.authn.credentials import Caller
from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from camguard.enforcement.guard import Guard
from camguard.ipset import IpSet
from camguard.middleware import CamguardMiddleware
from camguard.policy.document import parse_policy
from camguard.request.head import RequestHead
from camguard.request.params import Params
from camguard.request.rejection import Rejection
from camguard.settings import (
    ClientIpSettings,
    EnforcementSettings,
    HostsSettings,
    IdentitySettings,
    LimitsSettings,
    Settings,
)
from camguard.telemetry.record import Record

QUIET = settings(deadline=None, derandomize=True, database=None)
NOW = 1773144000.0
ALICE = "uin/100000000101"  # everything, from the office
PROXY = "10.0.0.1"
OFFICE = "203.0.113.7"
ELSEWHERE = "198.51.100.9"
FROM_OFFICE = (b"x-forwarded-for", OFFICE.encode())
FROM_ELSEWHERE = (b"x-forwarded-for", ELSEWHERE.encode())
HOST = b"partners.tencentcloudapi.com"
SDK = (
    (b"host", HOST),
    (b"user-agent", b"python-requests/2.34.2"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept", b"*/*"),
    (b"connection", b"keep-alive"),
    (b"content-type", b"application/json"),
    (b"x-tc-action", b"QueryArea"),
    (b"x-tc-timestamp", b"1773144000"),
    (b"x-tc-version", b"2022-09-28"),
)
Line = tuple[bytes, bytes]


def action(service: str, name: str, **facts: Any) -> Action:
    usual = {"access": Access.READ, "granularity": Granularity.OPERATION, "resources": ("*",)}
    return Action(service, name, **{**usual, "ip_restriction": True, **facts})


def service(name: str, *actions: Action) -> Service:
    listed = {each.name: each for each in actions}
    return Service(
        name,
        name,
        console=False,
        tag_authorization=False,
        granularity=Granularity.OPERATION,
        ip_restriction=IpRestriction.PARTIAL,
        actions=listed,
    )


CATALOG = Catalog(
    {
        "partners": service(
            "partners",
            action("partners", "QueryArea", version="2022-09-28"),
            action("partners", "DeleteBudget", access=Access.WRITE),
            action("partners", "PayOrders", access=Access.WRITE),
            action("partners", "QueryUser", ip_restriction=False),
        ),
        "aiart": service("aiart", action("aiart", "TextToImage")),
        "cvm": service(
            "cvm",
            action(
                "cvm",
                "StopInstances",
                granularity=Granularity.RESOURCE,
                resources=("qcs::cvm:$region:$account:instance/${InstanceIds}",),
            ),
        ),
    }
)
POLICIES = {
    "office": {
        "version": "2.0",
        "statement": [
            {
                "effect": "allow",
                "action": "*",
                "resource": "*",
                "condition": {"ip_equal": {"qcs:ip": ["203.0.113.0/26", "2001:db8::/32"]}},
            },
            {"effect": "deny", "action": "partners:PayOrders", "resource": "*"},
            {
                "effect": "deny",
                "action": "*",
                "resource": "*",
                "condition": {"ip_equal": {"qcs:ip": "203.0.113.6"}},
            },
        ],
    },
    "instances": {
        "version": "2.0",
        "statement": {
            "effect": "allow",
            "action": "cvm:*",
            "resource": [
                "qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-1",
                "qcs::cvm:ap-guangzhou:uin/100000000001:instance/7*",
            ],
        },
    },
}
PRINCIPALS = {
    "owner": {"uin": "100000000001", "app_id": "1250000001"},
    "users": {
        "100000000101": {"policies": ["office"]},
        "100000000102": {"policies": []},
        "100000000103": {"policies": ["instances"]},
    },
}


def bundle(policies: Mapping[str, Any] = POLICIES, **settings: Any) -> Bundle:
    parsed = {name: parse_policy(json.dumps(each), source=f"{name}.json") for name, each in policies.items()}
    return make_bundle(parsed, PRINCIPALS, CATALOG, revision="r" * 64, **settings)


BUNDLE = bundle()
SETTINGS = Settings(
    hosts=HostsSettings(roots=("tencentcloudapi.com", "gw.example")),
    identity=IdentitySettings(mode="header"),
    client_ip=ClientIpSettings(trusted_proxies=IpSet.of(("10.0.0.0/24",))),
)


def changed(section: str, **values: Any) -> Settings:
    """Return the settings with some values of one section changed."""
    return replace(SETTINGS, **{section: replace(getattr(SETTINGS, section), **values)})


def limits(**values: Any) -> Settings:
    return replace(SETTINGS, limits=LimitsSettings(**values))


def enforcement(**values: Any) -> Settings:
    return replace(SETTINGS, enforcement=EnforcementSettings(**values))


class FixedPolicies:
    """A store that never changes."""

    def __init__(self, bundle: Bundle | None = BUNDLE, *, stale: bool = False) -> None:
        self.bundle = bundle
        self.fresh_until = -inf if stale else inf


class FixedCaller:
    """An authentication that finds one caller, whatever the request holds."""

    def __init__(self, principal: str = ALICE, *, body: bool = False) -> None:
        self.found: Caller | Rejection = Caller(principal, None, None, None)
        self.body = body
        self.requests: list[tuple[RequestHead, str | None, bytes | None, Params, bool]] = []

    def caller(
        self,
        head: RequestHead,
        service: str | None,
        body: bytes | None,
        params: Params,
        peer_trusted: bool,
        now: float,
        claim: Claim = None,
    ) -> Caller | Rejection:
        assert now == NOW
        assert claim is None
        self.requests.append((head, service, body, params, peer_trusted))
        return self.found

    def claim(
        self,
        head: RequestHead,
        service: str | None,
        params: Params,
        peer_trusted: bool,
        form: bool,
        now: float,
    ) -> Claim | Rejection:
        del head, service, params, peer_trusted, form, now
        return None

    def claimed_key(self, *claimed: Any) -> None:
        """Leave every signed request to `claim`."""

    def refused(self, *signed: Any) -> Rejection | None:
        raise AssertionError(signed)

    def signed_service(self, head: RequestHead) -> str | None:
        del head
        return None

    def unsigned(self, identity: bytes | None, peer_trusted: bool) -> Caller | Rejection:
        del identity, peer_trusted
        return self.found

    def needs_body(self, head: RequestHead) -> bool:
        assert head.method == "POST"
        return self.body


class Broken:
    """A stand-in that raises an error when it is called or read."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise self.error

    def __getitem__(self, _: Any) -> Any:
        raise self.error


@dataclass
class Request:
    """One request as a server hands it over. chunks: its body; None for a client that leaves instead."""

    lines: tuple[Line, ...] = SDK
    method: str = "POST"
    target: str = "/"
    raw_path: bytes | None = b"/"
    query: bytes = b""
    chunks: tuple[bytes | None, ...] = (b'{"A":1}',)
    client: Any = (PROXY, 40000)
    length: bool = True
    version: str = "1.1"
    type: str = "http"
    extensions: dict[str, Any] = field(default_factory=dict)

    def scope(self) -> dict[str, Any]:
        lines = [(bytes(name), bytes(value)) for name, value in self.lines]
        if self.length and self.method == "POST" and None not in self.chunks:
            size = sum(len(chunk or b"") for chunk in self.chunks)
            lines.append((b"content-length", str(size).encode()))
        raw = {} if self.raw_path is None else {"raw_path": self.raw_path}
        return {
            "type": self.type,
            "asgi": {"version": "3.0"},
            "http_version": self.version,
            "method": self.method,
            "scheme": "http",
            "path": self.target,
            "query_string": self.query,
            "root_path": "",
            "headers": lines,
            "client": self.client,
            "server": ("127.0.0.1", 80),
            "extensions": self.extensions,
            **raw,
        }


def sdk(*extra: Line, without: Iterable[bytes] = (), **named: Any) -> tuple[Line, ...]:
    """Return the SDK's lines with some replaced (`x_tc_action=b"..."`), left out, or added at the end."""
    values = {name.replace("_", "-").encode(): value for name, value in named.items()}
    kept = [(name, values.pop(name, value)) for name, value in SDK if name not in set(without)]
    return (*kept, *values.items(), *extra)


@dataclass
class Reply:
    """What came of one request. reached: what the application got, each a scope and the messages it read."""

    sent: list[dict[str, Any]]
    reached: list[tuple[dict[str, Any], list[dict[str, Any]]]]
    records: list[Record]
    concluded: list[tuple[Record, int | None, str | None, int | None]]
    guard: Guard

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def error(self) -> dict[str, str]:
        error: dict[str, str] = json.loads(self.body)["Response"]["Error"]
        return error

    @property
    def detail(self) -> str:
        """`allowed`, or the detail of the refusal, or the reason where there is none."""
        decision = self.records[-1].decision
        return decision.detail or decision.reason.value

    @property
    def passed(self) -> bool:
        return bool(self.reached)

    @property
    def carried(self) -> list[Line]:
        """The headers that the application got, without the request id that camguard adds."""
        return [line for line in self.reached[0][0]["headers"] if line[0] != b"x-camguard-request-id"]

    @property
    def taken(self) -> bytes:
        """The body that the application read."""
        return b"".join(message.get("body", b"") for message in self.reached[0][1])


class Play:
    """A middleware over an application that reads its request to the end and answers 200."""

    def __init__(self, settings: Settings = SETTINGS, **parts: Any) -> None:
        self.records: list[Record] = []
        self.concluded: list[tuple[Record, int | None, str | None, int | None]] = []
        self.reached: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        self.authentication = parts.pop("authentication", FixedCaller())
        observers = parts.pop("observers", ())
        conclusions = parts.pop("conclusions", (lambda *args: self.concluded.append(args),))
        self.guard = Guard(
            settings,
            parts.pop("policies", FixedPolicies()),
            self.authentication,
            observers=(self.records.append, *observers),
            conclusions=conclusions,
            clock=parts.pop("clock", lambda: NOW),
            **parts,
        )
        self.middleware = CamguardMiddleware(self.app, guard=self.guard)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        messages: list[dict[str, Any]] = []
        self.reached.append((scope, messages))
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
        if messages[-1]["type"] == "http.request":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"OK"})

    async def serve(self, request: Request, scope: dict[str, Any] | None = None) -> Reply:
        """Serve one request as a server would."""
        sent: list[dict[str, Any]] = []
        waiting = list(request.chunks)

        async def receive() -> dict[str, Any]:
            if not waiting:
                await asyncio.Event().wait()
            chunk = waiting.pop(0)
            if chunk is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

        async def send(message: Any) -> None:
            sent.append(message)

        before = len(self.reached), len(self.records), len(self.concluded)
        await self.middleware(request.scope() if scope is None else scope, receive, send)
        assert self.guard.in_flight == 0
        assert self.guard.held == 0
        return Reply(
            sent,
            self.reached[before[0] :],
            self.records[before[1] :],
            self.concluded[before[2] :],
            self.guard,
        )

    def reply_to(self, **request: Any) -> Reply:
        """Serve one request in an event loop of its own."""
        return asyncio.run(self.serve(Request(**request)))


def reply_to(settings: Settings = SETTINGS, *, authentication: Any = None, **request: Any) -> Reply:
    """Return what comes of one request to a fresh middleware."""
    request.setdefault("lines", sdk((b"x-forwarded-for", OFFICE.encode())))
    return Play(settings, authentication=authentication or FixedCaller()).reply_to(**request)
