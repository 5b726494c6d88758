"""A company of sixty services and eighty policies loads in one go, and its findings fit one screen."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from camguard.bundle import Bundle, load_bundle
from camguard.cli import main
from camguard.cli.lint import ONE_SCREEN
from camguard.policy.operators import OPERATORS
from tests.large_company import policies, write
from tests.running import RUN

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
    assert lines[-2] == "each code was printed once; --select CODE and --all print every finding"
    rows = [line for line in lines if line.startswith("warning")]
    assert [row for row in rows if not re.fullmatch(r"warning +\d+ \[CG\d+\] .+: \S+#\d+", row)] == []
    assert max(map(len, rows)) <= 110


@pytest.mark.usefixtures("company")
@pytest.mark.parametrize("option", [[], ["--all"]], ids=["folded", "whole"])
def test_a_terminal_of_80_columns_gets_lines_that_fit_it(
    option: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    capsys.readouterr()
    assert main(["lint", *BOTH, *option]) == 5
    findings = capsys.readouterr().out.partition("policies that can grant nothing")[0].splitlines()
    wide = [line for line in findings if len(line) > 80 and not line.lstrip().startswith("did you mean")]
    assert [line for line in wide if len(line.split()) > 2] == [], "only a place is wider, which is not cut"
    assert any(line.startswith(" " * 8) for line in findings)


@pytest.mark.usefixtures("company")
def test_a_check_of_the_gateway_has_few_lines(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(repository / "config/camguard.toml", "camguard.toml")
    Path("keys.json").write_text("{}")
    Path("keys.json").chmod(0o600)
    monkeypatch.setenv("CAMGUARD_GATEWAY__LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("CAMGUARD_GATEWAY__ADMIN", "127.0.0.1:0")
    done = subprocess.run([*RUN, "serve", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    printed = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in printed] == [*["WARNING"] * 7, "note", "good", "lint"]
    assert sum("policies that can grant nothing: " in line for line in printed) == 5
    assert any('count=13 policies="' in line and ", and 3 more" in line for line in printed)


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
