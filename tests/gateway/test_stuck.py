"""Pipes without a reader and files that hang stop neither the calls nor the end of the process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from camguard.cli import main
from tests import running as run
from tests.gateway.test_serve import ALLOWED, QUICK, ask

PIPE_BYTES = 65_536
END_SECONDS = 25.0  # less than `limits.shutdown_seconds`, and than a thread of the test hangs

# A gateway whose reads of a folder hang as soon as the file named by HANG is there: a dead network share.
HANGING = """
import os, time
from camguard.bundle import load
real = load.read_folder
def read_folder(files, most):
    while os.path.exists(os.environ["HANG"]):
        open(os.environ["HANG"] + "s", "w").close()
        time.sleep(0.05)
    return real(files, most)
load.read_folder = read_folder
from camguard.cli import run
run()
"""
# A gateway that leaves a thread behind which Python waits for: a name that is being resolved, for example.
LEAVING = """
import threading, time
from camguard.gateway import run, workers
run.LAST_SECONDS = 0.5
threading.Thread(target=time.sleep, args=(60,)).start()
from camguard.cli import run
run()
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as `camguard init` writes it."""
    folder = tmp_path_factory.mktemp("company") / "config"
    assert main(["init", str(folder)]) == 0
    return folder


class Unread(NamedTuple):
    """A gateway whose stdout and stderr are not read any more."""

    process: subprocess.Popen[bytes]
    calls: int
    admin: int


@contextmanager
def unread(folder: Path, **overrides: str) -> Iterator[Unread]:
    """Start a gateway, read its stderr up to the ports and never again."""
    process = subprocess.Popen(
        [*run.RUN, "serve", "--config", str(folder / "camguard.toml")],
        env=run.environment({"DECISION_LOG__PATH": "-", **QUICK, **overrides}),
        cwd=run.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    ports: dict[str, int] = {}
    while len(ports) < 2:
        line = process.stderr.readline()
        assert line, "the gateway did not start"
        if found := run.ADDRESS.match(line.decode()):
            ports[found[1]] = int(found[2])
    try:
        yield Unread(process, ports["calls"], ports["admin"])
    finally:
        process.kill()
        process.wait(run.PATIENCE)
        process.stderr.close()
        process.stdout.close()


def faulty_policy(number: int) -> str:
    """Return a policy with half a megabyte of problems."""
    unknown = {f"unknown-{number}-{i}-{'x' * 4000}": 1 for i in range(60)}
    document = {"version": "2.0", "statement": [], **unknown}
    return json.dumps(document)


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.heavy)])
def test_pipes_without_a_reader_stop_neither_calls_nor_the_end(company: Path, workers: str) -> None:
    faulty = company / "bundle" / "policies" / "faulty.json"
    with unread(company, GATEWAY__WORKERS=workers) as gateway:
        run.eventually(lambda: len(accepting(gateway.admin)) == int(workers))
        for number in range(2):  # each failure is more than the pipe of stderr takes
            faulty.write_text(faulty_policy(number))
            assert run.fetch(f"http://127.0.0.1:{gateway.admin}/-/reload", b"")[0] == 500
        faulty.unlink()
        for _ in range(400):  # more lines than the pipe of stdout takes
            assert ask(gateway.calls) == ALLOWED
        run.eventually(lambda: run.fetch(f"http://127.0.0.1:{gateway.admin}/-/reload", b"")[0] == 200)
        assert ask(gateway.calls) == ALLOWED
        assert gateway.process.poll() is None
        gateway.process.terminate()
        assert gateway.process.wait(run.PATIENCE) == 0
        assert gateway.process.stdout is not None
        assert gateway.process.stderr is not None
        assert len(gateway.process.stdout.read()) > PIPE_BYTES // 2, "the pipe of stdout was not full"
        assert len(gateway.process.stderr.read()) > PIPE_BYTES // 2, "the pipe of stderr was not full"


@pytest.mark.heavy
def test_a_stderr_that_is_read_again_shows_how_much_was_lost(company: Path) -> None:
    faulty = company / "bundle" / "policies" / "faulty.json"
    lines = ""
    with unread(company) as gateway:
        for number in range(20):
            faulty.write_text(faulty_policy(number))
            assert run.fetch(f"http://127.0.0.1:{gateway.admin}/-/reload", b"")[0] == 500
        faulty.unlink()
        shown = run.fetch(f"http://127.0.0.1:{gateway.admin}/metrics")[1]
        lost = next(
            line for line in shown.splitlines() if line.startswith("camguard_stderr_lost_lines_total")
        )
        assert float(lost.split()[1]) > 0
        assert gateway.process.stderr is not None
        while " were lost" not in lines:
            lines = gateway.process.stderr.readline().decode()
        assert " level=warning " in lines


@pytest.mark.parametrize(
    "reloading",
    [
        pytest.param(False, marks=pytest.mark.heavy, id="the poll hangs"),
        pytest.param(True, id="the poll and a reload hang"),
    ],
)
def test_files_that_hang_stop_neither_calls_nor_the_end(
    company: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, reloading: bool
) -> None:
    hang = tmp_path / "hang"
    monkeypatch.setenv("HANG", str(hang))
    monkeypatch.setattr(run, "RUN", (sys.executable, "-c", HANGING))
    with ExitStack() as stack, run.running(company, **QUICK) as gateway:
        hang.touch()
        run.eventually(hang.with_name("hangs").exists)
        if reloading:  # never answered; its bytes are there before those of the requests below
            reload = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.admin)))
            reload.sendall(b"POST /-/reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
        assert ask(gateway.calls) == ALLOWED
        assert gateway.get("/api/status")[0] == 200
        assert gateway.get("/metrics")[0] == 200
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(run.PATIENCE) == 0
        assert time.monotonic() - began < END_SECONDS
    hang.unlink()


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.heavy)])
def test_whatever_hangs_the_process_ends_after_its_deadline(
    company: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    leaving = LEAVING.replace("run.LAST_SECONDS", "workers.LAST_SECONDS = run.LAST_SECONDS")
    monkeypatch.setattr(run, "RUN", (sys.executable, "-c", leaving))
    with run.running(company, GATEWAY__WORKERS=workers, LIMITS__SHUTDOWN_SECONDS="1.0") as gateway:
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(run.PATIENCE) == 1
        assert time.monotonic() - began < END_SECONDS


def accepting(admin: int) -> set[int]:
    """Return the process ids of the workers that accept calls."""
    return {
        each["pid"]
        for each in json.loads(run.fetch(f"http://127.0.0.1:{admin}/api/status")[1])["workers"]
        if each["accepting"]
    }


def test_status_shows_the_running_settings_and_that_the_file_has_changed(company: Path) -> None:
    config = company / "camguard.toml"
    written = config.read_text()
    with run.running(company) as gateway:
        before = json.loads(gateway.get("/api/status")[1])
        mine = {
            "pid": gateway.process.pid,
            "accepting": True,
            "settings_digest": before["settings_digest"],
            "revision": before["revision"],
            "serial": None,
            "pinned": False,
            "missing": [],
            "failing": [],
            "silent": False,
        }
        assert (before["settings_file"], before["workers"]) == ("unchanged", [mine])
        config.write_text(written.replace('mode = "enforce"', 'mode = "shadow"'))
        after = json.loads(gateway.get("/api/status")[1])
        config.write_text(written)
        assert after == {**before, "settings_file": "changed"}


def shadow(config: Path) -> None:
    config.write_text(config.read_text().replace('mode = "enforce"', 'mode = "shadow"'))


def test_a_replaced_worker_runs_by_the_settings_of_the_start(company: Path) -> None:
    config = company / "camguard.toml"
    written = config.read_text()
    denied = {"X-TC-Action": "SetPayMode"}
    refusal = "AuthFailure.UnauthorizedOperation"
    with run.running(company, GATEWAY__WORKERS="2", **QUICK) as gateway:
        run.eventually(lambda: len(accepting(gateway.admin)) == 2)
        for happens, state in ((shadow, "changed"), (Path.unlink, "unreadable")):
            config.write_text(written)
            happens(config)
            killed = min(accepting(gateway.admin))
            os.kill(killed, signal.SIGKILL)
            run.eventually(lambda killed=killed: len(accepting(gateway.admin) - {killed}) == 2)  # type: ignore[misc]
            status = json.loads(gateway.get("/api/status")[1])
            assert status["settings_file"] == state
            assert {each["settings_digest"] for each in status["workers"]} == {status["settings_digest"]}
            assert {ask(gateway.calls, **denied) for _ in range(20)} == {refusal}
            assert ask(gateway.calls) == ALLOWED
        config.write_text(written)
        assert gateway.stop() == 0
