"""Operators: which values each takes, and what each comparison gives for TRUE, FALSE and UNKNOWN."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.errors import Problem
from camguard.policy.conditions import clause_truth, read_condition
from camguard.policy.model import Clause
from camguard.policy.operators import OPERATORS, Kind, Like
from camguard.policy.values import Truth

LIKES = [
    pytest.param("a", ["a"], ["", "ab", "ba", "A"], id="no star"),
    pytest.param("a*", ["a", "ab"], ["", "ba", "A"], id="a star behind"),
    pytest.param("*a", ["a", "ba"], ["", "ab", "A"], id="a star before"),
    pytest.param("*a*", ["a", "ba", "ab", "bab"], ["", "b", "A"], id="a star on both sides"),
    pytest.param("*", ["", "a", "*"], [], id="a star alone"),
    pytest.param("**", ["", "a", "*"], [], id="two stars"),
    pytest.param("", [""], ["a", "*"], id="nothing"),
    pytest.param("a?", ["a?"], ["ab", "a"], id="DEC-22 a question mark is itself"),
    pytest.param("*a?b*", ["xa?bx", "a?b"], ["xacbx"], id="DEC-22 a question mark within"),
    pytest.param("ab*", ["ab", "abc"], ["a", "ac"], id="two letters and a star"),
    pytest.param("*ab", ["ab", "cab"], ["b", "cb"], id="a star and two letters"),
]


@pytest.mark.parametrize(("text", "fits", "others"), LIKES)
def test_like(text: str, fits: list[str], others: list[str]) -> None:
    pattern = Like.of(text)
    assert pattern is not None
    assert [each for each in fits + others if pattern.matches(each)] == fits


@pytest.mark.parametrize("text", ["a*b", "*a*b", "a*b*", "***", "a**", "**a", "*a**"])
def test_no_pattern(text: str) -> None:
    assert Like.of(text) is None, "DEC-22: a star only at the ends"


NAMES = {
    Kind.STRING: ["equal", "not_equal", "equal_ignore_case", "not_equal_ignore_case", "like", "not_like"],
    Kind.NUMERIC: [
        "equal",
        "less_than",
        "less_than_equal",
        "greater_than",
        "greater_than_equal",
        "not_equal",
    ],
    Kind.DATE: ["equal", "less_than", "less_than_equal", "greater_than", "greater_than_equal", "not_equal"],
    Kind.BOOL: ["equal"],
    Kind.BINARY: ["equal"],
    Kind.IP: ["equal", "not_equal"],
    Kind.NULL: ["equal"],
}


def test_the_operators_that_exist() -> None:
    expected = {f"{kind}_{name}": kind for kind, names in NAMES.items() for name in names}
    assert {name: each.kind for name, each in OPERATORS.items()} == expected
    negated = {name for name, each in OPERATORS.items() if each.negated}
    assert negated == {name for name in expected if "_not_" in name}


# operator, value of a policy, values of a call, and what the clause says of each
COMPARISONS = [
    pytest.param("string_equal", "Aa", {"Aa": True, "aa": False, "Aa ": False, "": False}, id="string_equal"),
    pytest.param("string_not_equal", "Aa", {"Aa": False, "aa": True, "": True}, id="string_not_equal"),
    pytest.param("string_equal_ignore_case", "Aa", {"aA": True, "a": False}, id="string_equal_ignore_case"),
    pytest.param("string_equal_ignore_case", "ß", {"ẞ": True, "ss": False}, id="DEC-19 lower, not casefold"),
    pytest.param("string_not_equal_ignore_case", "Aa", {"aA": False, "a": True},
                 id="string_not_equal_ignore_case"),
    pytest.param("string_like", "a*", {"ab": True, "Ab": False}, id="string_like"),
    pytest.param("string_not_like", "a*", {"ab": False, "Ab": True}, id="string_not_like"),
    pytest.param("numeric_equal", "1.0", {"1": True, "1.1": False, "x": None, "": None}, id="numeric_equal"),
    pytest.param("numeric_not_equal", "1.0", {"1": False, "1.1": True, "x": None}, id="numeric_not_equal"),
    pytest.param("numeric_less_than", "1", {"0.9": True, "1": False, "2": False}, id="numeric_less_than"),
    pytest.param("numeric_less_than_equal", "1", {"0": True, "1": True, "2": False},
                 id="numeric_less_than_equal"),
    pytest.param("numeric_greater_than", "1", {"0": False, "1": False, "1.1": True},
                 id="numeric_greater_than"),
    pytest.param("numeric_greater_than_equal", "1", {"0": False, "1": True, "2": True},
                 id="numeric_greater_than_equal"),
    pytest.param("date_less_than", "1970-01-01 00:00:01", {"1970-01-01T00:00:00.9Z": True,
                 "1970-01-01T00:00:01Z": False, "now": None}, id="date_less_than"),
    pytest.param("bool_equal", "true", {"true": True, "false": False, "1": None}, id="bool_equal"),
    pytest.param("bool_equal", "false", {"true": False, "false": True, "": None}, id="bool_equal to false"),
    pytest.param("binary_equal", "YQ==", {"YQ==": True, "yq==": None, "YQ": False}, id="DEC-20 binary_equal"),
    pytest.param("ip_equal", "10.0.0.0/31", {"10.0.0.0": True, "10.0.0.1": True, "10.0.0.2": False,
                 "9.255.255.255": False, "::": False, "10.0.0.0/32": None}, id="ip_equal"),
    pytest.param("ip_not_equal", "10.0.0.0/31", {"10.0.0.1": False, "10.0.0.2": True, "x": None},
                 id="ip_not_equal"),
    pytest.param("string_equal", "u-${uin}", {"u-101": True, "u-102": False}, id="a variable"),
    pytest.param("string_equal", "${app_id}", {"125": None}, id="DEC-34 a variable without a value"),
    pytest.param("string_not_equal", "${app_id}", {"125": None}, id="DEC-34 and its negation"),
    pytest.param("numeric_equal", "${app_id}", {"125": None}, id="DEC-34 where a number is wanted"),
    pytest.param("string_like", "${app_id}*", {"125": None}, id="DEC-34 where a pattern is wanted"),
    pytest.param("string_like", "${uin}*", {"101x": True, "x101": False}, id="a variable in a pattern"),
    pytest.param("numeric_equal", "${uin}.0", {"101": True, "102": False}, id="a variable as a number"),
    pytest.param("binary_equal", "${uin}", {"101": True, "102": False}, id="a variable as bytes"),
]  # fmt: skip


def read(raw: Any) -> list[Clause | Problem]:
    return list(read_condition(raw, "#"))


def clause(operator: str, values: Any) -> Clause:
    found = read({operator: {"cos:key": values}})[0]
    assert isinstance(found, Clause)
    return found


@pytest.mark.parametrize(("operator", "wanted", "truths"), COMPARISONS)
def test_a_comparison(operator: str, wanted: str, truths: dict[str, Truth]) -> None:
    found = clause(operator, wanted)
    assert {value: clause_truth(found, (value,), {"uin": "101"}) for value in truths} == truths


A, B, C = ("a",), ("b",), ("c",)


SETS = [
    pytest.param("string_equal", ["a", "b"], {A: True, C: False, ("a", "b"): True, ("a", "c"): None,
                 ("c", "c"): False, (): False}, id="DEC-28 one of several values"),
    pytest.param("string_not_equal", ["a", "b"], {A: False, C: True, ("a", "c"): None, ("c", "d"): True,
                 (): False}, id="DEC-27 none of several values"),
    pytest.param("for_any_value:string_equal", ["a", "b"], {A: True, ("a", "c"): True, ("c", "c"): False,
                 (): False}, id="for_any_value"),
    pytest.param("for_all_value:string_equal", ["a", "b"], {A: True, ("a", "b"): True, ("a", "c"): False,
                 (): False}, id="for_all_value"),
    pytest.param("for_any_value:string_not_equal", ["a"], {("a", "c"): True, ("a", "a"): False},
                 id="DEC-28 for_any_value of a negation"),
    pytest.param("for_all_value:string_not_equal", ["a"], {("a", "c"): False, ("c", "d"): True},
                 id="DEC-28 for_all_value of a negation"),
    pytest.param("string_equal_if_exist", ["a"], {A: True, C: False, (): True}, id="_if_exist"),
    pytest.param("string_not_equal_if_exist", ["a"], {A: False, C: True, (): True}, id="_if_exist, negated"),
    pytest.param("for_all_value:string_equal_if_exist", ["a"], {(): True, ("a", "c"): False},
                 id="DEC-29 for_all_value of nothing with _if_exist"),
    pytest.param("null_equal", ["true"], {(): True, A: False, ("a", "b"): False}, id="DEC-21 absent"),
    pytest.param("null_equal", ["false"], {(): False, A: True, ("",): True}, id="DEC-21 present"),
    pytest.param("null_equal", ["true", "false"], {(): True, A: True}, id="absent or present"),
    pytest.param("bool_equal", [True, "false"], {("true",): True, ("1",): None}, id="DEC-23 a JSON boolean"),
    pytest.param("null_equal", [False], {A: True, (): False}, id="DEC-23 a JSON boolean for null_equal"),
    pytest.param("numeric_equal", ["1", "2"], {("1", "x"): None, ("x", "x"): None, ("1", "2"): True},
                 id="U2 a value that is no number"),
    pytest.param("for_any_value:numeric_equal", ["1"], {("1", "x"): True, ("2", "x"): None},
                 id="U2 for_any_value"),
    pytest.param("for_all_value:numeric_equal", ["1"], {("1", "x"): None, ("2", "x"): False},
                 id="U2 for_all_value"),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "wanted", "truths"), SETS)
def test_several_values(operator: str, wanted: list[Any], truths: dict[tuple[str, ...], Truth]) -> None:
    found = clause(operator, wanted)
    assert {values: clause_truth(found, values, {}) for values in truths} == truths
    assert clause_truth(found, None, {}) is None, "U1: not supplied is unknown"


def test_addresses_and_moments_need_no_text() -> None:
    assert clause_truth(clause("ip_equal", "0.0.0.0/31"), (1,), {}) is True
    assert clause_truth(clause("ip_equal", "0.0.0.0/31"), (2,), {}) is False
    assert clause_truth(clause("date_equal", "1970-01-01T00:00:00.5Z"), (0.5,), {}) is True


def test_a_clause_that_is_wrong_makes_only_its_problem() -> None:
    assert [type(each) for each in read({"ip_equal": {"qcs:ip": []}})] == [Problem]
    assert [type(each) for each in read({"ip_equal": {"qcs:ip": ["::1", "x"]}})] == [Problem]
    both = read({"ip_equal": {"qcs:ip": "x"}, "date_equal": {"qcs:current_time": "1970-01-01 00:00:00"}})
    assert [type(each) for each in both] == [Problem, Clause]
    assert read({}) == []


def test_addresses_are_united_only_where_an_address_is_compared() -> None:
    assert clause("string_equal", "10.0.0.0/8").addresses is None
    found = clause("ip_equal", ["10.0.0.0/9", "10.128.0.0/9"]).addresses
    assert found is not None
    assert found.cidrs() == ("10.0.0.0/8",)
