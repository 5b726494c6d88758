"""Decisions of two bundles differ exactly where their diff says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from camguard.analysis.answers import Alternative, Answer, Condition, Need
from camguard.analysis.cases import newly_allowed
from camguard.analysis.causes import Side
from camguard.analysis.diff import access_diff, actions_of
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.catalog.model import Catalog
from tests.analysis.agreement import rows_compiled, shares
from tests.analysis.differing import Mismatch, compare
from tests.company import USER, action, allow, bundle, catalog, deny, inside, policy, principals, service

CATALOG = catalog(service("cvm", action("cvm:Stop", "qcs::cvm:${region}:uin/${uin}:instance/${id}")))
A, B = "qcs::cvm:ap-guangzhou::instance/a", "qcs::cvm:ap-guangzhou::instance/b"
ALL = "qcs::cvm:ap-guangzhou::instance/*"
MFA = {"bool_equal": {"qcs:mfa": "true"}}
VPC = {"string_equal": {"vpc:requester_vpc": "vpc-1"}}
ON_A, ON_B, ON_ALL = (f"resource matches {each}" for each in (A, B, ALL))
WITH_MFA, IN_VPC = "qcs:mfa bool_equal true", "vpc:requester_vpc string_equal vpc-1"

# statements of OLD, statements of NEW, what is gained, what is lost: the ways, each as its literals
CASES = [
    pytest.param(
        [allow("cvm:*", A)], [allow("cvm:*", ALL)], {ON_ALL}, set(), id="a resource under a wider one"
    ),
    pytest.param([allow("cvm:*", A)], [allow("cvm:*", [A, B])], {ON_B}, set(), id="one more resource"),
    pytest.param([allow("cvm:*", A)], [allow("cvm:*", B)], {ON_B}, {ON_A}, id="another resource"),
    pytest.param([allow(**MFA)], [allow()], {""}, set(), id="a condition taken away"),
    pytest.param([allow()], [allow(), deny(**MFA)], set(), {""}, id="a deny under a condition"),
    pytest.param([allow(), deny(**MFA)], [allow()], {""}, set(), id="a deny under a condition, taken away"),
    pytest.param(
        [allow(**MFA)], [allow(**MFA), allow(**VPC)], {IN_VPC}, set(), id="an allow under another condition"
    ),
    pytest.param(
        [allow(**MFA)],
        [allow(**MFA), deny(**VPC)],
        set(),
        {WITH_MFA},
        id="a deny under another condition",
    ),
    pytest.param(
        [allow(**MFA), allow(**VPC)], [allow(**VPC), allow(**MFA)], set(), set(), id="another order"
    ),
    pytest.param([allow("cvm:*", [A, ALL])], [allow("cvm:*", ALL)], set(), set(), id="less of the same"),
]


@pytest.mark.parametrize(("old", "new", "gained", "lost"), CASES)
def test_a_change_names_its_conditions(old: Any, new: Any, gained: set[str], lost: set[str]) -> None:
    before, after = (
        Side(bundle([policy("own", *(each | {"action": "cvm:*"} for each in statements))], CATALOG))
        for statements in (old, new)
    )
    groups = access_diff(before, after, ["uin/100200"], actions_of(before, after))
    for kind, expected in (("gained", gained), ("lost", lost)):
        ways = [way for group in groups if group.part.kind == kind for way in group.part.cases.ways]
        assert {" and ".join(map(str, way)) for way in ways} == expected


ART = catalog(service("art", "Draw", "Look", "Zoom"))
LABELS = replace(
    ART,
    known=KnownServices(
        rows={f"label:{each}": CamNames((f"art:{each}",), sure=True) for each in ("Draw", "Look")}
    ),
)
DRAW, LOOK, ZOOM = "art:Draw", "art:Look", "art:Zoom"
NEAR, FAR = inside("10.0.0.0/8"), inside("10.0.0.0/7")
APART = [allow(DRAW, **FAR), allow(LOOK, **FAR)]


def two_sides(old: Any, new: Any, listed: Catalog) -> tuple[Side, Side]:
    """Return the sides of two bundles of one catalog, with these statements of one policy."""
    one, other = (Side(bundle([policy("own", *each)], listed)) for each in (old, new))
    return one, other


# statements of OLD, statements of NEW, the actions whose rows are compiled, those that are gained or lost
SPARED = [
    pytest.param(APART, APART[::-1], set(), set(), id="the order of statements"),
    pytest.param(
        APART,
        [allow(DRAW, **NEAR), APART[1]],
        {DRAW},
        {DRAW},
        id="another action that no statement names which changed",
    ),
    pytest.param(
        [allow([DRAW, LOOK], **FAR)],
        [allow(DRAW, **NEAR), allow(LOOK, **FAR)],
        {DRAW},
        {DRAW},
        id="another action that is decided as before, though other statements name it",
    ),
    pytest.param(
        [allow(DRAW, **FAR), allow(LOOK, **MFA)],
        [allow(DRAW, **NEAR), allow(LOOK, **MFA)],
        {DRAW},
        {DRAW},
        id="another action whose statements are the same, though it depends on a condition",
    ),
    pytest.param(
        APART,
        [allow([DRAW, "none:None"], **FAR), allow(LOOK, **NEAR)],
        {LOOK},
        {LOOK},
        id="an action before the one that is decided otherwise",
    ),
]


@pytest.mark.parametrize(("old", "new", "compiled", "changed"), SPARED)
def test_actions_that_cannot_have_changed_are_passed_over(
    old: Any, new: Any, compiled: set[str], changed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = two_sides(old, new, ART)
    rows = rows_compiled(monkeypatch)
    groups = access_diff(*sides, [USER], actions_of(*sides))
    assert set(rows) == compiled
    assert {each for group in groups for each in group.actions} == changed


def test_the_setting_that_lets_addresses_count_matters_to_some_actions() -> None:
    listed = catalog(service("art", "Draw", action(LOOK, ip_restriction=False)))
    old, new = (
        Side(bundle([policy("own", allow("art:*", **NEAR))], listed, ip_support=word))
        for word in ("catalog", "gateway")
    )
    groups = access_diff(old, new, [USER], actions_of(old, new))
    assert [(group.part.kind, group.actions) for group in groups] == [("gained", (LOOK,))]


def test_an_action_that_the_catalog_lists_now_changes_nothing_about_others() -> None:
    """DEC-68: its name was called before, by the same CAM name, and comes before others in the catalog."""
    known = KnownServices(rows={"a:Zed": CamNames((DRAW,), sure=True)})
    old, new = (
        Side(bundle([policy("own", allow(LOOK, **where), allow(ZOOM, **NEAR))], replace(listed, known=known)))
        for listed, where in ((ART, FAR), (catalog(service("a", "Zed"), *ART.services.values()), NEAR))
    )
    groups = access_diff(old, new, [USER], actions_of(old, new))
    assert [(group.part.kind, group.actions) for group in groups] == [("lost", (LOOK,))]


def test_actions_that_only_one_table_can_tell_apart() -> None:
    """DEC-68: those with a label of their own are always compared by themselves."""
    sides = two_sides([allow(DRAW, **MFA)], [allow("art:*")], LABELS)
    for (old, new), kind in ((sides, "gained"), (sides[::-1], "lost")):
        groups = access_diff(old, new, [USER], actions_of(old, new))
        found = {(group.part.kind, group.actions) for group in groups}
        assert found == {(kind, (DRAW, "label:Draw")), (kind, (LOOK, ZOOM, "label:Look"))}


def test_the_same_change_of_principals_with_other_policies_is_one_change() -> None:
    """Which statements decide beside the cause makes no difference."""
    users = principals(users={"100200": ["own", "less"], "100300": ["other", "less"]})
    listed = [policy("own", allow(DRAW)), policy("other", allow([DRAW, "none:None"]))]
    before, after = (
        Side(bundle([*listed, policy("less", deny(name))], ART, users)) for name in ("none:None", DRAW)
    )
    for old, new in ((before, after), (after, before)):
        groups = access_diff(old, new, ["uin/100200", "uin/100300"], actions_of(old, new))
        assert [group.principals for group in groups] == [("uin/100200", "uin/100300")]


def test_very_many_ways_to_be_allowed_count_as_a_change() -> None:
    def answer(count: int) -> Answer:
        """Return an answer with so many needs, each of which two conditions meet."""
        conditions = [Condition("key", f"cos:{at}", "string_equal", ("a",)) for at in range(2 * count)]
        alternatives = [Alternative((), (each,)) for each in conditions]
        pairs = zip(alternatives[::2], alternatives[1::2], strict=True)
        return Answer(None, (), tuple(Need("identity", None, pair) for pair in pairs))

    assert newly_allowed(answer(8), answer(7)).ways
    assert not newly_allowed(answer(7), answer(8))  # more needs allow nothing more
    many = newly_allowed(answer(8), answer(9))
    assert many
    assert (many.ways, many.exact) == ((), False)


def differ_as_said(pairs: int, seed: int) -> Counter[str]:
    """Compare so many pairs of bundles, and count calls. A mismatch fails the test."""
    compared: Counter[str] = Counter()
    for old, new, found in compare(pairs, seed):
        if isinstance(found, Mismatch):
            pytest.fail(f"{found}\nold: {old}\nnew: {new}")
        compared += found
    return compared


@pytest.mark.parametrize("seed", shares(1, 30, 1))
def test_decisions_differ_exactly_where_the_diff_says(seed: int) -> None:
    assert differ_as_said(1, seed)


def test_one_pair_of_bundles_has_gains_and_losses() -> None:
    compared = differ_as_said(1, seed=18)
    assert min(compared[each] for each in ("gained", "lost", "same")) > 5


@pytest.mark.heavy
def test_decisions_differ_exactly_where_the_diff_says_at_length() -> None:
    assert differ_as_said(400, seed=1_000_000).total() > 4_000
