"""`camguard suggest` and `camguard unused`: what recorded calls need of policies, and what they do not need.

Rule 1: both verbs read whole decision logs. A line that is no record is an error with its place; a record
        whose call cannot be asked again is passed over and counted.
Rule 2: neither verb changes a bundle.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from camguard.analysis.cover import MOST_BLOCKS
from camguard.analysis.least_policy import Suggestion, Wishes, suggest
from camguard.analysis.unused import Recorded, Unused, unused
from camguard.bundle import Bundle
from camguard.cli.inputs import add_inputs, find_inputs, read_bundle
from camguard.cli.logged import Log, read_log
from camguard.cli.output import Document, add_format, complain, note, paint, show
from camguard.cli.parser import UsageError, counting
from camguard.cli.principals import read_listing, unknown_principal
from camguard.engine.call import Call
from camguard.errors import PolicyError
from camguard.exit_codes import Exit
from camguard.files import display_path
from camguard.ipset import format_address
from camguard.policytest.cases import find_principal
from camguard.policytest.run import words_of
from camguard.suggest import few

_SHOWN = 8  # names of a list in text; JSON has all


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register both verbs."""
    logs = "decision logs; - is stdin"
    parser = verbs.add_parser(
        "suggest", help="the least policy that allows the recorded calls of a principal"
    )
    option = parser.add_argument
    option("logs", nargs="+", metavar="LOG", help=logs)
    who = "whose calls: uin/…, role/…, a uin, or a user's name"
    option("--principal", required=True, metavar="WHO", help=who)
    text = "CIDR blocks of a statement (default: 4)"
    option("--most-ranges", type=counting(MOST_BLOCKS), default=4, metavar="N", help=text)
    text = "resources of a statement, above which type/* is written (default: 20)"
    option("--most-resources", type=counting(10_000), default=20, metavar="N", help=text)
    text = "name actions by their first word (Describe*), although this allows actions that were not recorded"
    option("--patterns", action="store_true", help=text)
    text = "allow each action from the addresses of its own calls only; takes more statements"
    option("--each-action", action="store_true", help=text)
    option("--denied", action="store_true", help="allow the calls that were denied, too")
    option("--out", type=Path, metavar="FILE", help="write the policy into a new file")
    add_inputs(parser)
    add_format(parser)
    parser.set_defaults(run=run_suggest)

    parser = verbs.add_parser(
        "unused", help="the statements, grants and principals that no recorded call needs"
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help=logs)
    add_inputs(parser)
    add_format(parser)
    parser.set_defaults(run=run_unused)


def _calls(log: Log, bundle: Bundle) -> Iterator[tuple[Call, bool]]:
    """Yield the calls of a log by principals of the bundle, each with whether it was allowed."""
    principals = cache(lambda text: find_principal(bundle, text))
    for call, allowed in log.calls:
        yield call._replace(principal=principals(call.principal)), allowed


def _note_problems(log: Log) -> None:
    if log.problems:
        places = few([each.where.partition("#")[0] for each in log.problems], 3)
        note(
            f"{len(log.problems)} records are passed over, because the log has cut their resources: {places}"
        )


def _counts(log: Log) -> dict[str, int]:
    return {"calls": len(log.calls), "passed_over": len(log.problems), "rejected": log.rejected}


# --- suggest --------------------------------------------------------------------------------------------


def run_suggest(args: argparse.Namespace) -> Exit:
    """Print the least policy for the calls of one principal, and what it allows beyond them."""
    log = read_log(args.logs)
    bundle = read_bundle(find_inputs(args))
    _note_problems(log)
    principal = find_principal(bundle, args.principal)
    every = [(call, allowed) for call, allowed in _calls(log, bundle) if call.principal == principal]
    calls = [call for call, allowed in every if allowed or args.denied]
    if not calls:
        known = principal in bundle.people.layers or "/" in principal
        raise UsageError(
            f"--principal: the log has no {'' if args.denied else 'allowed '}call of {principal}"
            if known
            else f"--principal: {unknown_principal(bundle, args.principal)}"
        )
    # Neither address nor time of two calls matters more than once; the time is not limited.
    distinct = {(each.action, each.source_ip, each.resources): each for each in calls}
    wishes = Wishes(args.most_ranges, args.patterns, args.each_action, args.most_resources)
    try:
        found = suggest(bundle, tuple(distinct.values()), wishes)
    except PolicyError as error:
        complain(*(each.message for each in error.problems))
        complain("allow fewer ranges or resources, or write a policy for each part of the calls")
        return Exit.INVALID
    document = describe_suggestion(found, principal, len(calls), len(every) - len(calls))
    if args.out is not None:
        with args.out.open("x", encoding="utf-8") as file:
            file.write(json.dumps(found.document, indent=2) + "\n")
        note(f"wrote {display_path(args.out)}")
    show(args.format, document, render_suggestion)
    return Exit.OK


def describe_suggestion(found: Suggestion, principal: str, calls: int, left_out: int) -> dict[str, object]:
    """Return the document of a suggestion. left_out: calls that were denied, and are not allowed by it."""
    return {
        "principal": principal,
        "calls": calls,
        "left_out": left_out,
        "covered": found.covered,
        "policy": found.document,
        "beyond": {
            "actions": list(found.further_actions),
            "ranges": [each._asdict() for each in found.ranges],
            "actions_from_ranges": {name: list(cidrs) for name, cidrs in found.further_ranges.items()},
            "resources": list(found.further_resources),
            "anywhere": list(found.anywhere),
        },
        "not_covered": [
            {
                "action": call.action,
                "source_ip": None if call.source_ip is None else format_address(call.source_ip),
                "resources": list(call.resources),
                "decision": words_of(decision),
            }
            for call, decision in found.not_covered
        ],
    }


def render_suggestion(document: Document) -> Iterator[str]:
    """Yield the policy, then what it allows beyond the recorded calls."""
    yield from json.dumps(document["policy"], indent=2).splitlines()
    calls, different = document["calls"], document["covered"] + len(document["not_covered"])
    of_whom = f"of {document['principal']} ({calls} recorded)"
    yield f"allows {document['covered']} of {different} different calls {of_whom}"
    if document["left_out"]:
        yield f"  {document['left_out']} calls were denied and are left out; --denied allows them, too"
    alike: dict[tuple[str, str], list[str]] = {}
    for each in document["not_covered"]:
        alike.setdefault((each["action"], each["decision"]), []).append(each["source_ip"] or "no address")
    for (action, decision), places in alike.items():
        yield f"  {paint('not allowed', 'bad')} {action} from {few(places)}: {decision}"
    beyond = list(_beyond(document["beyond"]))
    yield "beyond the recorded calls it allows" + ("" if beyond else " nothing")
    yield from (f"  {line}" for line in beyond)


def _beyond(beyond: Document) -> Iterator[str]:
    if beyond["actions"]:
        yield f"{paint('actions', 'doubtful')} {few(beyond['actions'], _SHOWN)}"
    for each in beyond["ranges"]:
        size, recorded = each["addresses"], each["recorded"]
        if recorded < size:
            count = f"{size}" if size < 1 << 32 else f"2^{size.bit_length() - 1}"
            yield f"{paint('addresses', 'doubtful')} of {each['cidr']}: {recorded} of {count} were recorded"
    together: dict[tuple[str, ...], list[str]] = {}
    for name, cidrs in beyond["actions_from_ranges"].items():
        together.setdefault(tuple(cidrs), []).append(name)
    for cidrs, names in together.items():
        yield f"{paint('calls', 'doubtful')} of {few(names, _SHOWN)} from {few(cidrs, _SHOWN)}"
    if beyond["resources"]:
        yield f"{paint('resources', 'doubtful')} {few(beyond['resources'], _SHOWN)}"
    if beyond["anywhere"]:
        yield (
            f"{paint('addresses', 'doubtful')}: all, for {few(beyond['anywhere'], _SHOWN)}, "
            "whose address CAM cannot surely restrict"
        )


# --- unused ---------------------------------------------------------------------------------------------


def run_unused(args: argparse.Namespace) -> Exit:
    """Print what no recorded call needs, and the proof."""
    log = read_log(args.logs)
    bundle = read_bundle(find_inputs(args))
    _note_problems(log)
    if not log.calls:
        complain(f"{few(args.logs)}: no call was recorded, so everything would be unused")
        return Exit.INVALID
    found = unused(bundle, read_listing(find_inputs(args).bundle), _recorded(_calls(log, bundle)))
    show(args.format, {**describe_unused(found, bundle), **_counts(log)}, render_unused)
    if found.changed:
        complain("the proof failed: please report this with the bundle and the log")
        return Exit.UNEXPECTED
    return Exit.OK


def _recorded(calls: Iterable[tuple[Call, bool]]) -> Iterator[Recorded]:
    yield from (Recorded(*each, times) for each, times in Counter(calls).items())


def describe_unused(found: Unused, bundle: Bundle) -> dict[str, object]:
    """Return the document of what is unused."""
    names = bundle.people.names
    return {
        "statements": [
            {"id": each.id, "effect": each.effect, "where": each.where} for each in found.statements
        ],
        "grants": [
            {"holder": each.holder, "name": names.get(each.holder), "what": each.what}
            for each in found.grants
        ],
        "principals": [{"principal": each, "name": names[each]} for each in found.principals],
        "proof": {
            "different_calls": found.different,
            "decided_otherwise_than_recorded": found.otherwise,
            "changed": len(found.changed),
        },
    }


def render_unused(document: Document) -> Iterator[str]:
    """Yield what is unused, kind by kind, then the proof."""
    proof = document["proof"]
    statements = [f"{each['effect']:<6}{each['id']}  {each['where']}" for each in document["statements"]]
    silent = {each["principal"]: each["name"] for each in document["principals"]}
    grants = [_grant(each) for each in document["grants"] if each["holder"] not in silent]
    theirs = len(document["grants"]) - len(grants)
    for what, lines in (
        ("statements decided no recorded call", statements),
        ("grants gave no recorded call a statement that it needs", grants),
        (f"principals made no recorded call; they have {theirs} grants", list(map(_name, silent.items()))),
    ):
        yield f"{paint(str(len(lines)), 'strong')} {what}"
        yield from (f"  {line}" for line in lines)
    if any(each["effect"] == "deny" for each in document["statements"]):
        yield "a deny that decided nothing may guard against calls that nobody has tried yet"
    same = "are decided the same" if not proof["changed"] else f"{proof['changed']} are decided otherwise"
    calls = f"the {document['calls']} recorded calls ({proof['different_calls']} different)"
    yield f"proof: without all of these, {calls} {same}"
    otherwise = proof["decided_otherwise_than_recorded"]
    if otherwise:
        yield f"  {otherwise} of them are decided otherwise than recorded; what may apply to them is kept"
    if document["passed_over"]:
        yield f"  {document['passed_over']} records were passed over, and are no part of the proof"


def _name(pair: tuple[str, str]) -> str:
    return f"{pair[0]} ({pair[1]})"


def _grant(grant: Document) -> str:
    name = f" ({grant['name']})" if grant["name"] else ""
    word = "is in" if grant["what"].startswith("group/") else "has"
    return f"{grant['holder']}{name} {word} {grant['what']}"
