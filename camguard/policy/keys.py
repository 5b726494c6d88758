"""The condition keys, and the operators that each may be combined with (CAM 8.1, DEC-32, DEC-57).

Rule 1: a key under `qcs:`, or without a prefix, that this file does not list is an error: it is misspelled.
Rule 2: a well-formed key of a service (`cos:prefix`) is accepted. Its clauses are unknown for a call that
        does not supply it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from camguard.policy.operators import OPERATORS, Kind
from camguard.suggest import nearest

IP = "qcs:ip"
TIME = "qcs:current_time"
RESOURCE_TAG = "qcs:resource_tag"
REQUEST_TAG = "qcs:request_tag"
LEGACY_TAG = "qcs:tag"  # the former name of the resource's tags
READ_ONLY = "qcs:read_only_action"  # 1 or 0, from the catalog entry of the action (DEC-56)
TAGS = frozenset((RESOURCE_TAG, REQUEST_TAG, LEGACY_TAG))
RESOURCE_TAGS = frozenset((RESOURCE_TAG, LEGACY_TAG))
# Keys that the fields of a call or the catalog supply; the `context` of a call never supplies them.
OWN = TAGS | {IP, TIME, READ_ONLY}

REGION = ":region"  # ends the key of a service's region, such as `cvm:region` (DEC-64)
# Keys that a proxy cannot supply, because camguard knows them itself (T137).
_NOT_FOR_PROXIES = OWN | {"qcs:uin", "qcs:owner_uin"}

_SERVICE_KEY = re.compile(r"[a-z0-9]+:[A-Za-z0-9_.-]+(?:/.+)?", re.DOTALL)
_BARE_SERVICE_KEYS = frozenset(("cvm_system_disk_size", "product"))


def _of(*kinds: Kind) -> frozenset[str]:
    return frozenset(row.name for row in OPERATORS.values() if row.kind in kinds)


_STRINGS = _of(Kind.STRING)
_NUMBERS = _of(Kind.NUMERIC)
_OF_TAGS = _STRINGS | _of(Kind.NULL, Kind.BINARY)  # all three names, with and without a tag key (DEC-57)
_OF_VPC = _STRINGS | _of(Kind.NULL)
_ALL = frozenset(OPERATORS)
_GENERAL: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        IP: _of(Kind.IP),
        TIME: _of(Kind.DATE),
        **dict.fromkeys(TAGS, _OF_TAGS),
        READ_ONLY: _NUMBERS,
        "qcs:mfa": _of(Kind.BOOL),
        "qcs:BindToken": _of(Kind.BOOL),
        "mfa": _NUMBERS | {"string_equal", "string_not_equal"},
        "qcs:uin": _STRINGS,
        "qcs:owner_uin": _STRINGS,
        "qcs:create_uin": frozenset(("string_equal",)),
        "qcs:vpc": _OF_VPC,
        "vpc:requester_vpc": _OF_VPC,
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
        return _OF_TAGS if name else None
    return _ALL if _SERVICE_KEY.fullmatch(key) and not key.startswith("qcs:") else None


def known_keys() -> tuple[str, ...]:
    """Return the keys that the language itself defines, for suggestions."""
    return tuple(_GENERAL)


def supplied_regions(actions: Iterable[str], region: str) -> dict[str, tuple[str, ...]]:
    """Return the condition keys of the region that a call supplies (DEC-64).

    actions: the names that policies are asked for, `service:Name`. region: of the call.
    """
    return {action.partition(":")[0] + REGION: (region,) for action in actions}


def attribute_fault(key: str) -> str | None:
    """Return why a trusted proxy may not supply a condition key in its header, or None if it may (T137)."""
    if key.partition("/")[0] in _NOT_FOR_PROXIES or key.endswith(REGION):
        return "is a condition key that camguard supplies itself, never a header"
    return f"is not a condition key{nearest(key, _GENERAL)}" if operators_of(key) is None else None
