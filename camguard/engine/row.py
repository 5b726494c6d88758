"""What one set of policies says of one action, and how the layers' rules combine.

Rule 1: a row is as far folded as it can be: a ready decision; else, for a stretch of time, the address line
        cut into ranges with ready decisions; else (resources, tags, context) the rules are judged on it.
Rule 2: no layer may deny, every layer that limits must allow, and a deny that is TRUE outranks one that is
        unknown, which outranks a missing allow (cam-semantics 10.2, design 6.8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple, TypeAlias

from camguard.engine.attributes import ActionTraits
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.intervals import TimeInterval
from camguard.engine.layers import IDENTITY, Layer
from camguard.engine.rules import Reading, Rule
from camguard.policy.model import Effect
from camguard.policy.resources import Owner
from camguard.policy.truth import Truth, any_of

NO_ALLOW = Decision(Reason.NO_ALLOW, layer=IDENTITY)


class RangeTable(NamedTuple):
    """The address line for a stretch of time: `decisions[bisect_right(bounds, place)]` is ready there."""

    begin: float
    end: float
    bounds: tuple[int, ...]
    decisions: tuple[Decision, ...]


NO_RANGES = RangeTable(inf, inf, (), ())


def constant_ranges(decision: Decision) -> RangeTable:
    """Return the fold of what is decided alike at every place and time."""
    return RangeTable(-inf, inf, (), (decision,))


class ActionRules:
    """What is said of one action, where that depends on the call.

    rangeable: whether address and time are all that can matter to a call that supplies nothing else.
    fold: the folded form for the time of the last call; one attribute, replaced as a whole.
    """

    __slots__ = (
        "_by_mask", "_relevant", "checks_owner", "layers", "match_any", "rangeable", "ranges", "rules",
    )  # fmt: skip

    def __init__(
        self, layers: tuple[Layer, ...], rules: tuple[Rule, ...], *, match_any: bool, aimed: bool
    ) -> None:
        self.layers = layers
        self.rules = rules
        self.match_any = match_any  # one of the call's resources suffices (catalog `match`)
        # aimed: the action is authorized on resources, and root's word is about its own ones (10.3)
        self.checks_owner = aimed and any(layer.open for layer in layers)
        self.rangeable = not self.checks_owner and not any(rule.patterns for rule in rules)
        self.ranges = NO_RANGES
        self._relevant = 0  # the bits of a mask that matter
        for rule in rules:
            self._relevant |= rule.required_bits | rule.forbidden_bits
        self._by_mask: dict[int, Decision] = {}

    @property
    def ready(self) -> Decision | None:
        """The decision of every call, where nothing of a call matters."""
        if self._relevant or not self.rangeable or any(rule.residual for rule in self.rules):
            return None
        return self.decision_for(0)

    def decision_for(self, mask: int) -> Decision:
        """Return the decision where the clauses of a mask hold, made once for each. mask: of `_relevant`."""
        decision = self._by_mask.get(mask)
        if decision is None:
            decision = self._by_mask[mask] = combine(
                self, lambda rule, _: rule.truth_for(mask), ("*",), (True,)
            )
        return decision

    def rebuild(self, span: TimeInterval, bounds: Sequence[int], masks: Sequence[int]) -> RangeTable:
        """Fold the row for a stretch of time. bounds, masks: the address line, as cut."""
        places: list[int] = []
        decisions: list[Decision] = []
        last = None
        for i, mask in enumerate(masks):
            here = (mask | span.mask) & self._relevant
            if here != last:
                last = here
                decision = self.decision_for(here)
                if not decisions or decision != decisions[-1]:
                    decisions.append(decision)
                    places += bounds[i - 1 : i]
        fold = self.ranges = RangeTable(span.begin, span.end, tuple(places), tuple(decisions))
        return fold  # not what another thread may have put there since, for another stretch

    def judge(self, call: Call, traits: ActionTraits, owner: Owner) -> Decision:
        """Return the decision by judging every rule on the call: the unfolded form."""
        own = [not self.checks_owner or owner.owns(resource) for resource in call.resources]
        return combine(self, Reading(call, traits, owner).truth, call.resources, own)


Judge: TypeAlias = Callable[[Rule, str | None], Truth]  # of one rule for one resource


def combine(row: ActionRules, truth: Judge, resources: Sequence[str | None], own: Sequence[bool]) -> Decision:
    """Combine the rules of all layers (cam-semantics 10.2; design 6.8 for which reason when several hold).

    A call passes if each of its resources (one, where the catalog says `any`) is allowed by every layer, and
    none is denied by any. A call that names no resource passes nowhere.

    own: for each resource, whether an open layer speaks of it.
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
    short = [_short(row, [each[i] for each in truths], own=mine) for i, mine in enumerate(own)]
    if None not in short if row.match_any else any(short):
        return _obstacle(row, [name for name in short if name])
    allows = (
        rule.id
        for rule, found in judged
        if rule.effect is Effect.ALLOW and found is True and row.layers[rule.layer].name == IDENTITY
    )
    return Decision(Reason.ALLOWED, tuple(dict.fromkeys(allows)), IDENTITY)


def _short(row: ActionRules, truths: Sequence[Truth], *, own: bool) -> str | None:
    """Return the layer that does not allow one resource, the identity layer before all others, or None."""
    allowing = {
        rule.layer
        for rule, found in zip(row.rules, truths, strict=True)
        if rule.effect is Effect.ALLOW and found is True
    }
    missing = [
        layer.name
        for at, layer in enumerate(row.layers)
        if layer.limits and not (layer.open and own) and at not in allowing
    ]
    if IDENTITY in missing:
        return IDENTITY
    return missing[0] if missing else None


def _obstacle(row: ActionRules, names: Sequence[str]) -> Decision:
    """Return why a call lacks an allow: one resource short is enough, or all are where one suffices."""
    others = [name for name in names if name != IDENTITY]
    if others and (row.match_any or len(others) == len(names)):
        return Decision(Reason.LAYER_LIMIT, layer=others[0])
    return NO_ALLOW
