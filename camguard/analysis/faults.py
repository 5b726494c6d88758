"""Finds the parts of access sets in which something else is decided than is expected.

Rule 1: an answer that depends on conditions is neither `allow` nor `deny`, so it is a fault where one of the
        two is expected.
Rule 2: two answers are the same if they depend on the same conditions, whatever the statements behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from camguard.analysis.access import Range, Window
from camguard.analysis.answers import Alternative, Answer
from camguard.analysis.grid import Interval
from camguard.analysis.questions import through
from camguard.bounded_cache import BoundedCache
from camguard.engine.attributes import bindings_of
from camguard.ipset import AddressMap, IpSet
from camguard.policy.patterns import fill, read_template
from camguard.policy.resources import Owner

Expected: TypeAlias = Literal["allow", "deny", "as the other"]


class Fault(NamedTuple):
    """A part of the space in which something else is decided, or can be.

    places: addresses of clients. answer: what is decided there. other: what is decided of the other principal
    or action, if there is one.
    """

    expected: Expected
    begin: float
    end: float
    places: IpSet
    answer: Answer
    other: Answer | None = None


class Windows(NamedTuple):
    """The windows of one principal for one action."""

    principal: str
    windows: tuple[Window, ...]


Judge: TypeAlias = Callable[[Windows, Windows], tuple[Fault, ...]]


def _remembering(judge: Judge, key_of: Callable[[Windows], object]) -> Judge:
    """Return a judge that judges windows once: calls that share them share the object.

    key_of: what decides; windows by their id.
    """
    known: BoundedCache[tuple[object, object], tuple[Windows, Windows, tuple[Fault, ...]]] = BoundedCache()

    def remembered(mine: Windows, theirs: Windows) -> tuple[Fault, ...]:
        key = key_of(mine), key_of(theirs)
        found = known.get(key)
        if found is None:
            # The windows are kept, so that no other windows get their id.
            found = known[key] = mine, theirs, judge(mine, theirs)
        return found[2]

    return remembered


def judge_windows(
    wanted: Sequence[tuple[IpSet, Expected]], times: Sequence[Interval], egress: AddressMap
) -> Judge:
    """Return a judge of what is expected of clients with some addresses at some times."""

    def judge(mine: Windows, _theirs: Windows) -> tuple[Fault, ...]:
        parts = tuple(_during(mine.windows, times))
        # Windows in which the same conditions on time hold share their ranges.
        shared = {id(ranges): ranges for _, _, ranges in parts}
        wrong = {key: [*_wrong(through(ranges, egress), wanted)] for key, ranges in shared.items()}
        return tuple(
            Fault(expected, begin, end, places, answer)
            for begin, end, ranges in parts
            for expected, answer, places in wrong[id(ranges)]
        )

    return _remembering(judge, lambda each: id(each.windows))


def _wrong(
    ranges: Sequence[Range], wanted: Iterable[tuple[IpSet, Expected]]
) -> Iterator[tuple[Expected, Answer, IpSet]]:
    """Yield the answers that are not the expected ones, each with those of some addresses that have it."""
    for addresses, expected in wanted:
        found: dict[Answer, list[tuple[int, int]]] = {}
        for each in ranges:
            if each.answer.word != expected:
                found.setdefault(each.answer, []).append((each.first, each.last))
        for answer, pairs in found.items():
            places = IpSet.of_ranges(pairs) & addresses
            if places.starts:
                yield expected, answer, places


def judge_pairs(addresses: IpSet, times: Sequence[Interval], egress: AddressMap, owner: Owner) -> Judge:
    """Return a judge that expects of both the same decisions of clients with some addresses at some times."""

    def judge(mine: Windows, theirs: Windows) -> tuple[Fault, ...]:
        forms = _forms(mine.principal, owner), _forms(theirs.principal, owner)
        return tuple(
            Fault("as the other", begin, end, places, *answers)
            for one_begin, one_end, one in _during(mine.windows, times)
            for begin, end, other in _during(theirs.windows, ((one_begin, one_end),))
            for answers, places in _different(through(one, egress), through(other, egress), forms)
            for places in [places & addresses]
            if places.starts
        )

    return _remembering(judge, lambda each: (id(each.windows), each.principal))


_Form: TypeAlias = Callable[[Answer], object]


def _different(
    ones: Sequence[Range], others: Sequence[Range], forms: tuple[_Form, _Form]
) -> Iterator[tuple[tuple[Answer, Answer], IpSet]]:
    """Yield each pair of answers that do not decide the same, with the addresses that have it."""
    found: dict[tuple[Answer, Answer], list[tuple[int, int]]] = {}
    mine = theirs = 0
    for last in sorted({each.last for each in (*ones, *others)}):
        one, other = ones[mine], others[theirs]
        if not _same(one.answer, other.answer, forms):
            first = max(one.first, other.first)
            found.setdefault((one.answer, other.answer), []).append((first, last))
        mine += one.last == last
        theirs += other.last == last
    for answers, pairs in found.items():
        yield answers, IpSet.of_ranges(pairs)


def _same(one: Answer, other: Answer, forms: tuple[_Form, _Form]) -> bool:
    """Return whether two answers decide the same, whatever the statements behind them."""
    return one.word == other.word and forms[0](one) == forms[1](other)


def _forms(principal: str, owner: Owner) -> _Form:
    """Return a function from an answer to what it depends on, with the variables of a principal filled in.

    The statements and layers that the conditions are of make no difference.
    """
    bindings = bindings_of(principal, owner)

    def filled(text: str) -> str | None:
        """Return None for a variable without a value: what it is compared with is unknown, whatever it is."""
        return fill(read_template(text) or text, bindings)

    def sets(alternatives: Iterable[Alternative]) -> frozenset[object]:
        return frozenset(
            frozenset((c.key, c.operator, tuple(map(filled, c.values))) for c in each.conditions)
            for each in alternatives
        )

    def form(answer: Answer) -> object:
        return frozenset(sets(need.alternatives) for need in answer.needs), sets(answer.unless)

    return form


def _during(
    windows: Iterable[Window], times: Iterable[Interval]
) -> Iterator[tuple[float, float, tuple[Range, ...]]]:
    """Yield the parts of windows that lie in some times."""
    times = tuple(times)
    for window in windows:
        for begin, end in times:
            first, last = max(window.begin, begin), min(window.end, end)
            if first < last:
                yield first, last, window.ranges
