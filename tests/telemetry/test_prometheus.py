"""The rules that Prometheus is given: they speak of metrics that exist, and fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from camguard.engine.decision import Reason
from camguard.telemetry.exposition import FAMILIES

FOLDER = Path(__file__).resolve().parents[2] / "config" / "prometheus"
RULES = (FOLDER / "rules.yml").read_text(encoding="utf-8")
CASES = (FOLDER / "rules_test.yml").read_text(encoding="utf-8")
NAME = re.compile(r"(?<![:\w])camguard_\w+")  # not within a recorded name
ENDS = re.compile(r"_(?:bucket|count|sum)$")


def promtool(*arguments: str) -> None:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([found, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", [RULES, CASES], ids=["rules", "cases"])
def test_every_metric_exists(text: str) -> None:
    names = set(NAME.findall(text))
    assert names
    assert {name for name in names if name not in FAMILIES and ENDS.sub("", name) not in FAMILIES} == set()


def test_every_recorded_name_that_is_used_is_recorded() -> None:
    used = set(re.findall(r"\w+:camguard_\w+:\w+", RULES))
    assert used == set(re.findall(r"record: (\S+)", RULES))


def test_every_reason_exists() -> None:
    named = {word for text in re.findall(r'reason=~?"([^"]+)"', RULES + CASES) for word in text.split("|")}
    assert named <= {reason.value for reason in Reason}


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    alerts = re.findall(r"alert: (\w+)", RULES)
    wanted = sorted(f"{alert} {kind}" for alert in alerts for kind in ("fires", "stays silent"))
    assert sorted(re.findall(r"- name: (.+)", CASES)) == wanted


def test_every_alert_says_what_to_do() -> None:
    assert len(re.findall(r"alert: ", RULES)) == len(re.findall(r"^ +action: ", RULES, re.MULTILINE))


def test_prometheus_takes_the_configuration() -> None:
    promtool("check", "config", "prometheus.yml")


@pytest.mark.heavy
def test_the_alerts_fire_and_stay_silent_as_their_cases_say() -> None:
    promtool("test", "rules", "rules_test.yml")
