"""`camguard from-where`, `who-can` and `what-can`: the exact answers that access sets give.

Rule 1: an answer is for one time, that of `--time` or the present, unless `--all-times` asks for the windows.
Rule 2: a name or pattern that names nothing is a usage error, never an empty answer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from math import inf

from camguard.analysis import questions
from camguard.analysis.access import Window, access_reader
from camguard.analysis.answers import Answer
from camguard.analysis.grid import FAR
from camguard.bundle import Bundle
from camguard.catalog import Access, nearest_actions
from camguard.cli.check import read_time
from camguard.cli.inputs import Inputs, add_inputs, find_inputs, read_bundle
from camguard.cli.matrix import render_csv, render_matrix, render_page
from camguard.cli.output import Document, add_format, paint, progress, show, write
from camguard.cli.parser import UsageError, argument
from camguard.cli.phrases import EVERYWHERE, places, span
from camguard.errors import AddressError
from camguard.exit_codes import Exit
from camguard.ipset import AddressMap, IpSet, format_address
from camguard.policy.values import format_moment
from camguard.policytest.cases import find_principal
from camguard.suggest import few, nearest, suggestion

_FIRST_PRINCIPALS, _FIRST_ACTIONS = 6, 4  # of a group that text lists; JSON lists all


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the three verbs."""
    parser = verbs.add_parser(
        "from-where", help="the exact addresses from which a principal may call an action"
    )
    option = parser.add_argument
    option("--principal", required=True, metavar="WHO", help="uin/…, role/…, a uin, or a user's name")
    option("--action", required=True, metavar="SERVICE:NAME")
    _add_common(parser)
    option("--all-times", action="store_true", help="every window of time with its addresses")
    add_format(parser)
    parser.set_defaults(run=run_from_where)

    who = "uin/…, role/…, a user's name, group/NAME; stars are allowed"
    pattern = "service:Name; stars are allowed"
    for verb, text, needed, run in (
        ("who-can", "the principals that may call an action, and from where", "--action", run_who_can),
        ("what-can", "the actions that a principal may call, and from where", "--principal", run_what_can),
    ):
        parser = verbs.add_parser(verb, help=text)
        for name, metavar, words in (("--principal", "WHO", who), ("--action", "ACTION", pattern)):
            usual = "" if name == needed else " (default: all)"
            parser.add_argument(
                name, required=name == needed, default="*", metavar=metavar, help=words + usual
            )
        parser.add_argument(
            "--ip",
            type=argument(lambda text: IpSet.of([text]), AddressError),
            metavar="ADDRESS",
            help="only from this address or range",
        )
        parser.add_argument("--access", choices=[str(each) for each in Access], help="only such actions")
        _add_common(parser)
        parser.add_argument("--matrix", action="store_true", help="a table of actions and principals")
        add_format(parser, "csv", "html")
        parser.set_defaults(run=run)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    text = "the resource of the call, six segments (default: left open, as a condition)"
    parser.add_argument("--resource", metavar="QCS", help=text)
    text = "ISO 8601, or seconds since 1970 (default: now)"
    parser.add_argument("--time", type=read_time, metavar="WHEN", help=text)


# --- from where --------------------------------------------------------------------------------------------


def run_from_where(args: argparse.Namespace) -> Exit:
    """Print from where a principal may call an action."""
    inputs = find_inputs(args)
    bundle = read_bundle(inputs)
    principal = find_principal(bundle, args.principal)
    if principal not in bundle.people.layers:
        raise _no_principal(bundle, args.principal)
    if bundle.evaluator.traits(args.action) is None:
        raise _no_action(bundle, args.action)
    if args.all_times and args.time is not None:
        raise UsageError("give --time or --all-times, not both")
    moment = None if args.all_times else time.time() if args.time is None else args.time
    found = access_reader(bundle.evaluator, resource=args.resource, time=moment)(principal, args.action)
    windows = [describe_window(window, inputs.egress) for window in found.windows]
    document: dict[str, object] = {
        "principal": principal,
        "name": bundle.people.names[principal],
        "action": args.action,
        "resource": args.resource,
        "time": moment,
        "revision": bundle.revision,
    }
    document |= {"windows": windows} if args.all_times else windows[0]
    show(args.format, document, render_from_where)
    return Exit.OK


def describe_window(window: Window, egress: AddressMap) -> dict[str, object]:
    """Return the document of a window. from, until: None where the window has no such end."""
    ranges = questions.through(window.ranges, egress)
    statements = (each.answer.statements for each in ranges if each.answer.word == "allow")
    return {
        "from": window.begin if abs(window.begin) < FAR else None,
        "until": None if window.end == inf else window.end,
        "allow": list(window._replace(ranges=ranges).places("allow").cidrs()),
        "statements": list(dict.fromkeys(name for names in statements for name in names)),
        "depends": [describe_answer(places, each) for places, each in questions.depending(ranges)],
        "edges": [
            {
                "at": format_address(edge.place),
                "before": edge.before.word,
                "after": edge.after.word,
                "statements": list(edge.statements),
            }
            for edge in questions.edges_of(ranges)
        ],
    }


def describe_answer(places: IpSet, answer: Answer) -> dict[str, object]:
    """Return the document of an answer that depends on conditions."""
    return {
        "ranges": list(places.cidrs()),
        "on": [str(condition) for condition in answer.conditions()],
        "allowed_if": [
            {
                "layer": need.layer,
                "action": need.action,
                "one_of": [
                    {"statements": list(each.statements), "conditions": [str(c) for c in each.conditions]}
                    for each in need.alternatives
                ],
            }
            for need in answer.needs
        ],
        "unless": [
            {"statements": list(each.statements), "conditions": [str(c) for c in each.conditions]}
            for each in answer.unless
        ],
    }


def render_from_where(document: Document) -> Iterator[str]:
    """Yield the answer as text, window by window."""
    resource = f" on {document['resource']}" if document["resource"] else ""
    yield f"{document['principal']} ({document['name']}) calls {document['action']}{resource}"
    for window in document.get("windows") or (document,):
        at = f"at {format_moment(document['time'])}, in force" if document["time"] is not None else "valid"
        yield f"{at}{span(window) or ' at all times'}"
        yield from _render_answers(window)
        if window["edges"]:
            yield f"  {paint('edges', 'strong')}"
        for edge in window["edges"]:
            words = f"{edge['before']} -> {edge['after']}"
            yield f"    {edge['at']:<22} {words:<18} {paint(', '.join(edge['statements']) or '-', 'dim')}"


def _render_answers(answers: Document) -> Iterator[str]:
    """Yield the addresses that are allowed, and those that depend on conditions, with the conditions."""
    if answers["allow"]:
        by = f"  by {', '.join(answers['statements'])}" if answers.get("statements") else ""
        yield f"  {paint('allowed from', 'good')} {_places(answers['allow'])}{paint(by, 'dim')}"
    for each in answers["depends"]:
        yield f"  {paint('depends from', 'doubtful')} {_places(each['ranges'])}"
        yield from (f"    {line}" for line in _conditions(each))
    if not answers["allow"] and not answers["depends"]:
        yield f"  {paint('denied from everywhere', 'bad')}"


def _conditions(answer: Document) -> Iterator[str]:
    for need in answer["allowed_if"]:
        yield f"the {need['layer']} layer allows {need['action'] or 'the action'} if one of these holds:"
        for each in need["one_of"]:
            yield _alternative(each)
    if answer["unless"]:
        yield "denied if one of these holds or cannot be determined:"
        for each in answer["unless"]:
            yield _alternative(each)


def _alternative(each: Document) -> str:
    by = f"  by {', '.join(each['statements'])}" if each["statements"] else ""
    return f"  {' and '.join(each['conditions'])}{paint(by, 'dim')}"


def _places(cidrs: Sequence[str]) -> str:
    return places(cidrs, ", ".join, brief=inf)


# --- who can, what can -------------------------------------------------------------------------------------


def run_who_can(args: argparse.Namespace) -> Exit:
    """Print which principals may call an action."""
    return _run_entries(args, "nobody can")


def run_what_can(args: argparse.Namespace) -> Exit:
    """Print which actions a principal may call."""
    return _run_entries(args, "nothing can be called")


def _run_entries(args: argparse.Namespace, nothing: str) -> Exit:
    inputs = find_inputs(args)
    bundle = read_bundle(inputs)
    if args.format in {"csv", "html"} and not args.matrix:
        raise UsageError(f"--format {args.format} is for --matrix")
    principals = questions.principals_named(bundle.people, args.principal)
    if not principals:
        raise _no_principal(bundle, args.principal)
    access = Access(args.access) if args.access else None
    actions = questions.actions_named(bundle.catalog, args.action, access)
    if not actions:
        raise _no_action(bundle, args.action, args.access)
    moment = time.time() if args.time is None else args.time
    found = _entries(args, bundle, inputs, principals, actions, moment)
    document: dict[str, object] = {"time": moment, "resource": args.resource}
    document |= {"ip": list(args.ip.cidrs()) if args.ip else None, "revision": bundle.revision}
    if args.matrix:
        document["principals"] = [{"principal": p, "name": bundle.people.names[p]} for p in principals]
        listed = questions.callable_actions(bundle.catalog)
        place_of, details = _answers(found, args.ip or EVERYWHERE)
        words = [each["word"] for each in details]
        document["rows"] = [
            {
                "action": action,
                "access": str(listed[action]),
                "answers": [
                    at if args.format == "html" else words[at]
                    for at in (place_of.get((principal, action), 0) for principal in principals)
                ],
            }
            for action in actions
        ]
        document |= {"details": details} if args.format == "html" else {}
        if args.format == "html":
            write(render_page(document))
        else:
            show(args.format if args.format == "json" else "text", document, _MATRICES[args.format])
        return Exit.OK
    if args.format == "text":
        show("text", {**document, "groups": questions.grouped(found)}, _renderer(bundle, nothing))
        return Exit.OK
    document["entries"] = list(describe_entries(found, bundle))
    show(args.format, document, iter)
    return Exit.OK


def _entries(  # noqa: PLR0913, PLR0917 - the values of one question
    args: argparse.Namespace,
    bundle: Bundle,
    inputs: Inputs,
    principals: Sequence[str],
    actions: Sequence[str],
    moment: float,
) -> list[questions.Entry]:
    shown = progress(principals, "principals")
    fixed = {"time": moment, "resource": args.resource, "addresses": args.ip, "egress": inputs.egress}
    return list(questions.entries(bundle.evaluator, shown, actions, **fixed))


def describe_entries(found: Iterable[questions.Entry], bundle: Bundle) -> Iterator[dict[str, object]]:
    """Yield the documents of entries."""
    cidrs = cache(IpSet.cidrs)
    for entry in found:
        yield {
            "principal": entry.principal,
            "name": bundle.people.names[entry.principal],
            "action": entry.action,
            "allow": list(cidrs(entry.allow)),
            "depends": [describe_answer(places, answer) for places, answer in entry.depends],
        }


def _renderer(bundle: Bundle, nothing: str) -> Callable[[Document], Iterator[str]]:
    def render(document: Document) -> Iterator[str]:
        """Yield each group of principals and actions with one answer."""
        names = bundle.people.names
        if not document["groups"]:
            from_there = f" from {', '.join(document['ip'])}" if document["ip"] else ""
            yield f"{nothing}{from_there} at {format_moment(document['time'])}"
        for group in document["groups"]:
            who = few([f"{each} ({names[each]})" for each in group.principals], _FIRST_PRINCIPALS)
            yield f"{paint(who, 'strong')}: {few(group.actions, _FIRST_ACTIONS)}"
            depends = [describe_answer(places, answer) for places, answer in group.depends]
            yield from _render_answers({"allow": group.allow.cidrs(), "depends": depends})

    return render


def _answers(
    found: Iterable[questions.Entry], wanted: IpSet
) -> tuple[dict[tuple[str, str], int], list[dict[str, object]]]:
    """Return the place of each entry in a list of the different answers, and this list, led by a deny.

    wanted: the addresses that were asked for.
    """
    details: list[dict[str, object]] = [{"word": "deny", "allow": [], "depends": []}]
    places: dict[tuple[IpSet, questions.Depends], int] = {}
    known: dict[tuple[int, int], int] = {}  # by identity, because equal entries often share their answer
    place_of: dict[tuple[str, str], int] = {}
    for entry in found:
        key = id(entry.allow), id(entry.depends)
        if key not in known:
            at = known[key] = places.setdefault((entry.allow, entry.depends), len(details))
            if at == len(details):
                depends = [describe_answer(addresses, answer) for addresses, answer in entry.depends]
                allow = list(entry.allow.cidrs())
                details.append({"word": _word(entry, wanted), "allow": allow, "depends": depends})
        place_of[entry.principal, entry.action] = known[key]
    return place_of, details


def _word(entry: questions.Entry, wanted: IpSet) -> str:
    """Return one word for a cell of the matrix. wanted: the addresses that were asked for."""
    if entry.depends:
        return "depends"
    return "allow" if entry.allow == wanted else "some"


_MATRICES = {"text": render_matrix, "json": render_matrix, "csv": render_csv}


def _no_principal(bundle: Bundle, text: str) -> UsageError:
    near = nearest(text, questions.principal_names(bundle.people))
    return UsageError(f"--principal: the bundle has no {text!r}{near}")


def _no_action(bundle: Bundle, text: str, access: str | None = None) -> UsageError:
    of_access = f" of access {access}" if access else ""
    hint = suggestion(nearest_actions(bundle.catalog, text, 2))
    return UsageError(f"--action: the catalog has no action {text!r}{of_access}{hint}")
