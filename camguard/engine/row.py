"""What one set of policies says of one action, and how the layers' rules combine.

Rule 1: a row is as far folded as it can be: a ready decision; else, for a stretch of time, the address line
        cut into ranges with ready decisions; else (resources, tags, context) the rules are judged on it.
Rule 2: no layer may deny, every layer that limits must allow, and a deny that is TRUE outranks one that is
        unknown, which outranks a missing allow (cam-semantics 10.2, design 6.8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.layers import IDENTITY, Layer
from camguard.engine.partition import Span
from camguard.engine.rules import Reading, Rule
from camguard.engine.supply import Terms
from camguard.policy.model import Effect
from camguard.policy.resources import Found, Owner, mask_of
from camguard.policy.truth import Truth

NO_ALLOW = Decision(Reason.NO_ALLOW, layer=IDENTITY)


class Fold(NamedTuple):
    """The address line for a stretch of time: `decisions[bisect_right(bounds, place)]` is ready there."""

    begin: float
    end: float
    bounds: tuple[int, ...]
    decisions: tuple[Decision, ...]


NEVER = Fold(inf, inf, (), ())


def always(decision: Decision) -> Fold:
    """Return the fold of what is decided alike at every place and time."""
    return Fold(-inf, inf, (), (decision,))


class Row:
    """What is said of one action, where that depends on the call.

    foldable: whether address and time are all that can matter to a call that supplies nothing else.
    fold: the folded form for the time of the last call; one attribute, replaced as a whole.
    """

    __slots__ = ("_by_mask", "_care", "any_one", "fold", "foldable", "layers", "own_only", "rules")

    def __init__(
        self, layers: tuple[Layer, ...], rules: tuple[Rule, ...], *, any_one: bool, aimed: bool
    ) -> None:
        self.layers = layers
        self.rules = rules
        self.any_one = any_one  # one of the call's resources suffices (catalog `match`)
        # aimed: the action is authorized on resources, and root's word is about its own ones (10.3)
        self.own_only = aimed and any(layer.open for layer in layers)
        self.foldable = not self.own_only and not any(rule.patterns for rule in rules)
        self.fold = NEVER
        self._care = 0  # the bits of a mask that matter
        for rule in rules:
            self._care |= rule.needs | rule.bars
        self._by_mask: dict[int, Decision] = {}

    @property
    def ready(self) -> Decision | None:
        """The decision of every call, where nothing of a call matters."""
        if self._care or not self.foldable or any(rule.opens for rule in self.rules):
            return None
        return self.under(0)

    def under(self, mask: int) -> Decision:
        """Return the decision where the clauses of a mask hold, made once for each. mask: of `_care`."""
        decision = self._by_mask.get(mask)
        if decision is None:
            decision = self._by_mask[mask] = settle(self, lambda rule: _ALONE[rule.under(mask)], 1, 1)
        return decision

    def refold(self, span: Span, bounds: Sequence[int], masks: Sequence[int]) -> Fold:
        """Fold the row for a stretch of time. bounds, masks: the address line as the table has cut it."""
        places: list[int] = []
        decisions: list[Decision] = []
        last = None
        for i, mask in enumerate(masks):
            here = (mask | span.mask) & self._care
            if here != last:
                last = here
                decision = self.under(here)
                if not decisions or decision != decisions[-1]:
                    decisions.append(decision)
                    places += bounds[i - 1 : i]
        fold = self.fold = Fold(span.begin, span.end, tuple(places), tuple(decisions))
        return fold  # not what another thread may have put there since, for another stretch

    def judge(self, call: Call, terms: Terms, owner: Owner) -> Decision:
        """Return the decision by judging every rule on the call: the unfolded form."""
        own = mask_of([not self.own_only or owner.owns(resource) for resource in call.resources])
        return settle(self, Reading(call, terms, owner).found, len(call.resources), own)


Judge: TypeAlias = Callable[[Rule], Found]  # of one rule for all resources of a call
_ALONE: Mapping[Truth, Found] = MappingProxyType({True: Found(1, 0), None: Found(0, 1), False: Found(0, 0)})


def settle(row: Row, judge: Judge, count: int, own: int) -> Decision:
    """Combine the rules of all layers (cam-semantics 10.2; design 6.8 for which reason when several hold).

    A call passes if each of its resources (one, where the catalog says `any`) is allowed by every layer, and
    none is denied by any. A call that names no resource passes nowhere.

    count: of the call's resources. own: the mask of those of which an open layer speaks.
    """
    if not count:
        return NO_ALLOW
    judged = [(rule, judge(rule)) for rule in row.rules]
    denies = [(rule, found) for rule, found in judged if rule.effect is Effect.DENY]
    for reason, counting in (
        (Reason.EXPLICIT_DENY, [rule for rule, found in denies if found.true]),
        (Reason.UNDETERMINED_DENY, [rule for rule, found in denies if found.unknown]),
    ):
        if counting:
            layer = row.layers[counting[0].layer].name
            return Decision(reason, tuple(dict.fromkeys(rule.id for rule in counting)), layer)
    allows = [(rule, found.true) for rule, found in judged if rule.effect is Effect.ALLOW and found.true]
    every = mask_of([True] * count)
    missing = [(layer.name, mask) for layer, mask in _missing(row, allows, every, own)]
    short = 0
    for _, mask in missing:
        short |= mask
    if short == every if row.any_one else short:
        return _obstacle(row, missing, short)
    ids = (rule.id for rule, _ in allows if row.layers[rule.layer].name == IDENTITY)
    return Decision(Reason.ALLOWED, tuple(dict.fromkeys(ids)), IDENTITY)


def _missing(
    row: Row, allows: Iterable[tuple[Rule, int]], every: int, own: int
) -> Iterator[tuple[Layer, int]]:
    """Yield each layer that limits, with the mask of the resources that it does not allow."""
    allowed = [0] * len(row.layers)
    for rule, mask in allows:
        allowed[rule.layer] |= mask
    for layer, mask in zip(row.layers, allowed, strict=True):
        if layer.limits:
            yield layer, every & ~mask & ~(own if layer.open else 0)


def _obstacle(row: Row, missing: Sequence[tuple[str, int]], short: int) -> Decision:
    """Return why a call lacks an allow: one resource short is enough, or all are where one suffices."""
    identity = 0
    for name, mask in missing:
        identity |= mask if name == IDENTITY else 0
    others = short & ~identity
    if others and (row.any_one or not identity):
        first = others & -others  # the first resource that the identity layer does allow
        return Decision(Reason.LAYER_LIMIT, layer=next(name for name, mask in missing if mask & first))
    return NO_ALLOW
