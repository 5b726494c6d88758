"""Archives of bundles: written the same each time, read whole or not at all."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.bundle.archive import read_archive, write_archive
from camguard.bundle.load import content_of, read_content
from camguard.errors import BundleError
from camguard.files import DOCUMENT_BYTES, FOLDER_BYTES, FOLDER_FILES
from tests.bundle.archives import FILES, archive, manifest, member, packed, zipped

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_written_is_read() -> None:
    files = {**FILES, "tests/a/b.toml": b"x = 1\n", "lint.toml": b""}
    files |= {f"policies/{'p' * 128}.json": b"{}", f"tests/{'t' * 90}/{'u' * 90}.toml": b""}
    files |= {"policies/" + "\u00e9" * 120 + ".json": b"{}"}
    raw = write_archive(files, 7, valid_until="2027-01-31T00:00:00Z")
    read = read_archive(raw)
    assert {**read.files, **read.tests} == files
    assert [*read.tests] == [path for path in sorted(files) if path.startswith("tests/")]
    assert (read.serial, read.valid_until) == (7, 1_801_353_600.0)
    assert (read.signed, read.verified) == (None, False)


def test_the_same_files_give_the_same_archive_whatever_their_order() -> None:
    backwards = {path: FILES[path] for path in reversed([*FILES])}
    assert write_archive(FILES, 7) == write_archive(backwards, 7)
    assert read_archive(write_archive(FILES, 8)).digest != read_archive(write_archive(FILES, 7)).digest


def test_the_standard_library_reads_the_archive_too(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(write_archive(FILES, 1))
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["manifest.json", *sorted(FILES)]


def test_an_archive_has_the_revision_of_the_folder_it_was_built_from() -> None:
    content = read_content(ROOT / "config/bundle", ROOT / "config/catalog", tests=True)
    read = read_archive(write_archive({**content.files, **content.tests}, 1))
    again = content_of(read.files, content.catalog, read.tests)
    assert (again.digest, again.identity) == (content.digest, content.identity)
    assert list(again.files) == list(content.files)
    assert content.identity != content.digest


# the paths of files that no archive may have
UNWRITABLE = [
    pytest.param("policies/../../etc/passwd.json", id="a path that leads out"),
    pytest.param("/policies/a.json", id="an absolute path"),
    pytest.param("policies/.hidden.json", id="a hidden file"),
    pytest.param("policies/a.JSON", id="another suffix"),
    pytest.param("policies/a\nb.json", id="a line break"),
    pytest.param("catalog/aiart.json", id="a file that belongs to no bundle"),
    pytest.param("manifest.json", id="the manifest itself"),
    pytest.param(f"policies/{'p' * 500}.json", id="a name that is too long"),
]


@pytest.mark.parametrize("path", UNWRITABLE)
def test_an_archive_with_a_wrong_path_is_not_written(path: str) -> None:
    with pytest.raises(BundleError, match="is no file of a bundle, or has a name"):
        write_archive({**FILES, path: b"{}"}, 1)


EXTRA = b"{}"
GOOD = archive()
HUGE = {"policies/one.json": bytes(DOCUMENT_BYTES + 1)}
SPOILT = {**FILES, "policies/one.json": FILES["policies/one.json"] + b" "}
LISTED = [("manifest.json", manifest()), *FILES.items()]


def listing(listed: Mapping[str, bytes], **further: object) -> bytes:
    """Return an archive with the usual files and another manifest."""
    return zipped(packed([("manifest.json", manifest(listed, **further)), *FILES.items()]))


def linked(kind: bytes) -> tarfile.TarInfo:
    return member("policies/two.json", type=kind, linkname="/etc/passwd")


# an archive, and what is wrong with it
REFUSED = [
    pytest.param(b"", "cut off", id="no bytes"),
    pytest.param(b"<html>Not Found</html>", "is no gzip file", id="a page of a web server"),
    pytest.param(GOOD[:-1], "cut off", id="the last byte is missing"),
    pytest.param(GOOD[: len(GOOD) // 2], "cut off", id="a half"),
    pytest.param(GOOD[:40] + bytes([GOOD[40] ^ 1]) + GOOD[41:], "damaged|ustar|begin", id="a changed bit"),
    pytest.param(GOOD + b"x", "further bytes", id="bytes behind the end"),
    pytest.param(GOOD + GOOD, "further bytes", id="two archives in one file"),
    pytest.param(zipped(b""), "no end", id="an empty tar"),
    pytest.param(zipped(packed([])), "must begin with the member manifest", id="no member"),
    pytest.param(zipped(packed(FILES.items())), "must begin with the member manifest", id="no manifest"),
    pytest.param(archive(("policies/two.json", EXTRA)), "not listed", id="T109 a member that is not listed"),
    pytest.param(
        archive(("policies/one.json", FILES["policies/one.json"])), "twice", id="T109 a member twice"
    ),
    pytest.param(archive(("manifest.json", manifest())), "twice", id="T109 a second manifest"),
    pytest.param(archive(("manifest.sig", b"")), "not in its place", id="a signature at the end"),
    pytest.param(
        listing({**FILES, "lint.toml": b""}), "is not in the archive", id="T109 a listed member is absent"
    ),
    pytest.param(listing(SPOILT), "another content", id="T109 a member with another content"),
    pytest.param(archive((linked(tarfile.SYMTYPE), b"")), "no regular file", id="T109 a symbolic link"),
    pytest.param(archive((linked(tarfile.LNKTYPE), b"")), "no regular file", id="T109 a hard link"),
    pytest.param(archive((linked(tarfile.CHRTYPE), b"")), "no regular file", id="T109 a device"),
    pytest.param(archive((linked(tarfile.FIFOTYPE), b"")), "no regular file", id="T109 a FIFO"),
    pytest.param(archive((linked(tarfile.DIRTYPE), b"")), "no regular file", id="a folder"),
    pytest.param(
        archive(("policies/../../x.json", EXTRA)), "no file of a bundle", id="T109 a path that leads out"
    ),
    pytest.param(archive(("/policies/x.json", EXTRA)), "no file of a bundle", id="T109 an absolute path"),
    pytest.param(archive(("policies/a/x.json", EXTRA)), "no file of a bundle", id="a folder of policies"),
    pytest.param(archive(files=HUGE), "is too large", id="T63 a policy of 4 MiB and a byte"),
    pytest.param(
        zipped(packed(LISTED, form=tarfile.GNU_FORMAT)), "not in the format ustar", id="an archive of GNU tar"
    ),
    pytest.param(
        zipped(
            packed(
                [(member("manifest.json", pax_headers={"comment": "x"}), manifest()), *FILES.items()],
                form=tarfile.PAX_FORMAT,
            )
        ),
        "something else than one long path",
        id="an extended header with something else",
    ),
    pytest.param(listing(FILES, serial=0), "whole number", id="serial 0"),
    pytest.param(listing(FILES, serial=1.5), "whole number", id="a serial with a fraction"),
    pytest.param(listing(FILES, serial="1"), "whole number", id="a serial as text"),
    pytest.param(listing(FILES, serial=1 << 53), "whole number", id="a serial that is too large"),
    pytest.param(listing(FILES, schema=2), "must be 1", id="another schema"),
    pytest.param(listing(FILES, further=1), "unknown key", id="an unknown key"),
    pytest.param(
        listing(FILES, valid_until="2027-01-31"), "time with its zone", id="a validity without a zone"
    ),
    pytest.param(listing(FILES, files={"policies/one.json": "abc"}), "SHA-256", id="a digest that is none"),
    pytest.param(
        listing(FILES, files={"../x": "0" * 64}), "no file of a bundle", id="a listed path that leads out"
    ),
    pytest.param(zipped(packed(LISTED)[:-10240]), "no end", id="no blocks of zeros at the end"),
    pytest.param(zipped(packed(LISTED) + bytes(10241)), "must end with zeros", id="T63 endless padding"),
    pytest.param(zipped(packed(LISTED) + b"x" * 512), "must end with zeros", id="text in the padding"),
]


@pytest.mark.parametrize(("raw", "message"), REFUSED)
def test_a_wrong_archive_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_archive(raw)


def test_padding_between_members_must_be_zero() -> None:
    tar = bytearray(packed(LISTED))
    tar[512 + len(manifest())] = 1
    with pytest.raises(BundleError, match="padding"):
        read_archive(zipped(bytes(tar)))


def test_t63_a_bomb_is_refused_before_it_is_decompressed() -> None:
    """A member that claims to be small does not make a stream of zeros small."""
    pump = zlib.compressobj(9, wbits=31)
    head = packed(LISTED).rstrip(b"\0")
    parts = [pump.compress(head + bytes(-len(head) % 512 + 1024))]
    parts += [pump.compress(bytes(1 << 24)) for _ in range(16)]
    bomb = b"".join((*parts, pump.flush()))
    assert len(bomb) < 1 << 20
    with pytest.raises(BundleError, match="must end with zeros"):
        read_archive(bomb)


def test_t63_a_manifest_of_very_many_files_is_refused() -> None:
    files = {f"policies/p{number}.json": "0" * 64 for number in range(FOLDER_FILES + 1)}
    with pytest.raises(BundleError, match=f"lists {FOLDER_FILES + 1} files, at most {FOLDER_FILES}"):
        read_archive(listing({}, files=files))


def test_t63_many_files_that_are_together_too_large_are_refused() -> None:
    files = {f"policies/{number}.json": bytes(DOCUMENT_BYTES) for number in range(17)}
    assert sum(map(len, files.values())) > FOLDER_BYTES
    with pytest.raises(BundleError, match="together larger"):
        read_archive(archive(files=files))


def test_an_archive_that_takes_too_long_is_refused() -> None:
    ticks = count(0.0, 20.0)
    with pytest.raises(BundleError, match="too long"):
        read_archive(
            archive(files={"principals.json": bytes(1 << 20)}), seconds=30, monotonic=lambda: next(ticks)
        )


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_no_flipped_bit_changes_what_is_read(place: int) -> None:
    """The header of gzip has bits that mean nothing; every other flip is refused (T109)."""
    spoilt = bytearray(GOOD)
    spoilt[place // 8] ^= 1 << place % 8
    try:
        read = read_archive(bytes(spoilt))
    except BundleError:
        return
    assert read.files == FILES
    assert read.digest == sha256(manifest()).hexdigest()


def test_another_compression_of_the_same_files_is_the_same_bundle() -> None:
    again = gzip.compress(gzip.decompress(GOOD), compresslevel=1)
    assert again != GOOD
    assert read_archive(again).digest == read_archive(GOOD).digest
