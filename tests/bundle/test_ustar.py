"""The container of an archive: which headers are written, and which containers are refused, and where."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from hashlib import sha256
from itertools import chain, repeat

import pytest

from camguard.bundle.ustar import ARCHIVE_BYTES, PATH_BYTES, read_tar, write_tar
from camguard.errors import BundleError, Problem
from camguard.files import FOLDER_FILES
from tests.bundle.archives import checksum_of, header, member, packed, zipped

BLOCK = 512
END = bytes(2 * BLOCK)
ARCHIVE = "the archive"
E_ACUTE = "\u00e9"  # two bytes in UTF-8


def read(raw: bytes, most: int = 1 << 30) -> dict[str, bytes]:
    """Return the members of an archive, each of at most `most` bytes, while a clock stands still."""
    return dict(read_tar(raw, lambda _: most, 1.0, lambda: 0.0))


def problem_of(raw: bytes, most: int = 1 << 30) -> Problem:
    """Return the only problem of an archive that is refused."""
    with pytest.raises(BundleError) as caught:
        read(raw, most)
    (problem,) = caught.value.problems
    assert problem.code == "ArchiveError"
    return problem


def headers(tar: bytes) -> list[bytes]:
    """Return the blocks of a tar of empty members that describe a member."""
    blocks = [tar[at : at + BLOCK] for at in range(0, len(tar), BLOCK)]
    return [block for block in blocks if block[257:262] == b"ustar"]


def test_the_limits_are_those_that_the_documents_state() -> None:
    assert (ARCHIVE_BYTES, PATH_BYTES) == (64 << 20, 512)


# a path, its prefix and its name in the header; None where an extended header must hold it
SPLIT = [
    pytest.param("a.json", ("", "a.json"), id="a short path has no prefix"),
    pytest.param("p/" + "n" * 98, ("", "p/" + "n" * 98), id="100 bytes are a name"),
    pytest.param("p/" + "n" * 99, ("p", "n" * 99), id="101 bytes are parted at a slash"),
    pytest.param("n" * 101, None, id="a name of 101 bytes without a slash does not fit"),
    pytest.param("p/" + "n" * 100, ("p", "n" * 100), id="a name of 100 bytes fits behind a prefix"),
    pytest.param("p/" + "n" * 101, None, id="a name of 101 bytes fits behind no prefix"),
    pytest.param("p" * 155 + "/n", ("p" * 155, "n"), id="a prefix of 155 bytes fits"),
    pytest.param("p" * 156 + "/n", None, id="a prefix of 156 bytes does not fit"),
    pytest.param("p" * 101 + "/", None, id="an empty name does not fit"),
    pytest.param(
        "a/" + "b" * 60 + "/" + "c" * 60 + "/n",
        ("a/" + "b" * 60, "c" * 60 + "/n"),
        id="the first slash that fits",
    ),
    pytest.param("p/" + E_ACUTE * 49, ("", "p/" + E_ACUTE * 49), id="100 bytes of 51 letters are a name"),
    pytest.param("p/" + E_ACUTE * 50, ("p", E_ACUTE * 50), id="102 bytes of 52 letters are parted"),
    pytest.param(E_ACUTE * 51, None, id="102 bytes of 51 letters without a slash do not fit"),
    pytest.param("p/" + E_ACUTE * 51, None, id="a name of 102 bytes and 51 letters does not fit"),
    pytest.param(E_ACUTE * 78 + "/n", None, id="a prefix of 156 bytes and 78 letters does not fit"),
    pytest.param(
        E_ACUTE * 77 + "/" + E_ACUTE * 50,
        (E_ACUTE * 77, E_ACUTE * 50),
        id="letters of two bytes fill both fields, and the checksum has six digits",
    ),
]


@pytest.mark.parametrize(("path", "fields"), SPLIT)
def test_a_path_is_written_in_the_fields_that_hold_it(path: str, fields: tuple[str, str] | None) -> None:
    raw = write_tar({path: b""})
    first, *further = headers(gzip.decompress(raw))
    if fields is None:
        assert (first[:4], first[156:157]) == (b"pax\0", b"x")
        assert further, "the member follows its extended header"
    else:
        prefix, name = fields
        assert first[345:500].rstrip(b"\0") == prefix.encode()
        assert first[:100].rstrip(b"\0") == name.encode()
        assert not further
    assert read(raw) == {path: b""}
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert tar.getnames() == [path.rstrip("/")], "the standard library reads the same path"


# a path that does not fit, and the name that its header has beside the extended header
CUT = [
    pytest.param("n" * 130, "n" * 100, id="the first 100 bytes"),
    pytest.param("n" + E_ACUTE * 60, "n" + E_ACUTE * 49, id="no half of a letter"),
]


@pytest.mark.parametrize(("path", "name"), CUT)
def test_the_header_of_a_long_path_has_its_beginning(path: str, name: str) -> None:
    _, second = headers(gzip.decompress(write_tar({path: b""})))
    info = tarfile.TarInfo.frombuf(second, "utf-8", "strict")
    assert (info.name, info.type) == (name, tarfile.REGTYPE)


def test_a_header_names_no_user_and_no_time() -> None:
    paths = {"a.json": b"12345", "n" * 101: b""}
    tar = gzip.decompress(write_tar(paths))
    infos = [tarfile.TarInfo.frombuf(block, "utf-8", "strict") for block in headers(tar)]
    facts = {(info.mode, info.uid, info.gid, info.mtime, info.uname, info.gname) for info in infos}
    assert facts == {(0o644, 0, 0, 0, "", "")}
    assert [info.size for info in infos] == [5, 101 + len("111 path=\n"), 0]


def test_an_archive_ends_with_two_blocks_and_has_the_same_bytes_each_time() -> None:
    raw = write_tar({"a.json": b"1" * BLOCK})
    tar = gzip.decompress(raw)
    assert len(tar) == 4 * BLOCK
    assert tar.endswith(END)
    assert raw == gzip.compress(tar, compresslevel=9, mtime=0)


# the bytes of a path whose extended header gains a digit in the length that it begins with, and those around
LONG_PATHS = [pytest.param(size, id=f"a path of {size} bytes") for size in (101, *range(984, 992), 1013)]


@pytest.mark.parametrize("size", LONG_PATHS)
def test_an_extended_header_begins_with_its_own_length(size: int) -> None:
    path = "n" * size
    raw = write_tar({path: b"x"})
    assert read(raw) == {path: b"x"}
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert tar.getnames() == [path]


def pseudorandom(size: int) -> bytes:
    """Return bytes that cannot be compressed, the same ones each time."""
    return b"".join(sha256(at.to_bytes(4, "big")).digest() for at in range(size // 32))


# the members of an archive that is read
READ = [
    pytest.param({}, id="no member"),
    pytest.param({"a": b""}, id="an empty member"),
    pytest.param(
        {"a": b"x" * 511, "b": b"y" * 512, "c": b"z" * 513}, id="members around the size of a block"
    ),
    pytest.param({"a": pseudorandom(600 << 10)}, id="a member that is decompressed in several pieces"),
    pytest.param(
        {"a": pseudorandom(20 << 10), "b": pseudorandom(20 << 10)},
        id="a repetition 20 KiB before, as gzip allows",
    ),
    pytest.param({"p" * 101 + " path=x.json": b"x"}, id="a long path in which the word path= stands"),
]


@pytest.mark.parametrize("members", READ)
def test_what_is_written_is_read(members: dict[str, bytes]) -> None:
    assert read(write_tar(members)) == members


# a tar that `write_tar` does not make, and the path that is read
ALSO_READ = [
    pytest.param(header(changes={136: b"%011o " % 1}) + END, "a.json", id="a time that ends with a blank"),
    pytest.param(
        header(changes={148: b"%08o" % int(checksum_of(header())[:6], 8)}) + END,
        "a.json",
        id="a checksum that fills its field",
    ),
    pytest.param(
        header("p" * 155 + "/n", changes={500: b"any bytes"}) + END,
        "p" * 155 + "/n",
        id="text behind a full prefix",
    ),
    pytest.param(header() + bytes(BLOCK) + bytes(BLOCK), "a.json", id="the least padding"),
    pytest.param(header() + bytes(BLOCK) + bytes(20 * BLOCK), "a.json", id="20 blocks of padding"),
]


@pytest.mark.parametrize(("tar", "path"), ALSO_READ)
def test_the_headers_of_other_writers_are_read(tar: bytes, path: str) -> None:
    assert read(zipped(tar)) == {path: b""}


def extended(path: str, content: bytes = b"") -> bytes:
    """Return an archive that has any path in an extended header."""
    info = member("a.json", pax_headers={"path": path})
    return packed([(info, content)], form=tarfile.PAX_FORMAT)


GOOD = header(size=1) + b"x" + bytes(BLOCK - 1) + END
LONG = gzip.decompress(write_tar({"n" * 101: b""}))
RECORD = b"111 path=" + b"n" * 101 + b"\n"
DAMAGED = "has a damaged header"
NOT_REGULAR = "is no regular file: a link, a folder, a device or an extension"
NO_LONG_PATH = "is an extended header with something else than one long path"
ENDS = "must end with zeros, two blocks and at most 10240 bytes"

# a tar that is refused, the place and the text of its problem
REFUSED = [
    pytest.param(b"", ARCHIVE, "has no end: it was cut off", id="no block"),
    pytest.param(GOOD[:511], ARCHIVE, "has no end: it was cut off", id="a part of a header"),
    pytest.param(GOOD[:512], "a.json", "ends too early: the archive was cut off", id="a header alone"),
    pytest.param(GOOD[:-1024], ARCHIVE, "has no end: it was cut off", id="no zeros at the end"),
    pytest.param(GOOD[:-512], ARCHIVE, ENDS, id="one block of zeros at the end"),
    pytest.param(GOOD[:-1], ARCHIVE, ENDS, id="two blocks of zeros without the last byte"),
    pytest.param(GOOD + bytes(19 * BLOCK + 1), ARCHIVE, ENDS, id="T63 20 blocks of padding and a byte"),
    pytest.param(GOOD + b"X", ARCHIVE, ENDS, id="T109 a letter in the padding at the end"),
    pytest.param(GOOD + b"\x01", ARCHIVE, ENDS, id="T109 a byte of 1 in the padding at the end"),
    pytest.param(
        GOOD[:600] + b"X" + GOOD[601:],
        "a.json",
        "is followed by padding that is not zero",
        id="T109 a letter in the padding",
    ),
    pytest.param(
        header(b"\xff.json") + END,
        ARCHIVE,
        "has a member whose name is not UTF-8",
        id="a name that is not UTF-8",
    ),
    pytest.param(
        header(changes={345: b"\xff"}) + END,
        ARCHIVE,
        "has a member whose name is not UTF-8",
        id="a prefix that is not UTF-8",
    ),
    pytest.param(
        header(changes={257: b"ustar  \0"}) + END,
        "a.json",
        "is not in the format ustar; `camguard bundle build` makes such archives",
        id="a header of GNU tar",
    ),
    pytest.param(header(changes={148: b"0000000\0"}) + END, "a.json", DAMAGED, id="another checksum"),
    pytest.param(header(changes={148: b"        "}) + END, "a.json", DAMAGED, id="no checksum"),
    pytest.param(header(changes={124: bytes(12)}) + END, "a.json", DAMAGED, id="no size"),
    pytest.param(header(changes={124: b"0000000000x\0"}) + END, "a.json", DAMAGED, id="a size with a letter"),
    pytest.param(
        header(changes={124: b"00000000008\0"}) + END, "a.json", DAMAGED, id="a size with the digit 8"
    ),
    pytest.param(header(changes={124: b"-0000000001\0"}) + END, "a.json", DAMAGED, id="a size below zero"),
    pytest.param(
        header(changes={124: b"000000000000"}) + END, "a.json", DAMAGED, id="a size of twelve digits"
    ),
    pytest.param(
        header(changes={124: b"\x80" + bytes(11)}) + END,
        "a.json",
        DAMAGED,
        id="a size in the binary form of GNU tar",
    ),
    pytest.param(
        header(changes={124: b"10000000001\0"}) + END,
        "a.json",
        f"is too large: {(1 << 30) + 1} bytes, at most {1 << 30}",
        id="T63 a size of which the first digit counts",
    ),
    *(
        pytest.param(
            header(changes={156: kind}) + END,
            "a.json",
            NOT_REGULAR,
            id=f"T109 the type {kind!r} without a target",
        )
        for kind in (b"\0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"g", b"L")
    ),
    *(
        pytest.param(
            header(changes={at: b"X"}) + END,
            "a.json",
            NOT_REGULAR,
            id=f"T109 a regular file with a target at byte {at}",
        )
        for at in (157, 256)
    ),
    pytest.param(
        extended("short.json"), "././@PaxHeader", NO_LONG_PATH, id="an extended header for a short path"
    ),
    pytest.param(
        extended("n" * 101)[:600], "././@PaxHeader", NO_LONG_PATH, id="an extended header that is cut off"
    ),
    pytest.param(
        LONG.replace(RECORD, b"112 path=" + b"n" * 101 + b"\n"), "pax", NO_LONG_PATH, id="another length"
    ),
    pytest.param(
        LONG.replace(RECORD, b"111 path=" + b"n" * 102), "pax", NO_LONG_PATH, id="no line break at the end"
    ),
    pytest.param(
        LONG.replace(RECORD, b"111 Path=" + b"n" * 101 + b"\n"), "pax", NO_LONG_PATH, id="another word"
    ),
    pytest.param(
        LONG.replace(RECORD, b"111 path=" + b"\xff" * 101 + b"\n"),
        "pax",
        NO_LONG_PATH,
        id="a long path that is not UTF-8",
    ),
    pytest.param(
        gzip.decompress(write_tar({"n" * 1014: b""})),
        "pax",
        NO_LONG_PATH,
        id="T63 an extended header of 1025 bytes",
    ),
    pytest.param(
        header("pax", len(RECORD) + 1, changes={156: b"x"}) + RECORD,
        "pax",
        NO_LONG_PATH,
        id="an extended header that ends with the archive, a byte before its size",
    ),
    pytest.param(
        LONG[:1024],
        "",
        "is not in the format ustar; `camguard bundle build` makes such archives",
        id="no header behind an extended header",
    ),
    pytest.param(LONG[:1024] + LONG[:512] + END, "pax", NOT_REGULAR, id="two extended headers"),
]


@pytest.mark.parametrize(("tar", "where", "message"), REFUSED)
def test_another_container_is_refused_with_its_place(tar: bytes, where: str, message: str) -> None:
    problem = problem_of(zipped(tar))
    assert (problem.where, problem.message) == (where or ARCHIVE, message)


# bytes that are no gzip stream, or more than one; the text of the problem
NO_GZIP = [
    pytest.param(b"", "ends too early: it was cut off", id="no bytes"),
    pytest.param(zipped(GOOD)[:-1], "ends too early: it was cut off", id="the last byte is missing"),
    pytest.param(zipped(GOOD) + b"x", "has further bytes behind its end", id="a byte behind the end"),
    pytest.param(zipped(GOOD) * 2, "has further bytes behind its end", id="two streams"),
    pytest.param(GOOD, "is no gzip file, or a damaged one", id="a tar that is not compressed"),
    pytest.param(zlib.compress(GOOD), "is no gzip file, or a damaged one", id="the format of zlib"),
    pytest.param(zipped(GOOD)[:-8] + bytes(8), "is no gzip file, or a damaged one", id="another checksum"),
]


@pytest.mark.parametrize(("raw", "message"), NO_GZIP)
def test_exactly_one_gzip_stream_is_read(raw: bytes, message: str) -> None:
    problem = problem_of(raw)
    assert (problem.where, problem.message) == (ARCHIVE, message)


def test_t63_a_member_may_be_as_large_as_its_bound() -> None:
    raw = write_tar({"a.json": b"x" * 1000})
    assert read(raw, 1000) == {"a.json": b"x" * 1000}
    assert problem_of(raw, 999) == Problem("a.json", "ArchiveError", "is too large: 1000 bytes, at most 999")


def test_t63_an_archive_may_have_as_many_bytes_as_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_tar({"a.json": b"x"})
    monkeypatch.setattr("camguard.bundle.ustar.ARCHIVE_BYTES", len(raw))
    assert read(raw) == {"a.json": b"x"}
    monkeypatch.setattr("camguard.bundle.ustar.ARCHIVE_BYTES", len(raw) - 1)
    message = f"is too large: {len(raw)} bytes, at most {len(raw) - 1}"
    assert problem_of(raw) == Problem(ARCHIVE, "ArchiveError", message)


def test_t63_the_members_may_be_together_as_large_as_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camguard.bundle.ustar.FOLDER_BYTES", 4000)
    members = {"a.json": b"x" * 1500, "b.json": b"y" * 2500}
    assert read(write_tar(members)) == members
    problem = problem_of(write_tar({**members, "b.json": b"y" * 2501}))
    assert problem == Problem("b.json", "ArchiveError", "the files are together larger than 4000 bytes")


def test_t63_an_archive_may_be_decompressed_twice_as_large_as_its_members_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tar = header("a.json") + header("b.json") + END
    monkeypatch.setattr("camguard.bundle.ustar.FOLDER_BYTES", len(tar) // 2)
    assert read(zipped(tar)) == {"a.json": b"", "b.json": b""}
    problem = problem_of(zipped(tar + b"\0"))
    message = f"decompresses to more than {len(tar) // 2} bytes of files"
    assert problem == Problem(ARCHIVE, "ArchiveError", message)


def test_t63_an_archive_may_have_as_many_members_as_a_folder_and_its_two_own() -> None:
    most = FOLDER_FILES + 2
    found = read_tar(zipped(header() * (most + 1) + END), lambda _: 0, 1.0, lambda: 0.0)
    read_members: list[tuple[str, bytes]] = []
    with pytest.raises(BundleError, match=f"^the archive: holds more than {most} files"):
        read_members.extend(found)
    assert len(read_members) == most


def test_t63_one_member_too_many_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camguard.bundle.ustar._FILES", 3)
    members = {"a.json": b"1", "b.json": b"2", "c.json": b"3"}
    assert read(write_tar(members)) == members
    problem = problem_of(write_tar({**members, "d.json": b"4"}))
    assert problem == Problem(ARCHIVE, "ArchiveError", "holds more than 3 files")


def test_t63_the_time_of_decompression_is_bounded() -> None:
    raw = write_tar({"a.json": b"x"})
    late = chain((100.0,), repeat(130.0))
    assert dict(read_tar(raw, lambda _: 1, 30.0, late.__next__)) == {"a.json": b"x"}
    later = chain((100.0,), repeat(130.5))
    with pytest.raises(BundleError) as caught:
        dict(read_tar(raw, lambda _: 1, 30.0, later.__next__))
    assert caught.value.problems == (Problem(ARCHIVE, "ArchiveError", "takes too long to decompress"),)


def test_t63_the_time_is_compared_after_every_256_kib() -> None:
    calls: list[float] = []

    def clock() -> float:
        calls.append(0.0)
        return 0.0

    tar = header("a.json", 7 << 17) + bytes(7 << 17) + END  # three pieces and a half
    assert len(dict(read_tar(zipped(tar), lambda _: 7 << 17, 1.0, clock))) == 1
    assert len(calls) == 1 + 4
