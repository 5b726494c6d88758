"""The early decision: what a head alone decides, and what the authentication is given of the head."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.authn.authenticator import Claim, authenticator
from camguard.authn.credentials import Caller
from camguard.enforcement.early import EarlyJudge
from camguard.enforcement.lane import Lane
from camguard.request.body import BodyBuffer
from camguard.request.params import Params
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import IdentitySettings
from tests.running import RECOGNISES
from tests.stage import (
    ALICE,
    BUNDLE,
    ELSEWHERE,
    FROM_OFFICE,
    NOW,
    OFFICE,
    SETTINGS,
    FixedCaller,
    FixedPolicies,
    Line,
    Play,
    Request,
    bundle,
    enforcement,
    reply_to,
    sdk,
)

HEADER_AUTHENTICATION = authenticator(IdentitySettings(mode="header"), None)
IDENTITY = b"x-camguard-principal"
CALLER = Caller(ALICE, None, None, None)
SIGNED = (b"authorization", b"TC3-HMAC-SHA256 ...")
SETTINGS_OF = {
    "enforce": SETTINGS,
    "shadow": enforcement(mode="shadow"),
    "judge": enforcement(unknown_action="judge"),
}
POLICIES_OF = {
    "enforce": FixedPolicies(),
    "shadow": FixedPolicies(),
    "judge": FixedPolicies(bundle(unknown_action="judge")),
}


def play(mode: str, **parts: Any) -> Play:
    return Play(
        SETTINGS_OF[mode],
        authentication=HEADER_AUTHENTICATION,
        policies=POLICIES_OF[mode],
        candidate=FixedPolicies(bundle({})),
        **parts,
    )


WAITS = (b"expect", b"100-continue")
TAKEN = [
    pytest.param(OFFICE, (), True, 1, id="of an allowed call"),
    pytest.param(ELSEWHERE, (), True, 0, id="not of a denied one, where the server reads on by itself"),
    pytest.param(ELSEWHERE, (), False, 1, id="of a denied one, where its client might not hear the answer"),
    pytest.param(ELSEWHERE, (WAITS,), False, 0, id="not of a denied client that waits for 100 Continue"),
    pytest.param("nowhere", (), False, 0, id="not of a client whose address is not known"),
]


@pytest.mark.parametrize(("source", "more", "drains", "taken"), TAKEN)
def test_a_body_is_taken(
    source: str, more: tuple[Line, ...], drains: bool, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes: list[Any] = []
    take = BodyBuffer.take

    def counting(*args: Any) -> Any:
        takes.append(args)
        return take(*args)

    monkeypatch.setattr(BodyBuffer, "take", counting)
    stage = Play(authentication=HEADER_AUTHENTICATION, drains=drains)
    lines = sdk((b"x-forwarded-for", source.encode()), (IDENTITY, ALICE.encode()), *more)
    reply = stage.reply_to(
        lines=lines, chunks=(b'{"Action":"PayOrders"}',) if source == ELSEWHERE else (b"{}",)
    )
    assert len(takes) == taken
    assert reply.passed is (source == OFFICE)
    assert reply.detail in {"allowed", "no_allow", "client_ip_invalid"}, "not a detail of its body"


def test_under_another_bundle_every_target_is_resolved_anew() -> None:
    store = FixedPolicies()
    stage = Play(authentication=HEADER_AUTHENTICATION, policies=store)
    lines = sdk((b"x-forwarded-for", OFFICE.encode()), (IDENTITY, ALICE.encode()))
    assert stage.reply_to(lines=lines).passed
    store.bundle = bundle({})
    assert not stage.reply_to(lines=lines).passed


TRACE = b"0af7651916cd43dd8448eb211c80319c"


@RECOGNISES
def test_the_record_of_a_recognised_request_names_the_trace_of_the_request() -> None:
    """The second request is recognised, and goes the whole way because its body holds an escape."""
    play = Play()
    lines = sdk(FROM_OFFICE, (b"traceparent", b"00-" + TRACE + b"-b7ad6b7169203331-01"))
    for body in (b'{"A":1}', b'{"A":"\\u0041"}'):
        reply = play.reply_to(lines=lines, chunks=(body,))
        assert reply.passed
        assert reply.records[0].trace_id == TRACE.decode()


class Claims(FixedCaller):
    """An authentication that keeps what it is given to find the claim of a head."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[str | None, Params, bool, bool]] = []

    def claim(
        self,
        head: Any,
        service: str | None,
        params: Params,
        peer_trusted: bool,
        form: bool,
        now: float,
    ) -> Claim | Rejection:
        assert (head.method, now) in {("POST", NOW), ("GET", NOW)}
        self.given.append((service, params, peer_trusted, form))
        return None


SIGNED = (b"authorization", b"TC3-HMAC-SHA256 ...")
FORM = b"application/x-www-form-urlencoded"
STOP: dict[str, bytes] = {"host": b"cvm.tencentcloudapi.com", "x_tc_action": b"StopInstances"}
NAMED = sdk(FROM_OFFICE, without=[b"x-tc-version"], **STOP)

# a request; what the authentication is given: service, parameters of the query, trusted peer, whether a form
GIVEN: list[Any] = [
    pytest.param({"lines": sdk(FROM_OFFICE)}, [], id="nothing, where the head alone determines the call"),
    pytest.param({"lines": NAMED}, [], id="nothing, where only the body is needed"),
    pytest.param({"lines": sdk(FROM_OFFICE, SIGNED)}, [("partners", (), True, False)], id="a signed call"),
    pytest.param({"lines": sdk(FROM_OFFICE, content_type=FORM)}, [("partners", (), True, True)], id="a form"),
    pytest.param(
        {"lines": sdk(FROM_OFFICE), "method": "GET", "query": b"A=1", "chunks": (b"",)},
        [("partners", (("A", "1"),), True, False)],
        id="a query",
    ),
    pytest.param(
        {"lines": sdk(SIGNED), "client": (OFFICE, 1)},
        [("partners", (), False, False)],
        id="a peer that is no proxy",
    ),
]


@pytest.mark.parametrize(("request_", "given"), GIVEN)
def test_what_the_authentication_is_given_of_a_head(request_: dict[str, Any], given: list[Any]) -> None:
    claims = Claims()
    judge = EarlyJudge(SETTINGS, FixedPolicies(), claims, Lane, compares=False)
    judged = judge.judge(Request(**request_).scope(), None, None, BUNDLE, NOW, 0.0, 1)
    assert claims.given == given
    assert not isinstance(judged.decision, Rejection)


def test_a_client_without_an_address_is_refused_before_its_query_is_read() -> None:
    """THREATS 3.2."""
    request: dict[str, Any] = {"method": "GET", "query": b"%", "chunks": (b"",)}
    for source, detail in ((b"nowhere", "client_ip_invalid"), (OFFICE.encode(), "query_malformed")):
        assert reply_to(lines=sdk((b"x-forwarded-for", source)), **request).detail == detail


def test_the_head_determines_a_call_whose_caller_is_refused() -> None:
    authentication = FixedCaller()
    authentication.found = rejection("principal_missing")
    judge = EarlyJudge(SETTINGS, FixedPolicies(), authentication, Lane, compares=False)
    judged = judge.judge(Request(lines=sdk(FROM_OFFICE)).scope(), None, None, BUNDLE, NOW, 0.0, 1)
    assert (judged.decision, judged.of_head, judged.call) == (authentication.found, True, None)


# The rest of a request, its caller; caller, call and decision of the judgement, and whether the head suffices
JUDGED: list[Any] = [
    pytest.param({}, CALLER, (True, True, True, True), id="a caller who is known by the head"),
    pytest.param({"lines": sdk(FROM_OFFICE, SIGNED)}, CALLER, (False, False, False, False),
                 id="a caller who has signed"),
    pytest.param({}, rejection("principal_missing"), (False, False, True, True),
                 id="a caller who is refused"),
    pytest.param({"lines": sdk(FROM_OFFICE, x_tc_version=b"2018-01-01")}, CALLER, (True, False, True, True),
                 id="a version that the action lacks"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "found", "holds"), JUDGED)
def test_what_an_early_judgement_holds(
    request_: dict[str, Any], found: Caller | Rejection, holds: tuple[bool, ...]
) -> None:
    """It has no claim where nothing is signed, and no call where the decision is a rejection."""
    authentication = FixedCaller()
    authentication.found = found
    judge = EarlyJudge(SETTINGS, FixedPolicies(), authentication, Lane, compares=False)
    request = Request(**{"lines": sdk(FROM_OFFICE), **request_})
    judged = judge.judge(request.scope(), None, None, BUNDLE, NOW, 0.0, 1)
    caller, call, decided, of_head = holds
    assert judged.caller == (found if caller else None)
    assert (judged.call is not None, judged.decision is not None, judged.of_head) == (call, decided, of_head)
    nothing: list[object] = [judged.known, judged.kept]
    nothing += [] if call else [judged.call]
    nothing += [] if decided else [judged.decision]
    nothing += [judged.claim] if of_head else []
    assert nothing == [None] * len(nothing)
