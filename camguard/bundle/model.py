"""A bundle: policies, principals and catalog that were loaded together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from camguard.catalog.model import Catalog
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.engine.evaluator import Evaluator
from camguard.engine.explain import Explanation, explain
from camguard.engine.principals import Principals
from camguard.engine.remediation import Change, nearest_changes
from camguard.policy.model import Policy
from camguard.policy.resources import Owner

if TYPE_CHECKING:  # at run time only an activation loads lint
    from camguard.lint import Findings, GrantsNothing


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Bundle:
    """One immutable state of everything that a decision depends on. One request uses one bundle.

    revision: hex SHA-256 of the content that the bundle was built from.
    granting_nothing: the policies that can grant nothing here, and why; empty where that was not looked for.
    decide: returns whether a call passes, and why; raises nothing. It is the bound method of the evaluator,
        so that a decision costs one function call.
    findings: what lint found when the bundle was loaded; None if it was made of policies without documents.
    token: distinguishes this bundle from every other one, for those who must not keep a bundle alive.
    """

    revision: str
    catalog: Catalog
    policies: Mapping[str, Policy]
    people: Principals
    evaluator: Evaluator
    findings: Findings | None = None
    granting_nothing: tuple[GrantsNothing, ...] = ()
    decide: Callable[[Call], Decision] = field(init=False)
    token: object = field(init=False, default_factory=object, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decide", self.evaluator.decide)

    @property
    def owner(self) -> Owner:
        """The root account, with uin and APPID."""
        return self.people.owner

    @property
    def statement_count(self) -> int:
        """The number of statements in all policies."""
        return sum(len(policy.statements) for policy in self.policies.values())

    def explain(self, call: Call) -> Explanation:
        """Return the decision of a call, statement by statement. Raises nothing."""
        return explain(self.evaluator, call)

    def nearest_changes(self, call: Call, why: Explanation) -> tuple[Change, ...]:
        """Return the smallest changes after which a refused call would pass."""
        return nearest_changes(self.evaluator, self.policies, call, why)

    def table_stats(self) -> tuple[int, int, int]:
        """Return hits and misses of the cache of compiled tables, and how many tables it contains."""
        return self.evaluator.stats()
