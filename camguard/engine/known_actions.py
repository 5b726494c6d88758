"""The actions that calls may name: the traits of each, and the reason why an unknown name is refused.

Rule 1: the answer for a name depends on the catalog and on the settings only.
Rule 2: a KnownActions has no reference to tables or to the evaluator, so tables can keep it without a
        reference cycle.
"""

from __future__ import annotations

from typing import Literal

from camguard.catalog.model import Access, Action, Catalog, Granularity
from camguard.engine.attributes import ActionTraits
from camguard.engine.decision import Decision, Reason
from camguard.grammar import ACTION_NAME, SERVICE

ACTION_INVALID = Decision(Reason.ACTION_INVALID)
ACTION_UNKNOWN = Decision(Reason.ACTION_UNKNOWN)
SERVICE_UNKNOWN = Decision(Reason.SERVICE_UNKNOWN)

IpSupport = Literal["catalog", "gateway"]
UnknownAction = Literal["refuse", "judge"]


class KnownActions:
    """The actions of one catalog under the settings `ip_support` and `unknown_action`."""

    def __init__(self, catalog: Catalog, *, ip_support: IpSupport, unknown_action: UnknownAction) -> None:
        self._catalog = catalog
        self._gateway_ip = ip_support == "gateway"
        self._judge_unknown = unknown_action == "judge"
        self._traits = {
            entry.id: self._traits_of(entry, in_catalog=True) for entry in catalog.actions.values()
        }

    def traits(self, action: str) -> ActionTraits | None:
        """Return the traits of an action, or None if calls of it are refused without evaluation."""
        found = self._traits.get(action)
        if found is not None or not self._judge_unknown:
            return found
        service, _, name = action.partition(":")
        if service not in self._catalog.services or not ACTION_NAME.fullmatch(name):
            return None
        entry = Action(service, name, Access.OTHER, Granularity.OPERATION, ("*",), ip_restriction=False)
        return self._traits_of(entry, in_catalog=False)

    def why_unknown(self, action: str) -> Decision:
        """Return the refusal of calls of a name that has no traits."""
        service, _, name = action.partition(":")
        if not ACTION_NAME.fullmatch(name):
            return ACTION_INVALID
        if service in self._catalog.services:
            return ACTION_UNKNOWN
        return SERVICE_UNKNOWN if SERVICE.fullmatch(service) else ACTION_INVALID

    def _traits_of(self, entry: Action, *, in_catalog: bool) -> ActionTraits:
        tags = self._catalog.services[entry.service].tag_authorization
        return ActionTraits(entry, entry.ip_restriction or self._gateway_ip, tags, in_catalog)
