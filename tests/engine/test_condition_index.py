"""The index of conditions answers as the evaluation of each clause."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from camguard.catalog.model import Action
from camguard.engine.attributes import ActionTraits, bindings_of, clause_truth_of
from camguard.engine.call import Call
from camguard.engine.condition_index import key_indexes, under
from camguard.engine.rules import MaskBits, Rule
from camguard.policy.document import parse_policy
from camguard.policy.keys import IP, TIME
from camguard.policy.model import Clause, Effect
from camguard.policy.resources import Owner
from camguard.policy.values import Truth, all_of
from tests.company import OWNER, USER, action, allow, call, policy
from tests.generators import Json, a_condition, a_context_value, mentioned_by, seeded
from tests.vocabulary import TAG_SETS

COMPANY = Owner(**OWNER)
ENTRY: Action = action("cvm:Reboot")


def traits(*, tags: bool = True) -> ActionTraits:
    return ActionTraits(ENTRY, supports_ip=True, supports_tags=tags, in_catalog=True, label=None)


def rule(clauses: tuple[Clause, ...], **facts: Any) -> Rule:
    residual = tuple(clause for clause in clauses if clause.key not in {IP, TIME})
    usual = Rule("p#0", 0, Effect.ALLOW, True, MaskBits(), clauses, residual, ())
    return usual._replace(**facts)


def rules_of(*conditions: Json) -> list[Rule]:
    """Return a rule for each condition."""
    statements = [{**allow("*"), "condition": condition} for condition in conditions]
    found = parse_policy(json.dumps({"version": "2.0", "statement": statements}), "p")
    return [rule(statement.condition) for statement in found.statements]


def by_index(rules: list[Rule], asked: Call, found: ActionTraits) -> list[Truth]:
    masks = under(rules, 0)
    for key in key_indexes(rules, 1):
        masks = key.narrowed(masks, asked, found, bindings_of(asked.principal, COMPANY))
    held, doubt = masks
    return [bool(held >> at & 1) and (None if doubt >> at & 1 else True) for at in range(len(rules))]


def by_evaluation(rules: list[Rule], asked: Call, found: ActionTraits) -> list[Truth]:
    bound = bindings_of(asked.principal, COMPANY)
    return [all_of(clause_truth_of(each, asked, found, bound) for each in one.residual) for one in rules]


def test_look_ups_answer_as_evaluations() -> None:
    truths: Counter[Truth] = Counter()
    for seed in range(400):
        dice = seeded(seed)
        conditions = [a_condition(dice) for _ in range(dice.number(1, 6))]
        rules = rules_of(*conditions)
        named = mentioned_by([{"statement": [{"resource": "*", "condition": each} for each in conditions]}])
        supplied = traits(tags=dice.chance(80))
        for _ in range(6):
            context = {
                key: tuple(a_context_value(dice, key, named[key]) for _ in range(dice.number(0, 3)))
                for key in named
                if dice.chance(80)
            }
            tags = dice.pick((*TAG_SETS, None)), dice.pick((*TAG_SETS, None))
            principal = dice.pick((USER, "uin/100101", "role/bot"))
            asked = call("cvm:Reboot", principal=principal, context=context)
            asked = asked._replace(resource_tags=tags[0], request_tags=tags[1])
            found = by_index(rules, asked, supplied)
            assert found == by_evaluation(rules, asked, supplied), (conditions, asked)
            assert found == by_index(rules, asked, supplied), "and so does the cache"
            truths.update(found)
    assert min(truths[True], truths[None], truths[False]) > 100


KEY = "cos:x"
# conditions of statements, the values of the key, and which of the conditions hold
CONDITIONS = [
    pytest.param([{"string_equal": {KEY: ["a", "b"]}}, {"string_equal": {KEY: "c"}}], ["b"], [True, False],
                 id="CAM 7.4 one of several values"),
    pytest.param([{"string_not_equal": {KEY: ["a", "b"]}}, {"string_not_equal": {KEY: "c"}}], ["b"],
                 [False, True], id="DEC-27 none of several values"),
    pytest.param([{"string_equal": {KEY: "a"}, "string_not_equal": {KEY: "b"}}], ["a"], [True],
                 id="CAM 7.4 two clauses of one statement on one key, both hold"),
    pytest.param([{"string_equal": {KEY: ["a", "b"]}, "string_not_equal": {KEY: "b"}}], ["b"], [False],
                 id="CAM 7.4 two clauses of one statement on one key, one holds"),
    pytest.param([{"string_equal": {KEY: "a"}, "string_equal_if_exist": {KEY: "b"}}], ["a"], [False],
                 id="CAM 7.5 a clause and the same with _if_exist"),
    pytest.param([{"string_equal": {KEY: "a"}}, {"string_equal_if_exist": {KEY: "a"}}], [], [False, True],
                 id="CAM 7.5 the key is absent"),
    pytest.param([{"string_equal": {KEY: "a"}}, {"null_equal": {KEY: "true"}}], [], [False, True],
                 id="DEC-21 the key is absent"),
    pytest.param([{"null_equal": {KEY: "true"}}, {"null_equal": {KEY: "false"}}], ["a"], [False, True],
                 id="DEC-21 the key is there"),
    pytest.param([{"for_any_value:string_equal": {KEY: "a"}}, {"for_all_value:string_equal": {KEY: "a"}},
                  {"string_equal": {KEY: "a"}}], ["a", "b"], [True, False, None],
                 id="DEC-28 several values under each qualifier"),
    pytest.param([{"for_any_value:string_not_equal": {KEY: "a"}},
                  {"for_all_value:string_not_equal": {KEY: "a"}}, {"string_not_equal": {KEY: "a"}}],
                 ["a", "b"], [True, False, None],
                 id="DEC-28 several values under each qualifier, negated"),
    pytest.param([{"string_equal": {"cvm:region": "gz"}}], ["ap-guangzhou"], [True],
                 id="DEC-64 the other spelling of a region"),
    pytest.param([{"string_equal": {KEY: "${uin}"}}, {"string_equal": {KEY: "100200"}}], ["100200"],
                 [True, True], id="CAM 9 a variable"),
    pytest.param([{"string_equal": {KEY: "a"}}], None, [None], id="U1 the key is not supplied"),
]  # fmt: skip


@pytest.mark.parametrize(("conditions", "values", "truths"), CONDITIONS)
def test_conditions_on_one_key(conditions: list[Json], values: list[str] | None, truths: list[Truth]) -> None:
    key = next(iter(next(iter(conditions[0].values()))))
    asked = call("cvm:Reboot", context={} if values is None else {key: tuple(values)})
    assert by_index(rules_of(*conditions), asked, traits()) == truths


def test_an_equality_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a variable no clause is evaluated at a call, except where the look-up knows no answer."""
    conditions: list[Json] = [{"string_equal": {KEY: "a"}}, {"string_not_equal": {KEY: "a"}}]
    (key,) = key_indexes(rules_of(*conditions), 1)
    assert key.varying == {}

    def evaluated(*_: object) -> Truth:
        raise AssertionError

    monkeypatch.setattr("camguard.engine.condition_index.clause_truth", evaluated)
    for values, held in ((("a",), 0b01), (("b",), 0b10), (("a", "b"), 0b11)):
        found, _ = key.narrowed((0b11, 0), call(context={KEY: values}), traits(), {})
        assert found == held, values


def test_a_statement_that_two_layers_share_is_one_clause_with_two_rules() -> None:
    clauses = policy("p", allow("*", string_equal={KEY: "a"})).statements[0].condition
    rules = [rule(clauses), rule(clauses, layer=0, effect=Effect.DENY)]
    for value, truth in (("a", True), ("b", False)):
        assert by_index(rules, call(context={KEY: (value,)}), traits()) == [truth, truth]


def test_each_name_of_an_action_supplies_its_own_tags() -> None:
    """DEC-68: the rules of the second name are asked with its traits."""
    clauses = policy("p", allow("*", string_equal={"qcs:resource_tag/dept": "rd"})).statements[0].condition
    rules = [rule(clauses), rule(clauses, layer=1), rule(clauses, layer=2)]
    supplied = ActionTraits(ENTRY, True, True, True, None, further=(traits(tags=False), traits()))
    asked = call(resource_tags={"dept": "rd"})
    masks = under(rules, 0)
    for key in key_indexes(rules, 1):
        masks = key.narrowed(masks, asked, supplied, {})
    assert masks == (0b111, 0b010)


# the bits that a rule needs, a mask of the table, and whether its conditions on address and time hold
BITS = [
    pytest.param(MaskBits(required=1), 1, True, id="a condition that holds"),
    pytest.param(MaskBits(required=3), 1, False, id="one of two conditions does not hold"),
    pytest.param(MaskBits(forbidden=2), 2, False, id="a negated condition"),
    pytest.param(MaskBits(unknown_without=1), 0, None, id="DEC-62 unknown outside"),
    pytest.param(MaskBits(unknown_with=1), 1, None, id="DEC-62 unknown inside"),
]


@pytest.mark.parametrize(("bits", "mask", "truth"), BITS)
def test_conditions_on_address_and_time(bits: MaskBits, mask: int, truth: Truth) -> None:
    held, doubt = under([rule(()), rule((), bits=bits)], mask)
    assert held & 1
    assert not doubt & 1
    assert (bool(held & 2) and (None if doubt & 2 else True)) is truth


def test_a_rule_without_conditions_needs_nothing_of_a_mask() -> None:
    assert MaskBits() == MaskBits(required=0, forbidden=0, unknown_without=0, unknown_with=0)
    assert MaskBits().every == 0
