"""A policy document after parsing: frozen values with nothing left to parse (CAM 3).

Rule 1: evaluating a `Policy` never raises.
Rule 2: the values of one clause are combined by OR (by NOR where the operator is negated), the clauses of a
        condition by AND (CAM 7.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from camguard.ipset import IpSet
from camguard.policy.operators import Operator
from camguard.policy.patterns import Template


class Effect(StrEnum):
    """What a statement does when it applies."""

    ALLOW = "allow"
    DENY = "deny"

    __hash__ = str.__hash__  # that of Enum is a function of Python, and rules are keys of dictionaries


class Qualifier(StrEnum):
    """How the several values of one key are combined (CAM 7.4)."""

    NONE = ""
    ANY = "for_any_value"
    ALL = "for_all_value"


@dataclass(frozen=True, slots=True)
class ActionPattern:
    """`service:Name` with stars, without the prefix `name/`, which has no effect (CAM 4).

    `*` alone is service `*` and name `*`.
    """

    text: str  # as written
    service: str
    name: str
    where: str = field(default="", compare=False)  # "aiart-full.json#/statement/0/action/1"


@dataclass(frozen=True, slots=True)
class ResourcePattern:
    """Six segments (CAM 5.2), of which the project is not kept.

    path: the last segment, as literal text or as a template with variables.
    """

    text: str  # as written
    service: str
    region: str
    account: str
    path: str | Template
    where: str = field(default="", compare=False)  # "aiart-full.json#/statement/0/resource/1"


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: a key of compiled tables
class Clause:
    """One condition key under one operator.

    wanted: for each value the result of `operator.want`, or a template if the value contains variables.
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
    where: str  # "aiart-full.json#/statement/0/condition/ip_equal/qcs:ip"
    listed: bool  # False: one value, without a list around it

    def placed(self) -> Iterator[tuple[str, Any, str]]:
        """Yield each value as written, as wanted, and its place."""
        for i, (text, wanted) in enumerate(zip(self.values, self.wanted, strict=True)):
            yield text, wanted, f"{self.where}/{i}" if self.listed else self.where


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity, as its clauses are
class Statement:
    """One statement. any_resource: whether the literal `*` is among its resources; patterns: the others."""

    id: str  # "aiart-full#0"
    effect: Effect
    actions: tuple[ActionPattern, ...]
    any_resource: bool
    patterns: tuple[ResourcePattern, ...]
    condition: tuple[Clause, ...]
    where: str  # "aiart-full.json#/statement/0"


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: a session policy is a cache key
class Policy:
    """One document: its statements in order."""

    id: str
    source: str
    statements: tuple[Statement, ...]
