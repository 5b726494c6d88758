"""What an answer says that depends on conditions: its needs, its denies, and the statements behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.analysis.access import access_reader
from camguard.analysis.answers import Alternative, Answer, Condition, Need
from camguard.bundle import Bundle
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.catalog.model import Access
from tests.company import USER, action, allow, bundle, catalog, deny, inside, policy, principals, service

ROOT = "uin/100100"
INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/${id}"
HERE = "qcs::vm:ap-guangzhou:uin/100100:instance/"
ASKS = {"box:Count": ("vm:Count", "vm:List"), "box:Boot": ("vm:Boot",)}
CATALOG = replace(
    catalog(
        service("vm", action("vm:Boot", INSTANCE), "List", "Count", tag_authorization=True),
        service("art", "DescribeImages", action("art:Erase", access=Access.WRITE)),
    ),
    known=KnownServices(rows={label: CamNames(names, sure=True) for label, names in ASKS.items()}),
)
BOOT, COUNT, SEE, ERASE = "vm:Boot", "vm:Count", "art:DescribeImages", "art:Erase"
MFA, VPC = {"bool_equal": {"qcs:mfa": "true"}}, {"string_equal": {"vpc:requester_vpc": "vpc-1"}}
ENV, COST = ({"string_equal": {f"qcs:{kind}_tag/env": "test"}} for kind in ("resource", "request"))
WITH_MFA, IN_VPC = "qcs:mfa bool_equal true", "vpc:requester_vpc string_equal vpc-1"
Needs = list[tuple[str, str | None, list[tuple[tuple[str, ...], list[str]]]]]


def answer_of(
    built: Bundle, name: str, *, principal: str = USER, resource: str | None = None, place: int = 0
) -> Answer:
    """Return what is decided from one address at any time."""
    (window,) = access_reader(built.evaluator, resource=resource)(principal, name).windows
    return next(each.answer for each in window.ranges if each.first <= place <= each.last)


def shown(alternatives: tuple[Alternative, ...]) -> list[tuple[tuple[str, ...], list[str]]]:
    return [(each.statements, [*map(str, each.conditions)]) for each in alternatives]


def needs_of(answer: Answer) -> Needs:
    return [(need.layer, need.action, shown(need.alternatives)) for need in answer.needs]


# the statements of the policy `mine`, those of the boundary `limit`, the action
# what is needed, which denies may not apply, the statements that can decide
DEPENDING: list[Any] = [
    pytest.param(
        [allow("*", **MFA), allow("*", **VPC)],
        None,
        SEE,
        [("identity", None, [(("mine#0",), [WITH_MFA]), (("mine#1",), [IN_VPC])])],
        [],
        ("mine#0", "mine#1"),
        id="one of two allows",
    ),
    pytest.param(
        [allow("*", **MFA, **VPC)],
        None,
        SEE,
        [("identity", None, [(("mine#0",), [WITH_MFA, IN_VPC])])],
        [],
        ("mine#0",),
        id="two conditions of one allow",
    ),
    pytest.param(
        [allow("*", **MFA), allow("art:*", **MFA)],
        None,
        SEE,
        [("identity", None, [(("mine#0", "mine#1"), [WITH_MFA])])],
        [],
        ("mine#0", "mine#1"),
        id="two allows under one condition are one alternative",
    ),
    pytest.param(
        [allow("*", **MFA, **VPC), allow("*", **VPC), allow("*", **MFA)],
        None,
        SEE,
        [("identity", None, [(("mine#1",), [IN_VPC]), (("mine#2",), [WITH_MFA])])],
        [],
        ("mine#1", "mine#2"),
        id="an allow under further conditions is superfluous",
    ),
    pytest.param(
        [allow("*"), allow("*", **MFA)],
        [allow("*", **VPC)],
        SEE,
        [("boundary", None, [(("limit#0",), [IN_VPC])])],
        [],
        ("mine#0", "limit#0"),
        id="a layer that allows in any case is no need",
    ),
    pytest.param(
        [allow("*", **MFA)],
        [allow("*", **VPC)],
        SEE,
        [
            ("identity", None, [(("mine#0",), [WITH_MFA])]),
            ("boundary", None, [(("limit#0",), [IN_VPC])]),
        ],
        [],
        ("mine#0", "limit#0"),
        id="both layers are needed",
    ),
    pytest.param(
        [allow("*"), deny("*", **MFA)],
        [allow("*"), deny("*", **VPC), deny("art:*", **MFA)],
        SEE,
        [],
        [(("mine#1", "limit#2"), [WITH_MFA]), (("limit#1",), [IN_VPC])],
        ("mine#0", "limit#0", "mine#1", "limit#2", "limit#1"),
        id="the denies of all layers",
    ),
    pytest.param(
        [allow("*", **MFA), allow("*", **VPC), deny("*", **MFA)],
        None,
        SEE,
        [("identity", None, [(("mine#1",), [IN_VPC])])],
        [(("mine#2",), [WITH_MFA])],
        ("mine#1", "mine#2"),
        id="an allow under the condition of a deny is no alternative",
    ),
    pytest.param(
        [allow("vm:Count", **MFA), allow("vm:List", **VPC)],
        None,
        "box:Count",
        [
            ("identity", "vm:Count", [(("mine#0",), [WITH_MFA])]),
            ("identity", "vm:List", [(("mine#1",), [IN_VPC])]),
        ],
        [],
        ("mine#0", "mine#1"),
        id="DEC-68 each name that policies are asked for is needed",
    ),
    pytest.param(
        [allow("vm:Boot", f"{HERE}1"), deny("box:Boot", "qcs::box:::instance/2")],
        None,
        "box:Boot",
        [("identity", "vm:Boot", [(("mine#0",), [f"resource matches {HERE}1"])])],
        [(("mine#1",), ["resource matches qcs::vm:::instance/2"])],
        ("mine#0", "mine#1"),
        id="DEC-68 a deny by the label is read with the CAM name",
    ),
    pytest.param(
        [allow("vm:Boot", [f"{HERE}1", f"{HERE}1:a:b", f"{HERE}1"])],
        None,
        BOOT,
        [("identity", None, [(("mine#0",), [f"resource matches {HERE}1, {HERE}1:a:b"])])],
        [],
        ("mine#0",),
        id="each pattern is named once, as it is written",
    ),
]


@pytest.mark.parametrize(("statements", "limit", "name", "needs", "unless", "names"), DEPENDING)
def test_what_an_answer_depends_on(
    statements: list[Any], limit: list[Any] | None, name: str, needs: Needs, unless: Any, names: Any
) -> None:
    policies = [policy("mine", *statements), policy("limit", *(limit or [allow("*")]))]
    found = answer_of(bundle(policies, CATALOG, principals("mine", boundary=limit and "limit")), name)
    assert (found.word, needs_of(found), shown(found.unless), found.statements) == (
        "depends",
        needs,
        unless,
        names,
    )


def test_a_deny_of_the_first_layer_is_named_where_nothing_else_can_allow() -> None:
    policies = [policy(name, allow("*", **MFA), deny("*", **MFA)) for name in ("mine", "limit")]
    found = answer_of(bundle(policies, CATALOG, principals("mine", boundary="limit")), SEE)
    assert found.decision is not None
    assert (found.word, found.decision.reason, found.decision.layer) == ("deny", "explicit_deny", "identity")
    assert found.statements == ("mine#1", "limit#1")


KINDS = [
    pytest.param(allow("*", **ENV), "tag", id="a tag of the resource"),
    pytest.param(allow("*", string_equal={"qcs:resource_tag/a/b": "c"}), "tag", id="a tag with a slash"),
    pytest.param(allow("*", **COST), "tag", id="a tag of the request"),
    pytest.param(allow("*", **MFA), "key", id="another key"),
    pytest.param(allow("*", f"{HERE}1"), "resource", id="a resource"),
]


@pytest.mark.parametrize(("statement", "kind"), KINDS)
def test_what_a_condition_is_about(statement: Any, kind: str) -> None:
    found = answer_of(bundle([policy("mine", statement)], CATALOG), BOOT)
    assert [each.kind for each in found.conditions()] == [kind]


MINE, THEIRS = f"{HERE}1", "qcs::vm:ap-guangzhou:uin/1:instance/1"
NOT_MFA = [allow("*"), deny("*", **MFA)]
# the policies of the account, the principal, the action, the resource, the word, what is needed, the denies
OF_ROOT = [
    pytest.param(None, SEE, None, "allow", id="an action without resources"),
    pytest.param(None, SEE, THEIRS, "allow", id="an action without resources, and a resource"),
    pytest.param(None, BOOT, MINE, "allow", id="a resource of the account"),
    pytest.param(None, BOOT, THEIRS, "deny", id="a resource of another account"),
    pytest.param(None, BOOT, None, "depends", id="any resource"),
    pytest.param(NOT_MFA, SEE, None, "depends", id="a deny under a condition"),
    pytest.param(
        NOT_MFA, BOOT, MINE, "depends", id="a deny under a condition, and a resource of the account"
    ),
]


@pytest.mark.parametrize(("account", "name", "resource", "word"), OF_ROOT)
def test_root_needs_a_resource_of_its_account(
    account: list[Any] | None, name: str, resource: str | None, word: str
) -> None:
    """CAM 10.3: the identity layer of root allows every action on resources of its own account."""
    policies = [policy("level", *(account or [allow("*")]))]
    built = bundle(policies, CATALOG, principals(account=[["level"]] if account else []))
    found = answer_of(built, name, principal=ROOT, resource=resource)
    assert found.word == word
    if word == "depends":
        owner = [("identity", None, [((), ["resource belongs to account uin/100100"])])]
        assert needs_of(found) == ([] if account else owner)
        assert shown(found.unless) == ([(("level#1",), [WITH_MFA])] if account else [])


ONE = f"{HERE}ins-1"
READS, WRITES = ({"numeric_equal": {"qcs:read_only_action": value}} for value in (1, 0))
DEPT = {"string_equal": {"qcs:resource_tag/dept": "rd"}}
OTHER = {"string_equal": {"qcs:resource_tag/dept": "hr"}}
BELOW, ABOVE = ({f"numeric_{than}_than": {"qcs:read_only_action": "${uin}"}} for than in ("less", "greater"))
# statements, the action, the resource, the answer
SETTLED = [
    pytest.param(
        [allow("*", **BELOW)], SEE, None, "allow", id="DEC-56 a variable above what the catalog says"
    ),
    pytest.param([allow("*", **ABOVE)], SEE, None, "deny", id="DEC-56 a variable not below what it says"),
    pytest.param([allow("*", **READS)], SEE, None, "allow", id="DEC-56 an action that reads"),
    pytest.param([allow("*", **WRITES)], SEE, None, "deny", id="DEC-56 an action that does not write"),
    pytest.param([allow("*", **WRITES)], ERASE, None, "allow", id="DEC-56 an action that writes"),
    pytest.param([allow("*"), deny("*", **WRITES)], ERASE, None, "deny", id="DEC-56 a deny of what writes"),
    pytest.param([allow("*", **ENV)], SEE, None, "deny", id="no tags are supported, an allow has one"),
    pytest.param(
        [allow("*"), deny("*", **ENV)], SEE, None, "deny", id="no tags are supported, a deny has one"
    ),
    pytest.param([allow("*", ONE)], BOOT, ONE, "allow", id="the given resource"),
    pytest.param([allow("*", ONE)], BOOT, MINE, "deny", id="another resource is given"),
    pytest.param([allow("*"), deny("*", ONE)], BOOT, ONE, "deny", id="the given resource is denied"),
    pytest.param([allow("*"), deny("*", ONE)], BOOT, MINE, "allow", id="another resource is denied"),
    pytest.param([allow("*", **DEPT)], BOOT, ONE, "allow", id="DEC-66 a tag that the inventory lists"),
    pytest.param([allow("*", **OTHER)], BOOT, ONE, "deny", id="DEC-66 another value of a listed tag"),
    pytest.param([allow("*"), deny("*", **DEPT)], BOOT, ONE, "deny", id="DEC-66 a deny on a listed tag"),
    pytest.param([allow("*", **DEPT)], BOOT, None, "depends", id="DEC-66 no resource is given"),
    pytest.param([allow("*", **DEPT, **MFA)], BOOT, ONE, "depends", id="DEC-66 a listed tag and another key"),
    pytest.param([allow("*", **COST)], BOOT, ONE, "depends", id="DEC-66 a tag of the request"),
    pytest.param([allow("*", **MFA)], COUNT, None, "depends", id="a key that is left open"),
    pytest.param([allow("*", **inside("0.0.0.0/8"))], COUNT, None, "allow", id="the address alone decides"),
]


@pytest.mark.parametrize(("statements", "name", "resource", "word"), SETTLED)
def test_what_is_settled(statements: list[Any], name: str, resource: str | None, word: str) -> None:
    built = bundle([policy("mine", *statements)], CATALOG, resource_tags={ONE: {"dept": "rd"}})
    found = answer_of(built, name, resource=resource)
    assert found.word == word
    if word == "depends" and resource is not None:
        assert all("resource_tag" not in str(each) for each in found.conditions())


# the work that is afforded, the statements, the answer
WORK = [
    pytest.param(0, [allow("*", **DEPT)], "deny", id="an allow"),
    pytest.param(0, [allow("*", **DEPT, **MFA)], "deny", id="an allow that is open in another key"),
    pytest.param(0, [allow("*"), deny("*", **OTHER)], "deny", id="a deny"),
    pytest.param(0, [allow("*", **DEPT, **inside("0.0.0.0/0"))], "deny", id="an allow with a further one"),
    pytest.param(
        20, [allow("*", **DEPT), allow("*", string_equal={"cos:x": [*map(str, range(50))]})], "allow",
        id="a statement without such a condition is no work",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("work", "statements", "word"), WORK)
def test_conditions_on_tags_that_a_decision_does_not_compare(
    work: int, statements: list[Any], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a decision does not compare the listed tags, the condition is unknown: no allow, and a deny."""
    monkeypatch.setattr("camguard.engine.row.MOST_TAG_WORK", work)
    built = bundle([policy("mine", *statements)], CATALOG, resource_tags={ONE: {"dept": "rd"}})
    assert answer_of(built, BOOT, resource=ONE).word == word


def test_conditions_are_equal_whatever_they_were_made_of() -> None:
    built = [policy(name, allow("*", ONE, **MFA)).statements[0] for name in ("mine", "yours")]
    ones = [
        Condition("key", "qcs:mfa", "bool_equal", ("true",), clause=each.condition[0], patterns=each.patterns)
        for each in built
    ]
    bare = Condition("key", "qcs:mfa", "bool_equal", ("true",))
    assert (bare.clause, bare.patterns) == (None, ())
    assert ones[0] == ones[1] == bare
    assert len({*ones, bare}) == 1


def test_a_bare_answer_has_one_pattern_in_each_condition_and_no_statement() -> None:
    built = bundle([policy("mine", allow("*", [ONE, MINE], **MFA))], CATALOG)
    found = answer_of(built, BOOT).bare()
    assert shown(found.needs[0].alternatives) == [
        ((), [f"resource matches {ONE}", WITH_MFA]),
        ((), [f"resource matches {MINE}", WITH_MFA]),
    ]
    assert [len(each.conditions[0].patterns) for each in found.needs[0].alternatives] == [1, 1]
    assert found.statements == ()


def test_a_pattern_that_stands_twice_is_kept_as_one_condition() -> None:
    built = bundle([policy("mine", allow("*", [ONE, ONE]))], CATALOG)
    assert shown(answer_of(built, BOOT).bare().needs[0].alternatives) == [((), [f"resource matches {ONE}"])]


def test_equal_needs_of_two_layers_are_one_in_a_bare_answer() -> None:
    policies = [policy(name, allow("*", **MFA)) for name in ("mine", "limit")]
    found = answer_of(bundle(policies, CATALOG, principals("mine", boundary="limit")), SEE)
    assert len(found.needs) == 2
    assert found.bare().needs == (Need("", None, found.bare().needs[0].alternatives),)
