"""The SARIF log: what code scanning needs of it."""

from __future__ import annotations

from pathlib import Path

from camguard.cli.sarif import sarif
from camguard.lint import CODES, Finding, Severity, found

TEXT = '{\n"version": "2.0",\n"statement": []}'


def test_rules_are_named_once_and_results_refer_to_them() -> None:
    findings = [
        found("CG501", "a.json#/statement", "one"),
        found("CG201", "a.json#/version", "two", "three"),
        found("CG501", "b b.json", "four"),
    ]
    log = sarif(findings, {"a.json": TEXT})
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["CG201", "CG501"]
    assert [rule["help"]["text"] for rule in rules] == [CODES["CG201"].help, CODES["CG501"].help]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == ["CG501", "CG201", "CG501"]
    assert [result["level"] for result in run["results"]] == ["warning", "error", "warning"]
    assert run["results"][1]["message"]["text"] == "two (did you mean three?)"
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert places == [
        {"artifactLocation": {"uri": "a.json"}, "region": {"startLine": 3}},
        {"artifactLocation": {"uri": "a.json"}, "region": {"startLine": 2}},
        {"artifactLocation": {"uri": "b%20b.json"}},
    ]


def test_without_findings_there_are_no_rules_and_no_results() -> None:
    (run,) = sarif([], {})["runs"]
    assert (run["tool"]["driver"]["rules"], run["results"]) == ([], [])


def test_what_the_cloud_names_is_a_rule_too(tmp_path: Path) -> None:
    finding = Finding("EffectError", Severity.ERROR, f"{tmp_path}/a.json", "bad")
    (run,) = sarif([finding], {})["runs"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert (rule["id"], rule["defaultConfiguration"]["level"]) == ("EffectError", "error")
    uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == (tmp_path / "a.json").as_uri()
