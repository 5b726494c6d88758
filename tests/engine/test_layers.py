"""Layers: the one that decided, and the six operations that need a second factor."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.bundle import Bundle
from camguard.catalog.model import Granularity
from camguard.engine.call import Call
from camguard.engine.decision import Reason
from tests import company
from tests.company import USER, action, catalog, policy, principals, service

DISK = "qcs::vm:::disk/d-1"
CATALOG = catalog(
    service("art", "Draw", "Erase"),
    service(
        "vm",
        action("vm:Stop", "qcs::vm:${region}:uin/${uin}:disk/${id}"),
        action("vm:Unread", resources=(), granularity=Granularity.RESOURCE),
    ),
    service("account", "BindToken"),
)


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


def bundle(*own: str, **bound: Any) -> Bundle:
    """Return a bundle whose user has some of the POLICIES. bound: `boundary` and `account`."""
    return company.bundle(list(POLICIES.values()), CATALOG, principals(*own, **bound))


def call(action: str = "art:Draw", session: str | None = None, *resources: str) -> Call:
    query = Call(USER, action, 1, 0.0, resources or ("*",))
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
    pytest.param(bundle("full"), call("art:Nope"), Reason.ACTION_UNKNOWN, None, id="no layer was evaluated"),
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
    pytest.param("never", "*", Reason.NO_ALLOW, id="a deny of other actions does not apply"),
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


def test_an_evaluator_tells_the_layers_of_a_principal_and_the_keys_that_its_policies_name() -> None:
    tags = {"qcs:request_tag/team/dept": "rd", "qcs:resource_tag": "dept&rd", "cos:prefix/x": "a"}
    found = company.bundle(
        [policy("one", {"condition": {"for_any_value:string_equal": tags}})],
        CATALOG,
        principals("one", boundary="one"),
    ).evaluator
    layers = found.layers(USER)
    assert layers is not None
    assert (layers.root, layers.identity, layers.boundary) == (False, ("one",), "one")
    assert found.layers("uin/9") is None
    assert found.named_keys == {"qcs:request_tag", "qcs:resource_tag", "cos:prefix/x"}
