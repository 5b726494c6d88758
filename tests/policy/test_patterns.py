"""Star patterns beside a second reader, and in time that does not explode."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.policy.patterns import NAMES, fill, read_template, star_match

LETTERS = st.text("ab*?[.\n/", max_size=12)


@given(LETTERS, LETTERS)
def test_a_star_is_any_run_and_all_else_is_itself(pattern: str, text: str) -> None:
    second = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    assert star_match(pattern, text) is bool(second.fullmatch(text))


@given(st.text(max_size=20))
def test_a_text_without_stars_matches_itself_alone(text: str) -> None:
    plain = text.replace("*", "")
    assert star_match(plain, plain)
    assert not star_match(plain, plain + "x")


def test_many_stars_take_linear_time() -> None:
    begin = time.process_time()
    assert not star_match("*a" * 2000 + "b", "a" * 100_000)
    assert time.process_time() - begin < 0.5, "T94: the pieces are found one after the other"


BOUND = {"uin": "101", "owner_uin": "100"}

TEMPLATES = [
    pytest.param("a", "a", "a", id="no variable"),
    pytest.param("$uin", "$uin", "$uin", id="no braces"),
    pytest.param("${uin}", ("", "uin", ""), "101", id="a variable alone"),
    pytest.param("a${uin}b${owner_uin}", ("a", "uin", "b", "owner_uin", ""), "a101b100", id="two variables"),
    pytest.param("${app_id}", ("", "app_id", ""), None, id="a variable without a value"),
    pytest.param(
        "${uin}${app_id}", ("", "uin", "", "app_id", ""), None, id="a variable without a value behind"
    ),
    pytest.param("$${uin}}", ("$", "uin", "}"), "$101}", id="signs around a variable"),
    pytest.param("${me}", None, None, id="no such variable"),
    pytest.param("${}", None, None, id="no name"),
    pytest.param("${ uin}", None, None, id="a blank in the name"),
    pytest.param("${uin", None, None, id="no end"),
    pytest.param("${uin}${", None, None, id="no end behind a variable"),
    pytest.param("${${uin}}", None, None, id="a variable in a variable"),
]


@pytest.mark.parametrize(("text", "template", "filled"), TEMPLATES)
def test_variables(text: str, template: str | tuple[str, ...] | None, filled: str | None) -> None:
    found = read_template(text)
    assert found == template
    if found is not None:
        assert fill(found, BOUND) == filled


def test_the_variables_that_exist() -> None:
    assert sorted(NAMES) == ["app_id", "owner_uin", "qcs:principal_tag_key", "qcs:principal_tag_value", "uin"]
