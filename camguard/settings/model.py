"""Every setting: its name, its default as the file would spell it, and its reader.

Rule 1: a default is read by the same reader as a written value, so that no default is a value that the reader
        would refuse.
Rule 2: the path of an attribute is the path of the key: `settings.gateway.listen` is `[gateway] listen`.
Rule 3: if the default of a setting is text, an override is used as it is; else an override is a TOML literal.
"""

# ruff: noqa: RUF009 - setting() returns a field, not a value

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast

from camguard.engine.action_index import IpSupport, UnknownAction
from camguard.ipset import AddressMap, IpSet
from camguard.settings import values
from camguard.settings.overrides import Override, overrides
from camguard.settings.values import Address, Reader

T = TypeVar("T")

IdentityMode = Literal["signature", "header", "either", "claimed"]
ClientIpHeader = Literal["x-forwarded-for", "forwarded"]
EnforcementMode = Literal["enforce", "shadow"]
StatusStyle = Literal["sdk", "http"]
SharedBy = Literal["upstream", "header"]

# The vendor's own domains: its clients fail over from one to the next (T123).
DEFAULT_ROOTS = ("tencentcloudapi.com", "tencentcloudapi.cn", "tencentcloudapi.com.cn")
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["logfmt", "json"]
Disclosure = Literal["none", "detail"]
DialectName = Literal["apisix", "envoy", "forward", "haproxy", "nginx"]
NginxStyle = Literal["plain", "ingress"]

_DAY = 86_400
_MIB = 1 << 20


def setting(raw: object, read: Reader[T]) -> T:
    """Return the field of one setting. raw: its default as TOML has it; its paths start from `.`."""
    return field(default_factory=partial(read, raw, Path()), metadata={"raw": raw, "read": read})


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """Where the catalog is, which lists the actions that exist."""

    path: Path = setting("catalog", values.path)


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Where the bundle comes from, how old it may become, and what keeps it from being activated.

    max_age_seconds: 0 means no limit. strict: findings of severity error that lint.toml does not accept
    refuse a bundle (DEC-55). last_good: the folder in which bundles of a URL are kept. verify_key_file:
    verifies the signature that each bundle of a URL must have then. run_tests: whether the tests of a bundle
    must pass before it is activated.
    """

    source: str = setting("bundle", values.source)  # absolute folder, or URL
    poll_seconds: float = setting(2.0, values.seconds(0.1, _DAY))
    max_age_seconds: float = setting(0.0, values.seconds(0, 3650 * _DAY))
    strict: bool = setting(raw=False, read=values.flag)
    last_good: Path | None = setting("", values.path_or_none)
    verify_key_file: Path | None = setting("", values.path_or_none)
    run_tests: bool = setting(raw=False, read=values.flag)


@dataclass(frozen=True, slots=True)
class HostsSettings:
    """Which service a host name names.

    roots: the domains below which the first label names the service. aliases: host label -> service, beside
    the known ones (DEC-68). shared: whole host names that name no service; a verified TC3 signature names it
    there. shared_by: how requests over a shared host find their service behind camguard: `upstream`, each
    service has an upstream of its own, or `header`, what stands behind camguard reads x-camguard-service.
    health_path: a raw path that camguard answers itself (T136); None if camguard answers no path itself.
    """

    roots: tuple[str, ...] = setting([*DEFAULT_ROOTS], values.domains)
    aliases: Mapping[str, str] = setting({}, values.services)
    shared: tuple[str, ...] = setting([], values.host_names)
    shared_by: SharedBy = setting("upstream", values.choice(SharedBy))
    health_path: str | None = setting("", values.health_path)


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """How a request names its principal, and which of these ways are accepted.

    keys_max_age_seconds: how old the last good reading of keys_file may become; 0 means no limit.
    """

    mode: IdentityMode = setting("signature", values.choice(IdentityMode))
    keys_file: Path = setting("keys.json", values.path)
    header: str = setting("x-camguard-principal", values.header_name)
    allow_v1: bool = setting(raw=False, read=values.flag)
    allow_unsigned_payload: bool = setting(raw=False, read=values.flag)
    bind_signatures: bool = setting(raw=False, read=values.flag)
    keys_max_age_seconds: float = setting(0.0, values.seconds(0, 3650 * _DAY))


@dataclass(frozen=True, slots=True)
class ClientIpSettings:
    """Which peers may name the address of the client, in which header, and which address policies mean.

    egress: the address that policies are compared with, by range of client addresses.
    """

    trusted_proxies: IpSet = setting([], values.networks)
    header: ClientIpHeader = setting("x-forwarded-for", values.choice(ClientIpHeader))
    allow_any_proxy: bool = setting(raw=False, read=values.flag)
    trust_unix_socket: bool = setting(raw=False, read=values.flag)
    egress: AddressMap = setting({}, values.egress)
    allow_any_egress: bool = setting(raw=False, read=values.flag)


@dataclass(frozen=True, slots=True)
class AttributesSettings:
    """Which condition keys a trusted proxy may supply, and in which header. An empty name: in none."""

    header: str = setting("", values.attributes_header)
    keys: frozenset[str] = setting([], values.attribute_keys)


@dataclass(frozen=True, slots=True)
class EnforcementSettings:
    """What camguard does with a decision. override: the first row that fits a call gives its mode."""

    mode: EnforcementMode = setting("enforce", values.choice(EnforcementMode))
    status_style: StatusStyle = setting("sdk", values.choice(StatusStyle))
    ip_support: IpSupport = setting("catalog", values.choice(IpSupport))
    unknown_action: UnknownAction = setting("refuse", values.choice(UnknownAction))
    disclose: Disclosure = setting("none", values.choice(Disclosure))
    allow_merged_trailers: bool = setting(raw=False, read=values.flag)
    request_id_header: bool = setting(raw=True, read=values.flag)
    override: tuple[Override, ...] = setting([], overrides)
    candidate: str | None = setting("", values.source_or_none)  # absolute folder, or URL


@dataclass(frozen=True, slots=True)
class DecisionLogSettings:
    """Where decisions are written. path: `-` for stdout, empty for no log, else an absolute path."""

    path: str = setting("-", values.log_path)


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Which actions have their own counters."""

    actions: tuple[str, ...] = setting(["*"], values.action_patterns)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The listeners and processes of `camguard serve`. An empty address opens no listener."""

    listen: Address = setting("127.0.0.1:8080", values.listen)
    authorizer: Address | None = setting("", values.listen_or_none)
    authorizer_grpc: Address | None = setting("", values.listen_or_none)
    admin: Address | None = setting("127.0.0.1:9464", values.listen_or_none)
    admin_hosts: tuple[str, ...] = setting([], values.host_names)
    workers: int = setting(1, values.whole(1, 256))


@dataclass(frozen=True, slots=True)
class AuthorizerSettings:
    """How the proxies that ask before they forward tell a request (`gateway.authorizer`).

    nginx: which headers are read at `/authz/nginx`: those of the configuration that `camguard front nginx`
    prints, or those of ingress-nginx. bodies: the dialects whose proxies show the body of a request.
    """

    nginx: NginxStyle = setting("plain", values.choice(NginxStyle))
    bodies: frozenset[str] = setting(["apisix", "envoy", "haproxy", "nginx"], values.choices(DialectName))


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """How much memory and time the requests of clients may take (THREATS 3.2.5, THREATS 3.5).

    upstream_idle_seconds: how long a connection to an upstream is kept for the next call. The default is
    below the 5 s after which uvicorn and Node close one. 0: each call has a connection of its own.
    drain_seconds: how long a gateway that is to end still accepts connections, while it is not ready.
    """

    header_lines: int = setting(128, values.whole(8, 10_000))
    header_bytes: int = setting(65_536, values.whole(1024, 16 * _MIB))
    header_value_bytes: int = setting(16_384, values.whole(256, 16 * _MIB))
    query_bytes: int = setting(32_768, values.whole(0, 16 * _MIB))
    params: int = setting(1000, values.whole(1, 100_000))
    body_bytes: int = setting(10 * _MIB, values.whole(0, 1024 * _MIB))
    form_bytes: int = setting(_MIB, values.whole(0, 1024 * _MIB))
    json_depth: int = setting(64, values.whole(1, 500))
    header_seconds: float = setting(10.0, values.seconds(0.01, 3600))
    body_seconds: float = setting(30.0, values.seconds(0.01, 3600))
    upstream_seconds: float = setting(60.0, values.seconds(0.01, 3600))
    upstream_idle_seconds: float = setting(4.0, values.seconds(0, 3600))
    shutdown_seconds: float = setting(30.0, values.seconds(0, 3600))
    drain_seconds: float = setting(0.0, values.seconds(0, 3600))
    concurrency: int = setting(1000, values.whole(1, 1_000_000))
    waiting: int = setting(1000, values.whole(1, 1_000_000))
    waiting_per_client: int = setting(250, values.whole(1, 1_000_000))
    buffered_bytes: int = setting(256 * _MIB, values.whole(0, 1 << 40))
    tables: int = setting(16_384, values.whole(1, 10_000_000))

    @property
    def ending_seconds(self) -> float:
        """How long a gateway may take to end after the first signal."""
        return self.drain_seconds + self.shutdown_seconds


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the gateway reports about itself on stderr. The middleware uses the log of its application."""

    level: LogLevel = setting("info", values.choice(LogLevel))
    format: LogFormat = setting("logfmt", values.choice(LogFormat))


def default_upstream() -> Mapping[str, str]:
    """Return where calls are forwarded if the file has no section `upstream`."""
    return MappingProxyType({"default": "http://127.0.0.1:8081"})


@dataclass(frozen=True, slots=True)
class Settings:
    """All of camguard.toml.

    upstream: by service, or `default` for all others: `http(s)://host[:port]` or `echo`.
    """

    catalog: CatalogSettings = field(default_factory=CatalogSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    hosts: HostsSettings = field(default_factory=HostsSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    client_ip: ClientIpSettings = field(default_factory=ClientIpSettings)
    attributes: AttributesSettings = field(default_factory=AttributesSettings)
    enforcement: EnforcementSettings = field(default_factory=EnforcementSettings)
    decision_log: DecisionLogSettings = field(default_factory=DecisionLogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    authorizer: AuthorizerSettings = field(default_factory=AuthorizerSettings)
    upstream: Mapping[str, str] = field(default_factory=default_upstream)
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    log: LogSettings = field(default_factory=LogSettings)

    def effective(self) -> dict[str, dict[str, Any]]:
        """Return the values in force by section and key, as JSON can contain them, without secrets."""
        return {section.name: _section(getattr(self, section.name)) for section in fields(self)}

    def digest(self) -> str:
        """Return the hex SHA-256 of the values in force: two processes with equal settings have the same."""
        return sha256(json.dumps(self.effective(), sort_keys=True).encode()).hexdigest()


def _section(section: Any) -> dict[str, Any]:
    if isinstance(section, Mapping):
        return {key: values.printable(section[key]) for key in sorted(section)}
    return {each.name: values.printable(getattr(section, each.name)) for each in fields(section)}


SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        each.name: cast("type[Any]", each.default_factory)
        for each in fields(Settings)
        if each.name != "upstream"
    }
)
