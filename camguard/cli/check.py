"""`camguard check`: what would be decided of one call, and by which statements."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC
from itertools import chain

from camguard.bundle import Bundle
from camguard.catalog import nearest_actions
from camguard.catalog.model import Granularity
from camguard.cli.exit import Exit
from camguard.cli.output import add_format, complain, paint, say, show
from camguard.cli.source import add_source, find_source, read_bundle
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.explain import Explanation, format_moment
from camguard.engine.remediation import Change
from camguard.errors import AddressError
from camguard.ipset import format_address, parse_address
from camguard.policy.keys import OWN, known_keys, operators_of
from camguard.policy.values import read_moment
from camguard.policytest.cases import find_principal
from camguard.suggest import meant, nearest

_SECONDS = re.compile(r"[0-9]{1,11}(?:\.[0-9]+)?")

# What a reason means to whoever asked; the rest of the list concerns requests, not calls.
MEANINGS = {
    Reason.ALLOWED: "an allow holds and no deny applies",
    Reason.EXPLICIT_DENY: "a deny applies",
    Reason.UNDETERMINED_DENY: "a deny could not be evaluated, and so it counts",
    Reason.NO_ALLOW: "no statement of the principal's own policies or groups allows it",
    Reason.LAYER_LIMIT: "it is allowed, but a layer that limits the principal does not allow it",
    Reason.ACTION_UNKNOWN: "the catalog does not list this action",
    Reason.ACTION_INVALID: "no action can be called that; write service:Name",
    Reason.SERVICE_UNKNOWN: "the catalog does not list this service",
    Reason.PRINCIPAL_UNKNOWN: "the bundle has no such principal",
}
NO_ACTION = (Reason.ACTION_UNKNOWN, Reason.ACTION_INVALID, Reason.SERVICE_UNKNOWN)
TRUTHS = {True: ("true", "good"), False: ("false", "bad"), None: ("unknown", "doubtful")}


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `check`."""
    parser = verbs.add_parser("check", help="decide one call and say why; exit code 0 allow, 6 deny")
    add_source(parser)
    add_call(parser)
    parser.add_argument(
        "--explain", action="store_true", help="every statement that names the action, and what would help"
    )
    add_format(parser)
    parser.set_defaults(run=run)


def add_call(parser: argparse.ArgumentParser) -> None:
    """Give a verb the options that make up a call."""
    parser.add_argument(
        "--principal", required=True, metavar="WHO", help="uin/…, role/…, a uin, or a user's name"
    )
    parser.add_argument("--action", required=True, metavar="SERVICE:NAME")
    parser.add_argument("--resource", action="append", metavar="QCS", help="six segments; may be repeated")
    parser.add_argument("--ip", type=_address, metavar="ADDRESS", help="where the call comes from")
    parser.add_argument(
        "--time", type=_instant, metavar="WHEN", help="ISO 8601, or seconds since 1970 (default: now)"
    )
    parser.add_argument("--tag", type=_pair, action="append", metavar="KEY=VALUE", help="tag of the resource")
    parser.add_argument(
        "--request-tag", type=_pair, action="append", metavar="KEY=VALUE", help="tag in the request"
    )
    parser.add_argument(
        "--context",
        type=_supplied,
        action="append",
        metavar="KEY=VALUE",
        help="further condition key; may be repeated",
    )


def run(args: argparse.Namespace) -> Exit:
    """Print the decision of the call that the arguments describe."""
    bundle = read_bundle(find_source(args))
    entry = bundle.catalog.actions.get(args.action)
    if entry and entry.granularity is Granularity.RESOURCE and entry.resources and not args.resource:
        complain(f"{args.action} is authorized per resource: give --resource like {entry.resources[0]}")
        return Exit.USAGE
    call = read_call(args, bundle)
    decision = bundle.decide(call)
    if decision.reason in NO_ACTION:
        say(f"no action {call.action!r}{meant(nearest_actions(bundle.catalog, call.action, 2))}")
    lines, answer = report(bundle, call, decision), document(bundle, call, decision)
    if args.explain:
        why = bundle.explain(call)
        changes = bundle.nearest_changes(call, why)
        lines = chain(lines, report_why(call, why, changes))
        answer["explanation"] = document_why(why, changes)
    show(args.format, lines, answer)
    return Exit.OK if decision else Exit.DENY


def read_call(args: argparse.Namespace, bundle: Bundle) -> Call:
    """Return the call that `add_call`'s options describe. What was not given is not supplied."""
    return Call(
        principal=find_principal(bundle, args.principal),
        action=args.action,
        source_ip=args.ip,
        time=time.time() if args.time is None else args.time,
        resources=tuple(args.resource or "*"),
        resource_tags=dict(args.tag) if args.tag else None,
        request_tags=dict(args.request_tag) if args.request_tag else None,
        context=_gathered(args.context) if args.context else None,
    )


def report(bundle: Bundle, call: Call, decision: Decision) -> Iterator[str]:
    """Yield the decision for a person, the answer first."""
    word, style = ("ALLOW", "good") if decision else ("DENY", "bad")
    layer = f" in the {decision.layer} layer" if decision.layer and not decision else ""
    meaning = MEANINGS.get(decision.reason, decision.detail or "")
    yield f"{paint(word, style)}  {decision.reason}{layer}: {meaning}"
    name = bundle.people.names.get(call.principal)
    source = (
        "not given: every qcs:ip is unknown" if call.source_ip is None else format_address(call.source_ip)
    )
    rows = {
        "principal": f"{call.principal} ({name})" if name else call.principal,
        "action": call.action,
        "resource": ", ".join(map(str, call.resources)),
        "from": source,
        "at": "" if call.time is None else format_moment(call.time),
        "by": ", ".join(decision.statements),
        "revision": bundle.revision[:12],
    }
    for label, value in rows.items():
        if value:
            yield f"  {paint(f'{label:<10}', 'dim')}{value}"


def document(bundle: Bundle, call: Call, decision: Decision) -> dict[str, object]:
    """Return the decision for a program."""
    return {
        "decision": "allow" if decision else "deny",
        "reason": decision.reason,
        "layer": decision.layer,
        "statements": list(decision.statements),
        "principal": call.principal,
        "action": call.action,
        "resources": list(call.resources),
        "source_ip": None if call.source_ip is None else format_address(call.source_ip),
        "time": call.time,
        "revision": bundle.revision,
    }


def report_why(call: Call, why: Explanation, changes: Iterable[Change]) -> Iterator[str]:
    """Yield every statement that names the action, clause by clause, then what would let the call pass."""
    yield ""
    if not why.statements and why.decision.layer is None:
        yield "no statement was looked at"
        return
    for note in why.statements:
        counts = paint("counts", "strong") if note.counts else paint("does not count", "dim")
        yield f"{note.layer} {note.id}: {note.effect}, {counts}  {paint(note.where, 'dim')}"
        for clause in note.clauses:
            word, style = TRUTHS[clause.truth]
            yield f"  {paint(f'{word:<8}', style)}{clause.kind:<10}{clause.text}"
            if clause.kind == "condition" or clause.truth is not True:
                yield f"  {'':<18}{paint(clause.why, 'dim')}"
    layer = why.decision.layer
    if layer and layer not in {note.layer for note in why.statements}:
        yield f"{layer}: no statement names {call.action}"
    for resource in why.foreign:
        yield f"{resource}: another account's; the owner is allowed what it owns, and no more"
    for policy in why.missing:
        yield f"{policy}: attached, but not in the bundle; counts as a deny that cannot be evaluated"
    for i, change in enumerate(changes):
        if not i:
            yield ""
            yield "nearest ways to allow"
        yield f"  {change.text}"


def document_why(why: Explanation, changes: Iterable[Change]) -> dict[str, object]:
    """Return the same for a program."""
    return {
        "statements": [
            {
                "id": note.id,
                "layer": note.layer,
                "effect": note.effect,
                "where": note.where,
                "truth": TRUTHS[note.truth][0],
                "counts": note.counts,
                "clauses": [
                    {
                        "kind": clause.kind,
                        "text": clause.text,
                        "truth": TRUTHS[clause.truth][0],
                        "why": clause.why,
                    }
                    for clause in note.clauses
                ],
            }
            for note in why.statements
        ],
        "missing": list(why.missing),
        "foreign": list(why.foreign),
        "nearest": [{"clauses": change.clauses, "text": change.text} for change in changes],
    }


def _address(text: str) -> int:
    try:
        return parse_address(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _instant(text: str) -> float:
    if _SECONDS.fullmatch(text):
        return float(text)
    when = read_moment(text)
    if when is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-11-22T03:00:00Z")
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _supplied(text: str) -> tuple[str, str]:
    """Read one `--context`. A key that a call cannot supply so would be passed over without a word."""
    key, value = _pair(text)
    if key.partition("/")[0] in OWN:
        raise argparse.ArgumentTypeError(f"{key} is said by --ip, --time, --tag or --request-tag")
    if operators_of(key) is None:
        raise argparse.ArgumentTypeError(f"unknown condition key {key!r}{nearest(key, known_keys())}")
    return key, value


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    gathered: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        gathered[key] = (*gathered.get(key, ()), value)
    return gathered
