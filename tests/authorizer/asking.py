"""A guard behind the authorizer, and subrequests as proxies send them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from camguard.authn.authenticator import Authenticator, authenticator
from camguard.authorizer.application import Authorizer
from camguard.authorizer.dialects import original, readers
from camguard.enforcement.guard import Guard
from camguard.request.rejection import Rejection
from camguard.settings import AuthorizerSettings, IdentitySettings, Settings
from camguard.telemetry.record import Record
from camguard.wiring import authorizer_settings
from tests.asgi import Message, body_of, exchange, receive_of
from tests.authn.signing import keys
from tests.stage import ALICE, HOST, NOW, OFFICE, PROXY, SETTINGS, FixedPolicies, Line, sdk

# The facts of one request as each dialect tells them: method, URI and host; the address stands apart.
FACTS: dict[str, tuple[bytes, bytes, bytes, bytes]] = {
    "nginx": (b"x-original-method", b"x-original-uri", b"x-original-host", b"x-real-ip"),
    "haproxy": (b"x-original-method", b"x-original-uri", b"x-original-host", b"x-real-ip"),
    "forward": (b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host", b"x-forwarded-for"),
    "apisix": (b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host", b"x-forwarded-for"),
}
PATHS = {**{name: f"/authz/{name}".encode() for name in FACTS}, "envoy": b"/authz/envoy/"}
IDENTITY = (b"x-camguard-principal", ALICE.encode())
RECEIVE = receive_of(())


class Held:
    """Keys that do not change."""

    keys = keys()


def asked_by(
    settings: Settings = SETTINGS, *, bodies: Iterable[str] = (), nginx: Any = "plain", **identity: Any
) -> Settings:
    """Return settings of an authorizer. bodies: dialects that show them. identity: of IdentitySettings."""
    return replace(
        settings,
        authorizer=AuthorizerSettings(nginx=nginx, bodies=frozenset(bodies)),
        identity=IdentitySettings(**{"mode": "header", **identity}),
    )


def with_values(settings: Settings, section: str, **values: Any) -> Settings:
    """Return the settings with some values of one section changed."""
    return replace(settings, **{section: replace(getattr(settings, section), **values)})


class Answer(NamedTuple):
    """What a proxy was answered, and the record of it."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    record: Record
    concluded: list[tuple[Record, int | None, str | None, int | None]]

    @property
    def word(self) -> str:
        """`allow`, or the detail of the refusal, or its reason where there is none."""
        found = self.headers[b"x-camguard-decision"].decode()
        decision = self.record.decision
        return found if found == "allow" else decision.detail or str(decision.reason)

    @property
    def error(self) -> dict[str, str]:
        """The error in the envelope."""
        error: dict[str, str] = json.loads(self.body)["Response"]["Error"]
        return error


class Stage:
    """An authorizer on a small company. signs: whether it verifies signatures with keys."""

    def __init__(
        self, settings: Settings | None = None, policies: Any = None, *, signs: bool = False
    ) -> None:
        settings = settings or asked_by()
        self.records: list[Record] = []
        self.concluded: list[tuple[Record, int | None, str | None, int | None]] = []
        callers: Authenticator = authenticator(settings.identity, Held() if signs else None)
        self.guard = Guard(
            authorizer_settings(settings),
            policies or FixedPolicies(),
            callers,
            observers=(self.records.append,),
            conclusions=(lambda *each: self.concluded.append(each),),
            listener="authorizer",
            drains=True,
            for_proxy=True,
            clock=lambda: NOW,
        )
        self.app = Authorizer(settings, self.guard)

    def ask(self, scope: dict[str, Any], messages: list[Message]) -> Answer:
        """Send one subrequest."""
        sent = asyncio.run(exchange(self.app, scope, messages))
        return Answer(
            sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"], self.records[-1], self.concluded
        )


def subrequest(
    dialect: str,
    lines: Iterable[Line] = (*sdk(), IDENTITY),
    *,
    method: str = "POST",
    uri: bytes = b"/",
    host: bytes = HOST,
    address: str = OFFICE,
    without: Iterable[bytes] = (),
    body: bytes = b"",
) -> dict[str, Any]:
    """Return the scope of a subrequest of a dialect. without: headers of the proxy that are left out."""
    kept = [line for line in lines if line[0] != b"host"]
    if dialect == "envoy":
        path, query, sent = PATHS["envoy"], uri.partition(b"?")[2], method
        facts = [(b"host", host), (b"x-camguard-client-ip", address.encode())]
    else:
        names = FACTS[dialect]
        path, query, sent = PATHS[dialect], b"", "POST" if body else "GET"
        facts = [*zip(names, (method.encode(), uri, host, address.encode()), strict=True)]
        facts.append((b"host", b"camguard.internal:8600"))
    facts = [line for line in facts if line[0] not in {*without}]
    length = [(b"content-length", b"%d" % len(body))] if body or dialect == "envoy" else []
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": sent,
        "path": path.decode(),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [*kept, *facts, *length],
        "client": (PROXY, 40000),
        "server": ("127.0.0.1", 8600),
        "extensions": {},
    }


def asked(stage: Stage, dialect: str, body: bytes = b"", **facts: Any) -> Answer:
    """Ask about one request. body: what the subrequest has."""
    return stage.ask(subrequest(dialect, body=body, **facts), body_of(body))


def read(dialect: str, *, bodies: Iterable[str] = (), **facts: Any) -> Any:
    """Return the request that a proxy asks about, or the detail of its refusal. facts: of `subrequest`."""
    return read_scope(subrequest(dialect, **facts), bodies=bodies)


def read_scope(scope: dict[str, Any], *, bodies: Iterable[str] = (), nginx: str = "plain") -> Any:
    """Return the request that the subrequest of a scope asks about, or the detail of its refusal."""
    reader = readers(asked_by(bodies=bodies, nginx=nginx).authorizer)[scope["raw_path"]]
    found = original(scope, RECEIVE, reader)
    return found.detail if isinstance(found, Rejection) else found


def read_url(url: bytes, *lines: Line, body: bytes = b"") -> Any:
    """Return what ingress-nginx asks about with a URL, or the detail of the refusal."""
    scope = subrequest("nginx", lines, without=(b"x-original-uri", b"x-original-host"), body=body)
    scope["headers"] += [(b"x-original-url", url)]
    return read_scope(scope, bodies=("nginx",), nginx="ingress")
