"""Access keys: `keys.json` read strictly, and the signing keys that are derived from their secrets.

A signature is made with a signing key, which is derived from a secret for one day and one service in four
HMACs. Clients sign many requests a day, so a `KeyRing` caches the signing keys it has derived.

An attacker must not learn from the time of a refusal which secret ids exist. A request with an unknown or
disabled id therefore does the same work as one with a known id: its signing key is derived from a decoy, 32
random bytes that are no one's secret, is cached in the same way, and the signature is compared with what that
signing key makes. Signing keys of known and unknown ids are cached apart, so that requests with invented ids
cannot push out the signing keys of real callers.

Rule 1: a secret leaves this file only as a keyed hash or for a comparison. No repr, error or log shows one.
Rule 2: signing keys are cached in the `KeyRing` whose secrets they came from. When keys are rotated, the ring
        is replaced and its signing keys with it (T82).
Rule 3: an unknown or disabled secret id costs what a known one costs (T81).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from hashlib import sha256
from hmac import digest as hmac_digest
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, NamedTuple

from camguard.bounded_cache import BoundedCache
from camguard.errors import PolicyError, SettingsError
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

_LONGEST_CACHED = 512  # bytes of a cached `Authorization`; an official client sends some 130
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_BLOCK = 64  # of SHA-256, RFC 2104
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Caller(NamedTuple):
    """The authenticated principal of a request.

    secret_id: shortened; None where no key was involved. session: the policy that limits a temporary key.
    signature: the result of the signature check, `valid` or `claimed`; None where no signature was checked.
    """

    principal: str
    secret_id: str | None
    session: Policy | None
    signature: str | None


@dataclass(frozen=True, slots=True, eq=False)
class AccessKey:
    """One access key in use: a secret id, its secret, and the principal who owns them.

    label: the secret id as the log shows it. caller: of a request whose signature by this key is good.
    token: what `X-TC-Token` must be, empty for a permanent key. expires: seconds since the epoch; None:
    never. session: the policy that limits a temporary key.
    """

    secret_id: str
    principal: str
    secret: bytes = field(repr=False)
    token: bytes = field(repr=False)
    expires: float | None
    session: Policy | None
    label: str = field(init=False)
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", shorten(self.secret_id))
        object.__setattr__(self, "caller", Caller(self.principal, self.label, self.session, "valid"))


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """What an access key signs with on one day for one service.

    access_key: None where the secret id is unknown or disabled; the signing key is then that of the decoy.
    day: days since the epoch. service: in lower case, as hosts name it. scope: the credential scope as the
    string to sign has it.
    inner, outer: SHA-256 that has taken in the padded key, so that an HMAC is two copies (RFC 2104).
    """

    access_key: AccessKey | None
    day: int
    service: str
    scope: bytes
    inner: HASH = field(repr=False)
    outer: HASH = field(repr=False)


def _signing_keys() -> BoundedCache[bytes, SigningKey]:
    """Return an empty cache from `Authorization` without its signature to the signing key it names."""
    return BoundedCache(longest=_LONGEST_CACHED)


class KeyChanges(NamedTuple):
    """How a key ring differs from an earlier one: secret ids, shortened as the log shows them.

    disabled: entries that were in use, or not there, and are there and disabled. They are not in `removed`.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    disabled: tuple[str, ...]


class KeyRing:
    """All access keys in use, by secret id, and the signing keys derived from them so far.

    disabled_ids: the secret ids of the entries of the file that are not in use. known_ids: the signing keys
    of access keys in use, by the credential text for which `cache` kept them.
    """

    __slots__ = ("_access_keys", "_decoy_key", "_unknown_ids", "disabled_ids", "known_ids")

    def __init__(self, access_keys: Mapping[str, AccessKey], disabled_ids: Collection[str] = ()) -> None:
        self._access_keys = {secret_id.encode(): key for secret_id, key in access_keys.items()}
        self.disabled_ids = frozenset(disabled_ids)
        self._decoy_key = token_bytes(32)
        self.known_ids = _signing_keys()
        self._unknown_ids = _signing_keys()

    def __len__(self) -> int:
        return len(self._access_keys)

    def __repr__(self) -> str:
        return f"<KeyRing: {len(self)} in use, {len(self.disabled_ids)} disabled>"

    def find(self, secret_id: bytes) -> AccessKey | None:
        """Return the enabled access key that has this id, or None when no enabled key has the id."""
        return self._access_keys.get(secret_id)

    def owned_by(self, principal: str) -> tuple[AccessKey, ...]:
        """Return the access keys in use of a principal, in the order of the file."""
        return tuple(key for key in self._access_keys.values() if key.principal == principal)

    def states(self, now: float) -> dict[str, int]:
        """Return how many entries of the file are `enabled`, `disabled` and `expired`.

        now: seconds since the epoch.
        """
        expired = sum(
            1 for key in self._access_keys.values() if key.expires is not None and now >= key.expires
        )
        return {"enabled": len(self) - expired, "disabled": len(self.disabled_ids), "expired": expired}

    def kept_by(self, other: KeyRing) -> KeyRing:
        """Return the access keys that `other` holds in use just as this ring does."""
        kept = {
            key.secret_id: key
            for secret_id, key in self._access_keys.items()
            if (found := other.find(secret_id)) is not None and _same(key, found)
        }
        return KeyRing(kept, other.disabled_ids)

    def owners(self) -> Iterator[tuple[str, str]]:
        """Yield the shortened secret id and the principal of each access key in use."""
        for key in self._access_keys.values():
            yield key.label, key.principal

    def changes_since(self, before: KeyRing) -> KeyChanges:
        """Return how this ring differs from an earlier one."""
        old = {key.secret_id: key for key in before._access_keys.values()}
        new = {key.secret_id: key for key in self._access_keys.values()}
        changed = {name for name in old.keys() & new.keys() if not _same(old[name], new[name])}
        disabled = self.disabled_ids - before.disabled_ids
        found = (new.keys() - old.keys(), old.keys() - new.keys() - disabled, changed, disabled)
        return KeyChanges(*(tuple(map(shorten, sorted(names))) for names in found))

    def secret_of(self, access_key: AccessKey | None) -> bytes:
        """Return the secret of an access key, or the decoy for an unknown id."""
        return self._decoy_key if access_key is None else access_key.secret

    def cached(self, credential: bytes) -> SigningKey | None:
        """Return the signing key cached for this credential text, or None when the cache holds no key."""
        return self.known_ids.get(credential) or self._unknown_ids.get(credential)

    def derive(self, secret_id: bytes, day: str, service: str) -> SigningKey:
        """Return the signing key of a secret id for `day` (YYYY-MM-DD) and service.

        service: the text that the client signs, in any letter case (T134). Raises ValueError if there is no
        such day. Source: CAM 14.3.
        """
        access_key = self._access_keys.get(secret_id)
        signing = b"TC3" + self.secret_of(access_key)
        for part in (day, service, "tc3_request"):
            signing = hmac_digest(signing, part.encode(), "sha256")
        padded = signing.ljust(_BLOCK, b"\0")
        return SigningKey(
            access_key=access_key,
            day=date.fromisoformat(day).toordinal() - _EPOCH_DAY,
            service=service.lower(),
            scope=f"{day}/{service}/tc3_request".encode(),
            inner=sha256(padded.translate(_INNER)),
            outer=sha256(padded.translate(_OUTER)),
        )

    def cache(self, credential: bytes, signing_key: SigningKey) -> None:
        """Keep a signing key for `cached`. credential: `Authorization` without its signature."""
        ids = self._unknown_ids if signing_key.access_key is None else self.known_ids
        ids[credential] = signing_key


def _same(one: AccessKey, other: AccessKey) -> bool:
    """Tell whether two access keys agree in everything. Policies are compared by what they say."""
    return repr(one.session) == repr(other.session) and all(
        getattr(one, each.name) == getattr(other, each.name)
        for each in fields(one)
        if each.name not in {"session", "caller"}  # `caller` follows from the others
    )


def shorten(secret_id: str) -> str:
    """Return enough of a secret id to recognise it.

    >>> shorten("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAM"), shorten("AKIDEXAMPLE")
    ('AKIDz8…EXAM', 'AKID…')
    """
    return f"{secret_id[:6]}…{secret_id[-4:]}" if len(secret_id) > 15 else f"{secret_id[:4]}…"  # noqa: PLR2004


def parse_keys(raw: bytes, source: str) -> KeyRing:
    """Read the content of `keys.json`.

    source: the file's name, for messages. Raises SettingsError that lists every problem.
    """
    reader = ObjectReader(source, "KeysError")
    tree = read_json(raw, source, SettingsError, "KeysError")
    access_keys: dict[str, AccessKey] = {}
    disabled: set[str] = set()
    for secret_id, entry in reader.object(tree, "").items():
        at = child("", secret_id)
        if not SECRET_ID.fullmatch(secret_id):
            reader.wrong(at, f"a secret id has {SECRET_ID_RULE}")
        access_key = _read_access_key(secret_id, entry, at, reader)
        if access_key is None:
            continue
        if entry.get("enabled") is False:
            disabled.add(secret_id)
        else:
            access_keys[secret_id] = access_key
    if reader.problems:
        raise SettingsError(*reader.problems)
    return KeyRing(access_keys, disabled)


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
    "session_policy": must(lambda _value: True, "a policy"),  # `_session_policy` reads it
}


def _read_access_key(secret_id: str, entry: Any, at: str, reader: ObjectReader) -> AccessKey | None:
    """Return one entry of the file, or None after adding all of its problems to the reader."""
    before = len(reader.problems)
    found = reader.members(entry, at, _REQUIRED, _OPTIONAL)
    session = None
    if "session_policy" in found:
        session = _session_policy(found["session_policy"], f"{at}/session_policy", reader.wrong)
    if len(reader.problems) > before:
        return None
    return AccessKey(
        secret_id,
        principal=found["principal"],
        secret=found["secret_key"].encode(),
        token=found.get("token", "").encode(),
        expires=_instant(found["expires"]) if "expires" in found else None,
        session=session,
    )


def _session_policy(tree: object, at: str, wrong: Callable[[str, str], None]) -> Policy | None:
    """Return a policy within the file, or None after giving each of its problems to `wrong`."""
    try:
        return policy_from_tree(tree, "session")
    except PolicyError as error:
        for problem in error.problems:
            wrong(at + problem.where.partition("#")[2], f"{problem.message} [{problem.code}]")
    return None
