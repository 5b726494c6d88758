"""Compares access sets with the independent oracle, on both sides of each of their edges."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from math import inf, isfinite, nextafter
from typing import Any, NamedTuple

import pytest

from camguard import parse_policy
from camguard.analysis import AccessSet, Answer, Condition, access_reader
from camguard.analysis.access import Window
from camguard.engine.attributes import ActionTraits
from camguard.engine.evaluator import Evaluator
from camguard.engine.row import ActionRules
from camguard.engine.table import Table
from camguard.ipset import LINE_END, NO_ADDRESS, format_address
from tests import oracle
from tests.bridge import to_bundle, to_catalog
from tests.generators import Dice, Json, World, a_call, seeded, stream
from tests.oracle_documents import read_statement

# The language has no such operator. The oracle writes the clause of the general policies in another way.
SECOND_FACTOR = "bool_not_equal_if_exist"
OTHERS = 5  # further calls on each edge of a range that depends on more than address and time
PRINCIPALS = ("uin/100101", "uin/100102", "role/bot", "uin/100100")
MOST_WINDOWS, MOST_RANGES = 5, 6  # of one access set that are sampled; which ones is drawn


def shares(first: int, bundles: int, each: int) -> list[Any]:
    """Share generated bundles among tests, so that each of them is quick, and names the bundles that it has.

    first: the seed of the first bundle. each: how many bundles one test has, from the seed on that it gets.
    """
    seeds = range(first, first + bundles, each)
    return [
        pytest.param(seed, id=f"bundles {seed} to {seed + each - 1}" if each > 1 else f"bundle {seed}")
        for seed in seeds
    ]


def rows_compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the action of each row is added that any table compiles from now on."""
    compiled: list[str] = []
    right = Table.compile_row

    def compile_row(table: Table, traits: ActionTraits) -> ActionRules:
        compiled.append(traits.entry.id)
        return right(table, traits)

    monkeypatch.setattr(Table, "compile_row", compile_row)
    return compiled


class Difference(NamedTuple):
    """A call that an access set and the oracle decide differently."""

    call: Json
    answer: Answer
    of_set: object
    of_oracle: object


def one_resource(dice: Dice, call: Json) -> Json:
    """The call with one resource, and with a time and an address that are known."""
    resources = call["resources"] or ["*"]
    return {**call, "resources": [dice.pick(resources)]}


def queries_of(world: World, call: Json) -> list[oracle.Query]:
    """The call as the oracle reads it, for every name that policies are asked for."""
    return oracle.queries_of(
        world.catalog,
        world.principals,
        call,
        ip_support=world.settings["ip_support"],
        inventory=world.inventory,
        known=world.known,
    )


def decision_of(world: World, call: Json) -> oracle.Answer:
    """What the oracle decides."""
    return oracle.decide(
        world.catalog,
        world.policies,
        world.principals,
        call,
        known=world.known,
        inventory=world.inventory,
        **world.settings,
    )


def truths_of(world: World, call: Json) -> Callable[[Condition], oracle.Truth]:
    """Whether open conditions hold for a call, as the oracle reads them."""
    queries = queries_of(world, call)
    addressed = any(query.granularity == "resource" for query in queries)
    resource = call["resources"][0] if addressed else "*"
    query = next((each for each in queries if each.tags), queries[0])

    def truth_of(condition: Condition) -> oracle.Truth:
        if condition.kind == "owner":
            return oracle.owned(resource, query)
        if condition.kind == "resource":
            statement = read_statement({"effect": "deny", "action": "*", "resource": list(condition.values)})
            return oracle.any_of(
                oracle.pattern_truth(text, statement, query, resource) for text in condition.values
            )
        if condition.operator == SECOND_FACTOR:
            (operator,) = (each for each in oracle.GENERAL["condition"] if "bool" in each)
            return oracle.clause_truth(operator, condition.key, ("false",), query, resource)
        return oracle.clause_truth(condition.operator, condition.key, condition.values, query, resource)

    return truth_of


def moments_in(window: Window) -> Iterator[float]:
    """The first and the last moment of a window."""
    yield from dict.fromkeys((window.begin, nextafter(window.end, -inf)))


def places_in(first: int, last: int) -> Iterator[int]:
    """The first and the last address of a range; those outside of it are in its neighbours."""
    begin, end = NO_ADDRESS
    yield end if begin <= first < end else first
    yield begin - 1 if begin <= last < end else last


def some(dice: Dice, found: list[Any], most: int) -> list[Any]:
    """Some neighbours among many."""
    begin = dice.number(0, max(0, len(found) - most))
    return found[begin : begin + most]


def others(dice: Dice, world: World, call: Json, fixed: frozenset[str]) -> Iterator[Json]:
    """The same call with other values for what an access set leaves open."""
    for _ in range(OTHERS):
        other = one_resource(dice, a_call(dice, world))
        open_fields = {"resources", "resource_tags", "request_tags", "context"} - fixed
        yield {**call, **{name: other[name] for name in open_fields}}


def differences(
    dice: Dice, world: World, call: Json, found: AccessSet, words: Counter[str], fixed: frozenset[str]
) -> Iterator[Difference]:
    """Every sampled call on which a set differs from the oracle.

    words: counts what was compared. fixed: the fields of the call that the set was read for.
    """
    listed = decision_of(world, call)[0] not in {"action_unknown", "action_invalid", "service_unknown"}
    assert_it_covers_everything(found)
    for window in some(dice, list(found.windows), MOST_WINDOWS):
        for each in some(dice, list(window.ranges), MOST_RANGES):
            for moment in moments_in(window):
                variants = [call, *others(dice, world, call, fixed)] if each.answer.needs else [call]
                for place, variant in product(places_in(each.first, each.last), variants):
                    at = {**variant, "time": moment, "source_ip": format_address(place)}
                    reason, statements = decision_of(world, at)
                    truth_of = truths_of(world, at) if listed else lambda _: None
                    allows = each.answer.allows(truth_of)
                    words[f"{each.answer.word}: {'allowed' if reason == 'allowed' else 'denied'}"] += 1
                    if allows != (reason == "allowed"):
                        yield Difference(at, each.answer, allows, reason)
                    decision = each.answer.decision
                    if decision and not {*decision.statements} <= {*statements}:
                        yield Difference(at, each.answer, decision.statements, statements)


def assert_it_covers_everything(found: AccessSet) -> None:
    """Windows and ranges follow each other without a gap, and neighbours differ."""
    windows = found.windows
    assert not isfinite(nextafter(windows[0].begin, -inf))
    assert windows[-1].end == inf
    for window, after in pairwise(windows):
        assert window.end == after.begin
        assert window.ranges != after.ranges
    for window in windows:
        ranges = window.ranges
        assert (ranges[0].first, ranges[-1].last) == (0, LINE_END - 1)
        for each, behind in pairwise(ranges):
            assert each.last + 1 == behind.first
            assert each.answer != behind.answer


def evaluator_of(world: World) -> Evaluator:
    """The compiled policies of a bundle."""
    catalog = to_catalog(world.catalog, world.known)
    bundle = to_bundle(catalog, world.policies, world.principals, inventory=world.inventory, **world.settings)
    return bundle.evaluator


def compare(worlds: int, seed: int, calls: int = 4) -> Iterator[tuple[World, Difference | Counter[str]]]:
    """Yield every difference in so many worlds, and at the end of each world what was compared."""
    for number, (world, _) in zip(range(worlds), stream(seed, 0), strict=False):
        dice = seeded(seed + number)
        evaluator = evaluator_of(world)
        words: Counter[str] = Counter()
        for _ in range(calls):
            call = one_resource(dice, a_call(dice, world))
            # An open resource, or a given one whose tags the inventory lists.
            given = call["resources"][0] if dice.chance(40) else None
            if given is not None:
                call["resource_tags"] = call["resource_tags"] if world.inventory is None else None
            fixed = frozenset[str]() if given is None else frozenset(("resources", "resource_tags"))
            session = call["session"] and parse_policy(call["session"], "session.json")
            read = access_reader(evaluator, resource=given, session=session or None)
            for principal in dict.fromkeys((PRINCIPALS[number % 4], call["principal"])):
                found = read(principal, call["action"])  # the second one may share the work of the first
            for difference in differences(dice, world, call, found, words, fixed):
                yield world, difference
        yield world, words


def main() -> int:
    """Compare as many calls as `--questions` says. Returns 1 if one is decided differently."""
    parser = argparse.ArgumentParser(prog="python -m tests.analysis.agreement", description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000, metavar="N", help="calls (default: 10,000)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first bundle (default: 1)")
    args = parser.parse_args()
    compared: Counter[str] = Counter()
    wrong = 0
    for _, found in compare(args.questions, args.seed):  # every bundle asks at least one question
        if isinstance(found, Difference):
            wrong += 1
            print(found)  # noqa: T201 - a program
            continue
        compared += found
        if compared.total() >= args.questions:
            break
    print(f"{compared.total():,} questions, {wrong} answered wrongly: {dict(compared)}")  # noqa: T201
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
