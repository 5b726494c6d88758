"""Envoy's question over gRPC: one place for each fact, and an answer that overwrites (T140, T141)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from camguard.errors import SettingsError
from camguard.settings import Address
from tests.authorizer.asking import IDENTITY, Stage, asked_by
from tests.stage import ELSEWHERE, HOST, OFFICE, sdk

grpc = pytest.importorskip("grpc", reason="the extra `authorizer-grpc`")

from camguard.authorizer.envoy_grpc import grpc_listening, original, peer_of, response  # noqa: E402
from camguard.authorizer.envoy_messages import SERVICE, CheckRequest, CheckResponse  # noqa: E402

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
        "size": 7,
        "header_map": {"headers": [*pseudo, *headers]},
        **fields,
    }
    source = {"address": {"socket_address": {"address": address, "port_value": 4711}}}
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


PEERS = [
    pytest.param("ipv4:10.0.0.1:40000", ("10.0.0.1", 40000), id="IPv4"),
    pytest.param("ipv6:[2001:db8::1]:1", ("2001:db8::1", 1), id="IPv6"),
    pytest.param("ipv6:%5B2001:db8::1%5D:1", ("2001:db8::1", 1), id="IPv6 as gRPC escapes it"),
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
                ask = channel.unary_unary(
                    f"/{SERVICE}/Check",
                    request_serializer=CheckRequest.SerializeToString,
                    response_deserializer=CheckResponse.FromString,
                )
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

    with pytest.raises(SettingsError, match=r"gateway.authorizer_grpc: cannot listen on 192.0.2.1:1"):
        asyncio.run(scene())
