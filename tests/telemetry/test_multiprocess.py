"""Metrics of several processes are one (the client library's PROMETHEUS_MULTIPROC_DIR)."""

from __future__ import annotations

import os
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest

from tests.telemetry.samples import number_in, samples_in

ROOT = Path(__file__).resolve().parents[2]

# Counts so many calls; the forking form counts one more in parent and child each, who share a past.
WORKER = """
import os, sys, time
from tests.telemetry.samples import action_of, bundle_of, catalog_of, outcome_of, record_of
from camguard.telemetry.metrics import Metrics
count, forking = int(sys.argv[1]), sys.argv[2] == "fork"
catalog = catalog_of(aiart=2)
metrics = Metrics(catalog=catalog, version="1")
metrics.start()
metrics.policy(outcome_of("success", bundle_of(catalog, "ab" * 32), 1000.0 + count))
metrics.follow_in_flight("middleware", lambda: 2)
for _ in range(count):
    metrics.observe(record_of(catalog.actions["aiart:Act0"]))
if forking:
    child = os.fork()
    metrics.observe(record_of(catalog.actions["aiart:Act0"]))
    if child:
        os.waitpid(child, 0)
metrics.render()
"""

READER = """
import sys
from camguard.telemetry.metrics import Metrics
sys.stdout.buffer.write(Metrics().render())
"""


def python(code: str, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)


def ended(process: subprocess.Popen[bytes]) -> bytes:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    assert errors == b""
    return out


def test_two_processes_are_summed(tmp_path: Path) -> None:
    for worker in [python(WORKER, tmp_path, "3", "-"), python(WORKER, tmp_path, "4", "-")]:
        ended(worker)
    shown = ended(python(READER, tmp_path))
    assert number_in(shown, "camguard_decisions_total", decision="allow", service="aiart") == 7
    assert number_in(shown, "camguard_action_decisions_total", action="Act0") == 7
    assert number_in(shown, "camguard_decision_duration_seconds_count") == 7
    assert number_in(shown, "camguard_decision_duration_seconds_sum") == pytest.approx(7 * 20e-6)
    assert number_in(shown, "camguard_decision_duration_seconds_bucket", le="1e-05") == 0
    assert number_in(shown, "camguard_decision_duration_seconds_bucket", le="2.5e-05") == 7
    assert number_in(shown, "camguard_requests_in_flight", listener="middleware") == 4
    assert number_in(shown, "camguard_policy_reloads_total", result="success") == 2
    assert number_in(shown, "camguard_policy_info", revision="abababababab") == 1
    assert number_in(shown, "camguard_policy_statements") == 1
    assert b"_created" not in shown
    assert b"pid=" not in shown


@pytest.mark.parametrize("kind", ["counter", "histogram", "gauge_livesum", "gauge_mostrecent"])
def test_a_process_that_has_just_created_its_file_fails_no_scrape(tmp_path: Path, kind: str) -> None:
    ended(python(WORKER, tmp_path, "3", "-"))
    (tmp_path / f"{kind}_1.db").touch()
    shown = ended(python(READER, tmp_path))
    assert number_in(shown, "camguard_decisions_total", decision="allow", service="aiart") == 3


# Shows what a process without a URL, without keys and without a log shows; then what the source of a URL is
# about, whose bundle has first an end and then none.
STATES = """
import sys
from camguard.bundle.remote import SourceFacts
from tests.telemetry.samples import bundle_of, catalog_of, outcome_of
from camguard.telemetry.metrics import Metrics
catalog = catalog_of(aiart=2)
metrics = Metrics(catalog=catalog, version="1")
outcome = outcome_of("success", bundle_of(catalog, "ab" * 32))
metrics.policy(outcome)
for until in sys.argv[1:]:
    end = None if until == "never" else float(until)
    facts = SourceFacts(3, 3, False, False, end, False, {"fetched": 1}, {"success": 1})
    metrics.policy(outcome._replace(source=facts))
    metrics.render()
sys.stdout.buffer.write(metrics.render())
"""


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param((), id="a folder is the source"),
        pytest.param(("never",), id="the bundle of a URL has no end"),
        pytest.param(("2000000000",), id="the bundle of a URL has an end"),
        pytest.param(("2000000000", "never"), id="a bundle without an end follows one that has an end"),
    ],
)
def test_several_processes_show_the_series_and_states_that_one_process_shows(
    tmp_path: Path, ends: tuple[str, ...]
) -> None:
    shown = ended(python(STATES, tmp_path, *ends))
    alone = subprocess.run(
        [sys.executable, "-c", STATES, *ends], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    assert states_in(shown) == states_in(alone.stdout)
    until = number_in(shown, "camguard_policy_valid_until_timestamp_seconds") if ends else None
    assert until == {(): None, "never": inf}.get(ends and ends[-1], 2e9)


def states_in(exposition: bytes) -> dict[tuple[str, str], float]:
    """Return all numbers of camguard but those that depend on the moment or the process."""
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for sample in samples_in(exposition)
        if sample.name.startswith("camguard_")
    }


def test_a_fork_counts_its_own_calls_only(tmp_path: Path) -> None:
    ended(python(WORKER, tmp_path, "5", "fork"))
    assert number_in(ended(python(READER, tmp_path)), "camguard_decisions_total", decision="allow") == 7


def test_a_folder_that_is_missing_costs_the_numbers_and_no_call(tmp_path: Path) -> None:
    worker = python(WORKER.replace("metrics.render()", "metrics.stop()"), tmp_path / "absent", "3", "-")
    _, errors = worker.communicate(timeout=120)
    assert worker.returncode == 0, errors.decode()
    assert b"metrics cannot be written" in errors
