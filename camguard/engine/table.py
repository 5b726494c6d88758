"""The compiled layers of one set of policies, and what they say of one action.

Rule 1: a table holds one partition of the address line and one of time. Each part carries a mask: bit by
        bit, which address and time clauses hold there.
Rule 2: a row is as far folded as it can be: a ready decision; else decisions by mask, each made once; else
        (resources, tags, context) the rules are judged on the call.
Rule 3: actions of which the same rules speak share one row.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, nextafter
from typing import TypeAlias

from camguard.catalog.model import Catalog
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.layers import IDENTITY, Layer
from camguard.engine.naming import Spread
from camguard.engine.rules import Reading, Rule, rules_of
from camguard.engine.supply import Terms
from camguard.ipset import IpSet
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import IP, TIME
from camguard.policy.model import Clause, Effect, Statement
from camguard.policy.resources import Owner
from camguard.policy.truth import Truth, any_of

NO_ALLOW = Decision(Reason.NO_ALLOW, layer=IDENTITY)

TermsOf: TypeAlias = Callable[[str], Terms | None]  # action -> how conditions see it; None: unknown


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What one table says of one action, where that depends on the call.

    care: the bits of the mask that matter. timed: whether one of them is a time clause.
    folded: whether address and time are all that can matter to a call that supplies nothing else.
    """

    layers: tuple[Layer, ...]
    rules: tuple[Rule, ...]
    any_one: bool  # one of the call's resources suffices (catalog `match`)
    care: int
    timed: bool
    folded: bool
    by_mask: dict[int, Decision] = field(default_factory=dict)

    def under(self, mask: int) -> Decision:
        """Make the decision where these address and time clauses hold, and keep it in `by_mask`."""
        mask &= self.care
        decision = self.by_mask[mask] = settle(self, lambda rule, _: rule.under(mask), ("*",))
        return decision

    def judge(self, call: Call, terms: Terms, owner: Owner) -> Decision:
        """Return the decision by judging every rule on the call."""
        return settle(self, Reading(call, terms, owner).truth, call.resources)


def settle(row: Row, truth: Callable[[Rule, str | None], Truth], resources: Sequence[str | None]) -> Decision:
    """Combine the rules of all layers (cam-semantics 10.2; design 6.8 for which reason when several hold).

    A call passes if each of its resources (one, where the catalog says `any`) is allowed by every layer, and
    none is denied by any. A call that names no resource passes nowhere.
    """
    if not resources:
        return NO_ALLOW
    truths = [[truth(rule, resource) for resource in resources] for rule in row.rules]
    judged = [(rule, any_of(each)) for rule, each in zip(row.rules, truths, strict=True)]
    denies = [(rule, found) for rule, found in judged if rule.effect is Effect.DENY and found is not False]
    for wanted, reason in ((True, Reason.EXPLICIT_DENY), (None, Reason.UNDETERMINED_DENY)):
        counting = [rule for rule, found in denies if found is wanted]
        if counting:
            layer = row.layers[counting[0].layer].name
            return Decision(reason, tuple(dict.fromkeys(rule.id for rule in counting)), layer)
    short = [_short(row, [each[i] for each in truths]) for i in range(len(resources))]
    if None not in short if row.any_one else any(short):
        return _obstacle(row, [name for name in short if name])
    allows = (
        rule.id
        for rule, found in judged
        if rule.effect is Effect.ALLOW and found is True and row.layers[rule.layer].name == IDENTITY
    )
    return Decision(Reason.ALLOWED, tuple(dict.fromkeys(allows)), IDENTITY)


def _short(row: Row, truths: Sequence[Truth]) -> str | None:
    """Return the layer that does not allow one resource, the identity layer before all others, or None."""
    allowing = {
        rule.layer
        for rule, found in zip(row.rules, truths, strict=True)
        if rule.effect is Effect.ALLOW and found is True
    }
    missing = [
        layer.name
        for at, layer in enumerate(row.layers)
        if layer.limits and not layer.open and at not in allowing
    ]
    if IDENTITY in missing:
        return IDENTITY
    return missing[0] if missing else None


def _obstacle(row: Row, names: Sequence[str]) -> Decision:
    """Return why a call lacks an allow: one resource short is enough, or all are where one suffices."""
    others = [name for name in names if name != IDENTITY]
    if others and (row.any_one or len(others) == len(names)):
        return Decision(Reason.LAYER_LIMIT, layer=others[0])
    return NO_ALLOW


def partition(sets: Mapping[IpSet, int]) -> tuple[list[int], list[int]]:
    """Lay sets of addresses over each other: bounds, and between them the bits of the sets that hold.

    Returns (bounds, masks); `masks[bisect_right(bounds, place)]` is the mask at a place.
    """
    flips: dict[int, int] = {}
    for addresses, bit in sets.items():
        for first, last in zip(addresses.starts, addresses.ends, strict=True):
            flips[first] = flips.get(first, 0) ^ bit
            flips[last + 1] = flips.get(last + 1, 0) ^ bit
    bounds = sorted(place for place, bits in flips.items() if bits)
    masks = [0]
    for place in bounds:
        masks.append(masks[-1] ^ flips[place])
    return bounds, masks


def time_partition(clauses: Mapping[Clause, int]) -> tuple[list[float], list[int]]:
    """Cut time where a clause changes: cuts, and for before, at and after each the bits that hold.

    Returns (cuts, masks); the mask at a moment is `masks[bisect_left(cuts, t) + bisect_right(cuts, t)]`.
    Instants are exact, moments are floats: a cut is the last float not after its instant.
    """
    first = 0
    at: dict[float, int] = {}  # bits that flip from before a cut to the cut itself
    after: dict[float, int] = {}  # and from the cut to what follows it
    for clause, bit in clauses.items():
        held = clause_truth(clause, (-inf,), {})
        first |= bit if held else 0
        for cut in sorted({_float_at(instant) for instant in clause.wanted}):
            for moment, flips in ((cut, at), (nextafter(cut, inf), after)):
                holds = clause_truth(clause, (moment,), {})
                flips[cut] = flips.get(cut, 0) ^ (bit if holds is not held else 0)
                held = holds
    cuts = sorted(at)
    masks = [first]
    for cut in cuts:
        masks.append(masks[-1] ^ at[cut])
        masks.append(masks[-1] ^ after[cut])
    return cuts, masks


def _float_at(instant: int | Fraction) -> float:
    nearest = float(instant)
    return nearest if nearest <= instant else nextafter(nearest, -inf)


class Table:
    """Layers compiled for the calls of whoever has them. Rows are made on first use."""

    def __init__(
        self,
        layers: Iterable[Layer],
        terms_of: TermsOf,
        catalog: Catalog,
        spreads: Mapping[Statement, Spread],
    ) -> None:
        self.layers = tuple(layers)
        self.rows: dict[str, Row | Decision] = {}
        self._terms_of = terms_of
        self._catalog = catalog
        self._spreads = spreads
        self._shared: dict[tuple[bool, tuple[Rule, ...]], Row | Decision] = {}
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
        timed = dict(times.values())
        self._timed = sum(timed.values())
        self.cuts, self.time_masks = time_partition(timed)
        self.span = (inf, inf, 0)  # of time in which the same clauses hold: begin, end (outside), their bits
        self.bounds, self.masks = partition(sets)

    def mask_at(self, moment: float) -> int:
        """Return the bits of the time clauses that hold at a moment, seconds since the epoch."""
        at = bisect_left(self.cuts, moment) + bisect_right(self.cuts, moment)
        index, on_cut = divmod(at, 2)
        cuts = (-inf, *self.cuts, inf)
        begin = cuts[index + on_cut]
        end = nextafter(begin, inf) if on_cut else cuts[index + 1]
        # The clock passes a cut now and then: until it does, a call finds the bits in `span`.
        self.span = (begin if on_cut or begin == -inf else nextafter(begin, inf), end, self.time_masks[at])
        return self.time_masks[at]

    def row(self, action: str) -> Row | Decision | None:
        """Make what is said of an action, and keep it in `rows`; None for an unknown action."""
        terms = self._terms_of(action)
        if terms is None:
            return None
        found = self._make(terms)
        if terms.listed:  # callers choose the names that are not; they may not fill the table
            self.rows[action] = found
        return found

    def unfolded(self, terms: Terms) -> Row:
        """Return the row of an action with nothing folded."""
        any_one = terms.entry.match == "any"
        return Row(self.layers, self._rules(terms), any_one, care=0, timed=False, folded=False)

    def _rules(self, terms: Terms) -> tuple[Rule, ...]:
        return tuple(
            rule
            for at, layer in enumerate(self.layers)
            for rule in rules_of(
                layer, at, terms, catalog=self._catalog, spreads=self._spreads, marks=self._marks
            )
        )

    def _make(self, terms: Terms) -> Row | Decision:
        rules = self._rules(terms)
        any_one = terms.entry.match == "any"
        found = self._shared.get((any_one, rules))
        if found is None:
            found = self._shared[any_one, rules] = self._fold(rules, any_one=any_one)
        return found

    def _fold(self, rules: tuple[Rule, ...], *, any_one: bool) -> Row | Decision:
        care = 0
        for rule in rules:
            care |= rule.needs | rule.bars
        row = Row(
            self.layers,
            rules,
            any_one,
            care,
            timed=bool(care & self._timed),
            folded=not any(rule.patterns for rule in rules),
        )
        if care or not row.folded or any(rule.opens for rule in rules):
            return row
        return row.under(0)
