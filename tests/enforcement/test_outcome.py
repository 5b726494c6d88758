"""What the middleware does next: which answer a refused request gets, and whether its connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from camguard.authn.authenticator import authenticator
from camguard.authn.credentials import KeyRing
from camguard.enforcement.guard import Guard
from camguard.enforcement.outcome import Answers, Outcome, awaits_continue, place_of, refusal_of, rejected
from camguard.enforcement.target import NO_TARGET
from camguard.engine.decision import Reason
from camguard.middleware import WHOLE_ANSWER
from camguard.request.head import HeadRules, RequestHead, read_head
from camguard.request.rejection import REJECTIONS, rejection
from camguard.settings import EnforcementSettings, IdentitySettings
from camguard.telemetry.record import SHADOWED, Record
from tests.stage import (
    ALICE,
    CATALOG,
    ELSEWHERE,
    OFFICE,
    SETTINGS,
    Play,
    Request,
    enforcement,
    reply_to,
    sdk,
)
from tests.telemetry.samples import record_of

CLOSE = (b"connection", b"close")
HERE, AWAY = ((b"x-forwarded-for", address.encode()) for address in (OFFICE, ELSEWHERE))
FORGED = (
    b"authorization",
    b"TC3-HMAC-SHA256 Credential=AKIDunknown0000000000/2026-03-10/partners/tc3_request, "
    b"SignedHeaders=content-type;host, Signature=" + b"0" * 64,
)


class FixedKeys:
    """A key store without keys."""

    keys = KeyRing({})


DENIED = record_of(CATALOG.actions["partners:QueryArea"], Reason.NO_ALLOW)


def record(detail: str | None = None, **fields: Any) -> Record:
    """Return the record of a denied call, or of a request rejected with a detail."""
    return DENIED._replace(decision=DENIED.decision if detail is None else REJECTIONS[detail], **fields)


# record, whether its body stays unread behind `Expect`, whether the connection ends
CLOSINGS = [
    pytest.param(record(), False, 0, id="a denied call whose body was read"),
    pytest.param(record(), True, 1, id="a denied call whose client waits for 100 Continue"),
    pytest.param(record("framing"), False, 1, id="a request whose framing cannot be trusted"),
    pytest.param(record("framing"), True, 1, id="both, and the header stands once"),
]


@pytest.mark.parametrize(("record_", "closes", "count"), CLOSINGS)
@pytest.mark.parametrize("style", ["sdk", "http"])
def test_the_connection_of_a_refused_request(
    record_: Record, style: Any, count: int, *, closes: bool
) -> None:
    answers = Answers(style, discloses=False, names_request=False)
    answer = refusal_of(record_, answers, closes=closes)
    assert answer.headers.count(CLOSE) == count
    assert (answer.status == 200) is (style == "sdk")


# record, what the body of its answer names
NAMES = [
    pytest.param(record(), b"(partners:QueryArea)", id="an action of the catalog"),
    pytest.param(
        record(entry=None, action="NoSuchAction"), b"(partners:NoSuchAction)", id="an action outside it"
    ),
    pytest.param(
        record(cam_action="cvm:CreateDisks,cbs:CreateDisks"),
        b"(cvm:CreateDisks)",
        id="DEC-68 the first name that policies were asked for",
    ),
    pytest.param(
        record(entry=None, action="NoSuchAction", cam_action="cvm:CreateDisks"),
        b"(partners:NoSuchAction)",
        id="DEC-68 the name in the request where the catalog has no entry",
    ),
    pytest.param(
        record(cam_action=None), b"(partners:QueryArea)", id="DEC-68 the name of an entry without others"
    ),
    pytest.param(record(resources=("qcs::a", "qcs::b")), b"resource (qcs::a)", id="the first resource"),
    pytest.param(record(resources=()), b"resource (*)", id="no resource"),
    pytest.param(record(entry=None, service=None), b"InternalError", id="a denial without a service"),
    pytest.param(record(entry=None, action=None), b"InternalError", id="a denial without an action"),
]


@pytest.mark.parametrize(("record_", "text"), NAMES)
def test_a_refusal_names(record_: Record, text: bytes) -> None:
    body = refusal_of(record_, Answers("sdk", discloses=False, names_request=False), closes=False).body
    assert text in body
    assert record_.request_id.encode() in body


# T138: identity settings, the lines that name the caller, and what ends the message where it is disclosed.
KNOWN = (b"x-camguard-principal", ALICE.encode())
DISCLOSURES = [
    pytest.param("header", sdk(AWAY, KNOWN), " [no_allow]", id="a caller whom a trusted proxy names"),
    pytest.param("header", sdk(HERE, KNOWN, x_tc_action=b"PayOrders"), " [explicit_deny]", id="a deny"),
    pytest.param("header", sdk(HERE, KNOWN, x_tc_action=b"No"), " [action_unknown]", id="an action"),
    pytest.param("header", sdk(HERE), "", id="no caller"),
    pytest.param("header", sdk(HERE, KNOWN, x_tc_region=b"?"), "", id="a request that was not read so far"),
    pytest.param("header", sdk(KNOWN, without=[b"host"]), "", id="a head that is rejected"),
    pytest.param("claimed", sdk(HERE, KNOWN), "", id="T138 never in mode claimed"),
    pytest.param("signature", sdk(HERE, KNOWN), "", id="a caller who has no signature"),
    pytest.param("signature", sdk(HERE, FORGED), "", id="a signature that is not good"),
]


@pytest.mark.parametrize(("mode", "lines", "ending"), DISCLOSURES)
def test_t138_the_cause_is_disclosed_only_to_a_caller_who_is_known(
    mode: Any, lines: Any, ending: str
) -> None:
    messages = []
    for disclose in ("none", "detail"):
        settings = replace(
            SETTINGS,
            identity=IdentitySettings(mode=mode),
            enforcement=EnforcementSettings(disclose=disclose),
        )
        authentication = authenticator(settings.identity, FixedKeys())
        reply = reply_to(settings, authentication=authentication, lines=lines)
        assert not reply.passed
        assert reply.headers[b"content-length"] == str(len(reply.body)).encode()
        name = reply.records[0].request_id
        messages.append(reply.error["Message"].replace(name, "ID"))
    assert messages[1] == messages[0] + ending


def test_t138_a_caller_whose_signature_is_claimed_is_not_known() -> None:
    claimed = replace(
        SETTINGS,
        identity=IdentitySettings(mode="claimed"),
        enforcement=EnforcementSettings(disclose="detail"),
    )
    answers = [Answers.of(each) for each in (claimed, replace(claimed, identity=IdentitySettings()))]
    assert [each.discloses for each in answers] == [False, True]
    assert b"[no_allow]" not in refusal_of(record(), answers[0], closes=False).body
    assert b' [no_allow]"' in refusal_of(record(), answers[1], closes=False).body


OWN = b"x-camguard-request-id"


@pytest.mark.parametrize("named", [True, False], ids=["switched on", "switched off"])
@pytest.mark.parametrize("address", [OFFICE, ELSEWHERE], ids=["allowed", "refused"])
def test_one_id_names_a_request_everywhere(address: str, *, named: bool) -> None:
    reply = reply_to(
        enforcement(request_id_header=named),
        lines=sdk((b"x-forwarded-for", address.encode()), (OWN, b"forged"), (b"x_camguard_request_id", b"x")),
    )
    name = reply.records[0].request_id.encode()
    assert [value for key, value in reply.sent[0]["headers"] if key == OWN] == [name] * named
    if reply.passed:
        headers = reply.reached[0][0]["headers"]
        assert [value for key, value in headers if b"camguard" in key] == [name] * named
    else:
        assert name in reply.body


# T138: headers of an application's reply that nobody behind camguard may write
FORGERIES = [
    pytest.param(OWN, id="the request id"),
    pytest.param(b"X-Camguard-Request-Id", id="the request id in capitals"),
    pytest.param(b"x_camguard_request_id", id="the request id with underscores"),
    pytest.param(b"x-camguard-anything", id="another header of camguard"),
]


@pytest.mark.parametrize("named", [True, False], ids=["switched on", "switched off"])
@pytest.mark.parametrize("concludes", [True, False], ids=["with a log", "without a log"])
@pytest.mark.parametrize("kind", ["http.response.start", WHOLE_ANSWER], ids=["in parts", "as a whole"])
@pytest.mark.parametrize("forged", FORGERIES)
def test_t138_no_application_writes_headers_of_camguard(
    forged: bytes, kind: str, *, concludes: bool, named: bool
) -> None:
    play = Play(enforcement(request_id_header=named), **({} if concludes else {"conclusions": ()}))
    kept = (b"x-not-camguard", b"1"), (b"x-note", b"2")

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(
            {"type": kind, "status": 200, "headers": [kept[0], (forged, b"x"), kept[1]], "body": b"OK"}
        )

    play.middleware.app = app
    reply = play.reply_to(lines=sdk(HERE))
    own = [(OWN, reply.records[0].request_id.encode())] if named else []
    assert reply.sent[0]["headers"] == [*kept, *own]


EXPECT = (b"expect", b"100-continue")
HEADS = [
    pytest.param([EXPECT], True, id="an unread head with Expect"),
    pytest.param([(b"host", b"x"), EXPECT], True, id="an unread head with Expect behind another line"),
    pytest.param([(b"host", b"x")], False, id="an unread head without Expect"),
    pytest.param([b"expect"], True, id="a head whose lines are no pairs"),
    pytest.param(None, True, id="a head without a list of lines"),
]


@pytest.mark.parametrize(("lines", "waits"), HEADS)
def test_a_head_that_was_not_read_counts_as_waiting_where_that_is_not_clear(
    lines: Any, *, waits: bool
) -> None:
    assert awaits_continue({"headers": lines}, None) is waits
    assert awaits_continue({}, None) is True


@pytest.mark.parametrize("waits", [True, False], ids=["with Expect", "without Expect"])
def test_a_head_that_was_read_shows_whether_its_client_waits(*, waits: bool) -> None:
    head = read_head(Request(lines=sdk(*([EXPECT] if waits else []))).scope(), HeadRules(SETTINGS))
    assert isinstance(head, RequestHead)
    assert awaits_continue({}, head) is waits


def test_what_the_application_says_of_its_upstream_is_concluded() -> None:
    """The keys of the scope are those that applications may rely on."""
    play = Play()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["camguard.upstream_status"], scope["camguard.upstream_error"] = 503, "timeout"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    play.middleware.app = app
    reply = play.reply_to(lines=sdk(HERE))
    assert reply.concluded == [(reply.records[0], 503, "timeout", 200)]


def test_shadow_mode_passes_decisions_of_the_engine_only() -> None:
    rejected = {row.reason for row in REJECTIONS.values()}
    assert SHADOWED & rejected == {Reason.ACTION_UNKNOWN}, "the catalog lacks it, in request and engine alike"
    assert Reason.ALLOWED not in SHADOWED


def test_t113_the_place_of_an_error_is_shown_and_its_message_is_not() -> None:
    def raises() -> None:
        raise ValueError("secret")

    with pytest.raises(ValueError, match="secret") as caught:
        raises()
    line = raises.__code__.co_firstlineno + 1
    assert place_of(caught.value) == f"{raises.__code__.co_filename}:{line}"
    assert "secret" not in place_of(caught.value)
    assert place_of(ValueError("secret")) == "nowhere"


def outcomes_of(guard: Guard, *requests: Request) -> list[Outcome]:
    """Return what the guard makes of requests that it handles one after the other."""

    async def play() -> list[Outcome]:
        found = []
        for request in requests:
            chunks = list(request.chunks)

            async def receive(chunks: list[Any] = chunks) -> Any:
                return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

            handled = guard.handle(request.scope(), receive)
            outcome = await handled if isinstance(handled, Coroutine) else handled
            assert outcome is not None
            guard.release(outcome)
            found.append(outcome)
        return found

    return asyncio.run(play())


def test_an_outcome_is_a_request_that_goes_on_or_a_refusal() -> None:
    """The first request goes the whole way, and the second one is recognised."""
    asked = Request(lines=sdk(HERE))
    for record_, scope, receive, refusal, size, _ in outcomes_of(Play().guard, asked, asked):
        assert record_.decision.reason is Reason.ALLOWED
        assert scope is not None
        assert receive is not None
        assert (refusal, size) == (None, len(b"".join(filter(None, asked.chunks))))
    denied = Request(lines=sdk(AWAY))
    for record_, scope, receive, refusal, size, own in outcomes_of(Play().guard, denied, denied):
        assert record_.decision.reason is Reason.NO_ALLOW
        assert refusal is not None
        assert (scope, receive, size, own) == (None, None, 0, ())


def test_a_rejected_request_has_no_claim_no_caller_and_no_call() -> None:
    cause = rejection("framing")
    assert rejected(None, NO_TARGET, cause) == (
        *(None, NO_TARGET, (), None, None, None, cause, False, None, None),
    )
