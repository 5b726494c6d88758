"""The rules of one action in one table, and how the rules of all layers combine to a decision.

Theory of operation. Most policies limit a call by source address and time alone. The address line and time
are one-dimensional, so all conditions on them together cut the line into a few ranges, and within one range
every such condition has the same truth. `ActionRules` decides in four ways, each slower than the one before:

1. Nothing in the rules depends on the call: one ready `Decision`.
2. Only address and time matter: a `RangeTable`, which holds for one interval of time the bounds of the
   address ranges and one ready `Decision` per range. A call costs one bisection. A call at another time
   replaces the table by that of its own interval.
3. Resources, tags or further keys matter too: `camguard.engine.rule_index` looks up which rules hold.
4. The call lacks its address or time, or has too much to compare for an index: `judge` evaluates every rule.

The first three ways use bit masks. `camguard.engine.intervals` gives every range and every interval of time a
mask: one bit per condition on address or time, set where the condition holds. A `Rule` keeps the bits that it
requires, the bits that it forbids, and those that leave it unknown. Ranges whose masks differ only in bits
that no rule uses have the same decision, so decisions are computed once per used mask, and neighbouring
ranges with equal decisions are merged.

Rule 1: the four ways agree. `judge` evaluates the same rules without masks; tests compare the results.
Rule 2: no layer may deny, and every limiting layer must allow. A deny that is TRUE takes precedence over a
        deny that is unknown, and this one over a missing allow (CAM 10.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from camguard.engine.attributes import ActionTraits, bindings_of, clause_truth_of
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.intervals import TimeInterval
from camguard.engine.layers import IDENTITY, Layer
from camguard.engine.resource_tags import Inventory, Tags
from camguard.engine.rules import Rule
from camguard.policy.keys import READ_ONLY, RESOURCE_TAGS
from camguard.policy.model import Clause, Effect
from camguard.policy.patterns import Bindings
from camguard.policy.resources import Found, Owner, mask_of, match_resources
from camguard.policy.values import Truth, all_of

NO_ALLOW = Decision(Reason.NO_ALLOW, layer=IDENTITY)
# Work of comparing the different sets of tags of one call's resources with rules, in units of about a
# microsecond.
MOST_TAG_WORK = 32_000
_UNITS_PER_CLAUSE = 3  # besides one for each value that is compared


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
    reads_tags: a rule depends on the tags of the call's resources, which the inventory lists (DEC-66).
    residual: a rule depends on more than resources, address and time.
    rangeable: address and time are all that can matter to a call without tags and context.
    names_caller: a clause on a key that the catalog supplies contains a variable, so that a range table does
        not decide.
    has_variables: a resource pattern contains a variable, whose value depends on the principal.
    used_bits: the bits of the table's masks that matter to a rule.
    ranges: the table for the time of the last call. It is one attribute that is replaced as a whole, because
        threads share it.
    """

    __slots__ = (
        "_by_mask", "checks_owner", "has_variables", "layers", "match_any", "names_caller", "rangeable",
        "ranges", "reads_tags", "residual", "rules", "used_bits",
    )  # fmt: skip

    def __init__(
        self,
        layers: tuple[Layer, ...],
        rules: tuple[Rule, ...],
        *,
        match_any: bool,
        resource_level: bool,
        listed_tags: bool,
    ) -> None:
        self.layers = layers
        self.rules = rules
        self.match_any = match_any
        self.checks_owner = resource_level and any(layer.open for layer in layers)
        self.ranges = NO_RANGES
        patterns = [pattern for rule in rules for pattern in rule.patterns]
        keys = {clause.key.partition("/")[0] for rule in rules for clause in rule.residual}
        self.residual = bool(keys)
        self.reads_tags = listed_tags and not keys.isdisjoint(RESOURCE_TAGS)
        self.rangeable = not self.checks_owner and not patterns and not self.reads_tags
        self.has_variables = any(not isinstance(pattern.path, str) for pattern in patterns)
        self.names_caller = any(clause.key == READ_ONLY for rule in rules for clause in rule.residual)
        self.used_bits = 0
        for rule in rules:
            self.used_bits |= rule.bits.every
        self._by_mask: dict[int, Decision] = {}

    @property
    def constant(self) -> Decision | None:
        """The decision of every call, or None where it depends on the call."""
        if self.used_bits or not self.rangeable or self.residual:
            return None
        return self.decision_for(0)

    def decision_for(self, mask: int) -> Decision:
        """Return the decision where exactly the conditions of a mask hold. mask: used bits only."""
        decision = self._by_mask.get(mask)
        if decision is None:
            found = [
                (rule, ALONE[truth]) for rule in self.rules if (truth := truth_under(rule, mask)) is not False
            ]
            decision = self._by_mask[mask] = combine(self, found, 1, 1)
        return decision

    def rebuild(self, interval: TimeInterval, bounds: Sequence[int], masks: Sequence[int]) -> RangeTable:
        """Replace `ranges` by the table of an interval of time, and return it.

        bounds, masks: the partition of the address line, as `partition_addresses` returns it.
        """
        starts: list[int] = []
        decisions: list[Decision] = []
        previous = None
        for i, mask in enumerate(masks):
            used = (mask | interval.mask) & self.used_bits
            if used != previous:
                previous = used
                decision = self.decision_for(used)
                if not decisions or decision != decisions[-1]:
                    decisions.append(decision)
                    starts += bounds[i - 1 : i]
        ranges = self.ranges = RangeTable(interval.begin, interval.end, tuple(starts), tuple(decisions))
        return ranges  # not self.ranges: another thread may have replaced it by that of another interval

    def judge(self, call: Call, traits: ActionTraits, owner: Owner, inventory: Inventory | None) -> Decision:
        """Return the decision by evaluating every rule on the call.

        inventory: the tags of the resources, where the call itself does not supply them (DEC-66).
        """
        bindings = bindings_of(call.principal, owner)
        size = len(self.layers) // (1 + len(traits.further))  # layers of one name (DEC-68)

        def truth_of(rule: Rule, call: Call = call) -> Truth:
            named = traits.cam_actions[rule.layer // size] if traits.further else traits
            truths = (clause_truth_of(clause, call, named, bindings) for clause in rule.clauses)
            return all_of((rule.settled, *truths))

        if inventory is not None and self.reads_tags and call.resource_tags is None:
            return self._judge_by_tags(call, owner, bindings, truth_of, inventory)
        return self._combined(call, owner, bindings, truth_of)

    def _judge_by_tags(
        self,
        call: Call,
        owner: Owner,
        bindings: Bindings,
        truth_of: Callable[[Rule, Call], Truth],
        inventory: Inventory,
    ) -> Decision:
        """Return the decision of a call each of whose resources is judged with its own tags (DEC-66)."""
        every, found = match_resources(
            call.resources, [(rule.patterns, rule.effect) for rule in self.rules], owner, bindings
        )
        groups = _by_tags(call, inventory)
        tagged = [any(map(on_resource_tags, rule.residual)) for rule in self.rules]
        clauses = [c for rule, own in zip(self.rules, tagged, strict=True) if own for c in rule.clauses]
        # Where the work would exceed its bound, rules on tags are undetermined: they deny, and allow nothing.
        affordable = affords_tags([variant.resource_tags for variant, _ in groups], clauses)
        judged = []
        for rule, own, each in zip(self.rules, tagged, found, strict=True):
            true = unknown = 0
            for variant, mask in groups if own and affordable else [(call, every)]:
                truth = truth_of(rule, variant)
                true |= mask if truth else 0
                unknown |= mask if truth is None else 0
            certain = each.true & true
            judged.append((rule, Found(certain, (each.true | each.unknown) & (true | unknown) & ~certain)))
        owned = mask_of(map(owner.owns, call.resources)) if self.checks_owner else every
        return combine(self, judged, every, owned)

    def _combined(
        self, call: Call, owner: Owner, bindings: Bindings, truth_of: Callable[[Rule], Truth]
    ) -> Decision:
        """Compare the resources of a call. truth_of: whether the conditions of a rule hold for it."""
        held = [(rule, truth) for rule in self.rules if (truth := truth_of(rule)) is not False]
        wanted = [(rule.patterns, rule.effect) for rule, _ in held]
        every, found = match_resources(call.resources, wanted, owner, bindings)
        judged = [
            (rule, each if truth else Found(0, each.true | each.unknown))
            for (rule, truth), each in zip(held, found, strict=True)
        ]
        owned = mask_of(map(owner.owns, call.resources)) if self.checks_owner else every
        return combine(self, judged, every, owned)


def on_resource_tags(clause: Clause) -> bool:
    """Return whether a clause is on the tags of the resource."""
    return clause.key.partition("/")[0] in RESOURCE_TAGS


def affords_tags(sets: Sequence[Tags | None], clauses: Sequence[Clause]) -> bool:
    """Return whether the different sets of tags of one call may be compared with the clauses of its rules."""
    values = sum(len(clause.wanted) for clause in clauses)
    sizes = sum(len(tags or "?") for tags in sets)
    return tag_work(len(sets), sizes, len(clauses), values) <= MOST_TAG_WORK


def tag_work(sets: int, sizes: int, clauses: int, values: int) -> int:
    """Return the work of comparing sets of tags, `sizes` tags together, with clauses of so many values."""
    return sets * clauses * _UNITS_PER_CLAUSE + sizes * values


def _by_tags(call: Call, inventory: Inventory) -> list[tuple[Call, int]]:
    """Return a call for each different set of tags, and the mask of the resources that have it."""
    masks: dict[int, tuple[Tags | None, int]] = {}
    for at, resource in enumerate(call.resources):
        tags = inventory.tags_of(resource)
        masks[id(tags)] = tags, masks.get(id(tags), (tags, 0))[1] | 1 << 8 * at
    return [(call._replace(resource_tags=tags), mask) for tags, mask in masks.values()]


def truth_under(rule: Rule, mask: int) -> Truth:
    """Return whether the conditions of a rule hold for a call of this mask that supplies nothing else."""
    truth = truth_without_residual(rule, mask)
    return None if truth and rule.residual else truth


def truth_without_residual(rule: Rule, mask: int) -> Truth:
    """Return whether all conditions of a rule but the residual ones hold for a call of this mask."""
    bits = rule.bits
    if mask & bits.required != bits.required or mask & bits.forbidden:
        return False
    if bits.unknown_without & ~mask or bits.unknown_with & mask:
        return None
    return rule.settled


# What a truth says of a call with one resource.
ALONE: Mapping[Truth, Found] = MappingProxyType({True: Found(1, 0), None: Found(0, 1), False: Found(0, 0)})


def combine(row: ActionRules, judged: Sequence[tuple[Rule, Found]], every: int, owned: int) -> Decision:
    """Combine the rules of all layers into one decision (CAM 10.2).

    judged: for which resources of the call each rule applies; a rule that does not apply may be left out.
    every: the mask of all resources; without any, nothing is allowed. owned: the mask of those that belong to
    the owner, or of all where that does not matter.
    """
    if not every:
        return NO_ALLOW
    denies = [(rule, found) for rule, found in judged if rule.effect is Effect.DENY]
    if denies:
        for reason, counting in (
            (Reason.EXPLICIT_DENY, [rule for rule, found in denies if found.true]),
            (Reason.UNDETERMINED_DENY, [rule for rule, found in denies if found.unknown]),
        ):
            if counting:
                layer = row.layers[counting[0].layer].name
                return Decision(reason, tuple(dict.fromkeys(rule.id for rule in counting)), layer)
    allows = [(rule, found.true) for rule, found in judged if rule.effect is Effect.ALLOW and found.true]
    limits = [(layer.name, mask) for layer, mask in _limiting_layers(row, allows, every, owned)]
    short = 0
    for _, mask in limits:
        short |= mask
    if short == every if row.match_any else short:
        return _not_allowed(row, limits, short)
    ids = (rule.id for rule, _ in allows if row.layers[rule.layer].name == IDENTITY)
    return Decision(Reason.ALLOWED, tuple(dict.fromkeys(ids)), IDENTITY)


def _limiting_layers(
    row: ActionRules, allows: Iterable[tuple[Rule, int]], every: int, owned: int
) -> Iterator[tuple[Layer, int]]:
    """Yield each layer that limits, with the mask of the resources that it does not allow."""
    allowed = [0] * len(row.layers)
    for rule, mask in allows:
        allowed[rule.layer] |= mask
    for layer, mask in zip(row.layers, allowed, strict=True):
        if layer.limits:
            yield layer, every & ~mask & ~(owned if layer.open else 0)


def _not_allowed(row: ActionRules, limits: Sequence[tuple[str, int]], short: int) -> Decision:
    """Return the denial of a call that lacks an allow. short: the mask of the resources without one."""
    identity = 0
    for name, mask in limits:
        identity |= mask if name == IDENTITY else 0
    others = short & ~identity
    if others and (row.match_any or not identity):
        first = others & -others  # the first resource that the identity layer does allow
        return Decision(Reason.LAYER_LIMIT, layer=next(name for name, mask in limits if mask & first))
    return NO_ALLOW
