"""The cases in which one answer allows what another one denies."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from camguard.analysis.answers import ALLOWED, DENIED, Alternative, Answer, Condition, Need
from camguard.analysis.cases import (
    ALWAYS,
    MOST_WAYS,
    NEVER,
    Cases,
    Literal,
    implies,
    newly_allowed,
    ways_of,
)
from tests.company import allow, policy


def condition(operator: str, key: str, *values: str) -> Condition:
    """Return a condition on a further key, as an answer has it."""
    (clause,) = policy("own", allow("*", **{operator: {key: list(values)}})).statements[0].condition
    return Condition("key", clause.key, clause.text, clause.values, clause=clause)


def resource(*texts: str) -> Condition:
    """Return the condition that a resource matches one of some patterns."""
    (statement,) = policy("own", allow("*", list(texts))).statements
    return Condition("resource", "resource", "matches", texts, patterns=statement.patterns)


A, B, C = (condition("string_equal", f"cos:{key}", "x") for key in "abc")
A_OR_MORE = condition("string_equal", "cos:a", "x", "y")
ANY_A = condition("for_any_value:string_equal", "cos:a", "x")


def answer(*needs: Sequence[tuple[Condition, ...]], unless: tuple[tuple[Condition, ...], ...] = ()) -> Answer:
    """Return an answer: of each need, the conditions of its alternatives; and those of each deny."""
    return Answer(
        None,
        (),
        tuple(Need("identity", None, tuple(Alternative((), each) for each in need)) for need in needs),
        tuple(Alternative((), each) for each in unless),
    )


NO_A = answer(unless=((A,),))
HERE = "qcs::vm:::instance/"
# the answer before, the answer after, the ways that are new
NEW = [
    pytest.param(ALLOWED, ALLOWED, [], id="allowed before and after"),
    pytest.param(DENIED, DENIED, [], id="denied before and after"),
    pytest.param(ALLOWED, DENIED, [], id="denied after"),
    pytest.param(DENIED, ALLOWED, [""], id="allowed after"),
    pytest.param(ALLOWED, answer([(A,)]), [], id="depends after, and was allowed"),
    pytest.param(DENIED, answer([(A,)]), ["cos:a string_equal x"], id="depends after, and was denied"),
    pytest.param(answer([(A,)]), DENIED, [], id="depended, and is denied"),
    pytest.param(answer([(A,)]), ALLOWED, [""], id="depended, and is allowed"),
    pytest.param(answer([(A,)]), answer([(A,)]), [], id="depends on the same"),
    pytest.param(answer([(A,)]), answer([(B,)]), ["cos:b string_equal x"], id="depends on another condition"),
    pytest.param(answer([(A,)]), answer([(A,), (B,)]), ["cos:b string_equal x"], id="one more alternative"),
    pytest.param(answer([(A, B)]), answer([(A,)]), ["cos:a string_equal x"], id="one condition less"),
    pytest.param(answer([(A,)]), answer([(A, B)]), [], id="one condition more"),
    pytest.param(answer([(A_OR_MORE,)]), answer([(A,)]), [], id="fewer values"),
    pytest.param(answer([(A,)]), answer([(A_OR_MORE,)]), ["cos:a string_equal x, y"], id="more values"),
    pytest.param(NO_A, ALLOWED, [""], id="a deny less"),
    pytest.param(ALLOWED, NO_A, [], id="a deny more"),
    pytest.param(DENIED, NO_A, ["not (cos:a string_equal x)"], id="a deny where all was denied"),
    pytest.param(answer(unless=((A_OR_MORE,),)), NO_A, ["not (cos:a string_equal x)"], id="a narrower deny"),
    pytest.param(NO_A, answer(unless=((A_OR_MORE,),)), [], id="a wider deny"),
    pytest.param(
        answer(unless=((resource(f"{HERE}a", f"{HERE}b"),),)),
        answer(unless=((resource(f"{HERE}a"),), (resource(f"{HERE}b"),))),
        [],
        id="a deny of two resources that became two denies",
    ),
]


@pytest.mark.parametrize(("before", "after", "ways"), NEW)
def test_ways_to_be_allowed_that_are_new(before: Answer, after: Answer, ways: list[str]) -> None:
    found = newly_allowed(before, after)
    assert [" and ".join(map(str, way)) for way in found.ways] == ways
    assert found.exact
    assert bool(found) is bool(ways)


# an answer, its least ways
WAYS = [
    pytest.param(answer(), [""], id="nothing is needed"),
    pytest.param(answer([(A,), (B,)]), ["a", "b"], id="one of two alternatives"),
    pytest.param(answer([(A,)], [(B,)]), ["a b"], id="two needs"),
    pytest.param(answer([(B,)], [(A,)]), ["b a"], id="two needs in the other order"),
    pytest.param(answer([(A,), (B,)], [(A,)]), ["a"], id="one condition meets two needs"),
    pytest.param(answer([(A,), (B,)], [(A,), (C,)]), ["a", "b c"], id="a way that contains another one"),
    pytest.param(answer([(A, B), (C,), (A,)]), ["c", "a"], id="a way behind one that contains it"),
    pytest.param(answer([(A, B), (B, A)]), ["a b"], id="the same way twice"),
    pytest.param(answer([(B,)], unless=((A,),)), ["b -a"], id="a deny that must not apply"),
    pytest.param(answer(unless=((A, B),)), ["-a", "-b"], id="one condition of a deny is not met"),
    pytest.param(answer(unless=((A,), (B,))), ["-a -b"], id="two denies"),
    pytest.param(answer([(A,), (B,)], unless=((A,),)), ["b -a"], id="a condition that is needed and denied"),
    pytest.param(answer([(A,)], unless=((A_OR_MORE,),)), [], id="a deny that the needed condition implies"),
    pytest.param(answer([(A_OR_MORE,)], unless=((A,),)), ["a -a"], id="a deny of one of several values"),
    pytest.param(
        answer([(ANY_A,)], unless=((ANY_A,),)), [], id="a needed condition on several values is denied"
    ),
]


@pytest.mark.parametrize(("of", "ways"), WAYS)
def test_least_ways(of: Answer, ways: list[str]) -> None:
    found = ways_of(of)
    assert found is not None
    shown = (
        " ".join(f"{'' if each.holds else '-'}{each.condition.key.removeprefix('cos:')}" for each in way)
        for way in found
    )
    assert [*shown] == ways


def test_a_literal_as_text() -> None:
    assert str(Literal(A, holds=True)) == "cos:a string_equal x"
    assert str(Literal(A, holds=False)) == "not (cos:a string_equal x)"


def test_as_many_ways_are_listed_as_the_bound_says() -> None:
    many = [(condition("string_equal", f"cos:{at}", "x"),) for at in range(MOST_WAYS + 1)]
    found = ways_of(answer(many[:-1]))
    assert found is not None
    assert len(found) == MOST_WAYS == 256
    assert ways_of(answer(many)) is None
    assert newly_allowed(DENIED, answer(many)) == Cases((), exact=False)
    assert newly_allowed(answer(many), answer(many)) == newly_allowed(ALLOWED, answer(many)) == NEVER
    assert (bool(ALWAYS), bool(NEVER), bool(Cases((), exact=False))) == (True, False, True)
    assert Cases(()).exact


# two conditions, whether the first one implies the second one
IMPLIED = [
    pytest.param(A, A, True, id="the same values"),
    pytest.param(A, A_OR_MORE, True, id="more values"),
    pytest.param(A_OR_MORE, A, False, id="fewer values"),
    pytest.param(A, B, False, id="another key"),
    pytest.param(A, condition("string_like", "cos:a", "x"), False, id="another operator"),
    pytest.param(
        condition("string_not_equal", "cos:a", "x", "y"),
        condition("string_not_equal", "cos:a", "x"),
        True,
        id="negated, fewer values",
    ),
    pytest.param(
        condition("string_not_equal", "cos:a", "x", "y"),
        condition("string_not_equal", "cos:a", "y", "x"),
        True,
        id="negated, the same values in another order",
    ),
    pytest.param(
        condition("string_not_equal", "cos:a", "x"),
        condition("string_not_equal", "cos:a", "x", "y"),
        False,
        id="negated, more values",
    ),
    pytest.param(
        condition("for_any_value:string_equal", "cos:a", "x"),
        condition("for_any_value:string_equal", "cos:a", "x", "y"),
        False,
        id="of a set of values nothing is known",
    ),
    pytest.param(resource(f"{HERE}a"), resource(f"{HERE}*"), True, id="a resource under a wider one"),
    pytest.param(resource(f"{HERE}*"), resource(f"{HERE}a"), False, id="a resource under a narrower one"),
    pytest.param(resource(f"{HERE}a"), resource(f"{HERE}b"), False, id="another resource"),
    pytest.param(resource(f"{HERE}a"), A, False, id="a resource and a key"),
    pytest.param(
        Condition("key", A.key, A.operator, A.values),
        A_OR_MORE,
        False,
        id="a condition of which only the text is known",
    ),
    pytest.param(
        A,
        Condition("key", A.key, A.operator, ("x", "y")),
        False,
        id="another one of which only the text is known",
    ),
    pytest.param(
        Condition("tag", A.key, A.operator, A.values, clause=A.clause), A_OR_MORE, False, id="another kind"
    ),
]


@pytest.mark.parametrize(("narrow", "wide", "wanted"), IMPLIED)
def test_conditions_that_imply_others(narrow: Condition, wide: Condition, wanted: bool) -> None:
    assert implies(narrow, wide) is wanted
