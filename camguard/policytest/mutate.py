"""Changes policies on purpose, one statement at a time, and finds the changes that no test notices.

Theory of operation. Tests are as good as the mistakes that they notice. The mistakes that people make are
made here: an effect is flipped, a statement or one of its conditions is left out, a range of addresses is one
bit wider. Then tests and invariants run against the changed bundle. Where none of them fails, the difference
of the access of both bundles says what the mistake would open and close.

Rule 1: a change after which every call is decided as before is no mistake, and is counted apart.
Rule 2: the tests hold for the unchanged bundle; otherwise every change would look noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

from camguard.analysis.causes import Side
from camguard.analysis.diff import Group, access_diff, actions_of
from camguard.analysis.invariants import prove
from camguard.bundle import Bundle
from camguard.engine.layers import Layers
from camguard.ipset import V4_END, IpSet, parse_range
from camguard.policy.keys import IP
from camguard.policy.model import Clause, Effect, Policy, Statement
from camguard.policy.patterns import STAR, star_match
from camguard.policytest.run import PolicyTests

Kind: TypeAlias = Literal["effect", "statement", "condition", "range"]
Outcome: TypeAlias = Literal["noticed", "equal", "unnoticed"]

_BITS = {True: 32, False: 128}  # of an address: IPv4 or not


class Mutant(NamedTuple):
    """One change. where: the place of what is changed. text: what is changed, in words. policy: changed."""

    kind: Kind
    statement: str
    where: str
    text: str
    policy: Policy


class Judged(NamedTuple):
    """Whether a change is noticed. groups: what an unnoticed one opens and closes, riskiest first."""

    mutant: Mutant
    outcome: Outcome
    groups: tuple[Group, ...] = ()


def judge_of(bundle: Bundle, tests: PolicyTests) -> Callable[[Mutant], Judged]:
    """Return a function that says whether a test or an invariant notices a change of a bundle."""
    before, people = Side(bundle), bundle.people.layers

    def judge(mutant: Mutant) -> Judged:
        policies = {**bundle.policies, mutant.policy.id: mutant.policy}
        changed = replace(bundle, policies=policies, evaluator=bundle.evaluator.changed(policies))
        bound = tuple(name for name, layers in people.items() if _has(layers, mutant.policy.id))
        if _noticed(tests, changed, frozenset(bound)):
            return Judged(mutant, "noticed")
        after = Side(changed)
        groups = access_diff(before, after, bound, actions_of(before, after))
        return Judged(mutant, "unnoticed" if groups else "equal", groups)

    return judge


def _has(layers: Layers, policy: str) -> bool:
    return policy in {
        *layers.identity,
        layers.boundary,
        *(name for level in layers.account for name in level),
    }


def _noticed(tests: PolicyTests, changed: Bundle, bound: Collection[str]) -> bool:
    """Return whether a test or invariant about the principals that are bound by a change fails."""
    cases = (case for suite in tests.suites for case in suite.cases if case.call.principal in bound)
    if any(case.expected.differs_from(changed.decide(case.call)) for case in cases):
        return True
    about = (
        stated.invariant
        for stated in tests.invariants
        if not {*stated.invariant.space.principals, *(stated.invariant.other or ())}.isdisjoint(bound)
    )
    return any(prove(changed, invariant) is not None for invariant in about)


# --- the changes ----------------------------------------------------------------------------------------


def mutants_of(bundle: Bundle, policies: str = STAR) -> tuple[Mutant, ...]:
    """Return every change of the policies that a pattern names, in the order of their documents."""
    return tuple(
        mutant
        for name, policy in sorted(bundle.policies.items())
        if star_match(policies, name)
        for at, statement in enumerate(policy.statements)
        for mutant in _of_statement(policy, at, statement)
    )


def _of_statement(policy: Policy, at: int, statement: Statement) -> Iterator[Mutant]:
    def changed(*instead: Statement) -> Policy:
        return replace(policy, statements=(*policy.statements[:at], *instead, *policy.statements[at + 1 :]))

    flipped = Effect.DENY if statement.effect is Effect.ALLOW else Effect.ALLOW
    found = statement.id, statement.where
    yield Mutant("statement", *found, "left out", changed())
    text = f"{flipped} instead of {statement.effect}"
    yield Mutant("effect", *found, text, changed(replace(statement, effect=flipped)))
    for number, clause in enumerate(statement.condition):
        others = statement.condition[:number], statement.condition[number + 1 :]
        without = replace(statement, condition=(*others[0], *others[1]))
        text = f"without the condition {clause.text} {clause.key}"
        yield Mutant("condition", statement.id, clause.where, text, changed(without))
        for wider, text, where in _wider(clause):
            instead = replace(statement, condition=(*others[0], wider, *others[1]))
            yield Mutant("range", statement.id, where, text, changed(instead))


def _wider(clause: Clause) -> Iterator[tuple[Clause, str, str]]:
    """Yield a clause on the address with each of its ranges one bit wider, in words, and the place."""
    if clause.key != IP or clause.addresses is None:
        return
    for number, (text, _, where) in enumerate(clause.placed()):
        wide = _one_bit_wider(text)
        if wide is None:
            continue
        wanted = (*clause.wanted[:number], parse_range(wide), *clause.wanted[number + 1 :])
        values = (*clause.values[:number], wide, *clause.values[number + 1 :])
        wider = replace(clause, values=values, wanted=wanted, addresses=IpSet.of_ranges(wanted))
        yield wider, f"{wide} instead of {text}", where


def _one_bit_wider(text: str) -> str | None:
    """Return the block that is twice as large, or None for all addresses of a family.

    >>> _one_bit_wider("10.1.0.0/16"), _one_bit_wider("10.1.2.3"), _one_bit_wider("0.0.0.0/0")
    ('10.0.0.0/15', '10.1.2.2/31', None)
    """
    first, last = parse_range(text)
    bits = _BITS[first < V4_END]
    length = bits - (last - first).bit_length()
    if length == 0:
        return None
    (address,) = IpSet.of_ranges([(first, last)]).cidrs()
    first, last = parse_range(f"{address.partition('/')[0]}/{length - 1}")
    (wide,) = IpSet.of_ranges([(first, last)]).cidrs()
    return wide


def share_noticed(judged: Sequence[Judged]) -> float:
    """Return the percentage of changes of access that are noticed; 100 where no change is counted."""
    outcomes = [each.outcome for each in judged if each.outcome != "equal"]
    return 100.0 * outcomes.count("noticed") / len(outcomes) if outcomes else 100.0
