"""The actions of one catalog: which of them a pattern names, and which names a call may use.

Rule 1: a set of actions is an `int` with one bit per action, in the order of their ids. Two sets are compared
        in one step.
Rule 2: a pattern is compared with the catalog once, in whichever policies it is written; the engine and lint
        use the same index. What the index remembers is bounded by the policies of the bundle; the patterns of
        session policies, which callers choose, are never added to it.
Rule 3: whether a call may use a name, or why not, depends on the catalog and on the settings only.
Rule 4: nothing here has a reference to tables or to the evaluator, so tables can keep it without a reference
        cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

from camguard.catalog.labels import ApiAction, api_action, api_actions
from camguard.catalog.model import Access, Action, Catalog, Granularity
from camguard.engine.attributes import ActionTraits
from camguard.engine.decision import Decision, Reason
from camguard.grammar import ACTION_NAME, SERVICE
from camguard.policy.actions import action_match
from camguard.policy.model import ActionPattern, Effect, Policy, Statement
from camguard.policy.patterns import STAR
from camguard.policy.values import Truth, any_of

ACTION_INVALID = Decision(Reason.ACTION_INVALID)
ACTION_UNKNOWN = Decision(Reason.ACTION_UNKNOWN)
SERVICE_UNKNOWN = Decision(Reason.SERVICE_UNKNOWN)

IpSupport = Literal["catalog", "gateway"]
UnknownAction = Literal["refuse", "judge"]


class NamedActions(NamedTuple):
    """The actions that a pattern, or a whole statement, names.

    certain: named for sure. possible: it cannot be determined whether they are named (CAM 4, DEC-7, DEC-8).
    """

    certain: int
    possible: int

    @property
    def either(self) -> int:
        """All of them."""
        return self.certain | self.possible


_Key: TypeAlias = tuple[str, str, Effect]


class ActionIndex:
    """The actions of one catalog, and what every pattern looked up so far names among them.

    actions: in the order of their ids. places: id -> index in `actions`, which is the action's bit.
    services: service -> the set of its actions.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.actions = tuple(sorted(catalog.actions.values(), key=lambda action: action.id))
        self.places: Mapping[str, int] = {action.id: i for i, action in enumerate(self.actions)}
        self.services = {name: self.set_of(row.actions.values()) for name, row in catalog.services.items()}
        # By lower-case id: a deny may match an action only when letter case is ignored (DEC-7).
        self._by_id: dict[str, list[Action]] = {}
        for action in self.actions:
            self._by_id.setdefault(action.id.lower(), []).append(action)
        self._patterns: dict[_Key, NamedActions] = {}
        self._statements: dict[frozenset[_Key], NamedActions] = {}

    def set_of(self, actions: Iterable[Action]) -> int:
        """Return the set of some actions of the catalog, each given once."""
        return sum(1 << self.places[action.id] for action in actions)

    def members(self, actions: int) -> Iterator[Action]:
        """Yield the actions of a set, in the order of their ids."""
        while actions:
            lowest = actions & -actions
            yield self.actions[lowest.bit_length() - 1]
            actions ^= lowest

    def named_by_pattern(self, pattern: ActionPattern, effect: Effect) -> NamedActions:
        """Return the actions that one pattern names."""
        key = (pattern.service, pattern.name, effect)
        named = self._patterns.get(key)
        if named is None:
            found: dict[Truth, list[Action]] = {True: [], None: [], False: []}
            for action in self._candidates(pattern):
                found[action_match(pattern, effect, action.service, action.name)].append(action)
            named = self._patterns[key] = NamedActions(self.set_of(found[True]), self.set_of(found[None]))
        return named

    def named_by_statement(self, statement: Statement) -> NamedActions:
        """Return the actions that all patterns of a statement name together."""
        effect = statement.effect
        keys = frozenset((pattern.service, pattern.name, effect) for pattern in statement.actions)
        union = self._statements.get(keys)
        if union is None:
            certain = possible = 0
            for pattern in statement.actions:
                named = self.named_by_pattern(pattern, effect)
                certain |= named.certain
                possible |= named.possible
            union = self._statements[keys] = NamedActions(certain, possible & ~certain)
        return union

    def _candidates(self, pattern: ActionPattern) -> Iterable[Action]:
        """Return the actions that a pattern could name: one look-up where it has no wildcard."""
        if STAR in pattern.service:
            return self.actions
        if STAR in pattern.name:
            service = self.catalog.services.get(pattern.service.lower())  # the catalog has no capitals there
            return service.actions.values() if service else ()
        return self._by_id.get(f"{pattern.service}:{pattern.name}".lower(), ())


class StatementIndex:
    """Which actions the statements of some policies name, determined when a bundle is loaded.

    places: the place of each action of the catalog in the sets of `named`.
    """

    def __init__(self, index: ActionIndex, policies: Iterable[Policy]) -> None:
        self.named: Mapping[Statement, NamedActions] = {
            statement: index.named_by_statement(statement)
            for policy in policies
            for statement in policy.statements
        }
        self.places = index.places
        self._ids = tuple(index.places)

    def members(self, actions: int) -> Iterator[str]:
        """Yield the ids of a set of actions, in their order."""
        while actions:
            lowest = actions & -actions
            yield self._ids[lowest.bit_length() - 1]
            actions ^= lowest

    def truth(self, statement: Statement, action: Action) -> Truth:
        """Tell whether a statement names an action.

        A statement of a session policy, and an action that the catalog lacks, are compared anew.
        """
        named = self.named.get(statement)
        place = self.places.get(action.id)
        if named is None or place is None:
            return any_of(
                action_match(p, statement.effect, action.service, action.name) for p in statement.actions
            )
        return bool(named.certain >> place & 1) or (None if named.possible >> place & 1 else False)


class KnownActions:
    """The actions of one catalog under the settings `ip_support` and `unknown_action`.

    A call names an action by the label of its host (DEC-68): `cbs:CreateDisks`, for which policies are asked
    `cvm:CreateDisks`.
    """

    def __init__(self, catalog: Catalog, *, ip_support: IpSupport, unknown_action: UnknownAction) -> None:
        self._catalog = catalog
        self._gateway_ip = ip_support == "gateway"
        self._judge_unknown = unknown_action == "judge"
        labels = api_actions(catalog)
        self._labels = frozenset(labels)
        self._traits = {
            found.entry.id: self._traits_of(found, in_catalog=True)
            for actions in labels.values()
            for found in actions.values()
        }

    def traits(self, action: str) -> ActionTraits | None:
        """Return the traits of an action, or None if calls of it are refused without evaluation."""
        found = self._traits.get(action)
        if found is not None or not self._judge_unknown:
            return found
        label, _, name = action.partition(":")
        if label not in self._labels or not ACTION_NAME.fullmatch(name):
            return None
        listed = self._catalog.services.get(label)
        level = Granularity.OPERATION if listed and not listed.names_only else Granularity.UNKNOWN
        entry = Action(label, name, Access.OTHER, level, ("*",), ip_restriction=False)
        return self._traits_of(api_action(self._catalog, entry, listed=False), in_catalog=False)

    def why_unknown(self, action: str) -> Decision:
        """Return the refusal of calls of a name that has no traits."""
        service, _, name = action.partition(":")
        if not ACTION_NAME.fullmatch(name):
            return ACTION_INVALID
        if service in self._labels:
            return ACTION_UNKNOWN
        return SERVICE_UNKNOWN if SERVICE.fullmatch(service) else ACTION_INVALID

    def _traits_of(self, action: ApiAction, *, in_catalog: bool) -> ActionTraits:
        label = None if action.entry.id in (each.id for each in action.cam_actions) else action.entry
        first, *further = (
            self._cam_traits(entry, label, in_catalog=in_catalog) for entry in action.cam_actions
        )
        return replace(first, further=tuple(further)) if further else first

    def _cam_traits(self, entry: Action, label: Action | None, *, in_catalog: bool) -> ActionTraits:
        listed = self._catalog.services.get(entry.service)
        tags = listed is not None and listed.tag_authorization
        return ActionTraits(entry, entry.ip_restriction or self._gateway_ip, tags, in_catalog, label)
