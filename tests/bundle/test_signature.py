"""Signatures of archives: the key decides, and nothing without a good signature is read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from camguard.bundle.archive import read_archive, write_archive
from camguard.bundle.signature import (
    SignKey,
    VerifyKey,
    parse_signature,
    read_sign_key,
    read_verify_key,
    require_signature,
)
from camguard.errors import BundleError, Problem, SettingsError
from tests.bundle.archives import FILES, manifest, packed, zipped

SECRET = "5e" * 32
PEM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def private_pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(*PEM)


def public_pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_CURVE = ec.generate_private_key(ec.SECP256R1())


def put(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path = folder / f"key{len(list(folder.iterdir()))}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def pair(folder: Path, kind: str) -> tuple[SignKey, VerifyKey]:
    if kind == "hmac-sha256":
        path = put(folder, SECRET + "\n")
        return read_sign_key(path), read_verify_key(path)
    return read_sign_key(put(folder, private_pem(ED25519))), read_verify_key(
        put(folder, public_pem(ED25519), 0o644)
    )


KINDS = ["hmac-sha256", "ed25519"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_archive_is_verified(kind: str, tmp_path: Path) -> None:
    sign, verify = pair(tmp_path, kind)
    read = read_archive(write_archive(FILES, 1, key=sign), key=verify)
    assert (read.signed, read.verified, read.files) == (kind, True, FILES)


def signed(line: bytes | None, serial: int = 1) -> bytes:
    """Return an archive with a line as its signature."""
    members = [("manifest.json", manifest(serial=serial))]
    return zipped(packed([*members, *([] if line is None else [("manifest.sig", line)]), *FILES.items()]))


# a signature, and what is wrong with it
WRONG = [
    pytest.param(None, "is not signed", id="T109 no signature"),
    pytest.param(b"", "is empty or no signature", id="T109 an empty signature"),
    pytest.param(b"\n", "is empty or no signature", id="T109 an empty line"),
    pytest.param(b"hmac-sha256 \n", "is empty or no signature", id="T109 an algorithm alone"),
    pytest.param(b"none " + b"0" * 64 + b"\n", "is empty or no signature", id="T109 the algorithm none"),
    pytest.param(
        b"hmac-sha256 " + b"0" * 128 + b"\n", "is empty or no signature", id="the length of the other"
    ),
    pytest.param(b"hmac-sha256 " + b"0" * 64, "is empty or no signature", id="no line break"),
    pytest.param(b"hmac-sha256 " + b"0" * 64 + b"\n\n", "is empty or no signature", id="a second line"),
    pytest.param(b"hmac-sha256 " + b"0" * 64 + b"\n", "the signature is wrong", id="T109 a wrong signature"),
    pytest.param(
        b"ed25519 " + b"0" * 128 + b"\n", "is for hmac-sha256", id="T109 a signature of another kind"
    ),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_a_wrong_signature_is_refused(line: bytes | None, message: str, tmp_path: Path) -> None:
    _, verify = pair(tmp_path, "hmac-sha256")
    with pytest.raises(BundleError, match=message):
        read_archive(signed(line), key=verify)


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_of_another_manifest_does_not_fit(kind: str, tmp_path: Path) -> None:
    sign, verify = pair(tmp_path, kind)
    signature = sign.sign(b"camguard bundle manifest 1\n" + manifest(serial=1))
    line = f"{kind} {signature.hex()}\n".encode()
    assert read_archive(signed(line), key=verify).verified
    with pytest.raises(BundleError, match="the signature is wrong"):
        read_archive(signed(line, serial=2), key=verify)


DIGITS = "0123456789abcdef"
NO_LINE = "is empty or no signature: one line, the algorithm and hexadecimal digits"

# the content of `manifest.sig`, and the algorithm that it names; None if it is no signature
LINES = [
    pytest.param(f"hmac-sha256 {DIGITS * 4}\n", "hmac-sha256", id="64 digits by HMAC"),
    pytest.param(f"ed25519 {DIGITS * 8}\n", "ed25519", id="128 digits by Ed25519"),
    pytest.param(f"hmac-sha256 {DIGITS * 8}\n", None, id="128 digits by HMAC"),
    pytest.param(f"ed25519 {DIGITS * 4}\n", None, id="64 digits by Ed25519"),
    pytest.param(f"hmac-sha256 {DIGITS.upper() * 4}\n", None, id="digits in capitals"),
    pytest.param(f"hmac-sha256 {'-' * 64}\n", None, id="no digits"),
    pytest.param(f"hmac-sha256  {DIGITS * 4}\n", None, id="two blanks"),
    pytest.param(f"hmac-sha256 {DIGITS * 4}\r\n", None, id="a line break of Windows"),
    pytest.param(f"hmac-sha256 {DIGITS * 4}0\n", None, id="a digit too much"),
    pytest.param(f"HMAC-SHA256 {DIGITS * 4}\n", None, id="an algorithm in capitals"),
]


@pytest.mark.parametrize(("line", "algorithm"), LINES)
def test_a_signature_is_one_line(line: str, algorithm: str | None) -> None:
    if algorithm is None:
        with pytest.raises(BundleError) as caught:
            parse_signature(line.encode())
        assert caught.value.problems == (Problem("manifest.sig", "SignatureError", NO_LINE),)
    else:
        digits = line.split()[1]
        assert parse_signature(line.encode()) == (algorithm, bytes.fromhex(digits))


def test_a_missing_signature_has_the_code_of_signatures(tmp_path: Path) -> None:
    _, verify = pair(tmp_path, "hmac-sha256")
    with pytest.raises(BundleError) as caught:
        require_signature(verify, b"", None)
    message = "is missing: the bundle is not signed, and a key is set that must verify it"
    assert caught.value.problems == (Problem("manifest.sig", "SignatureError", message),)


# the content of a file with a secret, and the same secret in another file
SECRETS = [
    pytest.param(DIGITS * 4, (DIGITS * 4).upper(), id="capital and small digits"),
    pytest.param(DIGITS * 4, f"\n {DIGITS * 4} \r\n", id="blanks and line breaks around the digits"),
    pytest.param(DIGITS * 128, DIGITS * 128, id="2048 digits"),
]


@pytest.mark.parametrize(("one", "other"), SECRETS)
def test_the_same_secret_verifies(one: str, other: str, tmp_path: Path) -> None:
    sign, verify = read_sign_key(put(tmp_path, one)), read_verify_key(put(tmp_path, other))
    assert read_archive(write_archive(FILES, 1, key=sign), key=verify).verified


def test_another_key_does_not_verify(tmp_path: Path) -> None:
    sign, _ = pair(tmp_path, "hmac-sha256")
    other = read_verify_key(put(tmp_path, "ab" * 32))
    with pytest.raises(BundleError, match="the signature is wrong"):
        read_archive(write_archive(FILES, 1, key=sign), key=other)


def test_t63_nothing_behind_a_wrong_signature_is_read(tmp_path: Path) -> None:
    _, verify = pair(tmp_path, "hmac-sha256")
    tar = packed([("manifest.json", b"{"), ("manifest.sig", b"hmac-sha256 " + b"0" * 64 + b"\n")])[:2048]
    with pytest.raises(BundleError) as caught:
        read_archive(zipped(tar + b"no member"), key=verify)
    assert [each.where for each in caught.value.problems] == ["manifest.sig"]


# the content and the mode of a key file, and what is wrong with it
KEY_FILES = [
    pytest.param("", 0o600, "holds neither", id="an empty file"),
    pytest.param("5e" * 31, 0o600, "holds neither", id="a short secret"),
    pytest.param("5e" * 32 + "5", 0o600, "holds neither", id="half a byte"),
    pytest.param("zz" * 32, 0o600, "holds neither", id="other letters"),
    pytest.param(SECRET + "zz", 0o600, "holds neither", id="other letters behind a secret"),
    pytest.param("5e" * 1025, 0o600, "holds neither", id="2050 digits"),
    pytest.param(SECRET, 0o644, "other users may read or change", id="a secret that others may read"),
    pytest.param(
        public_pem(ED25519),
        0o666,
        r"other users may change this file \(mode 0666\); run: chmod 644 ",
        id="a public key that others may change",
    ),
    pytest.param(public_pem(ED25519), 0o620, r"\(mode 0620\)", id="a public key that the group may change"),
    pytest.param(public_pem(OTHER_CURVE), 0o600, "no key for Ed25519", id="a key of another kind"),
    pytest.param(private_pem(ED25519), 0o600, "no PEM of a public key", id="the private key"),
    pytest.param(b"-----BEGIN NONSENSE-----", 0o600, "no PEM of a public key", id="a damaged PEM"),
]


@pytest.mark.parametrize(("content", "mode", "message"), KEY_FILES)
def test_a_wrong_key_file_is_refused_and_not_quoted(
    content: str | bytes, mode: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read_verify_key(put(tmp_path, content, mode))
    assert "5e5e" not in str(caught.value)
    assert {each.code for each in caught.value.problems} == {"KeysError"}


ME, SOMEBODY = 23456, 34567

# the owner of a public key, and whether it is refused
OWNERS = [
    pytest.param(0, False, id="root"),
    pytest.param(ME, False, id="the user of this process"),
    pytest.param(SOMEBODY, True, id="somebody else"),
    pytest.param(1, True, id="a user beside root"),
]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(("owner", "refused"), OWNERS)
def test_t129_a_public_key_belongs_to_root_or_to_the_user_of_this_process(
    owner: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, public_pem(ED25519), 0o644)
    os.chown(path, owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    if not refused:
        assert read_verify_key(path).algorithm == "ed25519"
        return
    with pytest.raises(SettingsError) as caught:
        read_verify_key(path)
    message = f"belongs to user {owner}, neither the user of this process nor root"
    assert caught.value.problems == (Problem(str(path), "KeysError", message),)


@pytest.mark.parametrize("read", [read_sign_key, read_verify_key])
def test_a_pem_is_refused_while_the_package_of_the_extra_is_absent(
    read: Callable[[Path], SignKey | VerifyKey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    path = put(tmp_path, private_pem(ED25519))
    with pytest.raises(SettingsError) as caught:
        read(path)
    message = "holds a PEM, which needs the package cryptography: pip install 'camguard-gateway[ed25519]'"
    assert caught.value.problems == (Problem(str(path), "KeysError", message),)


# the content and the mode of a file that signs, and what is wrong with it
SIGN_FILES = [
    pytest.param(
        private_pem(ED25519), 0o644, "other users may read", id="a private key that others may read"
    ),
    pytest.param(private_pem(OTHER_CURVE), 0o600, "no key for Ed25519", id="a key of another kind"),
    pytest.param(public_pem(ED25519), 0o600, "no PEM of a private key", id="the public key"),
]


@pytest.mark.parametrize(("content", "mode", "message"), SIGN_FILES)
def test_a_wrong_file_does_not_sign(content: bytes, mode: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        read_sign_key(put(tmp_path, content, mode))


def test_an_absent_key_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_verify_key(tmp_path / "absent")


def test_without_the_extra_only_a_pem_is_refused(tmp_path: Path) -> None:
    """The package cryptography is optional: shared secrets work without it."""
    program = "\n".join(
        (
            "import sys",
            "sys.modules['cryptography'] = None",
            "from pathlib import Path",
            "from camguard.bundle.signature import read_verify_key",
            f"print(read_verify_key(Path({os.fspath(put(tmp_path, SECRET))!r})).algorithm)",
            "try:",
            f"    read_verify_key(Path({os.fspath(put(tmp_path, public_pem(ED25519)))!r}))",
            "except Exception as error:",
            "    print(error)",
        )
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "hmac-sha256"
    assert "pip install 'camguard-gateway[ed25519]'" in second
