"""TC3-HMAC-SHA256: verifies that the owner of a secret id signed this very request, just now (CAM 14.3).

`read_authorization` reads the header, once for each request, and finds the signing key that it names; it
needs no body. `verify_tc3` then compares the signature, when the body is there.

A signature covers the text of some headers, and clients do not agree on how that text is written. The
documentation has values in lower case and the host as it was sent. Some clients sign a content type as they
send it, because a multipart boundary must keep its case (DEC-51); the Node SDK signs the host without its
port; the Ruby SDK signs `multipart/form-data` without the boundary that it sends, and the .NET SDK signs
`%7E` in a query where it sends `~` (T134). Nearly every client signs `content-type;host` in the documented
form, which is tried first, with a SHA-256 that has already taken in everything but the digest of the payload.
If it does not fit, the other forms are tried, each that differs once: four for most requests, eight at most.
To accept any of them is safe: all of them say the same of the same request, and none can be made without the
secret. T134 says why this holds where the boundary is not signed.

Rule 1: the bytes that are hashed are the bytes that go on. The query counts as received, and nothing is
        sorted anew.
Rule 2: a request costs the same whether its secret id is known or not (T81).
Rule 3: what is cached comes from keys and header texts, never from the fact that a signature was good (T83).
        It is kept by the fields that were read: however many blanks stand between them, one caller takes one
        place for each day and service (T105, T121).
Rule 4: token and expiry are checked after the signature: only a caller who has the secret learns of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from camguard.authn.credentials import AccessKey, KeyRing, SigningKey
from camguard.bounded_cache import BoundedCache
from camguard.grammar import SECRET_ID, of_bytes
from camguard.request.head import RequestHead
from camguard.request.rejection import Rejection, rejection

if TYPE_CHECKING:
    from _hashlib import HASH

SKEW: Final = 300  # seconds, both ways, inclusive
UNSIGNED: Final = b"UNSIGNED-PAYLOAD"
SIGNATURE_LENGTH: Final = 64  # hexadecimal digits, the end of `Authorization`

# Blanks after the scheme and around commas as RFC 9110 section 11.4 has them, but at most eight, and no tab
# (T121): the .NET SDK writes two after the scheme.
_CREDENTIAL = re.compile(
    rb"TC3-HMAC-SHA256 {1,8}Credential=(" + of_bytes(SECRET_ID).pattern + rb")/([0-9]{4}-[0-9]{2}-[0-9]{2})/"
    rb"([A-Za-z0-9][A-Za-z0-9-]{0,62})/tc3_request {0,8}, {0,8}"
    rb"SignedHeaders=([a-z0-9!#$%&'*+.^_`|~;-]{1,2048}) {0,8}, {0,8}Signature="
)
_HEX_DIGITS: Final = b"0123456789abcdef"
HEX_ONLY: Final = bytes(byte if byte in _HEX_DIGITS else 0x80 for byte in range(256))  # else not ASCII
_USUAL_NAMES: Final = b"content-type;host"  # what every official client signs
_ALGORITHM: Final = b"TC3-HMAC-SHA256"
_SIGNED_HEADERS: Final = b"SignedHeaders="
_USUAL_END: Final = b", SignedHeaders=content-type;host, Signature="
# What the Ruby SDK sends and what it signs of it. body_formats.py decides which boundaries are accepted.
_BOUNDED = re.compile(rb"(multipart/form-data) *; *boundary=[^;]+")
_CONTENT_TYPE: Final = b"content-type"
_NAME_WITH_TILDE = re.compile(rb"(?:^|&)[^&=~]*+~")
_BLANK: Final = b" \t"
_TIMESTAMP_LENGTH: Final = 12
DAY: Final = 86_400  # seconds

_MALFORMED: Final = rejection("auth_malformed")
_SERVICE: Final = rejection("service_conflict")
_EXPIRED: Final = rejection("signature_expired")
INVALID: Final = rejection("signature_invalid")
_UNKNOWN: Final = rejection("secret_id_unknown")
_UNSIGNED: Final = rejection("unsigned_payload")
_NO_BODY: Final = rejection("body_unavailable")
_TOKEN: Final = rejection("token_invalid")
_KEY_EXPIRED: Final = rejection("key_expired")


def signed_payload(head: RequestHead, body: bytes | None, *, unsigned_allowed: bool) -> bytes | Rejection:
    """Return the payload that the signature must cover, or why the request is rejected.

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


def read_authorization(  # noqa: PLR0911 - one check after the other
    head: RequestHead, service: str | None, keys: KeyRing, now: float
) -> SigningKey | Rejection:
    """Return the signing key that `Authorization` names, or why the request is rejected whatever its body is.

    The grammar, the timestamp, the day and the service are checked here. The signature of a known id is not:
    it covers the body. The signature of an unknown id is verified as if the body were empty, so that its
    rejection takes as long as that of a known id (T81). service: of the host, None over a shared host, which
    names none (T123). now: seconds since the epoch.
    """
    authorization, timestamp = head.authorization, head.timestamp
    if authorization is None or timestamp is None or head.content_type is None:
        return _MALFORMED
    credential = authorization[:-SIGNATURE_LENGTH]
    cached = keys.cached(credential)
    if cached is None:
        credential = _plainly_spaced(credential)
        cached = keys.cached(credential)
    signing_key = cached or _derive(credential, head, keys)
    signed_at = timely(timestamp, now)
    if signing_key is None:
        return _MALFORMED
    if isinstance(signed_at, Rejection):
        return signed_at
    if service is not None and signing_key.service != service:
        return _SERVICE
    if signing_key.day != signed_at // DAY:
        return INVALID
    if cached is None and credential.endswith(_USUAL_END) and signing_key.scope.islower():
        keys.cache(credential, signing_key)
    if not authorization[-SIGNATURE_LENGTH:].translate(HEX_ONLY).isascii():
        return _MALFORMED
    if signing_key.access_key is None:
        verify_tc3(head, signing_key, b"", now)  # for the time that it takes
        return _UNKNOWN
    return signing_key


def verify_tc3(
    head: RequestHead, signing_key: SigningKey, payload: bytes, now: float
) -> AccessKey | Rejection:
    """Return the access key that signed this request, or why the request is rejected.

    signing_key: as `read_authorization` returned it for this head. payload: as `signed_payload` returned it.
    now: seconds since the epoch.
    """
    # read_authorization found all three.
    authorization, content_type, host = head.authorization or b"", head.content_type or b"", head.host
    timestamp, signature = head.timestamp or b"", authorization[-SIGNATURE_LENGTH:]
    payload_digest = sha256(payload).hexdigest().encode()
    usual = authorization.endswith(_USUAL_END, 0, -SIGNATURE_LENGTH)
    good = False
    if usual:
        if head.query:
            canonical = _canonical(head.method, head.query, _usual_lines(content_type, host), _USUAL_NAMES)
        else:
            canonical = usual_request(head.method, content_type, host).copy()
        good = compare_digest(signature_of(signing_key, timestamp, canonical, payload_digest), signature)
    good = good or fits_another_form(signing_key, head, payload_digest, authorization, tried=usual)
    access_key = signing_key.access_key
    return check_key(access_key, head.token or b"", now) if good and access_key is not None else INVALID


def sign_tc3(  # noqa: PLR0913 - what a signature covers
    access_key: AccessKey, service: str, *, content_type: str, host: str, payload: bytes, timestamp: int
) -> str:
    """Return the `Authorization` of a POST without a query, as the official clients write it (CAM 14.3).

    service: of the scope. payload: the whole body. timestamp: seconds since the epoch, as `X-TC-Timestamp`
    has it.
    """
    ring = KeyRing({access_key.secret_id: access_key})
    day = datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    signing_key = ring.derive(access_key.secret_id.encode(), day, service)
    canonical = _canonical("POST", b"", _usual_lines(content_type.encode(), host.encode()), _USUAL_NAMES)
    digest = sha256(payload).hexdigest().encode()
    signature = signature_of(signing_key, str(timestamp).encode(), canonical, digest)
    scope = b"TC3-HMAC-SHA256 Credential=%b/%b" % (access_key.secret_id.encode(), signing_key.scope)
    return (scope + _USUAL_END + signature).decode()


def scope_service(authorization: bytes) -> str | None:
    """Return the service in the credential scope, None where `Authorization` is not well formed."""
    match = _CREDENTIAL.fullmatch(authorization[:-SIGNATURE_LENGTH])
    return None if match is None else match[3].decode().lower()  # T134


def claim_tc3(head: RequestHead, service: str | None, keys: KeyRing, now: float) -> AccessKey | Rejection:
    """Return the access key that `Authorization` names, without verifying the signature, or a rejection."""
    signing_key = read_authorization(head, service, keys, now)
    if isinstance(signing_key, Rejection):
        return signing_key
    access_key = signing_key.access_key
    return _UNKNOWN if access_key is None else check_key(access_key, head.token or b"", now)


def check_key(access_key: AccessKey, token: bytes, now: float) -> AccessKey | Rejection:
    """Return an access key unless it has another token or has expired. token: empty if none was sent."""
    if not compare_digest(token, access_key.token):
        return _TOKEN
    if access_key.expires is not None and now >= access_key.expires:
        return _KEY_EXPIRED
    return access_key


def timely(timestamp: bytes, now: float) -> int | Rejection:
    """Return a timestamp in seconds, or why it is rejected: not canonical decimal, or too far from `now`."""
    seconds = SECONDS[timestamp]
    if seconds is None:
        return _MALFORMED
    return seconds if -SKEW <= now - seconds <= SKEW else _EXPIRED


def _seconds(timestamp: bytes) -> int | None:
    """Return a timestamp in seconds, None where it is not canonical decimal."""
    if not timestamp.isdigit() or len(timestamp) > _TIMESTAMP_LENGTH or timestamp.startswith(b"0"):
        return None
    return int(timestamp)


# Requests that are signed within one second have one timestamp.
SECONDS: Final[BoundedCache[bytes, int | None]] = BoundedCache(_seconds)


def _plainly_spaced(credential: bytes) -> bytes:
    """Return `Authorization` without its signature as the documentation spaces it; other text as it is."""
    match = _CREDENTIAL.fullmatch(credential)
    if match is None:
        return credential
    return b"TC3-HMAC-SHA256 Credential=%b/%b/%b/tc3_request, SignedHeaders=%b, Signature=" % match.groups()


def _derive(credential: bytes, head: RequestHead, keys: KeyRing) -> SigningKey | None:
    """Return the signing key for `Authorization` without its signature, None where it is not well formed."""
    match = _CREDENTIAL.fullmatch(credential)
    if match is None or not _names_are_signed_once(match[4], head):
        return None
    try:
        return keys.derive(match[1], match[2].decode(), match[3].decode())
    except ValueError:  # no such day
        return None


def _names_are_signed_once(names: bytes, head: RequestHead) -> bool:
    """Tell whether `SignedHeaders` is sorted, without duplicates, complete, and each name stands once."""
    if names == _USUAL_NAMES:
        return True  # the head has at most one of either, and both were looked for
    listed = names.split(b";")
    if any(one >= other for one, other in pairwise(listed)):
        return False
    present = Counter(name for name, _ in head.lines)
    return {b"content-type", b"host"} <= set(listed) and all(present[name] == 1 for name in listed)


def signature_of(signing_key: SigningKey, timestamp: bytes, canonical: HASH, payload_digest: bytes) -> bytes:
    """Return the signature of one canonical request, in hexadecimal digits (CAM 14.3).

    canonical: SHA-256 of the request up to its last line, which is the digest of the payload.
    """
    canonical.update(payload_digest)
    text = (_ALGORITHM, timestamp, signing_key.scope, canonical.hexdigest().encode())
    inner, outer = signing_key.inner.copy(), signing_key.outer.copy()
    inner.update(b"\n".join(text))
    outer.update(inner.digest())
    return outer.hexdigest().encode()


def fits_another_form(
    signing_key: SigningKey, head: RequestHead, payload_digest: bytes, authorization: bytes, *, tried: bool
) -> bool:
    """Tell whether the signature is that of any canonical form. tried: the usual form was tried already."""
    signature = authorization[-SIGNATURE_LENGTH:]
    start = authorization.index(_SIGNED_HEADERS) + len(_SIGNED_HEADERS)
    names = authorization[start : authorization.index(b",", start)].rstrip(b" ")
    usual = _usual_lines(head.content_type, head.host) if tried else None  # type: ignore[arg-type]  # found
    timestamp = head.timestamp or b""
    return any(
        compare_digest(
            signature_of(
                signing_key, timestamp, _canonical(head.method, query, lines, names), payload_digest
            ),
            signature,
        )
        for query in _canonical_queries(head)
        for lines in _canonical_forms(names, head)
        if lines != usual or query is not head.query
    )


def _canonical(method: str, query: bytes, lines: bytes, names: bytes) -> HASH:
    """Return the SHA-256 of a canonical request up to its last line."""
    return sha256(b"\n".join((method.encode(), b"/", query, lines, names, b"")))


def _usual_lines(content_type: bytes, host: bytes) -> bytes:
    """Return content-type and host as nearly every client signs them, and as the documentation has them."""
    return b"content-type:%b\nhost:%b\n" % (content_type.strip(_BLANK).lower(), host.lower())


def usual_request(method: str, content_type: bytes, host: bytes) -> HASH:
    """Return the SHA-256 of a canonical request in its usual form, without a query, up to its last line.

    It is shared: only a copy of it may take in more.
    """
    return _USUAL_REQUESTS[method, content_type, host]


def _usual_request(key: tuple[str, bytes, bytes]) -> HASH:
    """Return what `usual_request` returns. key: method, content type, host."""
    method, content_type, host = key
    return _canonical(method, b"", _usual_lines(content_type, host), _USUAL_NAMES)


_USUAL_REQUESTS: Final = BoundedCache(_usual_request, size=lambda key: len(key[1]) + len(key[2]))


def _canonical_queries(head: RequestHead) -> tuple[bytes, ...]:
    """Return the canonical query: as received and, for a GET with `~` in values alone, with `%7E` (T134)."""
    query = head.query
    if head.method != "GET" or b"~" not in query or _NAME_WITH_TILDE.search(query):
        return (query,)
    return query, query.replace(b"~", b"%7E")


def _canonical_forms(names: bytes, head: RequestHead) -> Iterator[bytes]:
    """Yield the canonical header lines as clients write them: 1 to 8 forms that differ.

    Values are in lower case (the documentation) or as sent (DEC-51); the host is as sent or without its port
    (the Node SDK); the content type is as sent or, where the signature covers a multipart body, without the
    boundary (the Ruby SDK, T134).
    """
    sent = {name: value.strip(_BLANK) for name, value in head.lines}
    lines = [(name, sent[name]) for name in names.split(b";")]
    portless = [(name, value.partition(b":")[0] if name == b"host" else value) for name, value in lines]
    written = [lines, portless]
    bounded = _BOUNDED.fullmatch(sent[_CONTENT_TYPE])
    if bounded is not None and head.method == "POST" and head.content_sha256 is None:
        written += [_with_content_type(each, bounded[1]) for each in (lines, portless)]
    forms = (_written(each, lower=lower) for each in written for lower in (True, False))
    yield from dict.fromkeys(forms)


def _with_content_type(lines: list[tuple[bytes, bytes]], value: bytes) -> list[tuple[bytes, bytes]]:
    """Return header lines with another content type."""
    return [(name, value if name == _CONTENT_TYPE else sent) for name, sent in lines]


def _written(lines: list[tuple[bytes, bytes]], *, lower: bool) -> bytes:
    """Return header lines as a canonical request has them."""
    return b"".join(b"%b:%b\n" % (name, value.lower() if lower else value) for name, value in lines)
