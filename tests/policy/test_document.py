"""Policy documents: the problems of a wrong one, with place, code and message; the parts of a good one."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from camguard.errors import PolicyError, Problem
from camguard.policy.document import MAX_CHARACTERS, parse_document, parse_policy, policy_from_tree
from camguard.policy.model import Effect, Policy
from camguard.strict_json import read_json

GOOD = {"effect": "allow", "action": "cvm:Run", "resource": "*"}
HERE = {"ip_equal": {"qcs:ip": "::1"}}
RES = "qcs::cvm:::instance/a"
NO_VARIABLE = "contains a variable that does not exist or is not allowed here"
SIX = "is neither '*' nor six segments qcs:project:service:region:account:resource"
PRINCIPAL = "principal is not allowed in a policy that is attached to users, groups or roles"


def statement(**changed: Any) -> dict[str, Any]:
    return GOOD | changed


def policy(*statements: Any) -> Policy:
    return parse_policy(json.dumps({"version": "2.0", "statement": list(statements)}), "policies/ops.json")


def problems(document: Any) -> list[Problem]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(json.dumps(document), "p.json")
    return list(caught.value.problems)


def condition(**operators: Any) -> dict[str, Any]:
    return statement(condition=operators)


STATEMENTS = [
    pytest.param("x", "", "StatementError", "the statement is not an object",
                 id="a statement that is a text"),
    pytest.param(statement(effect="ALLOW"), "/effect", "EffectError",
                 "effect is 'ALLOW', not 'allow' or 'deny'", id="an effect in capitals"),
    pytest.param({"action": "*", "resource": "*"}, "/effect", "EffectError",
                 "effect is None, not 'allow' or 'deny'", id="no effect"),
    pytest.param(statement(principal="*"), "/principal", "PrincipalError", PRINCIPAL, id="a principal"),
    pytest.param(statement(notaction="*"), "/notaction", "StatementError",
                 "unknown element 'notaction' (did you mean 'action'?)",
                 id="an element of another language"),
    pytest.param(statement(**{"not/action": "*"}), "/not~1action", "StatementError",
                 "unknown element 'not/action' (did you mean 'action'?)", id="an element with a slash"),
    pytest.param(statement(actions="*"), "/actions", "StatementError",
                 "unknown element 'actions' (did you mean 'action' or 'condition'?)",
                 id="a misspelt element"),
    pytest.param(statement(Effect="allow"), "/Effect", "PolicyDocumentError",
                 "element 'effect' appears twice", id="an element that appears twice"),
    pytest.param({"effect": "allow", "resource": "*"}, "/action", "ActionError",
                 "action is missing, empty or not a string", id="no action"),
    pytest.param(statement(action=[]), "/action", "ActionError", "action is missing, empty or not a string",
                 id="an empty list of actions"),
    pytest.param(statement(action=1), "/action", "ActionError", "action is missing, empty or not a string",
                 id="an action that is a number"),
    pytest.param(statement(action=["*", 1]), "/action/1", "ActionError", "is not a string",
                 id="a number among the actions"),
    pytest.param(statement(action=["*", None]), "/action/1", "ActionError", "is not a string",
                 id="a null among the actions"),
    pytest.param(statement(action="Run"), "/action", "ActionError", "'Run' is not of the form service:Action",
                 id="an action without a service"),
    pytest.param(statement(action=["*", "cvm:"]), "/action/1", "ActionError",
                 "'cvm:' is not of the form service:Action", id="an action without a name"),
    pytest.param({"effect": "allow", "action": "*"}, "/resource", "ResourceError",
                 "resource is missing, empty or not a string", id="no resource"),
    pytest.param(statement(resource=["*", {}]), "/resource/1", "ResourceError", "is not a string",
                 id="an object among the resources"),
    pytest.param(statement(resource="qcs"), "/resource", "ResourceQcsError", f"'qcs' {SIX}",
                 id="a resource without segments"),
    pytest.param(statement(resource=["*", "qcs:9:cvm:::a"]), "/resource/1", "ResourceProjectError",
                 "'qcs:9:cvm:::a' has '9' as its project segment; leave that segment empty", id="a project"),
    pytest.param(statement(condition=[1]), "/condition", "ConditionError", "condition is not an object",
                 id="a condition that is a list"),
    pytest.param(condition(ip_equals={"qcs:ip": "::1"}), "/condition/ip_equals", "ConditionTypeError",
                 "unknown operator 'ip_equals' (did you mean 'ip_equal' or 'ip_not_equal'?)",
                 id="a misspelt operator"),
    pytest.param(condition(**{"for_any:ip_equal": {"qcs:ip": "::1"}}), "/condition/for_any:ip_equal",
                 "ConditionTypeError",
                 "unknown qualifier 'for_any'; use for_any_value: or for_all_value:",
                 id="a misspelt qualifier"),
    pytest.param(condition(**{":ip_equal": {"qcs:ip": "::1"}}), "/condition/:ip_equal", "ConditionTypeError",
                 "unknown qualifier ''; use for_any_value: or for_all_value:",
                 id="an empty qualifier"),
    pytest.param(condition(null_equal_if_exist={"qcs:resource_tag/a": "true"}),
                 "/condition/null_equal_if_exist", "ConditionTypeError",
                 "null_equal cannot be combined with _if_exist", id="null_equal with a suffix"),
    pytest.param(condition(ip_equal={}), "/condition/ip_equal", "ConditionError",
                 "'ip_equal' is not an object of condition keys", id="an operator without keys"),
    pytest.param(condition(ip_equal=["qcs:ip"]), "/condition/ip_equal", "ConditionError",
                 "'ip_equal' is not an object of condition keys", id="an operator with a list"),
    pytest.param(condition(ip_equal={"qcs:ips": "::1"}), "/condition/ip_equal/qcs:ips", "ConditionError",
                 "unknown condition key 'qcs:ips' (did you mean 'qcs:ip' or 'qcs:vpc'?)",
                 id="a misspelt key"),
    pytest.param(condition(string_equal={"qcs:resource_tag/": "a"}),
                 "/condition/string_equal/qcs:resource_tag~1", "ConditionError",
                 "unknown condition key 'qcs:resource_tag/'"
                 " (did you mean 'qcs:resource_tag' or 'qcs:request_tag'?)",
                 id="a tag without a name"),
    pytest.param(condition(string_equal={"qcs:ip": "::1"}), "/condition/string_equal/qcs:ip",
                 "ConditionTypeError", "string_equal does not apply to qcs:ip",
                 id="an operator that does not suit the key"),
    pytest.param(condition(ip_equal={"qcs:ip": []}), "/condition/ip_equal/qcs:ip", "ConditionError",
                 "qcs:ip has an empty list of values", id="no values"),
    pytest.param(condition(ip_equal={"qcs:ip": ["::1", "10.0.0.0/33"]}), "/condition/ip_equal/qcs:ip/1",
                 "ConditionContentError", "'10.0.0.0/33' is not a value for ip_equal",
                 id="one value that is none"),
    pytest.param(condition(ip_equal={"qcs:ip": "x"}), "/condition/ip_equal/qcs:ip", "ConditionContentError",
                 "'x' is not a value for ip_equal", id="a value that is none"),
    pytest.param(condition(ip_equal={"qcs:ip": 1}), "/condition/ip_equal/qcs:ip", "ConditionContentError",
                 "ip_equal does not take a JSON number such as 1", id="a number for an address"),
    pytest.param(condition(ip_equal={"qcs:ip": True}), "/condition/ip_equal/qcs:ip", "ConditionContentError",
                 "ip_equal does not take a JSON boolean", id="a boolean for an address"),
    pytest.param(condition(string_equal={"cos:a": None}), "/condition/string_equal/cos:a", "ConditionError",
                 "a value must not be null, a list or an object", id="a null for a text"),
    pytest.param(condition(string_equal={"cos:a": {}}), "/condition/string_equal/cos:a", "ConditionError",
                 "a value must not be null, a list or an object", id="an object for a text"),
    pytest.param(condition(string_equal={"cos:a": [["a"]]}), "/condition/string_equal/cos:a/0",
                 "ConditionError", "a value must not be null, a list or an object",
                 id="a list among the values"),
    pytest.param(condition(string_equal={"cos:a": "${me}"}), "/condition/string_equal/cos:a",
                 "ConditionContentError", f"'${{me}}' {NO_VARIABLE}", id="a variable that does not exist"),
    pytest.param(condition(bool_equal={"cos:a": "${uin}"}), "/condition/bool_equal/cos:a",
                 "ConditionContentError", f"'${{uin}}' {NO_VARIABLE}", id="a variable for a boolean"),
    pytest.param(condition(numeric_equal={"cos:a": "x${uin}"}), "/condition/numeric_equal/cos:a",
                 "ConditionContentError", "'x${uin}' is not a value for numeric_equal",
                 id="a number that is none whatever the variable's value"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "where", "code", "message"), STATEMENTS)
def test_a_statement_that_is_wrong(wrong: Any, where: str, code: str, message: str) -> None:
    found = problems({"version": "2.0", "statement": [GOOD, wrong]})
    assert found == [Problem(f"p.json#/statement/1{where}", code, message)]


DOCUMENTS = [
    pytest.param([], "p.json", "PolicyDocumentError", "the document is not an object", id="a list"),
    pytest.param({"version": "1.0", "statement": [GOOD]}, "p.json#/version", "VersionError",
                 'version is not "2.0"', id="another version"),
    pytest.param({"version": 2.0, "statement": [GOOD]}, "p.json#/version", "VersionError",
                 'version is not "2.0"', id="a version that is a number"),
    pytest.param({"statement": [GOOD]}, "p.json#/version", "VersionError", 'version is not "2.0"',
                 id="no version"),
    pytest.param({"version": "2.0"}, "p.json#/statement", "StatementError",
                 "statement is missing, empty or not a list", id="no statement"),
    pytest.param({"version": "2.0", "statement": []}, "p.json#/statement", "StatementError",
                 "statement is missing, empty or not a list", id="an empty list of statements"),
    pytest.param({"version": "2.0", "statement": "*"}, "p.json#/statement", "StatementError",
                 "statement is missing, empty or not a list", id="a statement that is a text"),
    pytest.param({"version": "2.0", "statement": statement(effect="x")}, "p.json#/statement/effect",
                 "EffectError", "effect is 'x', not 'allow' or 'deny'",
                 id="the one statement without a list"),
    pytest.param({"version": "2.0", "statement": [GOOD, GOOD | {"principal": "*"}]},
                 "p.json#/statement/1/principal", "PrincipalError", PRINCIPAL,
                 id="a principal of one statement among others"),
    pytest.param({"version": "2.0", "statement": [GOOD], "effect": "allow"}, "p.json#/effect",
                 "StatementError", "unknown element 'effect'",
                 id="an element of statements"),
    pytest.param({"version": "2.0", "Version": "2.0", "statement": [GOOD]}, "p.json#/Version",
                 "PolicyDocumentError", "element 'version' appears twice", id="two versions"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "where", "code", "message"), DOCUMENTS)
def test_a_document_that_is_wrong(document: Any, where: str, code: str, message: str) -> None:
    assert problems(document) == [Problem(where, code, message)]


def test_every_problem_is_listed_in_the_order_of_the_document() -> None:
    wrong = {
        "effect": "x",
        "action": ["y", "*"],
        "resource": "z",
        "condition": [1],
        "sids": "",
        "principal": 1,
    }
    found = problems({"version": "3.0", "statement": [wrong, 1], "x": 1})
    assert [(each.where.removeprefix("p.json#"), each.code) for each in found] == [
        ("/x", "StatementError"),
        ("/version", "VersionError"),
        ("/statement/0/sids", "StatementError"),
        ("/statement/0/effect", "EffectError"),
        ("/statement/0/principal", "PrincipalError"),
        ("/statement/0/action/0", "ActionError"),
        ("/statement/0/resource", "ResourceQcsError"),
        ("/statement/0/condition", "ConditionError"),
        ("/statement/1", "StatementError"),
    ]


def test_a_principal_beside_statements_that_cannot_be_read() -> None:
    found = problems({"version": "2.0", "statement": "*", "Principal": 1})
    assert [(each.where, each.code) for each in found] == [
        ("p.json#/Principal", "PrincipalError"),
        ("p.json#/statement", "StatementError"),
    ]


def of_length(characters: int) -> str:
    text = json.dumps({"version": "2.0", "statement": {**GOOD, "sid": ""}})
    return text.replace('"sid": ""', f'"sid": "{"x" * (characters - len("".join(text.split())))}"')


def test_as_many_characters_as_are_allowed_and_blanks_that_do_not_count() -> None:
    text = of_length(MAX_CHARACTERS) + " \t\r\n" * 2000
    assert parse_document(text).tree == json.loads(text) == parse_document(text.encode()).tree


def test_one_character_too_many() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(of_length(MAX_CHARACTERS + 1), "p.json")
    message = f"has {MAX_CHARACTERS + 1} characters besides white space; {MAX_CHARACTERS} are allowed"
    assert caught.value.problems == (Problem("p.json", "PolicyDocumentLengthOverLimit", message),)


def test_the_length_comes_first() -> None:
    long = of_length(MAX_CHARACTERS + 1).replace("2.0", "3.0").replace("allow", "grant")
    with pytest.raises(PolicyError) as caught:
        parse_policy(long)
    assert [(each.where, each.code) for each in caught.value.problems] == [
        ("policy", "PolicyDocumentLengthOverLimit"),
        ("policy#/version", "VersionError"),
        ("policy#/statement/effect", "EffectError"),
    ]


def test_names_of_documents_and_statements_are_passed_over() -> None:
    names = {"id": "1", "Sid": {"any": ["thing"]}}
    document = {"version": "2.0", "statement": [GOOD | names], **names}
    (found,) = parse_policy(json.dumps(document)).statements
    assert found.id == "policy#0", "DEC-4"


def test_a_document_has_the_name_of_its_file_and_its_statements_theirs() -> None:
    found = policy(GOOD, statement(effect="Deny", resource=["*", RES]))
    assert (found.id, found.source) == ("ops", "policies/ops.json")
    first, second = found.statements
    assert (first.id, first.effect, first.where) == ("ops#0", Effect.ALLOW, "policies/ops.json#/statement/0")
    assert (second.id, second.effect, second.where) == (
        "ops#1",
        Effect.DENY,
        "policies/ops.json#/statement/1",
    )
    assert (first.any_resource, first.patterns) == (True, ())
    assert second.any_resource
    assert [pattern.text for pattern in second.patterns] == [RES]


def test_a_clause_knows_what_it_was_written_as_and_where() -> None:
    operators = {"for_any_value:ip_not_equal_if_exist": {"qcs:ip": ["10.0.0.0/9", "10.128.0.0/9"]}}
    (clause,) = policy(condition(**operators)).statements[0].condition
    assert (clause.text, clause.operator.name) == ("for_any_value:ip_not_equal_if_exist", "ip_not_equal")
    assert (clause.qualifier, clause.if_exist, clause.key) == ("for_any_value", True, "qcs:ip")
    assert clause.values == ("10.0.0.0/9", "10.128.0.0/9")
    assert clause.addresses is not None
    assert clause.addresses.cidrs() == ("10.0.0.0/8",)
    place = "/condition/for_any_value:ip_not_equal_if_exist/qcs:ip"
    assert clause.where == f"policies/ops.json#/statement/0{place}"


def test_every_part_of_a_policy_knows_its_place_as_the_document_spells_it() -> None:
    written = {
        "Version": "2.0",
        "Statement": [
            {"effect": "allow", "action": "*", "resource": "*"},
            {
                "Effect": "deny",
                "Action": ["cvm:*", "*"],
                "Resource": ["*", RES],
                "Condition": {"ip_equal": {"qcs:ip": "::1"}},
            },
        ],
    }
    found = parse_policy(json.dumps(written), "ops.json").statements
    assert [each.where for each in found[0].actions] == ["ops.json#/Statement/0/action"]
    at = "ops.json#/Statement/1"
    assert found[1].where == at
    assert [each.where for each in found[1].actions] == [f"{at}/Action/0", f"{at}/Action/1"]
    assert [each.where for each in found[1].patterns] == [f"{at}/Resource/1"]
    assert [each.where for each in found[1].condition] == [f"{at}/Condition/ip_equal/qcs:ip"]


def test_a_problem_is_placed_as_the_document_spells_it() -> None:
    statement = {"Effect": "grant", "Action": ["x"], "Resource": 1, "Condition": 1}
    written = {"Version": "3.0", "Statement": statement}
    with pytest.raises(PolicyError) as caught:
        parse_policy(json.dumps(written))
    assert [each.where.partition("#")[2] for each in caught.value.problems] == [
        "/Version",
        "/Statement/Effect",
        "/Statement/Action/0",
        "/Statement/Resource",
        "/Statement/Condition",
    ]


WRONG_TREES = [
    pytest.param([], id="a list"),
    pytest.param("x", id="a text"),
    pytest.param({"version": 2.0, "statement": []}, id="a version and no statement"),
]
TYPES = ["猫", "\u0001", 1.5, None, True, [], {}]
TREES = [
    pytest.param({"version": "2.0", "statement": [GOOD, condition(ip_equal={"qcs:ip": "::1"})]},
                 id="a policy"),
    pytest.param({"version": "2.0", "statement": condition(numeric_equal={"a:b": 12345678901234567890})},
                 id="a number"),
    pytest.param({"version": "2.0", "statement": GOOD, "id": {"a b": TYPES}}, id="every type"),
]  # fmt: skip


@pytest.mark.parametrize("tree", TREES)
def test_a_policy_within_another_file_is_read_as_one_by_itself(tree: Any) -> None:
    text = json.dumps(tree, ensure_ascii=False)
    part = read_json(text, "p.json", PolicyError, "PolicyDocumentError")
    expected, found = parse_policy(text, "p.json"), policy_from_tree(part, "p.json")
    assert (found.id, found.source) == ("p", "p.json")
    assert list(map(asdict, found.statements)) == list(map(asdict, expected.statements))


@pytest.mark.parametrize("tree", WRONG_TREES)
def test_a_wrong_policy_within_another_file_has_the_problems_of_one_by_itself(tree: Any) -> None:
    part = read_json(json.dumps(tree), "p.json", PolicyError, "PolicyDocumentError")
    with pytest.raises(PolicyError) as caught:
        policy_from_tree(part, "p.json")
    assert list(caught.value.problems) == problems(tree)


@pytest.mark.parametrize("more", [0, 1])
def test_the_length_of_a_policy_within_another_file_is_bounded_alike(more: int) -> None:
    filler = {"a": 1, "b": [1.50, None, "x y", True], "c": [], "d": {}, "": "猫\n"}
    document: dict[str, Any] = {"version": "2.0", "statement": {**GOOD, "id": filler, "sid": ""}}
    length = len("".join(json.dumps(document, ensure_ascii=False).split()))
    document["statement"]["sid"] = "x" * (MAX_CHARACTERS + more - length)
    read = read_json(json.dumps(document), "p", PolicyError, "PolicyDocumentError")
    if not more:
        assert policy_from_tree(read).id == "policy"
        return
    with pytest.raises(PolicyError) as caught:
        policy_from_tree(read)
    assert [each.code for each in caught.value.problems] == ["PolicyDocumentLengthOverLimit"]
    assert f"has {MAX_CHARACTERS + 1} characters" in caught.value.problems[0].message


def test_documents_statements_and_clauses_are_compared_as_objects() -> None:
    one, other = (policy(GOOD, condition(ip_equal={"qcs:ip": "::1"})) for _ in range(2))
    assert one != other
    assert one.statements[0] != other.statements[0]
    assert one.statements[1].condition[0] != other.statements[1].condition[0]
    assert replace(one) != one


def test_the_effects_are_words() -> None:
    assert list(Effect) == ["allow", "deny"]


def test_each_value_of_a_clause_has_its_place() -> None:
    addresses = {"ip_equal": {"qcs:ip": ["10.0.0.0/8", "::1"]}, "ip_not_equal": {"qcs:ip": "10.1.0.0/16"}}
    (found,) = policy(statement(condition=addresses)).statements
    where = "policies/ops.json#/statement/0/condition"
    assert [
        (text, wanted, place) for clause in found.condition for text, wanted, place in clause.placed()
    ] == [
        ("10.0.0.0/8", found.condition[0].wanted[0], f"{where}/ip_equal/qcs:ip/0"),
        ("::1", found.condition[0].wanted[1], f"{where}/ip_equal/qcs:ip/1"),
        ("10.1.0.0/16", found.condition[1].wanted[0], f"{where}/ip_not_equal/qcs:ip"),
    ]


def test_equal_patterns_at_two_places_are_equal() -> None:
    first, second = policy(statement(resource=RES), statement(resource=RES)).statements
    assert first.actions[0].where != second.actions[0].where
    assert first.patterns[0].where != second.patterns[0].where
    assert (first.actions, first.patterns) == (second.actions, second.patterns)
