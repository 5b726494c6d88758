"""One request as the policy language sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from camguard.policy.model import Policy


class Call(NamedTuple):
    """Everything a decision may depend on.

    principal: `uin/<digits>` or `role/<name>`; the owner account is `uin/<owner>`.
    action: `service:Name`, exact.
    source_ip: place on the number line of `camguard.ipset`; None: not known.
    time: seconds since the epoch, camguard's own clock (DEC-25); None, or not finite: not known.
    resources: `("*",)` for operation-level actions, else six-segment strings; None in it stands
        for a resource that could not be bound, which only the literal `*` matches.
    resource_tags, request_tags: None: not supplied; `{}`: supplied, and there is none.
    context: further condition keys that this call supplies, each with its values
        (`{"qcs:mfa": ("true",)}`; an empty tuple: supplied and absent). A key not given is UNKNOWN.
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
