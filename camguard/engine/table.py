"""The compiled layers of one set of policies.

Rule 1: a table cuts the address line and time once, for all its statements; a row only picks from that.
Rule 2: rows are made on first use; actions of which the same rules speak share one row.
Rule 3: `ranges` is where a call is looked up: what was folded last for an action, `NO_RANGES` where
        nothing was or can be. It holds catalog names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from camguard.catalog.model import Catalog, Granularity
from camguard.engine.attributes import ActionTraits
from camguard.engine.decision import Decision
from camguard.engine.intervals import interval_at, partition_addresses, partition_time
from camguard.engine.layers import Layer
from camguard.engine.naming import Spread
from camguard.engine.row import NO_RANGES, ActionRules, RangeTable, constant_ranges
from camguard.engine.rules import Rule, rules_of
from camguard.ipset import IpSet
from camguard.policy.keys import IP, TIME
from camguard.policy.model import Clause, Statement

TraitsOf: TypeAlias = Callable[[str], ActionTraits | None]  # action -> how conditions see it; None: unknown


class Table:
    """Layers compiled for the calls of whoever has them. Rows are made on first use."""

    __slots__ = (
        "_catalog",
        "_marks",
        "_masks",
        "_shared",
        "_spreads",
        "_time_masks",
        "_traits_of",
        "bounds",
        "cuts",
        "layers",
        "ranges",
        "rows",
    )  # fmt: skip

    def __init__(
        self,
        layers: Iterable[Layer],
        traits_of: TraitsOf,
        catalog: Catalog,
        spreads: Mapping[Statement, Spread],
    ) -> None:
        self.layers = tuple(layers)
        self.rows: dict[str, ActionRules | Decision] = {}
        self.ranges: dict[str, RangeTable] = {}
        self._traits_of = traits_of
        self._catalog = catalog
        self._spreads = spreads
        self._shared: dict[tuple[bool, bool, tuple[Rule, ...]], ActionRules | Decision] = {}
        sets: dict[IpSet, int] = {}
        times: dict[tuple[str, tuple[str, ...]], tuple[Clause, int]] = {}
        self._marks: dict[Clause, int] = {}
        bit = 1
        for clause in (c for layer in self.layers for s in layer.statements for c in s.condition):
            if clause.addresses is not None and clause.key == IP:
                self._marks[clause] = sets.setdefault(clause.addresses, bit)
            elif clause.key == TIME:
                same = (clause.operator.name, clause.values)
                self._marks[clause] = times.setdefault(same, (clause, bit))[1]
            else:
                continue
            bit <<= self._marks[clause] == bit
        self.cuts, self._time_masks = partition_time(dict(times.values()))
        self.bounds, self._masks = partition_addresses(sets)

    def fill_ranges(self, action: str, row: ActionRules, moment: float) -> RangeTable:
        """Fold the row of an action for the time around a moment, seconds since the epoch."""
        fold = row.ranges
        if not fold.begin <= moment < fold.end:
            span = interval_at(self.cuts, self._time_masks, moment)
            fold = row.rebuild(span, self.bounds, self._masks)
        if action in self.rows:
            self.ranges[action] = fold
        return fold

    def row(self, action: str) -> ActionRules | Decision | None:
        """Return what is said of an action, made on first use; None for an unknown action."""
        found = self.rows.get(action)
        if found is not None:
            return found
        traits = self._traits_of(action)
        if traits is None:
            return None
        made = self.unfolded(traits)
        key = (made.match_any, made.checks_owner, made.rules)
        found = self._shared.get(key)
        if found is None:
            ready = made.ready
            found = made if ready is None else ready
        if traits.in_catalog:  # callers choose the names that are not; they may not fill the table
            self._shared[key] = self.rows[action] = found
            self.ranges[action] = constant_ranges(found) if isinstance(found, Decision) else NO_RANGES
        return found

    def unfolded(self, traits: ActionTraits) -> ActionRules:
        """Return the row of an action by itself, with nothing folded and nothing shared."""
        aimed = traits.entry.granularity is Granularity.RESOURCE
        return ActionRules(
            self.layers, self._rules(traits), match_any=traits.entry.match == "any", aimed=aimed
        )

    def _rules(self, traits: ActionTraits) -> tuple[Rule, ...]:
        return tuple(
            rule
            for at, layer in enumerate(self.layers)
            for rule in rules_of(
                layer, at, traits, catalog=self._catalog, spreads=self._spreads, marks=self._marks
            )
        )
