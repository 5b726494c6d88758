"""Address ranges: a statement that has the finding, and one that almost has it."""

from __future__ import annotations

import pytest

from tests.company import inside, outside
from tests.lint.statements import allow, deny, table_of_findings, table_of_questions

# code, where in the statement, statements that have it, statements that almost have it
ROWS = [
    pytest.param("CG413", "/condition/ip_not_equal/qcs:ip", [allow(**outside("10.0.0.0/8"))],
                 [deny(**outside("10.0.0.0/8"))], id="an allow from everywhere else"),
    pytest.param("CG414", "/condition/ip_equal/qcs:ip/1", [allow(**inside("10.1.0.0/16", "::/0"))],
                 [allow(**inside("10.1.0.0/16", "::/1"))], id="an allow from everywhere"),
    pytest.param("CG414", "/condition/ip_equal/qcs:ip", [allow(**inside("0.0.0.0/1", "128.0.0.0/1"))],
                 [allow(**inside("0.0.0.0/1", "128.0.0.0/2"))], id="an allow from everywhere in two halves"),
    pytest.param("CG414", "/condition/ip_equal/qcs:ip/0", [deny(**inside("0.0.0.0/0"))],
                 [deny(**inside("0.0.0.0/1"))], id="a deny from everywhere"),
    pytest.param("CG414", "/condition/ip_not_equal/qcs:ip/0", [allow(**outside("0.0.0.0/0"))],
                 [allow(**outside("0.0.0.0/1"))], id="an allow from outside of everywhere"),
    pytest.param("CG415", "/condition/ip_equal/qcs:ip/0", [allow(**inside("10.1.2.3/0"))],
                 [allow(**inside("0.0.0.0/0"))], id="an allow from one address with no bits"),
    pytest.param("CG415", "/condition/ip_equal/qcs:ip/0", [allow(**inside("2001:db8::1/0"))],
                 [allow(**inside("2001:db8::1/128"))], id="the same in IPv6"),
    pytest.param("CG416", "/condition/ip_not_equal/qcs:ip/1", [deny(**outside("10.1.0.0/16", "0.0.0.0/0"))],
                 [deny(**outside("10.1.0.0/16", "0.0.0.0/1"))], id="a deny outside of everywhere"),
    pytest.param("CG416", "/condition/ip_not_equal/qcs:ip/0", [deny("desk:QueryUser", **outside("::/0"))],
                 [deny("desk:QueryUser", **outside("::/1"))],
                 id="a deny outside of everywhere, also where the address is not surely judged"),
    pytest.param("CG416", "/condition/ip_not_equal_if_exist/qcs:ip", [
                     deny("desk:*", ip_not_equal_if_exist={"qcs:ip": "::/0"})],
                 [deny("desk:QueryUser", ip_not_equal_if_exist={"qcs:ip": "::/0"})],
                 id="a deny outside of everywhere, unless it is unknown for each action"),
    pytest.param("CG417", "/condition/ip_equal/qcs:ip/0", [allow(**inside("10.1.2.3/24"))],
                 [allow(**inside("10.1.2.0/24", "10.9.2.3"))], id="host bits"),
    pytest.param("CG417", "/condition/ip_equal/qcs:ip", [allow(ip_equal={"qcs:ip": "10.1.2.3/24"})],
                 [allow(ip_equal={"qcs:ip": "10.1.2.3/32"})], id="host bits of the only value"),
    pytest.param("CG418", "/condition/ip_equal/qcs:ip/1", [allow(**inside("10.1.2.0/24", "10.1.2.9/24"))],
                 [allow(**inside("10.1.2.0/24", "10.1.9.0/24"))], id="a range that stands twice"),
    pytest.param("CG419", "/condition/ip_equal/qcs:ip/0", [allow(**inside("10.1.2.3", "10.1.2.0/24"))],
                 [allow(**inside("10.1.3.3", "10.1.2.0/24"))], id="a range inside another one"),
    pytest.param("CG420", "/condition/ip_equal/qcs:ip", [allow(**inside("10.1.3.0/24", "10.1.2.0/24"))],
                 [allow(**inside("10.1.1.0/24", "10.1.2.0/24"))], id="two ranges that make one"),
    pytest.param("CG420", "/condition/ip_equal/qcs:ip",
                 [allow(**inside("10.0.0.0/8", "11.0.0.0/9", "11.128.0.0/9"))],
                 [allow(**inside("255.255.255.255", "::"))], id="three ranges that make one"),
    pytest.param("CG434", "/condition/ip_equal/qcs:ip/1", [allow(**inside("10.0.0.0/8", "172.20.1.0/24"))],
                 [allow(**inside("10.0.0.0/8", "172.32.0.0/24"))], id="T132 an allow from mapped addresses"),
    pytest.param("CG434", "/condition/ip_not_equal/qcs:ip/0", [deny(**outside("172.0.0.0/8"))],
                 [deny(**outside("203.0.113.7"))], id="T132 a deny from outside of mapped addresses"),
    pytest.param("CG435", "/condition/ip_equal/qcs:ip/0", [deny(**inside("172.20.1.0/24"))],
                 [deny(**outside("172.20.1.0/24"))], id="T132 a deny from mapped addresses"),
]  # fmt: skip


test_a_statement_has_the_finding_or_almost = table_of_findings(ROWS)


# statement, code, what is proposed
INSTEAD = [
    pytest.param(allow(**inside("10.1.2.3/24")), "CG417", "10.1.2.0/24, or 10.1.2.3 alone",
                 id="range or host"),
    pytest.param(allow(**inside("10.1.2.0/24", "10.1.3.0/24")), "CG420", "10.1.2.0/23", id="one range"),
]  # fmt: skip


test_a_finding_asks_what_was_meant = table_of_questions(INSTEAD)
