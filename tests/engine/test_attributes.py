"""The attributes of a call: the variables that its principal gives a value."""

from __future__ import annotations

import pytest

from camguard.engine.attributes import bindings_of
from camguard.policy.resources import Owner

BINDINGS = [
    pytest.param("uin/100101", {"uin": "100101"}, id="a user"),
    pytest.param("uin/100100", {"uin": "100100"}, id="the owner"),
    pytest.param("role/bot", {}, id="a role"),
    pytest.param("role/123", {}, id="a role whose name is a number"),
    pytest.param("uin/", {}, id="no number"),
    pytest.param("uin/1*", {}, id="DEC-33 what is no number"),
    pytest.param("uin/\u0661", {}, id="DEC-33 digits of another script"),
]


@pytest.mark.parametrize(("principal", "own"), BINDINGS)
def test_which_variables_have_a_value(principal: str, own: dict[str, str]) -> None:
    assert bindings_of(principal, Owner("100100", "125")) == {"owner_uin": "100100", "app_id": "125"} | own
    assert bindings_of(principal, Owner("x", "\u0661")) == own
