"""Decisions without a part of the call: T141, and the property that they are those of every whole call."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from camguard import Call, parse_policy
from camguard.bundle import Bundle
from camguard.engine.decision import Reason
from camguard.engine.settled import settled
from tests import company
from tests.bridge import to_bundle, to_call, to_catalog
from tests.company import action, allow, catalog, deny, service
from tests.generators import seeded, some_resources, stream
from tests.stage import ALICE, BUNDLE, NOW, bundle
from tests.vocabulary import TAG_SETS

OF_INSTANCE = "qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-1"
NO_TIME = {"date_less_than": {"qcs:current_time": "2000-01-01T00:00:00Z"}}
UNKNOWN = {"string_equal": {"cvm:nobody_supplies_it": "1"}}
OPERATOR = "uin/100000000103"


def statement(**members: Any) -> dict[str, Any]:
    return {"effect": "allow", "action": "cvm:*", "resource": "*", **members}


def of(*statements: dict[str, Any]) -> Bundle:
    """Return a bundle whose operator has these statements."""
    return bundle({"office": {"version": "2.0", "statement": [allow("*")]},
                   "instances": {"version": "2.0", "statement": [*statements]}})  # fmt: skip


def stop(principal: str = OPERATOR, **more: Any) -> Call:
    """Return a call whose body names its resources."""
    return Call(
        principal=principal, action="cvm:StopInstances", source_ip=1, time=NOW, resources=(None,), **more
    )


DENY = {"effect": "deny"}
ROWS = [
    pytest.param([statement()], Reason.ALLOWED, id="T141 every resource is allowed"),
    pytest.param([statement(resource=OF_INSTANCE)], None, id="T141 one resource is allowed"),
    pytest.param([statement(), statement(**DENY)], Reason.EXPLICIT_DENY, id="T141 every resource is denied"),
    pytest.param([statement(), statement(**DENY, resource=OF_INSTANCE)], None, id="T141 one is denied"),
    pytest.param(
        [statement(resource=OF_INSTANCE), statement(**DENY)], Reason.EXPLICIT_DENY, id="T141 a deny wins"
    ),
    pytest.param(
        [statement(resource=OF_INSTANCE, condition=NO_TIME)],
        Reason.NO_ALLOW,
        id="T141 an allow of another time",
    ),
    pytest.param([statement(action="cvm:Run*")], Reason.NO_ALLOW, id="T141 an allow of another action"),
    pytest.param(
        [statement(), statement(**DENY, condition=UNKNOWN)],
        Reason.UNDETERMINED_DENY,
        id="T141 a deny of every resource that is unknown",
    ),
    pytest.param(
        [statement(), statement(**DENY, condition=UNKNOWN, resource=OF_INSTANCE)],
        None,
        id="T141 a deny of one resource that is unknown",
    ),
    pytest.param(
        [statement(), statement(**DENY, condition=UNKNOWN), statement(**DENY, resource=OF_INSTANCE)],
        None,
        id="T141 a deny that is unknown, and one of one resource",
    ),
    pytest.param(
        [statement(), statement(**DENY, condition=NO_TIME, resource=OF_INSTANCE)],
        Reason.ALLOWED,
        id="T141 a deny of another time",
    ),
]


@pytest.mark.parametrize(("statements", "reason"), ROWS)
def test_an_answer_without_the_resources(statements: list[dict[str, Any]], reason: Reason | None) -> None:
    found = settled(of(*statements).evaluator, stop(), tags=False)
    assert (None if found is None else found.reason) is reason


def test_a_constant_row_and_unknown_names_stand() -> None:
    evaluator = BUNDLE.evaluator
    assert settled(evaluator, stop("uin/999"), tags=False) == BUNDLE.decide(stop("uin/999"))
    unknown = stop()._replace(action="cvm:NoSuchAction")
    assert settled(evaluator, unknown, tags=False) == BUNDLE.decide(unknown)
    assert settled(of(statement()).evaluator, stop("uin/100000000102"), tags=False) == BUNDLE.decide(
        stop("uin/100000000102")
    )


def test_root_owns_some_resources() -> None:
    """CAM 10.3: its identity layer allows the resources of its own account only."""
    assert settled(BUNDLE.evaluator, stop("uin/100000000001"), tags=False) is None


def test_a_session_policy_counts() -> None:
    limited = parse_policy('{"version":"2.0","statement":{"effect":"deny","action":"*","resource":"*"}}', "s")
    found = settled(of(statement()).evaluator, stop(session=limited), tags=False)
    assert found is not None
    assert found.reason is Reason.EXPLICIT_DENY
    assert settled(BUNDLE.evaluator, stop(ALICE), tags=False) is not None


RESOURCE = "qcs::vm:ap-guangzhou:uin/100100:instance/ins-1"


def with_tags(*statements: dict[str, Any]) -> tuple[Bundle, Call]:
    """Return a bundle of the statements, whose inventory lists one resource, and a call on that resource."""
    policies = {"p": json.dumps({"version": "2.0", "statement": statements})}
    people = {"owner": company.OWNER, "users": {"100101": {"policies": ["p"]}}}
    template = "qcs::vm:${region}:uin/${uin}:instance/${instanceId}"
    listed = catalog(service("vm", action("vm:Reboot", template), tag_authorization=True))
    found = to_bundle(listed, policies, people, inventory={RESOURCE: {"dept": "rd"}})
    return found, Call(
        principal="uin/100101", action="vm:Reboot", source_ip=1, time=NOW, resources=(RESOURCE,)
    )


def test_tags_of_resources_that_are_listed_matter_with_the_resources() -> None:
    """DEC-66: which tags a resource has is not known before the resource is."""
    found, call = with_tags(allow("*", string_equal={"qcs:resource_tag/dept": "rd"}))
    assert found.decide(call)
    assert settled(found.evaluator, call._replace(resources=(None,)), tags=False) is None
    other = call._replace(resources=(RESOURCE.replace("ins-1", "ins-2"),))
    assert settled(found.evaluator, other, tags=False) == found.decide(other), (
        "the resource is shown, and has no tags"
    )


# the policies, and the reason of the decision on a resource that is shown, whatever tags the request has
LISTED = [
    pytest.param([deny("*", string_equal={"qcs:resource_tag/dept": "hr"})], Reason.NO_ALLOW,
                 id="T141 a deny of other tags than those that are listed"),
    pytest.param([allow("*", string_equal={"qcs:resource_tag/dept": "hr"})], Reason.NO_ALLOW,
                 id="T141 an allow of other tags than those that are listed"),
    pytest.param([allow("*"), deny("*", string_equal={"qcs:resource_tag/dept": "hr"})], Reason.ALLOWED,
                 id="T141 an allow, and a deny of other tags than those that are listed"),
    pytest.param([deny("*", string_equal={"qcs:resource_tag/dept": "rd"})], Reason.EXPLICIT_DENY,
                 id="T141 a deny of the tags that are listed"),
    pytest.param([deny("*", string_equal={"qcs:request_tag/dept": "hr"})], None,
                 id="T141 a deny of a tag of the request, which is hidden"),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "reason"), LISTED)
def test_the_listed_tags_of_a_resource_that_is_shown_count(
    statements: list[dict[str, Any]], reason: Reason | None
) -> None:
    found, call = with_tags(*statements)
    answer = settled(found.evaluator, call, tags=True)
    assert (None if answer is None else answer.reason) is reason


def test_an_allow_that_asks_for_no_tag_stands_without_tags() -> None:
    tagged = statement(condition={"string_equal": {"qcs:request_tag/dept": "rd"}})
    found = settled(of(statement(), tagged).evaluator, stop(), tags=True)
    assert found is not None
    assert found.reason is Reason.ALLOWED
    assert settled(of(tagged).evaluator, stop(), tags=True) is None


OTHER = OF_INSTANCE.replace("ins-1", "ins-2")
FOREIGN = OF_INSTANCE.replace("100000000001", "100000000900")
ROOT = "uin/100000000001"
ON_REQUEST = {"condition": {"for_any_value:string_equal": {"qcs:request_tag": "dept&rd"}}}
# The statements; the principal, the resource and the request tags of the call; whether the body, which the
# proxy does not show, names tags; the reason of the decision that stands whatever the body holds, or None.
SHOWN = [
    pytest.param([statement(), statement(**DENY, resource=OF_INSTANCE)], OPERATOR, OF_INSTANCE, None, True,
                 Reason.EXPLICIT_DENY, id="T141 a deny of the resource stands whatever the tags"),
    pytest.param([statement()], ROOT, OF_INSTANCE, None, True, Reason.ALLOWED,
                 id="T141 root and a resource of its own"),
    pytest.param([statement()], ROOT, FOREIGN, None, True, Reason.NO_ALLOW,
                 id="T141 root and a resource of another account"),
    pytest.param([statement(**ON_REQUEST)], OPERATOR, OF_INSTANCE, None, True, None,
                 id="T141 an allow that asks for a tag of the request, which is hidden"),
    pytest.param([statement(**ON_REQUEST)], OPERATOR, OF_INSTANCE, {"dept": "hr"}, False, Reason.NO_ALLOW,
                 id="T141 an allow that asks for another tag of the request than it has"),
    pytest.param([statement(action="cvm:Run*")], OPERATOR, OF_INSTANCE, None, True, Reason.NO_ALLOW,
                 id="T141 nothing asks for a tag"),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "principal", "resource", "tags", "hidden", "reason"), SHOWN)
def test_an_answer_with_the_resource(
    statements: list[dict[str, Any]],
    principal: str,
    resource: str,
    tags: dict[str, str] | None,
    hidden: bool,
    reason: Reason | None,
) -> None:
    asked = stop(principal, request_tags=tags)._replace(resources=(resource,))
    found = settled(of(*statements).evaluator, asked, tags=hidden)
    assert (None if found is None else found.reason) is reason


WORLDS, CALLS, BODIES = 400, 6, 6


def test_an_answer_without_the_resources_is_that_of_all_resources() -> None:
    """T141: of whatever a body may name; and answers are given, so that the test can fail."""
    answered = total = 0
    for world, calls in islice(stream(14_000, CALLS), WORLDS):
        catalog = to_catalog(world.catalog, world.known)
        found = to_bundle(
            catalog, world.policies, world.principals, inventory=world.inventory, **world.settings
        )
        dice = seeded(total)
        for each in calls:
            whole = to_call(each)
            for tags in (False, True):
                hidden = whole._replace(resources=(None,))
                hidden = hidden._replace(request_tags=None) if tags else hidden
                early = settled(found.evaluator, hidden, tags=tags)
                total += 1
                answered += early is not None
                for _ in range(BODIES if early is not None else 0):
                    resources = tuple(some_resources(dice, world)) or (None,)
                    late = whole._replace(resources=resources)
                    if tags:
                        late = late._replace(request_tags=dice.pick((*TAG_SETS, None)))
                    decision = found.decide(late)
                    assert early is not None
                    assert (bool(early), early.reason) == (bool(decision), decision.reason), (each, late)
    assert total * 0.2 < answered < total


def test_an_answer_without_the_tags_is_that_of_all_tags() -> None:
    """T141, where the body names the tags of the request and no resources."""
    answered = total = 0
    for world, calls in islice(stream(15_000, CALLS), WORLDS // 2):
        catalog = to_catalog(world.catalog, world.known)
        found = to_bundle(
            catalog, world.policies, world.principals, inventory=world.inventory, **world.settings
        )
        for each in calls:
            whole = to_call(each)
            if None in whole.resources or not whole.resources:
                continue
            early = settled(found.evaluator, whole._replace(request_tags=None), tags=True)
            total += 1
            answered += early is not None
            for named in (*TAG_SETS, None) if early is not None else ():
                decision = found.decide(whole._replace(request_tags=named))
                assert early is not None
                assert (bool(early), early.reason) == (bool(decision), decision.reason), (each, named)
    assert total * 0.2 < answered < total
