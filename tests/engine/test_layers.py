"""Layers: the one that decided, the six operations, and what is computed when a bundle is loaded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from camguard.engine.attributes import bindings_of
from camguard.engine.call import Call
from camguard.engine.decision import Reason
from camguard.engine.intervals import partition_addresses
from camguard.engine.row import ActionRules
from camguard.ipset import LINE_END, IpSet
from camguard.policy.document import parse_policy
from camguard.policy.model import Policy
from camguard.policy.resources import Owner

OPERATION, RESOURCE = Granularity.OPERATION, Granularity.RESOURCE
DISK = "qcs::vm:::disk/d-1"


def service(name: str, granularity: Granularity, **rows: tuple[str, ...]) -> Service:
    actions = {
        each: Action(name, each, Access.WRITE, granularity, resources, ip_restriction=True)
        for each, resources in rows.items()
    }
    return Service(
        name, name, console=True, tag_authorization=False, granularity=granularity,
        ip_restriction=IpRestriction.SUPPORTED, actions=actions,
    )  # fmt: skip


CATALOG = Catalog(
    {
        "art": service("art", OPERATION, Draw=("*",), Erase=("*",)),
        "vm": service("vm", RESOURCE, Stop=("qcs::vm:${region}:uin/${uin}:disk/${id}",), Unread=()),
        "account": service("account", OPERATION, BindToken=("*",)),
    }
)


def policy(name: str, *statements: dict[str, Any]) -> Policy:
    full = [{"effect": "allow", "action": "*", "resource": "*"} | each for each in statements]
    return parse_policy(json.dumps({"version": "2.0", "statement": full}), name)


POLICIES = {
    each.id: each
    for each in (
        policy("full", {}),
        policy("draw", {"action": "art:Draw"}),
        policy("erase", {"action": "art:Erase"}),
        policy("never", {}, {"effect": "deny", "action": "art:*"}),
        policy("disk", {"action": "vm:*", "resource": DISK}),
        policy("disk0", {"action": "vm:*", "resource": f"{DISK}0"}),
        policy("doubt", {}, {"effect": "deny", "condition": {"string_equal": {"cos:prefix": "a"}}}),
        policy("spared", {}, {"effect": "deny", "action": "vm:*", "resource": DISK}),
    )
}


def bundle(*own: str, boundary: str | None = None, account: list[list[str]] | None = None) -> Bundle:
    users = {"100200": {"policies": list(own), "boundary": boundary}}
    principals = {"owner": {"uin": "100100", "app_id": "125"}, "users": users, "account": account}
    return make_bundle(POLICIES, principals, CATALOG)


def call(action: str = "art:Draw", session: str | None = None, *resources: str) -> Call:
    query = Call("uin/100200", action, 1, 0.0, resources or ("*",))
    return query._replace(session=POLICIES[session]) if session else query


LAYERS = [
    pytest.param(bundle("full"), call(), Reason.ALLOWED, "identity", id="allowed"),
    pytest.param(bundle("draw"), call("art:Erase"), Reason.NO_ALLOW, "identity", id="not allowed"),
    pytest.param(bundle("never"), call(), Reason.EXPLICIT_DENY, "identity", id="denied"),
    pytest.param(bundle("gone"), call(), Reason.UNDETERMINED_DENY, "identity", id="denied in doubt"),
    pytest.param(bundle("full", boundary="erase"), call(), Reason.LAYER_LIMIT, "boundary", id="the boundary"),
    pytest.param(bundle("full"), call(session="erase"), Reason.LAYER_LIMIT, "session", id="the session"),
    pytest.param(bundle("full", account=[["erase"]]), call(), Reason.LAYER_LIMIT, "account",
                 id="an account level"),
    pytest.param(bundle("full", boundary="erase", account=[["erase"]]), call(session="erase"),
                 Reason.LAYER_LIMIT, "account", id="the outermost of several that do not allow"),
    pytest.param(bundle("erase", boundary="erase", account=[["erase"]]), call(), Reason.NO_ALLOW, "identity",
                 id="the identity layer before all others"),
    pytest.param(bundle("full", boundary="never"), call(), Reason.EXPLICIT_DENY, "boundary",
                 id="a deny of the boundary"),
    pytest.param(bundle("never", boundary="never", account=[["full"]]), call(session="never"),
                 Reason.EXPLICIT_DENY, "identity", id="the first of several that deny"),
    pytest.param(bundle("doubt", boundary="doubt"), call(session="never"), Reason.EXPLICIT_DENY, "session",
                 id="a certain deny before one in doubt"),
    pytest.param(bundle("full"), call("account:BindToken"), Reason.UNDETERMINED_DENY, "general",
                 id="a general policy"),
    pytest.param(bundle("full", boundary="disk"), call("vm:Stop", None, DISK, f"{DISK}0"),
                 Reason.LAYER_LIMIT, "boundary", id="a boundary that allows the first resource"),
    pytest.param(bundle("full", boundary="disk"), call("vm:Stop", None, f"{DISK}0", DISK),
                 Reason.LAYER_LIMIT, "boundary", id="a boundary that allows the last resource"),
    pytest.param(bundle("full", boundary="disk", account=[["disk0"]]),
                 call("vm:Stop", None, f"{DISK}0", DISK), Reason.LAYER_LIMIT, "boundary",
                 id="another layer for each resource: the first one's"),
    pytest.param(bundle("full"), call("art:Nope"), Reason.ACTION_UNKNOWN, None, id="no layer was query"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "query", "reason", "layer"), LAYERS)
def test_the_layer_that_decided(found: Bundle, query: Call, reason: Reason, layer: str | None) -> None:
    for decision in (found.decide(query), found.explain(query).decision):
        assert (decision.reason, decision.layer, decision.detail) == (reason, layer, None)


def test_a_call_that_names_no_resource_lacks_an_allow() -> None:
    decision = bundle("full").decide(call()._replace(resources=()))
    assert (decision.reason, decision.layer) == (Reason.NO_ALLOW, "identity")


UNREAD = [
    pytest.param("full", "*", Reason.NO_ALLOW, id="an allow grants nothing"),
    pytest.param("never", "*", Reason.NO_ALLOW, id="a deny of other actions says nothing"),
    pytest.param("doubt", "*", Reason.UNDETERMINED_DENY, id="a deny of everything counts"),
    pytest.param("spared", DISK, Reason.EXPLICIT_DENY, id="a deny of a resource counts"),
]


@pytest.mark.parametrize(("own", "resource", "reason"), UNREAD)
def test_what_is_authorized_on_nothing_known(own: str, resource: str, reason: Reason) -> None:
    found, query = bundle(own), call("vm:Unread", None, resource)
    assert found.decide(query).reason is reason
    counting = [note.id for note in found.explain(query).statements if note.counts]
    assert counting == list(found.decide(query).statements)


def test_the_six_operations_are_explained_as_clauses() -> None:
    (note,) = [each for each in bundle("full").explain(call("account:BindToken")).statements if each.counts][
        1:
    ]
    assert [clause.text for clause in note.clauses if clause.kind == "condition"] == [
        "string_not_equal_if_exist mfa 1",
        "bool_not_equal_if_exist qcs:mfa true",
    ]


BINDINGS = [
    pytest.param("uin/100101", {"uin": "100101"}, id="a user"),
    pytest.param("uin/100100", {"uin": "100100"}, id="the owner"),
    pytest.param("role/bot", {}, id="a role"),
    pytest.param("role/123", {}, id="a role whose name is a number"),
    pytest.param("uin/", {}, id="no number"),
    pytest.param("uin/1*", {}, id="DEC-33 what is no number"),
    pytest.param("uin/\u0661", {}, id="DEC-33 digits of another script"),
]


@pytest.mark.parametrize(("principal", "own"), BINDINGS)
def test_which_variables_have_a_value(principal: str, own: dict[str, str]) -> None:
    assert bindings_of(principal, Owner("100100", "125")) == {"owner_uin": "100100", "app_id": "125"} | own
    assert bindings_of(principal, Owner("x", "\u0661")) == own


def test_the_families_are_no_bound_where_nothing_changes() -> None:
    bounds, masks = partition_addresses({IpSet.of(["0.0.0.0/0", "::/0"]): 1})
    assert (bounds, masks) == ([0, LINE_END], [0, 1, 0])


def test_ranges_with_the_same_decision_are_one() -> None:
    both = {"ip_equal": {"qcs:ip": "0.0.0.0/24"}, "for_any_value:ip_equal": {"qcs:ip": "0.0.0.0/25"}}
    others = {"action": "art:Erase", "condition": {"ip_equal": {"qcs:ip": "0.0.0.0/26"}}}
    found = policy("one", {"condition": both}, others)
    principals = {"owner": {"uin": "100100", "app_id": "125"}, "users": {"100200": {"policies": ["one"]}}}
    made = make_bundle({"one": found}, principals, CATALOG)
    assert made.decide(call())
    table = made.evaluator.table("uin/100200")
    assert table is not None
    row = table.rows["art:Draw"]
    assert isinstance(row, ActionRules)
    assert row.ranges.bounds == (0, 128)
    assert [bool(each) for each in row.ranges.decisions] == [False, True, False]
