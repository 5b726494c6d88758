"""Reads the files of the operator completely and within bounds, and replaces a file as a whole.

Rule 1: only a regular file is read. A symbolic link to one is followed, because a Kubernetes ConfigMap
        consists of links. A FIFO, a socket, a device and a folder are refused before they are opened, and
        again after that.
Rule 2: the size is bounded while a file is read. A file that contains more bytes than its size (a file of
        /proc, or one that grows) is refused, so that it takes no more memory than the size that was checked.
Rule 3: every failure is an OSError with the name of the file and a reason that completes "cannot be read:".
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Final

MIB: Final = 1 << 20
SETTINGS_BYTES: Final = MIB
DOCUMENT_BYTES: Final = 4 * MIB  # of one policy, one catalog file, one file of tests
PAGE_BYTES: Final = 16 * MIB  # of one documentation page: saved HTML contains scripts and pictures
FOLDER_BYTES: Final = 64 * MIB  # of all files of a bundle together, and of all files of a catalog together
FOLDER_FILES: Final = 65_536
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

_FORBIDDEN: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO  # of a file of secrets, whoever owns it

Judge = Callable[[os.stat_result], None]


def read_file(path: str | os.PathLike[str], most: int, judge: Judge | None = None) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    judge: receives the status of the opened file, and raises if the file must not be used.

    Raises OSError: the file is absent, may not be read, is no regular file, or is too large.
    """
    _regular(path, Path(path).stat())  # before the file is opened, because opening a device can have effects
    # O_NONBLOCK: if a FIFO has replaced the file meanwhile, opening it must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        _regular(path, facts)
        if judge is not None:
            judge(facts)
        if facts.st_size > most:
            raise OSError(errno.EFBIG, f"it is too large: {facts.st_size} bytes, at most {most}", str(path))
        return _content(path, descriptor, facts.st_size)
    finally:
        os.close(descriptor)


def wrong_rights(facts: os.stat_result, path: Path) -> Iterator[str]:
    """Yield what is wrong with owner and mode of a file that holds secrets, each with its cure (T129)."""
    user, mode = os.geteuid(), stat.S_IMODE(facts.st_mode)
    if facts.st_uid not in (0, user):
        owner = f"belongs to user {facts.st_uid}, neither the user of this process nor root"
        yield f"{owner}; run: chown {user} {path}"
    if mode & _FORBIDDEN:
        yield f"other users may read or change this file (mode {mode:04o}); run: chmod 600 {path}"
    groups = (os.getegid(), *os.getgroups())
    if mode & stat.S_IRGRP and facts.st_uid != user and facts.st_gid not in groups:
        group = f"group {facts.st_gid} may read this file, and this process is not in that group"
        yield f"{group}; run: chgrp {os.getegid()} {path}"


def display_path(path: Path) -> str:
    """Return a path as messages show it: relative to the current folder if the path is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def list_folder(folder: Path) -> list[Path]:
    """Return the entries of a folder, sorted. Raises OSError, also if there are more than `FOLDER_FILES`."""
    found = list(islice(folder.iterdir(), FOLDER_FILES + 1))
    if len(found) > FOLDER_FILES:
        raise OSError(errno.EFBIG, f"it holds more than {FOLDER_FILES} files", str(folder))
    return sorted(found)


def read_folder(
    files: Iterable[Path], most: Callable[[Path], int], together: int = FOLDER_BYTES
) -> Iterator[tuple[Path, bytes | OSError]]:
    """Yield each file with its content, or with the reason why it cannot be read.

    most: returns the bound of one file. together: the bound of all; the file that exceeds it is the last.
    """
    remaining = together
    for file in files:
        try:
            content = read_file(file, most(file))
        except OSError as error:
            yield file, error
            continue
        remaining -= len(content)
        if remaining < 0:
            message = f"the files of this folder are together larger than {together} bytes"
            yield file, OSError(errno.EFBIG, message, str(file))
            return
        yield file, content


def replace_files(contents: Mapping[Path, bytes], mode: int | None = None) -> None:
    """Write files, each of which replaces the one with its name at once, if there is one.

    Everything is on disk beside its target before the first file is replaced.
    mode: the permissions of the files; None: what the umask of this process leaves of 0666.

    Raises OSError that names the target. No file has been touched then, unless a replacement itself failed.
    """
    aside: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            aside[path] = path.with_name(f".{path.name}.{token_hex(4)}")
            _write(aside[path], content, mode)
        for path, beside in aside.items():
            beside.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        for beside in aside.values():
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def _write(path: Path, content: bytes, mode: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o666 if mode is None else mode), "wb") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)  # without what the umask takes away
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _content(path: str | os.PathLike[str], descriptor: int, size: int) -> bytes:
    content = os.read(descriptor, size + 1)  # of a regular file, one call reads the whole content
    while len(content) <= size and (more := os.read(descriptor, size + 1 - len(content))):
        content += more
    if len(content) > size:
        raise OSError(errno.EFBIG, f"it holds more than its size of {size} bytes says", str(path))
    return content


def _regular(path: str | os.PathLike[str], facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(facts.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
