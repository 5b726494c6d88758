"""Every principal and action has causes of its own, although the work is shared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.analysis.causes import Cause, Side
from camguard.analysis.diff import access_diff, actions_of, principals_of
from camguard.bundle import Bundle
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.catalog.model import Access, Action, Catalog
from tests.company import USER, action, allow, bundle, catalog, deny, inside, policy, principals, service

DRAW, LOOK, LABEL = "art:Draw", "art:Look", "label:Do"
OTHER = "uin/100300"
ART = service("art", "Draw", "Look")


def labelled(*names: str) -> Catalog:
    """Return a catalog in which policies are asked for some names of a call of `label:Do` (DEC-68)."""
    return replace(catalog(ART), known=KnownServices(rows={LABEL: CamNames(names, sure=True)}))


def of(bound: Any = None, *, of_catalog: Catalog = labelled(DRAW), **policies: list[Any]) -> Bundle:  # noqa: B008
    return bundle([policy(name, *each) for name, each in policies.items()], of_catalog, bound)


def causes(old: Bundle, new: Bundle) -> dict[tuple[str, str], list[str]]:
    """Return the texts of the causes by principal and action."""
    sides = Side(old), Side(new)
    groups = access_diff(*sides, principals_of(*sides), actions_of(*sides))
    return {
        (principal, name): [each.text for each in group.part.causes]
        for group in groups
        for principal in group.principals
        for name in group.actions
    }


def test_two_actions_of_one_principal() -> None:
    found = causes(of(own=[allow("none:None")]), of(own=[allow("none:None"), allow(DRAW), allow(LOOK)]))
    assert found[USER, DRAW] == ["allow own#1 was added"]
    assert found[USER, LOOK] == ["allow own#2 was added"]


def test_an_action_by_another_label() -> None:
    found = causes(of(own=[allow("none:None")]), of(own=[allow("none:None"), allow(DRAW)]))
    assert found == {(USER, DRAW): ["allow own#1 was added"], (USER, LABEL): ["allow own#1 was added"]}


def test_two_principals_of_whom_one_had_the_policy() -> None:
    old = of(principals(users={"100200": ["own"], "100300": []}), own=[allow("none:None")])
    new = of(principals(users={"100200": ["own"], "100300": ["own"]}), own=[allow("none:None"), allow(DRAW)])
    for first, second in ((old, new), (new, old)):
        added, attached = ("added", "attached") if first is old else ("removed", "detached")
        found = causes(first, second)
        assert found[USER, DRAW] == [f"allow own#1 was {added}"]
        assert found[OTHER, DRAW] == [f"policy own was {attached} (allow own#1)"]


def test_two_principals_with_different_policies() -> None:
    users = principals(users={"100200": ["one"], "100300": ["other"]})
    nothing, draw = [allow("none:None")], [allow("none:None"), allow(DRAW)]
    found = causes(of(users, one=nothing, other=nothing), of(users, one=draw, other=draw))
    assert found[USER, DRAW] == ["allow one#1 was added"]
    assert found[OTHER, DRAW] == ["allow other#1 was added"]


def test_the_first_statement_is_named_for_a_new_principal() -> None:
    own = [allow(DRAW), allow("art:*")]
    old = of(principals(users={"100300": []}), own=own)
    new = Side(of(principals(users={"100200": ["own"], "100300": []}), own=own))
    before = Side(old)
    groups = access_diff(before, new, [USER], {DRAW: Access.READ})
    assert [each.part.causes for each in groups] == [(Cause("principal", "the principal is new", "own#0"),)]


def test_policies_are_asked_for_another_name() -> None:
    """DEC-68: neither the statements nor the facts of the action changed."""
    old, new = (of(of_catalog=labelled(name), own=[allow(DRAW)]) for name in (LOOK, DRAW))
    found = access_diff(Side(old), Side(new), [USER], {LABEL: Access.READ})
    assert [each.part.causes for each in found] == [
        (Cause("catalog", "the catalog or the owner changed", "own#0"),)
    ]


TEMPLATES = "qcs::art:${region}::image/${id}", "qcs::art:${region}::disk/${id}"
READS = {"numeric_equal": {"qcs:read_only_action": 1}}
OFFICE = inside("10.0.0.0/8")
SEE = action("art:DescribeImages", *TEMPLATES)
# the statement, an action before and after, the facts that are named
FACTS: list[Any] = [
    pytest.param(
        allow("art:*", **OFFICE),
        replace(SEE, ip_restriction=False, match="any", resources=TEMPLATES[:1]),
        SEE,
        ["resources", "ip_restriction", "match"],
        id="several facts at once",
    ),
    pytest.param(
        allow("art:*", **READS),
        replace(SEE, access_guessed=True),
        SEE,
        ["access_guessed"],
        id="a guess is confirmed",
    ),
    pytest.param(
        allow("art:*", **READS),
        action("art:Boot"),
        replace(action("art:Boot"), read_only=True),
        ["read_only"],
        id="somebody confirms that the action only reads",
    ),
]


@pytest.mark.parametrize(("statement", "before", "after", "fields"), FACTS)
def test_facts_of_the_catalog_that_decide(
    statement: Any, before: Action, after: Action, fields: list[str]
) -> None:
    old, new = (of(of_catalog=catalog(service("art", each)), own=[statement]) for each in (before, after))
    found = causes(old, new)[USER, after.id]
    assert [text.removeprefix("the catalog changed ").split()[0] for text in found] == fields


# the policies of OLD and NEW, the causes of a change for art:Draw
LIMITS: list[Any] = [
    pytest.param(
        {"own": [allow(DRAW)], "limit": [allow(DRAW)]},
        {"own": [allow(DRAW)], "limit": [allow(LOOK)]},
        ["allow limit#0 was changed: action without art:Draw, with art:Look"],
        id="the boundary no longer allows",
    ),
    pytest.param(
        {"own": [allow(DRAW), allow(LOOK)], "limit": [allow(DRAW)]},
        {"own": [allow(DRAW)], "limit": [allow(DRAW), deny(DRAW)]},
        ["deny limit#1 was added"],
        id="the boundary denies, and a statement on another action was removed",
    ),
    pytest.param(
        {"own": [allow(DRAW)], "limit": [allow("art:*")]},
        {"own": [allow(LOOK)], "limit": [allow("*")]},
        [
            "allow own#0 was changed: action without art:Draw, with art:Look",
        ],
        id="the boundary allows by another statement",
    ),
    pytest.param(
        {"own": [allow(LOOK)], "limit": [allow("art:*"), deny(DRAW)]},
        {"own": [allow(LOOK), allow(DRAW)], "limit": [allow("art:*")]},
        ["allow own#1 was added", "deny limit#1 was removed"],
        id="the boundary no longer denies, and an allow was added",
    ),
]


@pytest.mark.parametrize(("before", "after", "wanted"), LIMITS)
def test_the_layer_that_denies(before: Any, after: Any, wanted: list[str]) -> None:
    bound = principals("own", boundary="limit")
    assert causes(of(bound, **before), of(bound, **after))[USER, DRAW] == wanted
