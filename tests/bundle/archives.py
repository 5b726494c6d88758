"""Archives of bundles for tests: good ones, and ones that `write_archive` would never write."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from tests.company import OWNER, USER, allow, document

FILES: Mapping[str, bytes] = {
    "principals.json": json.dumps(
        {"owner": OWNER, "users": {USER.partition("/")[2]: {"policies": ["one"]}}}
    ).encode(),
    "policies/one.json": document(allow()).encode(),
}


def manifest(listed: Mapping[str, bytes] = FILES, **further: Any) -> bytes:
    """Return a manifest that lists some files. further: members that take the place of the usual ones."""
    digests = {path: sha256(content).hexdigest() for path, content in listed.items()}
    return json.dumps({"schema": 1, "serial": 1, "files": digests, **further}).encode()


def member(name: str, **facts: Any) -> tarfile.TarInfo:
    """Return the header of a member. facts: attributes of `tarfile.TarInfo`."""
    info = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def header(
    path: str | bytes = "a.json", size: int = 0, *, changes: Mapping[int, bytes] = MappingProxyType({})
) -> bytes:
    """Return a header with a correct checksum, unless `changes` has one. changes: bytes by their place."""
    name = path if isinstance(path, str) else ""
    block = member(name, size=size).tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    for at, value in {**({0: path} if isinstance(path, bytes) else {}), **changes}.items():
        block = block[:at] + value + block[at + len(value) :]
    return block if 148 in changes else block[:148] + checksum_of(block) + block[156:]


def checksum_of(block: bytes) -> bytes:
    """Return the field of a header that holds its checksum."""
    return b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))


def packed(
    members: Iterable[tuple[str | tarfile.TarInfo, bytes]], *, form: int = tarfile.USTAR_FORMAT
) -> bytes:
    """Return the uncompressed tar of any members, as the standard library writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, content in members:
            info = member(name) if isinstance(name, str) else name
            info.size = info.size or len(content)
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return out.getvalue()


def zipped(tar: bytes) -> bytes:
    return gzip.compress(tar, mtime=0)


def archive(*members: tuple[str | tarfile.TarInfo, bytes], files: Mapping[str, bytes] = FILES) -> bytes:
    """Return an archive with a manifest of `files`, these files, and further members behind them."""
    return zipped(packed([("manifest.json", manifest(files)), *files.items(), *members]))
