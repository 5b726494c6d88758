"""What is doubtful in who has which policy: findings that one policy alone cannot show (codes CG6xx)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from camguard.bundle.load import PRINCIPALS
from camguard.bundle.model import Bundle
from camguard.bundle.principals import Principals
from camguard.catalog.model import Catalog
from camguard.engine.layers import Layers
from camguard.policy.lint import Finding, found
from camguard.policy.lint.spots import Spots, read_sheet
from camguard.policy.model import Effect, Policy
from camguard.policy.resources import SEGMENTS, Owner
from camguard.policy.star import STAR
from camguard.strict_json import child
from camguard.suggest import few, nearest_names

_UIN = "${uin}"


def lint_bundle(bundle: Bundle) -> Iterator[Finding]:
    """Yield the findings of a bundle as a whole; those of its policies are `lint`'s."""
    yield from lint_people(bundle.people, bundle.policies, bundle.catalog)


def lint_people(
    people: Principals,
    policies: Mapping[str, Policy],
    catalog: Catalog,
    *,
    unreadable: Collection[str] = (),
    place: str = PRINCIPALS,
) -> Iterator[Finding]:
    """Yield the findings of some principals and policies.

    unreadable: ids of policies that are there but do not load; others have said what is wrong with them.
    place: how the file of the principals is called in findings.
    """
    bound = _bound(people)
    yield from _missing(bound, _levels(people), {*policies, *unreadable}, place)
    for name in sorted(policies.keys() - bound.keys()):
        yield found("CG601", policies[name].source, f"policy {name!r} is attached to nobody")
    yield from _limits(people, policies, place)
    yield from _helpless(people, policies, place)
    for name, policy in policies.items():
        yield from _foreign_accounts(policy, people.owner, catalog)
        roles = [who for who in bound.get(name, ()) if who.startswith("role/")]
        if roles:
            yield from _nameless(policy, roles)


def _bound(people: Principals) -> dict[str, list[str]]:
    """Return whom each policy binds, in whichever layer."""
    bound: dict[str, list[str]] = {}
    for principal, layers in people.layers.items():
        for name in _policies_of(layers):
            bound.setdefault(name, []).append(principal)
    return bound


def _policies_of(layers: Layers) -> set[str]:
    limits = {name for level in layers.account for name in level}
    return {*limits, *layers.identity, *([layers.boundary] if layers.boundary is not None else [])}


def _spot(place: str, principal: str) -> str:
    kind, _, name = principal.partition("/")
    return child(f"{place}#/{'users' if kind == 'uin' else 'roles'}", name)


def _levels(people: Principals) -> tuple[tuple[str, ...], ...]:
    """Return the account levels, which are the same for everybody; the owner is always there."""
    return next(iter(people.layers.values())).account


def _missing(
    bound: Mapping[str, list[str]], levels: tuple[tuple[str, ...], ...], there: Collection[str], place: str
) -> Iterator[Finding]:
    for name in sorted(bound.keys() - there):
        level = next((f"{place}#/account/{i}" for i, level in enumerate(levels) if name in level), None)
        message = f"policy {name!r} is not here; every call of {few(bound[name])} is refused"
        near = " or ".join(nearest_names(name, there))
        yield found("CG602", level or _spot(place, bound[name][0]), message, near)


def _allows(names: Collection[str], policies: Mapping[str, Policy]) -> bool:
    """Tell whether something is allowed, as far as the policies are here to tell."""
    return any(
        name not in policies or any(s.effect is Effect.ALLOW for s in policies[name].statements)
        for name in names
    )


def _limits(people: Principals, policies: Mapping[str, Policy], place: str) -> Iterator[Finding]:
    """Find account levels and boundaries without an allow."""
    for i, level in enumerate(_levels(people)):
        if not _allows(level, policies):
            message = "this level allows nothing: every call is refused, the owner's too"
            yield found("CG604", f"{place}#/account/{i}", message, 'a policy that allows "*" on "*"')
    boundaries: dict[str, list[str]] = {}
    for principal, layers in people.layers.items():
        if layers.boundary is not None:
            boundaries.setdefault(layers.boundary, []).append(principal)
    for name, principals in sorted(boundaries.items()):
        if not _allows([name], policies):
            message = (
                f"as the boundary of {few(principals)} it allows nothing: every call of theirs is refused"
            )
            yield found("CG603", policies[name].source, message, "an allow of what they may do at most")


def _helpless(people: Principals, policies: Mapping[str, Policy], place: str) -> Iterator[Finding]:
    """Find principals who are allowed nothing, those with the same policies together."""
    alike: dict[Layers, list[str]] = {}
    for principal, layers in people.layers.items():
        if not layers.root and not _allows(layers.identity, policies):
            alike.setdefault(layers, []).append(principal)
    for layers, principals in alike.items():
        why = "only policies that deny" if layers.identity else "no policy"
        message = f"{few(principals)}: {why}, so every call is refused"
        yield found("CG605", _spot(place, principals[0]), message)


def _foreign_accounts(policy: Policy, owner: Owner, catalog: Catalog) -> Iterator[Finding]:
    own = owner.account("")
    if all(owner.account(p.account) == own for s in policy.statements for p in s.patterns):
        return
    printed = {
        text.split(":", SEGMENTS - 1)[4]
        for row in catalog.actions.values()
        for text in row.resources
        if text != STAR
    }
    for statement, spots in zip(policy.statements, read_sheet(policy).statements, strict=True):
        places = [at for at, text in spots.resources if text != STAR]
        for pattern, at in zip(statement.patterns, places, strict=True):
            if owner.account(pattern.account) != own and pattern.account not in printed:
                message = f"{pattern.account!r} is not the owner {own}: no resource here is reached"
                yield found("CG606", at, message, "an empty account segment, which is the owner's")


def _nameless(policy: Policy, roles: list[str]) -> Iterator[Finding]:
    if _UIN not in policy.text:
        return
    for statement, spots in zip(policy.statements, read_sheet(policy).statements, strict=True):
        outcome = "nothing is granted" if statement.effect is Effect.ALLOW else "every call is blocked"
        for at, text in _texts(spots):
            if _UIN in text:
                message = f"{text!r} holds {_UIN}, which {few(roles)} does not have: {outcome}"
                yield found("CG607", at, message, "a policy of their own for roles")


def _texts(spots: Spots) -> Iterator[tuple[str, str]]:
    """Yield every text that may hold a variable, with its place."""
    yield from spots.resources
    _, condition = spots.element("condition")
    values = (raw for keys in (condition or {}).values() for raw in keys.values())
    for (at, listed), raw in zip(spots.clauses, values, strict=True):
        for i, text in enumerate(raw if listed else [raw]):
            yield (f"{at}/{i}" if listed else at), str(text)
