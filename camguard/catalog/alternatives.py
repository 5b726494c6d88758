"""Templates of one action that exclude each other: a CVM instance, or a Lighthouse instance (DEC-61).

The page of such an action prints both templates with one placeholder, and nothing in it says that a value can
belong to one of them only. The catalog entry says so by the forms of the identifiers:
`"alternatives": [{"cvm": "ins-*", "lighthouse": "lhins-*"}]`.

Rule 1: alternatives are data and never inferred. An entry without `alternatives` has those of SHIPPED, where
        they suit its templates; `"alternatives": []` says that every template must be allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from camguard.catalog.model import Action, segments
from camguard.grammar import placeholders

MIN_FORMS: Final = 2
Group: TypeAlias = Mapping[str, str]  # service of a template -> the form of its values, with stars

_MACHINES: Final[Group] = MappingProxyType({"cvm": "ins-*", "lighthouse": "lhins-*"})
# The alternatives of actions that are known to take either identifier.
SHIPPED: Final[Mapping[str, tuple[Group, ...]]] = MappingProxyType(
    {
        f"tat:{name}": (_MACHINES,)
        for name in (
            *("CreateInvoker", "DescribeAutomationAgentStatus", "InvokeCommand", "ModifyInvoker"),
            "RunCommand",
        )
    },
)


def shipped(service: str, name: str, resources: Iterable[str], bind: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the alternatives that an entry has unless it says otherwise."""
    listed = tuple(resources)
    groups = SHIPPED.get(f"{service}:{name}", ())
    return tuple(group for group in groups if not wrong_group(group, service, listed, bind))


def wrong_group(group: Group, service: str, resources: Iterable[str], bind: Mapping[str, str]) -> str:
    """Return why a group does not suit the templates of an entry, or an empty text."""
    listed = tuple(resources)
    bound: set[str] = set()
    for name in group:
        found = [template for template in listed if _service(template, service) == name]
        if len(found) != 1:
            return f"{name!r} must be the service of exactly one template, and is that of {len(found)}"
        names = tuple(bind.get(hole.name, hole.name) for hole in placeholders(_path(found[0]), bind))
        if len(names) != 1:
            return f"the template of {name!r} must have exactly one placeholder"
        bound.update(names)
    return "" if len(bound) == 1 else "the templates of a group must have the same placeholder"


def forms_of(action: Action) -> Mapping[str, tuple[str, ...]]:
    """Return for each template that has alternatives the form of its values, then those of the others."""
    found: dict[str, tuple[str, ...]] = {}
    for group in action.alternatives:
        for template in action.resources:
            own = group.get(_service(template, action.service))
            if own is not None:
                found[template] = (own, *(form for form in group.values() if form != own))
    return found


def _service(template: str, service: str) -> str:
    """Return the service of a template; a placeholder stands for that of the action."""
    parts = segments(template)
    if parts is None:
        return ""
    return service if any(placeholders(parts[2])) else parts[2]


def _path(template: str) -> str:
    parts = segments(template)
    return parts[-1] if parts else ""
