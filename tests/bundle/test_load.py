"""What a bundle refuses to activate, and what it loads with a finding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from camguard.bundle import load_bundle
from camguard.catalog import save_all
from camguard.errors import BundleError, CatalogError
from tests.company import OWNER, document, service

PEOPLE = {"owner": OWNER}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_all([service("aiart", "TextToImage")], tmp_path / "catalog")
    (tmp_path / "bundle/policies").mkdir(parents=True)
    (tmp_path / "bundle/principals.json").write_text(json.dumps(PEOPLE))
    return tmp_path


def write(folder: Path, effect: str, action: str) -> None:
    text = document({"effect": effect, "action": action})
    (folder / "bundle/policies/one.json").write_text(text)


ERRORS = [
    pytest.param("TextToImages", "CG201", "aiart:TextToImage", id="DEC-11 an action that is misspelt"),
    pytest.param("Sketch*", "CG207", "", id="T89 a pattern that fits no action"),
]
ACCEPTANCE = """[[accept]]
code = "{code}"
policy = "one"
statement = 0
reason = "the action is announced and not listed yet"
expires = {expires}
"""


@pytest.mark.parametrize(("name", "code", "words"), ERRORS)
def test_dec_55_a_deny_that_denies_nothing_is_a_finding_and_loads(
    folder: Path, name: str, code: str, words: str
) -> None:
    write(folder, "deny", f"aiart:{name}")
    findings = load_bundle(folder / "bundle", folder / "catalog").findings
    assert findings is not None
    (finding,) = findings.errors
    assert (finding.code, finding.instead) == (code, words)
    assert finding.where.startswith("policies/one.json#/statement/0/action")


@pytest.mark.parametrize(("name", "code", "words"), ERRORS)
def test_dec_55_a_strict_load_refuses_errors_that_lint_toml_does_not_accept(
    folder: Path, name: str, code: str, words: str
) -> None:
    write(folder, "deny", f"aiart:{name}")
    accepting = folder / "bundle/lint.toml"
    for expires in (None, "2000-01-01"):
        if expires:
            accepting.write_text(ACCEPTANCE.format(code=code, expires=expires))
        with pytest.raises(BundleError) as caught:
            load_bundle(folder / "bundle", folder / "catalog", strict=True)
        assert [problem.code for problem in caught.value.problems] == [code]
        assert words in caught.value.problems[0].message
    accepting.write_text(ACCEPTANCE.format(code=code, expires="9999-12-31"))
    findings = load_bundle(folder / "bundle", folder / "catalog", strict=True).findings
    assert findings is not None
    assert [each.finding.code for each in findings.accepted] == [code]


def test_dec_55_a_strict_load_takes_warnings(folder: Path) -> None:
    write(folder, "allow", "aiart:Nothing")
    findings = load_bundle(folder / "bundle", folder / "catalog", strict=True).findings
    assert findings is not None
    assert {finding.code for finding in findings.open} == {"CG202", "CG601"}


def test_dec_55_a_lint_toml_that_cannot_be_read_holds_up_only_a_strict_load(folder: Path) -> None:
    write(folder, "allow", "aiart:*")
    (folder / "bundle/lint.toml").write_text("[[accept]]\ncode = 5\n")
    findings = load_bundle(folder / "bundle", folder / "catalog").findings
    assert findings is not None
    assert {finding.code for finding in findings.errors} == {"CG701"}
    with pytest.raises(BundleError, match="CG701"):
        load_bundle(folder / "bundle", folder / "catalog", strict=True)


def test_acceptances_alone_are_no_policy(folder: Path) -> None:
    (folder / "bundle/lint.toml").write_text("")
    with pytest.raises(BundleError, match="holds no policy"):
        load_bundle(folder / "bundle", folder / "catalog")


@pytest.mark.parametrize("name", ["SketchToImage", "Sketch*"])
def test_a_deny_of_names_that_are_judged_is_no_error(folder: Path, name: str) -> None:
    write(folder, "deny", f"aiart:{name}")
    bundle = load_bundle(folder / "bundle", folder / "catalog", unknown_action="judge", strict=True)
    assert bundle.statement_count == 1


LOADS: list[Any] = [
    pytest.param("deny", "aiart:texttoimage", "refuse", id="DEC-7 a deny in another letter case blocks"),
    pytest.param("allow", "aiart:Nothing", "refuse", id="DEC-11 an allow that grants nothing"),
]


@pytest.mark.parametrize(("effect", "action", "unknown"), LOADS)
def test_what_only_warns_loads(
    folder: Path, effect: str, action: str, unknown: Literal["refuse", "judge"]
) -> None:
    write(folder, effect, action)
    bundle = load_bundle(folder / "bundle", folder / "catalog", unknown_action=unknown, strict=True)
    assert bundle.statement_count == 1


MISPLACED = [
    pytest.param("team/lock.json", "policies/team", "is a folder", id="T85 a policy in a folder of its own"),
    pytest.param("lock.JSON", "policies/lock.JSON", "small letters", id="T85 a policy in capitals"),
]


@pytest.mark.parametrize(("name", "where", "words"), MISPLACED)
def test_a_policy_that_would_be_passed_over_stops_activation(
    folder: Path, name: str, where: str, words: str
) -> None:
    write(folder, "allow", "aiart:*")
    path = folder / "bundle/policies" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    with pytest.raises(BundleError) as caught:
        load_bundle(folder / "bundle", folder / "catalog")
    assert [problem.where for problem in caught.value.problems] == [where]
    assert words in caught.value.problems[0].message


@pytest.mark.parametrize("name", [".git", ".one.json.swp", "one.json~", "README.md"])
def test_what_is_no_policy_is_left_alone(folder: Path, name: str) -> None:
    write(folder, "allow", "aiart:*")
    (folder / "bundle/policies" / name).write_text("x")
    assert load_bundle(folder / "bundle", folder / "catalog").statement_count == 1


def test_dec_68_an_alias_that_hides_a_service_is_not_activated(folder: Path) -> None:
    write(folder, "allow", "aiart:*")
    with pytest.raises(CatalogError, match=r"hosts\.aliases\.aiart: is a service with catalog entries"):
        load_bundle(folder / "bundle", folder / "catalog", aliases={"aiart": "cvm"})


def test_dec_68_an_alias_names_a_service(folder: Path) -> None:
    write(folder, "allow", "aiart:*")
    bundle = load_bundle(folder / "bundle", folder / "catalog", aliases={"paint": "aiart"})
    traits = bundle.evaluator.traits("paint:TextToImage")
    assert traits is not None
    assert [each.entry.id for each in traits.cam_actions] == ["aiart:TextToImage"]


def test_a_bundle_knows_its_policies_that_can_grant_nothing(folder: Path) -> None:
    write(folder, "allow", "cvm:*")
    (row,) = load_bundle(folder / "bundle", folder / "catalog").granting_nothing
    assert row == ("one", ("no page",), (("cvm",),))
    write(folder, "allow", "aiart:*")
    assert load_bundle(folder / "bundle", folder / "catalog").granting_nothing == ()


@pytest.mark.parametrize("action", ["clb:*", "aa:*", "cvm:StopInstances"])
def test_dec_67_a_deny_of_a_known_service_without_a_page_loads(folder: Path, action: str) -> None:
    write(folder, "deny", action)
    assert load_bundle(folder / "bundle", folder / "catalog").statement_count == 1


def test_t100_services_of_the_operator_are_part_of_the_revision(folder: Path) -> None:
    write(folder, "allow", "aiart:*")
    before = load_bundle(folder / "bundle", folder / "catalog").revision
    (folder / "catalog/services.json").write_text("{}")
    assert load_bundle(folder / "bundle", folder / "catalog").revision != before
