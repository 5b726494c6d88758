"""The attributes that a call supplies for a condition key: the policy information point (CAM 8.2, DEC-30).

Rule 1: None means that the call does not supply the key, and makes the clause unknown. An empty sequence
        means that the call supplies the key and that it is absent.
Rule 2: a time that is not an instant (nan, an infinity) is not supplied (U2).
Rule 3: address, time and tags come from the call's own fields, and `qcs:read_only_action` from the catalog,
        never from the `context` of the call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from types import MappingProxyType
from typing import Any, TypeAlias

from camguard.catalog.model import Access, Action, Granularity
from camguard.engine.call import Call, ListedTags
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, READ_ONLY, REQUEST_TAG, TAGS, TIME
from camguard.policy.model import Clause
from camguard.policy.patterns import Bindings
from camguard.policy.resources import Owner
from camguard.policy.values import Truth

# First words of actions that only read, wherever the page lists them under read or list (DEC-56).
READING_WORDS = frozenset(
    ["Describe", "Get", "List", "Query", "Search", "Check", "Inquire", "Count", "Export", "Download"],
)
READERS = 4096  # keys whose readers are kept
FIRST_WORD = re.compile(r"[A-Z]?[a-z]*")


@dataclass(frozen=True, slots=True)
class ActionTraits:
    """The catalog entry of a CAM name that policies are asked for, and which condition keys a call supplies.

    label: the action as its host label names it, where policies are asked for other names only (DEC-68).
    further: the other names that are asked for one call; every name must be allowed, and none denied.
    """

    entry: Action
    supports_ip: bool  # the cloud surely evaluates qcs:ip for the action, or camguard is told to do so
    supports_tags: bool  # the service supports authorization by tag
    in_catalog: bool  # False: the name is well-formed, and the catalog does not list it
    label: Action | None
    further: tuple[ActionTraits, ...] = ()

    @property
    def cam_actions(self) -> tuple[ActionTraits, ...]:
        """All names that policies are asked for."""
        return (self, *self.further)

    @property
    def has_resources(self) -> bool:
        """Whether the name is authorized by resource; no other name has resources (CAM 11.2)."""
        return self.entry.granularity is Granularity.RESOURCE

    @property
    def resource_template(self) -> str | None:
        """A template of the resources that a call must name; None where a call need not name any (DEC-68)."""
        entry = next((each.entry for each in self.cam_actions if each.has_resources), None)
        return entry.resources[0] if entry is not None and entry.resources else None

    @property
    def lists_tags(self) -> bool:
        """Whether an inventory may list the tags of the resources of a call (DEC-66)."""
        return any(each.supports_tags and each.has_resources for each in self.cam_actions)


def clause_truth_of(clause: Clause, call: Call, traits: ActionTraits, bindings: Bindings) -> Truth:
    """Return whether one clause holds for a call.

    A clause on the address of an action whose page does not support address restriction is judged in two
    worlds: the cloud passes the address, or the key is absent. Where they differ, it is unknown (DEC-62).
    """
    truth = clause_truth(clause, values_of(clause.key, call, traits), bindings)
    if clause.key != IP or traits.supports_ip:
        return truth
    return truth if truth is clause.if_exist else None


Reader: TypeAlias = Callable[[Call, ActionTraits], Sequence[Any] | None]


@lru_cache(READERS)
def reader_of(key: str) -> Reader:
    """Return the function from a call to the values of a key, or to None if the call does not supply it."""
    if key in _OF_FIELDS:
        return _OF_FIELDS[key]
    base, slash, name = key.partition("/")
    if base not in TAGS:
        return lambda call, _: None if call.context is None else call.context.get(key)
    requested = base == REQUEST_TAG

    def tags_of(call: Call, traits: ActionTraits) -> Sequence[str] | None:
        tags = call.request_tags if requested else call.resource_tags
        if tags is None or not traits.supports_tags:
            return None
        if type(tags) is ListedTags and not traits.has_resources:
            return None  # the tags are supplied for another name that policies are asked for (CAM 11.5)
        if not slash:
            return _pairs(tags)
        return (tags[name],) if name in tags else ()

    return tags_of


def values_of(key: str, call: Call, traits: ActionTraits) -> Sequence[Any] | None:
    """Return the values of a key, or None if this call does not supply it."""
    return reader_of(key)(call, traits)


def read_only_values(entry: Action) -> tuple[str] | None:
    """Return the value of `qcs:read_only_action` for an action, or None if the catalog does not supply it.

    "1" where the page lists the action under read or list, and the first word of its name, or `read_only` in
    its entry, confirms it; "0" where the page lists it under write. A guessed access confirms nothing
    (DEC-48, DEC-56).
    """
    if entry.access_guessed or entry.access is Access.OTHER:
        return None
    if entry.access is Access.WRITE:
        return ("0",)
    word = FIRST_WORD.match(entry.name)
    return ("1",) if entry.read_only or (word and word[0] in READING_WORDS) else None


def _pairs(tags: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return each tag as `key&value`, or None if a tag itself contains `&` (CAM 8.2)."""
    pairs = tuple([f"{key}&{value}" for key, value in tags.items()])
    # One `&` in each pair, and one between two of them.
    return None if pairs and "&".join(pairs).count("&") != 2 * len(pairs) - 1 else pairs


def _address_of(call: Call, _: ActionTraits) -> tuple[int] | None:
    return None if call.source_ip is None else (call.source_ip,)


def _time_of(call: Call, _: ActionTraits) -> tuple[float] | None:
    return (call.time,) if call.time is not None and -inf < call.time < inf else None


def _access_of(_: Call, traits: ActionTraits) -> tuple[str] | None:
    return read_only_values(traits.entry)


_OF_FIELDS: Mapping[str, Reader] = MappingProxyType({IP: _address_of, TIME: _time_of, READ_ONLY: _access_of})


def bindings_of(principal: str, owner: Owner) -> Bindings:
    """Return the variables that have a value for a principal; values are digits (CAM 9, DEC-33, DEC-34)."""
    kind, _, name = principal.partition("/")
    values = {"owner_uin": owner.uin, "app_id": owner.app_id, "uin": name if kind == "uin" else ""}
    return {name: value for name, value in values.items() if value.isascii() and value.isdigit()}
