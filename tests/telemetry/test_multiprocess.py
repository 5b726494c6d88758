"""Metrics of several processes are one (the client library's PROMETHEUS_MULTIPROC_DIR)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.telemetry.samples import number_in

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
    out, errors = process.communicate(timeout=60)
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


def test_a_fork_counts_its_own_calls_only(tmp_path: Path) -> None:
    ended(python(WORKER, tmp_path, "5", "fork"))
    assert number_in(ended(python(READER, tmp_path)), "camguard_decisions_total", decision="allow") == 7


def test_a_folder_that_is_missing_costs_the_numbers_and_no_call(tmp_path: Path) -> None:
    worker = python(WORKER.replace("metrics.render()", "metrics.stop()"), tmp_path / "absent", "3", "-")
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == 0, errors.decode()
    assert b"metrics cannot be written" in errors
