"""Obsolete spellings: a statement that has the finding, and one that almost has it."""

from __future__ import annotations

import json

import pytest

from tests.lint.statements import (
    ANY,
    VM,
    allow,
    findings,
    pointers,
    table_of_findings,
    table_of_questions,
    tagged,
)

# code, where in the statement, statements that have it, statements that almost have it
ROWS = [
    pytest.param("CG101", "/action/1", [allow(["art:TextToImage", "name/art:DescribeJob"])],
                 [allow(["art:TextToImage", "art:DescribeJob"])], id="name/ before an action"),
    pytest.param("CG102", "/Effect", [{"Effect": "allow", "action": "art:DescribeJob", "resource": "*"}],
                 [allow()], id="an element with a capital"),
    pytest.param("CG102", "/effect", [{**allow(), "effect": "Allow"}], [allow()],
                 id="an effect with a capital"),
    pytest.param("CG104", "/resource", [allow("vm:Reboot", "qcs::vm:gz::instance/ins-1")],
                 [allow("vm:Reboot", VM)], id="an old region code"),
    pytest.param("CG105", "/condition/for_any_value:string_equal/qcs:tag",
                 [allow("vm:Reboot", **tagged("for_any_value:string_equal", "a&b", key="qcs:tag"))],
                 [allow("vm:Reboot", **ANY)], id="the old name of tags"),
    pytest.param("CG106", "/condition/string_equal/mfa", [allow(string_equal={"mfa": "1"})],
                 [allow(bool_equal={"qcs:mfa": "true"})], id="the old key of the second factor"),
    pytest.param("CG107", "/resource", [allow("vm:Reboot", "qcs:id/0:vm:::instance/*")],
                 [allow("vm:Reboot", "qcs::vm:::instance/*")], id="a project segment"),
    pytest.param("CG108", "/condition", [{**allow(), "condition": {}}], [allow()], id="an empty condition"),
    pytest.param("CG108", "/condition", [{**allow(), "condition": []}], [allow()],
                 id="DEC-58 an empty list as condition"),
]  # fmt: skip


test_a_statement_has_the_finding_or_almost = table_of_findings(ROWS)


# statement, code, what is proposed
INSTEAD = [
    pytest.param(allow("vm:Reboot", "qcs::vm:gz::*"), "CG104", "qcs::vm:ap-guangzhou::*", id="the region"),
]  # fmt: skip


test_a_finding_asks_what_was_meant = table_of_questions(INSTEAD)


def test_a_statement_that_is_an_object() -> None:
    text = '{"version": "2.0", "Statement": %s}'
    single = findings(whole=text % json.dumps(allow("name/art:TextToImage")))
    assert pointers(single, "CG103") == ["/Statement"]
    assert pointers(single, "CG102") == ["/Statement"]
    assert pointers(single, "CG101") == ["/Statement/action"]
    listed = findings(whole=text % json.dumps([allow("name/art:TextToImage")]))
    assert pointers(listed, "CG103") == []
    assert pointers(listed, "CG101") == ["/Statement/0/action"]


def test_a_policy_inside_of_an_answer_is_found_there() -> None:
    """CAM 3.5."""
    inside = json.dumps({"version": "2.0", "statement": [allow("name/art:TextToImage")]})
    answer = findings(whole=json.dumps({"Response": {"PolicyDocument": inside}}))
    assert pointers(answer, "CG120") == ["/Response/PolicyDocument"]
    assert pointers(answer, "CG101") == ["/Response/PolicyDocument/statement/0/action"]
    assert pointers(findings(whole=inside), "CG120") == []
