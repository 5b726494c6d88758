"""TC3-HMAC-SHA256: the owner of this secret id signed this very request, just now (CAM 14.3).

Rule 1: the bytes hashed are the bytes that go on; the query counts as received, nothing is re-sorted.
Rule 2: a request costs the same whether its secret id is known or not (T81).
Rule 3: only what is derived from a key is remembered, never that a signature was good (T83).
Rule 4: token and expiry are judged after the signature: only who holds the secret learns of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from hmac import compare_digest
from itertools import pairwise
from typing import Final

from camguard.authn.credentials import Credential, Key, Keys
from camguard.bounded_cache import BoundedCache
from camguard.grammar import SECRET_ID, of_bytes
from camguard.request.head import RequestHead
from camguard.request.rejection import Rejection, rejection

SKEW: Final = 300  # seconds, both ways, inclusive
UNSIGNED: Final = b"UNSIGNED-PAYLOAD"

_SAID = re.compile(
    rb"TC3-HMAC-SHA256 Credential=(" + of_bytes(SECRET_ID).pattern + rb")/([0-9]{4}-[0-9]{2}-[0-9]{2})/"
    rb"([a-z0-9][a-z0-9-]{0,62})/tc3_request, SignedHeaders=([a-z0-9!#$%&'*+.^_`|~;-]{1,2048}), Signature="
)
_HEX = re.compile(rb"[0-9a-f]{64}")
_HEX_LENGTH: Final = 64
_HEX_DIGITS: Final = b"0123456789abcdef"
_USUAL: Final = b"content-type;host"  # what every official client signs
_ALGORITHM: Final = b"TC3-HMAC-SHA256"
_USUAL_END: Final = b" SignedHeaders=" + _USUAL + b", Signature="
_BLANK: Final = b" \t"
_TIMESTAMP_LENGTH: Final = 12
_DAY: Final = 86_400

_MALFORMED: Final = rejection("auth_malformed")
_SERVICE: Final = rejection("service_conflict")
_EXPIRED: Final = rejection("signature_expired")
_INVALID: Final = rejection("signature_invalid")
_UNKNOWN: Final = rejection("secret_id_unknown")
_UNSIGNED: Final = rejection("unsigned_payload")
_NO_BODY: Final = rejection("body_unavailable")
_TOKEN: Final = rejection("token_invalid")
_KEY_EXPIRED: Final = rejection("key_expired")


def signed_payload(head: RequestHead, body: bytes | None, *, unsigned_allowed: bool) -> bytes | Rejection:
    """Return what the signature must cover of the body, or the refusal.

    body: the exact bytes that go on; None where they were not delivered.
    unsigned_allowed: whether a client may leave its body out of the signature, as `UNSIGNED-PAYLOAD` says.
    """
    if head.content_sha256 is not None:
        if head.content_sha256 != UNSIGNED:
            return _MALFORMED
        return UNSIGNED if unsigned_allowed else _UNSIGNED
    if body is None:
        return b"" if head.method == "GET" else _NO_BODY
    return body


def check_tc3(head: RequestHead, service: str, payload: bytes, keys: Keys, now: float) -> Key | Rejection:
    """Return the key that signed this request, or the refusal.

    service: what the host names. payload: as `signed_payload` returns it. now: seconds since the epoch.
    """
    credential = _credential(head, service, keys, now)
    if isinstance(credential, Rejection):
        return credential
    return verify_tc3(head, credential, payload, now)


def verify_tc3(head: RequestHead, credential: Credential, payload: bytes, now: float) -> Key | Rejection:
    """Return the key of the credential that `Authorization` names, if it signed this request.

    credential: as `named_credential` returned it for this head. payload, now: as for `check_tc3`.
    """
    said: bytes = head.authorization  # type: ignore[assignment]  # _credential found it to be there
    if _signed_by(credential, head, said, sha256(payload).hexdigest().encode()):
        return _judge(credential.key, head, now)
    if not _HEX.fullmatch(said, len(said) - _HEX_LENGTH):
        return _MALFORMED
    return _INVALID if credential.key else _UNKNOWN


def named_credential(head: RequestHead, service: str, keys: Keys, now: float) -> Credential | Rejection:
    """Return the credential that `Authorization` names, or the refusal that needs no body.

    Refused are another grammar, timestamp, day or service, and an unknown secret id. The signature of an
    unknown id is verified as if the body were empty, so that its refusal takes as long as for a known id
    (T81).
    """
    credential = _credential(head, service, keys, now)
    if isinstance(credential, Rejection):
        return credential
    if credential.key is None:
        refusal = verify_tc3(head, credential, b"", now)
        return refusal if isinstance(refusal, Rejection) else _UNKNOWN
    said: bytes = head.authorization  # type: ignore[assignment]  # _credential found it to be there
    return _MALFORMED if said[-_HEX_LENGTH:].translate(None, _HEX_DIGITS) else credential


def claim_tc3(head: RequestHead, service: str, keys: Keys, now: float) -> Key | Rejection:
    """Return the key that this request says it was signed with, believed unverified, or the refusal."""
    credential = _credential(head, service, keys, now)
    if isinstance(credential, Rejection):
        return credential
    said: bytes = head.authorization  # type: ignore[assignment]  # _credential found it to be there
    if not _HEX.fullmatch(said, len(said) - _HEX_LENGTH):
        return _MALFORMED
    return _judge(credential.key, head, now)


def _judge(key: Key | None, head: RequestHead, now: float) -> Key | Rejection:
    return _UNKNOWN if key is None else judge_key(key, head.token or b"", now)


def judge_key(key: Key, token: bytes, now: float) -> Key | Rejection:
    """Return `key` unless its token is not this one (an empty one is none) or it has expired."""
    if not compare_digest(token, key.token):
        return _TOKEN
    if key.expires is not None and now >= key.expires:
        return _KEY_EXPIRED
    return key


def timely(text: bytes, now: float) -> int | Rejection:
    """Return a timestamp in seconds, or the refusal: not canonical decimal, or too far from `now`."""
    if not text.isdigit() or len(text) > _TIMESTAMP_LENGTH or text.startswith(b"0"):
        return _MALFORMED
    then = int(text)
    return then if -SKEW <= now - then <= SKEW else _EXPIRED


def _credential(head: RequestHead, service: str, keys: Keys, now: float) -> Credential | Rejection:
    """Return what `Authorization` names, if it fits the grammar, the clock, the day and the service."""
    if head.authorization is None or head.timestamp is None or head.content_type is None:
        return _MALFORMED
    said = head.authorization[:-_HEX_LENGTH]
    recalled = keys.recall(said)
    credential = recalled or _derive(said, head, keys)
    then = timely(head.timestamp, now)
    if credential is None:
        return _MALFORMED
    if isinstance(then, Rejection):
        return then
    if credential.service != service:
        return _SERVICE
    if credential.day != then // _DAY:
        return _INVALID
    if recalled is None and said.endswith(_USUAL_END):
        keys.remember(said, credential)
    return credential


def _derive(said: bytes, head: RequestHead, keys: Keys) -> Credential | None:
    """Return the credential of an `Authorization` up to its signature, None where the grammar is not kept."""
    match = _SAID.fullmatch(said)
    if match is None or not _names_fit(match[4], head):
        return None
    try:
        return keys.derive(match[1], match[2].decode(), match[3].decode())
    except ValueError:  # no such day
        return None


def _names_fit(names: bytes, head: RequestHead) -> bool:
    """Tell whether `SignedHeaders` is sorted, unique and has what it must, each once in the request."""
    if names == _USUAL:
        return True  # the head has no more than one of either, and both were looked for
    listed = names.split(b";")
    if any(one >= other for one, other in pairwise(listed)):
        return False
    present = Counter(name.lower() for name, _ in head.lines)
    return {b"content-type", b"host"} <= set(listed) and all(present[name] == 1 for name in listed)


def _signed_by(credential: Credential, head: RequestHead, said: bytes, payload_digest: bytes) -> bool:
    """Tell whether the signature is that of one of the forms in which clients write the signed headers."""
    usual = said.endswith(_USUAL_END, 0, -_HEX_LENGTH)
    names = _USUAL if usual else said[said.index(b"SignedHeaders=") + 14 : said.index(b", Signature=")]
    first = None
    if usual:
        first = _USUAL_LINES[head.content_type, head.host]  # type: ignore[index]  # _credential found both
        if _fits(credential, head, said, first, names, payload_digest):
            return True
    return any(
        lines != first and _fits(credential, head, said, lines, names, payload_digest)
        for lines in _forms(names, head)
    )


def _fits(  # noqa: PLR0913, PLR0917 - what a signature is made of
    credential: Credential, head: RequestHead, said: bytes, lines: bytes, names: bytes, payload_digest: bytes
) -> bool:
    """Tell whether the signature is that of these canonical header lines (CAM 14.3)."""
    canonical = b"\n".join((head.method.encode(), b"/", head.query, lines, names, payload_digest))
    digest = sha256(canonical).hexdigest().encode()
    inner, outer = credential.inner.copy(), credential.outer.copy()
    inner.update(b"\n".join((_ALGORITHM, head.timestamp or b"", credential.scope, digest)))
    outer.update(inner.digest())
    return compare_digest(outer.hexdigest().encode(), said[-_HEX_LENGTH:])


def _usual_lines(said: tuple[bytes, bytes]) -> bytes:
    """Return content-type and host as signed by nearly every client, and as the documentation has them."""
    content_type, host = said
    return b"content-type:%b\nhost:%b\n" % (content_type.strip(_BLANK).lower(), host.lower())


_USUAL_LINES: Final = BoundedCache(_usual_lines, size=lambda said: len(said[0]) + len(said[1]))


def _forms(names: bytes, head: RequestHead) -> Iterator[bytes]:
    """Yield the canonical headers as clients write them: 1, 2 or 4 forms that differ.

    Values in lower case (the documentation), or as sent (a multipart boundary, DEC-51); the host as sent,
    or without its port (the Node SDK).
    """
    sent = {name.lower(): value.strip(_BLANK) for name, value in head.lines}
    lines = [(name, sent[name]) for name in names.split(b";")]
    portless = [(name, value.partition(b":")[0] if name == b"host" else value) for name, value in lines]
    forms = (_written(each, lower=lower) for each in (lines, portless) for lower in (True, False))
    yield from dict.fromkeys(forms)


def _written(lines: list[tuple[bytes, bytes]], *, lower: bool) -> bytes:
    return b"".join(b"%b:%b\n" % (name, value.lower() if lower else value) for name, value in lines)
