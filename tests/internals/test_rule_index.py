"""What the index of a row computes once, and what it does not compute for a call that does not need it."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.bounded_cache import BoundedCache
from camguard.bundle import Bundle
from camguard.engine import rule_index
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.row import combine
from camguard.engine.rule_index import Deciding, RuleIndex, _kinds
from camguard.policy.resources import Found
from tests.company import USER, allow, deny
from tests.engine.index_agreement import by_index
from tests.engine.test_rule_index import HERE, MFA, ONE, ROOT, TAGS, THEIRS, THREE, TWO, VOLUME, bundle, on


def index_of(found: Bundle, principal: str = USER) -> RuleIndex:
    """Return the index of vm:Reboot, which has decided one call."""
    found.decide(on(ONE, principal=principal, context={}))
    table = found.evaluator.table(principal)
    assert table is not None
    return table.indexes["vm:Reboot"][0]


def fail(*_: object) -> None:
    raise AssertionError("more was done than the call needs")


def fills_up(cache: BoundedCache[Any, Any], keys: list[Any]) -> int:
    """Return how many of the keys a cache keeps before it is emptied for another one."""
    cache.clear()
    for at, key in enumerate(keys):
        cache[key] = cache.get(key)
        if len(cache) <= at:
            return at
    return len(keys)


def test_an_index_keeps_a_bounded_number_of_results() -> None:
    index = index_of(bundle(allow("vm:*", f"{HERE}${{uin}}/*"), deny("vm:*", TWO)))
    assert index._filled is not None
    assert fills_up(index._under, [*range(1000)]) == 256
    assert fills_up(index._decisions, [*range(1000)]) == 256
    assert fills_up(index._filled, [f"uin/{at}" for at in range(1000)]) == 32


def test_a_decision_is_kept_for_up_to_eight_kinds_of_resources() -> None:
    index = index_of(bundle(*(allow("vm:*", f"{HERE}{at}") for at in range(20))))
    index._decisions.clear()
    for size in range(1, 20):
        index._decisions[tuple(1 << at for at in range(size))]
    assert sorted(map(_kinds, index._decisions)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert _kinds(0b110) == 1, "the rules of one kind"


# the calls of one principal, and what decides them: a kind for one resource, a tuple of kinds for several
FOUND = [
    pytest.param([on(ONE)], [0b1001], id="the allow of one resource, and its owner"),
    pytest.param([on(VOLUME)], [0b1000], id="no rule"),
    pytest.param([on(ONE), on(ONE)], [0b1001], id="one decision for the same resource"),
    pytest.param([on(ONE), on(THEIRS)], [0b1001, 0b1000], id="the owner matters only to root"),
    pytest.param([on(ONE, TWO), on(TWO, ONE)], [(0b1001, 0b1010), (0b1010, 0b1001)], id="two kinds"),
    pytest.param([on(ONE, ONE, TWO, ONE)], [(0b1001, 0b1010)], id="resources of one kind count once"),
    pytest.param([on(THREE)], [0b100], id="the deny alone"),
    pytest.param([on(ONE, THREE)], [0b100], id="the deny of one of two resources"),
    pytest.param([on(None)], [-0b100], id="a deny that is unknown"),
    pytest.param([on(ONE, principal=ROOT)], [0b1], id="root, and a resource of its own"),
    pytest.param([on(THEIRS, principal=ROOT)], [0], id="root, and a resource of another account"),
]


@pytest.mark.parametrize(("calls", "deciding"), FOUND)
def test_what_decides_a_call(calls: list[Call], deciding: list[Deciding]) -> None:
    found = bundle(allow("vm:*", ONE), allow("vm:*", TWO), deny("vm:*", THREE))
    index = index_of(found, calls[0].principal)
    index._decisions.clear()
    for each in calls:
        found.decide(each)
    assert list(index._decisions) == deciding


# the deciding rules of two allows and a deny, and for which resources each rule is combined
COMBINED = [
    pytest.param(0b1001, {0: Found(1, 0)}, id="an allow of one resource"),
    pytest.param(0b1000, {}, id="no rule"),
    pytest.param(0, {}, id="no rule, and a resource of another account"),
    pytest.param(0b100, {2: Found(1, 0)}, id="a deny that is TRUE"),
    pytest.param(-0b100, {2: Found(0, 1)}, id="a deny that is unknown"),
    pytest.param((0b1001, 0b1011), {0: Found(0x101, 0), 1: Found(0x100, 0)}, id="the allows of two kinds"),
]


@pytest.mark.parametrize(("deciding", "rules"), COMBINED)
def test_the_rules_that_decide_are_combined_alone(
    deciding: Deciding, rules: dict[int, Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = index_of(bundle(allow("vm:*", ONE), allow("vm:*", TWO), deny("vm:*", THREE)))
    given: list[dict[int, Found]] = []

    def noted(row: Any, judged: Any, *masks: int) -> Decision:
        given.append({row.rules.index(rule): found for rule, found in judged})
        return combine(row, judged, *masks)

    monkeypatch.setattr(rule_index, "combine", noted)
    index._decisions.clear()
    index._decisions[deciding]
    assert given == [rules]


def test_a_call_of_one_resource_is_not_compared_as_several_are(monkeypatch: pytest.MonkeyPatch) -> None:
    on_tag = deny("vm:*", string_equal={"qcs:resource_tag/dept": "rd"})
    tagged = bundle(allow("vm:*", f"{HERE}*"), on_tag, resource_tags=TAGS)
    plain = bundle(allow("vm:*", f"{HERE}*"), resource_tags=TAGS)
    one, supplied = on(ONE), on(ONE, resource_tags={"dept": "hr"})
    for found in (tagged, plain):
        index_of(found)
    monkeypatch.setattr(RuleIndex, "_of_several", fail)
    for found, asked in ((plain, one), (plain, supplied), (tagged, supplied)):
        assert found.decide(asked).reason is Reason.ALLOWED
    with pytest.raises(AssertionError, match="more was done"):
        tagged.decide(one)


def test_the_values_of_variables_are_computed_only_where_a_condition_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {"string_equal": {"cos:prefix": "home/${uin}"}}
    varying, fixed = bundle(allow("vm:*", ONE, **names)), bundle(allow("vm:*", ONE, **MFA))
    for found in (varying, fixed):
        index_of(found)
    monkeypatch.setattr(rule_index, "bindings_of", fail)
    assert by_index(fixed.evaluator, on(ONE, context={"qcs:mfa": ("true",)}))
    with pytest.raises(AssertionError, match="more was done"):
        varying.decide(on(ONE, context={}))
