"""Statements as they were written: the pointers of their elements and values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from camguard.lint.source_map import StatementSource, statement_element, statement_sources
from camguard.policy.document import parse_document
from tests.company import allow

CONDITION = {"string_equal": {"qcs:resource_tag/a": ["x", "${uin}"]}, "ip_equal": {"qcs:ip": "10.0.0.0/8"}}


def sources(statement: object, name: str = "statement") -> list[StatementSource]:
    return statement_sources(parse_document(json.dumps({"version": "2.0", name: statement}), "p.json"))


# the statement element as it is written, its name, the pointer of each statement
WRITTEN = [
    pytest.param([allow(), allow()], "statement", ["/statement/0", "/statement/1"], id="a list"),
    pytest.param(allow(), "statement", ["/statement"], id="a single statement"),
    pytest.param([allow()], "Statement", ["/Statement/0"], id="a name with a capital letter"),
]


@pytest.mark.parametrize(("statement", "name", "pointers"), WRITTEN)
def test_each_statement_has_the_pointer_at_which_it_is_written(
    statement: object, name: str, pointers: list[str]
) -> None:
    document = parse_document(json.dumps({"version": "2.0", name: statement}), "p.json")
    assert statement_element(document) == (f"p.json#/{name}", statement)
    assert [each.statement.where for each in statement_sources(document)] == [
        f"p.json#{at}" for at in pointers
    ]


# a statement, the name of an element, its pointer and value
ELEMENTS = [
    pytest.param(allow(), "action", "/statement/action", "aiart:*", id="an element as it is usually written"),
    pytest.param({"Effect": "allow", "action": "*", "resource": "*"}, "effect", "/statement/Effect", "allow",
                 id="an element with a capital letter"),
    pytest.param(allow(), "condition", "/statement/condition", None, id="an element that is absent"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "name", "pointer", "value"), ELEMENTS)
def test_an_element_has_its_pointer_and_value(
    statement: dict[str, Any], name: str, pointer: str, value: object
) -> None:
    (source,) = sources(statement)
    assert source.element(name) == (f"p.json#{pointer}", value)


def test_the_values_of_a_list_have_a_pointer_each_and_a_single_value_has_that_of_its_key() -> None:
    (source,) = sources(allow(**CONDITION))
    listed, single = [source.values(clause) for clause in source.statement.condition]
    tags = "p.json#/statement/condition/string_equal/qcs:resource_tag~1a"
    assert [(text, where) for text, _, where in listed] == [("x", f"{tags}/0"), ("${uin}", f"{tags}/1")]
    assert [(text, where) for text, _, where in single] == [
        ("10.0.0.0/8", "p.json#/statement/condition/ip_equal/qcs:ip")
    ]


def test_texts_with_variables_are_found_in_resources_and_in_values() -> None:
    (source,) = sources(allow("*", ["qcs::cvm:::a/${uin}", "qcs::cvm:::b"], **CONDITION))
    assert list(source.texts_with_variables()) == [
        ("qcs::cvm:::a/${uin}", "p.json#/statement/resource/0"),
        ("${uin}", "p.json#/statement/condition/string_equal/qcs:resource_tag~1a/1"),
    ]
