"""Invariants of policy tests: what they stand for, every way to get one wrong, and what is printed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from camguard.bundle import load_bundle
from camguard.catalog.files import to_json
from camguard.cli import main
from camguard.policytest import failures_of, read_tests
from camguard.policytest.invariants import describe_times
from tests.company import action, allow, deny, document, service
from tests.policytest.written import TEST, report_of, write_test

NAMES = """
now = 2026-12-01T09:00:00Z
[ips]
shenzhen = "10.1.0.0/16"
[times]
freeze = "2026-12-28T00:00:00Z/2027-01-04T00:00:00Z"
"""
OFFICES = '["shenzhen", "10.2.0.0/16", "203.0.113.0/26", "2001:db8:1::/48", "2001:db8:2::/48"]'


def invariant(form: str, table: str) -> str:
    return f'{NAMES}\n[[invariant]]\nname = "mine"\n{form} = {{{table}}}\n'


# the form, its table, whether it holds
INVARIANTS = [
    pytest.param(
        "never", f'principal = "alice", action = "aiart:Submit*", ip_outside = {OFFICES}', True, id="never"
    ),
    pytest.param(
        "never", 'principal = "alice", action = "aiart:Submit*", ip = "shenzhen"', False, id="never, and yet"
    ),
    pytest.param("never", 'principal = "alice", action = "aiart:SetPayMode"', True, id="never from anywhere"),
    pytest.param(
        "never",
        'principal_outside = ["owner", "jun"], action = "aiart:SetPayMode"',
        True,
        id="nobody but two",
    ),
    pytest.param(
        "never",
        'principal = "group/finance", action = "intlpartnersmgt:PayOrders", time = "freeze"',
        True,
        id="never in some time",
    ),
    pytest.param(
        "never",
        'principal = "kofi", time_outside = "2026-11-01T00:00:00Z/2028-02-01T00:00:00Z"',
        True,
        id="never out of season",
    ),
    pytest.param(
        "never", 'principal = "kofi", time_outside = ["2026-11-01T00:00:00Z/.."]', True, id="an open end"
    ),
    pytest.param(
        "never",
        'principal = "kofi", time_outside = ["../2026-11-01T00:00:00Z"]',
        False,
        id="an open beginning",
    ),
    pytest.param(
        "never", 'principal = "role/*", access = "write", action_outside = "aiart:*"', True, id="an access"
    ),
    pytest.param(
        "allowed_from",
        f'principal = ["alice", "bruno"], action = "aiart:TextToImage", exactly = {OFFICES}',
        True,
        id="exactly these",
    ),
    pytest.param(
        "allowed_from",
        'principal = "alice", action = "aiart:TextToImage", exactly = ["shenzhen"]',
        False,
        id="exactly these, and yet others",
    ),
    pytest.param(
        "allowed_from",
        'principal = "alice", action = "aiart:SetPayMode", exactly = []',
        True,
        id="from nowhere",
    ),
    pytest.param("same_as", 'principal = "bruno", other_principal = "alice"', True, id="as another"),
    pytest.param(
        "same_as", 'principal = "chen", other_principal = "alice"', False, id="as another, and yet not"
    ),
    pytest.param(
        "same_as",
        'principal = "alice", action = "aiart:TextToImage", other_action = "aiart:ImageToImage"',
        True,
        id="as another action",
    ),
]


@pytest.mark.parametrize(("form", "table", "holds"), INVARIANTS)
def test_invariants(
    form: str, table: str, holds: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_test(folder, invariant(form, table))
    assert main(["test", "--format", "json"]) == (0 if holds else 4)
    (found,) = report_of(capsys)["invariants"]
    assert found["result"] == ("proved" if holds else "broken")
    assert found["form"] == form


# the form, its table, what is said of it
WRONG = [
    pytest.param("never", "", "limits nothing", id="no limit"),
    pytest.param("nevre", 'action = "*"', "unknown key 'nevre'", id="an unknown form"),
    pytest.param(
        "never",
        'acton = "*"',
        "never, acton: unknown key 'acton' (did you mean 'action'",
        id="an unknown key",
    ),
    pytest.param(
        "never",
        'principal = "alise"',
        "never, principal: there is no principal 'alise' (did you mean 'alice'",
        id="an unknown principal",
    ),
    pytest.param(
        "never",
        'principal_outside = "group/art"',
        "principal_outside: there is no principal",
        id="an unknown group",
    ),
    pytest.param(
        "never", 'action = "aiart:Drop*"', "no action fits 'aiart:Drop*'", id="a pattern that fits nothing"
    ),
    pytest.param(
        "never", 'action = "aiart:TextToImag"', "did you mean 'aiart:TextToImage'", id="an unknown action"
    ),
    pytest.param(
        "never", 'access = "wrte"', "there is no access 'wrte' (did you mean 'write'", id="an unknown access"
    ),
    pytest.param("never", 'ip = "10.1"', "never, ip: '10.1': is not an IP address", id="no address"),
    pytest.param("never", "ip = []", "never, ip: must be a string, or a list", id="no addresses"),
    pytest.param(
        "never", 'ip = "shenzhen", ip_outside = "10.0.0.0/8"', "leaves no address", id="nothing is left"
    ),
    pytest.param(
        "never", 'action = "aiart:*", action_outside = "*"', "leaves no action", id="no action is left"
    ),
    pytest.param(
        "never", 'time = "2026-12-28T00:00:00Z"', "is not two times with / between them", id="one time"
    ),
    pytest.param("never", 'time = "noon/.."', "'noon' is not a time", id="a time that is none"),
    pytest.param("never", 'time = "2026-12-28T00:00:00/.."', "has no time zone", id="a time without zone"),
    pytest.param(
        "never",
        'time = "2027-01-01T00:00:00Z/2026-01-01T00:00:00Z"',
        "does not begin before it ends",
        id="an interval backwards",
    ),
    pytest.param("never", 'exactly = ["shenzhen"]', "unknown key 'exactly'", id="a key of another form"),
    pytest.param(
        "allowed_from",
        'principal = "alice", action = "aiart:TextToImage"',
        "lacks 'exactly'",
        id="no addresses given",
    ),
    pytest.param(
        "allowed_from", 'exactly = "shenzhen"', "exactly: must be a list", id="one address without a list"
    ),
    pytest.param("same_as", 'principal = "bruno"', "compares with nothing", id="no other"),
    pytest.param(
        "same_as",
        'principal = "bruno", other_principal = "group/artists"',
        "names 3: name exactly one",
        id="several others",
    ),
]


@pytest.mark.parametrize(("form", "table", "says"), WRONG)
def test_a_wrong_invariant_is_3_and_named(
    form: str, table: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_test(folder, invariant(form, table))
    assert main(["test"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    line = next(line for line in printed.err.splitlines() if says in line)
    assert line.startswith("camguard: bundle/tests/mine.toml: [[invariant]] 1 'mine'")


def test_two_forms_in_one_table_are_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(folder, invariant("never", 'principal = "kofi"') + 'same_as = {other_principal = "alice"}\n')
    assert main(["test"]) == 3
    assert "has 2 of never, allowed_from, same_as: write exactly one" in capsys.readouterr().err


def test_a_file_may_have_tests_and_invariants(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(
        folder,
        TEST + invariant("never", 'principal = "kofi", action = "aiart:SetPayMode"').replace(NAMES, ""),
    )
    assert main(["test"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok   bundle/tests/mine.toml: [[test]] 1 'alice draws' (1 calls)",
        "ok   bundle/tests/mine.toml: [[invariant]] 1 'mine' (proved: 1 principals, 1 actions)",
        "1 tests, 1 calls, 1 invariants: all passed",
    ]
    assert main(["test", "--run", "mine"]) == 0
    assert capsys.readouterr().out.endswith("0 tests, 0 calls, 1 invariants: all passed\n")


def test_text_shows_a_call_that_is_decided_otherwise(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = 'principal_outside = ["owner", "group/finance"], ip_outside = "10.2.0.0/16"'
    write_test(folder, invariant("never", f'action = "intlpartnersmgt:PayOrders", {limits}'))
    assert main(["test"]) == 4
    call = "--principal uin/100000000110 --action intlpartnersmgt:PayOrders --ip 10.1.0.0"
    found = "from 10.1.0.0 at 2026-12-01T09:00:00Z must be denied, got allow (allowed) by full-access#0"
    assert capsys.readouterr().out.splitlines() == [
        "FAIL bundle/tests/mine.toml: [[invariant]] 1 'mine' (broken: 12 principals, 1 actions)",
        f"       uin/100000000110 (jun) intlpartnersmgt:PayOrders {found}",
        "       the same from 10.1.0.0/16, 203.0.113.0/26, 2001:db8:1::/48, 2001:db8:2::/48",
        f"       camguard check {call} --time 2026-12-01T09:00:00Z",
        "0 tests, 0 calls, 1 invariants: 1 failed",
    ]


TAGGED = allow(
    "cvm:StopInstances", "qcs::cvm:::instance/ins-1", string_equal={"qcs:resource_tag/env": "a test"}
)
STATEMENTS = [
    pytest.param("aiart:TextToImage", [allow("aiart:*")], id="an allow"),
    pytest.param("aiart:TextToImage", [allow("aiart:*", bool_equal={"qcs:mfa": "true"})], id="a further key"),
    pytest.param(
        "aiart:TextToImage",
        [allow("aiart:*"), deny("aiart:*", null_equal={"qcs:vpc": "false"})],
        id="a key that is absent",
    ),
    pytest.param(
        "aiart:TextToImage",
        [allow("aiart:*", date_equal={"qcs:current_time": "2026-03-01T00:00:00.5Z"})],
        id="a time between two seconds",
    ),
    pytest.param("cvm:StopInstances", [TAGGED], id="a resource and a tag"),
    pytest.param(
        "cvm:StopInstances",
        [allow("cvm:*"), deny("cvm:*", null_equal={"qcs:request_tag/cost": "false"})],
        id="no tags",
    ),
]


@pytest.mark.parametrize(("name", "statements"), STATEMENTS)
@pytest.mark.parametrize(
    "egress", ["", 'egress = {"0.0.0.0/0" = "198.51.100.1"}'], ids=["", "mapped addresses"]
)
def test_check_gives_the_answer_of_the_call_that_is_shown(
    name: str, statements: list[Any], egress: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bundle/policies/aiart-create.json").write_text(document(*statements))
    row = action("cvm:StopInstances", "qcs::cvm:$region:$account:instance/$instanceId")
    (folder / "catalog/cvm.json").write_text(to_json(service("cvm", row, tag_authorization=True)))
    table = f'principal = "alice", action = "{name}"'
    write_test(folder, f"{egress}\n{invariant('never', table)}")
    assert main(["test", "--format", "json"]) == 4
    (found,) = report_of(capsys)["invariants"]
    shown = found["counterexample"]
    assert shown["decision"] == "allow"
    program, *argv = shlex.split(shown["check"])
    assert program == "camguard"
    assert main([*argv, "--format", "json"]) == 0
    checked = report_of(capsys)
    assert {
        key: checked[key] for key in ("decision", "reason", "statements", "principal", "action", "time")
    } == {key: shown[key] for key in ("decision", "reason", "statements", "principal", "action", "time")}


def test_failures_are_lines_for_whoever_activates_a_bundle(folder: Path) -> None:
    write_test(
        folder, TEST.replace('"allow"', '"deny"') + invariant("never", 'principal = "jun"').replace(NAMES, "")
    )
    bundle = load_bundle(folder / "bundle", catalog=folder / "catalog")
    first, second = failures_of(read_tests([folder / "bundle/tests"], bundle), bundle)
    assert first.startswith("bundle/tests/mine.toml: [[test]] 1 'alice draws': alice aiart:TextToImage from ")
    assert first.endswith(": expected deny, got allow (allowed) by aiart-create#0")
    assert second.startswith("bundle/tests/mine.toml: [[invariant]] 1 'mine': uin/100000000110 ")
    assert second.endswith(": expected deny, got allow (allowed) by full-access#0")


def test_times_are_written_as_the_file_has_them() -> None:
    assert describe_times([(0.0, float("inf")), (-float("inf"), 3600.0)]) == (
        "1970-01-01T00:00:00Z/.., ../1970-01-01T01:00:00Z"
    )
