"""`camguard replay`: which recorded calls another bundle would decide otherwise.

Rule 1: a log holds principal, action, resources, address and time. A call that the new bundle denies only
        because it asks for something else is not counted as changed: it has not enough facts.
Rule 2: what the new bundle allows, it allows whatever the missing facts are: only a certain allow counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

from camguard.bundle import Bundle
from camguard.cli.inputs import add_inputs, find_inputs, read_folder_or_archive
from camguard.cli.logged import read_log
from camguard.cli.output import Document, add_format, complain, paint, show
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.exit_codes import Exit
from camguard.policytest.cases import find_principal
from camguard.suggest import few

_SHOWN = 5  # actions of a group in text; JSON has all


class Group(NamedTuple):
    """The changed calls of one principal that one statement decides. kind: as `camguard diff` names it."""

    kind: str
    principal: str
    statement: str


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `replay`."""
    parser = verbs.add_parser(
        "replay", help="which recorded calls a bundle would decide otherwise; exit code 8 when there are some"
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help="decision logs; - is stdin")
    add_inputs(parser, archives=True)
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Decide every recorded call again, and print what changes. Raises CamguardError, OSError."""
    log = read_log(args.logs)
    bundle = read_folder_or_archive(find_inputs(args))
    groups: dict[Group, dict[str, Any]] = {}
    same = unknown = changed = 0
    for recorded, allowed in log.calls:
        call = recorded._replace(principal=find_principal(bundle, recorded.principal))
        decision = bundle.decide(call)
        if bool(decision) == allowed:
            same += 1
        elif not decision and _depends(bundle, call, decision):
            unknown += 1
        else:
            changed += 1
            _add(groups, call, decision)
    changes = [{**group._asdict(), **facts} for group, facts in sorted(groups.items())]
    document = {
        "changes": changes,
        "calls": len(log.calls),
        "same": same,
        "changed": changed,
        "not_enough_facts": unknown + len(log.problems),
        "rejected": log.rejected,
        "revision": bundle.revision,
    }
    show(args.format, document, _lines)
    if not log.calls and not log.problems:
        complain("the log has no call that policies were asked for")
    return Exit.CHANGED if changes else Exit.OK


def _depends(bundle: Bundle, call: Call, decision: Decision) -> bool:
    """Tell whether a denial may be owed to a fact that the log does not hold (Rule 1)."""
    if decision.reason is Reason.EXPLICIT_DENY:
        return False
    return any(note.truth is None for note in bundle.explain(call).statements)


def _add(groups: dict[Group, dict[str, Any]], call: Call, decision: Decision) -> None:
    """Count a changed call under the statements that decide it; without one, under the reason."""
    kind = "gained" if decision else "lost"
    for statement in decision.statements or (decision.reason.value,):
        facts = groups.setdefault(Group(kind, call.principal, statement), {"calls": 0, "actions": []})
        facts["calls"] += 1
        if call.action not in facts["actions"]:
            facts["actions"].append(call.action)


def _lines(document: Document) -> Iterator[str]:
    for each in document["changes"]:
        word = paint("gained", "doubtful") if each["kind"] == "gained" else paint("lost  ", "bad")
        actions = few(each["actions"], _SHOWN)
        yield f"{word} {each['principal']}: {each['calls']} calls of {actions}, by {each['statement']}"
    yield (
        f"{document['calls']} calls: {document['same']} as recorded, {document['not_enough_facts']} with not "
        f"enough facts in the log; {document['rejected']} requests never became calls"
    )
