"""The configurations of proxies that ask camguard, printed from the settings and the bundle in force.

Each proxy has a template in `templates/`. `%%name%%` in it is a value, and a line with one of the lists is
repeated for each item. Lines between `%%if name%%` or `%%if not name%%` and `%%end%%` are printed only where
the condition holds.

Rule 1: a value has a closed grammar here, whatever the reader of the setting accepts. A value that could end
        a token of any of the target languages is refused, never quoted.
Rule 2: a configuration overwrites each header that tells camguard a fact, and each header that applications
        behind the proxy believe, so that what reaches the upstream is what camguard was asked about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from camguard.bundle.model import Bundle
from camguard.catalog.model import Granularity
from camguard.errors import Problem, SettingsError
from camguard.header_names import REQUEST_ID, SERVICE_HEADER, SPOOF
from camguard.request.rejection import refusal, rejection
from camguard.settings import Settings
from camguard.settings.model import DialectName
from camguard.settings.values import Address


class Kind(NamedTuple):
    """What one printed file is made from.

    template: its name is that of the file, unless `file` names another. dialect: of the proxy. id: draws a
    request id in its language.
    """

    template: str
    dialect: DialectName
    id: str
    file: str = ""

    @property
    def name(self) -> str:
        """The name of the file in config/fronts."""
        return self.file or self.template


GRPC: Final = "envoy-grpc"
AUTH_REQUEST: Final = "nginx-auth-request"
FRONTS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "nginx": Kind("nginx.conf", "nginx", "$request_id"),
        "nginx-js": Kind("camguard.js", "nginx", "-"),
        AUTH_REQUEST: Kind("nginx.conf", "nginx", "$request_id", "nginx-auth-request.conf"),
        "envoy": Kind("envoy.yaml", "envoy", "%STREAM_ID%"),
        GRPC: Kind("envoy.yaml", "envoy", "%STREAM_ID%", "envoy-grpc.yaml"),
        "haproxy": Kind("haproxy.cfg", "haproxy", "%[uuid()]"),
        "haproxy-lua": Kind("camguard.lua", "haproxy", "-"),
        "caddy": Kind("Caddyfile", "forward", "{http.request.uuid}"),
        "traefik": Kind("traefik.yaml", "forward", "-"),
        "apisix": Kind("apisix.yaml", "apisix", "-"),
    }
)
AUTHORIZER: Final = Address("127.0.0.1", 8600)  # where the settings name none
AUTHORIZER_GRPC: Final = Address("127.0.0.1", 8601)
LISTEN: Final = Address("127.0.0.1", 8000)
UPSTREAM: Final = "http://127.0.0.1:8081"  # where the settings answer with the echo
_BODILESS: Final = frozenset(("caddy", AUTH_REQUEST))  # they show no body, whatever authorizer.bodies lists
_TEMPLATES: Final = Path(__file__).parent / "templates"

_PLACEHOLDER: Final = re.compile(r"%%([a-z0-9_]+)%%")
_CONDITION: Final = re.compile(r"\s*%%if (not )?([a-z_]+)%%")
_END: Final = re.compile(r"\s*%%end%%")
# What a value may hold: no quote, blank, brace, backslash, semicolon, `$`, `#` or `%` of any target language.
_VALUE: Final = re.compile(r"[A-Za-z0-9_.:/\[\]-]{1,255}")
_ID: Final = "00000000-0000-4000-8000-000000000000"

# Headers beside those of SPOOF that proxies and applications write, under the prefixes that camguard removes.
_PREFIXED: Final = (
    *("x-forwarded-host", "x-forwarded-method", "x-forwarded-port", "x-forwarded-prefix"),
    *("x-forwarded-proto", "x-forwarded-server", "x-forwarded-uri", "x-forwarded-user"),
    *("x-forwarded-access-token", "x-forwarded-client-cert", "x-forwarded-email", "x-forwarded-groups"),
    *("x-forwarded-preferred-username", "x-forwarded-scheme", "x-forwarded-ssl"),
    *("x-original-host", "x-original-method", "x-original-uri", "x-original-url", "x-remote-user"),
    *("x-original-forwarded-for", "x-original-path", "x-original-remote-addr"),
    *("x-auth-request-user", "x-auth-request-email", "x-auth-request-groups", "x-auth-request-redirect"),
    *("x-auth-request-access-token", "x-auth-request-preferred-username"),
    *("x-webauth-email", "x-webauth-groups", "x-webauth-name", "x-webauth-user", "x-envoy-external-address"),
    *("x-envoy-original-path", "x-envoy-auth-partial-body", "x-envoy-internal"),
    *("x-camguard-client-ip", "x-camguard-decision"),
)


@dataclass(frozen=True, slots=True)
class Front:
    """What one configuration is printed from.

    listen: where the proxy accepts calls. upstream: the URL behind it. needs: the parts of calls that only
    a body shows, each in a clause; empty where no answer depends on a body. shows: whether the proxy sends
    bodies along.
    """

    name: str
    settings: Settings
    listen: Address
    upstream: str
    needs: tuple[str, ...]
    shows: bool

    @classmethod
    def of(cls, name: str, settings: Settings, bundle: Bundle | None, listen: Address = LISTEN) -> Front:
        """Return the front of a name in FRONTS."""
        upstream = settings.upstream["default"]
        needs = tuple(body_needs(settings, bundle))
        shows = bool(needs) and FRONTS[name].dialect in settings.authorizer.bodies and name not in _BODILESS
        return cls(name, settings, listen, UPSTREAM if upstream == "echo" else upstream, needs, shows)


def body_needs(settings: Settings, bundle: Bundle | None) -> Iterator[str]:
    """Yield why some answers depend on the body of a request. bundle: None counts every resource."""
    identity = settings.identity
    mode = identity.mode
    if mode in {"signature", "either"} or (mode == "header" and identity.keys_file.exists()):
        yield "the signature of a POST covers its body"
    if identity.allow_v1:
        yield "a form may carry a signature of version 1 and name the action"
    if bundle is None:
        yield "bodies may name resources"
        return
    restricted = any(
        statement.patterns for policy in bundle.policies.values() for statement in policy.statements
    )
    named = sum(each.granularity is Granularity.RESOURCE for each in bundle.catalog.actions.values())
    if restricted and named:
        yield f"bodies name the resources of {named} actions of the catalog, and policies restrict resources"
    if any(action.request_tags for action in bundle.catalog.actions.values()):
        yield "bodies name tags"


def authorizer_of(name: str, settings: Settings) -> tuple[str, Address, bool]:
    """Return the setting of where a proxy asks, its value or a default, and whether it has a value."""
    if name == GRPC:
        grpc = settings.gateway.authorizer_grpc
        return "gateway.authorizer_grpc", grpc or AUTHORIZER_GRPC, grpc is not None
    http = settings.gateway.authorizer
    return "gateway.authorizer", http or AUTHORIZER, http is not None


def render(front: Front) -> str:
    """Return the text of a configuration. Raises SettingsError for a value that it cannot hold."""
    template = (_TEMPLATES / FRONTS[front.name].template).read_text(encoding="utf-8")
    values, lists = _values(front), _lists(front)
    return "".join(f"{line}\n" for line in _lines(template.splitlines(), _conditions(front), values, lists))


def _lines(
    template: Iterable[str],
    conditions: Mapping[str, bool],
    values: Mapping[str, str],
    lists: Mapping[str, tuple[str, ...]],
) -> Iterator[str]:
    printed = [True]
    for line in template:
        condition = _CONDITION.fullmatch(line)
        if condition is not None:
            printed.append(printed[-1] and conditions[condition[2]] is not bool(condition[1]))
        elif _END.fullmatch(line):
            printed.pop()
        elif printed[-1]:
            names = _PLACEHOLDER.findall(line)
            repeated = next((name for name in names if name in lists), None)
            for item in (None,) if repeated is None else lists[repeated]:
                here = values if item is None else {**values, str(repeated): item}
                yield _PLACEHOLDER.sub(lambda found, here=here: here[found[1]], line)  # type: ignore[misc]


def _conditions(front: Front) -> dict[str, bool]:
    settings = front.settings
    return {
        "shows": front.shows,
        "hides": bool(front.needs) and not front.shows,
        "attributes": bool(settings.attributes.header),
        "tls": urlsplit(front.upstream).scheme == "https",
        "more_upstreams": len(settings.upstream) > 1,
        "shadow": settings.enforcement.mode == "shadow",
        "grpc": front.name == GRPC,
    }


def _values(front: Front) -> dict[str, str]:
    settings = front.settings
    limits, url = settings.limits, urlsplit(front.upstream)
    authorizer = authorizer_of(front.name, settings)[1]
    port = url.port or (443 if url.scheme == "https" else 80)
    host = url.hostname or ""
    checked = {
        "front": front.name,
        "authorizer": str(authorizer),
        "authorizer_host": authorizer.host,
        "authorizer_port": str(authorizer.port),
        "listen": str(front.listen),
        "listen_host": front.listen.host,
        "listen_port": str(front.listen.port),
        "upstream": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "upstream_host": host,
        "upstream_port": str(port),
        "upstream_scheme": url.scheme,
        "identity_header": settings.identity.header,
        "attributes_header": settings.attributes.header or "-",
        "identity_mode": settings.identity.mode,
        "body_bytes": str(limits.body_bytes),
        "request_id_header": REQUEST_ID.decode(),
        "upstream_seconds": f"{limits.upstream_seconds + 1:.0f}",
    }
    more = [("upstream", service) for service in settings.upstream]
    for name, value in (*checked.items(), *more):
        if not _VALUE.fullmatch(value):
            message = f"{value!r} cannot stand in a configuration of {front.name} ({name})"
            raise SettingsError(Problem("front", "SettingsError", message))
    envelopes = {"unavailable": "internal_error", "too_large": "body_too_large", "malformed": "body_on_get"}
    draw = FRONTS[front.name].id
    return checked | {name: envelope(detail, draw) for name, detail in envelopes.items()}


def envelope(detail: str, request_id: str) -> str:
    """Return the envelope of a rejection that the proxy itself answers. request_id: what draws one."""
    return refusal(rejection(detail), _ID).body.decode().replace(_ID, request_id)


def _lists(front: Front) -> dict[str, tuple[str, ...]]:
    own = {front.settings.identity.header, front.settings.attributes.header, "x-forwarded-for"}
    names = {each.decode() for each in (*SPOOF, SERVICE_HEADER)} | set(_PREFIXED)
    others = [name for name in front.settings.upstream if name != "default"]
    return {
        "removed": tuple(sorted(names - own)),
        "need": front.needs,
        "other_upstream": tuple(sorted(others)),
    }
