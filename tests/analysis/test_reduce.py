"""A reduced policy decides what the policy decided."""

from __future__ import annotations

import json
from typing import Any

import pytest

from camguard import parse_policy
from camguard.analysis import reduce
from camguard.analysis.reduce import Reduction, reduce_policy
from camguard.policy.resources import Owner
from tests.analysis.agreement import decision_of
from tests.bridge import to_catalog
from tests.company import action, allow, catalog, deny, inside, outside, policy, service
from tests.generators import Dice, Json, World, a_call, a_document, a_range, seeded, stream

CATALOG = catalog(
    service("aiart", "Draw", "Look", "LookAgain"),
    service("cvm", action("cvm:Stop", "qcs::cvm:${region}:uin/${uin}:instance/${id}")),
)
OWNER = Owner("100100", "125")
A, B = "qcs::cvm:ap-guangzhou::instance/a", "qcs::cvm:ap-guangzhou::instance/b"
ALL = "qcs::cvm:ap-guangzhou::instance/*"
MFA = {"bool_equal": {"qcs:mfa": "true"}}


def reduced(*statements: Any) -> Reduction:
    return reduce_policy(policy("own", *statements), CATALOG, OWNER)


# statements, those that are left
SMALLER = [
    pytest.param([allow(), allow("aiart:Look")], [allow()], id="an allow that another one covers"),
    pytest.param([deny(), allow("aiart:Look")], [deny()], id="an allow that a deny cancels"),
    pytest.param(
        [allow(**inside("10.0.0.0/9")), allow(**inside("10.128.0.0/9"))],
        [allow(**inside("10.0.0.0/8"))],
        id="two ranges that are one",
    ),
    pytest.param(
        [deny(**inside("10.0.0.0/8", "10.1.0.0/16"))],
        [deny(**inside("10.0.0.0/8"))],
        id="a range in another one",
    ),
    pytest.param(
        [allow("aiart:Draw"), allow("aiart:Look")],
        [allow(["aiart:Draw", "aiart:Look"])],
        id="two lists of actions",
    ),
    pytest.param(
        [allow(["aiart:Look*", "aiart:Look"])], [allow("aiart:Look*")], id="an action under a wildcard"
    ),
    pytest.param([allow("cvm:Stop", [A, ALL])], [allow("cvm:Stop", ALL)], id="a resource under a wildcard"),
    pytest.param(
        [allow("cvm:Stop", A), allow("cvm:Stop", B)], [allow("cvm:Stop", [A, B])], id="two resources"
    ),
    pytest.param([allow("cvm:*", ["*", A])], [allow("cvm:*")], id="a resource beside the star"),
]


@pytest.mark.parametrize(("statements", "left"), SMALLER)
def test_a_policy_becomes_smaller(statements: list[Any], left: list[Any]) -> None:
    found = reduced(*statements)
    wanted = [reduce.tree_of(each) for each in policy("own", *left).statements]
    assert found.document == {"version": "2.0", "statement": wanted}
    assert found.steps


KEPT = [
    pytest.param([allow("aiart:Draw"), deny("aiart:Look")], id="an allow and a deny of different actions"),
    pytest.param([deny("aiart:Look"), allow()], id="a deny that an allow names, too"),
    pytest.param(
        [allow(**outside("10.0.0.0/9")), allow(**outside("11.0.0.0/9"))], id="two negated conditions"
    ),
    pytest.param([allow(**MFA), allow(**inside("10.0.0.0/8"))], id="two conditions on different keys"),
    pytest.param(
        [allow(string_equal={"cos:x": ["a"]}), allow(string_equal={"cos:x": ["b"]})],
        id="two texts of a key that may have both",
    ),
    pytest.param([deny("cvm:Stop", A), deny("cvm:Start", A)], id="two denies on resources"),
    pytest.param(
        [allow("aiart:Gone"), allow("aiart:Draw", **MFA)], id="an action that the catalog does not list"
    ),
]


@pytest.mark.parametrize("statements", KEPT)
def test_a_policy_stays_as_it_is(statements: list[Any]) -> None:
    found = reduced(*statements)
    assert found.steps == ()
    assert found.after is found.before


def test_steps_name_the_statements_of_the_policy_as_it_was() -> None:
    assert reduced(allow("aiart:Draw"), allow("aiart:Draw"), allow("aiart:Look")).steps == (
        "own#1: left out, because own#0 covers it",
        "own#2: merged with own#0",
    )


def narrowed(dice: Dice, document: Json) -> Json:
    """Return a document with some of its statements once more, with fewer entries or other ranges."""
    (listed,) = (value for key, value in document.items() if key.lower() == "statement")
    statements = [
        {key.lower(): value for key, value in each.items()}
        for each in (listed if isinstance(listed, list) else [listed])
    ]
    for _ in range(dice.number(1, 3)):
        again = json.loads(json.dumps(dice.pick(statements)))
        if isinstance(again["action"], list) and dice.chance(50):
            again["action"] = dice.pick(again["action"])
        if dice.chance(40):
            again["condition"] = {"ip_equal": {"qcs:ip": [a_range(dice), a_range(dice)]}}
        statements = [*statements, again]
    return {"version": "2.0", "statement": statements}


def compare(pairs: int, seed: int) -> tuple[int, int, list[Json]]:
    """Return how many steps were taken and calls compared, and the calls that are decided otherwise."""
    steps = compared = 0
    wrong = []
    for number, (world, _) in zip(range(pairs), stream(seed, 0), strict=False):
        dice = seeded(seed + number)
        own = json.dumps(narrowed(dice, a_document(dice, world.catalog)))
        found = reduce_policy(
            parse_policy(own, "own"), to_catalog(world.catalog, world.known), Owner("100100", "125")
        )
        steps += len(found.steps)
        for call in (a_call(dice, world) for _ in range(16 if found.steps else 0)):
            before, after = (decided(world, text, call) for text in (own, json.dumps(found.document)))
            compared += 1
            wrong += [call] if before != after else []
    return steps, compared, wrong


def decided(world: World, own: str, call: Json) -> list[bool]:
    """Return whether a call is allowed with the policy alone, beside others, and as a boundary."""
    principals = (
        {"policies": ["own"], "boundary": None},
        {"policies": ["own", *world.policies], "boundary": None},
        {"policies": ["all"], "boundary": "own"},
    )
    return [
        decision_of(
            world._replace(
                policies={**world.policies, "own": own},
                principals={"owner": world.principals["owner"], "users": {"100101": each}},
            ),
            {**call, "principal": "uin/100101"},
        )[0]
        == "allowed"
        for each in principals
    ]


def test_the_oracle_decides_the_same_of_a_reduced_policy() -> None:
    steps, compared, wrong = compare(25, seed=1)
    assert wrong == []
    assert min(steps, compared) > 20


@pytest.mark.heavy
def test_the_oracle_decides_the_same_of_many_reduced_policies() -> None:
    assert compare(200, seed=1_000)[2] == []


def test_wrong_proposals_are_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce, "covers", lambda *_: True)
    monkeypatch.setattr(reduce, "names_all", lambda *_: True)
    steps, compared, wrong = compare(12, seed=500)
    assert wrong == []
    assert min(steps, compared) > 20


def test_without_a_proof_wrong_proposals_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce, "covers", lambda *_: True)
    monkeypatch.setattr(reduce, "equivalent", lambda *_: True)
    assert compare(12, seed=500)[2]
