"""Proves what is expected of a whole space of calls, and shows a call where it is not so.

An invariant says which decision is expected of every call of a space: principals, actions, addresses, times.
It is proved by the access sets of all principals and actions of the space, so that no call is left out.

Rule 1: an invariant holds only if it is proved. Where an answer depends on conditions, a call is looked for
        that is decided otherwise; if none is found, the invariant is not proved, and that is a failure, too.
Rule 2: the space has the calls that access sets have: with an address, a time and one resource. A call of
        several resources passes only if the call of one of them does, so what is never allowed stays denied.
        Actions are those that the catalog lists, and no session policy limits a call.
Rule 3: principals with the same policies, and actions with the same rules, share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil, inf
from typing import Final, NamedTuple

from camguard.analysis.access import access_reader, tables_of
from camguard.analysis.faults import Expected, Fault, Windows, judge_pairs, judge_windows
from camguard.analysis.grid import FAR, Interval
from camguard.analysis.verdicts import judged_as, masks_of, verdicts_of
from camguard.analysis.witness import find_call
from camguard.bundle import Bundle
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.engine.layers import Layers
from camguard.engine.table import Table
from camguard.ipset import EVERY_ADDRESS, NO_MAP, AddressMap, IpSet
from camguard.policy.keys import READ_ONLY

ALWAYS: Final[tuple[Interval, ...]] = ((-inf, inf),)
MOST_SEARCHED: Final = 200  # faults of one invariant for which a call is looked for


class Space(NamedTuple):
    """The calls that an invariant is about.

    times: disjoint, in their order. resource: of all calls, or None for any. egress: the addresses that stand
    for those of clients (T132). now: a time that a counterexample should have if it can.
    """

    principals: tuple[str, ...]
    actions: tuple[str, ...]
    addresses: IpSet = EVERY_ADDRESS
    times: tuple[Interval, ...] = ALWAYS
    resource: str | None = None
    egress: AddressMap = NO_MAP
    now: float = 0.0


class Invariant(NamedTuple):
    """What is expected of a space: that no call of it is allowed, unless one of the other fields is given.

    exactly: every call from these addresses is allowed, and none from others. other: principal and action, of
    which None is that of the call: every call is decided as the same call of the other principal, or with the
    other action.
    """

    space: Space
    exactly: IpSet | None = None
    other: tuple[str | None, str | None] | None = None


class Counterexample(NamedTuple):
    """A call that an invariant excludes, and its decision.

    address: the client's, before it is mapped. other: the decision of the other principal or action.
    """

    call: Call
    decision: Decision
    address: int
    other: Decision | None


class Broken(NamedTuple):
    """Why an invariant does not hold.

    fault, principal, action: the first part of the space that is wrong. found: a call in it; None if no call
    was found, so that the invariant is not proved. principals, actions: all that have a wrong part.
    """

    fault: Fault
    principal: str
    action: str
    found: Counterexample | None
    principals: tuple[str, ...]
    actions: tuple[str, ...]


def prove(bundle: Bundle, invariant: Invariant) -> Broken | None:
    """Return None if an invariant is proved, else why it does not hold.

    The principals and the actions of the result are in the order of the space.
    """
    principals: set[str] = set()
    actions: set[str] = set()
    distinct: dict[int, _Found] = {}  # by their faults, which many principals and actions share
    for found in _faults(bundle, invariant):
        principals.update(found.principals)
        actions.update(found.actions)
        distinct.setdefault(id(found.faults), found)
    every = [(fault, found) for found in distinct.values() for fault in found.faults]
    if not every:
        return None
    listed = (
        tuple(each for each in dict.fromkeys(invariant.space.principals) if each in principals),
        tuple(each for each in dict.fromkeys(invariant.space.actions) if each in actions),
    )
    # What is decided in any case is the plainest example.
    every.sort(key=lambda each: each[0].answer.decision is None)
    for fault, found in every[:MOST_SEARCHED]:
        (action,) = found.actions
        example = _counterexample(bundle, invariant, fault, found)
        if example is not None:
            return Broken(fault, found.principals[0], action, example, *listed)
    fault, found = every[0]
    (action,) = found.actions
    return Broken(fault, found.principals[0], action, None, *listed)


class _Found(NamedTuple):
    """Principals with the same policies, actions, and the parts of them that are wrong.

    faults: those of one action; empty for actions that are surely wrong, after another one whose faults are
    shown. other: the principal that is compared with the first one; the same where none is.
    """

    principals: Sequence[str]
    actions: Sequence[str]
    faults: tuple[Fault, ...]
    other: str


def _faults(bundle: Bundle, invariant: Invariant) -> Iterator[_Found]:
    space, other, evaluator = invariant.space, invariant.other, bundle.evaluator
    tables = tables_of(evaluator)
    read = access_reader(evaluator, resource=space.resource, tables=tables)
    judge = (
        judge_pairs(space.addresses, space.times, space.egress, bundle.owner)
        if other
        else judge_windows(_wanted(invariant), space.times, space.egress)
    )
    verdict_of = _verdicts(bundle, invariant)
    places = evaluator.statements.places
    named = [(action, 1 << places[action] if action in places else 0) for action in space.actions]
    # What is compared with another principal depends on the variables of both.
    single = other is not None or space.resource is not None or READ_ONLY in evaluator.named_keys
    groups: dict[Layers, list[str]] = {}
    for principal in space.principals:
        groups.setdefault(bundle.people.layers[principal], []).append(principal)
    shown = False
    for layers, alike in groups.items():
        right, wrong = verdict_of(tables[layers])
        surely = []
        for action, bit in named:
            if bit & right:
                continue
            if shown and bit & wrong:
                surely.append(action)
                continue
            for principals in ([each] for each in alike) if single else (alike,):
                mine = Windows(principals[0], read(principals[0], action).windows)
                theirs = mine
                if other:
                    principal = other[0] or mine.principal
                    theirs = Windows(principal, read(principal, other[1] or action).windows)
                faults = judge(mine, theirs)
                if faults:
                    yield _Found(principals, [action], faults, theirs.principal)
                    shown = shown or bool(bit & wrong)
        if surely:
            yield _Found(alike, surely, (), alike[0])


def _verdicts(bundle: Bundle, invariant: Invariant) -> Callable[[Table], tuple[int, int]]:
    """Return a function from a table to two sets of actions: surely right, and surely wrong.

    A call of each action in the second set is decided otherwise than the invariant says. The access sets of
    all other actions are read.
    """
    space = invariant.space
    if invariant.other is not None:
        return lambda _: (0, 0)
    verdicts = verdicts_of(bundle.evaluator)
    wanted = [(judged_as(addresses, space.egress), expected) for addresses, expected in _wanted(invariant)]

    def verdict_of(table: Table) -> tuple[int, int]:
        under, right, wrong = verdicts(table), -1, 0
        for addresses, expected in wanted:
            for mask in masks_of(table, addresses, space.times):
                allowed, denied = under(mask)
                right &= denied if expected == "deny" else allowed
                wrong |= allowed if expected == "deny" else denied
        return right, wrong

    return verdict_of


def _wanted(invariant: Invariant) -> Sequence[tuple[IpSet, Expected]]:
    """Return what is expected of clients with some addresses. Invariants about others have no such parts."""
    addresses, exactly = invariant.space.addresses, invariant.exactly
    if exactly is None:
        return [(addresses, "deny")]
    return [(addresses & exactly, "allow"), (addresses - exactly, "deny")]


# --- a call that shows it -------------------------------------------------------------------------------


def _counterexample(
    bundle: Bundle, invariant: Invariant, fault: Fault, found: _Found
) -> Counterexample | None:
    space = invariant.space
    address = fault.places.starts[0]
    judged = space.egress.get(address)
    resources = () if space.resource is None else (space.resource,)
    time = moment_in(fault.begin, fault.end, space.now)
    (action,) = found.actions
    call = Call(found.principals[0], action, address if judged is None else judged, time, resources)

    def beside(call: Call) -> Decision | None:
        return None if invariant.other is None else bundle.decide(other_call(call, *invariant.other))

    def wanted(call: Call) -> bool:
        other = beside(call)
        expected = fault.expected == "allow" if other is None else bool(other)
        return bool(bundle.decide(call)) is not expected

    answers = [(fault.answer, call.principal)]
    if fault.other is not None:
        answers.append((fault.other, found.other))
    shown = find_call(bundle.evaluator, call, answers, wanted)
    return None if shown is None else Counterexample(shown, bundle.decide(shown), address, beside(shown))


def other_call(call: Call, principal: str | None, action: str | None) -> Call:
    """Return a call of another principal, or with another action."""
    return call._replace(principal=principal or call.principal, action=action or call.action)


def moment_in(begin: float, end: float, preferred: float) -> float:
    """Return a moment from `begin` to before `end`: the preferred one, else a whole second where one is."""
    if begin <= preferred < end:
        return preferred
    if begin < -FAR:
        return float(ceil(end) - 1)
    whole = float(ceil(begin))
    return whole if whole < end else begin
