"""Access keys: `keys.json` read strictly, and the signing keys that are derived from a secret for one day.

Rule 1: a secret leaves this file only as a keyed hash or for a comparison: no repr, error or log shows one.
Rule 2: the file belongs to the user of this process or to root, and no other user has any right to it; a
        file with other rights is refused whole.
Rule 3: what is derived lives in the `Keys` it came from: a rotation leaves nothing of it (T82).
Rule 4: an unknown or disabled secret id costs what a known one costs (T81): a random key stands in for
        the missing one. The signing keys derived from it are remembered, too, in a cache of their own.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from hmac import digest as hmac_digest
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from camguard.errors import PolicyError, Problem, SettingsError
from camguard.files import read_file
from camguard.grammar import PRINCIPAL, PRINCIPAL_RULE, SECRET_ID, SECRET_ID_RULE
from camguard.policy.document import policy_from_tree
from camguard.policy.model import Policy
from camguard.policy.values import read_instant
from camguard.strict_json import Check, Number, ObjectReader, child, flag, is_text, must, read_json, shaped

if TYPE_CHECKING:
    from _hashlib import HASH

_VISIBLE = re.compile(r"[!-~]+")
_SECRET_LENGTH = range(16, 1025)
_TOKEN_LENGTH = range(1, 4097)  # the documented bound of a temporary credential's token
_EPOCH = re.compile(r"(?:0|[1-9]\d{0,11})(?:\.\d{1,6})?", re.ASCII)

_FILE_BYTES = 16 << 20
_REMEMBERED = 4096  # a few hundred bytes each
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_BLOCK = 64  # of SHA-256, RFC 2104
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One credential that is in use.

    label: the secret id as the log shows it. token: what `X-TC-Token` must be, empty for a permanent key.
    expires: seconds since the epoch; None: never. session: what a temporary credential may do at most.
    """

    secret_id: str
    principal: str
    secret: bytes = field(repr=False)
    token: bytes = field(default=b"", repr=False)
    expires: float | None = None
    session: Policy | None = None
    label: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", shorten(self.secret_id))


class Credential(NamedTuple):
    """What a key signs with on one day for one service.

    key: None where the secret id is unknown. day: days since the epoch. scope: as the string to sign has it.
    inner, outer: SHA-256 that has taken in the padded key, so that an HMAC is two copies (RFC 2104).
    """

    key: Key | None
    day: int
    service: str
    scope: bytes
    inner: HASH
    outer: HASH


class Keys:
    """All keys in use, by secret id, and the credentials derived from them so far."""

    __slots__ = ("_by_id", "_known", "_nobody", "_strangers", "disabled")

    def __init__(self, keys: Mapping[str, Key], disabled: int = 0) -> None:
        self._by_id = {secret_id.encode(): key for secret_id, key in keys.items()}
        self.disabled = disabled
        self._nobody = token_bytes(32)
        self._known: dict[bytes, Credential] = {}
        self._strangers: dict[bytes, Credential] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"<Keys: {len(self)} in use, {self.disabled} disabled>"

    def find(self, secret_id: bytes) -> Key | None:
        """Return the key in use under that id; None where there is none, or it is disabled."""
        return self._by_id.get(secret_id)

    def secret_of(self, key: Key | None) -> bytes:
        """Return the secret of `key`, or of the random key that stands in for an unknown one."""
        return self._nobody if key is None else key.secret

    def recall(self, said: bytes) -> Credential | None:
        """Return the credential that stands behind this text, if it was derived before."""
        return self._known.get(said) or self._strangers.get(said)

    def derive(self, secret_id: bytes, day: str, service: str) -> Credential:
        """Return the credential of a secret id for `day` (YYYY-MM-DD) and service.

        Raises ValueError if there is no such day. Source: CAM 14.3.
        """
        key = self._by_id.get(secret_id)
        signing = b"TC3" + self.secret_of(key)
        for part in (day, service, "tc3_request"):
            signing = hmac_digest(signing, part.encode(), "sha256")
        padded = signing.ljust(_BLOCK, b"\0")
        return Credential(
            key=key,
            day=date.fromisoformat(day).toordinal() - _EPOCH_DAY,
            service=service,
            scope=f"{day}/{service}/tc3_request".encode(),
            inner=sha256(padded.translate(_INNER)),
            outer=sha256(padded.translate(_OUTER)),
        )

    def remember(self, said: bytes, credential: Credential) -> None:
        """Keep a credential for `recall`. What strangers say cannot push out what is known."""
        memory = self._strangers if credential.key is None else self._known
        if len(memory) >= _REMEMBERED:
            memory.clear()
        memory[said] = credential


def shorten(secret_id: str) -> str:
    """Return enough of a secret id to recognise it.

    >>> shorten("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAM"), shorten("AKIDEXAMPLE")
    ('AKIDz8…EXAM', 'AKID…')
    """
    return f"{secret_id[:6]}…{secret_id[-4:]}" if len(secret_id) > 15 else f"{secret_id[:4]}…"  # noqa: PLR2004


def load_keys(path: Path) -> Keys:
    """Read `keys.json`. Raises SettingsError that lists every problem; none of them quotes a value."""
    return parse_keys(_read(path), str(path))


def parse_keys(raw: bytes, source: str) -> Keys:
    """Read the content of `keys.json`.

    source: the file's name, for messages. Raises SettingsError that lists every problem.
    """
    reader = ObjectReader(source, "KeysError")
    tree = read_json(raw, source, SettingsError, "KeysError")
    keys: dict[str, Key] = {}
    disabled = 0
    for secret_id, entry in reader.object(tree, "").items():
        at = child("", secret_id)
        if not SECRET_ID.fullmatch(secret_id):
            reader.wrong(at, f"a secret id has {SECRET_ID_RULE}")
        key = _read_key(secret_id, entry, at, reader)
        if key is None or entry.get("enabled", True) is False:
            disabled += key is not None
        else:
            keys[secret_id] = key
    if reader.problems:
        raise SettingsError(*reader.problems)
    return Keys(keys, disabled)


def _visible(length: range) -> Check:
    """Return the check of a secret text. Its message never quotes the text."""
    rule = f"a string of {length.start} to {length.stop - 1} visible ASCII characters without blanks"
    return must(lambda value: is_text(value) and len(value) in length and _VISIBLE.fullmatch(value), rule)


def _instant(value: object) -> float | None:
    """Return seconds since the epoch; value: a JSON number, or RFC 3339 in UTC."""
    if isinstance(value, Number):
        return float(value) if _EPOCH.fullmatch(value) else None
    if not isinstance(value, str) or not value.endswith("Z"):
        return None
    moment = read_instant(value)
    return None if moment is None else float(moment)


_REQUIRED = {"secret_key": _visible(_SECRET_LENGTH), "principal": shaped(PRINCIPAL, PRINCIPAL_RULE)}
_OPTIONAL = {
    "enabled": flag,
    "token": _visible(_TOKEN_LENGTH),
    "expires": must(
        lambda value: _instant(value) is not None,
        "a UTC time such as 2026-01-31T12:00:00Z, or seconds since 1970",
    ),
    "session_policy": must(lambda _value: True, "a policy"),  # read by the language itself
}


def _read_key(secret_id: str, entry: Any, at: str, reader: ObjectReader) -> Key | None:
    """Return one entry as a Key, or None after adding everything that is wrong with it."""
    before = len(reader.problems)
    found = reader.members(entry, at, _REQUIRED, _OPTIONAL)
    session = None
    if "session_policy" in found:
        session = _session(found["session_policy"], f"{at}/session_policy", reader.wrong)
    if len(reader.problems) > before:
        return None
    return Key(
        secret_id,
        principal=found["principal"],
        secret=found["secret_key"].encode(),
        token=found.get("token", "").encode(),
        expires=_instant(found["expires"]) if "expires" in found else None,
        session=session,
    )


def _session(tree: object, at: str, wrong: Callable[[str, str], None]) -> Policy | None:
    try:
        return policy_from_tree(tree, "session")
    except PolicyError as error:
        for problem in error.problems:
            wrong(at + problem.where.partition("#")[2], f"{problem.message} [{problem.code}]")
    return None


def _read(path: Path) -> bytes:
    """Return the content of the file, and of the very file whose owner and rights were looked at."""

    def wrong(message: str) -> SettingsError:
        return SettingsError(Problem(str(path), "KeysError", message))

    def judge(facts: os.stat_result) -> None:
        if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(facts.st_mode)
            raise wrong(f"others may use these keys (mode {mode:04o}); run: chmod 600 {path}")
        if facts.st_uid not in (0, os.geteuid()):
            owner = f"belongs to user {facts.st_uid}, neither us nor root"
            raise wrong(f"{owner}; run: chown {os.geteuid()} {path}")

    try:
        return read_file(path, _FILE_BYTES, judge)
    except OSError as error:
        raise wrong(f"cannot be read: {error.strerror}") from None


class KeysPoll(NamedTuple):
    """What one look at the file found. problems: new ones only, so that no log fills with one fault."""

    result: Literal["success", "unchanged", "failure"]
    problems: tuple[Problem, ...] = ()


class KeyStore:
    """The keys in use: a request reads `keys` once, `poll` replaces it whole when the file's content changed.

    A file that became unusable changes nothing: the last good keys stay, `problems` says why.
    """

    __slots__ = ("_digest", "_path", "keys", "problems")

    def __init__(self, path: Path) -> None:
        """Load the keys. Raises SettingsError."""
        raw = _read(path)
        self._path = path
        self._digest = sha256(raw).digest()
        self.keys = parse_keys(raw, str(path))
        self.problems: tuple[Problem, ...] = ()

    def __repr__(self) -> str:
        return f"<KeyStore {str(self._path)!r}: {self.keys!r}>"

    def poll(self) -> KeysPoll:
        """Look at the file once. Raises nothing."""
        try:
            raw = _read(self._path)
            digest = sha256(raw).digest()
            if digest != self._digest:
                self.keys = parse_keys(raw, str(self._path))
                self._digest = digest
            elif not self.problems:
                return KeysPoll("unchanged")
        except SettingsError as error:
            if error.problems == self.problems:
                return KeysPoll("unchanged")
            self.problems = error.problems
            return KeysPoll("failure", error.problems)
        self.problems = ()
        return KeysPoll("success")
