"""The decision log: one line a judged request, written beside the calls.

Rule 1: a call adds its record to a queue and goes on; one thread makes the lines and writes them (T116).
Rule 2: a full queue loses allows before denials, except for a reserved quarter of it: denials cost a stranger
        nothing, so they must not push out all evidence of what was allowed. Every loss is counted.
Rule 3: whole lines are written, at most BLOCK_BYTES at once, which no pipe parts. Where the system took
        only a part, the next line starts on a line of its own and the one cut off is written again.
Rule 4: trouble with the file is no trouble for a call: the writer tries again until it works or is stopped.
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
from camguard.telemetry.log_line import log_line
from camguard.telemetry.record import Record

QUEUE = 10_000  # records
ALLOWED_SHARE = 4  # one in so many places of the queue is reserved for allowed calls
BLOCK_BYTES = 4096  # PIPE_BUF: processes that share a pipe do not part each other's writes of this size
YIELD_ABOVE = 256  # records waiting, above which
YIELD_EVERY = 16  # every so many calls let the writer in
TICK_SECONDS = 0.05  # how long a record may wait for its writer: calls never wake it, since that costs them
RETRY_SECONDS = 1.0  # after a failed write
LOOK_SECONDS = 1.0  # between two looks at whether the file was moved away
SETTLE_SECONDS = 0.02  # longer than a write takes
STOP_SECONDS = 5.0
_STDOUT = 1
_MODE = 0o640  # a log names people and addresses

_log = logging.getLogger("camguard.telemetry")
Waiting = tuple[Record, int | None]


class Sink:
    """A file, or stdout, that takes whole lines. Used by one thread.

    path: `-` for stdout, else a file, created if absent, opened when it is first needed.
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
        self._looked = 0.0
        self._torn = False  # whether what was written last has no line break

    def write(self, lines: deque[bytes]) -> None:
        """Write the first lines, as many as make one block, in one call to the system, and take them off.

        Raises OSError; the lines that are left are then to be written again.
        """
        fd = self._open()
        head = b"\n" if self._torn else b""
        ends = accumulate(map(len, lines), initial=len(head))
        count = max(1, sum(1 for end in ends if end <= BLOCK_BYTES) - 1)
        block = head + b"".join(islice(lines, count))
        written = self._write_some(fd, block)
        if written:
            self._torn = block[written - 1 : written] != b"\n"
            # A line that lacks its line break alone is written: the next block begins with one.
            for _ in range(block.count(b"\n", len(head), written + 1)):
                lines.popleft()
        if written < len(block):
            raise OSError(errno.EIO, f"{written} of {len(block)} bytes were written")

    def _write_some(self, fd: int, block: bytes) -> int:
        while True:
            try:
                return self._write(fd, block)
            except BlockingIOError:  # somebody made our stdout non-blocking: wait as a blocking one would
                select.select([], [fd], [], RETRY_SECONDS)

    def close(self) -> None:
        """Let the file go; the next line opens it again."""
        fd, self._fd = self._fd, None
        if fd is not None and self._path != "-":
            os.close(fd)

    def _open(self) -> int:
        """Return where to write: the open file, unless its name means another file by now."""
        if self._path == "-":
            return _STDOUT
        now = self._monotonic()
        if self._fd is not None and now - self._looked < LOOK_SECONDS:
            return self._fd
        self._looked = now
        if self._fd is not None and not self._moved(self._fd):
            return self._fd
        self.close()
        # O_NONBLOCK: a FIFO that nobody reads is an error, and is tried again, instead of waiting in open().
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        self._fd = os.open(self._path, flags, _MODE)
        os.set_blocking(self._fd, True)
        self._torn = self._ends_torn(self._fd)
        return self._fd

    def _moved(self, fd: int) -> bool:
        try:
            return not os.path.samestat(Path(self._path).stat(), os.fstat(fd))
        except FileNotFoundError:
            return True

    def _ends_torn(self, fd: int) -> bool:
        """Tell whether a file ends within a line, as one does whose writer was killed."""
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return self._torn  # a pipe: all that is known is what was written to it
        try:
            with Path(self._path).open("rb", buffering=0) as file:
                return self._stays_torn(file)
        except OSError:  # may be written and not read
            return self._torn

    @staticmethod
    def _stays_torn(file: BinaryIO) -> bool:
        """Look twice: what another process is writing just now looks torn for a moment."""
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


class DecisionLog:
    """Writes records as lines. `conclude` is told of each; `start` and `stop` are called once.

    path: `-` for stdout, empty for no log at all, else a file. queue: records that wait at most.
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
        self._counts = {"written": 0, "dropped": 0, "error": 0, "left": 0}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False
        self._lines: deque[bytes] = deque()  # made of records, not yet written

    @property
    def enabled(self) -> bool:
        """Whether anything is written."""
        return self._sink is not None

    def conclude(self, record: Record, upstream_status: int | None) -> None:
        """Have one record written, sometime. upstream_status: None where nothing was forwarded."""
        allows, denials = self._allows, self._denials
        denied = record.decision.reason is not Reason.ALLOWED
        length = len(allows) + len(denials)
        if length >= self._room:
            self._counts["dropped"] += 1
            if not self._make_room(denied=denied):
                return
        elif length > YIELD_ABOVE and not length % YIELD_EVERY:
            time.sleep(0)  # a busy event loop lets no other thread in for 5 ms at a time
        (denials if denied else allows).append((record, upstream_status))

    def _make_room(self, *, denied: bool) -> bool:
        """Drop a record for another one. Tell whether there was one to drop.

        A denial takes the place of the oldest allow, as long as allows hold more than their share. An allow
        takes the place of the newest denial, as long as allows hold less.
        """
        allows = len(self._allows)
        if not (allows > self._share if denied else allows < self._share):
            return False
        try:
            self._allows.popleft() if denied else self._denials.pop()
        except IndexError:  # the writer was quicker
            return False
        return True

    def counts(self) -> tuple[int, int, int]:
        """Return how many records were written and dropped, and how many writes failed."""
        counts = self._counts
        return counts["written"], counts["dropped"] + counts["left"], counts["error"]

    def start(self) -> None:
        """Begin to write."""
        if self._sink is not None and self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(
                target=self._run, args=(self._sink,), name="camguard-log", daemon=True
            )
            self._thread.start()
            atexit.register(self.stop)  # an application may end without saying so

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Write what waits, for so long at most; what is left then is dropped."""
        atexit.unregister(self.stop)
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join(seconds)
        self._counts["left"] += len(self._allows) + len(self._denials) + len(self._lines)
        self._allows.clear()
        self._denials.clear()

    def _run(self, sink: Sink) -> None:
        """Write until stopped, and then what still waits."""
        while True:
            stopping = self._stopping.is_set()
            while self._fill():
                self._empty(sink)
            if stopping:
                break
            self._stopping.wait(TICK_SECONDS)
        sink.close()

    def _fill(self) -> bool:
        """Make lines of what waits, enough for one block. Tell whether there are any."""
        size = 0
        while size < BLOCK_BYTES and (waiting := self._first()) is not None:
            try:
                line = log_line(*waiting)
            except Exception:  # noqa: BLE001 - whatever it is, the records behind it shall be written
                _log.warning("a record cannot be written as a line", exc_info=True)
                self._counts["left"] += 1
            else:
                self._lines.append(line)
                size += len(line)
        return bool(self._lines)

    def _first(self) -> Waiting | None:
        """Return what waits longest, None where nothing does."""
        allows, denials = self._allows, self._denials
        try:
            if not denials or (allows and allows[0][0].time <= denials[0][0].time):
                return allows.popleft()
        except IndexError:  # a call dropped the last allow meanwhile, or nothing waits
            pass
        return denials.popleft() if denials else None

    def _empty(self, sink: Sink) -> None:
        """Write the lines that were made, again and again if need be; drop them if a last try fails."""
        lines = self._lines
        while lines:
            stopping = self._stopping.is_set()
            before = len(lines)
            try:
                sink.write(lines)
            except OSError as error:
                self._counts["error"] += 1
                sink.close()
                self._say(error)
                self._counts["written"] += before - len(lines)
                if stopping:
                    self._counts["left"] += len(lines)
                    lines.clear()
                self._stopping.wait(self._retry_seconds)
            else:
                self._counts["written"] += before - len(lines)
                self._say(None)

    def _say(self, error: OSError | None) -> None:
        """Tell the operator when writing begins to fail and when it works again."""
        if error is not None and not self._failing:
            _log.warning("the decision log cannot be written, trying again: %s", error)
        elif error is None and self._failing:
            _log.warning("the decision log is written again")
        self._failing = error is not None
