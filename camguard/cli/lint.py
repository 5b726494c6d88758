"""`camguard lint`: prints what is wrong or doubtful in policies. It changes nothing."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from camguard.bundle.load import ACCEPTANCES, POLICIES, PRINCIPALS, RESOURCE_TAGS
from camguard.catalog import load_catalog
from camguard.cli.inputs import add_catalog, add_config, catalog_of, find_settings, source_folder
from camguard.cli.output import Document, add_format, note, paint, show, wrapped
from camguard.cli.sarif import sarif
from camguard.engine.action_index import ActionIndex
from camguard.engine.principals import Principals, read_principals
from camguard.engine.resource_tags import CODE as TAGS_CODE
from camguard.engine.resource_tags import Inventory, read_inventory
from camguard.errors import BundleError, PolicyError, Problem
from camguard.exit_codes import Exit
from camguard.files import DOCUMENT_BYTES, FOLDER_BYTES, display_path, read_file
from camguard.lint import (
    CODES,
    Accepted,
    CatalogView,
    Finding,
    GrantsNothing,
    Severity,
    Supplies,
    by_reason,
    granting_nothing,
    lint,
    lint_bundle,
    table,
)
from camguard.policy.document import Document as Policy
from camguard.policy.document import parse_document
from camguard.policy.model import Policy as PolicyDocument
from camguard.policy.resources import Owner
from camguard.settings import EnforcementSettings
from camguard.strict_json import read_json

ONE_SCREEN = 40  # lines that findings and idle policies may fill in text before they are folded
_IN_STATEMENT = re.compile(r"([^/#]+)\.json#/statement/(\d+)")
_STYLES = {Severity.ERROR: "bad", Severity.WARNING: "doubtful", Severity.STYLE: "dim"}


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
        type=_severity,
        default=Severity.WARNING,
        help="least severity for exit code 5 (default: warning)",
    )
    parser.add_argument(
        "--severity",
        choices=[*Severity],
        type=_severity,
        help="least severity that is printed (default: warning, or that of --fail-on if it is less)",
    )
    codes = "codes, or how codes begin, separated by commas; what does not load is always listed"
    for option, text in (("--select", "consider only these"), ("--ignore", "leave out these")):
        parser.add_argument(
            option, type=_codes, action="extend", default=[], metavar="CODE", help=f"{text} {codes}"
        )
    parser.add_argument(
        "--all",
        action="store_true",
        help="print every finding, where text would otherwise show one of each code to fit one screen",
    )
    add_format(parser, "sarif")
    parser.set_defaults(run=run)


def _severity(text: str) -> Severity | str:
    return Severity(text) if text in [*Severity] else text  # argparse reports other text with the choices


def _codes(text: str) -> list[str]:
    """Read codes and beginnings of codes. One that no code has is an error: it would select nothing."""
    prefixes = [part.strip().upper() for part in text.split(",")]
    for prefix in prefixes:
        if not prefix or not any(code.startswith(prefix) for code in CODES):
            raise argparse.ArgumentTypeError(f"no lint code begins with {prefix!r}")
    return prefixes


def run(args: argparse.Namespace) -> Exit:
    """Print the findings of every policy that are severe enough."""
    settings = find_settings(args.config)
    paths = args.paths or ([source_folder(settings)] if settings else [])
    enforcement = settings.enforcement if settings else EnforcementSettings()
    supplies = Supplies(settings.client_ip.egress, settings.attributes.keys) if settings else Supplies()
    aliases = settings.hosts.aliases if settings else {}
    catalog = load_catalog(args.catalog or catalog_of(settings), aliases)
    files = _Files(CatalogView(ActionIndex(catalog)), enforcement, supplies)
    for path in paths:
        files.lint(path)
    considered = [each for each in files.findings if _considered(each.code, args.select, args.ignore)]
    accepted = [each for each in files.accepted if _considered(each.finding.code, args.select, args.ignore)]
    least = args.severity or max(args.fail_on, Severity.WARNING, key=[*Severity].index)
    printed = [finding for finding in considered if finding.severity.reaches(least)]
    count = Counter(finding.severity for finding in considered)
    idle = granting_nothing(
        files.documents,
        files.catalog,
        ip_support=enforcement.ip_support,
        unknown_action=enforcement.unknown_action,
        supplies=files.supplies,
    )
    document = {
        "findings": [asdict(finding) for finding in printed],
        "accepted": [_describe(each) for each in accepted],
        "granting_nothing": [
            {"policy": row.policy, "why": dict(zip(row.why, map(list, row.of), strict=True))} for row in idle
        ],
        "policies": files.policies,
        "counts": {**{str(each): count[each] for each in Severity}, "accepted": len(accepted)},
    }
    if args.format == "sarif":
        document = sarif(printed, files.texts, accepted)
    whole = args.all or bool(args.select)
    show(args.format, document, lambda document: render(document, idle, whole=whole))
    if not files.policies:
        note("no policy was found")
        return Exit.USAGE
    fails = any(finding.severity.reaches(args.fail_on) for finding in considered)
    return Exit.FINDINGS if fails else Exit.OK


def _considered(code: str, select: list[str], ignore: list[str]) -> bool:
    """Tell whether `--select` and `--ignore` leave a finding in. What does not load has no code of lint."""
    return code not in CODES or (
        (not select or code.startswith(tuple(select))) and not code.startswith(tuple(ignore))
    )


def _describe(accepted: Accepted) -> dict[str, str]:
    acceptance = accepted.acceptance
    reason, expires = acceptance.reason, acceptance.expires.isoformat()
    return {**asdict(accepted.finding), "reason": reason, "expires": expires, "acceptance": acceptance.where}


class _Files:
    """The files that were read so far, and the findings in them.

    policies: the number of policies among the files. documents: those that load. texts: the text of each JSON
    file, by its name in findings.
    """

    def __init__(self, catalog: CatalogView, enforcement: EnforcementSettings, supplies: Supplies) -> None:
        self.catalog = catalog
        self.supplies = supplies
        self.enforcement = enforcement
        self.policies = 0
        self.documents: list[PolicyDocument] = []
        self.findings: list[Finding] = []
        self.accepted: list[Accepted] = []
        self.texts: dict[str, str] = {}

    def lint(self, path: Path) -> None:
        """Lint a policy, a bundle as a whole, or every *.json file in and below another folder."""
        if path.is_dir() and (path / PRINCIPALS).exists():
            self.supplies = self.supplies._replace(listed_tags=(path / RESOURCE_TAGS).exists())
            self._bundle(path)
            return
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            policy = self._policy(file)
            self.supplies = self.supplies._replace(listed_tags=_has_inventory(file))
            if policy is not None:
                self.findings += lint(policy, self.catalog, supplies=self.supplies, **self._settings())

    def _settings(self) -> dict[str, str]:
        enforcement = self.enforcement
        return {"ip_support": enforcement.ip_support, "unknown_action": enforcement.unknown_action}

    def _read(self, path: Path, limit: int = DOCUMENT_BYTES) -> tuple[str, bytes]:
        raw, name = read_file(path, limit), display_path(path)
        self.texts[name] = raw.decode(errors="replace").removeprefix("\ufeff")
        return name, raw

    def _policy(self, path: Path) -> Policy | None:
        """Return a policy, or None after adding what prevents it from loading to the findings."""
        self.policies += 1
        name, raw = self._read(path)
        try:
            policy = parse_document(raw, source=name)
        except PolicyError as error:
            self.findings += map(broken, error.problems)
            return None
        self.documents.append(policy.policy)
        return policy

    def _bundle(self, folder: Path) -> None:
        files = sorted(p for p in (folder / POLICIES).glob("*.json") if not p.name.startswith("."))
        policies = {file.stem: self._policy(file) for file in files}
        place, people = self._principals(folder / PRINCIPALS)
        accepting = folder / ACCEPTANCES
        acceptances = read_file(accepting, DOCUMENT_BYTES) if accepting.exists() else None
        good = {name: policy for name, policy in policies.items() if policy is not None}
        findings = lint_bundle(
            good,
            people,
            self.catalog,
            today=datetime.now(UTC).date(),
            acceptances=acceptances,
            unreadable=policies.keys() - good.keys(),
            places=(place, display_path(accepting)),
            supplies=self.supplies,
            **self._settings(),
        )
        self.findings += findings.open
        self.accepted += findings.accepted

    def _principals(self, path: Path) -> tuple[str, Principals | None]:
        """Return the name of the file, and the principals or None, as `_policy` does."""
        place, raw = self._read(path, FOLDER_BYTES)
        try:
            people = read_principals(read_json(raw, place, BundleError, "PrincipalsError"), place)
        except BundleError as error:
            people = error.problems
        if isinstance(people, Principals):
            self._resource_tags(path.with_name(RESOURCE_TAGS), people.owner)
            return place, people
        self.findings += map(broken, people)
        return place, None

    def _resource_tags(self, path: Path, owner: Owner) -> None:
        """Add what is wrong with the inventory of resource tags, where the bundle has one (DEC-66)."""
        if not path.exists():
            return
        place, raw = self._read(path, FOLDER_BYTES)
        try:
            read = read_inventory(read_json(raw, place, BundleError, TAGS_CODE), place, owner)
        except BundleError as error:
            read = error.problems
        self.findings += () if isinstance(read, Inventory) else map(broken, read)


def _has_inventory(policy: Path) -> bool:
    """Tell whether the bundle in which a policy stands lists the tags of resources (DEC-66)."""
    folder = policy.resolve().parent
    return folder.name == POLICIES and (folder.parent / RESOURCE_TAGS).exists()


def broken(problem: Problem) -> Finding:
    """Return a problem that prevents a document from loading as a finding."""
    return Finding(problem.code, Severity.ERROR, problem.where, problem.message)


def render(document: Document, idle: Sequence[GrantsNothing] = (), *, whole: bool = True) -> Iterator[str]:
    """Yield the findings, each with the question what was meant, the idle policies, and the totals.

    whole: False to print one finding of each code, and the idle policies by reason, where they would fill
    more than ONE_SCREEN.
    """
    findings = document["findings"]
    lines = [line for finding in findings for line in (*_line(finding), *_question(finding))]
    table_of = list(table(idle))
    folded = not whole and len(lines) + len(table_of) > ONE_SCREEN
    if folded:
        lines, table_of = list(_by_code(findings)), list(by_reason(idle))
    yield from lines
    if idle:
        yield from ("policies that can grant nothing here:", *table_of)
    if folded:
        yield "each code was printed once; --select CODE and --all print every finding"
    counts, printed = document["counts"], Counter(each["severity"] for each in findings)
    total = [_counted(counts["error"], "error"), _counted(counts["warning"], "warning")]
    total.append(f"{counts['style']} of style")
    if counts["accepted"]:
        total.append(f"{counts['accepted']} accepted")
    hidden = [each for each in Severity if counts[each] > printed[each]]
    shown = f" (--severity {hidden[-1]} prints all of them)" if hidden else ""
    yield f"{_counted(document['policies'], 'policy')}: {', '.join(total)}{shown}"


def _line(finding: Document) -> Iterator[str]:
    """Yield a finding: one line, or on a terminal as many as its width needs."""
    return _fitting(finding["severity"], f"{finding['where']}: {finding['message']} [{finding['code']}]", 8)


def _fitting(severity: Severity, text: str, indent: int) -> Iterator[str]:
    """Yield a text behind its severity. indent: of the lines that follow where a terminal is too narrow."""
    first, *rest = wrapped(f"{severity:<7} {text}", indent)
    yield paint(first[:7], _STYLES[severity]) + first[7:]
    yield from rest


def _question(finding: Document) -> Iterator[str]:
    if finding["instead"]:
        yield f"        did you mean {finding['instead']}?"


def _by_code(findings: Sequence[Document]) -> Iterator[str]:
    """Yield what prevents a document from loading, then each code: the most severe and most frequent first.

    An error is yielded whole. Any other code has one line with the number of its findings, its title, and the
    statement that has the first finding.
    """
    listed = [finding for finding in findings if finding["code"] in CODES]
    count = Counter(finding["code"] for finding in listed)
    first = {finding["code"]: finding for finding in reversed(listed)}
    severities = [*Severity]
    order = sorted(first, key=lambda code: (severities.index(first[code]["severity"]), -count[code], code))
    for finding in (each for each in findings if each["code"] not in CODES):
        yield from _line(finding)
    for finding in (first[code] for code in order):
        code = finding["code"]
        if finding["severity"] == Severity.ERROR:
            more = f" and {count[code] - 1} more" if count[code] > 1 else ""
            yield from _line({**finding, "message": finding["message"] + more})
        else:
            text = f"{count[code]:>4} [{code}] {CODES[code].title}: {_statement(finding['where'])}"
            yield from _fitting(finding["severity"], text, 21)


def _statement(where: str) -> str:
    """Return a place in the short form in which decisions name a statement, if it is in a statement."""
    found = _IN_STATEMENT.search(where)
    return f"{found[1]}#{found[2]}" if found else where


def _counted(count: int, noun: str) -> str:
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else several}"
