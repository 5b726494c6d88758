"""Another bundle, a broken one, and a storm of them, while calls go on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.callers import ALLOWED, DENIED, UNAVAILABLE, ask, call, load, perform, until
from tests.faults.report import Report, resident
from tests.running import (
    BREAKAGES,
    FAILED,
    SUCCESSFUL,
    Gateway,
    camguard,
    link_bundle,
    put_broken_bundle,
    put_bundle,
    running,
)

NEVER = {"POLICY__POLL_SECONDS": "3600.0"}  # only on request
OFFICES = ("10.1.0.0/16", "10.77.0.0/16")  # alice is in the first
POLICY = Path("bundle", "policies", "aiart-create.json")


def edit(folder: Path, office: int) -> None:
    """Let alice draw from one of two offices; the file is replaced in one step."""
    policy = folder / POLICY
    new = policy.read_text().replace(OFFICES[1 - office], OFFICES[office])
    beside = policy.with_suffix(".new")
    beside.write_text(new)
    beside.replace(policy)


def records(log: Path) -> Iterator[dict[str, Any]]:
    """Yield what the decision log holds."""
    yield from map(json.loads, log.read_text().splitlines())


def inject_valid_reload(report: Report, *, quick: bool) -> None:
    """Valid reloads under load."""
    with tempfile.TemporaryDirectory() as place:
        log = Path(place, "log")
        with running(Path(place, "config"), DECISION_LOG__PATH=str(log), **NEVER) as gateway:
            perform(_edits(report, gateway, log, 3 if quick else 30))


async def _edits(report: Report, gateway: Gateway, log: Path, edits: int) -> None:
    swaps: list[tuple[float, float, str]] = []
    before = resident(gateway.process.pid)
    async with load(gateway.calls) as calls:
        began = time.monotonic()
        await asyncio.sleep(0.5)
        for number in range(edits):
            edit(gateway.folder, 1 - number % 2)
            requested = time.time()
            reported = json.loads((await asyncio.to_thread(gateway.reload))[1])
            swaps.append((requested, time.time(), reported["revision"][:12]))
            await asyncio.sleep(0.2)
        took = time.monotonic() - began
    after = resident(gateway.process.pid)
    stopped = await asyncio.to_thread(gateway.stop)
    decided = {
        revision: DENIED if number % 2 == 0 else ALLOWED for number, (_, _, revision) in enumerate(swaps)
    }
    mixed = late = lines = 0
    for record in records(log):
        lines += 1
        moment = _seconds(record["time"])
        expected = decided.get(record["revision"], ALLOWED)
        mixed += (record["decision"] == "allow") != (expected == ALLOWED)
        in_force = [revision for _, returned, revision in swaps if returned <= moment][-1:]
        coming = [revision for requested, returned, revision in swaps if requested <= moment < returned]
        late += bool(in_force) and record["revision"] not in (*in_force, *coming)
    report.says(sent=calls.sent, per_second=calls.sent / took, failed=len(calls.failures), reloads=len(swaps))
    report.says(misjudged=mixed + late, outcomes=dict(calls.outcomes), exit_code=stopped)
    report.memory(before, after)
    report.holds("0 failed requests", true=not calls.failures)
    report.holds("every record's decision is that of its revision", true=mixed == 0)
    report.holds("no decision by an old revision once the reload was answered", true=late == 0)
    report.holds("every request has its record", true=lines == calls.outcomes.total())
    report.holds("both revisions were in force", true=set(calls.outcomes) == {ALLOWED, DENIED})


def _seconds(text: str) -> float:
    whole, micros = text.rstrip("Z").split(".")
    return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone + int(micros) / 1e6


def hides(policy: Path) -> None:
    """Leave a name that leads nowhere."""
    policy.unlink()
    policy.symlink_to("nowhere.json")


def cuts_principals(policy: Path) -> None:
    """Leave half of the principals."""
    principals = policy.parents[1] / "principals.json"
    principals.write_text(principals.read_text()[: principals.stat().st_size // 2])


HARM = {**BREAKAGES, "a policy that leads nowhere": hides, "half of the principals": cuts_principals}


def inject_broken_reload(report: Report, *, quick: bool) -> None:
    """A bundle that breaks while it serves."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "config")
        camguard("init", str(folder)).check_returncode()
        good = link_bundle(folder)
        with running(folder, POLICY__POLL_SECONDS="0.2") as gateway:
            perform(_breaks(report, gateway, good, 1 if quick else 4))


async def _breaks(report: Report, gateway: Gateway, good: Path, rounds: int) -> None:
    before = resident(gateway.process.pid)
    counted = reported = 0
    async with load(gateway.calls, callers=8) as calls:
        for name, harm in list(HARM.items()) * rounds:
            failures = gateway.metrics().get(FAILED, 0)
            put_broken_bundle(gateway.folder, good, harm)
            try:
                await until(lambda: SUCCESSFUL not in gateway.metrics())
                counted += gateway.metrics()[FAILED] > failures
                reported += "stays" in "".join(gateway.stderr_lines)
            except TimeoutError:
                report.holds(f"{name}: noticed", true=False)
            put_bundle(gateway.folder, good)
            await until(lambda: SUCCESSFUL in gateway.metrics())
    wrong = calls.sent - calls.outcomes[ALLOWED]
    report.says(breakages=len(HARM) * rounds, sent=calls.sent, failed=len(calls.failures), misjudged=wrong)
    report.memory(before, resident(gateway.process.pid))
    report.holds("0 decisions differ from the old bundle's", true=wrong == 0)
    report.holds("each breakage counts as a failed reload", true=counted == len(HARM) * rounds)
    report.holds("each is logged, with the old revision that stays", true=reported == len(HARM) * rounds)


def inject_broken_start(report: Report, *, quick: bool) -> None:
    """A bundle that is broken when the gateway starts."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "config")
        camguard("init", str(folder)).check_returncode()
        good = link_bundle(folder)
        names = ["a policy cut short", "all policies gone"] if quick else list(HARM)
        for name in names:
            put_broken_bundle(folder, good, HARM[name])
            with running(folder, POLICY__POLL_SECONDS="0.2") as gateway:
                perform(_starts_broken(report, gateway, good, name))


async def _starts_broken(report: Report, gateway: Gateway, good: Path, name: str) -> None:
    refused = [await ask(gateway.calls, call()) for _ in range(50)]
    healthy, ready = gateway.get("/-/healthy")[0], gateway.get("/-/ready")[0]
    put_bundle(gateway.folder, good)
    took = await until(lambda: gateway.get("/-/ready")[0] == 200)
    served = await ask(gateway.calls, call())
    report.says(broken=name, sent=51, misjudged=50 - refused.count(UNAVAILABLE), ready_after_seconds=took)
    report.holds(
        "up, not ready, every request refused; ready and serving once repaired",
        true=(set(refused), healthy, ready, served) == ({UNAVAILABLE}, 200, 503, ALLOWED),
    )


def inject_reload_storm(report: Report, *, quick: bool) -> None:
    """A storm of reloads: the bundle changes a hundred times a second, and as often SIGHUP is sent."""
    with tempfile.TemporaryDirectory() as place:
        log = Path(place, "log")
        overrides = {**NEVER, "DECISION_LOG__PATH": str(log)}
        with running(Path(place, "config"), **overrides) as gateway:
            perform(_storm(report, gateway, log, 5.0 if quick else 60.0))


async def _storm(report: Report, gateway: Gateway, log: Path, seconds: float) -> None:
    async with load(gateway.calls, callers=8) as calm:
        await asyncio.sleep(min(seconds, 10) / 2)
    before, count = resident(gateway.process.pid), gateway.metrics()
    reloads = 0
    async with load(gateway.calls, callers=8) as calls:
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            edit(gateway.folder, reloads % 2)
            os.kill(gateway.process.pid, signal.SIGHUP)
            reloads += 1
            await asyncio.sleep(0.01)
    edit(gateway.folder, 0)
    reported = json.loads((await asyncio.to_thread(gateway.reload))[1])
    after = resident(gateway.process.pid)
    name = 'camguard_policy_reloads_total{result="success"}'
    activated = gateway.metrics()[name] - count.get(name, 0)
    last = await ask(gateway.calls, call())
    await asyncio.to_thread(gateway.stop)
    by_revision: dict[str, set[str]] = {}
    for record in records(log):
        by_revision.setdefault(record["revision"], set()).add(record["decision"])
    p99 = calm.slowest(0.99), calls.slowest_of_each(4, 0.99)  # each part has activations
    report.says(sent=calls.sent, failed=len(calls.failures), outcomes=dict(calls.outcomes))
    report.says(
        requested=reloads, activated=activated, per_second=activated / elapsed, revisions=len(by_revision)
    )
    report.says(p99_calm_ms=p99[0] * 1e3, p99_storm_ms=p99[1] * 1e3)
    report.memory(before, after)
    mixed = sum(len(found) != 1 for found in by_revision.values())
    report.holds("0 failed requests", true=not calls.failures)
    report.holds(
        "each revision decides one way, and there are two", true=mixed == 0 and len(by_revision) <= 2
    )
    report.holds("at most two activations a second", true=activated <= 2 * elapsed + 2)
    report.holds(
        "the last edit is in force in the end", true=reported["result"] != "failure" and last == ALLOWED
    )
    report.holds("memory back within 10 % and 8 MiB", true=after <= before * 1.1 + (8 << 20))
    report.holds("p99 at most double, or below 50 ms", true=p99[1] <= max(2 * p99[0], 0.05))
