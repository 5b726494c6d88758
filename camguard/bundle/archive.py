"""A bundle as one file: a .tar.gz that is read whole or not at all, in memory.

Theory of operation. `manifest.json` is the first member. It lists every other member once, with its SHA-256,
and the serial of the bundle. `manifest.sig` may follow: a signature of the bytes of the manifest. The members
are read as a stream, and the signature is verified before anything behind it is decompressed. Nothing is
written to disk, so there is no path that could lead elsewhere.

Rule 1: the container is bounded and as strict as `camguard.bundle.ustar` says.
Rule 2: the members are exactly those of the manifest: none is missing, further, twice, or otherwise than its
        digest says.
Rule 3: an archive is deterministic: the same files, serial and key give the same manifest and signature.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from camguard.bundle.signature import (
    Algorithm,
    SignKey,
    VerifyKey,
    parse_signature,
    require_signature,
    write_signature,
)
from camguard.bundle.ustar import CODE, PATH_BYTES, problem, read_tar, write_tar, wrong
from camguard.errors import BundleError
from camguard.files import DOCUMENT_BYTES, FOLDER_BYTES, FOLDER_FILES, MIB
from camguard.policy.values import read_moment
from camguard.strict_json import Number, ObjectReader, is_text, must, read_json

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
MAX_SERIAL: Final = (1 << 53) - 1  # the largest whole number that every reader of JSON keeps
_SERIAL_DIGITS: Final = len(str(MAX_SERIAL))  # Python reads no number of more than 4300 digits
READ_SECONDS: Final = 30.0
WHOLE: Final = ("principals.json", "resource_tags.json")  # files that may be as large as a whole bundle
_MEMBER: Final = re.compile(
    r"principals\.json|resource_tags\.json|lint\.toml|policies/[^./][^/]*\.json|tests/(?:[^./][^/]*/)*[^./][^/]*\.toml"
)
_MANIFEST_BYTES: Final = 16 * MIB
_SIGNATURE_BYTES: Final = 1024
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Archive:
    """A bundle that was read from an archive.

    serial: orders the bundles of one source. digest: hex SHA-256 of the manifest, which names the content.
    files: the files of a bundle folder; tests: those below `tests/`; both by path. valid_until: Unix time
    after which the source does not vouch for the bundle any more; None: no such time. signed: how; None if
    the archive has no signature. verified: whether the signature was verified.
    """

    serial: int
    digest: str
    files: Mapping[str, bytes]
    tests: Mapping[str, bytes]
    valid_until: float | None
    signed: Algorithm | None
    verified: bool


def fits(path: str) -> bool:
    """Return whether a path is that of a file that a bundle may have."""
    return _MEMBER.fullmatch(path) is not None and path.isprintable()


def write_archive(
    files: Mapping[str, bytes], serial: int, *, key: SignKey | None = None, valid_until: str | None = None
) -> bytes:
    """Return the archive of the files of a bundle.

    files: by path inside of the bundle. key: signs the manifest. valid_until: a time in ISO 8601.
    Raises BundleError: a path or a size that no archive may have.
    """
    problems = [
        problem(path, "is no file of a bundle, or has a name that an archive cannot hold")
        for path in files
        if not fits(path) or len(path.encode()) > PATH_BYTES
    ]
    if problems:
        raise BundleError(*problems)
    listed: dict[str, Any] = {"schema": 1, "serial": serial}
    if valid_until is not None:
        listed["valid_until"] = valid_until
    listed["files"] = {path: sha256(files[path]).hexdigest() for path in sorted(files)}
    manifest = (json.dumps(listed, ensure_ascii=False, indent=1) + "\n").encode()
    members = {MANIFEST: manifest}
    if key is not None:
        members[SIGNATURE] = write_signature(key, manifest)
    members |= {path: files[path] for path in sorted(files)}
    return write_tar(members)


def read_archive(
    raw: bytes,
    *,
    key: VerifyKey | None = None,
    seconds: float = READ_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
) -> Archive:
    """Return the bundle in an archive.

    key: the archive must have a good signature of this key; None: signatures are not verified.
    seconds: for which decompression may last.
    Raises BundleError.
    """
    members = read_tar(raw, _most, seconds, monotonic)
    name, manifest = next(members, ("", b""))
    if name != MANIFEST:
        raise wrong("", f"must begin with the member {MANIFEST}; `camguard bundle build` makes such archives")
    first = next(members, None)
    line = first[1] if first is not None and first[0] == SIGNATURE else None
    if key is not None:
        require_signature(key, manifest, line)  # before the manifest and what follows it are read
    signed = None if line is None else parse_signature(line)[0]
    listed = _read_manifest(manifest)
    digests: dict[str, str] = listed["files"]
    found: dict[str, bytes] = {}
    if first is not None and line is None:
        _take(first, digests, found)
    for member in members:
        _take(member, digests, found)
    missing = [
        problem(path, "is listed in the manifest and is not in the archive")
        for path in digests.keys() - found.keys()
    ]
    if missing:
        raise BundleError(*sorted(missing))
    tests = {path: content for path, content in found.items() if path.startswith("tests/")}
    return Archive(
        serial=int(listed["serial"]),
        digest=sha256(manifest).hexdigest(),
        files=MappingProxyType({path: content for path, content in found.items() if path not in tests}),
        tests=MappingProxyType(tests),
        valid_until=_moment(listed.get("valid_until")),
        signed=signed,
        verified=key is not None,
    )


def _most(path: str) -> int:
    if path in (MANIFEST, SIGNATURE):
        return _MANIFEST_BYTES if path == MANIFEST else _SIGNATURE_BYTES
    if not fits(path):
        raise wrong(path, "is no file of a bundle")
    return FOLDER_BYTES if path in WHOLE else DOCUMENT_BYTES


def _take(member: tuple[str, bytes], digests: Mapping[str, str], found: dict[str, bytes]) -> None:
    """Add one member to those found. Raises BundleError unless the manifest lists it, and lists it so."""
    path, content = member
    if path in found or path in (MANIFEST, SIGNATURE):
        raise wrong(path, "is in the archive twice, or not in its place")
    if path not in digests:
        raise wrong(path, "is in the archive and is not listed in the manifest")
    if sha256(content).hexdigest() != digests[path]:
        raise wrong(path, "has another content than the manifest says")
    found[path] = content


def is_serial(value: Any, least: int = 1) -> bool:
    """Return whether a value of a document is a whole number from `least` to MAX_SERIAL."""
    digits = isinstance(value, Number) and value.isdigit() and len(value) <= _SERIAL_DIGITS
    return digits and least <= int(value) <= MAX_SERIAL


_REQUIRED: Final = {
    "schema": must(lambda value: isinstance(value, Number) and value == "1", "1"),
    "serial": must(is_serial, f"a whole number from 1 to {MAX_SERIAL}"),
    "files": must(lambda value: isinstance(value, dict), "an object"),
}
_OPTIONAL: Final = {
    "valid_until": must(lambda value: is_text(value) and _moment(value) is not None, "a time with its zone")
}


def _moment(text: str | None) -> float | None:
    """Return the Unix time of a text in ISO 8601 that names its zone, else None."""
    when = None if text is None else read_moment(text)
    return None if when is None or when.tzinfo is None else when.timestamp()


def require_moment(text: str) -> str:
    """Return a text that a manifest may have as `valid_until`. Raises ValueError."""
    if _moment(text) is None:
        raise ValueError("is no time in ISO 8601 with its zone, such as 2027-01-31T00:00:00Z")
    return text


def _read_manifest(raw: bytes) -> dict[str, Any]:
    reader = ObjectReader(MANIFEST, CODE)
    listed = reader.members(read_json(raw, MANIFEST, BundleError, CODE), "", _REQUIRED, _OPTIONAL)
    digests = listed.get("files", {})
    for path, digest in digests.items():
        if not fits(path):
            reader.wrong("/files", f"{path!r} is no file of a bundle")
        elif not is_text(digest) or not _DIGEST.fullmatch(digest):
            reader.wrong("/files", f"{path!r} must have a SHA-256 in small hexadecimal digits")
    if not reader.problems and len(digests) > FOLDER_FILES:
        reader.wrong("/files", f"lists {len(digests)} files, at most {FOLDER_FILES}")
    if reader.problems:
        raise BundleError(*reader.problems)
    return listed
