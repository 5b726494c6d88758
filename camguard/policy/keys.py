"""The condition keys, and the operators that each may be combined with (CAM 8.1, DEC-32).

Rule 1: a key under `qcs:`, or without a prefix, that this file does not list is an error: it is misspelled.
Rule 2: a well-formed key of a service (`cos:prefix`) is accepted. Its clauses are unknown for a call that
        does not supply it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from camguard.policy.operators import OPERATORS, Kind
from camguard.suggest import nearest

IP = "qcs:ip"
TIME = "qcs:current_time"
RESOURCE_TAG = "qcs:resource_tag"
REQUEST_TAG = "qcs:request_tag"
LEGACY_TAG = "qcs:tag"  # the former name of the resource's tags
TAGS = frozenset((RESOURCE_TAG, REQUEST_TAG, LEGACY_TAG))
RESOURCE_TAGS = frozenset((RESOURCE_TAG, LEGACY_TAG))
# Keys that the fields of a call supply; its `context` never supplies them.
OWN = TAGS | {IP, TIME}

REGION = ":region"  # ends the key of a service's region, such as `cvm:region` (DEC-64)
# Keys that a proxy cannot supply, because camguard knows them itself (T137).
_NOT_FOR_PROXIES = OWN | {"qcs:uin", "qcs:owner_uin", "qcs:read_only_action"}

_SERVICE_KEY = re.compile(r"[a-z0-9]+:[A-Za-z0-9_.-]+(?:/.+)?", re.DOTALL)
_BARE_SERVICE_KEYS = frozenset(("cvm_system_disk_size", "product"))


def _of(*kinds: Kind) -> frozenset[str]:
    return frozenset(row.name for row in OPERATORS.values() if row.kind in kinds)


_STRINGS = _of(Kind.STRING)
_EQUAL = frozenset(("string_equal",))
_ALL = frozenset(OPERATORS)
_GENERAL: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        IP: _of(Kind.IP),
        TIME: _of(Kind.DATE),
        **dict.fromkeys(TAGS, _STRINGS),
        "qcs:mfa": _of(Kind.BOOL),
        "qcs:BindToken": _of(Kind.BOOL),
        "mfa": frozenset(("numeric_equal", "string_equal")),
        "qcs:uin": _STRINGS,
        "qcs:owner_uin": _STRINGS,
        "qcs:create_uin": _EQUAL,
        "qcs:vpc": _EQUAL,
        "vpc:requester_vpc": _EQUAL,
    },
)
_OF_ONE_TAG: Mapping[str, frozenset[str]] = MappingProxyType(
    {  # null_equal is documented for the current tag keys, not for the former one
        RESOURCE_TAG: _STRINGS | _of(Kind.NULL),
        REQUEST_TAG: _STRINGS | _of(Kind.NULL),
        LEGACY_TAG: _STRINGS,
    },
)


def operators_of(key: str) -> frozenset[str] | None:
    """Return the operators that a key may be combined with, or None if there is no such key."""
    if key in _GENERAL:
        return _GENERAL[key]
    if key in _BARE_SERVICE_KEYS:
        return _ALL
    base, _, name = key.partition("/")
    if "${" in key:
        return None  # variables are allowed in values, not in keys (DEC-33)
    if base in TAGS:
        return _OF_ONE_TAG[base] if name else None
    return _ALL if _SERVICE_KEY.fullmatch(key) and not key.startswith("qcs:") else None


def known_keys() -> tuple[str, ...]:
    """Return the keys that the language itself defines, for suggestions."""
    return tuple(_GENERAL)


def region_key(action: str) -> str:
    """Return the condition key of the region for an action, `service:Name` (DEC-64)."""
    return action.partition(":")[0] + REGION


def attribute_fault(key: str) -> str | None:
    """Return why a trusted proxy may not supply a condition key in its header, or None if it may (T137)."""
    if key.partition("/")[0] in _NOT_FOR_PROXIES or key.endswith(REGION):
        return "is a condition key that camguard supplies itself, never a header"
    return f"is not a condition key{nearest(key, _GENERAL)}" if operators_of(key) is None else None
