"""The catalog: which actions exist, how finely each is authorized, whether its source IP can be restricted.

Rule 1: a fact comes from the row of the action itself and is never inferred from its service (DEC-44).
Rule 2: `access` is the table in which the page lists an action, never a safety class (DEC-48).
Rule 3: an action that the catalog does not list does not exist for camguard (DEC-2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal


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
    unreadable: the templates as printed, when they are not all six segments. `resources` is empty then,
        and a call without resources passes nowhere.
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
    access_guessed: bool = False  # the page had lost its headings
    unreadable: tuple[str, ...] = ()
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


@dataclass(frozen=True, slots=True)
class Catalog:
    """All services by abbreviation, and all actions by id (`service:Name`)."""

    services: Mapping[str, Service]
    actions: Mapping[str, Action] = field(init=False)

    def __post_init__(self) -> None:
        actions = {a.id: a for s in self.services.values() for a in s.actions.values()}
        object.__setattr__(self, "actions", MappingProxyType(actions))
