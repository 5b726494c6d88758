"""HmacSHA1 and HmacSHA256 among the parameters: the vectors, and T80."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import pytest

from camguard.authn.credentials import AccessKey, KeyRing, parse_keys
from camguard.authn.hmac_v1 import carries_v1, check_v1, claim_v1
from camguard.request.head import RequestHead
from camguard.request.rejection import Rejection, rejection
from tests.authn.signing import FORM, HOST, JSON, NOW, SECRET_ID, head_of, keys, v1

Pairs = tuple[tuple[str, str], ...]

KEYS = keys()
COMMON: Pairs = (
    ("Action", "TextToImage"),
    ("Nonce", "1"),
    ("SecretId", SECRET_ID),
    ("Timestamp", str(NOW)),
    ("Version", "2022-12-29"),
)


def form_head(lines: Iterable[tuple[str, str]] = (), *, query: bytes = b"", host: str = HOST) -> RequestHead:
    return head_of("POST", query, [("host", host), ("content-type", FORM), *lines])


def check(
    params: Pairs, *, held: KeyRing = KEYS, now: float = NOW, head: RequestHead | None = None
) -> AccessKey | Rejection:
    return check_v1(head or form_head(), b"the form", params, held, now)


def signed(
    *more: tuple[str, str], method: str = "HmacSHA256", without: str | None = None, **how: Any
) -> Pairs:
    """Return parameters with their signature, as a form."""
    params = tuple(pair for pair in (*COMMON, ("SignatureMethod", method), *more) if pair[0] != without)
    digest = {"HmacSHA256": "sha256"}.get(method, "sha1")
    return (*params, ("Signature", v1("POST", params, digest=digest, **how)))


def test_w1_the_documentation_sample_verifies() -> None:
    """The printed vector of CAM 14.4."""
    query = (
        "Action=DescribeInstances&InstanceIds.0=ins-09dx96dg&Limit=20&Nonce=11886&Offset=0&Region=ap-guangzhou"
        "&SecretId=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE&Timestamp=1465185768&Version=2017-03-12"
    )
    held = parse_keys(
        b'{"AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE":'
        b'{"secret_key":"Gu5t9xGARNpq86cd98joQYCN3EXAMPLE","principal":"uin/100000000101"}}',
        "keys.json",
    )
    params = (*parse_qsl(query), ("Signature", "EliP9YW3pW28FpsEdkXt/+WcGeI="))
    head = head_of("GET", b"", [("host", "cvm.tencentcloudapi.com")])
    assert isinstance(check_v1(head, b"", params, held, 1465185768.0), AccessKey)
    other = (*parse_qsl(query), ("Signature", "EliP9YW3pW28FpsEdkXt/+WcGeA="))
    assert check_v1(head, b"", other, held, 1465185768.0) is rejection("signature_invalid")


def test_w2_the_form_with_sha256_verifies() -> None:
    text = (
        "Action=DescribeOpenStatus&Nonce=1&Region=ap-guangzhou&SecretId=AKIDEXAMPLE"
        "&SignatureMethod=HmacSHA256&Timestamp=1700000000&Version=2022-12-29"
    )
    held = parse_keys(
        b'{"AKIDEXAMPLE":{"secret_key":"EXAMPLE-SECRET-KEY-0000000000000","principal":"uin/100000000101"}}',
        "keys.json",
    )
    params = (*parse_qsl(text), ("Signature", "V6MYzgxvgJbxsKL7u9TcKoq1qxn/uLs2DLEoKAUhXyU="))
    assert isinstance(check(params, held=held), AccessKey)


@pytest.mark.parametrize("method", ["HmacSHA1", "HmacSHA256"])
def test_order_of_parameters_does_not_matter(method: str) -> None:
    params = signed(("B.1", "x"), ("B.0", "y & z"), method=method)
    assert isinstance(check(params), AccessKey)
    assert isinstance(check(tuple(reversed(params))), AccessKey)


def test_without_a_method_it_is_sha1() -> None:
    params = (*COMMON, ("Signature", v1("POST", COMMON, digest="sha1")))
    assert isinstance(check(params), AccessKey)
    params = (*COMMON, ("Signature", v1("POST", COMMON, digest="sha256")))
    assert check(params) is rejection("auth_malformed")


SPELLINGS = [
    pytest.param("A_Name", "A.Name", id="turned into dots, as the Python SDK signs"),
    pytest.param("A_Name", "A_Name", id="as sent, as the Node SDK signs"),
]


@pytest.mark.parametrize(("sent", "as_signed"), SPELLINGS)
def test_underscores_in_names(sent: str, as_signed: str) -> None:
    signature = v1("POST", (*COMMON, (as_signed, "x")), digest="sha1")
    assert isinstance(check((*COMMON, (sent, "x"), ("Signature", signature))), AccessKey)


HOSTS = [
    pytest.param(HOST, HOST, id="as documented"),
    pytest.param(f"{HOST}:8080", f"{HOST}:8080", id="with its port"),
    pytest.param(f"{HOST}:8080", HOST, id="without its port"),
    pytest.param(HOST.upper(), HOST.upper(), id="in capitals as sent"),
    pytest.param(HOST.upper(), HOST, id="in capitals, signed in lower case"),
    pytest.param(f"{HOST.upper()}:8080", HOST.upper(), id="in capitals, signed without its port"),
    pytest.param(f"{HOST.upper()}:8080", HOST, id="in capitals, signed in lower case without its port"),
    pytest.param(f"{HOST.upper()}:8080", f"{HOST}:8080", id="in capitals, signed in lower case with it"),
]


@pytest.mark.parametrize(("sent", "as_signed"), HOSTS)
def test_hosts_as_clients_sign_them(sent: str, as_signed: str) -> None:
    assert isinstance(check(signed(host=as_signed), head=form_head(host=sent)), AccessKey)


def test_another_host_is_invalid() -> None:
    head = form_head(host="aiart.ap-x1.tencentcloudapi.com")
    assert check(signed(), head=head) is rejection("signature_invalid")


AMBIGUOUS = [
    pytest.param(signed(("Aa", "x&Ab=y")), id="T80 a value that looks like a second parameter"),
    pytest.param(signed(("A_B", "1"), ("A.B", "1")), id="T80 names that differ in `_` and `.` alone"),
    pytest.param((*signed(), ("Nonce", "1")), id="a name twice"),
    pytest.param((*signed(), ("Signature", "x")), id="the signature twice"),
    pytest.param(signed(("secretid", "AKIDother")), id="a second secret id in another letter case"),
    pytest.param((*signed(), ("SIGNATURE", "x")), id="a second signature in another letter case"),
    pytest.param(signed(("", "x")), id="an empty name"),
    pytest.param(signed(("a=b", "x")), id="an equals sign in a name"),
    pytest.param(signed(("a&b", "x")), id="an ampersand in a name"),
    pytest.param(signed(("näme", "x")), id="a name that is not ASCII"),
    pytest.param(signed(("a\n", "x")), id="a line break in a name"),
]


@pytest.mark.parametrize("params", AMBIGUOUS)
def test_parameters_that_can_be_read_in_two_ways_are_refused(params: Pairs) -> None:
    assert check(params) is rejection("signature_v1_ambiguous")
    assert claim_v1(form_head(), b"", params, KEYS, NOW) is rejection("signature_v1_ambiguous")


# a further parameter, whether the text that is signed has one reading only
READINGS = [
    pytest.param(("azAZ09_.-", "x"), True, id="every sign of a name"),
    pytest.param(("a" * 256, "x"), True, id="a name of 256 characters"),
    pytest.param(("a" * 257, "x"), False, id="a name of 257 characters"),
    pytest.param(("a*b", "x"), False, id="a star in a name"),
    pytest.param(("A", "x&"), True, id="an ampersand at the end of a value"),
    pytest.param(("A", "x&=y"), True, id="an ampersand and an equals sign with no name between"),
    pytest.param(("A", "x&b c=y"), True, id="a blank in what would be a name"),
    pytest.param(("A", "x&y"), True, id="no equals sign behind an ampersand"),
    pytest.param(("A", "x=y"), True, id="an equals sign"),
    pytest.param(("A", "x&b:c=y"), True, id="a colon in what would be a name"),
    pytest.param(("A", "x&MiDdLe5=y"), False, id="letters of both cases and a digit in a value"),
    pytest.param(("A", "x&azAZ09_.-=y"), False, id="every sign of a name in a value"),
    pytest.param(("A", "&b="), False, id="a whole value that looks like a parameter"),
    pytest.param(("A", "x&" + "b" * 256 + "="), False, id="a name of 256 characters in a value"),
    pytest.param(("A", "x&" + "b" * 257 + "="), True, id="a name of 257 characters in a value"),
]


@pytest.mark.parametrize(("parameter", "one_reading"), READINGS)
def test_t80_what_may_stand_in_names_and_values(parameter: tuple[str, str], one_reading: bool) -> None:
    found = check(signed(parameter))
    assert isinstance(found, AccessKey) if one_reading else found is rejection("signature_v1_ambiguous")


# method, signature, whether it is one by its form
SIGNATURE_FORMS = [
    pytest.param("HmacSHA1", "azAZ09+/" + "A" * 19 + "=", True, id="SHA1, every sign"),
    pytest.param("HmacSHA1", "A" * 26 + "=", False, id="SHA1, a letter less"),
    pytest.param("HmacSHA1", "A" * 28 + "=", False, id="SHA1, a letter more"),
    pytest.param("HmacSHA1", "A" * 27, False, id="SHA1, no equals sign"),
    pytest.param("HmacSHA1", "A" * 26 + "-=", False, id="SHA1, a sign of another alphabet"),
    pytest.param("HmacSHA1", "A" * 43 + "=", False, id="SHA1, as long as SHA256"),
    pytest.param("HmacSHA256", "azAZ09+/" + "A" * 35 + "=", True, id="SHA256, every sign"),
    pytest.param("HmacSHA256", "A" * 42 + "=", False, id="SHA256, a letter less"),
    pytest.param("HmacSHA256", "A" * 44 + "=", False, id="SHA256, a letter more"),
    pytest.param("HmacSHA256", "A" * 43, False, id="SHA256, no equals sign"),
    pytest.param("HmacSHA256", "A" * 42 + "_=", False, id="SHA256, a sign of another alphabet"),
    pytest.param("HmacSHA256", "A" * 27 + "=", False, id="SHA256, as long as SHA1"),
]


@pytest.mark.parametrize(("method", "signature", "good"), SIGNATURE_FORMS)
def test_the_form_of_a_signature(method: str, signature: str, good: bool) -> None:
    params = (*COMMON, ("SignatureMethod", method), ("Signature", signature))
    detail = "signature_invalid" if good else "auth_malformed"
    assert check(params) is rejection(detail)
    if not good:
        assert claim_v1(form_head(), b"", params, KEYS, NOW) is rejection(detail)


# host of the request, name of a parameter, in how many texts its value is signed
TEXTS = [
    pytest.param(HOST, "A", 1, id="one host, one spelling"),
    pytest.param(f"{HOST}:8080", "A", 2, id="a host with a port"),
    pytest.param(f"{HOST.upper()}:8080", "A", 4, id="a host in capitals with a port"),
    pytest.param(HOST, "A_B", 2, id="a name with an underscore"),
]


@pytest.mark.parametrize(("host", "name", "texts"), TEXTS)
def test_a_form_that_costs_too_much_to_sign_is_invalid(host: str, name: str, texts: int) -> None:
    usual = sum(len(value) for _, value in signed()[:-1])
    most = (3 << 20) // texts - usual
    for size, good in ((most, True), (most + 1, False)):
        found = check(signed((name, "x" * size), host=host), head=form_head(host=host))
        assert isinstance(found, AccessKey) if good else found is rejection("signature_invalid")


def test_a_claim_is_judged_like_a_signature() -> None:
    def claim(params: Pairs, held: KeyRing = KEYS, now: float = NOW) -> AccessKey | Rejection:
        return claim_v1(form_head(), b"", params, held, now)

    unknown = tuple((n, "AKIDunknown" if n == "SecretId" else v) for n, v in signed())
    assert claim(unknown) is rejection("secret_id_unknown")
    assert claim(signed(), now=NOW + 301) is rejection("signature_expired")
    assert claim(signed(), keys(expires=NOW)) is rejection("key_expired")
    assert claim(signed(), keys(token="T")) is rejection("token_invalid")
    assert isinstance(claim(signed(("Token", "T")), keys(token="T")), AccessKey)


def test_t80_splice_is_refused_on_both_sides_or_invalid() -> None:
    honest = signed(("Aa", "x&Ab=y"))
    spliced = (*(pair for pair in honest if pair[0] != "Aa"), ("Aa", "x"), ("Ab", "y"))
    assert v1("POST", spliced, digest="sha1") == v1("POST", honest, digest="sha1")
    assert not isinstance(check(honest), AccessKey)


def test_values_that_only_look_like_text_are_no_ambiguity() -> None:
    assert isinstance(check(signed(("Prompt", "a & a dog=50%, x=y"))), AccessKey)


def test_what_the_signature_leaves_out_may_not_be_there() -> None:
    assert check(signed(), head=form_head(query=b"Limit=1")) is rejection("signature_v1_ambiguous")
    params = (*COMMON, ("Signature", v1("GET", COMMON, digest="sha1")))
    head = head_of("GET", b"", [("host", HOST)])
    assert isinstance(check_v1(head, b"", params, KEYS, NOW), AccessKey)
    assert isinstance(check_v1(head, None, params, KEYS, NOW), AccessKey)
    assert check_v1(head, b"x", params, KEYS, NOW) is rejection("signature_v1_ambiguous")


HEADS = [
    pytest.param([("authorization", "SKIP")], id="with an Authorization header"),
    pytest.param([("x-tc-timestamp", str(NOW))], id="with the timestamp of TC3"),
    pytest.param([("x-tc-token", "T")], id="with the token of TC3"),
    pytest.param([("x-tc-content-sha256", "UNSIGNED-PAYLOAD")], id="with the payload digest of TC3"),
    pytest.param([("x-tc-action", "TextToImage")], id="with the action of TC3, though it be the same"),
    pytest.param([("x-tc-version", "2022-12-29")], id="with the version of TC3"),
    pytest.param([("x-tc-region", "ap-guangzhou")], id="with the region of TC3"),
]


@pytest.mark.parametrize("lines", HEADS)
def test_dec_50_headers_of_tc3_exclude_v1(lines: list[tuple[str, str]]) -> None:
    assert check(signed(), head=form_head(lines)) is rejection("auth_malformed")


def test_json_is_no_form() -> None:
    head = head_of("POST", b"", [("host", HOST), ("content-type", JSON)])
    assert check(signed(), head=head) is rejection("auth_malformed")
    assert check(signed(), head=head_of("POST", b"", [("host", HOST)])) is rejection("auth_malformed")
    charset = head_of("POST", b"", [("host", HOST), ("content-type", FORM + "; charset=utf-8")])
    assert isinstance(check(signed(), head=charset), AccessKey)
    blank = head_of("POST", b"", [("host", HOST), ("content-type", FORM.upper() + " ;x")])
    assert isinstance(check(signed(), head=blank), AccessKey)


MALFORMED = [
    pytest.param(signed(without="SecretId"), id="no secret id"),
    *(
        pytest.param(tuple((n, secret_id if n == "SecretId" else v) for n, v in signed()), id=what)
        for secret_id, what in (
            ("AKID*", "a secret id with a star"),
            ("A" * 1025, "a secret id that is too long"),
        )
    ),
    pytest.param(signed(without="Timestamp"), id="no timestamp"),
    pytest.param(signed()[:-1], id="no signature"),
    pytest.param((*signed()[:-1], ("Signature", "")), id="an empty signature"),
    pytest.param((*signed()[:-1], ("Signature", "é" * 44)), id="a signature that is not ASCII"),
    pytest.param(
        (*signed()[:-1], ("Signature", signed()[-1][1] + "\n\n")), id="T124 two line breaks behind it"
    ),
    pytest.param((*signed()[:-1], ("Signature", signed()[-1][1] + "\r\n")), id="T124 CR and LF behind it"),
    pytest.param((*signed()[:-1], ("Signature", signed()[-1][1] + "\r")), id="T124 a CR behind it"),
    pytest.param((*signed()[:-1], ("Signature", signed()[-1][1] + " ")), id="T124 a blank behind it"),
    pytest.param((*signed()[:-1], ("Signature", "\n" + signed()[-1][1])), id="T124 a line break in front"),
    pytest.param(
        (*signed()[:-1], ("Signature", signed()[-1][1][:9] + "\n" + signed()[-1][1][9:])),
        id="T124 a line break in the middle",
    ),
    pytest.param((*signed()[:-1], ("Signature", "\n")), id="T124 a line break alone"),
    pytest.param(signed(method="HmacMD5"), id="another method"),
    pytest.param(signed(method="hmacsha1"), id="a method in lower case"),
    pytest.param(signed(method=""), id="an empty method"),
    pytest.param(signed(method="TC3-HMAC-SHA256"), id="the method of TC3"),
]


@pytest.mark.parametrize("method", ["HmacSHA1", "HmacSHA256"])
def test_t124_one_line_break_behind_the_signature_is_no_part_of_it(method: str) -> None:
    """The Base64 of the Ruby SDK ends in one."""
    good = signed(method=method)
    ruby = (*good[:-1], ("Signature", good[-1][1] + "\n"))
    assert isinstance(check(ruby), AccessKey)
    assert isinstance(claim_v1(form_head(), b"the form", ruby, KEYS, NOW), AccessKey)
    for params in (good, ruby):
        assert check((*params, ("Limit", "1"))) is rejection("signature_invalid")


def test_t124_a_line_break_behind_another_value_is_signed_as_sent() -> None:
    assert isinstance(check(signed(("Prompt", "a cat\n"))), AccessKey)
    good = signed(("Prompt", "a cat"))
    broken = tuple((name, value + "\n" if name == "Prompt" else value) for name, value in good)
    assert check(broken) is rejection("signature_invalid")


@pytest.mark.parametrize("name", ["Region", "Version", "Token", "Language"])
def test_t122_an_empty_common_parameter_is_signed_as_it_stands(name: str) -> None:
    assert isinstance(check(signed((name, ""), without=name)), AccessKey)
    absent = signed(without=name)
    assert check((*absent, (name, ""))) is rejection("signature_invalid")


@pytest.mark.parametrize("name", ["x-tc-region", "x-tc-version", "x-tc-token"])
def test_t122_an_empty_header_of_tc3_beside_v1_is_there(name: str) -> None:
    assert check(signed(), head=form_head([(name, "")])) is rejection("auth_malformed")


@pytest.mark.parametrize("params", MALFORMED)
def test_parameters_out_of_grammar_are_malformed(params: Pairs) -> None:
    assert check(params) is rejection("auth_malformed")


@pytest.mark.parametrize(("after", "good"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_t75_timestamp_is_good_for_300_seconds_both_ways(after: int, good: bool) -> None:
    found = check(signed(), now=NOW + after)
    assert isinstance(found, AccessKey) if good else found is rejection("signature_expired")


def test_timestamp_is_canonical() -> None:
    for text in (
        f"0{NOW}",
        f" {NOW}",
        f"{NOW}.5",
        "1_700_000_000",
        "\uff11\uff17" + "\uff10" * 8,
        "1" * 5000,
    ):
        params = tuple((n, text if n == "Timestamp" else v) for n, v in signed())
        assert check(params) is rejection("auth_malformed")


def test_token_is_signed_and_must_be_the_key_s() -> None:
    held = keys(token="EXAMPLE-TOKEN")
    assert isinstance(check(signed(("Token", "EXAMPLE-TOKEN")), held=held), AccessKey)
    assert check(signed(("Token", "OTHER")), held=held) is rejection("token_invalid")
    assert check(signed(), held=held) is rejection("token_invalid")
    assert check(signed(("Token", "EXAMPLE-TOKEN"))) is rejection("token_invalid")
    assert check(signed(), held=keys(expires=NOW)) is rejection("key_expired")


def test_t81_only_its_code_distinguishes_an_unknown_key() -> None:
    params = tuple((n, "AKIDunknown" if n == "SecretId" else v) for n, v in signed())
    assert check(params) is rejection("secret_id_unknown")
    assert check(signed(), held=keys(enabled=False)) is rejection("secret_id_unknown")


def test_claimed_key_is_believed_without_its_signature() -> None:
    wrong = (*signed()[:-1], ("Signature", "A" * 43 + "="))
    assert check(wrong) is rejection("signature_invalid")
    assert isinstance(claim_v1(form_head(), b"", wrong, KEYS, NOW), AccessKey)


@pytest.mark.parametrize(
    ("params", "there"),
    [
        ((("SecretId", "x"),), True),
        ((("Signature", "x"),), True),
        ((("secretid", "x"),), True),
        ((("\u017fIGNATURE", "x"),), True),
        ((("SecretIds", "x"), ("Limit", "1")), False),
        ((), False),
    ],
)
def test_what_counts_as_a_v1_signature(params: Pairs, there: bool) -> None:
    assert carries_v1(params) is there
