"""A reduced policy decides what the policy decided."""

from __future__ import annotations

import json
from typing import Any

import pytest

from camguard import parse_policy
from camguard.analysis import reduce
from camguard.analysis.reduce import Reduction, reduce_policy
from camguard.policy.resources import Owner
from tests.analysis.agreement import decision_of, shares
from tests.bridge import to_catalog
from tests.company import action, allow, catalog, deny, inside, outside, policy, service
from tests.generators import Dice, Json, World, a_call, a_document, a_range, seeded, stream

CATALOG = catalog(
    service("aiart", "Draw", "Look", "LookAgain"),
    service("cvm", action("cvm:Stop", "qcs::cvm:${region}:uin/${uin}:instance/${id}")),
    service("pay", action("pay:Pay", ip_restriction=False)),  # CAM may not receive the address (DEC-62)
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


def listed(tree: Any) -> Any:
    """Return a statement as a reduced document has it, with lists everywhere."""
    return {
        key: {
            operator: {name: items(each) for name, each in keys.items()} for operator, keys in value.items()
        }
        if key == "condition"
        else value
        if key == "effect"
        else items(value)
        for key, value in tree.items()
    }


def items(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


ONE, TWO, BOTH = (
    inside(*each) for each in (["10.0.0.0/9"], ["10.128.0.0/9"], ["10.0.0.0/9", "10.128.0.0/9"])
)
OFFICE, WHOLE = inside("10.0.0.0/8"), inside("0.0.0.0/0", "::/0")
VPC = {"string_equal": {"vpc:requester_vpc": "vpc-1"}}
VARIABLE = "qcs::cvm:ap-guangzhou::instance/${uin}-*"
X, AB, A_, B_ = "gone:X", "gone:AB", "gone:A*", "gone:B"

# Statements about actions that the catalog does not list, so that each step that the texts propose is taken:
# those of the policy, and those that are left (None: all of them as they are).
TEXTS: list[Any] = [
    pytest.param([deny(AB), allow(A_)], None, id="a wide allow does not cover a deny"),
    pytest.param([deny(A_), allow(AB)], [deny(A_)], id="a wide deny covers an allow"),
    pytest.param([allow(AB), allow(A_)], [allow(A_)], id="the wider statement comes last"),
    pytest.param([allow(AB, A), allow(A_, B)], None, id="another resource is not covered"),
    pytest.param([deny([A_, AB], A)], None, id="DEC-67 a deny on resources lists its actions"),
    pytest.param([deny([A_, AB])], [deny(A_)], id="a deny on everything need not list its actions"),
    pytest.param([allow([A_, AB], A)], [allow(A_, A)], id="an allow on a resource need not list its actions"),
    pytest.param([allow([AB, B_])], None, id="two actions of which none covers the other"),
    pytest.param([allow([AB, A_])], [allow(A_)], id="the wider action comes last"),
    pytest.param([allow([A_, "gone:A**"])], [allow(A_)], id="of two actions that cover each other the first"),
    pytest.param([allow(AB, [ALL, A])], [allow(AB, ALL)], id="the wider resource comes first"),
    pytest.param([allow(AB, [A, B])], None, id="two resources of which none covers the other"),
    pytest.param([allow(AB, [VARIABLE, VARIABLE])], [allow(AB, VARIABLE)], id="a resource that stands twice"),
    pytest.param(
        [allow(AB, **MFA, **BOTH)], [allow(AB, **MFA, **OFFICE)], id="ranges beside another condition"
    ),
    pytest.param(
        [allow(X, A), allow([A_, AB], B, **MFA), allow(B_, ALL, **VPC)],
        [allow(X, A), allow(A_, B, **MFA), allow(B_, ALL, **VPC)],
        id="a statement between others becomes smaller",
    ),
    pytest.param(
        [allow(X, A), allow(AB, B, **MFA), allow(X, ALL, **VPC), allow(B_, B, **MFA), allow(X, B, **OFFICE)],
        [allow(X, A), allow([AB, B_], B, **MFA), allow(X, ALL, **VPC), allow(X, B, **OFFICE)],
        id="two statements that have others before, between and behind them",
    ),
    pytest.param([allow(AB), deny(B_)], None, id="an allow and a deny"),
    pytest.param([allow(AB, **ONE), deny(AB, **TWO)], None, id="an allow and a deny from different ranges"),
    pytest.param([allow(AB, A), allow(B_, A)], [allow([AB, B_], A)], id="two allows on one resource"),
    pytest.param([deny(AB), deny(B_)], [deny([AB, B_])], id="two denies on everything"),
    pytest.param([deny(AB, A), deny(B_, A)], None, id="DEC-67 two denies on one resource"),
    pytest.param([deny(AB, A), deny(AB, B)], None, id="two denies on different resources"),
    pytest.param([allow(AB, A), allow(AB, B)], [allow(AB, [A, B])], id="two allows on different resources"),
    pytest.param([allow(AB, A), allow(B_, B)], None, id="other actions on other resources"),
    pytest.param(
        [allow([AB, B_], A), allow([B_, AB], B)], [allow([AB, B_], [A, B])], id="the actions in another order"
    ),
    pytest.param(
        [
            allow(AB, A, **inside("10.0.0.0/8", "11.1.0.0/16")),
            allow(AB, B, **inside("11.1.0.0/16", "10.0.0.0/8")),
        ],
        [allow(AB, [A, B], **inside("10.0.0.0/8", "11.1.0.0/16"))],
        id="the ranges in another order",
    ),
    pytest.param([allow(AB, **ONE), allow(AB, **TWO)], [allow(AB, **OFFICE)], id="two halves of one range"),
    pytest.param(
        [allow(AB, **ONE, **MFA), allow(AB, **TWO, **MFA)],
        [allow(AB, **OFFICE, **MFA)],
        id="two halves of one range before one condition",
    ),
    pytest.param(
        [allow(AB, **MFA, **ONE), allow(AB, **MFA, **TWO)],
        [allow(AB, **MFA, **OFFICE)],
        id="two halves of one range behind one condition",
    ),
    pytest.param(
        [allow(AB, **ONE), allow(AB, **TWO, **MFA)], None, id="one of them under a further condition"
    ),
    pytest.param([allow(AB, **MFA), allow(AB, **VPC)], None, id="two conditions on different keys"),
    pytest.param(
        [allow(AB, **ONE, string_equal={"cos:x": "a"}), allow(AB, **TWO, string_equal={"cos:x": "b"})],
        None,
        id="another range and another text",
    ),
    pytest.param(
        [allow(AB, string_equal={"cos:x": "a"}), allow(AB, string_equal={"cos:x": "b"})],
        None,
        id="DEC-28 two texts of a key that may have both",
    ),
    pytest.param(
        [allow(AB, **outside("10.0.0.0/9")), allow(AB, **outside("11.0.0.0/9"))],
        None,
        id="outside of two ranges",
    ),
    pytest.param([allow(AB, **ONE), allow(B_, **TWO)], None, id="two actions from different ranges"),
]


@pytest.mark.parametrize(("statements", "left"), TEXTS)
def test_the_texts_alone_propose_a_step(statements: list[Any], left: list[Any] | None) -> None:
    found = reduced(*statements)
    assert found.document["statement"] == [listed(each) for each in (statements if left is None else left)]
    assert bool(found.steps) is (left is not None)


PAY = "pay:Pay"
# Statements, and the one that is proposed to be left out. It decides something where the id says.
PROOFS = [
    pytest.param(
        [allow("aiart:Draw"), allow("aiart:Look", **MFA)], 1, id="of a principal with the policy alone"
    ),
    pytest.param([deny("aiart:Draw"), deny("aiart:Look", **MFA)], 1, id="of a principal with other policies"),
    pytest.param([allow("aiart:*"), allow(PAY, **OFFICE)], 1, id="where the setting trusts the gateway"),
    pytest.param([allow(PAY, **WHOLE), allow(PAY)], 1, id="where the setting trusts the catalog"),
]


@pytest.mark.parametrize(("statements", "at"), PROOFS)
def test_a_step_that_changes_a_decision_is_not_taken(
    statements: list[Any], at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce, "covers", lambda _wide, narrow: narrow.id == f"own#{at}")
    found = reduced(*statements)
    assert (found.steps, found.after) == ((), found.before)


def test_steps_name_the_statements_of_the_policy_as_it_was() -> None:
    assert reduced(allow("aiart:Draw"), allow("aiart:Draw"), allow("aiart:Look")).steps == (
        "own#1: left out, because own#0 covers it",
        "own#2: merged with own#0",
    )
    assert reduced(allow("aiart:Look"), allow("aiart:L*")).steps == (
        "own#0: left out, because own#1 covers it",
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


@pytest.mark.parametrize("seed", shares(1, 25, 1))
def test_the_oracle_decides_the_same_of_a_reduced_policy(seed: int) -> None:
    assert compare(1, seed)[2] == []


def test_few_policies_have_many_steps() -> None:
    steps, compared, _ = compare(10, seed=1)
    assert min(steps, compared) > 5


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
