"""What the naming headers of a request come to: service, action, catalog entry, body rule and region.

The host names the service by its label; content type, action, version and region then say which entry of the
catalog the request calls, and how its body must be read. Callers send the same combinations again and again,
so each is resolved once under one catalog.

Rule 1: the grammars are closed and matched whole. The first reason why a combination names nothing that is
        served is the rejection of the request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from camguard import grammar
from camguard.bounded_cache import BoundedCache
from camguard.catalog.labels import ApiAction, api_actions
from camguard.catalog.model import Action, Catalog, Granularity
from camguard.enforcement.resource_binding import ResourceTemplates, cut_templates, join_templates
from camguard.policy.resources import Owner
from camguard.request.body_formats import BodyFormat, body_format
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import HostsSettings, LimitsSettings

ACTION_NAME: Final = grammar.of_bytes(grammar.ACTION_NAME)
REGION: Final = grammar.of_bytes(grammar.REGION)
VERSION: Final = grammar.of_bytes(grammar.VERSION)
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_HOST_LENGTH: Final = 253
_PORTS: Final = range(1, 65536)

_NAMING_LENGTH: Final = 512  # bytes of a combination of naming headers that is remembered

_HOST_MISSING: Final = rejection("host_missing")
_HOST_INVALID: Final = rejection("host_invalid")
_SERVICE_UNKNOWN: Final = rejection("service_unknown")
_ACTION_MISSING: Final = rejection("action_missing")
_ACTION_INVALID: Final = rejection("action_invalid")
REGION_INVALID: Final = rejection("region_invalid")
_VERSION_INVALID: Final = rejection("version_invalid")
_CONTENT_TYPE: Final = rejection("content_type")
VERSION_UNKNOWN: Final = rejection("version_unknown")

NO_REGION: Final = b"null"  # in X-TC-Region, from the Node SDK of the international site (T133)

# Method, host, content type, action, version and region, as a head has them.
Naming: TypeAlias = tuple[str, bytes, bytes | None, bytes | None, bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class Service:
    """A service as requests name it: by the label of its host. actions: by name, as bytes."""

    name: str
    actions: Mapping[bytes, ApiAction]


_SHARED_HOST: Final = Service("", {})


@dataclass(frozen=True, slots=True)
class NamedCall:
    """What the naming headers come to: the middle of a `Target`."""

    service: str | None
    body: BodyFormat | None
    body_limit: int
    action: str | None
    entry: Action | None
    cam_names: str
    action_id: str | Rejection
    resources: ResourceTemplates | None
    region: str
    shared: bool


class ServiceIndex:
    """The services of one catalog by `Host` value, and what naming headers come to.

    hosts: the domains below which a host names a service, and the hosts that name none. owner: the account
    that resources belong to. named: what a combination of headers names, remembered.
    """

    def __init__(self, catalog: Catalog, owner: Owner, hosts: HostsSettings, limits: LimitsSettings) -> None:
        self._owner = owner
        self._limits = limits
        self._services = {
            label: Service(label, {name.encode(): action for name, action in actions.items()})
            for label, actions in api_actions(catalog).items()
        }
        self._pattern = grammar.service_hosts(root.lower() for root in hosts.roots)
        self._shared = frozenset(hosts.shared)
        self._root = hosts.roots[0]
        self._templates: dict[str, ResourceTemplates] = {}
        self.named: BoundedCache[Naming, NamedCall | Rejection] = BoundedCache(
            self._name, longest=_NAMING_LENGTH, size=lambda naming: sum(len(each or b"") for each in naming)
        )

    def service(self, host: bytes) -> Service | Rejection:
        """Return the service that a `Host` value names, or why it names none."""
        if not host:
            return _HOST_MISSING
        match = _HOST.fullmatch(host)
        if match is None or len(match[1]) > _HOST_LENGTH or (match[2] and int(match[2]) not in _PORTS):
            return _HOST_INVALID
        name = match[1].decode("ascii").lower()
        if name in self._shared:
            return _SHARED_HOST
        label = self._pattern.fullmatch(name)
        service = self._services.get(label[1]) if label else None
        return _SERVICE_UNKNOWN if service is None else service

    def host_of(self, service: str) -> bytes:
        """Return a host that names a service. service: as a verified signature names it (T123)."""
        return f"{service}.{self._root}".encode("ascii")

    def _name(self, naming: Naming) -> NamedCall | Rejection:
        """Return what these headers name, or the first reason why the request is rejected."""
        method, host, content_type, action, version, region = naming
        if region == NO_REGION:
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
            (region or None, REGION, REGION_INVALID),
            (action, ACTION_NAME, _ACTION_INVALID if action else _ACTION_MISSING),
        ):
            if value is not None and not shape.fullmatch(value):
                return refused
        body = announced if method == "POST" else None
        form = body is not None and body.kind == "form"
        if action is None and not form:
            return _ACTION_MISSING
        limit = 0 if body is None else self._limits.form_bytes if form else self._limits.body_bytes
        found = service.actions.get(action) if action is not None else None
        entry = found.entry if found is not None else None
        name = _text(action)
        shared = service is _SHARED_HOST
        return NamedCall(
            None if shared else service.name,
            body,
            limit,
            name,
            entry,
            found.names if found is not None else "",
            _SERVICE_UNKNOWN if shared else self._action_id(service.name, name, entry, _text(version)),
            None if found is None else self.templates(found),
            _text(region) or "",
            shared,
        )

    def _action_id(
        self, service: str, action: str | None, entry: Action | None, version: str | None
    ) -> str | Rejection:
        if entry is None:
            return f"{service}:{action}"  # the engine refuses it, or judges it where the settings say so
        fits = entry.version is None or not version or entry.version == version
        return entry.id if fits else VERSION_UNKNOWN

    def templates(self, action: ApiAction) -> ResourceTemplates | None:
        """Return what names the resources of an action, None where the action is judged as a whole.

        Where policies are asked for several names, the call has the resources of all of them, and every name
        must be allowed for every resource (DEC-68).
        """
        entries = [each for each in action.cam_actions if each.granularity is Granularity.RESOURCE]
        if not entries:
            return None
        found = self._templates.get(action.entry.id)
        if found is None:
            cut = [cut_templates(entry, self._owner) for entry in entries]
            found = self._templates[action.entry.id] = join_templates(
                cut, whole=len(entries) == len(action.cam_actions)
            )
        return found


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii")
