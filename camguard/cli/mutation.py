"""`camguard test --mutate`: the mistakes in policies that no test and no invariant would notice."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from camguard.analysis.causes import Side
from camguard.analysis.diff import risk
from camguard.bundle import Bundle
from camguard.cli.diff import describe, render_change
from camguard.cli.output import Document, paint, progress
from camguard.cli.parser import UsageError
from camguard.policytest import PolicyTests
from camguard.policytest.mutate import Judged, judge_of, mutants_of, share_noticed

_SHOWN = 8  # statements with unnoticed changes that text lists; JSON lists all
_GROUPS = 2  # of what an unnoticed change opens and closes that text lists


def add_mutation(parser: argparse.ArgumentParser) -> None:
    """Give a verb `--mutate` and `--policy`."""
    text = "change each statement on purpose, and list the changes that no test notices"
    parser.add_argument("--mutate", action="store_true", help=text)
    text = "with --mutate: only changes of these policies; stars are allowed"
    parser.add_argument("--policy", default="*", metavar="ID", help=text)


def mutate(args: argparse.Namespace, bundle: Bundle, tests: PolicyTests) -> dict[str, object]:
    """Return the document of all changes. Raises UsageError: no policy fits `--policy`."""
    mutants = mutants_of(bundle, args.policy)
    if not mutants:
        raise UsageError(f"--policy: the bundle has no policy {args.policy!r}")
    judge = judge_of(bundle, tests)
    judged = [judge(mutant) for mutant in progress(mutants, "changes")]
    unnoticed = sorted(
        (each for each in judged if each.groups), key=lambda each: risk(each.groups[0]), reverse=True
    )
    outcomes = [each.outcome for each in judged]
    return {
        "changes": len(judged),
        **{outcome: outcomes.count(outcome) for outcome in ("noticed", "equal", "unnoticed")},
        "noticed_percent": share_noticed(judged),
        "list": [_describe(each, bundle) for each in unnoticed],
    }


def _describe(judged: Judged, bundle: Bundle) -> dict[str, object]:
    mutant, side = judged.mutant, Side(bundle)
    return {
        "kind": mutant.kind,
        "statement": mutant.statement,
        "where": mutant.where,
        "text": mutant.text,
        "would": describe(judged.groups, side, side)["changes"],
    }


def render_mutation(document: Document) -> Iterator[str]:
    """Yield the totals, then each unnoticed change with what it would open and close."""
    noticed = f"tests notice {document['noticed']} ({document['noticed_percent']:.1f} %)"
    rest = f"{document['unnoticed']} are unnoticed, {document['equal']} change no decision"
    yield f"{document['changes']} changes of statements: {noticed}, {rest}"
    alike: dict[tuple[str, str], list[Document]] = {}
    for each in document["list"]:
        alike.setdefault((each["statement"], each["kind"]), []).append(each)
    for each, *more in list(alike.values())[:_SHOWN]:
        others = f", and {len(more)} more of its {each['kind']}s" if more else ""
        yield f"{paint('UNNOTICED', 'bad')} {each['statement']}: {each['text']}{others}"
        yield f"  {paint(each['where'], 'dim')}"
        for change in each["would"][:_GROUPS]:
            yield from (f"  {line}" for line in render_change(change) if not line.startswith("  why"))
        if len(each["would"]) > _GROUPS:
            yield f"  and {len(each['would']) - _GROUPS} more groups of calls"
    if len(alike) > _SHOWN:
        yield f"and changes of {len(alike) - _SHOWN} more kinds; --format json lists all"
