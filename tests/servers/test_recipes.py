"""The README's blocks about an application beside its metrics, under each server that they name."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.readme import block
from tests.running import PATIENCE, camguard, free_port
from tests.servers.serving import Lines, ask_http1, spell

LINES: Lines = (
    ("host", "aiart.tencentcloudapi.com"),
    ("content-type", "application/json"),
    ("x-tc-action", "TextToImage"),
    ("x-tc-version", "2022-12-29"),
    ("x-camguard-principal", "100000000101"),
    ("x-forwarded-for", "10.1.2.3"),
    ("content-length", "2"),
)
PORT_OPTIONS = {
    "uvicorn": ("--port", "{port}"),
    "gunicorn": ("-b", "127.0.0.1:{port}"),
    "hypercorn": ("-b", "127.0.0.1:{port}"),
    "granian": ("--port", "{port}"),
}
SERVED = block("sh", "granian").splitlines()
WORKERS = block("sh", "PROMETHEUS_MULTIPROC_DIR")
APPLICATION = block("python", "admin_app")
WRAPPED = block("python", "Starlette(")
AROUND = WRAPPED + block("python", "guarded.around")
# Starlette makes this middleware when the lifespan or the first request comes.
LATE = WRAPPED + 'calls.add_middleware(CamguardMiddleware, config="config/camguard.toml")\napp = calls\n'
LATE = LATE.replace('app = CamguardMiddleware(calls, config="config/camguard.toml")\n', "")


# uvicorn in every run, the others in CI only, because each starts a process or more.
EACH = [
    pytest.param(line, id=line.split()[0], marks=() if line.startswith("uvicorn") else pytest.mark.heavy)
    for line in SERVED
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with main.py and config/, as the README describes it."""
    camguard("init", str(tmp_path / "config")).check_returncode()
    (tmp_path / "main.py").write_text(APPLICATION)
    return tmp_path


def started(folder: Path, line: str, *options: str, **environ: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server by a line of the README; return the process and the port."""
    port = free_port()
    words = shlex.split(line)
    listening = [each.format(port=port) for each in PORT_OPTIONS[words[0]]]
    binary = shutil.which(words[0], path=str(Path(sys.executable).parent))
    assert binary is not None
    overrides = {"CAMGUARD_DECISION_LOG__PATH": "", "CAMGUARD_POLICY__POLL_SECONDS": "0.1", **environ}
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [binary, *words[1:], *listening, *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), **overrides},
            stdout=output,
            stderr=output,
        )
    return process, port


@contextlib.contextmanager
def serving(folder: Path, line: str, *options: str, **environ: str) -> Iterator[int]:
    """Serve main.py by a line of the README; yield the port."""
    process, port = started(folder, line, *options, **environ)
    try:
        until(lambda: reachable(port), folder, PATIENCE)
        yield port
    finally:
        ended(process)


def ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE)


def until(true: Callable[[], object], folder: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, (folder / "output").read_text()
        time.sleep(0.05)


def reachable(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Ask as a load balancer does: by the address of this machine."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def allowed(port: int) -> float:
    """Return how many calls `/metrics` counts as allowed."""
    rows = re.findall(
        r'^camguard_decisions_total\{.*reason="allowed".*\} (\S+)$', get(port, "/metrics")[1], re.MULTILINE
    )
    return sum(map(float, rows))


@pytest.mark.parametrize("line", EACH)
def test_t136_a_recipe_serves_calls_health_and_metrics_and_polls_from_the_start(
    folder: Path, line: str
) -> None:
    with serving(folder, line, CAMGUARD_HOSTS__HEALTH_PATH="/lb") as port:
        bundle = folder / "config/bundle"
        (bundle / "principals.json").rename(bundle / "kept")
        until(lambda: "0.0" in successful(port), folder, PATIENCE)  # no client has sent a call yet
        (bundle / "kept").rename(bundle / "principals.json")
        until(lambda: "1.0" in successful(port), folder, PATIENCE)
        assert [get(port, path)[0] for path in ("/healthz", "/lb")] == [200, 200]
        assert get(port, "/lb", "HEAD") == (200, "")
        assert "Error" in get(port, "/lb?x=1")[1]
        assert b"aiart-create#0" in ask_http1(port, spell(*LINES) + b"{}")
        assert b"UnauthorizedOperation" in ask_http1(port, spell(*LINES[:-2], LINES[-1]) + b"{}")
        assert "Error" in get(port, "/docs")[1]
        assert allowed(port) == 1


def successful(port: int) -> str:
    return next(
        line
        for line in get(port, "/metrics")[1].splitlines()
        if line.startswith("camguard_policy_last_reload_successful")
    )


@pytest.mark.parametrize("line", EACH)
def test_t136_no_server_is_ready_without_a_bundle(folder: Path, line: str) -> None:
    (folder / "config/bundle/principals.json").write_text("{")
    with serving(folder, line, CAMGUARD_HOSTS__HEALTH_PATH="/lb") as port:
        assert [get(port, path)[0] for path in ("/healthz", "/lb")] == [503, 503]


@pytest.mark.heavy
def test_workers_add_up_their_numbers(folder: Path) -> None:
    line = WORKERS.strip().partition(") ")[2]  # behind the variable, which the test sets
    shared = folder / "metrics"
    shared.mkdir()
    with serving(folder, line, PROMETHEUS_MULTIPROC_DIR=str(shared)) as port:
        for _ in range(20):
            assert b"aiart-create#0" in ask_http1(port, spell(*LINES) + b"{}")
        until(lambda: allowed(port) == 20, folder, PATIENCE)


LIFESPANS = [
    *(
        pytest.param(
            SERVED[0],
            ("--lifespan", mode),
            id=f"uvicorn, lifespan {mode}",
            marks=() if mode == "off" else pytest.mark.heavy,  # without lifespans it is hardest
        )
        for mode in ("on", "off", "auto")
    ),
    *(pytest.param(line, (), id=line.split()[0], marks=pytest.mark.heavy) for line in SERVED[1:]),
]
WRONG = [
    pytest.param({"CAMGUARD_IDENTITY__MODE": "non"}, "IDENTITY__MODE", id="a wrong setting"),
    pytest.param({"CAMGUARD_IDENTITY__KEYS_FILE": "/nowhere"}, "/nowhere", id="no keys"),
]


@pytest.mark.parametrize(("environ", "named"), WRONG)
@pytest.mark.parametrize(("line", "options"), LIFESPANS)
@pytest.mark.parametrize(
    "application",
    [
        pytest.param(APPLICATION, id="beside", marks=pytest.mark.heavy),
        pytest.param(AROUND, id="around", marks=pytest.mark.heavy),
        pytest.param(WRAPPED, id="wrapped"),
    ],
)
def test_wrong_settings_stop_a_server_whatever_it_makes_of_lifespans(
    folder: Path, application: str, line: str, options: tuple[str, ...], environ: dict[str, str], named: str
) -> None:
    (folder / "main.py").write_text(application)
    process, port = started(folder, line, *options, **environ)
    try:
        code = process.wait(PATIENCE)
        assert code != 0 or line.startswith("hypercorn"), "only hypercorn ends with 0 when its worker fails"
        assert named in (folder / "output").read_text()
        assert not reachable(port)
    finally:
        ended(process)


# The defaults of a server, and uvicorn without lifespans.
SERVES_ON = [
    pytest.param(SERVED[0], (), id="uvicorn"),
    pytest.param(SERVED[0], ("--lifespan", "off"), id="uvicorn, lifespan off", marks=pytest.mark.heavy),
    *(pytest.param(line, (), id=line.split()[0], marks=pytest.mark.heavy) for line in SERVED[1:]),
]


@pytest.mark.parametrize(("line", "options"), SERVES_ON)
def test_a_middleware_that_is_made_late_fails_every_request_and_the_log_names_the_cause(
    folder: Path, line: str, options: tuple[str, ...]
) -> None:
    (folder / "main.py").write_text(LATE)
    with serving(folder, line, *options, CAMGUARD_IDENTITY__MODE="non") as port:
        cause = "camguard judges no calls: CAMGUARD_IDENTITY__MODE: 'non' is not"
        if "off" not in options:
            until(lambda: cause in (folder / "output").read_text(), folder, PATIENCE)
        for _ in range(3):
            assert get(port, "/")[0] == 500
        assert b"aiart" not in ask_http1(port, spell(*LINES) + b"{}")
        assert cause in (folder / "output").read_text()


@pytest.mark.heavy
def test_a_middleware_that_is_made_late_stops_uvicorn_where_lifespans_are_required(folder: Path) -> None:
    (folder / "main.py").write_text(LATE)
    process, _ = started(folder, SERVED[0], "--lifespan", "on", CAMGUARD_IDENTITY__MODE="non")
    try:
        assert process.wait(PATIENCE) != 0
        assert "IDENTITY__MODE" in (folder / "output").read_text()
    finally:
        ended(process)


@pytest.mark.heavy
@pytest.mark.parametrize("line", EACH)
def test_around_serves_calls(folder: Path, line: str) -> None:
    (folder / "main.py").write_text(AROUND)
    with serving(folder, line) as port:
        assert b"aiart-create#0" in ask_http1(port, spell(*LINES) + b"{}")
