"""A call is found for every answer that depends on conditions, on both sides of it."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.analysis import access_set
from camguard.analysis.witness import find_call, some_resource
from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Catalog, Granularity
from camguard.engine.call import Call
from camguard.policy.document import parse_policy
from camguard.policy.operators import Kind
from tests.company import OWNER, Statement, action, allow, catalog, deny, document, service
from tests.company import bundle as company_bundle
from tests.large_company import of_kind

ACTION = "cvm:StopInstances"
TEMPLATE = "qcs::cvm:$region:$account:instance/$instanceId"
USER = "uin/100200"
CATALOG: Catalog = catalog(
    service("cvm", action(ACTION, TEMPLATE), tag_authorization=True),
    service("aiart", "TextToImage", tag_authorization=True),
)


def bundle_of(*statements: Statement, boundary: Statement | None = None) -> Bundle:
    texts = {"mine": document(*statements), **({"limit": document(boundary)} if boundary else {})}
    user: dict[str, Any] = {"policies": ["mine"], "boundary": "limit" if boundary else None}
    policies = {name: parse_policy(text, f"{name}.json") for name, text in texts.items()}
    return make_bundle(policies, {"owner": OWNER, "users": {"100200": user}}, CATALOG)


def found(bundle: Bundle, name: str, *, allowed: bool, principal: str = USER) -> Call | None:
    """Return a call that is allowed, or denied, from an address where it depends on conditions."""
    (window,) = access_set(bundle.evaluator, principal, name, time=0.0).windows
    each = next(each for each in window.ranges if each.answer.word == "depends")
    return find_call(
        bundle.evaluator,
        Call(principal, name, each.first, 0.0, ()),
        [(each.answer, principal)],
        lambda call: bool(bundle.decide(call)) is allowed,
    )


KINDS = [kind for kind in Kind if kind not in {Kind.IP, Kind.DATE}]
OPERATORS = [
    pytest.param(
        [allow("*"), each] if make is deny else [each], id=f"{make.__name__} {next(iter(each['condition']))}"
    )
    for kind in KINDS
    for make in (allow, deny)
    for each in of_kind(kind, make)
]


@pytest.mark.parametrize("statements", OPERATORS)
def test_each_operator_is_met_and_is_not_met(statements: list[Statement]) -> None:
    bundle = bundle_of(*statements)
    name = statements[-1]["action"]
    for allowed in (True, False):
        call = found(bundle, name, allowed=allowed)
        assert call is not None
        assert bool(bundle.decide(call)) is allowed


ENV = {"string_equal": {"qcs:resource_tag/env": "test"}}
TEAM = {"for_any_value:string_equal": {"qcs:resource_tag": ["team&web", "team&data"]}}
OLD = {"for_any_value:string_equal": {"qcs:tag": "team&web"}}
COST = {"null_equal": {"qcs:request_tag/cost": "true"}}
ONE = "qcs::cvm:ap-guangzhou::instance/ins-1"

# the statements of the user, the boundary
HARD = [
    pytest.param([allow(ACTION, ONE)], None, id="one resource"),
    pytest.param([allow(ACTION), deny(ACTION, ONE)], None, id="all resources but one"),
    pytest.param([allow(ACTION, "qcs::cvm:gz::instance/*")], None, id="an old region code"),
    pytest.param([allow(ACTION, "qcs::cvm::uid/125:*/${uin}/*")], None, id="a path with a variable"),
    pytest.param([allow(ACTION, "qcs::cvm::uin/7:instance/*")], None, id="a resource of another account"),
    pytest.param([allow(ACTION, **ENV)], allow(ACTION, **TEAM), id="two tags in two layers"),
    pytest.param([allow(ACTION, **OLD)], allow(ACTION, **TEAM), id="a tag by both of its names"),
    pytest.param([allow(ACTION, ONE, **ENV)], allow(ACTION, **COST), id="a resource and tags of both kinds"),
    pytest.param([allow(ACTION, **ENV), deny(ACTION, **TEAM)], None, id="a tag and not another one"),
    pytest.param(
        [allow(ACTION, numeric_greater_than={"cos:max-keys": 5}, numeric_less_than={"cos:max-keys": 7})],
        None,
        id="a number between two",
    ),
    pytest.param(
        [allow(ACTION, string_like={"cos:prefix": "logs/*"}, string_not_equal={"cos:prefix": "logs/"})],
        None,
        id="a beginning, and not it alone",
    ),
    pytest.param(
        [
            allow(
                ACTION,
                ip_equal={"cos:peer": "10.0.0.0/8"},
                date_less_than={"cos:due": "2020-01-01T00:00:00Z"},
            )
        ],
        None,
        id="an address and a date under further keys",
    ),
    pytest.param(
        [allow(ACTION, date_less_than={"cos:due": "9999-12-31T23:59:59Z"})], None, id="the last second of all"
    ),
    pytest.param(
        [allow(ACTION, date_greater_than={"cos:due": "0001-01-01T00:00:00Z"})],
        None,
        id="the first second of all",
    ),
    pytest.param(
        [allow(ACTION, numeric_less_than={"cos:max-keys": "1e999"})], None, id="a number of a thousand digits"
    ),
    pytest.param(
        [allow(ACTION, **{"for_any_value:string_equal": {"cos:list": "a"}})],
        allow(ACTION, **{"for_any_value:string_equal": {"cos:list": "b"}}),
        id="two values of one key",
    ),
    pytest.param([allow(ACTION, string_equal={"qcs:uin": "${uin}"})], None, id="a value with a variable"),
    pytest.param(
        [allow(ACTION, ip_not_equal={"cos:peer": "10.0.0.0/8"})], None, id="an address outside of a range"
    ),
    pytest.param(
        [allow(ACTION, date_equal={"cos:due": "2020-01-01T00:00:00.5Z"})], None, id="a moment within a second"
    ),
    pytest.param([allow(ACTION, string_equal={"cos:prefix": ""})], None, id="an empty text"),
    pytest.param(
        [allow(ACTION, string_like={"qcs:request_tag": "*&web"})], None, id="any tag with one value"
    ),
    pytest.param(
        [allow(ACTION, string_equal={"qcs:resource_tag": "team&${uin}"})], None, id="a tag with a variable"
    ),
    pytest.param(
        [allow(ACTION), deny(ACTION, ONE, string_equal={f"cos:{each}": each for each in "abcde"})],
        None,
        id="one resource under five conditions",
    ),
]


@pytest.mark.parametrize(("statements", "boundary"), HARD)
@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "denied"])
def test_conditions_are_met_together(
    statements: list[Statement], boundary: Statement | None, allowed: bool
) -> None:
    bundle = bundle_of(*statements, boundary=boundary)
    call = found(bundle, ACTION, allowed=allowed)
    assert call is not None
    assert bool(bundle.decide(call)) is allowed


def test_root_is_refused_on_a_resource_of_another_account() -> None:
    bundle = bundle_of(allow("*"))
    call = found(bundle, ACTION, allowed=False, principal="uin/100100")
    assert call is not None
    assert call.resources != ("*",)
    assert not bundle.decide(call)


def test_root_is_refused_where_the_catalog_has_no_template() -> None:
    """CAM 10.3."""
    make = action("vm:Make", granularity=Granularity.RESOURCE)
    bundle = company_bundle([], catalog(service("vm", make)))
    call = found(bundle, "vm:Make", allowed=False, principal="uin/100100")
    assert call is not None
    assert not bundle.decide(call)


def test_nothing_is_found_where_nothing_is() -> None:
    both = {"string_equal": {"cos:prefix": "a"}}
    other = {"string_equal": {"cos:prefix": "b"}}
    bundle = bundle_of(allow(ACTION, **both), boundary=allow(ACTION, **other))
    assert found(bundle, ACTION, allowed=True) is None
    assert found(bundle, ACTION, allowed=False) is not None


def test_a_resource_is_made_of_the_template() -> None:
    evaluator = bundle_of(allow("*")).evaluator
    assert (
        some_resource(evaluator.traits(ACTION), evaluator.owner)
        == "qcs::cvm:ap-guangzhou:uin/100100:instance/x"
    )
    for name in ("aiart:TextToImage", "aiart:Unheard"):
        assert some_resource(evaluator.traits(name), evaluator.owner) == "*"
