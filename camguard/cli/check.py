"""`camguard check`: what would be decided about one call, and by which statements."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC

from camguard.bundle import Bundle
from camguard.catalog import nearest_actions
from camguard.catalog.model import Granularity
from camguard.cli.inputs import add_inputs, find_inputs, read_bundle
from camguard.cli.logged import LoggedCall, add_record, fill, misused, read_logged
from camguard.cli.output import Document, add_format, complain, note, paint, show
from camguard.cli.reason import describe as describe_cause
from camguard.cli.reason import render as render_cause
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.explain import Explanation, format_moment
from camguard.engine.remediation import Change
from camguard.errors import AddressError
from camguard.exit_codes import Exit
from camguard.ipset import format_address, parse_address
from camguard.policy.keys import OWN, known_keys, operators_of
from camguard.policy.values import read_moment
from camguard.policytest.cases import find_principal
from camguard.request.causes import CAUSES_EXPLAINED
from camguard.request.rejection import cause_of
from camguard.suggest import meant, nearest

_SECONDS = re.compile(r"[0-9]{1,11}(?:\.[0-9]+)?")

NO_ACTION = (Reason.ACTION_UNKNOWN, Reason.ACTION_INVALID, Reason.SERVICE_UNKNOWN)
TRUTHS = {True: "true", False: "false", None: "unknown"}
_STYLES = {"true": "good", "false": "bad", "unknown": "doubtful"}


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `check`."""
    parser = verbs.add_parser("check", help="decide one call and say why; exit code 0 allow, 6 deny")
    add_inputs(parser)
    add_call(parser)
    add_record(parser)
    parser.add_argument(
        "--explain", action="store_true", help="every statement that names the action, and what would help"
    )
    add_format(parser)
    parser.set_defaults(run=run)


def add_call(parser: argparse.ArgumentParser) -> None:
    """Give a verb the options that make up a call."""
    option = parser.add_argument
    option("--principal", metavar="WHO", help="uin/…, role/…, a uin, or a user's name")
    option("--action", metavar="SERVICE:NAME")
    option("--resource", action="append", metavar="QCS", help="six segments; may be repeated")
    option("--ip", type=_address, metavar="ADDRESS", help="where the call comes from")
    option("--time", type=_instant, metavar="WHEN", help="ISO 8601, or seconds since 1970 (default: now)")
    pair = "KEY=VALUE"
    option("--tag", type=_pair, action="append", metavar=pair, help="tag of the resource")
    option("--request-tag", type=_pair, action="append", metavar=pair, help="tag in the request")
    text = "further condition key; may be repeated"
    option("--context", type=_supplied, action="append", metavar=pair, help=text)


def run(args: argparse.Namespace) -> Exit:
    """Print the decision about the call that the arguments describe."""
    wrong = misused(args)
    if wrong is not None:
        complain(wrong)
        return Exit.USAGE
    logged = read_logged(args)
    bundle = read_bundle(find_inputs(args))
    if logged is not None and not logged.is_call:
        show(args.format, describe_rejected(logged, bundle), render_rejected)
        return Exit.DENY
    if logged is not None:
        fill(args, logged)
        if not (args.tag or args.request_tag or args.context):
            note("the log has no tags and no condition keys: they are unknown unless options supply them")
    entry = bundle.catalog.actions.get(args.action)
    if entry and entry.granularity is Granularity.RESOURCE and entry.resources and not args.resource:
        complain(f"{args.action} is authorized per resource: give --resource like {entry.resources[0]}")
        return Exit.USAGE
    call = read_call(args, bundle)
    decision = bundle.decide(call)
    if decision.reason in NO_ACTION:
        note(f"no action {call.action!r}{meant(nearest_actions(bundle.catalog, call.action, 2))}")
    document = describe(bundle, call, decision, logged)
    if args.explain:
        why = bundle.explain(call)
        document["explanation"] = describe_why(why, bundle.nearest_changes(call, why))
    name = bundle.people.names.get(call.principal)
    text = CAUSES_EXPLAINED[cause_of(decision)].meaning
    show(args.format, document, lambda document: render(document, text, name))
    return Exit.OK if decision else Exit.DENY


def read_call(args: argparse.Namespace, bundle: Bundle) -> Call:
    """Return the call of the options of `add_call`. An option that is not given supplies nothing."""
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


def describe(
    bundle: Bundle, call: Call, decision: Decision, logged: LoggedCall | None = None
) -> dict[str, object]:
    """Return the document of a decision. logged: the record of which the call is, if it is of one."""
    return {
        "decision": "allow" if decision else "deny",
        "reason": decision.reason,
        "detail": decision.detail,
        "layer": decision.layer,
        "statements": list(decision.statements),
        "principal": call.principal,
        "action": call.action,
        "resources": list(call.resources),
        "source_ip": None if call.source_ip is None else format_address(call.source_ip),
        "host": None if logged is None else logged.fields["host"],
        "peer": None if logged is None else logged.fields["peer"],
        "time": call.time,
        "revision": bundle.revision,
        "record": None if logged is None else _compared(logged, bundle, str(decision.reason)),
    }


def _compared(logged: LoggedCall, bundle: Bundle, reason: str) -> dict[str, object]:
    """Return what was decided then, and whether revision and reason are the same now."""
    fields = logged.fields
    return {
        **{key: fields[key] for key in ("id", "time", "decision", "reason", "detail", "layer", "revision")},
        # The log has the first digits of a revision.
        "same_revision": bool(fields["revision"]) and bundle.revision.startswith(fields["revision"]),
        "same_reason": fields["reason"] == reason,
    }


def describe_rejected(logged: LoggedCall, bundle: Bundle) -> dict[str, object]:
    """Return the document of a logged request that never became a call: policies were not asked."""
    fields = logged.fields
    cause = CAUSES_EXPLAINED.get(fields["detail"] or fields["reason"])
    return {
        **{key: fields[key] for key in ("decision", "reason", "detail", "layer")},
        "statements": [],
        "principal": fields["principal"],
        "action": logged.action,
        **{key: fields[key] for key in ("resources", "source_ip", "host", "peer")},
        "time": logged.time,
        "revision": bundle.revision,
        "record": _compared(logged, bundle, fields["reason"]),
        "cause": None if cause is None else describe_cause(cause),
    }


def render_rejected(document: Document) -> Iterator[str]:
    """Yield a logged request that never became a call as text."""
    word = document["detail"] or document["reason"]
    yield f"{paint('DENY', 'bad')}  {word}: the request never became a call, so no policy can be asked again"
    cells = ((key, document[key]) for key in ("principal", "action", "source_ip", "host", "peer"))
    yield from (f"  {paint(f'{label:<10}', 'dim')}{cell}" for label, cell in cells if cell)
    yield ""
    yield from () if document["cause"] is None else render_cause(document["cause"])


def describe_why(why: Explanation, changes: Iterable[Change]) -> dict[str, object]:
    """Return the document of an explanation."""
    return {
        "statements": [
            {
                **statement._asdict(),
                "truth": TRUTHS[statement.truth],
                "clauses": [
                    {**clause._asdict(), "truth": TRUTHS[clause.truth]} for clause in statement.clauses
                ],
            }
            for statement in why.statements
        ],
        "missing": list(why.missing),
        "foreign": list(why.foreign),
        "nearest": [change._asdict() for change in changes],
    }


# The rows of a decision in text: label, key in the document, and how the value is shown ("" hides the row).
_ROWS = (
    ("action", "action", str),
    ("resource", "resources", ", ".join),
    ("from", "source_ip", lambda address: address or "not given: every qcs:ip is unknown"),
    ("at", "time", lambda moment: "" if moment is None else format_moment(moment)),
    ("by", "statements", ", ".join),
    ("host", "host", lambda host: host or ""),
    ("peer", "peer", lambda peer: peer or ""),
    ("revision", "revision", lambda revision: revision[:12]),
    ("logged", "record", lambda record: "" if record is None else _then(record)),
)


def _then(record: Document) -> str:
    """Return in words what was decided then, and whether it was the same bundle."""
    bundle = (
        "the same revision"
        if record["same_revision"]
        else f"another revision, {record['revision'] or 'none'}"
    )
    same = "the same decision" if record["same_reason"] else f"{record['decision']}, {record['reason']}"
    return f"{same} at {record['time']}, under {bundle}"


def render(document: Document, text: str, name: str | None = None) -> Iterator[str]:
    """Yield a decision as text, with the explanation if there is one.

    text: explains the reason. name: of the principal, for people.
    """
    allowed = document["decision"] == "allow"
    word = paint("ALLOW", "good") if allowed else paint("DENY", "bad")
    layer = f" in the {document['layer']} layer" if document["layer"] and not allowed else ""
    yield f"{word}  {document['reason']}{layer}: {text[:1].lower()}{text[1:].rstrip('.')}"
    principal = document["principal"]
    cells = [("principal", f"{principal} ({name})" if name else principal)]
    cells += [(label, cell(document[key])) for label, key, cell in _ROWS]
    yield from (f"  {paint(f'{label:<10}', 'dim')}{cell}" for label, cell in cells if cell)
    if "explanation" in document:
        yield from _render_why(document, document["explanation"])


def _render_why(document: Document, why: Document) -> Iterator[str]:
    """Yield every statement that names the action, clause by clause, then the nearest changes."""
    yield ""
    layer, statements = document["layer"], why["statements"]
    if not statements and layer is None:
        yield "no statement was evaluated"
        return
    for statement in statements:
        counts = paint("counts", "strong") if statement["counts"] else paint("does not count", "dim")
        head = f"{statement['layer']} {statement['id']}: {statement['effect']}"
        yield f"{head}, {counts}  {paint(statement['where'], 'dim')}"
        for clause in statement["clauses"]:
            truth, kind = clause["truth"], clause["kind"]
            yield f"  {paint(f'{truth:<8}', _STYLES[truth])}{kind:<10}{clause['text']}"
            if kind == "condition" or truth != "true":
                yield f"  {'':<18}{paint(clause['why'], 'dim')}"
    if layer and layer not in {statement["layer"] for statement in statements}:
        yield f"{layer}: no statement names {document['action']}"
    for resource in why["foreign"]:
        yield f"{resource}: belongs to another account; the owner is allowed only its own resources"
    for policy in why["missing"]:
        yield f"{policy}: attached, but not in the bundle; counts as a deny that cannot be evaluated"
    if why["nearest"]:
        yield from ("", "nearest ways to allow", *(f"  {change['text']}" for change in why["nearest"]))


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
    """Read one `--context`. A key that no call can supply is an error: it would have no effect."""
    key, value = _pair(text)
    if key.partition("/")[0] in OWN:
        message = f"{key} is supplied by --ip, --time, --tag, --request-tag or the catalog"
        raise argparse.ArgumentTypeError(message)
    if operators_of(key) is None:
        raise argparse.ArgumentTypeError(f"unknown condition key {key!r}{nearest(key, known_keys())}")
    return key, value


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    gathered: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        gathered[key] = (*gathered.get(key, ()), value)
    return gathered
