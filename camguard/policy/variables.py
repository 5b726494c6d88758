"""Variables such as `${uin}`: where they are allowed, and which values they take (CAM 9).

Rule 1: a value is inserted into a parsed pattern, never into text that is parsed afterwards (DEC-33).
Rule 2: a pattern or value with a variable that has no value is unknown (DEC-34).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

NAMES = frozenset(
    ("uin", "owner_uin", "app_id", "qcs:principal_tag_key", "qcs:principal_tag_value"),
)
_VARIABLE = re.compile(r"\${([^}]*)}")

# Literal text and variable names alternate: ("instance/", "uin", "-x"). Text without variables is a str.
Template: TypeAlias = tuple[str, ...]
Bindings: TypeAlias = Mapping[str, str]  # variable name -> digits; a variable without a value is absent


def read_template(text: str) -> str | Template | None:
    """Return the text, or a template if it contains variables, or None if a variable is unknown or broken."""
    if "${" not in text:
        return text
    parts = tuple(_VARIABLE.split(text))
    if any("${" in part for part in parts) or not NAMES.issuperset(parts[1::2]):
        return None
    return parts


def fill(template: str | Template, bindings: Bindings) -> str | None:
    """Return the text with each variable replaced by its value, or None if a variable has no value."""
    if isinstance(template, str):
        return template
    try:
        return "".join(bindings[p] if i % 2 else p for i, p in enumerate(template))
    except KeyError:
        return None
