"""The catalog: which actions exist, how finely each is authorized, whether its source IP can be restricted.

Rule 1: a fact comes from the row of the action itself and is never inferred from its service (DEC-44).
Rule 2: `access` is the table in which the page lists an action, never a safety class (DEC-48).
Rule 3: an action that the catalog does not list does not exist for camguard (DEC-2).
Rule 4: of a service without a page only names are known. Its granularity is unknown, which is not the same as
        operation level (DEC-67).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from camguard.catalog.known_services import NOTHING_KNOWN, KnownServices
from camguard.grammar import placeholders, words
from camguard.suggest import nearest_action_names, nearest_names

ANY: Final = "*"
SEGMENTS: Final = 6  # of a resource template: qcs:project:service:region:account:resource
_LONGEST = 128  # comparing is quadratic in the length; a service and an action together are shorter


class Access(StrEnum):
    """The table of the page that lists the action."""

    READ = "read"
    WRITE = "write"
    LIST = "list"
    OTHER = "other"


class Granularity(StrEnum):
    """The finest level at which something can be authorized (CAM 11.1)."""

    SERVICE = "service"
    OPERATION = "operation"
    RESOURCE = "resource"
    UNKNOWN = "unknown"  # only the name of the action is known (DEC-67)


class IpRestriction(StrEnum):
    """The summary that a service gives of its rows: all, some or none can be restricted by source IP."""

    SUPPORTED = "supported"
    PARTIAL = "partial"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Action:
    """One row of a page.

    resources: the templates as printed, `("*",)` or six segments each with placeholders.
    bind: placeholder -> request parameter, where their names differ.
    match: whether a call must be allowed on all templates or on any one of them.
    alternatives: templates that exclude each other, by the form of the value that their placeholder takes
        (DEC-61). Each group maps the service of a template to that form: `{"cvm": "ins-*"}`.
    read_only: somebody who knows the action confirms that it only reads (DEC-56).
    request_tags: the parameters that carry the tags of a request: `TagSpecification[].Tags` (DEC-65).
    parameters: the action's own parameters that are spelled like a common one, which `Region` alone may be
        (DEC-64).
    unreadable: the templates as printed, if some of them are not six segments. `resources` is empty then,
        and a call without resources is denied.
    """

    service: str
    name: str
    access: Access
    granularity: Granularity
    resources: tuple[str, ...]
    ip_restriction: bool
    description: str = ""
    version: str | None = None
    bind: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    match: Literal["all", "any"] = "all"
    alternatives: tuple[Mapping[str, str], ...] = ()
    read_only: bool = False
    access_guessed: bool = False  # the page has no headings, or there is no page (guessed from the verb)
    unreadable: tuple[str, ...] = ()
    request_tags: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    id: str = field(init=False)  # "aiart:TextToImage"

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"{self.service}:{self.name}")


@dataclass(frozen=True, slots=True)
class Page:
    """The provenance of the rows of a service."""

    title: str
    last_updated: str  # as printed, or ""
    sha256: str


@dataclass(frozen=True, slots=True)
class Service:
    """One service: the single row of a page's first table, and its actions by name."""

    name: str  # the CAM abbreviation
    title: str
    console: bool
    tag_authorization: bool
    granularity: Granularity
    ip_restriction: IpRestriction
    actions: Mapping[str, Action]
    pages: tuple[Page, ...] = ()

    @property
    def names_only(self) -> bool:
        """Whether no page of the service was read, so that only names of its actions are known (DEC-67)."""
        return self.granularity is Granularity.UNKNOWN


@dataclass(frozen=True, slots=True)
class Catalog:
    """All services by abbreviation, and all actions by id (`service:Name`).

    regions: the known regions, for findings only (DEC-60); empty where the catalog has no list of them.
    known: what is known of services by name, those without catalog entries included.
    """

    services: Mapping[str, Service]
    regions: frozenset[str] = frozenset()
    known: KnownServices = NOTHING_KNOWN
    actions: Mapping[str, Action] = field(init=False)

    def __post_init__(self) -> None:
        actions = {a.id: a for s in self.services.values() for a in s.actions.values()}
        object.__setattr__(self, "actions", MappingProxyType(actions))


def segments(template: str) -> tuple[str, ...] | None:
    """Return qcs, project, service, region, account and resource, or None where there are not six.

    The resource may hold further colons. Neither service nor resource is empty.

    >>> segments("qcs::sls:$region:$account:app/$appName")
    ('qcs', '', 'sls', '$region', '$account', 'app/$appName')
    """
    parts = tuple(template.split(":", SEGMENTS - 1))
    if len(parts) != SEGMENTS or parts[0] != "qcs" or not (parts[2] and parts[5]):
        return None
    return parts


def bindable(templates: Iterable[str]) -> frozenset[str]:
    """Return what a catalog file may bind to a parameter: placeholders and bare words of the last segment.

    The other segments are not filled from parameters: service, region and account come from the call.

    >>> sorted(bindable(["qcs::db:${region}:uin/${uin}:instance/${db id}"]))
    ['db id', 'instance']
    """
    names: set[str] = set()
    for template in templates:
        parts = segments(template)
        if parts is not None:
            names.update(found.name for found in placeholders(parts[-1]))
            names.update(words(parts[-1]))
    return frozenset(names)


def nearest_actions(catalog: Catalog, action: str, most: int = 3) -> tuple[str, ...]:
    """Return up to `most` ids (`service:Name`) of the same verb near `action`, best first, letter case aside.

    action: an id, with or without `name/`, or a bare name, which is looked for in every service. Where the
    service does not exist, the name is looked for in the services that read alike, then in all.
    """
    service, _, name = action.removeprefix("name/")[:_LONGEST].rpartition(":")
    known = catalog.services
    places = (service,) if service in known else nearest_names(service, known) or tuple(known)
    # Several services may have the same name, and one service may have names that differ in case only.
    ids: dict[str, list[str]] = {}
    for place in places:
        for listed in known[place].actions:
            ids.setdefault(listed.lower(), []).append(f"{place}:{listed}")
    listed_names = (listed for place in places for listed in known[place].actions)
    near = nearest_action_names(name, listed_names, most)
    return tuple(found for match in near for found in ids[match.lower()])[:most]
