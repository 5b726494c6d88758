"""`camguard test`: run the policy tests of a bundle and print the outcome."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from camguard.bundle import Bundle
from camguard.cli.exit import Exit
from camguard.cli.output import add_format, complain, paint, show
from camguard.cli.source import add_source, find_source, read_bundle
from camguard.policytest import Outcome, coverage, decide_suite, never_decided, read_suites

_SHOWN = 5  # failures of one test that text lists; json lists all


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `test`."""
    parser = verbs.add_parser(
        "test", help="run the policy tests of a bundle; exit code 4 when one fails or none ran"
    )
    parser.add_argument(
        "paths", type=Path, nargs="*", metavar="PATH", help="files or folders (default: BUNDLE/tests)"
    )
    add_source(parser)
    parser.add_argument(
        "--run", dest="only", type=_pattern, metavar="REGEX", help="only tests whose name fits"
    )
    parser.add_argument(
        "--coverage", action="store_true", help="list the statements that never decided anything"
    )
    parser.add_argument(
        "--min-coverage", type=_percent, metavar="PERCENT", help="fail below this share of statements"
    )
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Run every test and print the outcome."""
    source = find_source(args)
    bundle = read_bundle(source)
    suites = [
        suite
        for path in find_files(args.paths or [source.bundle / "tests"])
        for suite in read_suites(path, bundle)
        if args.only is None or args.only.search(suite.name)
    ]
    outcomes = [decide_suite(suite, bundle) for suite in suites]
    wanted = args.coverage or args.min_coverage is not None
    never = never_decided(suites, bundle) if wanted else None
    covered = coverage(bundle, never) if never is not None else None
    show(args.format, report(outcomes, bundle, never), document(outcomes, never, covered))
    if not any(suite.cases for suite in suites):
        complain("no policy test ran")
        return Exit.TESTS_FAILED
    if args.min_coverage is not None and covered is not None and covered < args.min_coverage:
        complain(f"coverage is {covered:.1f} %, below {args.min_coverage:g} %")
        return Exit.TESTS_FAILED
    return Exit.TESTS_FAILED if any(outcome.failures for outcome in outcomes) else Exit.OK


def find_files(paths: list[Path]) -> Iterator[Path]:
    """Yield the files among `paths` and the *.toml under the folders among them, sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob("*.toml"))
        else:
            yield path


def report(outcomes: list[Outcome], bundle: Bundle, never: list[str] | None) -> Iterator[str]:
    """Yield a line for each test, its first failures below, then the sums."""
    for outcome in outcomes:
        failed = len(outcome.failures)
        word = paint("FAIL", "bad") if failed else paint("ok", "good") + "  "
        yield f"{word} {outcome.suite.where} ({len(outcome.suite.cases)} calls)"
        for failure in outcome.failures[:_SHOWN]:
            yield f"       {failure}"
        if failed > _SHOWN:
            yield f"       and {failed - _SHOWN} more"
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    calls = sum(len(outcome.suite.cases) for outcome in outcomes)
    yield f"{len(outcomes)} tests, {calls} calls: {_sum(failed, calls)}"
    if never is not None:
        total = bundle.statement_count
        reached = f"{total - len(never)} of {total} statements decided something"
        yield f"{reached} ({coverage(bundle, never):.1f} %)"
        for statement in never:
            yield f"  {paint('never', 'doubtful')} {statement}"


def _sum(failed: int, calls: int) -> str:
    if not calls:
        return "none ran"
    return f"{failed} failed" if failed else "all passed"


def document(outcomes: list[Outcome], never: list[str] | None, covered: float | None) -> dict[str, object]:
    """Return the same for a program."""
    return {
        "tests": [
            {
                "where": outcome.suite.where,
                "name": outcome.suite.name,
                "calls": len(outcome.suite.cases),
                "failures": [
                    {
                        "call": failure.case.shown,
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
        ],
        "coverage": covered,
        "never_decided": never,
    }


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None


def _percent(text: str) -> float:
    most = 100.0
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage from 0 to 100")
    return value
