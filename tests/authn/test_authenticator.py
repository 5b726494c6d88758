"""Who calls: T69 to T74 and T81 to T84, in each mode."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import pytest

from camguard.authn.authenticator import (
    CLAIMED,
    Authenticator,
    authenticator,
    named_secret_id,
    signature_label,
)
from camguard.authn.credentials import Caller, KeyRing
from camguard.errors import SettingsError
from camguard.request.head import RequestHead, read_head
from camguard.request.params import parse_params
from camguard.request.rejection import REJECTIONS, Rejection, rejection
from camguard.settings.model import IdentityMode, IdentitySettings
from camguard.telemetry.exposition import SIGNATURE
from tests.authn.signing import (
    BODY,
    FORM,
    HOST,
    JSON,
    NOW,
    RULES,
    SECRET_ID,
    authorization,
    head_of,
    keys,
    tc3,
    tc3_head,
    v1,
)

ALICE, BOB = "uin/100000000101", "uin/100000000102"
HEADER = "x-camguard-principal"


class Keys:
    """A key source whose keys a test may replace."""

    def __init__(self, held: KeyRing) -> None:
        self.keys = held


SOURCE = Keys(keys())


def authenticator_of(
    mode: IdentityMode = "signature", source: Keys | None = SOURCE, **rules: Any
) -> Authenticator:
    return authenticator(IdentitySettings(mode=mode, **rules), source)


def identified(
    authn: Authenticator,
    head: RequestHead,
    *,
    body: bytes | None = BODY,
    params: tuple[tuple[str, str], ...] = (),
    trusted: bool = True,
    now: float = NOW,
) -> Caller | Rejection:
    return authn.caller(head, "aiart", body, params, trusted, now)


def answer(found: Caller | Rejection) -> str | None:
    """Return how a table writes an answer: the detail of a refusal, or the principal."""
    return found.detail if isinstance(found, Rejection) else found.principal


GOOD = authorization(tc3())
WRONG = authorization("0" * 64)
UNKNOWN_ID = GOOD.replace(SECRET_ID, "AKIDunknown")


class Row(NamedTuple):
    """What one request comes to, in each mode."""

    signature: str
    header: str
    either: str
    claimed: str


REQUESTS = [
    pytest.param(
        None,
        None,
        Row("principal_missing", "principal_missing", "principal_missing", "principal_missing"),
        id="nothing: there is no anonymous principal",
    ),
    pytest.param(
        None,
        ALICE,
        Row("principal_missing", ALICE, ALICE, "principal_missing"),
        id="the header of a trusted proxy alone",
    ),
    pytest.param(GOOD, None, Row(ALICE, "principal_missing", ALICE, ALICE), id="a good signature alone"),
    pytest.param(
        WRONG,
        None,
        Row("signature_invalid", "signature_invalid", "signature_invalid", ALICE),
        id="a wrong signature alone",
    ),
    pytest.param(
        UNKNOWN_ID,
        None,
        Row("secret_id_unknown", "secret_id_unknown", "secret_id_unknown", "secret_id_unknown"),
        id="an unknown secret id",
    ),
    pytest.param(GOOD, ALICE, Row(ALICE, ALICE, ALICE, ALICE), id="both, and they agree"),
    pytest.param(
        GOOD,
        BOB,
        Row("principal_conflict", "principal_conflict", "principal_conflict", "principal_conflict"),
        id="both, and they differ",
    ),
    pytest.param(
        WRONG,
        ALICE,
        Row("signature_invalid", "signature_invalid", "signature_invalid", ALICE),
        id="T73 a wrong signature beside the header",
    ),
    pytest.param(
        UNKNOWN_ID,
        ALICE,
        Row("secret_id_unknown", "secret_id_unknown", "secret_id_unknown", "secret_id_unknown"),
        id="T73 an unknown key beside the header",
    ),
    pytest.param(
        "SKIP",
        ALICE,
        Row("auth_malformed", "auth_malformed", "auth_malformed", "auth_malformed"),
        id="T77 SKIP beside the header",
    ),
    pytest.param(
        "SKIP",
        None,
        Row("auth_malformed", "auth_malformed", "auth_malformed", "auth_malformed"),
        id="T77 SKIP alone",
    ),
]


@pytest.mark.parametrize(("auth", "header", "expected"), REQUESTS)
@pytest.mark.parametrize("mode", Row._fields)
def test_modes(mode: IdentityMode, auth: str | None, header: str | None, expected: Row) -> None:
    head = tc3_head("", x_camguard_principal=header, authorization=auth)
    assert answer(identified(authenticator_of(mode), head)) == getattr(expected, mode)


@pytest.mark.parametrize("mode", Row._fields)
@pytest.mark.parametrize("auth", [None, GOOD], ids=["alone", "beside a good signature"])
def test_t69_header_of_an_untrusted_peer_is_refused(mode: IdentityMode, auth: str | None) -> None:
    head = tc3_head("", x_camguard_principal=ALICE, authorization=auth)
    assert identified(authenticator_of(mode), head, trusted=False) is rejection("identity_header_untrusted")


@pytest.mark.parametrize("mode", ["signature", "either", "claimed"])
def test_signature_of_an_untrusted_peer_is_as_good_as_any(mode: IdentityMode) -> None:
    assert answer(identified(authenticator_of(mode), tc3_head(), trusted=False)) == ALICE


SPELLINGS = [
    pytest.param([(HEADER, ALICE), (HEADER, ALICE)], "header_duplicate", id="T70 two lines, though equal"),
    pytest.param(
        [(HEADER, ALICE), ("x_camguard_principal", BOB)], "header_alias", id="T70 its twin with `_`"
    ),
    pytest.param([("x_camguard_principal", ALICE)], "header_alias", id="T71 with `_` alone"),
    pytest.param([("x-camguard_principal", ALICE)], "header_alias", id="T71 with one `_`"),
    pytest.param([("x.camguard.principal", ALICE)], "header_alias", id="T71 with dots, which CGI folds"),
]


@pytest.mark.parametrize(("lines", "expected"), SPELLINGS)
def test_identity_header_is_spelled_one_way_and_stands_once(
    lines: list[tuple[str, str]], expected: str
) -> None:
    headers = [(name.encode(), value.encode()) for name, value in [("host", HOST), *lines]]
    scope = {"method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "headers": headers}
    assert read_head(scope, RULES) is rejection(expected)


def test_t70_identity_header_ends_here_whoever_sent_it() -> None:
    head = tc3_head(x_camguard_principal=ALICE, x_webauth_user="root", remote_user="root")
    gone = {HEADER.encode(), b"x-webauth-user", b"remote-user"}
    assert gone <= {name for name, _ in head.lines}
    assert not gone & {name for name, _ in head.onward()}


def test_t76_wall_clock_that_steps_is_followed() -> None:
    authn = authenticator_of(bind_signatures=True)
    for now, expected in (
        (NOW, ALICE),
        (NOW + 3600, "signature_expired"),
        (NOW - 3600, "signature_expired"),
        (NOW - 10, ALICE),
        (NOW + 10, ALICE),
    ):
        assert answer(identified(authn, tc3_head(), now=now)) == expected


HEADERS = [
    pytest.param("uin/100000000101", "uin/100000000101", id="a user"),
    pytest.param("100000000101", "uin/100000000101", id="bare digits are a user"),
    pytest.param("12345", "uin/12345", id="five digits"),
    pytest.param("1" * 20, "uin/" + "1" * 20, id="twenty digits"),
    pytest.param("role/billing-bot", "role/billing-bot", id="a role"),
    pytest.param("role/A_b+c=d,e.f@g-h", "role/A_b+c=d,e.f@g-h", id="every sign a role's name may have"),
    pytest.param("role/" + "r" * 128, "role/" + "r" * 128, id="a role of 128 letters"),
    *(
        pytest.param(identity, "identity_header_invalid", id=f"T72 {what}")
        for identity, what in (
            ("", "empty"),
            ("1234", "four digits"),
            ("1" * 21, "21 digits"),
            ("uin/1234", "four digits of a user"),
            ("uin/", "a user without digits"),
            ("role/", "a role without a name"),
            ("role/" + "r" * 129, "a role of 129 letters"),
            ("role/a b", "a blank"),
            ("role/a/b", "a slash"),
            ("role/*", "a wildcard"),
            ("role/${uin}", "a variable"),
            ("role/x'; DROP TABLE keys; --", "SQL"),
            ("uin/100000000101,uin/100000000102", "a list"),
            ("uin/100000000101 ", "a blank behind"),
            (" uin/100000000101", "a blank in front"),
            ("UIN/100000000101", "capitals"),
            ("user/alice", "another kind"),
            ("uin/١٢٣٤٥", "digits of another script"),
            ("role/ü", "a letter that is not ASCII"),
            ("root", "a word"),
        )
    ),
]


@pytest.mark.parametrize(("identity", "expected"), HEADERS)
def test_grammar_of_the_identity_header(identity: str, expected: str) -> None:
    head = tc3_head("", x_camguard_principal=identity, authorization=None)
    authn = authenticator_of("header")
    assert answer(identified(authn, head)) == expected
    assert answer(identified(authn, head)) == expected, "the second time it is cached"


def test_header_is_cached_for_trusted_peers_only() -> None:
    authn = authenticator_of("header")
    head = tc3_head("", x_camguard_principal=ALICE, authorization=None)
    assert answer(identified(authn, head)) == ALICE
    assert identified(authn, head, trusted=False) is rejection("identity_header_untrusted")


def test_proved_identity_has_the_result_of_the_check() -> None:
    session = {"version": "2.0", "statement": {"effect": "allow", "action": "aiart:*", "resource": "*"}}
    source = Keys(keys(token="T", session_policy=session))
    found = identified(authenticator_of(source=source), tc3_head(x_tc_token="T"))
    assert isinstance(found, Caller)
    assert (found.secret_id, found.signature) == ("AKIDz8…MPLE", "valid")
    assert found.session is not None


def test_session_of_a_temporary_key_holds_beside_the_header_too() -> None:
    session = {"version": "2.0", "statement": {"effect": "allow", "action": "aiart:*", "resource": "*"}}
    source = Keys(keys(session_policy=session))
    for mode in ("header", "either"):
        found = identified(authenticator_of(mode, source), tc3_head(x_camguard_principal=ALICE))
        assert isinstance(found, Caller)
        assert found.session is not None


def test_caller_named_by_a_header_has_neither_key_nor_signature() -> None:
    found = identified(
        authenticator_of("either"), tc3_head("", x_camguard_principal=ALICE, authorization=None)
    )
    assert found == Caller(ALICE, None, None, None)


def test_without_keys_the_header_mode_leaves_signatures_to_others() -> None:
    authn = authenticator_of("header", None)
    assert answer(identified(authn, tc3_head(WRONG, x_camguard_principal=ALICE))) == ALICE
    assert identified(authn, tc3_head()) is rejection("principal_missing")
    assert not authn.needs_body(tc3_head())


@pytest.mark.parametrize("mode", ["signature", "either", "claimed"])
def test_other_modes_need_keys(mode: IdentityMode) -> None:
    with pytest.raises(SettingsError) as caught:
        authenticator_of(mode, None)
    (problem,) = caught.value.problems
    assert (problem.where, problem.code) == ("identity.keys_file", "SettingsError")
    assert problem.message == f'identity.mode "{mode}" needs a keys file'


def test_claimed_mode_warns_loudly_and_marks_its_callers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for mode in ("signature", "header", "either"):
            authenticator_of(mode)
        authn = authenticator_of("claimed")
    assert caplog.messages == [CLAIMED]
    found = identified(authn, tc3_head(WRONG), body=None)
    assert isinstance(found, Caller)
    assert found.signature == "claimed"
    assert identified(authn, tc3_head(WRONG), now=NOW + 301) is rejection("signature_expired")


COMMON = (("Action", "TextToImage"), ("Nonce", "1"), ("SecretId", SECRET_ID), ("Timestamp", str(NOW)))
V1 = (*COMMON, ("Signature", v1("POST", COMMON, digest="sha1")))


def test_v1_is_off_unless_allowed() -> None:
    head = head_of("POST", b"", [("host", HOST), ("content-type", FORM)])
    assert identified(authenticator_of(), head, params=V1) is rejection("signature_v1_disabled")
    assert answer(identified(authenticator_of(allow_v1=True), head, params=V1)) == ALICE
    assert answer(identified(authenticator_of("claimed", allow_v1=True), head, params=V1)) == ALICE


WRONG_V1 = (*COMMON, ("Signature", v1("POST", COMMON, secret="another secret", digest="sha1")))
# Parameters, mode; the principal and the result of the check, or the detail of the refusal
V1_SIGNATURES = [
    *(
        pytest.param(params, mode, header, expected, id=f"{what}, mode {mode}")
        for mode, header in (("signature", None), ("either", None), ("header", ALICE))
        for params, expected, what in (
            (V1, (ALICE, "valid"), "a good v1 signature"),
            (WRONG_V1, "signature_invalid", "a wrong v1 signature"),
        )
    ),
    pytest.param(V1, "claimed", None, (ALICE, "claimed"), id="a good v1 signature that is only believed"),
    pytest.param(WRONG_V1, "claimed", None, (ALICE, "claimed"), id="a wrong one that is only believed"),
    pytest.param(V1, "either", BOB, "principal_conflict", id="a good v1 signature beside another's name"),
]


@pytest.mark.parametrize(("params", "mode", "header", "expected"), V1_SIGNATURES)
def test_a_v1_signature_is_verified_wherever_signatures_are(
    params: tuple[tuple[str, str], ...], mode: IdentityMode, header: str | None, expected: object
) -> None:
    named = [] if header is None else [(HEADER, header)]
    head = head_of("POST", b"", [("host", HOST), ("content-type", FORM), *named])
    found = identified(authenticator_of(mode, allow_v1=True), head, params=params)
    assert (found.detail if isinstance(found, Rejection) else (found.principal, found.signature)) == expected


def test_a_body_that_was_not_delivered_proves_nothing() -> None:
    authn = authenticator_of(allow_unsigned_payload=True)
    assert identified(authn, tc3_head(), body=None) is rejection("body_unavailable")
    assert answer(identified(authn, tc3_head(method="GET"), body=None)) == ALICE


@pytest.mark.parametrize("mode", Row._fields)
@pytest.mark.parametrize("allowed", [True, False], ids=["v1 allowed", "v1 off"])
@pytest.mark.parametrize("left", ["SecretId", "Signature"])
def test_t73_half_a_v1_signature_is_no_reason_to_look_away(
    mode: IdentityMode,
    allowed: bool,
    left: str,
) -> None:
    params = tuple(pair for pair in V1 if pair[0] != left)
    lines = [("host", HOST), ("content-type", FORM), (HEADER, ALICE)]
    found = identified(authenticator_of(mode, allow_v1=allowed), head_of("POST", b"", lines), params=params)
    assert found is rejection("auth_malformed" if allowed else "signature_v1_disabled")


@pytest.mark.parametrize("query", [b"SecretId=x", b"%53ignature=x", b"Limit=1&SecretId=x"])
def test_t73_v1_signature_in_the_query_beside_a_form_is_found(query: bytes) -> None:
    head = head_of("POST", query, [("host", HOST), ("content-type", FORM), (HEADER, ALICE)])
    for params in ((("Limit", "1"),), V1):
        found = identified(authenticator_of("header", allow_v1=True), head, params=params)
        assert found is rejection("signature_v1_ambiguous")


@pytest.mark.parametrize("query", [b"Limit=1", b"a", b"&", b"a=&b"])
def test_a_query_without_a_v1_signature_beside_a_form_is_none(query: bytes) -> None:
    head = head_of("POST", query, [("host", HOST), ("content-type", FORM), (HEADER, ALICE)])
    assert answer(identified(authenticator_of("header"), head)) == ALICE


def test_t73_a_query_that_cannot_be_read_may_hold_a_v1_signature() -> None:
    head = head_of("POST", b"a=%zz", [("host", HOST), ("content-type", FORM), (HEADER, ALICE)])
    assert identified(authenticator_of("header"), head) is rejection("signature_v1_disabled")


def test_ordinary_parameters_are_no_signature() -> None:
    params = (("Limit", "1"), ("SecretIds", "x"))
    head = tc3_head("", x_camguard_principal=ALICE, authorization=None)
    assert answer(identified(authenticator_of("header"), head, params=params)) == ALICE
    assert answer(identified(authenticator_of(), tc3_head(), params=params)) == ALICE


def test_two_signatures_in_one_request_are_refused() -> None:
    assert identified(authenticator_of(allow_v1=True), tc3_head(), params=V1) is rejection("auth_malformed")
    assert identified(authenticator_of(allow_v1=True), tc3_head(), params=(("SecretId", "x"),)) is rejection(
        "auth_malformed"
    )


@pytest.mark.parametrize("mode", ["signature", "either", "claimed"])
def test_t131_stale_keys_prove_nothing(mode: IdentityMode) -> None:
    now = [False]
    authn = authenticator(IdentitySettings(mode=mode), SOURCE, lambda: now[0])
    assert answer(identified(authn, tc3_head())) == ALICE
    now[0] = True
    assert identified(authn, tc3_head()) is rejection("policy_unavailable")
    early = authn.claim(tc3_head(), "aiart", (), True, False, NOW)
    assert early is rejection("policy_unavailable")
    head = tc3_head("", x_camguard_principal=ALICE, authorization=None)
    assert answer(identified(authn, head)) == (ALICE if mode == "either" else "principal_missing")


def test_t131_stale_keys_prove_no_v1_signature() -> None:
    params = (("Signature", "x"), ("SecretId", SECRET_ID))
    rules = IdentitySettings(mode="signature", allow_v1=True)
    authn = authenticator(rules, SOURCE, lambda: True)
    head = tc3_head("", authorization=None)
    assert identified(authn, head, params=params) is rejection("policy_unavailable")


def test_t82_revoked_key_is_refused_at_once() -> None:
    source = Keys(keys())
    authn = authenticator_of(source=source)
    assert answer(identified(authn, tc3_head())) == ALICE
    source.keys = keys(enabled=False)
    assert identified(authn, tc3_head()) is rejection("secret_id_unknown")
    source.keys = keys(secret_key="another secret".replace(" ", "-") + "-00")
    assert identified(authn, tc3_head()) is rejection("signature_invalid")
    source.keys = keys(principal=BOB)
    assert answer(identified(authn, tc3_head())) == BOB


@pytest.mark.parametrize(
    "line",
    ["x-camguard-verified", "x-middleware-subrequest", "x-authenticated", "cookie", "user-agent"],
)
def test_t84_no_header_switches_the_check_off(line: str) -> None:
    lines = [("host", HOST), ("content-type", JSON), (line, "true")]
    assert identified(authenticator_of(), head_of("POST", b"", lines)) is rejection("principal_missing")


BODIES = [
    pytest.param("signature", {}, True, id="a signed POST"),
    pytest.param("header", {}, True, id="a signed POST, header mode with keys"),
    pytest.param("claimed", {}, False, id="a signed POST, claimed"),
    pytest.param("signature", {"method": "GET"}, False, id="a signed GET"),
    pytest.param("signature", {"authorization": None}, False, id="a POST without a signature"),
    pytest.param("signature", {"x_tc_content_sha256": "UNSIGNED-PAYLOAD"}, False, id="an unsigned payload"),
]


@pytest.mark.parametrize(("mode", "changes", "needed"), BODIES)
def test_body_is_needed_where_a_signature_covers_it(
    mode: IdentityMode, changes: dict[str, Any], needed: bool
) -> None:
    assert authenticator_of(mode).needs_body(tc3_head(**changes)) is needed


def test_bound_signature_needs_an_unsigned_body_too() -> None:
    head = tc3_head(x_tc_content_sha256="UNSIGNED-PAYLOAD")
    assert authenticator_of(bind_signatures=True, allow_unsigned_payload=True).needs_body(head)


REPLAYS = [
    pytest.param({}, True, id="the identical call, as an SDK's retry within one second"),
    pytest.param({"x_tc_action": "DeleteBudget"}, False, id="T74 another action"),
    pytest.param({"x_tc_version": "2019-01-01"}, False, id="T74 another version"),
    pytest.param({"x_tc_region": "ap-guangzhou"}, False, id="T74 a region"),
    pytest.param({}, True, id="T135 the same request, byte for byte"),
    pytest.param({"x_tc_traceid": "2"}, True, id="another trace id"),
]


@pytest.mark.parametrize(("change", "fits"), REPLAYS)
def test_replay_of_a_bound_signature(change: dict[str, str], fits: bool) -> None:
    authn = authenticator_of(bind_signatures=True)
    assert answer(identified(authn, tc3_head())) == ALICE
    found = identified(authn, tc3_head(**change), now=NOW + 1)
    assert answer(found) == ALICE if fits else found is rejection("signature_replay")
    unbound = authenticator_of()
    assert answer(identified(unbound, tc3_head())) == ALICE
    assert answer(identified(unbound, tc3_head(**change))) == ALICE, "off by default: honest clients do this"


def test_t121_other_blanks_around_a_bound_signature_do_not_free_it() -> None:
    authn = authenticator_of(bind_signatures=True)
    assert answer(identified(authn, tc3_head())) == ALICE
    for spaced in (GOOD.replace("SHA256 ", "SHA256  "), GOOD.replace(", ", ","), GOOD.replace(", S", " , S")):
        assert identified(authn, tc3_head(spaced, x_tc_action="Other")) is rejection("signature_replay")
        assert answer(identified(authn, tc3_head(spaced))) == ALICE


def test_replay_with_another_unsigned_body() -> None:
    authn = authenticator_of(bind_signatures=True, allow_unsigned_payload=True)
    head = tc3_head(authorization(tc3(payload=b"UNSIGNED-PAYLOAD")), x_tc_content_sha256="UNSIGNED-PAYLOAD")
    assert answer(identified(authn, head, body=b"one")) == ALICE
    assert answer(identified(authn, head, body=b"one")) == ALICE
    assert identified(authn, head, body=b"two") is rejection("signature_replay")


@pytest.mark.parametrize("blanks", [1, 2, 8])
def test_t121_the_secret_id_of_a_refused_request_is_found_behind_blanks(blanks: int) -> None:
    auth = WRONG.replace("SHA256 ", "SHA256" + " " * blanks)
    assert named_secret_id(tc3_head(auth), ()) == "AKIDz8…MPLE"
    assert named_secret_id(tc3_head(WRONG.replace("SHA256 ", "SHA256")), ()) is None
    assert named_secret_id(tc3_head(auth.replace("SHA256 ", "SHA256" + " " * 8)), ()) == (
        "AKIDz8…MPLE" if blanks == 1 else None
    )


# One signature over `multipart/form-data`; content types with which it comes, the last one's answer
UNBOUNDED = "multipart/form-data"
TYPES = [
    pytest.param(["; boundary=a", "; boundary=a"], ALICE, id="T135 the same again"),
    pytest.param(["; boundary=a", "; boundary=b"], "signature_replay", id="T134 another boundary"),
    pytest.param(
        ["; boundary=a", ";boundary=a"], "signature_replay", id="T134 the boundary spelled otherwise"
    ),
    pytest.param(["; boundary=a", "; boundary=b", "; boundary=a"], ALICE, id="T135 the first one again"),
]


@pytest.mark.parametrize(("boundaries", "expected"), TYPES)
def test_the_received_content_type_joins_the_binding(boundaries: list[str], expected: str) -> None:
    authn = authenticator_of(bind_signatures=True)
    auth = authorization(tc3(signed=(("content-type", UNBOUNDED), ("host", HOST))))
    heads = [tc3_head(auth, content_type=UNBOUNDED + each) for each in boundaries]
    assert [answer(identified(authn, head)) for head in heads][-1] == expected


def test_only_good_signatures_are_bound() -> None:
    authn = authenticator_of(bind_signatures=True)
    identified(authn, tc3_head(WRONG))
    identified(authn, tc3_head(UNKNOWN_ID))
    assert authn.replay_guard is not None
    assert len(authn.replay_guard) == 0
    identified(authn, tc3_head())
    assert len(authn.replay_guard) == 1


def test_every_rejection_of_a_signature_has_its_label() -> None:
    labels = {signature_label(rejection(detail)) for detail in REJECTIONS} - {None}
    assert labels | {"valid", "claimed"} == set(SIGNATURE)
    assert len(labels) + 2 == len(SIGNATURE)
    assert signature_label(rejection("principal_missing")) is None


@pytest.mark.parametrize(
    ("auth", "params", "shown"),
    [
        pytest.param(GOOD, (), "AKIDz8…MPLE", id="in Authorization"),
        pytest.param(UNKNOWN_ID, (), "AKID…", id="unknown"),
        pytest.param("SKIP", (), None, id="SKIP"),
        pytest.param('TC3-HMAC-SHA256 Credential=a"b/', (), None, id="out of grammar"),
        pytest.param(None, V1, "AKIDz8…MPLE", id="among the parameters"),
        pytest.param(None, (("SecretId", "a b\n"),), None, id="out of grammar among the parameters"),
        pytest.param(None, (), None, id="nowhere"),
    ],
)
def test_secret_id_for_the_record_of_a_refusal(
    auth: str | None, params: tuple[tuple[str, str], ...], shown: str | None
) -> None:
    assert named_secret_id(tc3_head("", authorization=auth), params) == shown


# Authorization, further lines of the head
CREDENTIALS: list[tuple[str | None, dict[str, str | None]]] = [
    (None, {}),
    ("x", {}),
    (GOOD, {}),
    (WRONG, {}),
    (UNKNOWN_ID, {}),
    (GOOD[:-1] + "x", {}),
    (GOOD, {"x_tc_timestamp": str(NOW - 301)}),
    (GOOD, {"x_tc_timestamp": "now"}),
    (authorization(tc3(), date="2023-11-13"), {}),
    (authorization(tc3(service="cvm"), service="cvm"), {}),
    (GOOD, {"x_tc_content_sha256": "UNSIGNED-PAYLOAD"}),
    (GOOD, {"x_tc_content_sha256": "0" * 64}),
    (GOOD, {"x_tc_token": "token"}),
]
BODIES_AND_PARAMS: list[tuple[bytes, tuple[tuple[str, str], ...]]] = [
    (BODY, ()),
    (b"", ()),
    (b"a=1", (("a", "1"),)),
    (b"v1", V1),
    (b"half", V1[:-1]),
]
QUERIES = [b"", b"Limit=1", b"SecretId=x", "&".join(f"{name}={value}" for name, value in V1).encode()]


@pytest.mark.parametrize("mode", Row._fields)
@pytest.mark.parametrize("rules", [{}, {"allow_v1": True}, {"allow_unsigned_payload": True}], ids=str)
@pytest.mark.parametrize("header", [None, ALICE, BOB, "?"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_what_the_head_shows_of_the_caller_holds_whatever_the_body_is(
    mode: IdentityMode, rules: dict[str, Any], header: str | None, method: str
) -> None:
    """A refusal by the head is one for every body; nothing else changes what the whole request comes to."""
    authn = authenticator_of(mode, **rules)
    counts = {"refusal": 0, "identity": 0, "open": 0}
    for auth, lines in CREDENTIALS:
        for query in QUERIES:
            for form in (False, True):
                if form and method == "GET":
                    continue
                extra = {"content_type": FORM} if form else {}
                every = {"x_camguard_principal": header, "authorization": auth, **lines, **extra}
                head = tc3_head("", method=method, query=query.decode(), **every)
                in_query = parse_params(query, 100, rejection("query_malformed"))
                assert isinstance(in_query, tuple)
                for trusted in (True, False):
                    claim = authn.claim(head, "aiart", in_query, trusted, form, NOW)
                    for body, in_form in BODIES_AND_PARAMS if method == "POST" else [(b"", ())]:
                        params = in_form if form else in_query
                        plain = authn.caller(head, "aiart", body, params, trusted, NOW)
                        if isinstance(claim, Rejection):
                            counts["refusal"] += 1
                            assert isinstance(plain, Rejection)
                            continue
                        counts["identity" if isinstance(claim, Caller) else "open"] += 1
                        assert authn.caller(head, "aiart", body, params, trusted, NOW, claim) == plain
    assert counts["refusal"] > 0


# Authorization, further lines, whether the body is a form, mode, v1 allowed, refusal (None: a body is needed)
BEFORE_THE_BODY = [
    pytest.param("x", {}, False, "signature", False, "auth_malformed", id="another grammar"),
    pytest.param("x", {}, True, "either", True, "auth_malformed", id="another grammar beside a form"),
    pytest.param(
        GOOD[:-1] + "x", {}, False, "signature", False, "auth_malformed", id="no hexadecimal digits"
    ),
    pytest.param(
        GOOD, {"x_tc_timestamp": None}, False, "signature", False, "auth_malformed", id="no timestamp"
    ),
    pytest.param(
        GOOD, {"x_tc_timestamp": str(NOW - 301)}, False, "signature", False, "signature_expired", id="too old"
    ),
    pytest.param(
        GOOD, {"x_tc_timestamp": str(NOW + 301)}, False, "signature", False, "signature_expired", id="too new"
    ),
    pytest.param(
        authorization(tc3(), date="2023-11-13"),
        {},
        False,
        "signature",
        False,
        "signature_invalid",
        id="another day",
    ),
    pytest.param(
        authorization(tc3(), service="cvm"),
        {},
        False,
        "signature",
        False,
        "service_conflict",
        id="another service",
    ),
    pytest.param(UNKNOWN_ID, {}, False, "signature", False, "secret_id_unknown", id="an unknown id"),
    pytest.param(UNKNOWN_ID, {}, False, "claimed", False, "secret_id_unknown", id="an unknown id, claimed"),
    pytest.param(
        GOOD,
        {"x_tc_content_sha256": "UNSIGNED-PAYLOAD"},
        False,
        "signature",
        False,
        "unsigned_payload",
        id="an unsigned payload",
    ),
    pytest.param(
        GOOD, {}, False, "header", False, "principal_missing", id="no header where it must be there"
    ),
    pytest.param(None, {}, True, "signature", False, "principal_missing", id="a form that cannot be signed"),
    pytest.param(None, {}, True, "either", False, "principal_missing", id="a form without a caller"),
    pytest.param(None, {}, True, "header", True, "principal_missing", id="a form, and no header"),
    pytest.param(None, {}, True, "signature", True, None, id="a form that may be signed"),
    pytest.param(None, {"x_camguard_principal": ALICE}, True, "either", False, None, id="a form of alice"),
    pytest.param(GOOD, {}, False, "signature", False, None, id="a good signature"),
    pytest.param(WRONG, {}, False, "signature", False, None, id="a wrong signature of a known id"),
    pytest.param(
        GOOD, {"x_tc_token": "x"}, False, "signature", False, None, id="a token: the signature first"
    ),
]


@pytest.mark.parametrize(("auth", "lines", "form", "mode", "v1_allowed", "detail"), BEFORE_THE_BODY)
def test_what_is_refused_before_the_body(
    auth: str | None,
    lines: dict[str, Any],
    form: bool,
    mode: IdentityMode,
    v1_allowed: bool,
    detail: str | None,
) -> None:
    every = {"authorization": auth, **({"content_type": FORM} if form else {}), **lines}
    claim = authenticator_of(mode, allow_v1=v1_allowed).claim(
        tc3_head("", **every), "aiart", (), True, form, NOW
    )
    assert (claim.detail if isinstance(claim, Rejection) else None) == detail


def test_a_disabled_key_is_refused_before_the_body_as_an_unknown_one() -> None:
    source = Keys(keys(enabled=False))
    claim = authenticator_of(source=source).claim(tc3_head(), "aiart", (), False, False, NOW)
    assert claim is rejection("secret_id_unknown")


def test_only_the_owner_of_a_key_learns_that_it_expired_or_needs_a_token() -> None:
    for fields in ({"expires": NOW - 1}, {"token": "T"}):
        authn = authenticator_of(source=Keys(keys(**fields)))
        claim = authn.claim(tc3_head(WRONG), "aiart", (), False, False, NOW)
        assert not isinstance(claim, Rejection)
        assert authn.caller(tc3_head(WRONG), "aiart", BODY, (), False, NOW, claim) is rejection(
            "signature_invalid"
        )
