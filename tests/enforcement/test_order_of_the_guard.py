"""The whole way: bodies and bundles that come late, limits that are reached, and the cost of a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from camguard.authn.authenticator import authenticator
from camguard.bundle import Bundle
from camguard.enforcement.early import EarlyJudge
from camguard.enforcement.lane import Lane
from camguard.enforcement.outcome import Outcome
from camguard.engine.decision import Reason
from camguard.header_names import SERVICE_HEADER
from camguard.request.body import show_nothing
from camguard.request.head import READY_IDS
from camguard.request.rejection import rejection
from camguard.settings import IdentitySettings
from tests.authn.signing import NOW as SIGNED_AT
from tests.authn.signing import SECRET_ID
from tests.enforcement.test_shared_hosts import EVERYTHING, Keys, bundle_of, request_of
from tests.enforcement.test_shared_hosts import play_of as shared_play_of
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
    Reply,
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


# --- the second request of a kind, which is recognised -----------------------------------------------------


def asked(play: Play, request: Request) -> Reply:
    """Return the reply to a request whose body is there at once."""
    return asyncio.run(play.serve(request))


class Proxied:
    """A guard that a proxy asks, and the outcomes of the requests that it is given."""

    def __init__(self, **parts: Any) -> None:
        self.play = Play(for_proxy=True, **parts)

    def outcome(self, request: Request, *, shows: bool = True) -> Outcome:
        """Return the outcome of a request. shows: whether the proxy shows its body."""

        async def receive() -> Any:
            return {"type": "http.request", "body": request.chunks[0]}

        async def scene() -> Outcome | None:
            found = self.play.guard.handle(request.scope(), receive if shows else show_nothing)
            return found if isinstance(found, tuple) else await found

        outcome = asyncio.run(scene())
        assert outcome is not None
        self.play.guard.release(outcome)
        assert (self.play.guard.in_flight, self.play.guard.held, self.play.guard.faults) == (0, 0, 0)
        return outcome


SIGNING: dict[str, Any] = {
    "policies": FixedPolicies(EVERYTHING),
    "authentication": authenticator(IdentitySettings(), Keys()),
    "clock": lambda: float(SIGNED_AT),
}
AT_AIART = "aiart.tencentcloudapi.com"


@RECOGNISES
@pytest.mark.parametrize("line", [FROM_OFFICE, FROM_ELSEWHERE], ids=["an allowed call", "a denied call"])
def test_a_proxy_is_answered_alike_each_time(line: Line) -> None:
    proxied = Proxied()
    for _ in range(3):
        _, onward, _, refusal, _, _ = proxied.outcome(Request(lines=sdk(line)))
        assert (onward is None, refusal is None) == (line is FROM_ELSEWHERE, line is FROM_OFFICE)


@RECOGNISES
@pytest.mark.parametrize("body", [b"", b"{}"], ids=["an empty body", "a body"])
def test_t141_a_body_that_is_not_shown_is_not_taken_for_the_one_that_was_signed(body: bytes) -> None:
    proxied = Proxied(**SIGNING)
    request = request_of(AT_AIART, body=body)
    for shows in (True, True, False, True):
        record, onward, *_ = proxied.outcome(request, shows=shows)
        assert (onward is not None) is shows
        assert (record.decision.detail == "body_not_shown") is not shows


@RECOGNISES
def test_an_unknown_key_is_refused_after_a_known_one() -> None:
    proxied = Proxied(**SIGNING)
    known = request_of(AT_AIART)
    unknown = Request(
        lines=tuple((name, value.replace(SECRET_ID.encode(), b"AKIDunknown")) for name, value in known.lines),
        chunks=known.chunks,
    )
    details = [proxied.outcome(request)[0].decision.detail for request in (known, known, unknown, known)]
    assert details == [None, None, "secret_id_unknown", None]


@RECOGNISES
@pytest.mark.parametrize("drains", [True, False], ids=["a gateway", "a middleware"])
@pytest.mark.parametrize("extra", [(), (EXPECT,)], ids=["", "with Expect"])
def test_a_forged_signature_is_refused_as_such_where_the_call_is_denied(
    drains: bool, extra: tuple[Line, ...]
) -> None:
    nothing = FixedPolicies(bundle_of({"effect": "deny"}))
    play = Play(drains=drains, **(SIGNING | {"policies": nothing}))
    good = request_of(AT_AIART, lines=extra)
    forged = request_of(AT_AIART, signed=b"another body", lines=extra)
    for request, detail in ((good, "explicit_deny"), (good, "explicit_deny"), (forged, "signature_invalid")):
        asked(play, request)
        assert detail_of(play) == detail


@RECOGNISES
@pytest.mark.parametrize("drains", [True, False], ids=["a gateway", "a middleware"])
@pytest.mark.parametrize("extra", [(), (EXPECT,)], ids=["", "with Expect"])
def test_an_allowed_call_goes_on_each_time(drains: bool, extra: tuple[Line, ...]) -> None:
    play = Play(drains=drains)
    for _ in range(3):
        asked(play, Request(lines=sdk(FROM_OFFICE, *extra)))
    assert [message["body"] for _, (message,) in play.reached] == [b'{"A":1}'] * 3


@RECOGNISES
def test_t123_the_service_of_a_shared_host_is_named_each_time() -> None:
    play = shared_play_of()
    for _ in range(3):
        asked(play, request_of())
    added = [
        [value for name, value in scope["headers"] if name == SERVICE_HEADER] for scope, _ in play.reached
    ]
    assert added == [[b"aiart"]] * 3


@RECOGNISES
def test_the_record_of_each_request_names_the_trace_of_the_request() -> None:
    play = Play()
    for at in (b"1", b"2", b"3"):
        trace = (b"traceparent", b"00-" + at * 32 + b"-" + at * 16 + b"-01")
        asked(play, Request(lines=sdk(FROM_OFFICE, trace, (b"x-request-id", b"job-" + at))))
    assert [(each.trace_id, each.client_request_id) for each in play.records] == [
        (at * 32, f"job-{at}") for at in "123"
    ]


@RECOGNISES
def test_the_record_of_a_signed_request_is_the_same_each_time_but_for_its_own_facts() -> None:
    """The body holds an escape, so that each of the requests goes the whole way."""
    play = Play(**SIGNING)
    for at in (b"1", b"2", b"3"):
        trace = (b"traceparent", b"00-" + at * 32 + b"-" + at * 16 + b"-01")
        asked(play, request_of(AT_AIART, body=b'{"A":"\\u0041"}', lines=(trace,)))
    assert [each.trace_id for each in play.records] == ["1" * 32, "2" * 32, "3" * 32]
    assert all(0 < each.duration < 60 for each in play.records)
    own: dict[str, Any] = {"trace_id": None, "duration": 0.0, "request_id": ""}
    first, *others = [each._replace(**own) for each in play.records]
    assert others == [first, first]
    assert play.records[2].decision.reason is Reason.ALLOWED


class Scope(Mapping[str, Any]):
    """A scope that is no dictionary, as ASGI does not forbid it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


@RECOGNISES
@pytest.mark.parametrize("kind", [dict, Scope])
def test_the_scope_of_a_server_is_left_alone_each_time(kind: Any) -> None:
    play = Play()
    fields = Request(lines=sdk(FROM_OFFICE)).scope()
    before = {**fields, "headers": list(fields["headers"])}
    for _ in range(3):
        asyncio.run(play.serve(Request(), fields if kind is dict else kind(fields)))
        assert fields == before
    assert len(play.reached) == 3
    assert play.guard.faults == 0
