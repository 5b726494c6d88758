"""`camguard serve` as a process: edits, breakage, signals, workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main
from tests.running import (
    ANY_PORT,
    BREAKAGES,
    FAILED,
    PATIENCE,
    SUCCESSFUL,
    Gateway,
    eventually,
    fetch,
    link_bundle,
    put_broken_bundle,
    put_bundle,
    running,
)

OFFICE = "10.1.2.3"
CALL = {
    "Host": "aiart.tencentcloudapi.com",
    "Content-Type": "application/json",
    "X-TC-Action": "TextToImage",
    "X-TC-Version": "2022-12-29",
    "X-Camguard-Principal": "uin/100000000101",
    "X-Forwarded-For": OFFICE,
}
ALLOWED = "allowed"
QUICK = {"POLICY__POLL_SECONDS": "0.2"}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as `camguard init` writes it, for copies."""
    folder = tmp_path_factory.mktemp("company") / "config"
    assert main(["init", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(company: Path, tmp_path: Path) -> Path:
    """Return a folder of the test's own."""
    return shutil.copytree(company, tmp_path / "config")


def outcome(connection: HTTPConnection, **headers: str) -> str:
    """Send one call; return `allowed`, or the code of the refusal."""
    connection.request("POST", "/", b"{}", CALL | headers)
    answer = connection.getresponse()
    printed = json.loads(answer.read())["Response"]
    assert answer.status == 200
    code: str = printed["Error"]["Code"] if "Error" in printed else ALLOWED
    return code


def ask(port: int, **headers: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        return outcome(connection, **headers)
    finally:
        connection.close()


class Load:
    """Callers that never rest. outcomes: how often each; failures: requests without an answer."""

    def __init__(self, port: int, callers: int = 4) -> None:
        self.port = port
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []
        self._ending = threading.Event()
        self._callers = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]

    def _call(self) -> None:
        while not self._ending.is_set():
            try:
                connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                connection.connect()
            except OSError:  # the gateway has stopped listening: that is no failed request
                return
            try:
                while not self._ending.is_set() and connection.sock is not None:
                    self.outcomes[outcome(connection)] += 1
            except (OSError, HTTPException) as error:
                self.failures.append(repr(error))
            finally:
                connection.close()

    def __enter__(self) -> Load:  # noqa: PYI034
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for caller in self._callers:
            caller.join(PATIENCE)


def closed(port: int) -> bool:
    """Return whether nothing listens any more."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def move_the_office(folder: Path) -> None:
    """Edit the policy that lets alice draw from the office: the office is elsewhere now."""
    policy = folder / "bundle" / "policies" / "aiart-create.json"
    policy.write_text(policy.read_text().replace("10.1.0.0/16", "10.77.0.0/16"))


def records(log: Path) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, log.read_text().splitlines())


def test_an_edit_under_load_changes_decisions_at_once_and_for_all(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    with running(folder, DECISION_LOG__PATH=str(log)) as gateway:
        with Load(gateway.calls) as load:
            eventually(lambda: load.outcomes[ALLOWED] > 50)
            move_the_office(folder)
            eventually(lambda: load.outcomes["AuthFailure.UnauthorizedOperation"] > 50)
            assert gateway.metrics()['camguard_policy_reloads_total{result="success"}'] == 2, (
                "the start, the edit"
            )
        assert gateway.stop() == 0
    assert load.failures == []
    by_revision: dict[str, set[str]] = {}
    for record in records(log):
        by_revision.setdefault(record["revision"], set()).add(record["decision"])
    assert sorted(map(tuple, by_revision.values())) == [("allow",), ("deny",)], "judged by a mixture"
    assert sum(1 for _ in records(log)) == load.outcomes.total()


def test_breaking_the_bundle_changes_nothing_but_log_and_metrics(folder: Path) -> None:
    good = link_bundle(folder)
    with running(folder, **QUICK) as gateway, Load(gateway.calls, callers=2) as load:
        for break_it in BREAKAGES.values():
            put_broken_bundle(folder, good, break_it)
            eventually(lambda: SUCCESSFUL not in gateway.metrics())
            assert gateway.metrics()[FAILED] > 0
            put_bundle(folder, good)
            eventually(lambda: SUCCESSFUL in gateway.metrics())
    assert set(load.outcomes) == {ALLOWED}
    assert load.failures == []
    assert sum("stays" in line for line in gateway.stderr_lines) >= len(BREAKAGES)


def test_a_bundle_broken_at_the_start_leaves_the_gateway_up_and_refusing(company: Path, folder: Path) -> None:
    policy = folder / "bundle" / "policies" / "aiart-create.json"
    policy.write_text("{")
    with running(folder, **QUICK) as gateway:
        assert ask(gateway.calls) == "ServiceUnavailable"
        assert gateway.get("/-/healthy")[0] == 200
        assert gateway.get("/-/ready") == (503, '{"ready":false,"missing":["bundle"],"failing":["bundle"]}')
        status, body = gateway.reload()
        assert (status, json.loads(body)["result"]) == (500, "failure")
        assert "aiart-create.json" in body
        shutil.copyfile(company / "bundle" / "policies" / "aiart-create.json", policy)
        eventually(lambda: gateway.get("/-/ready")[0] == 200)
        assert ask(gateway.calls) == ALLOWED


def test_a_requested_reload_is_done_when_it_is_answered(folder: Path) -> None:
    with running(folder, POLICY__POLL_SECONDS="3600.0") as gateway:
        assert ask(gateway.calls) == ALLOWED
        move_the_office(folder)
        assert ask(gateway.calls) == ALLOWED
        assert json.loads(gateway.reload()[1])["result"] == "success"
        assert ask(gateway.calls) != ALLOWED


@pytest.mark.heavy
def test_sighup_reloads_policies_and_keys(folder: Path) -> None:
    with running(folder, POLICY__POLL_SECONDS="3600.0") as gateway:
        move_the_office(folder)
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: ask(gateway.calls) != ALLOWED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_request(folder: Path, number: signal.Signals) -> None:
    with running(folder) as gateway, Load(gateway.calls, callers=8) as load:
        eventually(lambda: load.outcomes[ALLOWED] > 200)
        assert gateway.stop(number) == 0
    assert load.failures == []
    assert set(load.outcomes) == {ALLOWED}
    assert "camguard has finished what was in flight" in gateway.stderr_lines


def test_a_request_in_flight_outlives_the_signal(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        url = f"http://127.0.0.1:{upstream.getsockname()[1]}"
        with running(folder, UPSTREAM__DEFAULT=url) as gateway:
            caller = HTTPConnection("127.0.0.1", gateway.calls, timeout=PATIENCE)
            caller.request("POST", "/", b"{}", CALL)
            server, _ = upstream.accept()
            server.recv(65536)
            gateway.process.send_signal(signal.SIGTERM)
            eventually(lambda: closed(gateway.calls))
            assert gateway.get("/-/ready") == (503, '{"ready":false,"missing":["stopping"],"failing":[]}')
            server.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
            assert caller.getresponse().read() == b"done"
            assert gateway.process.wait(PATIENCE) == 0
            server.close()
            caller.close()


@pytest.mark.heavy
def test_a_second_signal_does_not_wait(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        url = f"http://127.0.0.1:{upstream.getsockname()[1]}"
        with running(folder, UPSTREAM__DEFAULT=url) as gateway:
            caller = HTTPConnection("127.0.0.1", gateway.calls, timeout=PATIENCE)
            caller.request("POST", "/", b"{}", CALL)
            server, _ = upstream.accept()
            gateway.process.send_signal(signal.SIGTERM)
            eventually(lambda: closed(gateway.calls))
            assert gateway.process.poll() is None, "it waits for the call"
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(PATIENCE) == -signal.SIGTERM
            server.close()
            caller.close()


WRONG = [
    pytest.param({"GATEWAY__LISTEN": "nowhere"}, "GATEWAY__LISTEN", id="a setting that cannot be"),
    pytest.param({"GATEWAY__LISTNE": "127.0.0.1:0"}, "listen", id="a misspelt setting"),
    pytest.param({"IDENTITY__KEYS_FILE": "/nowhere/keys.json"}, "keys.json", id="no keys"),
    pytest.param(
        {"GATEWAY__AUTHORIZER": "127.0.0.1:0", "CLIENT_IP__TRUSTED_PROXIES": "[]"},
        "gateway/authorizer: answers trusted proxies only",
        id="an authorizer that nobody may ask",
    ),
    pytest.param(
        {"GATEWAY__AUTHORIZER": "192.0.2.1:1"},
        "cannot listen on 192.0.2.1:1",
        id="not the authorizer's address",
    ),
    pytest.param({"GATEWAY__LISTEN": "192.0.2.1:1"}, "cannot listen on 192.0.2.1:1", id="not our address"),
]


def printed_by(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """Run `serve` here, where it is going to end by itself; return the exit code and what it printed."""
    code = main(["serve", "--config", str(folder / "camguard.toml"), *options])
    return code, "".join(capsys.readouterr())


@pytest.mark.parametrize(("overrides", "part"), WRONG)
def test_what_cannot_be_served_is_reported_with_the_reason(
    folder: Path,
    overrides: dict[str, str],
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (ANY_PORT | {f"CAMGUARD_{name}": value for name, value in overrides.items()}).items():
        monkeypatch.setenv(name, value)
    code, printed = printed_by(folder, capsys)
    assert (code, part in printed) == (3, True)


def test_an_address_in_use_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("CAMGUARD_GATEWAY__LISTEN", "127.0.0.1:0")
        monkeypatch.setenv("CAMGUARD_GATEWAY__ADMIN", address)
        code, printed = printed_by(folder, capsys)
    assert code == 3
    assert f"gateway.admin: cannot listen on {address}: Address already in use" in printed


def test_check_serves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    code, printed = printed_by(folder, capsys, "--check")
    assert (code, "good: revision" in printed) == (0, True)
    (folder / "bundle" / "principals.json").write_text("{}")
    assert printed_by(folder, capsys, "--check")[0] == 3
    assert "principals.json" in caplog.text


@pytest.mark.parametrize("options", [(), ("--check",)], ids=["start", "check"])
def test_a_log_that_cannot_be_written_is_refused(
    folder: Path,
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (ANY_PORT | {"CAMGUARD_DECISION_LOG__PATH": "/nowhere/log"}).items():
        monkeypatch.setenv(name, value)
    code, printed = printed_by(folder, capsys, *options)
    assert (code, "decision_log.path: /nowhere/log cannot be written: its folder" in printed) == (3, True)


def test_check_warns_of_an_address_in_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("CAMGUARD_GATEWAY__LISTEN", f"127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("CAMGUARD_GATEWAY__ADMIN", "127.0.0.1:0")
        code, printed = printed_by(folder, capsys, "--check")
    assert code == 0
    assert "WARNING: gateway.listen: cannot listen on" in printed
    assert "another program listens there: stop it, or set another address" in printed


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"policies": ["gone"]}, "CG602", id="a missing policy"),
        pytest.param({"name": "bruno"}, "CG608", id="a name of two principals"),
    ],
)
def test_check_warns_of_principals(
    folder: Path,
    change: dict[str, object],
    code: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = folder / "bundle/principals.json"
    tree = json.loads(file.read_text())
    tree["users"]["100000000101"].update(change)
    file.write_text(json.dumps(tree))
    assert printed_by(folder, capsys, "--check")[0] == 0
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(f"code={code}" in line and "where=principals.json#/users/" in line for line in warned)


def fetch_call(port: int, path: str) -> tuple[int, str]:
    """Ask the listener of the calls, as a load balancer does."""
    return fetch(f"http://127.0.0.1:{port}{path}")


@pytest.mark.heavy
def test_t136_the_gateway_answers_its_health_path(folder: Path) -> None:
    with running(folder, HOSTS__HEALTH_PATH="/healthz") as gateway:
        assert fetch_call(gateway.calls, "/healthz") == (200, "camguard\n")
        (folder / "bundle/principals.json").write_text("{")
        assert gateway.reload()[0] == 500
        assert fetch_call(gateway.calls, "/healthz")[0] == 200
        assert "Error" in fetch_call(gateway.calls, "/healthz?x")[1]
    with running(folder, HOSTS__HEALTH_PATH="/healthz") as gateway:
        assert fetch_call(gateway.calls, "/healthz") == (503, "camguard\n")
    assert any("level=error" in line and "nothing is allowed" in line for line in gateway.stderr_lines)


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Run `serve --check --format json` on any free ports; return the exit code and the document."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("CAMGUARD_GATEWAY__LISTEN", "CAMGUARD_GATEWAY__ADMIN"):
            environment.setenv(name, os.environ.get(name, "127.0.0.1:0"))
        code = main(["serve", "--config", str(folder / "camguard.toml"), "--check", "--format", "json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def test_a_check_that_is_good_has_the_counts_and_the_warnings(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAMGUARD_ENFORCEMENT__MODE", "shadow")
    code, document = checked(folder, capsys)
    assert code == 0
    assert len(document.pop("revision")) == 64
    assert [line.partition(":")[0] for line in document.pop("warnings")] == ["WARNING", "note"]
    assert document.pop("file").endswith("camguard.toml")
    assert document == {
        "schema": 1,
        "good": True,
        "statements": 17,
        "principals": 15,
        "actions": 281,
        "findings": {"error": 0, "warning": 2, "style": 1, "accepted": 0},
        "problems": [],
    }


def test_a_check_lists_what_a_start_would_warn_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, old, new in (
        ("bundle/principals.json", '"name": "bruno"', '"name": "alice"'),
        ("bundle/principals.json", '"bills-read"', '"bills-raed"'),
        ("keys.json", "role/render-farm", "role/nobody"),
    ):
        file = folder / name
        file.write_text(file.read_text().replace(old, new))
    code, document = checked(folder, capsys)
    assert code == 0
    for words in ("policy 'bills-raed' is missing", "'alice' is the name of", "belongs to role/nobody"):
        assert sum(line.startswith("WARNING: ") and words in line for line in document["warnings"]) == 1


# a file, its text, the place of the problem
UNUSABLE = [
    pytest.param("bundle/principals.json", "{}", "principals.json", id="a bundle"),
    pytest.param("bundle/policies/aiart-read.json", "{", "policies/aiart-read.json", id="a policy"),
    pytest.param("catalog/aiart.json", "[]", "aiart.json", id="a catalog"),
    pytest.param("camguard.toml", "[gateway]\nworkers = 0", "camguard.toml#/gateway/workers", id="settings"),
    pytest.param("camguard.toml", "[gateway", "camguard.toml", id="settings that are no TOML"),
    pytest.param("keys.json", "[]", "keys.json", id="keys"),
]


@pytest.mark.parametrize(("file", "text", "place"), UNUSABLE)
def test_a_check_that_fails_names_the_place_of_each_problem(
    file: str, text: str, place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / file).write_text(text)
    code, document = checked(folder, capsys)
    assert (code, document["schema"], document["good"], document["revision"]) == (3, 1, False, None)
    assert document["problems"] != []
    assert all(place in problem["where"] for problem in document["problems"])
    assert all(problem["message"] and problem["code"] for problem in document["problems"])


def test_a_form_of_the_result_needs_a_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = printed_by(folder, capsys, "--format", "json")
    assert (code, "--format: only --check prints a result" in printed) == (2, True)


@pytest.mark.heavy
def test_trust_in_claimed_identities_is_logged_as_a_warning(folder: Path) -> None:
    with running(folder, IDENTITY__MODE="claimed") as gateway:
        eventually(lambda: any("BELIEVED" in line for line in gateway.stderr_lines))


@pytest.mark.heavy
def test_the_requests_that_the_greeting_names_do_what_they_say(folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    with running(folder) as gateway:
        eventually(lambda: any(line.startswith("  next ") for line in gateway.stderr_lines))
        (command,) = [
            line.removeprefix("  next ") for line in gateway.stderr_lines if line.startswith("  next ")
        ]
        answers = subprocess.check_output(["sh", "-c", command], text=True).splitlines()  # noqa: S607
    titles = [line.split(":")[0] for line in answers if line.startswith("# ")]
    assert titles == ["# allowed", "# refused", "# refused", "# the decisions that the gateway has counted"]
    envelopes = [json.loads(line)["Response"] for line in answers if line.startswith("{")]
    codes = [envelope.get("Error", {}).get("Code") for envelope in envelopes]
    assert codes == [None, "AuthFailure.UnauthorizedOperation", "AuthFailure.UnauthorizedOperation"]
    assert sum(line.startswith("camguard_decisions_total") for line in answers) == 3


def test_a_missing_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in list(sys.modules):
        if name.startswith("camguard.gateway"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httptools", None)
    assert main(["serve", "--config", str(folder / "camguard.toml")]) == 1
    assert "pip install '.[serve]'" in capsys.readouterr().err


@contextmanager
def crew(folder: Path) -> Iterator[tuple[Gateway, list[int]]]:
    """Run a gateway of two workers; give their process ids."""
    with running(folder, GATEWAY__WORKERS="2", **QUICK) as gateway:
        eventually(lambda: len(children(gateway.process.pid)) == 2)
        yield gateway, children(gateway.process.pid)


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="process ids are read from /proc")


def decisions(gateway: Gateway) -> float:
    return sum(
        value for name, value in gateway.metrics().items() if name.startswith("camguard_decisions_total")
    )


@pytest.mark.heavy
@linux
def test_workers_share_calls_and_add_up_their_metrics(folder: Path) -> None:
    with crew(folder) as (gateway, pids):
        with Load(gateway.calls) as load:
            eventually(lambda: load.outcomes[ALLOWED] > 400)
        # Each worker carries its numbers over once a second. What would be counted too often stays so.
        eventually(lambda: decisions(gateway) >= load.outcomes.total())
        assert decisions(gateway) == load.outcomes.total()
        assert gateway.get("/-/ready")[0] == 200
        assert gateway.stop() == 0
    assert load.failures == []
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.heavy
@linux
def test_a_killed_worker_is_replaced_and_only_its_own_requests_fail(folder: Path) -> None:
    with crew(folder) as (gateway, pids), Load(gateway.calls, callers=4) as load:
        eventually(lambda: load.outcomes[ALLOWED] > 100)
        os.kill(pids[0], signal.SIGKILL)
        eventually(lambda: len(set(children(gateway.process.pid)) - set(pids)) == 1)
        before = load.outcomes[ALLOWED]
        eventually(lambda: load.outcomes[ALLOWED] > before + 100)
        eventually(lambda: gateway.get("/-/ready")[0] == 200)
    assert len(load.failures) <= 4
    assert set(load.outcomes) == {ALLOWED}


@pytest.mark.heavy
@linux
def test_workers_take_over_an_edit(folder: Path) -> None:
    with crew(folder) as (gateway, _):
        assert ask(gateway.calls) == ALLOWED
        move_the_office(folder)
        assert gateway.reload()[0] == 200
        assert {ask(gateway.calls) for _ in range(20)} == {"AuthFailure.UnauthorizedOperation"}


@pytest.mark.heavy
@linux
def test_workers_end_with_the_process_that_watches_them(folder: Path) -> None:
    with crew(folder) as (gateway, pids):
        gateway.process.kill()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
