"""A smaller policy that says the same: covered statements left out, statements and ranges merged.

Theory of operation. Every step is proposed by the texts of statements, so that it holds whatever the catalog
will contain, and proved by the access of two principals: one has the policy alone, the other one has it
beside a policy that allows everything. The first shows what the policy allows and does not deny, the second
what it denies. Where neither gains or loses a call, the policy means the same to every principal, in every
layer, beside any other policy.

Rule 1: a step that is not proved is not taken.
Rule 2: nothing that decides is read from one statement alone: the proof compares whole policies, under both
        values of the setting `ip_support`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Any, NamedTuple, TypeAlias, get_args

from camguard.analysis.causes import Side
from camguard.analysis.diff import access_diff, actions_of, principals_of
from camguard.bundle import make_bundle
from camguard.catalog import Catalog
from camguard.engine.action_index import IpSupport
from camguard.errors import PolicyError
from camguard.lint.check_redundancy import covers, names_all, reaches_all
from camguard.policy.document import parse_policy
from camguard.policy.model import Clause, Effect, Policy, Statement
from camguard.policy.operators import Kind
from camguard.policy.patterns import STAR
from camguard.policy.resources import Owner

Tree: TypeAlias = dict[str, Any]  # a statement as a document has it
_BOTH: tuple[IpSupport, ...] = get_args(IpSupport)
_EVERYTHING = {"effect": "allow", "action": "*", "resource": "*"}


class Reduction(NamedTuple):
    """What became of a policy. steps: in words, in their order; empty where it cannot be made smaller."""

    before: Policy
    after: Policy
    document: Tree
    steps: tuple[str, ...]


class _Named(NamedTuple):
    """A statement of the policy as it is now. id: that of the policy as it was."""

    id: str
    tree: Tree


class _Step(NamedTuple):
    text: str
    statements: list[_Named]


def reduce_policy(policy: Policy, catalog: Catalog, owner: Owner) -> Reduction:
    """Return a policy that means the same with fewer statements and entries, and the steps to it."""
    current, named = policy, [_Named(each.id, tree_of(each)) for each in policy.statements]
    steps: list[str] = []
    taken = True
    while taken:
        taken = False
        for step in _proposals(current, named):
            smaller = _parsed([each.tree for each in step.statements], policy)
            if smaller is not None and equivalent(policy, smaller, catalog, owner):
                current, named, taken = smaller, step.statements, True
                steps.append(step.text)
                break
    return Reduction(policy, current, _document([each.tree for each in named]), tuple(steps))


def equivalent(one: Policy, other: Policy, catalog: Catalog, owner: Owner) -> bool:
    """Return whether two policies mean the same to every principal (see the theory of operation)."""
    return not any(_differs(one, other, catalog, owner, ip_support) for ip_support in _BOTH)


def _differs(one: Policy, other: Policy, catalog: Catalog, owner: Owner, ip_support: IpSupport) -> bool:
    everything = parse_policy(json.dumps(_document([_EVERYTHING])), one.source)
    users = {"1000001": {"policies": ["own"]}, "1000002": {"policies": ["own", "everything"]}}
    people = {
        "owner": {"uin": owner.uin, "app_id": owner.app_id},
        "users": users,
    }
    old, new = (
        Side(make_bundle({"own": each, "everything": everything}, people, catalog, ip_support=ip_support))
        for each in (one, other)
    )
    return bool(access_diff(old, new, principals_of(old, new), actions_of(old, new)))


def tree_of(statement: Statement) -> Tree:
    """Return a statement as a document has it, with lists everywhere."""
    condition: dict[str, dict[str, list[str]]] = {}
    for clause in statement.condition:
        condition.setdefault(clause.text, {})[clause.key] = list(clause.values)
    resources = [*([STAR] if statement.any_resource else []), *(each.text for each in statement.patterns)]
    tree: Tree = {
        "effect": str(statement.effect),
        "action": [each.text for each in statement.actions],
        "resource": resources,
    }
    return {**tree, "condition": condition} if condition else tree


def _document(trees: list[Tree]) -> Tree:
    return {"version": "2.0", "statement": trees}


def _parsed(trees: list[Tree], policy: Policy) -> Policy | None:
    try:
        return parse_policy(json.dumps(_document(trees)), policy.source)
    except PolicyError:
        return None  # a text that stands for a number or a boolean is not always taken for one


# --- the steps ----------------------------------------------------------------------------------------------


def _proposals(policy: Policy, named: list[_Named]) -> Iterator[_Step]:
    """Yield possible steps: those within a statement first, then those that leave a statement out."""
    for at, statement in enumerate(policy.statements):
        id_ = named[at].id
        for text, tree in _within(statement, named[at].tree):
            yield _Step(f"{id_}: {text}", [*named[:at], _Named(id_, tree), *named[at + 1 :]])
    for (i, narrow), (j, wide) in permutations(enumerate(policy.statements), 2):
        rest = [each for at, each in enumerate(named) if at != i]
        less, more = named[i].id, named[j].id
        if _left_out(wide, narrow) and (i > j or not _left_out(narrow, wide)):
            yield _Step(f"{less}: left out, because {more} covers it", rest)
        elif i > j:
            for merged in _merged(wide, narrow):
                yield _Step(f"{less}: merged with {more}", [*rest[:j], _Named(more, merged), *rest[j + 1 :]])


def _left_out(wide: Statement, narrow: Statement) -> bool:
    """Return whether a statement seems to say nothing beside another one; a deny cancels allows, too."""
    return (wide.effect is narrow.effect or wide.effect is Effect.DENY) and covers(wide, narrow)


def _within(statement: Statement, tree: Tree) -> Iterator[tuple[str, Tree]]:
    """Yield a statement with fewer entries in one of its lists."""
    actions = statement.actions
    # A deny on resources reaches actions by the names that it lists (CAM 11.3, DEC-67).
    if statement.effect is Effect.ALLOW or statement.any_resource:
        for one, other in permutations(range(len(actions)), 2):
            wide, narrow = actions[one], actions[other]
            if names_all(wide, narrow) and (one < other or not names_all(narrow, wide)):
                text = f"without the action {narrow.text}, which {wide.text} covers"
                yield text, {**tree, "action": _without(tree["action"], other)}
                return
    first = len(tree["resource"]) - len(statement.patterns)  # the place of the first pattern: behind the star
    if first and statement.patterns:
        yield "without the resources beside *", {**tree, "resource": [STAR]}
        return
    for one, other in permutations(range(len(statement.patterns)), 2):
        pattern, by = statement.patterns[other], statement.patterns[one]
        if (pattern.text == by.text and one < other) or reaches_all(by, pattern):
            text = f"without the resource {pattern.text}, which {by.text} covers"
            yield text, {**tree, "resource": _without(tree["resource"], first + other)}
            return
    for clause in statement.condition:
        fewer = clause.addresses.cidrs() if clause.addresses is not None else ()
        if fewer and len(fewer) < len(clause.values):
            text = f"{clause.text} {clause.key}: {len(clause.values)} ranges become {len(fewer)}"
            yield text, _with_values(tree, clause, list(fewer))
            return


def _without(items: list[str], at: int) -> list[str]:
    return [*items[:at], *items[at + 1 :]]


def _with_values(tree: Tree, clause: Clause, values: list[str]) -> Tree:
    condition = {operator: dict(keys) for operator, keys in tree["condition"].items()}
    condition[clause.text][clause.key] = values
    return {**tree, "condition": condition}


def _merged(one: Statement, other: Statement) -> Iterator[Tree]:
    """Yield a statement that says what two say, where they differ in one element.

    The address of a call is one value, so two lists of ranges can become one. Other keys can have several
    values, of which one list may know some and the other list the rest (DEC-28).
    """
    first, second = tree_of(one), tree_of(other)
    keys = {
        each
        for each in ("effect", "action", "resource", "condition")
        if _sorted(first, each) != _sorted(second, each)
    }
    if keys == {"action"} and (one.effect is Effect.ALLOW or one.any_resource):
        yield {**first, "action": list(dict.fromkeys([*first["action"], *second["action"]]))}
    if keys == {"resource"} and one.effect is Effect.ALLOW:
        yield {**first, "resource": list(dict.fromkeys([*first["resource"], *second["resource"]]))}
    if keys == {"condition"}:
        yield from _with_both_ranges(first, one, other)


def _sorted(tree: Tree, element: str) -> object:
    found = tree.get(element)
    if isinstance(found, list):
        return sorted(found)
    if isinstance(found, Mapping):
        return {
            operator: {key: sorted(each) for key, each in keys.items()} for operator, keys in found.items()
        }
    return found


def _with_both_ranges(tree: Tree, one: Statement, other: Statement) -> Iterator[Tree]:
    theirs = {(each.text, each.key): each.values for each in other.condition}
    if theirs.keys() != {(each.text, each.key) for each in one.condition}:
        return
    differing = [each for each in one.condition if sorted(each.values) != sorted(theirs[each.text, each.key])]
    if len(differing) != 1:
        return
    (clause,) = differing
    if clause.operator.kind is Kind.IP and not clause.operator.negated:
        values = [*clause.values, *theirs[clause.text, clause.key]]
        yield _with_values(tree, clause, list(dict.fromkeys(values)))
