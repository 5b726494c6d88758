"""The index of a row: what it decides, and when it leaves a call to the evaluation rule by rule."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from camguard.bundle import Bundle
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.row import NO_ALLOW
from camguard.engine.rule_index import RuleIndex
from camguard.ipset import parse_address
from tests import company
from tests.company import (
    OFFICE,
    USER,
    action,
    allow,
    call,
    catalog,
    deny,
    inside,
    policy,
    principals,
    service,
)
from tests.engine.index_agreement import by_index

INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/${instanceId}"
DISK = "qcs::disk:${region}:uin/${uin}:volume/${diskId}"
CATALOG = catalog(
    service(
        "vm",
        action("vm:Reboot", INSTANCE),
        action("vm:Start", INSTANCE),
        action("vm:Attach", INSTANCE, DISK, match="any"),
        "List",
        tag_authorization=True,
    )
)
HERE = "qcs::vm:ap-guangzhou:uin/100100:instance/"
ONE, TWO, THREE = (f"{HERE}ins-{number}" for number in (1, 2, 3))
THEIRS = ONE.replace("100100", "100900")
VOLUME = "qcs::disk:ap-guangzhou:uin/100100:volume/v-1"
ROOT = "uin/100100"


def bundle(*statements: dict[str, Any], boundary: list[Any] | None = None, **settings: Any) -> Bundle:
    """Return a bundle of one user with the statements as policy `p`, and perhaps a boundary."""
    policies = [policy("p", *(statements or [deny("vm:List")]))]
    bound = principals("p", boundary="b" if boundary else None)
    if boundary:
        policies.append(policy("b", *boundary))
    return company.bundle(policies, CATALOG, bound, **settings)


def on(*resources: str | None, action: str = "vm:Reboot", **facts: Any) -> Call:
    return call(action, resources=resources, **facts)


def allowed(*statements: int) -> Decision:
    return Decision(Reason.ALLOWED, tuple(f"p#{at}" for at in statements), "identity")


def denied(reason: Reason, *statements: int, layer: str = "identity") -> Decision:
    return Decision(reason, tuple(f"p#{at}" for at in statements), layer)


BLOCKED, IN_DOUBT = Reason.EXPLICIT_DENY, Reason.UNDETERMINED_DENY
EACH = (allow("vm:*", ONE), allow("vm:*", TWO), deny("vm:*", THREE))
RD = {"string_equal": {"qcs:resource_tag/dept": "rd"}}
HR = {"string_equal": {"qcs:resource_tag/dept": "hr"}}
TAGS = {ONE: {"dept": "rd"}, TWO: {"dept": "hr"}}
MFA = {"bool_equal": {"qcs:mfa": "true"}}
# a bundle, a call, and its decision
DECIDED = [
    pytest.param(bundle(*EACH), on(ONE), allowed(0), id="one resource"),
    pytest.param(bundle(*EACH), on(ONE, TWO), allowed(0, 1), id="CAM 5.3 two resources, each allowed"),
    pytest.param(bundle(*EACH), on(TWO, ONE, TWO), allowed(0, 1), id="statements in the order of the policy"),
    pytest.param(bundle(*EACH), on(ONE, VOLUME), NO_ALLOW, id="CAM 5.3 one of two resources is not allowed"),
    pytest.param(bundle(*EACH), on(ONE, THREE), denied(BLOCKED, 2), id="one of two resources is denied"),
    pytest.param(bundle(*EACH), on(None), denied(IN_DOUBT, 2), id="CAM 5.5 a resource that is not bound"),
    pytest.param(bundle(allow("vm:*"), allow("vm:*", ONE)), on(None), allowed(0),
                 id="CAM 5.5 the star matches what is not bound"),
    pytest.param(bundle(*EACH), on(ONE, VOLUME, action="vm:Attach"), allowed(0),
                 id="DEC-61 one of two templates is enough"),
    pytest.param(bundle(*EACH), on(THREE, ONE, action="vm:Attach"), denied(BLOCKED, 2),
                 id="DEC-61 a deny of one of two templates"),
    pytest.param(bundle(*EACH, boundary=[allow("vm:*", TWO)]), on(ONE, TWO, action="vm:Attach"),
                 allowed(0, 1), id="DEC-61 one template passes all layers"),
    pytest.param(bundle(*EACH, boundary=[allow("vm:*", VOLUME)]), on(ONE, VOLUME, action="vm:Attach"),
                 Decision(Reason.LAYER_LIMIT, layer="boundary"), id="DEC-61 no template passes all layers"),
    pytest.param(bundle(*EACH, boundary=[allow("vm:*", ONE)]), on(ONE, TWO),
                 Decision(Reason.LAYER_LIMIT, layer="boundary"), id="CAM 10.3 the boundary lacks a resource"),
    pytest.param(bundle(), on(ONE, principal=ROOT), allowed(), id="CAM 10.3 root's own resource"),
    pytest.param(bundle(), on(THEIRS, principal=ROOT), NO_ALLOW, id="CAM 10.3 root and another account"),
    pytest.param(bundle(), on(ONE, THEIRS, principal=ROOT), NO_ALLOW, id="CAM 10.3 root and both"),
    pytest.param(bundle(allow("vm:*", f"{HERE}${{uin}}/*")), on(f"{HERE}100200/a"), allowed(0),
                 id="CAM 9 the caller's uin in a path"),
    pytest.param(bundle(allow("vm:*", f"{HERE}${{uin}}/*")), on(f"{HERE}100201/a"), NO_ALLOW,
                 id="CAM 9 the uin of somebody else in a path"),
    pytest.param(bundle(deny("vm:*", f"{HERE}${{qcs:principal_tag_key}}")), on(ONE), denied(IN_DOUBT, 0),
                 id="DEC-34 a variable without a value in a deny"),
    pytest.param(bundle(deny("vm:*", TWO), allow("vm:*", [f"{HERE}${{qcs:principal_tag_key}}", ONE])),
                 on(ONE), allowed(1), id="DEC-34 an allow without a value says nothing of a deny"),
    pytest.param(bundle(allow("vm:*", ONE, **RD)), on(ONE, resource_tags={"dept": "rd"}), allowed(0),
                 id="CAM 8.2 a tag of the resource"),
    pytest.param(bundle(deny("vm:*", ONE, **RD)), on(ONE), denied(IN_DOUBT, 0),
                 id="U1 tags are not supplied"),
    pytest.param(bundle(allow("vm:*", "*", **RD), resource_tags=TAGS), on(ONE), allowed(0),
                 id="DEC-66 a tag in the inventory"),
    pytest.param(bundle(allow("vm:*", "*", **RD), resource_tags=TAGS), on(ONE, TWO), NO_ALLOW,
                 id="DEC-66 each resource has its own tags"),
    pytest.param(bundle(allow("*"), deny("vm:*", TWO, **RD), resource_tags=TAGS), on(ONE, TWO), allowed(0),
                 id="DEC-66 the tags of one resource and the name of another"),
    pytest.param(bundle(allow("*"), deny("vm:*", ONE, **HR), resource_tags=TAGS), on(ONE, TWO), allowed(0),
                 id="DEC-66 the name of one resource and the tags of another"),
    pytest.param(bundle(allow("*"), deny("vm:*", "*", **RD), resource_tags=TAGS), on(THREE),
                 denied(IN_DOUBT, 1), id="DEC-66 a resource that is not listed"),
    pytest.param(bundle(allow("vm:*", "*", **RD), resource_tags=TAGS), on(TWO, resource_tags={"dept": "rd"}),
                 allowed(0), id="DEC-66 the tags of a call replace the inventory"),
    pytest.param(bundle(allow("vm:*", "*", **RD), resource_tags=TAGS), on(ONE, resource_tags={"dept": "hr"}),
                 NO_ALLOW, id="DEC-66 the tags of a call count, though the inventory has better ones"),
    pytest.param(bundle(deny("vm:*", f"{HERE}${{uin}}/*"), allow("*")), on(ONE), allowed(1),
                 id="CAM 9 a deny of the caller's own resources alone, and another resource"),
    pytest.param(bundle(allow("vm:*", "*", **MFA)), on(ONE, context={"qcs:mfa": ("true",)}), allowed(0),
                 id="CAM 8.2 a further key"),
    pytest.param(bundle(allow("vm:*", ONE, **inside("10.0.0.0/8"))), on(ONE, source="11.0.0.1"), NO_ALLOW,
                 id="CAM 7.3 an address outside"),
    pytest.param(bundle(allow("vm:*"), deny("vm:*", f"{HERE}*"), deny("vm:*", **RD)), on(ONE),
                 denied(BLOCKED, 1), id="CAM 10.2 a deny that is TRUE comes before one that is unknown"),
    pytest.param(bundle(allow("vm:*"), deny("vm:*", f"{HERE}*"), deny("vm:*", **RD)), on(ONE, TWO),
                 denied(BLOCKED, 1), id="CAM 10.2 the same with two resources"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "asked", "decision"), DECIDED)
def test_what_the_index_decides(found: Bundle, asked: Call, decision: Decision) -> None:
    assert found.decide(asked) == decision
    assert by_index(found.evaluator, asked) == decision, "and it was the index that decided"
    assert found.evaluator.judge(asked) == decision, "as the evaluation rule by rule"
    assert found.decide(asked) is by_index(found.evaluator, asked), "the second decision is a ready one"


def test_a_call_without_resources_passes_nowhere() -> None:
    found = bundle(allow("vm:*"), *EACH)
    assert found.decide(on()) == NO_ALLOW
    assert found.decide(on(ONE))
    assert (found.decide(on()), by_index(found.evaluator, on())) == (NO_ALLOW, NO_ALLOW)


LONG = f"{HERE}{'i' * 60_000}"
PIECES = [deny("vm:*", f"{HERE}*{at}*") for at in range(30)]
MANY = tuple(f"{HERE}ins-{at}" for at in range(200))
MANY_TAGS = {each: {"dept": str(at), "n": str(at)} for at, each in enumerate(MANY)}
ON_TAGS = [allow("vm:*", "*", string_equal={"qcs:resource_tag/dept": ["rd", str(at)]}) for at in range(30)]
# a bundle and a call whose work could reach a bound
TOO_MUCH = [
    pytest.param(bundle(*PIECES), on(LONG), id="patterns with pieces, and a long resource"),
    pytest.param(bundle(*PIECES), on(*MANY), id="patterns with pieces, and many resources"),
    pytest.param(bundle(*ON_TAGS, resource_tags=MANY_TAGS), on(*MANY), id="many resources with their tags"),
    pytest.param(bundle(*EACH), on(ONE, source=None), id="no address"),
    pytest.param(bundle(*EACH), on(ONE, time=float("inf")), id="a time that is no instant"),
]


@pytest.mark.parametrize(("found", "asked"), TOO_MUCH)
def test_what_is_left_to_the_evaluation_rule_by_rule(found: Bundle, asked: Call) -> None:
    decision = found.decide(asked)
    assert by_index(found.evaluator, asked) is None
    assert decision == found.evaluator.judge(asked)


def test_many_resources_of_whole_paths_are_decided_by_the_index() -> None:
    hundred = MANY[:100]
    found = bundle(*(allow("vm:*", list(hundred[at : at + 25])) for at in range(0, 100, 25)))
    assert found.decide(on(*hundred)) == allowed(0, 1, 2, 3)
    assert by_index(found.evaluator, on(*hundred)) == allowed(0, 1, 2, 3)
    assert found.decide(on(*hundred, VOLUME)) == NO_ALLOW


def indexes(found: Bundle, principal: str = USER) -> dict[str, RuleIndex]:
    table = found.evaluator.table(principal)
    assert table is not None
    return {name: index for name, (index, _) in table.indexes.items()}


def test_an_index_is_made_at_the_first_call_that_needs_it_and_shared_by_actions_with_the_same_rules() -> None:
    found = bundle(*EACH)
    assert indexes(found) == {}
    for name in ("vm:Reboot", "vm:Start", "vm:Attach", "vm:List"):
        found.decide(on(ONE, action=name))
    made = indexes(found)
    assert list(made) == ["vm:Reboot", "vm:Start", "vm:Attach"], "vm:List has no resources"
    assert made["vm:Reboot"] is made["vm:Start"]
    assert made["vm:Attach"] is not made["vm:Reboot"], "one template is enough there"


def test_a_row_that_address_and_time_decide_has_no_index() -> None:
    found = bundle(allow("vm:List", **OFFICE))
    assert found.decide(call("vm:List"))
    assert found.decide(call("vm:List", context={"qcs:mfa": ("true",)}))
    assert indexes(found) == {}


def test_a_name_that_the_catalog_lacks_has_no_index() -> None:
    found = bundle(allow("vm:*", "*", **MFA), unknown_action="judge")
    assert found.decide(call("vm:Other", context={"qcs:mfa": ("true",)}))
    assert indexes(found) == {}


def test_another_interval_of_time_and_range_is_found_by_the_same_index() -> None:
    later = {"date_greater_than": {"qcs:current_time": "1970-01-01T00:01:40Z"}}
    found = bundle(allow("vm:*", ONE, **inside("10.0.0.0/8"), **later))
    decisions = [
        bool(found.decide(on(ONE, time=time)._replace(source_ip=parse_address(address))))
        for time in (100.0, 101.0)
        for address in ("10.0.0.1", "11.0.0.1")
    ]
    assert decisions == [False, False, True, False]


def test_an_index_dies_with_its_bundle_without_a_collection() -> None:
    gc.collect()
    gc.disable()
    try:
        found = bundle(*EACH, allow("vm:*", f"{HERE}${{uin}}", **RD, **MFA), resource_tags=TAGS)
        for asked in (on(ONE), on(ONE, TWO), on(ONE, resource_tags={}, context={"qcs:mfa": ("no",)})):
            found.decide(asked)
        assert any(isinstance(each, RuleIndex) for each in gc.get_objects())
        mine = {id(each) for each in indexes(found).values()}
        del found
        assert not any(isinstance(each, RuleIndex) and id(each) in mine for each in gc.get_objects())
    finally:
        gc.enable()
