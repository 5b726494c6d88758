"""The comparison of access sets with the oracle finds deliberately wrong kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from camguard.analysis import access, answers
from camguard.analysis.access import Range
from camguard.analysis.answers import Alternative, Answer, OpenRule
from camguard.engine import intervals
from camguard.engine.intervals import TimeInterval
from camguard.engine.row import truth_under
from camguard.engine.rules import Rule
from camguard.policy.values import Truth
from tests.analysis.agreement import Difference, compare

pytestmark = pytest.mark.heavy

right_ranges, right_intervals = access._ranges, intervals.intervals_of
right_rules, right_depending = answers.open_rules, answers._depending


def unknown_is_true(rule: Rule, mask: int) -> Truth:
    """A condition on an address that CAM may not receive is taken as it is (DEC-62)."""
    return truth_under(rule, mask) is not False


def edges_one_too_far(*given: Any) -> Iterator[Range]:
    """Every range but the last has one address more, and every range but the first one less."""
    ranges = list(right_ranges(*given))
    for at, each in enumerate(ranges):
        first, last = each.first + (at > 0), each.last + (at + 1 < len(ranges))
        yield each._replace(first=first, last=last)


def moments_of_cuts_forgotten(cuts: Sequence[float], masks: Sequence[int]) -> Iterator[TimeInterval]:
    """The moment of a cut belongs to the time before it."""
    begin = None
    for at, each in enumerate(right_intervals(cuts, masks)):
        if at % 2:
            begin = each.begin
        else:
            yield each if begin is None else each._replace(begin=begin)


def first_alternative(alternatives: Iterable[Alternative]) -> tuple[Alternative, ...]:
    """Only the first of several statements is named."""
    return tuple(alternatives)[:1]


def one_condition(asks: Any) -> Iterator[OpenRule]:
    """Of several conditions of a statement the last one is forgotten."""
    for each in right_rules(asks):
        yield each._replace(conditions=each.conditions[:-1])


def denies_forgotten(*given: Any, **more: Any) -> Any:
    """The denies that can apply are not named."""
    answer = right_depending(*given, **more)
    return Answer(answer.decision, answer.statements, answer.needs)


def one_layer(*given: Any, **more: Any) -> Any:
    """One layer that allows is enough."""
    answer = right_depending(*given, **more)
    return Answer(answer.decision, answer.statements, answer.needs[:1], answer.unless)


# What is wrong -> the function, its replacement, and a bundle from which on the difference is found soon.
WRONG: dict[str, tuple[str, Callable[..., Any], int]] = {
    "an unknown condition on the address holds": ("truth_under", unknown_is_true, 1),
    "the edges of ranges are one address too far": ("_ranges", edges_one_too_far, 1),
    "the moment of a cut belongs to the time before": ("intervals_of", moments_of_cuts_forgotten, 90),
    "the first alternative is the only one": ("_fewest", first_alternative, 180),
    "one condition of a statement is forgotten": ("open_rules", one_condition, 1),
    "open denies are forgotten": ("_depending", denies_forgotten, 1),
    "one layer is enough": ("_depending", one_layer, 360),
}


@pytest.mark.parametrize(("function", "instead", "first"), WRONG.values(), ids=WRONG)
def test_a_wrong_kernel_is_found(
    function: str, instead: Callable[..., Any], first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = access if hasattr(access, function) else answers
    monkeypatch.setattr(module, function, instead)
    try:
        found = any(isinstance(each, Difference) for _, each in compare(60, seed=first))
    except AssertionError:  # the ranges or windows do not cover everything
        found = True
    assert found
