"""Actions that the catalog lacks: why they are refused, and how they are judged where settings say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.bundle import Bundle
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.catalog.model import Granularity
from camguard.engine.decision import Reason
from tests import company
from tests.company import OFFICE, action, call, catalog, policy, service

CATALOG = catalog(service("aiart", "Draw"))


def bundle(*statements: dict[str, Any], **settings: Any) -> Bundle:
    return company.bundle([policy("one", *statements)], CATALOG, **settings)


NAMES = [
    pytest.param("aiart:Nope", Reason.ACTION_UNKNOWN, id="a name that the catalog lacks"),
    pytest.param("aiart:draw", Reason.ACTION_UNKNOWN, id="a name in another letter case"),
    pytest.param("aiart:N9z", Reason.ACTION_UNKNOWN, id="a digit inside a name"),
    pytest.param("aiart:z" + "9" * 63, Reason.ACTION_UNKNOWN, id="the longest name"),
    pytest.param("aiart:z" + "9" * 64, Reason.ACTION_INVALID, id="a name that is too long"),
    pytest.param("aiart:9N", Reason.ACTION_INVALID, id="a digit first"),
    pytest.param("aiart:N_o", Reason.ACTION_INVALID, id="an underscore, which no request can carry"),
    pytest.param("aiart:N-o", Reason.ACTION_INVALID, id="a sign that a name may not have"),
    pytest.param("aiart:Nope\n", Reason.ACTION_INVALID, id="a line's end"),
    pytest.param("aiart:", Reason.ACTION_INVALID, id="no name"),
    pytest.param("aiart", Reason.ACTION_INVALID, id="no colon"),
    pytest.param("aiart:x:Nope", Reason.ACTION_INVALID, id="two colons"),
    pytest.param("az059:Nope", Reason.SERVICE_UNKNOWN, id="a service that the catalog lacks"),
    pytest.param("AIART:Draw", Reason.ACTION_INVALID, id="a service in capitals"),
    pytest.param("a-b:Nope", Reason.ACTION_INVALID, id="a sign that a service may not have"),
    pytest.param(":Nope", Reason.ACTION_INVALID, id="no service"),
]


@pytest.mark.parametrize(("action", "reason"), NAMES)
def test_names_that_are_refused(action: str, reason: Reason) -> None:
    assert bundle({}).decide(call(action)).reason is reason


JUDGED = [
    pytest.param("aiart:BrandNew", Reason.ALLOWED, id="an ordinary name of a known service is judged"),
    pytest.param("aiart:draw", Reason.ALLOWED, id="a name in another letter case is another name"),
    pytest.param("aiart:New*", Reason.ACTION_INVALID, id="T33 a star is no name"),
    pytest.param("aiart:", Reason.ACTION_INVALID, id="no name"),
    pytest.param("other:BrandNew", Reason.SERVICE_UNKNOWN, id="a service that the catalog lacks"),
]


@pytest.mark.parametrize(("action", "reason"), JUDGED)
def test_unknown_actions_may_be_judged(action: str, reason: Reason) -> None:
    tables = bundle({}, unknown_action="judge").evaluator
    assert tables.decide(call(action)).reason is reason
    assert tables.judge(call(action)).reason is reason


def test_an_unknown_action_has_no_ip_support_unless_the_gateway_gives_it() -> None:
    office = {"condition": OFFICE}
    new = call("aiart:BrandNew")
    assert not bundle(office, unknown_action="judge").decide(new)
    assert bundle(office, unknown_action="judge", ip_support="gateway").decide(new)


def test_dec_67_an_unknown_action_stands_for_its_own_name_among_others() -> None:
    known = KnownServices(rows={"cbs:*": CamNames(("cbs:*", "cvm:*"), sure=True)})
    served = replace(catalog(service("cbs", "Attach"), service("cvm", "Run")), known=known)
    everything = company.bundle([policy("one", {})], served, unknown_action="judge")
    traits = everything.evaluator.traits("cbs:BrandNew")
    assert traits is not None
    assert [(each.entry.id, each.entry.granularity) for each in traits.cam_actions] == [
        ("cbs:BrandNew", Granularity.OPERATION),
        ("cvm:BrandNew", Granularity.UNKNOWN),
    ]


@pytest.mark.parametrize("resource", ["*", "qcs::cvm:::instance/*"])
def test_nothing_grants_an_action_whose_resources_are_unknown(resource: str) -> None:
    """The page of the action could not be read. A deny of the action holds all the same."""
    unread = catalog(service("cvm", action("cvm:Stop", granularity=Granularity.RESOURCE, resources=())))
    for effect, reason in (("allow", Reason.NO_ALLOW), ("deny", Reason.EXPLICIT_DENY)):
        statement = {"effect": effect, "action": "cvm:*", "resource": resource}
        made = company.bundle([policy("one", statement)], unread)
        decision = made.decide(call("cvm:Stop", resources=("qcs::cvm:gz::instance/ins-1",)))
        assert decision.reason is reason
