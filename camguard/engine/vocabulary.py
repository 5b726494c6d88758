"""Which actions there are: how conditions see each, and what is said of a name that is none.

Rule 1: callers choose the names. What is said of one rests on the catalog and a setting alone.
Rule 2: nothing here knows who asks, so that tables may hold it and still die with the last that holds them.
"""

from __future__ import annotations

from typing import Literal

from camguard.catalog.model import Access, Action, Catalog, Granularity
from camguard.engine.decision import Decision, Reason
from camguard.engine.supply import Terms
from camguard.grammar import ACTION_NAME, SERVICE

ACTION_INVALID = Decision(Reason.ACTION_INVALID)
ACTION_UNKNOWN = Decision(Reason.ACTION_UNKNOWN)
SERVICE_UNKNOWN = Decision(Reason.SERVICE_UNKNOWN)

IpSupport = Literal["catalog", "gateway"]
UnknownAction = Literal["refuse", "judge"]


class Vocabulary:
    """The actions of one catalog under one set of settings."""

    def __init__(self, catalog: Catalog, *, ip_support: IpSupport, unknown_action: UnknownAction) -> None:
        self._catalog = catalog
        self._gateway_ip = ip_support == "gateway"
        self._judge_unknown = unknown_action == "judge"
        self._terms = {entry.id: self._terms_of(entry, listed=True) for entry in catalog.actions.values()}

    def terms(self, action: str) -> Terms | None:
        """Return an action as conditions see it, or None where calls of it are refused unjudged."""
        found = self._terms.get(action)
        if found is not None or not self._judge_unknown:
            return found
        service, _, name = action.partition(":")
        if service not in self._catalog.services or not ACTION_NAME.fullmatch(name):
            return None
        entry = Action(service, name, Access.OTHER, Granularity.OPERATION, ("*",), ip_restriction=False)
        return self._terms_of(entry, listed=False)

    def unheard(self, action: str) -> Decision:
        """Return why calls of a name that has no terms are refused."""
        service, _, name = action.partition(":")
        if not ACTION_NAME.fullmatch(name):
            return ACTION_INVALID
        if service in self._catalog.services:
            return ACTION_UNKNOWN
        return SERVICE_UNKNOWN if SERVICE.fullmatch(service) else ACTION_INVALID

    def _terms_of(self, entry: Action, *, listed: bool) -> Terms:
        tags = self._catalog.services[entry.service].tag_authorization
        return Terms(entry, entry.ip_restriction or self._gateway_ip, tags, listed)
