"""The systemd unit: what systemd says of it, and a gateway under those restrictions that can be made here."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.front import DEPLOY, replaced
from tests.running import PATIENCE, RUN, camguard, environment, fetch

UNIT = DEPLOY / "systemd" / "camguard.service"
PROGRAM = "/opt/camguard/bin/camguard"
# What the unit leaves open, and why. Every other restriction that systemd knows is in force.
LEFT_OPEN = {
    "RootDirectoryOrRootImage": "the installation is in the file system of the machine",
    "RestrictAddressFamilies_AF_UNIX": "the socket of systemd's notifications",
    "RestrictAddressFamilies_AF_INET_INET6": "it is a gateway",
    "PrivateNetwork": "it is a gateway",
    "DeviceAllow": "ProtectClock adds the clock, read-only",
    "IPAddressDeny": "where callers and upstream are is known to the operator only",
}


def directives() -> dict[str, list[str]]:
    """Return the values of each directive of the unit."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def tool(name: str) -> str:
    """Return the path of a program of systemd, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return a copy of the unit whose program exists here."""
    copy = tmp_path / UNIT.name
    copy.write_text(replaced(UNIT.read_text(encoding="utf-8"), {PROGRAM: sys.executable}))
    return copy


def test_systemd_finds_nothing_wrong(unit: Path) -> None:
    argv = [tool("systemd-analyze"), "verify", "--man=no", str(unit)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHoem="))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "'ProtectHoem'" in done.stderr, "the check can fail"


def test_systemd_counts_the_unit_as_hardened(unit: Path) -> None:
    argv = [tool("systemd-analyze"), "security", "--offline=yes", "--threshold=15", str(unit)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:]
    rows = json.loads(subprocess.check_output([*argv[:-2], "--json=short", str(unit)]))
    opened = {row["json_field"] for row in rows if not row["set"] and float(row["exposure"] or 0) > 0}
    assert opened <= set(LEFT_OPEN)


def test_systemd_sysusers_makes_the_user_of_the_unit(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    source = str(DEPLOY / "systemd" / "camguard.sysusers.conf")
    argv = [tool("systemd-sysusers"), f"--root={tmp_path}", source]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode and "Operation not permitted" in done.stderr:
        pytest.skip("only root makes users, in another root folder, too")
    assert done.returncode == 0, done.stderr
    (name, *_, home, shell) = (tmp_path / "etc/passwd").read_text().strip().split(":")
    assert [name] == directives()["User"] == directives()["Group"]
    assert (home, shell) == ("/nonexistent", "/usr/sbin/nologin")


def test_the_unit_waits_as_long_as_the_gateway_may_take(repository: Path) -> None:
    found = directives()
    assert found["Type"] == ["notify"]
    assert found["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    settings = (repository / "config/camguard.toml").read_text(encoding="utf-8")
    seconds = re.search(r"^shutdown_seconds = ([\d.]+)", settings, re.MULTILINE)
    assert seconds is not None
    assert int(found["TimeoutStopSec"][0]) > float(seconds[1]) + 10


# prctl(2): PR_SET_MDWE with PR_MDWE_REFUSE_EXEC_GAIN denies what MemoryDenyWriteExecute=yes
# denies, from Linux 6.3 on.
WITHOUT_EXECUTABLE_MEMORY = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit(77)
os.umask(0o077)
program = "from camguard.cli import run; run()"
os.execv(sys.executable, [sys.executable, "-c", program, *sys.argv[1:]])
"""


@pytest.mark.heavy
def test_the_gateway_needs_no_memory_that_is_written_and_executed(tmp_path: Path) -> None:
    folder = tmp_path / "camguard"
    begin = [sys.executable, "-c", WITHOUT_EXECUTABLE_MEMORY]
    done = subprocess.run([*begin, "init", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("this kernel does not know PR_SET_MDWE")
    assert done.returncode == 0, done.stderr
    argv = [*begin, "serve", "--config", str(folder / "camguard.toml")]
    with subprocess.Popen(argv, env=environment({}), stderr=subprocess.PIPE, text=True) as gateway:
        assert gateway.stderr is not None
        lines = []
        for line in gateway.stderr:
            lines.append(line)
            if line.startswith("  admin "):  # it serves, and has set its handlers of signals
                gateway.terminate()
        assert gateway.wait(PATIENCE) == 0, lines
    assert lines[-1] == "camguard has finished what was in flight\n"


def system_calls(group: str) -> set[str]:
    """Return the system calls of a group of systemd, with those of the groups in it."""
    lines = subprocess.check_output([tool("systemd-analyze"), "syscall-filter", group], text=True).split("\n")
    names = {line.strip() for line in lines[1:] if line.strip() and "#" not in line}
    return {call for name in names for call in (system_calls(name) if name[0] == "@" else {name})}


@pytest.mark.heavy
def test_the_gateway_makes_only_system_calls_that_the_unit_allows(
    tmp_path: Path, free_ports: tuple[int, int]
) -> None:
    allowed, denied = directives()["SystemCallFilter"]
    assert denied[0] == "~"
    permitted = {call for group in allowed.split() for call in system_calls(group)}
    permitted -= {call for group in denied[1:].split() for call in system_calls(group)}
    folder, trace = tmp_path / "camguard", tmp_path / "trace"
    camguard("init", str(folder)).check_returncode()
    calls, admin = free_ports
    overrides = {
        "GATEWAY__LISTEN": f"127.0.0.1:{calls}",
        "GATEWAY__ADMIN": f"127.0.0.1:{admin}",
        "GATEWAY__WORKERS": "2",
        "DECISION_LOG__PATH": str(tmp_path / "decisions.jsonl"),
    }
    argv = [tool("strace"), "-f", "-qq", "-o", str(trace), sys.executable, "-c", RUN[-1], "serve"]
    argv += ["--config", str(folder / "camguard.toml")]
    with subprocess.Popen(argv, env=environment(overrides), stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        children = Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children")
        for line in tracer.stderr:
            if line.startswith("  admin "):
                status, body = fetch(f"http://127.0.0.1:{calls}/", b"{}")
                assert (status, "Error" in body) == (200, True)
                assert fetch(f"http://127.0.0.1:{admin}/-/reload", b"")[0] == 200
                assert fetch(f"http://127.0.0.1:{admin}/metrics")[0] == 200
                os.kill(int(children.read_text().split()[0]), signal.SIGTERM)
        assert tracer.wait(PATIENCE) == 0
    made = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z]\w+)(?:\(| resumed)", trace.read_text(), re.MULTILINE))
    assert {"execve", "accept4", "listen"} <= made
    assert made - permitted == set()
