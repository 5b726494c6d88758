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
    alike = _grouped((of, principal) for principal, of in layers.items())
    attached: dict[str, list[str]] = {}
    for of, principals in alike.items():
        for name in _policies_of(of):
            attached.setdefault(name, []).extend(principals)
    existing = {*documents, *unreadable}
    levels = _levels(alike)
    for name in sorted(attached.keys() - existing):
        level = next((f"{place}#/account/{i}" for i, level in enumerate(levels) if name in level), None)
        message = f"policy {name!r} is missing, so every call by these principals is refused: "
        near = " or ".join(nearest_names(name, existing))
        where = level or _where(place, attached[name][0])
        yield found("CG602", where, message + few(attached[name]), near)
    for name in sorted(documents.keys() - attached.keys()):
        message = f"policy {name!r} is not attached to any principal"
        yield found("CG601", documents[name].policy.source, message)
    yield from _same_names(people, place)
    yield from _without_allow(alike, documents, place)
    printed = _printed_accounts(catalog)
    for name, document in documents.items():
        yield from _foreign_accounts(document, people.owner, printed)
        yield from _uin_of_roles(document, attached.get(name, ()))


def _same_names(people: Principals, place: str) -> Iterator[Finding]:
    """Find names that two principals or more have."""
    first: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for principal, name in people.names.items():  # no list for each name: to free 100,000 lists blocks calls
        if name in first:
            repeated.setdefault(name, [first[name]]).append(principal)
        else:
            first[name] = principal
    for name in filter(repeated.__contains__, first if repeated else ()):
        principals = repeated[name]
        message = f"{name!r} is the name of {few(principals)}; a name should mean one principal"
        yield found("CG608", _where(place, principals[-1]), message)


def _without_allow(
    alike: Mapping[Layers, list[str]], documents: Mapping[str, Document], place: str
) -> Iterator[Finding]:
    """Find account levels, boundaries and principals whose policies allow nothing.

    alike: the principals of each set of layers.
    """
    for i, level in enumerate(_levels(alike)):
        if not _may_allow(level, documents):
            message = "this account level allows nothing, so every call is refused, also calls of the owner"
            yield found("CG604", f"{place}#/account/{i}", message, 'a policy that allows "*" on "*"')
    bounded = _grouped(
        (of.boundary, name) for of, names in alike.items() if of.boundary is not None for name in names
    )
    for name, principals in sorted(bounded.items()):
        if not _may_allow([name], documents):
            message = f"this policy is the boundary of {few(principals)} and allows nothing, so"
            message += " every call by these principals is refused"
            yield found("CG603", documents[name].policy.source, message)
    for of, principals in alike.items():
        if not of.root and not _may_allow(of.identity, documents):
            why = "all attached policies only deny" if of.identity else "no policy is attached"
            message = f"{few(principals)}: {why}, so every call is refused"
            yield found("CG605", _where(place, principals[0]), message)


def _levels(layers: Iterable[Layers]) -> tuple[tuple[str, ...], ...]:
    """Return the account levels, which are the same for all principals. The owner is always one of them."""
    return next(iter(layers)).account


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


def _printed_accounts(catalog: Catalog) -> frozenset[str]:
    """Return the account segments that the templates of a catalog contain."""
    templates = {text for row in catalog.actions.values() for text in row.resources}
    split = (text.split(":", SEGMENTS - 1) for text in templates)
    return frozenset(segments[4] for segments in split if len(segments) == SEGMENTS)


def _foreign_accounts(document: Document, owner: Owner, printed: Collection[str]) -> Iterator[Finding]:
    """Find resources of an account that is neither the owner nor one of `printed`."""
    own = owner.account("")
    statements = document.policy.statements
    if all(owner.account(p.account) == own for s in statements for p in s.patterns):
        return
    for statement in statements:
        code = "CG606" if statement.effect is Effect.ALLOW else "CG621"
        for pattern in statement.patterns:
            if pattern.account == owner.app_id:
                message = f"the account {pattern.account!r} is the APPID of the owner, which reads as a uin,"
                message += f" so {OUTCOMES[statement.effect]}"
                yield found("CG620", pattern.where, message, f"uid/{owner.app_id}, or an empty segment")
            if owner.account(pattern.account) not in (own, None) and pattern.account not in printed:
                message = f"{pattern.account!r} is not the owner {own}, so this pattern matches no resource"
                yield found(code, pattern.where, message, "an empty account segment, which means the owner")


def _uin_of_roles(document: Document, attached: Collection[str]) -> Iterator[Finding]:
    """Find the uin of the caller, which a role does not have, in resources and condition values.

    attached: the principals to which the policy is attached.
    """
    for statement in document.policy.statements:
        outcome = OUTCOMES[statement.effect]
        for text, where in texts_with_variables(statement):
            roles = [name for name in attached if name.startswith("role/")] if _UIN in text else []
            if roles:
                message = f"{text!r} contains {_UIN}, which has no value for {few(roles)}, so {outcome}"
                yield found("CG607", where, message, "a separate policy for roles")
