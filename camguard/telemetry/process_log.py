"""The process log: what the gateway reports about itself on stderr, written by a thread of its own.

Rule 1: logging only appends a line to a bounded queue. One thread writes, so that a stderr that no process
        reads blocks this thread and nothing else.
Rule 2: a full queue drops the new line. Every dropped line is counted, and reported once lines are written
        again.
Rule 3: a record begins on a new line. Its further lines are indented, and control characters are escaped, so
        that no name of a policy, key or file looks like a record.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from camguard.printable import printable

LINES = 1000  # the largest number of waiting lines
CHARS = 4 << 20  # of all waiting lines
LINE_CHARS = 1 << 20  # of one record; a longer record is cut
STOP_SECONDS = 1.0
_RETRY_SECONDS = 1.0


class ProcessLog(logging.Handler):
    """A log handler that never blocks its caller. dropped: the number of lines lost so far.

    stream: normally stderr; None if it was closed. lines: the largest number of waiting lines.
    """

    def __init__(self, stream: TextIO | None, form: str, *, lines: int = LINES) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(form))
        self.dropped = 0
        self._unreported = 0
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._lines = lines
        self._queued = self._taken = 0  # characters, since the start
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="camguard-process-log", daemon=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record, escaped and with its further lines indented."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a record that cannot be formatted must not end the caller
            text = f"ERROR: a record of {record.name} cannot be formatted: {type(error).__name__}"
        self.write("\n  ".join(map(printable, text[:LINE_CHARS].split("\n"))))

    def write(self, line: str) -> None:
        """Queue one line, which is written as it is."""
        self.acquire()
        try:
            if self._waiting.qsize() >= self._lines or self._queued - self._taken + len(line) > CHARS:
                self.dropped += 1
                self._unreported += 1
                return
            if self._unreported:
                self._queue(self._report())
            self._queue(line)
        finally:
            self.release()

    def _queue(self, line: str) -> None:
        self._queued += len(line)
        self._waiting.put(line)

    def _report(self) -> str:
        lost, self._unreported = self._unreported, 0
        return f"WARNING: {lost} lines of this log were lost, because stderr was not read fast enough"

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Write the waiting lines, for at most `seconds`. A writer thread that blocks is abandoned."""
        if self._unreported:
            self._queue(self._report())
        self._waiting.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            self._put(line + "\n")
            self._taken += len(line)
            if self._unreported and self._waiting.empty():
                self.acquire()
                try:
                    report = self._report() if self._unreported else ""
                finally:
                    self.release()
                if report:
                    self._put(report + "\n")

    def _put(self, text: str) -> None:
        try:
            if self._descriptor is not None:
                self._write_all(self._descriptor, text.encode(self._encoding, "backslashreplace"))
            elif self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):  # the reader has ended, or the stream was closed
            self.dropped += 1

    @staticmethod
    def _write_all(descriptor: int, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:  # another process made the shared stderr non-blocking
                select.select([], [descriptor], [], _RETRY_SECONDS)


def _descriptor(stream: TextIO | None) -> int | None:
    """Return the descriptor of a stream; None if it has none, as in tests."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


@contextmanager
def process_log(stream: TextIO | None, form: str) -> Iterator[ProcessLog]:
    """Write log records, warnings and exceptions of threads to `stream` while the block runs.

    form: as `logging.Formatter` takes it.
    """
    log = ProcessLog(stream, form)
    root = logging.getLogger()
    level, hooks = root.level, (threading.excepthook, sys.unraisablehook)
    root.addHandler(log)
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    threading.excepthook, sys.unraisablehook = _thread_failed, _unraisable
    log.start()
    try:
        yield log
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(capture=False)
        root.setLevel(level)
        root.removeHandler(log)
        log.stop()


def lost_lines() -> int:
    """Return how many lines the process log of this process has lost; 0 without a process log."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, ProcessLog))


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread is not None else "unknown"
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        logging.getLogger(__name__).error("thread %s failed", name, exc_info=args.exc_value)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    logging.getLogger(__name__).error(
        "%s: %r", args.err_msg or "ignored", args.object, exc_info=args.exc_value
    )
