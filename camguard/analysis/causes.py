"""What caused that a principal gained or lost access to an action between two bundles.

Rule 1: the statements that can be the cause are those that only one bundle has: of a gain, allows of the new
        bundle and denies of the old one; of a loss, the reverse. Where there is none, the cause is the
        boundary, a level of the account, the catalog, or the setting `ip_support`.
Rule 2: statements are compared by content, so that one which only moved within its policy has not changed.
Rule 3: an allow is a cause only in a layer that has none for the calls in the other bundle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from camguard.analysis.access import tables_of
from camguard.analysis.alike import FEW_TABLES, alike_in
from camguard.analysis.answers import Answer
from camguard.analysis.verdicts import verdicts_of
from camguard.bounded_cache import BoundedCache
from camguard.bundle import Bundle
from camguard.catalog.diff import changes
from camguard.engine.attributes import ActionTraits
from camguard.engine.layers import BOUNDARY, GENERAL, IDENTITY, Layers
from camguard.engine.row import ActionRules
from camguard.engine.table import Table
from camguard.policy.keys import READ_ONLY
from camguard.policy.model import Clause, Effect, Statement
from camguard.suggest import few

Kind: TypeAlias = Literal["gained", "lost"]
What: TypeAlias = Literal[
    "added", "removed", "changed", "attached", "detached",
    "boundary", "account", "principal", "catalog", "setting",
]  # fmt: skip
# The facts of an action that decisions on one resource depend on.
_DECIDING = frozenset(
    ["access", "access_guessed", "granularity", "resources", "ip_restriction", "match", "read_only"]
)
_KEPT = 1024  # rows that are kept for further changes
_FEW = 3  # values of a list that a text names


class Cause(NamedTuple):
    """One difference between two bundles that changed access.

    text: what happened, in words. statement: the id of the statement, or None. policy: the id of a policy
    that was attached to the principal or detached from it.
    """

    what: What
    text: str
    statement: str | None = None
    policy: str | None = None


class _Place(NamedTuple):
    """Where a statement is: the id of its policy, and its index there."""

    policy: str
    at: int
    statement: Statement


class Side:
    """One of two bundles, with what is looked up in it again and again.

    contents: what the statements of each policy say. places: of the statements, by id.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.tables = tables_of(bundle.evaluator, kept=FEW_TABLES)
        self.first_of = alike_in(bundle.evaluator)
        self.verdicts = verdicts_of(bundle.evaluator)
        self.contents = {
            name: tuple(map(content_of, policy.statements)) for name, policy in bundle.policies.items()
        }
        self.places = {
            each.id: _Place(name, at, each)
            for name, policy in bundle.policies.items()
            for at, each in enumerate(policy.statements)
        }
        self._personal = frozenset(
            name
            for name, policy in bundle.policies.items()
            if any(clause.key == READ_ONLY for each in policy.statements for clause in each.condition)
        )
        self._differing: BoundedCache[tuple[object, str, str], Cause | None] = BoundedCache(entries=_KEPT)

    def layers(self, principal: str) -> Layers | None:
        """Return the layers of a principal; None where the bundle does not have it."""
        return self.bundle.people.layers.get(principal)

    def table(self, principal: str) -> Table | None:
        """Return the table of a principal; None where the bundle does not have it."""
        layers = self.layers(principal)
        return None if layers is None else self.tables[layers]

    def levels(self, layers: Layers) -> tuple[tuple[str, ...], ...]:
        """Return the ids of the policies of each layer of a principal."""
        boundary = () if layers.boundary is None else (layers.boundary,)
        return *layers.account, layers.identity, boundary

    def names_callers(self, principal: str) -> bool:
        """Return whether others with the same policies can have other access (`ActionRules.names_caller`)."""
        layers = self.layers(principal)
        if layers is None or not self._personal:
            return False
        return any(not self._personal.isdisjoint(level) for level in self.levels(layers))

    def differing(self, other: Side, principal: str, name: str, layer: str, *, is_new: bool) -> Cause | None:
        """Return how a statement differs from what the other side has, or None if that has the same."""
        layers = other.bundle.people.layers[principal]
        key = layers, name, layer
        if key not in self._differing:
            self._differing[key] = _difference(self, other, layers, name, layer, is_new=is_new)
        return self._differing[key]


def content_of(statement: Statement) -> Hashable:
    """Return what a statement says, for comparisons."""
    return (
        statement.effect,
        tuple(each.text for each in statement.actions),
        statement.any_resource,
        tuple(each.text for each in statement.patterns),
        tuple(_clause(each) for each in statement.condition),
    )


def _clause(clause: Clause) -> tuple[str, str, tuple[str, ...]]:
    return clause.text, clause.key, clause.values


def affected(old: Side, new: Side, principal: str) -> int | None:
    """Return the actions, as a set of the index of actions, whose rules can differ; None for all of them.

    Both bundles have the same catalog and owner. An action that no statement names which only one bundle has
    keeps its rules.
    """
    had, has = old.layers(principal), new.layers(principal)
    if had is None or has is None or (had.root, had.boundary is None) != (has.root, has.boundary is None):
        return None
    before, after = old.levels(had), new.levels(has)
    if len(before) != len(after):
        return None
    found = 0
    for was, now in zip(before, after, strict=True):
        if {each for each in was if each not in old.contents} or {
            each for each in now if each not in new.contents
        }:
            return None
        kept = Counter(content for policy in was for content in old.contents[policy])
        kept &= Counter(content for policy in now for content in new.contents[policy])
        for side, level in ((old, was), (new, now)):
            left = kept.copy()
            for policy in level:
                statements = side.bundle.policies[policy].statements
                for content, statement in zip(side.contents[policy], statements, strict=True):
                    if left[content]:
                        left[content] -= 1
                    else:
                        named = side.bundle.evaluator.statements.named[statement]
                        found |= named.certain | named.possible
    return found


class Change(NamedTuple):
    """What is explained: a gain or a loss of one principal for one action, and the answers of both sides."""

    kind: Kind
    principal: str
    action: str
    before: Answer
    after: Answer


class _Held(NamedTuple):
    """What one side has of a change: the table of the principal and the facts of the action."""

    side: Side
    table: Table
    traits: ActionTraits

    def rules(self, effect: Effect) -> Iterator[tuple[str, str]]:
        """Yield the id and the layer of each statement for the action in the policies of the principal."""
        action = self.traits.entry.id
        row = self.table.row(self.side.first_of(self.table).get(action, action))
        if not isinstance(row, ActionRules):
            row = self.table.compile_row(self.traits)  # of a constant decision the rules are not kept
        for rule in row.rules:
            layer = row.layers[rule.layer].name
            if rule.effect is effect and layer != GENERAL:
                yield rule.id, layer


def causes_of(old: Side, new: Side, change: Change) -> tuple[Cause, ...]:
    """Return the causes of a change, at least one."""
    gained = change.kind == "gained"
    names = (change.after if gained else change.before).statements
    first = names[0] if names else None
    had, has = old.table(change.principal), new.table(change.principal)
    if had is None or has is None:
        word = "is new" if gained else "was removed"
        return (Cause("principal", f"the principal {word}", first),)
    was, now = old.bundle.evaluator.traits(change.action), new.bundle.evaluator.traits(change.action)
    if was is None or now is None:
        word = "is new in the catalog" if gained else "is no longer in the catalog"
        return (Cause("catalog", f"the action {word}" + (f", and {first} names it" if first else ""), first),)
    return (
        _statements(_Held(old, had, was), _Held(new, has, now), change)
        or tuple(_limits(*(side.bundle.people.layers[change.principal] for side in (old, new))))
        or tuple(_facts(was, now))
        or (Cause("catalog", "the catalog or the owner changed", first),)
    )


def _statements(old: _Held, new: _Held, change: Change) -> tuple[Cause, ...]:
    """Return the statements that only one side has, and that decide there (Rules 1 and 3)."""
    gained = change.kind == "gained"
    allowing, denying = (new, old) if gained else (old, new)
    allowed, denied = (change.after, change.before) if gained else (change.before, change.after)
    lacking = _lacking(denied)

    def decides(one: _Held, name: str, layer: str) -> bool:
        if one is denying:
            return name in denied.statements
        # An answer that depends on nothing names the allows of the identity layer only.
        unnamed = allowed.decision is not None and layer != IDENTITY
        return layer in lacking and (unnamed or name in allowed.statements)

    found = (
        one.side.differing(other.side, change.principal, name, layer, is_new=one is new)
        for one, other, effect in ((allowing, denying, Effect.ALLOW), (denying, allowing, Effect.DENY))
        for name, layer in one.rules(effect)
        if decides(one, name, layer)
    )
    return tuple(dict.fromkeys(cause for cause in found if cause is not None))


def _lacking(denied: Answer) -> set[str | None]:
    """Return the layers without an allow for calls that are denied; where a deny decides, the identity layer.

    Whether a layer allows is not asked once there is a deny, but a new allow beside it can be a cause, too.
    """
    if denied.decision is None:
        return {need.layer for need in denied.needs}
    return {IDENTITY if denied.statements else denied.decision.layer}


def _difference(  # noqa: PLR0913 - what differs, for which principal, and from which side
    side: Side, other: Side, layers: Layers, name: str, layer: str, *, is_new: bool
) -> Cause | None:
    """Return what `Side.differing` returns. layers: those that the principal has on the other side."""
    place = side.places.get(name)  # None: the id of an attached policy that does not exist (DEC-40)
    policy = name if place is None else place.policy
    if policy not in _attached(layers, layer):
        word: What = "attached" if is_new else "detached"
        link = "to" if is_new else "from"
        where = {IDENTITY: "", BOUNDARY: " as boundary"}.get(layer, f" {link} the {layer} layer")
        named = "it is missing, so it denies" if place is None else f"{place.statement.effect} {name}"
        return Cause(word, f"policy {policy} was {word}{where} ({named})", name, policy)
    if place is None or policy not in other.contents:
        if (place is None) is is_new:
            return Cause("removed", f"policy {policy} is missing now", policy)
        return Cause("added", f"policy {policy} exists now", policy)
    own, others, at = side.contents[policy], other.contents[policy], place.at
    if own[at] in others:
        return None
    if at < len(others) and others[at] not in own:
        pair = place.statement, other.bundle.policies[policy].statements[at]
        before, after = reversed(pair) if is_new else pair
        # The same for both sides, so that a deny which became an allow is one cause.
        return Cause("changed", f"{before.effect} {name} was changed: {what_changed(before, after)}", name)
    word = "added" if is_new else "removed"
    return Cause(word, f"{place.statement.effect} {name} was {word}", name)


def _attached(layers: Layers, layer: str) -> tuple[str | None, ...]:
    """Return the ids of the policies of one layer."""
    if layer == IDENTITY:
        return layers.identity
    if layer == BOUNDARY:
        return (layers.boundary,)
    return tuple(policy for level in layers.account for policy in level)


def what_changed(before: Statement, after: Statement) -> str:
    """Return the elements in which two versions of a statement differ, as text."""
    parts = []
    if before.effect is not after.effect:
        parts.append(f"effect {before.effect} -> {after.effect}")
    parts += _moved("action", [each.text for each in before.actions], [each.text for each in after.actions])
    parts += _moved("resource", _resources(before), _resources(after))
    had = {(each.text, each.key): each.values for each in before.condition}
    has = {(each.text, each.key): each.values for each in after.condition}
    for clause in dict.fromkeys((*had, *has)):
        parts += _moved(" ".join(clause), had.get(clause, ()), has.get(clause, ()))
    return "; ".join(parts) or "the order of its elements"


def _resources(statement: Statement) -> list[str]:
    return [*(["*"] if statement.any_resource else []), *(each.text for each in statement.patterns)]


def _moved(element: str, before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    had, has = tuple(before), tuple(after)
    gone = [each for each in had if each not in has]
    come = [each for each in has if each not in had]
    words = ([f"without {few(gone, _FEW)}"] if gone else []) + ([f"with {few(come, _FEW)}"] if come else [])
    if words:
        yield f"{element} {', '.join(words)}"


def _limits(had: Layers, has: Layers) -> Iterator[Cause]:
    """Yield what changed in the limits of a principal."""
    if had.boundary != has.boundary:
        text = f"the boundary was changed: {had.boundary or 'none'} -> {has.boundary or 'none'}"
        yield Cause("boundary", text, policy=has.boundary or had.boundary)
    if had.account != has.account:
        levels = "1 level" if len(has.account) == 1 else f"{len(has.account)} levels"
        yield Cause("account", f"the account has {levels}; it had {len(had.account)}")


def _facts(had: ActionTraits, has: ActionTraits) -> Iterator[Cause]:
    """Yield what changed in the catalog and in settings for an action that both sides know."""
    for before, after in zip(had.cam_actions, has.cam_actions, strict=False):
        yield from (
            Cause("catalog", f"the catalog changed {each.field} of the action: {each.old} -> {each.new}")
            for each in changes(before.entry, after.entry)
            if each.field in _DECIDING
        )
        if before.supports_tags != after.supports_tags:
            yield Cause("catalog", f"the catalog changed tag_authorization of {after.entry.service}")
        if (
            before.supports_ip != after.supports_ip
            and before.entry.ip_restriction == after.entry.ip_restriction
        ):
            yield Cause(
                "setting",
                f"the setting ip_support was changed: {_ip_support(before)} -> {_ip_support(after)}",
            )


def _ip_support(traits: ActionTraits) -> str:
    return "gateway" if traits.supports_ip else "catalog"
