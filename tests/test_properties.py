"""What holds of every bundle and call, whatever the policies say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from camguard import Reason
from camguard.engine.explain import Explanation
from tests.bridge import to_bundle, to_call, to_catalog
from tests.generators import Dice, Json, World, a_statement, plain, seeded, stream, written_in

BUNDLES, CALLS = 60, 15


def reasons(world: World, calls: list[Json]) -> list[Reason]:
    """Why each call passes or not."""
    bundle = to_bundle(
        to_catalog(world.catalog, world.known), world.policies, world.principals, **world.settings
    )
    return [bundle.decide(to_call(call)).reason for call in calls]


def statements_of(text: str) -> list[Json]:
    statement = plain(written_in(text))["statement"]
    return statement if isinstance(statement, list) else [statement]


def document(statements: list[Json]) -> str:
    return json.dumps({"version": "2.0", "statement": statements})


def backwards(_: Dice, world: World) -> World:
    """The same bundle with every list of policies and statements the other way round."""

    def turned(found: object) -> object:
        if isinstance(found, list):
            return [turned(one) for one in reversed(found)]
        return {key: turned(one) for key, one in found.items()} if isinstance(found, dict) else found

    policies = {name: document(statements_of(text)[::-1]) for name, text in world.policies.items()}
    principals = {key: turned(found) for key, found in world.principals.items()}
    return world._replace(policies=policies, principals=principals)


def twice(_: Dice, world: World) -> World:
    """The same bundle with every statement twice."""
    return world._replace(
        policies={name: document(statements_of(text) * 2) for name, text in world.policies.items()}
    )


def with_one_more(effect: str) -> Callable[[Dice, World], World]:
    """The same bundle with one more statement in some policy."""

    def more(dice: Dice, world: World) -> World:
        name = dice.pick(sorted(world.policies))
        added = plain(a_statement(dice, world.catalog)) | {"effect": effect}
        if effect == "deny":  # an exact name that the catalog lacks is no deny (DEC-11)
            added["action"] = "*" if dice.chance(50) else f"{dice.pick(sorted(world.catalog))}:*"
        elif dice.chance(50):  # a random statement seldom reaches the calls
            everything = "*" if dice.chance(50) else f"{dice.pick(sorted(world.catalog))}:*"
            added = {"effect": effect, "action": everything, "resource": "*"}
        statements = statements_of(world.policies[name])
        at = dice.number(0, len(statements))
        changed = document([*statements[:at], added, *statements[at:]])
        return world._replace(policies={**world.policies, name: changed})

    return more


def without_policies(_: Dice, world: World) -> World:
    """The same principals without a policy of their own."""
    bare: Json = {"policies": [], "groups": [], "boundary": None}
    users = dict.fromkeys(world.principals["users"], bare)
    roles: Json = {name: {"policies": [], "boundary": None} for name in world.principals["roles"]}
    return world._replace(principals={**world.principals, "users": users, "roles": roles})


def changes(change: Callable[[Dice, World], World]) -> Iterator[tuple[Json, Reason, Reason]]:
    """Each call with the reason before and after a change."""
    for seed, (world, calls) in enumerate(islice(stream(5_000, CALLS), BUNDLES)):
        after = reasons(change(seeded(seed), world), calls)
        yield from zip(calls, reasons(world, calls), after, strict=True)


@pytest.mark.parametrize("change", [backwards, twice])
def test_order_and_duplicates_do_not_matter(change: Callable[[Dice, World], World]) -> None:
    assert [call for call, before, after in changes(change) if before is not after] == []


def test_one_more_allow_never_takes_an_allow_away() -> None:
    found = list(changes(with_one_more("allow")))
    assert [call for call, before, after in found if before is Reason.ALLOWED is not after] == []
    assert [call for call, before, after in found if before is not after]


def test_one_more_deny_never_gives_an_allow() -> None:
    found = list(changes(with_one_more("deny")))
    assert [call for call, before, after in found if after is Reason.ALLOWED is not before] == []
    assert [call for call, before, after in found if before is not after]


def test_without_policies_only_the_owner_passes() -> None:
    allowed = {call["principal"] for call, _, after in changes(without_policies) if after is Reason.ALLOWED}
    assert allowed == {"uin/100100"}


def test_a_deny_of_everything_leaves_nothing() -> None:
    everything = document([{"effect": "deny", "action": "*", "resource": "*"}])

    def denied(_: Dice, world: World) -> World:
        return world._replace(
            policies={**world.policies, "no": everything},
            principals={**world.principals, "account": [["all", "no"]]},
        )

    found = {after for call, _, after in changes(denied) if call["resources"]}
    assert Reason.EXPLICIT_DENY in found
    assert found <= {
        *(Reason.EXPLICIT_DENY, Reason.ACTION_INVALID, Reason.ACTION_UNKNOWN, Reason.SERVICE_UNKNOWN),
        Reason.PRINCIPAL_UNKNOWN,
    }


def weighed(found: Explanation) -> set[str]:
    """The ids that should stand in a decision, by what an explanation says of every statement."""
    reason = found.decision.reason
    counting = [note for note in found.statements if note.counts]
    if reason is Reason.ALLOWED:
        return {note.id for note in counting if note.effect == "allow" and note.layer == "identity"}
    if reason is Reason.EXPLICIT_DENY:
        return {note.id for note in counting if note.effect == "deny" and note.truth}
    if reason is Reason.UNDETERMINED_DENY:
        return {note.id for note in counting if note.effect == "deny"} | set(found.missing)
    return set()


def test_what_an_explanation_says_of_each_statement_makes_its_decision() -> None:
    apart, several = [], 0
    for world, calls in islice(stream(6_000, CALLS), 4 * BUNDLES):
        bundle = to_bundle(
            to_catalog(world.catalog, world.known), world.policies, world.principals, **world.settings
        )
        for call in calls:
            found = bundle.explain(to_call(call))
            several += len(call["resources"]) > 1 and bool(found.decision.statements)
            if weighed(found) != set(found.decision.statements):
                apart.append((call, found))
    assert apart == []
    assert several
