"""Which policies are attached to which principals: findings that no single policy shows (codes CG6xx)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from camguard.catalog.model import Catalog
from camguard.engine.layers import Layers
from camguard.jsontext import child
from camguard.lint.codes import Finding, found
from camguard.lint.source_map import source_map
from camguard.lint.statement_view import OUTCOMES
from camguard.policy.document import Document
from camguard.policy.model import Effect
from camguard.policy.resources import SEGMENTS, Owner
from camguard.policy.star import STAR
from camguard.suggest import few, nearest_names

_UIN = "${uin}"


def lint_attachments(  # noqa: PLR0913 - the parts of a bundle, each named
    owner: Owner,
    layers: Mapping[str, Layers],
    documents: Mapping[str, Document],
    catalog: Catalog,
    *,
    unreadable: Collection[str] = (),
    place: str = "principals.json",
) -> Iterator[Finding]:
    """Yield the findings of the principals and policies of a bundle together.

    owner, layers: of `Principals`. documents: by the id of the policy.
    unreadable: ids of policies that exist but do not load; what is wrong with them is reported elsewhere.
    place: the name of the file of the principals in findings.
    """
    attached = _attached(layers)
    levels = next(iter(layers.values())).account  # the same for all principals; the owner is always one
    yield from _missing(attached, levels, {*documents, *unreadable}, place)
    for name in sorted(documents.keys() - attached.keys()):
        message = f"policy {name!r} is not attached to any principal"
        yield found("CG601", documents[name].policy.source, message)
    yield from _limits(layers, levels, documents, place)
    yield from _allowed_nothing(layers, documents, place)
    for name, document in documents.items():
        yield from _foreign_accounts(document, owner, catalog)
        roles = [principal for principal in attached.get(name, ()) if principal.startswith("role/")]
        if roles:
            yield from _uin_of_roles(document, roles)


def _attached(layers: Mapping[str, Layers]) -> dict[str, list[str]]:
    """Return the principals that each policy applies to, in whichever layer."""
    attached: dict[str, list[str]] = {}
    for principal, of in layers.items():
        boundary = () if of.boundary is None else (of.boundary,)
        for name in {*boundary, *of.identity, *(name for level in of.account for name in level)}:
            attached.setdefault(name, []).append(principal)
    return attached


def _where(place: str, principal: str) -> str:
    kind, _, name = principal.partition("/")
    return child(f"{place}#/{'users' if kind == 'uin' else 'roles'}", name)


def _missing(
    attached: Mapping[str, list[str]],
    levels: tuple[tuple[str, ...], ...],
    existing: Collection[str],
    place: str,
) -> Iterator[Finding]:
    for name in sorted(attached.keys() - existing):
        level = next((f"{place}#/account/{i}" for i, level in enumerate(levels) if name in level), None)
        message = f"policy {name!r} is missing, so every call by these principals is refused: "
        near = " or ".join(nearest_names(name, existing))
        where = level or _where(place, attached[name][0])
        yield found("CG602", where, message + few(attached[name]), near)


def _may_allow(names: Collection[str], documents: Mapping[str, Document]) -> bool:
    """Tell whether one of some policies allows something; a policy that is not here may."""
    return any(
        name not in documents or any(s.effect is Effect.ALLOW for s in documents[name].policy.statements)
        for name in names
    )


def _limits(
    layers: Mapping[str, Layers],
    levels: tuple[tuple[str, ...], ...],
    documents: Mapping[str, Document],
    place: str,
) -> Iterator[Finding]:
    """Find account levels and boundaries without an allow."""
    for i, level in enumerate(levels):
        if not _may_allow(level, documents):
            message = "this account level allows nothing, so every call is refused, also calls of the owner"
            yield found("CG604", f"{place}#/account/{i}", message, 'a policy that allows "*" on "*"')
    bounded: dict[str, list[str]] = {}
    for principal, of in layers.items():
        if of.boundary is not None:
            bounded.setdefault(of.boundary, []).append(principal)
    for name, principals in sorted(bounded.items()):
        if not _may_allow([name], documents):
            message = f"as the boundary of {few(principals)} this policy allows nothing, so their calls fail"
            yield found("CG603", documents[name].policy.source, message, "an allow of the most they may do")


def _allowed_nothing(
    layers: Mapping[str, Layers], documents: Mapping[str, Document], place: str
) -> Iterator[Finding]:
    """Find principals that are allowed nothing; those with the same policies make one finding."""
    alike: dict[Layers, list[str]] = {}
    for principal, of in layers.items():
        if not of.root and not _may_allow(of.identity, documents):
            alike.setdefault(of, []).append(principal)
    for of, principals in alike.items():
        why = "all attached policies only deny" if of.identity else "no policy is attached"
        message = f"{few(principals)}: {why}, so every call is refused"
        yield found("CG605", _where(place, principals[0]), message)


def _foreign_accounts(document: Document, owner: Owner, catalog: Catalog) -> Iterator[Finding]:
    own = owner.account("")
    statements = document.policy.statements
    if all(owner.account(p.account) == own for s in statements for p in s.patterns):
        return
    printed = {
        text.split(":", SEGMENTS - 1)[4]
        for row in catalog.actions.values()
        for text in row.resources
        if text != STAR
    }
    for statement, source in zip(statements, source_map(document).statements, strict=True):
        places = [where for where, text in source.texts("resource") if text != STAR]
        for pattern, where in zip(statement.patterns, places, strict=True):
            if owner.account(pattern.account) != own and pattern.account not in printed:
                message = f"{pattern.account!r} is not the owner {own}, so this pattern matches no resource"
                yield found("CG606", where, message, "an empty account segment, which means the owner")


def _uin_of_roles(document: Document, roles: list[str]) -> Iterator[Finding]:
    for statement, source in zip(document.policy.statements, source_map(document).statements, strict=True):
        outcome = OUTCOMES[statement.effect]
        values = [entry for _, entries in source.clauses() for entry in entries]
        for where, text in (*source.texts("resource"), *values):
            if _UIN in str(text):
                message = f"{text!r} contains {_UIN}, which has no value for {few(roles)}, so {outcome}"
                yield found("CG607", where, message, "a separate policy for roles")
