"""What the rules of one row compute once, what they do not compute, and the bound of comparing tags."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.engine import row as row_module
from camguard.engine.attributes import ActionTraits, clause_truth_of
from camguard.engine.decision import Decision, Reason
from camguard.engine.intervals import TimeInterval
from camguard.engine.layers import IDENTITY, Layer
from camguard.engine.resource_tags import Inventory
from camguard.engine.row import ActionRules, affords_tags, combine
from camguard.engine.rules import MaskBits, Rule
from camguard.policy.model import Clause, Effect
from camguard.policy.resources import Found, Owner
from tests.company import OWNER, action, allow, call, policy

COMPANY = Owner(**OWNER)
IDS = Layer(IDENTITY, limits=True, open=False, parts=())
ONE, TWO = (f"qcs::vm:ap-guangzhou:uin/100100:instance/ins-{number}" for number in (1, 2))
TAGS = {f"vm:ap-guangzhou:uin/100100:instance/ins-{at}": {"dept": f"d{at}"} for at in (1, 2)}
TRAITS = ActionTraits(
    action("vm:Reboot", ONE), supports_ip=True, supports_tags=True, in_catalog=True, label=None
)
BOTH = call("vm:Reboot", resources=(ONE, TWO), context={"cos:x": ("a",)})


def on(key: str, *values: str) -> tuple[Clause, ...]:
    """Return the condition that a key has one of the values."""
    return policy("p", allow("*", string_equal={key: list(values)})).statements[0].condition


def rule(effect: Effect = Effect.ALLOW, bits: MaskBits | None = None, *clauses: Clause) -> Rule:
    return Rule("p#0", 0, effect, True, bits or MaskBits(), clauses, clauses, ())


def row_of(*rules: Rule, listed_tags: bool = False, layer: Layer = IDS) -> ActionRules:
    return ActionRules((layer,), rules, match_any=False, resource_level=True, listed_tags=listed_tags)


ON_TAG = rule(Effect.ALLOW, None, *on("qcs:resource_tag/dept", "d1", "d2"))
ON_KEY = rule(Effect.ALLOW, None, *on("cos:x", "a"))
WANTED = on("qcs:resource_tag/dept", "d1")


def fail(*_: object) -> None:
    raise AssertionError("more was done than the call needs")


def test_the_tags_of_one_resource_are_compared_up_to_the_bound_of_the_work_and_not_beyond() -> None:
    """32,000 units: three for the clause, and one for each tag that is compared with its value."""
    tags = dict.fromkeys(map(str, range(31_997)), "x")
    assert affords_tags([tags], WANTED)
    assert not affords_tags([{**tags, "one": "more"}], WANTED)


# the key of a rule, and whether the row reads the tags of resources where an inventory lists them
READS = [
    pytest.param("qcs:resource_tag/dept", True, id="a tag of the resource"),
    pytest.param("qcs:resource_tag", True, id="all tags of the resource"),
    pytest.param("qcs:tag/dept", True, id="the older name of the tags of the resource"),
    pytest.param("qcs:request_tag/dept", False, id="a tag of the request"),
    pytest.param("cos:x", False, id="another key"),
]


@pytest.mark.parametrize(("key", "reads"), READS)
def test_a_row_reads_the_tags_that_an_inventory_lists_and_a_rule_needs(key: str, reads: bool) -> None:
    values = "dept&rd" if key == "qcs:resource_tag" else "rd"
    for listed in (True, False):
        row = row_of(rule(Effect.ALLOW, None, *on(key, values)), listed_tags=listed)
        assert row.reads_tags is (listed and reads)


# the bits of an allow, and for which resources it is combined where bit 4 of the mask is set, and where not
ALONE = [
    pytest.param(MaskBits(required=4), Found(1, 0), None, id="an allow that needs the bit"),
    pytest.param(MaskBits(forbidden=4), None, Found(1, 0), id="an allow without the bit"),
    pytest.param(MaskBits(unknown_without=4), Found(1, 0), Found(0, 1), id="an allow that may need the bit"),
]


@pytest.mark.parametrize(("bits", "with_bit", "without"), ALONE)
def test_the_rules_of_a_mask_are_combined_once(
    bits: MaskBits, with_bit: Found | None, without: Found | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Found | None] = []

    def noted(row: Any, judged: Any, every: int, owned: int) -> Decision:
        given.append(judged[0][1] if judged else None)
        return combine(row, judged, every, owned)

    monkeypatch.setattr(row_module, "combine", noted)
    row = row_of(rule(bits=bits))
    first = [row.decision_for(mask) for mask in (4, 0)]
    assert [row.decision_for(mask) for mask in (4, 0)] == first
    assert given == [with_bit, without]


def test_only_the_bits_that_matter_to_a_row_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[int] = []
    right = ActionRules.decision_for

    def noted(self: ActionRules, mask: int) -> Decision:
        looked_up.append(mask)
        return right(self, mask)

    monkeypatch.setattr(ActionRules, "decision_for", noted)
    constant = row_of(rule()).constant
    assert constant is not None
    assert (constant.reason, looked_up) == (Reason.ALLOWED, [0])
    looked_up.clear()
    row = row_of(rule(bits=MaskBits(required=4)))
    ranges = row.rebuild(TimeInterval(0.0, 10.0, 16), (10, 20, 30, 40), (1, 2, 4, 5, 3))
    assert (ranges.bounds, [bool(each) for each in ranges.decisions]) == ((20, 40), [False, True, False])
    assert looked_up == [0, 4, 0], "once for neighbours that differ in other bits"


def test_the_tags_of_the_inventory_are_compared_only_where_a_rule_reads_them_and_the_call_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inventory = Inventory(COMPANY, TAGS)
    supplied = BOTH._replace(resource_tags={"dept": "d1"})
    tagged, plain = row_of(ON_TAG, listed_tags=True), row_of(ON_KEY, listed_tags=True)
    assert tagged.judge(BOTH, TRAITS, COMPANY, inventory)
    monkeypatch.setattr(ActionRules, "_judge_by_tags", fail)
    assert plain.judge(BOTH, TRAITS, COMPANY, inventory)
    assert tagged.judge(supplied, TRAITS, COMPANY, inventory)
    assert not tagged.judge(BOTH, TRAITS, COMPANY, None), "without an inventory the tags are unknown"
    with pytest.raises(AssertionError, match="more was done"):
        tagged.judge(BOTH, TRAITS, COMPANY, inventory)


def test_only_rules_on_tags_are_compared_for_each_set_of_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    right = clause_truth_of

    def noted(clause: Clause, *others: Any) -> Any:
        compared.append(clause.key)
        return right(clause, *others)

    monkeypatch.setattr(row_module, "clause_truth_of", noted)
    row = row_of(ON_KEY, ON_TAG, listed_tags=True)
    assert row.judge(BOTH, TRAITS, COMPANY, Inventory(COMPANY, TAGS))
    assert compared == ["cos:x", "qcs:resource_tag/dept", "qcs:resource_tag/dept"]


def test_it_is_looked_up_to_whom_a_resource_belongs_only_where_the_owner_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inventory = Inventory(COMPANY, TAGS)
    users = row_of(ON_TAG, listed_tags=True), row_of(ON_KEY)
    roots = [
        row_of(each, listed_tags=True, layer=Layer(IDENTITY, limits=True, open=True, parts=()))
        for each in (ON_TAG, ON_KEY)
    ]
    monkeypatch.setattr(Owner, "owns", fail)
    for row in users:
        assert row.judge(BOTH, TRAITS, COMPANY, inventory)
    for row in roots:
        with pytest.raises(AssertionError, match="more was done"):
            row.judge(BOTH, TRAITS, COMPANY, inventory)


def test_the_names_of_a_call_are_listed_only_where_policies_are_asked_for_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ActionTraits, "cam_actions", property(fail))
    assert row_of(ON_KEY).judge(BOTH, TRAITS, COMPANY, None)
