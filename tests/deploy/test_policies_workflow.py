"""config/ci/policies.yml: its shell steps review a change of policies between two commits.

Left out are the steps that only GitHub can run (`uses`), the installation, and the posting of the review.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.running import ROOT

WORKFLOW = yaml.safe_load((ROOT / "config/ci/policies.yml").read_text(encoding="utf-8"))
JOB = WORKFLOW["jobs"]["review"]
STEPS = {step["name"]: step for step in JOB["steps"] if "name" in step}
LEFT_OUT = {"Install camguard", "Post"}
# As GitHub starts `run` under Linux; https://docs.github.com, "jobs.<job_id>.steps[*].shell".
SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")


class Repository:
    """A folder of camguard under git, and the steps of the workflow in it."""

    def __init__(self, folder: Path, temp: Path) -> None:
        self.folder, self.temp = folder, temp
        program = temp / "bin/camguard"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m camguard "$@"\n')
        program.chmod(0o755)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *argv: str) -> str:
        done = subprocess.run([*GIT, *argv], cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all", "bundle", "catalog", "camguard.toml")
        self.git("commit", "--quiet", "--message", "a change")
        return self.git("rev-parse", "HEAD")

    def change(self, name: str, old: str, new: str) -> None:
        file = self.folder / name
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, name: str, base: str) -> subprocess.CompletedProcess[str]:
        """Run one step as GitHub does."""
        environment = {
            "PATH": f"{self.temp / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.temp),
            "BASE": base,
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
        }
        command = [*SHELL, STEPS[name]["run"]]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def summary(self) -> str:
        return (self.temp / "summary.md").read_text(encoding="utf-8")


@pytest.fixture
def repository(folder: Path, tmp_path: Path) -> Repository:
    return Repository(folder, tmp_path / "runner")


def test_a_change_is_linted_tested_and_compared(repository: Repository) -> None:
    base = repository.commit()
    repository.change("bundle/policies/aiart-create.json", '"10.1.0.0/16"', '"10.0.0.0/15"')
    repository.commit()
    codes = {}
    for name in STEPS.keys() - LEFT_OUT:
        done = repository.run(name, base)
        codes[name] = done.returncode
        assert "Traceback" not in done.stderr
    assert codes == {"Lint": 0, "Test": 4, "Compare": 0}  # an invariant holds artists inside of the offices
    review = repository.summary()
    assert review.startswith("### Access that this change gives and takes\n")
    (row,) = [line for line in review.splitlines() if line.startswith("| **gained**")]
    assert "`10.0.0.0/16`" in row
    assert "`alice`, `bruno`, `chen`" in row


def test_a_change_of_the_catalog_is_compared(repository: Repository) -> None:
    file = repository.folder / "catalog/aiart.json"
    catalog = json.loads(file.read_text(encoding="utf-8"))
    new = next(row for row in catalog["actions"] if row["name"] == "QueryMemeJob")
    file.write_text(json.dumps({**catalog, "actions": [row for row in catalog["actions"] if row is not new]}))
    base = repository.commit()
    file.write_text(json.dumps(catalog))
    repository.commit()
    assert repository.run("Compare", base).returncode == 0
    assert "`aiart:QueryMemeJob`" in repository.summary()


def test_a_change_of_nothing_is_compared(repository: Repository) -> None:
    base = repository.commit()
    assert repository.run("Compare", base).returncode == 0
    assert "No call is decided differently." in repository.summary()


def test_a_wrong_policy_stops_lint_and_is_named(repository: Repository) -> None:
    base = repository.commit()
    repository.change("bundle/policies/aiart-settings-locked.json", "aiart:SetPayMode", "aiart:SetPayMod")
    repository.commit()
    done = repository.run("Lint", base)
    assert done.returncode == 5
    assert "aiart:SetPayMod" in done.stdout


def test_a_base_without_a_bundle_is_no_failure(repository: Repository) -> None:
    repository.git("commit", "--quiet", "--allow-empty", "--message", "nothing yet")
    base = repository.git("rev-parse", "HEAD")
    repository.commit()
    assert repository.run("Compare", base).returncode == 0
    assert repository.summary() == "The base has no bundle, so there is nothing to compare with.\n"


def test_what_is_left_out_and_what_the_steps_may_do() -> None:
    assert {step["name"] for step in JOB["steps"] if "run" in step} == STEPS.keys()
    assert STEPS.keys() > LEFT_OUT
    assert WORKFLOW["permissions"] == {"contents": "read", "pull-requests": "write"}
    triggers: Any = WORKFLOW[True]  # YAML 1.1 reads the key `on` as a boolean
    assert set(triggers) == {"pull_request"}  # never pull_request_target, whose token may write
    for step in STEPS.values():  # an expression in a script would run what a pull request writes into it
        assert "${{" not in step["run"]
