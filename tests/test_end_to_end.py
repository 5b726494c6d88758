"""The main job: the vendor's own SDK, with keys, against a running gateway and the shipped company.

Nothing is a stand-in but the upstream, which is the echo, and the resolver, which sends the vendor's host
names to loopback.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.running import Front, Gateway, running

pytest.importorskip("httptools", reason="the gateway needs the extra `serve`")

aiart_client = pytest.importorskip("tencentcloud.aiart.v20221229.aiart_client", reason="the vendor's SDK")
models = pytest.importorskip("tencentcloud.aiart.v20221229.models")
credential = pytest.importorskip("tencentcloud.common.credential")
CommonClient = pytest.importorskip("tencentcloud.common.common_client").CommonClient
ClientProfile = pytest.importorskip("tencentcloud.common.profile.client_profile").ClientProfile
HttpProfile = pytest.importorskip("tencentcloud.common.profile.http_profile").HttpProfile
StandardRetryer = pytest.importorskip("tencentcloud.common.retry").StandardRetryer
SDKError: type[Any] = pytest.importorskip(
    "tencentcloud.common.exception.tencent_cloud_sdk_exception"
).TencentCloudSDKException

OFFICE, ELSEWHERE = "10.1.2.3", "198.51.100.7"
ALICE, EMEKA, FARM = "uin/100000000101", "uin/100000000105", "role/render-farm"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("company") / "config", IDENTITY__MODE="signature") as gateway:
        yield gateway


@pytest.fixture
def front(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """Give the way into the company: the vendor's host names lead to it."""
    resolve = socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        named = isinstance(host, str) and host.endswith(".tencentcloudapi.com")
        return resolve("127.0.0.1" if named else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with Front(OFFICE, gateway.calls) as front:
        yield front


def profile(service: str, front: Front, method: str = "POST") -> Any:
    """Return the SDK's settings of somebody who wants every failure retried."""
    http = HttpProfile(
        protocol="http",
        endpoint=f"{service}.tencentcloudapi.com:{front.port}",
        reqMethod=method,
        reqTimeout=10,
    )
    return ClientProfile(httpProfile=http, retryer=StandardRetryer(max_attempts=3))


def artist(gateway: Gateway, front: Front, principal: str = ALICE, method: str = "POST") -> Any:
    identity = credential.Credential(*gateway.key(principal))
    return aiart_client.AiartClient(identity, "ap-guangzhou", profile("aiart", front, method))


def partner(gateway: Gateway, front: Front, method: str = "POST") -> Any:
    identity = credential.Credential(*gateway.key(EMEKA))
    return CommonClient(
        "intlpartnersmgt", "2022-09-28", identity, "", profile("intlpartnersmgt", front, method)
    )


def series(gateway: Gateway, service: str, access: str, decision: str, reason: str) -> float:
    """Return one counter of decisions as Prometheus would read it."""
    labels = (
        f'access="{access}",decision="{decision}",listener="gateway",reason="{reason}",service="{service}"'
    )
    return gateway.metrics().get(f"camguard_decisions_total{{{labels}}}", 0)


def draw() -> Any:
    request = models.GenerateAvatarRequest()
    request.InputUrl = "http://example.com/a.png?b=c&d=ä"
    return request


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_allowed_call_returns_what_the_upstream_answered(
    gateway: Gateway, front: Front, method: str
) -> None:
    before = series(gateway, "aiart", "read", "allow", "allowed")
    answer = artist(gateway, front, method=method).call_json("GenerateAvatar", {"InputUrl": "ä &=+"})[
        "Response"
    ]
    assert answer["Action"] == "GenerateAvatar"
    assert answer["Principal"] == ALICE
    assert answer["SourceIp"] == OFFICE
    assert answer["Region"] == "ap-guangzhou"
    assert re.fullmatch(UUID, answer["RequestId"])
    assert series(gateway, "aiart", "read", "allow", "allowed") == before + 1


def test_an_allowed_call_of_a_typed_client(gateway: Gateway, front: Front) -> None:
    assert re.fullmatch(UUID, artist(gateway, front).GenerateAvatar(draw()).RequestId)


def test_an_allowed_call_of_the_common_client(gateway: Gateway, front: Front) -> None:
    answer = partner(gateway, front).call_json("QueryBudgetDetail", {"Page": 1, "Name": "ünï"})["Response"]
    assert (answer["Service"], answer["Action"]) == ("intlpartnersmgt", "QueryBudgetDetail")


def test_an_allowed_call_with_a_file(gateway: Gateway, front: Front) -> None:
    raw = partner(gateway, front).call_octet_stream("CheckInQnList", {"X-Note": "1"}, b"\x00\xff" * 1000)
    assert raw["Response"]["BodyBytes"] == 2000


Call = Callable[[Gateway, Front], object]


def by_wrong_key(gateway: Gateway, front: Front) -> object:
    identity = credential.Credential(gateway.key(ALICE)[0], "not-the-secret-key-of-alice-00000")
    return aiart_client.AiartClient(identity, "", profile("aiart", front)).GenerateAvatar(draw())


def by_unknown_key(_gateway: Gateway, front: Front) -> object:
    identity = credential.Credential("AKIDnobodyHasThisKey0000000000000000", "x" * 32)
    return aiart_client.AiartClient(identity, "", profile("aiart", front)).GenerateAvatar(draw())


DENIED = [
    pytest.param(
        lambda g, f: artist(g, f).call_json("SetPayMode", {}),
        OFFICE,
        "AuthFailure.UnauthorizedOperation",
        ("aiart", "write", "explicit_deny"),
        id="a denied action",
    ),
    pytest.param(
        lambda g, f: artist(g, f).GenerateAvatar(draw()),
        ELSEWHERE,
        "AuthFailure.UnauthorizedOperation",
        ("aiart", "read", "no_allow"),
        id="an allowed action from outside the office",
    ),
    pytest.param(
        lambda g, f: partner(g, f).call_json("DeleteBudget", {}),
        OFFICE,
        "UnauthorizedOperation",
        ("intlpartnersmgt", "write", "no_allow"),
        id="an action that nothing allows",
    ),
    pytest.param(
        lambda g, f: partner(g, f, "GET").call_json("QueryBudgetDetail", {}),
        ELSEWHERE,
        "UnauthorizedOperation",
        ("intlpartnersmgt", "read", "no_allow"),
        id="a GET from outside the office",
    ),
    pytest.param(
        lambda g, f: partner(g, f).call_json("QueryNothingAtAll", {}),
        OFFICE,
        "InvalidAction",
        ("intlpartnersmgt", "_unknown", "action_unknown"),
        id="an action that the catalog does not list",
    ),
    pytest.param(
        by_wrong_key,
        OFFICE,
        "AuthFailure.SignatureFailure",
        ("aiart", "read", "signature_invalid"),
        id="a wrong secret key",
    ),
    pytest.param(
        by_unknown_key,
        OFFICE,
        "AuthFailure.SecretIdNotFound",
        ("aiart", "read", "secret_id_unknown"),
        id="a key that does not exist",
    ),
]


@pytest.mark.parametrize(("call", "address", "code", "labels"), DENIED)
def test_a_denied_call_raises_once_with_its_code(
    gateway: Gateway, front: Front, call: Call, address: str, code: str, labels: tuple[str, str, str]
) -> None:
    service, access, reason = labels
    before = series(gateway, service, access, "deny", reason)
    front.address = address
    with pytest.raises(SDKError) as caught:
        call(gateway, front)
    assert caught.value.get_code() == code
    assert re.fullmatch(UUID, caught.value.get_request_id())
    assert len(front.heads) == 1, "the SDK repeated a call that was refused"
    assert series(gateway, service, access, "deny", reason) == before + 1


@pytest.fixture(scope="module")
def second(gateway: Gateway) -> Iterator[Gateway]:
    """Give a gateway before the gateway: it forwards to one that verifies every signature again."""
    upstream = f"http://127.0.0.1:{gateway.calls}"
    with running(gateway.folder, IDENTITY__MODE="signature", UPSTREAM__DEFAULT=upstream) as second:
        yield second


UNCHANGED = [
    pytest.param(lambda c: c.call_json("CheckInQnList", {"Name": "ünï &=+%"}), "POST", id="JSON"),
    pytest.param(lambda c: c.call_json("CheckInQnList", {"Name": "ünï &=+% ~'", "B": "."}), "GET", id="GET"),
    pytest.param(lambda c: c.call_octet_stream("CheckInQnList", {}, bytes(range(256))), "POST", id="bytes"),
]


@pytest.mark.parametrize(("call", "method"), UNCHANGED)
def test_a_signature_still_verifies_behind_the_gateway(
    gateway: Gateway, second: Gateway, front: Front, call: Callable[[Any], Any], method: str
) -> None:
    front.gateway = second.calls
    valid = 'camguard_signature_checks_total{result="valid"}'
    before = gateway.metrics().get(valid, 0)
    assert call(partner(gateway, front, method))["Response"]["Action"] == "CheckInQnList"
    assert gateway.metrics()[valid] == before + 1


def test_an_upstream_that_is_gone_raises_once(gateway: Gateway, front: Front) -> None:
    with running(gateway.folder, UPSTREAM__DEFAULT="http://127.0.0.1:1") as lonely:
        front.gateway = lonely.calls
        with pytest.raises(SDKError) as caught:
            artist(gateway, front).GenerateAvatar(draw())
    assert caught.value.get_code() == "InternalError"
    assert re.fullmatch(UUID, caught.value.get_request_id())
    assert len(front.heads) == 1


def test_a_caller_may_not_say_where_he_is(gateway: Gateway, front: Front) -> None:
    front.address = ELSEWHERE
    request = draw()
    request.headers = {"X-Forwarded-For": OFFICE, "X-Real-Ip": OFFICE, "Forwarded": f"for={OFFICE}"}
    with pytest.raises(SDKError, match="not authorized"):
        artist(gateway, front).GenerateAvatar(request)


def test_nothing_that_a_caller_wrote_is_a_label(gateway: Gateway, front: Front) -> None:
    secret_id, _ = gateway.key(ALICE)
    client = artist(gateway, front)
    for action in ("Zz9Marker", "TextToImagf"):
        with pytest.raises(SDKError):
            client.call_json(action, {"Marker": "Zz9Marker"})
    text = gateway.get("/metrics")[1]
    for written in ("Zz9Marker", "TextToImagf", secret_id, "100000000101", OFFICE, "guangzhou"):
        assert written not in text


def test_metrics_count_signatures_and_addresses(gateway: Gateway, front: Front) -> None:
    valid = 'camguard_signature_checks_total{result="valid"}'
    forwarded = 'camguard_client_ip_total{method="forwarded"}'
    before = gateway.metrics()
    artist(gateway, front).GenerateAvatar(draw())
    after = gateway.metrics()
    assert after[valid] == before.get(valid, 0) + 1
    assert after[forwarded] == before.get(forwarded, 0) + 1


def test_the_gateway_prints_its_addresses(gateway: Gateway) -> None:
    assert gateway.get("/-/healthy") == (200, "healthy\n")
    assert gateway.get("/-/ready") == (200, '{"ready":true,"missing":[],"failing":[]}')
    status = json.loads(gateway.get("/api/status")[1])
    assert status["actions"] == 281
    assert gateway.key(ALICE)[1] not in json.dumps(status)
