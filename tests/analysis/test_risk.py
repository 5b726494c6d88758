"""The riskiest change comes first, and principals and actions with the same change are one group."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import pytest

from camguard.analysis.answers import ALLOWED, DENIED
from camguard.analysis.cases import ALWAYS, Cases
from camguard.analysis.causes import Side
from camguard.analysis.diff import (
    ALL_TIMES,
    Group,
    Part,
    access_diff,
    actions_of,
    principals_of,
    risk,
    share_of,
)
from camguard.bundle import Bundle
from camguard.catalog.model import Access
from camguard.ipset import EVERY_ADDRESS, IpSet
from tests.company import OWNER, action, allow, bundle, catalog, inside, policy, principals, service

SOME = Cases(((), ()))  # only has to differ from `ALWAYS`


def group(
    kind: Any = "gained",
    access: Mapping[Access, int] = {Access.READ: 1},
    ranges: IpSet = IpSet.of(["10.0.0.0/8"]),  # noqa: B008 - not changed
    cases: Cases = SOME,
    principals: int = 1,
    actions: int = 1,
) -> Group:
    part = Part(kind, ranges, ALL_TIMES, cases, DENIED, ALLOWED, ())
    return Group(part, ("uin/100200",) * principals, ("art:Draw",) * actions, access)


# a group, and another one that is less risky
RISKS = [
    pytest.param(
        group(access={Access.LIST: 1}, ranges=IpSet.of(["10.0.0.1"])),
        group("lost", {Access.WRITE: 9}, EVERY_ADDRESS, ALWAYS, 9, 9),
        id="what is gained before what is lost",
    ),
    pytest.param(
        group(access={Access.WRITE: 1}),
        group(access={Access.OTHER: 9}, ranges=EVERY_ADDRESS, cases=ALWAYS, principals=9),
        id="what writes before what nobody knows",
    ),
    pytest.param(
        group(access={Access.OTHER: 1}),
        group(access={Access.READ: 9}, ranges=EVERY_ADDRESS, cases=ALWAYS, principals=9),
        id="what nobody knows before what reads",
    ),
    pytest.param(
        group(access={Access.READ: 1}),
        group(access={Access.LIST: 9}, ranges=EVERY_ADDRESS, cases=ALWAYS, principals=9),
        id="what reads before what lists",
    ),
    pytest.param(
        group(access={Access.LIST: 1, Access.WRITE: 1}),
        group(access={Access.OTHER: 9}),
        id="one action that writes among others",
    ),
    pytest.param(
        group(ranges=EVERY_ADDRESS),
        group(cases=ALWAYS, principals=9),
        id="from anywhere before from few addresses",
    ),
    pytest.param(group(cases=ALWAYS), group(principals=9), id="without a condition before with one"),
    pytest.param(group(principals=2, actions=3), group(actions=5), id="for many before for few"),
    pytest.param(group(principals=5), group(principals=2, actions=2), id="for many principals"),
]


@pytest.mark.parametrize(("more", "less"), RISKS)
def test_one_change_is_riskier_than_another_one(more: Group, less: Group) -> None:
    assert risk(more) > risk(less)


# ranges, their share of the family of which they have more
SHARES = [
    pytest.param([], 0.0, id="no address"),
    pytest.param(["0.0.0.0/0", "::/0"], 1.0, id="every address"),
    pytest.param(["0.0.0.0/1"], 0.5, id="a half of IPv4"),
    pytest.param(["::/1"], 0.5, id="a half of IPv6"),
    pytest.param(["0.0.0.0/2", "128.0.0.0/2"], 0.5, id="two quarters of IPv4"),
    pytest.param(["::/2", "8000::/2"], 0.5, id="two quarters of IPv6"),
    pytest.param(["0.0.0.0/2", "::/1"], 0.5, id="more of IPv6"),
    pytest.param(["0.0.0.0/1", "::/2"], 0.5, id="more of IPv4"),
    pytest.param(["10.0.0.1"], 2.0**-32, id="one address of IPv4"),
    pytest.param(["::2"], 2.0**-128, id="one address of IPv6"),
]


@pytest.mark.parametrize(("texts", "share"), SHARES)
def test_the_share_of_all_addresses(texts: list[str], share: float) -> None:
    assert share_of(IpSet.of(texts)) == share


CATALOG = catalog(
    service("art", "Draw", "Look", *(action(f"art:{name}", access=Access.WRITE) for name in ("Erase", "Cut")))
)
ANA, BEN, BOT = "uin/100201", "uin/100202", "role/bot"


def of(bound: dict[str, Any], **policies: list[Any]) -> Bundle:
    listed = [policy(name, *each) for name, each in policies.items()]
    return bundle(listed, CATALOG, {"owner": OWNER, **bound})


def changes(old: Bundle, new: Bundle) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Return the kind, the principals and the actions of each group, in its order."""
    sides = Side(old), Side(new)
    groups = access_diff(*sides, principals_of(*sides), actions_of(*sides))
    return [(each.part.kind, each.principals, each.actions) for each in groups]


def test_changes_are_grouped_and_the_riskiest_comes_first() -> None:
    users = principals(users={"100201": ["all"], "100202": ["all"], "100203": ["draw"]})
    old = of(users, all=[allow("art:Draw")], draw=[allow("*")])
    new = of(users, all=[allow("*")], draw=[allow("art:Look", **inside("10.0.0.0/8"))])
    sides = Side(old), Side(new)
    groups = access_diff(*sides, principals_of(*sides), actions_of(*sides))
    assert [(each.part.kind, each.principals, each.actions, dict(each.access)) for each in groups] == [
        ("gained", (ANA, BEN), ("art:Cut", "art:Erase", "art:Look"), {Access.WRITE: 2, Access.READ: 1}),
        ("lost", ("uin/100203",), ("art:Cut", "art:Draw", "art:Erase"), {Access.WRITE: 2, Access.READ: 1}),
        ("lost", ("uin/100203",), ("art:Look",), {Access.READ: 1}),
    ]
    assert [list(each.access) for each in groups[:1]] == [[Access.WRITE, Access.READ]]
    assert groups[0].part.times == ALL_TIMES == ((-inf, inf),)


def test_principals_who_differed_before_have_changes_of_their_own() -> None:
    both = principals(users={"100201": ["draw"], "100202": ["draw"]})
    for first, second in (("100201", "100202"), ("100202", "100201")):
        old = of(principals(users={first: ["draw"], second: []}), draw=[allow("art:Draw")])
        assert changes(old, of(both, draw=[allow("art:Draw")])) == [
            ("gained", (f"uin/{second}",), ("art:Draw",))
        ]
        assert changes(of(both, draw=[allow("art:Draw")]), old) == [
            ("lost", (f"uin/{second}",), ("art:Draw",))
        ]


def test_a_variable_has_no_value_for_a_role_with_the_same_policies() -> None:
    """DEC-56: what the catalog says of an action is compared with the uin of the user."""
    for people in ({"100201": ["own"]}, {"100201": ["own"], "100202": ["own"]}):
        bound = principals(users=people, roles={"bot": {"policies": ["own"]}})
        users = tuple(f"uin/{uin}" for uin in people)
        some = [allow("art:Erase", numeric_less_than={"qcs:read_only_action": "${uin}"})]
        without, having = of(bound, own=[allow("none:None")]), of(bound, own=some)
        gained, lost = changes(without, having), changes(having, without)
        assert gained == [("gained", users, ("art:Erase",))]
        assert lost == [("lost", users, ("art:Erase",))]


def test_an_action_that_takes_the_place_of_another_one_is_compared() -> None:
    bound = principals("own")
    old, new = (
        bundle([policy("own", allow("art:*"))], catalog(service("art", "Draw", name)), bound)
        for name in ("Look", "Zoom")
    )
    assert sorted(changes(old, new)) == [
        (kind, (principal,), (name,))
        for kind, name in (("gained", "art:Zoom"), ("lost", "art:Look"))
        for principal in ("uin/100100", "uin/100200")
    ]
