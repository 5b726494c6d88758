"""The access set of a principal and an action: from where, when, and under which conditions a call passes.

Rule 1: an access set is read off the table and the rows that decide calls, so that the two cannot disagree.
Rule 2: it is for calls that have an address, a time and one resource. A call without address or time can be
        refused where the set allows it, because a condition on the missing value is unknown.
Rule 3: principals with the same `Layers` share the work, and so do actions that share a row. Only the first
        one of the actions that a table cannot tell apart (`camguard.analysis.alike`) gets a row.
Rule 4: tables are compiled for the questions and dropped after them (`tables_of`). A question about all
        principals would otherwise fill the evaluator with tables that no call needs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby, pairwise
from typing import NamedTuple, TypeAlias

from camguard.analysis.alike import alike_in
from camguard.analysis.answers import ANYWHERE, Answer, Question, Word, answers_of, named_as_called
from camguard.bounded_cache import BoundedCache, as_short_as_any
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.engine.evaluator import PRINCIPAL_UNKNOWN, Evaluator
from camguard.engine.intervals import interval_at, intervals_of
from camguard.engine.layers import Layers
from camguard.engine.table import Table
from camguard.ipset import LINE_END, NO_ADDRESS, IpSet
from camguard.policy.model import Policy

# Tables that a reader keeps, each with its rows, and address lines: questions go from principal to principal.
MOST_TABLES = 256


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
Tables: TypeAlias = Mapping[Layers, Table]


class Uncut(NamedTuple):
    """The address line and time without a cut, in the form in which a `Table` has its cuts."""

    bounds: Sequence[int]
    masks: Sequence[int]
    cuts: Sequence[float]
    time_masks: Sequence[int]


Cuts: TypeAlias = Table | Uncut
_NO_BITS = (0,)  # the masks of what has one part
UNCUT = Uncut((), _NO_BITS, (), _NO_BITS)  # of an unknown principal, whose calls all have one answer


class Answers(NamedTuple):
    """What is decided under each mask of a table; actions whose answers are the same share one object.

    cuts: those of the table; none where one answer holds for every call. used: the bits of a mask that
    matter. of: takes a mask of used bits.
    """

    cuts: Cuts
    used: int
    of: Callable[[int], Answer]


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
    tables: Tables | None = None,
) -> Reader:
    """Return a function from principal and action to their access set. The function raises nothing.

    resource: the one resource of the calls, or None to leave it open. An inventory settles the conditions on
        the tags of a given resource. time: seconds since 1970; the set then has the window of that time only.
        session: the session policy that limits the calls. tables: as `tables_of` returns them for the session
        policy, where the caller has them.
    """
    known: BoundedCache[Answers, tuple[Window, ...]] = BoundedCache()
    tables = tables_of(evaluator, session) if tables is None else tables
    answers_for = answers_reader(evaluator, tables, alike_in(evaluator), resource=resource)
    lines = BoundedCache(_stretches, entries=MOST_TABLES)

    def read(principal: str, action: str) -> AccessSet:
        answers = answers_for(principal, action)
        windows = known.get(answers)
        if windows is None:
            line = lines[answers.cuts, answers.used]
            windows = known[answers] = tuple(_windows(answers, time, line))
        return AccessSet(principal, action, windows)

    return read


def tables_of(evaluator: Evaluator, session: Policy | None = None, *, kept: int = MOST_TABLES) -> Tables:
    """Return the tables of layers, each compiled when it is looked up.

    session: the session policy that limits the calls. kept: how many tables are kept for principals with the
    same layers, who share a table.
    """
    return BoundedCache(
        lambda layers: evaluator.new_table(layers, session), entries=kept, size=as_short_as_any
    )


def answers_reader(
    evaluator: Evaluator,
    tables: Tables,
    first_of: Callable[[Table], Mapping[str, str]],
    *,
    resource: str | None = None,
    kept: int = MOST_TABLES,
) -> Callable[[str, str], Answers]:
    """Return a function from principal and action to their answers.

    tables, first_of: as `tables_of` and `alike_in` return them. resource: that of `access_reader`. kept: for
    how many tables answers are kept.
    """
    readings: BoundedCache[Layers, _Reading] = BoundedCache(
        lambda layers: _Reading(tables[layers], first_of(tables[layers]), {}, {}),
        entries=kept,
        size=as_short_as_any,
    )
    constants = BoundedCache(_constant, size=as_short_as_any)
    own: BoundedCache[tuple[object, ...], Answers] = BoundedCache()

    def read(principal: str, action: str) -> Answers:
        layers = evaluator.layers(principal)
        if layers is None:
            return constants[PRINCIPAL_UNKNOWN]
        reading = readings[layers]
        first = reading.first_of.get(action, action)
        answers = reading.answers.get(first)
        return new_answers(reading, principal, first) if answers is None else answers

    def new_answers(reading: _Reading, principal: str, action: str) -> Answers:
        row, traits = reading.table.row(action), evaluator.traits(action)
        if row is None:
            return constants[evaluator.decide(Call(principal, action, *ANYWHERE))]
        assert traits is not None  # noqa: S101 - for mypy: an action that has a row has traits
        if isinstance(row, Decision):
            return reading.answers.setdefault(action, constants[row])
        # What makes two principals of one row different: the values of variables, where a resource is given.
        personal = row.names_caller or (resource is not None and (row.has_variables or row.reads_tags))
        # What makes two actions of one row different: which tags and which access the catalog supplies, and
        # other names that policies are asked for.
        tags = tuple(each.supports_tags for each in traits.cam_actions)
        named = row.names_caller or not named_as_called(traits)
        key = row, tags, personal and principal, named and action
        known = own if personal else reading.by_row
        answers = known.get(key)
        if answers is None:
            question = Question(evaluator, row, traits, principal, resource)
            answers = known[key] = Answers(reading.table, row.used_bits, answers_of(question))
        return answers if personal else reading.answers.setdefault(action, answers)

    return read


def _constant(decision: Decision) -> Answers:
    answer = Answer(decision, decision.statements)
    return Answers(UNCUT, 0, lambda _: answer)


class _Reading(NamedTuple):
    """What a reader keeps of one table. first_of: as `alike_in` returns it. answers: by first action."""

    table: Table
    first_of: Mapping[str, str]
    answers: dict[str, Answers]
    by_row: dict[tuple[object, ...], Answers]


# --- cutting address line and time ---------------------------------------------------------------------


class _Stretch(NamedTuple):
    """Addresses from `first` to `last`, both included, for which the same conditions hold."""

    first: int
    last: int
    mask: int


def _windows(answers: Answers, time: float | None, line: Iterable[_Stretch]) -> Iterator[Window]:
    """Yield the windows of some answers. line: the stretches of the address line."""
    lines = answers.cuts.cuts, answers.cuts.time_masks
    intervals = intervals_of(*lines) if time is None else [interval_at(*lines, time)]
    ranges_under = cache(lambda mask: tuple(_ranges(line, mask, answers.of)))
    for ranges, group in groupby(intervals, lambda each: ranges_under(each.mask & answers.used)):
        joined = tuple(group)
        yield Window(joined[0].begin, joined[-1].end, ranges)


def _ranges(line: Iterable[_Stretch], time_mask: int, answer_of: Callable[[int], Answer]) -> Iterator[Range]:
    """Yield the ranges of an interval of time; neighbouring ranges have different answers."""
    for answer, group in groupby(line, lambda each: answer_of(each.mask | time_mask)):
        joined = tuple(group)
        yield Range(joined[0].first, joined[-1].last, answer)


def _stretches(of: tuple[Cuts, int]) -> tuple[_Stretch, ...]:
    """Return the stretches of an address line in their order; neighbours differ in used bits."""
    (bounds, masks), used = (of[0].bounds, of[0].masks), of[1]
    parts = parts_of(bounds)
    found = []
    for mask, group in groupby(parts, lambda part: masks[bisect_right(bounds, part[0])] & used):
        joined = tuple(group)
        found.append(_Stretch(joined[0][0], joined[-1][1] - 1, mask))
    return tuple(found)


def parts_of(bounds: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the parts of the address line between some bounds, from a place to before another one.

    Places that are no address belong to the part before them.
    """
    every = sorted({0, *bounds, LINE_END})
    begins = [begin for begin, end in pairwise(every) if begin < NO_ADDRESS[0] or NO_ADDRESS[1] < end]
    return pairwise([*begins, LINE_END])
