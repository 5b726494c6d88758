"""`camguard lint`: what is wrong or doubtful in policies. Changes nothing."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from camguard import __version__
from camguard.bundle.load import POLICIES, PRINCIPALS
from camguard.bundle.principals import Principals, read_principals
from camguard.catalog import load_catalog
from camguard.catalog.model import Catalog
from camguard.cli.exit import Exit
from camguard.cli.output import add_format, paint, say, show
from camguard.cli.source import add_config, find_config, shown
from camguard.cli.starter import starter
from camguard.errors import BundleError, PolicyError, Problem
from camguard.jsontext import read_json
from camguard.policy.document import parse_policy
from camguard.policy.lint import Finding, Severity, lint
from camguard.settings import load_settings
from camguard.suggest import nearest_names

_SOME = 3  # principals that a finding names
SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_STYLES = {Severity.ERROR: "bad", Severity.WARNING: "doubtful"}


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `lint`."""
    parser = verbs.add_parser(
        "lint", help="find what is wrong or doubtful in policies; exit code 5 when something is"
    )
    parser.add_argument(
        "paths", type=Path, nargs="*", metavar="PATH", help="policy, folder or bundle (default: settings')"
    )
    add_config(parser)
    parser.add_argument(
        "--catalog", type=Path, metavar="PATH", help="with these actions (default: the settings')"
    )
    parser.add_argument(
        "--fail-on",
        choices=[*Severity],
        default=Severity.WARNING,
        help="least severity for exit code 5 (default: warning)",
    )
    add_format(parser, "sarif")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Print every finding of every policy."""
    config = find_config(args.config)
    settings = load_settings(config) if config else None
    catalog = load_catalog(args.catalog or (settings.catalog.path if settings else starter() / "catalog"))
    paths = args.paths or ([Path(settings.policy.source)] if settings else [])
    ip_support = settings.enforcement.ip_support if settings else "catalog"
    files = list(find_policies(paths))
    findings = [finding for path in paths for finding in attachments(path)]
    findings += (finding for path in files for finding in read(path, catalog, ip_support))
    shape = sarif if args.format == "sarif" else document
    show(args.format, report(findings, len(files)), shape(findings))
    if not files:
        say("no policy was found")
        return Exit.USAGE
    fatal = {Severity.ERROR} if args.fail_on == Severity.ERROR else set(Severity)
    return Exit.FINDINGS if any(finding.severity in fatal for finding in findings) else Exit.OK


def find_policies(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield policy files: those named, the policies of bundles, and the *.json below other folders."""
    for path in paths:
        if not path.is_dir():
            yield path
        elif (path / PRINCIPALS).exists():
            yield from sorted((path / POLICIES).glob("*.json"))
        else:
            yield from sorted(path.rglob("*.json"))


def read(path: Path, catalog: Catalog, ip_support: str) -> Iterator[Finding]:
    """Yield what is wrong with one policy."""
    try:
        policy = parse_policy(path.read_bytes(), source=shown(path))
    except PolicyError as error:
        yield from map(broken, error.problems)
        return
    yield from lint(policy, catalog, ip_support=ip_support)


def attachments(folder: Path) -> Iterator[Finding]:
    """Yield what is wrong with who has which policy, where `folder` is a bundle."""
    file = folder / PRINCIPALS
    if not file.exists():
        return
    place = shown(file)
    try:
        people = read_principals(read_json(file.read_bytes(), place, BundleError, "PrincipalsError"), place)
    except BundleError as error:
        yield from map(broken, error.problems)
        return
    if not isinstance(people, Principals):
        yield from map(broken, people)
        return
    there = {path.stem for path in (folder / POLICIES).glob("*.json")}
    attached: dict[str, list[str]] = {}
    for principal, layers in people.layers.items():
        limits = [each for level in layers.account for each in level]
        for each in {*layers.identity, *limits, *([layers.boundary] if layers.boundary else [])}:
            attached.setdefault(each, []).append(principal)
    for missing in sorted(attached.keys() - there):
        some = ", ".join(sorted(attached[missing])[:_SOME])
        more = f" and {len(attached[missing]) - _SOME} more" if len(attached[missing]) > _SOME else ""
        message = f"policy {missing!r} is not here; every call of {some}{more} is refused"
        yield Finding(
            "PolicyMissing", Severity.ERROR, place, message, " or ".join(nearest_names(missing, there))
        )
    for unused in sorted(there - attached.keys()):
        where = shown(folder / POLICIES / f"{unused}.json")
        yield Finding("PolicyUnused", Severity.WARNING, where, "is attached to nobody")


def broken(problem: Problem) -> Finding:
    """Return a problem that keeps a document from loading as a finding."""
    return Finding(problem.code, Severity.ERROR, problem.where, problem.message)


def report(findings: list[Finding], policies: int) -> Iterator[str]:
    """Yield a line for each finding, what to write instead below it, then the sums."""
    for finding in findings:
        word = paint(f"{finding.severity:<7}", _STYLES[finding.severity])
        yield f"{word} {finding.where}: {finding.message} [{finding.code}]"
        if finding.instead:
            yield f"        instead: {finding.instead}"
    count = Counter(finding.severity for finding in findings)
    yield f"{policies} policies: {count[Severity.ERROR]} errors, {count[Severity.WARNING]} warnings"


def document(findings: list[Finding]) -> dict[str, object]:
    """Return the findings for a program."""
    return {
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "where": finding.where,
                "message": finding.message,
                "instead": finding.instead,
            }
            for finding in findings
        ]
    }


def sarif(findings: list[Finding]) -> dict[str, object]:
    """Return the findings as a SARIF 2.1.0 log, for code scanning."""
    return {
        "$schema": SARIF,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "camguard",
                        "version": __version__,
                        "rules": [{"id": code} for code in sorted({finding.code for finding in findings})],
                    }
                },
                "results": [_result(finding) for finding in findings],
            }
        ],
    }


def _result(finding: Finding) -> dict[str, object]:
    file, _, pointer = finding.where.partition("#")
    instead = f"; instead: {finding.instead}" if finding.instead else ""
    location: dict[str, object] = {"physicalLocation": {"artifactLocation": {"uri": Path(file).as_posix()}}}
    if pointer:
        location["logicalLocations"] = [{"fullyQualifiedName": pointer}]
    return {
        "ruleId": finding.code,
        "level": finding.severity,
        "message": {"text": finding.message + instead},
        "locations": [location],
    }
