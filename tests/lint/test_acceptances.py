"""lint.toml: what it accepts, how strictly it is read, and the findings about its entries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from camguard.engine.principals import Principals, read_principals
from camguard.lint import Finding, Findings, found, lint_bundle
from camguard.lint.acceptances import accept, read_acceptances
from camguard.policy.document import parse_document
from tests.company import OWNER
from tests.lint.statements import VIEW, allow, deny

TODAY = date(2026, 6, 30)
TYPO = {**deny("art:TextToImages"), "sid": "lock"}
POLICIES: Mapping[str, Any] = {
    "open": [allow("*")],
    "locked": [allow("art:*"), TYPO],
    "single": allow("name/art:*"),
    "spare": [allow("art:*")],
}
USERS = {"100101": {"policies": ["open", "locked", "single"]}, "100102": {"policies": []}}
# What the bundle above has, as lint.toml names it.
ALL = {
    ("CG501", "policies/open.json#/statement/0"),
    ("CG201", "policies/locked.json#/statement/1/action"),
    ("CG101", "policies/single.json#/statement/action"),
    ("CG103", "policies/single.json#/statement"),
    ("CG601", "policies/spare.json"),
    ("CG605", "principals.json#/users/100102"),
}


def lint(acceptances: str | None, *, today: date = TODAY, **changes: Any) -> Findings:
    """Return the findings of the bundle above with a lint.toml. changes: statements of some policies."""
    documents = {}
    for name, statement in {**POLICIES, **changes}.items():
        text = json.dumps({"version": "2.0", "statement": statement})
        documents[name] = parse_document(text, f"policies/{name}.json")
    people = read_principals({"owner": OWNER, "users": USERS}, "principals.json")
    assert isinstance(people, Principals)
    raw = None if acceptances is None else acceptances.encode()
    return lint_bundle(documents, people, VIEW, today=today, acceptances=raw)


def entry(code: str, place: str, expires: str = "2026-12-31", reason: str = "'known'") -> str:
    return f"[[accept]]\ncode = '{code}'\n{place}\nreason = {reason}\nexpires = {expires}\n"


def named(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
    return {(finding.code, finding.where) for finding in findings}


def test_without_the_file_every_finding_counts() -> None:
    found = lint(None)
    assert (named(found.open), found.accepted) == (ALL, ())
    assert found.counts() == {"error": 1, "warning": 3, "style": 2, "accepted": 0}
    assert named(found.errors) == {("CG201", "policies/locked.json#/statement/1/action")}


ACCEPTED = [
    pytest.param("CG501", "policy = 'open'\nstatement = 0", id="a statement by its number"),
    pytest.param("CG201", "policy = 'locked'\nstatement = 'lock'", id="a statement by its sid"),
    pytest.param("CG101", "policy = 'single'\nstatement = 0", id="a statement that is an object"),
    pytest.param("CG601", "policy = 'spare'", id="a policy outside of its statements"),
    pytest.param("CG605", "principals = '/users/100102'", id="a place in principals.json"),
]


@pytest.mark.parametrize(("code", "place"), ACCEPTED)
@pytest.mark.parametrize("last", ["2026-06-30", "2026-12-31"])
def test_a_finding_is_accepted_until_the_end_of_a_day(code: str, place: str, last: str) -> None:
    found = lint(entry(code, place, last))
    assert [each.finding.code for each in found.accepted] == [code]
    assert [each.acceptance.reason for each in found.accepted] == ["known"]
    assert named(found.open) == {each for each in ALL if each[0] != code}
    assert found.counts()["accepted"] == 1


NOT_THERE = [
    pytest.param("CG501", "policy = 'open'", id="a policy, where the finding is in a statement"),
    pytest.param("CG501", "policy = 'open'\nstatement = 1", id="another statement"),
    pytest.param("CG501", "policy = 'open'\nstatement = 'lock'", id="a sid that no statement has"),
    pytest.param("CG501", "policy = 'locked'\nstatement = 0", id="another policy"),
    pytest.param("CG502", "policy = 'open'\nstatement = 0", id="another code"),
    pytest.param("CG601", "policy = 'spare'\nstatement = 0", id="a statement, where it is the policy"),
    pytest.param("CG605", "principals = '/users/100101'", id="another principal"),
    pytest.param("CG605", "principals = '/users'", id="all principals"),
]


@pytest.mark.parametrize(("code", "place"), NOT_THERE)
def test_an_acceptance_covers_one_place_only(code: str, place: str) -> None:
    found = lint(entry(code, place))
    assert found.accepted == ()
    assert named(found.open) == ALL | {("CG703", "lint.toml#/accept/0")}


def test_a_policy_that_does_not_exist_is_named_with_one_that_does() -> None:
    (finding,) = (f for f in lint(entry("CG501", "policy = 'opne'\nstatement = 0")).open if f.code == "CG703")
    assert finding.message.startswith("there is no policy 'opne' (did you mean 'open'?), so")


def test_an_acceptance_that_has_expired_accepts_nothing() -> None:
    found = lint(entry("CG501", "policy = 'open'\nstatement = 0"), today=date(2027, 1, 1))
    assert found.accepted == ()
    assert named(found.open) == ALL | {("CG702", "lint.toml#/accept/0/expires")}


def test_two_findings_of_one_code_in_one_statement_are_accepted_together() -> None:
    both = [allow("*"), {**deny(["art:TextToImages", "art:DescribeJobs"]), "sid": "lock"}]
    found = lint(entry("CG201", "policy = 'locked'\nstatement = 'lock'"), locked=both)
    assert [each.finding.code for each in found.accepted] == ["CG201", "CG201"]


GOOD = entry("CG501", "policy = 'open'\nstatement = 0")
# code, text, place, part of the message
ROWS = [
    pytest.param("CG701", "[[accept]\n", "lint.toml:1", "is not TOML", id="no TOML"),
    pytest.param("CG701", "\x00", "lint.toml:1", "is not TOML", id="a NUL"),
    pytest.param("CG701", "a = 0x" + "f" * 5000, "lint.toml", "more than 64 bits", id="an endless number"),
    pytest.param("CG701", "[[acept]]\n", "/acept", "(did you mean 'accept'?)", id="an unknown key"),
    pytest.param("CG701", "[accept]\n", "/accept", "must be a list of tables: [[accept]]", id="one table"),
    pytest.param("CG701", "accept = [1]\n", "/accept/0", "must be a table", id="no table"),
    pytest.param("CG701", f"{GOOD}resaon = 'x'\n", "/accept/0/resaon", "(did you mean 'reason'?)",
                 id="an unknown key of an entry"),
    pytest.param("CG701", entry("CG999", "policy = 'open'"), "/accept/0/code",
                 "there is no lint code 'CG999'", id="an unknown code"),
    pytest.param("CG701", entry("CG501", "policy = 'open'").replace("'CG501'", "501"), "/accept/0/code",
                 "must be a string", id="a number as code"),
    pytest.param("CG701", entry("CG5", "policy = 'open'"), "/accept/0/code",
                 "there is no lint code 'CG5'", id="the beginning of a code"),
    pytest.param("CG701", entry("CG703", "policy = 'open'"), "/accept/0/code", "cannot be accepted",
                 id="a finding about acceptances"),
    pytest.param("CG701", entry("CG501", "policy = 'open'", "'2026-12-31'"), "/accept/0/expires",
                 "must be a date without quotes", id="a date in quotes"),
    pytest.param("CG701", entry("CG501", "policy = 'open'", "2026-12-31T00:00:00Z"), "/accept/0/expires",
                 "must be a date without quotes", id="a moment"),
    pytest.param("CG701", entry("CG501", "policy = 'open'", "2026-02-30"), "lint.toml:5", "is not TOML",
                 id="a day that does not exist"),
    pytest.param("CG701", entry("CG501", "policy = 'open'", reason="' '"), "/accept/0/reason",
                 "must be a string that is not empty", id="no reason"),
    pytest.param("CG701", "[[accept]]\ncode = 'CG501'\npolicy = 'open'\nreason = 'x'\n", "/accept/0",
                 "lacks 'expires'", id="no expiry"),
    pytest.param("CG701", entry("CG501", "statement = 0"), "/accept/0",
                 "must have either 'policy' or 'principals'", id="neither policy nor principals"),
    pytest.param("CG701", entry("CG501", "policy = 'open'\nprincipals = '/users'"), "/accept/0",
                 "must have either 'policy' or 'principals'", id="policy and principals"),
    pytest.param("CG701", entry("CG605", "principals = '/users/1'\nstatement = 0"), "/accept/0/statement",
                 "belongs to 'policy'", id="a statement of principals.json"),
    pytest.param("CG701", entry("CG605", "principals = 'users/1'"), "/accept/0/principals",
                 "must be a pointer", id="no pointer"),
    pytest.param("CG701", entry("CG501", "policy = 'open'\nstatement = -1"), "/accept/0/statement",
                 "must be the number of a statement", id="a negative number"),
    pytest.param("CG701", entry("CG501", "policy = 'open'\nstatement = true"), "/accept/0/statement",
                 "must be the number of a statement", id="no number"),
    pytest.param("CG702", entry("CG501", "policy = 'open'\nstatement = 0", "2026-06-29"),
                 "/accept/0/expires", "ended with 2026-06-29", id="an acceptance that has expired"),
    pytest.param("CG703", entry("CG502", "policy = 'open'\nstatement = 0"), "/accept/0",
                 "no finding CG502 is there", id="an acceptance of nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "where", "message"), ROWS)
def test_a_fault_of_the_file_is_a_finding_with_its_place(
    code: str, text: str, where: str, message: str
) -> None:
    whole = lint(text + GOOD if code == "CG701" and text.startswith("[[accept]]\n") else text)
    place = where if where.startswith("lint.toml") else f"lint.toml#{where}"
    found = [finding for finding in whole.open if finding.where.startswith("lint.toml")]
    assert [(finding.code, finding.where) for finding in found] == [(code, place)]
    assert message in found[0].message
    assert whole.accepted == (), "nothing is accepted by half a file"


def test_a_finding_elsewhere_is_never_accepted() -> None:
    acceptances, problems = read_acceptances(entry("CG501", "policy = 'open'").encode())
    assert problems == ()
    elsewhere = found("CG501", "other/open.json", "one")
    result = accept([elsewhere], acceptances, {}, TODAY, unread=["open"])
    assert (result.open, result.accepted) == ((elsewhere,), ())


def test_a_file_that_is_no_utf_8_is_a_finding() -> None:
    people = read_principals({"owner": OWNER}, "principals.json")
    assert isinstance(people, Principals)
    found = lint_bundle({}, people, VIEW, today=TODAY, acceptances=b"\xff", places=("p.json", "x/lint.toml"))
    assert named(found.open) == {("CG701", "x/lint.toml:1")}


def test_what_was_not_read_is_not_called_missing() -> None:
    text = entry("CG501", "policy = 'broken'\nstatement = 0") + entry("CG605", "principals = '/users/1'")
    found = lint_bundle({}, None, VIEW, today=TODAY, acceptances=text.encode(), unreadable=["broken"])
    assert found.open == ()


NEW = [
    pytest.param({}, [], id="nothing, where nothing changed"),
    pytest.param({"locked": [TYPO, allow("art:*")]}, [], id="nothing, where a statement moved"),
    pytest.param({"locked": [TYPO, TYPO]}, ["CG201"], id="a second one that reads the same"),
    pytest.param({"open": [deny("arts:*")]}, ["CG203"], id="one in another policy"),
    pytest.param({"open": [allow(["*", "*"])]}, [], id="no finding that is no error"),
]


@pytest.mark.parametrize(("changes", "codes"), NEW)
def test_the_errors_that_a_change_brought(changes: Mapping[str, Any], codes: list[str]) -> None:
    assert [finding.code for finding in lint(None, **changes).new_errors(lint(None))] == codes


def test_everything_is_new_without_a_bundle_before() -> None:
    found = lint(None)
    assert found.new_errors(None) == found.errors
