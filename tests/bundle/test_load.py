"""What a bundle refuses to activate, and what it loads: findings of lint that stop it."""

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


STOPS = [
    pytest.param("TextToImages", "CG201", "aiart:TextToImage", id="DEC-11 an action that is misspelt"),
    pytest.param("Sketch*", "CG207", "", id="T89 a pattern that fits no action"),
]


@pytest.mark.parametrize(("name", "code", "words"), STOPS)
def test_a_deny_that_denies_nothing_stops_activation(folder: Path, name: str, code: str, words: str) -> None:
    write(folder, "deny", f"aiart:{name}")
    with pytest.raises(BundleError) as caught:
        load_bundle(folder / "bundle", folder / "catalog")
    assert [problem.code for problem in caught.value.problems] == [code]
    assert words in caught.value.problems[0].message
    assert caught.value.problems[0].where.startswith("policies/one.json#/statement/0/action")


@pytest.mark.parametrize("name", ["SketchToImage", "Sketch*"])
def test_a_deny_of_names_that_are_judged_does_deny(folder: Path, name: str) -> None:
    write(folder, "deny", f"aiart:{name}")
    assert load_bundle(folder / "bundle", folder / "catalog", unknown_action="judge").statement_count == 1


LOADS: list[Any] = [
    pytest.param("deny", "aiart:texttoimage", "refuse", id="DEC-7 a deny in another letter case blocks"),
    pytest.param("allow", "aiart:Nothing", "refuse", id="DEC-11 an allow that grants nothing"),
]


@pytest.mark.parametrize(("effect", "action", "unknown"), LOADS)
def test_what_only_warns_loads(
    folder: Path, effect: str, action: str, unknown: Literal["refuse", "judge"]
) -> None:
    write(folder, effect, action)
    assert load_bundle(folder / "bundle", folder / "catalog", unknown_action=unknown).statement_count == 1


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
    assert [asked.entry.id for asked in traits.asked] == ["aiart:TextToImage"]


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
