"""What must hold for any request: what is signed verifies, what was changed does not, nothing raises.

CAMGUARD_EXAMPLES is the number of requests for which each property is tried.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from camguard.authn.authenticator import authenticator, named_secret_id, signature_label
from camguard.authn.credentials import AccessKey, Caller
from camguard.authn.hmac_v1 import check_v1
from camguard.engine.decision import Reason
from camguard.request.head import RequestHead
from camguard.request.rejection import Rejection
from camguard.settings.model import IdentityMode, IdentitySettings
from tests.authn.signing import (
    BODY,
    FORM,
    HOST,
    JSON,
    NOW,
    SECRET_ID,
    authorization,
    check_tc3,
    head_of,
    keys,
    tc3,
    tc3_head,
    v1,
)

EXAMPLES = int(os.environ.get("CAMGUARD_EXAMPLES", "100"))
QUIET = settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 100, database=None)
KEYS = keys()
IDENTITY_REASONS = {
    Reason.PRINCIPAL_MISSING,
    Reason.PRINCIPAL_CONFLICT,
    Reason.IDENTITY_UNTRUSTED,
    Reason.SIGNATURE_MALFORMED,
    Reason.SIGNATURE_INVALID,
    Reason.SIGNATURE_EXPIRED,
    Reason.SIGNATURE_REPLAYED,
    Reason.SECRET_ID_UNKNOWN,
    Reason.SERVICE_CONFLICT,
}

visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)
queries = st.text("abcAB=&%+.0129~-_", max_size=60)
hosts = st.from_regex(
    r"aiart\.(ap-[a-z]{2,9}\.)?(tencentcloudapi\.com|gw\.example)(:[1-9][0-9]{1,3})?", fullmatch=True
)
kinds = st.sampled_from([JSON, FORM, "multipart/form-data; boundary=Ab-C3"])
notes = st.dictionaries(st.from_regex(r"x-note-[a-z]{1,5}", fullmatch=True), visible, max_size=3)
moments = st.integers(min_value=1_000_000_000, max_value=4_000_000_000)


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """Draw one call: everything that a signature covers, and how its headers are written when signing."""
    return {
        "method": draw(st.sampled_from(["GET", "POST"])),
        "query": draw(queries),
        "body": draw(st.binary(max_size=200)),
        "kind": draw(kinds),
        "host": draw(hosts),
        "notes": draw(notes),
        "time": draw(moments),
        "lower": draw(st.booleans()),
        "port": draw(st.booleans()),
    }


def sign(call: dict[str, Any]) -> tuple[list[tuple[str, str]], int]:
    """Return the header lines of a signed call, and the offset of the signature in the last of them."""
    host = call["host"] if call["port"] else call["host"].partition(":")[0]
    fold = str.lower if call["lower"] else str
    values = {"content-type": call["kind"], "host": host, **call["notes"]}
    signed = [(name, fold(values[name])) for name in sorted(values)]
    signature = tc3(
        method=call["method"],
        query=call["query"],
        signed=signed,
        payload=call["body"],
        timestamp=call["time"],
    )
    date = datetime.fromtimestamp(call["time"], UTC).strftime("%Y-%m-%d")
    auth = authorization(signature, date=date, names=";".join(name for name, _ in signed))
    sent = {"content-type": call["kind"], "host": call["host"], **call["notes"]}
    return [*sent.items(), ("x-tc-timestamp", str(call["time"])), ("authorization", auth)], len(auth) - 64


def judged(call: dict[str, Any], lines: list[tuple[str, str]], after: int = 0) -> AccessKey | Rejection:
    head = head_of(call["method"], call["query"].encode(), lines)
    return check_tc3(head, "aiart", call["body"], KEYS, call["time"] + after)


@QUIET
@given(call=calls(), after=st.integers(min_value=-300, max_value=300))
def test_what_the_second_signer_signs_verifies(call: dict[str, Any], after: int) -> None:
    lines, _ = sign(call)
    assert isinstance(judged(call, lines, after), AccessKey)


@QUIET
@given(call=calls(), data=st.data())
def test_one_byte_changed_in_what_is_signed_is_refused(call: dict[str, Any], data: st.DataObject) -> None:
    lines, offset = sign(call)
    sent = dict(lines)
    parts = ["body", "query", "host", "content-type", "x-tc-timestamp", "signature", *call["notes"]]
    part = data.draw(st.sampled_from(parts))
    if part in {"body", "query"}:
        old = call[part] if part == "body" else call[part].encode()
        call[part] = _other(old, data) if part == "body" else _other(old, data, b"abcz019=&").decode()
    elif part == "signature":
        digits = sent["authorization"][offset:]
        other = _other(digits.encode(), data, b"0123456789abcdef", resize=False).decode()
        sent["authorization"] = sent["authorization"][:offset] + other
    else:
        alphabet = b"0123456789" if part == "x-tc-timestamp" else b"abcz019"
        sent[part] = _other(sent[part].encode(), data, alphabet).decode()
    found = judged(call, list(sent.items()))
    unchanged = sent | {"host": sent["host"].partition(":")[0]}
    same = part == "host" and unchanged["host"] == dict(lines)["host"].partition(":")[0] and not call["port"]
    if not same:  # a host that was signed without its port may have any
        assert isinstance(found, Rejection)
        assert not found


def _other(old: bytes, data: st.DataObject, alphabet: bytes | None = None, *, resize: bool = True) -> bytes:
    """Return `old` with one byte changed (not in its case: that may be folded), added or taken away."""
    at = data.draw(st.integers(min_value=0, max_value=max(len(old) - 1, 0)))
    pool = st.sampled_from(list(alphabet)) if alphabet else st.integers(0, 255)
    now = old[at : at + 1]
    byte = data.draw(pool.filter(lambda byte: bytes([byte]).lower() != now.lower()))
    how = data.draw(st.sampled_from(["change", "add", "drop"])) if resize else "change"
    if not old or how == "add":
        return old + bytes([byte])
    if how == "drop" and len(old) > 1:
        return old[:-1]
    return old[:at] + bytes([byte]) + old[at + 1 :]


@QUIET
@given(call=calls(), after=st.integers(min_value=301, max_value=10**9), early=st.booleans())
def test_outside_of_300_seconds_everything_has_expired(call: dict[str, Any], after: int, early: bool) -> None:
    lines, _ = sign(call)
    found = judged(call, lines, -after if early else after)
    assert isinstance(found, Rejection)
    assert found.reason is Reason.SIGNATURE_EXPIRED


names = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,12}", fullmatch=True)


@QUIET
@given(
    more=st.dictionaries(names, st.text(st.characters(codec="utf-8"), max_size=20), max_size=6),
    dotted=st.booleans(),
    method=st.sampled_from(["sha1", "sha256"]),
    verb=st.sampled_from(["GET", "POST"]),
    data=st.data(),
)
def test_v1_verifies_as_signed_and_not_otherwise(
    more: dict[str, str],
    dotted: bool,
    method: str,
    verb: str,
    data: st.DataObject,
) -> None:
    params = {**more, "Action": "A", "SecretId": SECRET_ID, "Timestamp": str(NOW), "Token": ""}
    params["SignatureMethod"] = "HmacSHA256" if method == "sha256" else "HmacSHA1"
    params.pop("Signature", None)
    spelled = [(name.replace("_", ".") if dotted else name, value) for name, value in params.items()]
    signature = v1(verb, spelled, digest=method)
    head = head_of(verb, b"", [("host", HOST), ("content-type", FORM)])

    def check(pairs: dict[str, str]) -> AccessKey | Rejection:
        return check_v1(head, None, (*pairs.items(), ("Signature", signature)), KEYS, NOW)

    found = check(params)
    if isinstance(found, Rejection):
        assert found.detail == "signature_v1_ambiguous"
    name = data.draw(st.sampled_from(sorted(params)))
    value = data.draw(st.text(max_size=20).filter(lambda value: value != params[name]))
    assert isinstance(check({**params, name: value}), Rejection)
    assert isinstance(check({n: v for n, v in params.items() if n != name}), Rejection)


class Source:
    """A key source whose keys never change."""

    keys = KEYS


header_bytes = st.binary(max_size=80).map(lambda raw: raw.translate(None, bytes(range(32)) + b"\x7f"))
maybe = st.none() | header_bytes
authorization_parts = st.sampled_from(
    (
        *("TC3-HMAC-SHA256", " ", "Credential=", SECRET_ID, "/", "2023-11-14", "aiart", "tc3_request", ", "),
        *(";", "SignedHeaders=", "content-type;host", "host", "Signature=", tc3(), "0" * 64, "SKIP"),
        *("\u00e9", "e\u0301", "\u00b2", "\u0663"),
    )
)
auths = st.none() | st.lists(authorization_parts, max_size=14).map("".join).map(str.encode) | header_bytes
pairs = st.tuples(
    st.sampled_from(["SecretId", "Signature", "SignatureMethod", "Timestamp", "Token", "Nonce", "A_B", "A.B"])
    | st.text(max_size=8),
    st.sampled_from([SECRET_ID, str(NOW), "HmacSHA1", "HmacSHA256", "A" * 27 + "=", "A" * 43 + "="])
    | st.text(st.characters(codec="utf-8"), max_size=30),
)


@QUIET
@given(
    mode=st.sampled_from(["signature", "header", "either", "claimed"]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    auth=auths,
    timestamp=maybe | st.sampled_from([str(NOW).encode(), b"0", b"1" * 5000]),
    token=maybe,
    identity=maybe | st.sampled_from([b"uin/100000000101", b"100000000102"]),
    sha256=st.none() | st.sampled_from([b"UNSIGNED-PAYLOAD", b"", b"x"]),
    kind=maybe | st.sampled_from([JSON.encode(), FORM.encode()]),
    host=header_bytes,
    body=st.none() | st.binary(max_size=50),
    params=st.lists(pairs, max_size=8).map(tuple),
    trusted=st.booleans(),
    now=st.floats(min_value=-1e12, max_value=1e12) | st.just(float(NOW)),
)
@example(
    mode="signature",
    flags=(True, True, True),
    auth=authorization(tc3()).encode(),
    timestamp=str(NOW).encode(),
    token=None,
    identity=b"uin/100000000101",
    sha256=None,
    kind=JSON.encode(),
    host=HOST.encode(),
    body=BODY,
    params=(),
    trusted=True,
    now=float(NOW),
)
def test_any_head_is_answered_and_nothing_raises(
    mode: IdentityMode,
    flags: tuple[bool, bool, bool],
    auth: bytes | None,
    timestamp: bytes | None,
    token: bytes | None,
    identity: bytes | None,
    sha256: bytes | None,
    kind: bytes | None,
    host: bytes,
    body: bytes | None,
    params: tuple[tuple[str, str], ...],
    trusted: bool,
    now: float,
) -> None:
    lines = {"content_sha256": sha256, "content_type": kind, "host": host, "identity": identity}
    head = tc3_head()._replace(authorization=auth, timestamp=timestamp, token=token, **lines)  # type: ignore[arg-type]
    head = head._replace(lines=_lines(head), method="POST" if body else "GET")
    allow_v1, unsigned, bind = flags
    rules = IdentitySettings(
        mode=mode, allow_v1=allow_v1, allow_unsigned_payload=unsigned, bind_signatures=bind
    )
    identify = authenticator(rules, Source())
    found = identify.caller(head, "aiart", body, params, trusted, now)
    identify.needs_body(head)
    named_secret_id(head, params)
    if isinstance(found, Rejection):
        assert not found
        assert found.reason in IDENTITY_REASONS
        signature_label(found)
    elif found.signature == "valid":
        assert found == Caller("uin/100000000101", "AKIDz8…MPLE", None, "valid")
        assert auth == authorization(tc3()).encode(), "nothing but the one good signature verifies"


def _lines(head: RequestHead) -> tuple[tuple[bytes, bytes], ...]:
    named = (b"host", head.host), (b"content-type", head.content_type), (b"authorization", head.authorization)
    return tuple((name, value) for name, value in named if value is not None)
