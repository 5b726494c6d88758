"""The operator's files: only regular ones are read, never more than was looked at, and none is waited for."""

from __future__ import annotations

import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from camguard.authn.key_store import load_keys
from camguard.bundle import load_bundle
from camguard.catalog import load_catalog
from camguard.cli import main
from camguard.errors import CamguardError
from camguard.files import FOLDER_BYTES, FOLDER_FILES, list_folder, read_file, read_folder, replace_files
from camguard.settings import load_settings

MIB = 1 << 20
PATIENCE = 30.0  # seconds after which a reader counts as one that hangs


def regular(path: Path) -> None:
    path.write_bytes(b"content")


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def listening_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")  # a path of at most 108 bytes
    os.close(folder)


def sparse_gigabyte(path: Path) -> None:
    path.write_bytes(b"")
    path.chmod(0o600)
    os.truncate(path, 1 << 30)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def link_to_made(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def linked(path: Path) -> None:
        target = path.parent.parent / f"target-of-{path.name}"
        make(target)
        path.symlink_to(target)

    return linked


def loop(path: Path) -> None:
    path.symlink_to(path)


linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")

# what stands in the place of a file, what the error says of it
PLACED = [
    pytest.param(fifo, "it is a FIFO, not a regular file", id="a FIFO"),
    pytest.param(link_to_made(fifo), "it is a FIFO, not a regular file", id="a link to a FIFO"),
    pytest.param(Path.mkdir, "it is a folder, not a regular file", id="a folder"),
    pytest.param(link_to("/"), "it is a folder, not a regular file", id="a link to a folder"),
    pytest.param(link_to("/dev/zero"), "it is a device, not a regular file", id="a link to a device"),
    pytest.param(link_to("/dev/null"), "it is a device, not a regular file", id="a link to an empty device"),
    pytest.param(link_to("/dev/tty"), "it is a device, not a regular file", id="a link to the terminal"),
    pytest.param(listening_socket, "it is a socket, not a regular file", id="a Unix socket", marks=linux),
    pytest.param(sparse_gigabyte, "it is too large: 1073741824 bytes", id="a sparse gigabyte"),
    pytest.param(
        link_to_made(sparse_gigabyte), "it is too large: 1073741824 bytes", id="a link to a sparse gigabyte"
    ),
    pytest.param(
        link_to("/proc/self/smaps"),
        "it holds more than its size of 0 bytes says",
        id="a link to a file of /proc",
        marks=linux,
    ),
    pytest.param(link_to("nowhere"), "No such file or directory", id="a link to nothing"),
    pytest.param(loop, "Too many levels of symbolic links", id="a link to itself"),
]


def within_time(do: Callable[[], object]) -> None:
    """Call in a daemon thread, so that a reader that hangs fails the test and not the run."""
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the reader hangs"


@pytest.mark.parametrize(("make", "message"), PLACED)
def test_what_is_no_regular_file_of_bounded_size_is_refused(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "file.json"
    make(path)
    found: list[OSError] = []

    def read() -> None:
        try:
            read_file(path, MIB)
        except OSError as error:
            found.append(error)

    within_time(read)
    assert [str(error.filename) for error in found] == [str(path)]
    assert message in str(found[0].strerror)


def test_links_to_regular_files_are_read_as_a_configmap_mounts_them(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    regular(tmp_path / "..2026" / "file.json")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "file.json").symlink_to("..data/file.json")
    assert read_file(tmp_path / "file.json", 7) == b"content"


@pytest.mark.parametrize(("most", "good"), [(7, True), (6, False)], ids=["as large as allowed", "larger"])
def test_the_size_is_bounded(tmp_path: Path, most: int, *, good: bool) -> None:
    regular(tmp_path / "file")
    if good:
        assert read_file(tmp_path / "file", most) == b"content"
    else:
        with pytest.raises(OSError, match="it is too large: 7 bytes, at most 6"):
            read_file(tmp_path / "file", most)


def test_a_file_that_grows_after_its_size_was_looked_at_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    regular(path)

    def grow(_facts: os.stat_result) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(OSError, match="it holds more than its size of 7 bytes says"):
        read_file(path, MIB, grow)


def test_a_file_that_became_a_fifo_after_it_was_looked_at_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo(tmp_path / "file")
    regular(tmp_path / "other")
    facts = (tmp_path / "other").stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: facts)
    with pytest.raises(OSError, match="it is a FIFO, not a regular file"):
        read_file(tmp_path / "file", MIB)


def test_the_files_of_a_folder_are_bounded_together(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"x" * 10)
    (tmp_path / "2").unlink()
    fifo(tmp_path / "2")
    found = list(read_folder(list_folder(tmp_path), lambda _: 10, together=25))
    assert [(path.name, isinstance(read, bytes)) for path, read in found] == [
        ("0", True),
        ("1", True),
        ("2", False),
        ("3", False),
    ]
    assert "together larger than 25 bytes" in str(found[-1][1])


def test_the_number_of_files_of_a_folder_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = (tmp_path / str(number) for number in range(FOLDER_FILES * 2))
    monkeypatch.setattr(Path, "iterdir", lambda _: endless)
    with pytest.raises(OSError, match=f"it holds more than {FOLDER_FILES} files"):
        list_folder(tmp_path)
    assert next(endless).name == str(FOLDER_FILES + 1)


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """Return a folder as `camguard init` writes it."""
    assert main(["init", str(tmp_path / "config")]) == 0
    return tmp_path / "config"


def loads(company: Path) -> dict[str, Callable[[], object]]:
    """Return what reads each file of the operator, by the file's place."""
    bundle, catalog = company / "bundle", company / "catalog"
    config = str(company / "camguard.toml")
    page = ["catalog", "build", str(company / "page.txt"), "--out", str(company / "out")]
    return {
        "bundle/policies/zz.json": lambda: load_bundle(bundle, catalog),
        "bundle/principals.json": lambda: load_bundle(bundle, catalog),
        "catalog/zz.json": lambda: load_catalog(catalog),
        "keys.json": lambda: load_keys(company / "keys.json"),
        "camguard.toml": lambda: load_settings(config, {}),
        "bundle/tests/zz.toml": lambda: main(["test", "--config", config]),
        "zz.json": lambda: main(["lint", "--config", config, str(company / "zz.json")]),
        "page.txt": lambda: main(page),
    }


READERS = (
    *("bundle/policies/zz.json", "bundle/principals.json", "catalog/zz.json", "keys.json", "camguard.toml"),
    *("bundle/tests/zz.toml", "zz.json", "page.txt"),
)
TRAPS = [
    pytest.param(fifo, "a FIFO", id="a FIFO"),
    pytest.param(link_to("/dev/zero"), "a device", id="a link to a device"),
    pytest.param(sparse_gigabyte, "too large", id="a sparse gigabyte"),
]


@pytest.mark.parametrize(("make", "word"), TRAPS)
@pytest.mark.parametrize("place", READERS)
def test_no_reader_hangs_or_takes_memory(
    company: Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
    make: Callable[[Path], None],
    word: str,
) -> None:
    (company / place).unlink(missing_ok=True)
    make(company / place)
    messages: list[str] = []

    def read() -> None:
        try:
            loads(company)[place]()
        except CamguardError as error:
            messages.append(str(error))

    tracemalloc.start()
    try:
        within_time(read)
        assert tracemalloc.get_traced_memory()[1] < FOLDER_BYTES
    finally:
        tracemalloc.stop()
    message = "".join(messages) or capsys.readouterr().err
    assert word in message
    assert Path(place).name in message


def test_many_sparse_policies_take_no_more_memory_than_a_bundle_may(company: Path) -> None:
    for number in range(40):
        sparse = company / "bundle" / "policies" / f"zz{number:02}.json"
        sparse.write_bytes(b"")
        os.truncate(sparse, 4 * MIB)
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(CamguardError, match="together larger than 67108864 bytes"):
            load_bundle(company / "bundle", company / "catalog")
        assert tracemalloc.get_traced_memory()[1] < FOLDER_BYTES + 8 * MIB
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < PATIENCE


def test_files_are_replaced_together_and_keep_no_trace(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"before")
    replace_files({old: b"after", new: b"first"}, 0o660)
    assert (old.read_bytes(), new.read_bytes()) == (b"after", b"first")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o660}
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new"}


def test_no_file_is_replaced_where_one_cannot_be_written(tmp_path: Path) -> None:
    old, absent = tmp_path / "old", tmp_path / "absent" / "new"
    old.write_bytes(b"before")
    with pytest.raises(FileNotFoundError) as caught:
        replace_files({old: b"after", absent: b"first"})
    assert caught.value.filename == str(absent)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old", b"before")]
