"""Decides calls on resources, tags and context by an index of the rules of one row.

Theory of operation. Evaluating such a call rule by rule costs time for each rule. The index asks the other
way round: for each part of the call, which rules it satisfies. The answer is a mask with one bit for each
rule, in their order, and most answers are one look-up in a dictionary:

1. `camguard.engine.condition_index` gives the rules whose conditions hold for the address and time, and for
   the values of each key that the rules name.
2. `camguard.engine.resource_index` gives the rules of which a pattern matches, for each resource.

A rule holds where its conditions hold and a pattern matches. Since both may be unknown, each answer is a pair
of masks. The decision follows from the rules that are TRUE and the denies that are unknown:
`camguard.engine.row.combine` makes it once for each combination of them that calls bring about, and a bounded
cache keeps it. So reasons and statements are those of the evaluation rule by rule.

Rule 1: the index decides as `ActionRules.judge` does, which explanations use and tests compare it with. Where
        the work of `judge` could reach a bound, the index leaves the call to `judge`.
Rule 2: memory is bounded: policies determine the dictionaries, and what calls bring is in bounded caches
        only. An index is made when its row is first needed, and dies with the table.
Rule 3: there are no reference cycles: the functions that fill the caches do not know the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from math import inf
from operator import or_
from typing import TypeAlias

from camguard.bounded_cache import BoundedCache
from camguard.engine.attributes import ActionTraits, bindings_of
from camguard.engine.call import Call
from camguard.engine.condition_index import Masks, key_indexes, letters, under
from camguard.engine.decision import Decision
from camguard.engine.resource_index import (
    ResourceIndex,
    contains_uin,
    work_bound,
    work_weight,
)
from camguard.engine.resource_tags import Inventory
from camguard.engine.row import (
    MOST_TAG_WORK,
    NO_ALLOW,
    ActionRules,
    combine,
    on_resource_tags,
    tag_work,
)
from camguard.policy.model import Effect
from camguard.policy.patterns import Bindings
from camguard.policy.resources import MOST_WORK, Found, Owner, mask_of

KEPT = 256  # results that each cache of an index keeps
PRINCIPALS = 32  # for which an index keeps the patterns with the values of their variables
MOST_KINDS = 8  # kinds of resources of a call whose decision is kept

# The rules that decide a call. Negative: denies that are unknown. Else denies that are TRUE, or where there
# are none, the allows that are TRUE for a resource and, in the bit above all rules, whether the owner allows
# it: its kind. A tuple has the different kinds of several resources, in the order of the resources.
Deciding: TypeAlias = int | tuple[int, ...]


def _kinds(deciding: Deciding) -> int:
    return len(deciding) if isinstance(deciding, tuple) else 1


def _decision(row: ActionRules, deciding: Deciding) -> Decision:
    """Return the decision that the deciding rules come to.

    Resources of one kind count as one resource: `combine` asks whether all, some or none lack an allow, and
    which of them is the first.
    """
    unknown = isinstance(deciding, int) and deciding < 0
    kinds = deciding if isinstance(deciding, tuple) else (abs(deciding),)
    together = reduce(or_, kinds)
    judged = []
    for at, rule in enumerate(row.rules):
        if together >> at & 1:
            mask = mask_of([bool(kind >> at & 1) for kind in kinds])
            judged.append((rule, Found(0, mask) if unknown else Found(mask, 0)))
    owned = mask_of([bool(kind >> len(row.rules)) for kind in kinds])
    return combine(row, judged, mask_of([True] * len(kinds)), owned)


class RuleIndex:
    """The index of one row of a table, for one owner and inventory.

    rangeable: a range table decides calls that have neither tags nor context. used_bits: the bits of the
    table's mask that matter; without any, the mask need not be found.
    """

    __slots__ = (
        "_always_owned", "_decisions", "_denies", "_filled", "_free", "_inventory", "_keys", "_longest",
        "_other_keys", "_owner", "_owner_bit", "_patterns", "_tag_keys", "_tag_sizes", "_under", "_varies",
        "_weight", "rangeable", "row", "used_bits",
    )  # fmt: skip

    def __init__(self, row: ActionRules, names: int, owner: Owner, inventory: Inventory | None) -> None:
        """Index a row. names: how many names policies are asked for (DEC-68)."""
        rules = row.rules
        self.row = row
        self.rangeable = row.rangeable and not row.names_caller
        self._owner = owner
        self.used_bits = row.used_bits
        self._under: BoundedCache[int, Masks] = BoundedCache(partial(under, rules), entries=KEPT, size=_kinds)
        self._decisions: BoundedCache[Deciding, Decision] = BoundedCache(
            partial(_decision, row), entries=KEPT, longest=MOST_KINDS, size=_kinds
        )
        self._denies = sum(1 << at for at, rule in enumerate(rules) if rule.effect is Effect.DENY)
        self._free = sum(1 << at for at, rule in enumerate(rules) if not rule.patterns)
        self._always_owned = not row.checks_owner
        self._owner_bit = 1 << len(rules)

        self._keys = key_indexes(rules, len(row.layers) // names)
        self._varies = any(key.varying for key in self._keys)
        self._inventory = inventory if row.reads_tags else None
        listed = self._inventory is not None
        self._tag_keys = tuple(key for key in self._keys if listed and key.of_resource)
        self._other_keys = tuple(key for key in self._keys if key not in self._tag_keys)
        tagged = [rule for rule in rules if any(map(on_resource_tags, rule.residual))]
        clauses = [clause for rule in tagged for clause in rule.clauses]
        self._tag_sizes = len(clauses), sum(len(clause.wanted) for clause in clauses)

        patterns = [(at, pattern) for at, rule in enumerate(rules) for pattern in rule.patterns]
        fixed = [each for each in patterns if not contains_uin(each[1])]
        varying = [each for each in patterns if contains_uin(each[1])]
        self._patterns = ResourceIndex(rules, owner, fixed, "") if fixed or row.checks_owner else None
        self._filled: BoundedCache[str, ResourceIndex] | None = None
        if varying:
            self._filled = BoundedCache(partial(ResourceIndex, rules, owner, varying), entries=PRINCIPALS)
        self._weight = work_weight(pattern for _, pattern in patterns)
        # Letters of a call's one resource within the bound of `work_bound`.
        self._longest = 16 * (MOST_WORK // self._weight - 1) - 1 if self._weight else inf

    def decide(self, call: Call, traits: ActionTraits, mask: int) -> Decision | None:
        """Return the decision of a call, or None where it must be judged rule by rule (Rule 1).

        mask: the bits of the table that hold for the address and the time of the call.
        """
        resources = call.resources
        listed = self._tag_keys and call.resource_tags is None  # each resource has tags of its own (DEC-66)
        bindings = bindings_of(call.principal, self._owner) if self._varies else {}
        masks = self._under[mask & self.used_bits]
        for key in self._other_keys if listed else self._keys:
            masks = key.narrowed(masks, call, traits, bindings)
        if listed or len(resources) != 1:
            return self._of_several(call, traits, bindings, masks) if resources else NO_ALLOW
        (resource,) = resources
        if len(resource or "") > self._longest:
            return None
        true, unknown, kind = self._holding(resource, call.principal, masks)
        return self._decisions[true & self._denies or -(unknown & self._denies) or kind]

    def _holding(self, resource: str | None, principal: str, masks: Masks) -> tuple[int, int, int]:
        """Return the rules that are TRUE for a resource, those that are unknown, and its kind."""
        held, doubt = masks
        matching, near, owned = self._free, 0, self._always_owned
        if self._patterns is not None:
            found, near, owner = self._patterns.find(resource)
            matching |= found
            owned = owned or owner
        if self._filled is not None:
            found, also_near, _ = self._filled[principal].find(resource)
            matching |= found
            near |= also_near
        true = held & ~doubt & matching
        return true, held & (matching | near) & ~true, true | self._owner_bit if owned else true

    def _of_several(
        self, call: Call, traits: ActionTraits, bindings: Bindings, masks: Masks
    ) -> Decision | None:
        """Return the decision of a call of several resources, or of one with tags of its own."""
        resources = call.resources
        if work_bound(self._weight, len(resources), letters(each or "" for each in resources)) > MOST_WORK:
            return None
        each = self._of_tags(call, traits, bindings, masks)
        if each is None:
            return None
        true = unknown = 0
        kinds: dict[int, None] = {}
        for resource, own in zip(resources, each, strict=True):
            found, perhaps, kind = self._holding(resource, call.principal, own)
            true |= found
            unknown |= perhaps
            kinds[kind] = None
        denied = true & self._denies or -(unknown & self._denies)
        return self._decisions[denied or tuple(kinds)]

    def _of_tags(
        self, call: Call, traits: ActionTraits, bindings: Bindings, masks: Masks
    ) -> Sequence[Masks] | None:
        """Return the masks of the conditions for each resource, or None for too many tags (DEC-66)."""
        inventory = self._inventory
        if inventory is None or call.resource_tags is not None:
            return [masks] * len(call.resources)
        sets = [inventory.tags_of(resource) for resource in call.resources]
        clauses, values = self._tag_sizes
        if tag_work(len(sets), sum(len(tags or "?") for tags in sets), clauses, values) > MOST_TAG_WORK:
            return None
        found: dict[int, Masks] = {}  # by the identity of a set of tags, which many resources share
        for tags in sets:
            if id(tags) not in found:
                own = masks
                for key in self._tag_keys:
                    own = key.narrowed(own, call._replace(resource_tags=tags), traits, bindings)
                found[id(tags)] = own
        return [found[id(tags)] for tags in sets]
