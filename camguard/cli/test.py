"""`camguard test`: runs the policy tests of a bundle and prints the outcome."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from camguard.cli.inputs import add_inputs, find_inputs, read_bundle
from camguard.cli.output import Document, add_format, complain, paint, show
from camguard.exit_codes import Exit
from camguard.policytest import Outcome, coverage, decide_suite, never_decided, read_suites

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
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run every test and print the outcome."""
    inputs = find_inputs(args)
    bundle = read_bundle(inputs)
    suites = [
        suite
        for path in find_files(args.paths or [inputs.bundle / "tests"])
        for suite in read_suites(path, bundle)
        if args.only is None or args.only.search(suite.name)
    ]
    outcomes = [decide_suite(suite, bundle) for suite in suites]
    wanted = args.coverage or args.min_coverage is not None
    never = never_decided(suites, bundle) if wanted else None
    covered = coverage(bundle, never) if never is not None else None
    document = {"tests": describe(outcomes), "coverage": covered, "never_decided": never}
    show(args.format, document, lambda document: render(document, bundle.statement_count))
    if not any(suite.cases for suite in suites):
        complain("no policy test ran")
        return Exit.TESTS_FAILED
    if args.min_coverage is not None and covered is not None and covered < args.min_coverage:
        complain(f"coverage is {covered:.1f} %, below {args.min_coverage:g} %")
        return Exit.TESTS_FAILED
    return Exit.TESTS_FAILED if any(outcome.failures for outcome in outcomes) else Exit.OK


def find_files(paths: list[Path]) -> Iterator[Path]:
    """Yield the files among `paths`, and the *.toml files in and below the folders among them, sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob("*.toml"))
        else:
            yield path


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


def render(document: Document, statements: int) -> Iterator[str]:
    """Yield a line for each test, its first failures below it, then the totals. statements: of the bundle."""
    tests, never = document["tests"], document["never_decided"]
    for test in tests:
        failures = test["failures"]
        word = paint("FAIL", "bad") if failures else paint("ok", "good") + "  "
        yield f"{word} {test['where']} ({test['calls']} calls)"
        yield from (f"       {_failure(failure)}" for failure in failures[:_SHOWN])
        if len(failures) > _SHOWN:
            yield f"       and {len(failures) - _SHOWN} more"
    failed, calls = sum(bool(test["failures"]) for test in tests), sum(test["calls"] for test in tests)
    result = "none ran" if not calls else f"{failed} failed" if failed else "all passed"
    yield f"{len(tests)} tests, {calls} calls: {result}"
    if never is not None:
        decided = f"{statements - len(never)} of {statements} statements decided something"
        yield f"{decided} ({document['coverage']:.1f} %)"
        yield from (f"  {paint('never', 'doubtful')} {statement}" for statement in never)


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
