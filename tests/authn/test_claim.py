"""What the head of a request shows of its caller before the body is there, and what is done with it later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from camguard.authn.authenticator import Authenticator, Claim, authenticator
from camguard.authn.credentials import Caller, KeyRing, SigningKey
from camguard.authn.tc3 import read_authorization, usual_request
from camguard.request.head import RequestHead
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import IdentityMode, IdentitySettings
from tests.authn.signing import BODY, FORM, HOST, JSON, NOW, SECRET_ID, authorization, keys, tc3, tc3_head, v1

ALICE, BOB = "uin/100000000101", "uin/100000000102"
GOOD = authorization(tc3())
WRONG = authorization("0" * 64)
UNKNOWN_ID = GOOD.replace(SECRET_ID, "AKIDunknown")
COMMON = (("Action", "TextToImage"), ("Nonce", "1"), ("SecretId", SECRET_ID), ("Timestamp", str(NOW)))
V1 = (*COMMON, ("Signature", v1("POST", COMMON, digest="sha1")))
IN_QUERY = "&".join(f"{name}={value}" for name, value in V1)
HARMLESS = (("Limit", "1"),)
ALLOWED = {"allow_v1": True}
UNSIGNED = {"x_tc_content_sha256": "UNSIGNED-PAYLOAD"}
NAMED = {"x_camguard_principal": ALICE}


class Keys:
    """A key source that holds one key ring."""

    def __init__(self, held: KeyRing) -> None:
        self.keys = held


SOURCE = Keys(keys())


class Ask(NamedTuple):
    """One request and the settings under which its head is judged. rules: fields of the identity settings."""

    auth: str | None = GOOD
    mode: IdentityMode = "signature"
    lines: Mapping[str, str] = {}
    params: tuple[tuple[str, str], ...] = ()
    form: bool = False
    method: str = "POST"
    trusted: bool = True
    service: str | None = "aiart"
    rules: Mapping[str, Any] = {}
    keys: Keys | None = SOURCE
    stale: bool | None = None

    def authenticator(self) -> Authenticator:
        stale = self.stale
        return authenticator(
            IdentitySettings(mode=self.mode, **self.rules),
            self.keys,
            None if stale is None else lambda: stale,
        )

    def head(self) -> RequestHead:
        kind = {"content_type": FORM} if self.form else {}
        every: dict[str, Any] = {"authorization": self.auth, **kind, **self.lines}
        return tc3_head("", method=self.method, **every)

    def claim(self) -> Claim | Rejection:
        return self.authenticator().claim(
            self.head(), self.service, self.params, self.trusted, self.form, NOW
        )


def shown(claim: Claim | Rejection) -> str | None:
    """Return how a table writes a claim: a refusal, a principal, `a signing key`, or `open` for nothing."""
    if isinstance(claim, Rejection):
        return claim.detail
    if isinstance(claim, Caller):
        return claim.principal
    assert claim is None or isinstance(claim, SigningKey)
    return "open" if claim is None else "a signing key"


MISSING, MALFORMED = "principal_missing", "auth_malformed"
CLAIMS = [
    pytest.param(Ask(), "a signing key", id="a signature"),
    pytest.param(Ask(WRONG), "a signing key", id="a wrong signature, which only the body shows"),
    pytest.param(Ask(params=HARMLESS), "a signing key", id="a signature beside a harmless query"),
    pytest.param(Ask(mode="either"), "a signing key", id="a signature, mode either"),
    pytest.param(Ask(mode="either", lines=NAMED), "a signing key", id="a signature beside the header"),
    pytest.param(Ask(mode="header", lines=NAMED), "a signing key", id="a signature beside it, mode header"),
    pytest.param(Ask(mode="header"), MISSING, id="a signature alone, mode header"),
    pytest.param(Ask(UNKNOWN_ID, "header"), "secret_id_unknown", id="an unknown id alone, mode header"),
    pytest.param(Ask(mode="claimed"), "open", id="a signature that is only believed"),
    pytest.param(Ask(WRONG, "claimed", NAMED), "open", id="a wrong signature that is only believed"),
    pytest.param(Ask(UNKNOWN_ID, "claimed"), "secret_id_unknown", id="an unknown id, mode claimed"),
    pytest.param(Ask(None, "either", NAMED), ALICE, id="the header alone, mode either"),
    pytest.param(Ask(None, "header", NAMED), ALICE, id="the header alone, mode header"),
    pytest.param(Ask(None, "header", NAMED, HARMLESS), ALICE, id="the header and a harmless query"),
    pytest.param(Ask(None, "signature", NAMED), MISSING, id="the header alone, mode signature"),
    pytest.param(Ask(None, "claimed", NAMED), MISSING, id="the header alone, mode claimed"),
    pytest.param(Ask(None), MISSING, id="nothing"),
    pytest.param(Ask(None, "either"), MISSING, id="nothing, mode either"),
    pytest.param(Ask(None, rules=ALLOWED), MISSING, id="nothing in JSON, v1 allowed"),
    pytest.param(Ask(None, "either", NAMED, rules=ALLOWED), ALICE, id="the header and JSON, v1 allowed"),
    pytest.param(
        Ask(None, "either", NAMED, trusted=False), "identity_header_untrusted", id="T69 of any other peer"
    ),
    pytest.param(
        Ask(lines=NAMED, trusted=False), "identity_header_untrusted", id="T69 beside a good signature"
    ),
    pytest.param(Ask(trusted=False), "a signing key", id="a signature of any other peer"),
    pytest.param(
        Ask(None, "header", {"x_camguard_principal": "?"}), "identity_header_invalid", id="T72 no principal"
    ),
    pytest.param(Ask(None, form=True), MISSING, id="a form, v1 off"),
    pytest.param(Ask(None, "either", form=True), MISSING, id="a form, v1 off, mode either"),
    pytest.param(Ask(None, "either", NAMED, form=True), "open", id="a form with the header, v1 off"),
    pytest.param(Ask(None, form=True, rules=ALLOWED), "open", id="a form, v1 allowed"),
    pytest.param(Ask(None, "either", form=True, rules=ALLOWED), "open", id="a form, v1 allowed, mode either"),
    pytest.param(
        Ask(None, "signature", NAMED, form=True, rules=ALLOWED),
        "open",
        id="a form with the header, v1 allowed",
    ),
    pytest.param(
        Ask(None, "header", form=True, rules=ALLOWED), MISSING, id="a form, v1 allowed, mode header"
    ),
    pytest.param(
        Ask(None, "header", NAMED, form=True, rules=ALLOWED), "open", id="a form with the header, mode header"
    ),
    pytest.param(Ask(None, params=V1, method="GET"), "signature_v1_disabled", id="v1 in a query, off"),
    pytest.param(
        Ask(None, params=V1, method="GET", rules=ALLOWED), "open", id="v1 in the query of a GET, allowed"
    ),
    pytest.param(Ask(None, params=V1, rules=ALLOWED), MALFORMED, id="T73 v1 in the query of a POST"),
    pytest.param(
        Ask(None, params=V1, form=True, rules=ALLOWED), "open", id="T73 v1 in the query beside a form"
    ),
    pytest.param(
        Ask(None, params=V1, form=True), "signature_v1_disabled", id="T73 v1 in the query beside a form, off"
    ),
    pytest.param(Ask(params=V1), MALFORMED, id="v1 in the query beside TC3, off"),
    pytest.param(Ask(params=V1, rules=ALLOWED), MALFORMED, id="v1 in the query beside TC3, allowed"),
    pytest.param(Ask(lines=UNSIGNED), "unsigned_payload", id="an unsigned payload"),
    pytest.param(
        Ask(lines=UNSIGNED, rules={"allow_unsigned_payload": True}), "a signing key", id="where it is allowed"
    ),
    pytest.param(Ask(lines={"x_tc_content_sha256": "0" * 64}), MALFORMED, id="another payload digest"),
    pytest.param(Ask("SKIP"), MALFORMED, id="T77 SKIP"),
    pytest.param(Ask(service=None), "a signing key", id="T123 a signature over a shared host"),
    pytest.param(Ask(None, service=None), "service_unknown", id="T123 nothing over a shared host"),
    pytest.param(
        Ask(None, "either", NAMED, service=None), "service_unknown", id="T123 the header over a shared host"
    ),
    pytest.param(
        Ask(mode="claimed", service=None), "service_unknown", id="T123 a signature that is only believed"
    ),
    pytest.param(
        Ask(mode="header", lines=NAMED, service=None, keys=None),
        "service_unknown",
        id="T123 a signature without keys that verify it",
    ),
    pytest.param(Ask(mode="header", lines=NAMED, keys=None), ALICE, id="the header, where there are no keys"),
    pytest.param(Ask(mode="header", keys=None), MISSING, id="a signature, where there are no keys"),
    pytest.param(Ask(stale=True), "policy_unavailable", id="T131 stale keys"),
    pytest.param(Ask(mode="claimed", stale=True), "policy_unavailable", id="T131 stale keys, mode claimed"),
    pytest.param(Ask(stale=False), "a signing key", id="T131 fresh keys"),
    pytest.param(
        Ask(None, "either", NAMED, stale=True), ALICE, id="T131 stale keys, which the header does not need"
    ),
]


@pytest.mark.parametrize(("ask", "expected"), CLAIMS)
def test_what_the_head_alone_shows(ask: Ask, expected: str) -> None:
    assert shown(ask.claim()) == expected


def test_the_claimed_signing_key_is_the_one_that_authorization_names() -> None:
    ring = keys()
    first = Ask(keys=Keys(ring)).claim()
    assert first is read_authorization(tc3_head(), "aiart", ring, NOW)


# Further lines, parameters, query, mode, rules; what comes of a request whose signing key was found before
CLAIMED_BEFORE = [
    pytest.param({}, (), "", "signature", {}, ALICE, id="a good signature"),
    pytest.param({}, HARMLESS, "", "signature", {}, ALICE, id="ordinary parameters"),
    pytest.param({}, V1, "", "signature", ALLOWED, MALFORMED, id="T73 a second signature in the form"),
    pytest.param({}, (), IN_QUERY, "signature", ALLOWED, MALFORMED, id="T73 a second signature in the query"),
    pytest.param({}, (), "", "header", {}, MISSING, id="no header, where one must be there"),
    pytest.param(NAMED, (), "", "header", {}, ALICE, id="the header names the owner of the key"),
    pytest.param(
        {"x_camguard_principal": BOB}, (), "", "either", {}, "principal_conflict", id="it names another one"
    ),
]


@pytest.mark.parametrize(("lines", "params", "query", "mode", "rules", "expected"), CLAIMED_BEFORE)
def test_a_claimed_signing_key_is_no_reason_to_look_away(
    lines: dict[str, str],
    params: tuple[tuple[str, str], ...],
    query: str,
    mode: IdentityMode,
    rules: dict[str, Any],
    expected: str,
) -> None:
    ring = keys()
    authn = authenticator(IdentitySettings(mode=mode, **rules), Keys(ring))
    auth = authorization(tc3(query=query))
    head = tc3_head(auth, query=query, **lines)
    claim = read_authorization(head, "aiart", ring, NOW)
    assert not isinstance(claim, Rejection)
    assert shown(authn.caller(head, "aiart", BODY, params, True, NOW, claim)) == expected
    assert shown(authn.caller(head, "aiart", BODY, params, True, NOW)) == expected


# Value of the identity header, whether the peer is a trusted proxy, mode; the caller where nothing is signed
UNSIGNED_CALLERS = [
    pytest.param(None, True, "either", MISSING, id="no header"),
    pytest.param(ALICE, True, "either", ALICE, id="the header, mode either"),
    pytest.param(ALICE, True, "header", ALICE, id="the header, mode header"),
    pytest.param(ALICE, True, "signature", MISSING, id="the header, mode signature"),
    pytest.param(ALICE, True, "claimed", MISSING, id="the header, mode claimed"),
    pytest.param(ALICE, False, "either", "identity_header_untrusted", id="T69 of any other peer"),
    pytest.param(ALICE, False, "signature", "identity_header_untrusted", id="T69 of any other peer, signed"),
    pytest.param("?", True, "either", "identity_header_invalid", id="T72 no principal"),
]


@pytest.mark.parametrize(("identity", "trusted", "mode", "expected"), UNSIGNED_CALLERS)
def test_the_caller_where_nothing_is_signed(
    identity: str | None, trusted: bool, mode: IdentityMode, expected: str
) -> None:
    authn = authenticator(IdentitySettings(mode=mode), SOURCE)
    assert shown(authn.unsigned(None if identity is None else identity.encode(), trusted)) == expected


SERVICES = [
    pytest.param(GOOD, "aiart", id="as signed"),
    pytest.param(GOOD.replace("/aiart/", "/AIART/"), "aiart", id="T134 in lower case"),
    pytest.param(GOOD.replace("SHA256 ", "SHA256  "), "aiart", id="T121 behind two blanks"),
    pytest.param(GOOD + "0", None, id="T77 65 digits"),
    pytest.param(GOOD[:-1], None, id="T77 63 digits"),
    pytest.param("SKIP", None, id="no signature"),
    pytest.param(None, None, id="no Authorization"),
]


@pytest.mark.parametrize(("auth", "service"), SERVICES)
def test_t123_the_service_that_a_signature_names(auth: str | None, service: str | None) -> None:
    assert Ask().authenticator().signed_service(tc3_head("", authorization=auth)) == service


# What is asked for a head that was judged before; whether its signing key is claimed
KNOWN = [
    pytest.param(Ask(), str(NOW), True, id="a signature"),
    pytest.param(Ask(), None, False, id="no timestamp"),
    pytest.param(Ask(), str(NOW + 301), False, id="T75 a timestamp that is too new"),
    pytest.param(Ask(stale=True), str(NOW), False, id="T131 stale keys"),
    pytest.param(Ask(stale=False), str(NOW), True, id="T131 fresh keys"),
    pytest.param(Ask(mode="header", keys=None), str(NOW), False, id="no keys at all"),
]


@pytest.mark.parametrize(("ask", "timestamp", "found"), KNOWN)
def test_the_signing_key_of_a_head_that_was_judged_before(
    ask: Ask, timestamp: str | None, found: bool
) -> None:
    signing_key = read_authorization(tc3_head(), "aiart", SOURCE.keys, NOW)  # which caches it
    sent = None if timestamp is None else timestamp.encode()
    claimed = ask.authenticator().claimed_key("aiart", GOOD.encode(), sent, NOW)
    assert claimed is (signing_key if found else None)


# Signatures that come one after the other, each with an action and a body; why the last one is refused
AFTER_OTHERS = [
    pytest.param([(GOOD, "Draw", BODY)], False, None, id="a good signature"),
    pytest.param([(WRONG, "Draw", BODY)], False, "signature_invalid", id="a wrong signature"),
    pytest.param([(GOOD, "Draw", b"other")], False, "signature_invalid", id="T79 another body"),
    pytest.param([(GOOD, "Draw", BODY)] * 2, True, None, id="T135 the same call again"),
    pytest.param([(GOOD, "Draw", BODY), (GOOD, "Erase", BODY)], False, None, id="another call, not bound"),
    pytest.param(
        [(GOOD, "Draw", BODY), (GOOD, "Erase", BODY)], True, "signature_replay", id="T74 another call, bound"
    ),
    pytest.param([(WRONG, "Draw", BODY), (GOOD, "Erase", BODY)], True, None, id="a wrong one binds nothing"),
]


@pytest.mark.parametrize(("calls", "bound", "expected"), AFTER_OTHERS)
def test_why_a_head_that_was_judged_before_is_refused(
    calls: list[tuple[str, str, bytes]], bound: bool, expected: str | None
) -> None:
    authn = authenticator(IdentitySettings(bind_signatures=bound), SOURCE)
    signing_key = read_authorization(tc3_head(), "aiart", SOURCE.keys, NOW)
    assert not isinstance(signing_key, Rejection)
    canonical = usual_request("POST", JSON.encode(), HOST.encode())
    found = []
    for auth, action, body in calls:
        head = tc3_head(auth, x_tc_action=action)
        signing = (auth.encode(), str(NOW).encode(), None, None)
        found.append(
            authn.refused(signing_key, canonical, signing, "aiart", body, NOW, lambda each: each, head)
        )
    assert found[-1] is (None if expected is None else rejection(expected))
    if bound:
        assert authn.replay_guard is not None
        signatures = {auth[-64:].encode() for auth, *_ in calls if auth == GOOD}
        assert set(authn.replay_guard) == signatures, "a signature alone is kept, and only a good one"


def test_t105_the_signatures_that_are_bound_to_a_call_are_bounded() -> None:
    guard = authenticator(IdentitySettings(bind_signatures=True), SOURCE).replay_guard
    assert guard is not None
    assert guard.maxsize == 65_536
    assert authenticator(IdentitySettings(), SOURCE).replay_guard is None
