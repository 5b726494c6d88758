"""Condition keys: which operators each takes, and which belong to the language."""

from __future__ import annotations

import pytest

from camguard.policy.keys import OWN, attribute_fault, known_keys, operators_of, supplied_regions
from camguard.policy.operators import OPERATORS

STRINGS = frozenset(
    f"string_{name}"
    for name in ("equal", "not_equal", "equal_ignore_case", "not_equal_ignore_case", "like", "not_like")
)


ORDERS = ("equal", "not_equal", "less_than", "less_than_equal", "greater_than", "greater_than_equal")
KEYS = [
    pytest.param("qcs:ip", {"ip_equal", "ip_not_equal"}, id="the address"),
    pytest.param("qcs:current_time", {f"date_{name}" for name in ORDERS}, id="the time"),
    pytest.param("qcs:read_only_action", {f"numeric_{name}" for name in ORDERS}, id="DEC-56 reading actions"),
    *(pytest.param(key, STRINGS | {"null_equal", "binary_equal"}, id=f"DEC-57 {key}")
      for base in ("qcs:resource_tag", "qcs:request_tag", "qcs:tag") for key in (base, f"{base}/a/b")),
    *(pytest.param(key, {"bool_equal"}, id=key) for key in ("qcs:mfa", "qcs:BindToken")),
    pytest.param("mfa", {*(f"numeric_{name}" for name in ORDERS), "string_equal", "string_not_equal"},
                 id="DEC-57 the old key of the second factor"),
    *(pytest.param(key, STRINGS, id=key) for key in ("qcs:uin", "qcs:owner_uin")),
    pytest.param("qcs:create_uin", {"string_equal"}, id="the creator"),
    *(pytest.param(key, STRINGS | {"null_equal"}, id=f"DEC-57 {key}")
      for key in ("qcs:vpc", "vpc:requester_vpc")),
    *(pytest.param(key, OPERATORS.keys(), id=f"a service's own key, {key}")
      for key in ("cos:prefix", "cos:x-cos-acl", "bmvpc:unVpcId", "cos:a.b_c/d e\n", "6:7",
                  "cvm_system_disk_size", "product")),
    *(pytest.param(key, None, id=f"no key, {key!r}")
      for key in ("", "ip", "qcs:", "qcs:ips", "QCS:ip", "qcs:ip ", " qcs:ip", "qcs:resource_tag/",
                  "Cos:prefix", "cos:", ":prefix", "cos:pre fix", "cos:prefix/", "cos:prefix ",
                  "cos_x:prefix", "disk", "mfa/a", "products", "qcs:resource_tag/${uin}", "cos:${uin}",
                  "qcs:resource_tags/a", "cos:a:b", "cos", "cos:/a", "qcs:ip/a")),
]  # fmt: skip


@pytest.mark.parametrize(("key", "operators"), KEYS)
def test_which_operators_may_meet_a_key(key: str, operators: set[str] | None) -> None:
    assert operators_of(key) == operators


def test_which_keys_are_the_languages_own() -> None:
    assert set(known_keys()) == {
        *("qcs:ip", "qcs:current_time", "qcs:resource_tag", "qcs:request_tag", "qcs:tag", "qcs:mfa", "mfa"),
        *(
            "qcs:read_only_action",
            "qcs:BindToken",
            "qcs:uin",
            "qcs:owner_uin",
            "qcs:create_uin",
            "qcs:vpc",
            "vpc:requester_vpc",
        ),
    }
    tags = {"qcs:resource_tag", "qcs:request_tag", "qcs:tag"}
    assert tags | {"qcs:ip", "qcs:current_time", "qcs:read_only_action"} == OWN


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        pytest.param("qcs:mfa", None, id="T137 a key that camguard does not know"),
        pytest.param("cos:prefix", None, id="T137 a key of a service"),
        pytest.param("qcs:ip", "supplies itself", id="T137 the address"),
        pytest.param("qcs:tag/dept", "supplies itself", id="T137 a tag"),
        pytest.param("cvm:region", "supplies itself", id="T137 a region"),
        *(
            pytest.param(key, "supplies itself", id=f"T137 {key}")
            for key in sorted(OWN | {"qcs:uin", "qcs:owner_uin"})
        ),
        pytest.param("qcs:mfaa", "is not a condition key (did you mean 'qcs:mfa'", id="T137 a misspelt key"),
    ],
)
def test_which_keys_a_proxy_may_supply(key: str, fault: str | None) -> None:
    found = attribute_fault(key)
    assert (fault is None) is (found is None)
    assert (fault or "") in (found or "")


def test_dec_64_a_call_supplies_its_region_under_each_name_that_policies_are_asked_for() -> None:
    names = ["cvm:RunInstances", "finance:trade"]
    assert supplied_regions(names, "ap-a") == {"cvm:region": ("ap-a",), "finance:region": ("ap-a",)}
