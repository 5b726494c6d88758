"""The names of headers that settings refuse for identity are those that the rules of requests treat apart."""

from __future__ import annotations

import pytest

from camguard.edge.headers import Names, Role
from camguard.header_names import HOP_BY_HOP, SINGLE, is_reserved

NAMES = Names(b"x-identity", b"forwarded")
ROLES = NAMES._roles  # noqa: SLF001 - the table itself; `role` answers for one name at a time
OWN_ROLE = {Role.SINGLE, Role.HOP, Role.CONNECTION, Role.UPGRADE, Role.FORWARDED}


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP | SINGLE), ids=bytes.decode)
def test_the_rules_of_requests_treat_a_reserved_name_apart(name: bytes) -> None:
    assert NAMES.role(name) in OWN_ROLE


@pytest.mark.parametrize(
    "name", sorted(name for name, role in ROLES.items() if role in OWN_ROLE), ids=bytes.decode
)
def test_a_name_that_the_rules_of_requests_treat_apart_is_reserved(name: bytes) -> None:
    assert is_reserved(name.decode())


@pytest.mark.parametrize("name", ["x-camguard-principal", "x-auth-request-user", "remote-user", "x-user"])
def test_a_name_that_proxies_use_for_identity_is_not_reserved(name: str) -> None:
    assert not is_reserved(name)
