"""The evaluator: whom it refuses, what sessions, times and addresses change, and what principals share."""

from __future__ import annotations

import gc
import threading
import weakref
from math import inf, nan, nextafter
from typing import Any

import pytest

from camguard.bundle import Bundle
from camguard.engine.action_index import ACTION_UNKNOWN
from camguard.engine.call import Call
from camguard.engine.decision import Reason
from camguard.engine.evaluator import PRINCIPAL_UNKNOWN
from camguard.engine.row import NO_ALLOW
from camguard.policy.model import Policy
from tests import company
from tests.company import OFFICE, USER, action, call, catalog, policy, principals, service

CATALOG = catalog(service("aiart", "TextToImage", "ImageToImage", "SetPayMode"))
SPRING = {
    "date_greater_than_equal": {"qcs:current_time": "1970-01-01T00:01:40Z"},
    "date_less_than": {"qcs:current_time": "1970-01-01T00:03:20Z"},
}


LATER = {"date_greater_than": {"qcs:current_time": "1970-01-01T00:01:40Z"}}


def bundle(*policies: Policy, users: dict[str, list[str]] | None = None, **settings: Any) -> Bundle:
    return company.bundle(policies, CATALOG, principals(users=users) if users else None, **settings)


def one_policy(*statements: dict[str, Any], **settings: Any) -> Bundle:
    """Return a bundle of one user with the statements, one who has nothing, and four more like the first."""
    users = {str(uin): [] if uin == 100201 else ["one"] for uin in range(100200, 100206)}
    return bundle(policy("one", *statements), users=users, **settings)


def at(principal: str = USER, place: int | None = 1, time: float | None = 0.0, **more: Any) -> Call:
    return call(principal=principal, time=time)._replace(source_ip=place, **more)


FIRST = {"condition": {"ip_equal": {"qcs:ip": "0.0.0.0/24"}}}


UNJUDGED = [
    pytest.param(Call("uin/9", "aiart:TextToImage", 0, 0.0), PRINCIPAL_UNKNOWN, id="an unknown principal"),
    pytest.param(Call("uin/9", "aiart:Nope", 0, 0.0), PRINCIPAL_UNKNOWN, id="and an unknown action"),
    pytest.param(Call("uin/100200", "aiart:Nope", 0, 0.0), ACTION_UNKNOWN, id="an unknown action"),
]


@pytest.mark.parametrize(("call", "decision"), UNJUDGED)
def test_judging_refuses_what_deciding_refuses(call: Call, decision: object) -> None:
    tables = one_policy({}).evaluator
    assert (tables.decide(call), tables.judge(call)) == (decision, decision)


def test_a_call_that_names_no_resource_passes_nowhere() -> None:
    for found in (one_policy({}), one_policy(FIRST)):
        assert found.decide(at())
        assert found.decide(at(resources=())) == NO_ALLOW


def test_a_call_is_about_everything_if_it_does_not_say() -> None:
    assert at().resources == ("*",)


def test_a_session_opens_no_other_principals_table() -> None:
    found, session = one_policy({}), policy("session", {})
    assert found.decide(at("uin/100200", session=session))
    assert not found.decide(at("uin/100201", session=session))
    assert found.decide(at("uin/100200", session=session))


def test_a_session_leaves_the_principals_own_table_alone() -> None:
    found, session = one_policy({}), policy("session", {"action": "aiart:Other"})
    assert not found.decide(at(session=session))
    assert found.decide(at())
    assert not found.decide(at(session=session))


NOT_FOLDED = [
    pytest.param({"place": None}, id="no address"),
    pytest.param({"time": None}, id="no time"),
    pytest.param({"resources": ()}, id="no resource"),
    pytest.param({"resource_tags": {}}, id="tags of the resource"),
    pytest.param({"request_tags": {}}, id="tags of the request"),
    pytest.param({"context": {}}, id="further keys"),
    pytest.param({"session": policy("session", {"action": "aiart:Other"})}, id="a session"),
]


@pytest.mark.parametrize("more", NOT_FOLDED)
def test_a_call_that_supplies_more_or_less_is_evaluated_by_its_rules(more: dict[str, Any]) -> None:
    found = one_policy(FIRST)
    query = at(**more)
    expected = one_policy(FIRST).explain(query).decision
    assert found.decide(at())
    assert [found.decide(query), found.decide(query)] == [expected, expected]
    assert found.decide(at())


def test_only_the_first_call_of_a_principal_looks_into_the_cache_of_tables() -> None:
    found = one_policy(FIRST)
    query = (at(), at(), at(time=1e9), at(context={}), at(place=None), at("uin/100202"))
    for each in query:
        found.decide(each)
    assert found.table_stats() == (1, 1, 1)


def test_principals_with_the_same_policies_share_a_table() -> None:
    found = bundle(
        policy("one", {}), policy("two", {}), users={"100200": ["one"], "100201": ["one"], "100202": ["two"]}
    )
    tables = [found.evaluator.table(f"uin/{uin}") for uin in (100200, 100201, 100202)]
    assert tables[0] is tables[1]
    assert tables[0] is not tables[2]
    assert found.table_stats() == (1, 2, 2)


def test_the_cache_of_tables_is_bounded() -> None:
    many = [policy(f"p{i}", {}) for i in range(8)]
    users = {str(100200 + i): [f"p{i}"] for i in range(8)}
    small = bundle(*many, users=users, tables=3).evaluator
    for _ in range(2):
        assert all(small.decide(call(principal=f"uin/{uin}")) for uin in users)
    assert small.stats()[2] == 3


def test_tables_die_with_the_last_that_holds_them() -> None:
    limited = policy("one", {"condition": OFFICE}, {"resource": "qcs::aiart:::job/1"})
    found = bundle(
        limited, policy("two", {}), users={"100200": ["one"], "100201": ["two"]}, unknown_action="judge"
    )
    for uin in ("100200", "100201", "9"):
        for name in ("aiart:TextToImage", "aiart:BrandNew", "aiart:!", "other:Nope"):
            query = call(name, principal=f"uin/{uin}")
            found.decide(query)
            found.decide(query._replace(session=limited))
            found.nearest_changes(query, found.explain(query))
    released = weakref.ref(found.evaluator)
    gc.disable()
    try:
        del found
        assert released() is None, "they hold themselves in a circle, which only a collection ends"
    finally:
        gc.enable()


TIMES = [
    pytest.param(100.0, True, id="at the first instant"),
    pytest.param(nextafter(100.0, -inf), False, id="just before it"),
    pytest.param(nextafter(200.0, -inf), True, id="just before the last"),
    pytest.param(200.0, False, id="at the last"),
    pytest.param(1e12, False, id="long after"),
    pytest.param(-1e12, False, id="long before"),
]


def test_time_may_step_to_and_fro() -> None:
    found = bundle(policy("one", {"condition": SPRING}))
    for _ in range(2):
        for step in (TIMES, TIMES[::-1]):
            for at, allowed in (each.values for each in step):
                assert bool(found.decide(call(time=at))) is allowed, at


UNKNOWN = [
    pytest.param(call(source=None), id="an address that is not known"),
    pytest.param(call(time=None), id="a time that is not known"),
]


@pytest.mark.parametrize("doubtful", UNKNOWN)
def test_what_is_not_known_grants_nothing_and_blocks(doubtful: Call) -> None:
    both = {**OFFICE, "date_less_than": {"qcs:current_time": "2000-01-01T00:00:00Z"}}
    assert bundle(policy("one", {"condition": both})).decide(doubtful).reason is Reason.NO_ALLOW
    deny = bundle(policy("one", {}, {"effect": "deny", "condition": both}))
    assert deny.decide(doubtful).reason is Reason.UNDETERMINED_DENY


NO_INSTANTS = [
    pytest.param(nan, id="no number"),
    pytest.param(inf, id="after all time"),
    pytest.param(-inf, id="before all time"),
]


@pytest.mark.parametrize("condition", [SPRING, {"date_less_than": SPRING["date_less_than"]}, LATER])
@pytest.mark.parametrize("time", NO_INSTANTS)
def test_a_time_that_is_no_instant_is_not_known(time: float, condition: dict[str, Any]) -> None:
    allow = bundle(policy("one", {"condition": condition}))
    deny = bundle(policy("one", {}, {"effect": "deny", "condition": condition}))
    free = bundle(policy("one", {"condition": OFFICE}))
    for at in (time, 0.0, time, 1e12, time):  # before, within and behind the range table
        for found, reason in (
            (allow, Reason.NO_ALLOW),
            (deny, Reason.UNDETERMINED_DENY),
            (free, Reason.ALLOWED),
        ):
            decision = found.decide(call(time=at))
            assert decision == found.explain(call(time=at)).decision
            assert at is not time or decision.reason is reason


@pytest.mark.parametrize("time", [-(10**400), 10**400], ids=["long before floats", "long after floats"])
def test_any_whole_number_of_seconds_is_an_instant(time: int) -> None:
    found = bundle(policy("one", {"condition": LATER}))
    for _ in range(2):
        assert bool(found.decide(call(time=time))) is (time > 0)
        assert bool(found.explain(call(time=time)).decision) is (time > 0)


def test_a_session_has_a_table_of_its_own() -> None:
    found = bundle(policy("one", {}))
    session = policy("session", {"action": "aiart:SetPayMode"})
    assert found.decide(call()).reason is Reason.ALLOWED
    assert found.decide(call(session=session)).reason is Reason.LAYER_LIMIT
    assert found.decide(call(action="aiart:SetPayMode", session=session))
    assert found.decide(call()).reason is Reason.ALLOWED
    assert found.table_stats()[2] == 2


def test_an_action_whose_resources_could_not_be_read_is_granted_by_nothing() -> None:
    unread = catalog(service("aiart", action("aiart:TextToImage", resources=())))
    found = company.bundle([policy("one", {})], unread)
    assert found.decide(call()).reason is Reason.NO_ALLOW
    words = [clause.why for note in found.explain(call()).statements for clause in note.clauses]
    assert (
        words[1]
        == "the resources of the action are unknown, because its page could not be read: nothing grants it"
    )


def test_many_threads_may_decide_at_once() -> None:
    found = bundle(
        policy("one", {"condition": OFFICE}), policy("two", {"condition": SPRING}),
        users={str(100200 + i): [("one", "two")[i % 2]] for i in range(40)},
    )  # fmt: skip
    wrong: list[object] = []

    def ask() -> None:
        for i in range(400):
            answer = found.decide(call(principal=f"uin/{100200 + i % 40}", time=float(i)))
            expected = 100 <= i < 200 if i % 2 else True
            if bool(answer) is not expected:
                wrong.append((i, answer))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- what is kept of a decision --------------------------------------------------------------------------

HERE = "qcs::vm:ap-guangzhou:uin/100100:"
BY_RESOURCE = catalog(service("vm", action("vm:Stop", f"{HERE}instance/${{InstanceId}}")))

# What makes the stretch of a decision unknown
WITHOUT_STRETCH = [
    pytest.param({"source_ip": None}, id="no address"),
    pytest.param({"time": None}, id="no time"),
    pytest.param({"resources": ()}, id="no resource"),
    pytest.param({"resource_tags": {}}, id="tags of the resource"),
    pytest.param({"request_tags": {}}, id="tags of the request"),
    pytest.param({"context": {}}, id="further condition keys"),
    pytest.param({"session": policy("session", {})}, id="a session"),
    pytest.param({"principal": "uin/9"}, id="an unknown principal"),
    pytest.param({"time": 250.0}, id="a moment that no decision was made for"),
    pytest.param({"time": 200.0}, id="the moment at which the stretch ends"),
    pytest.param({"action": "aiart:ImageToImage"}, id="an action that no decision was made for"),
]


@pytest.mark.parametrize("facts", WITHOUT_STRETCH)
def test_a_stretch_is_known_of_calls_that_only_address_and_time_decide(facts: dict[str, Any]) -> None:
    found = one_policy({"condition": SPRING})
    spring = at(time=150.0)
    assert found.decide(spring)
    assert found.evaluator.stretch(spring) == (nextafter(100.0, inf), 200.0)  # 100 is a stretch of its own
    assert found.evaluator.stretch(spring._replace(time=nextafter(100.0, inf))) is not None
    assert found.evaluator.stretch(spring._replace(**facts)) is None


def test_a_call_that_resources_decide_has_no_stretch() -> None:
    found = company.bundle([policy("one", company.allow("vm:*", f"{HERE}instance/a"))], BY_RESOURCE)
    stop = call("vm:Stop", resources=(f"{HERE}instance/a",))
    assert found.decide(stop)
    assert found.evaluator.stretch(stop) is None


def test_a_call_that_its_index_does_not_decide_is_judged_rule_by_rule() -> None:
    patterns = [f"qcs::vm:::*{number}*" for number in range(200)]
    found = company.bundle([policy("one", company.allow("vm:*", patterns))], BY_RESOURCE)
    short = call("vm:Stop", resources=(f"{HERE}instance/7",))
    long = call("vm:Stop", resources=(f"{HERE}instance/" + "x" * 200_000,))
    for asked in (long, short, long):  # before there is an index, and with it
        assert found.decide(asked) == found.evaluator.judge(asked)
    assert found.decide(short)
    assert not found.decide(long)


TAGGED = catalog(
    service(
        "vm",
        action("vm:Stop", f"{HERE}instance/${{InstanceId}}", ip_restriction=False),
        "List",
        tag_authorization=True,
    )
)
ONE = f"{HERE}instance/a"
RD = {"string_equal": {"qcs:resource_tag/dept": "rd"}}
# a setting, a statement, and a call that the statement allows only under the setting
SETTINGS = [
    pytest.param({"ip_support": "gateway"}, FIRST, call("vm:Stop", "0.0.0.1"), id="ip_support"),
    pytest.param({"unknown_action": "judge"}, {}, call("vm:Nope"), id="unknown_action"),
    pytest.param({"resource_tags": {ONE: {"dept": "rd"}}}, {"condition": RD},
                 call("vm:Stop", resources=(ONE,)), id="DEC-66 the tags of resources"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "statement", "asked"), SETTINGS)
def test_an_evaluator_of_other_policies_has_the_same_settings(
    setting: dict[str, Any], statement: dict[str, Any], asked: Call
) -> None:
    wanted = {"one": policy("one", statement)}
    without = company.bundle(list(wanted.values()), TAGGED).evaluator
    found = company.bundle([policy("one", FIRST)], TAGGED, principals("one"), **setting).evaluator
    assert not without.decide(asked)
    assert found.changed(wanted).decide(asked)
    assert found.changed(wanted).changed(wanted).decide(asked)


@pytest.mark.parametrize("tags", [None, {ONE: {"dept": "rd"}}], ids=["no inventory", "an inventory"])
@pytest.mark.parametrize("resources", [(), (ONE,), (ONE, f"{HERE}instance/b")], ids=["none", "one", "two"])
def test_dec_66_the_explanation_decides_as_the_decision(tags: Any, resources: tuple[str, ...]) -> None:
    found = company.bundle([policy("one", {"condition": RD})], TAGGED, principals("one"), resource_tags=tags)
    asked = call("vm:Stop", resources=resources)
    assert found.explain(asked).decision == found.decide(asked)
    assert bool(found.decide(asked)) is (tags is not None and resources == (ONE,))


def test_an_evaluator_of_other_policies_may_have_other_principals() -> None:
    found = one_policy({}).evaluator
    assert found.changed({"one": policy("one", {})}, {}).decide(at()) == PRINCIPAL_UNKNOWN


def test_an_evaluator_of_other_policies_decides_by_them() -> None:
    found = one_policy(FIRST, ip_support="gateway").evaluator
    other = found.changed({"one": policy("one", {})})
    assert found.decide(at(place=1 << 20)) == NO_ALLOW
    assert other.decide(at(place=1 << 20))
    assert found.changed({"one": policy("one", FIRST)}).decide(at(place=1))


def test_an_evaluator_of_other_policies_keeps_as_many_tables() -> None:
    found = one_policy(FIRST, tables=1).evaluator.changed({"one": policy("one", {})})
    for uin in (100200, 100201):
        found.decide(at(f"uin/{uin}"))
    assert found.stats() == (0, 2, 1)


def test_no_policy_is_consulted_for_an_action_that_is_refused() -> None:
    """T34: no table is compiled."""
    found = one_policy({}).evaluator
    assert found.decide(at(action="aiart:Nope")) == ACTION_UNKNOWN
    assert found.stats() == (0, 0, 0)


def test_which_condition_keys_the_policies_name() -> None:
    keys = {"string_equal": {"qcs:resource_tag/dept": "rd", "cos:x": "y"}}
    found = bundle(policy("one", FIRST, {"condition": keys}), policy("two", {}))
    assert found.evaluator.named_keys == {"qcs:ip", "qcs:resource_tag", "cos:x"}


# settings, the facts of a call, and the tags under which it is judged
VARIANTS = [
    pytest.param(None, {"resources": (ONE,)}, [None], id="no inventory"),
    pytest.param({ONE: {"a": "b"}}, {"resources": (ONE,)}, [{"a": "b"}], id="the tags of one resource"),
    pytest.param({ONE: {"a": "b"}}, {"resources": (ONE, ONE)}, [{"a": "b"}] * 2, id="each of two resources"),
    pytest.param({ONE: {"a": "b"}}, {"resources": ()}, [None], id="no resource"),
    pytest.param({ONE: {"a": "b"}}, {"resources": (ONE,), "resource_tags": {}}, [{}], id="tags of the call"),
]


@pytest.mark.parametrize(("listed", "facts", "tags"), VARIANTS)
def test_dec_66_under_which_tags_a_call_is_judged(
    listed: Any, facts: dict[str, Any], tags: list[Any]
) -> None:
    found = company.bundle([policy("one", {})], TAGGED, resource_tags=listed).evaluator
    traits = found.traits("vm:Stop")
    assert traits is not None
    asked = call("vm:Stop", **facts)
    assert [each.resource_tags for each in found.variants(asked, traits)] == tags


def test_dec_66_a_call_of_a_service_without_tags_is_judged_as_it_is() -> None:
    without = catalog(service("vm", action("vm:Stop", ONE)))
    found = company.bundle([policy("one", {})], without, resource_tags={ONE: {"a": "b"}}).evaluator
    traits = found.traits("vm:Stop")
    assert traits is not None
    asked = call("vm:Stop", resources=(ONE, ONE))
    assert found.variants(asked, traits) == (asked,)


def test_which_policies_are_boundaries() -> None:
    policies = [policy(name, {}) for name in ("one", "limit", "other")]
    users = {"100200": {"policies": ["one"], "boundary": "limit"}, "100201": {"policies": ["other"]}}
    found = company.bundle(policies, CATALOG, {"owner": company.OWNER, "users": users})
    assert found.evaluator.boundaries() == {"limit"}


def test_a_new_table_has_no_session_unless_one_is_given() -> None:
    made = one_policy({}).evaluator
    layers = made.layers("uin/100200")
    assert layers is not None
    asked = call("aiart:TextToImage", principal="uin/100200")
    traits = made.traits(asked.action)
    assert traits is not None
    sessions = [made.new_table(layers), made.new_table(layers, policy("session", {"effect": "deny"}))]
    found = [each.compile_row(traits).judge(asked, traits, made.owner, made.inventory) for each in sessions]
    assert [each.reason for each in found] == [Reason.ALLOWED, Reason.EXPLICIT_DENY]


def test_a_call_that_nothing_allows_is_denied_by_the_identity_layer() -> None:
    assert (NO_ALLOW.reason, NO_ALLOW.statements, NO_ALLOW.layer) == (Reason.NO_ALLOW, (), "identity")
