"""Changes of statements that no test notices are found, with what they would open."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from camguard.bundle import Bundle, load_bundle
from camguard.cli import main
from camguard.ipset import parse_address
from camguard.policytest import PolicyTests, read_tests
from camguard.policytest.mutate import Judged, judge_of, mutants_of, share_noticed
from tests.company import OFFICE, allow, bundle, call, catalog, deny, inside, policy, service
from tests.policytest.written import report_of, write_test

COMPANY = catalog(service("aiart", "TextToImage", "ImageToImage"))
NOTHING = PolicyTests((), ())


def built(*statements: Any) -> Bundle:
    return bundle([policy("mine", *statements)], COMPANY)


def judged(found: Bundle, tests: PolicyTests = NOTHING) -> list[Judged]:
    judge = judge_of(found, tests)
    return [judge(mutant) for mutant in mutants_of(found)]


# the statements, the changes: kind, text and last part of the place
CHANGES: list[Any] = [
    pytest.param(
        [allow()],
        [("statement", "left out", "0"), ("effect", "deny instead of allow", "0")],
        id="an allow",
    ),
    pytest.param(
        [deny(**inside("10.0.0.0/8", "192.0.2.1"))],
        [
            ("statement", "left out", "0"),
            ("effect", "allow instead of deny", "0"),
            ("condition", "without the condition ip_equal qcs:ip", "qcs:ip"),
            ("range", "10.0.0.0/7 instead of 10.0.0.0/8", "0"),
            ("range", "192.0.2.0/31 instead of 192.0.2.1", "1"),
        ],
        id="a deny with two ranges",
    ),
    pytest.param(
        [allow(bool_equal={"qcs:mfa": "true"}, **inside("0.0.0.0/0"))],
        [
            ("statement", "left out", "0"),
            ("effect", "deny instead of allow", "0"),
            ("condition", "without the condition bool_equal qcs:mfa", "qcs:mfa"),
            ("condition", "without the condition ip_equal qcs:ip", "qcs:ip"),
        ],
        id="all addresses cannot be more",
    ),
    pytest.param(
        [allow(**inside("2001:db8:1::/48"))],
        [
            ("statement", "left out", "0"),
            ("effect", "deny instead of allow", "0"),
            ("condition", "without the condition ip_equal qcs:ip", "qcs:ip"),
            ("range", "2001:db8::/47 instead of 2001:db8:1::/48", "0"),
        ],
        id="a range of IPv6",
    ),
]


@pytest.mark.parametrize(("statements", "changes"), CHANGES)
def test_changes_of_a_statement(statements: list[Any], changes: list[tuple[str, str, str]]) -> None:
    found = mutants_of(built(*statements))
    assert [(each.kind, each.text, each.where.rpartition("/")[2]) for each in found] == changes
    assert {each.statement for each in found} == {"mine#0"}


def test_a_change_is_made_and_nothing_else_is() -> None:
    found = built(allow(**OFFICE), deny("aiart:ImageToImage"))
    wider = next(each for each in mutants_of(found) if each.kind == "range")
    changed = found.evaluator.changed({**found.policies, "mine": wider.policy})
    asked = [
        call(name, source)
        for name in ("aiart:TextToImage", "aiart:ImageToImage")
        for source in ("10.0.0.1", "11.0.0.1")
    ]
    assert [bool(found.decide(each)) for each in asked] == [True, False, False, False]
    assert [bool(changed.decide(each)) for each in asked] == [True, True, False, False]


def test_a_change_that_changes_no_decision_is_equal() -> None:
    outcomes = [(each.mutant.kind, each.outcome) for each in judged(built(allow(), allow(**OFFICE)))]
    assert ("statement", "unnoticed") in outcomes[:1]
    assert outcomes[2:] == [
        ("statement", "equal"),
        ("effect", "unnoticed"),
        ("condition", "equal"),
        ("range", "equal"),
    ]


def test_what_an_unnoticed_change_opens_is_said() -> None:
    (found,) = [each for each in judged(built(allow(**OFFICE))) if each.mutant.kind == "range"]
    (group,) = found.groups
    assert (group.part.kind, group.part.ranges.cidrs()) == ("gained", ("11.0.0.0/8",))
    assert parse_address("11.1.2.3") in group.part.ranges


def test_the_share_of_changes_that_are_noticed() -> None:
    mutant = mutants_of(built(allow()))[0]
    outcomes: Any = ("noticed", "noticed", "unnoticed", "equal")
    assert round(share_noticed([Judged(mutant, each) for each in outcomes]), 1) == 66.7
    assert share_noticed([Judged(mutant, "equal")]) == 100.0


def test_invariants_notice_what_no_listed_call_shows(folder: Path) -> None:
    found = load_bundle(folder / "bundle", catalog=folder / "catalog")
    tests = read_tests([folder / "bundle/tests"], found)
    mutants = mutants_of(found, "partners-desk")
    noticed = []
    for each in (tests, PolicyTests(tests.suites, ())):
        judge = judge_of(found, each)
        noticed.append(Counter(judge(mutant).outcome for mutant in mutants)["noticed"])
    assert noticed[0] == len(mutants) > noticed[1] > len(mutants) / 3


RANGES = '["10.1.0.0/16", "10.2.0.0/16", "203.0.113.0/26", "2001:db8:1::/48", "2001:db8:2::/48"]'
FLOOR = f"""
now = 2026-12-01T09:00:00Z
[[invariant]]
name = "alice draws in one office"
allowed_from = {{principal = "alice", action = "aiart:TextToImage", exactly = {RANGES}}}
"""


def test_the_verb_lists_unnoticed_changes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(folder, FLOOR)
    argv = ["test", "--mutate", "--policy", "aiart-create"]
    assert main(argv) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "8 changes of statements: tests notice 8 (100.0 %), 0 are unnoticed, 0 change no decision"
    )
    assert main(["test", "--mutate", "--policy", "partners-money", "--min-noticed", "50"]) == 4
    printed = capsys.readouterr()
    assert "camguard: tests notice 0.0 % of the changes of access, below 50 %" in printed.err
    lines = printed.out.splitlines()
    assert "UNNOTICED partners-money#0: without the condition ip_equal qcs:ip" in lines
    assert main([*argv, "--format", "json"]) == 0
    mutation = report_of(capsys)["mutation"]
    assert (mutation["changes"], mutation["noticed"], mutation["list"]) == (8, 8, [])


def test_each_unnoticed_change_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(folder, FLOOR)
    assert main(["test", "--mutate", "--policy", "bills-read", "--format", "json"]) == 0
    mutation = report_of(capsys)["mutation"]
    first = mutation["list"][0]
    assert set(first) == {"kind", "statement", "where", "text", "would"}
    assert first["kind"] == "condition"
    assert first["would"][0]["kind"] == "gained"
    assert [each["kind"] for each in mutation["list"][-1]["would"]] == ["lost"]


# the text of the tests, the options, the exit code, what is said
REFUSED = [
    pytest.param(
        FLOOR, ["--policy", "aiart-cretae"], 2, "the bundle has no policy 'aiart-cretae'", id="no such policy"
    ),
    pytest.param(
        FLOOR.replace("10.1.0.0/16", "10.9.0.0/16"),
        [],
        4,
        "because tests fail for the bundle as it is",
        id="tests fail",
    ),
]


@pytest.mark.parametrize(("text", "argv", "code", "says"), REFUSED)
def test_nothing_is_changed(
    text: str, argv: list[str], code: int, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_test(folder, text)
    assert main(["test", "--mutate", *argv]) == code
    assert says in capsys.readouterr().err
