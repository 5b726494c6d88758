"""The inventory of resource tags, `resource_tags.json` of a bundle: which tags each resource has (DEC-66).

Rule 1: a key is one resource, never a pattern. Keys are brought to one spelling, as resources are compared
        (CAM 5.3): the account by its uin, the region by its long name, without project. Two keys that are
        then equal are an error of the bundle, and so is every entry that is not well formed.
Rule 2: a resource that the inventory does not list has no known tags: its tags are not supplied.
Rule 3: resources with the same tags share one mapping, so that a call on many of them compares each mapping
        once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from camguard.engine.call import ListedTags
from camguard.errors import Problem
from camguard.policy.patterns import STAR
from camguard.policy.resources import REGION_ALIASES, SEGMENTS, Owner, Resource
from camguard.strict_json import Check, Fault, ObjectReader, child, is_text

Tags: TypeAlias = Mapping[str, str]

CODE: Final = "ResourceTagsError"
_PROJECT = re.compile(r"(?:(?:id/)?[0-9]+)?")
_SERVICE = re.compile(r"[a-z0-9-]{1,63}")
_REGION = re.compile(r"[a-z0-9-]{0,63}")
_ACCOUNT = re.compile(r"(?:(?:uin|uid)/[0-9]{0,20})?")
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True, eq=False)
class Inventory:
    """The tags of the resources of one account, by resource in one spelling (Rule 1)."""

    owner: Owner
    tags: Mapping[str, Tags]

    def tags_of(self, resource: str | None) -> Tags | None:
        """Return the tags of a call's resource, or None if they are not known (Rule 2)."""
        if resource is None:
            return None
        place = Resource.of(resource)
        return None if place is None else self.tags.get(_spelled(place, self.owner))


def _spelled(place: Resource, owner: Owner) -> str:
    region = REGION_ALIASES.get(place.region, place.region)
    return f"{place.service}:{region}:{owner.account(place.account)}:{place.path}"


def _fault(text: str) -> str | None:
    """Return why a text is not the name of one resource, or None if it is."""
    parts = text.split(":", SEGMENTS - 1)
    if len(parts) != SEGMENTS or parts[0] != "qcs":
        return "is not six segments qcs:project:service:region:account:resource"
    if STAR in text:
        return "contains a wildcard; the inventory lists each resource by itself"
    _, project, service, region, account, path = parts
    for name, shape, part in (
        ("project", _PROJECT, project),
        ("service", _SERVICE, service),
        ("region", _REGION, region),
        ("account", _ACCOUNT, account),
    ):
        if not shape.fullmatch(part):
            return f"has {part[:_SHOWN]!r} as its {name} segment"
    return None if path else "has an empty last segment"


def _tag_faults(value: Any) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield (), "must be an object of tags, each a key and a string"
        return
    for key, each in value.items():
        if not key:
            yield (key,), "a tag has an empty key"
        elif not is_text(each):
            yield (key,), "must be a string"


_TAGS: Final[Check] = _tag_faults


def read_inventory(raw: Any, source: str, owner: Owner) -> Inventory | tuple[Problem, ...]:
    """Return the inventory in a tree of resource_tags.json that `read_json` returned, or all its problems."""
    reader = ObjectReader(source, CODE)
    written: dict[str, str] = {}  # spelled -> the key as it was written
    tags: dict[str, Tags] = {}
    shared: dict[frozenset[tuple[str, str]], Tags] = {}  # Rule 3
    for text, value in reader.object(raw, "").items():
        at = child("", text)
        fault = _fault(text)
        place = Resource.of(text)
        if fault is not None or place is None:
            reader.wrong(at, f"{text[:_SHOWN]!r} {fault}")
            continue
        if not reader.passes(value, at, _TAGS):
            continue
        spelled = _spelled(place, owner)
        if spelled in written:
            reader.wrong(at, f"{text[:_SHOWN]!r} is the same resource as {written[spelled][:_SHOWN]!r}")
        written[spelled] = text
        tags[spelled] = shared.setdefault(frozenset(value.items()), ListedTags(value))
    return tuple(reader.problems) or Inventory(owner, MappingProxyType(tags))
