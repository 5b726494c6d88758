"""The process log under trouble: no caller waits for it, every loss is counted, no line is forged."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import struct
import termios
import threading
import time
import warnings
from collections.abc import Iterator
from typing import TextIO

import pytest

from camguard.telemetry.process_log import CHARS, LINE_CHARS, ProcessLog, lost_lines, process_log

LOG = logging.getLogger("camguard.test")
FORM = "%(levelname)s: %(message)s"
PIPE_BYTES = 65_536


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """Return a pipe: the end to read from, and the stream to write to."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        yield reader, stream
    os.close(reader)


def readable_bytes(reader: int) -> int:
    """Return how many bytes of a pipe wait to be read."""
    return struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, b"\0" * 4))[0]  # type: ignore[no-any-return]


def read_until(reader: int, end: str) -> list[str]:
    """Return the lines up to the one that holds `end`."""
    found = b""
    stop = time.monotonic() + 10
    while end.encode() not in found and time.monotonic() < stop:
        found += os.read(reader, 1 << 20)
    return found.decode().splitlines()


def test_records_are_written_in_order(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    with process_log(stream, FORM) as log:
        for number in range(100):
            LOG.info("%d", number)
        log.write("a line as it is")
    assert read_until(reader, "as it is") == [
        *(f"INFO: {number}" for number in range(100)),
        "a line as it is",
    ]


def test_logging_never_waits_for_a_reader_and_every_loss_is_counted(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    log = ProcessLog(stream, FORM, lines=50)
    log.start()
    slowest = 0.0
    for number in range(2000):
        began = time.perf_counter()
        log.write(f"{number:06} " + "x" * 200)  # six times what the pipe takes
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.05
    assert 2000 - 50 - PIPE_BYTES // 207 - 2 <= log.dropped < 2000
    began = time.perf_counter()
    log.stop(0.1)
    assert time.perf_counter() - began < 1
    lines = read_until(reader, "were lost")
    written = [line for line in lines if line.startswith("0")]
    assert len(written) + log.dropped == 2000
    assert lines[-1].startswith(f"WARNING: {log.dropped} lines of this log were lost")


def test_a_loss_is_reported_before_the_next_line(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    log = ProcessLog(stream, FORM, lines=2)
    for number in range(5):
        log.write(str(number))
    log.start()
    log.stop()
    assert read_until(reader, "lost")[:2] == ["0", "1"]
    log = ProcessLog(stream, FORM, lines=2)
    log.write("x" * PIPE_BYTES)
    log.start()
    while readable_bytes(reader) < PIPE_BYTES:  # then the thread has taken the line, and the pipe is full
        time.sleep(0.001)
    for number in range(5):
        log.write(str(number))
    lines = read_until(reader, "lost")
    assert lines[1:3] == ["0", "1"]
    assert lines[3].startswith("WARNING: 3 lines of this log were lost")
    log.write("flows again")
    assert read_until(reader, "again") == ["flows again"]
    log.stop()
    assert log.dropped == 3


FORGED = [
    pytest.param("a\nINFO: forged", ["ERROR: a", "  INFO: forged"], id="a line break in a message"),
    pytest.param("a\rINFO: forged", ["ERROR: a\\rINFO: forged"], id="a carriage return"),
    pytest.param("a\x85b\u2028c\x0bd", ["ERROR: a\\x85b\\u2028c\\x0bd"], id="other ends of lines"),
    pytest.param(
        "\x1b[2J\u202eab\udc80", ["ERROR: \\x1b[2J\\u202eab\\udc80"], id="controls, bidi, surrogates"
    ),
]


@pytest.mark.parametrize(("message", "lines"), FORGED)
def test_no_message_forges_a_record(message: str, lines: list[str]) -> None:
    stream = io.StringIO()
    with process_log(stream, FORM) as log:
        log.handle(LOG.makeRecord(LOG.name, logging.ERROR, "", 0, "%s", (message,), None))
    assert stream.getvalue() == "\n".join(lines) + "\n"


def test_lines_that_wait_are_bounded_by_their_characters_too() -> None:
    log = ProcessLog(None, FORM)
    for _ in range(10):
        log.write("x" * (CHARS // 4))
    assert log.dropped == 6
    log.start()
    log.stop()
    stream = io.StringIO()
    log = ProcessLog(stream, FORM)
    log.start()
    for number in range(10):
        log.write("x" * (CHARS // 4))
        while stream.tell() < (number + 1) * (CHARS // 4 + 1):  # what was written frees its place
            time.sleep(0.001)
    log.stop()
    assert log.dropped == 0


def test_a_record_is_cut() -> None:
    stream = io.StringIO()
    with process_log(stream, FORM):
        LOG.error("x" * (LINE_CHARS * 2))
    assert len(stream.getvalue()) == LINE_CHARS + 1


def test_a_record_that_cannot_be_formatted_is_named() -> None:
    stream = io.StringIO()
    with process_log(stream, FORM) as log:
        log.handle(LOG.makeRecord(LOG.name, logging.ERROR, "", 0, "%d", ("no number",), None))
        LOG.error("next")
    first, second = stream.getvalue().splitlines()
    assert first == "ERROR: a record of camguard.test cannot be formatted: TypeError"
    assert second == "ERROR: next"


def test_a_pipe_whose_reader_is_gone_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, process_log(stream, FORM) as log:
        LOG.error("a")
        LOG.error("b")
    assert log.dropped == 2


@pytest.mark.parametrize("closed", [False, True], ids=["there is no stderr", "stderr was closed"])
def test_no_stream_is_no_trouble(*, closed: bool) -> None:
    stream = io.StringIO()
    stream.close()
    with process_log(stream if closed else None, FORM):
        LOG.error("a")


def test_a_stream_that_another_program_made_non_blocking_is_waited_for(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    os.set_blocking(stream.fileno(), False)
    log = ProcessLog(stream, FORM, lines=2000)
    log.start()
    for _ in range(1000):
        log.write("x" * 199)
    log.write("the end")
    assert len(read_until(reader, "the end")) == 1001
    log.stop()
    assert log.dropped == 0


def test_warnings_and_failing_threads_go_to_the_log() -> None:
    stream = io.StringIO()

    def fail() -> None:
        raise ValueError("in a thread")

    hook = threading.excepthook
    with process_log(stream, FORM), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)  # inside the block that saves and restores
        warnings.warn("careful", stacklevel=1)
        thread = threading.Thread(target=fail, name="failing")
        thread.start()
        thread.join()
    text = stream.getvalue()
    assert "UserWarning: careful" in text
    assert "ERROR: thread failing failed" in text
    assert "  ValueError: in a thread" in text.splitlines()
    assert threading.excepthook is hook


def test_losses_of_this_process_are_counted_for_the_metrics() -> None:
    assert lost_lines() == 0
    with process_log(None, FORM) as log:
        log.dropped = 7
        assert lost_lines() == 7
    assert lost_lines() == 0
