"""What comments and tests cite is written beside the code, and what is written there has a test.

camguard/policy/SEMANTICS.md holds the sections (`CAM 7.4`), decisions (`DEC-27`) and sources of UNKNOWN
(`U3`) of the policy language; camguard/request/THREATS.md holds the rules for requests (`THREATS 3.5.4`) and
the rows of hostile requests (`T26`). There is one form for each.

A test names a rule in its own name (`test_t26_…`, `test_dec_50_…`), in the id of one of its rows
(`id="T26 …"`), in the docstring of its function (`CAM 14.3`), or as the `rule` of a case in
`tests/cases/*.json`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.casebook import raw_cases, rule_of
from tests.sources import nodes

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SEMANTICS = ROOT / "camguard/policy/SEMANTICS.md"
THREATS = ROOT / "camguard/request/THREATS.md"

# --- the lines that can be cited -------------------------------------------------------------------------

_HEADING = re.compile(r"^#{2,3} (\d+(?:\.\d+)?)\.? (.*)$", re.MULTILINE)
_ITEM = re.compile(r"^(?:- \*\*|\| )(\d+\.\d+(?:\.\d+)?|DEC-\d+|U\d|T\d{2,3})(?:\*\*| \|)", re.MULTILINE)


def lines_of(document: Path) -> Iterator[tuple[str, str]]:
    """Yield each citation that a document answers, with the heading that it is (empty for an item)."""
    text = document.read_text(encoding="utf-8")
    prefix = "CAM" if document == SEMANTICS else "THREATS"
    yield from ((f"{prefix} {number}", heading) for number, heading in _HEADING.findall(text))
    for item in _ITEM.findall(text):
        yield (f"{prefix} {item}" if item[0].isdigit() else item), ""


LINES = [*lines_of(SEMANTICS), *lines_of(THREATS)]
DEFINED = {citation for citation, _ in LINES}
WITHOUT_BEHAVIOUR = ("(background)", "(by its decisions)")
PARENTS = {citation.rpartition(".")[0] for citation, heading in LINES if heading}
SECTIONS = [
    citation
    for citation, heading in LINES
    if citation.startswith("CAM ") and heading and citation not in PARENTS
    if not heading.endswith(WITHOUT_BEHAVIOUR)
]
EXAMPLES = [citation for citation, heading in LINES if citation.startswith("CAM 18.") and not heading]
RULES = [
    *(section for section in SECTIONS if section not in {"CAM 18", "CAM 20"}),
    *EXAMPLES,
    *(citation for citation, _ in LINES if re.fullmatch(r"DEC-\d+|U\d|T\d+", citation)),
]


def test_both_documents_are_read() -> None:
    assert {f"DEC-{number}" for number in range(1, 69)} <= DEFINED
    assert {f"T{number:02d}" for number in range(1, 140)} <= DEFINED
    assert {f"U{number}" for number in range(1, 10)} | {
        f"CAM 18.{number}" for number in range(1, 36)
    } <= DEFINED
    assert {
        "CAM 4",
        "CAM 4.1",
        "CAM 7.4",
        "CAM 11.3.2",
        "THREATS 3.5.4",
        "THREATS 4",
        "THREATS 5.6",
    } <= DEFINED
    assert {"CAM 7.4", "CAM 9", "CAM 17", "CAM 18.10", "T139", "U3"} <= {*RULES}
    assert {"CAM 7", "CAM 1", "CAM 2.1", "CAM 15.1", "CAM 20", "THREATS 4"} & {*RULES} == set()


def test_no_number_is_given_twice() -> None:
    assert sorted({citation for citation, _ in LINES}) == sorted(citation for citation, _ in LINES)


# --- what is cited ---------------------------------------------------------------------------------------

PLACES = ("camguard", "tests", "config", "benchmarks")
PAGES = ("README.md", "SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".conf", ".sh"}
_CITATION = re.compile(r"\b(?:(CAM|THREATS)\s+(\d+(?:\.\d+)*)|(DEC-\d+|U[1-9]\b|T\d{2,3}\b(?!:\d)))")
_SILENCED = re.compile(r"# noqa: .*")


@cache
def texts(*, whole: bool = True) -> dict[str, str]:
    """Return what may cite, by its path: the whole tree, or the two documents alone. Not this file."""
    paths = [ROOT / page for page in PAGES if (ROOT / page).is_file()]
    paths += [path for place in PLACES for path in (ROOT / place).rglob("*") if path.suffix in SUFFIXES]
    paths += (TESTS / "cases").glob("*.json")
    if not whole:
        paths = [SEMANTICS, THREATS]
    mine = Path(__file__).resolve()
    return {
        path.relative_to(ROOT).as_posix(): _SILENCED.sub("", path.read_text(encoding="utf-8"))
        for path in sorted(paths)
        if path.resolve() != mine
    }


def cited_in(text: str) -> Iterator[str]:
    """Yield the citations of a text, whatever white space stands in them."""
    yield from (name or f"{prefix} {number}" for prefix, number, name in _CITATION.findall(text))


def test_what_is_cited_has_a_line() -> None:
    unknown = {
        f"{path}: {citation}"
        for path, text in texts().items()
        for citation in cited_in(text)
        if citation not in DEFINED
    }
    assert unknown == set()


# --- forms that say less than a citation -----------------------------------------------------------------

# False looks into the two documents alone.
EVERYWHERE = True

_NUMBER = r"[1-9]\d?(?:\.[1-9]\d?){1,2}"  # of a section; no part of it begins with a 0
OLD_FORMS = {
    "a chapter of a design page": re.compile(r"\b[Dd]esign,? (?:section )?\d"),
    "a number of a fault": re.compile(r"\bF-\d"),
    "a document that is not in the repository": re.compile(r"cam-semantics|catalog-pages|clients\.md"),
    "the threats by another name": re.compile(
        r"\b(?:threats (?:\d|T\d)|rows? T\d+ (?:to T\d+ )?of the threat)"
    ),
    "a choice by its letters": re.compile(r"\bS-[A-Z]{4,}\b"),
    "a part of a decision": re.compile(r"\bDEC-\d+\.\d"),
    "a case whose rule is a bare number": re.compile(r'"rule": "\d'),
    "several numbers behind one prefix": re.compile(
        rf"\b(?:CAM|THREATS) [\d.]+\d?(?:,|;| and| or| to) {_NUMBER}\b"
    ),
}
# Only in comments and texts: in code such numbers are numbers.
BARE = re.compile(
    rf"(?:\(|[,;] ){_NUMBER}(?=[,;:)]| and )"
    r"|\(\d{1,2}, (?=DEC-|U\d|CAM )"
    rf"|^# {_NUMBER}(?=[,:]|\W*$)"
    rf"|^[\"']{{1,3}}{_NUMBER} [a-z]"
    rf"|\bas {_NUMBER}\s"
    r"|(?<!\d )(?<!, )\b[Ss]ections? \d"
)

# The same wherever it stands in a line: what has none of these needs no look at its comments and texts.
ANYWHERE = re.compile(BARE.pattern.replace("|^", "|"), re.MULTILINE)


def prose_of(path: str, text: str) -> Iterator[str]:
    """Yield the comments and strings of a program; the lines of anything else."""
    if not path.endswith(".py"):
        yield from (line for line in text.splitlines() if not _ITEM.match(line) and not _HEADING.match(line))
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING}:
            yield token.string


def old_forms(path: str, text: str) -> Iterator[str]:
    """Yield what a file cites in no form that can be looked up."""
    for form, pattern in OLD_FORMS.items():
        yield from (f"{path}: {form}: {found.group()!r}" for found in pattern.finditer(text))
    if path.startswith(("camguard/", "tests/")) and ANYWHERE.search(text):
        for prose in prose_of(path, text):
            yield from (f"{path}: a bare number: {found.group()!r}" for found in BARE.finditer(prose))


def test_nothing_is_cited_in_another_form() -> None:
    found = [form for path, text in texts(whole=EVERYWHERE).items() for form in old_forms(path, text)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "# which operators meet (design 6.8)",
        "# as it was promised (F-3)",
        '"""Read a body (threats 3.5.6)."""',
        '"""Whether a pattern names a service (7.4, DEC-46)."""',
        "# 11.4",
        "# a variable without a value (9, DEC-34)",
        '"""Section 5.3."""',
        '"""Bodies (THREATS 3.5.5 to 3.5.8)."""',
        "# the third case (DEC-47.3)",
    ],
)
def test_a_form_that_cannot_be_looked_up_is_found(line: str) -> None:
    assert [*old_forms("camguard/x.py", f"{line}\n")] != []


@pytest.mark.parametrize(
    "line",
    [
        '"""Whether a pattern names a service (CAM 7.4, DEC-46)."""',
        "# RFC 9110 section 7.6.1, and what proxies add",
        "seconds = (0.5, 2.5)  # a bound of 0.25 seconds",
        '"""Bodies (THREATS 3.5.5 to THREATS 3.5.8)."""',
        'assert answer.startswith(b"HTTP/1.1 200 ")',
    ],
)
def test_what_can_be_looked_up_passes(line: str) -> None:
    assert [*old_forms("camguard/x.py", f"{line}\n")] == []


# --- what tests name -------------------------------------------------------------------------------------

_NAMED = re.compile(r"(?:^|[\s_(,/])(?:T(\d{2,3})|(DEC)[-_](\d{1,2}))(?=$|[\s_),:/])", re.IGNORECASE)


def named_in(text: str) -> Iterator[str]:
    """Yield the rows and decisions that a name or an id names."""
    for row, decision, number in _NAMED.findall(text):
        yield f"DEC-{int(number)}" if decision else f"T{int(row):02d}"
    yield from (citation for citation in cited_in(text) if citation.startswith(("CAM ", "THREATS ")))


def names_of(path: Path) -> Iterator[str]:
    """Yield the names of tests, the citations of their docstrings and the ids of their rows."""
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name
            yield from cited_in(ast.get_docstring(node) or "")
        elif isinstance(node, ast.keyword) and node.arg in {"id", "ids"}:
            yield from (
                leaf.value
                for leaf in ast.walk(node.value)
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
            )


@cache
def all_names() -> frozenset[str]:
    return frozenset(name for path in TESTS.rglob("test_*.py") for name in names_of(path))


@cache
def named() -> frozenset[str]:
    """Return everything that a test, an id or a case names."""
    by_tests = {rule for text in all_names() for rule in named_in(text)}
    return frozenset(by_tests | {rule_of(case) for _, case in raw_cases()})


# Rules that a test holds under a name that says what it holds.
HELD = {
    "T22": "test_t57_an_unknown_scope_is_refused",
    "T68": "test_a_reply_of_one_gibibyte_passes_in_little_memory",
    "T107": "test_one_request_is_judged_by_one_bundle",
    "T110": "test_age_counts_from_the_last_look_that_confirmed",
    "T112": "test_a_hostile_text_stays_inside_its_field",
    "T114": "test_a_million_strangers_make_no_series",
    "T115": "test_one_scrape_is_rendered_at_a_time",
}
# Rules that do not concern the code as it is, each with its reason.
NOT_OURS = {
    "T21": "an address is an int; no class of camguard has a hash of its own",
    "DEC-38": "camguard reads no resource policies, so there is no grant of theirs to limit",
}


def test_each_rule_is_named_by_a_test() -> None:
    assert {*RULES} - named() - {*HELD} - {*NOT_OURS} == set()


def test_what_tests_and_cases_name_has_a_line() -> None:
    assert {*named(), *HELD, *NOT_OURS} - DEFINED == set()


def test_tests_that_hold_a_rule_under_another_name_exist() -> None:
    assert {*HELD.values()} - all_names() == set()


def test_an_exception_is_not_forgotten() -> None:
    """A rule that got a test of its own needs no excuse any more."""
    assert {*NOT_OURS} & named() == set()


def test_names_and_ids_are_read() -> None:
    assert [*named_in("test_t46_t50_t70_what_only_a_proxy_may_say")] == ["T46", "T50", "T70"]
    assert [*named_in("T13 long, T100 the catalog")] == ["T13", "T100"]
    assert [*named_in("test_dec_50_two_regions")] == ["DEC-50"]
    assert [*named_in("DEC-8 a wildcard, CAM 7.4")] == ["DEC-8", "CAM 7.4"]
    assert [*named_in("TC3 and UTF8 and T2024")] == []
