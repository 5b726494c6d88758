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

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from camguard.analysis.alike import alike_in
from camguard.analysis.answers import Answer, Question, Word, answers_of, named_as_called
from camguard.bounded_cache import BoundedCache, as_short_as_any
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.engine.evaluator import PRINCIPAL_UNKNOWN, Evaluator
from camguard.engine.intervals import TimeInterval, interval_at, intervals_of
from camguard.engine.layers import Layers
from camguard.engine.table import Table
from camguard.ipset import LINE_END, NO_ADDRESS, IpSet
from camguard.policy.model import Policy

MOST_KEPT = 8_192  # windows that a reader keeps for calls that share them
_STRETCHES = 256  # partitions of an address line by the bits of one row
MOST_TABLES = 256  # that a reader keeps, each with its rows; questions go from principal to principal


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
Tables: TypeAlias = Callable[[str], Table | None]  # of principals


class Answers(NamedTuple):
    """What is decided under each mask of a table; actions whose answers are the same share one object.

    table: None where one answer holds for every call. used: the bits of a mask that matter. of: takes a mask
    of used bits.
    """

    table: Table | None
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
    known: BoundedCache[Answers, tuple[Window, ...]] = BoundedCache(entries=MOST_KEPT)
    tables = tables or tables_of(evaluator, session)
    answers_for = answers_reader(evaluator, tables, alike_in(evaluator), resource=resource)
    stretches = BoundedCache(stretches_of, entries=_STRETCHES)

    def read(principal: str, action: str) -> AccessSet:
        answers = answers_for(principal, action)
        windows = known.get(answers)
        if windows is None:
            windows = known[answers] = _windows(answers, time, stretches)
        return AccessSet(principal, action, windows)

    return read


def tables_of(evaluator: Evaluator, session: Policy | None = None, *, kept: int = MOST_TABLES) -> Tables:
    """Return a function from a principal to its table; None for an unknown principal.

    session: the session policy that limits the calls. kept: how many tables are kept for principals with the
    same layers, who share a table.
    """
    tables: BoundedCache[Layers, Table] = BoundedCache(
        lambda layers: evaluator.new_table(layers, session), entries=kept, size=as_short_as_any
    )

    def table_of(principal: str) -> Table | None:
        layers = evaluator.layers(principal)
        return None if layers is None else tables[layers]

    return table_of


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
    readings: BoundedCache[Table, _Reading] = BoundedCache(
        lambda table: _Reading(table, first_of(table), {}, {}), entries=kept, size=as_short_as_any
    )
    constants = BoundedCache(_constant, entries=MOST_KEPT, size=as_short_as_any)
    own: BoundedCache[tuple[object, ...], Answers] = BoundedCache(entries=MOST_KEPT)

    def read(principal: str, action: str) -> Answers:
        table = tables(principal)
        if table is None:
            return constants[PRINCIPAL_UNKNOWN]
        reading = readings[table]
        first = reading.first_of.get(action, action)
        answers = reading.answers.get(first)
        return new_answers(reading, principal, first) if answers is None else answers

    def new_answers(reading: _Reading, principal: str, action: str) -> Answers:
        row, traits = reading.table.row(action), evaluator.traits(action)
        if row is None or traits is None:
            return constants[evaluator.decide(Call(principal, action, 0, 0.0))]
        if isinstance(row, Decision):
            return reading.answers.setdefault(action, constants[row])
        # What makes two actions of one row different: which tags and which access the catalog supplies, and
        # other names that policies are asked for. What makes two principals of one row different: the values
        # of variables, where a resource is given.
        tags = tuple(each.supports_tags for each in traits.cam_actions)
        key = row, tags, None if named_as_called(traits) else action
        whose = (principal, action) if row.names_caller else (principal, "")
        personal = row.names_caller or (resource is not None and (row.has_variables or row.reads_tags))
        answers = own.get((key, whose)) if personal else reading.by_row.get(key)
        if answers is None:
            question = Question(evaluator, row, traits, principal, resource)
            answers = Answers(reading.table, row.used_bits, answers_of(question))
            if personal:
                own[key, whose] = answers
            else:
                reading.by_row[key] = answers
        return answers if personal else reading.answers.setdefault(action, answers)

    return read


def _constant(decision: Decision) -> Answers:
    answer = Answer(decision, decision.statements)
    return Answers(None, 0, lambda _: answer)


class _Reading(NamedTuple):
    """What a reader keeps of one table. first_of: as `alike_in` returns it. answers: by first action."""

    table: Table
    first_of: Mapping[str, str]
    answers: dict[str, Answers]
    by_row: dict[tuple[object, ...], Answers]


# --- cutting address line and time ---------------------------------------------------------------------


def _windows(
    answers: Answers, time: float | None, stretches: Mapping[tuple[Table, int], tuple[Stretch, ...]]
) -> tuple[Window, ...]:
    table, used = answers.table, answers.used
    if table is None:
        (interval,) = intervals_of((), (0,))
        return (Window(interval.begin, interval.end, (Range(0, LINE_END - 1, answers.of(0)),)),)
    intervals: Iterable[TimeInterval] = (
        intervals_of(table.cuts, table.time_masks)
        if time is None
        else [interval_at(table.cuts, table.time_masks, time)]
    )
    line = stretches[table, used]
    known: dict[int, tuple[Range, ...]] = {}
    windows: list[Window] = []
    for begin, end, mask in intervals:
        ranges = known.get(mask & used)
        if ranges is None:
            ranges = known[mask & used] = tuple(_ranges(line, mask & used, answers.of))
        if windows and windows[-1].ranges == ranges:
            begin = windows.pop().begin  # noqa: PLW2901 - the window before continues
        windows.append(Window(begin, end, ranges))
    return tuple(windows)


class Stretch(NamedTuple):
    """Addresses from `first` to `last`, both included, for which the same conditions hold."""

    first: int
    last: int
    mask: int


def stretches_of(of: tuple[Table, int]) -> tuple[Stretch, ...]:
    """Return the stretches of the address line of a table in their order; neighbours differ in used bits."""
    return tuple(_stretches(*of))


def _stretches(table: Table, used: int) -> Iterator[Stretch]:
    first = current = 0
    for begin, end, mask in zip((0, *table.bounds), (*table.bounds, LINE_END), table.masks, strict=True):
        if begin == end or NO_ADDRESS[0] <= begin < end <= NO_ADDRESS[1]:
            continue  # no address lies there: the stretch before continues
        if mask & used != current and begin > 0:
            yield Stretch(first, begin - 1, current)
            first = begin
        current = mask & used
    yield Stretch(first, LINE_END - 1, current)


def _ranges(
    stretches: Iterable[Stretch], time_mask: int, answer_of: Callable[[int], Answer]
) -> Iterator[Range]:
    """Yield the ranges of an interval of time; neighbouring ranges have different answers."""
    first, before, current = 0, 0, None
    for begin, last, mask in stretches:
        answer = answer_of(mask | time_mask)
        if current is not None and answer is not current and answer != current:
            yield Range(first, before, current)
            first = begin
        before, current = last, answer
    if current is not None:
        yield Range(first, before, current)
