"""Signatures of bundle archives: HMAC-SHA256 with a shared key, or Ed25519 with the extra `ed25519`.

Rule 1: the key decides which kind of signature is accepted; a signature never chooses how it is verified.
Rule 2: what is signed begins with the name of this use, so that no signature made for another use fits.
Rule 3: no message contains a key or a part of one.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from camguard.errors import BundleError, Problem, SettingsError
from camguard.files import MIB, read_file, wrong_rights

Algorithm = Literal["hmac-sha256", "ed25519"]

CODE: Final = "SignatureError"
_CONTEXT: Final = b"camguard bundle manifest 1\n"  # stands before the manifest in what is signed
_SECRET: Final = re.compile(
    rb"[0-9A-Fa-f]{64,2048}"
)  # at least 32 bytes, as `openssl rand -hex 32` prints them
_LINE: Final = re.compile(rb"(hmac-sha256|ed25519) ([0-9a-f]{64}|[0-9a-f]{128})\n")
_DIGITS: Final = {"hmac-sha256": 64, "ed25519": 128}
_FILE_BYTES: Final = MIB
_PEM: Final = b"-----BEGIN "


class VerifyKey(NamedTuple):
    """A key that verifies. holds: returns whether a signature of some bytes is good."""

    algorithm: Algorithm
    holds: Callable[[bytes, bytes], bool]


class SignKey(NamedTuple):
    """A key that signs. sign: returns the signature of some bytes."""

    algorithm: Algorithm
    sign: Callable[[bytes], bytes]


def read_verify_key(path: Path) -> VerifyKey:
    """Return the key in a file: a secret in hexadecimal digits, or a PEM with the public key of Ed25519.

    Raises SettingsError: the file cannot be read, other users may read a secret or change the key, or it
    holds something else.
    """
    content, secret = _read(path)
    if not secret:
        return _ed25519_public(content, path)
    key = bytes.fromhex(content.decode())

    def holds(signed: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(key, signed, sha256), signature)

    return VerifyKey("hmac-sha256", holds)


def read_sign_key(path: Path) -> SignKey:
    """Return the key in a file: a secret in hexadecimal digits, or a PEM with the private key of Ed25519.

    Raises SettingsError, as `read_verify_key` does.
    """
    content, secret = _read(path, signs=True)
    if not secret:
        return _ed25519_private(content, path)
    key = bytes.fromhex(content.decode())
    return SignKey("hmac-sha256", lambda signed: hmac.digest(key, signed, sha256))


def write_signature(key: SignKey, manifest: bytes) -> bytes:
    """Return the content of the member `manifest.sig`."""
    return f"{key.algorithm} {key.sign(_CONTEXT + manifest).hex()}\n".encode()


def require_signature(key: VerifyKey, manifest: bytes, line: bytes | None) -> None:
    """Raise BundleError unless `line` is a good signature of the manifest (T109).

    line: the content of the member `manifest.sig`; None if the archive does not have it.
    """
    if line is None:
        raise _wrong("is missing: the bundle is not signed, and a key is set that must verify it")
    algorithm, signature = parse_signature(line)
    if algorithm != key.algorithm:
        raise _wrong(f"is a signature by {algorithm}; the key that verifies is for {key.algorithm}")
    if not key.holds(_CONTEXT + manifest, signature):
        raise _wrong("the signature is wrong: another key has signed, or the manifest was changed afterwards")


def parse_signature(line: bytes) -> tuple[Algorithm, bytes]:
    """Return what a member `manifest.sig` says. Raises BundleError."""
    found = _LINE.fullmatch(line)
    if found is None or len(found[2]) != _DIGITS[found[1].decode()]:
        raise _wrong("is empty or no signature: one line, the algorithm and hexadecimal digits")
    algorithm: Algorithm = "ed25519" if found[1] == b"ed25519" else "hmac-sha256"
    return algorithm, bytes.fromhex(found[2].decode())


def _wrong(message: str) -> BundleError:
    return BundleError(Problem("manifest.sig", CODE, message))


def _refused(path: Path, message: str) -> SettingsError:
    return SettingsError(Problem(str(path), "KeysError", message))


def _read(path: Path, *, signs: bool = False) -> tuple[bytes, bool]:
    """Return the content of a key file, and whether it is a shared secret and no PEM."""
    facts: list[os.stat_result] = []
    try:
        content = read_file(path, _FILE_BYTES, facts.append).strip()
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    secret = not content.startswith(_PEM)
    for problem in wrong_rights(facts[0], path) if secret or signs else _changeable(facts[0], path):
        raise _refused(path, problem)
    if secret and (not _SECRET.fullmatch(content) or len(content) % 2):
        message = "holds neither a PEM nor 64 or more hexadecimal digits; `openssl rand -hex 32` makes a key"
        raise _refused(path, message)
    return content, secret


def _changeable(facts: os.stat_result, path: Path) -> Iterator[str]:
    """Yield what is wrong with the rights of a public key: only its owner may write the file."""
    mode = stat.S_IMODE(facts.st_mode)
    if facts.st_uid not in (0, os.geteuid()):
        yield f"belongs to user {facts.st_uid}, neither the user of this process nor root"
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield f"other users may change this file (mode {mode:04o}); run: chmod 644 {path}"


def _cryptography(path: Path) -> tuple[Any, Any, type[Exception]]:
    try:
        # Belongs to the extra `ed25519`; every other kind of key works without it.
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError:
        message = "holds a PEM, which needs the package cryptography: pip install 'camguard-gateway[ed25519]'"
        raise _refused(path, message) from None
    return serialization, ed25519, InvalidSignature


def _ed25519_public(content: bytes, path: Path) -> VerifyKey:
    serialization, ed25519, invalid = _cryptography(path)
    try:
        key = serialization.load_pem_public_key(content)
    except Exception:  # noqa: BLE001 - the library raises several kinds of errors for text that is no key
        raise _refused(path, "is no PEM of a public key (`openssl pkey -in KEY -pubout` prints it)") from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _refused(path, "is no key for Ed25519; make one with `openssl genpkey -algorithm ed25519`")

    def holds(signed: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except invalid:
            return False
        return True

    return VerifyKey("ed25519", holds)


def _ed25519_private(content: bytes, path: Path) -> SignKey:
    serialization, ed25519, _ = _cryptography(path)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except Exception:  # noqa: BLE001 - the library raises several kinds of errors for text that is no key
        raise _refused(path, "is no PEM of a private key without password") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _refused(path, "is no key for Ed25519; make one with `openssl genpkey -algorithm ed25519`")
    return SignKey("ed25519", lambda signed: bytes(key.sign(signed)))
