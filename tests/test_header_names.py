"""The names of headers that settings refuse for identity are those that the rules of requests treat apart."""

from __future__ import annotations

import pytest

from camguard.header_names import HOP_BY_HOP, SINGLE, is_occupied, is_reserved
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
