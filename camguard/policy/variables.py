"""`${uin}` and its like: where they may stand, and what they become (cam-semantics 9).

Rule 1: a value is inserted into the parsed structure, never into text that is parsed later (DEC-33).
Rule 2: a variable without a value makes its pattern or value unknown (DEC-34).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

NAMES = frozenset(
    ("uin", "owner_uin", "app_id", "qcs:principal_tag_key", "qcs:principal_tag_value"),
)
_VARIABLE = re.compile(r"\${([^}]*)}")

# Literal text and variable names in turn: ("instance/", "uin", "-x"). Text without variables is a plain str.
Template: TypeAlias = tuple[str, ...]
Bindings: TypeAlias = Mapping[str, str]  # variable name -> digits; a name not in it has no value


def read_template(text: str) -> str | Template | None:
    """Return the text itself, its template if it holds variables, or None if one is unknown or broken."""
    if "${" not in text:
        return text
    parts = tuple(_VARIABLE.split(text))
    if any("${" in part for part in parts) or not NAMES.issuperset(parts[1::2]):
        return None
    return parts


def fill(template: str | Template, bindings: Bindings) -> str | None:
    """Return the text with each variable replaced by its value, or None if one has no value."""
    if isinstance(template, str):
        return template
    try:
        return "".join(bindings[p] if i % 2 else p for i, p in enumerate(template))
    except KeyError:
        return None
