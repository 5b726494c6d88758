"""What no case can ask: answers for who is unknown, and what a layer, a call and a decision are made of."""

from __future__ import annotations

import importlib
import json
from dataclasses import is_dataclass
from typing import Any

import pytest

from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from camguard.engine import evaluator as evaluator_module
from camguard.engine.action_index import ACTION_UNKNOWN
from camguard.engine.call import Call
from camguard.engine.decision import Reason
from camguard.engine.evaluator import PRINCIPAL_UNKNOWN
from camguard.engine.row import NO_ALLOW
from camguard.engine.table import Table
from camguard.ipset import LINE_END
from camguard.policy.document import parse_policy
from camguard.policy.model import Policy

ROW = Action("aiart", "Draw", Access.READ, Granularity.OPERATION, ("*",), ip_restriction=True)
SERVICE = Service(
    "aiart", "Image", console=True, tag_authorization=False, granularity=Granularity.OPERATION,
    ip_restriction=IpRestriction.SUPPORTED, actions={"Draw": ROW},
)  # fmt: skip


def policy(name: str, *statements: dict[str, Any]) -> Policy:
    full = [{"effect": "allow", "action": "aiart:*", "resource": "*"} | each for each in statements]
    return parse_policy(json.dumps({"version": "2.0", "statement": full}), name)


def bundle(*statements: dict[str, Any], **settings: Any) -> Bundle:
    """One user who has the statements, one who has nothing, and four more like the first."""
    users = {str(uin): {"policies": [] if uin == 100201 else ["one"]} for uin in range(100200, 100206)}
    principals = {"owner": {"uin": "100100", "app_id": "125"}, "users": users}
    policies = {"one": policy("one", *statements)}
    return make_bundle(policies, principals, Catalog({"aiart": SERVICE}), **settings)


def draw(principal: str = "uin/100200", place: int | None = 1, time: float | None = 0.0, **more: Any) -> Call:
    return Call(principal, "aiart:Draw", place, time)._replace(**more)


OFFICE = {"condition": {"ip_equal": {"qcs:ip": "0.0.0.0/24"}}}
HOUR = {"condition": {"date_greater_than_equal": {"qcs:current_time": "1970-01-01T01:00:00Z"}}}


UNJUDGED = [
    pytest.param(Call("uin/9", "aiart:Draw", 0, 0.0), PRINCIPAL_UNKNOWN, id="an unknown principal"),
    pytest.param(Call("uin/9", "aiart:Nope", 0, 0.0), PRINCIPAL_UNKNOWN, id="and an unknown action"),
    pytest.param(Call("uin/100200", "aiart:Nope", 0, 0.0), ACTION_UNKNOWN, id="an unknown action"),
]


@pytest.mark.parametrize(("call", "decision"), UNJUDGED)
def test_judging_refuses_what_deciding_refuses(call: Call, decision: object) -> None:
    tables = bundle({}).evaluator
    assert (tables.decide(call), tables.judge(call)) == (decision, decision)


def test_a_call_that_names_no_resource_passes_nowhere() -> None:
    for found in (bundle({}), bundle(OFFICE)):
        assert found.decide(draw())
        assert found.decide(draw(resources=())) == NO_ALLOW


def test_a_call_is_about_everything_if_it_does_not_say() -> None:
    assert draw().resources == ("*",)


def test_a_session_opens_no_other_principals_table() -> None:
    found, session = bundle({}), policy("session", {})
    assert found.decide(draw("uin/100200", session=session))
    assert not found.decide(draw("uin/100201", session=session))
    assert found.decide(draw("uin/100200", session=session))


def test_a_session_leaves_the_principals_own_table_alone() -> None:
    found, session = bundle({}), policy("session", {"action": "aiart:Other"})
    assert not found.decide(draw(session=session))
    assert found.decide(draw())
    assert not found.decide(draw(session=session))


def fail(*_: object) -> None:
    raise AssertionError("what is ready was made once more")


@pytest.mark.parametrize("time", [0.0, 3600.0, 1e9], ids=["before", "right at a cut", "long after"])
def test_what_is_ready_is_found_not_made(time: float, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle(OFFICE, HOUR)
    tables = found.evaluator
    first = [found.decide(draw(place=place, time=time)) for place in (1, 300)]
    monkeypatch.setattr(tables, "table", fail)
    monkeypatch.setattr(Table, "row", fail)
    monkeypatch.setattr(Table, "fill_ranges", fail)
    again = [found.decide(draw(place=place, time=time)) for place in (1, 300)]
    assert [one is other for one, other in zip(first, again, strict=True)] == [True, True]


def test_what_is_settled_is_found_at_any_time_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle({})
    first = found.decide(draw())
    monkeypatch.setattr(found.evaluator, "table", fail)
    monkeypatch.setattr(Table, "row", fail)
    for place, time in ((0, 0.0), (LINE_END - 1, -1e300), (7, 1e300)):
        assert found.decide(draw(place=place, time=time)) is first


def test_the_refusal_of_an_unknown_action_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle({})
    query = draw(action="aiart:Nope")
    assert [found.decide(draw()).reason, found.decide(query)] == [Reason.ALLOWED, ACTION_UNKNOWN]
    monkeypatch.setattr(Table, "row", fail)
    assert found.decide(query) is ACTION_UNKNOWN


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
    found = bundle(OFFICE)
    query = draw(**more)
    expected = bundle(OFFICE).explain(query).decision
    assert found.decide(draw())
    assert [found.decide(query), found.decide(query)] == [expected, expected]
    assert found.decide(draw())


def test_only_the_first_call_of_a_principal_looks_into_the_cache_of_tables() -> None:
    found = bundle(OFFICE)
    query = (draw(), draw(), draw(time=1e9), draw(context={}), draw(place=None), draw("uin/100202"))
    for each in query:
        found.decide(each)
    assert found.table_stats() == (1, 1, 1)


def test_what_must_be_judged_is_judged_by_the_row_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle(OFFICE)
    table = found.evaluator.table("uin/100200")
    assert table is not None
    assert found.decide(draw(context={}))
    monkeypatch.setattr(Table, "compile_row", fail)
    assert found.decide(draw(context={}))


def test_principals_are_forgotten_together_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "MAX_RECENT", 2)
    found = bundle({}, tables=3)  # whichever is more
    sizes = []
    for uin in (100200, 100201, 100202, 100203, 100204, 100205, 100205):
        found.decide(draw(f"uin/{uin}"))
        sizes.append(len(vars(found.evaluator)["_recent"]))
    assert sizes == [1, 2, 3, 1, 2, 3, 3]


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
    assert bundle({}).decide(draw(action=action)).reason is reason


def test_a_reason_is_written_as_it_is_named() -> None:
    assert [reason.value for reason in Reason] == [reason.name.lower() for reason in Reason]


MODULES = (
    *("policy.model", "policy.operators", "policy.resources", "policy.conditions", "engine.call", "ipset"),
    *("engine.decision", "engine.layers", "engine.attributes", "engine.row", "engine.principals"),
)


def test_values_are_frozen() -> None:
    modules = [importlib.import_module(f"camguard.{name}") for name in MODULES]
    found = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    made = [each for each in found if is_dataclass(each)]
    assert len(made) >= 12
    assert [each for each in made if not each.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]
