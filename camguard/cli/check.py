"""`camguard check`: what would be decided about one call, and by which statements."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from types import MappingProxyType

from camguard.bundle import Bundle
from camguard.catalog import nearest_actions
from camguard.cli.inputs import Inputs, add_inputs, find_inputs, read_bundle
from camguard.cli.logged import LoggedCall, add_record, fill, read_logged, require_one_call
from camguard.cli.output import Document, add_format, note, paint, show
from camguard.cli.parser import UsageError, argument, region
from camguard.cli.phrases import rows
from camguard.cli.principals import unknown_principal
from camguard.cli.reason import describe as describe_cause
from camguard.cli.reason import render as render_cause
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.explain import Explanation
from camguard.engine.remediation import Change
from camguard.errors import AddressError
from camguard.exit_codes import Exit
from camguard.grammar import REVISION_DIGITS
from camguard.ipset import AddressMap, format_address, parse_address
from camguard.policy.keys import OWN, known_keys, operators_of
from camguard.policy.values import format_moment, read_moment
from camguard.policytest.cases import entries_of, find_principal, region_keys, resource_needed
from camguard.request.attributes_header import read_attributes
from camguard.request.causes import CAUSES_EXPLAINED
from camguard.request.rejection import Rejection, cause_of
from camguard.suggest import nearest, suggestion

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
    option(
        "--ip",
        type=argument(parse_address, AddressError),
        metavar="ADDRESS",
        help="where the call comes from",
    )
    text = "judge the addresses of a range as another one, as client_ip.egress does; may be repeated"
    option("--egress", type=_pair, action="append", metavar="CIDR=ADDRESS", help=text)
    option("--region", type=region, metavar="REGION", help="region of the call, as X-TC-Region names it")
    option("--time", type=read_time, metavar="WHEN", help="ISO 8601, or seconds since 1970 (default: now)")
    pair = "KEY=VALUE"
    tags = parser.add_mutually_exclusive_group()
    text = "tag of every resource, in place of those in resource_tags.json; may be repeated"
    tags.add_argument("--tag", type=_pair, action="append", metavar=pair, help=text)
    tags.add_argument("--no-tags", action="store_true", help="the resources have no tags")
    tags = parser.add_mutually_exclusive_group()
    text = "tag in the request; may be repeated"
    tags.add_argument("--request-tag", type=_pair, action="append", metavar=pair, help=text)
    tags.add_argument("--no-request-tags", action="store_true", help="the request has no tags")
    text = "condition keys as a trusted proxy sends them, a JSON object of the keys of attributes.keys"
    option("--attributes", type=str, metavar="JSON", help=text)
    text = "further condition key; may be repeated"
    option("--context", type=_supplied, action="append", metavar=pair, help=text)
    text = "further condition key that the call surely does not have; may be repeated"
    option("--no-context", type=_key, action="append", metavar="KEY", help=text)


def run(args: argparse.Namespace) -> Exit:
    """Print the decision about the call that the arguments describe."""
    require_one_call(args)
    logged = read_logged(args)
    inputs = find_inputs(args)
    bundle = read_bundle(inputs)
    if logged is not None and not logged.is_call:
        show(args.format, describe_rejected(logged, bundle), render_rejected)
        return Exit.DENY
    if logged is not None:
        fill(args, logged)
        if not (args.tag or args.request_tag or args.context or args.attributes):
            note("the log has no tags and no condition keys: they are unknown unless options supply them")
    template = resource_needed(bundle, args.action)
    if template is not None and not args.resource:
        raise UsageError(f"{args.action} is authorized per resource: give --resource like {template}")
    egress = _egress(args, inputs)
    judged = None if args.ip is None else egress.get(args.ip)
    call = read_call(args, bundle, _attributes(args, inputs))
    call = call if judged is None else call._replace(source_ip=judged)
    decision = bundle.decide(call)
    _note_unknown(bundle, call, decision, args.principal)
    document = describe(bundle, call, decision, logged)
    if judged is not None:
        document |= {"source_ip": format_address(args.ip), "egress_ip": format_address(judged)}
    document["asked"] = [each.id for each in entries_of(bundle, args.action)]
    if args.explain:
        why = bundle.explain(call)
        document["explanation"] = describe_why(why, bundle.nearest_changes(call, why))
    name = bundle.people.names.get(call.principal)
    text = CAUSES_EXPLAINED[cause_of(decision)].meaning
    show(args.format, document, lambda document: render(document, text, name))
    return Exit.OK if decision else Exit.DENY


def _egress(args: argparse.Namespace, inputs: Inputs) -> AddressMap:
    """Return which addresses are judged as another one (T132). Raises UsageError."""
    try:
        return AddressMap.of(dict(inputs.egress.pairs) | dict(args.egress or ()))
    except AddressError as error:
        problem = error.problems[0]
        raise UsageError(f"--egress: {problem.where} {problem.message}") from None


def _attributes(args: argparse.Namespace, inputs: Inputs) -> Mapping[str, tuple[str, ...]]:
    """Return the keys that `--attributes` supplies (T137). Raises UsageError."""
    if args.attributes is None:
        return {}
    found = read_attributes(args.attributes.encode(), inputs.attributes.keys, peer_trusted=True)
    if not isinstance(found, Rejection):
        return found
    listed = ", ".join(sorted(inputs.attributes.keys)) or "none"
    raise UsageError(
        f"--attributes: must be a JSON object of texts or lists of texts; attributes.keys lists {listed}"
    )


def _note_unknown(bundle: Bundle, call: Call, decision: Decision, principal: str) -> None:
    """Suggest what was meant where the call names an action or a principal that does not exist."""
    if decision.reason in NO_ACTION:
        note(f"no action {call.action!r}{suggestion(nearest_actions(bundle.catalog, call.action, 2))}")
    if decision.reason is Reason.PRINCIPAL_UNKNOWN:
        note(unknown_principal(bundle, principal))


def read_call(
    args: argparse.Namespace, bundle: Bundle, attributes: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> Call:
    """Return the call of the options of `add_call`. An option that is not given supplies nothing.

    attributes: further condition keys.
    """
    context = {**dict.fromkeys(args.no_context or (), ()), **attributes, **_gathered(args.context or ())}
    context |= region_keys(bundle, args.action, args.region)
    return Call(
        principal=find_principal(bundle, args.principal),
        action=args.action,
        source_ip=args.ip,
        time=time.time() if args.time is None else args.time,
        resources=tuple(args.resource or "*"),
        resource_tags=_tags(args.tag, none=args.no_tags),
        request_tags=_tags(args.request_tag, none=args.no_request_tags),
        context=context or None,
    )


def _tags(pairs: Iterable[tuple[str, str]] | None, *, none: bool) -> dict[str, str] | None:
    """Return tags by key, None where they are not supplied. none: whether there are none."""
    return {} if none else dict(pairs) if pairs else None


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
        "egress_ip": None,
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
    yield from rows(cells)
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
    ("asked for", "asked", ", ".join),
    ("resource", "resources", ", ".join),
    ("from", "source_ip", lambda address: address or "not given: every qcs:ip is unknown"),
    ("judged as", "egress_ip", lambda address: address or ""),
    ("at", "time", lambda moment: "" if moment is None else format_moment(moment)),
    ("by", "statements", ", ".join),
    ("host", "host", lambda host: host or ""),
    ("peer", "peer", lambda peer: peer or ""),
    ("revision", "revision", lambda revision: revision[:REVISION_DIGITS]),
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
    names = {"asked": [] if document["asked"] == [document["action"]] else document["asked"]}
    cells += [(label, cell({**document, **names}[key])) for label, key, cell in _ROWS]
    yield from rows(cells)
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


def read_time(text: str) -> float:
    """Return the moment that an argument names, in seconds since 1970."""
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
    return _key(key), value


def _key(key: str) -> str:
    if key.partition("/")[0] in OWN:
        message = f"{key} is supplied by --ip, --time, --tag, --request-tag or the catalog"
        raise argparse.ArgumentTypeError(message)
    if operators_of(key) is None:
        raise argparse.ArgumentTypeError(f"unknown condition key {key!r}{nearest(key, known_keys())}")
    return key


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    gathered: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        gathered[key] = (*gathered.get(key, ()), value)
    return gathered
