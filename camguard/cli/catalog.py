"""`camguard catalog`: builds catalog files from documentation pages, shows them, and compares them."""

from __future__ import annotations

import argparse
import errno
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from camguard.catalog import Access, Action, Catalog, Service, load_catalog, nearest_actions, save_all
from camguard.catalog.diff import Difference, compare
from camguard.catalog.files import FORMAT, action_tree
from camguard.catalog.model import ANY
from camguard.cli import diff as impact
from camguard.cli.inputs import add_catalog, add_config, catalog_of, find_inputs, find_settings, read_both
from camguard.cli.output import Document, add_format, complain, note, paint, show
from camguard.cli.parser import UsageError
from camguard.errors import Problem
from camguard.exit_codes import Exit
from camguard.files import PAGE_BYTES, display_path, read_file
from camguard.suggest import few, nearest_names, suggestion

if TYPE_CHECKING:
    from camguard.catalog_import.build import Plan, Update


_STANDARD_INPUT: Final = Path("-")


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `catalog build`, `catalog show` and `catalog diff`."""
    parser = verbs.add_parser("catalog", help="which actions exist: build from pages, show, compare")
    inner = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    build = inner.add_parser(
        "build",
        help="read CAM-Enabled API pages, write <service>.json",
        description="Read CAM-Enabled API pages and write one <service>.json each. A page is saved HTML, the "
        "output of w3m, lynx or pandoc, Markdown, or copied text. Every page is read, and compared with the "
        "file it would replace, before anything is written. Exit code 3: nothing was written, or a page "
        "could not be read whole (then its complete rows were written). --names writes name-only entries for "
        "services of which you have no page; a page that is read later replaces them.",
    )
    build.add_argument(
        "pages", type=Path, nargs="*", metavar="PAGE", help="file of a page; - is standard input"
    )
    build.add_argument(
        "--names",
        type=Path,
        action="append",
        default=[],
        metavar="SOURCE",
        help="folder of an installed tencentcloud or tccli package, or a text file with one service:Action "
        "on each line; may be repeated",
    )
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of <service>.json")
    build.add_argument(
        "--allow-shrink", action="store_true", help="replace a file even if that loses rows of it"
    )
    add_format(build)
    build.set_defaults(run=run_build)

    look = inner.add_parser(
        "show",
        help="list services, the actions of one, or the facts of one action",
        epilog=f"How resources are bound, and how to write a catalog file by hand: {display_path(FORMAT)}",
    )
    look.add_argument("what", nargs="?", metavar="SERVICE[:ACTION]", help="default: all services")
    add_catalog(look, "folder or file (default: the settings', else the shipped)")
    add_format(look)
    look.set_defaults(run=run_show)

    diff = inner.add_parser(
        "diff",
        help="list added, removed and changed rows, and their impact on a bundle",
        description="List added, removed and changed rows. With --bundle, list also every call that the "
        "bundle decides differently under NEW, as `camguard diff` does; --principal, --service, and gained "
        "and lost of --fail-on are about these calls.",
    )
    diff.add_argument("old", type=Path, metavar="OLD", help="folder or file")
    diff.add_argument("new", type=Path, metavar="NEW", help="folder or file")
    diff.add_argument("--bundle", type=Path, metavar="DIR", help="show the impact on this bundle")
    add_config(diff)
    impact.add_filters(diff)
    add_format(diff)
    diff.set_defaults(run=run_diff)


# build


def run_build(args: argparse.Namespace) -> Exit:
    """Read pages and write the files of their services, all of them or none."""
    # Imported here, because `camguard serve` imports this module and must not load the readers of pages.
    from camguard.catalog_import.build import plan_build  # noqa: PLC0415
    from camguard.catalog_import.names import read_names  # noqa: PLC0415

    if not args.pages and not args.names:
        raise UsageError("name a PAGE, or a SOURCE with --names")
    if args.pages.count(_STANDARD_INPUT) > 1:
        raise UsageError("-: standard input can be read once only")
    names = [read_names(source) for source in args.names]
    plan = plan_build(map(_read_page, args.pages), args.out, names)
    obstacles = [*_refused(plan), *([] if args.allow_shrink else _losses(plan))]
    if not obstacles:
        save_all([update.service for update in plan.updates if not update.same_bytes], args.out)
    problems = (*plan.problems, *obstacles)
    document = {
        "written": not obstacles,
        "services": [_describe_update(update, written=not obstacles) for update in plan.updates],
        "problems": [problem._asdict() for problem in problems],
        "notes": [each._asdict() for each in plan.notes],
    }
    show(args.format, document, _render_build)
    for each in plan.notes:
        note(f"{paint('note:', 'dim')} {each}")
    complain(*map(str, problems))
    return Exit.INVALID if problems else Exit.OK


def _read_page(page: Path) -> tuple[str, bytes]:
    """Return the name that messages use and the content of a page. Raises OSError."""
    if page == _STANDARD_INPUT:
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed", "standard input")
        return "standard input", sys.stdin.buffer.read(PAGE_BYTES + 1)
    return str(page), read_file(page, PAGE_BYTES)


def _refused(plan: Plan) -> Iterator[Problem]:
    for page in plan.refused:
        yield Problem(page, "Refused", "nothing was written: this page gives no service")


def _losses(plan: Plan) -> Iterator[Problem]:
    for update in plan.updates:
        if update.lost:
            names = [action.name for action in update.lost]
            rows = "1 row" if len(names) == 1 else f"{len(names)} rows"
            message = f"nothing was written: {rows} would be lost ({few(names)}); --allow-shrink loses them"
            yield Problem(str(update.file), "Shrinks", message)


def _describe_update(update: Update, *, written: bool) -> dict[str, object]:
    state = "new" if update.before is None else "unchanged" if update.same_bytes else "replaced"
    return {
        "service": update.service.name,
        "file": str(update.file),
        "state": state if written else "not written",
        "actions": _by_access(update.service.actions.values()),
        **({} if update.before is None else _describe_difference(update.difference)),
    }


def _render_build(document: Document) -> Iterator[str]:
    services = document["services"]
    width = max((len(service["service"]) for service in services), default=0)
    for service in services:
        counted = _counted(service["actions"])
        yield f"{service['service']:{width}}  {counted}  {service['file']} ({service['state']})"
        if "changed" in service:
            yield from (f"  {line}" for line in _render_difference(service))


# show


def run_show(args: argparse.Namespace) -> Exit:
    """List services, the actions of one service, or the facts of one action."""
    catalog = load_catalog(_find_catalog(args.catalog))
    wanted: str = args.what or ""
    service = catalog.services.get(wanted)
    action = catalog.actions.get(wanted.removeprefix("name/"))
    if not wanted:
        services = {"services": [*map(_describe_service, catalog.services.values())]}
        show(args.format, services, _render_services)
    elif service is not None:
        rows = [action_tree(service.actions[name]) for name in sorted(service.actions)]
        show(args.format, {**_describe_service(service), "rows": rows}, _render_service)
    elif action is not None:
        show(args.format, _describe_action(action), _render_action)
        if args.format == "text" and action.resources != (ANY,):
            note(f"{paint('note:', 'dim', sys.stderr)} {display_path(FORMAT)} says how resources are bound")
    else:
        raise UsageError(_unknown(catalog, wanted))
    return Exit.OK


def _unknown(catalog: Catalog, wanted: str) -> str:
    """Return the message about an unknown name. A name without a colon may be that of an action, too."""
    kind, near = "action", nearest_actions(catalog, wanted)
    if ":" not in wanted:
        kind, near = "service", nearest_names(wanted, catalog.services) or near
    return f"{wanted}: the catalog has no such {kind}{suggestion(near)}"


def _find_catalog(named: Path | None) -> Path:
    return named or catalog_of(find_settings(None))


def _by_access(actions: Iterable[Action]) -> dict[str, int]:
    counts = Counter(action.access for action in actions)
    return {access.value: counts[access] for access in (Access.WRITE, Access.READ, Access.LIST, Access.OTHER)}


def _describe_service(service: Service) -> dict[str, Any]:
    return {
        "service": service.name,
        "title": service.title,
        "console": service.console,
        "tag_authorization": service.tag_authorization,
        "granularity": service.granularity.value,
        "ip_restriction": service.ip_restriction.value,
        "actions": _by_access(service.actions.values()),
        "pages": [
            {"title": page.title, "last_updated": page.last_updated, "sha256": page.sha256}
            for page in service.pages
        ],
    }


def _describe_action(action: Action) -> dict[str, Any]:
    return {"service": action.service, **action_tree(action)}


def _counted(counts: Document) -> str:
    parts = ", ".join(f"{count} {access}" for access, count in counts.items() if count)
    return f"{sum(counts.values())} actions" + (f" ({parts})" if parts else "")


def _levels(service: Document) -> str:
    return f"{service['granularity']} level, IP restriction {service['ip_restriction']}"


def _render_services(document: Document) -> Iterator[str]:
    services = document["services"]
    width = max((len(service["service"]) for service in services), default=0)
    for service in services:
        name = paint(f"{service['service']:{width}}", "strong")
        yield f"{name}  {service['title']}: {_counted(service['actions'])}, {_levels(service)}"


def _render_service(service: Document) -> Iterator[str]:
    console, tags = (
        "supported" if service[key] else "not supported" for key in ("console", "tag_authorization")
    )
    yield f"{paint(service['service'], 'strong')}  {service['title']}"
    yield f"{_counted(service['actions'])}, {_levels(service)}"
    yield f"console {console}, authorization by tag {tags}"
    for page in service["pages"]:
        title, date = page["title"] or "a page", page["last_updated"] or "no date"
        yield paint(f"from {title!r}, {date}, {page['sha256'][:12]}", "dim")
    width = max((len(row["name"]) for row in service["rows"]), default=0)
    for row in service["rows"]:
        access = row["access"] + ("?" if "access_guessed" in row else "")
        ip = "" if row["ip_restriction"] else paint("  no IP restriction", "doubtful")
        yield f"  {row['name']:{width}}  {access:6}  {row['granularity']}{_templates(row)}{ip}"


def _templates(action: Document) -> str:
    if "unreadable" in action:
        return paint("  unreadable: " + " ".join(action["unreadable"]), "bad")
    return "" if action["resources"] == ["*"] else "  " + " ".join(action["resources"])


def _id(action: Document) -> str:
    return f"{action['service']}:{action['name']}"


def _render_action(action: Document) -> Iterator[str]:
    yield paint(_id(action), "strong")
    for name, value in action.items():
        if name not in {"service", "name"}:
            yield f"  {name:15} {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {member}" for key, member in value.items()) or "none"
    return str(value) if value else "none"


# diff


def run_diff(args: argparse.Namespace) -> Exit:
    """List what changed between two catalogs, and what a bundle decides differently."""
    if args.bundle is None and (
        args.fail_on in {"gained", "lost"} or args.principal != ANY or args.service != ANY
    ):
        raise UsageError(
            "--principal, --service, --fail-on gained and --fail-on lost are about calls: give --bundle"
        )
    old, new = read_both(load_catalog, args.old, args.new)
    difference = compare(old, new)
    document = _describe_difference(difference)
    fails = bool(difference) and args.fail_on == "any"
    if args.bundle is not None:
        inputs = find_inputs(argparse.Namespace(**{**vars(args), "catalog": args.new}))._replace(strict=False)
        sides = impact.read_sides(inputs._replace(catalog=args.old), inputs)
        groups = impact.changes_of(args, sides, inputs)
        document["impact"] = impact.describe(groups, *sides)
        fails = fails or impact.is_failing(args, groups)
    show(args.format, document, _render_difference)
    if not difference:
        note("no change")
    return Exit.CHANGED if fails else Exit.OK


def _describe_difference(difference: Difference) -> dict[str, object]:
    return {
        "services_added": list(difference.services_added),
        "services_removed": list(difference.services_removed),
        "added": [*map(_describe_action, difference.added)],
        "removed": [*map(_describe_action, difference.removed)],
        "changed": {
            name: {change.field: {"old": change.old, "new": change.new} for change in changes}
            for name, changes in difference.changed.items()
        },
    }


# The rows of a difference in text: key in the document, sign, style, and what an entry of the list shows.
_ENTRIES = (
    ("services_added", "+", "good", lambda service: (service, "")),
    ("services_removed", "-", "bad", lambda service: (service, "")),
    ("added", "+", "good", lambda action: (_id(action), f" {_facts(action)}")),
    ("removed", "-", "bad", lambda action: (_id(action), f" {_facts(action)}")),
)


def _render_difference(document: Document) -> Iterator[str]:
    for key, sign, style, shown in _ENTRIES:
        for name, facts in map(shown, document[key]):
            yield paint(f"{sign} {name}", style) + facts
    for name, changes in document["changed"].items():
        moves = [f"{key}: {_value(each['old'])} -> {_value(each['new'])}" for key, each in changes.items()]
        yield paint(f"~ {name}", "doubtful") + f" {'; '.join(moves)}"
    if "impact" in document:
        yield paint("impact on the bundle", "strong")
        yield from impact.render(document["impact"])


def _facts(action: Document) -> str:
    ip = "" if action["ip_restriction"] else ", no IP restriction"
    return f"({action['access']}, {action['granularity']}{_templates(action)}{ip})"
