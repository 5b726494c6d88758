"""The whole way: bodies and bundles that come late, limits that are reached, and the cost of a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from camguard.bundle import Bundle
from camguard.enforcement.early import EarlyJudge
from camguard.enforcement.lane import Lane
from camguard.request.head import READY_IDS
from camguard.request.rejection import rejection
from tests.recognition import SETTINGS_TRIED, Ask, World
from tests.running import RECOGNISES
from tests.stage import (
    FROM_ELSEWHERE,
    FROM_OFFICE,
    NOW,
    SETTINGS,
    Broken,
    FixedCaller,
    FixedPolicies,
    Line,
    Play,
    Request,
    bundle,
    limits,
    sdk,
)

EXPECT = (b"expect", b"100-continue")
FORM = b"application/x-www-form-urlencoded"
CLOSED = bundle(
    {
        name: {"version": "2.0", "statement": {"effect": "deny", "action": "*", "resource": "*"}}
        for name in ("office", "instances")
    }
)


def served(play: Play, request: Request, before: Callable[[], Any] = lambda: None) -> tuple[list[Any], int]:
    """Return what was sent for a request whose body is slow, and how often the body was asked for."""
    sent: list[Any] = []
    asked: list[bytes | None] = []

    async def receive() -> Any:
        asked.append(request.chunks[0])
        await asyncio.sleep(0)
        before()
        return {"type": "http.request", "body": request.chunks[0]}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(play.middleware(request.scope(), receive, send))
    assert (play.guard.in_flight, play.guard.held) == (0, 0)
    return sent, len(asked)


def detail_of(play: Play) -> str:
    """Return the detail of the last decision, or its reason where it has none."""
    decision = play.records[-1].decision
    return decision.detail or decision.reason.value


def swap(store: FixedPolicies, found: Bundle | None) -> Callable[[], None]:
    """Return what puts a bundle in force."""
    return lambda: setattr(store, "bundle", found)


# the lines of the request, its body, the bundle that is in force when the body has come; the detail
WHILE_WAITING: list[Any] = [
    pytest.param(FROM_OFFICE, b'{"A":1}', "kept", "allowed", id="nothing changes"),
    pytest.param(
        FROM_OFFICE, b'{"Action":"X"}', "kept", "action_conflict", id="a body that names another action"
    ),
    pytest.param(FROM_OFFICE, b'{"A":1}', CLOSED, "explicit_deny", id="T107 another bundle"),
    pytest.param(FROM_OFFICE, b'{"A":1}', None, "policy_unavailable", id="T107 no bundle any more"),
]


@pytest.mark.parametrize(("line", "body", "found", "detail"), WHILE_WAITING)
def test_a_body_that_was_waited_for_is_judged_as_of_its_end(
    line: Line, body: bytes, found: Any, detail: str
) -> None:
    store = FixedPolicies()
    play = Play(policies=store)
    change = (lambda: None) if found == "kept" else swap(store, found)
    served(play, Request(lines=sdk(line), chunks=(body,)), change)
    assert detail_of(play) == detail
    assert bool(play.reached) is (detail == "allowed")
    assert play.guard.faults == 0


# lines; what happens to a denied call: how often its body is asked for, whether the connection ends
DENIED: list[Any] = [
    pytest.param(sdk(FROM_ELSEWHERE), False, 1, 0, id="a middleware takes the body of a denied call"),
    pytest.param(
        sdk(FROM_OFFICE, x_tc_action=b"New"), False, 1, 0, id="and of an action that the catalog lacks"
    ),
    pytest.param(
        sdk(FROM_ELSEWHERE, EXPECT), False, 0, 1, id="but not where the client waits for 100 Continue"
    ),
    pytest.param(sdk(FROM_ELSEWHERE), True, 0, 0, id="a gateway reads it behind the answer"),
    pytest.param(sdk(FROM_ELSEWHERE, EXPECT), True, 0, 1, id="or ends the connection of a client that waits"),
    pytest.param(sdk((b"x-forwarded-for", b"x")), False, 0, 0, id="a rejected head needs no body"),
]


@pytest.mark.parametrize(("lines", "drains", "asked", "closed"), DENIED)
def test_whether_the_body_of_a_denied_call_is_taken(
    lines: tuple[Line, ...], drains: bool, asked: int, closed: int
) -> None:
    play = Play(drains=True) if drains else Play()  # the default is that of a middleware
    for _ in range(2):  # the second request is recognised
        sent, count = served(play, Request(lines=lines))
        assert (count, sent[0]["headers"].count((b"connection", b"close"))) == (asked, closed)
    assert not play.reached


# length that is declared, body; the detail of a GET
GETS = [
    pytest.param(b"0", b"", "allowed", id="no body"),
    pytest.param(b"7", b'{"A":1}', "body_on_get", id="a declared body"),
    pytest.param(b"0", b'{"A":1}', "body_on_get", id="a body that is not declared"),
]


@pytest.mark.parametrize(("length", "body", "detail"), GETS)
def test_a_get_has_no_body(length: bytes, body: bytes, detail: str) -> None:
    lines = (*sdk(FROM_OFFICE, content_type=FORM), (b"content-length", length))
    play = Play()
    served(play, Request(lines=lines, method="GET", chunks=(body,)))
    assert detail_of(play) == detail


def test_a_get_is_refused_for_the_cause_for_which_its_body_could_not_be_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = Play()
    monkeypatch.setattr(play.guard.bodies, "take", lambda *_: rejection("overloaded"))
    served(play, Request(lines=sdk(FROM_OFFICE, content_type=FORM), method="GET"))
    assert detail_of(play) == "overloaded"


@RECOGNISES
def test_as_many_requests_as_the_limit_are_served_and_no_more_recognised_or_not() -> None:
    play = Play(limits(concurrency=2))
    for others, detail in ((1, "allowed"), (1, "allowed"), (2, "overloaded")):
        play.guard.in_flight = others
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b'{"A":1}'}

        asyncio.run(play.middleware(Request(lines=sdk(FROM_OFFICE)).scope(), receive, send))
        assert play.guard.in_flight == others
        assert detail_of(play) == detail
        play.guard.in_flight = 0


@pytest.mark.parametrize(("moment", "judged"), [(5.0, True), (5.5, False)], ids=["at its end", "behind it"])
def test_a_bundle_is_fresh_until_the_moment_of_its_end(moment: float, judged: bool) -> None:
    policies = FixedPolicies()
    policies.fresh_until = 5.0
    judge = EarlyJudge(SETTINGS, policies, FixedCaller(), Lane, compares=False)
    scope = Request(lines=sdk(FROM_OFFICE)).scope()
    decision = judge.judge(scope, None, None, policies.bundle, NOW, moment, 1).decision
    assert decision is not None
    assert (decision.detail != "policy_unavailable") is judged


@RECOGNISES
def test_a_recognised_request_draws_an_id_where_none_is_ready() -> None:
    play = Play()
    names = set()
    for body in (b'{"A":1}', b'{"A":1}', b'{"A":"\\u0041"}'):
        READY_IDS.clear()
        reply = play.reply_to(lines=sdk(FROM_OFFICE), chunks=(body,))
        assert reply.passed
        names.add(reply.records[0].request_id)
    assert len(names) == 3
    assert all(0 < record.duration < 60 for record in play.records)


def test_a_candidate_does_not_judge_a_call_whose_body_was_refused() -> None:
    play = Play(candidate=FixedPolicies(CLOSED))
    reply = play.reply_to(lines=sdk(FROM_OFFICE), chunks=(b'{"Action":"X"}',))
    assert (reply.detail, reply.records[0].candidate) == ("action_conflict", None)


@RECOGNISES
def test_t66_a_fault_behind_a_kept_decision_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(SETTINGS_TRIED[0], Lane)
    known = (("authorization", "good"), ("x-camguard-principal", None), ("body", b'{"A":"\\u0041"}'))

    async def ask() -> Any:
        await world.ask(Ask(known))
        return world.records[0].decision

    assert asyncio.run(ask())
    assert asyncio.run(ask())
    monkeypatch.setattr(type(world.guard), "_onward", Broken(ValueError("secret")))
    assert asyncio.run(ask()) == rejection("internal_error")
    assert (world.reached, world.guard.faults) == ([], 1)
