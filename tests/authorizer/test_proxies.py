"""The vendor's SDK through real proxies with the configurations of `camguard front` (T140, T141)."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from camguard.settings import AuthorizerSettings, Settings
from camguard.wiring import SHOWN_BODY_SECONDS
from tests.authn.signing import authorization, tc3
from tests.authorizer.proxies import (
    ALICE,
    ELSEWHERE,
    HOST,
    OFFICE,
    PROXIES,
    Asked,
    Client,
    Impostor,
    Proxy,
    Upstream,
    over_http2,
    proxy,
    running_authorizer,
)
from tests.running import PATIENCE, fetch, free_port

pytest.importorskip("httptools", reason="the gateway needs the extra `serve`")
aiart_client = pytest.importorskip("tencentcloud.aiart.v20221229.aiart_client", reason="the vendor's SDK")
credential = pytest.importorskip("tencentcloud.common.credential")
ClientProfile = pytest.importorskip("tencentcloud.common.profile.client_profile").ClientProfile
HttpProfile = pytest.importorskip("tencentcloud.common.profile.http_profile").HttpProfile
StandardRetryer = pytest.importorskip("tencentcloud.common.retry").StandardRetryer
SDKError: type[Any] = pytest.importorskip(
    "tencentcloud.common.exception.tencent_cloud_sdk_exception"
).TencentCloudSDKException
pytestmark = pytest.mark.heavy

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DENIED = "AuthFailure.UnauthorizedOperation"
# Proxies that show camguard the bodies of requests; the others are asked in a mode that needs none.
SHOWING: frozenset[str] = frozenset(("envoy", "envoy-grpc", "haproxy", "nginx"))
SMALL: frozenset[str] = frozenset(("haproxy",))  # proxies that hold no body of several MiB
BODY = b'{"InputUrl":"http://example.com/a.png"}'


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(autouse=True)
def _nothing_was_forwarded(upstream: Upstream) -> None:
    upstream.requests.clear()


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Asked]:
    """Run a camguard that verifies signatures."""
    folder = tmp_path_factory.mktemp("signed") / "config"
    with running_authorizer(folder, upstream.port, IDENTITY__MODE="signature") as asked:
        yield asked


@pytest.fixture(scope="module")
def claimed(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Asked]:
    """Run a camguard that believes the SecretId, because the upstream verifies the signature."""
    folder = tmp_path_factory.mktemp("claimed") / "config"
    with running_authorizer(folder, upstream.port, IDENTITY__MODE="claimed") as asked:
        yield asked


@pytest.fixture(scope="module", params=[pytest.param(name, id=f"behind {name}") for name in PROXIES])
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, signed: Asked, claimed: Asked
) -> Iterator[Proxy]:
    name: str = request.param
    asked = signed if name in SHOWING else claimed
    with proxy(name, tmp_path_factory.mktemp(name) / "run", asked.settings) as front:
        yield front


@pytest.fixture(autouse=True)
def _names_lead_here(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.1" if host == HOST else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def sdk(asked: Asked, front: Proxy, method: str = "POST", *, seconds: int = 10) -> Any:
    """Return the SDK's client of alice, who wants every failure retried."""
    http = HttpProfile(protocol="http", endpoint=f"{HOST}:{front.port}", reqMethod=method, reqTimeout=seconds)
    profile = ClientProfile(httpProfile=http, retryer=StandardRetryer(max_attempts=3))
    identity = credential.Credential(*asked.gateway.key(ALICE))
    return aiart_client.AiartClient(identity, "ap-guangzhou", profile)


def lines(
    asked: Asked,
    front: Proxy,
    *more: tuple[str, str],
    method: str = "POST",
    action: str = "GenerateAvatar",
    payload: bytes = BODY,
) -> list[tuple[str, str]]:
    """Return the header lines of a call that alice signed over a body, and some more."""
    secret_id, secret = asked.gateway.key(ALICE)
    now, host = int(time.time()), f"{HOST}:{front.port}"
    names = (("content-type", "application/json"), ("host", host))
    payload = payload if method == "POST" else b""
    signature = tc3(method=method, payload=payload, signed=names, timestamp=now, secret=secret)
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    return [
        ("Host", host),
        ("Content-Type", "application/json"),
        ("Authorization", authorization(signature, secret_id=secret_id, date=day)),
        ("X-TC-Action", action),
        ("X-TC-Version", "2022-12-29"),
        ("X-TC-Region", "ap-guangzhou"),
        ("X-TC-Timestamp", str(now)),
        *more,
    ]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_allowed_call_passes_once_as_it_was_sent(
    front: Proxy, asked: Asked, upstream: Upstream, method: str
) -> None:
    answer = sdk(asked, front, method).call_json("GenerateAvatar", {"Prompt": "ä 猫 &=+"})["Response"]
    assert answer["Action"] == "GenerateAvatar", front.log()
    ((sent, target, headers, body),) = upstream.requests
    named = {name.lower(): value for name, value in headers}
    assert (sent, named["host"]) == (method, f"{HOST}:{front.port}")
    assert "Prompt" in (body.decode() if method == "POST" else target)
    assert re.fullmatch(UUID, named["x-camguard-request-id"])


def test_a_denied_call_fails_once_with_its_code(front: Proxy, asked: Asked, upstream: Upstream) -> None:
    with pytest.raises(SDKError) as caught:
        sdk(asked, front).call_json("SetPayMode", {})
    assert caught.value.code == DENIED
    assert re.fullmatch(UUID, caught.value.requestId)
    assert upstream.requests == []


# Answers of a server in camguard's place; none of them may let a call pass.
IMPOSTORS = [
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", id="200 to everything"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nX-Camguard-Decision: deny\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        id="200 with the word deny",
    ),
    pytest.param(
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        id="a redirection",
    ),
    pytest.param(
        b"HTTP/1.1 500 No\r\nX-Camguard-Decision: allow\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        id="500 with the word allow",
    ),
    pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
    pytest.param(None, id="no answer in time"),
]


@pytest.fixture(scope="module")
def impostor() -> Iterator[Impostor]:
    with Impostor() as impostor:
        yield impostor


@pytest.fixture(scope="module", params=[pytest.param(name, id=f"behind {name}") for name in PROXIES])
def misled(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    signed: Asked,
    claimed: Asked,
    impostor: Impostor,
) -> Iterator[Proxy]:
    """Run a proxy that asks the impostor."""
    name: str = request.param
    asked = signed if name in SHOWING else claimed
    with proxy(name, tmp_path_factory.mktemp(name) / "run", asked.settings, impostor.port) as front:
        yield front


@pytest.mark.parametrize("answer", IMPOSTORS)
def test_nothing_passes_without_camguard_saying_allow(
    misled: Proxy, claimed: Asked, impostor: Impostor, upstream: Upstream, answer: bytes | None
) -> None:
    impostor.answers, impostor.asked = answer, 0
    with pytest.raises(SDKError) as caught:
        sdk(claimed, misled, seconds=8).call_json("GenerateAvatar", {})
    assert impostor.asked > 0
    assert (caught.value.code, upstream.requests) == ("InternalError", [])


def test_an_allow_is_not_kept_for_the_next_request(
    misled: Proxy, claimed: Asked, impostor: Impostor, upstream: Upstream
) -> None:
    """T140, though headers of the allow say that it may be kept."""
    if misled.name == "envoy-grpc":
        pytest.skip("a message of gRPC has no headers that let it be kept")
    answer = (
        "HTTP/1.1 {} OK\r\nX-Camguard-Decision: {}\r\nX-Camguard-Request-Id: 7\r\nContent-Length: 0\r\n"
        'Cache-Control: public, max-age=3600\r\nETag: "1"\r\nConnection: close\r\n\r\n'
    )
    client = Client(misled.port)
    sent = lines(claimed, misled)
    impostor.answers, impostor.asked = answer.format(200, "allow").encode(), 0
    assert client.ask("POST", "/", sent, BODY).code is None
    impostor.answers = answer.format(403, "deny").encode()
    client.ask("POST", "/", sent, BODY)
    client.close()
    assert (impostor.asked, len(upstream.requests)) == (2, 1)


def test_nothing_passes_while_camguard_is_away(
    front: Proxy, asked: Asked, upstream: Upstream, tmp_path: Path
) -> None:
    with proxy(front.name, tmp_path / "run", asked.settings, free_port()) as alone:
        with pytest.raises(SDKError) as caught:
            sdk(asked, alone).call_json("GenerateAvatar", {})
        assert (caught.value.code, upstream.requests) == ("InternalError", [])


# What a client may write to be taken for somebody else, or for another request.
FORGED = (
    ("X-Real-IP", OFFICE),
    ("X-Forwarded-For", OFFICE),
    ("Forwarded", f"for={OFFICE}"),
    ("X-Original-Method", "GET"),
    ("X-Original-URI", "/"),
    ("X-Original-URL", f"http://{HOST}/"),
    ("X-Original-Host", "cvm.tencentcloudapi.com"),
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Uri", "/"),
    ("X-Forwarded-Host", "cvm.tencentcloudapi.com"),
    ("X-Camguard-Client-IP", OFFICE),
    ("X-Camguard-Decision", "allow"),
    ("X-Camguard-Service", "cvm"),
    ("X-Envoy-Auth-Partial-Body", "false"),
    ("X-Envoy-External-Address", OFFICE),
    ("X-Envoy-Original-Path", "/"),
    ("X-Forwarded-Email", "root@example.com"),
    ("X-Original-Forwarded-For", OFFICE),
    ("X-WebAuth-User", "root"),
)


@pytest.fixture
def asked(front: Proxy, signed: Asked, claimed: Asked) -> Asked:
    """Return the camguard that the proxy asks."""
    return signed if front.name in SHOWING else claimed


@pytest.fixture
def office(front: Proxy) -> Iterator[Client]:
    client = Client(front.port)
    yield client
    client.close()


@pytest.fixture
def elsewhere(front: Proxy) -> Iterator[Client]:
    client = Client(front.port, ELSEWHERE)
    yield client
    client.close()


def test_headers_of_a_client_tell_no_fact(
    front: Proxy, asked: Asked, office: Client, elsewhere: Client, upstream: Upstream
) -> None:
    """A client elsewhere that claims the office is denied, and none of its claims reaches the upstream."""
    spoofed = [line for line in FORGED if line[0] != "X-Camguard-Service"]
    reply = elsewhere.ask("POST", "/", lines(asked, front, *spoofed), BODY)
    assert (reply.code, upstream.requests) == (DENIED, [])
    reply = office.ask("POST", "/", lines(asked, front, *spoofed), BODY)
    assert reply.code is None, reply.body
    ((_, _, headers, _),) = upstream.requests
    named = {name.lower(): value for name, value in headers}
    assert named.get("x-forwarded-for", OFFICE) == OFFICE
    names = {name.lower() for name, _ in spoofed} - {"x-forwarded-for"}
    assert names & named.keys() == set()


# Other spellings of judged headers, which applications on CGI or WSGI take for the header itself.
JUDGED = (
    *("X-TC-Action", "X-TC-Version", "X-TC-Region", "X-TC-Timestamp", "X-TC-Token", "X-TC-Content-SHA256"),
    *("Content-Type", "Content-Encoding", "X-Forwarded-For", "X-Real-IP"),
    *("X-Camguard-Principal", "X-Camguard-Service", "X-Camguard-Request-Id"),
)


@pytest.mark.parametrize("sign", [pytest.param("_", id="T140 with _"), pytest.param(".", id="T140 with .")])
def test_another_spelling_of_a_judged_header_never_reaches_the_upstream(
    front: Proxy, asked: Asked, office: Client, upstream: Upstream, sign: str
) -> None:
    for judged in JUDGED:
        alias = judged.replace("-", sign)
        office.ask("POST", "/", lines(asked, front, (alias, "SetPayMode")), BODY)
        for _, _, headers, _ in upstream.requests:
            assert [value for _, value in headers].count("SetPayMode") == 0, alias
            assert [name.lower() for name, _ in headers].count("x-tc-action") == 1


def test_a_judged_header_that_stands_twice_is_refused(
    front: Proxy, asked: Asked, office: Client, upstream: Upstream
) -> None:
    reply = office.ask("POST", "/", lines(asked, front, ("X-TC-Action", "SetPayMode")), BODY)
    assert (reply.code is None, upstream.requests) == (False, [])


def test_two_clients_of_different_addresses_with_connections_that_stay(
    front: Proxy, asked: Asked, office: Client, elsewhere: Client, upstream: Upstream
) -> None:
    """Nothing of one request is kept for the next one on a connection, of clients or to camguard."""
    for _ in range(5):
        assert office.ask("POST", "/", lines(asked, front), BODY).code is None
        assert elsewhere.ask("POST", "/", lines(asked, front), BODY).code == DENIED
        assert office.ask("POST", "/", lines(asked, front, action="SetPayMode"), BODY).code == DENIED
    assert len(upstream.requests) == 5


def test_an_upgrade_is_refused(front: Proxy, asked: Asked, office: Client, upstream: Upstream) -> None:
    more = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
    reply = office.ask("GET", "/", lines(asked, front, *more, method="GET"))
    assert reply.status != 101
    assert [name for _, _, headers, _ in upstream.requests for name, _ in headers if name == "Upgrade"] == []


def test_a_path_other_than_the_root_is_refused(
    front: Proxy, asked: Asked, office: Client, upstream: Upstream
) -> None:
    for target in ("/x", "//", "/authz/nginx", "/_camguard", "/%2e%2e/"):
        assert office.ask("POST", target, lines(asked, front), BODY).code is not None, target
    assert upstream.requests == []


def test_a_body_of_5_mib(front: Proxy, asked: Asked, upstream: Upstream) -> None:
    """It passes whole, or is refused with the envelope: never cut, and never an error of the proxy."""
    call = sdk(asked, front).call_json
    if front.name in SMALL:
        with pytest.raises(SDKError) as caught:
            call("GenerateAvatar", {"Prompt": "x" * (5 << 20)})
        assert (caught.value.code, upstream.requests) == ("RequestSizeLimitExceeded", [])
    else:
        call("GenerateAvatar", {"Prompt": "x" * (5 << 20)})
        ((_, _, _, body),) = upstream.requests
        assert len(body) > 5 << 20


def test_without_bodies_a_signed_post_is_refused_and_a_signed_get_passes(
    signed: Asked, upstream: Upstream, tmp_path: Path
) -> None:
    """T141: the refusal names the missing part."""
    with proxy("nginx-auth-request", tmp_path / "run", signed.settings) as front:
        with pytest.raises(SDKError) as caught:
            sdk(signed, front).call_json("GenerateAvatar", {})
        assert caught.value.code == "UnsupportedProtocol"
        assert "the signature of the caller covers it" in caught.value.message
        assert sdk(signed, front, "GET").call_json("GenerateAvatar", {})["Response"]
        assert [sent for sent, *_ in upstream.requests] == ["GET"]


def test_a_path_with_an_extension_does_not_choose_the_type_of_a_refusal(
    front: Proxy, asked: Asked, office: Client
) -> None:
    """The SDKs read an envelope from application/json alone."""
    reply = office.ask("POST", "/a.html", lines(asked, front), BODY)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")


def test_an_empty_body_passes_where_its_signature_proves_it(
    front: Proxy, asked: Asked, office: Client, upstream: Upstream
) -> None:
    """T141. Envoy does not say that an empty body is whole, so there it is refused as not shown."""
    reply = office.ask("POST", "/", lines(asked, front, payload=b""))
    if front.name.startswith("envoy"):
        assert (reply.code, upstream.requests) == ("UnsupportedProtocol", [])
    else:
        assert (reply.code, [body for *_, body in upstream.requests]) == (None, [b""])
    upstream.requests.clear()
    if front.name in SHOWING:  # the signature is verified there, and it is one of another body
        assert office.ask("POST", "/", lines(asked, front)).code is not None
        assert upstream.requests == []


def test_a_body_that_was_promised_and_does_not_come_is_answered_within_a_second(signed: Asked) -> None:
    """T141, over a connection as a proxy has it."""
    facts = (("X-Original-Method", "POST"), ("X-Original-URI", "/"), ("X-Original-Host", HOST))
    sent = [*facts, ("X-Real-IP", OFFICE), ("X-TC-Action", "GenerateAvatar"), ("Content-Length", "2")]
    head = "".join(f"{name}: {value}\r\n" for name, value in (("Host", "camguard"), *sent))
    assert SHOWN_BODY_SECONDS < 1
    with socket.create_connection(("127.0.0.1", signed.port), timeout=PATIENCE) as sock:
        began = time.monotonic()
        sock.sendall(f"POST /authz/haproxy HTTP/1.1\r\n{head}\r\n".encode())
        answer = sock.recv(4096)
    assert b" 403 " in answer.split(b"\r\n")[0]
    assert b"x-camguard-decision: deny" in answer
    assert time.monotonic() - began < Settings().limits.body_seconds / 2, "it has waited for the other limit"


def test_calls_over_http_2(front: Proxy, asked: Asked, upstream: Upstream, tmp_path: Path) -> None:
    """Without TLS. nginx 1.22 has it at an address of its own only."""
    with contextlib.ExitStack() as stack:
        if front.name.startswith("nginx"):
            changes = {" default_server;": " default_server http2;"}
            folder = tmp_path / "run"
            front = stack.enter_context(proxy(front.name, folder, asked.settings, changes=changes))
        status, body = over_http2(front.port, lines(asked, front), BODY)
        assert (status, json.loads(body)["Response"]["Action"]) == ("200", "GenerateAvatar")
        status, body = over_http2(front.port, lines(asked, front, action="SetPayMode"), BODY)
        assert (status, json.loads(body)["Response"]["Error"]["Code"]) == ("200", DENIED)
    ((_, target, headers, received),) = upstream.requests
    named = {name.lower(): value for name, value in headers}
    assert (target, received, named["host"]) == ("/", BODY, f"{HOST}:{front.port}")


@pytest.mark.parametrize("name", sorted(SHOWING - {"nginx"}))  # nginx then has the other configuration
def test_a_proxy_that_is_configured_to_show_no_bodies(
    name: str, signed: Asked, upstream: Upstream, tmp_path: Path
) -> None:
    """T141, though camguard expects them: the signature does not fit no bytes."""
    hiding = replace(signed.settings, authorizer=AuthorizerSettings(bodies=frozenset()))
    with proxy(name, tmp_path / "run", hiding) as front:
        with pytest.raises(SDKError) as caught:
            sdk(signed, front).call_json("GenerateAvatar", {})
        expected = {"haproxy": "AuthFailure.SignatureFailure"}.get(name, "UnsupportedProtocol")
        assert (caught.value.code, upstream.requests) == (expected, [])
        assert sdk(signed, front, "GET").call_json("GenerateAvatar", {})["Response"]


def test_envoy_has_understood_what_was_printed(signed: Asked, tmp_path: Path) -> None:
    """Its own dump shows the values in force."""
    with proxy("envoy", tmp_path / "run", signed.settings) as front:
        admin = int((front.folder / "admin").read_text())
        status, text = fetch(f"http://127.0.0.1:{admin}/config_dump")
    assert status == 200
    found = dict(_members(json.loads(text)))
    assert found.get("failure_mode_allow", False) is False  # a default is left out of a dump
    assert found["path_prefix"] == "/authz/envoy"
    assert found["with_request_body"] == {"max_request_bytes": signed.settings.limits.body_bytes}
    assert found["timeout"] in {"1s", "61s"}
    assert found["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert found["use_remote_address"] is True
    assert found["status_on_error"] == {"code": "ServiceUnavailable"}
    assert found["headers_to_add"] == [
        {"key": "x-camguard-client-ip", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}
    ]
    assert found.get("normalize_path", False) is False
    assert "retry_policy" not in found


def _members(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield every member of every object in a document."""
    if isinstance(node, dict):
        yield from node.items()
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _members(each)


def test_nothing_passes_by_an_ok_of_grpc_without_the_word(
    signed: Asked, upstream: Upstream, tmp_path: Path
) -> None:
    """T140, also where the client writes the word itself."""
    grpc = pytest.importorskip("grpc", reason="the extra `authorizer-grpc`")
    ok = b"\x0a\x00\x1a\x00"  # a CheckResponse: status OK, and an empty OkHttpResponse
    handler = grpc.unary_unary_rpc_method_handler(lambda _request, _context: ok)
    server = grpc.server(ThreadPoolExecutor(1))
    service = "envoy.service.auth.v3.Authorization"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Check": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with proxy("envoy-grpc", tmp_path / "run", signed.settings, port) as front:
            client = Client(front.port)
            reply = client.ask("POST", "/", lines(signed, front, ("X-Camguard-Decision", "allow")), BODY)
            client.close()
        assert (reply.code, upstream.requests) == ("InternalError", [])
    finally:
        server.stop(None)
