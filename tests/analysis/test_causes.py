"""The causes of a change are the statements that only one bundle has, else limits, catalog and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from camguard.analysis.causes import Cause, Side
from camguard.analysis.diff import access_diff, actions_of, principals_of
from camguard.bundle import Bundle
from camguard.catalog.model import Access, Catalog, Granularity
from tests.company import (
    USER,
    Statement,
    action,
    allow,
    bundle,
    catalog,
    deny,
    inside,
    policy,
    principals,
    service,
)

ROOT = "uin/100100"
STOP = action("cvm:Stop", "qcs::cvm:${region}:uin/${uin}:instance/${id}")
COMPANY = catalog(service("aiart", "Draw", "Look", "Paint", "Zoom"), service("cvm", STOP))
DRAW, LOOK, PAINT = "aiart:Draw", "aiart:Look", "aiart:Paint"
MFA = {"bool_equal": {"qcs:mfa": "true"}}
NAMED = {"string_equal": {"cos:prefix": "a"}}
Policies = Mapping[str, Sequence[Statement]]


def built(policies: Policies, bound: Any = None, of: Catalog = COMPANY, **settings: Any) -> Bundle:
    """Return a bundle. bound: the content of principals.json; without it USER has every policy."""
    return bundle([policy(name, *each) for name, each in policies.items()], of, bound, **settings)


def causes(before: Bundle, after: Bundle) -> dict[tuple[str, str, str], tuple[Cause, ...]]:
    """Return the causes of every gain and loss, by principal and action."""
    old, new = Side(before), Side(after)
    return {
        (group.part.kind, principal, name): group.part.causes
        for group in access_diff(old, new, principals_of(old, new), actions_of(old, new))
        for principal in group.principals
        for name in group.actions
    }


ALL, NO_LOOK = [allow("aiart:*")], [deny(LOOK)]
# statements of the policy `own` in OLD and in NEW, the action, whether it is gained, the cause
STATEMENTS = [
    pytest.param(
        [allow(DRAW)],
        [allow(DRAW), allow(LOOK)],
        LOOK,
        "gained",
        [Cause("added", "allow own#1 was added", "own#1")],
        id="an allow that was added",
    ),
    pytest.param(
        [allow(DRAW), allow(LOOK)],
        [allow(DRAW)],
        LOOK,
        "lost",
        [Cause("removed", "allow own#1 was removed", "own#1")],
        id="an allow that was removed",
    ),
    pytest.param(
        ALL,
        [*ALL, *NO_LOOK],
        LOOK,
        "lost",
        [Cause("added", "deny own#1 was added", "own#1")],
        id="a deny that was added",
    ),
    pytest.param(
        [*ALL, *NO_LOOK],
        ALL,
        LOOK,
        "gained",
        [Cause("removed", "deny own#1 was removed", "own#1")],
        id="a deny that was removed",
    ),
    pytest.param(
        [allow(DRAW)],
        [allow(LOOK)],
        DRAW,
        "lost",
        [Cause("changed", "allow own#0 was changed: action without aiart:Draw, with aiart:Look", "own#0")],
        id="an allow that names another action",
    ),
    pytest.param(
        [allow(DRAW)],
        [allow(LOOK)],
        LOOK,
        "gained",
        [Cause("changed", "allow own#0 was changed: action without aiart:Draw, with aiart:Look", "own#0")],
        id="an allow that named another action",
    ),
    pytest.param(
        [*ALL, deny(DRAW)],
        [*ALL, allow(DRAW)],
        DRAW,
        "gained",
        [Cause("changed", "deny own#1 was changed: effect deny -> allow", "own#1")],
        id="a deny that became an allow",
    ),
    pytest.param(
        [*ALL, allow(DRAW)],
        [*ALL, deny(DRAW)],
        DRAW,
        "lost",
        [
            Cause("changed", "allow own#1 was changed: effect allow -> deny", "own#1"),
        ],
        id="an allow that became a deny",
    ),
    pytest.param(
        [deny(DRAW), allow(LOOK)],
        [allow(LOOK), allow(DRAW)],
        DRAW,
        "gained",
        [
            Cause("added", "allow own#1 was added", "own#1"),
            Cause("removed", "deny own#0 was removed", "own#0"),
        ],
        id="a deny that was removed, and an allow that was added",
    ),
    pytest.param(
        [allow(["aiart:*", "cvm:*", "cdb:*", "tke:*"])],
        [allow(LOOK)],
        DRAW,
        "lost",
        [
            Cause(
                "changed",
                "allow own#0 was changed: action without aiart:*, cvm:*, cdb:* and 1 more, with aiart:Look",
                "own#0",
            )
        ],
        id="an allow that named four more patterns, of which three are shown",
    ),
    pytest.param(
        [allow(DRAW, **MFA)],
        [allow(DRAW)],
        DRAW,
        "gained",
        [Cause("changed", "allow own#0 was changed: bool_equal qcs:mfa without true", "own#0")],
        id="a condition that was taken away",
    ),
    pytest.param(
        [allow(DRAW), allow(LOOK)],
        [allow(LOOK), allow(PAINT), allow(DRAW)],
        PAINT,
        "gained",
        [Cause("added", "allow own#1 was added", "own#1")],
        id="an allow between statements that only moved",
    ),
    pytest.param(
        [*NO_LOOK, allow(LOOK), *ALL],
        [allow(LOOK)],
        LOOK,
        "gained",
        [Cause("removed", "deny own#0 was removed", "own#0")],
        id="a deny before statements that only moved",
    ),
]


@pytest.mark.parametrize(("before", "after", "name", "kind", "wanted"), STATEMENTS)
def test_the_statement_that_caused_a_change(
    before: list[Statement], after: list[Statement], name: str, kind: str, wanted: list[Cause]
) -> None:
    found = causes(built({"own": before}), built({"own": after}))
    assert found[kind, USER, name] == tuple(wanted)


POLICIES: Policies = {
    "all": ALL,
    "every": [allow("*")],
    "look": [allow(LOOK)],
    "mfa": [allow("aiart:*", **MFA)],
    "no-draw": [deny(DRAW)],
    "no-look": NO_LOOK,
    "office": [allow("aiart:*", **inside("10.0.0.0/8"))],
}


def cause(what: Any, text: str, statement: str | None = None, policy: str | None = None) -> Cause:
    return Cause(what, text, statement, policy)


# principals.json of OLD and of NEW, the action, whether it is gained, the cause
ATTACHED = [
    pytest.param(
        principals("all"),
        principals("all", "no-look"),
        LOOK,
        "lost",
        cause("attached", "policy no-look was attached (deny no-look#0)", "no-look#0", "no-look"),
        id="a policy with a deny was attached",
    ),
    pytest.param(
        principals("all", "no-look"),
        principals("all"),
        LOOK,
        "gained",
        cause("detached", "policy no-look was detached (deny no-look#0)", "no-look#0", "no-look"),
        id="a policy with a deny was detached",
    ),
    pytest.param(
        principals("look"),
        principals("look", "all"),
        DRAW,
        "gained",
        cause("attached", "policy all was attached (allow all#0)", "all#0", "all"),
        id="a policy with an allow was attached",
    ),
    pytest.param(
        principals("look", "all"),
        principals("look"),
        DRAW,
        "lost",
        cause("detached", "policy all was detached (allow all#0)", "all#0", "all"),
        id="a policy with an allow was detached",
    ),
    pytest.param(
        principals("all"),
        principals("all", "gone"),
        DRAW,
        "lost",
        cause("attached", "policy gone was attached (it is missing, so it denies)", "gone", "gone"),
        id="DEC-40 a policy that does not exist was attached",
    ),
    pytest.param(
        principals("all", "gone"),
        principals("all"),
        DRAW,
        "gained",
        cause("detached", "policy gone was detached (it is missing, so it denies)", "gone", "gone"),
        id="DEC-40 a policy that does not exist was detached",
    ),
    pytest.param(
        principals("all"),
        principals("all", "all#0.1"),
        DRAW,
        "lost",
        cause("attached", "policy all#0.1 was attached (it is missing, so it denies)", "all#0.1", "all#0.1"),
        id="DEC-40 the id of the policy that does not exist looks like that of a statement",
    ),
    pytest.param(
        principals("mfa"),
        principals("all"),
        DRAW,
        "gained",
        cause("attached", "policy all was attached (allow all#0)", "all#0", "all"),
        id="an allow without a condition was attached instead of one with a condition",
    ),
    pytest.param(
        principals("all"),
        principals("all", boundary="no-look"),
        LOOK,
        "lost",
        cause("attached", "policy no-look was attached as boundary (deny no-look#0)", "no-look#0", "no-look"),
        id="the boundary denies",
    ),
    pytest.param(
        principals("all"),
        principals("all", boundary="look"),
        DRAW,
        "lost",
        cause("boundary", "the boundary was changed: none -> look", None, "look"),
        id="a boundary does not allow",
    ),
    pytest.param(
        principals("all", boundary="look"),
        principals("all"),
        DRAW,
        "gained",
        cause("boundary", "the boundary was changed: look -> none", None, "look"),
        id="a boundary that did not allow was taken away",
    ),
    pytest.param(
        principals("all", "office"),
        principals("all", boundary="look"),
        DRAW,
        "lost",
        cause("boundary", "the boundary was changed: none -> look", None, "look"),
        id="a boundary does not allow, and an allow that is not needed was detached",
    ),
    pytest.param(
        principals("all", boundary="all"),
        principals("every", boundary="look"),
        DRAW,
        "lost",
        cause("detached", "policy all was detached as boundary (allow all#0)", "all#0", "all"),
        id="another boundary allows less, and another policy of the principal allows the same",
    ),
    pytest.param(
        principals("all", boundary="all"),
        principals("every", boundary="mfa"),
        DRAW,
        "lost",
        cause("detached", "policy all was detached as boundary (allow all#0)", "all#0", "all"),
        id="another boundary asks for more, and another policy of the principal allows the same",
    ),
    pytest.param(
        principals("all", "no-draw", boundary="every"),
        principals("all", boundary="all"),
        DRAW,
        "gained",
        cause("detached", "policy no-draw was detached (deny no-draw#0)", "no-draw#0", "no-draw"),
        id="a policy with a deny was detached, and another boundary allows the same",
    ),
    pytest.param(
        principals("all", boundary="look"),
        principals("all", boundary="all"),
        DRAW,
        "gained",
        cause("attached", "policy all was attached as boundary (allow all#0)", "all#0", "all"),
        id="another boundary allows more",
    ),
    pytest.param(
        principals("all", boundary="all"),
        principals("all", boundary="look"),
        DRAW,
        "lost",
        cause("detached", "policy all was detached as boundary (allow all#0)", "all#0", "all"),
        id="another boundary allows less",
    ),
    pytest.param(
        principals("all", account=[["all"], ["all"]]),
        principals("all", account=[["all"], ["all"], ["look"]]),
        DRAW,
        "lost",
        cause("account", "the account has 3 levels; it had 2"),
        id="a level of the account does not allow",
    ),
    pytest.param(
        principals("all", account=[["all"], ["look"], ["all"]]),
        principals("all", account=[["all"], ["all"]]),
        DRAW,
        "gained",
        cause("account", "the account has 2 levels; it had 3"),
        id="a level of the account that did not allow was taken away",
    ),
    pytest.param(
        principals("all", account=[["all"], ["look"]]),
        principals("all", account=[["all"]]),
        DRAW,
        "gained",
        cause("account", "the account has 1 level; it had 2"),
        id="one level of the account is left",
    ),
    pytest.param(
        principals("all", account=[["look"]]),
        principals("all", account=[["look", "all"]]),
        DRAW,
        "gained",
        cause("attached", "policy all was attached to the account layer (allow all#0)", "all#0", "all"),
        id="a level of the account allows more",
    ),
    pytest.param(
        principals("all", account=[["look", "all"]]),
        principals("all", account=[["look"]]),
        DRAW,
        "lost",
        cause("detached", "policy all was detached from the account layer (allow all#0)", "all#0", "all"),
        id="a level of the account allows less",
    ),
    pytest.param(
        principals(users={"100200": ["all"], "100300": []}),
        principals(users={"100300": []}),
        LOOK,
        "lost",
        cause("principal", "the principal was removed", "all#0"),
        id="the principal was removed",
    ),
    pytest.param(
        principals(users={"100300": []}),
        principals(users={"100200": ["all"], "100300": []}),
        LOOK,
        "gained",
        cause("principal", "the principal is new", "all#0"),
        id="the principal is new",
    ),
]


@pytest.mark.parametrize(("before", "after", "name", "kind", "wanted"), ATTACHED)
def test_what_is_attached_and_what_limits(
    before: Any, after: Any, name: str, kind: str, wanted: Cause
) -> None:
    found = causes(built(POLICIES, before), built(POLICIES, after))
    assert found[kind, USER, name] == (wanted,)


def of_stop(**facts: Any) -> Catalog:
    """Return a catalog with the action `cvm:Stop` alone. facts: of the service and of the action."""
    of_service = {key: facts.pop(key) for key in ("tag_authorization",) if key in facts}
    template = "qcs::cvm:${region}:uin/${uin}:instance/${id}"
    return catalog(service("cvm", action("cvm:Stop", template, **facts), **of_service))


OFFICE = inside("10.0.0.0/8")
OPERATION = {"granularity": Granularity.OPERATION}
# the statement, the catalogs and the settings of OLD and of NEW, whether it is gained, what and why
CATALOGS = [
    pytest.param(
        allow("cvm:*", **OFFICE),
        (of_stop(ip_restriction=False), {}),
        (of_stop(), {}),
        "gained",
        cause("catalog", "the catalog changed ip_restriction of the action: False -> True"),
        id="the page confirms that the address is restricted",
    ),
    pytest.param(
        allow("cvm:*", **OFFICE),
        (of_stop(ip_restriction=False), {}),
        (of_stop(ip_restriction=False), {"ip_support": "gateway"}),
        "gained",
        cause("setting", "the setting ip_support was changed: catalog -> gateway"),
        id="the setting trusts the gateway",
    ),
    pytest.param(
        allow("cvm:*", **OFFICE),
        (of_stop(ip_restriction=False), {"ip_support": "gateway"}),
        (of_stop(ip_restriction=False), {}),
        "lost",
        cause("setting", "the setting ip_support was changed: gateway -> catalog"),
        id="the setting trusts the catalog",
    ),
    pytest.param(
        allow("cvm:*", string_equal={"qcs:resource_tag/env": "test"}),
        (of_stop(), {}),
        (of_stop(tag_authorization=True), {}),
        "gained",
        cause("catalog", "the catalog changed tag_authorization of cvm"),
        id="the service supports tags",
    ),
    pytest.param(
        allow("cvm:*", "qcs::cvm:::instance/*"),
        (of_stop(**OPERATION), {}),
        (of_stop(), {}),
        "gained",
        cause("catalog", "the catalog changed granularity of the action: operation -> resource"),
        id="the action is authorized on resources",
    ),
    pytest.param(
        allow("cvm:*", numeric_equal={"qcs:read_only_action": 0}),
        (of_stop(description="Stops an instance."), {}),
        (of_stop(access=Access.WRITE, description="Stops some instances."), {}),
        "gained",
        cause("catalog", "the catalog changed access of the action: read -> write"),
        id="the action writes, and no decision depends on its description",
    ),
    pytest.param(
        allow("cvm:*"),
        (COMPANY, {}),
        (catalog(service("aiart", "Draw")), {}),
        "lost",
        cause("catalog", "the action is no longer in the catalog, and own#0 names it", "own#0"),
        id="the action was removed",
    ),
    pytest.param(
        allow("cvm:*"),
        (catalog(service("aiart", "Draw")), {}),
        (COMPANY, {}),
        "gained",
        cause("catalog", "the action is new in the catalog, and own#0 names it", "own#0"),
        id="the action is new",
    ),
]


@pytest.mark.parametrize(("statement", "before", "after", "kind", "wanted"), CATALOGS)
def test_facts_of_the_catalog_and_settings(
    statement: Statement, before: Any, after: Any, kind: str, wanted: Cause
) -> None:
    old, new = (built({"own": [statement]}, None, of, **settings) for of, settings in (before, after))
    assert causes(old, new)[kind, USER, "cvm:Stop"] == (wanted,)


def test_no_statement_lets_root_call_a_new_action() -> None:
    found = causes(built(POLICIES, of=catalog(service("aiart", "Draw"))), built(POLICIES))
    assert found["gained", ROOT, LOOK] == (cause("catalog", "the action is new in the catalog"),)


@pytest.mark.parametrize("name", [DRAW, LOOK], ids=["that another policy allows", "that it allows"])
def test_a_missing_policy_that_exists_now(name: str) -> None:
    bound = principals("all", "look")
    without = {"all": ALL}
    added = causes(built(without, bound), built({**without, "look": [allow(LOOK)]}, bound))
    removed = causes(built({**without, "look": [allow(LOOK)]}, bound), built(without, bound))
    assert added["gained", USER, name] == (cause("added", "policy look exists now", "look"),)
    assert removed["lost", USER, name] == (cause("removed", "policy look is missing now", "look"),)


@pytest.mark.parametrize(
    ("bound", "further"),
    [
        pytest.param(principals("own"), {}, id="an allow"),
        pytest.param(principals("all", boundary="own"), MFA, id="a boundary with a condition"),
    ],
)
def test_each_range_is_opened_by_its_own_statement(bound: Any, further: Any) -> None:
    ranges = {"10.0.0.0/8": "own#1", "11.0.0.0/8": "own#2"}
    statements = [allow(LOOK), *(allow(DRAW, **inside(each), **further) for each in ranges)]
    old, new = (Side(built({"all": ALL, "own": each}, bound)) for each in (statements[:1], statements))
    groups = access_diff(old, new, [USER], {DRAW: Access.READ})
    found = {group.part.ranges.cidrs(): [each.statement for each in group.part.causes] for group in groups}
    assert found == {(each,): [statement] for each, statement in ranges.items()}


def test_a_policy_that_was_attached_to_two_layers() -> None:
    before, after = principals("all", boundary="every"), principals("all", "no-look", boundary="no-look")
    found = causes(built(POLICIES, before), built(POLICIES, after))["lost", USER, LOOK]
    assert [each.text for each in found] == [
        "policy no-look was attached (deny no-look#0)",
        "policy no-look was attached as boundary (deny no-look#0)",
    ]


def test_the_second_factor_that_an_operation_requires_is_no_cause() -> None:
    """DEC-42: both bundles have the statement that requires it."""
    bind = "account:BindToken"
    of = catalog(service("account", "BindToken"))
    narrow, wide = (built({"own": [allow(bind, **each)]}, of=of) for each in (NAMED, {}))
    text = "allow own#0 was changed: string_equal cos:prefix"
    assert causes(narrow, wide)["gained", USER, bind] == (cause("changed", f"{text} without a", "own#0"),)
    assert causes(wide, narrow)["lost", USER, bind] == (cause("changed", f"{text} with a", "own#0"),)
