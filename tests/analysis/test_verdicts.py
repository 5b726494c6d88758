"""A verdict on all actions at once says what the row of each action says."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from math import inf
from typing import Any

import pytest

from camguard.analysis.access import access_reader
from camguard.analysis.verdicts import judged_as, masks_of, verdicts_of
from camguard.bundle import Bundle
from camguard.ipset import EVERY_ADDRESS, NO_MAP, AddressMap, IpSet, parse_address
from tests.analysis.agreement import evaluator_of, shares
from tests.company import (
    USER,
    action,
    allow,
    bundle,
    catalog,
    deny,
    inside,
    outside,
    policy,
    principals,
    service,
)
from tests.generators import seeded, stream

ALL_TIMES = ((-inf, inf),)
EACH = 10  # bundles of one test


def compare(worlds: int, seed: int) -> Counter[str]:
    """Compare the verdict with the access set of every action in each of its parts, and count outcomes."""
    outcomes: Counter[str] = Counter()
    for number, (world, _) in enumerate(islice(stream(seed, calls=0), worlds)):
        dice = seeded(seed + number)
        evaluator = evaluator_of(world)
        verdicts, read = verdicts_of(evaluator), access_reader(evaluator)
        for uin in world.principals["users"]:
            table = evaluator.table(f"uin/{uin}")
            assert table is not None
            verdict_of = verdicts(table)
            for name, place in evaluator.statements.places.items():
                window = dice.pick(read(f"uin/{uin}", name).windows)
                for each in window.ranges:
                    part = IpSet.of_ranges([(each.first, each.last)]) & EVERY_ADDRESS
                    for mask in masks_of(table, part, [(window.begin, window.end)]):
                        allowed, denied = (bool(found >> place & 1) for found in verdict_of(mask))
                        word = "allow" if allowed else "deny" if denied else "unsure"
                        assert not (allowed and denied)
                        assert word in {"unsure", each.answer.word}, (world, uin, name, each)
                        outcomes[f"{word}: {each.answer.word}"] += 1
    return outcomes


@pytest.mark.parametrize("seed", shares(3, 40, EACH))
def test_a_verdict_is_what_the_row_of_each_action_says(seed: int) -> None:
    assert compare(EACH, seed)


def test_few_verdicts_leave_to_the_rows_what_address_and_time_decide() -> None:
    outcomes = compare(20, seed=3)
    assert set(outcomes) == {"allow: allow", "deny: deny", "unsure: allow", "unsure: deny", "unsure: depends"}
    assert outcomes["unsure: deny"] + outcomes["unsure: allow"] < outcomes.total() / 4


NO_ADDRESS = action("aiart:Hide", ip_restriction=False)  # CAM may not receive the address (DEC-62)
COMPANY = catalog(service("aiart", "Draw", "Look"))
DOUBTED = catalog(service("aiart", NO_ADDRESS))
OFFICE = "10.0.0.0/8"
SURE = [
    pytest.param([allow("aiart:Draw")], "Draw", "Look", id="an allow for one action"),
    pytest.param(
        [allow("aiart:*"), deny("aiart:Look", **inside(OFFICE))], "Draw", "Look", id="a deny inside"
    ),
    pytest.param(
        [allow("aiart:*"), deny("aiart:Look", **outside(OFFICE))], "Draw Look", "", id="a deny outside"
    ),
    pytest.param([allow("aiart:*", **outside(OFFICE))], "", "Draw Look", id="an allow outside"),
    pytest.param([allow("aiart:*", bool_equal={"qcs:mfa": "true"})], "", "", id="a key is left open"),
    pytest.param([allow("cvm:*")], "", "Draw Look", id="a statement about others"),
]


DOUBTS = [
    pytest.param([allow(**inside(OFFICE))], "deny", id="an allow inside"),
    pytest.param([allow(), deny(**inside(OFFICE))], "deny", id="a deny inside"),
    pytest.param([allow(), deny(**outside(OFFICE))], "allow", id="a deny outside"),
    pytest.param(
        [allow(ip_equal_if_exist={"qcs:ip": OFFICE})], "allow", id="an allow inside, or without address"
    ),
    pytest.param(
        [allow(ip_not_equal_if_exist={"qcs:ip": "11.0.0.0/8"})],
        "allow",
        id="an allow outside of another range",
    ),
    pytest.param(
        [allow(ip_not_equal_if_exist={"qcs:ip": OFFICE})], "deny", id="an allow outside, or without address"
    ),
    pytest.param(
        [allow(), deny(ip_equal_if_exist={"qcs:ip": "11.0.0.0/8"})],
        "deny",
        id="a deny inside of another range, or without address",
    ),
    pytest.param(
        [allow(), deny(ip_not_equal_if_exist={"qcs:ip": OFFICE})],
        "deny",
        id="a deny outside, or without address",
    ),
]


@pytest.mark.parametrize(("statements", "word"), DOUBTS)
def test_an_address_in_doubt_allows_nothing_and_denies(statements: list[Any], word: str) -> None:
    """DEC-62: where the two worlds differ, the condition is unknown."""
    built = bundle([policy("mine", *statements)], DOUBTED)
    table = built.evaluator.table(USER)
    assert table is not None
    (mask,) = masks_of(table, IpSet.of(["10.0.0.0/8"]), ALL_TIMES)
    assert verdicts_of(built.evaluator)(table)(mask) == ((1, 0) if word == "allow" else (0, 1))


@pytest.mark.parametrize(("statements", "allowed", "denied"), SURE)
def test_all_that_address_and_time_decide_is_sure(statements: list[Any], allowed: str, denied: str) -> None:
    built = bundle(
        [policy("mine", *statements), policy("limit", allow("aiart:*"))],
        COMPANY,
        principals("mine", boundary="limit"),
    )
    table = built.evaluator.table(USER)
    assert table is not None
    (mask,) = masks_of(table, IpSet.of([OFFICE]), ALL_TIMES)
    found = verdicts_of(built.evaluator)(table)(mask)
    names = [
        {
            name.partition(":")[2]
            for name, place in built.evaluator.statements.places.items()
            if each >> place & 1
        }
        for each in found
    ]
    assert names == [{*allowed.split()}, {*denied.split()}]


def names_of(built: Bundle, actions: int) -> set[str]:
    return {name for name, place in built.evaluator.statements.places.items() if actions >> place & 1}


def test_a_policy_that_does_not_exist_denies_everything() -> None:
    """DEC-40: it counts as a deny that cannot be evaluated."""
    built = bundle([policy("mine", allow())], COMPANY, principals("mine", "gone"))
    table = built.evaluator.table(USER)
    assert table is not None
    verdict = verdicts_of(built.evaluator)(table)(0)
    assert (verdict.allowed, names_of(built, verdict.denied)) == (0, {"aiart:Draw", "aiart:Look"})


def test_root_may_do_everything_but_on_resources() -> None:
    """CAM 10.3: a resource can belong to another account."""
    rows = service("aiart", "Draw", action("aiart:Edit", "qcs::aiart:::image/${id}"))
    built = bundle([policy("mine", allow())], catalog(rows))
    table = built.evaluator.table("uin/100100")
    assert table is not None
    verdict = verdicts_of(built.evaluator)(table)(0)
    assert (names_of(built, verdict.allowed), verdict.denied) == ({"aiart:Draw"}, 0)


def test_an_address_in_doubt_denies_outside_of_a_range_too() -> None:
    """DEC-62: the deny is unknown wherever the call comes from."""
    built = bundle([policy("mine", allow(), deny(**inside(OFFICE)))], DOUBTED)
    table = built.evaluator.table(USER)
    assert table is not None
    (mask,) = masks_of(table, IpSet.of(["11.0.0.0/8"]), ALL_TIMES)
    window = access_reader(built.evaluator)(USER, "aiart:Hide").windows[0]
    word = next(each.answer.word for each in window.ranges if each.first <= 11 << 24 <= each.last)
    assert verdicts_of(built.evaluator)(table)(mask) == {"allow": (1, 0), "deny": (0, 1)}[word]


def test_a_session_policy_leaves_everything_to_the_rows() -> None:
    built = bundle([policy("mine", allow())], COMPANY)
    table = built.evaluator.table(USER, policy("session", allow()))
    assert table is not None
    assert verdicts_of(built.evaluator)(table)(0) == (0, 0)


EGRESS = AddressMap.of({"10.0.0.0/8": "203.0.113.7", "10.1.0.0/16": "203.0.113.9"})
JUDGED = [
    pytest.param(NO_MAP, ["10.0.0.0/8"], ["10.0.0.0/8"], id="without a map"),
    pytest.param(EGRESS, ["9.0.0.0/8", "10.2.0.0/16"], ["9.0.0.0/8", "203.0.113.7"], id="beside and inside"),
    pytest.param(EGRESS, ["10.1.2.3"], ["203.0.113.9"], id="the narrower range"),
    pytest.param(EGRESS, ["10.0.0.0/8"], ["203.0.113.7", "203.0.113.9"], id="both ranges"),
    pytest.param(EGRESS, ["203.0.113.7"], ["203.0.113.7"], id="a client with the other address"),
]


@pytest.mark.parametrize(("egress", "clients", "judged"), JUDGED)
def test_addresses_that_policies_are_asked_about(
    egress: AddressMap, clients: list[str], judged: list[str]
) -> None:
    """T132: the policies are asked about the address that stands for the client's."""
    assert judged_as(IpSet.of(clients), egress) == IpSet.of(judged)


def test_places_that_are_no_address_are_not_judged() -> None:
    everything = judged_as(IpSet.of(["::/0", "0.0.0.0/0"]), NO_MAP)
    assert everything == EVERY_ADDRESS
    assert parse_address("::ffff:0.0.0.1") in everything
