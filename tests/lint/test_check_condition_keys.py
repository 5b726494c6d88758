"""Condition keys: a statement that has the finding, and one that almost has it."""

from __future__ import annotations

import pytest

from tests.company import inside, outside
from tests.lint.statements import (
    ANY,
    SUPPLIES,
    TAG,
    allow,
    deny,
    findings,
    pointers,
    table_of_findings,
    tagged,
)

ANY_REQUEST_TAG = tagged("for_any_value:string_equal", "dept&rd", key="qcs:request_tag")

READ_ONLY = {"numeric_equal": {"qcs:read_only_action": 1}}
# code, where in the statement, statements that have it, statements that almost have it
ROWS = [
    pytest.param("CG403", "/condition/ip_equal/qcs:ip", [allow("desk:*", **inside("10.0.0.0/8"))],
                 [allow("desk:QueryUserList", **inside("10.0.0.0/8"))],
                 id="an address where it cannot be restricted"),
    pytest.param("CG403", "/condition/ip_not_equal/qcs:ip", [deny("*", **outside("10.0.0.0/8"))],
                 [deny("art:*", **outside("10.0.0.0/8"))],
                 id="a deny by address where it cannot be restricted"),
    pytest.param("CG403", "/condition/ip_equal_if_exist/qcs:ip",
                 [deny("desk:*", ip_equal_if_exist={"qcs:ip": "10.0.0.0/8"})],
                 [deny("desk:QueryUserList", ip_equal_if_exist={"qcs:ip": "10.0.0.0/8"})],
                 id="DEC-62 a deny by address that applies from everywhere"),
    pytest.param("CG403", "/condition/ip_equal_if_exist/qcs:ip",
                 [allow("desk:*", ip_equal_if_exist={"qcs:ip": "10.0.0.0/8"})],
                 [allow("desk:QueryUserList", ip_equal_if_exist={"qcs:ip": "10.0.0.0/8"})],
                 id="DEC-62 an allow by address with _if_exist"),
    pytest.param("CG430", "/condition/numeric_equal/qcs:read_only_action", [allow("art:*", **READ_ONLY)],
                 [allow("art:DescribeJob", **READ_ONLY)], id="DEC-56 reading actions that are left out"),
    pytest.param("CG430", "/condition/numeric_equal/qcs:read_only_action", [deny("art:*", **READ_ONLY)],
                 [deny("art:DescribeJob", **READ_ONLY)], id="DEC-56 reading actions that a deny blocks"),
    pytest.param("CG404", "/condition/for_any_value:string_equal/qcs:resource_tag", [allow("art:*", **ANY)],
                 [allow("vm:Reboot", **ANY)], id="tags of a product without tags"),
    pytest.param("CG405", "/condition/string_equal/cos:prefix", [allow(string_equal={"cos:prefix": "a"})],
                 [allow(**inside("10.0.0.0/8"))], id="a key of a service"),
    pytest.param("CG406", "/condition/ip_not_equal/qcs:ip", [deny(**outside("10.1.0.0/16", "10.3.0.0/16"))],
                 [deny(**outside("10.1.0.0/16"))], id="a negated list"),
    pytest.param("CG407", f"/condition/string_not_equal/{TAG.replace('/', '~1')}",
                 [deny("vm:Reboot", string_not_equal={TAG: "a"})],
                 [deny("vm:Reboot", string_not_equal_if_exist={TAG: "a"})],
                 id="a deny that spares the untagged"),
    pytest.param("CG408", f"/condition/string_equal_if_exist/{TAG.replace('/', '~1')}",
                 [allow("vm:Reboot", string_equal_if_exist={TAG: "a"})],
                 [deny("vm:Reboot", string_equal_if_exist={TAG: "a"})], id="an allow of the untagged"),
    pytest.param("CG409", "/condition/for_all_value:string_equal/qcs:request_tag",
                 [allow("vm:Run", **tagged("for_all_value:string_equal", "a&b", key="qcs:request_tag"))],
                 [allow("vm:Run", **tagged("for_any_value:string_equal", "a&b", key="qcs:request_tag"))],
                 id="for_all_value on tags"),
    pytest.param("CG410", "/condition/string_equal/qcs:resource_tag",
                 [allow("vm:Reboot", **tagged("string_equal", "a&b"))], [allow("vm:Reboot", **ANY)],
                 id="tags without a qualifier"),
    pytest.param("CG411", "/condition/for_any_value:string_equal/qcs:resource_tag/1",
                 [allow("vm:Reboot", **tagged("for_any_value:string_equal", "a&b", "ab"))],
                 [allow("vm:Reboot", **tagged("for_any_value:string_like", "a&b", "ab*"))],
                 id="a tag without its value"),
    pytest.param("CG411", "/condition/for_any_value:string_not_equal/qcs:resource_tag/0",
                 [deny("vm:Reboot", **tagged("for_any_value:string_not_equal", "ab"))],
                 [deny("vm:Reboot", **tagged("for_any_value:string_not_equal", "a&b"))],
                 id="a tag without its value that blocks more"),
    pytest.param("CG431", "/condition/for_any_value:string_equal/qcs:resource_tag/1",
                 [deny("vm:Reboot", **tagged("for_any_value:string_equal", "a&b", "ab"))],
                 [deny("vm:Reboot", **tagged("for_any_value:string_equal", "a&b"))],
                 id="a deny of a tag without its value"),
    pytest.param("CG431", "/condition/for_any_value:string_not_equal/qcs:resource_tag/0",
                 [allow("vm:Reboot", **tagged("for_any_value:string_not_equal", "ab"))],
                 [allow("vm:Reboot", **tagged("for_any_value:string_equal", "ab"))],
                 id="an allow of everything but a tag without its value"),
    pytest.param("CG412", "/resource", [allow("vm:Reboot", "qcs::vm:::instance/${qcs:principal_tag_value}")],
                 [allow("vm:Reboot", "qcs::vm:::instance/${uin}")],
                 id="a variable in a resource without a value"),
    pytest.param("CG412", "/condition/string_equal/qcs:resource_tag~1env",
                 [allow("vm:Reboot", string_equal={TAG: "${qcs:principal_tag_value}"})],
                 [allow("vm:Reboot", string_equal={TAG: "${app_id}"})], id="a variable without a value"),
    pytest.param("CG418", "/condition/string_equal/qcs:resource_tag~1env/1",
                 [allow("vm:Reboot", string_equal={TAG: ["a", "a"]})],
                 [allow("vm:Reboot", string_equal={TAG: ["a", "A"]})], id="a value that stands twice"),
    pytest.param("CG405", "/condition/string_equal/vm:region",
                 [allow("*", string_equal={"vm:region": "ap-guangzhou"})],
                 [allow("vm:*", string_equal={"vm:region": "ap-guangzhou"})],
                 id="DEC-64 the region of another service"),
    pytest.param("CG405", "/condition/string_equal/cos:y", [allow("art:*", string_equal={"cos:y": "a"})],
                 [allow("art:*", string_equal={"cos:x": "a"})],
                 id="T137 a key that the attributes header may supply"),
    pytest.param("CG432", "/condition/for_any_value:string_equal/qcs:resource_tag",
                 [allow("vm:Reboot", **ANY)], [allow("art:*", **ANY)],
                 id="DEC-66 resource tags without an inventory"),
    pytest.param("CG433", "/condition/for_any_value:string_equal/qcs:request_tag",
                 [deny("vm:Reboot", **ANY_REQUEST_TAG)], [deny("vm:Run", **ANY_REQUEST_TAG)],
                 id="DEC-65 request tags of an action whose tag parameter is not known"),
    pytest.param("CG421", "/condition/string_like/qcs:resource_tag~1env",
                 [allow("vm:Reboot", string_like={TAG: "*"})], [allow("vm:Reboot", string_like={TAG: "a*"})],
                 id="a pattern that everything fits"),
]  # fmt: skip


test_a_statement_has_the_finding_or_almost = table_of_findings(ROWS)


def test_dec_66_what_resource_tags_without_an_inventory_mean() -> None:
    """An allow grants nothing, a deny blocks. Nothing is said where an inventory is there, or may be."""
    for statement, outcome in ((allow, "this allow grants nothing"), (deny, "this deny always applies")):
        (finding,) = (each for each in findings(statement("vm:Reboot", **ANY)) if each.code == "CG432")
        assert finding.message.endswith(outcome)
    for listed in (True, None):
        supplies = SUPPLIES._replace(listed_tags=listed)
        assert pointers(findings(allow("vm:Reboot", **ANY), supplies=supplies), "CG432") == []


def test_with_the_gateway_judging_addresses_nothing_is_unsupported() -> None:
    statement = allow("desk:*", **inside("10.0.0.0/8"))
    assert pointers(findings(statement, ip_support="gateway"), "CG403") == []


def test_what_another_allow_grants_without_the_address_is_not_held_against_one() -> None:
    from_office = allow("desk:*", **inside("10.0.0.0/8"))
    assert pointers(findings(from_office, allow("desk:QueryUser")), "CG403") == []
    assert pointers(findings(from_office, deny("desk:QueryUser")), "CG403") != []


def test_a_finding_names_a_few_actions_and_counts_the_others() -> None:
    (finding,) = (f for f in findings(allow("*", **ANY)) if f.code == "CG404")
    assert "art:DescribeJob, art:ImageToImage, art:TextToImage and 7 more" in finding.message
