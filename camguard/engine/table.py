"""The compiled layers of one set of policies.

Rule 1: a table cuts the address line and time once, for all its statements; a row only picks from that.
Rule 2: rows are made on first use; actions of which the same rules speak share one row.
Rule 3: `folds` is where a call is looked up: what was folded last for an action, `NEVER` where nothing was or
        can be. It holds catalog names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from camguard.catalog.model import Catalog, Granularity
from camguard.engine.decision import Decision
from camguard.engine.layers import Layer
from camguard.engine.naming import Spread
from camguard.engine.partition import partition, span_at, time_partition
from camguard.engine.row import NEVER, Fold, Row, always
from camguard.engine.rules import Rule, rules_of
from camguard.engine.supply import Terms
from camguard.ipset import IpSet
from camguard.policy.keys import IP, TIME
from camguard.policy.model import Clause, Statement

TermsOf: TypeAlias = Callable[[str], Terms | None]  # action -> how conditions see it; None: unknown


class Table:
    """Layers compiled for the calls of whoever has them. Rows are made on first use."""

    __slots__ = (
        "_catalog", "_marks", "_masks", "_shared", "_spreads", "_terms_of", "_time_masks", "bounds", "cuts",
        "folds", "layers", "rows",
    )  # fmt: skip

    def __init__(
        self,
        layers: Iterable[Layer],
        terms_of: TermsOf,
        catalog: Catalog,
        spreads: Mapping[Statement, Spread],
    ) -> None:
        self.layers = tuple(layers)
        self.rows: dict[str, Row | Decision] = {}
        self.folds: dict[str, Fold] = {}
        self._terms_of = terms_of
        self._catalog = catalog
        self._spreads = spreads
        self._shared: dict[tuple[bool, bool, tuple[Rule, ...]], Row | Decision] = {}
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
        self.cuts, self._time_masks = time_partition(dict(times.values()))
        self.bounds, self._masks = partition(sets)

    def fold(self, action: str, row: Row, moment: float) -> Fold:
        """Fold the row of an action for the stretch of time around a moment, seconds since the epoch."""
        fold = row.fold
        if not fold.begin <= moment < fold.end:
            span = span_at(self.cuts, self._time_masks, moment)
            fold = row.refold(span, self.bounds, self._masks)
        if action in self.rows:
            self.folds[action] = fold
        return fold

    def row(self, action: str) -> Row | Decision | None:
        """Return what is said of an action, made on first use; None for an unknown action."""
        found = self.rows.get(action)
        if found is not None:
            return found
        terms = self._terms_of(action)
        if terms is None:
            return None
        made = self.unfolded(terms)
        key = (made.any_one, made.own_only, made.rules)
        found = self._shared.get(key)
        if found is None:
            ready = made.ready
            found = made if ready is None else ready
        if terms.listed:  # callers choose the names that are not; they may not fill the table
            self._shared[key] = self.rows[action] = found
            self.folds[action] = always(found) if isinstance(found, Decision) else NEVER
        return found

    def unfolded(self, terms: Terms) -> Row:
        """Return the row of an action by itself, with nothing folded and nothing shared."""
        aimed = terms.entry.granularity is Granularity.RESOURCE
        return Row(self.layers, self._rules(terms), any_one=terms.entry.match == "any", aimed=aimed)

    def _rules(self, terms: Terms) -> tuple[Rule, ...]:
        return tuple(
            rule
            for at, layer in enumerate(self.layers)
            for rule in rules_of(
                layer, at, terms, catalog=self._catalog, spreads=self._spreads, marks=self._marks
            )
        )
