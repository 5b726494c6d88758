"""Documents that people bring instead of a policy: what each is, in one sentence, and what to do (CAM 3.5).

Rule 1: a document is taken for another one only by a sign that no CAM policy has.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from camguard.strict_json import child, is_text

_ELEMENTS = frozenset(("version", "statement"))
# Where the answers of CAM's API hold a document: GetPolicy, GetPolicyVersion, GetRole.
_INSIDE = (("PolicyDocument",), ("PolicyVersion", "Document"), ("RoleInfo", "PolicyDocument"))
_REWRITE = (
    'write it anew for CAM, with "version": "2.0", actions such as cvm:StopInstances and resources of six'
    " segments such as qcs::cvm:::instance/*"
)
_VERSIONS: Mapping[str, str] = MappingProxyType(
    {
        "2012-10-17": "AWS",
        "2008-10-17": "AWS",
        "1": "Alibaba Cloud",
    },
)
_TRUST = (
    "this is the trust policy of a role, which says who may assume it; it has no place here: remove the file,"
    " and keep the policies that are attached to the role"
)
_BUCKET = (
    "this is a bucket policy, which COS itself evaluates; it has no place here: remove the file, or write"
    " what it allows as a policy without principal and attach it to the callers"
)
_OF_RESOURCE = (
    "this policy names a principal, so it belongs to a resource or a role; it has no place here: remove the"
    " file, or remove the principal and attach the policy to the callers"
)


class Mistaken(NamedTuple):
    """What a document is instead of a policy. at: the names that lead to its sign. code: of CAM 17."""

    at: tuple[str, ...]
    code: str
    message: str


class Inside(NamedTuple):
    """A policy inside of an answer of the API. pointer: its place, e.g. `/Response/PolicyDocument`."""

    pointer: str
    document: Any


def policy_inside(tree: Any) -> Inside | None:
    """Return the policy that an answer of CAM's API holds, or None where the tree is no such answer.

    The document is a text that holds JSON, as the API returns it, or an object.
    """
    if not isinstance(tree, dict) or _ELEMENTS & {name.lower() for name in tree}:
        return None
    answer, pointer = tree, ""
    if isinstance(tree.get("Response"), dict):
        answer, pointer = tree["Response"], "/Response"
    for names in _INSIDE:
        found: Any = answer
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        if is_text(found) or isinstance(found, dict):
            place = pointer
            for name in names:
                place = child(place, name)
            return Inside(place, found)
    return None


def mistaken(tree: Mapping[str, Any]) -> Mistaken | None:
    """Return what a document is instead of a policy, or None where it may be a policy."""
    names = {name.lower(): name for name in tree}
    version = _member(tree, names, "version")
    if is_text(version) and version in _VERSIONS:
        message = (
            f"this version is that of a policy of {_VERSIONS[version]}, which CAM does not read: {_REWRITE}"
        )
        return Mistaken((names["version"],), "VersionError", message)
    if "response" in names and not _ELEMENTS & names.keys():
        message = (
            "this is an answer of the API without a policy; save the answer of GetPolicy, or the document"
        )
        return Mistaken((), "PolicyDocumentError", message)
    return _of_principal(tree, names)


def _of_principal(tree: Mapping[str, Any], names: Mapping[str, str]) -> Mistaken | None:
    """Tell whether the policy as a whole, or each of its statements, has a principal (CAM 6)."""
    listed = _listed(_member(tree, names, "statement"))
    if not all(isinstance(each, dict) for each in listed):
        return None
    statements = [{name.lower(): value for name, value in each.items()} for each in listed]
    if not statements or not ("principal" in names or all("principal" in each for each in statements)):
        return None
    texts = [text for each in statements for text in _listed(each.get("resource"))]
    if not any("resource" in each for each in statements):
        message = _TRUST
    elif all(is_text(text) and text.split(":")[2:3] == ["cos"] for text in texts):
        message = _BUCKET
    else:
        message = _OF_RESOURCE
    return Mistaken((names.get("principal", names["statement"]),), "PrincipalError", message)


def _member(tree: Mapping[str, Any], names: Mapping[str, str], name: str) -> Any:
    """Return the value of an element, or None where the document has none of this name."""
    return tree[names[name]] if name in names else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
