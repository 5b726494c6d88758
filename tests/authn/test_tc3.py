"""TC3-HMAC-SHA256: the published vectors, and T75 to T79."""

from __future__ import annotations

import time
from collections.abc import Callable
from hmac import compare_digest
from typing import Any

import pytest

from camguard.authn import tc3 as tc3_module
from camguard.authn.credentials import AccessKey, KeyRing, SigningKey, parse_keys
from camguard.authn.tc3 import claim_tc3, read_authorization, sign_tc3, signed_payload, verify_tc3
from camguard.request.head import RequestHead
from camguard.request.rejection import Rejection, rejection
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
)

SAMPLE_KEYS = parse_keys(
    b'{"AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE":'
    b'{"secret_key":"Gu5t9xGARNpq86cd98joQYCN3EXAMPLE","principal":"uin/100000000101"}}',
    "keys.json",
)
KEYS = keys()


def check(
    head: RequestHead,
    body: bytes | None = BODY,
    *,
    held: KeyRing = KEYS,
    now: float = NOW,
    unsigned: bool = False,
) -> AccessKey | Rejection:
    payload = signed_payload(head, body, unsigned_allowed=unsigned)
    return payload if isinstance(payload, Rejection) else check_tc3(head, "aiart", payload, held, now)


def detail(found: AccessKey | Rejection) -> str | None:
    return found.detail if isinstance(found, Rejection) else "verified"


def test_v1_the_documentation_sample_verifies() -> None:
    signature = "5da7a33f6993f0614b047e5df4582db9e9bf4672ba50567dba16c6ccf174c474"
    auth = authorization(signature, date="2018-10-09", service="cvm")
    lines = {
        "host": "cvm.tencentcloudapi.com",
        "content-type": FORM,
        "x-tc-timestamp": "1539084154",
        "authorization": auth,
    }
    head = head_of("GET", b"Limit=10&Offset=0", lines.items())
    found = check_tc3(head, "cvm", b"", SAMPLE_KEYS, 1539084154.0)
    assert isinstance(found, AccessKey)
    assert found.principal == "uin/100000000101"


VECTORS = [
    pytest.param(
        "46551386dc428cb594c20b6c9b014653734dbf06cfd40589beedc0da6dbd4b7d",
        "content-type;host",
        None,
        id="V2 JSON, the two usual headers",
    ),
    pytest.param(
        "b7af22770fe981554c310070e7bbc06e72bd3ac417db79fd319b9b7cff9bd048",
        "content-type;host;x-tc-action",
        None,
        id="V3 with the action signed",
    ),
    pytest.param(
        "17ad9817aea9e7e0666ec95cec295222fd6569b21433a72865bfcd9db1f18c50",
        "content-type;host",
        "UNSIGNED-PAYLOAD",
        id="V4 with an unsigned payload",
    ),
]


@pytest.mark.parametrize(("signature", "names", "sha256"), VECTORS)
def test_vector_verifies_and_a_changed_digit_does_not(signature: str, names: str, sha256: str | None) -> None:
    """The vectors of CAM 14.3."""
    good = tc3_head(authorization(signature, names=names), x_tc_content_sha256=sha256)
    assert isinstance(check(good, unsigned=True), AccessKey)
    other = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    bad = tc3_head(authorization(other, names=names), x_tc_content_sha256=sha256)
    assert check(bad, unsigned=True) is rejection("signature_invalid")


def test_the_second_signer_agrees_with_the_vectors() -> None:
    assert tc3() == "46551386dc428cb594c20b6c9b014653734dbf06cfd40589beedc0da6dbd4b7d"
    signed = (("content-type", JSON), ("host", HOST), ("x-tc-action", "texttoimage"))
    assert tc3(signed=signed) == "b7af22770fe981554c310070e7bbc06e72bd3ac417db79fd319b9b7cff9bd048"


GOOD = authorization(tc3())
DIGEST = tc3()

MALFORMED = [
    pytest.param("SKIP", id="T77 SKIP"),
    pytest.param("", id="T77 empty"),
    pytest.param(GOOD.replace("TC3-HMAC", "tc3-hmac"), id="T77 scheme in lower case"),
    pytest.param(GOOD.replace("SHA256 ", "SHA256"), id="T121 no blank after the scheme"),
    pytest.param(GOOD.replace("SHA256 ", "SHA256" + " " * 9), id="T121 nine blanks after the scheme"),
    pytest.param(GOOD.replace("SHA256 ", "SHA256\u00a0").encode(), id="T121 a no-break space"),
    *(
        pytest.param(GOOD.replace(f", {part}=", f"{instead}{part}="), id=f"T121 {what} {part}")
        for part in ("SignedHeaders", "Signature")
        for instead, what in (
            ("," + " " * 9, "nine blanks behind the comma before"),
            (" " * 9 + ", ", "nine blanks before the comma before"),
            ("  ", "blanks in place of the comma before"),
            (", , ", "an empty element before"),
            ("; ", "a semicolon in place of the comma before"),
        )
    ),
    pytest.param(GOOD.replace("Credential=", "Credential= "), id="T121 a blank behind an equals sign"),
    pytest.param(GOOD.replace("Credential=", "Credential ="), id="T121 a blank before an equals sign"),
    pytest.param(GOOD.replace("Signature=", "Signature= "), id="T121 a blank before the signature"),
    pytest.param(GOOD.replace("/aiart/", "/aiart /"), id="T121 a blank within the scope"),
    pytest.param(" " + GOOD, id="T77 a blank in front"),
    pytest.param(GOOD + " ", id="T77 a blank behind"),
    pytest.param(f"{GOOD}, {GOOD}", id="T77 two credentials in one line"),
    pytest.param(GOOD + "0", id="T77 65 digits"),
    pytest.param(GOOD[:-1], id="T77 63 digits"),
    pytest.param(GOOD[:-1] + "g", id="T77 a digit that is not hexadecimal"),
    pytest.param(GOOD[:-64] + DIGEST.upper(), id="T77 digits in capitals"),
    pytest.param(GOOD[:-2].encode() + "é".encode(), id="T77 a digit that is not ASCII"),
    pytest.param(GOOD[:-2].encode() + "\u0663".encode(), id="T77 a digit of another script"),
    pytest.param(GOOD.replace("Credential", "credential"), id="T77 Credential in lower case"),
    pytest.param(GOOD.replace(SECRET_ID, ""), id="T77 no secret id"),
    pytest.param(GOOD.replace(SECRET_ID, "A" * 1025), id="T77 a secret id that is too long"),
    pytest.param(GOOD.replace(SECRET_ID, "AKID*"), id="T77 a secret id with a star"),
    pytest.param(GOOD.replace(SECRET_ID, "AKID/x"), id="T77 a secret id with a slash"),
    pytest.param(GOOD.replace("tc3_request", "tc4_request"), id="T77 another end of the scope"),
    pytest.param(GOOD.replace("2023-11-14", "2023-11-31"), id="T77 no such day"),
    pytest.param(GOOD.replace("2023-11-14", "2023-1-14"), id="T77 a short month"),
    pytest.param(GOOD.replace("2023-11-14", "20231114"), id="T77 a day without dashes"),
    pytest.param(GOOD.replace("/aiart/", "/A\u0130art/").encode(), id="T134 a letter that is not ASCII"),
    pytest.param(GOOD.replace("/aiart/", "//"), id="T77 no service"),
    pytest.param(GOOD.partition(", SignedHeaders")[0], id="T77 cut behind the credential"),
    pytest.param(GOOD.replace("content-type;host", "content-type"), id="T78 host not signed"),
    pytest.param(GOOD.replace("content-type;host", "host"), id="T78 content-type not signed"),
    pytest.param(GOOD.replace("content-type;host", ""), id="T78 no header signed"),
    pytest.param(GOOD.replace("content-type;host", "host;content-type"), id="T78 not sorted"),
    pytest.param(GOOD.replace(";host", ";host;host"), id="T78 host named twice"),
    pytest.param(GOOD.replace(";host", ";host;"), id="T78 an empty name"),
    pytest.param(GOOD.replace(";host", ";host;x-absent"), id="T78 a header that is absent"),
    pytest.param(GOOD.replace("content-type;host", "Content-Type;Host"), id="T78 names in capitals"),
    pytest.param("Basic dXNlcjpwYXNz", id="another scheme"),
    pytest.param("Bearer " + "a" * 4000, id="a bearer token"),
]


@pytest.mark.parametrize("auth", MALFORMED)
def test_authorization_out_of_grammar_is_malformed(auth: str | bytes) -> None:
    assert check(tc3_head(auth)) is rejection("auth_malformed")
    assert claim_tc3(tc3_head(auth), "aiart", KEYS, NOW) is rejection("auth_malformed")


# a line that keeps the grammar, the detail of the refusal that only a line of good grammar meets
IN_GRAMMAR = [
    pytest.param(GOOD.replace("/aiart/", "/a/"), "service_conflict", id="a service of one letter"),
    pytest.param(GOOD.replace("/aiart/", "/0a-z059/"), "service_conflict", id="every sign of a service"),
    pytest.param(
        GOOD.replace("/aiart/", "/5a/"), "service_conflict", id="a service that begins with a digit"
    ),
    pytest.param(GOOD.replace("/aiart/", f"/{'a' * 63}/"), "service_conflict", id="63 letters"),
    pytest.param(GOOD.replace(SECRET_ID, "azAZ09_-"), "secret_id_unknown", id="every sign of a secret id"),
    pytest.param(GOOD.replace(SECRET_ID, "A" * 1024), "secret_id_unknown", id="a secret id of 1024 letters"),
    pytest.param(GOOD.replace(SECRET_ID, "A"), "secret_id_unknown", id="a secret id of one letter"),
    pytest.param(GOOD.replace("2023-11-14", "2023-11-13"), "signature_invalid", id="another day"),
    pytest.param(GOOD.replace("2023-11-14", "0001-01-01"), "signature_invalid", id="the first day"),
    pytest.param(GOOD.replace("2023-11-14", "9999-12-31"), "signature_invalid", id="the last day"),
    pytest.param(GOOD[:-64] + "0123456789abcdef" * 4, "signature_invalid", id="every digit"),
    pytest.param(GOOD.replace("/aiart/", "/Aiart/"), "signature_invalid", id="T134 a service not so signed"),
    pytest.param(GOOD.replace("/aiart/", "/CVM/"), "service_conflict", id="T134 another service in capitals"),
]


@pytest.mark.parametrize(("said", "expected"), IN_GRAMMAR)
def test_authorization_in_its_grammar_is_judged_further(said: str, expected: str) -> None:
    assert check(tc3_head(said)) is rejection(expected)


OUT_OF_GRAMMAR = [
    pytest.param(GOOD.replace("/aiart/", f"/{'a' * 64}/"), id="a service of 64 letters"),
    pytest.param(GOOD.replace("/aiart/", "/-a/"), id="a service that begins with a hyphen"),
    pytest.param(GOOD.replace("/aiart/", "/a_b/"), id="a service with an underscore"),
    pytest.param(GOOD.replace("2023-11-14", "0000-01-01"), id="no such year"),
    pytest.param(GOOD.replace("2023-11-14", "02023-11-14"), id="a year of five digits"),
    pytest.param(GOOD.replace("2023-11-14", "2023-11-014"), id="a day of three digits"),
    pytest.param(GOOD.replace("2023-11-14", "2023-011-14"), id="a month of three digits"),
    pytest.param(GOOD.replace("TC3-HMAC-SHA256", "TC3-HMAC-SHA25"), id="a letter of the scheme less"),
    pytest.param(GOOD.replace("Signature=", "signature="), id="Signature in lower case"),
    pytest.param(GOOD.replace(";host", ";host;x(a)"), id="a sign that no header name has"),
    pytest.param(GOOD.replace(";host", ";host; x"), id="a blank between names"),
    pytest.param(GOOD.replace(";host", ",host"), id="a comma between names"),
]


@pytest.mark.parametrize("said", OUT_OF_GRAMMAR)
def test_authorization_a_little_out_of_its_grammar_is_malformed(said: str) -> None:
    assert check(tc3_head(said)) is rejection("auth_malformed")
    assert claim_tc3(tc3_head(said), "aiart", KEYS, NOW) is rejection("auth_malformed")
    assert read_authorization(tc3_head(said), "aiart", KEYS, NOW) is rejection("auth_malformed")


def test_a_name_of_every_sign_may_be_signed() -> None:
    name = "x-!#$%&'*+.^_`|~09az"
    signed = (("content-type", JSON), ("host", HOST), (name, "1"))
    said = authorization(tc3(signed=signed), names=";".join(each for each, _ in signed))
    lines = {"host": HOST, "content-type": JSON, name: "1", "x-tc-timestamp": str(NOW), "authorization": said}
    assert isinstance(check(head_of("POST", b"", lines.items())), AccessKey)
    lines[name] = "2"
    assert check(head_of("POST", b"", lines.items())) is rejection("signature_invalid")


@pytest.mark.parametrize(("last", "good"), [(252, True), (253, False)], ids=["2048 bytes", "2049 bytes"])
def test_the_names_of_the_signed_headers_have_2048_bytes_at_most(last: int, good: bool) -> None:
    names = [f"x-{at}-".ljust(253, "a") for at in range(7)] + ["x-7-".ljust(last, "a")]
    signed = (("content-type", JSON), ("host", HOST), *((name, "1") for name in names))
    said = authorization(tc3(signed=signed), names=";".join(name for name, _ in signed))
    found = check(head_of("POST", b"", [*signed, ("x-tc-timestamp", str(NOW)), ("authorization", said)]))
    assert isinstance(found, AccessKey) if good else found is rejection("auth_malformed")


@pytest.mark.parametrize("missing", ["authorization", "x_tc_timestamp", "content_type"])
def test_a_call_without_what_a_signature_needs_is_malformed(missing: str) -> None:
    lines: dict[str, Any] = {missing: None}
    head = tc3_head(GOOD, **lines)
    for found in (
        check(head),
        claim_tc3(head, "aiart", KEYS, NOW),
        read_authorization(head, "aiart", KEYS, NOW),
    ):
        assert found is rejection("auth_malformed")


def test_the_credential_is_named_before_the_body_is_there() -> None:
    found = read_authorization(tc3_head(), "aiart", KEYS, NOW)
    assert isinstance(found, SigningKey)
    assert isinstance(verify_tc3(tc3_head(), found, BODY, NOW), AccessKey)
    assert verify_tc3(tc3_head(), found, b"other", NOW) is rejection("signature_invalid")
    stranger = tc3_head(GOOD.replace(SECRET_ID, "AKIDunknown"))
    assert read_authorization(stranger, "aiart", KEYS, NOW) is rejection("secret_id_unknown")
    odd = tc3_head(GOOD.replace(SECRET_ID, "AKIDunknown")[:-1] + "g")
    assert read_authorization(odd, "aiart", KEYS, NOW) is rejection("auth_malformed")
    for digit in "gGAX-":
        assert read_authorization(tc3_head(GOOD[:-1] + digit), "aiart", KEYS, NOW) is rejection(
            "auth_malformed"
        )
    assert read_authorization(tc3_head(), "cvm", KEYS, NOW) is rejection("service_conflict")
    assert read_authorization(tc3_head(), "aiart", KEYS, NOW + 301) is rejection("signature_expired")


def test_t78_header_that_is_signed_but_there_twice_is_malformed() -> None:
    names = "content-type;host;x-note"
    signed = (("content-type", JSON), ("host", HOST), ("x-note", "a"))
    lines = [
        ("host", HOST),
        ("content-type", JSON),
        ("x-note", "a"),
        ("x-tc-timestamp", str(NOW)),
        ("authorization", authorization(tc3(signed=signed), names=names)),
    ]
    assert isinstance(check(head_of("POST", b"", lines)), AccessKey)
    assert check(head_of("POST", b"", [*lines, ("x-note", "a")])) is rejection("auth_malformed")


TIMESTAMPS = [
    pytest.param(str(NOW), NOW + 300, "verified", id="T75 300 seconds old"),
    pytest.param(str(NOW), NOW - 300, "verified", id="T75 300 seconds early"),
    pytest.param(str(NOW), NOW + 301, "signature_expired", id="T75 301 seconds old"),
    pytest.param(str(NOW), NOW - 301, "signature_expired", id="T75 301 seconds early"),
    pytest.param(str(NOW), NOW + 300.001, "signature_expired", id="T75 a millisecond too old"),
    pytest.param(str(NOW), NOW + 31536000, "signature_expired", id="T75 a year old"),
    pytest.param(None, NOW, "auth_malformed", id="no timestamp"),
    pytest.param("", NOW, "auth_malformed", id="an empty timestamp"),
    pytest.param(f"0{NOW}", NOW, "auth_malformed", id="a leading zero"),
    pytest.param(f"+{NOW}", NOW, "auth_malformed", id="a sign"),
    pytest.param(f"{NOW}.0", NOW, "auth_malformed", id="a fraction"),
    pytest.param(f"{NOW} ", NOW, "auth_malformed", id="a blank"),
    pytest.param("1_700_000_000", NOW, "auth_malformed", id="underscores, which int() would take"),
    pytest.param("\u0661\u0667" + "\u0660" * 8, NOW, "auth_malformed", id="digits of another script"),
    pytest.param("1" * 5000, NOW, "auth_malformed", id="T13 more digits than int() takes"),
    pytest.param("9" * 12, NOW, "signature_expired", id="the far future"),
    pytest.param("1" * 13, NOW, "auth_malformed", id="milliseconds instead of seconds"),
]


@pytest.mark.parametrize(("timestamp", "now", "expected"), TIMESTAMPS)
def test_timestamp(timestamp: str | None, now: float, expected: str) -> None:
    assert detail(check(tc3_head(x_tc_timestamp=timestamp), now=now)) == expected


def test_credential_of_another_day_than_the_timestamp_is_invalid() -> None:
    midnight = 1700006400  # 2023-11-15T00:00:00Z
    just_before = authorization(tc3(timestamp=midnight - 1))
    assert isinstance(check(tc3_head(just_before, x_tc_timestamp=str(midnight - 1)), now=midnight), AccessKey)
    day_before = authorization(tc3(timestamp=midnight, date="2023-11-14"), date="2023-11-14")
    assert check(tc3_head(day_before, x_tc_timestamp=str(midnight)), now=midnight) is rejection(
        "signature_invalid"
    )
    day_after = authorization(tc3(timestamp=midnight), date="2023-11-15")
    assert isinstance(check(tc3_head(day_after, x_tc_timestamp=str(midnight)), now=midnight), AccessKey)


def test_a_signing_key_is_cached_for_the_usual_headers_only_and_after_all_checks() -> None:
    held = keys()
    for head in (tc3_head(x_tc_timestamp=str(NOW + 400)), tc3_head(GOOD.replace("/aiart/", "/cvm/"))):
        check(head, held=held)
        assert held.cached((head.authorization or b"")[:-64]) is None
    signed = (("content-type", JSON), ("host", HOST), ("x-tc-action", "texttoimage"))
    unusual = tc3_head(authorization(tc3(signed=signed), names="content-type;host;x-tc-action"))
    assert isinstance(check(unusual, held=held), AccessKey)
    assert held.cached((unusual.authorization or b"")[:-64]) is None
    assert isinstance(check(tc3_head(), held=held), AccessKey)
    assert held.cached(GOOD[:-64].encode()) is not None


SPACED = [
    pytest.param(GOOD.replace("SHA256 ", "SHA256  "), id="T121 two blanks, as the .NET SDK writes them"),
    pytest.param(GOOD.replace("SHA256 ", "SHA256" + " " * 8), id="T121 eight blanks after the scheme"),
    pytest.param(GOOD.replace(", ", ","), id="T121 no blank behind the commas"),
    pytest.param(GOOD.replace(", ", " " * 8 + "," + " " * 8), id="T121 eight blanks around the commas"),
    pytest.param(GOOD.replace(", Signature", " ,Signature"), id="T121 a blank before the last comma only"),
    pytest.param(GOOD.replace(", SignedHeaders", " ,SignedHeaders"), id="T121 before the first comma only"),
]


@pytest.mark.parametrize("auth", SPACED)
def test_blanks_between_the_parts_of_authorization_change_nothing(auth: str) -> None:
    held = keys()
    assert isinstance(check(tc3_head(auth), held=held), AccessKey)
    assert check(tc3_head(auth), b"other", held=held) is rejection("signature_invalid")
    unknown = tc3_head(auth.replace(SECRET_ID, "AKIDunknown"))
    assert check(unknown, held=held) is rejection("secret_id_unknown")


@pytest.mark.parametrize("sign", ["\t", "\n", "\r", "\0", "\x0b"])
def test_t121_no_other_sign_stands_for_a_blank(sign: str) -> None:
    """The head refuses them already; the grammar does not depend on it."""
    for place in ("SHA256 ", ", SignedHeaders", ", Signature"):
        for auth in (GOOD.replace(place, place.replace(" ", sign)), GOOD.replace(place, place + sign)):
            head = tc3_head()._replace(authorization=auth.encode())
            assert check(head) is rejection("auth_malformed")


def test_t121_t105_however_it_is_spaced_a_credential_takes_one_place_in_the_cache() -> None:
    held = keys()
    others = [
        GOOD.replace("SHA256 ", "SHA256" + " " * blanks).replace(", ", "," + " " * around)
        for blanks in range(1, 9)
        for around in range(9)
    ]
    others.remove(GOOD)
    others += [authorization(tc3(service=each), service=each) for each in ("AIART", "Aiart", "aIART")]
    for auth in others:
        assert isinstance(check(tc3_head(auth), held=held), AccessKey)
    assert held.cached(GOOD[:-64].encode()) is not None
    assert all(held.cached(auth[:-64].encode()) is None for auth in others)


def test_t134_the_service_of_the_scope_is_compared_without_its_letter_case() -> None:
    """The signing key is derived from the text as it was sent, so no other spelling fits the signature."""
    auth = authorization(tc3(service="AIART"), service="AIART")
    assert isinstance(check(tc3_head(auth)), AccessKey)
    assert isinstance(claim_tc3(tc3_head(auth), "aiart", KEYS, NOW), AccessKey)
    for other in ("aiart", "Aiart"):
        assert check(tc3_head(auth.replace("AIART", other))) is rejection("signature_invalid")


# method, content type as sent and as signed, further lines, detail
UNBOUNDED = "multipart/form-data"
BOUNDARIES = [
    pytest.param("POST", f"{UNBOUNDED}; boundary=Ab3", {}, "verified", id="T134 as the Ruby SDK sends it"),
    pytest.param("POST", f"{UNBOUNDED};boundary=Ab3", {}, "verified", id="T134 without a blank"),
    pytest.param("POST", f"{UNBOUNDED}  ;  boundary=b", {}, "verified", id="T134 with two blanks"),
    pytest.param(
        "POST",
        f'{UNBOUNDED}; boundary="Ab:3"',
        {"host": f"{HOST}:8080"},
        "verified",
        id="T134 quoted, a port",
    ),
    pytest.param("POST", UNBOUNDED, {}, "verified", id="as signed, which the target refuses"),
    pytest.param("GET", f"{UNBOUNDED}; boundary=Ab3", {}, "signature_invalid", id="T134 a GET has no body"),
    pytest.param(
        "POST",
        f"{UNBOUNDED}; boundary=Ab3",
        {"x_tc_content_sha256": "UNSIGNED-PAYLOAD"},
        "signature_invalid",
        id="T134 the body is not covered",
    ),
    pytest.param(
        "POST",
        f"{UNBOUNDED}; charset=utf-8; boundary=b",
        {},
        "signature_invalid",
        id="T134 one more parameter",
    ),
    pytest.param(
        "POST", f"{UNBOUNDED}; boundary=b; boundary=c", {}, "signature_invalid", id="T134 two boundaries"
    ),
    pytest.param("POST", f"{UNBOUNDED}; Boundary=b", {}, "signature_invalid", id="T134 another spelling"),
    pytest.param("POST", f"{UNBOUNDED}; charset=utf-8", {}, "signature_invalid", id="T134 no boundary"),
    pytest.param("POST", f"{UNBOUNDED}; boundary=", {}, "signature_invalid", id="T134 an empty boundary"),
    pytest.param("POST", "multipart/form-datA; boundary=b", {}, "signature_invalid", id="T134 in capitals"),
    pytest.param("POST", "multipart/mixed; boundary=b", {}, "signature_invalid", id="T134 another multipart"),
    pytest.param("POST", f"{UNBOUNDED}x; boundary=b", {}, "signature_invalid", id="T134 a longer type"),
    pytest.param("POST", f"text/plain; {UNBOUNDED}", {}, "signature_invalid", id="T134 as a parameter"),
]


@pytest.mark.parametrize(("method", "sent", "lines", "expected"), BOUNDARIES)
def test_multipart_signed_without_its_boundary(
    method: str, sent: str, lines: dict[str, str], expected: str
) -> None:
    unsigned = "x_tc_content_sha256" in lines
    payload = b"UNSIGNED-PAYLOAD" if unsigned else b"" if method == "GET" else BODY
    signed = (("content-type", UNBOUNDED), ("host", HOST))
    auth = authorization(tc3(method=method, signed=signed, payload=payload))
    head = tc3_head(auth, method=method, content_type=sent, **lines)
    assert detail(check(head, BODY if method == "POST" else b"", unsigned=True)) == expected


def test_t134_nothing_but_the_boundary_may_be_missing_from_the_signed_content_type() -> None:
    for kind in ("application/json", "multipart/form", "multipart/form-data;", "multipart/form-data; "):
        auth = authorization(tc3(signed=(("content-type", kind), ("host", HOST))))
        head = tc3_head(auth, content_type=f"{UNBOUNDED}; boundary=b")
        assert check(head) is rejection("signature_invalid"), kind


# query as sent and as signed, method, detail
TILDES = [
    pytest.param("A=~", "A=%7E", "GET", "verified", id="T134 as the .NET SDK signs it"),
    pytest.param("A=~&B=x~~&C=1", "A=%7E&B=x%7E%7E&C=1", "GET", "verified", id="T134 every one of them"),
    pytest.param("A=~", "A=~", "GET", "verified", id="signed as sent"),
    pytest.param("A=%7E", "A=%7E", "GET", "verified", id="escaped in both"),
    pytest.param("A=~=~", "A=%7E=%7E", "GET", "verified", id="T134 an equals sign within the value"),
    pytest.param("A=~&B=~", "A=%7E&B=~", "GET", "signature_invalid", id="T134 one of two"),
    pytest.param("A=%7E", "A=~", "GET", "signature_invalid", id="T134 the reverse"),
    pytest.param("A=~", "A=%7e", "GET", "signature_invalid", id="T134 in small letters"),
    pytest.param("A~=1", "A%7E=1", "GET", "signature_invalid", id="T134 in a name"),
    pytest.param("A=~&B~=~", "A=%7E&B~=%7E", "GET", "signature_invalid", id="T134 in a name beside values"),
    pytest.param("A=~&B~=~", "A=%7E&B%7E=%7E", "GET", "signature_invalid", id="T134 in values and in a name"),
    pytest.param("~=1", "%7E=1", "GET", "signature_invalid", id="T134 as the whole name"),
    pytest.param("A~", "A%7E", "GET", "signature_invalid", id="T134 in a name without a value"),
    pytest.param("A=~", "A=%7E", "POST", "signature_invalid", id="T134 the query of a POST"),
    pytest.param("A=!", "A=%21", "GET", "signature_invalid", id="T134 another sign"),
]


@pytest.mark.parametrize("more", [(), (("x-tc-action", "texttoimage"),)], ids=["usual", "action too"])
@pytest.mark.parametrize(("sent", "signed", "method", "expected"), TILDES)
def test_a_tilde_that_was_signed_as_an_escape(
    sent: str, signed: str, method: str, expected: str, more: tuple[tuple[str, str], ...]
) -> None:
    kind, payload = (FORM, b"") if method == "GET" else (JSON, BODY)
    lines = (("content-type", kind), ("host", HOST), *more)
    made = tc3(method=method, query=signed, signed=lines, payload=payload)
    auth = authorization(made, names=";".join(name for name, _ in lines))
    assert detail(check(tc3_head(auth, method=method, query=sent), payload)) == expected


# Host and note as they are signed; the request has HOST with a port and a note with a colon in it
CUT = [
    pytest.param(f"{HOST}:8080", "a:b", "verified", id="both as sent"),
    pytest.param(HOST, "a:b", "verified", id="the host without its port"),
    pytest.param(HOST, "a", "signature_invalid", id="another header cut at its colon"),
    pytest.param(f"{HOST}:8080", "a", "signature_invalid", id="another header cut, the host as sent"),
    pytest.param("", "a:b", "signature_invalid", id="no host at all"),
]


@pytest.mark.parametrize(("host", "note", "expected"), CUT)
def test_only_the_port_of_the_host_may_be_missing(host: str, note: str, expected: str) -> None:
    signed = (("content-type", JSON), ("host", host), ("x-note", note))
    auth = authorization(tc3(signed=signed), names="content-type;host;x-note")
    for sent in (f"{HOST}:8080", HOST):
        if sent == HOST and ":" in host:
            continue
        assert detail(check(tc3_head(auth, host=sent, x_note="a:b"))) == expected


@pytest.mark.parametrize("host", [HOST, f"{HOST}:8080"])
def test_t134_without_its_boundary_a_host_is_signed_with_its_port_or_without(host: str) -> None:
    auth = authorization(tc3(signed=(("content-type", UNBOUNDED), ("host", host))))
    head = tc3_head(auth, content_type=f"{UNBOUNDED}; boundary=b", host=f"{HOST}:8080")
    assert isinstance(check(head), AccessKey)


def test_t41_scope_of_another_service_is_a_conflict() -> None:
    auth = authorization(tc3(service="cvm"), service="cvm")
    assert check(tc3_head(auth)) is rejection("service_conflict")
    assert claim_tc3(tc3_head(auth), "aiart", KEYS, NOW) is rejection("service_conflict")


CHANGED = [
    pytest.param(lambda: (tc3_head(), BODY + b" "), id="T79 body longer"),
    pytest.param(lambda: (tc3_head(), BODY[:-1]), id="T79 body shorter"),
    pytest.param(lambda: (tc3_head(), b""), id="T79 body gone"),
    pytest.param(lambda: (tc3_head(GOOD, query="Limit=1"), BODY), id="T79 query added"),
    pytest.param(lambda: (tc3_head(host="aiart.ap-x1.tencentcloudapi.com"), BODY), id="another host"),
    pytest.param(lambda: (tc3_head(content_type="text/plain"), BODY), id="another content type"),
    pytest.param(lambda: (tc3_head(x_tc_timestamp=str(NOW + 1)), BODY), id="another second"),
    pytest.param(
        lambda: (tc3_head(authorization(tc3(secret="another secret, not ours"))), BODY), id="another secret"
    ),
    pytest.param(lambda: (tc3_head(authorization(tc3(method="GET"))), BODY), id="another method"),
]


@pytest.mark.parametrize("call", CHANGED)
def test_call_that_is_not_what_was_signed_is_invalid(call: Callable[[], tuple[RequestHead, bytes]]) -> None:
    head, body = call()
    assert check(head, body) is rejection("signature_invalid")


def test_query_counts_as_received_not_sorted() -> None:
    signed = tc3_head(method="GET", query="B=2&A=1")
    assert isinstance(check(signed, b""), AccessKey)
    assert check(tc3_head(signed.authorization, method="GET", query="A=1&B=2"), b"") is rejection(
        "signature_invalid"
    )


PAYLOADS = [
    pytest.param("UNSIGNED-PAYLOAD", False, "unsigned_payload", id="T79 not allowed"),
    pytest.param("unsigned-payload", True, "auth_malformed", id="in lower case"),
    pytest.param("", True, "auth_malformed", id="empty"),
    pytest.param("0" * 64, True, "auth_malformed", id="a digest"),
    pytest.param(
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER", True, "auth_malformed", id="T79 another protocol's word"
    ),
]


@pytest.mark.parametrize(("sha256", "allowed", "expected"), PAYLOADS)
def test_unsigned_payload(sha256: str, allowed: bool, expected: str) -> None:
    auth = authorization(tc3(payload=b"UNSIGNED-PAYLOAD"))
    assert detail(check(tc3_head(auth, x_tc_content_sha256=sha256), unsigned=allowed)) == expected


def test_signature_over_the_literal_is_no_signature_over_a_body() -> None:
    auth = authorization(tc3(payload=b"UNSIGNED-PAYLOAD"))
    assert check(tc3_head(auth), unsigned=True) is rejection("signature_invalid")
    assert check(tc3_head(GOOD, x_tc_content_sha256="UNSIGNED-PAYLOAD"), unsigned=True) is rejection(
        "signature_invalid"
    )


def test_body_that_was_not_delivered_verifies_nothing() -> None:
    assert check(tc3_head(), None) is rejection("body_unavailable")
    assert isinstance(check(tc3_head(method="GET"), None), AccessKey)


BOUNDARY = "multipart/form-data; boundary=Ab3"
FORMS = [
    pytest.param(JSON, HOST, {}, id="as documented"),
    pytest.param(BOUNDARY, HOST, {}, id="a boundary as sent"),
    pytest.param(BOUNDARY.lower(), HOST, {"content_type": BOUNDARY}, id="a boundary in lower case"),
    pytest.param(JSON, HOST.upper(), {"host": HOST.upper()}, id="a host in capitals as sent"),
    pytest.param(JSON, HOST, {"host": HOST.upper()}, id="a host in capitals, signed in lower case"),
    pytest.param(JSON, HOST, {"host": f"{HOST}:8080"}, id="a host without its port"),
    pytest.param(JSON, f"{HOST}:8080", {"host": f"{HOST}:8080"}, id="a host with its port"),
    pytest.param(BOUNDARY, HOST, {"host": f"{HOST}:8080"}, id="a boundary as sent, a host without its port"),
]


@pytest.mark.parametrize(("kind", "host", "sent"), FORMS)
@pytest.mark.parametrize("more", [(), (("x-tc-action", "texttoimage"),)], ids=["usual", "action too"])
def test_forms_in_which_clients_sign_headers(
    kind: str, host: str, sent: dict[str, Any], more: tuple[tuple[str, str], ...]
) -> None:
    if (more and kind != kind.lower()) or (more and host != host.lower()):
        more = (("x-tc-action", "TextToImage"),)
    signed = (("content-type", kind), ("host", host), *more)
    auth = authorization(tc3(signed=signed), names=";".join(name for name, _ in signed))
    head = tc3_head(auth, **{"content_type": kind, **sent})
    assert isinstance(check(head), AccessKey)


@pytest.mark.parametrize("content_type", [JSON, BOUNDARY.lower()], ids=["JSON", "multipart"])
def test_dec_51_header_values_are_signed_in_lower_case_or_as_sent_all_of_them(content_type: str) -> None:
    sent = {"content_type": content_type.upper(), "accept": "Text/Plain"}

    def found(*signed: str) -> AccessKey | Rejection:
        lines = tuple(zip(("accept", "content-type", "host"), (*signed, HOST), strict=True))
        auth = authorization(tc3(signed=lines), names="accept;content-type;host")
        return check(tc3_head(auth, **sent))

    assert isinstance(found("text/plain", content_type.lower()), AccessKey)
    assert isinstance(found("Text/Plain", content_type.upper()), AccessKey)
    assert found("Text/Plain", content_type.lower()) is rejection("signature_invalid")
    assert found("text/plain", content_type.upper()) is rejection("signature_invalid")
    assert found("TEXT/PLAIN", content_type.lower()) is rejection("signature_invalid")


def test_t78_header_that_is_signed_before_the_usual_ones_counts() -> None:
    held = keys()
    signed = (("accept", "*/*"), ("content-type", JSON), ("host", HOST))
    auth = authorization(tc3(signed=signed), names="accept;content-type;host")
    assert isinstance(check(tc3_head(auth, accept="*/*"), held=held), AccessKey)
    assert check(tc3_head(auth, accept="text/plain"), held=held) is rejection("signature_invalid")
    assert check(tc3_head(auth), held=held) is rejection("auth_malformed"), "a signed header is missing"
    unsigned = authorization(tc3(), names="accept;content-type;host")
    assert check(tc3_head(unsigned, accept="*/*"), held=held) is rejection("signature_invalid")


def test_t74_signature_over_the_action_binds_it() -> None:
    signed = (("content-type", JSON), ("host", HOST), ("x-tc-action", "texttoimage"))
    auth = authorization(tc3(signed=signed), names="content-type;host;x-tc-action")
    assert isinstance(check(tc3_head(auth)), AccessKey)
    assert check(tc3_head(auth, x_tc_action="DeleteBudget")) is rejection("signature_invalid")


def test_t81_unknown_key_and_disabled_key_read_alike() -> None:
    unknown = tc3_head(GOOD.replace(SECRET_ID, "AKIDunknown"))
    assert check(unknown) is rejection("secret_id_unknown")
    assert check(tc3_head(), held=keys(enabled=False)) is rejection("secret_id_unknown")
    assert claim_tc3(unknown, "aiart", KEYS, NOW) is rejection("secret_id_unknown")


def test_t81_the_signature_of_an_unknown_id_is_compared_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rejection alone would need no comparison; the time of one would tell which ids exist."""
    compared = []

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return compare_digest(one, other)

    monkeypatch.setattr(tc3_module, "compare_digest", counted)
    counts = []
    for auth in (authorization("0" * 64), authorization("0" * 64, secret_id="AKIDunknown")):
        assert isinstance(check(tc3_head(auth)), Rejection)
        counts.append(len(compared))
        compared.clear()
    assert counts[0] == counts[1] > 0


# Bytes of content type and host together, whether what is hashed of them is kept
LENGTHS = [
    pytest.param(200, 56, True, id="256 bytes, most of them of the content type"),
    pytest.param(56, 200, True, id="256 bytes, most of them of the host"),
    pytest.param(200, 57, False, id="257 bytes, most of them of the content type"),
    pytest.param(57, 200, False, id="257 bytes, most of them of the host"),
]


@pytest.mark.parametrize(("content_type", "host", "kept"), LENGTHS)
def test_t105_the_request_that_is_kept_hashed_is_bounded(content_type: int, host: int, kept: bool) -> None:
    first, second = (tc3_module.usual_request("POST", b"c" * content_type, b"h" * host) for _ in range(2))
    assert (first is second) is kept
    assert first.digest() == second.digest()


def test_t83_good_signature_is_never_remembered() -> None:
    held = keys()
    assert isinstance(check(tc3_head(), held=held), AccessKey)
    assert check(tc3_head(), b"other", held=held) is rejection("signature_invalid")
    assert check(tc3_head(), held=held, now=NOW + 301) is rejection("signature_expired")


TOKEN = "EXAMPLE-TOKEN"
TOKENS = [
    pytest.param({}, None, "verified", id="a permanent key without a token"),
    pytest.param({}, "", "verified", id="a permanent key with an empty one, as the Node SDK may send"),
    pytest.param({}, TOKEN, "token_invalid", id="a permanent key with a token"),
    pytest.param({"token": TOKEN}, TOKEN, "verified", id="a temporary key with its token"),
    pytest.param({"token": TOKEN}, None, "token_invalid", id="a temporary key without its token"),
    pytest.param({"token": TOKEN}, "", "token_invalid", id="a temporary key with an empty token"),
    pytest.param({"token": TOKEN}, TOKEN + " ", "token_invalid", id="a temporary key with a blank behind"),
    pytest.param({"token": TOKEN}, TOKEN.lower(), "token_invalid", id="a temporary key with another token"),
    pytest.param({"token": TOKEN}, "é", "token_invalid", id="a token that is not ASCII"),
    pytest.param({"expires": NOW + 1}, None, "verified", id="a second before it expires"),
    pytest.param({"expires": NOW}, None, "key_expired", id="the second in which it expires"),
    pytest.param({"expires": "2023-11-14T22:13:20Z"}, None, "key_expired", id="the same second as text"),
]


@pytest.mark.parametrize(("fields", "token", "expected"), TOKENS)
def test_temporary_credential(fields: dict[str, Any], token: str | None, expected: str) -> None:
    held = keys(**fields)
    assert detail(check(tc3_head(x_tc_token=token), held=held)) == expected
    assert detail(claim_tc3(tc3_head(x_tc_token=token), "aiart", held, NOW)) == expected


def test_only_who_holds_the_secret_learns_of_token_and_expiry() -> None:
    held = keys(token=TOKEN, expires=NOW)
    assert check(tc3_head(authorization("0" * 64)), held=held) is rejection("signature_invalid")


# What is signed beside the secret: the body, the host, when, and for which service.
SIGNED = [
    pytest.param(BODY, HOST, NOW, "aiart", id="a call as the documentation has it"),
    pytest.param(b"", HOST, NOW, "aiart", id="an empty body"),
    pytest.param('{"Prompt": "é"}'.encode(), "127.0.0.1:8080", NOW, "cvm", id="a host with a port"),
    pytest.param(BODY, HOST, 1700006399, "aiart", id="the last second of a day"),
    pytest.param(BODY, HOST, 1700006400, "aiart", id="the first second of the next"),
]


@pytest.mark.parametrize(("payload", "host", "now", "service"), SIGNED)
def test_a_signature_is_that_of_the_second_signer(payload: bytes, host: str, now: int, service: str) -> None:
    ring = keys()
    (key,) = ring.owned_by("uin/100000000101")
    made = sign_tc3(key, service, content_type=JSON, host=host, payload=payload, timestamp=now)
    lines = (("content-type", JSON), ("host", host))
    other = tc3(payload=payload, signed=lines, timestamp=now, service=service)
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    assert made == authorization(other, date=day, service=service)
    head = tc3_head(made, host=host, x_tc_timestamp=str(now))
    assert check_tc3(head, service, payload, ring, now) is key
    assert check_tc3(head, service, payload + b" ", ring, now) is rejection("signature_invalid")


def test_a_signature_is_made_over_values_in_lower_case_without_blanks_around_them() -> None:
    """Clients of the vendor may be asked to sign any host; the documentation has values in lower case."""
    ring = keys()
    (key,) = ring.owned_by("uin/100000000101")
    sent = {"content_type": f" {BOUNDARY}\t", "host": HOST.upper()}
    made = sign_tc3(key, "aiart", payload=BODY, timestamp=NOW, **sent)
    signed = (("content-type", BOUNDARY.lower()), ("host", HOST))
    assert made == authorization(tc3(signed=signed))


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [(b"1", 1), (b"9" * 12, 999_999_999_999), (b"9" * 13, None), (b"", None), (b"01", None), (b"+1", None)],
)
def test_a_timestamp_is_canonical_decimal_of_12_digits_at_most(timestamp: bytes, seconds: int | None) -> None:
    assert tc3_module.SECONDS[timestamp] == seconds
