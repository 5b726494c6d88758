"""`camguard catalog`: build catalog files from documentation pages, look into them, compare them."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camguard.catalog import Access, Action, Catalog, Service, load_catalog, nearest_actions, save_all
from camguard.catalog.diff import Change, Difference, compare
from camguard.catalog.files import action_tree
from camguard.cli.exit import Exit
from camguard.cli.output import add_format, complain, paint, say, show
from camguard.cli.source import find_config
from camguard.cli.starter import starter
from camguard.errors import CatalogError, Problem
from camguard.files import DOCUMENT_BYTES, read_file
from camguard.settings import load_settings
from camguard.suggest import few, meant, nearest_names

if TYPE_CHECKING:
    from camguard.catalog_import.build import Plan, Update


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `catalog build`, `catalog show` and `catalog diff`."""
    parser = verbs.add_parser("catalog", help="which actions exist: build from pages, show, compare")
    inner = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    build = inner.add_parser(
        "build",
        help="read CAM-Enabled API pages, write <service>.json",
        description="Read saved CAM-Enabled API pages and write one <service>.json each. Every page is read, "
        "and compared with the file it would replace, before anything is written. Exit code 3: nothing was "
        "written, or a page could not be read whole (then its complete rows were written).",
    )
    build.add_argument("pages", type=Path, nargs="+", metavar="PAGE", help="text of a page, UTF-8")
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of <service>.json")
    build.add_argument(
        "--allow-shrink", action="store_true", help="replace a file even if that loses rows of it"
    )
    add_format(build)
    build.set_defaults(run=run_build)

    look = inner.add_parser("show", help="list services, the actions of one, or the facts of one action")
    look.add_argument("what", nargs="?", metavar="SERVICE[:ACTION]", help="default: all services")
    look.add_argument(
        "--catalog",
        type=Path,
        metavar="PATH",
        help="folder or file (default: the settings', else the shipped)",
    )
    add_format(look)
    look.set_defaults(run=run_show)

    diff = inner.add_parser("diff", help="list added, removed and changed rows")
    diff.add_argument("old", type=Path, metavar="OLD", help="folder or file")
    diff.add_argument("new", type=Path, metavar="NEW", help="folder or file")
    diff.add_argument(
        "--fail-on", choices=("any",), help="exit code 8 when there is any change (default: never)"
    )
    add_format(diff)
    diff.set_defaults(run=run_diff)


# build


def run_build(args: argparse.Namespace) -> Exit:
    """Read pages and write the files of their services, all or none."""
    # Imported late: `camguard serve` loads this module too, and must not load the readers of pages.
    from camguard.catalog_import.build import plan_build  # noqa: PLC0415

    plan = plan_build([(str(page), read_file(page, DOCUMENT_BYTES)) for page in args.pages], args.out)
    hindrances = [*_refusals(plan), *([] if args.allow_shrink else _shrinkages(plan))]
    if not hindrances:
        save_all([update.service for update in plan.updates if not update.same_bytes], args.out)
    show(args.format, _built(plan, written=not hindrances), _built_document(plan, hindrances))
    for note in plan.notes:
        say(f"{paint('note:', 'dim')} {note}")
    for problem in (*plan.problems, *hindrances):
        complain(str(problem))
    return Exit.INVALID if hindrances or plan.problems else Exit.OK


def _refusals(plan: Plan) -> list[Problem]:
    return [
        Problem(page, "Refused", "nothing was written: this page gives no service") for page in plan.refused
    ]


def _shrinkages(plan: Plan) -> Iterator[Problem]:
    for update in plan.updates:
        if update.lost:
            names = [action.name for action in update.lost]
            message = (
                f"nothing was written: {_rows(len(names))} would be lost ({few(names)}); "
                "--allow-shrink loses them"
            )
            yield Problem(str(update.file), "Shrinks", message)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _built(plan: Plan, *, written: bool) -> Iterator[str]:
    width = max((len(update.service.name) for update in plan.updates), default=0)
    for update in plan.updates:
        state = _state(update, written=written)
        yield f"{update.service.name:{width}}  {_counted(update.service)}  {update.file} ({state})"
        if update.before is not None:
            yield from (f"  {line}" for line in _difference(update.difference))


def _state(update: Update, *, written: bool) -> str:
    if not written:
        return "not written"
    if update.same_bytes:
        return "unchanged"
    return "new" if update.before is None else "replaced"


def _built_document(plan: Plan, hindrances: Sequence[Problem]) -> Mapping[str, object]:
    written = not hindrances
    return {
        "written": written,
        "services": [
            {
                "service": update.service.name,
                "file": str(update.file),
                "state": _state(update, written=written),
                "actions": _by_access(update.service.actions.values()),
                **({} if update.before is None else _difference_document(update.difference)),
            }
            for update in plan.updates
        ],
        "problems": [problem._asdict() for problem in (*plan.problems, *hindrances)],
        "notes": [note._asdict() for note in plan.notes],
    }


# show


def run_show(args: argparse.Namespace) -> Exit:
    """List services, the actions of one service, or the facts of one action."""
    catalog = load_catalog(_find_catalog(args.catalog))
    wanted: str = args.what or ""
    service = catalog.services.get(wanted)
    action = catalog.actions.get(wanted.removeprefix("name/"))
    if not wanted:
        show(args.format, _services(catalog), {"services": [*map(_summary, catalog.services.values())]})
    elif service is not None:
        rows = [{**action_tree(row)} for row in _sorted(service.actions.values())]
        show(args.format, _service(service), {**_summary(service), "rows": rows})
    elif action is not None:
        show(args.format, _action(action), {"service": action.service, **action_tree(action)})
    else:
        complain(_unknown(catalog, wanted))
        return Exit.USAGE
    return Exit.OK


def _unknown(catalog: Catalog, wanted: str) -> str:
    """Say that something is not there, and what is near. A name without colon may be an action's too."""
    kind, near = "action", nearest_actions(catalog, wanted)
    if ":" not in wanted:
        kind, near = "service", nearest_names(wanted, catalog.services) or near
    return f"{wanted}: the catalog has no such {kind}{meant(near)}"


def _find_catalog(named: Path | None) -> Path:
    if named is not None:
        return named
    config = find_config(None)
    return load_settings(config).catalog.path if config else starter() / "catalog"


def _sorted(actions: Iterable[Action]) -> list[Action]:
    return sorted(actions, key=lambda action: action.name)


def _by_access(actions: Iterable[Action]) -> dict[str, int]:
    counts = Counter(action.access for action in actions)
    return {access.value: counts[access] for access in (Access.WRITE, Access.READ, Access.LIST, Access.OTHER)}


def _counted(service: Service) -> str:
    counts = _by_access(service.actions.values())
    parts = ", ".join(f"{count} {access}" for access, count in counts.items() if count)
    return f"{len(service.actions)} actions" + (f" ({parts})" if parts else "")


def _summary(service: Service) -> Mapping[str, Any]:
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


def _services(catalog: Catalog) -> Iterator[str]:
    width = max(map(len, catalog.services), default=0)
    for service in catalog.services.values():
        name = paint(f"{service.name:{width}}", "strong")
        yield f"{name}  {service.title}: {_counted(service)}, {_levels(service)}"


def _levels(service: Service) -> str:
    return f"{service.granularity.value} level, IP restriction {service.ip_restriction.value}"


def _service(service: Service) -> Iterator[str]:
    yield f"{paint(service.name, 'strong')}  {service.title}"
    yield f"{_counted(service)}, {_levels(service)}"
    yield f"console {_yes(service.console)}, authorization by tag {_yes(service.tag_authorization)}"
    for page in service.pages:
        yield paint(
            f"from {page.title or 'a page'!r}, {page.last_updated or 'no date'}, {page.sha256[:12]}", "dim"
        )
    width = max(map(len, service.actions), default=0)
    for action in _sorted(service.actions.values()):
        access = action.access.value + ("?" if action.access_guessed else "")
        ip = "" if action.ip_restriction else paint("  no IP restriction", "doubtful")
        yield f"  {action.name:{width}}  {access:6}  {action.granularity.value}{_templates(action)}{ip}"


def _templates(action: Action) -> str:
    if action.unreadable:
        return paint("  unreadable: " + " ".join(action.unreadable), "bad")
    return "" if action.resources == ("*",) else "  " + " ".join(action.resources)


def _yes(flag: bool) -> str:  # noqa: FBT001 - a word for a fact, not a switch
    return "supported" if flag else "not supported"


def _action(action: Action) -> Iterator[str]:
    yield paint(action.id, "strong")
    for name, value in action_tree(action).items():
        if name != "name":
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
    """List what changed between two catalogs."""
    old, new = _both(args.old, args.new)
    difference = compare(old, new)
    show(args.format, _difference(difference), _difference_document(difference))
    if not difference:
        say("no change")
    return Exit.CHANGED if difference and args.fail_on else Exit.OK


def _both(old: Path, new: Path) -> tuple[Catalog, Catalog]:
    """Return both catalogs. Raises CatalogError with the problems of both."""
    catalogs: list[Catalog] = []
    problems: list[Problem] = []
    for path in (old, new):
        try:
            catalogs.append(load_catalog(path))
        except CatalogError as error:
            problems += error.problems
    if problems:
        raise CatalogError(*problems)
    return catalogs[0], catalogs[1]


def _difference(difference: Difference) -> Iterator[str]:
    for name in difference.services_added:
        yield paint(f"+ {name}", "good")
    for name in difference.services_removed:
        yield paint(f"- {name}", "bad")
    for action in difference.added:
        yield paint(f"+ {action.id}", "good") + f" {_facts(action)}"
    for action in difference.removed:
        yield paint(f"- {action.id}", "bad") + f" {_facts(action)}"
    for name, changes in difference.changed.items():
        yield paint(f"~ {name}", "doubtful") + f" {'; '.join(map(_change, changes))}"


def _facts(action: Action) -> str:
    ip = "" if action.ip_restriction else ", no IP restriction"
    return f"({action.access.value}, {action.granularity.value}{_templates(action)}{ip})"


def _change(change: Change) -> str:
    return f"{change.field}: {_value(change.old)} -> {_value(change.new)}"


def _difference_document(difference: Difference) -> Mapping[str, object]:
    return {
        "services_added": list(difference.services_added),
        "services_removed": list(difference.services_removed),
        "added": [{"service": row.service, **action_tree(row)} for row in difference.added],
        "removed": [{"service": row.service, **action_tree(row)} for row in difference.removed],
        "changed": {
            name: {change.field: {"old": change.old, "new": change.new} for change in changes}
            for name, changes in difference.changed.items()
        },
    }
