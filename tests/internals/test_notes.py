"""What the lane keeps of requests: which ones, how much of them, and how many (T83, T101)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from camguard.authn.credentials import Caller
from camguard.enforcement import notes
from camguard.enforcement.early import EarlyJudge
from camguard.enforcement.lane import Lane
from camguard.enforcement.notes import _apart, _canonical, _may_name_peer, _spans, keeps_more
from camguard.enforcement.outcome import KeptDecision, Known, Result, new_judgement
from camguard.enforcement.target import NO_TARGET
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.request.head import TRAILERS_APART, HeadRules, RequestHead, read_head
from camguard.request.rejection import rejection
from camguard.settings import Settings
from tests.recognition import KEYS, SETTINGS_TRIED, Ask, World
from tests.stage import (
    ALICE,
    BUNDLE,
    FROM_OFFICE,
    NOW,
    SETTINGS,
    FixedCaller,
    FixedPolicies,
    Line,
    Request,
    sdk,
)
from tests.telemetry.samples import record_of

RULES = HeadRules(SETTINGS)
SIGNED = (b"authorization", b"TC3-HMAC-SHA256 ...")
FORM = b"application/x-www-form-urlencoded"
VALID = Caller(ALICE, None, None, "valid")


def head_of(*lines: Line, **more: Any) -> RequestHead:
    head = read_head(Request(lines=lines, **more).scope(), RULES)
    assert isinstance(head, RequestHead)
    return head


def noted(
    *,
    decides: bool = True,
    body_refused: bool = False,
    service: str | None = None,
    settings: Settings = SETTINGS,
    **request: Any,
) -> list[Known]:
    """Return what an empty lane keeps of a request that was judged by its head.

    service: what a verified signature named, where the head alone does not name the service.
    """
    authentication = FixedCaller()
    caller = authentication.found = request.pop("caller", authentication.found)
    scope = Request(**request).scope()
    early = EarlyJudge(settings, FixedPolicies(), authentication, Lane, compares=False)
    judged = early.judge(scope, None, None, BUNDLE, NOW, 0.0, 1)
    if judged.decision is None:  # the caller is known late
        call = Call(ALICE, "partners:QueryArea", judged.target.judged_ip, NOW)
        assert isinstance(caller, Caller)
        judged = judged._replace(caller=caller, call=call, decision=BUNDLE.decide(call))
    if service is not None:
        judged = judged._replace(target=replace(judged.target, service=service))
    assert judged.head is not None
    assert judged.decision is not None
    lane = Lane(RULES, decides=decides)
    decision = rejection("action_conflict") if body_refused else judged.decision
    result = Result(judged, record_of()._replace(decision=decision), (), None)
    target = early.under(BUNDLE).targets.known[judged.head.target_key]
    lane.note(judged.head, target, result, BUNDLE)
    return list(lane._known.values())


BY_SOCKET = replace(SETTINGS, client_ip=replace(SETTINGS.client_ip, trust_unix_socket=True))
CHUNKED = (b"transfer-encoding", b"chunked")
VOUCHED: dict[str, Any] = {"length": False, "extensions": {TRAILERS_APART: {}}}
# a request, how many combinations are kept of it, and whether the decision is
KEPT: list[Any] = [
    pytest.param({"lines": sdk(FROM_OFFICE)}, 1, True, id="a call that its head determines"),
    pytest.param({"lines": sdk(FROM_OFFICE), "method": "GET", "chunks": (b"",)}, 1, True, id="a GET"),
    pytest.param({"lines": sdk(FROM_OFFICE, SIGNED)}, 1, False, id="a signed call"),
    pytest.param({"lines": sdk(FROM_OFFICE), "decides": False}, 1, False, id="where a candidate judges, too"),
    pytest.param({"lines": sdk(FROM_OFFICE), "caller": rejection("principal_missing")}, 1, False,
                 id="a caller who is refused"),
    pytest.param({"lines": sdk(FROM_OFFICE, content_type=b"application/octet-stream")}, 1, False,
                 id="a body that passes through"),
    pytest.param({"lines": sdk(FROM_OFFICE), "query": b"A=1"}, 0, False, id="a query"),
    pytest.param({"lines": sdk((b"x-forwarded-for", b"x"))}, 0, False, id="a target that is rejected"),
    pytest.param({"lines": sdk(FROM_OFFICE, CHUNKED), **VOUCHED}, 0, False, id="a chunked body"),
    pytest.param({"lines": sdk(FROM_OFFICE, CHUNKED), "method": "GET", **VOUCHED}, 0, False,
                 id="a chunked GET"),
    pytest.param({"lines": sdk(FROM_OFFICE, without=[b"connection"]), "version": "2", **VOUCHED}, 0, False,
                 id="a body whose length is not declared"),
    pytest.param({"lines": sdk(FROM_OFFICE), "body_refused": True}, 0, False, id="a body that was refused"),
    pytest.param({"lines": sdk(FROM_OFFICE), "client": None}, 0, False, id="a peer that nothing names"),
    pytest.param({"lines": sdk((b"x-forwarded-for", b"2001:db8::7")), "client": None, "settings": BY_SOCKET},
                 0, False, id="a proxy behind a Unix socket"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "count", "decided"), KEPT)
def test_what_is_kept_of_a_request(request_: dict[str, Any], count: int, *, decided: bool) -> None:
    found = noted(**request_)
    assert [each.kept is not None for each in found] == [decided] * count
    assert all(not each.signed for each in found)


def test_t101_what_is_kept_of_deciding_headers_is_bounded() -> None:
    """The peer's address and the deciding values of a kept combination have 1536 bytes at most together."""

    def lines(size: int) -> tuple[Line, ...]:
        return sdk(FROM_OFFICE, (b"x-camguard-principal", b"a" * size))

    head = head_of(*lines(1))
    decisive = head.layout.decisive(tuple(value for _, value in head.lines))
    others = len(Request().client[0]) + len(b"\n".join(decisive)) - 1
    for size, count in ((1536, 1), (1537, 0), (3000, 0)):
        assert len(noted(lines=lines(size - others))) == count


# a request of a caller whose signature was verified; how many callers are kept, and whether the decision is
SIGNERS: list[Any] = [
    pytest.param({}, 1, True, id="a call that is judged as a whole"),
    pytest.param({"service": "partners"}, 1, False, id="T123 a call whose signature names the service"),
    pytest.param({"decides": False}, 0, False, id="where a candidate judges, too"),
    pytest.param({"caller": VALID._replace(signature="claimed")}, 0, False, id="a claimed signature"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "count", "decided"), SIGNERS)
def test_what_is_kept_of_a_caller_whose_signature_was_verified(
    changes: dict[str, Any], count: int, *, decided: bool
) -> None:
    [known] = noted(**{"lines": sdk(FROM_OFFICE, SIGNED), "caller": VALID, **changes})
    assert [kept is not None for _, kept in known.signed.values()] == [decided] * count
    assert known.kept is None


CALL = Call(ALICE, "partners:QueryArea", None, NOW)
DECISION = KeptDecision(
    0.0, 1.0, ALICE, Decision(Reason.ALLOWED), (), (), None, None, reads_plain=False, service=None, removed=()
)


def known_of(*signed: tuple[Caller, KeptDecision | None]) -> Known:
    return Known(NO_TARGET, (), (), 0, 0, None, {id(caller): (caller, kept) for caller, kept in signed}, None)


# what was known, the caller, the call, the decision that was used again; whether there is something to keep
MORE: list[Any] = [
    pytest.param(None, None, None, None, True, id="headers that are new"),
    pytest.param(known_of(), VALID, CALL, None, True, id="a caller who is new"),
    pytest.param(known_of((VALID, DECISION)), VALID, CALL, None, True, id="a decision that held no longer"),
    pytest.param(known_of((VALID, None)), VALID, CALL, None, False, id="a decision for one time"),
    pytest.param(known_of((VALID, DECISION)), VALID, CALL, DECISION, False, id="a decision of before"),
    pytest.param(known_of(), None, CALL, None, False, id="no caller"),
    pytest.param(known_of(), VALID._replace(signature=None), CALL, None, False, id="no signature"),
    pytest.param(known_of(), VALID, None, None, False, id="no call"),
]  # fmt: skip


@pytest.mark.parametrize(("known", "caller", "call", "kept", "more"), MORE)
def test_whether_there_is_something_to_keep(
    known: Known | None, caller: Caller | None, call: Call | None, kept: KeptDecision | None, *, more: bool
) -> None:
    judged = new_judgement((None, NO_TARGET, (), None, caller, call, None, False, known, kept))
    assert keeps_more(known, judged) is more


# places of lines, the last one first; the slices that remove them
SPANS = [
    pytest.param((), (), id="none"),
    pytest.param((3,), (slice(3, 4),), id="one"),
    pytest.param((3, 2, 1), (slice(1, 4),), id="neighbours"),
    pytest.param((5, 4, 2, 0), (slice(4, 6), slice(2, 3), slice(0, 1)), id="two neighbours and two others"),
    pytest.param((9, 5, 4, 3), (slice(9, 10), slice(3, 6)), id="one, and three neighbours before it"),
]


@pytest.mark.parametrize(("ended", "spans"), SPANS)
def test_the_lines_that_do_not_go_on_are_removed_in_few_steps(
    ended: tuple[int, ...], spans: tuple[slice, ...]
) -> None:
    assert _spans(ended) == spans


# header lines, the peer, whether a port may decide
PORTS = [
    pytest.param([(b"x-forwarded-for", b"10.0.0.1:80")], "10.0.0.1", True, id="T05 the peer with a port"),
    pytest.param([(b"x-forwarded-for", b"10.0.0.1")], "10.0.0.1", False, id="T05 the peer without a port"),
    pytest.param([(b"x-forwarded-for", b"10.0.0.2:80")], "10.0.0.1", False, id="T05 another address"),
    pytest.param([(b"x-forwarded-for", b"::1")], "::1", True, id="T05 an address of version 6"),
    pytest.param([(b"x-note", b"10.0.0.1:80")], "10.0.0.1", False, id="T05 another header"),
]


@pytest.mark.parametrize(("lines", "host", "may"), PORTS)
def test_t05_whether_a_header_may_name_the_peer_with_a_port(
    lines: list[Line], host: str, *, may: bool
) -> None:
    head = head_of((b"host", b"partners.tencentcloudapi.com"), *lines, chunks=(b"",), length=False)
    assert _may_name_peer(head, host) is may


# header lines, the method; whether signatures of such requests are checked with a ready beginning
CANONICAL: list[Any] = [
    pytest.param(sdk(SIGNED), {}, True, id="a signed call"),
    pytest.param(sdk(), {}, False, id="a call that is not signed"),
    pytest.param(sdk(SIGNED, without=[b"content-type"]), {"method": "GET", "chunks": (b"",)}, False,
                 id="no content type"),
    pytest.param(sdk(SIGNED, (b"x-tc-content-sha256", b"UNSIGNED-PAYLOAD")), {}, False,
                 id="a header about the payload"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "more", "ready"), CANONICAL)
def test_whether_a_canonical_request_is_begun(
    lines: tuple[Line, ...], more: dict[str, Any], *, ready: bool
) -> None:
    assert (_canonical(head_of(*lines, **more)) is not None) is ready


@pytest.mark.parametrize(("first", "place"), [((b"content-length", b"0"), 0), ((b"accept", b"*/*"), None)])
def test_the_declared_length_may_be_in_the_first_line(first: Line, place: int | None) -> None:
    head = head_of(first, (b"host", b"partners.tencentcloudapi.com"), method="GET", chunks=(b"",))
    assert _apart(head.layout, 2)[0] == place


def test_t101_decisions_on_64_signed_callers_are_kept() -> None:
    caller = [VALID._replace(secret_id=str(number)) for number in range(66)]
    scope = Request(lines=sdk(FROM_OFFICE, SIGNED)).scope()
    early = EarlyJudge(SETTINGS, FixedPolicies(), FixedCaller(), Lane, compares=False)
    judged = early.judge(scope, None, None, BUNDLE, NOW, 0.0, 1)
    head = judged.head
    assert head is not None
    call = Call(ALICE, "partners:QueryArea", judged.target.judged_ip, NOW)
    judged = judged._replace(call=call, decision=BUNDLE.decide(call))
    target = early.under(BUNDLE).targets.known[head.target_key]
    lane, counts = Lane(RULES, decides=True), []
    for each in caller:
        result = Result(judged._replace(caller=each), record_of(), (), None)
        lane.note(head, target, result, BUNDLE)
        (known,) = lane._known.values()
        judged = judged._replace(known=known)
        counts.append(len(known.signed))
    assert counts == [*range(1, 65), 1, 2]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_t101_decisions_on_few_signed_callers_are_kept(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_CALLERS", most)
    world = World(SETTINGS_TRIED[0], Lane)
    numbers = []

    async def play() -> None:
        for number in (0, 2, 4, 0, 2, 4, 0):  # a key that is read anew is another caller
            world.keys = KEYS[number]
            await world.ask(Ask((("authorization", "good"), ("x-camguard-principal", None))))
            resolved = world.guard._early.resolved
            assert resolved is not None
            (known,) = resolved.lane._known.values()
            numbers.append(len(known.signed))

    asyncio.run(play())
    assert max(numbers) == most
    assert numbers[:most] == list(range(1, most + 1))
