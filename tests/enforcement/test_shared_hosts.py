"""Which hosts name a service, and what names it where the host does not: T123, and host labels (DEC-68)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from camguard.authn.authenticator import authenticator
from camguard.authn.credentials import KeyRing
from camguard.bundle import Bundle, make_bundle
from camguard.catalog.known_services import CamNames, KnownServices, read_known_services
from camguard.catalog.model import Catalog
from camguard.enforcement.service_index import ServiceIndex
from camguard.policy.document import parse_policy
from camguard.policy.resources import Owner
from camguard.request.header_rules import HeaderRules
from camguard.request.rejection import Rejection, rejection
from camguard.settings import EnforcementSettings, HostsSettings, IdentitySettings, LimitsSettings
from tests.authn.signing import FORM, JSON, SECRET_ID, authorization, keys, tc3, v1
from tests.authn.signing import NOW as SIGNED_AT
from tests.company import action, catalog, policy, principals, service
from tests.stage import SETTINGS, FixedPolicies, Play, Reply, Request
from tests.telemetry.samples import record_of

CALLER = "100000000101"
GATEWAY = "gateway.corp.example"
INSTANCE = "qcs::cvm:${region}:uin/${uin}:instance/${InstanceId}"
KNOWN = KnownServices(
    rows={
        "cbs:*": CamNames(("cvm:*",), sure=True),
        "vpc:AllocateAddresses": CamNames(("cvm:*",), sure=True),
    }
)
LISTED: Catalog = replace(
    catalog(
        service("aiart", "TextToImage"),
        service(
            "cvm",
            action("cvm:CreateDisks", version="2017-03-12"),
            "AllocateAddresses",
            action("cvm:AttachDisks", INSTANCE),
        ),
        service("vpc", "CreateSubnet"),
    ),
    known=KNOWN,
)


def bundle_of(*statements: Mapping[str, Any]) -> Bundle:
    """Return a bundle whose caller has a policy of these statements."""
    bound = principals(users={CALLER: ["p"]})
    return make_bundle({"p": policy("p", *statements)}, bound, LISTED)


EVERYTHING = bundle_of({})


class Keys:
    """A source of the one key that signs in these tests."""

    keys: KeyRing = keys()


def play_of(
    bundle: Bundle = EVERYTHING,
    *,
    identity: Mapping[str, Any] | None = None,
    mode: Any = "enforce",
    **hosts: Any,
) -> Play:
    """Return a middleware that verifies signatures and has a shared host."""
    rules = IdentitySettings(**(identity or {}))
    usual = {"shared": (GATEWAY,), "shared_by": "header"}
    settings = replace(
        SETTINGS,
        identity=rules,
        hosts=replace(SETTINGS.hosts, **{**usual, **hosts}),
        enforcement=EnforcementSettings(mode=mode),
    )
    clock = {"clock": lambda: float(SIGNED_AT)}
    return Play(
        settings, policies=FixedPolicies(bundle), authentication=authenticator(rules, Keys()), **clock
    )


def request_of(
    host: str = GATEWAY,
    scope: str = "aiart",
    called: str = "TextToImage",
    *,
    body: bytes = b"{}",
    signed: bytes | None = None,
    lines: tuple[tuple[bytes, bytes], ...] = (),
) -> Request:
    """Return a signed request. scope: the service that it is signed for. signed: the body that is signed."""
    names = (("content-type", JSON), ("host", host))
    signature = tc3(signed=names, payload=body if signed is None else signed, service=scope)
    usual = (
        (b"host", host.encode()),
        (b"content-type", JSON.encode()),
        (b"x-tc-action", called.encode()),
        (b"x-tc-timestamp", str(SIGNED_AT).encode()),
        (b"authorization", authorization(signature, service=scope).encode()),
    )
    return Request(lines=(*usual, *lines), chunks=(body,), client=("198.51.100.9", 1))


def reply_to(play: Play, request: Request) -> Reply:
    return asyncio.run(play.serve(request))


# a host below the root "example", and the label that it names; None: it names no service
HOSTS = [
    pytest.param("cvm.example", "cvm", id="T123 the label alone"),
    pytest.param("cvm.ap-guangzhou.example", "cvm", id="T123 a region"),
    pytest.param("cvm.intl.example", "cvm", id="T123 the international site"),
    pytest.param("cvm.internal.example", "cvm", id="T123 the internal network"),
    pytest.param("cvm.internal.ap-guangzhou.example", "cvm", id="T123 the internal network of a region"),
    pytest.param("cvm.ai.example", "cvm", id="T123 the ai hosts"),
    pytest.param("cvm.ai.ap-guangzhou.example", "cvm", id="T123 the ai hosts of a region"),
    pytest.param("cvm.ai.internal.example", "cvm", id="T123 the ai hosts of the internal network"),
    pytest.param("CVM.AI.example", "cvm", id="T123 letter case does not matter"),
    pytest.param("ai.example", None, id="T123 no label before ai"),
    pytest.param("cvm.ai.intl.example", None, id="T123 ai and intl together"),
    pytest.param("cvm.intl.ap-guangzhou.example", None, id="T123 a region behind intl"),
    pytest.param(
        "cvm.ai.internal.ap-guangzhou.example", None, id="T123 a region behind the ai internal host"
    ),
    pytest.param("cvm.ap-guangzhou.ai.example", None, id="T123 a region before ai"),
    pytest.param("a.cvm.example", None, id="T123 a label before the label"),
    pytest.param("cvm.example.org", None, id="T123 another domain behind the root"),
    pytest.param("cbs.example", "cbs", id="DEC-68 a label that the catalog lists under another service"),
]


@pytest.mark.parametrize(("host", "label"), HOSTS)
def test_a_host_names_a_service(host: str, label: str | None) -> None:
    index = ServiceIndex(LISTED, Owner("1", "2"), HostsSettings(("example",)), LimitsSettings())
    found = index.service(host.encode())
    assert (None if isinstance(found, Rejection) else found.name) == label


@pytest.mark.parametrize("root", HostsSettings().roots)
def test_t123_the_vendors_clients_fail_over_between_these_domains(root: str) -> None:
    index = ServiceIndex(LISTED, Owner("1", "2"), HostsSettings(), LimitsSettings())
    assert not isinstance(index.service(f"aiart.{root}".encode()), Rejection)


def test_t123_a_verified_signature_names_the_service_of_a_shared_host() -> None:
    reply = reply_to(play_of(), request_of())
    assert reply.detail == "allowed"
    scope, _ = reply.reached[0]
    assert scope["camguard.service"] == "aiart"
    assert [value for name, value in scope["headers"] if name == b"x-camguard-service"] == [b"aiart"]
    assert (reply.records[0].service, reply.records[0].host) == ("aiart", GATEWAY)
    assert (reply.records[0].service, reply.records[0].action) == ("aiart", "TextToImage")


def test_t123_a_host_that_names_its_service_gets_no_header() -> None:
    reply = reply_to(play_of(), request_of("aiart.tencentcloudapi.com"))
    assert reply.detail == "allowed"
    assert b"x-camguard-service" not in dict(reply.reached[0][0]["headers"])


SHARED = [
    pytest.param(request_of(), {}, "allowed", id="T123 a good signature"),
    pytest.param(request_of(GATEWAY.upper()), {}, "allowed", id="T123 the host in capitals"),
    pytest.param(request_of(f"{GATEWAY}:8443"), {}, "allowed", id="T123 the host with a port"),
    pytest.param(request_of(scope="cbs", called="CreateDisks"), {}, "allowed", id="DEC-68 by its label"),
    pytest.param(request_of(scope="AIart"), {}, "allowed", id="T134 a scope in other letters"),
    pytest.param(request_of(signed=b"x"), {}, "signature_invalid", id="T123 a signature over another body"),
    pytest.param(request_of(scope="nosuch"), {}, "service_unknown", id="T123 a service that does not exist"),
    pytest.param(request_of(scope="cvm"), {}, "action_unknown", id="T123 an action of another service"),
    pytest.param(
        request_of(lines=((b"x-tc-version", b"2017-03-12"),), scope="cvm", called="CreateDisks"),
        {},
        "allowed",
        id="T123 a version that the service has",
    ),
    pytest.param(
        request_of(lines=((b"x-tc-version", b"2018-01-01"),), scope="cvm", called="CreateDisks"),
        {},
        "version_unknown",
        id="T123 a version that the service does not have",
    ),
    pytest.param(
        request_of(), {"mode": "claimed"}, "service_unknown", id="T123 a signature that is only believed"
    ),
    pytest.param(
        replace(request_of(), lines=request_of().lines[:-1]),
        {"mode": "either"},
        "service_unknown",
        id="T123 no signature",
    ),
    pytest.param(
        replace(
            request_of(),
            lines=(*request_of().lines[:-1], (b"x-camguard-principal", f"uin/{CALLER}".encode())),
            client=("10.0.0.1", 1),
        ),
        {"mode": "either"},
        "service_unknown",
        id="T123 a proxy names the caller, and nobody the service",
    ),
    pytest.param(
        request_of(lines=((b"x-camguard-service", b"aiart"),)),
        {},
        "service_conflict",
        id="T123 a received header",
    ),
    pytest.param(
        request_of(lines=((b"x_camguard_service", b"aiart"),)), {}, "header_alias", id="T123 its twin"
    ),
    pytest.param(
        request_of("aiart.tencentcloudapi.com", lines=((b"x-camguard-service", b"aiart"),)),
        {},
        "service_conflict",
        id="T123 a received header under another host",
    ),
    pytest.param(
        request_of("aiart.tencentcloudapi.com", "cvm"),
        {},
        "service_conflict",
        id="T41 another scope than the host",
    ),
    pytest.param(
        request_of("cbs.tencentcloudapi.com", "cbs", "CreateDisks"),
        {},
        "allowed",
        id="DEC-68 the scope of a signature is the label",
    ),
    pytest.param(
        request_of("cbs.tencentcloudapi.com", "cvm", "CreateDisks"),
        {},
        "service_conflict",
        id="DEC-68 the scope of a signature is not the CAM name",
    ),
]


@pytest.mark.parametrize(("request_", "identity", "detail"), SHARED)
def test_a_request_over_a_shared_host(request_: Request, identity: dict[str, Any], detail: str) -> None:
    reply = reply_to(play_of(identity=identity), request_)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


def test_t123_a_v1_signature_names_no_service() -> None:
    params = {"Action": "TextToImage", "SecretId": SECRET_ID, "Nonce": "1", "Timestamp": str(SIGNED_AT)}
    signature = v1("POST", params.items(), host=GATEWAY, digest="sha1")
    body = "&".join(f"{name}={value}" for name, value in {**params, "Signature": signature}.items())
    lines = ((b"host", GATEWAY.encode()), (b"content-type", FORM.encode()))
    request = Request(lines=lines, chunks=(body.replace("+", "%2B").encode(),), client=("198.51.100.9", 1))
    play = play_of(identity={"allow_v1": True})
    assert reply_to(play, request).detail == "service_unknown"


def test_t123_a_shared_host_leads_to_services_with_an_upstream_of_their_own() -> None:
    play = play_of(shared_by="upstream")
    assert reply_to(play, request_of()).detail == "service_unknown"
    settings = replace(SETTINGS, identity=IdentitySettings(), upstream={"default": "echo", "aiart": "echo"})
    hosts = replace(SETTINGS.hosts, shared=(GATEWAY,), shared_by="upstream")
    authentication = authenticator(IdentitySettings(), Keys())
    play = Play(
        replace(settings, hosts=hosts),
        policies=FixedPolicies(EVERYTHING),
        authentication=authentication,
        clock=lambda: float(SIGNED_AT),
    )
    assert reply_to(play, request_of()).detail == "allowed"
    assert reply_to(play, request_of(scope="cvm", called="CreateDisks")).detail == "service_unknown"


def test_t123_in_shadow_mode_a_shared_host_still_needs_a_signature() -> None:
    play = play_of(identity={"mode": "either"}, mode="shadow")
    unsigned = replace(request_of(), lines=request_of().lines[:-1])
    assert not reply_to(play, unsigned).passed


def test_t123_resources_are_named_by_the_body_over_a_shared_host() -> None:
    allowed = bundle_of({"action": "cvm:AttachDisks", "resource": "qcs::cvm:::instance/ins-1"})
    play = play_of(allowed)
    good = request_of(scope="cbs", called="AttachDisks", body=b'{"InstanceId": "ins-1"}')
    other = request_of(scope="cbs", called="AttachDisks", body=b'{"InstanceId": "ins-2"}')
    assert [reply_to(play, each).detail for each in (good, other)] == ["allowed", "no_allow"]


# statements, host label and action, detail, CAM names in the record
LABELS = [
    pytest.param(
        [{"action": "cvm:CreateDisks"}],
        "cbs",
        "CreateDisks",
        "allowed",
        "cvm:CreateDisks",
        id="a whole label",
    ),
    pytest.param(
        [{"action": "cbs:*"}], "cbs", "CreateDisks", "no_allow", "cvm:CreateDisks", id="an allow of the label"
    ),
    pytest.param(
        [{}, {"effect": "deny", "action": "cbs:*"}],
        "cbs",
        "CreateDisks",
        "undetermined_deny",
        "cvm:CreateDisks",
        id="a deny of the label",
    ),
    pytest.param(
        [{"action": "cvm:*"}], "vpc", "AllocateAddresses", "allowed", "cvm:AllocateAddresses", id="one action"
    ),
    pytest.param(
        [{"action": "vpc:*"}], "vpc", "CreateSubnet", "allowed", "vpc:CreateSubnet", id="another action"
    ),
]


@pytest.mark.parametrize(("statements", "label", "called", "detail", "cam_action"), LABELS)
def test_dec_68_the_record_has_label_and_cam_name(
    statements: list[dict[str, Any]], label: str, called: str, detail: str, cam_action: str
) -> None:
    reply = reply_to(
        play_of(bundle_of(*statements)), request_of(f"{label}.tencentcloudapi.com", label, called)
    )
    record = reply.records[0]
    assert reply.detail == detail
    assert (record.service, record.action, record.cam_action) == (label, called, cam_action)
    assert record.entry is not None
    assert record.entry.id == f"{label}:{called}"
    if detail != "allowed":
        assert f"({cam_action})" in reply.error["Message"]


def test_dec_68_the_version_of_an_entry_is_that_of_its_own_host() -> None:
    """`cvm:CreateDisks` has a version; the host label `cbs` has versions of its own."""
    other = request_of(
        "cbs.tencentcloudapi.com", "cbs", "CreateDisks", lines=((b"x-tc-version", b"2019-01-01"),)
    )
    assert reply_to(play_of(), other).detail == "allowed"


def test_t123_the_header_has_a_class_of_its_own() -> None:
    rules = HeaderRules(b"x-camguard-principal", b"x-forwarded-for", b"")
    assert rules.layout((b"host", b"x-camguard-service")) is rejection("service_conflict")


def test_p14_the_host_of_block_storage(repository: Path) -> None:
    """A policy of `cvm:CreateDisks` grants a call of host `cbs`, by the carried services."""
    raw = (repository / "config/services.json").read_bytes()
    listed = replace(LISTED, known=read_known_services(raw, "services.json"))
    document = {
        "version": "2.0",
        "statement": [{"effect": "allow", "action": "cvm:CreateDisks", "resource": "*"}],
    }
    parsed = parse_policy(json.dumps(document), "p14.json")
    found = make_bundle({"p14": parsed}, principals(users={CALLER: ["p14"]}), listed)
    reply = reply_to(play_of(found), request_of("cbs.tencentcloudapi.com", "cbs", "CreateDisks"))
    assert (reply.detail, reply.records[0].cam_action) == ("allowed", "cvm:CreateDisks")


def test_records_without_an_entry_have_no_cam_name() -> None:
    assert record_of(None).cam_action is None
