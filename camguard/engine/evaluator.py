"""The decision: one call, looked up.

Rule 1: tables are made when first needed and kept in a cache of bounded size that lives and dies here. In
        front of it stands a plain dict by principal: a cache that keeps order costs as much as a decision.
Rule 2: an unknown principal, then an unknown action, is answered before any policy is looked at.
Rule 3: `decide` finds what was folded before; all else (the first call of its kind, another stretch of time,
        what must be judged rule by rule) takes the long way, which folds what can be folded.
Rule 4: nothing here holds what holds it: a bundle that was left is gone with its last request, and waits for
        no garbage collection, which would stop every call to find it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from threading import Lock

from cachetools import LRUCache

from camguard.bounded_cache import BoundedCache
from camguard.catalog.model import Catalog
from camguard.engine.attributes import is_instant
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.known_actions import IpSupport, KnownActions, UnknownAction
from camguard.engine.layers import SECOND_FACTOR, Layer, Layers, resolve
from camguard.engine.naming import Naming
from camguard.engine.row import NO_ALLOW, ActionRules
from camguard.engine.table import Table
from camguard.policy.model import Policy
from camguard.policy.resources import Owner

MAX_TABLES = 16_384  # tables kept; one is some kilobytes
MAX_RECENT = 65_536  # principals whose table is found in one look-up; forgotten together when full

PRINCIPAL_UNKNOWN = Decision(Reason.PRINCIPAL_UNKNOWN)


class Evaluator:
    """All that is compiled of one bundle. `decide` is the only way of a call."""

    def __init__(  # noqa: PLR0913 - the parts of a bundle, each named
        self,
        *,
        catalog: Catalog,
        policies: Mapping[str, Policy],
        principals: Mapping[str, Layers],
        owner: Owner,
        ip_support: IpSupport = "catalog",
        unknown_action: UnknownAction = "refuse",
        size: int = MAX_TABLES,
    ) -> None:
        self.catalog = catalog
        self._policies = policies
        self._principals = principals
        self.owner = owner
        self._spreads = Naming(catalog, (*policies.values(), SECOND_FACTOR)).spreads
        self._tables: LRUCache[object, Table] = LRUCache(size)
        self._lock = Lock()
        self._recent: dict[str, Table] = {}
        self._size = size
        self._most = max(size, MAX_RECENT)
        self._forget = size  # the misses at which the recent ones could hold `size` tables of their own
        self._hits = 0
        self._misses = 0
        words = KnownActions(catalog, ip_support=ip_support, unknown_action=unknown_action)
        self.traits = words.traits
        self._refusals: BoundedCache[str, Decision] = BoundedCache(words.why_unknown)

    def decide(self, call: Call) -> Decision:
        """Return whether a call passes, and why. Raises nothing."""
        # Unpacked at once: nine attribute reads would cost as much as the rest of this function.
        principal, action, place, moment, resources, of_resource, of_request, context, session = call
        table = self._recent.get(principal)
        if (
            table is not None
            and place is not None
            and moment is not None
            and resources
            and of_resource is None
            and of_request is None
            and context is None
            and session is None
        ):
            fold = table.ranges.get(action)
            if fold is None:
                why_unknown = self._refusals.get(action)
                if why_unknown is not None:
                    return why_unknown
            else:
                begin, end, bounds, decisions = fold
                if begin <= moment < end:
                    return decisions[bisect_right(bounds, place)]
        return self._long_way(call, table if session is None else None)

    def _long_way(self, call: Call, table: Table | None) -> Decision:
        """Decide what is not folded yet, or cannot be. table: of the principal, if that is known already."""
        if table is None:
            table = self.table(call.principal, call.session)
            if table is None:
                return PRINCIPAL_UNKNOWN
        row = table.row(call.action)
        if row is None:
            return self._refusals[call.action]
        if isinstance(row, Decision):
            return row if call.resources else NO_ALLOW
        place, moment = call.source_ip, call.time
        alone = call.resource_tags is None and call.request_tags is None and call.context is None
        # What is no instant is left to the judging of rules, as unknown.
        if row.rangeable and alone and call.resources and place is not None and is_instant(moment):
            fold = table.fill_ranges(call.action, row, moment)
            return fold.decisions[bisect_right(fold.bounds, place)]
        return self._judge(table, call, row)

    def judge(self, call: Call) -> Decision:
        """Return what `decide` returns, from the unfolded rules, judged one by one."""
        table = self.table(call.principal, call.session)
        return PRINCIPAL_UNKNOWN if table is None else self._judge(table, call)

    def judge_with(self, layers: Iterable[Layer], call: Call) -> Decision:
        """Return what other layers would say of a call."""
        return self._judge(Table(layers, self.traits, self.catalog, self._spreads), call)

    def _judge(self, table: Table, call: Call, row: ActionRules | None = None) -> Decision:
        """Judge rule by rule. row: the one that the table keeps; without it one is made anew."""
        traits = self.traits(call.action)
        if traits is None:
            return self._refusals[call.action]
        return (table.unfolded(traits) if row is None else row).judge(call, traits, self.owner)

    def table(self, principal: str, session: Policy | None = None) -> Table | None:
        """Return the table of a principal, compiling it if need be; None for an unknown principal."""
        layers = self._principals.get(principal)
        if layers is None:
            return None
        key = layers if session is None else (layers, session)
        with self._lock:
            table = self._tables.get(key)
            if table is None:
                self._misses += 1
                table = Table(
                    resolve(layers, self._policies, session), self.traits, self.catalog, self._spreads
                )
                self._tables[key] = table
            else:
                self._hits += 1
            if session is None:
                if len(self._recent) >= self._most or self._misses >= self._forget:
                    self._recent.clear()
                    self._forget = self._misses + self._size
                self._recent[principal] = table
        return table

    def stats(self) -> tuple[int, int, int]:
        """Return hits and misses of the cache of tables, and how many it holds.

        A principal's first call asks it, and no other until the principal is forgotten; calls with a session
        policy always do.
        """
        return self._hits, self._misses, len(self._tables)
