"""HmacSHA1 and HmacSHA256: signatures among the parameters (CAM 14.4). Off unless it is allowed.

The signed text is the method, the host, `/?` and all parameters but the signature, sorted by name and joined
without escapes. Two sets of parameters can therefore have the same signed text, and so the same signature.

Rule 1: parameters whose signed text could be split in another way are rejected (THREATS 3.4.3, T80).
Rule 2: parts of a request that the signature does not cover are rejected: a query beside a form, a body
        beside a query, and the headers of TC3.
Rule 3: one line break behind the signature is no part of it: the Ruby SDK sends its Base64 so (T124).
Rule 4: a request costs the same whether its secret id is known or not (T81).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final

from camguard.authn.credentials import AccessKey, KeyRing
from camguard.authn.tc3 import check_key, timely
from camguard.grammar import SECRET_ID
from camguard.request.head import RequestHead
from camguard.request.params import Params
from camguard.request.rejection import Rejection, rejection

_CREDENTIAL: Final = frozenset(("secretid", "signature"))
_SPELLINGS: Final = frozenset(("SecretId", "Signature"))
_METHODS: Final = {"HmacSHA1": "sha1", "HmacSHA256": "sha256"}
_SIGNATURES: Final = {
    "sha1": re.compile(r"[A-Za-z0-9+/]{27}="),
    "sha256": re.compile(r"[A-Za-z0-9+/]{43}="),
}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")
# `&`, what may be a name, `=`: some readers split a value that holds these into two parameters.
_PAIR_INSIDE = re.compile(r"&[A-Za-z0-9_.-]{1,256}=")
_MOST_SIGNED: Final = 3 << 20  # characters of all values, counted once for each form that is signed
_FORM: Final = b"application/x-www-form-urlencoded"

_MALFORMED: Final = rejection("auth_malformed")
_AMBIGUOUS: Final = rejection("signature_v1_ambiguous")
_INVALID: Final = rejection("signature_invalid")
_UNKNOWN: Final = rejection("secret_id_unknown")


def carries_v1(params: Params) -> bool:
    """Tell whether the parameters hold any part of a v1 signature, which must then be a good one.

    Names are compared without case: an upstream may fold them, and find a caller that camguard did not.
    """
    return not _CREDENTIAL.isdisjoint([name.casefold() for name, _ in params])


def check_v1(
    head: RequestHead, body: bytes | None, params: Params, keys: KeyRing, now: float
) -> AccessKey | Rejection:
    """Return the access key that signed these parameters, or why the request is rejected.

    params: of the query (GET) or of the form (POST), decoded once. now: seconds since the epoch.
    """
    read = _read(head, body, params, now)
    if isinstance(read, Rejection):
        return read
    values, digest = read
    access_key = keys.find(values["SecretId"].encode())
    secret = keys.secret_of(access_key)
    signature = values.pop("Signature").encode()
    good = False
    for text in _signed_texts(head, values):
        good |= compare_digest(b64encode(hmac_digest(secret, text, digest)), signature)
    if access_key is None:
        return _UNKNOWN
    return check_key(access_key, values.get("Token", "").encode(), now) if good else _INVALID


def claim_v1(
    head: RequestHead, body: bytes | None, params: Params, keys: KeyRing, now: float
) -> AccessKey | Rejection:
    """Return the access key that these parameters name, without verifying the signature, or a rejection."""
    read = _read(head, body, params, now)
    if isinstance(read, Rejection):
        return read
    values, _ = read
    access_key = keys.find(values["SecretId"].encode())
    return check_key(access_key, values.get("Token", "").encode(), now) if access_key else _UNKNOWN


def _read(
    head: RequestHead, body: bytes | None, params: Params, now: float
) -> tuple[dict[str, str], str] | Rejection:
    """Return the parameters by name and the digest, or why the request is rejected."""
    kind = (head.content_type or b"").partition(b";")[0].strip(b" \t").lower()
    form = head.method == "POST"
    if (form and kind != _FORM) or any(value is not None for value in _tc3_headers(head)):
        return _MALFORMED
    if (head.query if form else body) or not _unambiguous(params):
        return _AMBIGUOUS
    values = dict(params)
    values["Signature"] = values.get("Signature", "").removesuffix("\n")
    digest = _METHODS.get(values.get("SignatureMethod", "HmacSHA1"))
    if (
        digest is None
        or not SECRET_ID.fullmatch(values.get("SecretId", ""))
        or not _SIGNATURES[digest].fullmatch(values["Signature"])
    ):
        return _MALFORMED
    signed_at = timely(values.get("Timestamp", "").encode(), now)
    return signed_at if isinstance(signed_at, Rejection) else (values, digest)


def _unambiguous(params: Params) -> bool:
    """Tell whether every reader finds the same parameters and the same caller.

    The signed text can be split into these parameters only, and no second spelling of a credential's name
    stands beside it, by which a reader that ignores letter case finds another caller.
    """
    folded = {name.replace("_", ".") for name, _ in params}
    credentials = {name for name, _ in params if name.casefold() in _CREDENTIAL}
    return (
        len(folded) == len(params)
        and credentials <= _SPELLINGS
        and all(_NAME.fullmatch(name) and not _PAIR_INSIDE.search(value) for name, value in params)
    )


def _tc3_headers(head: RequestHead) -> tuple[bytes | None, ...]:
    """Return the headers of TC3: a request has them or the parameters of v1, never both (DEC-50)."""
    common = head.action, head.version, head.region
    return head.authorization, head.timestamp, head.token, head.content_sha256, *common


def _signed_texts(head: RequestHead, values: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the signed text as each client writes it.

    Names with `_` turned into `.` (the Python SDK), or as sent (the Node SDK); the host as sent, in lower
    case, or without its port. Nothing is yielded for a form so large that to sign every text costs too much.
    """
    sent = head.host
    hosts = dict.fromkeys((sent, sent.lower(), sent.partition(b":")[0], sent.lower().partition(b":")[0]))
    dotted = {name.replace("_", "."): value for name, value in values.items()}
    spellings = (values,) if dotted == values else (dotted, values)
    if sum(map(len, values.values())) * len(spellings) * len(hosts) > _MOST_SIGNED:
        return
    for named in spellings:
        joined = "&".join([f"{name}={named[name]}" for name in sorted(named)]).encode()
        for host in hosts:
            yield b"%b%b/?%b" % (head.method.encode(), host, joined)
