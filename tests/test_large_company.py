"""A company of sixty services and eighty policies loads in one go, and its findings fit one screen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from camguard.bundle import Bundle, load_bundle
from camguard.cli import main
from camguard.cli.lint import ONE_SCREEN
from camguard.policy.operators import OPERATORS
from tests.large_company import policies, write

SCREEN = 50, 200  # lines and columns
BOTH = "bundle", "--catalog", "catalog"


@pytest.fixture
def company(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the company, as the current folder."""
    write(tmp_path)
    shutil.copytree(repository / "config" / "catalog", tmp_path / "catalog")
    monkeypatch.chdir(tmp_path)
    assert main(["catalog", "build", "--names", "names.txt", "--out", "catalog"]) == 0
    return tmp_path


def loaded(folder: Path) -> Bundle:
    return load_bundle(folder / "bundle", folder / "catalog")


def test_the_company_loads_in_one_go(company: Path) -> None:
    bundle = loaded(company)
    assert len(bundle.policies) == len(policies()) == 80
    assert len(bundle.catalog.services) >= 60
    named = {
        clause.operator.name for p in bundle.policies.values() for s in p.statements for clause in s.condition
    }
    assert named == OPERATORS.keys()
    assert bundle.findings is not None
    assert {"CG201", "CG203"} <= {finding.code for finding in bundle.findings.open}


@pytest.mark.usefixtures("company")
def test_its_findings_fit_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["lint", *BOTH]) == 5
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= SCREEN[0]
    assert [line for line in lines if len(line) > SCREEN[1]] == []
    assert main(["lint", *BOTH, "--format", "json"]) == 5
    every = json.loads(capsys.readouterr().out)["findings"]
    assert len(every) > 5 * ONE_SCREEN
    for code in {finding["code"] for finding in every}:
        assert sum(f"[{code}]" in line for line in lines) == 1
    assert lines[0].startswith("error   bundle/policies/deny-action-misspelled.json#/statement/1/action: ")
    assert lines[-2] == "only the first finding of each code was printed; --all prints every finding"


@pytest.mark.usefixtures("company")
def test_all_findings_are_printed_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for option in (["--all"], ["--select", "CG5"]):
        assert main(["lint", *BOTH, *option, "--format", "json"]) == 5
        every = json.loads(capsys.readouterr().out)["findings"]
        assert main(["lint", *BOTH, *option]) == 5
        printed = capsys.readouterr().out
        assert all(f"{each['where']}: {each['message']} [{each['code']}]\n" in printed for each in every)
        assert "only the first" not in printed


@pytest.mark.usefixtures("company")
def test_what_does_not_load_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("mfa", "mfa-old", "one"):
        Path(f"bundle/policies/{name}.json").write_text("{")
    capsys.readouterr()
    assert main(["lint", *BOTH]) == 5
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(".json")[0] for line in lines[:3]] == [
        f"error   bundle/policies/{name}" for name in ("mfa-old", "mfa", "one")
    ]
