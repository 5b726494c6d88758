"""The supervisor's side of the workers: it starts, replaces and stops them, and judges the whole instance.

Rule 1: a worker that ends is replaced. If a worker ends before all workers have served, the supervisor ends
        with an error.
Rule 2: a worker that is to be replaced serves until its successor serves and is ready. If a successor cannot
        start, its worker goes on, and workers that were replaced already are replaced back.
Rule 3: the instance is ready while every worker serves, is ready, and has the same revision. Workers read a
        change one after the other, so different revisions are tolerated for `SKEW_SECONDS`, and for
        `POLLING_SECONDS` while a worker still reads or builds a bundle.
Rule 4: a worker that sends nothing for `SILENT_SECONDS` is taken to hang: the instance is not ready, and an
        order to this worker fails at once. The worker is not killed, because calls may be in flight in it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from camguard.errors import Problem, SettingsError
from camguard.gateway.channel import LINE_BYTES, WorkerOutcome, WorkerState, failed, line, row_of
from camguard.gateway.run import Sockets
from camguard.telemetry.process_log import Event

LOG = logging.getLogger("camguard.gateway")
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
SOON_SECONDS = 2.0  # a worker that ends sooner is replaced after a pause, so that a fault does not spin
PAUSE_SECONDS = 1.0  # this pause
GRACE_SECONDS = 5.0  # after the workers' own deadline, until they are killed
SILENT_SECONDS = 10.0  # Rule 4
SKEW_SECONDS = 10.0  # Rule 3
POLLING_SECONDS = 120.0  # Rule 3
ORDER_SECONDS = 25.0  # for the workers to carry out an order; less than the admin listener waits
START_SECONDS = 300.0  # for a successor to load its bundle and serve
READY_SECONDS = 10.0  # for a successor that serves to be ready
WATCH_SECONDS = 0.5  # between two judgements of the instance
WAIT_SECONDS = 0.05  # between two looks at a worker that is awaited
NOT_AWAITED: Final = 0  # the number of an order whose outcome nothing awaits


class Worker:
    """One worker process.

    state: None until the worker serves. refused: why it could not serve. received_at: monotonic time of its
    last message. replaced: set once a successor has its slot. orders: awaited outcomes by number of order.
    """

    def __init__(self, process: Process, writer: asyncio.StreamWriter) -> None:
        self.process = process
        self.pid = process.pid
        self.writer = writer
        self.state: WorkerState | None = None
        self.refused: list[dict[str, Any]] = []
        self.received_at = time.monotonic()
        self.replaced = asyncio.Event()
        self.orders: dict[int, asyncio.Future[WorkerOutcome]] = {}

    @property
    def silent(self) -> bool:
        """Whether the worker has served and is taken to hang (Rule 4)."""
        return self.state is not None and time.monotonic() - self.received_at > SILENT_SECONDS

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.returncode is not None

    def row(self) -> dict[str, Any]:
        """Return the row of `/api/status` about this worker."""
        return row_of(self.pid, self.state, accepting=not self.replaced.is_set(), silent=self.silent)

    def send(self, **message: object) -> None:
        """Send a message, unless the worker has ended."""
        if not self.writer.is_closing():
            self.writer.write(line(message))


class Supervisor:
    """The workers of an instance, one in each slot.

    source: a file descriptor of the packed settings source, which workers inherit. ending_seconds: as in
    `LimitsSettings`. count: of slots. verdict: returns what the instance lacks to be ready; the process that
    supervises replaces it, to add what it lacks itself. begun: set once every worker has served.
    """

    def __init__(self, source: int, ending_seconds: float, sockets: Sockets, count: int) -> None:
        self._source = source
        self._ending_seconds = ending_seconds
        self._sockets = [each for each in (sockets.calls, sockets.authorizer) if each is not None]
        self._slots: list[Worker | None] = [None] * count
        self._running: dict[int, Worker] = {}  # by process id, also those that start or finish their calls
        self._tasks: set[asyncio.Task[None]] = set()
        self._orders = 0
        self.verdict = self.missing
        self._skewed_since: float | None = None  # monotonic time since when revisions differ
        self._restarting = asyncio.Lock()
        self._stopping = False
        self._sent_verdict: list[str] = ["workers"]
        self.begun = asyncio.Event()

    # The state of the instance.

    def missing(self) -> list[str]:
        """Return what the workers lack for the instance to be ready (Rule 3)."""
        states = [each.state for each in self._slots if each is not None and each.state and not each.silent]
        found = [] if len(states) == len(self._slots) else ["workers"]
        found += [name for state in states for name in state.missing]
        since = self._skewed_since
        if since is not None:
            polling = any(state.polling for state in states)
            if time.monotonic() - since > (POLLING_SECONDS if polling else SKEW_SECONDS):
                found.append("revisions")
        return list(dict.fromkeys(found))

    def failing(self) -> list[str]:
        """Return what a worker could not read anew, and `revisions` while the workers have different ones."""
        found = [name for each in self._slots if each and each.state for name in each.state.failing]
        return list(dict.fromkeys((*found, *(["revisions"] if self._skewed_since is not None else []))))

    def revisions(self) -> dict[str, str | None]:
        """Return the revision of each worker by its process id; None for a worker that does not serve yet."""
        workers = [each for each in self._slots if each is not None]
        return {str(each.pid): each.state.revision if each.state else None for each in workers}

    def workers(self) -> list[dict[str, Any]]:
        """Return the rows of `/api/status`: workers that have a slot, then those that start or end."""
        current = [each for each in self._slots if each is not None]
        others = [each for each in tuple(self._running.values()) if each not in current]
        return [each.row() for each in (*current, *others)]

    async def watch(self) -> None:
        """Judge the instance at intervals, because silence is no event. Never returns."""
        while True:
            self._judge()
            await asyncio.sleep(WATCH_SECONDS)

    def _judge(self) -> None:
        """Send the workers the verdict, for their health paths, if it has changed."""
        self._compare_revisions()
        found = self.verdict()
        if found == self._sent_verdict or self._stopping:
            return
        for each in self._serving():
            each.send(missing=found)
        if self.begun.is_set():
            log = LOG.warning if found else LOG.info
            log(Event("the instance is not ready" if found else "the instance is ready", missing=found))
        self._sent_verdict = found

    def _compare_revisions(self) -> None:
        """Note since when the revisions of the workers differ."""
        revisions = {each.state.revision for each in self._slots if each is not None and each.state}
        if len(revisions) < 2:  # noqa: PLR2004 - two differ
            self._skewed_since = None
        elif self._skewed_since is None:
            self._skewed_since = time.monotonic()

    def _serving(self) -> list[Worker]:
        return [each for each in self._slots if each is not None and each.state is not None]

    # Orders.

    async def reload(self, *, force: bool = False) -> list[WorkerOutcome]:
        """Make every worker poll policies and keys; return the outcomes after `ORDER_SECONDS` at most."""
        self._orders += 1
        until = time.monotonic() + ORDER_SECONDS
        slots = range(len(self._slots))
        outcomes = await asyncio.gather(*(self._order(i, self._orders, until, force=force) for i in slots))
        for each in outcomes:
            if each.failed:
                problem = each.problems[0]["message"] if each.problems else ""
                LOG.error(Event("a worker did not reload", worker=each.pid, problem=problem))
        return outcomes

    async def _order(self, slot: int, order: int, until: float, *, force: bool) -> WorkerOutcome:
        """Return the outcome of an order to the worker in a slot, or a failure at the time `until`."""
        ordered: Worker | None = None
        answer: asyncio.Future[WorkerOutcome] | None = None
        while time.monotonic() < until and not self._stopping:
            worker = self._slots[slot]
            if worker is not None and worker.state is not None and worker is not ordered:
                # A worker that has taken the slot meanwhile gets the order, too.
                ordered, answer = worker, asyncio.get_running_loop().create_future()
                worker.orders[order] = answer
                worker.send(order=order, force=force)
            if answer is not None:
                await asyncio.wait((answer,), timeout=WAIT_SECONDS)
                if answer.done():
                    return answer.result()
            else:
                await asyncio.sleep(WAIT_SECONDS)
            if worker is not None and worker.silent:
                return failed(worker.pid, "WorkerSilent", f"has sent nothing for {SILENT_SECONDS:g} seconds")
        worker = self._slots[slot]
        pid = 0 if worker is None else worker.pid
        if worker is None or worker.state is None:
            return failed(pid, "WorkerStarting", "does not serve yet")
        return failed(pid, "ReloadTimeout", f"has not ended the reload after {ORDER_SECONDS:g} seconds")

    def _receive(self, worker: Worker, message: dict[str, Any]) -> None:
        """Take one message of a worker: its state, why it cannot serve, or the outcome of an order."""
        worker.received_at = time.monotonic()
        if "state" in message:
            before, worker.state = worker.state, WorkerState(**message["state"])
            if before is None:
                worker.send(missing=self.verdict())
            elif before.revision != worker.state.revision:
                # The others shall read the change at once, not at their own next poll.
                for other in self._serving():
                    if other is not worker and other.state and other.state.revision != worker.state.revision:
                        other.send(order=NOT_AWAITED, force=False)
            self._judge()
            if len(self._serving()) == len(self._slots):
                self.begun.set()
        elif "refused" in message:
            worker.refused = message["refused"]
        else:
            answer = worker.orders.pop(message["order"], None)
            if answer is not None and not answer.done():
                answer.set_result(WorkerOutcome(**message["outcome"]))

    # Processes.

    async def keep(self, slot: int) -> None:
        """Keep a worker in one slot until `stop` is called.

        Raises SettingsError if the worker ends before all workers have ever served.
        """
        while not self._stopping:
            began = time.monotonic()
            worker = self._slots[slot]
            if worker is None:
                worker = await self._start(self._source)
                if self._slots[slot] is not None:  # a restart has filled the slot meanwhile
                    self._spawn(self._end(worker))
                    continue
                self._slots[slot] = worker
            waits = [asyncio.create_task(each) for each in (worker.process.wait(), worker.replaced.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in waits:
                each.cancel()
            if worker.replaced.is_set():
                continue
            if self._is_stopping():
                return
            self._slots[slot] = None
            self._forget(worker)
            self._judge()
            LOG.error(
                "worker %d ended with code %d; another takes its place", worker.pid, worker.process.returncode
            )
            if not self.begun.is_set():
                raise SettingsError(Problem("gateway.workers", "WorkerError", "a worker cannot start"))
            if time.monotonic() - began < SOON_SECONDS:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _start(self, source: int) -> Worker:
        """Start a worker process with the settings of a source, and receive its messages from now on."""
        ours, theirs = socket.socketpair()
        calls, *authorizer = (each.fileno() for each in self._sockets)
        inherited = (source, calls, theirs.fileno(), *authorizer)  # in the order that `worker.py` expects
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(() if "" in sys.path else ("-P",)),  # no module of the working directory may be imported
                "-m",
                "camguard.gateway.worker",
                *map(str, inherited),
                pass_fds=inherited,
                start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which stops the workers
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_BYTES)
        worker = self._running[process.pid] = Worker(process, writer)
        self._spawn(self._receive_all(worker, reader))
        return worker

    async def _receive_all(self, worker: Worker, reader: asyncio.StreamReader) -> None:
        """Take the messages of a worker until its end of the channel is closed."""
        with suppress(OSError):
            while received := await reader.readline():
                self._receive(worker, json.loads(received))
        worker.writer.close()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a task of its own, which is kept until it ends."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget(self, worker: Worker) -> None:
        """Forget a worker that has ended, with its gauges; its counters stay in the sums of the instance."""
        self._running.pop(worker.pid, None)
        for file in Path(os.environ[FOLDER]).glob(f"gauge_live*_{worker.pid}.db"):
            file.unlink(missing_ok=True)

    async def restart(self, source: int, ending_seconds: float) -> list[WorkerOutcome]:
        """Replace one worker after the other by workers with other settings (Rule 2).

        source, ending_seconds: of these settings. Return the outcomes, a failed one last.
        """
        async with self._restarting:
            outcomes: list[WorkerOutcome] = []
            for slot in range(len(self._slots)):
                outcomes.append(await self._replace(slot, source))
                if outcomes[-1].failed:
                    for earlier in range(slot):
                        back = await self._replace(earlier, self._source)
                        if back.failed:
                            LOG.error("worker %d keeps the settings that the others refused", back.pid)
                    return outcomes
            self._source, self._ending_seconds = source, ending_seconds
            return outcomes

    async def _replace(self, slot: int, source: int) -> WorkerOutcome:
        """Start a successor of the worker in a slot, which takes the slot once it is ready."""
        worker = await self._start(source)
        outcome = await self._wait_until_ready(worker)
        before = self._slots[slot]
        if outcome.failed or self._stopping:
            self._spawn(self._end(worker))
            return outcome
        worker.send(missing=self.verdict())
        self._slots[slot] = worker
        if before is not None:
            before.replaced.set()
            self._spawn(self._end(before))
        LOG.info(
            Event("a worker was replaced", worker=worker.pid, before=None if before is None else before.pid)
        )
        return outcome

    async def _wait_until_ready(self, worker: Worker) -> WorkerOutcome:
        """Return `success` once a successor serves and is ready, or why it does not come to that."""
        until = time.monotonic() + START_SECONDS
        ready_until = 0.0
        while not self._stopping:
            now, state = time.monotonic(), worker.state
            if worker.ended or worker.refused:
                await asyncio.sleep(WAIT_SECONDS)  # its last message may still arrive
                outcome = failed(worker.pid, "WorkerError", "has ended before it served")
                return outcome._replace(problems=worker.refused) if worker.refused else outcome
            if state is not None:
                if not state.missing:
                    return WorkerOutcome(worker.pid, "success", state.revision, state.serial, [])
                ready_until = ready_until or now + READY_SECONDS
                if now > ready_until:
                    message = f"serves and is not ready: {', '.join(state.missing)} missing"
                    return failed(worker.pid, "WorkerNotReady", message)
            if now > until:
                return failed(worker.pid, "WorkerStarting", f"does not serve after {START_SECONDS:g} seconds")
            await asyncio.sleep(WAIT_SECONDS)
        return failed(worker.pid, "WorkerEnded", "the instance is stopping")

    async def _end(self, worker: Worker) -> None:
        """Let a worker finish its calls while the instance goes on; kill it if it has not ended in time."""
        worker.replaced.set()
        worker.send(retire=True)
        try:
            async with asyncio.timeout(self._ending_seconds + GRACE_SECONDS):
                await worker.process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL, [worker])
            await worker.process.wait()
        self._forget(worker)

    def signal(self, number: signal.Signals, workers: Iterable[Worker]) -> None:
        """Send a signal to some of the workers."""
        for worker in tuple(workers):
            with suppress(ProcessLookupError):
                worker.process.send_signal(number)

    def _is_stopping(self) -> bool:
        """Tell whether `stop` was called meanwhile. mypy takes the attribute for unchanged after a wait."""
        return self._stopping

    async def stop(self) -> None:
        """Let the workers finish the requests in flight, then kill the workers that still run."""
        self._stopping = True
        for each in self._sockets:
            each.close()
        running = tuple(self._running.values())
        self.signal(signal.SIGTERM, running)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._ending_seconds + GRACE_SECONDS):
                await asyncio.gather(*(each.process.wait() for each in running))
        self.signal(signal.SIGKILL, running)
