"""The process log under trouble: no caller waits for it, every loss is counted, no line is forged."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import re
import select
import struct
import termios
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TextIO

import pytest

from camguard.telemetry.process_log import (
    CHARS,
    VALUE_CHARS,
    Event,
    ProcessLog,
    lost_lines,
    process_log,
)
from tests.running import PATIENCE

LOG = logging.getLogger("camguard.test")
PIPE_BYTES = 65_536
LOST = re.compile(r" lost=(\d+)$")
LOST_LINE = (
    'level=warning msg="{0} lines of this log were lost, because stderr was not read fast enough" lost={0}'
)
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def without_time(line: str) -> str:
    """Return a line of logfmt without its time and logger, which its beginning must be."""
    found = re.fullmatch(rf"time={TIME.pattern} (level=\w+ )logger=\S+ (.*)", line)
    assert found is not None, line
    return found[1] + found[2]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `stop` wait for a thread that a busy machine does not run for a second."""
    monkeypatch.setattr(ProcessLog.stop, "__defaults__", (PATIENCE,))


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
    return read_while(reader, lambda lines: not any(end in line for line in lines))


def read_while(reader: int, lacking: Callable[[list[str]], bool]) -> list[str]:
    """Return the lines of a pipe, which is read as long as they lack what a test waits for."""
    found = b""
    while lacking(lines := found.decode().splitlines()):
        assert select.select([reader], [], [], PATIENCE)[0], "nothing more is written"
        found += os.read(reader, 1 << 20)
    return lines


def lost_of(lines: list[str]) -> list[int]:
    """Return the numbers of lost lines that a log reports."""
    return [int(number) for line in lines for number in LOST.findall(line)]


def numbered(lines: list[str]) -> list[str]:
    """Return the lines that a test wrote, which begin with a number of six digits."""
    return [line for line in lines if line.startswith("0")]


def test_records_are_written_in_order(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    with process_log(stream) as log:
        for number in range(100):
            LOG.info("%d", number)
        log.write("a line as it is")
    *records, last = read_until(reader, "as it is")
    assert list(map(without_time, records)) == [f"level=info msg={number}" for number in range(100)]
    assert last == "a line as it is"


def test_logging_never_waits_for_a_reader_and_every_loss_is_counted(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    log = ProcessLog(stream, lines=50)
    log.start()
    took = []
    for number in range(2000):
        began = time.perf_counter()
        log.write(f"{number:06} " + "x" * 200)  # six times what the pipe takes
        took.append(time.perf_counter() - began)
    assert sorted(took)[1950] < 0.05, "a busy machine delays some of them, a reader would delay most of them"
    assert 2000 - 50 - PIPE_BYTES // 207 - 2 <= log.dropped < 2000
    log.stop(0.1)  # and does not wait for the reader, either
    lines = read_while(reader, lambda lines: len(numbered(lines)) + sum(lost_of(lines)) < 2000)
    assert len(numbered(lines)) + log.dropped == 2000
    # Usually in one line; where the thread finds room between two losses, it reports each of them.
    reports = [without_time(line) for line in lines if line not in numbered(lines)]
    assert reports == [LOST_LINE.format(lost) for lost in lost_of(lines)]
    assert sum(lost_of(lines)) == log.dropped


def test_a_loss_is_reported_before_the_next_line(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    log = ProcessLog(stream, lines=2)
    for number in range(5):
        log.write(str(number))
    log.start()
    log.stop()
    assert read_until(reader, "lost")[:2] == ["0", "1"]
    log = ProcessLog(stream, lines=2)
    log.write("x" * PIPE_BYTES)
    log.start()
    while readable_bytes(reader) < PIPE_BYTES:  # then the thread has taken the line, and the pipe is full
        time.sleep(0.001)
    for number in range(5):
        log.write(str(number))
    lines = read_until(reader, "lost")
    assert lines[1:3] == ["0", "1"]
    assert without_time(lines[3]).startswith('level=warning msg="3 lines of this log were lost')
    log.write("flows again")
    assert read_until(reader, "again") == ["flows again"]
    log.stop()
    assert log.dropped == 3


FORGED = [
    pytest.param("a\nlevel=info msg=forged", '"a\\nlevel=info msg=forged"', id="a line break"),
    pytest.param('a" level=info', '"a\\" level=info"', id="a quote"),
    pytest.param("level=info", '"level=info"', id="an equals sign"),
    pytest.param("a\\", '"a\\\\"', id="a backslash"),
    pytest.param("a\rb", '"a\\rb"', id="a carriage return"),
    pytest.param("a\x85b\u2028c\x0bd", '"a\\u0085b\\u2028c\\u000bd"', id="other ends of lines"),
    pytest.param("\x1b[2J\u202eab\udc80", '"\\u001b[2J\\u202eab\\udc80"', id="controls, bidi, surrogates"),
    pytest.param("", '""', id="nothing"),
]


@pytest.mark.parametrize(("message", "value"), FORGED)
def test_no_message_forges_a_record(message: str, value: str) -> None:
    stream = io.StringIO()
    with process_log(stream) as log:
        log.handle(LOG.makeRecord(LOG.name, logging.ERROR, "", 0, "%s", (message,), None))
    assert without_time(stream.getvalue().removesuffix("\n")) == f"level=error msg={value}"


@pytest.mark.parametrize(("message", "value"), FORGED)
def test_a_json_record_is_one_line_with_the_same_text(message: str, value: str) -> None:
    del value
    stream = io.StringIO()
    with process_log(stream, "json", worker=7):
        LOG.warning(Event("text", value=message, nothing=None, empty=[], several=["a", "b"]))
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    record = json.loads(line)
    assert TIME.fullmatch(record.pop("time"))
    assert record == {
        "level": "warning",
        "logger": LOG.name,
        "msg": "text",
        "worker": 7,
        "value": message,
        "several": ["a", "b"],
    }


def test_facts_of_an_event_are_fields_here_and_text_elsewhere() -> None:
    event = Event("keys are in use", added=["AKID…", "b c"], total=3, seconds=0.5, file="/a b", none=None)
    assert str(event) == 'keys are in use: added="AKID…, b c" total=3 seconds=0.5 file="/a b"'
    stream = io.StringIO()
    with process_log(stream, worker=12):
        LOG.info(event)
    fields = 'level=info msg="keys are in use" worker=12 added="AKID…, b c" total=3 seconds=0.5 file="/a b"'
    assert without_time(stream.getvalue().strip()) == fields


@pytest.mark.parametrize(
    ("level", "written"),
    [
        pytest.param("debug", ["debug", "info", "warning", "error"], id="everything"),
        pytest.param("info", ["info", "warning", "error"], id="the default"),
        pytest.param("warning", ["warning", "error"], id="what needs a look"),
        pytest.param("error", ["error"], id="what is wrong"),
    ],
)
def test_a_level_leaves_out_what_is_less_severe(level: str, written: list[str]) -> None:
    stream = io.StringIO()
    with process_log(stream, "json", level):
        for each in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            LOG.log(each, "x")
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == written


def test_lines_that_wait_are_bounded_by_their_characters_too() -> None:
    log = ProcessLog(None)
    for _ in range(10):
        log.write("x" * (CHARS // 4))
    assert log.dropped == 6
    log.start()
    log.stop()
    stream = io.StringIO()
    log = ProcessLog(stream)
    log.start()
    for number in range(10):
        log.write("x" * (CHARS // 4))
        while stream.tell() < (number + 1) * (CHARS // 4 + 1):  # what was written frees its place
            time.sleep(0.001)
    log.stop()
    assert log.dropped == 0


def test_a_long_value_is_cut() -> None:
    stream = io.StringIO()
    with process_log(stream):
        LOG.error("x" * (VALUE_CHARS * 2))
    assert without_time(stream.getvalue().strip()) == "level=error msg=" + "x" * VALUE_CHARS


def test_a_record_that_cannot_be_formatted_is_named() -> None:
    stream = io.StringIO()
    with process_log(stream) as log:
        log.handle(LOG.makeRecord(LOG.name, logging.ERROR, "", 0, "%d", ("no number",), None))
        LOG.error("next")
    first, second = map(without_time, stream.getvalue().splitlines())
    assert first == 'level=error msg="a record cannot be formatted" of=camguard.test error=TypeError'
    assert second == "level=error msg=next"


def test_a_pipe_whose_reader_is_gone_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, process_log(stream) as log:
        LOG.error("a")
        LOG.error("b")
    assert log.dropped == 2


@pytest.mark.parametrize("closed", [False, True], ids=["there is no stderr", "stderr was closed"])
def test_no_stream_is_no_trouble(*, closed: bool) -> None:
    stream = io.StringIO()
    stream.close()
    with process_log(stream if closed else None):
        LOG.error("a")


def test_a_stream_that_another_program_made_non_blocking_is_waited_for(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    os.set_blocking(stream.fileno(), False)
    log = ProcessLog(stream, lines=2000)
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
    with process_log(stream), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)  # inside the block that saves and restores
        warnings.warn("careful", stacklevel=1)
        thread = threading.Thread(target=fail, name="failing")
        thread.start()
        thread.join()
    text = stream.getvalue()
    assert "UserWarning: careful" in text
    (line,) = [line for line in text.splitlines() if "thread failing failed" in line]
    assert without_time(line).startswith('level=error msg="thread failing failed" traceback="Traceback')
    assert line.endswith('ValueError: in a thread"')
    assert threading.excepthook is hook


def test_losses_of_this_process_are_counted_for_the_metrics() -> None:
    assert lost_lines() == 0
    with process_log(None) as log:
        log.dropped = 7
        assert lost_lines() == 7
    assert lost_lines() == 0
