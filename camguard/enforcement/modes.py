"""In which mode a call is judged: `enforcement.mode`, or that of the first override that names its part.

Rule 1: the rows are settled when the guard is made; a call looks up its service and its access.
Rule 2: only a denial asks for the mode, so that an allowed call pays nothing for it.
Rule 3: in shadow mode only denials of policy and catalog go on. A request that can be read in two ways, or
        whose caller is not proven, is refused there, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from camguard.catalog.model import Access
from camguard.enforcement.service_index import VERSION_UNKNOWN
from camguard.enforcement.target import Target
from camguard.engine.decision import Decision, Reason
from camguard.request.rejection import Rejection
from camguard.settings.model import EnforcementMode, EnforcementSettings
from camguard.telemetry.record import SHADOWED

_ALLOWED: Final = Reason.ALLOWED
ByAccess = Mapping[str | None, EnforcementMode]


class Modes:
    """The modes of one listener. single: the mode of every call, None where overrides name parts of it."""

    __slots__ = ("_tables", "single")

    def __init__(self, settings: EnforcementSettings, listener: str) -> None:
        rows = [row for row in settings.override if row.listener in (None, listener)]

        def by_access(service: str | None) -> ByAccess:
            found: dict[str | None, EnforcementMode] = {}
            for access in (*(each.value for each in Access), None):
                fits = (
                    row.mode
                    for row in rows
                    if row.service in (None, service) and row.access in (None, access)
                )
                found[access] = next(fits, settings.mode)
            return found

        # None stands for every service that no row names.
        self._tables = {service: by_access(service) for service in (None, *(row.service for row in rows))}
        modes = {mode for table in self._tables.values() for mode in table.values()}
        self.single = modes.pop() if len(modes) == 1 else None

    def of(self, target: Target) -> EnforcementMode:
        """Return the mode of a call. Without an entry of the catalog, only rows without access fit."""
        if self.single is not None:
            return self.single
        entry = target.entry
        table = self._tables.get(target.service) or self._tables[None]
        return table[None if entry is None else entry.access.value]

    def passes(self, decision: Decision | Rejection, target: Target) -> bool:
        """Tell whether a request goes on: an allow, or in shadow mode a denial of policy or catalog."""
        reason = decision.reason
        if reason is _ALLOWED:
            return True
        shadowed = reason in SHADOWED or decision is VERSION_UNKNOWN
        return shadowed and self.of(target) == "shadow"
