"""Requests whose body is not complete: which of them yield, and that they delay no other request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from camguard.authn.authenticator import authenticator
from camguard.ipset import parse_address
from camguard.request.body import BodyBuffer, HeldBody, Taken
from camguard.request.rejection import rejection
from camguard.request.waiting import Waiting, client_key
from camguard.settings import IdentitySettings
from tests.authn.signing import NOW as SIGNED_AT
from tests.authn.signing import authorization, keys, tc3
from tests.stage import NOW, OFFICE, PROXY, FixedCaller, FixedPolicies, Play, Request, bundle, limits, sdk

OVERLOADED = rejection("overloaded")
LINES = sdk((b"x-forwarded-for", OFFICE.encode()))


class Uploads:
    """Requests that wait. Each has a name, sends what a test passes to it, and has a result at its end."""

    def __init__(self, intake: BodyBuffer) -> None:
        self.intake = intake
        self.tasks: dict[str, asyncio.Task[Taken]] = {}
        self.queues: dict[str, asyncio.Queue[Any]] = {}

    async def begin(self, name: str, address: str, first: bytes = b"") -> None:
        queue = self.queues[name] = asyncio.Queue()
        taking = self.intake.take(queue.get, None, 1 << 20, parse_address(address))
        assert isinstance(taking, Awaitable)
        self.tasks[name] = asyncio.ensure_future(taking)
        await self.send(name, first)

    async def send(self, name: str, part: bytes, *, more: bool = True) -> None:
        self.queues[name].put_nowait({"type": "http.request", "body": part, "more_body": more})
        for _ in range(4):
            await asyncio.sleep(0)

    def at_hand(self, body: bytes, address: str) -> Any:
        """Return what becomes of a request whose body came with its head."""

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        return self.intake.take(receive, len(body), 1 << 20, parse_address(address))

    def yielded(self) -> list[str]:
        return [name for name, task in self.tasks.items() if task.done() and task.result() is OVERLOADED]

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert (self.intake.waiting.count, self.intake.waiting.size) == (0, 0)


def played(scene: Callable[[Uploads], Awaitable[None]], budget: int = 1000, *bounds: int) -> None:
    async def whole() -> None:
        uploads = Uploads(BodyBuffer(budget, 5.0, Waiting(*(bounds or (100, 50)))))
        await scene(uploads)
        await uploads.end()

    asyncio.run(whole())


# bounds: overall, of one address; the addresses in the order in which they begin to wait; those that yield
BOUNDS = [
    pytest.param((3, 3), "aaa", "", id="none, up to the bound"),
    pytest.param((3, 3), "aaaa", "0", id="the oldest, of one address"),
    pytest.param((3, 3), "aaaaa", "01", id="the two oldest, of one address"),
    pytest.param((9, 2), "aabab", "0", id="the oldest of the address that is above its own bound"),
    pytest.param((4, 4), "baaab", "1", id="the oldest of the address that has most, though another is older"),
    pytest.param((3, 3), "abcd", "0", id="the oldest of all, where each address has one"),
    pytest.param((1, 1), "ab", "0", id="never the newcomer"),
    pytest.param((9, 1), "aabb", "02", id="each address for itself"),
]


@pytest.mark.parametrize(("bounds", "addresses", "yielded"), BOUNDS)
def test_the_requests_that_yield_where_too_many_wait(
    bounds: tuple[int, int], addresses: str, yielded: str
) -> None:
    async def scene(uploads: Uploads) -> None:
        for number, letter in enumerate(addresses):
            await uploads.begin(str(number), f"203.0.113.{ord(letter)}")
        assert "".join(uploads.yielded()) == yielded
        assert uploads.intake.waiting.count == len(addresses) - len(yielded)
        assert uploads.intake.waiting.yields == len(yielded)

    played(scene, 1000, *bounds)


def test_an_ipv6_network_is_one_client() -> None:
    def key(text: str) -> int | None:
        return client_key(parse_address(text))

    assert key("2001:db8::1") == key("2001:db8::ffff:ffff:ffff:ffff")
    assert key("2001:db8::1") != key("2001:db8:0:1::1")
    assert key("::") == key("::1")
    assert key("0:0:0:1::") not in {key("::"), key("0:0:0:2::"), key("0.0.0.0"), key("0.0.0.1")}  # noqa: S104
    assert key("203.0.113.7") != key("203.0.113.8")
    assert key("0.0.0.0") not in {key("::"), key("0.0.0.1"), None}  # noqa: S104 - an address like any other
    assert key("::ffff:203.0.113.7") == key("203.0.113.7")
    assert client_key(None) is None


def test_incomplete_bodies_make_room_for_one_at_hand() -> None:
    async def scene(uploads: Uploads) -> None:
        for number in range(3):
            await uploads.begin(str(number), "203.0.113.1", b"x" * 300)
        assert uploads.intake.held == 900
        assert uploads.at_hand(b"y" * 500, "203.0.113.2").data == b"y" * 500
        assert uploads.intake.held == 800
        await asyncio.sleep(0.001)
        assert uploads.yielded() == ["0", "1"]
        await uploads.send("2", b"", more=False)
        found = uploads.tasks["2"].result()
        assert isinstance(found, HeldBody)
        assert found.data == b"x" * 300
        uploads.intake.kept -= 800

    played(scene)


def test_bytes_are_freed_at_once_and_only_those_that_are_needed() -> None:
    async def scene(uploads: Uploads) -> None:
        await uploads.begin("honest", "203.0.113.2", b"x" * 200)
        await uploads.begin("first", "203.0.113.1", b"x" * 300)
        await uploads.begin("second", "203.0.113.1", b"x" * 300)
        await uploads.begin("third", "203.0.113.1", b"x" * 300)
        assert uploads.intake.held == 800
        assert uploads.yielded() == ["first"]
        assert uploads.at_hand(b"y" * 1001, "203.0.113.3") is OVERLOADED
        assert uploads.at_hand(b"y" * 900, "203.0.113.3").data == b"y" * 900
        assert uploads.intake.held == 900
        assert uploads.at_hand(b"y" * 101, "203.0.113.4") is OVERLOADED  # complete ones never yield
        uploads.intake.kept -= 900

    played(scene)


def test_the_largest_client_yields_itself_where_it_grows_above_the_budget() -> None:
    async def scene(uploads: Uploads) -> None:
        await uploads.begin("small", "203.0.113.1", b"x" * 100)
        await uploads.begin("large", "203.0.113.2", b"x" * 800)
        await uploads.send("large", b"x" * 150)
        assert uploads.yielded() == ["large"]
        assert uploads.intake.held == 100

    played(scene)


def test_a_server_that_catches_the_cancellation_hands_over_nothing() -> None:
    async def scene(uploads: Uploads) -> None:
        async def receive() -> Any:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                return {"type": "http.request", "body": b"x" * 600}

        taking = uploads.intake.take(receive, 600, 1000, parse_address("203.0.113.1"))
        assert isinstance(taking, Awaitable)
        stubborn = uploads.tasks["stubborn"] = asyncio.ensure_future(taking)
        await asyncio.sleep(0)
        await uploads.begin("next", "203.0.113.1")
        await asyncio.wait([stubborn])
        assert uploads.yielded() == ["stubborn"]
        assert uploads.intake.held == 0
        assert stubborn.cancelling() == 0

    played(scene, 1000, 1, 1)


@pytest.mark.parametrize("part", [b"", b"{"], ids=["nothing of the body", "a part of the body"])
def test_a_thousand_that_wait_take_no_place_of_those_that_are_served(part: bytes) -> None:
    async def scene() -> None:
        play = Play(limits(concurrency=2, waiting=500, waiting_per_client=200))
        hung = asyncio.Event()
        sent: list[list[Any]] = []

        async def receive() -> Any:
            if part and not hung.is_set():
                hung.set()
                return {"type": "http.request", "body": part, "more_body": True}
            return await asyncio.Event().wait()

        async def waits() -> None:
            sent.append([])
            answer = sent[-1]
            hung.clear()

            async def send(message: Any) -> None:
                answer.append(message)

            request = Request(lines=(*LINES, (b"content-length", b"7")), length=False)
            await play.middleware(request.scope(), receive, send)

        tasks = []
        for _ in range(1000):
            tasks.append(asyncio.create_task(waits()))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (play.guard.in_flight, play.guard.waiting) == (0, 200)
        await asyncio.sleep(0)
        oldest = [answer for answer in sent if answer]
        assert len(oldest) == 800
        assert all(b'"RequestLimitExceeded"' in answer[1]["body"] for answer in oldest)
        assert all((b"connection", b"close") in answer[0]["headers"] for answer in oldest)
        got: list[Any] = []

        async def takes(message: Any) -> None:
            got.append(message)

        async def at_hand() -> Any:
            return {"type": "http.request", "body": b'{"A":1}'}

        await play.middleware(Request(lines=LINES).scope(), at_hand, takes)
        assert got[-1]["body"] == b"OK"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (play.guard.in_flight, play.guard.waiting, play.guard.held) == (0, 0, 0)

    asyncio.run(scene())


def test_a_complete_body_is_refused_where_too_many_are_served_by_then() -> None:
    async def scene() -> Play:
        play = Play(limits(concurrency=1))
        queue: asyncio.Queue[Any] = asyncio.Queue()

        async def send(message: Any) -> None:
            del message

        task = asyncio.create_task(play.middleware(Request(lines=LINES).scope(), queue.get, send))
        await asyncio.sleep(0)
        play.guard.in_flight += 1
        queue.put_nowait({"type": "http.request", "body": b'{"A":1}'})
        await task
        play.guard.in_flight -= 1
        return play

    play = asyncio.run(scene())
    assert (play.records[0].decision, play.reached) == (OVERLOADED, [])
    assert (play.guard.in_flight, play.guard.held) == (0, 0)


DENY_ALL = {"version": "2.0", "statement": {"effect": "deny", "action": "*", "resource": "*"}}


def after_a_change(
    store: FixedPolicies, authentication: FixedCaller, change: Callable[[], None], **request: Any
) -> Play:
    """Serve a request whose body ends after a change."""

    async def scene() -> Play:
        play = Play(policies=store, authentication=authentication, clock=lambda: NOW)
        served = Request(**{"lines": LINES, **request})
        parts = [{"type": "http.request", "body": b'{"A"', "more_body": True}]

        async def receive() -> Any:
            if parts:
                return parts.pop()
            await asyncio.sleep(0)
            change()
            return {"type": "http.request", "body": b":1}"}

        async def send(message: Any) -> None:
            del message

        await play.middleware(served.scope(), receive, send)
        assert (play.guard.in_flight, play.guard.waiting, play.guard.held) == (0, 0, 0)
        return play

    return asyncio.run(scene())


OCTETS = sdk((b"x-forwarded-for", OFFICE.encode()), content_type=b"application/octet-stream")
SIGNED = (*LINES, (b"authorization", b"TC3-HMAC-SHA256 ..."))


@pytest.mark.parametrize(
    "lines", [pytest.param(LINES, id="decided by the head"), pytest.param(SIGNED, id="decided with the body")]
)
def test_a_body_that_ends_after_a_revocation_is_judged_by_what_is_in_force(lines: Any) -> None:
    store = FixedPolicies()

    def revoke() -> None:
        store.bundle = bundle({"office": DENY_ALL, "instances": DENY_ALL})

    play = after_a_change(store, FixedCaller(), revoke, lines=lines)
    assert play.records[0].decision.reason.value == "explicit_deny"
    assert play.reached == []


def test_a_body_that_ends_after_a_grant_is_judged_by_what_is_in_force() -> None:
    store = FixedPolicies(
        bundle({"office": {"version": "2.0", "statement": []} | DENY_ALL, "instances": DENY_ALL})
    )
    granted = bundle()

    def grant() -> None:
        store.bundle = granted

    play = after_a_change(store, FixedCaller(), grant, lines=SIGNED)
    assert play.records[0].decision
    assert [message["body"] for message in play.reached[0][1]] == [b'{"A":1}']


def test_a_body_that_ends_after_its_caller_was_revoked_is_refused() -> None:
    authentication = FixedCaller()

    def revoke() -> None:
        authentication.found = rejection("secret_id_unknown")

    for lines in (SIGNED, (*OCTETS, SIGNED[-1])):
        authentication.found = FixedCaller().found
        play = after_a_change(FixedPolicies(), authentication, revoke, lines=lines)
        bodies = [message.get("body") for _, messages in play.reached for message in messages]
        if lines is SIGNED:
            assert (play.records[0].decision.detail, bodies) == ("secret_id_unknown", [])
        else:  # it passes through: the last part does not go on
            assert bodies == [b'{"A"', None]


class Source:
    """Keys that a test may replace."""

    def __init__(self) -> None:
        self.keys = keys()


# the keys in force when the body is complete; what becomes of the call
ROTATIONS = [
    pytest.param({}, "allowed", id="the same"),
    pytest.param({"enabled": False}, "secret_id_unknown", id="the key was disabled"),
    pytest.param(
        {"secret_key": "ANOTHER-SECRET-KEY-0000000000000"}, "signature_invalid", id="it was rotated"
    ),
    pytest.param({"expires": SIGNED_AT - 1}, "key_expired", id="it has expired"),
    pytest.param({"principal": "uin/100000000102"}, "no_allow", id="it belongs to somebody else"),
]


@pytest.mark.parametrize("late", [False, True], ids=["the body in two parts", "the body after the head"])
@pytest.mark.parametrize(("change", "outcome"), ROTATIONS)
def test_a_body_that_ends_after_its_key_was_revoked_is_judged_by_the_keys_in_force(
    change: dict[str, Any], outcome: str, late: bool
) -> None:
    source = Source()
    play = Play(authentication=authenticator(IdentitySettings(), source), clock=lambda: float(SIGNED_AT))
    signed = authorization(tc3(payload=b'{"A":1}')).encode()
    lines = sdk(
        (b"x-forwarded-for", OFFICE.encode()),
        (b"authorization", signed),
        host=b"aiart.tencentcloudapi.com",
        x_tc_action=b"TextToImage",
        x_tc_timestamp=b"%d" % SIGNED_AT,
    )
    parts = [(b'{"A":1}', False)] if late else [(b":1}", False), (b'{"A"', True)]

    async def receive() -> Any:
        body, more = parts.pop()
        if not more:
            await asyncio.sleep(0)
            source.keys = keys(**change)
        return {"type": "http.request", "body": body, "more_body": more}

    async def send(message: Any) -> None:
        del message

    scope = Request(lines=(*lines, (b"content-length", b"7")), length=False).scope()
    asyncio.run(play.middleware(scope, receive, send))
    decision = play.records[0].decision
    assert (decision.detail or decision.reason.value) == outcome
    assert bool(play.reached) == (outcome == "allowed")
    assert (play.guard.in_flight, play.guard.waiting, play.guard.held) == (0, 0, 0)


def test_a_stream_is_cut_before_its_last_part_where_a_revocation_came_between() -> None:
    store = FixedPolicies()

    def revoke() -> None:
        store.bundle = bundle({"office": DENY_ALL, "instances": DENY_ALL})

    play = after_a_change(store, FixedCaller(), revoke, lines=OCTETS)
    assert [message.get("body") for message in play.reached[0][1]] == [b'{"A"', None]
    kept = after_a_change(FixedPolicies(), FixedCaller(), lambda: None, lines=OCTETS)
    assert [message.get("body") for message in kept.reached[0][1]] == [b'{"A"', b":1}"]


def test_a_fault_after_the_wait_is_a_refusal_and_gives_the_bytes_back() -> None:
    store = FixedPolicies()
    for name in ("bundle", "stale"):
        broken = FixedPolicies()

        def breaks(name: str = name, broken: FixedPolicies = broken) -> None:
            delattr(broken, name)

        play = after_a_change(broken, FixedCaller(), breaks, lines=SIGNED)
        assert play.records[0].decision is rejection("internal_error")
        assert play.reached == []
    assert after_a_change(store, FixedCaller(), lambda: None, lines=SIGNED).records[0].decision


def test_the_head_is_not_read_again_after_a_wait() -> None:
    """T26: the server may have added trailers to the headers by then."""
    scope = Request(lines=(*SIGNED, (b"content-length", b"7")), length=False).scope()

    def trailer() -> None:
        scope["headers"].append((b"x-tc-action", b"PayOrders"))

    async def scene() -> Play:
        play = Play()

        async def receive() -> Any:
            await asyncio.sleep(0)
            trailer()
            return {"type": "http.request", "body": b'{"A":1}'}

        async def send(message: Any) -> None:
            del message

        await play.middleware(scope, receive, send)
        return play

    play = asyncio.run(scene())
    assert play.records[0].decision
    assert play.records[0].action == "QueryArea"
    assert play.records[0].peer == PROXY


class Ends:
    """A watch that notes whose wait it ends."""

    def __init__(self) -> None:
        self.ended: list[Any] = []

    def end(self, task: Any) -> None:
        self.ended.append(task)


def entered(waiting: Waiting, watch: Any, *waits: tuple[int, str, int]) -> list[Any]:
    """Enter waits: client address, name of the task, and bytes that have arrived."""
    found = []
    for place, task, size in waits:
        found.append(waiting.enter(place, task, watch))  # type: ignore[arg-type]  # a name will do
        waiting.grow(found[-1], b"x" * size)
    return found


def test_room_is_made_by_the_client_that_holds_most_and_by_its_oldest_wait_with_bytes() -> None:
    waiting, watch = Waiting(100, 100), Ends()
    first, *_ = entered(waiting, watch, (1, "a", 30), (1, "b", 10), (2, "c", 0), (2, "d", 15), (2, "e", 9))
    assert waiting.leave(first) == b"x" * 30
    assert (waiting.size, waiting.count) == (34, 4)
    assert waiting.free(1)
    assert watch.ended == ["d"]
    assert (waiting.size, waiting.count, waiting.yields) == (19, 3, 1)
    assert waiting.free(19)
    assert watch.ended == ["d", "b", "e"]
    assert (waiting.size, waiting.count) == (0, 1)


def test_room_that_cannot_be_made_ends_no_wait() -> None:
    waiting, watch = Waiting(100, 100), Ends()
    (only,) = entered(waiting, watch, (1, "a", 5))
    assert not waiting.free(6)
    assert not waiting.free(5, only)
    assert watch.ended == []
    assert waiting.free(5)
    assert watch.ended == ["a"]
    assert waiting.leave(only) == b""
    assert waiting.free(0)
