"""What the supervisor and a worker send each other: one JSON object per line over a pair of sockets.

From the worker to the supervisor:

    {"state": WorkerState}                       once a second, and after each poll that was ordered
    {"order": number, "outcome": WorkerOutcome}  after each poll that was ordered
    {"refused": problems}                        instead of a state: the worker cannot serve, and ends

From the supervisor to the worker:

    {"order": number, "force": boolean}          poll policies and keys now
    {"missing": names}                           the verdict: what keeps the instance from being ready
    {"retire": true}                             another worker has taken over: finish the calls, then end

Rule 1: when one process ends, however it ends, the other one finds the channel closed.
Rule 2: a message is bounded: the first problems of an outcome are sent, and their texts are cut.
Rule 3: sending never blocks. A worker whose messages the supervisor does not read drops messages; a worker
        that sends nothing is silent, which the supervisor reports.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from camguard.asgi import in_daemon_thread
from camguard.bundle import ReloadOutcome, Store
from camguard.errors import Problem

STATE_SECONDS: Final = 1.0  # between two states of a worker
LINE_BYTES: Final = 1 << 20  # of a message at most
UNSENT_BYTES: Final = 1 << 16  # waiting in the channel; above it, a worker drops messages (Rule 3)
PROBLEMS: Final = 8  # of an outcome that are sent
TEXT: Final = 500  # characters of the place and of the message of a problem


class WorkerState(NamedTuple):
    """The facts of one worker: by which settings and which bundle it judges calls, and what it lacks.

    pid: its process id. settings_digest, revision: hexadecimal; revision is empty without a bundle. serial:
    None where the bundle is in a folder. pinned: whether an operator has pinned the bundle. missing, failing:
    as in `/-/ready`, of this worker alone. polling: whether the source is being read now.
    """

    pid: int
    settings_digest: str
    revision: str
    serial: int | None
    pinned: bool
    missing: list[str]
    failing: list[str]
    polling: bool


def row_of(
    pid: int, state: WorkerState | None, *, accepting: bool = True, silent: bool = False
) -> dict[str, Any]:
    """Return the row of `/api/status` about a worker.

    state: None of a worker that does not serve yet: nothing is known of it. accepting: whether the worker
    accepts connections. silent: whether the worker is taken to hang.
    """
    if state is None:
        unknown = WorkerState(pid, "", "", None, pinned=False, missing=[], failing=[], polling=False)
        return {**row_of(pid, unknown, accepting=False), "settings_digest": None, "revision": None}
    row = {"accepting": accepting, **state._asdict(), "silent": silent}
    del row["polling"]  # true for a moment only
    return row


class WorkerOutcome(NamedTuple):
    """How a worker has carried out an order: to poll, or to take the slot of another worker.

    result: that of a `ReloadOutcome`. revision: empty without a bundle. problems: the first ones, as JSON
    contains them.
    """

    pid: int
    result: str
    revision: str
    serial: int | None
    problems: list[dict[str, Any]]

    @property
    def failed(self) -> bool:
        """Whether the worker did not do what it was ordered."""
        return self.result == "failure"


def outcome_of(pid: int, outcome: ReloadOutcome) -> WorkerOutcome:
    """Return the outcome of a poll as the outcome of a worker."""
    serial = None if outcome.source is None else outcome.source.serial
    return WorkerOutcome(pid, outcome.result, outcome.revision, serial, shortened(outcome.problems))


def failed(pid: int, code: str, message: str) -> WorkerOutcome:
    """Return the outcome of an order that a worker has not carried out."""
    return WorkerOutcome(pid, "failure", "", None, [Problem("worker", code, message)._asdict()])


def shortened(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Return the first problems, with the beginning of their texts, as JSON contains them (Rule 2)."""
    found = [
        Problem(where[:TEXT], code, message[:TEXT])._asdict() for where, code, message in problems[:PROBLEMS]
    ]
    if len(problems) > PROBLEMS:
        more = f"{len(problems) - PROBLEMS} more problems are in the log of the worker"
        found.append(Problem("worker", "MoreProblems", more)._asdict())
    return found


def state_of(
    settings_digest: str, store: Store, missing: Sequence[str], failing: Sequence[str]
) -> WorkerState:
    """Return the state of this process. settings_digest: of the settings that it uses."""
    bundle, facts = store.bundle, store.facts
    return WorkerState(
        os.getpid(),
        settings_digest,
        bundle.revision if bundle else "",
        None if facts is None else facts.serial,
        facts is not None and facts.pinned,
        list(missing),
        list(failing),
        store.polling,
    )


def line(message: Mapping[str, Any]) -> bytes:
    """Return a message as the bytes of one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def refuse_start(channel: socket.socket, problems: Sequence[Problem]) -> None:
    """Send the supervisor why this worker cannot serve. The worker ends behind this message."""
    with suppress(OSError):
        channel.send(line({"refused": shortened(problems)}))


class WorkerChannel:
    """The worker's end of the channel.

    state: returns the state of this process. store: polls on order. stop: set to end the worker.
    other_missing: the last verdict of the supervisor, for the health path of this worker. retired: whether
    another worker has taken over, so that the instance goes on while this worker ends.
    """

    def __init__(
        self, channel: socket.socket, state: Callable[[], WorkerState], store: Store, stop: asyncio.Event
    ) -> None:
        self._channel = channel
        self._state = state
        self._store = store
        self._stop = stop
        self._tasks: set[asyncio.Task[None]] = set()
        self.other_missing: list[str] = ["workers"]  # until the supervisor has sent its verdict
        self.retired = False

    async def attend(self) -> None:
        """Carry out the messages of the supervisor, until the supervisor ends or this task is cancelled."""
        reader, writer = await asyncio.open_unix_connection(sock=self._channel, limit=LINE_BYTES)
        reporting = asyncio.create_task(self._report(writer))
        try:
            while received := await reader.readline():
                self._receive(json.loads(received), writer)
        except OSError:
            pass  # the supervisor was killed while its messages were read
        finally:
            reporting.cancel()
            self._stop.set()  # Rule 1
            writer.close()

    async def _report(self, writer: asyncio.StreamWriter) -> None:
        """Send the state at intervals. Never returns."""
        while True:
            self._send(writer, {"state": self._state()._asdict()})
            await asyncio.sleep(STATE_SECONDS)

    def _receive(self, message: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        """Take one message of the supervisor: a verdict, the order to retire, or an order to poll."""
        if "missing" in message:
            self.other_missing = message["missing"]
        elif "retire" in message:
            self.retired = True
            self._stop.set()
        else:
            task = asyncio.create_task(self._poll(message["order"], message["force"], writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _poll(self, order: int, force: bool, writer: asyncio.StreamWriter) -> None:  # noqa: FBT001 - of the message
        """Poll policies and keys, and send state and outcome."""
        if force:
            self._store.force()
        outcome = outcome_of(os.getpid(), await in_daemon_thread(self._store.reload))
        self._send(writer, {"state": self._state()._asdict()})
        self._send(writer, {"order": order, "outcome": outcome._asdict()})

    def _send(self, writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
        """Send a message, unless the supervisor has ended or does not read (Rule 3)."""
        if not writer.is_closing() and writer.transport.get_write_buffer_size() < UNSENT_BYTES:
            writer.write(line(message))
