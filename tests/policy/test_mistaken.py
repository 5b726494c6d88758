"""Documents that people bring instead of a policy: one sentence each, in its place (CAM 3.5)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from camguard.errors import PolicyError
from camguard.policy.document import parse_document, parse_policy
from camguard.policy.mistaken import mistaken, policy_inside
from tests.company import allow, deny

POLICY = {"version": "2.0", "statement": [allow()]}
TRUST = {"effect": "allow", "action": "name/sts:AssumeRole", "principal": {"service": ["cvm.qcloud.com"]}}
BUCKET = {**allow("name/cos:GetObject", ["qcs::cos:ap-guangzhou:uid/125:b-125/*"]), "principal": {"qcs": []}}

# document, its place, what the one sentence says
MISTAKEN = [
    pytest.param({"version": "2.0", "statement": [TRUST]}, "#/statement", "trust policy of a role",
                 id="a trust policy"),
    pytest.param({"Version": "2.0", "Statement": {**TRUST, "Principal": 1}, "Principal": "*"}, "#/Principal",
                 "trust policy of a role", id="a trust policy in capitals"),
    pytest.param({"version": "2.0", "statement": [BUCKET, BUCKET]}, "#/statement", "bucket policy",
                 id="a bucket policy"),
    pytest.param({"version": "2.0", "statement": [allow("cos:*", "qcs::cos:::*")], "principal": {}},
                 "#/principal", "bucket policy", id="a bucket policy of the older form"),
    pytest.param({"version": "2.0", "statement": [{**allow(), "principal": "*"}]}, "#/statement",
                 "names a principal", id="another policy with a principal"),
    pytest.param({"version": "2.0", "statement": [TRUST, BUCKET]}, "#/statement", "names a principal",
                 id="statements with and without a resource"),
    pytest.param({"Version": "2012-10-17", "Statement": []}, "#/Version", "a policy of AWS, which", id="AWS"),
    pytest.param({"Version": "2008-10-17", "Statement": []}, "#/Version", "a policy of AWS, which",
                 id="the older version of AWS"),
    pytest.param({"version": "2.0", "statement": [{**allow("cos:*", [1]), "principal": "*"}]}, "#/statement",
                 "names a principal", id="a principal, and a resource that is no text"),
    pytest.param({"Version": "1", "Statement": []}, "#/Version", "a policy of Alibaba Cloud, which",
                 id="Alibaba Cloud"),
    pytest.param({"Response": {"Error": {"Code": "x"}}}, "", "an answer of the API without a policy",
                 id="an answer with an error"),
    pytest.param({"PolicyDocument": json.dumps({"version": "2.0", "statement": [TRUST]})},
                 "#/PolicyDocument/statement", "trust policy of a role", id="a trust policy in an answer"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "place", "words"), MISTAKEN)
def test_a_document_of_another_kind_has_one_problem(document: Any, place: str, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(json.dumps(document), "p.json")
    (problem,) = caught.value.problems
    assert problem.where == f"p.json{place}"
    assert words in problem.message


def test_a_document_without_a_name_is_called_policy() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_document(b"{")
    assert [each.where.partition("#")[0] for each in caught.value.problems] == ["policy"]


# A document with a member without a name, whose value is the sign of another document
NAMELESS = [
    pytest.param({"": "2012-10-17"}, id="a version"),
    pytest.param({"": [TRUST]}, id="statements"),
]


@pytest.mark.parametrize("document", NAMELESS)
def test_a_member_without_a_name_is_an_unknown_element(document: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(json.dumps(document), "p.json")
    assert [(each.where, each.code) for each in caught.value.problems] == [
        ("p.json#/", "StatementError"),
        ("p.json#/version", "VersionError"),
        ("p.json#/statement", "StatementError"),
    ]


# A document with an element of a policy beside the sign of an answer
POLICIES = [
    pytest.param({"version": "2.0"}, id="a version"),
    pytest.param({"Version": "2.0"}, id="a version in capitals"),
    pytest.param({"statement": [allow()]}, id="statements"),
    pytest.param({"Statement": [allow()]}, id="statements in capitals"),
]


@pytest.mark.parametrize("elements", POLICIES)
def test_a_document_with_an_element_of_a_policy_is_no_answer(elements: dict[str, Any]) -> None:
    assert policy_inside({**elements, "PolicyDocument": POLICY}) is None
    assert mistaken({**elements, "Response": {}}) is None


# what is brought, and the place of its statement
READ = [
    pytest.param(json.dumps(POLICY), "p.json#/statement/0", id="a policy"),
    pytest.param("\ufeff" + json.dumps(POLICY), "p.json#/statement/0", id="a byte order mark"),
    pytest.param(b"\xef\xbb\xbf" + json.dumps(POLICY).encode(), "p.json#/statement/0",
                 id="a byte order mark in bytes"),
    pytest.param(json.dumps({"Response": {"PolicyDocument": json.dumps(POLICY), "PolicyName": "x"}}),
                 "p.json#/Response/PolicyDocument/statement/0", id="the answer of GetPolicy"),
    pytest.param(json.dumps({"PolicyVersion": {"Document": json.dumps(POLICY)}}),
                 "p.json#/PolicyVersion/Document/statement/0", id="the answer of GetPolicyVersion"),
    pytest.param(json.dumps({"PolicyDocument": POLICY}), "p.json#/PolicyDocument/statement/0",
                 id="an object"),
]  # fmt: skip


@pytest.mark.parametrize(("brought", "place"), READ)
def test_the_policy_is_read_where_it_stands(brought: str | bytes, place: str) -> None:
    document = parse_document(brought, "p.json")
    assert document.tree == POLICY
    assert document.policy.statements[0].where == place
    assert document.in_answer == (place.partition("#/")[2] != "statement/0")


def test_an_answer_is_as_long_as_the_policy_in_it() -> None:
    """DEC-5."""
    wide = {"PolicyName": "x" * 9000, "PolicyDocument": json.dumps(POLICY)}
    assert parse_policy(json.dumps(wide)).statements
    long = {"version": "2.0", "statement": [{**deny(), "sid": "x" * 6200}]}
    for inside in (long, json.dumps(long)):
        with pytest.raises(PolicyError, match="PolicyDocumentLengthOverLimit") as caught:
            parse_policy(json.dumps({"PolicyDocument": inside}), "p.json")
        assert caught.value.problems[0].where == "p.json#/PolicyDocument"


def test_a_fault_of_the_text_in_an_answer_is_placed_there() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(json.dumps({"PolicyDocument": '{"version": "2.0", "version": "2.0"}'}), "p.json")
    assert caught.value.problems[0].where == "p.json#/PolicyDocument/version"
    with pytest.raises(PolicyError, match="no comments") as caught:
        parse_policy(json.dumps({"PolicyDocument": '{"version": "2.0", // two\n}'}), "p.json")
    assert caught.value.problems[0].where == "p.json#/PolicyDocument"


def test_utf_16_is_named() -> None:
    with pytest.raises(PolicyError, match="UTF-16; save the file as UTF-8"):
        parse_policy(json.dumps(POLICY).encode("utf-16"))
