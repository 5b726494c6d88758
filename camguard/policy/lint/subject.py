"""One statement as the checks see it: what it names, what it can touch, where it stands."""

from __future__ import annotations

from dataclasses import dataclass

from camguard.catalog.model import Granularity
from camguard.policy.actions import covers_service
from camguard.policy.lint.roster import Named, Roster
from camguard.policy.lint.spots import Spots
from camguard.policy.model import Effect, Policy, Statement
from camguard.policy.star import STAR


@dataclass(frozen=True, slots=True)
class Subject:
    """One statement, spread over the catalog.

    named: for each action pattern what it names. all_named: all of them together.
    touched: the actions of which some call may meet both the action and the resource element.
    """

    policy: Policy
    statement: Statement
    spots: Spots
    roster: Roster
    judges_every_address: bool  # ip_support is "gateway"
    named: tuple[Named, ...]
    all_named: Named
    touched: int

    @property
    def allows(self) -> bool:
        """Whether the statement is an allow."""
        return self.statement.effect is Effect.ALLOW

    @property
    def outcome(self) -> str:
        """What becomes of a statement that cannot be known."""
        return "nothing is granted" if self.allows else "every call is blocked"


def make_subject(policy: Policy, at: int, spots: Spots, roster: Roster, *, every_address: bool) -> Subject:
    """Return the subject of statement number `at`."""
    statement = policy.statements[at]
    named = tuple(roster.named(pattern, statement.effect) for pattern in statement.actions)
    sure = doubtful = 0
    for each in named:
        sure |= each.sure
        doubtful |= each.doubtful
    both = Named(sure, doubtful & ~sure)
    touched = _touched(statement, both, roster)
    return Subject(policy, statement, spots, roster, every_address, named, both, touched)


def _touched(statement: Statement, named: Named, roster: Roster) -> int:
    touched = named.either if statement.any_resource else 0
    if statement.effect is Effect.ALLOW:
        for service in _single_out(statement, touched, roster):
            touched &= ~roster.services[service]
    if statement.any_resource:
        return touched
    for pattern in statement.patterns:
        touched |= roster.reached(pattern, statement.effect) & named.either
    if statement.effect is Effect.DENY:
        touched |= stray(statement, named, roster)
    return touched


def _single_out(statement: Statement, mask: int, roster: Roster) -> list[str]:
    """Return the service-level services of which a statement names single actions only (DEC-46)."""
    rows = roster.actions(mask & roster.by_granularity[Granularity.SERVICE])
    services = {row.service for row in rows}
    return [s for s in services if not any(covers_service(pattern, s) for pattern in statement.actions)]


def stray(statement: Statement, named: Named, roster: Roster) -> int:
    """Return the actions without resources that a deny on specific resources blocks (11.3, DEC-47.3)."""
    services = {pattern.service for pattern in statement.patterns}
    everywhere = bool(services & {"", STAR})
    blocked = 0
    aimed = named.sure & roster.resource_level
    without = named.either & ~roster.resource_level
    while without:
        service = next(roster.actions(without)).service
        mask = roster.services[service]
        if (everywhere or service in services) and not aimed & mask:
            blocked |= without & mask
        without &= ~mask
    return blocked
