"""One request as the policy language sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from camguard.policy.model import Policy


class ListedTags(dict[str, str]):
    """The tags of a resource that the inventory of a bundle lists (DEC-66). Nothing changes them.

    A call that is made in process supplies its tags in any other mapping.
    """

    __slots__ = ()


class Call(NamedTuple):
    """Everything that a decision may depend on.

    principal: `uin/<digits>` or `role/<name>`; the owner account is `uin/<owner>`.
    action: `service:Name`, in the exact letter case.
    source_ip: place on the number line of `camguard.ipset`, or None if it is unknown.
    time: seconds since the epoch by camguard's clock (DEC-25); None or a value that is not finite is unknown.
    resources: `("*",)` for operation-level actions, else six-segment strings. None stands for a resource that
        could not be bound; only the literal `*` matches it.
    resource_tags, request_tags: None if they are not supplied, `{}` if they are supplied and there are none.
    context: further condition keys that this call supplies, each with its values, e.g. `{"qcs:mfa":
        ("true",)}`. An empty tuple means supplied and absent. A key that is not listed is unknown.
    session: the session policy of a temporary credential.
    """

    principal: str
    action: str
    source_ip: int | None
    time: float | None
    resources: tuple[str | None, ...] = ("*",)
    resource_tags: Mapping[str, str] | None = None
    request_tags: Mapping[str, str] | None = None
    context: Mapping[str, tuple[str, ...]] | None = None
    session: Policy | None = None
