"""The least policy that allows recorded calls, and what it allows beyond them.

Theory of operation. Calls of an action that is authorized at operation level need the resource `*`, others
the resources that they named; a condition on the address is possible only where the catalog says so. Actions
that agree in this share one statement, so that there are as few statements as the language permits. Addresses
become a few CIDR blocks (`camguard.analysis.cover`).

Rule 1: every call that `covered` counts was decided under the policy. A call that the policy cannot allow is
        listed with its decision.
Rule 2: an action is named by a pattern only if the pattern names no action of the catalog that was not
        recorded, unless patterns are asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from camguard.analysis.cover import cover
from camguard.analysis.questions import callable_actions
from camguard.bundle import Bundle
from camguard.catalog.model import Granularity
from camguard.engine.attributes import ActionTraits
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.engine.layers import Layers, resolve
from camguard.ipset import IpSet
from camguard.policy.document import parse_policy
from camguard.policy.keys import IP
from camguard.policy.model import Policy
from camguard.policy.patterns import STAR, star_match
from camguard.policy.resources import SEGMENTS, read_resource

_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])|.")


class Wishes(NamedTuple):
    """What a person leaves open.

    most_ranges: CIDR blocks of one statement. patterns: whether actions are named by patterns that name
    further actions, too. each_action: whether each action keeps the addresses of its own calls, which takes
    more statements. most_resources: that a statement lists; above, `type/*` stands for those of one type.
    """

    most_ranges: int = 4
    patterns: bool = False
    each_action: bool = False
    most_resources: int = 20


class Range(NamedTuple):
    """A CIDR block of the policy: how many addresses it has, and how many of them were recorded."""

    cidr: str
    addresses: int
    recorded: int


class Suggestion(NamedTuple):
    """A policy, and what it allows beyond the recorded calls.

    document: the tree of the policy. further_actions: allowed, and not recorded. ranges: of all conditions.
    further_resources: patterns that stand for resources of their type that were not recorded.
    further_ranges: for an action the blocks from which no call of it was recorded. anywhere: actions that are
    allowed from every address, because the cloud does not surely restrict their address, or that of their
    service. covered: how many
    of the different calls the policy allows; the others are in `not_covered`.
    """

    document: Mapping[str, Any]
    policy: Policy
    further_actions: tuple[str, ...]
    ranges: tuple[Range, ...]
    further_ranges: Mapping[str, tuple[str, ...]]
    further_resources: tuple[str, ...]
    anywhere: tuple[str, ...]
    covered: int
    not_covered: tuple[tuple[Call, Decision], ...]


class _Need(NamedTuple):
    """One action that a policy must name, with the addresses and resources of its calls."""

    traits: ActionTraits
    places: frozenset[int]
    resources: frozenset[str]

    @property
    def kind(self) -> tuple[bool, str]:
        """Return what decides which actions can share a statement."""
        entry = self.traits.entry
        whole = entry.service if entry.granularity is Granularity.SERVICE else ""
        return self.traits.supports_ip, whole or str(self.traits.has_resources)


def suggest(bundle: Bundle, calls: Collection[Call], wishes: Wishes = Wishes()) -> Suggestion:  # noqa: B008
    """Return the least policy for the calls of one principal. calls: different, each with an address."""
    needs = _needs(bundle, calls)
    askable = _askable(bundle)
    statements = tuple(_statements(askable, needs, wishes))
    document = {"version": "2.0", "statement": list(statements)}
    policy = parse_policy(json.dumps(document), "suggested.json")
    alone = Layers(root=False, account=(), identity=(policy.id,), boundary=None)
    layers = tuple(resolve(alone, {policy.id: policy}, None))
    decided = [(call, bundle.evaluator.judge_with(layers, call)) for call in calls]
    return Suggestion(
        document,
        policy,
        tuple(_further_actions(askable, policy, {need.traits.entry.id for need in needs})),
        tuple(_ranges(statements, {place for need in needs for place in need.places})),
        _further_ranges(statements, needs),
        tuple(
            each for s in statements if s["resource"] != STAR for each in s["resource"] if each.endswith(STAR)
        ),
        tuple(need.traits.entry.id for need in needs if _from_anywhere(statements, need.traits.entry.id)),
        sum(bool(decision) for _, decision in decided),
        tuple((call, decision) for call, decision in decided if not decision),
    )


def _needs(bundle: Bundle, calls: Iterable[Call]) -> tuple[_Need, ...]:
    """Return the names that policies are asked for, in their order (DEC-68)."""
    places: dict[str, set[int]] = {}
    resources: dict[str, set[str]] = {}
    traits: dict[str, ActionTraits] = {}
    for call in calls:
        found = bundle.evaluator.traits(call.action)
        for named in found.cam_actions if found is not None else ():
            name = named.entry.id
            traits[name] = named
            places.setdefault(name, set()).update(() if call.source_ip is None else (call.source_ip,))
            resources.setdefault(name, set()).update(each for each in call.resources if each is not None)
    return tuple(
        _Need(traits[name], frozenset(places[name]), frozenset(resources[name])) for name in sorted(traits)
    )


# --- the statements -------------------------------------------------------------------------------------


def _statements(askable: Sequence[str], needs: Sequence[_Need], wishes: Wishes) -> Iterator[dict[str, Any]]:
    groups: dict[object, list[_Need]] = {}
    names = {need.traits.entry.id for need in needs}
    for need in needs:
        own = need.places if wishes.each_action and need.traits.supports_ip else None
        ranges = None if own is None else cover(own, wishes.most_ranges)
        groups.setdefault((need.kind, ranges), []).append(need)
    for alike in groups.values():
        first = next(need.traits for need in alike)
        statement: dict[str, Any] = {"effect": "allow", "action": _actions(askable, alike, names, wishes)}
        statement["resource"] = STAR
        if first.has_resources:
            named = _resources({each for need in alike for each in need.resources}, wishes.most_resources)
            if not named:
                continue  # the policy cannot name them: the calls are not covered
            statement["resource"] = named
        places = {place for need in alike for place in need.places}
        if first.supports_ip and places:
            ranges = cover(places, wishes.most_ranges)
            statement["condition"] = {"ip_equal": {IP: list(ranges.cidrs())}}
        yield statement


def _resources(recorded: Iterable[str], most: int) -> list[str]:
    """Return the resources that a statement names. A text that policies cannot have is left out."""
    if STAR in recorded:
        return [STAR]
    texts = (_without_project(each) for each in recorded)
    named = sorted({each for each in texts if "$" not in each and not isinstance(read_resource(each), tuple)})
    if len(named) <= most:
        return named
    return sorted({_of_its_type(each) for each in named})


def _of_its_type(text: str) -> str:
    """Return the pattern for all resources of the type of one resource; one without a type as it is."""
    *head, path = text.split(":", SEGMENTS - 1)  # an account has a slash, too
    return ":".join((*head, f"{path.rpartition('/')[0]}/{STAR}")) if "/" in path else text


def _without_project(text: str) -> str:
    """Return a resource without its project segment, which policies leave empty (DEC-13)."""
    head, _, rest = text.partition(":")
    return f"{head}::{rest.partition(':')[2]}"


def _actions(askable: Sequence[str], needs: Sequence[_Need], recorded: set[str], wishes: Wishes) -> list[str]:
    """Return names and patterns for some actions. recorded: all actions, those of other statements too."""
    by_service: dict[str, list[str]] = {}
    for need in needs:
        by_service.setdefault(need.traits.entry.service, []).append(need.traits.entry.name)
    found = []
    for service, names in by_service.items():
        prefix = f"{service}:"
        listed = [each.removeprefix(prefix) for each in askable if each.startswith(prefix)]
        if next(need.traits for need in needs).entry.granularity is Granularity.SERVICE:
            found.append(f"{service}:{STAR}")  # nothing else allows it (DEC-46)
        else:
            others = [name for name in listed if name not in names]
            apart = [name for name in others if not wishes.patterns or f"{service}:{name}" in recorded]
            found += [f"{service}:{each}" for each in _named(names, others, apart)]
    return found


def _named(names: Sequence[str], others: Sequence[str], apart: Sequence[str]) -> Iterator[str]:
    """Yield names, and patterns that end in a star in place of at least two names.

    others: the further names that the catalog has for the service, of which a pattern of a first word may
    name those that are not `apart`.
    """
    left = dict.fromkeys(names)
    first_words = {_WORDS.findall(name)[0] for name in names}
    for beginning in sorted({each for name in names for each in _beginnings(name)}):
        mine = [name for name in left if name.startswith(beginning)]
        forbidden = apart if beginning in first_words else others
        if len(mine) > 1 and not any(name.startswith(beginning) for name in forbidden):
            yield f"{beginning}{STAR}"
            for name in mine:
                del left[name]
    yield from left


def _beginnings(name: str) -> Iterator[str]:
    """Yield the beginnings of a name that end with one of its words, the empty one first."""
    text = ""
    for word in ("", *_WORDS.findall(name)):
        text += word
        yield text


# --- what is allowed beyond -----------------------------------------------------------------------------


def _askable(bundle: Bundle) -> tuple[str, ...]:
    """Return every name that policies can be asked for: of the catalog, and those of host labels (DEC-68)."""
    names = dict.fromkeys(bundle.catalog.actions)
    for action in callable_actions(bundle.catalog):
        traits = bundle.evaluator.traits(action)
        names |= dict.fromkeys(each.entry.id for each in (traits.cam_actions if traits else ()))
    return tuple(names)


def _further_actions(askable: Iterable[str], policy: Policy, recorded: set[str]) -> Iterator[str]:
    patterns = [f"{each.service}:{each.name}" for s in policy.statements for each in s.actions]
    yield from (
        name
        for name in askable
        if name not in recorded and any(star_match(pattern, name) for pattern in patterns)
    )


def _cidrs_of(statement: Mapping[str, Any]) -> Sequence[str]:
    cidrs: Sequence[str] = statement.get("condition", {}).get("ip_equal", {}).get(IP, ())
    return cidrs


def _ranges(statements: Iterable[Mapping[str, Any]], places: Collection[int]) -> Iterator[Range]:
    for cidr in dict.fromkeys(cidr for each in statements for cidr in _cidrs_of(each)):
        block = IpSet.of([cidr])
        (first,), (last,) = block.starts, block.ends
        yield Range(cidr, last - first + 1, sum(place in block for place in places))


def _from_anywhere(statements: Iterable[Mapping[str, Any]], name: str) -> bool:
    return any(
        "condition" not in each and any(star_match(pattern, name) for pattern in each["action"])
        for each in statements
    )


def _further_ranges(
    statements: Iterable[Mapping[str, Any]], needs: Iterable[_Need]
) -> Mapping[str, tuple[str, ...]]:
    found = {}
    for need in needs:
        name = need.traits.entry.id
        cidrs = dict.fromkeys(
            cidr
            for each in statements
            if any(star_match(pattern, name) for pattern in each["action"])
            for cidr in _cidrs_of(each)
        )
        unused = tuple(cidr for cidr in cidrs if not any(place in IpSet.of([cidr]) for place in need.places))
        if unused:
            found[name] = unused
    return found
