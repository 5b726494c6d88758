"""Which action of which service a request names: header, query and form must agree.

Source: THREATS 3.2, THREATS 3.3.

Rule 1: the host names the service, nothing else does. Its port selects nothing, so any port will do: a
        gateway's own domain has one more often than not.
Rule 2: grammars are closed and matched whole; nothing is trimmed, folded or decoded twice.
        Carriers that name the same action all go on as they came: no reader can find another one, and a
        signature over header or query stays whole.
Rule 3: callers say the same few things again and again. What the headers that name something mean together
        is settled once for each combination.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from camguard import grammar as shapes
from camguard.bounded_cache import BoundedCache
from camguard.catalog.model import Action, Catalog, Granularity
from camguard.enforcement.resource_binding import Templates, cut_templates
from camguard.engine.decision import Decision
from camguard.policy.resources import Owner
from camguard.request.body_formats import Content, content_of
from camguard.request.params import Params, action_of
from camguard.request.rejection import refused
from camguard.settings.model import LimitsSettings

ACTION_NAME: Final = shapes.of_bytes(shapes.ACTION_NAME)
REGION: Final = shapes.of_bytes(shapes.REGION)
VERSION: Final = shapes.of_bytes(shapes.VERSION)
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_HOST_LENGTH: Final = 253
_LONGEST_NAMING: Final = 512
_PORTS: Final = range(1, 65536)
_SERVICE = r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)"
_PLACE = rf"(?:\.intl|(?:\.internal)?(?:\.{shapes.REGION.pattern})?)"  # CAM 14.1

_HOST_MISSING: Final = refused("host_missing")
_HOST_INVALID: Final = refused("host_invalid")
_SERVICE_UNKNOWN: Final = refused("service_unknown")
_CONFLICT: Final = refused("action_conflict")
_ACTION_MISSING: Final = refused("action_missing")
_ACTION_INVALID: Final = refused("action_invalid")
_REGION_INVALID: Final = refused("region_invalid")
_VERSION_INVALID: Final = refused("version_invalid")
_CONTENT_TYPE: Final = refused("content_type")

# Method, host, content type, action, version and region, as a head holds them.
Naming: TypeAlias = tuple[str, bytes, bytes | None, bytes | None, bytes | None, bytes | None]


class Site:
    """One service as requests name it. actions: by name, as bytes."""

    __slots__ = ("actions", "name")

    def __init__(self, name: str, actions: Mapping[str, Action]) -> None:
        self.name = name
        self.actions: Mapping[bytes, Action] = {entry.name.encode(): entry for entry in actions.values()}


@dataclass(frozen=True, slots=True)
class Named:
    """What the head of a request names.

    content: of the body, None where there must be none. limit: bytes that it may have. action: its name, None
    where only a form may name it. entry: the catalog's, None where it has none. templates: of its resources,
    None where it is judged as a whole. version, region: None where absent.
    """

    service: str
    content: Content | None
    limit: int
    action: str | None
    entry: Action | None
    templates: Templates | None
    version: str | None
    region: str | None


class Directory:
    """What requests may name: the services of one catalog by `Host` value, their actions, and whose they are.

    owner: the account that resources belong to. named: what combinations of headers mean.
    """

    def __init__(
        self, catalog: Catalog, owner: Owner, roots: tuple[str, ...], limits: LimitsSettings
    ) -> None:
        self._owner = owner
        self._limits = limits
        self._sites = {name.lower(): Site(name, each.actions) for name, each in catalog.services.items()}
        domains = "|".join(re.escape(root.lower()) for root in roots)
        self._shape = re.compile(rf"{_SERVICE}{_PLACE}\.(?:{domains})")
        self._templates: dict[str, Templates] = {}
        self.named: BoundedCache[Naming, Named | Decision] = BoundedCache(
            self.name, longest=_LONGEST_NAMING, size=lambda naming: sum(len(each or b"") for each in naming)
        )

    def name(self, naming: Naming) -> Named | Decision:
        """Return what these headers name, or the first reason why they may not."""
        method, host, content_type, action, version, region = naming
        site = self.site(host)
        content = content_of(content_type) if content_type is not None else None
        for part in (site, content):
            if isinstance(part, Decision):
                return part
        if content is None and method == "POST":
            return _CONTENT_TYPE
        for value, grammar, refusal in (
            (version, VERSION, _VERSION_INVALID),
            (region, REGION, _REGION_INVALID),
            (action, ACTION_NAME, _ACTION_INVALID if action else _ACTION_MISSING),
        ):
            if value is not None and not grammar.fullmatch(value):
                return refusal
        assert isinstance(site, Site)  # noqa: S101 - for mypy: a refusal was returned above
        body = content if method == "POST" and isinstance(content, Content) else None
        form = body is not None and body.kind == "form"
        if action is None and not form:
            return _ACTION_MISSING
        limit = 0 if body is None else self._limits.form_bytes if form else self._limits.body_bytes
        entry = site.actions.get(action) if action is not None else None
        templates = self.templates(entry)
        return Named(site.name, body, limit, _text(action), entry, templates, _text(version), _text(region))

    def site(self, host: bytes) -> Site | Decision:
        """Return the service that a `Host` value names, or why none."""
        if not host:
            return _HOST_MISSING
        match = _HOST.fullmatch(host)
        if match is None or len(match[1]) > _HOST_LENGTH or (match[2] and int(match[2]) not in _PORTS):
            return _HOST_INVALID
        named = self._shape.fullmatch(match[1].decode("ascii").lower())
        site = self._sites.get(named[1]) if named else None
        return _SERVICE_UNKNOWN if site is None else site

    def templates(self, entry: Action | None) -> Templates | None:
        """Return what names the resources of an action; None where it is judged as a whole."""
        if entry is None or entry.granularity is not Granularity.RESOURCE:
            return None
        found = self._templates.get(entry.id)
        if found is None:
            found = self._templates[entry.id] = cut_templates(entry, self._owner)
        return found


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii")


def agreed(carried: bytes | None, params: Params) -> bytes | Decision | None:
    """Return the action that another carrier and these parameters name, or why they do not agree.

    Source: THREATS 3.2.

    carried: what the other carrier names, None where it names none.
    """
    param = action_of(params)
    if param is None or isinstance(param, Decision):
        return carried if param is None else param
    found = param.encode()
    return found if carried is None or carried == found else _CONFLICT
