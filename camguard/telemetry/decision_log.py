"""The decision log: one line for each judged request, written by a thread of its own.

Theory of operation. `conclude` runs in the event loop, once for each request. It appends the record to one of
two queues, allows or denials, and returns; it neither formats nor writes. The writer thread sleeps for
TICK_SECONDS, then takes the oldest records of both queues, formats them as lines and writes blocks of whole
lines until the queues are empty. Requests never wake the writer, because that would cost more than the rest
of `conclude`; a record therefore waits for up to one tick. The queues are bounded together. When they are
full, a new record replaces a waiting one, or is dropped. The sink opens its file again when the name of the
file means another file, so that log rotation needs no signal.

Rule 1: a request only appends its record to a queue; one thread formats and writes the lines (T116).
Rule 2: a full queue drops allows before denials, but a quarter of it is reserved for allows: anybody can send
        requests that are denied, and they must not displace all evidence of allowed requests. Every dropped
        record is counted.
Rule 3: only whole lines are written, at most BLOCK_BYTES at once, which a pipe never splits. If the system
        writes only a part of a block, the incomplete line is ended and written again as a whole.
Rule 4: a file that cannot be written never delays or fails a request: the writer retries until it succeeds or
        is stopped.
Rule 5: every record counts once: as written, dropped or unwritten. `stop` abandons a writer thread that a
        system call holds up, and counts what this thread holds as unwritten, whatever becomes of it.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import accumulate, islice
from pathlib import Path
from typing import BinaryIO

from camguard.engine.decision import Reason
from camguard.errors import Problem, SettingsError
from camguard.telemetry.log_line import log_line
from camguard.telemetry.record import Record

QUEUE = 10_000  # records
ALLOWED_SHARE = 4  # one place in this many of the queue is reserved for allowed calls
BLOCK_BYTES = 4096  # PIPE_BUF: the system does not interleave writes of this size to a shared pipe
YIELD_ABOVE = 256  # waiting records; above this,
YIELD_EVERY = 16  # one call in this many lets the writer thread run
TICK_SECONDS = 0.05  # for which the writer sleeps
RETRY_SECONDS = 1.0  # after a failed write
CHECK_SECONDS = 1.0  # between two checks whether the file was moved away
SETTLE_SECONDS = 0.02  # longer than a write takes
STOP_SECONDS = 5.0
_STDOUT = 1
_MODE = 0o640  # a log names people and addresses

_log = logging.getLogger("camguard.telemetry")
Waiting = tuple[Record, int | None, str | None, int | None]  # as `DecisionLog.conclude` is given them


class Sink:
    """Writes whole lines to a file or to stdout. Only one thread may use it.

    path: `-` for stdout, else a file, which is created if absent and opened when it is first needed.
    """

    def __init__(
        self,
        path: str,
        *,
        write: Callable[[int, bytes], int] = os.write,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._write = write
        self._monotonic = monotonic
        self._fd: int | None = None
        self._checked = 0.0
        self._incomplete = False  # whether the last line of the file lacks its line break

    def write(self, lines: deque[bytes]) -> None:
        """Write the first lines, as many as fit into one block, with one system call, and remove them.

        Raises OSError; the lines that remain were not written.
        """
        fd = self._open()
        head = b"\n" if self._incomplete else b""
        ends = accumulate(map(len, lines), initial=len(head))
        count = max(1, sum(1 for end in ends if end <= BLOCK_BYTES) - 1)
        block = head + b"".join(islice(lines, count))
        written = self._write_some(fd, block)
        if written:
            self._incomplete = block[written - 1 : written] != b"\n"
            # A line that lacks only its line break counts as written, because the next block begins with one.
            for _ in range(block.count(b"\n", len(head), written + 1)):
                lines.popleft()
        if written < len(block):
            raise OSError(errno.EIO, f"{written} of {len(block)} bytes were written")

    def _write_some(self, fd: int, block: bytes) -> int:
        while True:
            try:
                return self._write(fd, block)
            except BlockingIOError:  # another process made the shared stdout non-blocking
                select.select([], [fd], [], RETRY_SECONDS)

    def another(self) -> Sink:
        """Return a sink of the same file for another thread."""
        return Sink(self._path, write=self._write, monotonic=self._monotonic)

    def close(self) -> None:
        """Close the file. The next write opens it again."""
        fd, self._fd = self._fd, None
        if fd is not None and self._path != "-":
            os.close(fd)

    def _open(self) -> int:
        """Return the descriptor to write to. A file whose name means another file now is opened again."""
        if self._path == "-":
            return _STDOUT
        now = self._monotonic()
        if self._fd is not None and now - self._checked < CHECK_SECONDS:
            return self._fd
        self._checked = now
        if self._fd is not None and not self._moved(self._fd):
            return self._fd
        self.close()
        # O_NONBLOCK: opening a FIFO without a reader fails, and is retried, instead of blocking the writer.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        self._fd = os.open(self._path, flags, _MODE)
        os.set_blocking(self._fd, True)
        self._incomplete = self._ends_incomplete(self._fd)
        return self._fd

    def _moved(self, fd: int) -> bool:
        try:
            return not os.path.samestat(Path(self._path).stat(), os.fstat(fd))
        except FileNotFoundError:
            return True

    def _ends_incomplete(self, fd: int) -> bool:
        """Return whether a file ends within a line, for example because its writer was killed."""
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return self._incomplete  # a pipe: only this process's own writes are known
        try:
            with Path(self._path).open("rb", buffering=0) as file:
                return self._stays_incomplete(file)
        except OSError:  # the file may be writable and not readable
            return self._incomplete

    @staticmethod
    def _stays_incomplete(file: BinaryIO) -> bool:
        """Return whether a line stays incomplete: while another process writes, it is so for a moment."""
        size = -1
        while (now := file.seek(0, os.SEEK_END)) != size:
            if not now:
                return False
            file.seek(now - 1)
            if file.read(1) == b"\n":
                return False
            size = now
            time.sleep(SETTLE_SECONDS)
        return True


def require_writable(path: str) -> None:
    """Raise SettingsError if this process may not write the file of a decision log. It is not created.

    path: as for `DecisionLog`. A full disk or a pipe without a reader passes, because that may change.
    """
    if path in {"", "-"}:
        return
    file = Path(path)
    try:
        if file.exists():
            os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK))
            return
        if not file.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "its folder does not exist")
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "its folder cannot be written by this process")
    except OSError as error:
        if error.errno == errno.ENXIO:  # a FIFO without a reader
            return
        message = f'{path} cannot be written: {error.strerror}; name another file, or "-" for stdout'
        raise SettingsError(Problem("decision_log.path", "LogError", message)) from None


class _Held:
    """What one writer thread took from the queues. lines: not yet written. count: records not yet counted."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self.count = 0


class DecisionLog:
    """Writes each record that `conclude` receives as one line, between `start` and `stop`.

    path: `-` for stdout, empty for no log, else a file. queue: the largest number of waiting records.
    """

    def __init__(
        self,
        path: str,
        *,
        queue: int = QUEUE,
        retry_seconds: float = RETRY_SECONDS,
        sink: Sink | None = None,
    ) -> None:
        self._retry_seconds = retry_seconds
        self._sink = None if not path else sink or Sink(path)
        self._room = queue
        self._share = queue // ALLOWED_SHARE
        self._allows: deque[Waiting] = deque()
        self._denials: deque[Waiting] = deque()
        self._counts = {"written": 0, "dropped": 0, "error": 0, "unwritten": 0}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False
        self._held = _Held()  # what the writer thread holds; an abandoned thread keeps an object of its own
        self._lock = threading.Lock()  # for what the writer thread takes and counts, against `stop`

    @property
    def enabled(self) -> bool:
        """Whether there is a log."""
        return self._sink is not None

    def conclude(
        self,
        record: Record,
        upstream_status: int | None,
        upstream_error: str | None = None,
        status: int | None = None,
    ) -> None:
        """Queue one record, with the end of its request as `Conclusion` is given it."""
        allows, denials = self._allows, self._denials
        denied = record.decision.reason is not Reason.ALLOWED
        length = len(allows) + len(denials)
        if length >= self._room:
            self._counts["dropped"] += 1
            if not self._make_room(denied=denied):
                return
        elif length > YIELD_ABOVE and not length % YIELD_EVERY:
            time.sleep(0)  # without this, a busy event loop lets another thread run only every 5 ms
        (denials if denied else allows).append((record, upstream_status, upstream_error, status))

    def _make_room(self, *, denied: bool) -> bool:
        """Drop a waiting record in favour of a new one. Return whether there was one to drop.

        A denial takes the place of the oldest allow, as long as allows hold more than their share. An allow
        takes the place of the newest denial, as long as allows hold less.
        """
        allows = len(self._allows)
        if not (allows > self._share if denied else allows < self._share):
            return False
        try:
            self._allows.popleft() if denied else self._denials.pop()
        except IndexError:  # the writer has taken the record meanwhile
            return False
        return True

    def counts(self) -> tuple[int, int, int]:
        """Return how many records were written and dropped, and how many writes failed."""
        counts = self._counts
        return counts["written"], counts["dropped"] + counts["unwritten"], counts["error"]

    def start(self) -> None:
        """Start the writer thread."""
        if self._sink is not None and self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(
                target=self._run, args=(self._sink, self._held), name="camguard-log", daemon=True
            )
            self._thread.start()
            atexit.register(self.stop)  # an application may end without calling `stop`

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Write the waiting records. Those not written after `seconds` are dropped and counted."""
        atexit.unregister(self.stop)
        thread, self._thread = self._thread, None
        if thread is not None and self._sink is not None:
            self._stopping.set()
            thread.join(seconds)
            if thread.is_alive():
                self._sink = self._sink.another()
        with self._lock:
            self._counts["unwritten"] += len(self._allows) + len(self._denials) + self._held.count
            self._allows.clear()
            self._denials.clear()
            self._held = _Held()  # from now on, a thread that still writes counts nothing

    def _run(self, sink: Sink, held: _Held) -> None:
        """Write until stopped; then write the records that still wait. An abandoned thread ends."""
        while True:
            stopping = self._stopping.is_set()
            while self._fill(held):
                self._empty(sink, held)
            if stopping or held is not self._held:
                break
            self._stopping.wait(TICK_SECONDS)
        sink.close()

    def _fill(self, held: _Held) -> bool:
        """Format waiting records, as many as fill one block. Return whether there are lines to write."""
        size = 0
        while size < BLOCK_BYTES and (waiting := self._take(held)) is not None:
            try:
                line = log_line(*waiting)
            except Exception:  # noqa: BLE001 - one bad record must not stop the records behind it
                _log.warning("a record cannot be written as a line", exc_info=True)
                self._count(held, "unwritten")
            else:
                held.lines.append(line)
                size += len(line)
        return held is self._held and bool(held.lines)

    def _take(self, held: _Held) -> Waiting | None:
        """Remove and return the oldest waiting record; None where no record waits, and when abandoned."""
        with self._lock:
            waiting = self._first() if held is self._held else None
            held.count += waiting is not None
            return waiting

    def _count(self, held: _Held, outcome: str) -> None:
        """Count what the writer thread no longer holds. `stop` counts what an abandoned thread holds."""
        with self._lock:
            if held is self._held:
                self._counts[outcome] += held.count - len(held.lines)
            held.count = len(held.lines)

    def _first(self) -> Waiting | None:
        """Remove and return the oldest waiting record, or return None."""
        allows, denials = self._allows, self._denials
        try:
            if not denials or (allows and allows[0][0].time <= denials[0][0].time):
                return allows.popleft()
        except IndexError:  # a call has dropped the last allow meanwhile, or no record waits
            pass
        return denials.popleft() if denials else None

    def _empty(self, sink: Sink, held: _Held) -> None:
        """Write all formatted lines, with retries. After `stop`, a failure drops the remaining lines."""
        lines = held.lines
        while lines and held is self._held:
            stopping = self._stopping.is_set()
            try:
                sink.write(lines)
            except OSError as error:
                self._counts["error"] += 1
                sink.close()
                self._report(error)
                self._count(held, "written")
                if stopping:
                    lines.clear()
                    self._count(held, "unwritten")
                self._stopping.wait(self._retry_seconds)
            else:
                self._count(held, "written")
                self._report(None)

    def _report(self, error: OSError | None) -> None:
        """Log when writing begins to fail, and when it works again."""
        if error is not None and not self._failing:
            _log.warning("the decision log cannot be written, trying again: %s", error)
        elif error is None and self._failing:
            _log.warning("the decision log is written again")
        self._failing = error is not None
