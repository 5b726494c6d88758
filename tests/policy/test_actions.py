"""Action patterns: how each is read, and whether an allow and a deny of it match an action."""

from __future__ import annotations

import pytest

from camguard.policy.actions import action_match, covers_service, read_action
from camguard.policy.model import ActionPattern, Effect
from camguard.policy.values import Truth

ALLOW, DENY = Effect.ALLOW, Effect.DENY
SET = "is a set of actions that only the cloud can expand"
BLANK = "contains white space"
MARK = "contains '?', which is not a wildcard"
VARIABLE = "contains a variable, which is allowed in resources and condition values only"
FORM = "is not of the form service:Action"


ACTIONS = [
    pytest.param("*", ("*", "*"), id="the star alone"),
    pytest.param("*:*", ("*", "*"), id="a star for both"),
    pytest.param("name/*:*", ("*", "*"), id="a star for both, with the old prefix"),
    pytest.param("cvm:Run*", ("cvm", "Run*"), id="a service and a pattern"),
    pytest.param("name/cvm:Run", ("cvm", "Run"), id="the old prefix is taken off"),
    pytest.param("cvm:name/", ("cvm", "name/"), id="and only there"),
    pytest.param("cvm:actionName", ("cvm", "actionName"), id="an action of which the set's word is the name"),
    pytest.param("cvm:permid/1", ("cvm", "permid/1"), id="an action of which the set's number is the name"),
    pytest.param("cvm:$x", ("cvm", "$x"), id="a dollar that begins no variable"),
    pytest.param("cvm:{x", ("cvm", "{x"), id="a brace that begins no variable"),
    pytest.param("permid/280649", SET, id="DEC-9 a set by its number"),
    pytest.param("name/permid/280649", SET, id="DEC-9 a set by its number, with the old prefix"),
    pytest.param("actionNameRead", SET, id="DEC-9 a set by its name"),
    pytest.param("actionNam", FORM, id="what only begins like a set"),
    pytest.param("permid:Read", ("permid", "Read"), id="a service with a name like a set's"),
    pytest.param("cvm: Run", BLANK, id="DEC-10 a blank within"),
    pytest.param(" cvm:Run", BLANK, id="DEC-10 a blank before"),
    pytest.param("cvm:Run\n", BLANK, id="DEC-10 a line's end"),
    pytest.param("cvm:Ru?", MARK, id="DEC-6 a question mark"),
    pytest.param("cvm:${uin}", VARIABLE, id="DEC-33 a variable"),
    pytest.param("Run", FORM, id="DEC-10 a name alone"),
    pytest.param("cvm:", FORM, id="no name"),
    pytest.param(":Run", FORM, id="no service"),
    pytest.param("cvm:Run:x", FORM, id="two colons"),
    pytest.param("name/name/cvm:Run", FORM, id="the prefix twice"),
    pytest.param("name/*", FORM, id="a star with the old prefix"),
    pytest.param("", FORM, id="nothing"),
]


@pytest.mark.parametrize(("text", "expected"), ACTIONS)
def test_an_action_is_read(text: str, expected: tuple[str, str] | str) -> None:
    found = read_action(text)
    assert found == (expected if isinstance(expected, str) else ActionPattern(text, *expected))
    assert isinstance(found, str) or not found.where


# pattern, and what an allow and a deny of it say of cvm:RunInstances
ACTION_TRUTHS = [
    pytest.param("*", True, True, id="everything"),
    pytest.param("cvm:*", True, True, id="everything of the service"),
    pytest.param("cvm:RunInstances", True, True, id="the name itself"),
    pytest.param("cvm:*Inst*", True, True, id="stars in the name"),
    pytest.param("cvm:Run", False, False, id="the beginning of the name"),
    pytest.param("cvm:runinstances", False, None, id="DEC-7 the name in another case"),
    pytest.param("CVM:RunInstances", False, None, id="DEC-7 the service in another case"),
    pytest.param("CVM:*", False, None, id="DEC-7 everything of the service in another case"),
    pytest.param("cvm:run*", False, None, id="DEC-7 a pattern in another case"),
    pytest.param("vpc:RunInstances", False, False, id="another service"),
    pytest.param("VPC:runinstances", False, False, id="another service in another case"),
    pytest.param("cvm:rebootinstances", False, False, id="another name in another case"),
    pytest.param("*:Run*", None, None, id="DEC-8 a star for the service and a pattern"),
    pytest.param("c*:RunInstances", None, None, id="DEC-8 a star in the service"),
    pytest.param("c*:*", None, None, id="DEC-8 a star in the service and all names"),
    pytest.param("*:Reboot*", False, False, id="DEC-8 a star for the service and another name"),
    pytest.param("v*:RunInstances", False, False, id="DEC-8 a pattern of another service"),
    pytest.param("C*:runinstances", False, None, id="a star in the service and another case"),
]


@pytest.mark.parametrize(("text", "allow", "deny"), ACTION_TRUTHS)
def test_an_action_is_matched(text: str, allow: Truth, deny: Truth) -> None:
    pattern = read_action(text)
    assert isinstance(pattern, ActionPattern)
    found = [action_match(pattern, effect, "cvm", "RunInstances") for effect in (ALLOW, DENY)]
    assert found == [allow, deny]


CAPITALS = [
    pytest.param("cvm:runinstances", id="a name"),
    pytest.param("cvm:RUN*", id="a pattern"),
    pytest.param("cvm:RUNinstances", id="a name in mixed case"),
]


@pytest.mark.parametrize("text", CAPITALS)
def test_letter_case_is_ignored_on_both_sides(text: str) -> None:
    pattern = read_action(text)
    assert isinstance(pattern, ActionPattern)
    assert action_match(pattern, DENY, "CVM", "RunInstances") is None
    assert action_match(pattern, ALLOW, "CVM", "RunInstances") is False


def test_only_a_whole_service_is_covered() -> None:
    patterns = [read_action(text) for text in ("*", "cvm:*", "cvm:Run*", "vpc:*", "c*:*")]
    found = [covers_service(each, "cvm") for each in patterns if isinstance(each, ActionPattern)]
    assert found == [True, True, False, False, False]
