"""What actions name: a statement that has the finding, and one that almost has it."""

from __future__ import annotations

import pytest

from tests.lint.statements import (
    Statement,
    allow,
    deny,
    findings,
    pointers,
)

# code, where in the statement, statements that have it, statements that almost have it
ROWS = [
    pytest.param("CG201", "/action/1", [deny(["art:DescribeJob", "art:TextToImages"])],
                 [deny(["art:DescribeJob", "art:TextToImage"])], id="a deny of an unknown action"),
    pytest.param("CG201", "/action", [deny("name/art:TextToImages")], [deny("name/art:TextToImage")],
                 id="a deny of an unknown action with the old prefix"),
    pytest.param("CG202", "/action", [allow("art:TextToImages")], [allow("art:TextToImage")],
                 id="an allow of an unknown action"),
    pytest.param("CG202", "/action", [allow("art:texttoimage")], [deny("art:texttoimage")],
                 id="an allow in the wrong letter case"),
    pytest.param("CG203", "/action", [deny("arts:TextToImage")], [deny("art:TextToImage")],
                 id="a deny of an unknown service"),
    pytest.param("CG203", "/action", [deny("arts:*")], [allow("arts:*")],
                 id="a deny of everything of an unknown service"),
    pytest.param("CG211", "/action", [deny("finance:*")], [deny("finance:Pay")],
                 id="a deny of a whole service that is like none of the catalog"),
    pytest.param("CG204", "/action", [allow("arts:*")], [allow("art:*")],
                 id="an allow of an unknown service"),
    pytest.param("CG205", "/action", [deny("art:texttoimage")], [deny("art:TextToImage")],
                 id="a deny in the wrong letter case"),
    pytest.param("CG205", "/action", [deny("ART:*")], [deny("art:*")], id="a deny of a service in capitals"),
    pytest.param("CG206", "/action/0", [allow(["art:List*", "art:*"])], [allow(["art:Describe*"])],
                 id="a pattern that no action fits"),
    pytest.param("CG207", "/action",
                 [deny(["art:List*", "art:Get*"])], [deny(["art:List*", "art:Describe*"])],
                 id="a deny of patterns that no action fits"),
    pytest.param("CG208", "/action", [allow("*:Describe*")], [allow("*:*")], id="a star in the service"),
    pytest.param("CG208", "/action", [deny("a*:DescribeJob")], [deny("art:Describe*")],
                 id="a star in the service of a deny"),
    pytest.param("CG209", "/action", [allow("whole:Do")], [allow("whole:*")],
                 id="one action of a service-level product"),
    pytest.param("CG209", "/action/0", [allow(["whole:D*", "art:*"])], [allow(["whole:D*", "*"])],
                 id="a pattern of a service-level product"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "where", "has", "almost"), ROWS)
def test_a_statement_has_the_finding_or_almost(
    code: str, where: str, has: list[Statement], almost: list[Statement]
) -> None:
    assert pointers(findings(*has), code) == [f"/statement/0{where}"]
    assert pointers(findings(*almost), code) == []


# statement, code, what is proposed
INSTEAD = [
    pytest.param(deny("art:TextToImages"), "CG201", "art:TextToImage", id="the nearest action"),
    pytest.param(deny("art:texttoimage"), "CG205", "art:TextToImage", id="the right letter case"),
    pytest.param(allow("atr:*"), "CG204", "art:*", id="the nearest service"),
    pytest.param(allow("whole:Do"), "CG209", "whole:*", id="the whole service"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "code", "instead"), INSTEAD)
def test_what_to_write_instead(statement: Statement, code: str, instead: str) -> None:
    (finding,) = (f for f in findings(statement) if f.code == code)
    assert instead in finding.instead


# an allow, its finding where unlisted actions are refused, and where they are judged
UNLISTED = [
    pytest.param("whole:D*", ["CG209"], [], id="a pattern of such a product may grant unlisted actions"),
    pytest.param("whole:Do", ["CG209"], ["CG209"], id="a listed action of such a product is never granted"),
    pytest.param("art:TextToImages", ["CG202"], ["CG202"], id="an unlisted action may be a misspelled one"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "refused", "judged"), UNLISTED)
def test_what_unlisted_actions_make_of_an_allow(action: str, refused: list[str], judged: list[str]) -> None:
    assert [f.code for f in findings(allow(action), unknown_action="refuse")] == refused
    assert [f.code for f in findings(allow(action), unknown_action="judge")] == judged


@pytest.mark.parametrize(
    ("unknown_action", "grants"), [("refuse", "nothing"), ("judge", "only as an unlisted action")]
)
def test_what_an_allow_of_an_unlisted_action_grants(unknown_action: str, grants: str) -> None:
    (finding,) = findings(allow("art:TextToImages"), unknown_action=unknown_action)
    assert finding.message.endswith(f"so this entry grants {grants}")
