"""The process log: what the gateway reports about itself on stderr, written by a thread of its own.

Rule 1: logging only appends a line to a bounded queue. One thread writes, so that a stderr that no process
        reads blocks this thread and nothing else.
Rule 2: a full queue drops the new line. Every dropped line is counted, and reported once lines are written
        again.
Rule 3: a record is one line, in logfmt or in JSON, with time, level, logger and message in front. Control
        characters are escaped, so that no name of a policy, key or file looks like a record of its own.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Literal, TextIO, TypeAlias

from camguard.printable import printable_json

LINES = 1000  # the largest number of waiting lines
CHARS = 4 << 20  # of all waiting lines
VALUE_CHARS = 1 << 20  # of one value of a record; a longer value is cut
STOP_SECONDS = 1.0
_RETRY_SECONDS = 1.0


Form: TypeAlias = Literal["logfmt", "json"]
Facts: TypeAlias = Mapping[str, Any]

_BARE = re.compile(r'[^\s"=\\]+')  # a value that logfmt writes without quotes


class Event:
    """The message of a log record that has facts: `_LOGGER.info(Event("keys were replaced", added=2))`.

    The process log writes the facts as fields of the record. The log of an application that uses the
    middleware shows them behind the text. A fact that is None or an empty list is left out.
    """

    __slots__ = ("facts", "text")

    def __init__(self, text: str, **facts: object) -> None:
        self.text = text
        self.facts = {name: value for name, value in facts.items() if value is not None and value != []}

    def __str__(self) -> str:
        """Return the text, and the facts in logfmt behind it."""
        return f"{self.text}: {logfmt(self.facts)}" if self.facts else self.text


def logfmt(facts: Facts) -> str:
    r"""Return `name=value` for each fact. A value is quoted as in JSON where it is not one plain word.

    >>> logfmt({"revision": "ab12", "added": ["one", "two"], "text": 'a "b"'})
    'revision=ab12 added="one, two" text="a \\"b\\""'
    """
    return " ".join(f"{name}={_logfmt_value(value)}" for name, value in facts.items())


def _logfmt_value(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if _BARE.fullmatch(text) and text.isprintable():
        return text
    return printable_json(json.dumps(text, ensure_ascii=False))


def line_of(record: logging.LogRecord, form: Form, always: Facts = MappingProxyType({})) -> str:
    """Return the line of one record, without a line break. always: facts of every record.

    `time` is in UTC with milliseconds, as RFC 3339 writes it.
    """
    event = record.msg if isinstance(record.msg, Event) else Event(record.getMessage())
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    facts = {
        "time": f"{moment}.{int(record.created % 1 * 1000):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "msg": event.text,
        **always,
        **event.facts,
    }
    if record.exc_info and record.exc_info[1] is not None:
        facts["traceback"] = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
    return _written({name: _cut(value) for name, value in facts.items()}, form)


def _written(facts: Facts, form: Form) -> str:
    if form == "json":
        document = json.dumps(facts, ensure_ascii=False, separators=(",", ":"), default=str)
        return printable_json(document)
    return logfmt(facts)


def _cut(value: object) -> object:
    return value[:VALUE_CHARS] if isinstance(value, str) else value


class ProcessLog(logging.Handler):
    """A log handler that never blocks its caller. dropped: the number of lines lost so far.

    stream: normally stderr; None if it was closed. lines: the largest number of waiting lines. always: facts
    of every record.
    """

    def __init__(
        self,
        stream: TextIO | None,
        form: Form = "logfmt",
        *,
        lines: int = LINES,
        always: Facts = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self._form = form
        self._always = always
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
        """Queue one record as one line."""
        try:
            line = line_of(record, self._form, self._always)
        except Exception as error:  # noqa: BLE001 - a record that cannot be formatted must not end the caller
            about = Event("a record cannot be formatted", of=record.name, error=type(error).__name__)
            line = self._own(logging.ERROR, about)
        self.write(line)

    def _own(self, level: int, event: Event) -> str:
        """Return the line of a record of this handler about itself."""
        record = logging.LogRecord(__name__, level, __file__, 0, event, None, None)
        return line_of(record, self._form, self._always)

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
        text = f"{lost} lines of this log were lost, because stderr was not read fast enough"
        return self._own(logging.WARNING, Event(text, lost=lost))

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Write the waiting lines, for at most `seconds`. A writer thread that blocks is abandoned."""
        self.acquire()
        try:
            if self._unreported:
                self._queue(self._report())
            self._waiting.put(None)
        finally:
            self.release()
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
def process_log(
    stream: TextIO | None, form: Form = "logfmt", level: str = "info", **always: object
) -> Iterator[ProcessLog]:
    """Write log records, warnings and exceptions of threads to `stream` while the block runs.

    level: the least severe that is written, in small letters. always: facts of every record.
    """
    log = ProcessLog(stream, form, always=always)
    root = logging.getLogger()
    before, hooks = root.level, (threading.excepthook, sys.unraisablehook)
    root.addHandler(log)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    threading.excepthook, sys.unraisablehook = _thread_failed, _unraisable
    log.start()
    try:
        yield log
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(capture=False)
        root.setLevel(before)
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
