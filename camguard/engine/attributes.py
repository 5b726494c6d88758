"""The attributes that a call supplies for a condition key: the policy information point (CAM 8.2, DEC-30).

Rule 1: None means that the call does not supply the key, and makes the clause unknown. An empty sequence
        means that the call supplies the key and that it is absent.
Rule 2: a time that is not an instant (nan, an infinity) is not supplied (U2).
Rule 3: address, time and tags come from the call's own fields, never from its `context`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from camguard.catalog.model import Action
from camguard.engine.call import Call
from camguard.policy.keys import IP, REQUEST_TAG, TAGS, TIME
from camguard.policy.patterns import Bindings
from camguard.policy.resources import Owner


@dataclass(frozen=True, slots=True)
class ActionTraits:
    """The catalog entry of a CAM name that policies are asked for, and which condition keys a call supplies.

    label: the action as its host label names it, where policies are asked for other names only (DEC-68).
    further: the other names that are asked for one call; every name must be allowed, and none denied.
    """

    entry: Action
    supports_ip: bool  # qcs:ip is evaluated for the action
    supports_tags: bool  # the service supports authorization by tag
    in_catalog: bool  # False: the name is well-formed, and the catalog does not list it
    label: Action | None = None
    further: tuple[ActionTraits, ...] = ()

    @property
    def asked(self) -> tuple[ActionTraits, ...]:
        """All names that policies are asked for."""
        return (self, *self.further)


def values_of(key: str, call: Call, traits: ActionTraits) -> Sequence[Any] | None:
    """Return the values of a key, or None if this call does not supply it."""
    if key == IP:
        return (call.source_ip,) if traits.supports_ip and call.source_ip is not None else None
    if key == TIME:
        return (call.time,) if call.time is not None and -inf < call.time < inf else None
    base, slash, name = key.partition("/")
    if base in TAGS:
        tags = call.request_tags if base == REQUEST_TAG else call.resource_tags
        if tags is None or not traits.supports_tags:
            return None
        if slash:
            return (tags[name],) if name in tags else ()
        return _pairs(tags)
    return None if call.context is None else call.context.get(key)


def _pairs(tags: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return each tag as `key&value`, or None if a tag itself contains `&` (CAM 8.2)."""
    if any("&" in key or "&" in value for key, value in tags.items()):
        return None
    return tuple(f"{key}&{value}" for key, value in tags.items())


def bindings_of(principal: str, owner: Owner) -> Bindings:
    """Return the variables that have a value for a principal; values are digits (CAM 9, DEC-33, DEC-34)."""
    kind, _, name = principal.partition("/")
    values = {"owner_uin": owner.uin, "app_id": owner.app_id, "uin": name if kind == "uin" else ""}
    return {name: value for name, value in values.items() if value.isascii() and value.isdigit()}
