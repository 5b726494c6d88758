"""The access set of a principal and an action: from where, when, and under which conditions a call passes.

Rule 1: an access set is read off the table and the rows that decide calls, so that the two cannot disagree.
Rule 2: it is for calls that have an address, a time and one resource. A call without address or time can be
        refused where the set allows it, because a condition on the missing value is unknown.
Rule 3: principals with the same `Layers` share the work, and so do actions that share a row. Only the first
        one of the actions that a table cannot tell apart (`camguard.analysis.alike`) gets a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from camguard.analysis.alike import alike_in
from camguard.analysis.answers import Answer, Question, Word, answers_of, named_as_called
from camguard.bounded_cache import BoundedCache
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.engine.evaluator import PRINCIPAL_UNKNOWN, Evaluator
from camguard.engine.intervals import TimeInterval, interval_at, intervals_of
from camguard.engine.row import ActionRules
from camguard.engine.table import Table
from camguard.ipset import LINE_END, NO_ADDRESS, IpSet
from camguard.policy.model import Policy

MOST_KEPT = 8_192  # windows that a reader keeps for calls that share them
_PRINCIPALS = 64  # that a reader keeps windows of; questions go from principal to principal


class Range(NamedTuple):
    """Addresses from `first` to `last`, both included, and what is decided there."""

    first: int
    last: int
    answer: Answer


class Window(NamedTuple):
    """Ranges that cover the address line, from the moment `begin` to before `end` (seconds since 1970)."""

    begin: float
    end: float
    ranges: tuple[Range, ...]

    def places(self, word: Word) -> IpSet:
        """Return the addresses with one answer."""
        return IpSet.of_ranges((each.first, each.last) for each in self.ranges if each.answer.word == word)


class AccessSet(NamedTuple):
    """The windows of a principal and an action, in the order of time."""

    principal: str
    action: str
    windows: tuple[Window, ...]

    def at(self, moment: float) -> Window:
        """Return the window of a finite moment. Raises LookupError if the set was not read for it."""
        for window in self.windows:
            if window.begin <= moment < window.end:
                return window
        raise LookupError(moment)


Reader: TypeAlias = Callable[[str, str], AccessSet]


def access_set(  # noqa: PLR0913 - what a question fixes
    evaluator: Evaluator,
    principal: str,
    action: str,
    resource: str | None = None,
    time: float | None = None,
    *,
    session: Policy | None = None,
) -> AccessSet:
    """Return one access set; `access_reader` says what the arguments are."""
    return access_reader(evaluator, resource=resource, time=time, session=session)(principal, action)


def access_reader(
    evaluator: Evaluator,
    *,
    resource: str | None = None,
    time: float | None = None,
    session: Policy | None = None,
) -> Reader:
    """Return a function from principal and action to their access set. The function raises nothing.

    resource: the one resource of the calls, or None to leave it open. An inventory settles the conditions on
        the tags of a given resource. time: seconds since 1970; the set then has the window of that time only.
        session: the session policy that limits the calls.
    """
    known: BoundedCache[tuple[object, ...], tuple[Window, ...]] = BoundedCache(entries=MOST_KEPT)
    first_of = alike_in(evaluator)

    def begin(principal: str) -> _Reading:
        table = evaluator.table(principal, session)
        return _Reading(table, {} if table is None else first_of(table), {})

    readings = BoundedCache(begin, entries=_PRINCIPALS)

    def read(principal: str, action: str) -> AccessSet:
        reading = readings[principal]
        first = reading.first_of.get(action, action)
        windows = reading.windows.get(first)
        if windows is None:
            windows = reading.windows[first] = windows_of(reading.table, principal, first)
        return AccessSet(principal, action, windows)

    def windows_of(table: Table | None, principal: str, action: str) -> tuple[Window, ...]:
        if table is None:
            return _everywhere(PRINCIPAL_UNKNOWN)
        row, traits = table.row(action), evaluator.traits(action)
        if row is None or traits is None:
            return _everywhere(evaluator.decide(Call(principal, action, 0, 0.0)))
        # What makes two actions of one row different: which tags and which access the catalog supplies, and
        # other names that policies are asked for. What makes two principals of one row different: the values
        # of variables, where a resource is given.
        key: tuple[object, ...] = (row,)
        if not isinstance(row, Decision):
            tags = tuple(asked.supports_tags for asked in traits.asked)
            names = None if named_as_called(traits) else action
            own = principal if resource is not None and (row.has_variables or row.reads_tags) else None
            key = row, tags, names, own, (principal, action) if row.names_caller else None
        windows = known.get(key)
        if windows is None:
            windows = known[key] = (
                _everywhere(row)
                if isinstance(row, Decision)
                else _windows(
                    table, row, time, answers_of(Question(evaluator, row, traits, principal, resource))
                )
            )
        return windows

    return read


class _Reading(NamedTuple):
    """What a reader keeps of one principal. first_of: as `alike_in` returns it. windows: by first action."""

    table: Table | None
    first_of: Mapping[str, str]
    windows: dict[str, tuple[Window, ...]]


def _everywhere(decision: Decision) -> tuple[Window, ...]:
    (interval,) = intervals_of((), (0,))
    answer = Answer(decision, decision.statements)
    return (Window(interval.begin, interval.end, (Range(0, LINE_END - 1, answer),)),)


# --- cutting address line and time ---------------------------------------------------------------------


def _windows(
    table: Table, row: ActionRules, time: float | None, answer_of: Callable[[int], Answer]
) -> tuple[Window, ...]:
    used = row.used_bits
    intervals: Iterable[TimeInterval] = (
        intervals_of(table.cuts, table.time_masks)
        if time is None
        else [interval_at(table.cuts, table.time_masks, time)]
    )
    known: dict[int, tuple[Range, ...]] = {}
    windows: list[Window] = []
    for begin, end, mask in intervals:
        ranges = known.get(mask & used)
        if ranges is None:
            ranges = known[mask & used] = tuple(_ranges(table, used, mask, answer_of))
        if windows and windows[-1].ranges == ranges:
            begin = windows.pop().begin  # noqa: PLW2901 - the window before continues
        windows.append(Window(begin, end, ranges))
    return tuple(windows)


def _ranges(table: Table, used: int, time_mask: int, answer_of: Callable[[int], Answer]) -> Iterator[Range]:
    """Yield the ranges of an interval of time; neighbouring ranges have different answers."""
    first, current, previous = 0, None, None
    for begin, end, mask in zip((0, *table.bounds), (*table.bounds, LINE_END), table.masks, strict=True):
        bits = (mask | time_mask) & used
        if bits == previous or begin == end or NO_ADDRESS[0] <= begin < end <= NO_ADDRESS[1]:
            continue  # nothing changes, or no address lies there: the range before continues
        previous = bits
        answer = answer_of(bits)
        if current is not None and answer is not current and answer != current:
            yield Range(first, begin - 1, current)
            first = begin
        current = answer
    if current is not None:
        yield Range(first, LINE_END - 1, current)
