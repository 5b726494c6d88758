"""Which policies are attached to which principals: findings that no single policy shows (codes CG6xx)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

from camguard.catalog.model import Catalog
from camguard.engine.layers import Layers
from camguard.engine.principals import Principals
from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import OUTCOMES, texts_with_variables
from camguard.policy.document import Document
from camguard.policy.model import Effect
from camguard.policy.patterns import STAR
from camguard.policy.resources import SEGMENTS, Owner
from camguard.strict_json import child
from camguard.suggest import few, nearest_names

_UIN = "${uin}"
_Key = TypeVar("_Key")


def lint_attachments(
    people: Principals,
    documents: Mapping[str, Document],
    catalog: Catalog,
    *,
    unreadable: Collection[str] = (),
    place: str = "principals.json",
) -> Iterator[Finding]:
    """Yield the findings of the principals and policies of a bundle together.

    documents: by the id of the policy.
    unreadable: ids of policies that exist but do not load; what is wrong with them is reported elsewhere.
    place: the name of the file of the principals in findings.
    """
    layers = people.layers
    attached = _grouped((name, principal) for principal, of in layers.items() for name in _policies_of(of))
    existing = {*documents, *unreadable}
    levels = _levels(layers)
    for name in sorted(attached.keys() - existing):
        level = next((f"{place}#/account/{i}" for i, level in enumerate(levels) if name in level), None)
        message = f"policy {name!r} is missing, so every call by these principals is refused: "
        near = " or ".join(nearest_names(name, existing))
        where = level or _where(place, attached[name][0])
        yield found("CG602", where, message + few(attached[name]), near)
    for name in sorted(documents.keys() - attached.keys()):
        message = f"policy {name!r} is not attached to any principal"
        yield found("CG601", documents[name].policy.source, message)
    yield from _without_allow(layers, documents, place)
    for name, document in documents.items():
        yield from _foreign_accounts(document, people.owner, catalog)
        roles = [principal for principal in attached.get(name, ()) if principal.startswith("role/")]
        if roles:
            yield from _uin_of_roles(document, roles)


def _without_allow(
    layers: Mapping[str, Layers], documents: Mapping[str, Document], place: str
) -> Iterator[Finding]:
    """Find account levels, boundaries and principals whose policies allow nothing."""
    for i, level in enumerate(_levels(layers)):
        if not _may_allow(level, documents):
            message = "this account level allows nothing, so every call is refused, also calls of the owner"
            yield found("CG604", f"{place}#/account/{i}", message, 'a policy that allows "*" on "*"')
    bounded = _grouped((of.boundary, name) for name, of in layers.items() if of.boundary is not None)
    for name, principals in sorted(bounded.items()):
        if not _may_allow([name], documents):
            message = f"this policy is the boundary of {few(principals)} and allows nothing, so"
            message += " every call by these principals is refused"
            yield found("CG603", documents[name].policy.source, message, "an allow of the most they may do")
    alike = _grouped((of, name) for name, of in layers.items() if not of.root)
    for of, principals in alike.items():
        if not _may_allow(of.identity, documents):
            why = "all attached policies only deny" if of.identity else "no policy is attached"
            message = f"{few(principals)}: {why}, so every call is refused"
            yield found("CG605", _where(place, principals[0]), message)


def _levels(layers: Mapping[str, Layers]) -> tuple[tuple[str, ...], ...]:
    """Return the account levels, which are the same for all principals. The owner is always one of them."""
    return next(iter(layers.values())).account


def _grouped(pairs: Iterable[tuple[_Key, str]]) -> dict[_Key, list[str]]:
    """Return the second halves of some pairs by their first halves, in the order of the pairs."""
    groups: dict[_Key, list[str]] = {}
    for key, member in pairs:
        groups.setdefault(key, []).append(member)
    return groups


def _policies_of(of: Layers) -> set[str]:
    """Return the policies of all layers that apply to a principal."""
    boundary = () if of.boundary is None else (of.boundary,)
    return {*boundary, *of.identity, *(name for level in of.account for name in level)}


def _where(place: str, principal: str) -> str:
    kind, _, name = principal.partition("/")
    return child(f"{place}#/{'users' if kind == 'uin' else 'roles'}", name)


def _may_allow(names: Collection[str], documents: Mapping[str, Document]) -> bool:
    """Tell whether one of some policies allows something. A policy that was not read may do so."""
    return any(
        name not in documents or any(s.effect is Effect.ALLOW for s in documents[name].policy.statements)
        for name in names
    )


def _foreign_accounts(document: Document, owner: Owner, catalog: Catalog) -> Iterator[Finding]:
    """Find resources of an account that is neither the owner nor printed in the catalog."""
    own = owner.account("")
    statements = document.policy.statements
    if all(owner.account(p.account) == own for s in statements for p in s.patterns):
        return
    for statement in statements:
        for pattern in statement.patterns:
            if pattern.account == owner.app_id:
                message = f"the account {pattern.account!r} is the APPID of the owner, which reads as a uin,"
                message += f" so {OUTCOMES[statement.effect]}"
                yield found("CG620", pattern.where, message, f"uid/{owner.app_id}, or an empty segment")
    templates = {text for row in catalog.actions.values() for text in row.resources if text != STAR}
    printed = {text.split(":", SEGMENTS - 1)[4] for text in templates}
    for pattern in (pattern for statement in statements for pattern in statement.patterns):
        if owner.account(pattern.account) not in (own, None) and pattern.account not in printed:
            message = f"{pattern.account!r} is not the owner {own}, so this pattern matches no resource"
            yield found("CG606", pattern.where, message, "an empty account segment, which means the owner")


def _uin_of_roles(document: Document, roles: list[str]) -> Iterator[Finding]:
    """Find the uin of the caller, which a role does not have, in resources and condition values."""
    for statement in document.policy.statements:
        outcome = OUTCOMES[statement.effect]
        for text, where in texts_with_variables(statement):
            if _UIN in text:
                message = f"{text!r} contains {_UIN}, which has no value for {few(roles)}, so {outcome}"
                yield found("CG607", where, message, "a separate policy for roles")
