"""A real Prometheus that scrapes gateways on loopback, for tests that want its answers and its alerts."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.running import PATIENCE, free_port

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "config" / "prometheus" / "rules.yml"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"(\[|for: |offset |interval: )(\d+)([smhd])\b")
FACTOR = 60
ALERT_SECONDS = 120  # no claim: on a busy machine a scrape may fail, and the time of an alert begins anew


def compressed(rules: str) -> str:
    """Return rules with each `for`, range, offset and interval divided by FACTOR, and all else unchanged."""

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) * SECONDS[found[3]] * 1000 // FACTOR}ms"

    return DURATION.sub(shorter, rules)


class Prometheus(NamedTuple):
    """A running Prometheus. fired: every alert that fired so far, with the labels of its first time."""

    url: str
    fired: dict[str, dict[str, str]]

    def get(self, path: str, **parameters: str) -> Any:
        """Ask the API and return `data` of its answer."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=PATIENCE) as answer:  # noqa: S310 - loopback
            return json.load(answer)["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series of an expression now."""
        found: list[dict[str, Any]] = self.get("query", query=expr)["result"]
        return found

    def await_alerts(self, names: Iterable[str]) -> None:
        """Wait until these alerts have fired."""
        until = time.monotonic() + ALERT_SECONDS
        while set(names) - self.fired.keys():
            if time.monotonic() > until:
                pytest.fail(
                    f"{sorted(set(names) - self.fired.keys())} did not fire; {sorted(self.fired)} did"
                )
            time.sleep(0.2)

    def watch(self, stop: threading.Event) -> None:
        """Note each alert that fires, until stopped."""
        while not stop.wait(0.2):
            with contextlib.suppress(OSError):
                for alert in self.get("alerts")["alerts"]:
                    if alert["state"] == "firing":
                        self.fired.setdefault(alert["labels"]["alertname"], alert["labels"])


def eventually(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for something that no event tells of."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


@contextlib.contextmanager
def scraping(folder: Path, targets: Iterable[int], rules: str) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes ports once a second. The test is skipped where there is no Prometheus.

    folder: for its data; created. targets: admin ports, which need not be served yet.
    """
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed")
    folder.mkdir()
    port = free_port()
    (folder / "rules.yml").write_text(rules)
    addresses = [f"127.0.0.1:{target}" for target in targets]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "camguard", "static_configs": [{"targets": addresses}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    listen = f"127.0.0.1:{port}"
    options = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={listen}")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([binary, *options], cwd=folder, stdout=log, stderr=log)
    stop = threading.Event()
    prometheus = Prometheus(f"http://{listen}", {})
    watching = threading.Thread(target=prometheus.watch, args=(stop,), daemon=True)
    try:
        eventually(lambda: "Server is ready" in (folder / "log").read_text())
        watching.start()
        yield prometheus
    finally:
        stop.set()
        process.terminate()
        process.wait(PATIENCE)
