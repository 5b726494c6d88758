"""`camguard diff`: every call that two bundles decide differently, in groups that a person can review.

Rule 1: the exit code and JSON are complete. Text and Markdown show the riskiest groups, and say how many more
        there are.
Rule 2: what comes from policies and principals is data. Markdown shows it as code, never as markup.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from camguard.analysis.cases import Way, ways_of
from camguard.analysis.causes import Side
from camguard.analysis.diff import ALL_TIMES, RANKS, Group, access_diff, actions_of, principals_of
from camguard.analysis.names import patterns_of
from camguard.analysis.questions import principals_named
from camguard.cli.access import describe_answer
from camguard.cli.inputs import Inputs, add_config, find_inputs, problems_under, read_both, read_bundle
from camguard.cli.output import Document, add_format, note, paint, progress, show, write
from camguard.cli.parser import UsageError
from camguard.cli.phrases import places, span
from camguard.exit_codes import Exit
from camguard.policy.patterns import star_match
from camguard.printable import printable
from camguard.suggest import few, nearest

_FIRST = 8  # groups that text shows
_FEW = 4  # names of a list that text shows
_FIRST_ROWS = 40  # groups that Markdown shows
FAILING: Mapping[str, tuple[str, ...]] = {"gained": ("gained",), "lost": ("lost",), "any": ("gained", "lost")}


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `diff`."""
    parser = verbs.add_parser(
        "diff",
        help="every call that two bundles decide differently; exit code 8 with --fail-on",
        description="List every principal, action, range of addresses, time and condition that gains or "
        "loses access between two bundles, two catalogs or two values of ip_support, riskiest first.",
    )
    option = parser.add_argument
    option("old", type=Path, metavar="OLD", help="the folder of a bundle")
    option("new", type=Path, metavar="NEW", help="the folder of a bundle; the same one for two catalogs")
    add_config(parser)
    option("--catalog", type=Path, metavar="PATH", help="with these actions (default: the settings')")
    option("--old-catalog", type=Path, metavar="PATH", help="OLD with these actions (default: as NEW)")
    words = ("catalog", "gateway")
    option("--ip-support", choices=words, help="the setting enforcement.ip_support (default: the settings')")
    option("--old-ip-support", choices=words, help="the setting for OLD (default: as NEW)")
    add_filters(parser)
    add_format(parser, "markdown")
    parser.set_defaults(run=run, bundle=None)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Give a verb the options that select changes."""
    option = parser.add_argument
    who = "uin/…, role/…, a user's name, group/NAME; stars are allowed (default: all)"
    option("--principal", default="*", metavar="WHO", help=who)
    option("--service", default="*", metavar="NAME", help="only actions of this service; stars are allowed")
    option("--fail-on", choices=tuple(FAILING), help="exit code 8 when there is such a change")


def run(args: argparse.Namespace) -> Exit:
    """Print every change of access between two bundles."""
    args.bundle = args.new
    new = find_inputs(args)._replace(strict=False)
    if args.ip_support:
        new = new._replace(enforcement=replace(new.enforcement, ip_support=args.ip_support))
    old = new._replace(bundle=args.old, catalog=args.old_catalog or new.catalog)
    if args.old_ip_support:
        old = old._replace(enforcement=replace(old.enforcement, ip_support=args.old_ip_support))
    return compare(args, old, new)


def compare(args: argparse.Namespace, old: Inputs, new: Inputs) -> Exit:
    """Read two bundles and print every change of access. args: the options of `add_filters`."""
    sides = read_sides(old, new)
    groups = changes_of(args, sides, new)
    document = describe(groups, *sides)
    if args.format == "markdown":
        write(render_markdown(document))
    else:
        show(args.format, document, render)
    return Exit.CHANGED if is_failing(args, groups) else Exit.OK


def changes_of(args: argparse.Namespace, sides: tuple[Side, Side], new: Inputs) -> Sequence[Group]:
    """Return the changes that the options of `add_filters` select. Raises UsageError."""
    before, after = sides
    every = actions_of(before, after)
    actions = {
        name: access for name, access in every.items() if star_match(args.service, name.partition(":")[0])
    }
    principals = selected(args.principal, before, after)
    problem = differing_owner(before, after)
    if not principals:
        problem = f"--principal: neither bundle has {args.principal!r}"
    if not actions:
        names = {name.partition(":")[0] for name in every}
        problem = f"--service: no catalog has {args.service!r}{nearest(args.service, names)}"
    if problem:
        raise UsageError(problem)
    if before.bundle.evaluator.inventory != after.bundle.evaluator.inventory:
        note("resource_tags.json differs: conditions on tags can hold for other resources than before")
    return access_diff(before, after, progress(principals, "principals"), actions, egress=new.egress)


def is_failing(args: argparse.Namespace, groups: Iterable[Group]) -> bool:
    """Return whether there is a change of the kind that `--fail-on` names."""
    failing = FAILING.get(args.fail_on or "", ())
    return any(group.part.kind in failing for group in groups)


def read_sides(old: Inputs, new: Inputs) -> tuple[Side, Side]:
    """Return both bundles. Raises CamguardError with the problems of both, each behind its bundle's name."""

    def read(inputs: Inputs) -> Side:
        with problems_under(inputs.bundle):
            return Side(read_bundle(inputs))

    return read_both(read, old, new)


def differing_owner(old: Side, new: Side) -> str | None:
    """Return what is wrong with bundles of two accounts, whose principals cannot be compared."""
    before, after = old.bundle.owner, new.bundle.owner
    return None if before == after else f"OLD is of account {before.uin}, NEW of account {after.uin}"


def selected(pattern: str, old: Side, new: Side) -> tuple[str, ...]:
    """Return the principals that a pattern names in one of the bundles."""
    named = {each for side in (old, new) for each in principals_named(side.bundle.people, pattern)}
    return tuple(each for each in principals_of(old, new) if each in named)


# --- the document -------------------------------------------------------------------------------------------


def describe(groups: Sequence[Group], old: Side, new: Side) -> dict[str, Any]:
    """Return the document of a difference."""
    names = {**old.bundle.people.names, **new.bundle.people.names}
    every = actions_of(old, new)
    return {
        "old": {"revision": old.bundle.revision},
        "new": {"revision": new.bundle.revision},
        "counts": {kind: sum(group.part.kind == kind for group in groups) for kind in ("gained", "lost")},
        "changes": [
            {
                "kind": group.part.kind,
                "principals": list(group.principals),
                "names": [names[each] for each in group.principals],
                "groups_joined": list(_moved_groups(group, old, new)),
                "groups_left": list(_moved_groups(group, new, old)),
                "actions": list(group.actions),
                "patterns": sorted(
                    patterns_of(group.actions, every),
                    key=lambda pattern: max(
                        RANKS[every[each]] for each in every if star_match(pattern, each)
                    ),
                    reverse=True,
                ),
                "access": {str(kind): count for kind, count in group.access.items()},
                "ranges": list(group.part.ranges.cidrs()),
                "times": None if group.part.times == ALL_TIMES else [*map(_interval, group.part.times)],
                "conditions": _texts(group.part.cases.ways),
                "except": _except(group),
                "exact": group.part.cases.exact,
                "before": _answer(group, "before"),
                "after": _answer(group, "after"),
                "statement": next((each.statement for each in group.part.causes if each.statement), None),
                "causes": [each._asdict() for each in group.part.causes],
            }
            for group in groups
        ],
    }


def _texts(ways: Iterable[Way]) -> list[str]:
    return [" and ".join(map(str, way)) for way in ways if way]


def _except(group: Group) -> list[str]:
    """Return the conditions under which a call was allowed already, or is still allowed."""
    other = group.part.before if group.part.kind == "gained" else group.part.after
    return [] if other.decision is not None else _texts(ways_of(other) or ())


def _interval(times: tuple[float, float]) -> dict[str, float | None]:
    begin, end = times
    return {"from": None if begin == -inf else begin, "until": None if end == inf else end}


def _answer(group: Group, name: str) -> dict[str, object]:
    """Return what one bundle decides where the change is; conditions only where it depends on them."""
    answer = getattr(group.part, name)
    if answer.decision is not None:
        return {"answer": answer.word}
    described = describe_answer(group.part.ranges, answer)
    return {"answer": answer.word, "allowed_if": described["allowed_if"], "unless": described["unless"]}


def _moved_groups(group: Group, old: Side, new: Side) -> Iterator[str]:
    """Yield the groups that all principals of a change are in on one side and not on the other one."""
    if not any(each.what in {"attached", "detached"} for each in group.part.causes):
        return
    had, has = old.bundle.people.groups, new.bundle.people.groups
    for name, members in has.items():
        if {*group.principals} <= {*members} - {*had.get(name, ())}:
            yield name


# --- text and Markdown --------------------------------------------------------------------------------------


def render(document: Document) -> Iterator[str]:
    """Yield the riskiest groups as text."""
    changes = document["changes"]
    if not changes:
        yield "no call is decided differently"
        return
    yield _counted(document)
    for change in changes[:_FIRST]:
        yield from render_change(change)
    if len(changes) > _FIRST:
        yield f"and {len(changes) - _FIRST} more groups of changes; --format json lists all"


def render_change(change: Document) -> Iterator[str]:
    """Yield one group as text."""
    gained = change["kind"] == "gained"
    word = paint("GAINED" if gained else "LOST", "bad" if gained else "doubtful")
    yield f"{word} {_kinds(change)} from {places(change['ranges'], _some)}{_times(change)}"
    yield f"  who   {_who(change)}"
    yield f"  what  {few(change['patterns'], _FEW)}"
    for way in change["conditions"][:_FEW]:
        yield f"  if    {way}"
    if not change["exact"]:
        yield "  if    conditions in very many combinations; --format json lists them"
    for way in change["except"][:_FEW]:
        yield f"  but   {_ALLOWED[change['kind']]} {way}"
    for cause in change["causes"][:_FEW]:
        yield f"  why   {cause['text']}{_groups(change, few)}"


_ALLOWED = {"gained": "allowed before, too, if", "lost": "still allowed if"}


def _counted(document: Document) -> str:
    counts = document["counts"]
    group = "group" if counts["gained"] == 1 else "groups"
    return f"{counts['gained']} {group} of calls gained, {counts['lost']} lost; the riskiest first"


def _kinds(change: Document) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in change["access"].items())


def _some(texts: Sequence[str]) -> str:
    return few(texts, _FEW)


def _times(change: Document) -> str:
    if change["times"] is None:
        return ""
    texts = [span(each).strip() for each in change["times"]]
    return f", {few(texts, _FEW, rest='and {} more times')}"


def _who(change: Document) -> str:
    pairs = zip(change["principals"], change["names"], strict=True)
    listed = few([f"{principal} ({name})" for principal, name in pairs], _FEW)
    count = len(change["principals"])
    return listed if count == 1 else f"{count} principals: {listed}"


def _conditions(change: Document) -> str:
    """Return the conditions of a change as code, and those under which a call is decided as before."""
    parts = ["; or ".join(map(code, change["conditions"][:_FEW]))] if change["conditions"] else []
    parts += [f"{_ALLOWED[change['kind']]} {code(way)}" for way in change["except"][:_FEW]]
    return "; but ".join(parts)


def _groups(change: Document, shown: Callable[[Sequence[str]], str]) -> str:
    words = [f"{word} {shown(change[key])}" for key, word in _MOVES if change[key]]
    return f" ({'; '.join(words)})" if words else ""


_MOVES = ("groups_joined", "joined group"), ("groups_left", "left group")


def render_markdown(document: Document) -> Iterator[str]:
    """Yield a table for a review: one row for each group, riskiest first."""
    changes = document["changes"]
    yield "### Access that this change gives and takes"
    yield ""
    if not changes:
        yield "No call is decided differently."
        return
    yield f"{_counted(document)}."
    yield ""
    yield "| | Actions | Who | From | If | Why |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for change in changes[:_FIRST_ROWS]:
        cells = (
            f"**{change['kind']}**",
            f"{_kinds(change)}: {_codes(change['patterns'])}",
            _codes(change["names"]),
            places(change["ranges"], _codes) + _times(change),
            _conditions(change),
            "; ".join(code(each["text"]) for each in change["causes"][:_FEW]) + _groups(change, _codes),
        )
        yield f"| {' | '.join(cells)} |"
    if len(changes) > _FIRST_ROWS:
        yield ""
        yield f"And {len(changes) - _FIRST_ROWS} more groups of changes."


def _codes(texts: Sequence[str]) -> str:
    return few([code(text) for text in texts], _FEW)


def code(text: str) -> str:
    """Return a text as code in a table of Markdown; a backtick, which would end it, becomes an apostrophe."""
    return f"`{printable(text).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
