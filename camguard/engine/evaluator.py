"""Evaluates calls: the policy decision point.

Rule 1: a table is compiled when it is first needed and kept in an LRU cache that belongs to this evaluator. A
        dictionary by principal stands in front of the cache, because an LRU look-up costs as much as a
        decision.
Rule 2: an unknown principal, then an unknown action, is refused before any policy is evaluated.
Rule 3: `decide` looks up range tables that earlier calls have computed. `_decide_slowly` takes the first call
        of an action, a call in another interval of time, and a call that needs more than address and time,
        which the index of its row decides. `judge` computes the same without range tables, indexes and masks,
        so that explanations check them.
Rule 4: there are no reference cycles: a replaced bundle is freed by reference counting with its last request,
        without a garbage collection, which would pause all calls.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from math import inf
from threading import Lock

from cachetools import LRUCache

from camguard.bounded_cache import BoundedCache
from camguard.engine.action_index import ActionIndex, IpSupport, KnownActions, StatementIndex, UnknownAction
from camguard.engine.attributes import ActionTraits
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.layers import SECOND_FACTOR, Layer, Layers, resolve
from camguard.engine.resource_tags import Inventory
from camguard.engine.row import NO_ALLOW, ActionRules
from camguard.engine.table import Table
from camguard.policy.keys import TAGS
from camguard.policy.model import Policy
from camguard.policy.resources import Owner

MAX_TABLES = 16_384  # each takes some kilobytes
MAX_RECENT = 65_536  # principals whose table is found without the LRU cache

PRINCIPAL_UNKNOWN = Decision(Reason.PRINCIPAL_UNKNOWN)


class Evaluator:
    """The compiled policies of one bundle. Requests call `decide`; the other methods explain its answers.

    recent: the tables of principals that are found without the cache of tables, by principal.
    """

    def __init__(  # noqa: PLR0913 - the parts of a bundle
        self,
        *,
        index: ActionIndex,
        policies: Mapping[str, Policy],
        principals: Mapping[str, Layers],
        owner: Owner,
        ip_support: IpSupport,
        unknown_action: UnknownAction,
        inventory: Inventory | None,
        size: int,
    ) -> None:
        self.catalog = catalog = index.catalog
        self._index = index
        self._settings = ip_support, unknown_action
        self._policies = policies
        self._principals = principals
        self.owner = owner
        self.inventory = inventory
        self.statements = StatementIndex(index, (*policies.values(), SECOND_FACTOR))
        self._tables: LRUCache[object, Table] = LRUCache(size)
        self._lock = Lock()
        self.recent: BoundedCache[str, Table] = BoundedCache(entries=max(size, MAX_RECENT))
        self._size = size
        # `recent` is cleared after `size` misses, because it keeps tables alive that the cache has dropped.
        self._clear_at_misses = size
        self._hits = 0
        self._misses = 0
        known = KnownActions(catalog, ip_support=ip_support, unknown_action=unknown_action)
        self.traits = known.traits
        self.named_keys = _keys_of(policies.values())
        self._refusals: BoundedCache[str, Decision] = BoundedCache(known.why_unknown)

    def decide(self, call: Call) -> Decision:
        """Return whether a call passes, and why. Raises nothing."""
        # One unpacking: nine attribute reads would cost as much as the rest of this function.
        principal, action, place, moment, resources, of_resource, of_request, context, session = call
        table = self.recent.get(principal)
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
            ranges = table.ranges.get(action)
            if ranges is None:
                refusal = self._refusals.get(action)
                if refusal is not None:
                    return refusal
            else:
                begin, end, bounds, decisions = ranges
                if begin <= moment < end:
                    return decisions[bisect_right(bounds, place)]
        return self._decide_slowly(call, table if session is None else None)

    def stretch(self, call: Call) -> tuple[float, float] | None:
        """Return the stretch of time for which `decide` returns the same for a call, as it just did.

        Seconds since the epoch: from the first, and before the second. None where that is not known: the
        decision depends on more than principal, action, address and time, or was found another way.
        """
        table = self.recent.get(call.principal)
        if table is None or call.source_ip is None or call.time is None or not call.resources:
            return None
        if (call.resource_tags, call.request_tags, call.context, call.session) != (None, None, None, None):
            return None
        ranges = table.ranges.get(call.action)
        if ranges is None or not ranges.begin <= call.time < ranges.end:
            return None
        return ranges.begin, ranges.end

    def _decide_slowly(self, call: Call, table: Table | None) -> Decision:
        """Decide a call that no range table answers. table: the principal's, if `decide` has found it."""
        if table is None:
            layers = self._principals.get(call.principal)
            if layers is None:
                return PRINCIPAL_UNKNOWN
            if self.traits(call.action) is None:
                return self._refusals[call.action]  # no policy is consulted (T34)
            table = self._compiled(call.principal, layers, call.session)
        found = table.indexes.get(call.action)
        place, moment = call.source_ip, call.time
        if found is not None and place is not None and moment is not None and -inf < moment < inf:
            index, traits = found
            if not (index.rangeable and _supplies_nothing(call)):
                mask = table.mask_at(place, moment) if index.used_bits else 0
                decision = index.decide(call, traits, mask)
                if decision is not None:
                    return decision
        return self._decide_by_row(call, table)

    def _decide_by_row(  # noqa: PLR0911 - one question after the other
        self, call: Call, table: Table
    ) -> Decision:
        """Decide a call for which there is no index yet, or which an index does not decide."""
        row = table.row(call.action)
        if row is None:
            return self._refusals[call.action]
        if not call.resources:
            return NO_ALLOW
        if isinstance(row, Decision):
            return row
        place, moment = call.source_ip, call.time
        # A time that is not an instant is evaluated rule by rule, as unknown.
        if place is None or moment is None or not -inf < moment < inf:
            return self._judge(table, call, row)
        # What the call supplies matters only to a row with conditions on it.
        if row.rangeable and not row.names_caller and (_supplies_nothing(call) or not row.residual):
            ranges = table.fill_ranges(call.action, row, moment)
            return ranges.decisions[bisect_right(ranges.bounds, place)]
        if call.action not in table.indexes:
            found = table.index(call.action, row, self.owner, self.inventory)
            if found is not None:
                index, traits = found
                mask = table.mask_at(place, moment) if index.used_bits else 0
                decision = index.decide(call, traits, mask)
                if decision is not None:
                    return decision
        return self._judge(table, call, row)

    def variants(self, call: Call, traits: ActionTraits) -> tuple[Call, ...]:
        """Return the call with the tags of each of its resources, or alone where those are not listed.

        One variant stands for all resources, unless an inventory lists tags and the call supplies none.
        Source: DEC-66.
        """
        if self.inventory is None or call.resource_tags is not None or not traits.lists_tags:
            return (call,)
        tags = map(self.inventory.tags_of, call.resources)
        return tuple(call._replace(resource_tags=each) for each in tags) or (call,)

    def judge(self, call: Call) -> Decision:
        """Return what `decide` returns, computed rule by rule (Rule 3)."""
        table = self.table(call.principal, call.session)
        return PRINCIPAL_UNKNOWN if table is None else self._judge(table, call)

    def judge_with(self, layers: Iterable[Layer], call: Call) -> Decision:
        """Return the decision of a call under other layers than its principal's."""
        return self._judge(self._table(layers), call)

    def _table(self, layers: Iterable[Layer]) -> Table:
        listed = self.inventory is not None
        return Table(layers, self.traits, self.catalog, self.statements, listed_tags=listed)

    def _judge(self, table: Table, call: Call, row: ActionRules | None = None) -> Decision:
        """Evaluate rule by rule. row: the row that the table keeps; a new one is compiled without it."""
        traits = self.traits(call.action)
        if traits is None:
            return self._refusals[call.action]
        rules = table.compile_row(traits) if row is None else row
        return rules.judge(call, traits, self.owner, self.inventory)

    def changed(
        self, policies: Mapping[str, Policy], principals: Mapping[str, Layers] | None = None
    ) -> Evaluator:
        """Return the evaluator of other policies, or of other principals, under the same settings.

        principals: None for those of this evaluator.
        """
        ip_support, unknown_action = self._settings
        return Evaluator(
            index=self._index,
            policies=policies,
            principals=self._principals if principals is None else principals,
            owner=self.owner,
            ip_support=ip_support,
            unknown_action=unknown_action,
            inventory=self.inventory,
            size=self._size,
        )

    def boundaries(self) -> frozenset[str]:
        """Return the ids of all policies that are the boundary of a principal."""
        return frozenset(each.boundary for each in self._principals.values() if each.boundary is not None)

    def table(self, principal: str, session: Policy | None = None) -> Table | None:
        """Return the table of a principal, compiling it if need be; None for an unknown principal."""
        layers = self._principals.get(principal)
        return None if layers is None else self._compiled(principal, layers, session)

    def layers(self, principal: str) -> Layers | None:
        """Return the layers of a principal; None for an unknown principal."""
        return self._principals.get(principal)

    def new_table(self, layers: Layers, session: Policy | None = None) -> Table:
        """Return a new table, which is not kept: for questions about many principals."""
        return self._table(resolve(layers, self._policies, session))

    def _compiled(self, principal: str, layers: Layers, session: Policy | None) -> Table:
        """Return the table of a principal with these layers, from the cache or compiled."""
        key = layers if session is None else (layers, session)
        with self._lock:
            table = self._tables.get(key)
            if table is None:
                self._misses += 1
                table = self.new_table(layers, session)
                self._tables[key] = table
            else:
                self._hits += 1
            if session is None:
                if self._misses >= self._clear_at_misses:
                    self.recent.clear()
                    self._clear_at_misses = self._misses + self._size
                self.recent[principal] = table
        return table

    def stats(self) -> tuple[int, int, int]:
        """Return hits and misses of the cache of tables, and how many tables it contains.

        Only the first call of a principal, and every call with a session policy, looks into the cache.
        """
        return self._hits, self._misses, len(self._tables)


def _supplies_nothing(call: Call) -> bool:
    return call.context is None and call.resource_tags is None and call.request_tags is None


def _keys_of(policies: Iterable[Policy]) -> frozenset[str]:
    """Return every condition key that some policies name; of tag keys the part before the slash."""
    keys = {clause.key for policy in policies for each in policy.statements for clause in each.condition}
    return frozenset(base if (base := key.partition("/")[0]) in TAGS else key for key in keys)
