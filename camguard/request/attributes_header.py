"""The condition keys that a trusted proxy supplies in one header, as a JSON object (T137).

A proxy knows what camguard cannot know: whether a caller has used a second factor, from which VPC a call
comes. It writes these condition keys into the header that `attributes.header` names.

Rule 1: the header counts from a trusted proxy only. From any other peer its presence rejects the request.
Rule 2: the text is one strict JSON object. A key that the settings do not list, a key twice, and a value that
        is neither a text nor a list of texts reject the request; nothing is skipped.
Rule 3: an empty list means that the key is supplied and absent. A listed key that is not given is not
        supplied.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias

from camguard.request.json_body import parse_json
from camguard.request.rejection import Rejection, rejection
from camguard.strict_json import is_text

Attributes: TypeAlias = Mapping[str, tuple[str, ...]]

_MOST_VALUES: Final = 1000  # of all keys together
_UNTRUSTED: Final = rejection("attributes_header_untrusted")
_INVALID: Final = rejection("attributes_header_invalid")


def read_attributes(
    header: bytes | None, keys: AbstractSet[str], *, peer_trusted: bool
) -> Attributes | Rejection:
    """Return the values of each key that a header supplies, or why the request is rejected.

    header: its value, None where the request has none. keys: those that the settings list.
    """
    if header is None:
        return {}
    if not peer_trusted:
        return _UNTRUSTED
    try:
        tree = parse_json(header, most=_MOST_VALUES)
    except ValueError:
        return _INVALID
    if not isinstance(tree, dict) or not keys >= tree.keys():
        return _INVALID
    found = {}
    for key, value in tree.items():
        values = _values(value)
        if values is None:
            return _INVALID
        found[key] = values
    return found


def _values(value: Any) -> tuple[str, ...] | None:
    """Return a text, or each of a list of texts; None for anything else."""
    values = value if isinstance(value, list) else [value]
    return tuple(values) if all(map(is_text, values)) else None
