"""Which action of which service a request names: header, query and form must agree (threats 3.2, 3.3).

Rule 1: the host names the service, nothing else does. Its port selects nothing, so any port will do: a
        gateway's own domain has one more often than not.
Rule 2: grammars are closed and matched whole; nothing is trimmed, folded or decoded twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from camguard.catalog.model import Action, Catalog, Granularity
from camguard.edge.memo import Memo
from camguard.edge.params import Params, action_of
from camguard.edge.refusal import refused
from camguard.edge.resources import Templates, cut_templates
from camguard.engine.decision import Decision
from camguard.policy.resources import Owner

ACTION_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9]{0,63}")
REGION = re.compile(rb"[a-z]{2}-[a-z0-9-]{1,60}")
VERSION = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_HOST_LENGTH: Final = 253
_PORTS: Final = range(1, 65536)
_SERVICE = r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)"
_PLACE = r"(?:\.intl|(?:\.internal)?(?:\.[a-z]{2}-[a-z0-9-]{1,60})?)"  # cam-semantics 14.1

_HOST_MISSING: Final = refused("host_missing")
_HOST_INVALID: Final = refused("host_invalid")
_SERVICE_UNKNOWN: Final = refused("service_unknown")
_CONFLICT: Final = refused("action_conflict")


class Site:
    """One service as requests name it.

    actions: by name, as bytes, so that a known name is found without being decoded.
    """

    __slots__ = ("actions", "name")

    def __init__(self, name: str, actions: Mapping[str, Action]) -> None:
        self.name = name
        self.actions: Mapping[bytes, Action] = {entry.name.encode(): entry for entry in actions.values()}


class Directory:
    """What requests may name: the services of one catalog by `Host` value, their actions, and whose they are.

    owner: the account that resources belong to.
    """

    def __init__(self, catalog: Catalog, owner: Owner, roots: tuple[str, ...]) -> None:
        self._owner = owner
        self._sites = {name.lower(): Site(name, each.actions) for name, each in catalog.services.items()}
        domains = "|".join(re.escape(root.lower()) for root in roots)
        self._shape = re.compile(rf"{_SERVICE}{_PLACE}\.(?:{domains})")
        self._templates: dict[str, Templates] = {}
        self.hosts: Memo[bytes, Site | Decision] = Memo(self.site)

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


def agreed(carried: bytes | None, params: Params) -> bytes | Decision | None:
    """Return the action that another carrier and these parameters name, or why they do not agree (3.2).

    carried: what the other carrier names, None where it names none.
    """
    param = action_of(params)
    if param is None or isinstance(param, Decision):
        return carried if param is None else param
    found = param.encode()
    return found if carried is None or carried == found else _CONFLICT


def word(grammar: re.Pattern[bytes], value: bytes) -> str | None:
    """Return a value as text if the whole of it is in a grammar of ASCII characters."""
    return value.decode("ascii") if grammar.fullmatch(value) else None
