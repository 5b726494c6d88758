"""A fleet: two instances behind nginx, one bundle on a third port, and what may happen to both. Real parts.

Each run prints how many calls were sent, how many failed, and how many were misjudged.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import pytest

from camguard.bundle.archive import write_archive
from camguard.bundle.load import read_content
from camguard.bundle.signature import read_sign_key
from tests.deploy.front import program
from tests.running import PATIENCE, ROOT, Gateway, eventually, fetch, free_port, running

pytestmark = pytest.mark.heavy

POLL = 0.3
LOOKS = 7  # polls, of a source that changes while it is read, until a change of it is in force
UNWRITTEN = 'camguard_policy_last_good_writes_total{result="failure"}'
CALLERS = 4
CONF = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream fleet {{ {servers} keepalive 8; }}
    server {{
        listen 127.0.0.1:{front};
        location / {{
            proxy_pass http://fleet;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host aiart.tencentcloudapi.com;
        }}
    }}
    server {{
        listen 127.0.0.1:{source};
        root {folder}/www;
        location / {{ if (-f {folder}/slow) {{ set $limit_rate 500; }} }}
    }}
}}
"""
# The instances wait for four seconds for a whole bundle, so that a slow source is no long test.
FETCH_SECONDS = 4
RUN = f"""
from camguard.bundle.fetch import fetch
fetch.__kwdefaults__["seconds"] = {FETCH_SECONDS}
from camguard.cli import run
run()
"""
HEADERS = {
    "Host": "aiart.tencentcloudapi.com",
    "Content-Type": "application/json",
    "X-TC-Action": "TextToImage",
    "X-TC-Version": "2022-12-29",
    "X-Forwarded-For": "10.1.2.3",
    "X-Camguard-Principal": "uin/100000000101",
}


class Counts(NamedTuple):
    """The outcomes of calls: allowed, refused, and those without an answer of camguard.

    last_failed: when the last of the failed calls began, on the monotonic clock; None where none failed.
    """

    allowed: int
    refused: int
    failed: int
    last_failed: float | None


class Fleet(NamedTuple):
    """What runs. front: the port of the calls. settings: those of each instance."""

    folder: Path
    instances: tuple[Gateway, Gateway]
    front: int
    settings: tuple[dict[str, str], ...] = ()

    def offer(self, serial: int, *, allows: bool = True, key: str = "bundle.key") -> bytes:
        """Offer a bundle in which alice has her policies or not, and return it. key: "" for no signature."""
        content = read_content(ROOT / "config/bundle", ROOT / "config/catalog")
        files = dict(content.files)
        people = json.loads(files["principals.json"])
        if not allows:
            people["users"]["100000000101"] = {"name": "alice"}
        people["users"]["100000000199"] = {"name": f"serial-{serial}"}  # another content for each serial
        files["principals.json"] = json.dumps(people).encode()
        sign = read_sign_key(self.folder / key) if key else None
        raw = write_archive(files, serial, key=sign)
        self.put(raw)
        return raw

    def put(self, raw: bytes) -> None:
        aside = self.folder / "aside"
        aside.write_bytes(raw)
        aside.replace(self.folder / "www/b.tar.gz")

    def revisions(self) -> list[str]:
        return [json.loads(each.get("/api/status")[1])["revision"] for each in self.instances]

    def serials(self) -> list[float]:
        return [each.metrics().get("camguard_policy_serial", 0) for each in self.instances]

    def looks(self) -> list[float]:
        """Return how often each instance has polled its source."""
        return [added_up(each, "camguard_policy_reloads_total") for each in self.instances]

    def again(self, number: int) -> contextlib.AbstractContextManager[Gateway]:
        """Start an instance that has ended, with its folders and its port."""
        return running(
            self.folder / f"instance{number}", (sys.executable, "-c", RUN), **self.settings[number]
        )


def report(run: str, counts: Counts, *, misjudged: int) -> None:
    """Write how many calls a run sent, how many of them failed, and how many were misjudged."""
    sent = counts.allowed + counts.refused + counts.failed
    sys.stderr.write(f"{run}: sent {sent}, failed {counts.failed}, misjudged {misjudged}; {counts}\n")


def ask(port: int) -> str:
    """Send one call and return `allowed`, `refused` or `failed`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", "/", b"{}", HEADERS)
        answer = connection.getresponse()
        document = json.loads(answer.read())["Response"]
    except (OSError, HTTPException, ValueError, KeyError):
        return "failed"
    finally:
        connection.close()
    return "refused" if "Error" in document else "allowed"


def added_up(instance: Gateway, family: str) -> float:
    return sum(value for name, value in instance.metrics().items() if name.startswith(family))


def serves(instance: Gateway, calls: int) -> None:
    """Wait until an instance has decided on so many calls more."""
    decided = "camguard_decisions_total"
    before = added_up(instance, decided)
    eventually(lambda: added_up(instance, decided) >= before + calls)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextlib.contextmanager
def load(port: int) -> Iterator[list[Counts]]:
    """Send calls from several threads while the context is open. The list then holds the counts."""
    ended, lock = threading.Event(), threading.Lock()
    found: Counter[str] = Counter()
    failed: list[float] = []
    counts: list[Counts] = []

    def call() -> None:
        outcomes: Counter[str] = Counter()
        while not ended.is_set():
            began = time.monotonic()
            outcome = ask(port)
            outcomes[outcome] += 1
            if outcome == "failed":
                failed.append(began)
        with lock:
            found.update(outcomes)

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        last = max(failed, default=None)
        counts.append(Counts(found["allowed"], found["refused"], found["failed"], last))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    (tmp_path / "www").mkdir()
    for name, digits in (("bundle.key", "5e"), ("other.key", "a7")):
        key = tmp_path / name
        key.write_text(digits * 32)
        key.chmod(0o600)
    front, source, *ports = (free_port() for _ in range(4))
    user = "user root;"
    servers = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
    (tmp_path / "nginx.conf").write_text(
        CONF.format(folder=tmp_path, user=user, servers=servers, front=front, source=source)
    )
    begin = Fleet(tmp_path, (None, None), front)  # type: ignore[arg-type]
    begin.offer(1)
    argv = [program(), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(argv, stderr=subprocess.DEVNULL))
        stack.callback(process.terminate)
        eventually(lambda: listens(source))
        settings = tuple(
            {
                "GATEWAY__LISTEN": f"127.0.0.1:{port}",
                "POLICY__SOURCE": f"http://127.0.0.1:{source}/b.tar.gz",
                "POLICY__VERIFY_KEY_FILE": str(tmp_path / "bundle.key"),
                "POLICY__LAST_GOOD": str(tmp_path / f"kept{number}"),
                "POLICY__POLL_SECONDS": str(POLL),
            }
            for number, port in enumerate(ports)
        )
        begin = begin._replace(settings=settings)
        one, two = (stack.enter_context(begin.again(number)) for number in (0, 1))
        yield begin._replace(instances=(one, two))


def test_a_revocation_holds_on_both_within_the_poll_interval(fleet: Fleet) -> None:
    assert {ask(each.calls) for each in fleet.instances} == {"allowed"}
    with load(fleet.front) as counts:
        fleet.offer(2, allows=False)
        before = fleet.looks()
        eventually(lambda: {ask(each.calls) for each in fleet.instances} == {"refused"})
        took = max(after - first for after, first in zip(fleet.looks(), before, strict=True))
    report(f"revocation on both after {took:g} polls", counts[0], misjudged=0)
    assert took <= LOOKS
    assert counts[0].failed == 0
    assert fleet.revisions()[0] == fleet.revisions()[1]
    assert ask(fleet.front) == "refused"


def test_a_bad_bundle_changes_nothing_and_the_source_may_be_away_or_slow(fleet: Fleet) -> None:
    good = fleet.offer(5)
    eventually(lambda: fleet.serials() == [5, 5])
    before = fleet.revisions()
    bad: dict[str, Callable[[], object]] = {
        "truncated": lambda: fleet.put(good[: len(good) // 2]),
        "an HTML page": lambda: fleet.put(b"<!doctype html><title>Sign in</title>"),
        "huge": lambda: fleet.put(bytes(65 << 20)),
        "huge once it is unpacked": lambda: fleet.put(gzip.compress(bytes(200 << 20), 1)),
        "signed by nobody": lambda: fleet.offer(6, allows=False, key=""),
        "signed by somebody else": lambda: fleet.offer(6, allows=False, key="other.key"),
        "older": lambda: fleet.offer(4, allows=False),
        "the same serial": lambda: fleet.offer(5, allows=False),
        "away": (fleet.folder / "www/b.tar.gz").unlink,
    }
    with load(fleet.front) as counts:
        for name, do in bad.items():
            do()
            for each in fleet.instances:
                status, text = each.reload()
                assert (status, json.loads(text)["result"]) == (500, "failure"), name
            assert fleet.revisions() == before, name
        (fleet.folder / "slow").touch()
        fleet.offer(6, allows=False)
        for each in fleet.instances:
            status, text = each.reload()
            assert (status, f"not answered completely within {FETCH_SECONDS} s" in text) == (500, True)
        assert fleet.revisions() == before, "a source that sends byte by byte"
        fleet.put(good)
    (fleet.folder / "slow").unlink()
    report("bad bundles, an absent source and a slow one", counts[0], misjudged=counts[0].refused)
    assert (counts[0].refused, counts[0].failed) == (0, 0)
    fleet.offer(7, allows=False)
    for each in fleet.instances:
        assert json.loads(each.reload()[1])["result"] == "success"
    assert ask(fleet.front) == "refused"


def test_an_instance_that_is_killed_loses_only_what_it_held(fleet: Fleet) -> None:
    with load(fleet.front) as counts:
        for each in fleet.instances:
            serves(each, 20)
        fleet.instances[0].process.send_signal(signal.SIGKILL)
        fleet.instances[0].process.wait(PATIENCE)
        gone = time.monotonic()
        serves(fleet.instances[1], 100)
    report("kill -9 of one of two instances under load", counts[0], misjudged=counts[0].refused)
    assert counts[0].refused == 0
    assert ask(fleet.instances[1].calls) == "allowed"
    # nginx asks the other instance about a connection that is refused, and never repeats a call it has sent.
    # The instance held calls that began before it was gone: its kernel takes connections until then.
    assert counts[0].last_failed is None or counts[0].last_failed < gone


def test_an_instance_that_starts_while_the_source_is_away_uses_its_last_good_bundle(fleet: Fleet) -> None:
    """A bundle on disk is verified again: where it was changed, the instance refuses all calls."""
    signed = fleet.offer(2)
    eventually(lambda: fleet.serials() == [2, 2])
    (fleet.folder / "www/b.tar.gz").unlink()
    before = fleet.revisions()
    with load(fleet.front) as counts:
        fleet.instances[0].stop()
        with fleet.again(0) as one:
            assert (ask(one.calls), one.metrics()["camguard_policy_from_disk"]) == ("allowed", 1)
            assert json.loads(one.get("/api/status")[1])["revision"] == before[0]
            fleet.put(signed)
            eventually(lambda: "camguard_policy_from_disk" not in one.metrics())
    report("restart of an instance while the source is away", counts[0], misjudged=counts[0].refused)
    assert counts[0].refused == 0
    fleet.instances[1].stop()
    (kept,) = (fleet.folder / "kept1").glob("2-*.tar.gz")
    kept.write_bytes(fleet.offer(2, key="other.key"))
    (fleet.folder / "www/b.tar.gz").unlink()
    with fleet.again(1) as two:
        assert ask(two.calls) == "refused"
        fleet.put(signed)
        eventually(lambda: ask(two.calls) == "allowed")


@pytest.fixture
def small_disks(tmp_path: Path) -> Iterator[None]:
    """Give each instance a disk of its own for its bundles, of 256 KiB."""
    mounted: list[Path] = []
    try:
        for number in (0, 1):
            folder = tmp_path / f"kept{number}"
            folder.mkdir()
            argv = [str(shutil.which("mount")), "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
            if subprocess.run(argv, check=False, capture_output=True).returncode:
                pytest.skip("only root may mount a disk")
            mounted.append(folder)
        yield
    finally:
        for folder in mounted:
            subprocess.run([str(shutil.which("umount")), str(folder)], check=True)


def fill(folder: Path) -> None:
    """Write until the disk is full."""
    assert folder.is_mount(), "only a small disk of its own may be filled"
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(1 << 12)):
            pass


def test_instances_restart_one_after_the_other_without_a_failed_call(fleet: Fleet) -> None:
    with contextlib.ExitStack() as successors, load(fleet.front) as counts:
        for number, instance in enumerate(fleet.instances):
            serves(instance, 20)
            assert instance.stop() == 0
            serves(successors.enter_context(fleet.again(number)), 20)
    report("two instances behind nginx restarted one after the other", counts[0], misjudged=0)
    assert (counts[0].refused, counts[0].failed) == (0, 0)


@pytest.mark.usefixtures("small_disks")
def test_a_full_disk_stops_no_activation(fleet: Fleet) -> None:
    with load(fleet.front) as counts:
        for number in (0, 1):
            fill(fleet.folder / f"kept{number}")
        fleet.offer(2)
        for each in fleet.instances:
            status, text = each.reload()
            document = json.loads(text)
            assert (status, document["source"]["serial"]) == (200, 2)
        eventually(lambda: all(each.metrics().get(UNWRITTEN, 0) for each in fleet.instances))
        fleet.offer(1, allows=False)
        assert {each.reload()[0] for each in fleet.instances} == {500}, "the order is kept in memory"
        fleet.offer(3)
        for number, each in enumerate(fleet.instances):
            (fleet.folder / f"kept{number}" / "filler").unlink()
            assert json.loads(each.reload()[1])["source"]["serial"] == 3
    report("disk full at the folder of the last good bundle", counts[0], misjudged=counts[0].refused)
    assert (counts[0].refused, counts[0].failed) == (0, 0)
    for number in (0, 1):  # what was missing is written once there is space
        eventually(lambda folder=fleet.folder / f"kept{number}": any(folder.glob("3-*.tar.gz")))  # type: ignore[misc]


def test_a_folder_that_cannot_be_written_stops_no_activation(fleet: Fleet) -> None:
    for number in (0, 1):
        state = fleet.folder / f"kept{number}" / "lock"
        state.unlink()
        state.mkdir()  # the lock cannot be taken, so that every write fails
    fleet.offer(2, allows=False)
    for each in fleet.instances:
        status, text = each.reload()
        document = json.loads(text)
        assert (status, document["source"]["serial"]) == (200, 2)
        assert "cannot be kept" in json.dumps(document["warnings"])
        assert document["source"]["writes"]["failure"] >= 1
    assert {ask(each.calls) for each in fleet.instances} == {"refused"}


def test_rollback_on_the_admin_listener_pins_and_releases(fleet: Fleet) -> None:
    fleet.offer(2, allows=False)
    one = fleet.instances[0]
    one.reload()
    assert ask(one.calls) == "refused"
    for path, answer in (("rollback", "allowed"), ("rollback?release=true", "refused")):
        status, text = fetch(f"http://127.0.0.1:{one.admin}/-/{path}", b"")
        assert (status, json.loads(text)["source"]["pinned"]) == (200, answer == "allowed")
        assert ask(one.calls) == answer
