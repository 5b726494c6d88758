"""Which actions of the catalog each statement names: settled when a bundle is loaded.

Rule 1: a pattern is spread over the catalog once, whoever writes it.
Rule 2: `named` holds for sure, `doubtful` is unknown (cam-semantics 4: U5, U6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from camguard.catalog.model import Action, Catalog
from camguard.policy.actions import action_match
from camguard.policy.model import ActionPattern, Effect, Policy, Statement
from camguard.policy.star import STAR


class Spread(NamedTuple):
    """The ids that one pattern, or all patterns of one statement, name."""

    named: frozenset[str]
    doubtful: frozenset[str]


_Key = tuple[str, str, Effect]


class Naming:
    """The spread of every statement of some policies over one catalog."""

    def __init__(self, catalog: Catalog, policies: Iterable[Policy]) -> None:
        self._catalog = catalog
        self._folded: dict[str, list[Action]] = {}
        for entry in catalog.actions.values():
            self._folded.setdefault(entry.id.lower(), []).append(entry)
        self._patterns: dict[_Key, Spread] = {}
        self._unions: dict[frozenset[_Key], Spread] = {}
        self.spreads: Mapping[Statement, Spread] = {
            statement: self._spread(statement) for policy in policies for statement in policy.statements
        }

    def _spread(self, statement: Statement) -> Spread:
        effect = statement.effect
        keys = frozenset((pattern.service, pattern.name, effect) for pattern in statement.actions)
        union = self._unions.get(keys)
        if union is None:
            each = [self._of_pattern(pattern, effect) for pattern in statement.actions]
            named = frozenset().union(*(spread.named for spread in each))
            doubtful = frozenset().union(*(spread.doubtful for spread in each)) - named
            union = self._unions[keys] = Spread(named, doubtful)
        return union

    def _of_pattern(self, pattern: ActionPattern, effect: Effect) -> Spread:
        key = (pattern.service, pattern.name, effect)
        spread = self._patterns.get(key)
        if spread is None:
            found = [
                (entry.id, action_match(pattern, effect, entry.service, entry.name))
                for entry in self._candidates(pattern)
            ]
            spread = self._patterns[key] = Spread(
                frozenset(name for name, truth in found if truth),
                frozenset(name for name, truth in found if truth is None),
            )
        return spread

    def _candidates(self, pattern: ActionPattern) -> Iterable[Action]:
        """Return the actions that a pattern could name: one look-up where it has no star."""
        if STAR not in pattern.service + pattern.name:
            return self._folded.get(f"{pattern.service}:{pattern.name}".lower(), ())
        if STAR not in pattern.service:
            service = self._catalog.services.get(pattern.service.lower())
            return service.actions.values() if service else ()
        return self._catalog.actions.values()
