"""Every query of the dashboards is answered with data by a Prometheus that scrapes a gateway with traffic."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.readme import block
from tests.running import free_port, running
from tests.scraping import ROOT, RULES, eventually, scraping
from tests.telemetry.callers import ELSEWHERE, Caller, signature, steadily, upstream
from tests.telemetry.one_source import offering

pytest.importorskip("httptools", reason="the gateway needs the extra `serve`")

pytestmark = pytest.mark.heavy

# Rightly empty: there was no gateway an hour or a day ago.
EMPTY = {"1h ago", "1d ago"}
PREVIEW = "DASHBOARDS_PREVIEW"  # a file to which the test writes the page, for a look


def company_day(caller: Caller) -> None:
    """Send one call of each kind that the dashboards tell apart."""
    caller.call()
    caller.call("SetPayMode")
    caller.call(x_forwarded_for=ELSEWHERE)
    caller.call("NoSuchAction")
    caller.call(x_forwarded_for="unknown")


def test_every_query_is_answered_with_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "config" / "grafana")
    preview = importlib.import_module("preview")
    admin = free_port()
    folder = tmp_path / "company"
    shutil.copytree(ROOT / "config", folder, ignore=shutil.ignore_patterns("grafana", "prometheus"))
    shutil.copy(folder / "keys.example.json", folder / "keys.json")
    (folder / "keys.json").chmod(0o600)
    shutil.copytree(folder / "bundle", folder / "candidate")
    file = folder / "bundle" / "policies" / "aiart-season-2027.json"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(upstream())
        source = stack.enter_context(offering())
        source.offer(folder / "bundle", 1, valid_seconds=3600)
        gateway = stack.enter_context(
            running(
                folder,
                GATEWAY__ADMIN=f"127.0.0.1:{admin}",
                DECISION_LOG__PATH=str(folder / "decisions.log"),
                ENFORCEMENT__CANDIDATE=str(folder / "candidate"),
                POLICY__LAST_GOOD=str(folder / "kept"),
                POLICY__SOURCE=source.url,
                UPSTREAM__DEFAULT=server.url,
            )
        )
        rules = RULES.read_text(encoding="utf-8")
        prometheus = stack.enter_context(scraping(tmp_path / "prometheus", [admin], rules))
        with steadily(gateway.calls, 5, company_day):
            key = gateway.key("uin/100000000101")
            caller = stack.enter_context(contextlib.closing(Caller(gateway.calls)))
            for status in (200, 503, 0, 200):
                server.status = status
                for _ in range(5):
                    caller.call(**signature(key))
                    time.sleep(1)
            policy = json.loads(file.read_text())
            policy["statement"][0]["action"].append("aiart:NoSuchAction")
            file.write_text(json.dumps(policy))
            source.offer(folder / "bundle", 2, valid_seconds=3600)
            eventually(lambda: len(prometheus.query("camguard_policy_info")) == 2)
            time.sleep(10)
            panels = list(preview.answered(prometheus.url, rate_seconds=20))
        empty = {
            query.legend or each.panel.title
            for each in panels
            for query, series in each.series
            if not any(line.points for line in series)
        }
        assert empty == EMPTY
        page = preview.page(panels)
        assert page.count("<article>") == len(panels)
        assert "no data" not in page
        if PREVIEW in os.environ:
            Path(os.environ[PREVIEW]).write_text(page, encoding="utf-8")


def test_the_readme_leads_to_the_first_dashboard(tmp_path: Path) -> None:
    """Prometheus with the shipped settings, then the page. Only ports and the time of waiting are others."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    shutil.copytree(ROOT / "config" / "prometheus", tmp_path / "config/prometheus")
    shutil.copytree(ROOT / "config" / "grafana", tmp_path / "config/grafana")
    admin, port = free_port(), free_port()
    settings = tmp_path / "config/prometheus/prometheus.yml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("127.0.0.1:9464", f"127.0.0.1:{admin}").replace("15s", "2s"))
    commands = block("sh", "preview.py").replace(
        "prometheus --", f"prometheus --web.listen-address=127.0.0.1:{port} --"
    )
    commands = (
        commands.replace("sleep 60", "sleep 10")
        .replace(":9090", f":{port}")
        .replace("python ", f"{sys.executable} ")
    )
    bash = ["/bin/bash", "-c", f"trap 'kill %1; wait' EXIT\n{commands}"]
    with (
        running(tmp_path / "company", GATEWAY__ADMIN=f"127.0.0.1:{admin}") as gateway,
        steadily(gateway.calls, 5, company_day),
    ):
        done = subprocess.run(bash, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "dashboards.html").read_text(encoding="utf-8")
    assert page.count("<h1>") == 3
    assert page.count("no data") < page.count("<article>") / 5


# --- the command line -----------------------------------------------------------------------------------

WRONG = [
    pytest.param((), "usage: ", id="no address"),
    pytest.param(("--help",), "usage: ", id="a question for help"),
    pytest.param(("127.0.0.1:9090",), "usage: ", id="an address without its scheme"),
    pytest.param(("http://127.0.0.1:1",), "this is no Prometheus, or it does not answer", id="nobody there"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_wrong_address_is_said_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    argv = [sys.executable, str(ROOT / "config/grafana/preview.py"), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
