"""`camguard lint`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camguard.bundle import load_bundle
from camguard.cli import main
from camguard.errors import BundleError
from tests.company import allow, deny, document, inside

BAD_EFFECT = '{"version": "2.0", "statement": {"effect": "maybe", "action": "aiart:*", "resource": "*"}}'


# What the shipped bundle has, and why: code, policy. CG101 is of style, and is not printed unless asked for.
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
    total = "14 policies: 0 errors, 2 warnings, 1 of style (--severity style prints all of them)"
    assert capsys.readouterr().out.splitlines()[-1] == total
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


def test_dec_55_an_error_loads_unless_the_load_is_strict(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deny = BAD_EFFECT.replace("maybe", "deny").replace("aiart:*", "aiart:TextToImages")
    (folder / "bundle/policies/aiart-settings-locked.json").write_text(deny)
    assert main(["lint", "--fail-on", "error", "--format", "json"]) == 5
    (finding,) = (finding for finding in found(capsys) if finding["severity"] == "error")
    assert finding["code"] == "CG201"
    assert finding["instead"] == "aiart:TextToImage"
    findings = load_bundle(folder / "bundle", folder / "catalog").findings
    assert findings is not None
    assert [error.code for error in findings.errors] == ["CG201"]
    with pytest.raises(BundleError, match="CG201"):
        load_bundle(folder / "bundle", folder / "catalog", strict=True)
    monkeypatch.setenv("CAMGUARD_POLICY__STRICT", "true")
    assert main(["check", "--principal=alice", "--action=aiart:TextToImage"]) == 3
    assert "(did you mean aiart:TextToImage?) [CG201]" in capsys.readouterr().err


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
    assert capsys.readouterr().out == "1 policy: 0 errors, 0 warnings, 0 of style\n"
    (folder / "empty").mkdir()
    assert main(["lint", "empty"]) == 2
    assert "no policy was found" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_sarif_names_rule_file_line_and_pointer(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--format", "sarif", "--fail-on", "style"]
    assert main(["lint", *arguments, "bundle/policies/aiart-full.json"]) == 5
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert (rule["id"], rule["defaultConfiguration"]["level"]) == ("CG101", "note")
    (result,) = run["results"]
    assert (result["ruleId"], result["ruleIndex"], result["level"]) == ("CG101", 0, "note")
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


def policy(folder: Path, name: str, *statements: dict[str, object]) -> None:
    (folder / "bundle/policies" / f"{name}.json").write_text(document(*statements))


# options, exit code, the codes that are printed
CHOICES = [
    pytest.param([], 5, {"CG201", "CG202"}, id="errors and warnings"),
    pytest.param(["--severity", "style"], 5, {"CG201", "CG202", "CG210"}, id="everything"),
    pytest.param(["--severity", "error"], 5, {"CG201"}, id="errors only"),
    pytest.param(["--fail-on", "style"], 5, {"CG201", "CG202", "CG210"}, id="what counts is printed"),
    pytest.param(["--ignore", "CG201"], 5, {"CG202"}, id="all but one code"),
    pytest.param(["--ignore", "CG201", "--fail-on", "error"], 0, {"CG202"}, id="a warning alone"),
    pytest.param(["--ignore", "CG201,CG202"], 0, set(), id="two codes less"),
    pytest.param(["--ignore", "cg201", "--ignore", "CG202"], 0, set(), id="the option twice"),
    pytest.param(["--ignore", "CG"], 0, set(), id="the beginning of all codes"),
    pytest.param(["--select", "CG202"], 5, {"CG202"}, id="one code"),
    pytest.param(["--select", "CG2", "--ignore", "CG20"], 0, set(), id="selected style"),
    pytest.param(["--select", "CG4"], 0, set(), id="a hundred without findings"),
    pytest.param(["--severity", "error", "--ignore", "CG201"], 5, set(), id="what is not printed counts"),
]


@pytest.mark.parametrize(("options", "code", "printed"), CHOICES)
def test_options_choose_what_counts_and_what_is_printed(
    options: list[str], code: int, printed: set[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy(folder, "one", allow(["aiart:*", "aiart:TextToImage", "aiart:Nothing"]))
    policy(folder, "two", deny("aiart:TextToImages"))
    paths = [str(folder / "bundle/policies" / f"{name}.json") for name in ("one", "two")]
    assert main(["lint", *paths, *options, "--format", "json"]) == code
    listed = json.loads(capsys.readouterr().out)
    assert {finding["code"] for finding in listed["findings"]} == printed
    assert listed["policies"] == 2


def test_what_does_not_load_is_listed_whatever_is_selected(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "bundle/policies/aiart-full.json"
    path.write_text(BAD_EFFECT)
    for options in (["--select", "CG4"], ["--ignore", "CG"]):
        assert main(["lint", str(path), *options]) == 5
        assert "[EffectError]" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("codes", ["CG9", "", "EffectError", "CG4,", "CG4;CG5"])
def test_a_code_that_no_finding_has_is_wrong_usage(codes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--select", codes]) == 2
    assert "no lint code begins with" in capsys.readouterr().err


ACCEPTED = """[[accept]]
code = "CG501"
policy = "full-access"
statement = 0
reason = "the account level limits nothing"
expires = 9999-12-31

[[accept]]
code = "CG406"
policy = "admins-from-office-only"
statement = 0
reason = "the offices are listed on purpose"
expires = 9999-12-31
"""


def test_accepted_findings_do_not_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle/lint.toml").write_text(ACCEPTED)
    assert main(["lint"]) == 0
    total = "14 policies: 0 errors, 0 warnings, 1 of style, 2 accepted (--severity style prints all of them)"
    assert capsys.readouterr().out.splitlines() == [total]
    assert main(["lint", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["counts"] == {"error": 0, "warning": 0, "style": 1, "accepted": 2}
    first, second = listed["accepted"]
    assert (first["code"], first["acceptance"]) == ("CG406", "bundle/lint.toml#/accept/1")
    assert (second["reason"], second["expires"]) == ("the account level limits nothing", "9999-12-31")
    assert main(["lint", "--format", "sarif"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    suppressions = [result["suppressions"][0] for result in run["results"]]
    assert [each["justification"] for each in suppressions] == [
        "the offices are listed on purpose (until 9999-12-31)",
        "the account level limits nothing (until 9999-12-31)",
    ]


def test_a_fault_in_lint_toml_is_an_error_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bundle/lint.toml").write_text(ACCEPTED.replace("reason", "resaon", 1))
    assert main(["lint", "--fail-on", "error"]) == 5
    printed = capsys.readouterr().out
    assert (
        "error   bundle/lint.toml#/accept/0/resaon: unknown key 'resaon' (did you mean 'reason'?) [CG701]"
        in printed
    )
    assert "[CG501]" in printed


def test_a_suggestion_is_a_question(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy(folder, "one", deny("aiart:TextToImages"))
    assert main(["lint", str(folder / "bundle/policies/one.json")]) == 5
    assert capsys.readouterr().out.splitlines()[1] == "        did you mean aiart:TextToImage?"


# Policies as the vendor prints them in its console and its manuals: what each is about, statements.
PRESETS = [
    pytest.param([{"effect": "allow", "action": "*", "resource": "*"}], id="an administrator"),
    pytest.param(
        [{"action": ["name/aiart:*", "aiart:Describe*"], "resource": "*", "effect": "allow"}],
        id="full access, with the old prefix and an entry too many",
    ),
    pytest.param(
        {"Effect": "Allow", "Action": "name/aiart:Query*", "Resource": ["*"]}, id="one statement in capitals"
    ),
    pytest.param(
        [{"effect": "allow", "action": "aiart:*", "resource": "*", "condition": {}}], id="an empty condition"
    ),
    pytest.param(
        [{"effect": "allow", "action": "aiart:*", "resource": "*",
          "condition": {"ip_equal": {"qcs:ip": ["10.1.0.0/24", "10.1.1.0/24", "10.1.1.0/24"]}}}],
        id="ranges that are adjacent, and one twice",
    ),
]  # fmt: skip


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("statement", PRESETS)
def test_no_style_code_counts(statement: object, capsys: pytest.CaptureFixture[str]) -> None:
    Path("preset.json").write_text(json.dumps({"version": "2.0", "statement": statement}))
    assert main(["lint", "preset.json", "--ignore", "CG206,CG501"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1, "no finding of style is printed"
    assert main(["lint", "preset.json", "--fail-on", "style", "--format", "json"]) == 5
    assert json.loads(capsys.readouterr().out)["findings"] != []


def test_serve_check_prints_the_findings(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy(folder, "one", deny("aiart:TextToImages"))
    with caplog.at_level("INFO"):
        assert main(["serve", "--check"]) == 0
    counts = "findings_error=1 findings_warning=3 findings_style=1 findings_accepted=0"
    assert counts in caplog.text
    assert "the catalog does not contain the action 'aiart:TextToImages'" in caplog.text
    place = "where=policies/one.json#/statement/0/action code=CG201"
    assert f"(did you mean aiart:TextToImage?): {place}" in caplog.text


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
