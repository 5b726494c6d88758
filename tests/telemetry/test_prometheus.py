"""The rules that Prometheus is given: they speak of metrics that exist, and fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from camguard.cli import main
from camguard.engine.decision import Reason
from camguard.settings import Settings
from camguard.telemetry.exposition import FAMILIES
from tests.scraping import DURATION, compressed

FOLDER = Path(__file__).resolve().parents[2] / "config" / "prometheus"
RULES = (FOLDER / "rules.yml").read_text(encoding="utf-8")
RUNBOOKS = (FOLDER / "RUNBOOKS.md").read_text(encoding="utf-8")
CASES = (FOLDER / "rules_test.yml").read_text(encoding="utf-8")
NAME = re.compile(r"(?<![:\w])camguard_\w+")  # not within a recorded name
ENDS = re.compile(r"_(?:bucket|count|sum)$")


def promtool(*arguments: str) -> None:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([found, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", [RULES, CASES, RUNBOOKS], ids=["rules", "cases", "runbooks"])
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


def alert_rules() -> Iterator[tuple[str, str]]:
    """Yield each alert with the text of its rule."""
    for text in RULES.split("- alert: ")[1:]:
        name, _, rest = text.partition("\n")
        yield name, rest


ALERTS = dict(alert_rules())


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    wanted = [f"{alert} {kind}" for alert in ALERTS for kind in ("fires", "stays silent")]
    counts = [alert for alert, text in ALERTS.items() if "increase(" in text]
    wanted += [f"{alert} fires at the value with which a series begins" for alert in counts]
    assert sorted(re.findall(r"- name: (.+)", CASES)) == sorted(wanted)
    assert len(counts) == 13


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_on_a_count_sees_the_event_with_which_a_series_begins(alert: str) -> None:
    """`increase` of a series that begins at 1 is 0, so the rule adds the value of a new series."""
    pairs = re.findall(
        r"\((\S+(?:, \S+)*) *\n? *unless last_over_time\((.+)\[1d\] offset (\w+)\)\)", ALERTS[alert]
    )
    counted = re.findall(r"increase\((.+)\[(\w+)\]\)", ALERTS[alert])
    assert [(new, window) for new, _, window in pairs] == counted
    assert all(new == old for new, old, _ in pairs)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_to_do_and_names_its_runbook(alert: str) -> None:
    lines = [line.strip() for line in ALERTS[alert].splitlines()]
    notes = dict(line.split(": ", 1) for line in lines[lines.index("annotations:") + 1 :][:3])
    assert list(notes) == ["summary", "action", "runbook_url"]
    assert notes["runbook_url"] == f"RUNBOOKS.md#{alert.lower()}"
    assert {"{ severity: critical }", "{ severity: warning }", "{ severity: info }"} & {
        line.removeprefix("labels: ") for line in lines
    }


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    sections = RUNBOOKS.split("\n## ")[1:]
    assert [section.partition("\n")[0] for section in sections] == list(ALERTS)
    parts = ("Meaning", "Impact", "Confirm", "Mitigate", "False alarms")
    for section in sections:
        assert re.findall(r"^- \*\*(.+)\*\*: \S", section, re.MULTILINE) == list(parts), section


def test_every_name_of_a_runbook_exists() -> None:
    assert set(re.findall(r"Camguard\w+", RUNBOOKS + RULES)) == set(ALERTS)
    ours = {name for name in NAME.findall(RUNBOOKS) if name not in FAMILIES}
    assert ours == set()
    settings = re.findall(r"`(?:\w+)\.(?:\w+)(?: = \S+)?`", RUNBOOKS)
    named = {text.strip("`").partition(" ")[0] for text in settings}
    known = {f"{part}.{key}" for part, keys in Settings().effective().items() for key in keys}
    assert named - known == {"rules.yml", "lint.toml", "prometheus.yml"}
    words = set(re.findall(r"`reason` `(\w+)`", RUNBOOKS))
    assert words
    assert words <= {reason.value for reason in Reason}


def test_every_verb_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    verbs = set(re.findall(r"^    (\w[\w-]*) ", capsys.readouterr().out, re.MULTILINE))
    used = set(re.findall(r"`camguard ([a-z]+)", RUNBOOKS + RULES))
    assert "lint" in used
    assert used <= verbs


def test_the_rules_of_the_live_test_differ_from_those_that_are_shipped_in_durations_only() -> None:
    short = compressed(RULES)
    assert re.sub(r"\d+ms", "", short) == DURATION.sub(r"\1", RULES)
    assert DURATION.search(short) is None
    found = dict(zip(DURATION.findall(RULES), re.findall(r"\d+(?=ms)", short), strict=True))
    assert found["for: ", "2", "m"] == "2000"
    assert found["[", "1", "d"] == "1440000"
    assert found["interval: ", "30", "s"] == "500"


def test_prometheus_takes_the_configuration() -> None:
    promtool("check", "config", "prometheus.yml")


@pytest.mark.heavy
def test_the_alerts_fire_and_stay_silent_as_their_cases_say() -> None:
    promtool("test", "rules", "rules_test.yml")
