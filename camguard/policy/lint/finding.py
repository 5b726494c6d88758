"""What lint says: a finding, and the row of the table of codes that it is one of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


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


class Code(NamedTuple):
    """One row of the table. title: the finding in a few words; help: why it matters, and its source."""

    id: str
    severity: Severity
    title: str
    help: str
