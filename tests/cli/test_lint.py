"""`camguard lint`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camguard.cli import main

BAD_EFFECT = '{"version": "2.0", "statement": {"effect": "maybe", "action": "aiart:*", "resource": "*"}}'


def found(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = json.loads(capsys.readouterr().out)["findings"]
    return findings


@pytest.mark.usefixtures("folder")
def test_the_shipped_bundle_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint"]) == 0
    assert capsys.readouterr().out == "14 policies: 0 errors, 0 warnings\n"


def test_a_broken_policy_is_named_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle/policies/aiart-full.json").write_text(BAD_EFFECT)
    assert main(["lint", "--format", "json"]) == 5
    (finding,) = found(capsys)
    assert finding["where"] == "bundle/policies/aiart-full.json#/statement/effect"
    assert (finding["code"], finding["severity"]) == ("EffectError", "error")
    assert main(["lint"]) == 5
    assert (
        "error   bundle/policies/aiart-full.json#/statement/effect: effect is 'maybe'"
        in capsys.readouterr().out
    )


def test_a_policy_that_is_attached_but_missing_stops_its_principals(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bundle/policies/partners-read.json").unlink()
    assert main(["lint", "--format", "json"]) == 5
    (finding,) = found(capsys)
    assert finding["code"] == "PolicyMissing"
    assert finding["message"].startswith(
        "policy 'partners-read' is not here; every call of uin/100000000105, "
    )
    assert finding["message"].endswith("and 3 more is refused")


def test_a_policy_of_nobody_is_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle/policies/spare.json").write_text(
        (folder / "bundle/policies/aiart-read.json").read_text()
    )
    assert main(["lint", "--format", "json"]) == 5
    (finding,) = found(capsys)
    assert (finding["code"], finding["severity"]) == ("PolicyUnused", "warning")
    assert finding["where"] == "bundle/policies/spare.json"
    assert main(["lint", "--fail-on", "error"]) == 0


@pytest.mark.parametrize("text", ["[", '{"owner": 1}'], ids=["no JSON", "no principals"])
def test_principals_are_read_too(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle/principals.json").write_text(text)
    assert main(["lint", "--format", "json"]) == 5
    assert {finding["where"].partition("#")[0] for finding in found(capsys)} == {"bundle/principals.json"}


def test_a_folder_of_policies_and_a_single_one_will_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", "bundle/policies"]) == 0
    assert main(["lint", "bundle/policies/aiart-read.json"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 policies:")
    (folder / "empty").mkdir()
    assert main(["lint", "empty"]) == 2
    assert "no policy was found" in capsys.readouterr().err


def test_sarif_names_the_file_and_the_pointer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle/policies/aiart-full.json").write_text(BAD_EFFECT)
    assert main(["lint", "--format", "sarif"]) == 5
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["EffectError"]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("EffectError", "error")
    (location,) = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "bundle/policies/aiart-full.json"
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "/statement/effect"
