"""The names of headers that settings refuse for identity are those that the rules of requests treat apart."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from camguard.header_names import (
    CORRELATING,
    HOP_BY_HOP,
    SINGLE,
    SINGLE_PREFIXES,
    SPOOF,
    SPOOF_PREFIXES,
    is_occupied,
    is_reserved,
)
from camguard.request.header_rules import HeaderClass, HeaderRules

RULES = HeaderRules(b"x-identity", b"forwarded", b"")
APART = {
    *(HeaderClass.SINGLE, HeaderClass.HOP, HeaderClass.CONNECTION),
    *(HeaderClass.UPGRADE, HeaderClass.FORWARDED),
}
CLASSES = RULES._classes  # noqa: SLF001 - the table itself; `header_class` answers for one name at a time


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP | SINGLE), ids=bytes.decode)
def test_the_rules_of_requests_treat_a_reserved_name_apart(name: bytes) -> None:
    assert RULES.header_class(name) in APART


@pytest.mark.parametrize(
    "name", sorted(name for name, each in CLASSES.items() if each in APART), ids=bytes.decode
)
def test_a_name_that_the_rules_of_requests_treat_apart_is_reserved(name: bytes) -> None:
    assert is_reserved(name.decode())


@pytest.mark.parametrize("name", ["x-camguard-principal", "x-auth-request-user", "remote-user", "x-user"])
def test_a_name_that_proxies_use_for_identity_is_not_reserved(name: str) -> None:
    assert not is_reserved(name)


@pytest.mark.parametrize(
    "name",
    [
        *sorted(name.decode() for name, each in CLASSES.items() if each is HeaderClass.SPOOF),
        *("x-original-host", "x-remote-group", "x-auth-request-email", "x-webauth-user", "x-envoy-peer"),
        *("x-camguard-principal", "x-camguard-service", "x-camguard-request-id"),
    ],
)
def test_t137_a_header_with_another_meaning_carries_no_attributes(name: str) -> None:
    assert is_occupied(name)


@pytest.mark.parametrize("name", ["x-camguard-attributes", "x-corp-attributes", "x-origin", "attributes"])
def test_t137_other_names_may_carry_attributes(name: str) -> None:
    assert not is_occupied(name)
    assert not is_reserved(name)


# Written down a second time, because a name that goes from a list lets a header through to the application.
LISTED = [
    (HOP_BY_HOP, """
        connection expect http2-settings keep-alive proxy-authenticate proxy-authorization proxy-connection te
        trailer trailers upgrade
    """),
    (SINGLE, """
        authorization content-encoding content-length content-type host transfer-encoding x-tc-action
        x-tc-content-sha256 x-tc-region x-tc-timestamp x-tc-token x-tc-version
    """),
    (SPOOF, """
        cf-connecting-ip cf-connecting-ipv6 cf-pseudo-ipv4 client-ip do-connecting-ip fastly-client-ip
        fly-client-ip forwarded forwarded-for http-client-ip http-x-forwarded-for proxy-client-ip remote-addr
        remote-email remote-groups remote-name remote-user ssl-client-s-dn ssl-client-verify true-client-ip
        wl-proxy-client-ip x-appengine-user-ip x-authenticated-user x-authenticated-userid x-azure-clientip
        x-azure-socketip x-client-ip x-cluster-client-ip x-credential-username x-forwarded x-forwarded-for
        x-host x-http-method x-http-method-override x-method-override x-originating-ip x-override-url
        x-proxyuser-ip x-real-ip x-remote-addr x-remote-ip x-rewrite-url x-tc-service x-user x-userinfo
    """),
    (SINGLE_PREFIXES, "content- x-tc-"),
    (SPOOF_PREFIXES, """
        x-auth-request- x-camguard- x-envoy- x-forwarded- x-original- x-remote- x-webauth-
    """),
]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "listed"), LISTED, ids=["hop", "once", "removed", "once, beginnings", "removed, beginnings"]
)
def test_t06_the_names_that_are_treated_apart_are_these(names: Collection[bytes], listed: str) -> None:
    assert sorted(names) == sorted(listed.encode().split())


def test_the_headers_that_name_a_request_stand_in_the_order_of_a_head() -> None:
    assert CORRELATING == (b"traceparent", b"x-request-id")


@pytest.mark.parametrize(
    "name",
    [
        "accept",
        "accept-encoding",
        "cookie",
        "date",
        "forwarded",
        "user-agent",
        "via",
        "proxy-user",
        "x-forwarded-user",
    ],
)
def test_a_name_that_clients_and_proxies_send_for_another_purpose_is_reserved(name: str) -> None:
    assert is_reserved(name)
