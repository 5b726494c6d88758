"""A second signer, written from the vendor's description (CAM 14.3, CAM 14.4) and sharing no code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable
from json import dumps
from typing import Any

from camguard.authn.credentials import AccessKey, KeyRing, parse_keys
from camguard.authn.tc3 import read_authorization, verify_tc3
from camguard.request.head import HeadRules, RequestHead, read_head
from camguard.request.rejection import Rejection
from camguard.settings.model import Settings

RULES = HeadRules(Settings())
NOW = 1700000000
SECRET = "EXAMPLE-SECRET-KEY-0000000000000"
SECRET_ID = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"
HOST = "aiart.tencentcloudapi.com"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
BODY = b'{"Prompt":"a cat"}'


def keys(**fields: Any) -> KeyRing:
    """Return the keys of one entry; further fields as keys.json has them, e.g. token="T"."""
    entry = {"secret_key": SECRET, "principal": "uin/100000000101", **fields}
    return parse_keys(dumps({SECRET_ID: entry}).encode(), "keys.json")


def head_of(method: str, query: bytes, lines: Iterable[tuple[str, str | bytes]]) -> RequestHead:
    """Return the head as camguard reads it; a line that camguard rejects is a mistake of the test."""
    headers = [(n.lower().encode(), v if isinstance(v, bytes) else v.encode()) for n, v in lines]
    scope = {
        "http_version": "1.1",
        "method": method,
        "path": "/",
        "raw_path": b"/",
        "query_string": query,
        "headers": headers,
    }
    head = read_head(scope, RULES)
    assert isinstance(head, RequestHead), head
    return head


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tc3(
    *,
    method: str = "POST",
    query: str = "",
    signed: Iterable[tuple[str, str]] = (("content-type", JSON), ("host", HOST)),
    payload: bytes = BODY,
    timestamp: int = NOW,
    date: str | None = None,
    service: str = "aiart",
    secret: str = SECRET,
) -> str:
    """Return the 64 hex digits of a TC3 signature.

    signed: names and values exactly as they are signed. date: of the scope; None: that of the timestamp.
    """
    signed = list(signed)
    names = ";".join(name for name, _ in signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed)
    canonical = f"{method}\n/\n{query}\n{lines}\n{names}\n{hashed(payload)}"
    date = date or time.strftime("%Y-%m-%d", time.gmtime(timestamp))
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{date}/{service}/tc3_request\n{hashed(canonical.encode())}"
    key = ("TC3" + secret).encode()
    for part in (date, service, "tc3_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def authorization(
    signature: str,
    *,
    secret_id: str = SECRET_ID,
    date: str = "2023-11-14",
    service: str = "aiart",
    names: str = "content-type;host",
) -> str:
    credential = f"{secret_id}/{date}/{service}/tc3_request"
    return f"TC3-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"


def tc3_head(
    auth: str | bytes | None = None, *, method: str = "POST", query: str = "", **lines: str | bytes | None
) -> RequestHead:
    """Return the head of a well-signed call, with lines changed (`content_type="x"`) or left out (None)."""
    date = {"GET": {"payload": b"", "signed": (("content-type", FORM), ("host", HOST))}}.get(method, {})
    if auth is None:
        auth = authorization(tc3(method=method, query=query, **date))  # type: ignore[arg-type]
    usual: dict[str, str | bytes | None] = {
        "host": HOST,
        "content-type": FORM if method == "GET" else JSON,
        "x-tc-action": "TextToImage",
        "x-tc-version": "2022-12-29",
        "x-tc-timestamp": str(NOW),
        "authorization": auth,
    }
    usual |= {name.replace("_", "-"): value for name, value in lines.items()}
    return head_of(method, query.encode(), [(n, v) for n, v in usual.items() if v is not None])


def check_tc3(
    head: RequestHead, service: str, payload: bytes, keys: KeyRing, now: float
) -> AccessKey | Rejection:
    """Return the access key that signed a request, or the rejection: the two steps of camguard in one."""
    signing_key = read_authorization(head, service, keys, now)
    return signing_key if isinstance(signing_key, Rejection) else verify_tc3(head, signing_key, payload, now)


def v1(
    method: str, params: Iterable[tuple[str, str]], *, host: str = HOST, secret: str = SECRET, digest: str
) -> str:
    """Return the base64 of a v1 signature. params: names as they are signed."""
    joined = "&".join(f"{name}={value}" for name, value in sorted(params))
    made = hmac.new(secret.encode(), f"{method}{host}/?{joined}".encode(), digest).digest()
    return base64.b64encode(made).decode()
