"""Archives of bundles: written the same each time, read whole or not at all."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.bundle.archive import MAX_SERIAL, fits, read_archive, require_moment, write_archive
from camguard.bundle.load import content_of, read_content
from camguard.bundle.ustar import PATH_BYTES
from camguard.errors import BundleError, Problem
from camguard.files import DOCUMENT_BYTES, FOLDER_BYTES, FOLDER_FILES
from tests.bundle.archives import FILES, archive, header, manifest, member, packed, zipped

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


# a path, and whether a bundle may have a file there
PATHS = [
    pytest.param("principals.json", True, id="the principals"),
    pytest.param("resource_tags.json", True, id="the tags of resources"),
    pytest.param("lint.toml", True, id="the acceptances of lint"),
    pytest.param("policies/a.json", True, id="a policy with a name of one letter"),
    pytest.param("policies/aiart-full.json", True, id="a policy"),
    pytest.param("policies/a.b.json", True, id="a policy with a dot in its name"),
    pytest.param("policies/\u00e9.json", True, id="a policy with a name that is not ASCII"),
    pytest.param("tests/a.toml", True, id="a file of tests"),
    pytest.param("tests/ab.c.toml", True, id="a file of tests with a dot in its name"),
    pytest.param("tests/a/b.toml", True, id="a file of tests in a folder"),
    pytest.param("tests/ab.c/de/f.toml", True, id="a file of tests in a folder of a folder"),
    pytest.param("", False, id="no path"),
    pytest.param("principals-json", False, id="no dot in the name of the principals"),
    pytest.param("principals.json.json", False, id="a name behind the principals"),
    pytest.param("resource_tags-json", False, id="no dot in the name of the tags"),
    pytest.param("lint-toml", False, id="no dot in the name of the acceptances"),
    pytest.param("lint.toml/a.toml", False, id="a folder with the name of the acceptances"),
    pytest.param("policies/a-json", False, id="a policy without a dot before the suffix"),
    pytest.param("policies/a.json5", False, id="a policy with a longer suffix"),
    pytest.param("policies/.json", False, id="a suffix alone as a policy"),
    pytest.param("policies//.json", False, id="an empty folder of policies"),
    pytest.param("policies//a.json", False, id="two slashes before a policy"),
    pytest.param("policies/.a.json", False, id="a hidden policy"),
    pytest.param("policies/a/b.json", False, id="a policy in a folder"),
    pytest.param("tests/a-toml", False, id="a file of tests without a dot before the suffix"),
    pytest.param("tests/a.toml.bak", False, id="a file of tests with another suffix"),
    pytest.param("tests/.toml", False, id="a suffix alone as a file of tests"),
    pytest.param("tests/.a.toml", False, id="a hidden file of tests"),
    pytest.param("tests//a.toml", False, id="two slashes before a file of tests"),
    pytest.param("tests/.a/b.toml", False, id="a file of tests in a hidden folder"),
    pytest.param("tests/a/.b/c.toml", False, id="a file of tests in a hidden folder of a folder"),
    pytest.param("tests/a/.b.toml", False, id="a hidden file of tests in a folder"),
    pytest.param("tests/a/../b.toml", False, id="T109 a path that leads back"),
    pytest.param("tests//a/b.toml", False, id="two slashes before a folder of tests"),
    pytest.param("tests/a//b.toml", False, id="two slashes in the path of a file of tests"),
    pytest.param("policies/a\u202eb.json", False, id="a control character of bidirectional text"),
]


@pytest.mark.parametrize(("path", "may"), PATHS)
def test_a_bundle_has_files_at_these_paths_only(path: str, may: bool) -> None:
    assert fits(path) is may
    if may:
        read = read_archive(write_archive({path: b"{}"}, 1))
        assert {**read.files, **read.tests} == {path: b"{}"}
    else:
        with pytest.raises(BundleError) as caught:
            write_archive({path: b"{}"}, 1)
        message = "is no file of a bundle, or has a name that an archive cannot hold"
        assert caught.value.problems == (Problem(path or "the archive", "ArchiveError", message),)


# a name of a policy and how many bytes its path has beyond the bound
LONG_NAMES = [
    pytest.param("p" * (PATH_BYTES - 14), 0, id="512 bytes"),
    pytest.param("p" * (PATH_BYTES - 13), 1, id="513 bytes"),
    pytest.param("\u00e9" * ((PATH_BYTES - 14) // 2), 0, id="512 bytes of fewer letters"),
    pytest.param("\u00e9" * ((PATH_BYTES - 12) // 2), 2, id="514 bytes of fewer letters"),
]


@pytest.mark.parametrize(("name", "beyond"), LONG_NAMES)
def test_a_path_of_an_archive_has_at_most_512_bytes(name: str, beyond: int) -> None:
    path = f"policies/{name}.json"
    assert len(path.encode()) == PATH_BYTES + beyond
    if beyond:
        with pytest.raises(BundleError, match="a name that an archive cannot hold"):
            write_archive({path: b"{}"}, 1)
    else:
        assert read_archive(write_archive({path: b"{}"}, 1)).files == {path: b"{}"}


def test_the_manifest_is_text_that_people_read_and_is_the_same_each_time() -> None:
    files = {"policies/\u00e9.json": b"{}", "lint.toml": b""}
    raw = gzip.decompress(write_archive(files, 7, valid_until="2027-01-31T00:00:00Z"))
    empty, braces = (sha256(content).hexdigest() for content in (b"", b"{}"))
    expected = f"""{{
 "schema": 1,
 "serial": 7,
 "valid_until": "2027-01-31T00:00:00Z",
 "files": {{
  "lint.toml": "{empty}",
  "policies/\u00e9.json": "{braces}"
 }}
}}
""".encode()
    assert raw[512 : 512 + len(expected) + 1] == expected + b"\0"
    read = read_archive(zipped(raw))
    assert read.digest == sha256(expected).hexdigest()


def test_an_archive_without_a_validity_does_not_name_one() -> None:
    raw = write_archive({}, 1)
    assert b"valid_until" not in gzip.decompress(raw)
    read = read_archive(raw)
    assert (read.serial, dict(read.files), dict(read.tests), read.valid_until) == (1, {}, {}, None)


# the path that a header names, a size that it states, and the bound; None where the size is within the bound
SIZES = [
    pytest.param("manifest.json", 16 << 20, None, id="a manifest of 16 MiB"),
    pytest.param("manifest.json", (16 << 20) + 1, 16 << 20, id="T63 a manifest of 16 MiB and a byte"),
    pytest.param("manifest.sig", 1024, None, id="a signature of 1 KiB"),
    pytest.param("manifest.sig", 1025, 1024, id="T63 a signature of 1 KiB and a byte"),
    pytest.param("policies/a.json", 4 << 20, None, id="a policy of 4 MiB"),
    pytest.param("policies/a.json", (4 << 20) + 1, 4 << 20, id="T63 a policy of 4 MiB and a byte"),
    pytest.param("tests/a.toml", (4 << 20) + 1, 4 << 20, id="T63 a file of tests of 4 MiB and a byte"),
    pytest.param("lint.toml", (4 << 20) + 1, 4 << 20, id="T63 acceptances of 4 MiB and a byte"),
    pytest.param("principals.json", 64 << 20, None, id="principals of 64 MiB"),
    pytest.param("principals.json", (64 << 20) + 1, 64 << 20, id="T63 principals of 64 MiB and a byte"),
    pytest.param("resource_tags.json", 64 << 20, None, id="tags of 64 MiB"),
    pytest.param("resource_tags.json", (64 << 20) + 1, 64 << 20, id="T63 tags of 64 MiB and a byte"),
]


@pytest.mark.parametrize(("path", "size", "most"), SIZES)
def test_t63_a_header_that_states_too_large_a_size_is_refused_before_the_content(
    path: str, size: int, most: int | None
) -> None:
    with pytest.raises(BundleError) as caught:
        read_archive(zipped(header(path, size)))
    cut_off = "ends too early: the archive was cut off"
    message = cut_off if most is None else f"is too large: {size} bytes, at most {most}"
    assert caught.value.problems == (Problem(path, "ArchiveError", message),)


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


DIGEST = sha256(b"{}").hexdigest()
WHERE = "manifest.json"
FILES_WHERE = "manifest.json#/files"
NO_SHA256 = "'lint.toml' must have a SHA-256 in small hexadecimal digits"
NO_SERIAL = f"must be a whole number from 1 to {(1 << 53) - 1}"

# the bytes of a manifest, and its problems with their places
MANIFESTS = [
    pytest.param(
        b"{}", [(WHERE, f"lacks {name!r}") for name in ("schema", "serial", "files")], id="no member"
    ),
    pytest.param(b"[]", [(WHERE, "must be an object")], id="no object"),
    pytest.param(manifest({}, files=5), [(FILES_WHERE, "must be an object")], id="files that are no object"),
    pytest.param(manifest({}, files=None), [(FILES_WHERE, "must be an object")], id="null instead of files"),
    pytest.param(manifest({}, schema="1"), [("manifest.json#/schema", "must be 1")], id="a schema as text"),
    pytest.param(manifest({}, schema=True), [("manifest.json#/schema", "must be 1")], id="a schema of true"),
    pytest.param(manifest({}, schema=2), [("manifest.json#/schema", "must be 1")], id="schema 2"),
    *(
        pytest.param(
            manifest({}, serial=serial), [("manifest.json#/serial", NO_SERIAL)], id=f"serial {serial!r}"
        )
        for serial in (0, -1, 1.0, "1", True, None, 1 << 53)
    ),
    pytest.param(
        manifest({}).replace(b'"serial": 1', b'"serial": ' + b"1" * 5000),
        [("manifest.json#/serial", NO_SERIAL)],
        id="T63 a serial of very many digits",
    ),
    *(
        pytest.param(
            manifest({}, valid_until=moment),
            [("manifest.json#/valid_until", "must be a time with its zone")],
            id=f"valid until {moment!r}",
        )
        for moment in (None, True, 20270131, ["2027"], "", "2027-01-31T00:00:00", "2027-01-31", "tomorrow")
    ),
    pytest.param(
        manifest({}, files={"../x": DIGEST}),
        [(FILES_WHERE, "'../x' is no file of a bundle")],
        id="a wrong path",
    ),
    pytest.param(
        manifest({}, files={"manifest.json": DIGEST}),
        [(FILES_WHERE, "'manifest.json' is no file of a bundle")],
        id="the manifest in the manifest",
    ),
    *(
        pytest.param(
            manifest({}, files={"lint.toml": digest}),
            [(FILES_WHERE, NO_SHA256)],
            id=f"a digest that is {what}",
        )
        for digest, what in (
            (None, "null"),
            (int("1" * 64), "a number of 64 digits"),
            ("", "empty"),
            (DIGEST[:-1], "a digit short"),
            (DIGEST + "0", "a digit too long"),
            (DIGEST.upper(), "in capitals"),
            ("g" * 64, "not hexadecimal"),
            ("-" * 64, "of hyphens"),
        )
    ),
    pytest.param(
        manifest({}, files={"x": DIGEST, "lint.toml": ""}),
        [(FILES_WHERE, "'x' is no file of a bundle"), (FILES_WHERE, NO_SHA256)],
        id="two wrong files",
    ),
]


@pytest.mark.parametrize(("raw", "problems"), MANIFESTS)
def test_a_wrong_manifest_is_refused_with_the_place(raw: bytes, problems: list[tuple[str, str]]) -> None:
    with pytest.raises(BundleError) as caught:
        read_archive(zipped(packed([(WHERE, raw)])))
    assert caught.value.problems == tuple(Problem(where, "ArchiveError", text) for where, text in problems)


# members that are right
RIGHT = [
    pytest.param({"serial": 1}, id="the lowest serial"),
    pytest.param({"serial": MAX_SERIAL}, id="the highest serial"),
    pytest.param({"valid_until": "2027-01-31T00:00:00Z"}, id="a validity in UTC"),
    pytest.param({"valid_until": "2027-01-31T08:00:00+08:00"}, id="a validity with another zone"),
    pytest.param({"valid_until": "1970-01-01T00:00:00Z"}, id="a validity that ends at Unix time 0"),
]


@pytest.mark.parametrize("members", RIGHT)
def test_a_right_manifest_is_read(members: dict[str, Any]) -> None:
    read = read_archive(zipped(packed([(WHERE, manifest({}, **members))])))
    assert read.serial == members.get("serial", 1)
    until = members.get("valid_until")
    assert read.valid_until == (None if until is None else datetime.fromisoformat(until).timestamp())


def test_t63_a_manifest_lists_as_many_files_as_a_folder_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camguard.bundle.archive.FOLDER_FILES", 2)
    assert len(read_archive(write_archive(FILES, 1)).files) == 2
    with pytest.raises(BundleError) as caught:
        read_archive(write_archive({**FILES, "lint.toml": b""}, 1))
    assert caught.value.problems == (Problem(FILES_WHERE, "ArchiveError", "lists 3 files, at most 2"),)
    with pytest.raises(BundleError) as caught:
        read_archive(listing({**FILES, "../x": b""}))
    assert [each.message for each in caught.value.problems] == ["'../x' is no file of a bundle"]


# an archive, the place and the text of its problem
PLACES = [
    pytest.param(
        zipped(packed(FILES.items())),
        "the archive",
        "must begin with the member manifest.json; `camguard bundle build` makes such archives",
        id="no manifest",
    ),
    pytest.param(
        archive(("policies/two.json", b"{}")),
        "policies/two.json",
        "is in the archive and is not listed in the manifest",
        id="T109 a member that is not listed",
    ),
    pytest.param(
        archive(("manifest.json", b"{}")),
        "manifest.json",
        "is in the archive twice, or not in its place",
        id="T109 a second manifest",
    ),
    pytest.param(
        archive(("lint.toml", b""), ("lint.toml", b""), files={**FILES, "lint.toml": b""}),
        "lint.toml",
        "is in the archive twice, or not in its place",
        id="T109 a member twice",
    ),
    pytest.param(
        listing(SPOILT),
        "policies/one.json",
        "has another content than the manifest says",
        id="T109 a member with another content",
    ),
    pytest.param(archive(("x", b"")), "x", "is no file of a bundle", id="T109 a member that no bundle has"),
]


@pytest.mark.parametrize(("raw", "where", "message"), PLACES)
def test_a_wrong_member_is_refused_with_its_path(raw: bytes, where: str, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        read_archive(raw)
    assert caught.value.problems == (Problem(where, "ArchiveError", message),)


def test_all_absent_members_are_named_in_their_order() -> None:
    with pytest.raises(BundleError) as caught:
        read_archive(listing({**FILES, "tests/b.toml": b"", "lint.toml": b"", "policies/c.json": b""}))
    assert [each.where for each in caught.value.problems] == ["lint.toml", "policies/c.json", "tests/b.toml"]


def test_a_moment_of_the_command_line_names_its_zone() -> None:
    assert require_moment("2027-01-31T00:00:00Z") == "2027-01-31T00:00:00Z"
    for text in ("2027-01-31T00:00:00", "2027-01-31", "tomorrow", ""):
        with pytest.raises(ValueError, match="is no time in ISO 8601 with its zone"):
            require_moment(text)


def test_t63_decompression_may_last_30_seconds() -> None:
    in_time = chain((0.0,), repeat(30.0))
    assert read_archive(GOOD, monotonic=in_time.__next__).files == FILES
    too_late = chain((0.0,), repeat(30.5))
    with pytest.raises(BundleError, match="takes too long"):
        read_archive(GOOD, monotonic=too_late.__next__)


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
