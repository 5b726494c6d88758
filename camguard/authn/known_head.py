"""TC3 signatures of requests whose head was judged before (`camguard.enforcement.lane`).

What depends on the deciding headers alone is known of such a request: its canonical request up to the digest
of the body. Time, day, service, key, body and signature are judged each time.

Rule 1: `claimed_key` returns a signing key only where `read_authorization` returns the same one. All else is
        left to `read_authorization`, also every rejection.
Rule 2: `verify_known` returns what `verify_tc3` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from camguard.authn.credentials import AccessKey, KeyRing, SigningKey
from camguard.authn.tc3 import (
    DAY,
    HEX_ONLY,
    INVALID,
    SECONDS,
    SIGNATURE_LENGTH,
    SKEW,
    check_key,
    fits_another_form,
    signature_of,
)
from camguard.request.head import RequestHead
from camguard.request.rejection import Rejection

if TYPE_CHECKING:
    from _hashlib import HASH


def claimed_key(
    authorization: bytes, timestamp: bytes, service: str | None, keys: KeyRing, now: float
) -> SigningKey | None:
    """Return the signing key that `Authorization` names if it is in use; None where the head may be rejected.

    Its names are signed as nearly every client signs them: the ring caches no other signing keys. The
    arguments are those of `read_authorization`, and fields of its head.
    """
    signing_key = keys.known_ids.get(authorization[:-SIGNATURE_LENGTH])
    if signing_key is None or signing_key.service != service:
        return None
    signed_at = SECONDS[timestamp]
    if signed_at is None or not abs(now - signed_at) <= SKEW or signing_key.day != signed_at // DAY:
        return None
    return signing_key if authorization[-SIGNATURE_LENGTH:].translate(HEX_ONLY).isascii() else None


def verify_known(  # noqa: PLR0913, PLR0917 - the values of a head, which is made only where they do not suffice
    canonical: HASH,
    authorization: bytes,
    timestamp: bytes,
    token: bytes | None,
    signing_key: SigningKey,
    payload: bytes,
    now: float,
    head_of: Callable[[Any], RequestHead],
    met: Any,
) -> AccessKey | Rejection:
    """Return the access key that signed a request, or why the request is rejected.

    canonical: as `usual_request` returns it for the method, content type and host of the request. token: None
    where none was sent. signing_key: as `claimed_key` returned it. payload, now: as for `verify_tc3`.
    head_of: makes the head of `met`.
    """
    digest = sha256(payload).hexdigest().encode()
    signature = authorization[-SIGNATURE_LENGTH:]
    good = compare_digest(signature_of(signing_key, timestamp, canonical.copy(), digest), signature)
    if not good and not fits_another_form(signing_key, head_of(met), digest, authorization, tried=True):
        return INVALID
    access_key = signing_key.access_key
    return INVALID if access_key is None else check_key(access_key, token or b"", now)
