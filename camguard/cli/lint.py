"""`camguard lint`: what is wrong or doubtful in policies. Changes nothing."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from camguard.bundle.load import POLICIES, PRINCIPALS
from camguard.catalog import load_catalog
from camguard.cli.exit import Exit
from camguard.cli.output import add_format, paint, say, show
from camguard.cli.sarif import sarif
from camguard.cli.source import add_config, find_config
from camguard.cli.starter import starter
from camguard.engine.action_index import ActionIndex
from camguard.engine.principals import Principals, read_principals
from camguard.errors import BundleError, PolicyError, Problem
from camguard.files import DOCUMENT_BYTES, FOLDER_BYTES, read_file
from camguard.lint import CatalogView, Finding, Severity, lint, lint_attachments
from camguard.policy.document import Document, parse_document
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
    ip_support = settings.enforcement.ip_support if settings else "catalog"
    files = _Files(CatalogView(ActionIndex(catalog)), ip_support)
    for path in paths:
        files.lint(path)
    findings = files.findings
    found = sarif(findings, files.texts) if args.format == "sarif" else document(findings)
    show(args.format, report(findings, files.policies), found)
    if not files.policies:
        say("no policy was found")
        return Exit.USAGE
    fatal = {Severity.ERROR} if args.fail_on == Severity.ERROR else set(Severity)
    return Exit.FINDINGS if any(finding.severity in fatal for finding in findings) else Exit.OK


class _Files:
    """The files that were read so far, and what lint finds in them.

    policies: how many of the files are policies. texts: the text of each file, by its name in findings.
    """

    def __init__(self, catalog: CatalogView, ip_support: str) -> None:
        self.catalog = catalog
        self.ip_support = ip_support
        self.policies = 0
        self.findings: list[Finding] = []
        self.texts: dict[str, str] = {}

    def lint(self, path: Path) -> None:
        """Lint a policy, a bundle with its principals, or every *.json below another folder."""
        if path.is_dir() and (path / PRINCIPALS).exists():
            files = sorted(p for p in (path / POLICIES).glob("*.json") if not p.name.startswith("."))
            self._attachments(path / PRINCIPALS, {file.stem: self._policy(file) for file in files})
        else:
            for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
                self._policy(file)

    def _read(self, path: Path, limit: int = DOCUMENT_BYTES) -> tuple[str, bytes]:
        raw = read_file(path, limit)
        self.texts[shown(path)] = raw.decode(errors="replace")
        return shown(path), raw

    def _policy(self, path: Path) -> Document | None:
        self.policies += 1
        name, raw = self._read(path)
        try:
            document = parse_document(raw, source=name)
        except PolicyError as error:
            self.findings += map(broken, error.problems)
            return None
        self.findings += lint(document, self.catalog, ip_support=self.ip_support)
        return document

    def _attachments(self, path: Path, documents: Mapping[str, Document | None]) -> None:
        place, raw = self._read(path, FOLDER_BYTES)
        try:
            people = read_principals(read_json(raw, place, BundleError, "PrincipalsError"), place)
        except BundleError as error:
            people = error.problems
        if not isinstance(people, Principals):
            self.findings += map(broken, people)
            return
        good = {name: document for name, document in documents.items() if document}
        self.findings += lint_attachments(
            people,
            good,
            self.catalog.index.catalog,
            unreadable=documents.keys() - good.keys(),
            place=place,
        )


def broken(problem: Problem) -> Finding:
    """Return a problem that keeps a document from loading as a finding."""
    return Finding(problem.code, Severity.ERROR, problem.where, problem.message)


def report(findings: list[Finding], policies: int) -> Iterator[str]:
    """Yield a line for each finding, what to write instead below it, then the totals."""
    for finding in findings:
        word = paint(f"{finding.severity:<7}", _STYLES[finding.severity])
        yield f"{word} {finding.where}: {finding.message} [{finding.code}]"
        if finding.instead:
            yield f"        instead: {finding.instead}"
    count = Counter(finding.severity for finding in findings)
    yield f"{policies} policies: {count[Severity.ERROR]} errors, {count[Severity.WARNING]} warnings"


def document(findings: list[Finding]) -> dict[str, object]:
    """Return the findings for a program."""
    return {"findings": [asdict(finding) for finding in findings]}
