"""What is judged of a request whose head was judged before is judged as at the first time (T83)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.authn.credentials import AccessKey, KeyRing
from camguard.authn.known_head import claimed_key, verify_known
from camguard.authn.tc3 import read_authorization, usual_request, verify_tc3
from camguard.request.head import RequestHead
from camguard.request.rejection import Rejection, rejection
from tests.authn.signing import BODY, HOST, JSON, NOW, SECRET_ID, authorization, head_of, keys, tc3, tc3_head

MIDNIGHT = 1700006400  # 2023-11-15T00:00:00Z
GOOD = authorization(tc3())
LAST_SECOND = authorization(tc3(timestamp=MIDNIGHT - 1))
NEXT_SECOND = authorization(tc3(timestamp=MIDNIGHT, date="2023-11-14"))
UNKNOWN_ID = GOOD.replace(SECRET_ID, "AKIDunknown")


def ring_that_cached(*auths: str, **fields: Any) -> KeyRing:
    """Return keys that cached the signing keys of requests, each with the timestamp of its day."""
    ring = keys(**fields)
    for auth in auths:
        read_authorization(tc3_head(auth), "aiart", ring, NOW)
        assert ring.cached(auth[:-64].encode()) is not None
    return ring


# Authorization, timestamp, service of the host, seconds since the epoch; whether a signing key is found
HEADS = [
    pytest.param(GOOD, NOW, "aiart", NOW, True, id="the same head at the same second"),
    pytest.param(GOOD, NOW, "aiart", NOW + 300, True, id="T75 300 seconds old"),
    pytest.param(GOOD, NOW, "aiart", NOW - 300, True, id="T75 300 seconds early"),
    pytest.param(GOOD, NOW, "aiart", NOW + 300.5, False, id="T75 half a second too old"),
    pytest.param(GOOD, NOW, "aiart", NOW - 300.5, False, id="T75 half a second too early"),
    pytest.param(GOOD, f"0{NOW}", "aiart", NOW, False, id="a timestamp that is not canonical"),
    pytest.param(GOOD, "1" * 13, "aiart", NOW, False, id="a timestamp in milliseconds"),
    pytest.param(GOOD, NOW, "cvm", NOW, False, id="T41 the host of another service"),
    pytest.param(GOOD, NOW, None, NOW, False, id="T123 a shared host, which names no service"),
    pytest.param(LAST_SECOND, MIDNIGHT - 1, "aiart", MIDNIGHT, True, id="the last second of the signed day"),
    pytest.param(NEXT_SECOND, MIDNIGHT, "aiart", MIDNIGHT, False, id="the first second of the next day"),
    pytest.param(UNKNOWN_ID, NOW, "aiart", NOW, False, id="T81 an unknown secret id"),
    pytest.param(GOOD[:-64] + "0" * 64, NOW, "aiart", NOW, True, id="a wrong signature: the body shows it"),
    pytest.param(GOOD[:-1] + "g", NOW, "aiart", NOW, False, id="T77 a digit that is not hexadecimal"),
    pytest.param(GOOD[:-64] + tc3().upper(), NOW, "aiart", NOW, False, id="T77 digits in capitals"),
    pytest.param(GOOD[:-1], NOW, "aiart", NOW, False, id="T77 63 digits"),
    pytest.param(GOOD.replace(", ", ","), NOW, "aiart", NOW, False, id="T121 other blanks, not cached so"),
]


@pytest.mark.parametrize(("auth", "timestamp", "service", "now", "found"), HEADS)
def test_a_signing_key_is_claimed_only_where_the_whole_way_finds_the_same(
    auth: str, timestamp: object, service: str | None, now: float, found: bool
) -> None:
    ring = ring_that_cached(GOOD, UNKNOWN_ID)
    claimed = claimed_key(auth.encode(), str(timestamp).encode(), service, ring, now)
    assert (claimed is not None) is found
    if found:
        whole = tc3_head(auth, x_tc_timestamp=str(timestamp))
        assert claimed is read_authorization(whole, service, ring, now)


def test_nothing_is_claimed_that_was_not_cached_before() -> None:
    assert claimed_key(GOOD.encode(), str(NOW).encode(), "aiart", keys(), NOW) is None


PLAIN = {"content-type": JSON, "host": HOST}
MIXED = {"content-type": "Application/JSON", "host": f"{HOST}:8080"}


def signed_as(kind: str, host: str) -> str:
    """Return `Authorization` over these values of content-type and host."""
    return authorization(tc3(signed=(("content-type", kind), ("host", host))))


# Content type and host as sent, Authorization, token, body, further fields of the key; what comes of it
REQUESTS = [
    pytest.param(PLAIN, GOOD, None, BODY, {}, "verified", id="a good signature"),
    pytest.param(PLAIN, GOOD, "", BODY, {}, "verified", id="an empty token of a permanent key"),
    pytest.param(PLAIN, GOOD, None, BODY + b" ", {}, "signature_invalid", id="T79 another body"),
    pytest.param(PLAIN, GOOD[:-64] + "0" * 64, None, BODY, {}, "signature_invalid", id="a wrong signature"),
    pytest.param(
        MIXED, signed_as(JSON, f"{HOST}:8080"), None, BODY, {}, "verified", id="signed in lower case"
    ),
    pytest.param(
        MIXED, signed_as("Application/JSON", f"{HOST}:8080"), None, BODY, {}, "verified", id="DEC-51 as sent"
    ),
    pytest.param(MIXED, signed_as(JSON, HOST), None, BODY, {}, "verified", id="signed without the port"),
    pytest.param(MIXED, signed_as("text/x", HOST), None, BODY, {}, "signature_invalid", id="another type"),
    pytest.param(PLAIN, GOOD, "T", BODY, {"token": "T"}, "verified", id="a temporary key with its token"),
    pytest.param(PLAIN, GOOD, None, BODY, {"token": "T"}, "token_invalid", id="a temporary key without it"),
    pytest.param(PLAIN, GOOD, "T", BODY, {}, "token_invalid", id="a permanent key with a token"),
    pytest.param(PLAIN, GOOD, None, BODY, {"expires": NOW}, "key_expired", id="a key that expired"),
]


def met(sent: dict[str, str], auth: str, token: str | None) -> RequestHead:
    lines = [*sent.items(), ("x-tc-timestamp", str(NOW)), ("authorization", auth)]
    return head_of("POST", b"", lines if token is None else [*lines, ("x-tc-token", token)])


@pytest.mark.parametrize(("sent", "auth", "token", "body", "fields", "expected"), REQUESTS)
def test_t83_a_known_head_is_verified_as_an_unknown_one(
    sent: dict[str, str], auth: str, token: str | None, body: bytes, fields: dict[str, Any], expected: str
) -> None:
    ring = ring_that_cached(GOOD, **fields)
    head = met(sent, auth, token)
    signing_key = claimed_key(auth.encode(), str(NOW).encode(), "aiart", ring, NOW)
    assert signing_key is not None
    canonical = usual_request("POST", sent["content-type"].encode(), sent["host"].encode())
    sent_token = None if token is None else token.encode()

    def verified() -> AccessKey | Rejection:
        timestamp = str(NOW).encode()
        return verify_known(
            canonical, auth.encode(), timestamp, sent_token, signing_key, body, NOW, lambda each: each, head
        )

    found = [verified(), verified()]  # what was kept of the head stays as it was
    assert found == [verify_tc3(head, signing_key, body, NOW)] * 2
    assert [each.detail if isinstance(each, Rejection) else "verified" for each in found] == [expected] * 2


def test_a_signing_key_that_belongs_to_nobody_verifies_nothing() -> None:
    """No such key is claimed; where one were, its good signature would prove no caller."""
    signing_key = keys().derive(SECRET_ID.encode(), "2023-11-14", "aiart")
    decoy = replace(signing_key, access_key=None)
    head = tc3_head()
    canonical = usual_request("POST", JSON.encode(), HOST.encode())
    signed = GOOD.encode(), str(NOW).encode()
    for key, found in ((signing_key, signing_key.access_key), (decoy, rejection("signature_invalid"))):
        assert verify_known(canonical, *signed, None, key, BODY, NOW, lambda _: head, None) is found
        assert verify_tc3(head, key, BODY, NOW) is found
