"""Envoy's question over gRPC: one place for each fact, and an answer that overwrites (T140, T141)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from camguard.authorizer.answers import Answer
from camguard.authorizer.dialects import OriginalRequest
from camguard.errors import Problem, SettingsError
from camguard.request.body import show_nothing
from camguard.request.rejection import rejection
from camguard.settings import Address
from tests.authorizer.asking import IDENTITY, Stage, asked_by
from tests.stage import ELSEWHERE, HOST, OFFICE, sdk

grpc = pytest.importorskip("grpc", reason="the extra `authorizer-grpc`")

from camguard.authorizer.envoy_grpc import Service, grpc_listening, original, peer_of, response  # noqa: E402
from camguard.authorizer.envoy_messages import CheckRequest, CheckResponse  # noqa: E402

PEER = ("10.0.0.1", 40000)
MARK = (b"x-envoy-auth-partial-body", b"false")
LINES = (*sdk(), IDENTITY, MARK)


def check(lines: Any = LINES, *, address: str = OFFICE, **fields: Any) -> Any:
    """Return the question about one request. fields: of its HTTP part."""
    headers = [{"key": name.decode(), "raw_value": value} for name, value in lines]
    pseudo = [{"key": ":path", "raw_value": b"/other"}, {"key": ":method", "raw_value": b"PUT"}]
    http = {
        "method": "POST",
        "path": "/",
        "host": HOST.decode(),
        "raw_body": b'{"A":1}',
        "header_map": {"headers": [*pseudo, *headers]},
        **fields,
    }
    source = {"address": {"socket_address": {"address": address}}}
    return CheckRequest(attributes={"source": source, "request": {"http": http}})


def word(stage: Stage, question: Any, peer: Any = PEER, *, shows_bodies: bool = True) -> str:
    """Return `allow`, or the detail or the reason of the refusal."""
    asked = original(question, peer, shows_bodies=shows_bodies)
    answer = asyncio.run(stage.app.answer(asked, peer))
    assert answer is not None
    decision = stage.records[-1].decision
    return "allow" if answer.status == 200 else decision.detail or str(decision.reason)


STAGE = Stage()
QUESTIONS: list[Any] = [
    pytest.param({}, "allow", id="a call from the office"),
    pytest.param({"address": ELSEWHERE}, "no_allow", id="a call from elsewhere"),
    pytest.param({"path": "/?Action=DeleteBudget", "method": "GET", "raw_body": b""}, "action_conflict",
                 id="T140 the path has the query"),
    pytest.param({"path": "/?a=1", "query": "a=1"}, "allow", id="T140 the same query twice"),
    pytest.param({"path": "/?a=1", "query": "a=2"}, "front_header_invalid", id="T140 another query"),
    pytest.param({"query": "a=2"}, "front_header_invalid", id="T140 a query beside a path without one"),
    pytest.param({"fragment": "x"}, "front_header_invalid", id="T140 a fragment"),
    pytest.param({"body": '{"A":1}'}, "allow", id="T140 the same body twice"),
    pytest.param({"body": '{"A":2}'}, "front_header_invalid", id="T140 another body"),
    pytest.param({"path": "/x"}, "path_not_allowed", id="T140 another path"),
    pytest.param({"path": "//"}, "path_not_allowed", id="T140 two slashes"),
    pytest.param({"path": ""}, "path_not_allowed", id="T140 no path"),
    pytest.param({"host": ""}, "front_header_invalid", id="T140 no host"),
    pytest.param({"host": "a,b"}, "host_invalid", id="T140 two hosts"),
    pytest.param({"method": ""}, "front_header_invalid", id="T140 no method"),
    pytest.param({"method": "PUT"}, "method_not_allowed", id="T140 another method"),
    pytest.param({"address": ""}, "client_ip_invalid", id="T140 no address"),
    pytest.param({"address": f"{OFFICE},{OFFICE}"}, "client_ip_invalid", id="T140 two addresses"),
    pytest.param({"header_map": {}}, "front_header_invalid", id="T140 no headers of their own lines"),
    pytest.param({"lines": (*LINES, (b"x-tc-action", b"QueryArea"))}, "header_duplicate", id="T140 twice"),
    pytest.param({"lines": (*LINES, (b"x_tc_action", b"QueryArea"))}, "header_alias", id="T140 an alias"),
    pytest.param({"lines": (*LINES, (b"upgrade", b"h2c"))}, "upgrade_refused", id="T140 an upgrade"),
    pytest.param({"lines": (*LINES, (b"x-forwarded-for", OFFICE.encode())), "address": ELSEWHERE}, "no_allow",
                 id="T140 an address in a header"),
    pytest.param({"lines": (*LINES, (b"host", b"aiart.tencentcloudapi.com"))}, "allow",
                 id="T140 a host in a header"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), QUESTIONS)
def test_each_fact_has_one_place(changes: dict[str, Any], expected: str) -> None:
    assert word(STAGE, check(**changes)) == expected


BODIES = [
    pytest.param((MARK,), True, "body_malformed", id="T141 a body that is shown"),
    pytest.param((MARK,), False, "allow", id="T141 a body that the settings do not list"),
    pytest.param((), True, "allow", id="T141 nothing says that the body is whole"),
    pytest.param((MARK, MARK), True, "allow", id="T141 it is said twice"),
    pytest.param(((MARK[0], b"true"),), True, "allow", id="T141 the body is cut"),
]


@pytest.mark.parametrize(("marks", "shows", "expected"), BODIES)
def test_a_body_is_read_where_it_is_shown_whole(marks: Any, shows: bool, expected: str) -> None:
    """A body that is no JSON is refused where it is read, and not read where it is not shown."""
    question = check((*sdk(), IDENTITY, *marks), raw_body=b'{"Action":')
    assert word(STAGE, question, shows_bodies=shows) == expected


# Further lines of the client, and those that the guard is given with the two at the end.
OTHER = ((b"accept", b"*/*"), (b"x-tc-token", b"\xff"))
ENDS = ((b"host", HOST), (b"x-forwarded-for", OFFICE.encode()))
LENGTH = (b"content-length", b"7")
GIVEN = [
    pytest.param((*OTHER, MARK), (*OTHER, *ENDS, LENGTH), id="T141 a body that is shown has its length"),
    pytest.param(OTHER, (*OTHER, *ENDS), id="T141 a body that is not shown has none"),
    pytest.param((*OTHER, (MARK[0], b"true")), (*OTHER, *ENDS),
                 id="T140 the mark is no header of the client"),
    pytest.param(((b"host", b"other.example"), *OTHER), (*OTHER, *ENDS), id="T140 a host in a header"),
    pytest.param(((b"x-forwarded-for", b"192.0.2.1"), *OTHER), (*OTHER, *ENDS), id="T140 an address"),
    pytest.param(((b"content-length", b"9"), *OTHER, MARK), (*OTHER, *ENDS, LENGTH),
                 id="T141 the length is that of the bytes that are shown"),
    pytest.param(((b"transfer-encoding", b"chunked"), *OTHER, MARK), (*OTHER, *ENDS, LENGTH),
                 id="T141 the coding of the client is not that of the bytes that are shown"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "given"), GIVEN)
def test_the_guard_is_given_the_request_whole(lines: Any, given: Any) -> None:
    asked = original(check(lines), PEER, shows_bodies=True)
    assert isinstance(asked, OriginalRequest)
    assert asked.scope == {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [*given],
        "client": PEER,
        "http_version": "1.1",
        "extensions": {},
    }

    async def received() -> list[Any]:
        return [await asked.receive() for _ in range(2)]

    if LENGTH in given:
        body = {"type": "http.request", "body": b'{"A":1}', "more_body": False}
        assert asyncio.run(received()) == [body, {"type": "http.disconnect"}]
    else:
        assert asked.receive is show_nothing


def test_headers_are_read_in_lower_case_and_as_text_where_there_are_no_bytes() -> None:
    headers = [{"key": "X-TC-Action", "raw_value": b"A"}, {"key": "accept", "value": "*/*"}]
    asked = original(check(header_map={"headers": headers}), PEER, shows_bodies=False)
    assert isinstance(asked, OriginalRequest)
    assert asked.scope["headers"] == [(b"x-tc-action", b"A"), (b"accept", b"*/*"), *ENDS]


def test_a_query_holds_every_character_but_controls_blanks_and_a_fragment() -> None:
    """T140."""
    refused = {*map(chr, range(33)), chr(127), "#"}
    for each in map(chr, range(256)):
        asked = original(check(path=f"/?a={each}", method="GET"), PEER, shows_bodies=False)
        if each in refused:
            assert asked == rejection("path_not_allowed"), each
        else:
            assert isinstance(asked, OriginalRequest)
            assert asked.scope["query_string"] == f"a={each}".encode()


@pytest.mark.parametrize("address", ["", ",", f"{OFFICE},"], ids=lambda text: f"T140 {text or 'nothing'}")
def test_a_source_that_is_no_single_address_is_refused(address: str) -> None:
    asked = original(check(address=address), PEER, shows_bodies=False)
    assert asked == rejection("client_ip_invalid")


PEERS = [
    pytest.param("ipv4:10.0.0.1:40000", ("10.0.0.1", 40000), id="IPv4"),
    pytest.param("ipv6:[2001:db8::1]:1", ("2001:db8::1", 1), id="IPv6"),
    pytest.param("ipv6:%5B2001:db8::1%5D:1", ("2001:db8::1", 1), id="IPv6 as gRPC escapes it"),
    pytest.param("ipv6:%5BFE80::A%5D:65535", ("FE80::A", 65535), id="IPv6 in capital letters"),
    pytest.param("ipv6:[::ffff:10.0.0.1]:40000", ("::ffff:10.0.0.1", 40000), id="IPv6 that maps IPv4"),
    pytest.param("ipv6:[fe80::1%2]:40000", ("fe80::1%2", 40000), id="IPv6 with the number of a zone"),
    pytest.param("ipv4:10.0.0.1:40000,ipv4:10.0.0.2:1", None, id="two peers"),
    pytest.param("ipv4:10.0.0.1", None, id="IPv4 without a port"),
    pytest.param("unix:/run/x.sock", None, id="a Unix socket"),
    pytest.param("", None, id="nothing"),
]


@pytest.mark.parametrize(("text", "peer"), PEERS)
def test_peers(text: str, peer: Any) -> None:
    assert peer_of(text) == peer


@pytest.mark.parametrize("peer", [None, ("10.9.9.9", 1)], ids=["unknown", "no proxy"])
def test_a_peer_that_is_no_trusted_proxy_is_not_believed(peer: Any) -> None:
    """T140."""
    assert word(Stage(), check(), peer) == "front_untrusted"


def test_an_answer_overwrites() -> None:
    """T140: no header of a client stays beside one of camguard."""
    for address, kept in ((OFFICE, "x-camguard-decision"), (ELSEWHERE, "content-type")):
        answer = asyncio.run(
            STAGE.app.answer(original(check(address=address), PEER, shows_bodies=True), PEER)
        )
        assert answer is not None
        found = response(answer)
        part = found.ok_response if address == OFFICE else found.denied_response
        assert {each.append_action for each in part.headers} == {2}
        assert {each.header.key for each in part.headers} == {kept, "x-camguard-request-id"}
        assert found.status.code == (0 if address == OFFICE else 7)
        if address == ELSEWHERE:
            assert (part.body, part.status.code) == (answer.body.decode(), 403)


@pytest.mark.parametrize("address", [OFFICE, ELSEWHERE], ids=["an allow", "a refusal"])
def test_an_answer_has_the_values_of_its_headers(address: str) -> None:
    answer = asyncio.run(STAGE.app.answer(original(check(address=address), PEER, shows_bodies=True), PEER))
    assert answer is not None
    request_id = {"key": "x-camguard-request-id", "value": STAGE.records[-1].request_id}
    allow = {"key": "x-camguard-decision", "value": "allow"}
    json = {"key": "content-type", "value": "application/json"}
    kept = [allow, request_id] if address == OFFICE else [request_id, json]
    headers = [{"header": each, "append_action": 2} for each in kept]
    denied = {"status": {"code": 403}, "headers": headers, "body": answer.body.decode()}
    if address == OFFICE:
        assert response(answer) == CheckResponse(status={"code": 0}, ok_response={"headers": headers})
    else:
        assert response(answer) == CheckResponse(status={"code": 7}, denied_response=denied)


def asking(channel: Any) -> Any:
    """Return what asks the service over a channel, as Envoy does."""
    return channel.unary_unary(
        "/envoy.service.auth.v3.Authorization/Check",
        request_serializer=CheckRequest.SerializeToString,
        response_deserializer=CheckResponse.FromString,
    )


class AbortedError(Exception):
    """A call of gRPC that ends without an answer."""


class Context:
    """What gRPC hands over beside a message: the peer, and a way to end the call without an answer."""

    def peer(self) -> str:
        """Return the address of the proxy."""
        return f"ipv4:{PEER[0]}:{PEER[1]}"

    async def abort(self, code: Any, details: str) -> None:
        """End the call."""
        raise AbortedError(code, details)


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        pytest.param(("envoy",), 7, id="T141 a body that Envoy shows is read"),
        pytest.param(("nginx", "haproxy"), 0, id="T141 a body that the settings do not list is not read"),
    ],
)
def test_the_service_reads_bodies_where_the_settings_list_envoy(bodies: Any, expected: int) -> None:
    settings = asked_by(bodies=bodies)
    service = Service(settings, Stage(settings).app)
    question = check(raw_body=b'{"Action":')
    answer = asyncio.run(service.check(question, Context()))
    assert answer.status.code == expected


class Silent:
    """An authorizer whose proxy has left before the answer."""

    async def answer(self, *_: Any) -> None:
        """Return no answer."""


def test_a_proxy_that_has_left_gets_no_answer() -> None:
    service = Service(asked_by(), Silent())  # type: ignore[arg-type]
    with pytest.raises(AbortedError) as caught:
        asyncio.run(service.check(check(), Context()))
    assert caught.value.args[0] is grpc.StatusCode.UNAVAILABLE


def test_the_service_answers_over_the_network() -> None:
    """An allow, a denial, and no answer at all where nothing can be decided."""
    local = asked_by(bodies=["envoy"])
    proxies = replace(
        local.client_ip, trusted_proxies=type(local.client_ip.trusted_proxies).of(("127.0.0.1",))
    )
    settings = replace(local, client_ip=proxies)

    async def scene() -> list[Any]:
        stage, broken = Stage(settings), Stage(settings, policies=type("No", (), {"bundle": None})())
        found: list[Any] = []
        for each in (stage, broken):
            listening = grpc_listening(settings, Address("127.0.0.1", 0), each.app, shared=False)
            async with listening as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                ask = asking(channel)
                for address in (OFFICE, ELSEWHERE):
                    try:
                        found.append((await ask(check(address=address), timeout=60)).status.code)
                    except grpc.aio.AioRpcError as error:
                        found.append(error.code())
        return found

    unavailable = grpc.StatusCode.UNAVAILABLE
    assert asyncio.run(scene()) == [0, 7, unavailable, unavailable]


def test_an_address_that_cannot_be_bound_is_an_error_of_the_settings() -> None:
    async def scene() -> None:
        address = Address("192.0.2.1", 1)
        async with grpc_listening(asked_by(), address, STAGE.app, shared=False):
            pytest.fail("it listens")

    with pytest.raises(SettingsError) as caught:
        asyncio.run(scene())
    message = "cannot listen on 192.0.2.1:1"
    assert caught.value.problems == (Problem("gateway.authorizer_grpc", "BindError", message),)


@pytest.mark.parametrize("shared", [True, False], ids=["several processes", "one process"])
def test_a_port_is_shared_where_several_processes_serve_it(shared: bool) -> None:
    async def scene() -> int:
        first = grpc_listening(asked_by(), Address("127.0.0.1", 0), STAGE.app, shared=shared)
        async with first as port:
            second = grpc_listening(asked_by(), Address("127.0.0.1", port), STAGE.app, shared=shared)
            async with second as other:
                return other - port

    if shared:
        assert asyncio.run(scene()) == 0
    else:
        with pytest.raises(SettingsError, match="cannot listen"):
            asyncio.run(scene())


def test_a_message_may_be_as_large_as_head_and_body_and_one_mebibyte() -> None:
    """T101: a larger one is refused before camguard has it whole."""
    settings = replace(asked_by(), limits=replace(asked_by().limits, body_bytes=3000, header_bytes=2000))
    largest = 3000 + 2000 + (1 << 20)

    async def scene() -> list[Any]:
        listening = grpc_listening(settings, Address("127.0.0.1", 0), Stage(settings).app, shared=False)
        found: list[Any] = []
        async with listening as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for size in (largest, largest + 1):
                question = check(raw_body=b"x" * largest)
                question.attributes.request.http.raw_body = b"x" * (largest - (question.ByteSize() - size))
                assert question.ByteSize() == size
                try:
                    found.append((await asking(channel)(question, timeout=60)).status.code)
                except grpc.aio.AioRpcError as error:
                    found.append(error.code())
        return found

    assert asyncio.run(scene()) == [7, grpc.StatusCode.RESOURCE_EXHAUSTED]


class Waiting:
    """An authorizer that answers its first question once `may_answer` is set, and every other one at once."""

    def __init__(self) -> None:
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.answered = 0

    async def answer(self, *_: Any) -> Answer:
        """Return an allow."""
        if not self.asked.is_set():
            self.asked.set()
            await self.may_answer.wait()
        self.answered += 1
        return Answer(200, [], b"")


def test_the_questions_of_a_listener_are_bounded_and_answered_before_it_ends() -> None:
    """T101: one more than `limits.concurrency` is refused; the end of the listener waits for the others."""
    settings = replace(asked_by(), limits=replace(asked_by().limits, concurrency=1))

    async def scene() -> tuple[Any, int, int]:
        waiting = Waiting()
        listening = grpc_listening(settings, Address("127.0.0.1", 0), waiting, shared=False)  # type: ignore[arg-type]
        async with listening as port:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            first = asyncio.ensure_future(asking(channel)(check(), timeout=60))
            await waiting.asked.wait()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asking(channel)(check(), timeout=60)
            asyncio.get_running_loop().call_soon(waiting.may_answer.set)
        answered = waiting.answered
        code = (await first).status.code
        await channel.close()
        return caught.value.code(), answered, code

    assert asyncio.run(scene()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1, 0)
