"""A policy document, parsed: frozen values with nothing left to parse (cam-semantics 3).

Rule 1: a document that became a `Policy` never raises at a call.
Rule 2: values of one clause are ORed (NORed when negated), clauses ANDed (7.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from camguard.ipset import IpSet
from camguard.policy.operators import Operator
from camguard.policy.variables import Template


class Effect(StrEnum):
    """What a statement does when it applies."""

    ALLOW = "allow"
    DENY = "deny"


class Qualifier(StrEnum):
    """How the values of a key that holds several are taken together (7.4)."""

    NONE = ""
    ANY = "for_any_value"
    ALL = "for_all_value"


@dataclass(frozen=True, slots=True)
class ActionPattern:
    """`service:Name` with stars, the meaningless `name/` taken off (4).

    `*` alone is service `*` and name `*`.
    """

    text: str
    service: str
    name: str


@dataclass(frozen=True, slots=True)
class ResourcePattern:
    """Six segments (5.2). `path` is the last one: literal text, or a template with variables."""

    text: str
    service: str
    region: str
    account: str
    path: str | Template


@dataclass(frozen=True, slots=True, eq=False)  # compared as objects: a key of compiled tables
class Clause:
    """One key under one operator.

    wanted: for each value what `operator.want` made of it, or a template where it holds variables.
    addresses: the union of the wanted ranges of an `ip_*` operator, else None.
    """

    text: str  # the operator as written: "for_any_value:string_equal_if_exist"
    operator: Operator
    qualifier: Qualifier
    if_exist: bool
    key: str
    values: tuple[str, ...]  # as written
    wanted: tuple[Any, ...]
    addresses: IpSet | None
    where: str  # JSON Pointer within the document


@dataclass(frozen=True, slots=True, eq=False)  # compared as objects, as its clauses are
class Statement:
    """One statement. any_resource: the literal `*` is among its resources; patterns: the others."""

    id: str  # "aiart-full#0"
    effect: Effect
    actions: tuple[ActionPattern, ...]
    any_resource: bool
    patterns: tuple[ResourcePattern, ...]
    condition: tuple[Clause, ...]
    where: str  # "aiart-full.json#/statement/0"


@dataclass(frozen=True, slots=True, eq=False)  # compared as objects: a document is a cache key
class Policy:
    """One document: its statements in order, and the text it came from."""

    id: str
    source: str
    statements: tuple[Statement, ...]
    text: str = field(repr=False)
