"""The rules of one action in one table, and how the rules of all layers combine to a decision.

Theory of operation. Most policies limit a call by source address and time alone. The address line and time
are one-dimensional, so all conditions on them together cut the line into a few ranges, and within one range
every such condition has the same truth. `ActionRules` uses that in three forms, each slower than the one
before:

1. Nothing in the rules depends on the call: one ready `Decision`.
2. Only address and time matter: a `RangeTable`, which holds for one interval of time the bounds of the
   address ranges and one ready `Decision` per range. A call costs one bisection. A call at another time
   replaces the table by that of its own interval.
3. Resources, tags or other keys matter: `judge` evaluates every rule on the call.

Forms 1 and 2 are computed from bit masks. `camguard.engine.intervals` gives every range and every interval of
time a mask: one bit per condition on address or time, set where the condition holds. A `Rule` keeps the bits
that it requires and the bits that it forbids. Ranges whose masks differ only in bits that no rule uses have
the same decision, so decisions are computed once per used mask, and neighbouring ranges with equal decisions
are merged.

Rule 1: the forms agree. `judge` evaluates the same rules without masks; tests compare the results.
Rule 2: no layer may deny, and every limiting layer must allow. A deny that is TRUE takes precedence over a
        deny that is unknown, and this one over a missing allow (CAM 10.2).
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
from camguard.engine.rules import Rule, RuleEvaluation
from camguard.policy.model import Effect
from camguard.policy.resources import Owner
from camguard.policy.truth import Truth, any_of

NO_ALLOW = Decision(Reason.NO_ALLOW, layer=IDENTITY)


class RangeTable(NamedTuple):
    """The ready decisions from `begin` to before `end`: `decisions[bisect_right(bounds, place)]`."""

    begin: float
    end: float
    bounds: tuple[int, ...]
    decisions: tuple[Decision, ...]


NO_RANGES = RangeTable(inf, inf, (), ())  # holds at no time, so that every call computes the table it needs


def constant_ranges(decision: Decision) -> RangeTable:
    """Return the table of a decision that is the same for every address and time."""
    return RangeTable(-inf, inf, (), (decision,))


class ActionRules:
    """The rules that one table has for one action.

    match_any: an allow for one of the call's resources is enough (`match` in the catalog).
    checks_owner: the identity layer of root allows every resource of root's own account, so the account of
        the resource matters (CAM 10.3).
    rangeable: address and time are all that can matter to a call without tags and context.
    ranges: the table for the time of the last call. It is one attribute that is replaced as a whole, because
        threads share it.
    """

    __slots__ = (
        "_by_mask", "_used_bits", "checks_owner", "layers", "match_any", "rangeable", "ranges", "rules",
    )  # fmt: skip

    def __init__(
        self, layers: tuple[Layer, ...], rules: tuple[Rule, ...], *, match_any: bool, resource_level: bool
    ) -> None:
        self.layers = layers
        self.rules = rules
        self.match_any = match_any
        self.checks_owner = resource_level and any(layer.open for layer in layers)
        self.rangeable = not self.checks_owner and not any(rule.patterns for rule in rules)
        self.ranges = NO_RANGES
        self._used_bits = 0
        for rule in rules:
            self._used_bits |= rule.required_bits | rule.forbidden_bits
        self._by_mask: dict[int, Decision] = {}

    @property
    def constant(self) -> Decision | None:
        """The decision of every call, or None where it depends on the call."""
        if self._used_bits or not self.rangeable or any(rule.residual for rule in self.rules):
            return None
        return self.decision_for(0)

    def decision_for(self, mask: int) -> Decision:
        """Return the decision where exactly the conditions of a mask hold. mask: used bits only."""
        decision = self._by_mask.get(mask)
        if decision is None:
            decision = combine(self, lambda rule, _: rule.truth_for(mask), ("*",), (True,))
            self._by_mask[mask] = decision
        return decision

    def rebuild(self, interval: TimeInterval, bounds: Sequence[int], masks: Sequence[int]) -> RangeTable:
        """Replace `ranges` by the table of an interval of time, and return it.

        bounds, masks: the partition of the address line, as `partition_addresses` returns it.
        """
        starts: list[int] = []
        decisions: list[Decision] = []
        previous = None
        for i, mask in enumerate(masks):
            used = (mask | interval.mask) & self._used_bits
            if used != previous:
                previous = used
                decision = self.decision_for(used)
                if not decisions or decision != decisions[-1]:
                    decisions.append(decision)
                    starts += bounds[i - 1 : i]
        ranges = self.ranges = RangeTable(interval.begin, interval.end, tuple(starts), tuple(decisions))
        return ranges  # not self.ranges: another thread may have replaced it by that of another interval

    def judge(self, call: Call, traits: ActionTraits, owner: Owner) -> Decision:
        """Return the decision by evaluating every rule on the call."""
        owned = [not self.checks_owner or owner.owns(resource) for resource in call.resources]
        return combine(self, RuleEvaluation(call, traits, owner).truth, call.resources, owned)


TruthOf: TypeAlias = Callable[[Rule, str | None], Truth]  # rule, resource -> whether the rule applies


def combine(
    row: ActionRules, truth: TruthOf, resources: Sequence[str | None], owned: Sequence[bool]
) -> Decision:
    """Combine the rules of all layers into one decision (CAM 10.2).

    resources: of the call; without any, nothing is allowed. owned: for each whether it belongs to the owner,
    or True where that does not matter.
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
    limits = [_limiting_layer(row, [each[i] for each in truths], owned=own) for i, own in enumerate(owned)]
    if None not in limits if row.match_any else any(limits):
        return _not_allowed(row, [name for name in limits if name])
    allows = (
        rule.id
        for rule, found in judged
        if rule.effect is Effect.ALLOW and found is True and row.layers[rule.layer].name == IDENTITY
    )
    return Decision(Reason.ALLOWED, tuple(dict.fromkeys(allows)), IDENTITY)


def _limiting_layer(row: ActionRules, truths: Sequence[Truth], *, owned: bool) -> str | None:
    """Return a layer that does not allow one resource (the identity layer first), or None if all allow it."""
    allowing = {
        rule.layer
        for rule, found in zip(row.rules, truths, strict=True)
        if rule.effect is Effect.ALLOW and found is True
    }
    missing = [
        layer.name
        for at, layer in enumerate(row.layers)
        if layer.limits and not (layer.open and owned) and at not in allowing
    ]
    if IDENTITY in missing:
        return IDENTITY
    return missing[0] if missing else None


def _not_allowed(row: ActionRules, names: Sequence[str]) -> Decision:
    """Return the denial of a call that lacks an allow. names: the limiting layers of its resources."""
    others = [name for name in names if name != IDENTITY]
    if others and (row.match_any or len(others) == len(names)):
        return Decision(Reason.LAYER_LIMIT, layer=others[0])
    return NO_ALLOW
