"""The compiled layers of one set of policies.

Rule 1: a table partitions the address line and time once, for all its statements; its rows use that
        partition.
Rule 2: a row is compiled at the first call of its action; actions with the same rules share one row.
Rule 3: `ranges` has for each action the range table of its last call, or NO_RANGES if there is none. Its keys
        are names from the catalog only, so that callers cannot make it grow. The same is true of `indexes`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from itertools import count
from typing import TypeAlias

from camguard.catalog.model import Catalog
from camguard.engine.action_index import StatementIndex
from camguard.engine.attributes import ActionTraits
from camguard.engine.decision import Decision
from camguard.engine.intervals import interval_at, partition_addresses, partition_time
from camguard.engine.layers import Layer
from camguard.engine.resource_tags import Inventory
from camguard.engine.row import NO_RANGES, ActionRules, RangeTable, constant_ranges
from camguard.engine.rule_index import RuleIndex
from camguard.engine.rules import Rule, rule_of, rules_of
from camguard.ipset import IpSet
from camguard.policy.keys import IP, TIME
from camguard.policy.model import Clause, Statement
from camguard.policy.resources import Owner
from camguard.policy.values import Truth

TraitsOf: TypeAlias = Callable[[str], ActionTraits | None]  # action -> its traits, or None if it is unknown


class Table:
    """Layers, compiled for the calls of the principals that have them.

    listed_tags: whether an inventory lists the tags of resources (DEC-66).
    indexes: the index and the traits of each action that has needed one.
    bounds, masks: as `partition_addresses` returns them. cuts, time_masks: as `partition_time` returns them.
    """

    __slots__ = (
        "_bits",
        "_catalog",
        "_listed_tags",
        "_shared",
        "_statements",
        "_traits_of",
        "bounds",
        "cuts",
        "indexes",
        "layers",
        "masks",
        "ranges",
        "rows",
        "time_masks",
    )  # fmt: skip

    def __init__(
        self,
        layers: Iterable[Layer],
        traits_of: TraitsOf,
        catalog: Catalog,
        statements: StatementIndex,
        *,
        listed_tags: bool,
    ) -> None:
        self.layers = tuple(layers)
        self.rows: dict[str, ActionRules | Decision] = {}
        self.ranges: dict[str, RangeTable] = {}
        self.indexes: dict[str, tuple[RuleIndex, ActionTraits]] = {}
        self._traits_of = traits_of
        self._catalog = catalog
        self._statements = statements
        self._listed_tags = listed_tags
        self._shared: dict[tuple[int, bool, bool, bool, tuple[Rule, ...]], ActionRules | Decision] = {}
        sets: dict[IpSet, int] = {}
        times: dict[tuple[str, tuple[str, ...]], tuple[Clause, int]] = {}
        self._bits: dict[Clause, int] = {}
        bit = 1
        for clause in (c for layer in self.layers for s in layer.statements for c in s.condition):
            if clause.addresses is not None and clause.key == IP:
                self._bits[clause] = sets.setdefault(clause.addresses, bit)
            elif clause.key == TIME:
                same = (clause.operator.name, clause.values)
                self._bits[clause] = times.setdefault(same, (clause, bit))[1]
            else:
                continue
            bit <<= self._bits[clause] == bit
        self.cuts, self.time_masks = partition_time(dict(times.values()))
        self.bounds, self.masks = partition_addresses(sets)

    def fill_ranges(self, action: str, row: ActionRules, moment: float) -> RangeTable:
        """Return the range table of an action for a moment (seconds since the epoch); keep it in `ranges`."""
        ranges = row.ranges
        if not ranges.begin <= moment < ranges.end:
            interval = interval_at(self.cuts, self.time_masks, moment)
            ranges = row.rebuild(interval, self.bounds, self.masks)
        if action in self.rows:
            self.ranges[action] = ranges
        return ranges

    def index(
        self, action: str, row: ActionRules, owner: Owner, inventory: Inventory | None
    ) -> tuple[RuleIndex, ActionTraits] | None:
        """Return the index of an action's row and its traits; None for a row that is not kept.

        Actions that share a row share its index.
        """
        traits = self._traits_of(action)
        if action not in self.rows or traits is None:
            return None
        found = next((each for each, _ in self.indexes.values() if each.row is row), None)
        if found is None:
            found = RuleIndex(row, len(traits.cam_actions), owner, inventory)
        self.indexes[action] = found, traits
        return found, traits

    def mask_at(self, place: int, moment: float) -> int:
        """Return the bits of the conditions that hold for an address and an instant."""
        at = bisect_left(self.cuts, moment) + bisect_right(self.cuts, moment)
        return self.masks[bisect_right(self.bounds, place)] | self.time_masks[at]

    def row(self, action: str) -> ActionRules | Decision | None:
        """Return the row of an action, or its constant decision, or None if the action is unknown."""
        found = self.rows.get(action)
        if found is not None:
            return found
        traits = self._traits_of(action)
        if traits is None:
            return None
        made = self.compile_row(traits)
        key = (len(made.layers), made.match_any, made.checks_owner, made.reads_tags, made.rules)
        found = self._shared.get(key)
        if found is None:
            constant = made.constant
            found = made if constant is None else constant
            if traits.in_catalog:  # names that the catalog does not list are chosen by callers
                self._shared[key] = found
        if traits.in_catalog:
            self.rows[action] = found
            self.ranges[action] = constant_ranges(found) if isinstance(found, Decision) else NO_RANGES
        return found

    def compile_row(self, traits: ActionTraits) -> ActionRules:
        """Return a new row of an action, without range table and shared with no other action.

        Where policies are asked for several names, the row has all layers once for each name: every layer
        must allow every name (DEC-68).
        """
        entries = [each.entry for each in traits.cam_actions]
        return ActionRules(
            self.layers * len(entries),
            self._rules(traits),
            match_any=all(entry.match == "any" for entry in entries),
            resource_level=any(each.has_resources for each in traits.cam_actions),
            listed_tags=self._listed_tags and traits.lists_tags,
        )

    def rule(self, part: Statement | str, named: Truth, at: int, traits: ActionTraits) -> Rule | None:
        """Return the rule that a part of the layer `at` makes for one action, as `rule_of` returns it."""
        return rule_of(part, named, at, traits, catalog=self._catalog, bits=self._bits)

    def _rules(self, traits: ActionTraits) -> tuple[Rule, ...]:
        return tuple(
            rule
            for begin, named in zip(count(0, len(self.layers)), traits.cam_actions, strict=False)
            for at, layer in enumerate(self.layers, begin)
            for rule in rules_of(
                layer, at, named, catalog=self._catalog, statements=self._statements, bits=self._bits
            )
        )
