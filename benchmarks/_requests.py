"""The requests that benchmarks of the request path send: as the vendor's SDK writes them.

Header identity or TC3; an IPv4 client and an IPv6 client are different requests, because a forwarding header
that holds a colon is read further.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time

from _apps import KEY
from _workload import NOW, Workload, make_calls

from camguard.engine.call import Call
from camguard.ipset import format_address

BODY = json.dumps({"Prompt": "a cat, " * 20, "LogoAdd": 0}).encode()
BODY_1K = json.dumps({"Prompt": "a cat and a dog " * 60}).encode()


def one_call(workload: Workload, *, allowed: bool, v6: bool = False) -> Call:
    """Return a call of the first principal that every variant answers alike. v6: from an IPv6 address."""
    bundle = workload.bundle(ip_support="gateway")
    first = f"uin/{min(workload.principals['users'])}"
    for call in make_calls(workload, 20_000):
        mine = call._replace(principal=first)
        known = call.action in workload.catalog.actions
        family = ":" in format_address(call.source_ip or 0)
        if known and family is v6 and bool(bundle.decide(mine)) is allowed:
            return mine
    raise SystemExit("the workload has no such call")


def headers_of(call: Call, body: bytes, *, signed: bool = False) -> dict[str, str]:
    """Return the headers that the vendor's SDK sends, identity by proxy header or by signature."""
    service, _, action = call.action.partition(":")
    lines = {
        "Host": f"{service}.tencentcloudapi.com",
        "User-Agent": "python-requests/2.32.3",
        "Accept-Encoding": "gzip, deflate",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "X-TC-Action": action,
        "X-TC-Version": "2022-12-29",
        "X-TC-Timestamp": str(int(NOW)),
        "X-TC-Region": "ap-guangzhou",
        "X-TC-TraceId": "ab9d4b5f-2f4a-4d7e-8f0a-5d2f1a9d3c11",
        "X-Forwarded-For": format_address(call.source_ip or 0),
    }
    if signed:
        lines["Authorization"] = _tc3(service, lines["Host"], body)
    else:
        lines["X-Camguard-Principal"] = call.principal
    return lines


def _tc3(service: str, host: str, body: bytes) -> str:
    date = time.strftime("%Y-%m-%d", time.gmtime(NOW))
    canonical = (
        f"POST\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n"
        f"{hashlib.sha256(body).hexdigest()}"
    )
    text = (
        f"TC3-HMAC-SHA256\n{int(NOW)}\n{date}/{service}/tc3_request\n"
        f"{hashlib.sha256(canonical.encode()).hexdigest()}"
    )
    key = f"TC3{KEY[1]}".encode()
    for part in (date, service, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    return (
        f"TC3-HMAC-SHA256 Credential={KEY[0]}/{date}/{service}/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signature}"
    )
