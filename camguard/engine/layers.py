"""The sets of policies that apply to a principal, in the order of evaluation (CAM 10).

Rule 1: every limiting layer must allow and no layer may deny; the limits of a layer grant nothing by
        themselves.
Rule 2: principals with the same policies share one `Layers` object, which is the key of their table.
Rule 3: a policy that is attached but missing counts as a deny that cannot be evaluated (DEC-40).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from camguard.policy.document import parse_policy
from camguard.policy.model import Clause, Policy, Statement

ACCOUNT, IDENTITY, BOUNDARY, SESSION, GENERAL = "account", "identity", "boundary", "session", "general"

# Six operations require a second factor of every principal (CAM 10.5, DEC-42): they are denied unless one of
# two keys proves it. The language has no operator for that, so the clauses are built in `_unless`.
_SIX = parse_policy(
    """{"version": "2.0", "statement": [{"effect": "deny", "resource": "*",
        "action": ["account:QueryKeyBySecretId", "account:SetSafeAuthFlag", "account:BindToken",
                   "account:UnbindToken", "account:ModifyMail", "account:ModifyPhoneNum"],
        "condition": {"string_equal": {"mfa": "1"}, "bool_equal": {"qcs:mfa": "true"}}}]}""",
    source=GENERAL,
)


def _unless(clause: Clause) -> Clause:
    """Return the clause that holds where another does not hold, and where its key is absent."""
    name = clause.operator.name.replace("_equal", "_not_equal")
    operator = replace(clause.operator, name=name)
    return replace(clause, text=f"{name}_if_exist", operator=operator, if_exist=True)


SECOND_FACTOR = replace(
    _SIX,
    statements=tuple(replace(s, condition=tuple(map(_unless, s.condition))) for s in _SIX.statements),
)


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: Rule 2
class Layers:
    """The policies of a principal, by id.

    account: the levels of the organisation, outermost first; each must allow. identity: the principal's own
    policies, then those of its groups, each once. root: whether the principal is the owner, for which
    the identity layer allows every action on resources of its own account (CAM 10.3).
    """

    root: bool
    account: tuple[tuple[str, ...], ...]
    identity: tuple[str, ...]
    boundary: str | None


@dataclass(frozen=True, slots=True)
class Layer:
    """One set of policies. parts: its statements, and the ids of attached policies that do not exist."""

    name: str
    limits: bool  # False: the layer can only deny
    open: bool  # True for root: the layer allows everything on resources of the account
    parts: tuple[Statement | str, ...]

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The statements, in the order of their documents."""
        return tuple(part for part in self.parts if isinstance(part, Statement))

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids of attached policies that do not exist."""
        return tuple(part for part in self.parts if isinstance(part, str))


def resolve(layers: Layers, policies: Mapping[str, Policy], session: Policy | None) -> Iterator[Layer]:
    """Yield the layers in the order of evaluation (CAM 10.2)."""
    for level in layers.account:
        yield _layer(ACCOUNT, level, policies)
    yield _layer(IDENTITY, layers.identity, policies, root=layers.root)
    if layers.boundary is not None:
        yield _layer(BOUNDARY, (layers.boundary,), policies)
    if session is not None:
        yield _layer(SESSION, (session.id,), MappingProxyType({session.id: session}))
    yield Layer(GENERAL, limits=False, open=False, parts=SECOND_FACTOR.statements)


def _layer(name: str, ids: tuple[str, ...], policies: Mapping[str, Policy], *, root: bool = False) -> Layer:
    parts: list[Statement | str] = []
    for policy in ids:
        parts += policies[policy].statements if policy in policies else (policy,)
    return Layer(name, limits=True, open=root, parts=tuple(parts))
