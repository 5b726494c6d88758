"""Workers behind one socket: readiness, orders, replacement and restart, as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from camguard.bundle import ReloadOutcome
from camguard.errors import Problem
from camguard.gateway.channel import LINE_BYTES, PROBLEMS, line, outcome_of
from tests import running as run
from tests.gateway.test_serve import ALLOWED, QUICK, ask, move_the_office, outcome
from tests.telemetry.one_source import offering

REFUSED = "AuthFailure.UnauthorizedOperation"
# A gateway whose workers are soon taken for hanging, and whose differences soon count.
HASTY = """
from camguard.gateway import supervisor
supervisor.SILENT_SECONDS = 4.0
supervisor.SKEW_SECONDS = 2.0
from camguard.cli import run
run()
"""


def test_an_outcome_with_many_long_problems_fits_a_line() -> None:
    long = Problem("\x00" * 100_000, "X", "\U0001f600" * 100_000)
    found = outcome_of(1, ReloadOutcome("failure", 0.0, "ab", (long,) * 1000, None))
    assert len(line({"order": 1, "outcome": found._asdict()})) < LINE_BYTES // 4
    assert len(found.problems) == PROBLEMS + 1
    assert "992 more" in found.problems[-1]["message"]


pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are read from /proc")


@contextlib.contextmanager
def crew(
    folder: Path, monkeypatch: pytest.MonkeyPatch | None = None, **overrides: str
) -> Iterator[run.Gateway]:
    """Run a gateway of two workers that are ready. monkeypatch: makes it hasty."""
    if monkeypatch is not None:
        monkeypatch.setattr(run, "RUN", (sys.executable, "-c", HASTY))
    with run.running(folder, GATEWAY__WORKERS="2", **QUICK, **overrides) as gateway:
        assert ready(gateway)[0] == 200, "it is ready when it says that it serves"
        yield gateway


def ready(gateway: run.Gateway) -> tuple[int, dict[str, Any]]:
    status, text = gateway.get("/-/ready")
    return status, json.loads(text)


def rows(gateway: run.Gateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gateway.get("/api/status")[1])["workers"]
    return found


def post(gateway: run.Gateway, path: str) -> tuple[int, dict[str, Any]]:
    status, text = run.fetch(f"http://127.0.0.1:{gateway.admin}/-/{path}", b"")
    return status, json.loads(text)


class KeptLoad:
    """Callers that keep their connection until an answer closes it, as proxies do. misjudged: refused."""

    def __init__(self, port: int, expected: str = ALLOWED, callers: int = 4, pause: float = 0.0) -> None:
        self.outcomes: Counter[str] = Counter()
        self._port, self._expected, self._pause = port, expected, pause
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]

    def _call(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=run.PATIENCE)
        while not self._ended.is_set():
            try:
                self.outcomes["sent"] += 1
                found = outcome(connection)
                self.outcomes["misjudged"] += found != self._expected
            except (OSError, HTTPException, ValueError) as error:
                self.outcomes["failed"] += 1
                self.outcomes[f"failed: {error!r}"] += 1
                connection.close()
            time.sleep(self._pause)
        connection.close()

    def __enter__(self) -> KeptLoad:  # noqa: PYI034
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join(run.PATIENCE)


def go_on(*loads: KeptLoad) -> None:
    """Wait until each load has sent twenty calls more: each of its connections was used."""
    before = [load.outcomes["sent"] for load in loads]
    run.eventually(
        lambda: all(load.outcomes["sent"] > sent + 20 for load, sent in zip(loads, before, strict=True))
    )


def report(what: str, *loads: KeptLoad) -> None:
    """Write how many calls were sent, failed and misjudged."""
    counts = Counter(
        {name: sum(load.outcomes[name] for load in loads) for name in ("sent", "failed", "misjudged")}
    )
    sys.stderr.write(
        f"{what}: {dict(counts)} {[load.outcomes for load in loads if load.outcomes['failed']]}\n"
    )


@pytest.mark.heavy
def test_a_reload_answers_with_the_outcome_of_every_worker(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    with crew(folder) as gateway:
        pids = {row["pid"] for row in rows(gateway)}
        move_the_office(folder)
        status, document = post(gateway, "reload")
        assert (status, document["problems"]) == (200, [])
        assert {row["pid"] for row in document["workers"]} == pids
        assert {row["revision"] for row in document["workers"]} == {document["revision"]}
        assert {ask(gateway.calls) for _ in range(20)} == {REFUSED}, "the answer covers every worker"
        policy = folder / "bundle/policies/aiart-create.json"
        policy.write_text(policy.read_text()[:-20])
        status, document = post(gateway, "reload")
        assert (status, document["result"]) == (500, "failure")
        assert [row["result"] for row in document["workers"]] == ["failure"] * 2
        assert all("aiart-create.json" in row["problems"][0]["where"] for row in document["workers"])
        found = ready(gateway)
        assert (found[0], found[1]["failing"]) == (200, ["bundle"])
        assert set(found[1]["revisions"]) == {str(pid) for pid in pids}


@pytest.mark.heavy
def test_a_worker_that_hangs_is_named_and_the_instance_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "config"
    with crew(folder, monkeypatch) as gateway:
        hanging, other = (row["pid"] for row in rows(gateway))
        os.kill(hanging, signal.SIGSTOP)
        move_the_office(folder)
        status, document = post(gateway, "reload")
        assert status == 500
        results = {row["pid"]: row["result"] for row in document["workers"]}
        assert (results[hanging], results[other] in {"success", "unchanged"}) == ("failure", True)
        assert document["problems"][0]["where"].startswith(f"worker {hanging}")
        assert document["problems"][0]["code"] == "WorkerSilent", "the order has not waited for its own limit"
        assert (ready(gateway)[0], "workers" in ready(gateway)[1]["missing"]) == (503, True)
        os.kill(hanging, signal.SIGCONT)
        run.eventually(lambda: len(set(ready(gateway)[1]["revisions"].values())) == 1)
        run.eventually(lambda: ready(gateway)[0] == 200)


@pytest.mark.heavy
def test_the_health_path_of_every_worker_knows_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crew(tmp_path / "config", monkeypatch, HOSTS__HEALTH_PATH="/healthz") as gateway:

        def healthy() -> int:
            return run.fetch(f"http://127.0.0.1:{gateway.calls}/healthz")[0]

        run.eventually(lambda: healthy() == 200)
        stopped = rows(gateway)[0]["pid"]
        os.kill(stopped, signal.SIGSTOP)  # so that the other one answers alone
        run.eventually(lambda: ready(gateway)[0] == 503)
        run.eventually(lambda: healthy() == 503)
        os.kill(stopped, signal.SIGKILL)
        run.eventually(lambda: ready(gateway)[0] == 200)
        run.eventually(lambda: healthy() == 200)
        assert stopped not in {row["pid"] for row in rows(gateway)}
        log = "\n".join(gateway.stderr_lines)
        assert re.search("the instance is not ready.* missing=.*workers", log), log


@pytest.mark.heavy
def test_a_restart_replaces_every_worker_without_a_failed_call(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    with crew(folder) as gateway:
        before = {row["pid"] for row in rows(gateway)}
        probes: list[int] = []
        with (
            KeptLoad(gateway.calls, callers=3) as busy,
            KeptLoad(gateway.calls, callers=4, pause=0.7) as idle,
        ):
            go_on(busy, idle)
            gateway.process.send_signal(signal.SIGUSR2)

            def replaced() -> bool:
                probes.append(ready(gateway)[0])
                return not before & {row["pid"] for row in rows(gateway) if row["accepting"]}

            run.eventually(replaced)
            config = folder / "camguard.toml"
            config.write_text(config.read_text().replace('mode = "enforce"', 'mode = "shadow"'))
            status, document = post(gateway, "restart")
            assert (status, document["problems"]) == (200, [])
            go_on(busy, idle)
        report("two restarts of two workers", busy, idle)
        for load in (busy, idle):
            assert (load.outcomes["failed"], load.outcomes["misjudged"]) == (0, 0)
        assert set(probes) == {200}, "the instance is ready throughout"
        assert {ask(gateway.calls, **{"X-TC-Action": "SetPayMode"}) for _ in range(10)} == {ALLOWED}, (
            "settings"
        )
        state = json.loads(gateway.get("/api/status")[1])
        assert (state["settings_file"], state["settings"]["enforcement"]["mode"]) == ("unchanged", "shadow")
        assert {row["settings_digest"] for row in state["workers"] if row["accepting"]} == {
            state["settings_digest"]
        }


@pytest.mark.heavy
def test_a_rollback_pins_its_bundle_in_every_worker_and_in_those_that_replace_them(tmp_path: Path) -> None:
    def state() -> set[tuple[int, bool]]:
        return {(row["serial"], row["pinned"]) for row in rows(gateway) if row["accepting"]}

    with offering() as source:
        source.offer(run.ROOT / "config/bundle", 1)
        settings = {"POLICY__SOURCE": source.url, "POLICY__LAST_GOOD": str(tmp_path / "kept")}
        with crew(tmp_path / "config", None, **settings) as gateway:
            source.offer(run.ROOT / "config/bundle", 2, name="zoe")
            assert (post(gateway, "reload")[0], state()) == (200, {(2, False)})
            status, document = post(gateway, "rollback")
            assert (status, {row["serial"] for row in document["workers"]}) == (200, {1})
            assert (post(gateway, "reload")[0], state()) == (200, {(1, True)}), "serial 2 is offered in vain"
            before = {row["pid"] for row in rows(gateway)}
            assert (post(gateway, "restart")[0], state()) == (200, {(1, True)})
            assert before.isdisjoint(row["pid"] for row in rows(gateway) if row["accepting"])
        with crew(tmp_path / "config", None, **settings) as gateway:
            assert state() == {(1, True)}, "a restart of the instance keeps the pin, too"
            assert (post(gateway, "rollback?release=true")[0], state()) == (200, {(2, False)})
            source.offer(run.ROOT / "config/bundle", 3, name="yan")
            assert (post(gateway, "reload")[0], state()) == (200, {(3, False)})


@pytest.mark.heavy
def test_a_restart_that_cannot_be_leaves_the_workers_and_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    config = folder / "camguard.toml"
    with crew(folder) as gateway:
        before = [row["pid"] for row in rows(gateway)]
        written = config.read_text()
        keys = folder / "keys.json"
        good_keys = keys.read_text()
        for text, where, good in (
            (written.replace('mode = "enforce"', 'mode = "inforce"'), "enforcement/mode", good_keys),
            (re.sub('(?m)^source = "bundle"', 'source = "nowhere"', written), "nowhere", good_keys),
            (written.replace("admin_hosts = []", 'admin_hosts = ["a"]'), "gateway.admin_hosts", good_keys),
            (written, "keys.json", "{"),
        ):
            config.write_text(text)
            keys.write_text(good)
            status, document = post(gateway, "restart")
            assert (status, document["result"]) == (500, "failure")
            assert where in document["problems"][0]["where"]
            assert [row["pid"] for row in rows(gateway)] == before
        config.write_text(written)
        keys.write_text(good_keys)
        assert ask(gateway.calls) == ALLOWED
        run.eventually(lambda: any("workers are not replaced" in line for line in gateway.stderr_lines))


def test_one_process_takes_no_restart_and_survives_the_signal(tmp_path: Path) -> None:
    with run.running(tmp_path / "config") as gateway:
        assert post(gateway, "restart")[0] == 409
        gateway.process.send_signal(signal.SIGUSR2)
        run.eventually(lambda: any("gateway.workers of 2" in line for line in gateway.stderr_lines))
        assert ask(gateway.calls) == ALLOWED


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.heavy)])
def test_a_draining_instance_is_not_ready_and_still_accepts_calls(tmp_path: Path, workers: str) -> None:
    settings = {"HOSTS__HEALTH_PATH": "/healthz", "GATEWAY__WORKERS": workers}
    with run.running(tmp_path / "config", LIMITS__DRAIN_SECONDS=f"{run.PATIENCE}", **settings) as gateway:
        health = f"http://127.0.0.1:{gateway.calls}/healthz"
        run.eventually(lambda: run.fetch(health)[0] == 200)
        gateway.process.send_signal(signal.SIGTERM)
        run.eventually(lambda: ready(gateway)[0] == 503)
        run.eventually(lambda: run.fetch(health)[0] == 503)
        assert ask(gateway.calls) == ALLOWED, "a new connection is answered"
        assert ready(gateway)[1]["missing"] == ["stopping"]
        others = {row["pid"] for row in rows(gateway)} - {gateway.process.pid}
        assert gateway.stop() == -signal.SIGTERM, "a second signal ends the drain"
        for pid in others:
            os.kill(pid, signal.SIGKILL)
    with run.running(tmp_path / "config", LIMITS__DRAIN_SECONDS="0.2", **settings) as gateway:
        assert gateway.stop() == 0, "the drain ends by itself"
