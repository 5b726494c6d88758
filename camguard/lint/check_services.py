"""Services without a page, and host labels that policies are never asked for (CG212, CG213, CG310).

CAM 4, DEC-67, DEC-68.
"""

from __future__ import annotations

from collections.abc import Iterator

from camguard.catalog.known_services import KnownServices
from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import StatementView, blocked_without_page
from camguard.policy.model import ActionPattern
from camguard.policy.patterns import STAR, star_match
from camguard.suggest import few


def without_page(view: StatementView, pattern: ActionPattern) -> Finding | None:
    """Return the finding on a known service that the catalog lacks; None where the service is not known."""
    catalog = view.catalog.index.catalog
    entry = catalog.known.services.get(pattern.service)
    if entry is None:
        return None
    now = few(catalog.known.successors(entry.name))
    renamed = f", which is called {now} now" if now else ""
    outcome = "grants nothing" if view.allows else "has nothing to deny: camguard refuses every call of it"
    message = f"no page of {entry.name} ({entry.title}) is known{renamed}, so this entry {outcome}"
    return found("CG212", pattern.where, message)


def cam_names_instead(known: KnownServices, pattern: ActionPattern) -> tuple[str, ...]:
    """Return the names that policies are asked for where they are never asked for a pattern's (DEC-68).

    pattern: without a star in its service. Empty where policies are asked for some of the names of the
    pattern.
    """
    service, name = pattern.service, pattern.name
    if STAR not in name:
        names = known.cam_names(service, name)
        return () if f"{service}:{name}" in names else names
    whole = known.rows.get(f"{service}:{STAR}")
    if whole is None or not whole.sure or f"{service}:{STAR}" in whole.names:
        return ()
    return tuple(f"{each[:-2]}:{name}" if each.endswith(f":{STAR}") else each for each in whole.names)


def _blocked_elsewhere(known: KnownServices, pattern: ActionPattern) -> list[str]:
    """Return the actions of a pattern, `label:Name`, that a deny of it blocks without naming them."""
    rows = ((key, *key.split(":")) for key in known.rows)
    return [
        key
        for key, label, name in rows
        if label == pattern.service
        and name != STAR
        and star_match(pattern.name, name)
        and key not in known.cam_names(label, name)
    ]


def host_labels(view: StatementView) -> Iterator[Finding]:
    """Find entries that name the host label of an action instead of its CAM name (CG213)."""
    known = view.catalog.index.catalog.known
    labels = {key.partition(":")[0] for key in known.rows}
    outcome = "grants nothing" if view.allows else "denies it only in doubt, and still blocks it"
    for pattern in view.statement.actions:
        if pattern.service not in labels:
            continue
        names = cam_names_instead(known, pattern)
        if names:
            message = (
                f"policies are asked for {few(names)}, not for {pattern.text!r}, so this entry {outcome}"
            )
            yield found("CG213", pattern.where, message, " and ".join(names))
        elif not view.allows and STAR in pattern.name:
            elsewhere = _blocked_elsewhere(known, pattern)
            if elsewhere:
                message = (
                    f"{pattern.text!r} blocks {few(elsewhere)}, for which policies are asked other names"
                )
                yield found("CG213", pattern.where, message)
    for resource in view.statement.patterns:
        whole = known.whole(resource.service) if resource.service in labels else None
        if whole is not None and known.rows[f"{resource.service}:{STAR}"].sure:
            message = f"no resource is called after {resource.service}, the host label of {whole}"
            outcome = "grants nothing" if view.allows else "blocks in doubt"
            yield found("CG213", resource.where, f"{message}, so this entry {outcome}", f"qcs::{whole}:…")


def names_only(view: StatementView) -> Iterator[Finding]:
    """Find resources beside actions of which only the name is known (CG310)."""
    catalog = view.catalog
    if view.statement.any_resource:
        return
    where, _ = view.element("resource")
    if view.allows:
        names = view.named.certain & catalog.names_only
        outcome = "this allow grants none of them"
    else:
        names = blocked_without_page(view.statement, view.named, catalog)
        outcome = "this deny blocks every call of them"
    if names:
        message = f"no page says which resources {catalog.some(names)} can have, so {outcome}"
        yield found("CG310", where, message, 'a separate statement with "resource": "*"')
