"""What is doubtful in a policy that loads: findings with a code, a place, and what to write instead.

Rule 1: what weakens a deny or widens an allow beyond what its author can have meant is an error and stops
        activation; the rest warns (threats T89, design 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from camguard.catalog.model import Catalog
from camguard.policy.model import Policy


class Severity(StrEnum):
    """Whether a finding stops activation."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One doubtful place. `instead`: what to write there, or empty."""

    code: str
    severity: Severity
    where: str
    message: str
    instead: str = ""


def lint(policy: Policy, catalog: Catalog, *, ip_support: str = "catalog") -> Iterator[Finding]:
    """Yield the findings of one policy."""
    del policy, catalog, ip_support
    yield from ()
