"""The target of a request: what its deciding headers name together.

Few headers decide a request: method, host, content type, action, version, region, the identity header, the
socket's peer and the forwarding header. Callers send the same combinations again and again. `Targets`
resolves a combination once under one bundle to a `Target`: the client's address, the service, the action and
its catalog entry, how the body must be read, the caller where nothing is signed, and, where the head alone
determines the call, the beginning of that call. A request then finds its target with one look-up.

Rule 1: the host names the service, nothing else does. Its port selects nothing, so any port is accepted.
Rule 2: grammars are closed and matched whole; nothing is trimmed, folded or decoded twice. Carriers that name
        the same action all go on as they came: no reader can find another action, and a signature over them
        stays whole.
Rule 3: a target holds no part of a decision: policies, clock and signatures are consulted for each request.
Rule 4: a version or region that is there and empty says what an absent one says, and so does the text `null`
        in `X-TC-Region` (T122, T133). It still counts as there: beside another value it is a conflict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from typing import Any, Final, Protocol, TypeAlias

from camguard import grammar
from camguard.authn.authenticator import Caller
from camguard.bounded_cache import BoundedCache
from camguard.catalog.model import Action, Catalog, Granularity
from camguard.enforcement.resource_binding import ResourceTemplates, cut_templates
from camguard.policy.resources import Owner
from camguard.request.body_formats import BodyFormat, body_format
from camguard.request.client_address import AddressKey, ClientAddress
from camguard.request.client_address import Method as AddressMethod
from camguard.request.head import RequestHead, TargetKey
from camguard.request.params import ACTION, Params, action_of
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import LimitsSettings
from camguard.telemetry.record import HOST_LENGTH

ACTION_NAME: Final = grammar.of_bytes(grammar.ACTION_NAME)
REGION: Final = grammar.of_bytes(grammar.REGION)
VERSION: Final = grammar.of_bytes(grammar.VERSION)
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_PORTS: Final = range(1, 65536)
_SERVICE = r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)"
_BEHIND_SERVICE = rf"(?:\.intl|(?:\.internal)?(?:\.{grammar.REGION.pattern})?)"  # CAM 14.1

_NAMING_LENGTH: Final = 512  # bytes of a combination of naming headers that is remembered
_KEY_LENGTH: Final = 1536
_KEYS: Final = 16_384  # targets remembered: some 10 MiB when full, and 2 ms to forget them
_VALUE_COST: Final = 40  # bytes that a value takes besides its own: a line may hold next to nothing

_HOST_MISSING: Final = rejection("host_missing")
_HOST_INVALID: Final = rejection("host_invalid")
_SERVICE_UNKNOWN: Final = rejection("service_unknown")
_ACTION_MISSING: Final = rejection("action_missing")
_ACTION_INVALID: Final = rejection("action_invalid")
_REGION_INVALID: Final = rejection("region_invalid")
_VERSION_INVALID: Final = rejection("version_invalid")
_CONTENT_TYPE: Final = rejection("content_type")
_CONFLICT: Final = rejection("action_conflict")
VERSION_UNKNOWN: Final = rejection("version_unknown")

_NO_REGION: Final = b"null"  # in X-TC-Region, from the Node SDK of the international site (T133)
_ILL_FORMED: Final = b"&"  # fits no shape

# The beginning of a Call: principal, action (`service:Name`) and source address.
CallStart: TypeAlias = tuple[str, str, int | None]
# Method, host, content type, action, version and region, as a head has them.
Naming: TypeAlias = tuple[str, bytes, bytes | None, bytes | None, bytes | None, bytes | None]


class UnsignedCallers(Protocol):
    """Identifies callers where nothing is signed: `camguard.authn.authenticator.Authenticator`."""

    def unsigned(self, identity: bytes | None, peer_trusted: bool, /) -> Caller | Rejection:  # noqa: FBT001
        """Return the caller, or why there is none."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as requests name it. actions: by name, as bytes."""

    name: str
    actions: Mapping[bytes, Action]


@dataclass(frozen=True, slots=True)
class Target:
    """What the deciding headers of a request name together.

    rejection: why the request is not well formed or names nothing that is served; the other fields then hold
    what was found until there. body: the format of the body, None where there must be no body; body_limit:
    its bytes at most. action: a name; None where only a form may name it. entry: of the catalog, None where
    it has none. action_id: `service:Name`, by which policies are consulted, or why they are not. resources:
    None where the action is judged as a whole. caller: the caller if nothing is signed; None where a form may
    be signed. start: the beginning of the call, or why it is refused, where the head alone tells the call
    (nothing signed, nothing in a query or form, no resources); else None. reads_plain: whether also a plain
    body (`HeldBody.plain`) must be read. octets: whether the body passes through unread unless a signature
    covers it. host: the value of `Host`, cut, for records only.
    """

    rejection: Rejection | None = None
    peer: str | None = None
    peer_trusted: bool = False
    source_ip: int | None = None
    address_method: AddressMethod | None = None
    service: str | None = None
    body: BodyFormat | None = None
    body_limit: int = 0
    action: str | None = None
    entry: Action | None = None
    action_id: str | Rejection = ""
    resources: ResourceTemplates | None = None
    region: str = ""
    caller: Caller | Rejection | None = None
    start: CallStart | Rejection | None = None
    reads_plain: bool = True
    octets: bool = False
    host: str | None = None


NO_TARGET: Final = Target()


@dataclass(frozen=True, slots=True)
class _Named:
    """What the naming headers come to: the middle of a `Target`."""

    service: str
    body: BodyFormat | None
    body_limit: int
    action: str | None
    entry: Action | None
    action_id: str | Rejection
    resources: ResourceTemplates | None
    region: str


class ServiceIndex:
    """The services of one catalog by `Host` value, and what naming headers come to.

    roots: the domains below which a host names a service. owner: the account that resources belong to. named:
    what a combination of headers names, remembered.
    """

    def __init__(
        self, catalog: Catalog, owner: Owner, roots: tuple[str, ...], limits: LimitsSettings
    ) -> None:
        self._owner = owner
        self._limits = limits
        self._services = {
            name.lower(): Service(name, {entry.name.encode(): entry for entry in each.actions.values()})
            for name, each in catalog.services.items()
        }
        domains = "|".join(re.escape(root.lower()) for root in roots)
        self._pattern = re.compile(rf"{_SERVICE}{_BEHIND_SERVICE}\.(?:{domains})")
        self._templates: dict[str, ResourceTemplates] = {}
        self.named: BoundedCache[Naming, _Named | Rejection] = BoundedCache(
            self._name, longest=_NAMING_LENGTH, size=lambda naming: sum(len(each or b"") for each in naming)
        )

    def service(self, host: bytes) -> Service | Rejection:
        """Return the service that a `Host` value names, or why it names none."""
        if not host:
            return _HOST_MISSING
        match = _HOST.fullmatch(host)
        if match is None or len(match[1]) > HOST_LENGTH or (match[2] and int(match[2]) not in _PORTS):
            return _HOST_INVALID
        label = self._pattern.fullmatch(match[1].decode("ascii").lower())
        service = self._services.get(label[1]) if label else None
        return _SERVICE_UNKNOWN if service is None else service

    def _name(self, naming: Naming) -> _Named | Rejection:
        """Return what these headers name, or the first reason why the request is rejected."""
        method, host, content_type, action, version, region = naming
        if region == _NO_REGION:
            region = None
        service = self.service(host)
        if isinstance(service, Rejection):
            return service
        announced = body_format(content_type) if content_type is not None else None
        if isinstance(announced, Rejection):
            return announced
        if announced is None and method == "POST":
            return _CONTENT_TYPE
        for value, shape, refused in (
            (version or None, VERSION, _VERSION_INVALID),
            (region or None, REGION, _REGION_INVALID),
            (action, ACTION_NAME, _ACTION_INVALID if action else _ACTION_MISSING),
        ):
            if value is not None and not shape.fullmatch(value):
                return refused
        body = announced if method == "POST" else None
        form = body is not None and body.kind == "form"
        if action is None and not form:
            return _ACTION_MISSING
        limit = 0 if body is None else self._limits.form_bytes if form else self._limits.body_bytes
        entry = service.actions.get(action) if action is not None else None
        name = _text(action)
        return _Named(
            service.name,
            body,
            limit,
            name,
            entry,
            self._action_id(service.name, name, entry, _text(version) or ""),
            self.templates(entry),
            _text(region) or "",
        )

    def _action_id(
        self, service: str, action: str | None, entry: Action | None, version: str
    ) -> str | Rejection:
        if entry is None:
            return f"{service}:{action}"  # the engine refuses it, or judges it where the settings say so
        fits = entry.version is None or not version or entry.version == version
        return entry.id if fits else VERSION_UNKNOWN

    def templates(self, entry: Action | None) -> ResourceTemplates | None:
        """Return what names the resources of an action, None where the action is judged as a whole."""
        if entry is None or entry.granularity is not Granularity.RESOURCE:
            return None
        found = self._templates.get(entry.id)
        if found is None:
            found = self._templates[entry.id] = cut_templates(entry, self._owner)
        return found


class Targets:
    """The targets of requests under one bundle. known: the resolved targets by `TargetKey`."""

    def __init__(
        self, services: ServiceIndex, addresses: Mapping[AddressKey, ClientAddress], callers: UnsignedCallers
    ) -> None:
        self._services = services
        self._addresses = addresses
        self._callers = callers
        self.known: BoundedCache[TargetKey, Target] = BoundedCache(
            self._resolve,
            entries=_KEYS,
            longest=_KEY_LENGTH,
            size=lambda key: sum(len(each or "") + _VALUE_COST for each in key),
        )

    def with_parameters(self, head: RequestHead, params: Params, action: bytes | None) -> Target:
        """Return the target of a request whose query or form may name the action, too.

        params: of query and form together. action: the name on which all carriers agree, None where there is
        none.
        """
        version, region = head.version, head.region
        if head.action is None or any(name == ACTION for name, _ in params):
            # A query or form that names the action names these, too (CAM 14.2), whatever else names them.
            version, region = _common(params, "Version", version), _common(params, "Region", region)
        key = head.target_key
        return self.known[(*key[:4], action, version, region, *key[7:])]

    def _resolve(self, key: TargetKey) -> Target:
        method, peer, host, content_type, action, version, region, identity, *forwarded = key
        address = self._addresses[peer, tuple(forwarded)]
        client: Any = {
            "peer": address.peer,
            "peer_trusted": address.trusted,
            "source_ip": address.place,
            "address_method": address.method,
            "host": host[:HOST_LENGTH].decode("latin-1"),
        }
        naming = (method, host, content_type, action, version, region)
        named = self._services.named[naming] if address.rejection is None else address.rejection
        if isinstance(named, Rejection):
            service = self._services.service(host)
            name = service.name if isinstance(service, Service) else None
            return Target(rejection=named, service=name, **client)
        form = named.body is not None and named.body.kind == "form"
        caller = None if form else self._callers.unsigned(identity, address.trusted)
        fields = {each.name: getattr(named, each.name) for each in fields_of(named)}
        target = Target(caller=caller, **client, **fields)
        json = named.body is not None and named.body.kind == "json"
        reads_plain = named.resources is not None or not json
        octets = named.body is not None and named.body.kind == "octets"
        return replace(target, start=_start(target), reads_plain=reads_plain, octets=octets)


def _start(target: Target) -> CallStart | Rejection | None:
    """Return the beginning of a call that the head alone tells, or why that call is refused."""
    if target.resources is not None or target.caller is None:
        return None
    if isinstance(target.caller, Rejection):
        return target.caller
    if isinstance(target.action_id, Rejection):
        return target.action_id
    return target.caller.principal, target.action_id, target.source_ip


def agreed_action(carried: bytes | None, params: Params) -> bytes | Rejection | None:
    """Return the action on which another carrier and parameters agree, or why they do not (THREATS 3.2).

    carried: what the other carrier names. None, carried or returned: no action is named.
    """
    named = action_of(params)
    if named is None or isinstance(named, Rejection):
        return carried if named is None else named
    found = named.encode()
    return found if carried is None or carried == found else _CONFLICT


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii")


def _common(params: Params, name: str, header: bytes | None) -> bytes | None:
    """Return the value on which parameters and header agree; ill-formed text where they differ.

    A parameter that holds the text by which a header names no region is ill-formed, too (T133).
    """
    values = [value.encode() for each, value in params if each == name]
    if _NO_REGION in values:
        return _ILL_FORMED
    if header is not None and header not in values:
        values.append(header)
    return b"&".join(values) if values else None
