"""Compares decisions by the index of a row with the evaluation rule by rule, on rows with many rules.

`python -m tests.engine.index_agreement 1000000 [seed]` compares so many calls. The program
`tests.test_agreement` compares decisions with the oracle, which shares no code with camguard.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple

from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.engine.evaluator import Evaluator
from tests.bridge import to_bundle, to_call, to_catalog
from tests.generators import (
    Dice,
    Json,
    World,
    a_call,
    a_document,
    a_resource,
    a_world,
    an_inventory,
    mentioned_by,
    seeded,
    written_in,
)
from tests.vocabulary import REGION_NAMES

CALLS = 40  # of each bundle

REGION_KEY = "cvm:region"


class Difference(NamedTuple):
    """A call that the index and the evaluation rule by rule decide differently. seed: of the bundle."""

    seed: int
    call: Call
    by_index: Decision
    by_rules: Decision


def a_dense_world(dice: Dice) -> World:
    """Return a bundle of few actions, mostly authorized on resources, and of many statements on them."""
    world = a_world(dice)
    catalog = {name: dense_service(dice, service) for name, service in list(world.catalog.items())[:2]}
    written: dict[str, Json] = {
        name: written_in(text)
        if name == "all"
        else with_regions(dice, a_document(dice, catalog, low=3, high=9))
        for name, text in world.policies.items()
    }
    session = a_document(dice, catalog, high=4)
    world = world._replace(
        catalog=catalog,
        policies={name: json.dumps(document) for name, document in written.items()},
        sessions=(json.dumps(session),),
        mentioned=mentioned_by((*written.values(), session)),
    )
    return world if world.inventory is None else world._replace(inventory=an_inventory(dice, world))


def dense_service(dice: Dice, service: Json) -> Json:
    """Return a service with two of its actions."""
    rows = [
        {**row, "granularity": "resource", "resources": ["qcs::x:${region}:uin/${uin}:instance/${id}"]}
        if dice.chance(80)
        else row
        for row in service["actions"][:2]
    ]
    return {**service, "actions": rows, "tag_authorization": dice.chance(85)}


def with_regions(dice: Dice, document: Json) -> Json:
    """Return a document, some statements of which have a condition on the region of the call."""
    listed = next(value for key, value in document.items() if key.lower() == "statement")
    for statement in listed if isinstance(listed, list) else [listed]:
        if "effect" in statement and dice.chance(12):
            operator = dice.pick(("string_equal", "string_not_equal", "for_any_value:string_equal"))
            statement["condition"] = {operator: {REGION_KEY: dice.several(REGION_NAMES, 1, 2)}}
    return document


def a_dense_call(dice: Dice, world: World) -> Json:
    """Return a call, mostly with the tags of the inventory where there is one, and some with a region."""
    call = a_call(dice, world)
    if world.inventory and dice.chance(70):
        call["resource_tags"] = None
        call["resources"] = [a_resource(dice, world) for _ in range(dice.number(1, 3))]
    if dice.chance(25):
        call["context"] = {**(call["context"] or {}), REGION_KEY: [dice.pick(REGION_NAMES)]}
    return call


def by_index(evaluator: Evaluator, call: Call) -> Decision | None:
    """Return what the index of the row decides alone, or None where there is none or it decides nothing."""
    table = evaluator.table(call.principal, call.session)
    found = table and table.indexes.get(call.action)
    if not table or not found or call.source_ip is None or call.time is None or not isfinite(call.time):
        return None
    index, traits = found
    return index.decide(call, traits, table.mask_at(call.source_ip, call.time))


def compare(bundles: int, seed: int, calls: int = CALLS) -> Iterator[Difference | Counter[str]]:
    """Yield each difference in so many bundles, and behind those of a bundle what was compared."""
    for at in range(seed, seed + bundles):
        dice = seeded(at)
        world = a_dense_world(dice)
        evaluator = to_bundle(
            to_catalog(world.catalog, world.known),
            world.policies,
            world.principals,
            inventory=world.inventory,
            **world.settings,
        ).evaluator
        asked = [to_call(a_dense_call(dice, world)) for _ in range(calls)]
        right = [evaluator.judge(call) for call in asked]
        words: Counter[str] = Counter()
        # Twice, so that the caches are filled, and in another order.
        for call, decision in (*zip(asked, right, strict=True), *reversed([*zip(asked, right, strict=True)])):
            for found in (evaluator.decide(call), by_index(evaluator, call)):
                if found is not None and found != decision:
                    yield Difference(at, call, found, decision)
        for call, decision in zip(asked, right, strict=True):
            words["otherwise" if by_index(evaluator, call) is None else "by index"] += 1
            words[decision.reason] += 1
        yield words


def main(arguments: list[str]) -> int:
    """Compare many calls, and print the differences."""
    number, seed = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 20_000_000
    words: Counter[str] = Counter()
    differences = 0
    for each in compare(-(-number // CALLS), seed):
        if isinstance(each, Difference):
            differences += 1
            sys.stdout.write(f"{each}\n")
        else:
            words += each
    sys.stdout.write(f"{differences} differences; {dict(words.most_common())}\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
