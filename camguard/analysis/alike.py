"""Actions that one table cannot tell apart, so that one row answers for all of them.

Theory of operation. What a table says of an action depends on which statements name the action, and on what
the catalog says of it. A company has hundreds of actions and a principal has a few dozen statements, so most
actions are named by exactly the same statements. All actions are grouped once by their facts in the catalog;
each table then splits these groups by the actions that each of its statements names.

Rule 1: two actions of one group get the same rules from every table. A test compiles the rows of all actions.
Rule 2: an action is alone where its own name matters beyond the statements that name it: another name is
        asked for it (DEC-68), or nothing but its name is known (DEC-67).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache

from camguard.bounded_cache import BoundedCache, as_short_as_any
from camguard.catalog.model import Granularity
from camguard.engine.attributes import ActionTraits, read_only_values
from camguard.engine.evaluator import Evaluator
from camguard.engine.table import Table

FEW_TABLES = 4  # of which something is kept at a time; questions go from principal to principal


def alike_in(evaluator: Evaluator) -> Callable[[Table], Mapping[str, str]]:
    """Return a function from a table to the first action of the group of each action that is not alone."""

    @cache  # read at the first table: many questions are answered without one
    def groups() -> Sequence[int]:
        return tuple(actions for _, actions in groups_of(evaluator))

    def split(table: Table) -> Mapping[str, str]:
        named = evaluator.statements.named
        statements = [each for layer in table.layers for each in layer.statements]
        if not all(each in named for each in statements):
            return {}  # a session policy: no index holds its statements
        found = list(groups())
        for mask in {mask for each in statements for mask in named[each]}:
            apart = []
            for at, group in enumerate(found):
                inside = group & mask
                if inside and inside != group:
                    found[at] = inside
                    apart.append(group ^ inside)
            found += apart
        first_of: dict[str, str] = {}
        for group in found:
            members = list(evaluator.statements.members(group))
            first_of |= dict.fromkeys(members, members[0])
        return first_of

    return BoundedCache(split, entries=FEW_TABLES, size=as_short_as_any).__getitem__


def groups_of(evaluator: Evaluator) -> tuple[tuple[ActionTraits, int], ...]:
    """Return the actions that are not alone in groups of equal facts, each with the traits of its first one.

    A group is a set of actions as `camguard.engine.action_index` has them.
    """
    first: dict[Hashable, ActionTraits] = {}
    actions: dict[Hashable, int] = {}
    for action, place in evaluator.statements.places.items():
        traits = evaluator.traits(action)
        assert traits is not None  # noqa: S101 - for mypy: an action that statements name has traits
        if not _stands_alone(traits):
            facts = _facts(traits)
            first.setdefault(facts, traits)
            actions[facts] = actions.get(facts, 0) | 1 << place
    return tuple((traits, actions[facts]) for facts, traits in first.items())


def _stands_alone(traits: ActionTraits) -> bool:
    renamed = traits.label is not None or bool(traits.further)
    return renamed or traits.entry.granularity is Granularity.UNKNOWN


def _facts(traits: ActionTraits) -> Hashable:
    entry = traits.entry
    return (
        *(entry.service, entry.granularity, bool(entry.resources), entry.match),
        *(traits.supports_ip, read_only_values(entry)),
    )
