"""`camguard diff`: four realistic changes, forms, selections and exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main

OFFICES = ["10.1.0.0/16", "10.2.0.0/16", "203.0.113.0/26", "2001:db8:1::/48", "2001:db8:2::/48"]


@pytest.fixture
def changed(folder: Path) -> Path:
    """Return a copy of the sample bundle, in the folder that `camguard init` wrote."""
    return Path(shutil.copytree(folder / "bundle", folder / "changed"))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def diff(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    """Return the document of a difference."""
    assert main(["diff", *argv, "--format", "json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_range_that_was_widened(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(changed / "policies/aiart-create.json", '"10.1.0.0/16"', '"10.0.0.0/8"')
    (change,) = diff(capsys, "bundle", "changed", "--fail-on", "gained", code=8)["changes"]
    assert change["kind"] == "gained"
    assert change["names"] == ["alice", "bruno", "chen"]
    assert change["ranges"][:2] == ["10.0.0.0/16", "10.3.0.0/16"]  # neither 10.1 nor 10.2 is new
    assert (change["statement"], change["conditions"], change["times"]) == ("aiart-create#0", [], None)
    assert change["causes"][0]["text"] == (
        "allow aiart-create#0 was changed: ip_equal qcs:ip without 10.1.0.0/16, with 10.0.0.0/8"
    )
    assert (change["before"], change["after"]) == ({"answer": "deny"}, {"answer": "allow"})


def test_a_deny_that_was_removed(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(changed / "principals.json", '"full-access", "admins-from-office-only"', '"full-access"')
    (change,) = diff(capsys, "bundle", "changed", "--fail-on", "any", code=8)["changes"]
    assert change["statement"] == "admins-from-office-only#0"
    assert change["patterns"] == ["aiart:*", "intlpartnersmgt:Allocate*", "intlpartnersmgt:PayOrders"]
    assert main(["diff", "bundle", "changed"]) == 0
    assert "everywhere but 10.1.0.0/16, 10.2.0.0/16" in capsys.readouterr().out


def test_a_group_that_was_extended(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(
        changed / "principals.json",
        '"bruno", "groups": ["artists"]',
        '"bruno", "groups": ["artists", "art-leads"]',
    )
    (change,) = diff(capsys, "bundle", "changed")["changes"]
    assert (change["names"], change["groups_joined"], change["ranges"]) == (["bruno"], ["art-leads"], OFFICES)
    assert change["causes"][0]["what"] == "attached"
    (change,) = diff(capsys, "changed", "bundle")["changes"]
    assert (change["kind"], change["groups_left"]) == ("lost", ["art-leads"])


def test_a_new_action_under_a_wildcard(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_action(folder)
    argv = ("bundle", "bundle", "--old-catalog", "old", "--catalog", "catalog")
    changes = diff(capsys, *argv)["changes"]
    assert [each["names"] for each in changes] == [["owner"], ["chen", "dalia"], ["jun"]]
    assert [each["statement"] for each in changes] == [None, "aiart-full#0", "full-access#0"]
    assert {action for each in changes for action in each["actions"]} == {"aiart:DeleteImages"}
    assert diff(capsys, *argv, "--principal", "dalia")["counts"] == {"gained": 1, "lost": 0}
    assert diff(capsys, *argv, "--service", "intl*")["counts"] == {"gained": 0, "lost": 0}


def test_the_impact_of_a_new_catalog(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_action(folder)
    argv = ["catalog", "diff", "old", "catalog", "--bundle", "bundle"]
    assert main([*argv, "--fail-on", "gained", "--format", "json"]) == 8
    document = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in document["added"]] == ["DeleteImages"]
    assert (
        document["impact"]["changes"]
        == diff(capsys, "bundle", "bundle", "--old-catalog", "old", "--catalog", "catalog")["changes"]
    )
    assert main([*argv, "--fail-on", "lost"]) == 0
    text = capsys.readouterr().out
    assert (
        text.index("+ aiart:DeleteImages") < text.index("impact on the bundle") < text.index("GAINED 1 write")
    )
    assert main([*argv, "--principal", "nobody"]) == 2
    assert main(["catalog", "diff", "old", "catalog", "--fail-on", "gained"]) == 2
    assert "give --bundle" in capsys.readouterr().err


def new_action(folder: Path) -> None:
    """Keep the catalog as `old`, and add an action to `catalog`."""
    shutil.copytree(folder / "catalog", folder / "old")
    file = folder / "catalog/aiart.json"
    catalog = json.loads(file.read_text())
    model = next(row for row in catalog["actions"] if row["name"] == "SetPayMode")
    catalog["actions"].append({**model, "name": "DeleteImages"})
    file.write_text(json.dumps(catalog))


def test_a_condition_on_more_than_address_and_time(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    allow = {"effect": "allow", "action": "aiart:*", "resource": "*"}
    factor = {
        "bool_equal": {"qcs:mfa": "true"},
        "date_less_than": {"qcs:current_time": "2027-01-01T00:00:00Z"},
    }
    policy = {"version": "2.0", "statement": [{**allow, "condition": factor}]}
    (changed / "policies/bills-read.json").write_text(json.dumps(policy))
    argv = ("bundle", "changed", "--principal", "role/billing-bot", "--service", "aiart")
    (change,) = diff(capsys, *argv)["changes"]
    assert change["conditions"] == ["qcs:mfa bool_equal true"]
    assert change["times"] == [{"from": None, "until": 1798761600.0}]
    assert change["after"]["allowed_if"][0]["one_of"][0]["conditions"] == ["qcs:mfa bool_equal true"]
    assert main(["diff", *argv]) == 0
    text = capsys.readouterr().out
    assert "if    qcs:mfa bool_equal true" in text
    assert "from everywhere, until 2027-01-01T00:00:00Z" in text


def test_calls_that_were_allowed_before_are_excepted(
    changed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = changed / "policies/bills-read.json"
    allow = {"effect": "allow", "action": "aiart:*", "resource": "*"}
    factor = {**allow, "condition": {"bool_equal": {"qcs:mfa": "true"}}}
    file.write_text(json.dumps({"version": "2.0", "statement": [factor]}))
    old = shutil.copytree(changed, changed.with_name("before"))
    file.write_text(json.dumps({"version": "2.0", "statement": [allow]}))
    (change,) = diff(capsys, old.name, "changed")["changes"]
    assert (change["conditions"], change["except"]) == ([], ["qcs:mfa bool_equal true"])
    assert main(["diff", old.name, "changed"]) == 0
    assert "  but   allowed before, too, if qcs:mfa bool_equal true\n" in capsys.readouterr().out
    assert main(["diff", "changed", old.name, "--format", "markdown"]) == 0
    assert "| still allowed if `qcs:mfa bool_equal true` |" in capsys.readouterr().out


def test_a_setting_of_ip_support(folder: Path, changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "catalog/aiart.json"
    file.write_text(file.read_text().replace('"ip_restriction": true', '"ip_restriction": false'))
    assert changed.is_dir()
    changes = diff(capsys, "bundle", "bundle", "--old-ip-support", "catalog", "--ip-support", "gateway")[
        "changes"
    ]
    assert {each["kind"] for each in changes} == {"gained"}
    assert {each["causes"][0]["text"] for each in changes} == {
        "the setting ip_support was changed: catalog -> gateway"
    }


def test_the_riskiest_change_is_first(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    star = {"effect": "allow", "action": "aiart:SetPayMode", "resource": "*"}
    read = {"effect": "allow", "action": "intlpartnersmgt:Query*", "resource": "*"}
    policy = {"version": "2.0", "statement": [read, star]}
    (changed / "policies/bills-read.json").write_text(json.dumps(policy))
    edit(changed / "policies/aiart-create.json", '"203.0.113.0/26", ', "")
    changes = diff(capsys, "bundle", "changed")["changes"]
    assert [(each["kind"], next(iter(each["access"]))) for each in changes[:2]] == [
        ("gained", "write"),
        ("gained", "other"),
    ]
    assert changes[-1]["kind"] == "lost"


def test_markdown_shows_names_as_code_only(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(changed / "principals.json", '"name": "jun"', '"name": "j|u`n<b>"')
    edit(changed / "principals.json", '"full-access", "admins-from-office-only"', '"full-access"')
    assert main(["diff", "bundle", "changed", "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| `j\\|u'n<b>` |" in lines[-1]
    assert lines[-1].startswith("| **gained** | 12 write")


def test_bundles_that_decide_the_same(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(changed / "principals.json", '"name": "jun"', '"name": "june"')
    assert main(["diff", "bundle", "changed", "--fail-on", "any"]) == 0
    assert capsys.readouterr().out == "no call is decided differently\n"
    assert main(["diff", "bundle", "changed", "--format", "markdown"]) == 0
    assert capsys.readouterr().out.endswith("No call is decided differently.\n")


def test_tags_of_resources_that_changed_are_noted(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tags = {"qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-1": {"dept": "ops"}}
    (changed / "resource_tags.json").write_text(json.dumps(tags))
    assert main(["diff", "bundle", "changed"]) == 0
    assert "resource_tags.json differs" in capsys.readouterr().err


WRONG = [
    pytest.param(["bundle", "changed", "--principal", "nobody"], 2, "'nobody'", id="a principal"),
    pytest.param(["bundle", "changed", "--service", "aiar"], 2, "did you mean 'aiart'", id="a service"),
    pytest.param(["bundle", "nowhere"], 3, "nowhere: ", id="a folder that does not exist"),
    pytest.param(["broken", "changed"], 3, "broken: ", id="a bundle that does not load"),
    pytest.param(["other", "changed"], 2, "account 100000000009", id="a bundle of another account"),
]


@pytest.mark.parametrize(("argv", "code", "message"), WRONG)
def test_what_is_wrong_is_named(
    argv: list[str], code: int, message: str, changed: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("broken", "other"):
        shutil.copytree(changed, folder / name)
    (folder / "broken/policies/full-access.json").write_text("{")
    edit(folder / "other/principals.json", '"uin": "100000000001"', '"uin": "100000000009"')
    assert main(["diff", *argv]) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
