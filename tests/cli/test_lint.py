"""`camguard lint`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camguard.bundle import load_bundle
from camguard.cli import main
from camguard.errors import BundleError
from tests.company import allow, document, inside

BAD_EFFECT = '{"version": "2.0", "statement": {"effect": "maybe", "action": "aiart:*", "resource": "*"}}'


# What the shipped bundle has, and why: code, policy.
SHIPPED = {
    ("CG101", "aiart-full"),  # an old spelling, kept to show that it loads
    ("CG406", "admins-from-office-only"),  # a list of offices reads like this
    ("CG501", "full-access"),  # the account level
}


def found(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    """Return the findings beside those of the shipped bundle."""
    findings: list[dict[str, str]] = json.loads(capsys.readouterr().out)["findings"]
    return [
        finding
        for finding in findings
        if (finding["code"], Path(finding["where"].partition("#")[0]).stem) not in SHIPPED
    ]


@pytest.mark.usefixtures("folder")
def test_the_shipped_bundle_has_no_errors_and_known_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--fail-on", "error"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"14 policies: 0 errors, {len(SHIPPED)} warnings"
    assert main(["lint", "--format", "json"]) == 5
    assert found(capsys) == []


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
    assert (finding["code"], finding["severity"]) == ("CG602", "warning")
    assert finding["where"] == "bundle/principals.json#/users/100000000105"
    assert finding["message"].startswith(
        "policy 'partners-read' is missing, so every call by these principals is refused: uin/100000000105, "
    )
    assert finding["message"].endswith(" and 3 more")


def test_an_unattached_policy_is_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle/policies/spare.json").write_text(
        (folder / "bundle/policies/aiart-read.json").read_text()
    )
    assert main(["lint", "--format", "json"]) == 5
    (finding,) = found(capsys)
    assert (finding["code"], finding["severity"]) == ("CG601", "warning")
    assert finding["where"] == "bundle/policies/spare.json"
    assert main(["lint", "--fail-on", "error"]) == 0


@pytest.mark.parametrize("text", ["[", '{"owner": 1}'], ids=["no JSON", "no principals"])
def test_principals_are_read_too(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle/principals.json").write_text(text)
    assert main(["lint", "--format", "json"]) == 5
    assert {finding["where"].partition("#")[0] for finding in found(capsys)} == {"bundle/principals.json"}


def test_a_policy_that_does_not_load_is_not_called_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bundle/policies/partners-read.json").write_text(BAD_EFFECT)
    assert main(["lint", "--format", "json"]) == 5
    assert [finding["code"] for finding in found(capsys)] == ["EffectError"]


def test_what_stops_activation_stops_the_load_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deny = BAD_EFFECT.replace("maybe", "deny").replace("aiart:*", "aiart:TextToImages")
    (folder / "bundle/policies/aiart-settings-locked.json").write_text(deny)
    assert main(["lint", "--fail-on", "error", "--format", "json"]) == 5
    (finding,) = (finding for finding in found(capsys) if finding["severity"] == "error")
    assert finding["code"] == "CG201"
    assert finding["instead"].startswith("aiart:TextToImage or ")
    with pytest.raises(BundleError, match="CG201"):
        load_bundle(folder / "bundle", folder / "catalog")


def test_the_setting_for_addresses_is_heeded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = document(allow("intlpartnersmgt:*", **inside("10.1.0.0/16")))
    (folder / "bundle/policies/aiart-read.json").write_text(text)
    assert main(["lint", "--format", "json"]) == 5
    assert [finding["code"] for finding in found(capsys)] == ["CG403"]
    settings = folder / "camguard.toml"
    settings.write_text(settings.read_text().replace('ip_support = "catalog"', 'ip_support = "gateway"'))
    assert main(["lint", "--format", "json"]) == 5
    assert found(capsys) == []


def test_a_folder_of_policies_and_a_single_one_will_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", "bundle/policies", "--format", "json"]) == 5
    assert found(capsys) == []
    assert main(["lint", "bundle/policies/aiart-read.json"]) == 0
    assert capsys.readouterr().out == "1 policies: 0 errors, 0 warnings\n"
    (folder / "empty").mkdir()
    assert main(["lint", "empty"]) == 2
    assert "no policy was found" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_sarif_names_rule_file_line_and_pointer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--format", "sarif", "bundle/policies/aiart-full.json"]) == 5
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert (rule["id"], rule["defaultConfiguration"]["level"]) == ("CG101", "warning")
    (result,) = run["results"]
    assert (result["ruleId"], result["ruleIndex"], result["level"]) == ("CG101", 0, "warning")
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "bundle/policies/aiart-full.json"},
        "region": {"startLine": 6},
    }
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "/statement/0/action"


def test_sarif_reports_what_does_not_load(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle/policies/aiart-full.json").write_text(BAD_EFFECT)
    assert main(["lint", "--format", "sarif", "bundle/policies/aiart-full.json"]) == 5
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["EffectError"]
    assert [result["level"] for result in run["results"]] == ["error"]


def test_dec_66_the_inventory_of_resource_tags_is_read_too(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "bundle/resource_tags.json"
    for text, where in (('{"x": {}}', "#/x"), ("{", ""), ('{"qcs::cvm:::i": {}}', None)):
        file.write_text(text)
        assert main(["lint", "--format", "json"]) == 5
        wanted = [] if where is None else [("ResourceTagsError", f"bundle/resource_tags.json{where}")]
        assert [(finding["code"], finding["where"]) for finding in found(capsys)] == wanted


def test_t132_the_settings_tell_which_addresses_are_mapped(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = folder / "camguard.toml"
    text = settings.read_text().replace("egress = {} ", 'egress = {"10.1.0.0/16" = "203.0.113.7"} ')
    settings.write_text(text)
    assert main(["lint", "--format", "json"]) == 5
    assert {finding["code"] for finding in found(capsys)} == {"CG434"}
