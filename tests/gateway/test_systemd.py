"""What systemd receives from a gateway: ready, reloading, stopping; and nothing where it did not start it."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from camguard.bundle import ReloadOutcome
from camguard.gateway.systemd import announced, notifier, reloading, silent
from tests.running import PATIENCE, running

CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the socket on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(PATIENCE)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        yield receiver


def received(systemd: socket.socket) -> tuple[str, int]:
    """Return the next notification, and the id of the process that sent it."""
    state, ancillary, _, _ = systemd.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))
    return state.decode(), CREDENTIALS.unpack(ancillary[0][2])[0]


def test_a_state_reaches_the_socket_and_the_variable_is_gone(systemd: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": systemd.getsockname(), "HOME": "/root"}
    notify = notifier(environ)
    assert environ == {"HOME": "/root"}
    notify("READY=1")
    assert received(systemd)[0] == "READY=1"


def test_an_abstract_socket_is_one_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("")  # the kernel chooses an abstract name
        receiver.settimeout(PATIENCE)
        notifier({"NOTIFY_SOCKET": "@" + receiver.getsockname()[1:].decode()})("READY=1")
        assert receiver.recv(64) == b"READY=1"


@pytest.mark.parametrize(
    ("environ", "logged"),
    [
        pytest.param({}, "", id="without systemd"),
        pytest.param({"NOTIFY_SOCKET": ""}, "", id="an empty address"),
        pytest.param({"NOTIFY_SOCKET": "vsock:2:1"}, "neither a path nor", id="another kind of address"),
    ],
)
def test_nothing_is_sent(environ: dict[str, str], logged: str, caplog: pytest.LogCaptureFixture) -> None:
    assert notifier(environ) is silent
    assert logged in caplog.text
    assert bool(caplog.text) == bool(logged)


def test_a_socket_that_is_gone_is_logged_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})(reloading())
    assert "systemd cannot be notified of RELOADING=1: " in caplog.text


def test_signals_during_a_poll_make_one_more_poll() -> None:
    sent: list[str] = []
    sent_before_poll: list[int] = []
    release = threading.Event()

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        polling, ended = asyncio.Event(), asyncio.Event()

        def poll() -> ReloadOutcome:  # in a thread
            sent_before_poll.append(len(sent))
            loop.call_soon_threadsafe(polling.set)
            release.wait(PATIENCE)
            return ReloadOutcome("success", 0.0, "", (), None)

        def notify(state: str) -> None:
            sent.append(state)
            if state.startswith("READY"):
                ended.set()

        reload = announced(poll, notify)
        reload()
        await polling.wait()
        for _ in range(50):
            reload()
        release.set()
        await ended.wait()

    asyncio.run(asyncio.wait_for(scene(), PATIENCE))
    assert sent_before_poll == [1, 1], "both polls are made between the two notifications"
    assert sent[0].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert sent[1:] == ["READY=1\nSTATUS=last reload: success"]


WORKERS = [
    pytest.param("1", id="one process"),
    pytest.param("2", id="two workers", marks=pytest.mark.heavy),
]


@pytest.mark.parametrize("workers", WORKERS)
def test_a_gateway_notifies_from_its_start_to_its_end(
    systemd: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    with running(tmp_path / "config", GATEWAY__WORKERS=workers) as gateway:
        states = [received(systemd)]
        assert gateway.get("/-/ready")[0] == 200, "it is ready when it says so"
        (tmp_path / "config/bundle/policies/aiart-full.json").write_text("{")
        gateway.process.send_signal(signal.SIGHUP)
        states += [received(systemd), received(systemd)]
        assert gateway.stop() == 0
        states.append(received(systemd))
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(4096)
    assert {pid for _, pid in states} == {gateway.process.pid}, "no worker notifies"
    texts = [text.split("\nMONOTONIC_USEC=")[0] for text, _ in states]
    assert texts == ["READY=1", "RELOADING=1", "READY=1\nSTATUS=last reload: failure", "STOPPING=1"]
