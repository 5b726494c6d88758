"""The target of a request: what its deciding headers name together.

Few headers decide a request: method, host, content type, action, version, region, the identity header, the
socket's peer and the forwarding header. Callers send the same combinations again and again. `Targets`
resolves a combination once under one bundle to a `Target`: the client's address, the service, the action and
its catalog entry, how the body must be read, the caller where nothing is signed, and, where the head alone
determines the call, the beginning of that call. A request then finds its target with one look-up.

Rule 1: the label of the host names the service, nothing else does. Its port selects nothing, so any port is
        accepted. A shared host names none: there a verified signature does, and until then the target has no
        service (T123).
Rule 2: grammars are closed and matched whole; nothing is trimmed, folded or decoded twice. Carriers that name
        the same action all go on as they came: no reader can find another action, and a signature over them
        stays whole.
Rule 3: a target holds no part of a decision: policies, clock and signatures are consulted for each request.
Rule 4: a version or region that is there and empty says what an absent one says, and so does the text `null`
        in `X-TC-Region` (T122, T133). It still counts as there: beside another value it is a conflict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from camguard.authn.credentials import Caller
from camguard.bounded_cache import BoundedCache
from camguard.bundle.model import Bundle
from camguard.catalog.model import Action
from camguard.enforcement.request_tags import TagPath, cut_tag_paths
from camguard.enforcement.resource_binding import ResourceTemplates
from camguard.enforcement.service_index import (
    NO_REGION,
    REGION_INVALID,
    NamedCall,
    Service,
    ServiceIndex,
)
from camguard.header_names import SERVICE_HEADER
from camguard.policy.keys import REQUEST_TAG, supplied_regions
from camguard.request.attributes_header import Attributes, read_attributes
from camguard.request.body_formats import BodyFormat
from camguard.request.client_address import AddressKey, ClientAddress
from camguard.request.client_address import Method as AddressMethod
from camguard.request.head import RequestHead, TargetKey
from camguard.request.params import ACTION, Params, action_of, parse_params
from camguard.request.params import REGION as REGION_PARAMETER
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import Settings
from camguard.telemetry.record import HOST_LENGTH

_KEY_LENGTH: Final = 1536
_KEYS: Final = 16_384  # targets remembered: some 10 MiB when full, and 2 ms to forget them
_VALUE_COST: Final = 40  # bytes that a value takes besides its own: a line may hold next to nothing

_CONFLICT: Final = rejection("action_conflict")
_QUERY_MALFORMED: Final = rejection("query_malformed")

_ILL_FORMED: Final = b"&"  # fits no shape

# The beginning of a Call: principal, action (`service:Name`), and the address that policies judge.
CallStart: TypeAlias = tuple[str, str, int | None]


class UnsignedCallers(Protocol):
    """Identifies callers where nothing is signed: `camguard.authn.authenticator.Authenticator`."""

    def unsigned(self, identity: bytes | None, peer_trusted: bool, /) -> Caller | Rejection:  # noqa: FBT001
        """Return the caller, or why there is none."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the deciding headers of a request name together.

    rejection: why the request is not well formed or names nothing that is served; the other fields then hold
    what was found until there. body: the format of the body, None where there must be no body; body_limit:
    its bytes at most. action: a name; None where only a form may name it. entry: of the catalog, None where
    it has none. cam_names: for which policies are consulted, `cvm:CreateDisks`, several with a comma between
    them (DEC-68). action_id: `label:Name`, by which policies are consulted, or why they are not. resources:
    None where the action is judged as a whole. caller: the caller if nothing is signed; None where a form may
    be signed. start: the beginning of the call, or why it is refused, where the head alone tells the call
    (nothing signed, nothing in a query or form, no resources); else None. reads_plain: whether also a plain
    body (`is_plain`) must be read. octets: whether the body passes through unread unless a signature
    covers it. judged_ip: the address that policies are compared with; egress_ip: the same where it is another
    than source_ip, else None (T132). fixed_region: the region that no parameter `Region` may contradict; None
    if any `Region` may stand (DEC-64). attributes: the condition keys that headers supply; context: those of
    them that the bundle's policies ask for; None if the policies ask for none. tag_paths: where the request's
    tags stand (DEC-65); reads_tags: whether the bundle's policies ask for them. shared: whether the request
    came over a shared host; service is None until its signature is verified. added: headers that camguard
    adds to those of the request. host: the value of `Host`, cut, for records only.
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
    cam_names: str = ""
    action_id: str | Rejection = ""
    resources: ResourceTemplates | None = None
    region: str = ""
    shared: bool = False
    caller: Caller | Rejection | None = None
    start: CallStart | Rejection | None = None
    reads_plain: bool = True
    octets: bool = False
    egress_ip: int | None = None
    judged_ip: int | None = None
    fixed_region: str | None = None
    attributes: Attributes | None = None
    context: Attributes | None = None
    tag_paths: tuple[TagPath, ...] = ()
    reads_tags: bool = False
    added: tuple[tuple[bytes, bytes], ...] = ()
    host: str | None = None

    @property
    def host_service(self) -> str | None:
        """The service that the host names, None for a shared host (T123). Empty where nothing is served."""
        return None if self.shared else self.service or ""


NO_TARGET: Final = Target()


class Conditions(NamedTuple):
    """The condition keys that matter. listed: those that the attributes header may supply (T137).

    named: the keys that the policies in force name; None stands for every key.
    """

    listed: frozenset[str] = frozenset()
    named: frozenset[str] | None = frozenset()

    def names(self, key: str) -> bool:
        """Tell whether a policy names a key."""
        return self.named is None or key in self.named


class Targets:
    """The targets of requests under one bundle. known: the resolved targets by `TargetKey`."""

    def __init__(
        self,
        services: ServiceIndex,
        addresses: Mapping[AddressKey, ClientAddress],
        callers: UnsignedCallers,
        conditions: Conditions,
    ) -> None:
        self._services = services
        self._addresses = addresses
        self._callers = callers
        self._conditions = conditions
        self.known: BoundedCache[TargetKey, Target] = BoundedCache(
            self._resolve,
            entries=_KEYS,
            longest=_KEY_LENGTH,
            size=lambda key: sum(len(each or "") + _VALUE_COST for each in key),
        )

    def with_parameters(
        self, head: RequestHead, params: Params, action: bytes | None, service: str | None = None
    ) -> Target:
        """Return the target of a request whose query or form may name the action, too.

        params: of query and form together. action: the name on which all carriers agree, None where there is
        none. service: of the verified signature, for a request over a shared host (T123).
        """
        version, region = head.version, head.region
        if head.action is None or any(name == ACTION for name, _ in params):
            # A query or form that names the action names these, too (CAM 14.2), whatever else names them.
            version = _common(params, "Version", version)
            if head.authorization is None:  # under TC3 only the header names the region (DEC-64)
                region = _common(params, REGION_PARAMETER, region)
        key = head.target_key
        if service is None:
            target = self.known[(*key[:4], action, version, region, *key[7:])]
        else:
            host = self._services.host_of(service)
            target = self.known[(*key[:2], host, key[3], action, version, region, *key[7:])]
            target = replace(
                target,
                shared=True,
                added=((SERVICE_HEADER, service.encode()),),
                host=_recorded_host(head.host),
            )
        fixed = target.fixed_region
        if fixed is not None and any(name == REGION_PARAMETER and value != fixed for name, value in params):
            return replace(target, rejection=REGION_INVALID)
        return target

    def with_query(self, head: RequestHead, most: int) -> tuple[Params, Target] | Rejection:
        """Return the parameters of the query and the target of a request that has one, or a rejection.

        most: parameters that a query may have.
        """
        params = parse_params(head.query, most, _QUERY_MALFORMED)
        if isinstance(params, Rejection):
            return params
        action = agreed_action(head.action, params)
        if isinstance(action, Rejection):
            return action
        return params, self.with_parameters(head, params, action)

    def _resolve(self, key: TargetKey) -> Target:
        method, peer, host, content_type, action, version, region, identity, attributes, *forwarded = key
        address = self._addresses[peer, tuple(forwarded)]
        client: Any = {
            "peer": address.peer,
            "peer_trusted": address.trusted,
            "source_ip": address.place,
            "egress_ip": address.egress,
            "judged_ip": address.place if address.egress is None else address.egress,
            "address_method": address.method,
            "host": _recorded_host(host),
        }
        naming = (method, host, content_type, action, version, region)
        supplied = read_attributes(attributes, self._conditions.listed, peer_trusted=address.trusted)
        named: NamedCall | Rejection
        if address.rejection is not None:
            named = address.rejection
        elif isinstance(supplied, Rejection):
            named = supplied
        else:
            named = self._services.named[naming]
        if isinstance(named, Rejection):
            service = self._services.service(host)
            name = service.name or None if isinstance(service, Service) else None
            return Target(rejection=named, service=name, **client)
        form = named.body is not None and named.body.kind == "form"
        caller = None if form else self._callers.unsigned(identity, address.trusted)
        fields = {each.name: getattr(named, each.name) for each in fields_of(named)}
        assert not isinstance(supplied, Rejection)  # noqa: S101 - for mypy: it was returned above
        if named.region and isinstance(named.action_id, str):
            names = named.cam_names.split(",") if named.cam_names else [named.action_id]
            supplied = {**supplied, **supplied_regions(names, named.region)}
        entry = named.entry
        tag_paths = () if entry is None else cut_tag_paths(entry.request_tags)
        own_region = entry is not None and REGION_PARAMETER in entry.parameters
        target = Target(
            fixed_region=None if own_region else named.region or None,
            caller=caller,
            attributes=supplied or None,
            context={key: each for key, each in supplied.items() if self._conditions.names(key)} or None,
            tag_paths=tag_paths,
            reads_tags=bool(tag_paths) and self._conditions.names(REQUEST_TAG),
            **client,
            **fields,
        )
        json = named.body is not None and named.body.kind == "json"
        reads_plain = named.resources is not None or not json or bool(tag_paths)
        octets = named.body is not None and named.body.kind == "octets"
        return replace(target, start=_start(target), reads_plain=reads_plain, octets=octets)


def targets_under(
    bundle: Bundle,
    settings: Settings,
    addresses: Mapping[AddressKey, ClientAddress],
    callers: UnsignedCallers,
    *,
    every_key: bool,
) -> Targets:
    """Return the targets under a bundle. every_key: whether calls supply keys that its policies lack."""
    services = ServiceIndex(bundle.catalog, bundle.owner, settings.hosts, settings.limits)
    named = None if every_key else bundle.evaluator.named_keys
    return Targets(services, addresses, callers, Conditions(settings.attributes.keys, named))


def _recorded_host(host: bytes) -> str:
    """Return the value of `Host` as records have it."""
    return host[:HOST_LENGTH].decode("latin-1")


def _start(target: Target) -> CallStart | Rejection | None:
    """Return the beginning of a call that the head alone tells, or why that call is refused."""
    if target.resources is not None or target.caller is None or target.shared or target.reads_tags:
        return None
    if isinstance(target.caller, Rejection):
        return target.caller
    if isinstance(target.action_id, Rejection):
        return target.action_id
    return target.caller.principal, target.action_id, target.judged_ip


def agreed_action(carried: bytes | None, params: Params) -> bytes | Rejection | None:
    """Return the action on which another carrier and parameters agree, or why they do not (THREATS 3.2).

    carried: what the other carrier names. None, carried or returned: no action is named.
    """
    named = action_of(params)
    if named is None or isinstance(named, Rejection):
        return carried if named is None else named
    found = named.encode()
    return found if carried is None or carried == found else _CONFLICT


def _common(params: Params, name: str, header: bytes | None) -> bytes | None:
    """Return the value on which parameters and header agree; ill-formed text where they differ.

    A parameter that holds the text by which a header names no region is ill-formed, too (T133).
    """
    values = [value.encode() for each, value in params if each == name]
    if NO_REGION in values:
        return _ILL_FORMED
    if header is not None and header not in values:
        values.append(header)
    return b"&".join(values) if values else None
