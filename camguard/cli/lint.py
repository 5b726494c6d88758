"""`camguard lint`: prints what is wrong or doubtful in policies. It changes nothing."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from camguard.bundle.load import POLICIES, PRINCIPALS
from camguard.catalog import load_catalog
from camguard.cli.inputs import add_catalog, add_config, catalog_of, find_settings
from camguard.cli.output import Document, add_format, note, paint, show
from camguard.cli.sarif import sarif
from camguard.engine.action_index import ActionIndex
from camguard.engine.principals import Principals, read_principals
from camguard.errors import BundleError, PolicyError, Problem
from camguard.exit_codes import Exit
from camguard.files import DOCUMENT_BYTES, FOLDER_BYTES, display_path, read_file
from camguard.lint import CatalogView, Finding, Severity, lint, lint_attachments
from camguard.policy.document import Document as Policy
from camguard.policy.document import parse_document
from camguard.settings import EnforcementSettings
from camguard.settings.load import require_supported
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
    add_catalog(parser)
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
    settings = find_settings(args.config)
    if settings and not args.paths:
        require_supported(settings, "policy.source")
    paths = args.paths or ([Path(settings.policy.source)] if settings else [])
    enforcement = settings.enforcement if settings else EnforcementSettings()
    files = _Files(CatalogView(ActionIndex(load_catalog(args.catalog or catalog_of(settings)))), enforcement)
    for path in paths:
        files.lint(path)
    findings = files.findings
    listed = {"findings": [asdict(finding) for finding in findings]}
    document = sarif(findings, files.texts) if args.format == "sarif" else listed
    show(args.format, document, lambda document: render(document, files.policies))
    if not files.policies:
        note("no policy was found")
        return Exit.USAGE
    fatal = {Severity.ERROR} if args.fail_on == Severity.ERROR else set(Severity)
    return Exit.FINDINGS if any(finding.severity in fatal for finding in findings) else Exit.OK


class _Files:
    """The files that were read so far, and the findings in them.

    policies: the number of policies among the files. texts: the text of each file, by its name in findings.
    """

    def __init__(self, catalog: CatalogView, enforcement: EnforcementSettings) -> None:
        self.catalog = catalog
        self.enforcement = enforcement
        self.policies = 0
        self.findings: list[Finding] = []
        self.texts: dict[str, str] = {}

    def lint(self, path: Path) -> None:
        """Lint a policy, a bundle with its principals, or every *.json file in and below another folder."""
        if path.is_dir() and (path / PRINCIPALS).exists():
            files = sorted(p for p in (path / POLICIES).glob("*.json") if not p.name.startswith("."))
            self._attachments(path / PRINCIPALS, {file.stem: self._policy(file) for file in files})
        else:
            for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
                self._policy(file)

    def _read(self, path: Path, limit: int = DOCUMENT_BYTES) -> tuple[str, bytes]:
        raw, name = read_file(path, limit), display_path(path)
        self.texts[name] = raw.decode(errors="replace")
        return name, raw

    def _policy(self, path: Path) -> Policy | None:
        self.policies += 1
        name, raw = self._read(path)
        try:
            policy = parse_document(raw, source=name)
        except PolicyError as error:
            self.findings += map(broken, error.problems)
            return None
        self.findings += lint(
            policy,
            self.catalog,
            ip_support=self.enforcement.ip_support,
            unknown_action=self.enforcement.unknown_action,
        )
        return policy

    def _attachments(self, path: Path, policies: Mapping[str, Policy | None]) -> None:
        place, raw = self._read(path, FOLDER_BYTES)
        try:
            people = read_principals(read_json(raw, place, BundleError, "PrincipalsError"), place)
        except BundleError as error:
            people = error.problems
        if not isinstance(people, Principals):
            self.findings += map(broken, people)
            return
        good = {name: policy for name, policy in policies.items() if policy}
        self.findings += lint_attachments(
            people,
            good,
            self.catalog.index.catalog,
            unreadable=policies.keys() - good.keys(),
            place=place,
        )


def broken(problem: Problem) -> Finding:
    """Return a problem that prevents a document from loading as a finding."""
    return Finding(problem.code, Severity.ERROR, problem.where, problem.message)


def render(document: Document, policies: int) -> Iterator[str]:
    """Yield a line for each finding, what to write instead below it, then the totals."""
    for finding in document["findings"]:
        word = paint(f"{finding['severity']:<7}", _STYLES[finding["severity"]])
        yield f"{word} {finding['where']}: {finding['message']} [{finding['code']}]"
        if finding["instead"]:
            yield f"        instead: {finding['instead']}"
    count = Counter(finding["severity"] for finding in document["findings"])
    yield f"{policies} policies: {count[Severity.ERROR]} errors, {count[Severity.WARNING]} warnings"
