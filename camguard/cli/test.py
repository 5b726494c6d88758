"""`camguard test`: runs the policy tests of a bundle, proves its invariants, and prints the outcome."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from camguard.bundle import Bundle
from camguard.cli.check_command import check_command
from camguard.cli.inputs import Inputs, add_inputs, find_inputs, read_bundle
from camguard.cli.mutation import add_mutation, mutate, render_mutation
from camguard.cli.output import Document, add_format, complain, paint, show
from camguard.cli.phrases import places
from camguard.exit_codes import Exit
from camguard.ipset import format_address
from camguard.policy.values import format_moment
from camguard.policytest import (
    Outcome,
    PolicyTests,
    Proof,
    coverage,
    decide_suite,
    never_decided,
    prove_stated,
    read_tests,
)
from camguard.policytest.invariants import describe_times
from camguard.policytest.run import words_of
from camguard.suggest import few, first_of

_SHOWN = 5  # failures of one test that text lists; JSON lists all


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `test`."""
    parser = verbs.add_parser(
        "test", help="run the policy tests of a bundle; exit code 4 when one fails or none ran"
    )
    option = parser.add_argument
    option("paths", type=Path, nargs="*", metavar="PATH", help="files or folders (default: BUNDLE/tests)")
    add_inputs(parser)
    option("--run", dest="only", type=_pattern, metavar="REGEX", help="only tests whose name fits")
    option("--coverage", action="store_true", help="list the statements that never decided anything")
    option("--min-coverage", type=_percent, metavar="PERCENT", help="fail below this share of statements")
    add_mutation(parser)
    text = "with --mutate: fail if tests notice a smaller share of the changes of access"
    option("--min-noticed", type=_percent, metavar="PERCENT", help=text)
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run every test and print the outcome."""
    inputs = find_inputs(args)
    bundle = read_bundle(inputs)
    tests = read_tests(args.paths or [inputs.bundle / "tests"], bundle)
    suites = [suite for suite in tests.suites if args.only is None or args.only.search(suite.name)]
    stated = [each for each in tests.invariants if args.only is None or args.only.search(each.name)]
    outcomes = [decide_suite(suite, bundle) for suite in suites]
    wanted = args.coverage or args.min_coverage is not None
    never = never_decided(suites, bundle) if wanted else None
    covered = coverage(bundle, never) if never is not None else None
    proofs = [prove_stated(each, bundle) for each in stated]
    failed = any(outcome.failures for outcome in outcomes) or any(proof.broken for proof in proofs)
    document: dict[str, Any] = {
        "tests": describe(outcomes),
        "invariants": [describe_proof(proof, bundle, args, inputs) for proof in proofs],
        "coverage": covered,
        "never_decided": never,
        "mutation": None,
    }
    ran = stated or any(suite.cases for suite in suites)
    if args.mutate and ran and not failed:
        document["mutation"] = mutate(args, bundle, PolicyTests(tuple(suites), tuple(stated)))
    show(args.format, document, lambda document: render(document, bundle.statement_count))
    return _outcome(args, document, ran=bool(ran), failed=failed)


def _outcome(args: argparse.Namespace, document: Document, *, ran: bool, failed: bool) -> Exit:
    """Return the exit code, after a complaint about what is too little. ran: whether there was a test."""
    covered, mutation = document["coverage"], document["mutation"]
    wrong = []
    if not ran:
        wrong.append("no policy test ran")
    elif failed and args.mutate:
        wrong.append("no statement was changed, because tests fail for the bundle as it is")
    if ran and args.min_coverage is not None and covered < args.min_coverage:
        wrong.append(f"coverage is {covered:.1f} %, below {args.min_coverage:g} %")
    if (
        mutation is not None
        and args.min_noticed is not None
        and mutation["noticed_percent"] < args.min_noticed
    ):
        percent = mutation["noticed_percent"]
        wrong.append(f"tests notice {percent:.1f} % of the changes of access, below {args.min_noticed:g} %")
    complain(*wrong)
    return Exit.TESTS_FAILED if failed or wrong else Exit.OK


def describe(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Return the documents of tests."""
    return [
        {
            "where": outcome.suite.where,
            "name": outcome.suite.name,
            "calls": len(outcome.suite.cases),
            "failures": [
                {
                    "call": failure.case.label,
                    "expected": str(failure.case.expected),
                    "expected_at": failure.case.expected.where,
                    "decision": "allow" if failure.decision else "deny",
                    "reason": failure.decision.reason,
                    "statements": list(failure.decision.statements),
                }
                for failure in outcome.failures
            ],
        }
        for outcome in outcomes
    ]


def describe_proof(
    proof: Proof, bundle: Bundle, args: argparse.Namespace, inputs: Inputs
) -> dict[str, object]:
    """Return the document of an invariant. principals, actions: how many it is about."""
    stated, broken = proof.stated, proof.broken
    space = stated.invariant.space
    document: dict[str, object] = {
        "where": stated.where,
        "name": stated.name,
        "form": stated.form,
        "principals": len(space.principals),
        "actions": len(space.actions),
        "result": "proved" if broken is None else "unproved" if broken.found is None else "broken",
    }
    if broken is None:
        return document
    fault, found = broken.fault, broken.found
    document["wrong"] = {
        "principal": broken.principal,
        "name": bundle.people.names[broken.principal],
        "action": broken.action,
        "expected": fault.expected,
        "ranges": list(fault.places.cidrs()),
        "times": describe_times([(fault.begin, fault.end)]),
        "on": [str(condition) for condition in fault.answer.conditions()],
        "principals": list(broken.principals),
        "actions": list(broken.actions),
    }
    document["counterexample"] = found and {
        "principal": found.call.principal,
        "action": found.call.action,
        "resources": list(found.call.resources),
        "source_ip": format_address(found.address),
        "time": found.call.time,
        "decision": "allow" if found.decision else "deny",
        "reason": found.decision.reason,
        "statements": list(found.decision.statements),
        "decided": words_of(found.decision),
        "other_decided": None if found.other is None else words_of(found.other),
        "check": check_command(found.call, args, found.address, inputs.egress),
    }
    return document


def render(document: Document, statements: int) -> Iterator[str]:
    """Yield a line for each test and invariant, its first failures below it, then the totals.

    statements: of the bundle.
    """
    tests, invariants, never = document["tests"], document["invariants"], document["never_decided"]
    for test in tests:
        failures = test["failures"]
        yield f"{_word(good=not failures)} {test['where']} ({test['calls']} calls)"
        yield from (f"       {line}" for line in first_of([*map(_failure, failures)], _SHOWN))
    for each in invariants:
        space = f"{each['principals']} principals, {each['actions']} actions"
        yield f"{_word(good=each['result'] == 'proved')} {each['where']} ({each['result']}: {space})"
        yield from () if each["result"] == "proved" else (f"       {line}" for line in _broken(each))
    calls = sum(test["calls"] for test in tests)
    failed = sum(bool(test["failures"]) for test in tests) + sum(
        each["result"] != "proved" for each in invariants
    )
    result = "none ran" if not calls and not invariants else f"{failed} failed" if failed else "all passed"
    proved = f", {len(invariants)} invariants" if invariants else ""
    yield f"{len(tests)} tests, {calls} calls{proved}: {result}"
    if never is not None:
        decided = f"{statements - len(never)} of {statements} statements decided something"
        yield f"{decided} ({document['coverage']:.1f} %)"
        yield from (f"  {paint('never', 'doubtful')} {statement}" for statement in never)
    if document["mutation"] is not None:
        yield from render_mutation(document["mutation"])


def _word(*, good: bool) -> str:
    return paint("ok", "good") + "  " if good else paint("FAIL", "bad")


_EXPECTED = {"deny": "must be denied", "allow": "must be allowed", "as the other": "must be decided as"}


def _broken(invariant: Document) -> Iterator[str]:
    """Yield why an invariant does not hold."""
    wrong, found = invariant["wrong"], invariant["counterexample"]
    who = f"{wrong['principal']} ({wrong['name']}) {wrong['action']}"
    expected = _EXPECTED[wrong["expected"]]
    when = "" if wrong["times"] == "../.." else f" in {wrong['times']}"
    if found is None:
        yield f"{who} {expected}, and depends on {'; '.join(wrong['on'])}"
        yield "no call was found that shows the invariant to be wrong, and it cannot be proved"
    else:
        other = f" the other: {found['other_decided']}" if found["other_decided"] else ""
        at = f"from {found['source_ip']} at {format_moment(found['time'])}"
        yield f"{who} {at} {expected}{other}, got {found['decided']}"
    yield f"the same from {places(wrong['ranges'], _some, brief=_SHOWN)}{when}"
    if found is not None and wrong["on"]:
        yield f"depending on {'; '.join(wrong['on'])}"
    others = [
        f"{len(names)} {word}: {few(names, _SHOWN)}"
        for names, word in ((wrong["principals"], "principals"), (wrong["actions"], "actions"))
        if len(names) > 1
    ]
    if others:
        yield f"wrong for {' and '.join(others)}"
    if found is not None:
        yield paint(found["check"], "strong")


def _some(texts: Sequence[str]) -> str:
    return few(texts, _SHOWN)


def _failure(failure: Document) -> str:
    by = f" by {', '.join(failure['statements'])}" if failure["statements"] else ""
    answer = f"{failure['decision']} ({failure['reason']}){by}"
    return f"{failure['call']}: expected {failure['expected']}, got {answer}"


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from None


def _percent(text: str) -> float:
    most = 100.0
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage from 0 to 100")
    return value
