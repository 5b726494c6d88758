"""The parts of a space that break an invariant: exactly those in which something else can be decided."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from camguard.analysis.faults import Fault
from camguard.analysis.invariants import ALWAYS, Broken, Invariant, Space, prove
from camguard.bundle import Bundle
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.ipset import EVERY_ADDRESS, IpSet
from tests.company import USER, allow, bundle, catalog, deny, inside, policy, principals, service

# Of an action that is called by another label no verdict is known, so that its access sets are always read.
CATALOG = replace(
    catalog(service("art", "Draw", "Look")),
    known=KnownServices(rows={"label:Draw": CamNames(("art:Draw",), sure=True)}),
)
DRAW, LOOK, LABEL = "art:Draw", "art:Look", "label:Draw"
OFFICE, WIDER = IpSet.of(["10.0.0.0/8"]), IpSet.of(["10.0.0.0/7"])
NEW_YEAR = 1767225600.0
BEFORE, SINCE = (
    {f"date_{word}": {"qcs:current_time": "2026-01-01T00:00:00Z"}}
    for word in ("less_than", "greater_than_equal")
)
LATER = ((NEW_YEAR, inf),)
MFA, VPC = {"bool_equal": {"qcs:mfa": "true"}}, {"string_equal": {"vpc:requester_vpc": "vpc-1"}}


def of(*statements: Any, **more: Any) -> Bundle:
    return bundle([policy("mine", *statements)], CATALOG, **more)


def broken_part(found: Broken | None) -> tuple[tuple[str, ...], tuple[float, float]] | None:
    """Return the addresses and the time of the part that is shown."""
    if found is None:
        return None
    return found.fault.places.cidrs(), (found.fault.begin, found.fault.end)


def label(addresses: IpSet = EVERY_ADDRESS, times: Any = ALWAYS) -> Space:
    return Space((USER,), (LABEL,), addresses, times)


# the statements, the invariant, the addresses and the time of the part that is wrong (None: it is proved)
PARTS = [
    pytest.param(
        [allow("*", **inside("10.0.0.0/8"))],
        Invariant(label(EVERY_ADDRESS - OFFICE)),
        None,
        id="nowhere else",
    ),
    pytest.param(
        [allow("*", **inside("10.0.0.0/7"))],
        Invariant(label(EVERY_ADDRESS - OFFICE)),
        (("11.0.0.0/8",), None),
        id="one range too wide",
    ),
    pytest.param([allow("*", **BEFORE)], Invariant(label(times=LATER)), None, id="no time behind"),
    pytest.param(
        [allow("*", **inside("10.0.0.0/8"))],
        Invariant(label(), exactly=OFFICE),
        None,
        id="exactly these addresses",
    ),
    pytest.param(
        [allow("*", **inside("10.0.0.0/8"))],
        Invariant(label(times=LATER)),
        (("10.0.0.0/8",), (NEW_YEAR, inf)),
        id="the times of the space",
    ),
    pytest.param(
        [allow("*", **inside("10.0.0.0/8"), **SINCE)],
        Invariant(label(times=((0.0, NEW_YEAR + 5),))),
        (("10.0.0.0/8",), (NEW_YEAR, NEW_YEAR + 5)),
        id="the part of the times in which a call passes",
    ),
    pytest.param(
        [allow("*", **inside("10.0.0.0/8"), **MFA)],
        Invariant(label(), exactly=OFFICE),
        (("10.0.0.0/8",), None),
        id="what depends on conditions is not always allowed",
    ),
    pytest.param(
        [allow(DRAW, **inside("10.0.0.0/8")), allow(LOOK, **inside("10.0.0.0/7"))],
        Invariant(Space((USER,), (DRAW,)), other=(None, LOOK)),
        (("11.0.0.0/8",), None),
        id="another action from further addresses",
    ),
    pytest.param(
        [allow(DRAW, **inside("10.0.0.0/7", "12.0.0.0/8")), allow(LOOK, **inside("11.0.0.0/8"))],
        Invariant(Space((USER,), (DRAW,)), other=(None, LOOK)),
        (("10.0.0.0/8", "12.0.0.0/8"), None),
        id="another action from fewer addresses",
    ),
    pytest.param(
        [allow(DRAW, **inside("10.0.0.0/8")), allow(LOOK, **inside("10.0.0.0/7"))],
        Invariant(Space((USER,), (DRAW,), OFFICE), other=(None, LOOK)),
        None,
        id="another action from further addresses that are not in the space",
    ),
    pytest.param(
        [allow([DRAW, LOOK], **MFA)],
        Invariant(Space((USER,), (DRAW,)), other=(None, LOOK)),
        None,
        id="another action under the same condition",
    ),
    pytest.param(
        [allow(DRAW, **MFA), allow(LOOK, **MFA), allow(LOOK, **MFA)],
        Invariant(Space((USER,), (DRAW,)), other=(None, LOOK)),
        None,
        id="another action under the same condition of other statements",
    ),
    pytest.param(
        [allow(DRAW, string_equal={"cos:a": "x"}), allow(LOOK, string_equal={"cos:b": "x"})],
        Invariant(Space((USER,), (DRAW,), OFFICE), other=(None, LOOK)),
        (("10.0.0.0/8",), None),
        id="another action under a condition on another key",
    ),
    pytest.param(
        [allow(DRAW, string_equal={"cos:a": "x"}), allow(LOOK, string_not_equal={"cos:a": "x"})],
        Invariant(Space((USER,), (DRAW,), OFFICE), other=(None, LOOK)),
        (("10.0.0.0/8",), None),
        id="another action under a condition with another operator",
    ),
    pytest.param(
        [allow(DRAW, string_equal={"cos:a": "x"}), allow(LOOK, string_equal={"cos:a": "y"})],
        Invariant(Space((USER,), (DRAW,), OFFICE), other=(None, LOOK)),
        (("10.0.0.0/8",), None),
        id="another action under a condition with another value",
    ),
    pytest.param(
        [allow("*"), deny(DRAW, **MFA), deny(LOOK, **VPC)],
        Invariant(Space((USER,), (DRAW,), OFFICE), other=(None, LOOK)),
        (("10.0.0.0/8",), None),
        id="another action that is denied under another condition",
    ),
    pytest.param(
        [allow(DRAW, **SINCE), allow(LOOK)],
        Invariant(Space((USER,), (DRAW,), OFFICE, ((0.0, inf),)), other=(None, LOOK)),
        (("10.0.0.0/8",), (0.0, NEW_YEAR)),
        id="another action at further times",
    ),
]


@pytest.mark.parametrize(("statements", "invariant", "wanted"), PARTS)
def test_the_part_of_a_space_that_is_wrong(statements: list[Any], invariant: Invariant, wanted: Any) -> None:
    found = broken_part(prove(of(*statements), invariant))
    if wanted is None or found is None:
        assert found is wanted
        return
    places, times = wanted
    assert found[0] == places
    assert times is None or found[1] == times


def test_both_answers_are_shown() -> None:
    built = of(allow(DRAW, **MFA), allow(LOOK, **VPC))
    found = prove(built, Invariant(Space((USER,), (DRAW,)), other=(None, LOOK)))
    assert found is not None
    assert found.fault.other is not None
    shown = [[*map(str, each.conditions())] for each in (found.fault.answer, found.fault.other)]
    assert shown == [["qcs:mfa bool_equal true"], ["vpc:requester_vpc string_equal vpc-1"]]
    assert found.fault.expected == "as the other"
    assert Fault("deny", 0.0, 1.0, OFFICE, found.fault.answer).other is None


BOT, OTHER_BOT, OTHER = "role/bot", "role/cat", "uin/100300"
OWN = allow("*", string_equal={"cos:owner": "${uin}"})
# the principals of the space, the other one, those of which a call is decided otherwise
PAIRS: list[Any] = [
    pytest.param((USER, OTHER), OTHER, (USER,), id="the value of another user"),
    pytest.param(
        (OTHER, USER), OTHER, (USER,), id="the value of another user, asked for the other user first"
    ),
    pytest.param((USER,), USER, (), id="the value of the same user"),
    pytest.param((OTHER_BOT,), BOT, (), id="no value for both roles"),
]


@pytest.mark.parametrize(("people", "other", "wrong"), PAIRS)
def test_variables_have_the_values_of_both_principals(
    people: tuple[str, ...], other: str, wrong: tuple[str, ...]
) -> None:
    bound = principals(
        users={"100200": ["mine"], "100300": ["mine"]},
        roles={name: {"policies": ["mine"]} for name in ("bot", "cat")},
    )
    found = prove(of(OWN, bound=bound), Invariant(Space(people, (DRAW,)), other=(other, None)))
    assert (() if found is None else found.principals) == wrong


def test_conditions_that_hold_for_no_call_of_a_role_are_the_same() -> None:
    """CAM 9: a role has no uin."""
    statements = [allow(name, string_equal={"cos:owner": f"${{uin}}/{name}"}) for name in (DRAW, LOOK)]
    built = of(*statements, bound=principals("mine", roles={"bot": {"policies": ["mine"]}}))
    pair = (Invariant(Space((each,), (DRAW,)), other=(None, LOOK)) for each in (BOT, USER))
    assert [prove(built, each) is None for each in pair] == [True, False]
