"""What is shown of an invariant that does not hold: who and what is wrong, and the call that shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.analysis import invariants
from camguard.analysis.invariants import Broken, Invariant, Space, moment_in, prove
from camguard.bundle import Bundle
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.catalog.model import Access
from camguard.engine.evaluator import Evaluator
from camguard.engine.table import Table
from camguard.ipset import EVERY_ADDRESS, AddressMap, IpSet, parse_address
from tests.analysis.agreement import rows_compiled
from tests.company import USER, action, allow, bundle, catalog, deny, inside, policy, principals, service

# Of an action that is called by another label no verdict is known, so that its access sets are always read.
CATALOG = replace(
    catalog(
        service("art", "Draw", "Look", "Zoom", action("art:Erase", access=Access.WRITE)),
        service("vm", action("vm:Boot", "qcs::vm:${region}:uin/${uin}:instance/${id}")),
    ),
    known=KnownServices(rows={"label:Look": CamNames(("art:Look",), sure=True)}),
)
DRAW, LOOK, ZOOM, BOOT, LABEL = "art:Draw", "art:Look", "art:Zoom", "vm:Boot", "label:Look"
OTHER, BOT = "uin/100300", "role/bot"
OFFICE = IpSet.of(["10.0.0.0/8"])
MFA, VPC = {"bool_equal": {"qcs:mfa": "true"}}, {"string_equal": {"vpc:requester_vpc": "vpc-1"}}
HERE = "qcs::vm:ap-guangzhou:uin/100100:instance/"


def of(*statements: Any, other: list[Any] | None = None, role: bool = False) -> Bundle:
    """Return a bundle of two users and perhaps a role. other: the statements of OTHER, if its own ones."""
    policies = [policy("mine", *statements), policy("other", *(other or [allow("none:None")]))]
    users = {"100200": ["mine"], "100300": ["mine" if other is None else "other"]}
    roles = {"bot": {"policies": ["mine"]}} if role else {}
    return bundle(policies, CATALOG, principals(users=users, roles=roles))


def shown(found: Broken | None) -> Broken:
    assert found is not None
    return found


NEVER = [allow(DRAW, **MFA), deny("art:*", **MFA)]  # no call passes, which only the access set tells
BELOW = {"numeric_less_than": {"qcs:read_only_action": "${uin}"}}
# the bundle, the principals, the actions, the resource, the other principal and action, who and what is wrong
WRONG: list[Any] = [
    pytest.param(
        of(allow(DRAW)),
        (USER, OTHER),
        (DRAW, LABEL),
        None,
        None,
        ((USER, OTHER), (DRAW,)),
        id="one of two actions",
    ),
    pytest.param(
        of(allow(DRAW)),
        (OTHER, USER),
        (LOOK, DRAW, ZOOM),
        None,
        None,
        ((OTHER, USER), (DRAW,)),
        id="one of three",
    ),
    pytest.param(
        of(allow(LOOK)),
        (USER,),
        (ZOOM, LABEL),
        None,
        None,
        ((USER,), (LABEL,)),
        id="DEC-68 an action that is called by another name, beside one that is right",
    ),
    pytest.param(
        of(allow(DRAW), other=NEVER),
        (USER, OTHER),
        (DRAW,),
        None,
        None,
        ((USER,), (DRAW,)),
        id="one of two users",
    ),
    pytest.param(
        of(
            *(allow(each, **inside("10.0.0.0/8"), **more) for each, more in ((DRAW, {}), (ZOOM, MFA))),
            deny(ZOOM, **MFA),
        ),
        (USER,),
        (DRAW, ZOOM),
        None,
        None,
        ((USER,), (DRAW,)),
        id="one that is denied from most addresses is surely wrong nowhere",
    ),
    pytest.param(
        of(allow("*", f"{HERE}${{uin}}")),
        (USER, OTHER),
        (BOOT,),
        f"{HERE}100300",
        None,
        ((OTHER,), (BOOT,)),
        id="the value of a variable of a resource",
    ),
    pytest.param(
        of(allow("art:Erase", **BELOW), role=True),
        (BOT, USER),
        ("art:Erase",),
        None,
        None,
        ((USER,), ("art:Erase",)),
        id="DEC-56 a variable of a condition has no value for a role",
    ),
    pytest.param(
        of(allow(DRAW), allow(LOOK), other=[allow(DRAW)]),
        (OTHER, USER),
        (DRAW,),
        None,
        (None, LOOK),
        ((OTHER,), (DRAW,)),
        id="one of two users, and another action",
    ),
    pytest.param(
        of(allow("*")),
        (USER,),
        (BOOT,),
        f"{HERE}1",
        None,
        ((USER,), (BOOT,)),
        id="a given resource",
    ),
    pytest.param(
        of(allow("*", f"{HERE}2")), (USER,), (BOOT,), f"{HERE}1", None, None, id="another resource is given"
    ),
]


@pytest.mark.parametrize(("built", "people", "actions", "resource", "other", "wrong"), WRONG)
def test_who_and_what_is_wrong(
    built: Bundle, people: Any, actions: Any, resource: str | None, other: Any, wrong: Any
) -> None:
    found = prove(built, Invariant(Space(people, actions, resource=resource), other=other))
    if wrong is None or found is None:
        assert found is wrong
        return
    assert (found.principals, found.actions) == wrong
    assert (found.principal, found.action) == (wrong[0][0], wrong[1][0])
    assert found.found is not None
    assert found.found.call.principal == found.principal
    assert resource is None or found.found.call.resources == (resource,)
    assert (found.found.other is None) is (other is None)


def test_a_call_that_passes_in_any_case_is_shown_first() -> None:
    built = of(allow(DRAW, **inside("10.0.0.0/8"), **MFA), allow(DRAW, **inside("192.0.2.0/24")))
    found = shown(prove(built, Invariant(Space((USER,), (DRAW,)))))
    assert found.fault.answer.word == "allow"
    assert found.found is not None
    assert found.found.address == parse_address("192.0.2.0")


def contradiction(name: Any) -> list[Any]:
    """Return statements that no call meets, which no access set tells."""
    return [allow(name, string_equal={"cos:x": "a"}, string_not_equal={"cos:x": "a"})]


def test_a_part_with_a_call_is_shown_before_a_part_without_one() -> None:
    built = of(*contradiction(DRAW), allow(LOOK, **MFA))
    found = shown(prove(built, Invariant(Space((USER,), (DRAW, LOOK)))))
    assert found.action == LOOK
    assert found.found is not None
    assert found.actions == (DRAW, LOOK)


def test_the_first_part_is_shown_where_no_call_is_found() -> None:
    built = of(*contradiction(DRAW), *contradiction(LOOK))
    found = shown(prove(built, Invariant(Space((OTHER, USER), (DRAW, LOOK)))))
    assert (found.principal, found.action, found.found) == (OTHER, DRAW, None)


def test_an_invariant_is_searched_for_a_limited_number_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Actions with the same rules have the same wrong parts, which count once."""
    built = of(*contradiction([DRAW, ZOOM]), allow(LOOK, **MFA))
    space = Space((USER,), (DRAW, ZOOM, LOOK))
    for most, found in ((1, False), (2, True)):
        monkeypatch.setattr(invariants, "MOST_SEARCHED", most)
        assert (shown(prove(built, Invariant(space))).found is not None) is found


def test_the_address_of_the_client_and_the_one_that_policies_see() -> None:
    egress = AddressMap.of({"10.0.0.0/8": "203.0.113.7"})
    built = of(allow(DRAW, **inside("203.0.113.7")))
    found = shown(prove(built, Invariant(Space((USER,), (DRAW,), OFFICE, egress=egress))))
    assert found.found is not None
    assert found.found.address == parse_address("10.0.0.0")
    assert found.found.call.source_ip == parse_address("203.0.113.7")


def test_a_call_that_only_the_other_action_depends_on() -> None:
    found = shown(prove(of(allow(LOOK, **VPC)), Invariant(Space((USER,), (DRAW,)), other=(None, LOOK))))
    assert found.found is not None
    assert not found.found.decision
    assert found.found.other


def test_a_call_that_has_the_value_of_the_other_principal() -> None:
    own = [allow(DRAW, string_equal={"cos:owner": "${uin}"})]
    built = of(allow("none:None"), other=own)
    found = shown(prove(built, Invariant(Space((USER,), (DRAW,)), other=(OTHER, None))))
    assert found.found is not None
    assert found.found.call.context == {"cos:owner": ("100300",)}


def test_a_space_is_shown_at_the_beginning_of_1970_where_no_time_is_preferred() -> None:
    found = shown(prove(of(allow(DRAW)), Invariant(Space((USER,), (DRAW,)))))
    assert found.found is not None
    assert found.found.call.time == 0.0


FROM_A, FROM_B = inside("10.0.0.0/8"), inside("10.0.0.0/7")
FOR_EACH = [allow(DRAW, **FROM_A), allow(LOOK, **FROM_B), allow(ZOOM, **MFA)]
# statements, actions, the addresses from which exactly they are allowed, the first wrong one, rows compiled
SPARED: list[Any] = [
    pytest.param(FOR_EACH[:2], (DRAW, LOOK, ZOOM), IpSet.of(["8.0.0.0/6"]), None, set(), id="what is right"),
    pytest.param(FOR_EACH, (DRAW, LOOK), None, DRAW, {DRAW}, id="the second one of two that are wrong"),
    pytest.param(FOR_EACH, (DRAW, ZOOM, LOOK), None, DRAW, {DRAW, ZOOM}, id="one behind one that depends"),
    pytest.param(FOR_EACH, (ZOOM, DRAW, LOOK), None, DRAW, {DRAW, ZOOM}, id="one behind the plainest one"),
    pytest.param(
        [allow(ZOOM), deny(LOOK, **FROM_A)], (DRAW, LOOK), OFFICE, DRAW, {DRAW}, id="what is never allowed"
    ),
]


@pytest.mark.parametrize(("statements", "actions", "exactly", "wrong", "compiled"), SPARED)
def test_a_verdict_spares_the_access_set(
    statements: Any, actions: Any, exactly: Any, wrong: Any, compiled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = of(*statements)
    rows = rows_compiled(monkeypatch)
    addresses = EVERY_ADDRESS if exactly is None or wrong else EVERY_ADDRESS - exactly
    found = prove(built, Invariant(Space((USER,), actions, addresses), exactly=exactly if wrong else None))
    assert (found.action if found else None, set(rows)) == (wrong, compiled)
    assert found is None or found.actions == actions


def test_the_verdict_and_the_access_set_share_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    built = of(*NEVER)
    tables, right = [], Evaluator.new_table

    def new_table(*given: Any) -> Table:
        tables.append(right(*given))
        return tables[-1]

    monkeypatch.setattr(Evaluator, "new_table", new_table)
    assert prove(built, Invariant(Space((USER,), (DRAW,)))) is None
    assert len(tables) == 1


MOMENTS = [
    pytest.param(0.5, 10.0, 0.5, 0.5, id="the preferred one is the first one"),
    pytest.param(0.5, 10.0, 10.0, 1.0, id="the preferred one is behind the last one"),
    pytest.param(0.5, 1.0, 20.0, 0.5, id="the first whole second is behind the last one"),
]


@pytest.mark.parametrize(("begin", "end", "preferred", "moment"), MOMENTS)
def test_the_moment_of_the_call(begin: float, end: float, preferred: float, moment: float) -> None:
    assert moment_in(begin, end, preferred) == moment
