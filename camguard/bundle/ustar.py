"""The container of an archive: regular files in the format ustar (POSIX), in one gzip stream.

Rule 1: only what `write_tar` can write is read. A path that is too long for a header stands in an extended
        header of its own (POSIX pax), which may say nothing else. Links, devices, folders and bytes behind
        the end are refused (T109).
Rule 2: compressed and decompressed bytes, members, padding and time are bounded while an archive is read
        (T63).
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from camguard.errors import BundleError, Problem
from camguard.files import FOLDER_BYTES, FOLDER_FILES, MIB

CODE: Final = "ArchiveError"
ARCHIVE_BYTES: Final = 64 * MIB  # of the compressed file
PATH_BYTES: Final = 512
_FILES: Final = FOLDER_FILES + 2
_BLOCK: Final = 512
_PADDING: Final = 20 * _BLOCK  # GNU tar fills up to 20 blocks; nothing needs more
_CHUNK: Final = 1 << 18  # decompressed at a time
_NAME, _PREFIX = 100, 155  # bytes of the two fields of a path in a header
_RECORD: Final = 1024  # bytes of an extended header
_OCTAL: Final = re.compile(rb"[0-7]{1,11}[ \0]*")
_MODE: Final = 0o644
_ZEROS: Final = bytes(_BLOCK)


def problem(where: str, message: str) -> Problem:
    """Return a problem of an archive. where: the path of a member; empty for the archive as a whole."""
    return Problem(where or "the archive", CODE, message)


def wrong(where: str, message: str) -> BundleError:
    """Return the error that has one problem."""
    return BundleError(problem(where, message))


def write_tar(members: Mapping[str, bytes]) -> bytes:
    """Return an archive of some members by path, in this order. The same members give the same bytes."""
    parts: list[bytes] = []
    for path, content in members.items():
        if _split(path) is None:
            parts += _padded(_header("pax", len(_record(path)), b"x"), _record(path))
        parts += _padded(_header(path, len(content), b"0"), content)
    parts.append(bytes(2 * _BLOCK))
    return gzip.compress(b"".join(parts), compresslevel=9, mtime=0)


def _padded(header: bytes, content: bytes) -> tuple[bytes, bytes, bytes]:
    return header, content, bytes(-len(content) % _BLOCK)


def _record(path: str) -> bytes:
    """Return the extended header that holds a path. It begins with its own length, digits included."""
    rest = f" path={path}\n".encode()
    size = len(rest)
    while size != len(rest) + len(str(size)):
        size = len(rest) + len(str(size))
    return str(size).encode() + rest


def _header(path: str, size: int, kind: bytes) -> bytes:
    """Return the header of a member. A path that does not fit is cut; an extended header has it whole."""
    prefix, name = _split(path) or ("", path.encode()[:_NAME].decode(errors="ignore"))
    fields = (
        name.encode().ljust(_NAME, b"\0"),
        b"%07o\0" % _MODE,
        b"%07o\0" % 0,  # user
        b"%07o\0" % 0,  # group
        b"%011o\0" % size,
        b"%011o\0" % 0,  # time
        b" " * 8,  # the checksum counts as blanks
        kind,
        bytes(100),
        b"ustar\00000",
        bytes(32 + 32 + 8 + 8),
        prefix.encode().ljust(_PREFIX, b"\0"),
        bytes(12),
    )
    block = b"".join(fields)
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


def _split(path: str) -> tuple[str, str] | None:
    """Return a path as the two fields of a header, or None if it does not fit."""
    if len(path.encode()) <= _NAME:
        return "", path
    for at, letter in enumerate(path):
        prefix, name = path[:at], path[at + 1 :]
        if letter == "/" and len(prefix.encode()) <= _PREFIX and 0 < len(name.encode()) <= _NAME:
            return prefix, name
    return None


def read_tar(
    raw: bytes, most: Callable[[str], int], seconds: float, monotonic: Callable[[], float]
) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each member. Raises BundleError: anything but a regular file (Rule 1).

    most: returns how many bytes the member at a path may have; raises BundleError for a path that no member
    may have. seconds: for which decompression may last.
    """
    if len(raw) > ARCHIVE_BYTES:
        raise wrong("", f"is too large: {len(raw)} bytes, at most {ARCHIVE_BYTES}")
    yield from _members(_Stream(raw, seconds, monotonic), most)


class _Stream:
    """Decompresses an archive piece by piece, within bounds of bytes and time (Rule 2)."""

    def __init__(self, raw: bytes, seconds: float, monotonic: Callable[[], float]) -> None:
        self._inflate = zlib.decompressobj(wbits=31)  # exactly one gzip stream, with its checksum
        self._pending = raw
        self._ready = bytearray()
        self._left = 2 * FOLDER_BYTES
        self._until = monotonic() + seconds
        self._monotonic = monotonic

    def read(self, size: int) -> bytes:
        """Return the next bytes: fewer than `size` only at the end. Raises BundleError."""
        parts, missing = [], size
        while missing:
            if not self._ready and not self._refill():
                break
            part = bytes(self._ready[:missing])
            del self._ready[:missing]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _refill(self) -> bool:
        if self._inflate.eof:
            if self._inflate.unused_data:
                raise wrong("", "has further bytes behind its end")
            return False
        if self._monotonic() > self._until:
            raise wrong("", "takes too long to decompress")
        try:
            piece = self._inflate.decompress(self._pending, _CHUNK)
        except zlib.error:
            raise wrong("", "is no gzip file, or a damaged one") from None
        self._pending = self._inflate.unconsumed_tail
        if not piece and not self._inflate.eof:
            raise wrong("", "ends too early: it was cut off")
        self._left -= len(piece)
        if self._left < 0:
            raise wrong("", f"decompresses to more than {FOLDER_BYTES} bytes of files")
        self._ready += piece
        return True


def _members(stream: _Stream, most: Callable[[str], int]) -> Iterator[tuple[str, bytes]]:
    together, count = FOLDER_BYTES, 0
    while (block := stream.read(_BLOCK)) != _ZEROS:
        if len(block) < _BLOCK:
            raise wrong("", "has no end: it was cut off")
        path, size = _long_entry(block, stream) if block[156:157] == b"x" else _entry(block)
        count += 1
        if count > _FILES:
            raise wrong("", f"holds more than {_FILES} files")
        if size > (bound := most(path)):
            raise wrong(path, f"is too large: {size} bytes, at most {bound}")
        together -= size
        if together < 0:
            raise wrong(path, f"the files are together larger than {FOLDER_BYTES} bytes")
        content = stream.read(size)
        if len(content) < size:
            raise wrong(path, "ends too early: the archive was cut off")
        if stream.read(-size % _BLOCK).strip(b"\0"):
            raise wrong(path, "is followed by padding that is not zero")
        yield path, content
    padding = stream.read(_PADDING + 1)
    if len(padding) < _BLOCK or len(padding) > _PADDING or padding.strip(b"\0"):
        raise wrong("", f"must end with zeros, two blocks and at most {_PADDING} bytes")


def _long_entry(block: bytes, stream: _Stream) -> tuple[str, int]:
    """Return path and size of a member with an extended header, the header `block`. Raises BundleError."""
    name, size = _entry(block, b"x")
    record = stream.read(min(size, _RECORD))
    start, _, path = record.partition(b" path=")
    stream.read(-size % _BLOCK)
    try:
        text = path[:-1].decode()
    except UnicodeDecodeError:
        text = ""
    if size > _RECORD or start != str(size).encode() or record != _record(text) or _split(text) is not None:
        raise wrong(name, "is an extended header with something else than one long path")
    return text, _entry(stream.read(_BLOCK).ljust(_BLOCK, b"\0"))[1]


def _entry(block: bytes, kind: bytes = b"0") -> tuple[str, int]:
    """Return path and size of the member that a header describes. Raises BundleError.

    kind: the type that the header must have.
    """
    raw = block[:_NAME].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0]
    try:
        path = (prefix + b"/" + raw if prefix else raw).decode()
    except UnicodeDecodeError:
        raise wrong("", "has a member whose name is not UTF-8") from None
    if block[257:265] != b"ustar\00000":
        raise wrong(path, "is not in the format ustar; `camguard bundle build` makes such archives")
    checksum = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if _octal(block[148:156], path) != checksum:
        raise wrong(path, "has a damaged header")
    if block[156:157] != kind or block[157:257].strip(b"\0"):
        raise wrong(path, "is no regular file: a link, a folder, a device or an extension")
    return path, _octal(block[124:136], path)


def _octal(field: bytes, path: str) -> int:
    if not _OCTAL.fullmatch(field):
        raise wrong(path, "has a damaged header")
    return int(field.rstrip(b" \0"), 8)
