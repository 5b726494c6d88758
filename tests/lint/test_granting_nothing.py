"""Policies that can grant nothing, each with its reasons, and close ones that can grant something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from camguard.lint import Supplies, by_reason, granting_nothing, table
from tests.company import OFFICE, allow, deny, policy
from tests.lint.test_check_services import VIEW

TAG = {"for_any_value:string_equal": {"qcs:resource_tag": "a&b"}}
REQUEST_TAG = {"for_any_value:string_equal": {"qcs:request_tag": "a&b"}}
KEY = {"string_equal": {"cos:prefix": "x"}}


UNLISTED = Supplies(listed_tags=False)


def row_of(
    *statements: Mapping[str, Any], supplies: Supplies = UNLISTED, **settings: str
) -> dict[str, tuple[str, ...]] | None:
    """Return the reasons of the policy of these statements, each with what it is about."""
    usual = {"ip_support": "catalog", "unknown_action": "refuse", **settings}
    rows = granting_nothing([policy("p", *statements)], VIEW, supplies=supplies, **usual)
    return dict(zip(rows[0].why, rows[0].of, strict=True)) if rows else None


ROWS = [
    pytest.param([allow("disk:*")], {"no page": ("disk",)}, id="a service without a page"),
    pytest.param([allow("disk:*"), allow("nosuch:Do")], {"no page": ("disk", "nosuch")}, id="two of them"),
    pytest.param([allow("volumes:*")], {"no page": ("volumes",)}, id="a host label"),
    pytest.param([allow("art:Paint")], {"no action": ("art:Paint",)}, id="an action that does not exist"),
    pytest.param([allow("a*:TextToImage")], {"no action": ("a*:TextToImage",)}, id="a star in the service"),
    pytest.param([allow("art:*", "qcs::art:::x/1")], {"no resource": ("qcs::art:::x/1",)}, id="a resource"),
    pytest.param([allow("queue:*", "qcs::queue:::q/1")], {"no resource": ("qcs::queue:::q/1",)},
                 id="DEC-67 a resource of an action without a page"),
    pytest.param([allow("vm:Reboot", **TAG)], {"no tags": ("qcs:resource_tag",)}, id="a tag"),
    pytest.param([allow("vm:Reboot", **KEY)], {"no key": ("cos:prefix",)}, id="a key of another service"),
    pytest.param([allow("desk:QueryUser", **OFFICE)], {"no address": ("qcs:ip",)}, id="an address"),
    pytest.param([allow("queue:*", **OFFICE)], {"no address": ("qcs:ip",)}, id="DEC-67 an address"),
    pytest.param([allow("vm:Reboot", **REQUEST_TAG)], {"no tags": ("qcs:request_tag",)},
                 id="DEC-65 a request tag of an action whose tag parameter is not known"),
    pytest.param([allow("art:*", string_equal={"art:region": "ap-a"})], None, id="DEC-64 its own region"),
    pytest.param([allow("art:*", string_equal={"vm:region": "ap-a"})], {"no key": ("vm:region",)},
                 id="DEC-64 the region of another service"),
    pytest.param([allow("art:*", numeric_equal={"qcs:read_only_action": 1})], None, id="DEC-56 read only"),
    pytest.param([allow("desk:QueryUser", ip_equal_if_exist={"qcs:ip": "10.0.0.0/8"})], None,
                 id="DEC-62 an address, if it exists"),
    pytest.param([allow("disk:*"), allow("vm:Reboot", **TAG), deny("art:*")],
                 {"no page": ("disk",), "no tags": ("qcs:resource_tag",)}, id="several reasons"),
    pytest.param([deny("disk:*")], None, id="a policy that only denies"),
    pytest.param([allow("disk:*"), allow("art:*")], None, id="one allow that grants"),
    pytest.param([allow(["disk:*", "queue:*"])], None, id="DEC-67 an action without a page on the star"),
    pytest.param([allow("art:*", **OFFICE)], None, id="an address that is supported"),
    pytest.param([allow("*")], None, id="everything"),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "reasons"), ROWS)
def test_a_policy_can_grant_something_or_nothing(
    statements: list[Any], reasons: dict[str, tuple[str, ...]] | None
) -> None:
    assert row_of(*statements) == reasons


def test_the_settings_count() -> None:
    assert row_of(allow("desk:QueryUser", **OFFICE), ip_support="gateway") is None
    assert row_of(allow("art:Paint"), unknown_action="judge") is None
    for listed in (True, None):
        assert row_of(allow("vm:Reboot", **TAG), supplies=Supplies(listed_tags=listed)) is None
    assert row_of(allow("vm:Reboot", **KEY), supplies=Supplies(keys=frozenset(("cos:prefix",)))) is None
    assert row_of(allow("disk:Cut"), unknown_action="judge") == {"no page": ("disk",)}


def test_the_table_has_one_line_for_each_policy_in_the_order_of_ids() -> None:
    policies = [policy("second", allow("disk:*")), policy("all", {}), policy("a", allow("vm:Reboot", **TAG))]
    rows = granting_nothing(policies, VIEW, ip_support="catalog", unknown_action="refuse", supplies=UNLISTED)
    assert list(table(rows)) == ["  a       no tags: qcs:resource_tag", "  second  no page: disk"]
    assert list(table(())) == []


def test_many_policies_are_listed_by_reason() -> None:
    policies = [policy(f"p{number}", allow("disk:*")) for number in range(5)]
    policies.append(policy("q", allow("disk:*"), allow("vm:Reboot", **TAG)))
    rows = granting_nothing(policies, VIEW, ip_support="catalog", unknown_action="refuse", supplies=UNLISTED)
    assert list(by_reason(rows)) == ["  no page      p0, p1, p2 and 3 more", "  no tags      q"]
