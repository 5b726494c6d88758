"""Decision logs that cannot be written, do not drain, or are gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.faults.callers import ALLOWED, load, perform, until
from tests.faults.report import Report, resident
from tests.running import Gateway, running

ERRORS = 'camguard_decision_log_records_total{result="error"}'
DROPPED = 'camguard_decision_log_records_total{result="dropped"}'
WRITTEN = 'camguard_decision_log_records_total{result="written"}'
SLOW = 0.05  # seconds


def full(log: Path) -> None:
    """Let every write fail as on a full disk."""
    log.unlink(missing_ok=True)
    log.symlink_to("/dev/full")


def moved(log: Path) -> None:
    """Move the file away, as logrotate does."""
    if log.exists():
        log.rename(log.with_suffix(".1"))


def no_folder(log: Path) -> None:
    """Take the folder away."""
    log.parent.rename(log.parent.with_suffix(".gone"))


def folder_instead(log: Path) -> None:
    """Put a folder in the file's place."""
    log.unlink(missing_ok=True)
    log.mkdir()


def unmends(log: Path) -> None:
    """Make it an ordinary file again."""
    log.parent.mkdir(exist_ok=True)
    if log.is_symlink():
        log.unlink()
    elif log.is_dir():
        log.rmdir()


# Fault, what does it, whether writes must fail meanwhile.
FAULTS: dict[str, tuple[Callable[[Path], None], bool]] = {
    "disk full": (full, True),
    "rotated away": (moved, False),
    "folder gone": (no_folder, False),
    "a folder in its place": (folder_instead, True),
}


def inject_decision_log(report: Report, *, quick: bool) -> None:
    """Decision logs that fail, stick and move."""
    seconds = 1.5 if quick else 10.0
    with tempfile.TemporaryDirectory() as place:
        log = Path(place, "logs", "decisions")
        log.parent.mkdir()
        with running(Path(place, "config"), DECISION_LOG__PATH=str(log)) as gateway:
            perform(_faults(report, gateway, log, seconds))
        _whole(report, [each for each in Path(place).rglob("decisions*") if each.is_file()])
        pipe = Path(place, "pipe")
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            with running(Path(place, "config"), DECISION_LOG__PATH=str(pipe)) as gateway:
                perform(_stuck(report, gateway, reader, seconds))
        finally:
            os.close(reader)


async def _faults(report: Report, gateway: Gateway, log: Path, seconds: float) -> None:
    before = resident(gateway.process.pid)
    async with load(gateway.calls, callers=4) as calm:
        await asyncio.sleep(seconds)
    for name, (harm, fails) in FAULTS.items():
        earlier = gateway.metrics()
        harm(log)
        async with load(gateway.calls, callers=4) as calls:
            await asyncio.sleep(max(seconds, 2.5))  # the writer looks once a second
            with contextlib.suppress(TimeoutError):  # that errors are counted is a claim below
                await until(partial(_has_failed, gateway, earlier.get(ERRORS, 0) if fails else -1))
            later = gateway.metrics()
            unmends(log)
            await until(partial(_goes_on, gateway, later.get(WRITTEN, 0)))
        errors = later.get(ERRORS, 0) - earlier.get(ERRORS, 0)
        slow, usual = calls.slowest_of_each(5, 0.99), calm.slowest(0.99)
        report.says(fault=name, sent=calls.sent, failed=len(calls.failures), outcomes=dict(calls.outcomes))
        report.says(
            errors=errors, p99_ms=slow * 1e3, p99_calm_ms=usual * 1e3, slowest_ms=calls.slowest(1) * 1e3
        )
        served = not calls.failures and set(calls.outcomes) == {ALLOWED}
        report.holds(f"{name}: every call is served", true=served)
        report.holds(f"{name}: no call waits for the log", true=slow <= max(SLOW, 2 * usual))
        report.holds(f"{name}: failed writes are counted", true=errors > 0 or not fails)
        report.holds(f"{name}: written again without a restart", true=True)
    report.memory(before, resident(gateway.process.pid))


def _has_failed(gateway: Gateway, errors: float) -> bool:
    return gateway.metrics().get(ERRORS, 0) > errors


def _goes_on(gateway: Gateway, written: float) -> bool:
    return gateway.metrics().get(WRITTEN, 0) > written + 10


async def _stuck(report: Report, gateway: Gateway, reader: int, seconds: float) -> None:
    """A pipe whose reader reads nothing until the queue is full, and then all."""
    async with load(gateway.calls, callers=8) as calls:
        await until(lambda: gateway.metrics().get(DROPPED, 0) > 0, 60)
        await asyncio.sleep(seconds)
    dropped = gateway.metrics().get(DROPPED, 0)
    os.set_blocking(reader, True)
    received = bytearray()

    def drain() -> None:
        while True:
            part = os.read(reader, 65536)
            received.extend(part)
            if not part:
                return

    draining = asyncio.create_task(asyncio.to_thread(drain))
    await asyncio.to_thread(gateway.stop)
    await draining
    lines = bytes(received).splitlines()
    report.says(fault="a stuck reader", sent=calls.sent, failed=len(calls.failures), dropped=dropped)
    report.says(read=len(lines), p999_ms=calls.slowest(0.999) * 1e3)
    report.holds("a stuck reader: every call is served", true=not calls.failures and len(calls.outcomes) == 1)
    report.holds(
        "a stuck reader: drops are counted, nothing else is lost", true=len(lines) + dropped == calls.sent
    )
    report.holds("a stuck reader: every line that was read is whole", true=all(map(_is_line, lines)))


def _whole(report: Report, files: list[Path]) -> None:
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    torn = [line for line in lines if line and not _is_line(line)]
    report.says(files=len(files), lines=len(lines), torn=len(torn))
    report.holds("no line runs into the next", true=not torn and len(files) > 1)


def _is_line(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
