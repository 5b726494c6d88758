"""Statements compared with the catalog: what they name, and which actions they can apply to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from camguard.lint.statement_view import (
    StatementView,
    statement_element,
    statement_views,
    texts_with_variables,
)
from camguard.policy.document import parse_document
from tests.company import inside
from tests.lint.statements import VIEW, VM, Statement, allow, deny


def view_of(statement: Statement, ip_support: str = "catalog") -> StatementView:
    document = parse_document(json.dumps({"version": "2.0", "statement": statement}), "p.json")
    (view,) = statement_views(document, VIEW, ip_support)
    return view


# a statement, the actions that some call may match
TOUCHED = [
    pytest.param(allow("art:Text*"), "art:TextToImage", id="the actions that a pattern names"),
    pytest.param(allow("art:Nope"), "", id="no action, where the catalog lacks the name"),
    pytest.param(allow("vm:*", VM), "vm:Attach vm:Reboot", id="an allow of one resource"),
    pytest.param(allow("vm:Reboot", "qcs::vm:::disk/d-1"), "", id="an allow of a resource of another kind"),
    pytest.param(allow("vm:DescribeZones", VM), "", id="an allow of a resource: no action without resources"),
    pytest.param(deny("vm:DescribeZones", VM), "vm:DescribeZones",
                 id="DEC-47 a deny of a resource blocks an action without resources"),
    pytest.param(deny("vm:*", VM), "vm:Attach vm:Reboot",
                 id="a deny of a resource spares it where actions with resources are named"),
    pytest.param(allow("whole:Do"), "", id="DEC-46 an allow of one action of a service-level service"),
    pytest.param(allow("whole:*"), "whole:Do whole:Undo", id="DEC-46 an allow of the whole service"),
    pytest.param(deny("whole:Do"), "whole:Do", id="DEC-46 a deny of one action of a service-level service"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "touched"), TOUCHED)
def test_the_actions_that_a_statement_can_apply_to(statement: Statement, touched: str) -> None:
    found = VIEW.index.members(view_of(statement).touched)
    assert " ".join(action.id for action in found) == touched


def test_a_pattern_is_named_as_its_statement_uses_it() -> None:
    for statement, names in ((allow("art:texttoimage"), (0, 0)), (deny("art:texttoimage"), (0, 1))):
        view = view_of(statement)
        (pattern,) = view.statement.actions
        assert tuple(each.bit_count() for each in view.names(pattern)) == names


def test_an_undetermined_allow_grants_nothing_and_an_undetermined_deny_applies() -> None:
    assert view_of(allow()).outcome == "this allow grants nothing"
    assert view_of(deny()).outcome == "this deny always applies"


# a statement, the setting, whether the address is judged
ADDRESS = [
    pytest.param(allow("desk:QueryUserList"), "catalog", True, id="an action whose row supports addresses"),
    pytest.param(allow("desk:QueryUser"), "catalog", False, id="an action whose row does not"),
    pytest.param(allow("desk:*"), "catalog", True, id="two actions, one of which does"),
    pytest.param(
        allow("desk:QueryUser"), "gateway", True, id="any action, where the gateway judges addresses"
    ),
]


@pytest.mark.parametrize(("statement", "ip_support", "judged"), ADDRESS)
def test_the_actions_whose_address_is_judged(statement: Statement, ip_support: str, *, judged: bool) -> None:
    assert view_of({**statement, "condition": inside("10.0.0.0/8")}, ip_support).judges_address is judged


WRITTEN: dict[str, Any] = {
    "string_equal": {"qcs:resource_tag/a": ["x", "${uin}"]},
    "ip_equal": {"qcs:ip": "10.0.0.0/8"},
}


def test_values_and_texts_with_variables_have_the_pointers_at_which_they_are_written() -> None:
    statement = allow("*", ["qcs::cvm:::a/${uin}", "qcs::cvm:::b"], **WRITTEN)
    document = parse_document(json.dumps({"version": "2.0", "Statement": [statement]}), "p.json")
    assert statement_element(document)[0] == "p.json#/Statement"
    (parsed,) = document.policy.statements
    at = "p.json#/Statement/0"
    tags = f"{at}/condition/string_equal/qcs:resource_tag~1a"
    assert [(text, where) for clause in parsed.condition for text, _, where in clause.placed()] == [
        ("x", f"{tags}/0"),
        ("${uin}", f"{tags}/1"),
        ("10.0.0.0/8", f"{at}/condition/ip_equal/qcs:ip"),
    ]
    assert list(texts_with_variables(parsed)) == [
        ("qcs::cvm:::a/${uin}", f"{at}/resource/0"),
        ("${uin}", f"{tags}/1"),
    ]
