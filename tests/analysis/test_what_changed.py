"""What two versions of a statement differ in, and for which actions two bundles can have other rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from camguard.analysis.causes import Side, affected, what_changed
from camguard.bundle import Bundle
from tests.company import USER, Statement, allow, bundle, catalog, deny, inside, policy, principals, service

COMPANY = catalog(service("aiart", "Draw", "Look", "Paint", "Zoom"))
DRAW, LOOK, PAINT = "aiart:Draw", "aiart:Look", "aiart:Paint"
MFA = {"bool_equal": {"qcs:mfa": "true"}}
OFFICE = inside("10.0.0.0/8")
Policies = Mapping[str, Sequence[Statement]]


def built(policies: Policies, bound: Any) -> Bundle:
    """Return a bundle. bound: the content of principals.json."""
    return bundle([policy(name, *each) for name, each in policies.items()], COMPANY, bound)


A, B, C, D = (f"qcs::cvm:::instance/{each}" for each in "abcd")
ELEMENTS = [
    pytest.param(allow(DRAW), deny(DRAW), "effect allow -> deny", id="the effect"),
    pytest.param(allow(DRAW), allow([DRAW, LOOK]), "action with aiart:Look", id="one more action"),
    pytest.param(allow([DRAW, LOOK]), allow(LOOK), "action without aiart:Draw", id="one action less"),
    pytest.param(allow(DRAW, A), allow(DRAW, "*"), f"resource without {A}, with *", id="any resource"),
    pytest.param(
        allow(DRAW, "*"), allow(DRAW, ["*", A]), f"resource with {A}", id="a resource beside the star"
    ),
    pytest.param(
        allow(DRAW, A),
        allow(DRAW, [A, B, C, D, f"{D}-2"]),
        f"resource with {B}, {C}, {D} and 1 more",
        id="only three of many resources are named",
    ),
    pytest.param(
        allow(DRAW, [A, B, C, D]),
        allow(DRAW, D),
        f"resource without {A}, {B}, {C}",
        id="three resources less",
    ),
    pytest.param(
        allow(DRAW, **inside("10.0.0.0/8")),
        allow(DRAW, **inside("10.0.0.0/8", "192.0.2.0/24")),
        "ip_equal qcs:ip with 192.0.2.0/24",
        id="one more range",
    ),
    pytest.param(
        allow(DRAW, **MFA),
        allow(DRAW, **OFFICE),
        "bool_equal qcs:mfa without true; ip_equal qcs:ip with 10.0.0.0/8",
        id="another condition",
    ),
    pytest.param(
        allow(DRAW, string_equal={"cos:a": "x"}),
        allow(DRAW, string_equal={"cos:b": "x"}),
        "string_equal cos:a without x; string_equal cos:b with x",
        id="another key",
    ),
    pytest.param(allow([DRAW, LOOK]), allow([LOOK, DRAW]), "the order of its elements", id="only the order"),
]


@pytest.mark.parametrize(("before", "after", "wanted"), ELEMENTS)
def test_the_elements_that_changed(before: Statement, after: Statement, wanted: str) -> None:
    old, new = (policy("own", each).statements[0] for each in (before, after))
    assert what_changed(old, new) == wanted


# --- what two bundles can decide differently ----------------------------------------------------------------

OWN: Policies = {
    "all": [allow("aiart:*")],
    "look": [allow(LOOK)],
    "no-look": [deny(LOOK)],
    "draw": [allow(DRAW)],
    "one": [allow(DRAW, A)],
    "text": [allow(DRAW, string_equal={"cos:a": "x"})],
    "both": [allow(DRAW), allow(DRAW), allow(LOOK)],
}
# principals.json of OLD, principals.json and policies of NEW, the actions whose rules can differ (None: all)
AFFECTED = [
    pytest.param(principals("all"), principals("all"), {}, set(), id="nothing changed"),
    pytest.param(
        principals("draw", "look"), principals("look", "draw"), {}, set(), id="the order of the policies"
    ),
    pytest.param(principals("draw"), principals("draw", "look"), {}, {LOOK}, id="a policy was attached"),
    pytest.param(principals("draw", "look"), principals("draw"), {}, {LOOK}, id="a policy was detached"),
    pytest.param(
        principals("draw"),
        principals("draw"),
        {"draw": [allow(PAINT)]},
        {DRAW, PAINT},
        id="a changed statement",
    ),
    pytest.param(
        principals("look"),
        principals("draw"),
        {"draw": [allow(LOOK)]},
        set(),
        id="the same statement in another policy",
    ),
    pytest.param(
        principals("both"),
        principals("both"),
        {"both": [allow(LOOK), allow(DRAW)]},
        {DRAW},
        id="one of two equal statements was taken away",
    ),
    pytest.param(principals("draw"), principals("draw"), {"draw": [deny(DRAW)]}, {DRAW}, id="another effect"),
    pytest.param(
        principals("draw"), principals("draw"), {"draw": [allow(DRAW, A)]}, {DRAW}, id="another resource"
    ),
    pytest.param(
        principals("draw"),
        principals("draw"),
        {"draw": [allow(DRAW, ["*", A])]},
        {DRAW},
        id="a resource beside the star",
    ),
    pytest.param(
        principals("draw"), principals("draw"), {"draw": [allow(DRAW, **MFA)]}, {DRAW}, id="a condition"
    ),
    pytest.param(
        principals("one"),
        principals("one"),
        {"one": [allow(DRAW, ["*", A])]},
        {DRAW},
        id="the star beside it",
    ),
    pytest.param(
        principals("text"),
        principals("text"),
        {"text": [allow(DRAW, string_equal={"cos:a": "x"})]},
        set(),
        id="same",
    ),
    *(
        pytest.param(
            principals("text"),
            principals("text"),
            {"text": [allow(DRAW, **{operator: {key: value}})]},
            {DRAW},
            id=what,
        )
        for what, operator, key, value in (
            ("another operator", "string_not_equal", "cos:a", "x"),
            ("another key", "string_equal", "cos:b", "x"),
            ("another value", "string_equal", "cos:a", "y"),
        )
    ),
    pytest.param(
        principals("draw", boundary="all"),
        principals("draw", boundary="look"),
        {},
        {DRAW, LOOK, PAINT, "aiart:Zoom"},
        id="another boundary",
    ),
    pytest.param(principals("draw"), principals("draw", boundary="look"), {}, None, id="a boundary is new"),
    pytest.param(
        principals("draw", boundary="look"), principals("draw"), {}, None, id="the boundary was taken away"
    ),
    pytest.param(
        principals("draw", account=[["look"]]),
        principals("draw", account=[["draw"]]),
        {},
        {DRAW, LOOK},
        id="another policy in a level of the account",
    ),
    pytest.param(
        principals("draw", account=[["all"]]),
        principals("draw", account=[["all"], ["all"]]),
        {},
        None,
        id="another number of levels",
    ),
    pytest.param(
        principals(users={"100300": []}), principals("draw"), {}, None, id="only NEW has the principal"
    ),
    pytest.param(
        principals("draw"), principals(users={"100300": []}), {}, None, id="only OLD has the principal"
    ),
    pytest.param(
        principals("draw", "gone"), principals("draw"), {}, None, id="OLD has a policy that does not exist"
    ),
    pytest.param(
        principals("draw"), principals("draw", "gone"), {}, None, id="NEW has a policy that does not exist"
    ),
]


@pytest.mark.parametrize(("before", "after", "changed", "wanted"), AFFECTED)
def test_actions_whose_rules_can_differ(
    before: Any, after: Any, changed: Policies, wanted: set[str] | None
) -> None:
    old, new = built(OWN, before), built({**OWN, **changed}, after)
    found = affected(Side(old), Side(new), USER)
    assert (None if found is None else set(new.evaluator.statements.members(found))) == wanted


READS = {"reads": [allow("*", numeric_equal={"qcs:read_only_action": 1})], "draw": [allow(DRAW)]}
CALLERS = [
    pytest.param(principals("reads"), True, id="a policy on what only reads"),
    pytest.param(principals("draw", boundary="reads"), True, id="such a boundary"),
    pytest.param(principals("draw", account=[["draw"], ["reads"]]), True, id="such a level of the account"),
    pytest.param(principals("draw"), False, id="such a policy is not attached"),
    pytest.param(principals(users={"100300": ["reads"]}), False, id="another principal has such a policy"),
]


@pytest.mark.parametrize(("bound", "wanted"), CALLERS)
def test_principals_who_can_differ_from_others_with_the_same_policies(bound: Any, wanted: bool) -> None:
    assert Side(built(READS, bound)).names_callers(USER) is wanted
