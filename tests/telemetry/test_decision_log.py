"""The decision log under trouble: no call waits, nothing is lost uncounted, no line runs into the next."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from camguard.engine.decision import Reason
from camguard.telemetry.decision_log import DecisionLog, Sink
from camguard.telemetry.record import Record
from tests.running import PATIENCE
from tests.telemetry.samples import action_of, record_of

ACT = action_of("aiart", "TextToImage")


def numbered(at: int, reason: Reason = Reason.ALLOWED) -> Record:
    return record_of(ACT, reason, request_id=str(at), time=1000.0 + at)


def lines_of(text: bytes | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def ids_of(path: Path) -> list[int]:
    return [int(line["id"]) for line in lines_of(path.read_bytes())]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class Disk:
    """Stands for os.write: takes `room` bytes, then fails as a full disk does, until it has room again."""

    def __init__(self, room: int, failure: int = errno.ENOSPC) -> None:
        self.room = room
        self.failure = failure

    def write(self, fd: int, line: bytes) -> int:
        """Write what there is room for."""
        if not self.room:
            raise OSError(self.failure, os.strerror(self.failure))
        written = os.write(fd, line[: self.room])
        self.room -= written
        return written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.log"


@pytest.fixture
def make() -> Iterator[Callable[..., DecisionLog]]:
    """Return a maker of started logs that are stopped when the test ends."""
    made: list[DecisionLog] = []

    def maker(path: Path | str, **changes: Any) -> DecisionLog:
        log = DecisionLog(str(path), retry_seconds=0.01, **changes)
        made.append(log)
        log.start()
        return log

    yield maker
    for log in made:
        log.stop(0.1)


Maker = Callable[..., DecisionLog]


def test_records_are_written_in_order_and_counted(path: Path, make: Maker) -> None:
    log = make(path)
    for at in range(1000):
        log.conclude(numbered(at, Reason.NO_ALLOW if at % 3 else Reason.ALLOWED), 200)
    log.stop()
    assert ids_of(path) == list(range(1000))
    assert log.counts() == (1000, 0, 0)


def test_a_record_is_there_soon(path: Path, make: Maker) -> None:
    log = make(path)
    log.conclude(numbered(1), None)
    until(lambda: path.exists() and path.read_bytes().endswith(b"\n"))


def test_a_log_is_no_business_of_others(path: Path, make: Maker) -> None:
    make(path).conclude(numbered(1), None)
    until(path.exists)
    assert path.stat().st_mode & 0o007 == 0


def test_a_log_grows_across_starts(path: Path, make: Maker) -> None:
    for at in range(3):
        log = make(path)
        log.conclude(numbered(at), None)
        log.stop()
    assert ids_of(path) == [0, 1, 2]


def test_no_path_means_no_log(make: Maker) -> None:
    log = make("")
    assert not log.enabled
    log.stop()
    assert log.counts() == (0, 0, 0)


def test_a_dash_means_stdout(make: Maker, capfd: pytest.CaptureFixture[str]) -> None:
    log = make("-")
    log.conclude(numbered(7), None)
    log.stop()
    assert [line["id"] for line in lines_of(capfd.readouterr().out)] == ["7"]


ALLOWED, DENIED = Reason.ALLOWED, Reason.NO_ALLOW
# what a queue of eight records is given in order, which of them (by number) it holds then: two are for allows
FULL = [
    pytest.param("aaaaaaaa aa", range(8), id="allows alone: the first ones stay"),
    pytest.param("dddddddd dd", range(8), id="denials alone: the first ones stay"),
    pytest.param(
        "aaaaaaaa ddd", [3, 4, 5, 6, 7, 8, 9, 10], id="a denial takes the place of the oldest allow"
    ),
    pytest.param(
        "aaaaaaaa dddddddd",
        [6, 7, 8, 9, 10, 11, 12, 13],
        id="denials beyond their share leave the two newest allows",
    ),
    pytest.param("dddddddd a", [0, 1, 2, 3, 4, 5, 6, 8], id="an allow takes the place of the newest denial"),
    pytest.param(
        "dddddddd aaaa", [0, 1, 2, 3, 4, 5, 8, 9], id="allows beyond their share do not push out denials"
    ),
    pytest.param(
        "dddddddd ad ad ad", [0, 1, 2, 3, 4, 5, 8, 10], id="denials and allows in turn: both keep their share"
    ),
]


@pytest.mark.parametrize(("given", "held"), FULL)
def test_a_full_queue_keeps_denials_before_allows_beyond_a_quarter(
    path: Path, given: str, held: Iterable[int]
) -> None:
    log = DecisionLog(str(path), queue=8)
    letters = given.replace(" ", "")
    for at, letter in enumerate(letters):
        log.conclude(numbered(at, ALLOWED if letter == "a" else DENIED), None)
    assert log.counts() == (0, len(letters) - 8, 0)
    log.start()
    log.stop()
    assert ids_of(path) == list(held)
    assert log.counts() == (8, len(letters) - 8, 0)


def test_a_flood_of_denials_under_a_stuck_pipe_leaves_allows_their_share(tmp_path: Path, make: Maker) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = make(fifo, queue=400)
    for at in range(2000):  # more than the pipe and the queue take
        log.conclude(numbered(at, DENIED), None)
    until(lambda: log.counts()[0] > 0)
    for at in range(2000, 2100):
        log.conclude(numbered(at), None)
        log.conclude(numbered(at, DENIED), None)
    found = b""
    os.set_blocking(reader, False)

    def drained() -> bool:
        nonlocal found
        with contextlib.suppress(BlockingIOError):
            found += os.read(reader, 1 << 20)
        return found.count(b"\n") + log.counts()[1] == 2200

    until(drained)
    allowed = [int(line["id"]) for line in lines_of(found) if line["decision"] == "allow"]
    assert allowed == list(range(2000, 2100))
    os.close(reader)


def test_a_call_never_waits_for_a_stuck_reader(tmp_path: Path, make: Maker) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    stuck = threading.Event()

    def write(fd: int, block: bytes) -> int:
        if not select.select([], [fd], [], 0)[1]:
            stuck.set()
        return os.write(fd, block)

    log = make(fifo, queue=500, sink=Sink(str(fifo), write=write))
    took = []
    for at in range(5000):
        began = time.perf_counter()
        log.conclude(numbered(at), None)
        took.append(time.perf_counter() - began)
        if at % 100 == 0:
            time.sleep(0.001)
    assert sorted(took)[4900] < 0.05, "a busy machine delays some of them, a reader would delay most of them"
    assert log.counts()[1] > 0
    assert stuck.wait(PATIENCE)
    log.stop(0.2)  # and does not wait for the reader, either
    written, dropped, errors = log.counts()
    assert written + dropped == 5000
    assert errors == 0
    # The reader wakes up: what was written is whole.
    found = b""
    os.set_blocking(reader, False)
    while found.count(b"\n") < written:
        try:
            found += os.read(reader, 1 << 20)
        except BlockingIOError:  # the thread that writes has its turn
            time.sleep(0.005)
    assert found.endswith(b"\n")
    assert len(lines_of(found)) >= written
    os.close(reader)


def test_a_full_disk_is_counted_and_costs_no_call(make: Maker) -> None:
    log = make("/dev/full")
    for at in range(10):
        log.conclude(numbered(at), None)
    until(lambda: log.counts()[2] > 1)
    log.stop()
    written, dropped, errors = log.counts()
    assert (written, dropped) == (0, 10)
    assert errors > 1


@pytest.mark.parametrize(
    "failure", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EPIPE], ids=errno.errorcode.get
)
def test_writing_goes_on_when_it_can(path: Path, make: Maker, failure: int) -> None:
    disk = Disk(0, failure)
    log = make(path, sink=Sink(str(path), write=disk.write))
    for at in range(5):
        log.conclude(numbered(at), None)
    until(lambda: log.counts()[2] > 0)
    disk.room = 1 << 30
    until(lambda: log.counts()[0] == 5)
    assert ids_of(path) == [0, 1, 2, 3, 4]
    assert log.counts()[1] == 0


def test_a_file_that_fails_is_let_go(path: Path, make: Maker) -> None:
    disk = Disk(0)
    log = make(path, sink=Sink(str(path), write=disk.write))
    log.conclude(numbered(1), None)
    until(lambda: log.counts()[2] > 0)
    path.rename(path.with_suffix(".full"))
    disk.room = 1 << 30
    log.stop()
    assert ids_of(path) == [1]


@pytest.mark.parametrize("room", [1, 2, 100, 400])
def test_a_line_cut_off_never_runs_into_the_next(path: Path, make: Maker, room: int) -> None:
    disk = Disk(room)
    log = make(path, sink=Sink(str(path), write=disk.write))
    for at in range(3):
        log.conclude(numbered(at), None)
    until(lambda: log.counts()[2] > 0)
    disk.room = 1 << 30
    log.stop()
    whole = [line for line in path.read_bytes().splitlines() if line.endswith(b"}")]
    assert [json.loads(line)["id"] for line in whole] == ["0", "1", "2"]


def test_a_line_cut_off_in_a_pipe_never_runs_into_the_next(tmp_path: Path) -> None:
    """A pipe cannot be looked at: what was torn is remembered, also while the pipe is opened anew."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    disk = Disk(5)
    sink = Sink(str(fifo), write=disk.write)
    with pytest.raises(OSError, match="5 of 8 bytes"):
        sink.write(deque([b"1234567\n"]))
    sink.close()
    for room in (0, 1, 2):
        disk.room = room
        with pytest.raises(OSError):  # noqa: PT011 - any will do
            sink.write(deque([b"1234567\n"]))
        sink.close()
    disk.room = 100
    sink.write(deque([b"1234567\n"]))
    sink.write(deque([b"abc\n"]))
    sink.close()
    assert os.read(reader, 1000) == b"12345\n12\n1234567\nabc\n"
    os.close(reader)


def test_a_fifo_without_a_reader_is_tried_again_and_does_not_keep_the_log_from_stopping(
    tmp_path: Path, make: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    log = make(fifo)
    log.conclude(numbered(1), None)
    until(lambda: log.counts()[2] > 1)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    until(lambda: log.counts()[0] == 1)
    assert [line["id"] for line in lines_of(os.read(reader, 1 << 16))] == ["1"]
    os.close(reader)
    log.conclude(numbered(2), None)
    until(lambda: log.counts()[2] > 3)
    log.stop()
    assert log.counts()[:2] == (1, 1)
    assert "trying again" in caplog.text


# bytes that the system takes of b"11\n22\n33\n" at first, lines that are left to be written
NUMBERS = [b"11", b"22", b"33", b"44"]
PARTS = [(0, 3), (1, 3), (2, 2), (3, 2), (4, 2), (5, 1), (6, 1), (7, 1), (8, 0), (9, 0)]


@pytest.mark.parametrize(("room", "left"), PARTS)
@pytest.mark.parametrize("torn", [b"", b"{"], ids=["after a whole line", "after a torn one"])
def test_what_was_taken_is_not_written_again(path: Path, torn: bytes, room: int, left: int) -> None:
    path.write_bytes(torn)
    disk = Disk(room + len(torn))  # a torn line costs a line break
    sink = Sink(str(path), write=disk.write)
    lines = deque([b"11\n", b"22\n", b"33\n"])
    with contextlib.suppress(OSError):
        sink.write(lines)
    sink.close()
    assert len(lines) == left
    disk.room = 100
    lines.append(b"44\n")
    sink.write(lines)
    sink.close()
    written = path.read_bytes().splitlines()
    assert [line for line in written if line in NUMBERS] == NUMBERS
    assert all(len(line) <= 2 for line in written)


def test_no_write_is_larger_than_what_a_pipe_keeps_together(path: Path) -> None:
    blocks: list[bytes] = []

    def write(fd: int, block: bytes) -> int:
        blocks.append(block)
        return os.write(fd, block)

    log = DecisionLog(str(path), sink=Sink(str(path), write=write))
    for at in range(500):
        log.conclude(record_of(ACT, action="x" * (at % 300), request_id=str(at)), None)
    log.start()  # not before: how full the blocks are would depend on how fast the thread is
    log.stop()
    assert max(map(len, blocks)) <= 4096
    assert len(blocks) < 250
    assert {block[-1:] for block in blocks} == {b"\n"}
    assert len(ids_of(path)) == 500


def test_a_file_whose_writer_was_killed_is_continued_on_a_new_line(path: Path, make: Maker) -> None:
    path.write_bytes(b'{"time":"20')
    log = make(path)
    log.conclude(numbered(1), None)
    log.stop()
    first, second = path.read_bytes().splitlines()
    assert first == b'{"time":"20'
    assert json.loads(second)["id"] == "1"


def test_what_another_process_is_writing_just_now_is_not_torn(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"half ")

    def meanwhile(_seconds: float) -> None:
        with path.open("ab") as file:
            file.write(b"a line\n")

    monkeypatch.setattr(time, "sleep", meanwhile)
    Sink(str(path)).write(deque([b"another\n"]))
    assert path.read_bytes() == b"half a line\nanother\n"


def test_a_file_moved_away_is_made_anew_within_a_second(path: Path) -> None:
    now = 0.0
    sink = Sink(str(path), monotonic=lambda: now)
    moved = path.with_suffix(".1")
    sink.write(deque([b"1\n"]))
    path.rename(moved)
    now = 0.9
    sink.write(deque([b"2\n"]))
    now = 1.1
    sink.write(deque([b"3\n"]))
    path.unlink()
    now = 2.2
    sink.write(deque([b"4\n"]))
    sink.close()
    assert (moved.read_bytes(), path.read_bytes()) == (b"1\n2\n", b"4\n")


def test_a_folder_that_is_missing_may_come(tmp_path: Path, make: Maker) -> None:
    path = tmp_path / "logs" / "decisions.log"
    log = make(path)
    log.conclude(numbered(1), None)
    until(lambda: log.counts()[2] > 0)
    path.parent.mkdir()
    until(lambda: log.counts()[0] == 1)
    assert ids_of(path) == [1]


def test_a_stdout_that_another_program_made_non_blocking_is_waited_for(tmp_path: Path, make: Maker) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    refusals = iter((True, True, False))

    def write(fd: int, line: bytes) -> int:
        if next(refusals, False):
            raise BlockingIOError
        return os.write(fd, line)

    log = make(fifo, sink=Sink(str(fifo), write=write))
    log.conclude(numbered(1), None)
    until(lambda: log.counts()[0] == 1)
    assert log.counts() == (1, 0, 0)
    os.close(reader)


def test_trouble_is_logged_once_and_its_end_too(
    path: Path, make: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(0)
    log = make(path, sink=Sink(str(path), write=disk.write))
    log.conclude(numbered(1), None)
    until(lambda: log.counts()[2] > 2)
    disk.room = 1 << 30
    until(lambda: log.counts()[0] == 1)
    log.stop()
    assert [record.message for record in caplog.records] == [
        "the decision log cannot be written, trying again: [Errno 28] No space left on device",
        "the decision log is written again",
    ]


def test_a_record_that_makes_no_line_costs_only_itself(path: Path, make: Maker) -> None:
    log = make(path)
    log.conclude(numbered(1)._replace(duration="soon"), None)  # type: ignore[arg-type]
    log.conclude(numbered(2), None)
    log.stop()
    assert ids_of(path) == [2]
    assert log.counts() == (1, 1, 0)


def test_two_writers_of_one_file_do_not_mix_their_lines(path: Path, make: Maker) -> None:
    logs = [make(path), make(path)]
    threads = [
        threading.Thread(target=lambda log=log: [log.conclude(numbered(at), None) for at in range(2000)])
        for log in logs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.stop()
    assert sorted(ids_of(path)) == sorted([*range(2000), *range(2000)])


def test_stopping_twice_counts_once(path: Path) -> None:
    log = DecisionLog(str(path))
    log.conclude(numbered(1), None)
    log.stop()
    log.stop()
    assert log.counts() == (0, 1, 0)


class Door:
    """Stands for os.write: holds each write up until the door is open."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def write(self, fd: int, block: bytes) -> int:
        """Write a block when the door is open."""
        self.reached.set()
        assert self.open.wait(PATIENCE)
        return os.write(fd, block)


@pytest.mark.parametrize("again", [False, True], ids=["for good", "and started again"])
def test_each_record_counts_once_where_a_slow_write_is_abandoned(path: Path, *, again: bool) -> None:
    """Records of the write, records behind it, and records of a second writer thread."""
    door = Door()
    log = DecisionLog(str(path), sink=Sink(str(path), write=door.write))
    before = threading.enumerate()
    log.start()
    [slow] = set(threading.enumerate()) - set(before)
    for at in range(100):
        log.conclude(numbered(at), None)
    assert door.reached.wait(PATIENCE)
    log.stop(0.0)
    assert log.counts() == (0, 100, 0)
    if again:
        log.start()
        for at in range(100, 200):
            log.conclude(numbered(at), None)
    door.open.set()
    slow.join(PATIENCE)
    assert not slow.is_alive()
    log.stop()
    assert log.counts() == (100 if again else 0, 100, 0)
    assert [at for at in ids_of(path) if at >= 100] == list(range(100, 200 if again else 100))
    assert len(ids_of(path)) < 200, "an abandoned thread ends after the write that held it up"
