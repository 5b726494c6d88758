"""Clauses that exclude each other: a statement that has the finding, and one that almost has it."""

from __future__ import annotations

import pytest

from tests.company import inside, outside
from tests.lint.statements import TAG, allow, any_value, deny, hours, table_of_findings

# code, where in the statement, statements that have it, statements that almost have it
ROWS = [
    pytest.param("CG401", "/condition", [allow(**inside("10.0.0.0/8"), **outside("10.0.0.0/7"))],
                 [allow(**inside("10.0.0.0/7"), **outside("10.0.0.0/8"))],
                 id="an address inside and outside"),
    pytest.param("CG401", "/condition",
                 [allow(**hours("06-01", "05-01"))], [allow(**hours("05-01", "06-01"))],
                 id="hours that end before they begin"),
    pytest.param("CG401", "/condition",
                 [allow("vm:Reboot", string_equal={TAG: "a"}, string_not_equal={TAG: "a"})],
                 [allow("vm:Reboot", string_equal={TAG: ["a", "b"]}, string_not_equal={TAG: "a"})],
                 id="a tag that is and is not"),
    pytest.param("CG401", "/condition",
                 [allow(string_equal={"qcs:uin": "1"}, string_not_equal={"qcs:uin": "1"})],
                 [allow(string_like={"qcs:uin": "1*"}, string_not_equal={"qcs:uin": "1"})],
                 id="a caller who is and is not"),
    pytest.param("CG401", "/condition",
                 [allow("vm:Reboot", string_equal={TAG: "a"}, null_equal={TAG: "true"})],
                 [allow("vm:Reboot", string_equal_if_exist={TAG: "a"}, null_equal={TAG: "true"})],
                 id="a tag that is there and absent"),
    pytest.param("CG401", "/condition",
                 [allow("vm:Reboot", null_equal={TAG: "true"}, **any_value(null_equal={TAG: "false"}))],
                 [allow("vm:Reboot", null_equal={TAG: ["true", "false"]})], id="a tag present and absent"),
    pytest.param("CG401", "/condition",
                 [allow(bool_equal={"qcs:mfa": "true"}, **any_value(bool_equal={"qcs:mfa": "false"}))],
                 [allow(bool_equal={"qcs:mfa": "true"}, bool_equal_if_exist={"qcs:mfa": "true"})],
                 id="a second factor that was and was not used"),
    pytest.param("CG402", "/condition",
                 [deny(**inside("10.0.0.0/8"), ip_equal_if_exist={"qcs:ip": "192.168.0.0/16"})],
                 [deny(**inside("10.0.0.0/8"), ip_equal_if_exist={"qcs:ip": "10.9.0.0/16"})],
                 id="a deny from two places at once"),
    pytest.param("CG402", "/condition", [deny(**hours("06-01", "06-01"))], [deny(**hours("06-01", "06-02"))],
                 id="a deny during no time"),
]  # fmt: skip


test_a_statement_has_the_finding_or_almost = table_of_findings(ROWS)
