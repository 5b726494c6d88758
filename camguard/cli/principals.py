"""`camguard principals`: who is in the bundle, with groups, policies and boundary."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from camguard.bundle import Bundle
from camguard.bundle.load import PRINCIPALS
from camguard.cli.inputs import add_config, find_inputs
from camguard.cli.output import Document, add_format, note, paint, show
from camguard.engine.principals import Entry, Listing, list_principals
from camguard.errors import BundleError
from camguard.exit_codes import Exit
from camguard.files import FOLDER_BYTES, display_path, read_file
from camguard.strict_json import read_json
from camguard.suggest import nearest, nearest_names, suggestion

KINDS = ("owner", "user", "role")
_COLUMNS = ("principal", "name", "kind", "groups", "policies", "boundary")


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `principals`."""
    parser = verbs.add_parser("principals", help="list the owner, users and roles, with their policies")
    option = parser.add_argument
    option("text", nargs="?", metavar="TEXT", help="only principals whose id or name contains this")
    option("--kind", choices=KINDS, help="only the owner, users or roles")
    option("--group", metavar="NAME", help="only members of this group")
    text = "only principals that have this policy themselves, through a group, or as boundary"
    option("--policy", metavar="ID", help=text)
    add_config(parser)
    option("--bundle", type=Path, metavar="DIR", help="list those of this bundle (default: the settings')")
    add_format(parser)
    parser.set_defaults(run=run, catalog=None)


def run(args: argparse.Namespace) -> Exit:
    """Print the principals that fit every filter. Nothing but principals.json needs to be right."""
    listing = read_listing(find_inputs(args).bundle)
    entries = tuple(listing.entries)
    found = [entry for entry in entries if _fits(entry, args)]
    document = {
        "principals": [entry._asdict() for entry in found],
        "account": listing.account,
        "counts": {"listed": len(found), "all": len(entries)},
    }
    show(args.format, document, render)
    if not found:
        note(f"no principal fits{_suggestion(entries, args)}")
    return Exit.OK


def read_listing(bundle: Path) -> Listing:
    """Return what principals.json of a bundle lists. Raises BundleError with every problem, and OSError."""
    path = bundle / PRINCIPALS
    place = display_path(path)
    raw = read_file(path, FOLDER_BYTES)
    listing = list_principals(read_json(raw, place, BundleError, "PrincipalsError"), place)
    if isinstance(listing, Listing):
        return listing
    raise BundleError(*listing)


def _fits(entry: Entry, args: argparse.Namespace) -> bool:
    wanted = (args.text or "").lower()
    return (
        (wanted in entry.principal.lower() or wanted in entry.name.lower())
        and args.kind in (None, entry.kind)
        and (args.group is None or args.group in entry.groups)
        and (args.policy is None or args.policy in (*entry.policies, *entry.inherited, entry.boundary))
    )


def _suggestion(entries: Sequence[Entry], args: argparse.Namespace) -> str:
    """Return which names may have been meant by the filters."""
    groups = (group for entry in entries for group in entry.groups)
    policies = (
        policy
        for entry in entries
        for policy in (*entry.policies, *entry.inherited, entry.boundary)
        if policy is not None
    )
    names = (name for entry in entries for name in (entry.principal, entry.name))
    for filtered, known in ((args.group, groups), (args.policy, policies), (args.text, names)):
        listed = set(known)
        if filtered is not None and filtered not in listed and (near := nearest(filtered, sorted(listed))):
            return near
    return ""


def render(document: Document) -> Iterator[str]:
    """Yield a table of principals, then the levels of the account that limit all of them."""
    rows = [_COLUMNS, *map(_row, document["principals"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield paint(line, "dim") if number == 0 else line
    counts = document["counts"]
    yield f"{counts['listed']} of {counts['all']} principals"
    for level, policies in enumerate(document["account"]):
        yield f"account level {level} limits all of them to: {', '.join(policies) or 'nothing'}"


def _row(entry: Document) -> tuple[str, ...]:
    policies = _listed((*entry["policies"], *entry["inherited"]))
    return (
        *(entry["principal"], entry["name"], entry["kind"]),
        *(_listed(entry["groups"]), policies, entry["boundary"] or "-"),
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "-"


def unknown_principal(bundle: Bundle, text: str) -> str:
    """Return the sentence about a principal that the bundle does not have. text: what was given for it."""
    names = bundle.people.names
    named = [principal for principal, name in names.items() if name == text]
    if len(named) > 1:
        return f"{len(named)} principals are named {text!r}; write {' or '.join(named[:2])}"
    return f"no principal {text!r}{suggestion(nearest_names(text, (*names, *names.values()), 2))}"
