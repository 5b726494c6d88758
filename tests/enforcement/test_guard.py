"""Fail closed, whatever fails where: rows T48, T56 to T58, T65 to T67, T116, T117 (THREATS 3.6.5)."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from camguard.authn.authenticator import authenticator
from camguard.enforcement import late as late_module
from camguard.engine.decision import Decision, Reason
from camguard.request.rejection import rejection
from camguard.settings import IdentitySettings
from camguard.settings.overrides import Override
from tests.authn.signing import FORM, authorization, keys
from tests.authn.signing import NOW as SIGNED_AT
from tests.stage import (
    ALICE,
    BUNDLE,
    FROM_ELSEWHERE,
    FROM_OFFICE,
    HOST,
    NOW,
    OFFICE,
    Broken,
    FixedCaller,
    FixedPolicies,
    Play,
    Reply,
    Request,
    bundle,
    enforcement,
    limits,
    reply_to,
    sdk,
)

SIGNED = (b"authorization", b"TC3-HMAC-SHA256 ...")


class BrokenStore:
    """A store whose bundle cannot be read."""

    stale = False

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @property
    def bundle(self) -> Any:
        raise self.error


class BrokenBundle:
    """A bundle that cannot decide."""

    catalog, owner, revision, evaluator = BUNDLE.catalog, BUNDLE.owner, "broken", BUNDLE.evaluator
    token = object()

    def __init__(self, error: BaseException) -> None:
        self.decide = Broken(error)


@pytest.mark.parametrize("line", [FROM_OFFICE, FROM_ELSEWHERE])
def test_observers_and_conclusions_that_raise_change_nothing(line: Any) -> None:
    observed: list[Any] = []
    broken = Broken(RuntimeError("secret"))
    play = Play(
        observers=(broken, observed.append), conclusions=(broken, lambda *each: observed.append(each))
    )
    reply = play.reply_to(lines=sdk(line))
    assert reply.passed == (line is FROM_OFFICE)
    assert reply.status == 200
    assert observed == [reply.records[0], (reply.records[0], 200 if reply.passed else None, None, 200)]
    assert play.guard.faults == 2


def test_the_application_may_fail_in_its_own_way() -> None:
    play = Play()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 503, "headers": []})
        raise LookupError

    play.middleware.app = app
    with pytest.raises(LookupError):
        play.reply_to(lines=sdk(FROM_OFFICE))
    assert (play.guard.in_flight, play.guard.held) == (0, 0)
    assert play.concluded == [(play.records[0], 503, "reply_incomplete", 503)]


# decision of the stub or change of the stage, what shadow mode does
SHADOWS = [
    pytest.param({"lines": sdk(FROM_ELSEWHERE)}, "no_allow", True, id="no allow"),
    pytest.param({"lines": sdk(FROM_OFFICE, x_tc_action=b"PayOrders")}, "explicit_deny", True, id="a deny"),
    pytest.param(
        {"lines": sdk((b"x-forwarded-for", b"203.0.113.6"), x_tc_action=b"QueryUser")},
        "undetermined_deny",
        True,
        id="an unclear deny",
    ),
    pytest.param(
        {"lines": sdk(FROM_OFFICE, x_tc_action=b"New")}, "action_unknown", True, id="an unknown action"
    ),
    pytest.param(
        {"lines": sdk(FROM_OFFICE, x_tc_version=b"2018-01-01")},
        "version_unknown",
        True,
        id="an unknown version",
    ),
    pytest.param({"lines": sdk(FROM_OFFICE, x_tc_action=b"")}, "action_missing", False, id="no action"),
    pytest.param(
        {"lines": sdk(FROM_OFFICE), "query": b"Action=DeleteBudget"},
        "action_conflict",
        False,
        id="two actions",
    ),
    pytest.param(
        {"lines": sdk(FROM_OFFICE), "chunks": (b'{"Action":"X"}',)},
        "action_conflict",
        False,
        id="two in the body",
    ),
    pytest.param({"lines": sdk((b"x-forwarded-for", b"x"))}, "client_ip_invalid", False, id="no address"),
    pytest.param({"lines": sdk(FROM_OFFICE, host=b"x.y")}, "service_unknown", False, id="no service"),
    pytest.param(
        {"lines": sdk(FROM_OFFICE), "method": "PUT"}, "method_not_allowed", False, id="no method of ours"
    ),
]


@pytest.mark.parametrize(("request_", "detail", "passes"), SHADOWS)
def test_shadow_lets_pass_what_policy_denies_and_nothing_else(
    request_: dict[str, Any], detail: str, passes: bool
) -> None:
    shadowed = reply_to(enforcement(mode="shadow"), **request_)
    assert shadowed.detail == detail
    assert shadowed.passed == passes
    assert shadowed.records[0].mode == "shadow"
    assert not shadowed.records[0].decision
    assert not reply_to(**request_).passed
    if passes:
        assert shadowed.reached[0][0]["camguard.decision"] is shadowed.records[0].decision


@pytest.mark.parametrize("detail", ["signature_invalid", "principal_missing", "identity_header_untrusted"])
def test_shadow_refuses_a_caller_who_is_not_authenticated(detail: str) -> None:
    authentication = FixedCaller()
    authentication.found = rejection(detail)
    reply = reply_to(enforcement(mode="shadow"), authentication=authentication)
    assert (reply.detail, reply.passed) == (detail, False)


def test_t38_the_body_of_a_caller_who_is_not_authenticated_is_not_read() -> None:
    authentication = FixedCaller()
    authentication.found = rejection("principal_missing")
    bodies = (b'{"Action": "DeleteBudget"}', b'{"action": [[], []]}', b"{")
    assert {reply_to(authentication=authentication, chunks=(body,)).detail for body in bodies} == {
        "principal_missing"
    }
    assert {reply_to(chunks=(body,)).detail for body in bodies} == {
        "action_conflict",
        "action_alias",
        "allowed",  # a body that cannot name an action is the upstream's to read
    }


def test_t119_an_unknown_principal_gets_the_answer_of_one_without_permission() -> None:
    def answer_to(principal: str) -> bytes:
        reply = reply_to(authentication=FixedCaller(principal))
        return reply.body.replace(reply.records[0].request_id.encode(), b"ID")

    assert answer_to("uin/999999999999") == answer_to("uin/100000000102")


def test_without_a_bundle_nothing_passes() -> None:
    for policies in (FixedPolicies(None), FixedPolicies(stale=True)):
        for mode in ("enforce", "shadow"):
            reply = Play(enforcement(mode=mode), policies=policies).reply_to(lines=sdk(FROM_OFFICE))
            assert reply.detail == "policy_unavailable"
            assert reply.error["Code"] == "ServiceUnavailable"
            assert not reply.passed


def test_a_replaced_bundle_is_freed_although_the_guard_judged_by_it() -> None:
    store = FixedPolicies(bundle())
    play = Play(policies=store)
    assert play.reply_to(lines=sdk(FROM_OFFICE)).passed
    assert store.bundle is not None
    left = weakref.ref(store.bundle.evaluator)
    gc.disable()
    try:
        store.bundle = bundle()
        assert left() is None
    finally:
        gc.enable()


def test_one_request_is_judged_by_one_bundle() -> None:
    """T107: the store swaps its bundle while the body is on its way."""
    closed = bundle({"office": {"version": "2.0", "statement": []} | DENY_ALL, "instances": DENY_ALL})
    store = FixedPolicies()
    play = Play(policies=store)

    async def scene() -> None:
        sent: list[Any] = []

        async def receive() -> Any:
            store.bundle = closed
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Any) -> None:
            sent.append(message)

        await play.middleware(Request(lines=sdk(FROM_OFFICE), length=False).scope(), receive, send)

    asyncio.run(scene())
    assert play.records[0].decision
    assert play.records[0].revision == BUNDLE.revision
    assert play.reply_to(lines=sdk(FROM_OFFICE)).detail == "explicit_deny"


DENY_ALL = {"version": "2.0", "statement": {"effect": "deny", "action": "*", "resource": "*"}}


# further lines, content type, rules of identity; the refusal
BY_THE_HEAD = [
    pytest.param((b"authorization", b"x"), b"application/json", {}, "auth_malformed", id="a bad grammar"),
    pytest.param(
        (b"authorization", authorization("0" * 64, secret_id="AKIDnobody").encode()),
        b"application/json",
        {},
        "secret_id_unknown",
        id="an unknown secret id",
    ),
    pytest.param((b"x-a", b"1"), FORM.encode(), {}, "principal_missing", id="a form that cannot be signed"),
    pytest.param(
        (b"x-a", b"1"),
        FORM.encode(),
        {"mode": "header", "allow_v1": True},
        "principal_missing",
        id="a form without the header that must be there",
    ),
    pytest.param(
        (b"x-camguard-principal", b"100000000101"),
        FORM.encode(),
        {"mode": "either"},
        "identity_header_untrusted",
        id="a form with the header of a peer that is no proxy",
    ),
]


@pytest.mark.parametrize(("line", "kind", "rules", "detail"), BY_THE_HEAD)
@pytest.mark.parametrize("drains", [True, False], ids=["gateway", "middleware"])
def test_what_the_head_can_refuse_is_refused_before_the_body_is_taken(
    line: Any, kind: bytes, rules: dict[str, Any], detail: str, drains: bool
) -> None:
    sent: list[Any] = []
    identity = IdentitySettings(**rules)
    play = Play(
        authentication=authenticator(identity, Signers()), clock=lambda: float(SIGNED_AT), drains=drains
    )

    async def send(message: Any) -> None:
        sent.append(message)

    lines = sdk(line, content_type=kind, host=b"aiart.tencentcloudapi.com", x_tc_timestamp=b"%d" % SIGNED_AT)
    scope = Request(lines=(*lines, (b"content-length", b"1000")), length=False, client=(OFFICE, 1)).scope()
    asyncio.run(play.middleware(scope, Broken(AssertionError("the body was taken")), send))
    assert play.records[0].decision is rejection(detail)
    assert sent[1]["body"]


class Signers:
    """The keys of a test."""

    keys = keys()


# principal, action, decision: of signed calls, which are decided before their body is looked at
BEFORE_INSPECTION = [
    pytest.param("uin/100000000102", b"QueryArea", "no_allow", id="no permission"),
    pytest.param("uin/999999999999", b"QueryArea", "principal_unknown", id="an unknown principal"),
    pytest.param(ALICE, b"PayOrders", "explicit_deny", id="a deny"),
    pytest.param(ALICE, b"New", "action_unknown", id="an unknown action"),
]


@pytest.mark.parametrize(
    "body", [b'{"A":1}', b'{"Action":"X"}', b'{"action":'], ids=["good", "two actions", "bad"]
)
@pytest.mark.parametrize(("principal", "action", "reason"), BEFORE_INSPECTION)
def test_policies_deny_before_a_body_is_inspected(
    principal: str, action: bytes, reason: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_module, "read_body", Broken(AssertionError("the body was inspected")))
    lines = sdk(FROM_OFFICE, SIGNED, x_tc_action=action)
    reply = reply_to(authentication=FixedCaller(principal, body=True), lines=lines, chunks=(body,))
    assert reply.records[0].decision.reason.value == reason
    assert reply.records[0].principal == principal
    assert not reply.passed


def test_a_body_of_a_caller_who_may_call_is_inspected_before_the_call_goes_on() -> None:
    for mode in ("enforce", "shadow"):
        for body, detail in ((b'{"Action":"X"}', "action_conflict"), (b'{"action":1}', "action_alias")):
            for action in (b"QueryArea", b"PayOrders"):
                reply = reply_to(
                    enforcement(mode=mode),
                    authentication=FixedCaller(body=True),
                    lines=sdk(FROM_OFFICE, SIGNED, x_tc_action=action),
                    chunks=(body,),
                )
                denied = mode == "enforce" and action == b"PayOrders"
                assert reply.detail == ("explicit_deny" if denied else detail)
                assert not reply.passed
                assert reply.records[0].resources == (("*",) if denied else ())


def test_requests_above_the_limit_are_refused_with_a_code_that_is_not_repeated_blindly() -> None:
    play = Play(limits(concurrency=2))
    play.guard.in_flight = 2
    reply: Reply

    async def scene() -> Any:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await play.middleware(Request(lines=sdk(FROM_OFFICE)).scope(), Broken(AssertionError()), send)
        return sent

    sent = asyncio.run(scene())
    assert b'"RequestLimitExceeded"' in sent[1]["body"]
    assert play.records[0].decision.reason is Reason.OVERLOADED
    assert play.guard.in_flight == 2
    play.guard.in_flight = 0
    reply = play.reply_to(lines=sdk(FROM_OFFICE))
    assert reply.passed


def test_a_candidate_decides_the_same_call_and_changes_no_outcome() -> None:
    candidate = FixedPolicies(bundle({"office": DENY_ALL, "instances": DENY_ALL}))
    reply = Play(candidate=candidate).reply_to(lines=sdk(FROM_OFFICE))
    assert reply.passed
    record = reply.records[0]
    assert record.candidate is not None
    assert record.candidate.reason is Reason.EXPLICIT_DENY
    assert (
        Play(candidate=candidate).reply_to(lines=sdk(FROM_OFFICE, x_tc_action=b"?")).records[0].candidate
        is None
    )
    for broken in (BrokenStore(ValueError()), FixedPolicies(BrokenBundle(ValueError()))):  # type: ignore[arg-type]
        play = Play(candidate=broken)
        reply = play.reply_to(lines=sdk(FROM_OFFICE))
        assert reply.passed
        assert play.guard.faults == 1
        assert reply.records[0].candidate == rejection("internal_error")
    assert Play(candidate=FixedPolicies(None)).reply_to(lines=sdk(FROM_OFFICE)).records[
        0
    ].candidate == rejection("policy_unavailable")


def test_the_record_holds_what_was_judged() -> None:
    reply = reply_to(lines=sdk(FROM_OFFICE, x_tc_region=b"ap-guangzhou"))
    record = reply.records[0]
    assert record.time == NOW
    assert record.principal == ALICE
    assert (record.service, record.action, record.resources) == ("partners", "QueryArea", ("*",))
    assert record.entry is BUNDLE.catalog.actions["partners:QueryArea"]
    assert record.decision.statements == ("office#0",)
    assert (record.listener, record.mode, record.revision) == ("middleware", "enforce", "r" * 64)
    assert (record.signature, record.secret_id, record.candidate) == (None, None, None)
    assert 0 < record.duration < 5
    assert reply.concluded == [(record, 200, None, 200)]
    assert reply.reached[0][0]["camguard.decision"] is record.decision
    assert reply.reached[0][0]["camguard.service"] == "partners"
    assert reply.reached[0][0]["camguard.record"] is record


def test_t117_answer_record_and_conclusion_have_one_request_id() -> None:
    reply = reply_to(lines=sdk(FROM_ELSEWHERE))
    assert reply.records[0].request_id.encode() in reply.body
    assert reply.concluded == [(reply.records[0], None, None, 200)]
    assert reply.headers[b"x-camguard-request-id"] == reply.records[0].request_id.encode()


def test_the_scope_of_the_server_is_left_alone() -> None:
    play = Play()
    scope = Request(lines=sdk(FROM_OFFICE)).scope()
    before = {**scope, "headers": list(scope["headers"])}
    asyncio.run(play.serve(Request(), scope))
    assert scope == before


def test_t58_each_request_is_judged_anew() -> None:
    play = Play()
    outcomes = [play.reply_to(lines=sdk(line)).passed for line in (FROM_OFFICE, FROM_ELSEWHERE, FROM_OFFICE)]
    assert outcomes == [True, False, True]


def test_authentication_is_given_what_goes_on() -> None:
    authentication = FixedCaller()
    reply_to(authentication=authentication, lines=sdk(FROM_OFFICE, SIGNED), chunks=(b'{"a"', b":1}"))
    head, service, body, params, trusted = authentication.requests[0]
    assert (service, body, params, trusted) == ("partners", b'{"a":1}', (), True)
    assert dict(head.onward())[b"x-tc-action"] == b"QueryArea"
    reply_to(
        authentication=authentication,
        lines=sdk(),
        client=(OFFICE, 1),
        method="GET",
        query=b"A=1&B=%20",
        chunks=(b"",),
    )
    assert authentication.requests[1][2:] == (b"", (("A", "1"), ("B", " ")), False)


def test_a_refused_caller_is_in_the_record() -> None:
    authentication = FixedCaller()
    authentication.found = rejection("signature_expired")
    auth = (
        b"TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2026-03-10/partners/tc3_request, x"
    )
    record = reply_to(
        authentication=authentication, lines=sdk(FROM_OFFICE, (b"authorization", auth))
    ).records[0]
    assert record.signature == "expired"
    assert record.secret_id is not None
    assert "krbsJ5yKBZQpn74WFkmLP" not in record.secret_id
    assert record.principal is None


def test_a_decision_is_never_chained_by_truth() -> None:
    """Every refusal is false: `refusal or next_stage()` would pass over it."""
    assert not any(map(bool, (Decision(reason) for reason in Reason if reason is not Reason.ALLOWED)))


# --- what a server calls besides ---------------------------------------------------------------------------


def test_what_a_guard_holds_of_a_call_is_given_back_by_release() -> None:
    play = Play()

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"A":1}'}

    async def scene() -> None:
        for count in (1, 2):  # the second request is recognised
            found = play.guard.handle(Request(lines=sdk(FROM_OFFICE)).scope(), receive)
            outcome = found if isinstance(found, tuple) else await found
            assert outcome is not None
            assert (len(play.records), play.guard.in_flight, play.guard.held) == (count, 1, 7)
            play.guard.release(outcome)
            assert (play.guard.in_flight, play.guard.held) == (0, 0)

    asyncio.run(scene())


@pytest.mark.parametrize("policies", [FixedPolicies(), FixedPolicies(None)], ids=["a bundle", "no bundle"])
def test_a_request_that_is_refused_unread_has_a_record(policies: FixedPolicies) -> None:
    play = Play(policies=policies)
    record = play.guard.refuse(rejection("framing"), "10.0.0.9")
    assert play.records == [record]
    assert (record.decision, record.peer) == (rejection("framing"), "10.0.0.9")
    assert (record.time, record.candidate, record.resources) == (NOW, None, ())
    assert record.revision == (BUNDLE.revision if policies.bundle else "")
    assert (record.service, record.action, record.cam_action, record.host) == (None, None, None, None)
    assert 0 <= record.duration < 5
    assert (play.guard.in_flight, play.guard.held) == (0, 0)


def test_a_conclusion_without_error_and_answer_names_none() -> None:
    given: list[Any] = []
    play = Play(conclusions=(Broken(ValueError("secret")), lambda *each: given.append(each)))
    record = play.guard.refuse(rejection("framing"), None)
    play.guard.conclude(record, 200)
    play.guard.conclude(record, None, "reply_incomplete", 502)
    assert given == [(record, 200, None, None), (record, None, "reply_incomplete", 502)]
    assert play.guard.faults == 2


def test_a_call_that_its_body_turns_into_a_rejection_has_no_resources_in_its_record() -> None:
    reply = reply_to(chunks=(b'{"Action":"X"}',))
    assert reply.detail == "action_conflict"
    assert reply.records[0].resources == ()


def test_the_record_names_the_mode_of_the_part_to_which_the_call_belongs() -> None:
    settings = enforcement(override=(Override("shadow", "partners", None, None),))
    for host, mode in ((HOST, "shadow"), (b"aiart.tencentcloudapi.com", "enforce")):
        lines = sdk(FROM_ELSEWHERE, host=host, without=[b"x-tc-version"])
        reply = reply_to(settings, lines=lines)
        assert (reply.passed, reply.records[0].mode) == (mode == "shadow", mode)
