"""Compares the difference of two bundles with what the independent oracle decides under each of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf, isfinite, nextafter
from typing import NamedTuple

from camguard.analysis.causes import Side
from camguard.analysis.diff import Group, Part, access_diff, actions_of, principals_of
from camguard.bundle import Bundle
from camguard.ipset import LINE_END, NO_ADDRESS, format_address
from tests.analysis.agreement import decision_of, one_resource, truths_of
from tests.bridge import to_bundle, to_catalog
from tests.generators import Dice, Json, World, a_call, a_document, an_action, seeded, stream

OTHERS = 4  # further calls in each range of a change that depends on more than address and time
CALLS = 12  # of each pair of bundles, wherever they are
GROUPS = 6  # of each pair of bundles that are sampled
NO_ACTION = {"action_unknown", "action_invalid", "service_unknown"}


class Mismatch(NamedTuple):
    """A call on which the two decisions of the oracle do not differ as the diff says."""

    call: Json
    says: Sequence[str]
    decisions: tuple[str, str]


def changed(dice: Dice, world: World) -> World:
    """Return a bundle with one to three changes of policies, principals, catalog or settings."""
    policies, principals = dict(world.policies), json.loads(json.dumps(world.principals))
    catalog, settings = json.loads(json.dumps(world.catalog)), dict(world.settings)
    for _ in range(dice.number(1, 3)):
        match dice.number(0, 8):
            case 0 | 1 | 2:
                policies[dice.pick(sorted(policies))] = json.dumps(a_document(dice, catalog))
            case 3:
                policies[dice.pick("abcd")] = json.dumps(a_document(dice, catalog))
            case 4:
                user = principals["users"][dice.pick(sorted(principals["users"]))]
                user["policies"] = dice.several(tuple(policies), 1, 3)
            case 5:
                groups = principals["groups"]
                groups[dice.pick(sorted(groups))]["policies"] = dice.several(tuple(policies), 0, 3)
            case 6:
                principals["users"]["100102"]["boundary"] = dice.pick([None, *policies])
            case 7:
                rows = catalog[dice.pick(sorted(catalog))]["actions"]
                row = an_action(dice, dice.pick([row["name"] for row in rows] or ["Draw"]))
                rows[:] = [each for each in rows if each["name"] != row["name"]]
                rows += [row] if dice.chance(70) or not rows else []
            case _:
                settings["ip_support"] = dice.pick(["catalog", "gateway"])
    return world._replace(policies=policies, principals=principals, catalog=catalog, settings=settings)


def bundle_of(world: World) -> Bundle:
    """Return the compiled bundle."""
    catalog = to_catalog(world.catalog, world.known)
    return to_bundle(catalog, world.policies, world.principals, inventory=world.inventory, **world.settings)


def says(groups: Sequence[Group], worlds: tuple[World, World], call: Json, place: int) -> list[str]:
    """Return what the diff says of one call, `gained` or `lost`, once for each part that contains it."""
    truths = [truths_of(world, call) if listed(world, call) else lambda _: None for world in worlds]

    def contains(part: Part) -> bool:
        if place not in part.ranges or not any(begin <= call["time"] < end for begin, end in part.times):
            return False
        before, after = part.before.allows(truths[0]), part.after.allows(truths[1])
        return before < after if part.kind == "gained" else after < before

    return [
        group.part.kind
        for group in groups
        if call["principal"] in group.principals and call["action"] in group.actions and contains(group.part)
    ]


def listed(world: World, call: Json) -> bool:
    """Return whether the catalog of a bundle has the action of a call."""
    return decision_of(world, call)[0] not in NO_ACTION


def calls(dice: Dice, world: World, groups: Sequence[Group]) -> Iterator[tuple[Json, int]]:
    """Yield calls inside and outside each edge of some changes, and some anywhere, each with its address."""
    for group in [dice.pick(groups) for _ in range(GROUPS)] if groups else ():
        part = group.part
        for _ in range(OTHERS if part.before.needs or part.after.needs else 1):
            call = one_resource(dice, a_call(dice, world))
            call |= {"principal": dice.pick(group.principals), "action": dice.pick(group.actions)}
            at = dice.number(0, len(part.ranges.starts) - 1)
            first, last = part.ranges.starts[at], part.ranges.ends[at]
            begin, end = dice.pick(part.times)
            moments = {max(begin, -1e9), nextafter(begin, -inf), nextafter(end, -inf), min(end, 1e10)}
            for place in {max(first - 1, 0), first, last, min(last + 1, LINE_END - 1)}:
                for moment in moments - {inf, -inf}:
                    if not NO_ADDRESS[0] <= place < NO_ADDRESS[1]:
                        yield {**call, "time": moment}, place
    for _ in range(CALLS):
        call = one_resource(dice, a_call(dice, world))
        place = dice.number(0, LINE_END - 1) if dice.chance(30) else dice.number(0, (1 << 32) - 1)
        if not NO_ADDRESS[0] <= place < NO_ADDRESS[1]:
            yield {**call, "time": call["time"] or 0.0}, place


def compare(pairs: int, seed: int) -> Iterator[tuple[World, World, Mismatch | Counter[str]]]:
    """Yield every mismatch in so many pairs of bundles, and at the end of each pair what was compared."""
    for number, (world, _) in zip(range(pairs), stream(seed, 0), strict=False):
        dice = seeded(seed + number)
        worlds = world, changed(dice, world)
        old, new = (Side(bundle_of(each)) for each in worlds)
        actions = actions_of(old, new)
        groups = access_diff(old, new, principals_of(old, new), actions)
        counted: Counter[str] = Counter()
        for call, place in calls(dice, worlds[1], groups):
            at = {**call, "source_ip": format_address(place), "session": None}
            if not isfinite(at["time"]) or at["action"] not in actions:
                continue
            reasons = tuple(decision_of(each, at)[0] for each in worlds)
            before, after = (reason == "allowed" for reason in reasons)
            expected = [] if before == after else ["gained" if after else "lost"]
            found = says(groups, worlds, at, place)
            counted[expected[0] if expected else "same"] += 1
            if found != expected:
                yield *worlds, Mismatch(at, found, (reasons[0], reasons[1]))
        yield *worlds, counted
