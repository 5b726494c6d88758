"""Each alert fires on a real Prometheus once somebody does what it is about, and none before that.

The rules are those that are shipped, with every `for`, range and offset divided by 60. Four gateways are
scraped: `company` serves traffic; `faulty` has a fault, a slow clock and a stderr that nobody reads; `other`
begins without a bundle, and then serves other policies; `fleet` takes its policies from a URL, at the same
time as the others fail in their ways.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.running import Gateway, camguard, free_port, running
from tests.scraping import RULES, Prometheus, compressed, eventually, scraping
from tests.telemetry.callers import Caller, Upstream, signature, steadily, upstream
from tests.telemetry.one_source import fail_in_every_way

pytest.importorskip("httptools", reason="the gateway needs the extra `serve`")

pytestmark = pytest.mark.heavy

ALERTS = set(re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8")))
# A gateway that fails for a header; whose clock is 585 seconds behind, so that 600 seconds without a good
# poll pass within 15; and whose stderr has no reader from four seconds after its start.
FAULTY = """
import os, threading, time
now = time.time
time.time = lambda: now() - 585
import camguard.enforcement.early as early
read_head = early.read_head
def failing(scope, rules):
    if any(name == b"x-fault" for name, _ in scope["headers"]):
        raise ValueError
    return read_head(scope, rules)
early.read_head = failing
threading.Timer(4, lambda: os.dup2(os.pipe()[1], 2)).start()
from camguard.cli import run
run()
"""
NOTHING_ALLOWED = {
    "version": "2.0",
    "statement": {"effect": "allow", "action": "aiart:QueryMemeJob", "resource": "*"},
}
CREATING = ("aiart-create.json", "aiart-season-2027.json")  # what allows the calls of the steady caller
# No such action exists, so that this deny protects nothing.
MISTAKEN = {
    "version": "2.0",
    "statement": {"effect": "deny", "action": "aiart:NoSuchAction", "resource": "*"},
}


def policies(folder: Path) -> Path:
    return folder / "bundle" / "policies"


def write(file: Path, content: object) -> None:
    """Write a file as a deployment does: aside, then renamed."""
    aside = file.with_suffix(".new")
    aside.write_text(json.dumps(content))
    aside.rename(file)


@contextlib.contextmanager
def company(folder: Path, aiart: str, admin: int) -> Iterator[Gateway]:
    camguard("init", str(folder)).check_returncode()
    shutil.copytree(folder / "bundle", folder / "candidate")
    (folder / "log").mkdir()
    with running(
        folder,
        DECISION_LOG__PATH=str(folder / "log" / "decisions.log"),
        GATEWAY__ADMIN=f"127.0.0.1:{admin}",
        ENFORCEMENT__CANDIDATE=str(folder / "candidate"),
        IDENTITY__BIND_SIGNATURES="true",
        LIMITS__WAITING="2",
        POLICY__POLL_SECONDS="0.5",
        UPSTREAM__DEFAULT=aiart,
    ) as gateway:
        yield gateway


def test_each_alert_fires_once_its_cause_is_there(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("company", "faulty", "other", "fleet")}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(upstream())
        first = stack.enter_context(company(tmp_path / "company", server.url, ports["company"]))
        faulty = stack.enter_context(
            running(
                tmp_path / "faulty",
                (sys.executable, "-c", FAULTY),
                GATEWAY__ADMIN=f"127.0.0.1:{ports['faulty']}",
                POLICY__POLL_SECONDS="0.5",
            )
        )
        rules = compressed(RULES.read_text(encoding="utf-8"))
        prometheus = stack.enter_context(scraping(tmp_path / "prometheus", ports.values(), rules))
        eventually(lambda: len(prometheus.query("up == 1")) == 2)
        time.sleep(3)
        prometheus.fired.clear()  # before the first scrape, every target is down
        with steadily(first.calls, 20, Caller.call):
            time.sleep(70)  # an hour, divided by 60: what denials after an activation are compared with
            assert prometheus.fired == {}
            break_the_source(faulty)
            change_policies(prometheus, first)
            apart = stack.enter_context(ThreadPoolExecutor(1))
            fleet = apart.submit(fail_in_every_way, prometheus, tmp_path / "fleet", ports["fleet"])
            fail_upstream(prometheus, server)
            take_log_away(prometheus, first)
            compare_with_candidate(prometheus, first)
        send_strange_requests(prometheus, first)
        send_large_bodies(prometheus, first)
        fill_places(prometheus, first)
        fault(prometheus, faulty)
        serve_other_policies(prometheus, tmp_path / "other", ports["other"])
        prometheus.await_alerts(
            ("CamguardPolicyUnconfirmed", "CamguardKeysUnconfirmed")
        )  # from break_the_source
        fleet.result(600)
        first.stop()
        faulty.stop()
        prometheus.await_alerts(("CamguardDown",))
        assert set(prometheus.fired) == ALERTS


def break_the_source(gateway: Gateway) -> None:
    """Cut a policy and the keys short, as somebody does who edits them in place."""
    file = policies(gateway.folder) / "aiart-read.json"
    file.write_text(file.read_text()[:-20])
    keys = gateway.folder / "keys.json"
    keys.write_text(keys.read_text()[:-20])


def change_policies(prometheus: Prometheus, gateway: Gateway) -> None:
    """Activate a bundle that denies what was allowed before, and put the old one back."""
    prometheus.await_alerts(("CamguardPolicyReloadFailing", "CamguardKeysReloadFailing"))
    file = policies(gateway.folder) / CREATING[0]
    before = json.loads(file.read_text())
    for name in CREATING:
        write(policies(gateway.folder) / name, NOTHING_ALLOWED)
    prometheus.await_alerts(("CamguardDenialsAfterActivation", "CamguardMostDenied"))
    write(file, before)
    with contextlib.closing(Caller(gateway.calls)) as caller:
        eventually(lambda: b"Error" not in caller.call())


def fail_upstream(prometheus: Prometheus, server: Upstream) -> None:
    server.status = 503
    prometheus.await_alerts(("CamguardUpstreamServerErrors",))
    server.status = 0
    prometheus.await_alerts(("CamguardUpstreamFailing",))
    server.status = 200


def take_log_away(prometheus: Prometheus, gateway: Gateway) -> None:
    (gateway.folder / "log").rename(gateway.folder / "away")
    prometheus.await_alerts(("CamguardDecisionLogLoss",))


def compare_with_candidate(prometheus: Prometheus, gateway: Gateway) -> None:
    """Change the candidate so that it denies what the steady caller is allowed."""
    for name in CREATING:
        write(gateway.folder / "candidate" / "policies" / name, NOTHING_ALLOWED)
    prometheus.await_alerts(("CamguardCandidateDenies",))


def send_strange_requests(prometheus: Prometheus, gateway: Gateway) -> None:
    """Send what is refused before any policy is asked, each kind as often as its alert needs."""
    key = gateway.key("uin/100000000101")
    with contextlib.closing(Caller(gateway.calls)) as caller:
        for at in range(21):
            caller.call(f"NoSuch{at}")
        prometheus.await_alerts(("CamguardUnknownActions",))
        for _ in range(6):
            caller.call(path="/?Action=ImageToImage")
        caller.call(x_camguard_principal="nobody in particular")
        with steadily(gateway.calls, 20, lambda each: each.call(x_forwarded_for="unknown")):
            prometheus.await_alerts(
                ("CamguardAmbiguousRequests", "CamguardIdentityUntrusted", "CamguardClientAddressInvalid")
            )
        once = signature(key)
        caller.call(**once)
        caller.call("ImageToImage", **once)
        for _ in range(51):
            caller.signed((key[0], "another"))
        prometheus.await_alerts(("CamguardSignaturesReplayed", "CamguardSignaturesInvalid"))


def send_large_bodies(prometheus: Prometheus, gateway: Gateway) -> None:
    key, body = gateway.key("uin/100000000101"), json.dumps({"Prompt": "x" * 4_000_000}).encode()
    with steadily(gateway.calls, 4, lambda each: each.signed(key, body)):
        prometheus.await_alerts(("CamguardSlowDecisions",))


def fill_places(prometheus: Prometheus, gateway: Gateway) -> None:
    """Hold more requests open, with bodies that do not come, than `limits.waiting` has places for."""
    lines = {
        "host": "aiart.tencentcloudapi.com", "x-tc-action": "TextToImage", "x-tc-version": "2022-12-29",
        "content-type": "application/json", "content-length": "9", "x-camguard-principal": "uin/100000000101",
        "x-forwarded-for": "10.1.2.3",
    }  # fmt: skip
    head = "POST / HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.calls)))
            sock.sendall(head.encode())
        prometheus.await_alerts(("CamguardOverloaded",))


def fault(prometheus: Prometheus, gateway: Gateway) -> None:
    """Run into a fault, first once, then so often that stderr, which nobody reads, takes no more lines."""
    with contextlib.closing(Caller(gateway.calls)) as caller:
        caller.call(x_fault="1")
        prometheus.await_alerts(("CamguardInternalErrors",))
        for _ in range(4000):
            caller.call(x_fault="1")
    prometheus.await_alerts(("CamguardProcessLogLoss",))


def serve_other_policies(prometheus: Prometheus, folder: Path, admin: int) -> None:
    """Start without a policy, then serve another bundle than everybody else, with a mistake in it."""
    camguard("init", str(folder)).check_returncode()
    write(policies(folder) / "mistaken.json", MISTAKEN)
    principals = folder / "bundle" / "principals.json"
    principals.rename(folder / "principals.json")
    with running(folder, GATEWAY__ADMIN=f"127.0.0.1:{admin}", POLICY__POLL_SECONDS="0.5") as gateway:
        # The first scrape finds the first event: the series begins with it.
        with contextlib.closing(Caller(gateway.calls)) as caller:
            caller.call()
        prometheus.await_alerts(("CamguardPolicyUnavailable",))
        (folder / "principals.json").rename(principals)
        prometheus.await_alerts(("CamguardPolicyErrors", "CamguardPolicyRevisionsDiffer"))
