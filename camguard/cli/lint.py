"""`camguard lint`: what is wrong or doubtful in policies. Changes nothing."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from camguard.bundle.lint import lint_people
from camguard.bundle.load import POLICIES, PRINCIPALS
from camguard.bundle.principals import Principals, read_principals
from camguard.catalog import load_catalog
from camguard.catalog.model import Catalog
from camguard.cli.exit import Exit
from camguard.cli.output import add_format, paint, say, show
from camguard.cli.sarif import sarif
from camguard.cli.source import add_config, find_config
from camguard.cli.starter import starter
from camguard.errors import BundleError, PolicyError, Problem
from camguard.policy.document import parse_policy
from camguard.policy.lint import Finding, Severity, lint
from camguard.policy.model import Policy
from camguard.policytest.cases import shown
from camguard.settings import load_settings
from camguard.strict_json import read_json

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
    reading = Reading(catalog, settings.enforcement.ip_support if settings else "catalog")
    for path in paths:
        reading.read(path)
    findings = reading.findings
    found = sarif(findings, reading.texts) if args.format == "sarif" else document(findings)
    show(args.format, report(findings, reading.policies), found)
    if not reading.policies:
        say("no policy was found")
        return Exit.USAGE
    fatal = {Severity.ERROR} if args.fail_on == Severity.ERROR else set(Severity)
    return Exit.FINDINGS if any(finding.severity in fatal for finding in findings) else Exit.OK


class Reading:
    """What was read, and what is wrong with it. texts: by the name that findings call a file."""

    def __init__(self, catalog: Catalog, ip_support: str) -> None:
        self.catalog = catalog
        self.ip_support = ip_support
        self.policies = 0
        self.findings: list[Finding] = []
        self.texts: dict[str, str] = {}

    def read(self, path: Path) -> None:
        """Read a policy, the policies of a bundle and who has them, or every *.json below another folder."""
        if path.is_dir() and (path / PRINCIPALS).exists():
            files = sorted(p for p in (path / POLICIES).glob("*.json") if not p.name.startswith("."))
            self._attachments(path, {file.stem: self._policy(file) for file in files})
        else:
            for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
                self._policy(file)

    def _policy(self, path: Path) -> Policy | None:
        self.policies += 1
        raw = path.read_bytes()
        self.texts[shown(path)] = raw.decode(errors="replace")
        try:
            policy = parse_policy(raw, source=shown(path))
        except PolicyError as error:
            self.findings += map(broken, error.problems)
            return None
        self.findings += lint(policy, self.catalog, ip_support=self.ip_support)
        return policy

    def _attachments(self, folder: Path, policies: Mapping[str, Policy | None]) -> None:
        place = shown(folder / PRINCIPALS)
        raw = (folder / PRINCIPALS).read_bytes()
        self.texts[place] = raw.decode(errors="replace")
        try:
            people = read_principals(read_json(raw, place, BundleError, "PrincipalsError"), place)
        except BundleError as error:
            self.findings += map(broken, error.problems)
            return
        if not isinstance(people, Principals):
            self.findings += map(broken, people)
            return
        good = {name: policy for name, policy in policies.items() if policy}
        bad = policies.keys() - good.keys()
        self.findings += lint_people(people, good, self.catalog, unreadable=bad, place=place)


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
