"""Partitions of the address line and of time, and what a table keeps of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from fractions import Fraction
from itertools import pairwise
from math import inf, nextafter

from hypothesis import given
from hypothesis import strategies as st

from camguard.engine.intervals import interval_at, intervals_of, partition_addresses, partition_time
from camguard.ipset import LINE_END, V4_END, IpSet
from camguard.policy.conditions import clause_truth
from camguard.policy.model import Clause
from tests.company import allow, policy

EDGES = st.sampled_from((0, 1, V4_END - 1, V4_END, V4_END + 1, LINE_END - 1))
PLACES = st.one_of(EDGES, st.integers(0, 300), st.integers(0, LINE_END - 1))
RANGES = st.tuples(PLACES, PLACES).map(lambda pair: (min(pair), max(pair)))
SETS = st.lists(RANGES, max_size=8).map(IpSet.of_ranges)


@given(st.lists(SETS, max_size=5, unique=True), st.lists(PLACES, min_size=1))
def test_a_mask_holds_the_bit_of_every_set_with_the_address(sets: list[IpSet], places: list[int]) -> None:
    bounds, masks = partition_addresses({addresses: 1 << i for i, addresses in enumerate(sets)})
    assert bounds == sorted(set(bounds))
    assert len(masks) == len(bounds) + 1
    assert masks[-1] == 0, "nothing lies beyond the line"
    for place in [*places, *bounds[:-1]]:
        expected = sum(1 << i for i, addresses in enumerate(sets) if place in addresses)
        assert masks[bisect_right(bounds, place)] == expected


OPERATORS = ("equal", "not_equal", "less_than", "less_than_equal", "greater_than", "greater_than_equal")
INSTANTS = st.sampled_from(
    ("1970-01-01T00:00:00Z", "1970-01-01 00:00:01", "1970-01-01T00:00:01.5Z", "1970-01-01T00:00:01.1Z",
     "1970-01-01T00:00:01.100000001Z", "2026-03-10T12:00:00Z", "9999-12-31T23:59:59.999999999Z")
)  # fmt: skip


def clause(operator: str, values: list[str]) -> Clause:
    condition = {f"date_{operator}": {"qcs:current_time": values}}
    return policy("one", allow("*", **condition)).statements[0].condition[0]


CLAUSES = st.builds(clause, st.sampled_from(OPERATORS), st.lists(INSTANTS, min_size=1, max_size=3))


@given(st.lists(CLAUSES, max_size=4), st.floats(-1e12, 1e12))
def test_a_moment_has_the_bits_of_the_clauses_that_hold_then(clauses: list[Clause], moment: float) -> None:
    marks = {each: 1 << i for i, each in enumerate(clauses)}
    cuts, masks = partition_time(marks)
    instants = [float(Fraction(instant)) for each in clauses for instant in each.wanted]
    near = [m for t in instants for m in (nextafter(t, -inf), t, nextafter(t, inf))]
    for at in [moment, *near]:
        expected = sum(bit for each, bit in marks.items() if clause_truth(each, (at,), {}))
        assert masks[bisect_left(cuts, at) + bisect_right(cuts, at)] == expected
        span = interval_at(cuts, masks, at)
        assert span.begin <= at < span.end
        assert span.mask == expected
        assert span == interval_at(cuts, masks, span.begin), "the same clauses hold all along"
        assert span == interval_at(cuts, masks, nextafter(span.end, -inf))


def test_the_families_are_no_bound_where_nothing_changes() -> None:
    bounds, masks = partition_addresses({IpSet.of(["0.0.0.0/0", "::/0"]): 1})
    assert (bounds, masks) == ([0, LINE_END], [0, 1, 0])


def test_intervals_follow_each_other_and_none_is_empty() -> None:
    cuts = [1.0, nextafter(1.0, inf), 2.0]  # no moment lies between the first two
    masks = [0, 1, 2, 3, 4, 5, 6]
    found = list(intervals_of(cuts, masks))
    assert [each.mask for each in found] == [0, 1, 3, 4, 5, 6]
    assert all(before.end == after.begin for before, after in pairwise(found))
    assert all(each.begin < each.end for each in found)
